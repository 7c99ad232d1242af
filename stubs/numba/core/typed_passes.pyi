from numba.core.compiler import StateDict
from numba.core.compiler_machinery import CompilerPass

class NativeLowering(CompilerPass):
    def run_pass(self, state: StateDict) -> bool: ...

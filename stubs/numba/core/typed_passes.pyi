from numba.core.compiler import StateDict
from numba.core.compiler_machinery import CompilerPass
from numba.core.lowering import Lower

class NativeLowering(CompilerPass):
    @property
    def lowering_class(self) -> type[Lower]: ...
    def run_pass(self, state: StateDict) -> bool: ...

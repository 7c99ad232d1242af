from numba.core.compiler_machinery import PassManager
from numba.core.ir import FunctionIR
from numba.types import Type

class StateDict:
    args: tuple[Type, ...]
    func_ir: FunctionIR

class CompilerBase:
    state: StateDict
    def define_pipelines(self) -> list[PassManager]: ...

class Compiler(CompilerBase): ...

class DefaultPassBuilder:
    @staticmethod
    def define_nopython_pipeline(state: StateDict) -> PassManager: ...

from collections.abc import Callable

from numba.core.compiler import StateDict
from numba.core.compiler_machinery import PassManager
from numba.core.ir import FunctionIR

class InlineWorker:
    _compiler_pipeline: Callable[[StateDict], PassManager]
    def run_untyped_passes(self, func: Callable[..., object], enable_ssa: bool = False) -> FunctionIR: ...

from collections.abc import Sequence

from numba.core.compiler import CompileResult
from numba.types import Type
from numba.core.cpu import CPUContext

class NullCache:
    def load_overload(self, sig: Sequence[Type], target_context: CPUContext) -> CompileResult | None: ...
    def save_overload(self, sig: object, cres: CompileResult) -> None: ...

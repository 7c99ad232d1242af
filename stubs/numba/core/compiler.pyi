from collections.abc import Callable
from typing import Any

from numba.core.codegen import JITCodeLibrary
from numba.core.cpu import CPUContext
from numba.core.funcdesc import FunctionDescriptor

class CompileResult:
    target_context: CPUContext
    entry_point: Callable[..., Any]
    fndesc: FunctionDescriptor
    library: JITCodeLibrary
    @classmethod
    def _rebuild(
        cls,
        target_context: CPUContext,
        libdata: Any,
        fndesc: object,
        env: Any,
        signature: Any,
        objectmode: Any,
        lifted: Any,
        typeann: Any,
        reload_init: Any,
        referenced_envs: Any,
    ) -> CompileResult: ...
    def _reduce(self) -> tuple[object, ...]: ...

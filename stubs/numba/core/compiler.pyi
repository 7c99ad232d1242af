from typing import Any

from numba.core.cpu import CPUContext

class CompileResult:
    target_context: CPUContext
    @classmethod
    def _rebuild(
        cls,
        target_context: CPUContext,
        libdata: Any,
        fndesc: Any,
        env: Any,
        signature: Any,
        objectmode: Any,
        lifted: Any,
        typeann: Any,
        reload_init: Any,
        referenced_envs: Any,
    ) -> CompileResult: ...
    def _reduce(self) -> tuple[object, ...]: ...

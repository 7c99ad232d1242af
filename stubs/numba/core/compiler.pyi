from collections.abc import Callable
from typing import Any

from numba.core.codegen import JITCodeLibrary
from numba.core.compiler_machinery import PassManager
from numba.core.cpu import CPUContext
from numba.core.funcdesc import FunctionDescriptor

class _FunctionId:
    func_qualname: str

class StateDict(dict[str, object]):
    targetctx: CPUContext
    func_id: _FunctionId
    library: JITCodeLibrary

class CompilerBase:
    state: StateDict
    def define_pipelines(self) -> list[PassManager]: ...

class Compiler(CompilerBase): ...

class DefaultPassBuilder:
    @staticmethod
    def define_untyped_pipeline(state: StateDict, name: str = "untyped") -> PassManager: ...
    @staticmethod
    def define_nopython_pipeline(state: StateDict, name: str = "nopython") -> PassManager: ...

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

from abc import ABCMeta
from collections.abc import Callable, Mapping
from typing import Any

from numba.core.compiler import CompileResult
from numba.types import Type

class _FunctionCompiler:
    _failed_cache: dict[object, Exception]

class Dispatcher(metaclass=ABCMeta):
    overloads: Mapping[tuple[Type, ...], CompileResult]
    py_func: Callable[..., Any]
    targetoptions: dict[str, object]
    _compiler: _FunctionCompiler
    def __call__(self, /, *args: Any, **kwargs: Any) -> Any: ...
    def compile(self, sig: tuple[Type, ...]) -> None: ...

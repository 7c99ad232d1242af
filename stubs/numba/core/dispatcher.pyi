from abc import ABCMeta
from collections.abc import Callable, Mapping
from typing import Any

from numba.core.compiler import CompileResult
from numba.types import Type

class Dispatcher(metaclass=ABCMeta):
    overloads: Mapping[tuple[Type, ...], CompileResult]
    py_func: Callable[..., Any]
    def __call__(self, /, *args: Any, **kwargs: Any) -> Any: ...
    def compile(self, sig: tuple[Type, ...]) -> None: ...

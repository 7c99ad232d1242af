from collections.abc import Iterable
from typing import Any, Self

from numba.core.typing.templates import Signature

class Type:
    def __init__(self, name: str) -> None: ...
    def __call__(self, *args: Type) -> Signature: ...

class Integer(Type): ...

class Array(Type):
    @property
    def ndim(self) -> int: ...
    @property
    def dtype(self) -> Type: ...
    def __init__(
        self,
        dtype: Type,
        ndim: int,
        layout: str,
        readonly: bool = False,
        name: str | None = None,
        aligned: bool = True,
    ) -> None: ...

class Float(Type): ...

class BaseTuple(Type):
    types: tuple[Type, ...]
    @classmethod
    def from_types(cls, tys: Iterable[Type], pyclass: Any = None) -> Any: ...

class BaseNamedTuple(BaseTuple):
    fields: tuple[str, ...]
    instance_class: type[Any]

class NamedUniTuple(BaseNamedTuple):
    def __init__(self, dtype: Type, count: int, cls: type[object]) -> None: ...

class StarArgTuple(BaseTuple):
    def __new__(cls, types: Iterable[Type]) -> Self: ...
    def __init__(self, types: Iterable[Type]) -> None: ...

none: Type
int32: Type
intp: Type
boolean: Type

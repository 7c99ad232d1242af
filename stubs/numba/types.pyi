from collections.abc import Iterable
from typing import Any

class Type:
    def __call__(self, *arguments: Type) -> Signature: ...

class Signature:
    args: tuple[Any, ...]
    return_type: Type

class Array(Type):
    def __init__(self, dtype: Type, ndim: int, layout: str) -> None: ...

class StarArgTuple(Type):
    @classmethod
    def from_types(cls, tys: Iterable[Type]) -> StarArgTuple: ...

none: Type
intp: Type
boolean: Type

from typing import Any

from numba.types import Type

class AttributeTemplate:
    key: type[Type]

class Signature:
    @property
    def args(self) -> tuple[Any, ...]: ...
    @property
    def return_type(self) -> Type: ...
    def __init__(
        self, return_type: Type, args: tuple[Type, ...], recvr: Type | None, pysig: Any = None
    ) -> None: ...

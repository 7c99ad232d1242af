from collections.abc import Callable, Mapping, Sequence
from typing import Any

from numba.types import Type

class CFunc:
    address: int
    def __init__(
        self,
        pyfunc: Callable[..., Any],
        sig: tuple[Sequence[Type], Type],
        locals: Mapping[str, Type],
        options: Mapping[str, object],
    ) -> None: ...
    def compile(self) -> None: ...

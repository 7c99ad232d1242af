from collections.abc import Callable, Mapping, Sequence
from typing import Any

from numba.types import Type

class CFunc:
    def __init__(
        self,
        pyfunc: Callable[..., Any],
        sig: tuple[Sequence[Type], Type],
        locals: Mapping[str, Type],
        options: Mapping[str, object],
        pipeline_class: type = ...,
    ) -> None: ...
    @property
    def address(self) -> int: ...
    def compile(self) -> None: ...

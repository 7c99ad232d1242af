from collections.abc import Callable, Mapping
from typing import Any

from llvmlite.ir import Value
from numba.core.typing.templates import Signature

def intrinsic(function: Callable[..., tuple[Signature, Callable[..., Value]]], /) -> Callable[..., Any]: ...
def overload(
    func: Callable[..., Any],
    jit_options: Mapping[str, Any] = ...,
    strict: bool = True,
    inline: str = "never",
    prefer_literal: bool = False,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]: ...

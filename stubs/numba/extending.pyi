from collections.abc import Callable, Mapping
from typing import Any

def intrinsic(function: Callable[..., Any], /) -> Callable[..., Any]: ...
def overload(
    func: Callable[..., Any],
    jit_options: Mapping[str, Any] = ...,
    strict: bool = True,
    inline: str = "never",
    prefer_literal: bool = False,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]: ...

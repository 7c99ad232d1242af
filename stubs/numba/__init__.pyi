"""What typednn's kernels use of numba, and no more; for our own checking."""

from collections.abc import Callable, Collection
from typing import ParamSpec, TypeVar

import numpy as np
from numba import types as types
from numba.core import config as config
from numba.core.compiler import CompilerBase

_P = ParamSpec("_P")
_R = TypeVar("_R")

__version__: str

def from_dtype(dtype: np.dtype[np.floating]) -> types.Type: ...
def njit(
    *,
    cache: bool = ...,
    error_model: str = ...,
    fastmath: bool | Collection[str] = ...,
    nogil: bool = ...,
    inline: str = ...,
    forceinline: bool = ...,
    no_cfunc_wrapper: bool = ...,
    no_cpython_wrapper: bool = ...,
    _nrt: bool = ...,
    pipeline_class: type[CompilerBase] | None = ...,
) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]: ...

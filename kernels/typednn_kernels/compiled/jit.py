"""How functions are compiled, and where machine code is kept.

- `entry`: what Python calls; its machine code is kept on disk.
- `kernel`: a function that entries call; sums keep their order.
- `reduction`: one whose sums may be reordered, so that LLVM vectorises them.

This module, `cache` and `loops` are the only ones that import numba.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
from typing_extensions import ParamSpec, TypeVar

from typednn_kernels.compiled.cache import cache_folder, keep
from typednn_kernels.compiled.loops import PYTHON_ONLY

P = ParamSpec("P")
R = TypeVar("R")

CACHE = cache_folder()


def entry(function: Callable[P, R]) -> Callable[P, R]:
    """Compiles a function that Python calls, and keeps its machine code on disk."""
    dispatcher = _compiled(function, fastmath={"contract"}, nogil=True)
    if CACHE and not PYTHON_ONLY:
        keep(dispatcher, CACHE, function.__name__)
    return dispatcher


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """A function that becomes part of the entries and reductions that call it, with their options."""
    return _compiled(function, fastmath={"contract"}, inline="always")


def reduction(function: Callable[P, R]) -> Callable[P, R]:
    """Compiles a function that kernels call; sums may be reordered, which vectorises them."""
    return _compiled(function, fastmath={"contract", "reassoc"}, forceinline=True)


def _compiled(function: Callable[P, R], **options: Any) -> Callable[P, R]:
    """Compiles a function for the dtypes of a call at its first call with them.

    `_nrt=False` leaves out reference counts: no kernel allocates, and the caller holds all arrays.
    """
    dispatcher: Callable[P, R] = numba.njit(
        error_model="numpy", no_cfunc_wrapper=True, _nrt=False, **options
    )(function)
    return dispatcher

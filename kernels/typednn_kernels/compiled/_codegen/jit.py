"""How functions are compiled, and where machine code is kept.

- `entry`: what Python calls; its machine code is kept on disk, as is that of routines.
- `kernel`: a function that becomes part of those that call it; sums keep their order.
- `reduction`: one whose sums may be reordered, so that LLVM vectorises them.
- `routine`: one that is compiled by itself and called by address, from threads too.

Numba is imported by this module and by `addresses`, `boards`, `cache`, `loops`, `pipeline`, `products`,
`routines`, `rows`, `teams`, `threads`, `views` and `workers` alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import ParamSpec, TypeVar

import numba
from numba import types
from numba.core.dispatcher import Dispatcher

from typednn_kernels.compiled._codegen.cache import attach_cache, cache_folder
from typednn_kernels.compiled._codegen.noinline import callable_by_address, dtype_among, noinline_functions_of
from typednn_kernels.compiled._codegen.numba_pipeline import _PIPELINE

P = ParamSpec("P")
R = TypeVar("R")

CACHE = cache_folder()

_compiled = partial(
    numba.njit,
    error_model="numpy",
    fastmath={"contract"},
    no_cfunc_wrapper=True,
    _nrt=False,
    pipeline_class=_PIPELINE,
)
"""Compiles a function for the dtypes of a call at its first call with them.

`_nrt=False` leaves out reference counts: no kernel allocates, and the caller holds all arrays.
"""


def exported(function: Callable[P, R]) -> Callable[P, R]:
    """Compiles a function that Python calls, and keeps its machine code on disk."""
    compiled = _compiled(nogil=True)(function)
    if isinstance(compiled, Dispatcher):
        _keep(compiled)
    return compiled


def inline(function: Callable[P, R]) -> Callable[P, R]:
    """A function that becomes part of those that call it, with their options."""
    return _compiled(inline="always")(function)


def reassociate(function: Callable[P, R]) -> Callable[P, R]:
    """A function that kernels call; sums may be reordered, which vectorises them."""
    return _compiled(fastmath={"contract", "reassoc"}, forceinline=True)(function)


def noinline(function: Callable[P, R]) -> Callable[P, R]:
    """A function that is compiled by itself, for all that call it, and kept on disk.

    Its arguments are annotated, one at least with an array of numbers. Errors do not leave it.
    """
    compiled = _compiled(no_cpython_wrapper=True)(function)
    if not isinstance(compiled, Dispatcher):
        return compiled
    _keep(compiled)
    return callable_by_address(function, compiled)


def _keep(dispatcher: Dispatcher) -> None:
    """Has the machine code kept on disk, and the routines that it calls ready before it."""
    function = dispatcher.py_func

    def prepare(signature: Sequence[types.Type]) -> None:
        for each in noinline_functions_of(function):
            each.prepare(dtype_among(signature))

    attach_cache(dispatcher, CACHE, function.__name__, prepare)

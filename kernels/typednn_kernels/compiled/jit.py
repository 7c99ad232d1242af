"""How functions are compiled, and where machine code is kept.

- `entry`: what Python calls; its machine code is kept on disk.
- `kernel`: a function that entries call; sums keep their order.
- `routine`: one that they share, for what is long and not called for a single sample.
- `share`: one that threads call for a part of the work.
- `reduction`: one whose sums may be reordered, so that LLVM vectorises them.

This module, `addresses`, `cache`, `loops`, `products`, `threads` and `views` are the only ones that import
numba.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numba
import numpy as np
from numba import types
from numba.core.dispatcher import Dispatcher
from typing_extensions import ParamSpec, TypeVar

from typednn_kernels.compiled.cache import cache_folder, keep
from typednn_kernels.compiled.views import PYTHON_ONLY

P = ParamSpec("P")
R = TypeVar("R")

CACHE = cache_folder()

_compiled = partial(numba.njit, error_model="numpy", no_cfunc_wrapper=True, _nrt=False)
"""Compiles a function for the dtypes of a call at its first call with them.

`_nrt=False` leaves out reference counts: no kernel allocates, and the caller holds all arrays.
"""


def entry(function: Callable[P, R]) -> Callable[P, R]:
    """Compiles a function that Python calls, and keeps its machine code on disk."""
    dispatcher = _compiled(fastmath={"contract"}, nogil=True)(function)
    if CACHE and not PYTHON_ONLY:
        keep(dispatcher, CACHE, function.__name__)
    return dispatcher


def machine_code(entry: Callable[P, R], dtype: np.dtype[np.floating]) -> Callable[P, R]:
    """What an entry is for a dtype, as a function that checks no types."""
    if not isinstance(entry, Dispatcher):
        return entry
    kinds = _kinds(numba.from_dtype(dtype))
    annotations = dict(entry.py_func.__annotations__)
    annotations.pop("return")
    signature = tuple(kinds[annotation] for annotation in annotations.values())
    entry.compile(signature)
    return entry.overloads[signature].entry_point


def _kinds(real: types.Type) -> dict[str, types.Type]:
    """What an annotation of an entry means where F is a type."""
    index = types.intp
    arrays = {"Vector[F]": (real, 1), "Matrix[F]": (real, 2), "Cube[F]": (real, 3)}
    arrays |= {"Order": (index, 1), "Layout": (index, 2), "Segments": (index, 2)}
    return {
        "int": index,
        "bool": types.boolean,
        "F": real,
        "Strided[F]": types.Array(real, 1, "A", aligned=False),
        **{name: types.Array(*kind, "C") for name, kind in arrays.items()},
    }


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """A function that becomes part of the entries and reductions that call it, with their options."""
    return _compiled(fastmath={"contract"}, inline="always")(function)


def routine(function: Callable[P, R]) -> Callable[P, R]:
    """A function that entries call: compiled once for all of them, which costs a call."""
    return _compiled(fastmath={"contract"})(function)


def share(function: Callable[P, None]) -> Callable[P, None]:
    """What threads call for a part of the work: `(part, start, stop, *arguments)`; see `threads.divided`."""
    return routine(function)


def reduction(function: Callable[P, R]) -> Callable[P, R]:
    """Compiles a function that kernels call; sums may be reordered, which vectorises them."""
    return _compiled(fastmath={"contract", "reassoc"}, forceinline=True)(function)

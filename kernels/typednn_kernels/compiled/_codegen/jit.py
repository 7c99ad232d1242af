"""How functions are compiled, and where machine code is kept.

- `exported`: a function that Python calls; its machine code is kept on disk.
- `inline`: a function that numba inlines into its callers; sums keep their order.
- `reassociate`: a function that LLVM inlines into its callers; it may reorder the sums and so vectorise them.
- `noinline`: a function that is compiled once, called by address, from threads too, and kept on disk.
- `on_demand`: one that is compiled when it is first called: few networks need it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

import numba
from numba import types
from numba.core.dispatcher import Dispatcher

from typednn_kernels.compiled._codegen.cache.files import attach_cache
from typednn_kernels.compiled._codegen.cache.folder import cache_folder
from typednn_kernels.compiled._codegen.noinline import (
    DISPATCHERS,
    NoinlineFunction,
    OnDemandFunction,
    callable_by_address,
    dtype_among,
    noinline_functions_of,
)
from typednn_kernels.compiled._codegen.private_parts import PIPELINE

P = ParamSpec("P")
R = TypeVar("R")

CACHE = cache_folder()
EXACT: frozenset[str] = frozenset({"contract"})


def compiled(
    function: Callable[P, R],
    *,
    nogil: bool = False,
    inline: str = "never",
    fastmath: frozenset[str] = EXACT,
    private: dict[str, Any] | None = None,
) -> Callable[P, R]:
    """Has numba compile a function for the types of a call at its first call with them.

    Options that numba does not document only save time: `_nrt=False` leaves out reference counts (nothing
    allocates, and the caller holds all arrays), others the wrappers for calls that nobody makes.
    """
    documented: dict[str, Any] = {
        "error_model": "numpy",
        "fastmath": set(fastmath),
        "nogil": nogil,
        "inline": inline,
    }
    with PIPELINE:
        if PIPELINE.works:
            from typednn_kernels.compiled._codegen.numba_pipeline import Pipeline

            options = documented | {"no_cfunc_wrapper": True, "_nrt": False, "pipeline_class": Pipeline}
            return _registered(numba.njit(**options, **private or {})(function))
    return _registered(numba.njit(**documented)(function))


def _registered(compiled: Callable[P, R]) -> Callable[P, R]:
    if isinstance(compiled, Dispatcher):
        DISPATCHERS.append(compiled)
    return compiled


def exported(function: Callable[P, R]) -> Callable[P, R]:
    """Compiles a function that Python calls, and keeps its machine code on disk."""
    dispatcher = compiled(function, nogil=True)
    if isinstance(dispatcher, Dispatcher):
        _keep(dispatcher)
    return dispatcher


def inline(function: Callable[P, R]) -> Callable[P, R]:
    """Has numba inline a function into its callers, with their compile options."""
    return compiled(function, inline="always")


def reassociate(function: Callable[P, R]) -> Callable[P, R]:
    """Compiles a function that others call; its sums may be reordered, which vectorises them."""
    return compiled(function, fastmath=EXACT | {"reassoc"}, private={"forceinline": True})


def noinline(function: Callable[P, R], kind: type[NoinlineFunction] = NoinlineFunction) -> Callable[P, R]:
    """Compiles a function by itself, for all that call it, and keeps its machine code on disk.

    Its parameters are annotated, one at least with an array of floats. It must not raise.
    """
    dispatcher = compiled(function, private={"no_cpython_wrapper": True})
    if not isinstance(dispatcher, Dispatcher):
        return dispatcher
    _keep(dispatcher)
    return callable_by_address(function, kind(dispatcher))


def on_demand(function: Callable[P, R]) -> Callable[P, R]:
    """Compiles a function as `noinline` does, but not before machine code calls it."""
    return noinline(function, OnDemandFunction)


def _keep(dispatcher: Dispatcher) -> None:
    """Keeps the machine code on disk, and prepares what it calls by address before it is used."""
    function = dispatcher.py_func

    def prepare(signature: Sequence[types.Type]) -> None:
        for each in noinline_functions_of(function):
            each.prepare(dtype_among(signature))

    attach_cache(dispatcher, CACHE, function.__name__, prepare)


@inline
def require(fits: bool) -> None:
    """Refuses arrays that do not fit together, before any of them is read or written.

    Raises:
        ValueError: they do not.
    """
    if not fits:
        raise ValueError(
            "the arrays of a kernel do not fit together: the shape of one was changed from outside, or an "
            "argument is wrong"
        )

"""Processes that help to compile what a kernel needs, where several cores are free.

A kernel calls some tens of functions. This process compiles them from the innermost on, and reads from disk
what others have compiled meanwhile. Helpers begin with the outermost: they never run what they compile, so
that the addresses of what it calls do not matter. Locks see to it that each function is compiled once.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager, suppress
from importlib import import_module
from pathlib import Path
from threading import Timer

import numpy as np
from llvmlite.binding import add_symbol
from numba.core.dispatcher import Dispatcher

from typednn_kernels.compiled._codegen.cache.files import file_of
from typednn_kernels.compiled._codegen.cache.folder import claimed
from typednn_kernels.compiled._codegen.jit import CACHE
from typednn_kernels.compiled._codegen.noinline import (
    NoinlineFunction,
    compile_for,
    noinline_functions_of,
    signature_of,
)
from typednn_kernels.early_helpers import LONGEST_WAIT_S, are_waiting, given, helper, helper_count, stop

MIN_FUNCTIONS = 8
"""Functions that are not on disk, from which on helpers pay: each takes half a second to start."""
MIN_FUNCTIONS_IF_WAITING = 4
"""The same where they have been started."""


def dispatchers_of(entry: Dispatcher) -> list[Dispatcher]:
    """Lists a kernel and the functions that it calls, each after its callers."""
    found: dict[Dispatcher, None] = {}

    def add(dispatcher: Dispatcher) -> None:
        for each in noinline_functions_of(dispatcher.py_func):
            if each.dispatcher not in found:
                add(each.dispatcher)
        found.setdefault(dispatcher)

    add(entry)
    return list(reversed(found))


def missing(entry: Dispatcher, dtype: np.dtype[np.floating]) -> list[tuple[Dispatcher, Path]]:
    """Lists what a kernel needs and is not on disk, with the files in which it will be."""
    result: list[tuple[Dispatcher, Path]] = []
    for each in dispatchers_of(entry):
        file = file_of(each, signature_of(each.py_func, dtype).args)
        if file is not None and file.path is not None and not file.path.exists():
            result.append((each, file.path))
    return result


@contextmanager
def helped(entry: Callable[..., object], dtype: np.dtype[np.floating]) -> Generator[None]:
    """Has other processes help to compile a kernel in this block, if they pay and can write to the cache.

    Of several processes that compile at once, one has helpers.
    """
    helpers: list[subprocess.Popen[bytes]] = []
    number = helper_count()
    with ExitStack() as claim:
        if isinstance(entry, Dispatcher) and CACHE is not None and number > 0:
            job = entry.py_func.__name__, str(dtype), str(CACHE)
            is_first = claim.enter_context(claimed(CACHE / "helpers", wait=False))
            least = MIN_FUNCTIONS_IF_WAITING if are_waiting() else MIN_FUNCTIONS
            if is_first and os.access(CACHE, os.W_OK) and len(missing(entry, dtype)) >= least:
                with suppress(OSError):
                    helpers.extend(given(*job))
                    while len(helpers) < number:
                        helpers.append(helper(*job, TYPEDNN_CACHE_DIR=str(CACHE.parent)))
        try:
            yield
        finally:
            stop(helpers)


def help_compile(kernel: str, dtype: np.dtype[np.floating]) -> None:
    """Compiles what a kernel needs and nobody has compiled yet, callers first."""
    entry = vars(import_module("typednn_kernels.compiled"))[kernel]
    anything = ctypes.cast(ctypes.pythonapi.Py_IncRef, ctypes.c_void_p).value or 1

    def prepare(function: NoinlineFunction, dtype: np.dtype[np.floating]) -> None:
        add_symbol(function.symbol(dtype), anything)

    setattr(NoinlineFunction, "prepare", prepare)  # noqa: B010 (for this process)
    for dispatcher, path in missing(entry, dtype):
        with claimed(path, wait=False) as is_first:
            if is_first and not path.exists():
                compile_for(dispatcher, signature_of(dispatcher.py_func, dtype).args)


if __name__ == "__main__":
    idle = Timer(LONGEST_WAIT_S, os._exit, [0])
    idle.daemon = True
    idle.start()
    name, floats, folder = sys.argv[1:] or sys.stdin.read().splitlines() or ("", "", "")
    idle.cancel()
    if folder == str(CACHE):
        help_compile(name, np.dtype(floats))

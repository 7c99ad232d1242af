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
from typednn_kernels.thread_limit import available_cores

MIN_FUNCTIONS = 8
"""Functions that are not on disk, from which on helpers pay: each takes half a second to start."""
MAX_HELPERS = 3


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
    number = min(available_cores() - 1, MAX_HELPERS)
    is_python = not getattr(sys, "frozen", False) and Path(sys.executable or "").name.startswith("python")
    with ExitStack() as claim:
        if isinstance(entry, Dispatcher) and CACHE is not None and number > 0 and is_python:
            is_first = claim.enter_context(claimed(CACHE / "helpers", wait=False))
            if is_first and os.access(CACHE, os.W_OK) and len(missing(entry, dtype)) >= MIN_FUNCTIONS:
                with suppress(OSError):
                    for _ in range(number):
                        helpers.append(_helper(entry.py_func.__name__, dtype, CACHE))  # noqa: PERF401 (some may fail)
        try:
            yield
        finally:
            for helper in helpers:
                helper.terminate()
                helper.wait()


def _helper(kernel: str, dtype: np.dtype[np.floating], folder: Path) -> subprocess.Popen[bytes]:
    nothing = subprocess.DEVNULL
    return subprocess.Popen(  # noqa: S603 (no input)
        [sys.executable, "-P", "-m", __name__, kernel, str(dtype), str(folder)],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "TYPEDNN_CACHE_DIR": str(folder.parent),
        },
        stdin=nothing,
        stdout=nothing,
        stderr=nothing,
    )


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
    _, name, floats, folder = sys.argv
    if folder == str(CACHE):
        help_compile(name, np.dtype(floats))

"""How functions are compiled, and where machine code is kept.

- `entry`: what Python calls; its machine code is kept on disk.
- `kernel`: a function that entries call; sums keep their order.
- `reduction`: one whose sums may be reordered, so that LLVM vectorises them.

Machine code is kept in a folder named after a digest of every kernel source, numba's version and the
compile options in force: a change to any of them starts an empty folder, so old code is never run.
numba itself adds the CPU to the key. Where no folder can be written, code is compiled for the process.

This module and `loops` are the only ones that import numba.
"""

from __future__ import annotations

import hashlib
import os
import platform
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numba.core import config
from numba.misc.appdirs import AppDirs
from typing_extensions import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

SOURCES = Path(__file__).resolve().parent.parent


def source_digest() -> str:
    """What the machine code depends on beside the CPU, in 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for source in sorted(SOURCES.rglob("*.py")):
        digest.update(source.relative_to(SOURCES).as_posix().encode() + b"\0" + source.read_bytes() + b"\0")
    options = sorted((name, value) for name, value in os.environ.items() if name.startswith("NUMBA_"))
    digest.update(repr((numba.__version__, np.__version__, platform.python_version(), options)).encode())
    return digest.hexdigest()[:16]


def cache_folder() -> Path | None:
    """The folder for machine code, made if need be; None where nothing can be written.

    `TYPEDNN_CACHE_DIR` sets its parent; by default it is the user's cache folder of the platform.
    """
    parent = os.environ.get("TYPEDNN_CACHE_DIR") or AppDirs("typednn", False).user_cache_dir
    folder = Path(parent) / source_digest()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return None
    return folder


CACHE = cache_folder()


def entry(function: Callable[P, R]) -> Callable[P, R]:
    """Compiles a function that Python calls, and keeps its machine code on disk."""
    folder, config.CACHE_DIR = config.CACHE_DIR, str(CACHE or "")
    try:
        return _compiled(function, fastmath={"contract"}, cache=CACHE is not None, nogil=True)
    finally:
        config.CACHE_DIR = folder


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

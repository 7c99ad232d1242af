"""Machine code on disk.

It is kept in a folder named after a digest of every source file of this package, the versions of what
compiles it, and the compile options in force: a change to any of them starts an empty folder, so old code is
never run.
The folder holds a file for each function, signature and CPU. numba's own cache keeps an index file, which
concurrent compilations corrupt, and has no checksum.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import platform
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import llvmlite
import numba
import numpy as np
from numba import types

from typednn_kernels.compiled._codegen import tuning
from typednn_kernels.compiled._codegen.private_parts import DISK_CACHE

if TYPE_CHECKING:
    from numba.core.caching import NullCache
    from numba.core.codegen import JITCPUCodegen
    from numba.core.compiler import CompileResult
    from numba.core.cpu import CPUContext

SOURCES = Path(__file__).resolve().parents[2]


def source_digest() -> str:
    """Returns a digest of what machine code depends on beside the CPU, in 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for source in sorted(SOURCES.rglob("*.py")):
        digest.update(source.relative_to(SOURCES).as_posix().encode() + b"\0" + source.read_bytes() + b"\0")
    options = sorted((name, value) for name, value in os.environ.items() if name.startswith("NUMBA_"))
    versions = numba.__version__, llvmlite.__version__, np.__version__, platform.python_version()
    thresholds = sorted((name, value) for name, value in vars(tuning).items() if name.isupper())
    digest.update(repr((versions, options, thresholds)).encode())
    return digest.hexdigest()[:16]


def cache_folder() -> Path | None:
    """Makes the folder for machine code and returns it; None where nothing can be written.

    `TYPEDNN_CACHE_DIR` sets its parent; by default it is the user's cache folder of the platform.
    """
    try:
        parent = Path(os.environ.get("TYPEDNN_CACHE_DIR") or user_cache_folder()).expanduser()
        folder = parent / source_digest()
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except (OSError, RuntimeError):  # RuntimeError: there is no home folder
        return None
    return folder


def user_cache_folder() -> str:
    """Returns the user's cache folder."""
    if sys.platform == "win32":
        return f"{os.environ.get('LOCALAPPDATA', '~')}/typednn/Cache"
    if sys.platform == "darwin":
        return "~/Library/Caches/typednn"
    return f"{os.environ.get('XDG_CACHE_HOME') or '~/.cache'}/typednn"


on_compile: list[Callable[[str], None]] = []
"""Called with the name of a function that is not in the cache, before it is compiled."""


class CacheFile:
    """Keeps the machine code of a function for some types of arguments, on this CPU.

    The file holds a SHA-256 checksum and then what is kept. It appears under its name when it is complete. A
    file that is absent or damaged is written again; where nothing can be written, nothing is kept.
    """

    def __init__(self, folder: Path | None, name: str, signature: object, codegen: JITCPUCodegen) -> None:
        key = repr((signature, codegen.magic_tuple()))
        self.name: str = name
        self.path: Path | None = folder and folder / f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"

    def read(self) -> tuple[object, ...] | None:
        """Returns the content, or None if there is none: then `on_compile` is called."""
        with suppress(OSError):
            content = self.path.read_bytes() if self.path else b""
            checksum, code = content[:32], content[32:]
            if hashlib.sha256(code).digest() == checksum:
                kept: tuple[object, ...] = pickle.loads(code)  # noqa: S301 (the user's own file)
                return kept
        for call in on_compile:
            call(self.name)
        return None

    def write(self, kept: tuple[object, ...]) -> None:
        """Writes the file, with its checksum; does nothing where it cannot be written."""
        if self.path is None:
            return
        from numba.core.serialize import dumps

        code = dumps(kept)
        part = self.path.with_name(f"{self.path.name}.{uuid4().hex}")
        try:
            part.write_bytes(hashlib.sha256(code).digest() + code)
            part.replace(self.path)
        except OSError:
            with suppress(OSError):
                part.unlink()


def attach_cache(
    function: object, folder: Path | None, name: str, before: Callable[[Sequence[types.Type]], None]
) -> None:
    """Keeps the machine code of a compiled function, if there is a folder.

    `before` is called with the types of the arguments before there is machine code for them.
    """
    with DISK_CACHE:
        if DISK_CACHE.works:
            if "_cache" not in vars(function):
                raise AttributeError("numba's dispatchers have no attribute _cache")
            vars(function)["_cache"] = MachineCode(vars(function)["_cache"], folder, name, before)


class MachineCode:
    """Replaces numba's cache of a function, to which it forwards what it does not override."""

    def __init__(
        self,
        replaced: NullCache,
        folder: Path | None,
        name: str,
        before: Callable[[Sequence[types.Type]], None],
    ) -> None:
        self.replaced: NullCache = replaced
        self.folder: Path | None = folder
        self.name: str = name
        self.before: Callable[[Sequence[types.Type]], None] = before

    def __getattr__(self, name: str) -> object:
        """Forwards other attributes to numba's cache."""
        return getattr(self.replaced, name)

    def file(self, signature: object, context: CPUContext) -> CacheFile:
        """Returns the file for a signature."""
        return CacheFile(self.folder, self.name, signature, context.codegen())

    def load_overload(
        self, sig: Sequence[types.Type], target_context: CPUContext, *_: object, **__: object
    ) -> CompileResult | None:
        """Returns the compiled function for a signature, or None if it is not on disk."""
        self.before(sig)
        with DISK_CACHE:
            if DISK_CACHE.works and (kept := self.file(sig, target_context).read()) is not None:
                from numba.core.compiler import CompileResult

                return CompileResult._rebuild(target_context, *kept)
        return None

    def save_overload(self, sig: object, cres: CompileResult, *_: object, **__: object) -> None:
        """Writes a compiled function to disk."""
        with DISK_CACHE:
            if DISK_CACHE.works:
                self.file(sig, cres.target_context).write(cres._reduce())

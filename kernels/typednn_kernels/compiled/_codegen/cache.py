"""Machine code on disk.

It is kept in a folder named after a digest of every kernel source, the versions of what compiles it, and
the compile options in force: a change to any of them starts an empty folder, so old code is never run.
In it is a file for each function, signature and CPU. numba's own files do without neither an index, over
which processes that compile at once fall out, nor a checksum.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import platform
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
from numba.core.caching import NullCache
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps
from numba.misc.appdirs import AppDirs

from typednn_kernels.compiled._codegen import tuning

if TYPE_CHECKING:
    from numba.core.codegen import JITCPUCodegen
    from numba.core.cpu import CPUContext

SOURCES = Path(__file__).resolve().parents[2]


def source_digest() -> str:
    """What the machine code depends on beside the CPU, in 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for source in sorted(SOURCES.rglob("*.py")):
        digest.update(source.relative_to(SOURCES).as_posix().encode() + b"\0" + source.read_bytes() + b"\0")
    options = sorted((name, value) for name, value in os.environ.items() if name.startswith("NUMBA_"))
    versions = numba.__version__, llvmlite.__version__, np.__version__, platform.python_version()
    thresholds = sorted((name, value) for name, value in vars(tuning).items() if name.isupper())
    digest.update(repr((versions, options, thresholds)).encode())
    return digest.hexdigest()[:16]


def cache_folder() -> Path | None:
    """The folder for machine code, made if need be; None where nothing can be written.

    `TYPEDNN_CACHE_DIR` sets its parent; by default it is the user's cache folder of the platform.
    """
    parent = os.environ.get("TYPEDNN_CACHE_DIR") or AppDirs("typednn", False).user_cache_dir
    if parent.startswith("~"):  # there is no home folder
        return None
    folder = Path(parent) / source_digest()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return None
    return folder


on_compile: list[Callable[[str], None]] = []
"""Called with the name of a kernel before it is compiled because nothing was kept of it."""


class CacheFile:
    """Where the machine code of a function for some types of arguments is kept, on this CPU.

    It holds a SHA-256 checksum and then what is kept. It appears under its name when it is complete. One that
    is absent or damaged is written again; where nothing can be written, nothing is kept.
    """

    def __init__(self, folder: Path | None, name: str, signature: object, codegen: JITCPUCodegen) -> None:
        key = repr((signature, codegen.magic_tuple()))
        self.name: str = name
        self.path: Path | None = folder and folder / f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"

    def read(self) -> tuple[object, ...] | None:
        """What was kept, or None; then it is about to be compiled."""
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
        """Keeps something."""
        if self.path is None:
            return
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
    vars(function)["_cache"] = _MachineCode(folder, name, before)


class _MachineCode(NullCache):
    """The machine code of a function, in the place of numba's cache."""

    def __init__(
        self, folder: Path | None, name: str, before: Callable[[Sequence[types.Type]], None]
    ) -> None:
        self.folder: Path | None = folder
        self.name: str = name
        self.before: Callable[[Sequence[types.Type]], None] = before

    def file(self, signature: object, context: CPUContext) -> CacheFile:
        """The file for a signature."""
        return CacheFile(self.folder, self.name, signature, context.codegen())

    def load_overload(self, sig: Sequence[types.Type], target_context: CPUContext) -> CompileResult | None:
        """What was kept for the signature, or None."""
        self.before(sig)
        kept = self.file(sig, target_context).read()
        return None if kept is None else CompileResult._rebuild(target_context, *kept)

    def save_overload(self, sig: object, cres: CompileResult) -> None:
        """Keeps a compiled function."""
        self.file(sig, cres.target_context).write(cres._reduce())

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
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import llvmlite
import numba
import numpy as np
from numba.core.caching import NullCache
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps
from numba.misc.appdirs import AppDirs

if TYPE_CHECKING:
    from numba.core.cpu import CPUContext

SOURCES = Path(__file__).resolve().parent.parent


def source_digest() -> str:
    """What the machine code depends on beside the CPU, in 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for source in sorted(SOURCES.rglob("*.py")):
        digest.update(source.relative_to(SOURCES).as_posix().encode() + b"\0" + source.read_bytes() + b"\0")
    options = sorted((name, value) for name, value in os.environ.items() if name.startswith("NUMBA_"))
    versions = numba.__version__, llvmlite.__version__, np.__version__, platform.python_version()
    digest.update(repr((versions, options)).encode())
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


compiling: list[Callable[[str], None]] = []
"""Called with the name of a kernel before it is compiled because nothing was kept of it."""


def keep(function: object, folder: Path, name: str) -> None:
    """Keeps the machine code of a compiled function."""
    vars(function)["_cache"] = _MachineCode(folder, name)


class _MachineCode(NullCache):
    """The machine code of a function, in the place of numba's cache.

    A file holds a SHA-256 checksum and then what numba makes of a compiled function. It appears under its
    name when it is complete. One that is absent or damaged is written again; where nothing can be written,
    nothing is kept.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.folder: Path = folder
        self.name: str = name

    def path(self, signature: object, context: CPUContext) -> Path:
        """The file for a signature, on this CPU."""
        key = repr((signature, context.codegen().magic_tuple()))
        return self.folder / f"{self.name}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"

    def load_overload(self, sig: object, target_context: CPUContext) -> CompileResult | None:
        """What was kept for the signature, or None."""
        code = self._read(self.path(sig, target_context))
        if code is None:
            for call in compiling:
                call(self.name)
            return None
        target_context.refresh()  # knows what the code refers to
        return CompileResult._rebuild(target_context, *pickle.loads(code))  # noqa: S301 (the user's own file)

    @staticmethod
    def _read(path: Path) -> bytes | None:
        """The code in a file, if it is whole."""
        try:
            content = path.read_bytes()
        except OSError:
            return None
        checksum, code = content[:32], content[32:]
        return code if hashlib.sha256(code).digest() == checksum else None

    def save_overload(self, sig: object, cres: CompileResult) -> None:
        """Keeps a compiled function."""
        code = dumps(cres._reduce())
        path = self.path(sig, cres.target_context)
        part = path.with_name(f"{path.name}.{uuid4().hex}")
        try:
            part.write_bytes(hashlib.sha256(code).digest() + code)
            part.replace(path)
        except OSError:
            with suppress(OSError):
                part.unlink()

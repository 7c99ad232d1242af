"""Machine code on disk: a file for each function, signature and CPU, in the folder for what it depends on.

A change to a source, a version or an option starts an empty folder (`digest`, `cache_folder`), so old code is
never run. numba's own cache keeps an index file, which concurrent compilations corrupt, and has no checksum.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import stat
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from numba import types
from numba.core.registry import cpu_target

from typednn_kernels.compiled._codegen.cache.folder import claimed, is_private
from typednn_kernels.compiled._codegen.private_parts import DISK_CACHE

if TYPE_CHECKING:
    from numba.core.caching import NullCache
    from numba.core.codegen import JITCPUCodegen
    from numba.core.compiler import CompileResult
    from numba.core.cpu import CPUContext
    from numba.core.dispatcher import Dispatcher

on_compile: list[Callable[[str], None]] = []
"""Called with the name of a function that is not in the cache, before it is compiled."""


class CacheFile:
    """Keeps the machine code of a function for some types of arguments, on this CPU.

    The file holds a SHA-256 checksum and then what is kept. The checksum covers the digest, the name and the
    types, too: the content of another file is never taken. It appears under its name when it is complete. A
    file that is absent or damaged, or that others may write to, is written again; where nothing can be
    written, nothing is kept.

    Args:
        folder: where it is; None: nothing is kept.
        name: of the function.
        signature: the types of its arguments.
        codegen: knows the CPU.
        kept: number of files that are kept, the last used, of functions of this name up to a hyphen.
    """

    def __init__(
        self,
        folder: Path | None,
        name: str,
        signature: object,
        codegen: JITCPUCodegen,
        *,
        kept: int | None = None,
    ) -> None:
        key = repr((signature, codegen.magic_tuple())).encode()
        self.name: str = name
        self.path: Path | None = folder and folder / f"{name}-{hashlib.sha256(key).hexdigest()[:16]}"
        self.kept: int | None = kept
        self._key: bytes = b"" if folder is None else repr((folder.name, name)).encode() + key

    def claimed(self) -> AbstractContextManager[object]:
        """Has other processes that enter this block for the same file wait until it is written."""
        path = self.path
        return nullcontext() if path is None or path.exists() else claimed(path)

    def read(self) -> tuple[object, ...] | None:
        """Returns the content, or None if there is none: then `on_compile` is called."""
        with suppress(OSError):
            content = b"" if self.path is None else _private_content(self.path)
            checksum, code = content[:32], content[32:]
            if self._checksum(code) == checksum:
                kept: tuple[object, ...] = pickle.loads(code)  # noqa: S301 (the user's own file)
                if self.kept is not None and self.path is not None:
                    os.utime(self.path)
                return kept
        for call in on_compile.copy():
            call(self.name)
        return None

    def write(self, kept: tuple[object, ...]) -> None:
        """Writes the file, with its checksum; does nothing where it cannot be written."""
        if self.path is None:
            return
        from numba.core.serialize import dumps

        code = dumps(kept)
        part = self.path.with_name(f"{self.path.name}.{os.urandom(8).hex()}")
        try:
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(self._checksum(code) + code)
            part.replace(self.path)
            self._remove_old_ones()
        except BaseException as error:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            if not isinstance(error, OSError):  # such as Ctrl-C
                raise

    def _checksum(self, code: bytes) -> bytes:
        return hashlib.sha256(self._key + code).digest()

    def _remove_old_ones(self) -> None:
        if self.kept is not None and self.path is not None:
            alike = self.path.parent.glob(f"{self.name.partition('-')[0]}-*")
            for each in sorted(alike, key=_last_use)[: -self.kept]:
                each.unlink(missing_ok=True)


def _private_content(path: Path) -> bytes:
    """Reads a regular file of the user's own to which nobody else may write; it is empty otherwise."""
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)  # a pipe would block
    with os.fdopen(os.open(path, flags), "rb") as file:
        status = os.fstat(file.fileno())
        return file.read() if stat.S_ISREG(status.st_mode) and is_private(status) else b""


def _last_use(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


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


def file_of(dispatcher: Dispatcher, signature: Sequence[types.Type]) -> CacheFile | None:
    """Returns the file for the machine code of a function."""
    with DISK_CACHE:
        kept = vars(dispatcher).get("_cache")
        if DISK_CACHE.works and isinstance(kept, MachineCode):
            return kept.file(signature, cpu_target.target_context)
    return None


def claim_of(dispatcher: Dispatcher, signature: Sequence[types.Type]) -> AbstractContextManager[object]:
    """Has one process compile a function while others that need it wait; what it calls is there before."""
    file = file_of(dispatcher, signature)
    if file is None:
        return nullcontext()
    kept = vars(dispatcher)["_cache"]
    kept.before(signature)
    return file.claimed()


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

                is_by_numba, *code = kept
                if is_by_numba:  # it calls numba's runtime, which compiling prepares, and reading does not
                    from numba.core.runtime import rtsys

                    rtsys.initialize(target_context)
                return CompileResult._rebuild(target_context, *code)
        return None

    def save_overload(self, sig: object, cres: CompileResult, *_: object, **__: object) -> None:
        """Writes a compiled function to disk."""
        with DISK_CACHE:
            if DISK_CACHE.works:
                from numba.core.codegen import JITCodeLibrary

                is_by_numba = type(cres.library) is JITCodeLibrary
                self.file(sig, cres.target_context).write((is_by_numba, *cres._reduce()))

"""The memory that there is, and bytes that lie in a temporary file where they would take too much of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from io import BufferedReader, FileIO, RawIOBase
from itertools import chain
from pathlib import Path
from tempfile import TemporaryFile, gettempdir
from typing import TYPE_CHECKING
from weakref import finalize

from typednn.errors import SettingError

if sys.version_info >= (3, 12):
    from typing import override
else:
    from typing_extensions import override

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

ROOT = Path("/")

KEPT_FRACTION = 8
"""Bytes are kept in memory that take at most this part of it: an eighth."""


class TemporaryCopy:
    """Bytes in a temporary file without a name: the system removes it with this object or with the process.

    Attributes:
        file: the file, whose position is that of the last reading.

    Args:
        parts: its content.

    Raises:
        SettingError: there is no room for it.
    """

    def __init__(self, parts: Iterator[bytes]) -> None:
        self.file: FileIO = nameless_file()
        finalize(self, self.file.close)
        for part in parts:
            write_all(self.file, memoryview(part))

    def open(self) -> BufferedReader:
        """Opens the bytes, once more each time."""
        return BufferedReader(_Reader(self.file))

    def size(self) -> int:
        """Returns the number of bytes."""
        return self.file.seek(0, os.SEEK_END)


class _Reader(RawIOBase):
    """Reads a file from a position of its own."""

    def __init__(self, file: FileIO) -> None:
        self._file, self._position = file, 0

    @override
    def readable(self) -> bool:
        return True

    @override
    def seekable(self) -> bool:
        return True

    @override
    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        if whence == os.SEEK_CUR:
            offset, whence = self._position + offset, os.SEEK_SET
        self._position = self._file.seek(offset, whence)
        return self._position

    @override
    def readinto(self, buffer: WriteableBuffer, /) -> int:
        self._file.seek(self._position)
        count = self._file.readinto(buffer)
        self._position += count
        return count


def nameless_file() -> FileIO:
    """Returns a new temporary file without a name and a buffer, to write and read.

    Raises:
        SettingError: none can be made.
    """
    with room():
        return TemporaryFile(prefix="typednn-", buffering=0)


def write_all(file: FileIO, content: memoryview) -> None:
    """Writes bytes to a temporary file without a buffer.

    Raises:
        SettingError: there is no room for them.
    """
    rest = content.cast("B")
    while rest:
        with room():
            rest = rest[file.write(rest) :]


@contextmanager
def room() -> Generator[None]:
    """Raises SettingError for what goes wrong while a temporary file is written."""
    try:
        yield
    except OSError as error:
        raise SettingError(
            f"expected room for a temporary file in {gettempdir()}, found: {error.strerror}; TMPDIR names "
            "another folder"
        ) from None


def kept(parts: Iterator[bytes]) -> bytes | TemporaryCopy:
    """Returns the bytes, or where they take too much memory, a temporary file that has them.

    Raises:
        SettingError: there is no room for it.
    """
    memory = available_memory()
    some, size = list[bytes](), 0
    for part in parts:
        some.append(part)
        size += len(part)
        if memory is not None and size > memory // KEPT_FRACTION:
            return TemporaryCopy(chain(some, parts))
    return b"".join(some)


def available_memory(root: Path = ROOT) -> int | None:
    """Returns the bytes that this process can still take, by Linux, cgroups and `ulimit`; None if unknown.

    Args:
        root: the folder that contains `proc` and `sys`.
    """
    try:
        of_all, own = (
            _fields((root / "proc" / name).read_text(encoding="ascii")) for name in ("meminfo", "self/status")
        )
    except OSError:
        return None
    found = [of_all["MemAvailable"]] if "MemAvailable" in of_all else []
    groups = root / "sys/fs/cgroup"
    for limit, used in (
        (groups / "memory.max", groups / "memory.current"),
        (groups / "memory/memory.limit_in_bytes", groups / "memory/memory.usage_in_bytes"),
    ):
        try:
            found.append(int(limit.read_text()) - int(used.read_text()))
        except (OSError, ValueError):  # there is no such file, or it says "max"
            continue
    found += [limit - own.get(name, 0) for name, limit in _limits()]
    return max(0, min(found)) if found else None


def _fields(text: str) -> dict[str, int]:
    """Returns the sizes in bytes of lines such as `VmSize:  1024 kB`."""
    lines = (line.split() for line in text.splitlines())
    return {words[0].rstrip(":"): 1024 * int(words[1]) for words in lines if words[2:] == ["kB"]}


def _limits() -> list[tuple[str, int]]:
    """Returns the limits of `ulimit -v` and `ulimit -d`, and the names of what they limit."""
    try:
        import resource
    except ImportError:  # Windows
        return []
    pairs = (("VmSize", resource.RLIMIT_AS), ("VmData", resource.RLIMIT_DATA))
    limits = [(name, resource.getrlimit(which)[0]) for name, which in pairs]
    return [(name, limit) for name, limit in limits if limit != resource.RLIM_INFINITY]

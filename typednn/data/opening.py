"""Opens data files: plain, compressed by gzip or zip, or standard input; first bytes tell the format."""

from __future__ import annotations

import gzip
import io
import os
import sys
import zipfile
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, TypeAlias

from typednn.data.idx_files import IDX, idx_size
from typednn.errors import FileFormatError

Format: TypeAlias = Literal["csv", "npz", "npy", "idx", "parquet", "arrow", "feather"]

GZIP, NPY = b"\x1f\x8b", b"\x93NUMPY"
ZIP = b"PK\x03\x04", b"PK\x05\x06"
MAGIC: dict[bytes, Format] = {
    NPY: "npy",
    b"PAR1": "parquet",
    b"ARROW1": "arrow",
    b"FEA1": "feather",
    IDX: "idx",
}
"""What files of a format begin with."""

MAX_COMPRESSION = 1032
"""The largest ratio of compression by Deflate, which gzip and npz use."""

MAX_LINE = 2**24
"""The number of bytes within which a compressed file must end its first line."""

MAX_RATIO, MAX_VALUE_BYTES = 32, 32
"""Compressed text beyond `MAX_LINE` has at most 32 times the bytes of its file, or 32 for each value, four
times those of a number. So its memory is bounded by the file, or by the numbers in it."""

MAX_DIRECTORY_BYTES = 2**20
"""The largest table of contents of an archive."""
PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""The compressions of zip files that are read: those of numpy.savez and of every usual packer."""
CHUNK_BYTES = 2**20
"""Bytes that are read at a time."""
DAMAGES = (EOFError, zlib.error, NotImplementedError, RuntimeError, ValueError)
"""What zlib and zipfile raise beside errors of their own; ValueError for places before the first byte."""

STDIN = Path("-")


@dataclass(frozen=True, slots=True)
class Source:
    """A data file.

    Attributes:
        path: the file, `-` for the standard input.
        format: its format.
        compressed: whether it is compressed by gzip or zip.
        content: the decompressed bytes; None where `path` is to be read itself.
    """

    path: Path
    format: Format
    compressed: bool = False
    content: bytes | None = None

    @property
    def shown(self) -> str:
        """What messages call the file."""
        return "the standard input" if self.path == STDIN else str(self.path)

    def start(self, size: int) -> bytes:
        """Returns the first bytes."""
        if self.content is not None:
            return self.content[:size]
        with self.path.open("rb") as file:
            return file.read(size)

    def bytes(self) -> bytes:
        """Returns all bytes."""
        return self.path.read_bytes() if self.content is None else self.content


def open_source(path: Path) -> Source:
    """Opens a file, and reads it where it is compressed or the standard input.

    Raises:
        FileFormatError: the file is missing, cannot be read, or is a damaged archive.
    """
    if path == STDIN:
        return _unpacked(path, sys.stdin.buffer.read())
    if not path.is_file():
        raise FileFormatError(f"{path}: {'is not a file' if path.exists() else 'there is no such file'}")
    try:
        with path.open("rb") as file:
            start = file.read(8)
            if start.startswith((GZIP, *ZIP)):
                return _unpacked(path, start + file.read())
    except OSError as error:
        raise FileFormatError(f"{path}: cannot be read: {error.strerror or error}") from None
    return Source(path, format_of(start))


def format_of(start: bytes) -> Format:
    """Returns the format of a file that begins with these bytes."""
    found: list[Format] = [name for magic, name in MAGIC.items() if start.startswith(magic)]
    return found[0] if found else "csv"


def _unpacked(path: Path, content: bytes) -> Source:
    if content.startswith(GZIP):
        with damage_of(path, "gzip"), gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
            plain = _read(file, path, len(content))
        return Source(path, format_of(plain), True, plain)
    if content.startswith(ZIP):
        with damage_of(path, "zip"), open_archive(io.BytesIO(content), str(path)) as archive:
            names = [each for each in archive.namelist() if not each.endswith("/")]
            if not names or any(name.endswith(".npy") for name in names):
                return Source(path, "npz")
            names = [name for name in names if not name.startswith("__MACOSX")]
            if len(names) != 1:
                raise FileFormatError(
                    f"{path}: expected one file in the archive, found {len(names)}: {', '.join(names[:4])}; "
                    "unpack it, and name the file"
                )
            if archive.getinfo(names[0]).compress_type not in PACKED:
                raise FileFormatError(
                    f"{path}: expected a zip file packed by Deflate, found another compression"
                )
            with archive.open(names[0]) as member:
                plain = _read(member, path, len(content))
        return Source(path, format_of(plain), True, plain)
    return Source(path, format_of(content), content=content)


def _read(file: IO[bytes] | gzip.GzipFile, path: Path, packed: int) -> bytes:
    """Reads a decompressed file of `packed` bytes; one that holds too little is refused as it is read."""
    start = file.read(MAX_LINE)
    if format_of(start) == "csv" and len(start) == MAX_LINE and b"\n" not in start and b"\r" not in start:
        raise FileFormatError(
            f"{path}: expected lines of values, found none that ends within {MAX_LINE // 2**20} MiB"
        )
    if format_of(start) == "idx":
        return start + read_up_to(file, idx_size(start) + 1 - len(start))
    content, counted, values = bytearray(start), 0, 0
    while chunk := file.read(CHUNK_BYTES):
        content += chunk
        if len(content) > MAX_RATIO * packed:
            values += _values_in(bytes(memoryview(content)[counted:]))
            counted = len(content)
            if counted > MAX_VALUE_BYTES * values:
                raise FileFormatError(
                    f"{path}: expected a table, found {counted} bytes of which {packed} were packed, with "
                    f"{values} values at most; if it is in order, unpack it, and name the file"
                )
    return bytes(content)


def _values_in(text: bytes) -> int:
    """Returns the largest number of values that text can hold: empty lines and comments have none."""
    dense = text.translate(None, b"\r")
    ends = dense.count(b"\n") - 2 * dense.count(b"\n\n") - dense.count(b"\n#")
    spaces = dense.count(b" ") - 2 * dense.count(b"  ")
    return ends + spaces + sum(dense.count(each) for each in (b",", b";", b"\t", b"|"))


def read_up_to(file: IO[bytes] | gzip.GzipFile, size: int) -> bytes:
    """Reads up to `size` bytes, and allocates no more than there are."""
    content = bytearray()
    while len(content) < size:
        chunk = file.read(min(CHUNK_BYTES, size - len(content)))
        if not chunk:
            break
        content += chunk
    return bytes(content)


def open_archive(file: IO[bytes], shown: str) -> zipfile.ZipFile:
    """Opens a zip file.

    Raises:
        FileFormatError: its table of contents is large; zipfile makes objects of all that is in it.
        zipfile.BadZipFile: it is damaged.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 2**16 - 100))
    end = file.read()
    place = end.rfind(b"PK\5\6")
    directory = int.from_bytes(end[place + 12 : place + 16], "little") if place >= 0 else 0
    large = end.rfind(b"PK\6\6", 0, max(0, place))
    if large >= 0:  # the 64-bit record, which zipfile prefers
        directory = max(directory % 0xFFFFFFFF, int.from_bytes(end[large + 40 : large + 48], "little"))
    if directory > MAX_DIRECTORY_BYTES:
        raise FileFormatError(
            f"{shown}: expected an archive of a few files, found a table of contents of {directory} bytes"
        )
    return zipfile.ZipFile(file)


@contextmanager
def damage_of(path: Path, kind: str) -> Generator[None]:
    """Raises FileFormatError for what goes wrong while an archive is read."""
    try:
        yield
    except FileFormatError:
        raise
    except (gzip.BadGzipFile, zipfile.BadZipFile, *DAMAGES):
        raise FileFormatError(
            f"{path}: expected a complete {kind} file, found a truncated or damaged one"
        ) from None
    except OSError as error:
        raise FileFormatError(f"{path}: cannot be read: {error.strerror or error}") from None

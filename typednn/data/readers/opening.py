"""Opens data files: plain, compressed by gzip or zip, or standard input; first bytes tell the format."""

from __future__ import annotations

import gzip
import os
import sys
import zipfile
import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from io import BytesIO
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import IO, Literal, TypeAlias

from typednn.data.readers.idx_files import IDX, idx_size
from typednn.errors import FileFormatError, TypednnError
from typednn.formats.temporary import TemporaryCopy, kept

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
"""Compressed text beyond `MAX_LINE` has at most 32 times the bytes of its file, and beyond that 32 for each
value, four times those of a number. So its size is bounded by the file and the numbers in it."""

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
        content: the bytes, decompressed, in memory or a temporary file; None where `path` has them.
    """

    path: Path
    format: Format
    compressed: bool = False
    content: bytes | TemporaryCopy | None = None

    @property
    def shown(self) -> str:
        """What messages call the file."""
        return "the standard input" if self.path == STDIN else str(self.path)

    def open(self) -> IO[bytes]:
        """Opens the bytes."""
        if self.content is None:
            return self.path.open("rb")
        return BytesIO(self.content) if isinstance(self.content, bytes) else self.content.open()

    def size(self) -> int:
        """Returns the number of bytes."""
        if self.content is None:
            return self.path.stat().st_size
        return len(self.content) if isinstance(self.content, bytes) else self.content.size()

    def start(self, size: int) -> bytes:
        """Returns the first bytes."""
        with self.open() as file:
            return file.read(size)

    def parts(self) -> Iterator[bytes]:
        """Yields all bytes, some at a time."""
        with self.open() as file:
            yield from parts_of(file)

    def buffer(self) -> bytes | mmap:
        """Returns all bytes; what is in a file is mapped into memory, and read when it is used."""
        if isinstance(self.content, bytes):
            return self.content
        with self.path.open("rb") if self.content is None else nullcontext(self.content.file) as file:
            return mmap(file.fileno(), 0, access=ACCESS_READ) if self.size() else b""

    def holding(self, parts: Iterator[bytes]) -> Source:
        """Returns the same source with other bytes."""
        return replace(self, content=kept(parts))


def parts_of(file: IO[bytes] | gzip.GzipFile) -> Iterator[bytes]:
    """Yields all bytes of a file, some at a time."""
    while part := file.read(CHUNK_BYTES):
        yield part


def open_source(path: Path) -> Source:
    """Opens a file, and reads it where it is compressed or the standard input.

    What takes too much memory then lies in a temporary file.

    Raises:
        FileFormatError: the file is missing, cannot be read, or is a damaged archive.
        SettingError: there is no room for a temporary file.
    """
    if path == STDIN:
        return _unpacked(Source(path, "csv").holding(parts_of(sys.stdin.buffer)))
    if not path.is_file():
        raise FileFormatError(f"{path}: {'is not a file' if path.exists() else 'there is no such file'}")
    try:
        with path.open("rb") as file:
            file.read(1)
    except OSError as error:
        raise FileFormatError(f"{path}: cannot be read: {error.strerror or error}") from None
    return _unpacked(Source(path, "csv"))


def format_of(start: bytes) -> Format:
    """Returns the format of a file that begins with these bytes."""
    found: list[Format] = [name for magic, name in MAGIC.items() if start.startswith(magic)]
    return found[0] if found else "csv"


def _unpacked(source: Source) -> Source:
    """Decompresses a file that is compressed, and finds the format."""
    path, start = source.path, source.start(8)
    if start.startswith(GZIP):
        with damage_of(path, "gzip"), source.open() as packed, gzip.GzipFile(fileobj=packed) as file:
            return _formatted(source.holding(_read(file, path, source.size())))
    if start.startswith(ZIP):
        with damage_of(path, "zip"), source.open() as packed, open_archive(packed, str(path)) as archive:
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
                return _formatted(source.holding(_read(member, path, source.size())))
    return replace(source, format=format_of(start))


def _formatted(source: Source) -> Source:
    return replace(source, format=format_of(source.start(8)), compressed=True)


def _read(file: IO[bytes] | gzip.GzipFile, path: Path, packed: int) -> Iterator[bytes]:
    """Yields the bytes of a file of `packed` bytes; one that holds too little is refused as it is read."""
    start = file.read(MAX_LINE)
    if format_of(start) == "csv" and len(start) == MAX_LINE and b"\n" not in start and b"\r" not in start:
        raise FileFormatError(
            f"{path}: expected lines of values, found none that ends within {MAX_LINE // 2**20} MiB"
        )
    yield start
    if format_of(start) == "idx":
        rest = idx_size(start) + 1 - len(start)
        while rest > 0 and (part := file.read(min(CHUNK_BYTES, rest))):
            rest -= len(part)
            yield part
        return
    size, values = len(start), _values_in(start) if len(start) > MAX_RATIO * packed else 0
    for part in parts_of(file):
        size += len(part)
        if size > MAX_RATIO * packed:
            values += _values_in(part)
            if size - MAX_RATIO * packed > MAX_VALUE_BYTES * values:
                raise FileFormatError(
                    f"{path}: expected a table, found {size} bytes of which {packed} were packed, with few "
                    "values; if it is in order, unpack it, and name the file"
                )
        yield part


def _values_in(text: bytes) -> int:
    """Returns the largest number of values that text can hold: empty lines and comments have none."""
    dense = text.translate(None, b"\r")
    ends = dense.count(b"\n") - 2 * dense.count(b"\n\n") - dense.count(b"\n#")
    spaces = dense.count(b" ") - 2 * dense.count(b"  ")
    return ends + spaces + sum(dense.count(each) for each in (b",", b";", b"\t", b"|"))


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
    except TypednnError:
        raise
    except (gzip.BadGzipFile, zipfile.BadZipFile, *DAMAGES):
        raise FileFormatError(
            f"{path}: expected a complete {kind} file, found a truncated or damaged one"
        ) from None
    except OSError as error:
        raise FileFormatError(f"{path}: cannot be read: {error.strerror or error}") from None

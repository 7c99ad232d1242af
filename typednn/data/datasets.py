"""Reads data files: CSV, NumPy's .npz, and the IDX files of MNIST; CSV and IDX also compressed by gzip.

The first bytes of a file determine its format, not its name. Sizes that a file claims are compared with its
number of bytes before memory is allocated, and arrays are read a chunk at a time.
"""

from __future__ import annotations

import gzip
import io
import os
import reprlib
import zipfile
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Literal, TypeAlias, TypeGuard

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from typednn.data.csv_tables import Table
from typednn.data.preprocessing import Numbers, TargetValues
from typednn.errors import DataError, FileFormatError, SettingError, ShapeError, UnknownNameError
from typednn.validation.arrays import check_finite

Kind: TypeAlias = Literal["csv", "npz", "idx"]

GZIP, IDX = b"\x1f\x8b", b"\0\0"
ZIP = b"PK\x03\x04", b"PK\x05\x06"
MAX_COMPRESSION = 1032
"""The largest ratio of compression by Deflate, which gzip and npz use."""

IDX_DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
MAX_DIMENSIONS = 8
MAX_ELEMENTS = 1 << 48
MAX_NAMES = 8
"""The number of names that a message lists."""

PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""The compressions that numpy.savez and numpy.savez_compressed use."""
MAX_DIRECTORY_BYTES = 2**20
"""The largest table of contents of an .npz file."""
CHUNK_BYTES = 2**20
"""Bytes that are read at a time."""
MAX_CHARACTER = 0x10FFFF


@dataclass(frozen=True, slots=True)
class Dataset:
    """Samples with their targets.

    Attributes:
        x: finite real numbers of any dtype, `(n_samples, n_features)`.
        y: the targets, text or finite numbers.
        feature_names: the names of the features in a CSV file, else None.
        target_name: the name of the target in a CSV file, else None.
        pixels: whether the features are the pixels of images.
    """

    x: Numbers
    y: TargetValues
    feature_names: tuple[str, ...] | None = None
    target_name: str | None = None
    pixels: bool = False


def read_dataset(path: Path, *, target: str | None = None, labels: Path | None = None) -> Dataset:
    """Reads samples and targets.

    Args:
        path: a CSV file whose first line names the columns (optional if all columns are numbers), an .npz
            file with the arrays x and y, or an IDX file with images.
        target: the target column of a CSV file; by default the last.
        labels: the IDX file with labels; by default the one that MNIST's naming puts beside the images.

    Raises:
        FileFormatError: the file, or a line of it, is missing, truncated or of another format.
        DataError: a value is missing, is text or is not finite, or there are no samples.
        UnknownNameError: there is no such column.
        SettingError: an option does not apply to this kind of file.
        ShapeError: the numbers of samples and targets differ, or an array is not a table.
    """
    kind = _kind(path)
    if target is not None and kind != "csv":
        raise SettingError(f"{path}: a target column can be chosen in CSV files; this is {kind}")
    if labels is not None and kind != "idx":
        raise SettingError(f"{path}: labels in a file of their own go with IDX files; this is {kind}")
    if kind == "csv":
        return _csv_dataset(path, target)
    if kind == "npz":
        x, y = _npz_array(path, "x"), _npz_array(path, "y")
        shown = f"{path}: y"
    else:
        x, labels = _idx_array(path), labels or _labels_path(path)
        y = _idx_array(labels)
        shown = str(labels)
        if y.ndim != 1 or y.dtype.kind not in "iu":
            raise ShapeError(
                f"{shown}: expected one label for each image, found {y.dtype} of shape {y.shape}"
            )
    features = _as_features(x, path)
    if len(x) != len(y):
        raise ShapeError(f"{shown} has {len(y)} targets for the {len(x)} samples of {path}")
    return Dataset(features, _as_targets(y, shown), pixels=x.ndim > 2)


def read_samples(
    path: Path, width: int, names: tuple[str, ...] | None = None, target: str | None = None
) -> Numbers:
    """Reads samples `(n_samples, width)` to predict for; targets in the file are ignored.

    Args:
        path: a CSV, .npz or IDX file.
        width: the number of features.
        names: the names of the feature columns, in whose order they are returned. If it is None or the file
            has no names, columns keep their order.
        target: the name of a target column that the file may have.

    Raises:
        FileFormatError, DataError: as `read_dataset`.
        ShapeError: the columns are others than these.
    """
    kind = _kind(path)
    if kind == "csv":
        x = _csv_samples(path, width, names, target)
    else:
        x = _as_features(_npz_array(path, "x") if kind == "npz" else _idx_array(path), path)
    if x.shape[1] != width:
        raise ShapeError(f"{path}: expected {width} features, found {x.shape[1]}")
    return x


def _kind(path: Path) -> Kind:
    with _opened(path) as file:
        start = file.read(4)
    return "npz" if start in ZIP else "idx" if start.startswith(IDX) else "csv"


@contextmanager
def _opened(path: Path) -> Generator[io.BufferedReader | gzip.GzipFile]:
    """Opens a file for reading its decompressed bytes; what goes wrong raises FileFormatError."""
    if not path.is_file():
        raise FileFormatError(f"{path}: {'is not a file' if path.exists() else 'there is no such file'}")
    try:
        with path.open("rb") as plain:
            compressed = plain.read(2) == GZIP
            plain.seek(0)
            if not compressed:
                yield plain
                return
            with gzip.GzipFile(fileobj=plain) as file:
                yield file
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise FileFormatError(
            f"{path}: expected a complete gzip file, found a truncated or damaged one"
        ) from None
    except OSError as error:
        raise FileFormatError(f"{path}: cannot be read: {error.strerror or error}") from None


@contextmanager
def _opened_csv(path: Path) -> Generator[Table]:
    with _opened(path) as file, io.TextIOWrapper(file, "utf-8-sig", newline="") as text:
        try:
            yield Table(text, path)
        except UnicodeDecodeError:
            raise FileFormatError(
                f"{path}: expected CSV in UTF-8, .npz or IDX, found bytes that are none of these"
            ) from None


def _csv_dataset(path: Path, target: str | None) -> Dataset:
    with _opened_csv(path) as table:
        names = table.names
        if target is not None and target not in names:
            shown = names if len(names) <= 2 * MAX_NAMES else [*names[:MAX_NAMES], "…", *names[-MAX_NAMES:]]
            raise UnknownNameError(f"column of {path}", target, shown)
        place = len(names) - 1 if target is None else names.index(target)
        x, y = table.read(place)
        features = tuple(names[:place] + names[place + 1 :]) if table.named else None
    return Dataset(x, y, features, names[place])


def _csv_samples(path: Path, width: int, names: tuple[str, ...] | None, target: str | None) -> Numbers:
    with _opened_csv(path) as table:
        place = table.names.index(target) if target in table.names else None
        if names is None or not table.named:
            count = len(table.names)
            if count not in {width, width + 1}:
                raise ShapeError(
                    f"{path}: expected {width} columns of features, and perhaps the target, found {count}"
                )
            x, _ = table.read(None if count == width else width if place is None else place)
            return x
        missing = [name for name in names if name not in table.names]
        extra_names = [name for name in table.names if name not in names and name != target]
        if missing or extra_names:
            raise ShapeError(
                f"{path}: expected the columns of the training data"
                + (f", found none named {_listed(missing)}" if missing else "")
                + (f", found also {_listed(extra_names)}" if extra_names else "")
            )
        x, _ = table.read(place)
        found = [name for name in table.names if name != target]
        return x[:, [found.index(name) for name in names]]


def _npz_array(path: Path, name: str) -> NDArray[np.generic]:
    """Reads an array of numbers or text from an .npz file."""
    try:
        _check_directory(path)
        with zipfile.ZipFile(path) as archive:
            return _npy_array(archive, name, path)
    except (FileFormatError, MemoryError):
        raise
    except Exception:  # noqa: BLE001 (zipfile and NumPy raise many kinds for what is damaged or foreign)
        raise FileFormatError(
            f"{path}: expected an .npz file of numpy.savez, found a truncated, damaged or foreign archive"
        ) from None


def _npy_array(archive: zipfile.ZipFile, name: str, path: Path) -> NDArray[np.generic]:
    """Reads a member of an archive, whose sizes are compared before memory is allocated."""
    members = {member.filename: member for member in archive.infolist()}
    member = members.get(f"{name}.npy")
    if member is None:
        found = _listed([key.removesuffix(".npy") for key in members]) or "none"
        raise FileFormatError(f"{path}: expected the arrays 'x' and 'y', found {found}")
    if member.compress_type not in PACKED:
        raise FileFormatError(f"{path}: expected {name!r} as numpy.savez packs it, found another compression")
    with archive.open(member) as file:
        version = npy.read_magic(file)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read(file)
        if dtype.kind not in "fiubU":
            raise FileFormatError(
                f"{path}: expected numbers or text in {name!r}, found {dtype}; arrays of objects are "
                "not read, since they can run code"
            )
        size = file.tell() + prod(shape) * dtype.itemsize
        if size != member.file_size or size > MAX_COMPRESSION * member.compress_size + 64:
            raise FileFormatError(
                f"{path}: expected {size} bytes for {name!r}, found {member.file_size}, packed in "
                f"{member.compress_size}"
            )
        if len(shape) > MAX_DIMENSIONS or prod(length or 1 for length in shape) >= MAX_ELEMENTS:
            raise FileFormatError(
                f"{path}: expected {name!r} to have at most {MAX_DIMENSIONS} dimensions and fewer "
                f"than {MAX_ELEMENTS} elements, found the shape {reprlib.repr(shape)}"
            )
    with archive.open(member) as file:
        return npy.read_array(file, allow_pickle=False)


def _check_directory(path: Path) -> None:
    """Refuses an archive whose table of contents is large; zipfile makes objects of all that is in it."""
    with path.open("rb") as file:
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
            f"{path}: expected the arrays 'x' and 'y', found a table of contents of {directory} bytes"
        )


def _idx_array(path: Path) -> NDArray[np.generic]:
    """Reads the array of an IDX file, of any shape."""
    with _opened(path) as file:
        magic = file.read(4)
        dtype = IDX_DTYPES.get(magic[2]) if len(magic) == 4 and magic.startswith(IDX) else None
        if dtype is None or not 1 <= magic[3] <= MAX_DIMENSIONS:
            raise FileFormatError(
                f"{path}: expected an IDX file, beginning with 00 00, type and rank, found {magic.hex(' ')}"
            )
        sizes = file.read(4 * magic[3])
        shape = tuple(int(size) for size in np.frombuffer(sizes, ">u4")) if len(sizes) == 4 * magic[3] else ()
        size = prod(shape) * np.dtype(dtype).itemsize
        room = path.stat().st_size * (MAX_COMPRESSION if isinstance(file, gzip.GzipFile) else 1)
        possible = size <= room and prod(length or 1 for length in shape) < MAX_ELEMENTS
        numbers = _read(file, size + 1) if shape and possible else b""
        if not shape or not possible or len(numbers) != size:
            found = "more" if len(numbers) > size else "fewer"
            raise FileFormatError(
                f"{path}: expected {size} bytes of numbers for the shape {shape}, found {found}"
            )
    return np.frombuffer(numbers, dtype).reshape(shape)


def _read(file: io.BufferedReader | gzip.GzipFile, size: int) -> bytearray:
    """Reads up to `size` bytes, and allocates no more than there are."""
    content = bytearray()
    while len(content) < size:
        chunk = file.read(min(CHUNK_BYTES, size - len(content)))
        if not chunk:
            break
        content += chunk
    return content


def _labels_path(images: Path) -> Path:
    """Finds the labels file that belongs to an images file by MNIST's naming."""
    stem = images.name.removesuffix(".gz").replace("images", "labels").replace("idx3", "idx1")
    found = [images.with_name(name) for name in (stem, f"{stem}.gz") if images.with_name(name).is_file()]
    if not found or found[0] == images:
        raise FileFormatError(
            f"{images}: expected its labels beside it, in {stem} or {stem}.gz, found neither; "
            "--labels FILE names another file"
        )
    return found[0]


def _as_features(x: NDArray[np.generic], path: Path) -> Numbers:
    """Checks samples and reshapes them, such as images, to `(n_samples, n_features)`."""
    if not _is_numeric(x):
        raise DataError(f"{path}: expected numbers as features, found {x.dtype}")
    if x.ndim < 2 or x.size == 0:
        raise ShapeError(f"{path}: expected samples of the shape (n_samples, n_features), found {x.shape}")
    features = x.reshape(len(x), -1)
    if x.dtype.kind == "f":
        check_finite(features.astype(np.float64, copy=False), "x", str(path))
    return features


def _as_targets(y: NDArray[np.generic], shown: str) -> TargetValues:
    if y.dtype.kind == "U" and y.ndim == 1:
        codes = y.astype(y.dtype.newbyteorder("=")).view(np.uint32)
        if ((codes > MAX_CHARACTER) | ((codes >= 0xD800) & (codes <= 0xDFFF))).any():
            raise FileFormatError(f"{shown}: expected text, found numbers of no character")
        return y.astype(np.str_)
    if not _is_numeric(y) or y.ndim not in {1, 2} or y.size == 0:
        raise ShapeError(
            f"{shown}: expected targets of the shape (n_samples,) or (n_samples, n_outputs), found {y.dtype} "
            f"of the shape {y.shape}"
        )
    numbers: NDArray[np.float64] = y.astype(np.float64)
    check_finite(numbers, "y", shown)
    return numbers[:, 0] if numbers.ndim == 2 and numbers.shape[1] == 1 else numbers


def _is_numeric(values: NDArray[np.generic]) -> TypeGuard[Numbers]:
    return values.dtype.kind in "fiub"


def _listed(names: list[str]) -> str:
    return ", ".join(map(repr, names[:MAX_NAMES])) + (", …" if len(names) > MAX_NAMES else "")

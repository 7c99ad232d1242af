"""Reads NumPy's .npz and .npy files. Arrays of objects, which could run code, are refused."""

from __future__ import annotations

import reprlib
import zipfile
from collections.abc import Generator
from contextlib import contextmanager
from math import prod
from typing import IO, Any, Literal, NamedTuple, cast

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from typednn.data.readers.idx_files import MAX_DIMENSIONS, MAX_ELEMENTS, is_possible
from typednn.data.readers.opening import MAX_COMPRESSION, PACKED, Source, open_archive, parts_of
from typednn.data.table import listed
from typednn.errors import FileFormatError, TypednnError

MAX_CHARACTER = 0x10FFFF
NO_ARCHIVE = "a truncated, damaged or foreign archive"


def npz_arrays(source: Source, names: tuple[str, ...]) -> dict[str, NDArray[np.generic]]:
    """Reads those of the named arrays that an .npz file has.

    Raises:
        FileFormatError: the file is damaged, or has none of the arrays.
    """
    arrays: dict[str, NDArray[np.generic]] = {}
    with (
        _one_error(f"{source.shown}: expected an .npz file of numpy.savez, found {NO_ARCHIVE}"),
        source.path.open("rb") as content,
        open_archive(content, source.shown) as archive,
    ):
        members = {member.filename: member for member in archive.infolist()}
        for name in names:
            member = members.get(f"{name}.npy")
            if member is not None:
                arrays[name] = _member(archive, member, name, source)
    if names[0] not in arrays:
        found = listed([key.removesuffix(".npy") for key in members]) or "none"
        wanted = " and ".join(map(repr, names))
        raise FileFormatError(f"{source.shown}: expected the arrays {wanted}, found {found}")
    return arrays


def _member(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str, source: Source
) -> NDArray[np.generic]:
    """Reads a member of an archive, whose sizes are compared before memory is allocated."""
    if member.compress_type not in PACKED:
        raise FileFormatError(
            f"{source.shown}: expected {name!r} as numpy.savez packs it, found another compression"
        )
    with archive.open(member) as file:
        size = _claims(file, repr(name), source.shown).size
    if size != member.file_size or size > MAX_COMPRESSION * member.compress_size + 64:
        raise FileFormatError(
            f"{source.shown}: expected {size} bytes for {name!r}, found {member.file_size}, packed in "
            f"{member.compress_size}"
        )
    with archive.open(member) as file:
        return _array(source.holding(parts_of(file)), repr(name))


def npy_array(source: Source) -> NDArray[np.generic]:
    """Reads the array of an .npy file; one that is not in memory is mapped.

    Raises:
        FileFormatError: the file is damaged, or holds objects.
    """
    with _one_error(f"{source.shown}: expected an .npy file of numpy.save, found a truncated or damaged one"):
        return _array(source, "the array")


def _array(source: Source, name: str) -> NDArray[np.generic]:
    """Returns the array of the bytes of an .npy file, read-only, without a copy."""
    with source.open() as file:
        claims = _claims(file, name, source.shown)
    if claims.size != source.size():
        raise ValueError
    order: Literal["F", "C"] = "F" if claims.is_fortran else "C"
    array: NDArray[np.generic] = np.ndarray(
        claims.shape, claims.dtype, source.buffer(), claims.offset, order=order
    )
    return _checked(array, name, source.shown)


@contextmanager
def _one_error(message: str) -> Generator[None]:
    """Raises FileFormatError for whatever zipfile and NumPy raise for what is damaged or foreign."""
    try:
        yield
    except (TypednnError, MemoryError):
        raise
    except Exception:  # noqa: BLE001 (they raise many kinds)
        raise FileFormatError(message) from None


class _Claims(NamedTuple):
    """What the header of an array claims, and where its elements begin."""

    shape: tuple[int, ...]
    is_fortran: bool
    dtype: np.dtype[Any]
    offset: int

    @property
    def size(self) -> int:
        """The number of bytes of the file."""
        return self.offset + prod(self.shape) * self.dtype.itemsize


def _claims(file: IO[bytes], name: str, shown: str) -> _Claims:
    """Reads the header of an array."""
    version = npy.read_magic(file)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    try:
        shape, is_fortran, dtype = read(file)
    except MemoryError:  # of Python's parser, for brackets in brackets
        raise ValueError from None
    kinds = {dtype[field].kind for field in dtype.names} if dtype.names else {dtype.kind}
    if not kinds <= set("fiubUM"):
        raise FileFormatError(
            f"{shown}: expected numbers or text in {name}, found {dtype}; arrays of objects are "
            "not read, since they can run code"
        )
    if not is_possible(shape):
        raise FileFormatError(
            f"{shown}: expected {name} to have at most {MAX_DIMENSIONS} dimensions and fewer than "
            f"{MAX_ELEMENTS} elements, found the shape {reprlib.repr(shape)}"
        )
    return _Claims(shape, is_fortran, dtype, file.tell())


def _checked(array: NDArray[np.generic], name: str, shown: str) -> NDArray[np.generic]:
    """Returns an array whose text is text."""
    fields = array.dtype.names
    parts: list[NDArray[np.generic]] = (
        [array] if fields is None else [cast("dict[str, Any]", array)[field] for field in fields]
    )
    for values in parts:
        if values.dtype.kind == "U" and values.dtype.itemsize:
            codes = np.ascontiguousarray(values, values.dtype.newbyteorder("=")).view(np.uint32)
            if ((codes > MAX_CHARACTER) | ((codes >= 0xD800) & (codes <= 0xDFFF))).any():
                raise FileFormatError(f"{shown}: expected text in {name}, found numbers of no character")
    return array

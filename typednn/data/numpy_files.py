"""Reads NumPy's .npz and .npy files. Arrays of objects, which could run code, are refused."""

from __future__ import annotations

import io
import struct
import tokenize
import zipfile
import zlib
from math import prod
from typing import IO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from typednn.data.opening import MAX_COMPRESSION, Source
from typednn.data.table import listed
from typednn.errors import FileFormatError

DAMAGE = (
    *(zipfile.BadZipFile, zlib.error, tokenize.TokenError, struct.error),
    *(EOFError, OSError, RuntimeError, ValueError, TypeError, SyntaxError, MemoryError),
)
"""The exceptions of zipfile and NumPy for archives and arrays that are damaged or foreign."""


def npz_arrays(source: Source, names: tuple[str, ...]) -> dict[str, NDArray[np.generic]]:
    """Reads those of the named arrays that an .npz file has.

    Raises:
        FileFormatError: the file is damaged, or has none of the arrays.
    """
    arrays: dict[str, NDArray[np.generic]] = {}
    try:
        with zipfile.ZipFile(source.path) as archive:
            members = {member.filename: member for member in archive.infolist()}
            for name in names:
                member = members.get(f"{name}.npy")
                if member is None:
                    continue
                with archive.open(member) as file:
                    size = _size_of(file, name, source.shown)
                if size != member.file_size or size > MAX_COMPRESSION * member.compress_size + 64:
                    raise FileFormatError(
                        f"{source.shown}: expected {size} bytes for {name!r}, found {member.file_size}, "
                        f"packed in {member.compress_size}"
                    )
                with archive.open(member) as file:
                    arrays[name] = npy.read_array(file, allow_pickle=False)
    except DAMAGE as error:
        if isinstance(error, FileFormatError):
            raise
        raise FileFormatError(
            f"{source.shown}: expected an .npz file of numpy.savez, found a truncated, damaged or foreign "
            "archive"
        ) from None
    if names[0] not in arrays:
        found = listed([key.removesuffix(".npy") for key in members]) or "none"
        wanted = " and ".join(map(repr, names))
        raise FileFormatError(f"{source.shown}: expected the arrays {wanted}, found {found}")
    return arrays


def npy_array(source: Source) -> NDArray[np.generic]:
    """Reads the array of an .npy file; one that is not compressed is mapped into memory.

    Raises:
        FileFormatError: the file is damaged, or holds objects.
    """
    try:
        if source.content is None:
            with source.path.open("rb") as file:
                _size_of(file, "the array", source.shown)
            mapped: NDArray[np.generic] = np.load(source.path, mmap_mode="r", allow_pickle=False)
            return mapped
        buffer = io.BytesIO(source.content)
        if _size_of(buffer, "the array", source.shown) != len(source.content):
            raise ValueError
        buffer.seek(0)
        array: NDArray[np.generic] = npy.read_array(buffer, allow_pickle=False)
    except DAMAGE as error:
        if isinstance(error, FileFormatError):
            raise
        raise FileFormatError(
            f"{source.shown}: expected an .npy file of numpy.save, found a truncated or damaged one"
        ) from None
    return array


def _size_of(file: IO[bytes], name: str, shown: str) -> int:
    """Reads the header of an array, and returns the size of the file that it claims."""
    version = npy.read_magic(file)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read(file)
    kinds = {dtype[field].kind for field in dtype.names} if dtype.names else {dtype.kind}
    if not kinds <= set("fiubUM"):
        raise FileFormatError(
            f"{shown}: expected numbers or text in {name!r}, found {dtype}; arrays of objects are "
            "not read, since they can run code"
        )
    return file.tell() + prod(shape) * dtype.itemsize

"""Reads IDX files, in which MNIST and its relatives are distributed.

Sizes that a file claims are compared with its number of bytes before memory is allocated.
"""

from __future__ import annotations

from math import prod
from mmap import mmap
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from typednn.errors import FileFormatError, ShapeError

IDX = b"\0\0"
"""What IDX files begin with."""
IDX_DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
MAX_DIMENSIONS = 8
MAX_ELEMENTS = 1 << 48
"""The largest number of dimensions, and a number that no product of lengths other than 0 reaches."""
MAX_HEADER = 4 + 4 * MAX_DIMENSIONS
"""The largest number of bytes before the elements."""


def is_possible(shape: tuple[int, ...]) -> bool:
    """Tells whether NumPy can make an array of a shape that a file claims, even an empty one."""
    return len(shape) <= MAX_DIMENSIONS and prod(length or 1 for length in shape) < MAX_ELEMENTS


def idx_size(start: bytes) -> int:
    """Returns the number of bytes that an IDX file claims to have, given its first bytes.

    A file that is none needs no more than its header.
    """
    header = _header(start)
    return len(start) if header is None else header[2] + prod(header[1]) * header[0].itemsize


def idx_array(content: bytes | mmap, shown: str) -> NDArray[np.generic]:
    """Reads the array of an IDX file, of any shape.

    Args:
        content: the bytes of the file, which are not copied.
        shown: what messages call it.

    Raises:
        FileFormatError: the file is truncated, or none.
    """
    dtype, shape, offset = idx_layout(content[:MAX_HEADER], len(content), shown)
    return np.frombuffer(content, dtype, offset=offset).reshape(shape)


def idx_layout(start: bytes, length: int, shown: str) -> tuple[np.dtype[np.generic], tuple[int, ...], int]:
    """Returns the dtype and shape of the array of an IDX file, and where it begins, given the file's length.

    Raises:
        FileFormatError: the file is truncated, or none.
    """
    header = _header(start)
    if header is None:
        raise FileFormatError(
            f"{shown}: expected an IDX file, beginning with 00 00, type and rank, found {start[:4].hex(' ')}"
        )
    dtype, shape, offset = header
    found, size = length - offset, prod(shape) * dtype.itemsize
    if not shape or found != size or not is_possible(shape):
        raise FileFormatError(
            f"{shown}: expected {size} bytes of numbers for the shape {shape}, found "
            + ("more" if found > size else "fewer")
        )
    return dtype, shape, offset


def _header(start: bytes) -> tuple[np.dtype[np.generic], tuple[int, ...], int] | None:
    """Returns the dtype and shape of an IDX file, and where its numbers begin; None if it is none.

    The shape is () if the file ends within it.
    """
    dtype = IDX_DTYPES.get(start[2]) if len(start) >= 4 and start.startswith(IDX) else None
    if dtype is None or not 1 <= start[3] <= MAX_DIMENSIONS:
        return None
    offset = 4 + 4 * start[3]
    lengths: list[int] = np.frombuffer(start, ">u4", start[3], 4).tolist() if len(start) >= offset else []
    return np.dtype(dtype), tuple(lengths), offset


def check_labels(labels: NDArray[np.generic], shown: str) -> NDArray[np.generic]:
    """Returns labels `(n_samples,)`.

    Raises:
        ShapeError: they are something else.
    """
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise ShapeError(
            f"{shown}: expected one label for each image, found {labels.dtype} of shape {labels.shape}"
        )
    return labels


def labels_path(images: Path) -> Path:
    """Finds the labels file that belongs to an images file by MNIST's naming.

    Raises:
        FileFormatError: there is none.
    """
    stem = images.name.removesuffix(".gz").replace("images", "labels").replace("idx3", "idx1")
    found = [images.with_name(name) for name in (stem, f"{stem}.gz") if images.with_name(name).is_file()]
    if not found or found[0] == images:
        raise FileFormatError(
            f"{images}: expected its labels beside it, in {stem} or {stem}.gz, found neither; "
            "--labels FILE names another file"
        )
    return found[0]

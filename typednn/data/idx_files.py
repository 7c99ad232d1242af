"""Reads IDX files, in which MNIST and its relatives are distributed.

Sizes that a file claims are compared with its number of bytes before memory is allocated.
"""

from __future__ import annotations

import io
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from typednn.data.opening import IDX, Source
from typednn.errors import FileFormatError, ShapeError

IDX_DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
MAX_DIMENSIONS = 8


def idx_array(source: Source) -> NDArray[np.generic]:
    """Reads the array of an IDX file, of any shape.

    Raises:
        FileFormatError: the file is truncated, or none.
    """
    content = source.bytes()
    file = io.BytesIO(content)
    magic = file.read(4)
    dtype = IDX_DTYPES.get(magic[2]) if len(magic) == 4 and magic.startswith(IDX) else None
    if dtype is None or not 1 <= magic[3] <= MAX_DIMENSIONS:
        raise FileFormatError(
            f"{source.shown}: expected an IDX file, beginning with 00 00, type and rank, found "
            f"{magic.hex(' ')}"
        )
    sizes = file.read(4 * magic[3])
    shape = tuple(int(size) for size in np.frombuffer(sizes, ">u4")) if len(sizes) == 4 * magic[3] else ()
    size = prod(shape) * np.dtype(dtype).itemsize
    found = len(content) - file.tell()
    if not shape or found != size:
        raise FileFormatError(
            f"{source.shown}: expected {size} bytes of numbers for the shape {shape}, found "
            + ("more" if found > size else "fewer")
        )
    return np.frombuffer(content, dtype, offset=file.tell()).reshape(shape)


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

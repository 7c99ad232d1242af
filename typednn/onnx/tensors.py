"""Reads the constants of ONNX files: sizes are checked first, and external data lies beside the file only."""

from __future__ import annotations

import os
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from typednn.errors import FileFormatError

if TYPE_CHECKING:
    from onnx import TensorProto

Constant: TypeAlias = NDArray[np.generic]

DTYPES: dict[int, tuple[str, str]] = {
    1: ("<f4", "float_data"),
    6: ("<i4", "int32_data"),
    7: ("<i8", "int64_data"),
    9: ("|b1", "int32_data"),
    11: ("<f8", "double_data"),
}
"""By the number of a type in ONNX: the dtype, and the field that holds elements which are not raw bytes."""
TEXT = 8
EXTERNAL = 1


def constant_of(tensor: TensorProto, place: str, path: Path) -> Constant:
    """Reads a tensor; text becomes an array of objects.

    Raises:
        FileFormatError: it is of another type, its shape and its elements do not fit, or its data lie in a
            file elsewhere.
    """
    shape = tuple(tensor.dims)
    if any(length < 0 for length in shape) or len(shape) > 8:
        raise FileFormatError(f"{path}: {place}: expected a shape, found {list(shape)[:9]}")
    count = prod(shape)
    if tensor.data_type == TEXT:
        _check_count(len(tensor.string_data), count, place, path)
        texts = np.array([each.decode("utf-8", "replace") for each in tensor.string_data], object)
        return texts.reshape(shape)
    if tensor.data_type not in DTYPES:
        raise FileFormatError(
            f"{path}: {place}: expected numbers of float32, float64, int32, int64 or bool, or text, found "
            f"data type {tensor.data_type}"
        )
    code, field = DTYPES[tensor.data_type]
    dtype: np.dtype[Any] = np.dtype(code)
    if tensor.data_location == EXTERNAL:
        content = _external(tensor, count * dtype.itemsize, place, path)
    elif tensor.HasField("raw_data"):
        content = tensor.raw_data
    else:
        elements = getattr(tensor, field)
        _check_count(len(elements), count, place, path)
        return np.array(elements, dtype).reshape(shape)
    _check_count(len(content) / dtype.itemsize, count, place, path)
    if dtype.kind == "b":
        truths: Constant = np.frombuffer(content, np.uint8) != 0
        return truths.reshape(shape)
    values: Constant = np.frombuffer(content, dtype).reshape(shape)
    return values.astype(dtype.newbyteorder("="), copy=False)


def _check_count(found: float, expected: int, place: str, path: Path) -> None:
    if found != expected:
        raise FileFormatError(
            f"{path}: {place}: expected {expected} elements, as the shape says, found {found:g}"
        )


def _external(tensor: TensorProto, size: int, place: str, path: Path) -> bytes:
    """Reads `size` bytes from a file in the folder of the model, and nowhere else."""
    entries = {_text(entry.key): _text(entry.value) for entry in tensor.external_data}
    name = entries.get("location", "")
    beside = path.resolve().parent / name
    if name != Path(name).name or name in {"", ".", ".."} or "\\" in name or "\0" in name:
        raise FileFormatError(
            f"{path}: {place}: expected external data in a file beside the model, found the location {name!r}"
        )
    try:
        is_file = beside.is_file() and not beside.is_symlink()
    except OSError:  # a name that is too long
        is_file = False
    if not is_file:
        raise FileFormatError(
            f"{path}: {place}: expected external data in the file {name[:99]!r}, found no such file"
        )
    offset, length = (
        _whole(entries.get(key, default), key, place, path)
        for key, default in (("offset", "0"), ("length", str(size)))
    )
    if length != size:
        raise FileFormatError(
            f"{path}: {place}: expected {size} bytes of external data, as the shape says, found {length}"
        )
    try:
        with beside.open("rb") as file:
            available = os.fstat(file.fileno()).st_size
            if offset + length > available:
                raise FileFormatError(
                    f"{path}: {place}: expected bytes {offset} to {offset + length} of {name!r}, which has "
                    f"{available}"
                )
            file.seek(offset)
            return file.read(length)
    except OSError as error:
        raise FileFormatError(f"{path}: {place}: {name!r} cannot be read: {error.strerror}") from None


def _text(value: str | bytes) -> str:
    """Returns text; protobuf gives the bytes of what is not UTF-8."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _whole(text: str, key: str, place: str, path: Path) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise FileFormatError(f"{path}: {place}: expected a whole number as {key}, found {text[:40]!r}")
    return int(text)

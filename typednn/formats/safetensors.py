"""The safetensors container: 8 bytes with the length of a JSON header, the header, the tensors. No pickle.

The format is that of https://huggingface.co/docs/safetensors, whose readers open the files. A header has at
most 64 MiB, and one value for each byte of numbers beyond a million: what claims more is refused before it is
parsed. Tensors are read a chunk at a time into the arrays that are to hold them.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from typednn.errors import FileFormatError
from typednn.formats.atomic import PathLike
from typednn.formats.json_values import LARGEST, MAX_VALUES, JsonValue, parse_json
from typednn.validation.settings import check_path

MAX_HEADER_BYTES = 64 * 2**20
MAX_DIMENSIONS = 8
CHUNK_BYTES = 2**20
"""Bytes that are read at a time."""
METADATA = "__metadata__"
CODES = {"float32": "F32", "float64": "F64", "int64": "I64", "uint64": "U64"}
"""The names of the dtypes in the header."""


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """The position of a tensor, in bytes from the end of the header, its shape and its dtype."""

    start: int
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]


@dataclass(frozen=True, slots=True)
class TensorFile:
    """An open file whose header has been read.

    Attributes:
        header: the JSON of the header.
        size: the number of bytes that follow it.
        file: the file.
        begin: the position after the header.
    """

    header: JsonValue
    size: int
    file: BinaryIO
    begin: int

    def read_into(self, start: int, array: NDArray[np.generic]) -> None:
        """Reads the tensor that begins at byte `start` behind the header into a C-contiguous array.

        Raises:
            FileFormatError: the file has become shorter since it was opened.
        """
        self.file.seek(self.begin + start)
        flat = array.reshape(-1)
        step = CHUNK_BYTES // flat.itemsize
        for first in range(0, flat.size, step):
            chunk = flat[first : first + step]
            content = self.file.read(chunk.nbytes)
            if len(content) != chunk.nbytes:
                raise FileFormatError(
                    f"{self.header.path}: expected {self.size} bytes of numbers, found fewer: "
                    "the file was changed"
                )
            chunk[...] = np.frombuffer(content, flat.dtype.newbyteorder("<"))

    def read_tensors(self, entries: Mapping[str, TensorEntry]) -> dict[str, NDArray[np.generic]]:
        """Reads all tensors into new arrays.

        Raises:
            FileFormatError: the file has become shorter since it was opened.
        """
        tensors: dict[str, NDArray[np.generic]] = {}
        for name, entry in entries.items():
            tensors[name] = np.empty(entry.shape, entry.dtype.newbyteorder("="))
            self.read_into(entry.start, tensors[name])
        return tensors


def tensor_bytes(
    tensors: Mapping[str, NDArray[np.generic]], metadata: Mapping[str, str], path: PathLike
) -> bytes:
    """Returns the content of a file of these tensors, in this order.

    Raises:
        FileFormatError: the header is too large for a reader, so that the file could not be read.
    """
    header: dict[str, object] = {METADATA: dict(metadata)}
    parts: list[bytes] = []
    end = 0
    for name, tensor in tensors.items():
        start, end = end, end + tensor.nbytes
        code = CODES[tensor.dtype.newbyteorder("=").name]
        header[name] = {"dtype": code, "shape": tensor.shape, "data_offsets": (start, end)}
        parts.append(tensor.astype(tensor.dtype.newbyteorder("<"), copy=False).tobytes())
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    _check_length(len(head), Path(path))
    parse_json(head, "header", Path(path), MAX_VALUES + end)
    return b"".join([len(head).to_bytes(8, "little"), head, *parts])


@contextlib.contextmanager
def open_tensors(path: PathLike) -> Generator[TensorFile]:
    """Opens a file and reads its header.

    Raises:
        FileFormatError: the file is missing, truncated or not a safetensors file, or cannot be read.
    """
    check_path("path", path)
    path = Path(path)
    try:
        if not path.is_file():
            raise FileFormatError(f"{path}: {'is not a file' if path.exists() else 'there is no such file'}")
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            header = _header(file, size, path)
            yield TensorFile(header, size - file.tell(), file, file.tell())
    except OSError as error:
        raise FileFormatError(f"{path}: cannot be read: {error.strerror or error}") from None


def tensor_entries(header: JsonValue, size: int) -> dict[str, TensorEntry]:
    """Reads the entries of all tensors from a header.

    Args:
        header: the JSON of the header.
        size: the number of bytes that follow it.

    Raises:
        FileFormatError: an entry is invalid, or the tensors do not fill the bytes without gaps.
    """
    tensors = {name: tensor for name, tensor in header.as_object().items() if name != METADATA}
    dtypes = {code: np.dtype(name).newbyteorder("<") for name, code in CODES.items()}
    entries: dict[str, TensorEntry] = {}
    end = 0
    for name in sorted(tensors, key=lambda name: _start(tensors[name]["data_offsets"])):
        tensor = tensors[name]
        dtype = dtypes[tensor["dtype"].as_one_of(tuple(dtypes))]
        shape = tuple(length.as_int(0) for length in tensor["shape"].as_list())
        if len(shape) > MAX_DIMENSIONS or prod(length or 1 for length in shape) >= LARGEST:
            raise tensor["shape"].error(f"at most {MAX_DIMENSIONS} numbers, whose product is below {LARGEST}")
        start, end = end, end + prod(shape) * dtype.itemsize
        if [each.value for each in tensor["data_offsets"].as_list()] != [start, end]:
            raise tensor["data_offsets"].error(f"[{start}, {end}], as the shape says")
        entries[name] = TensorEntry(start, shape, dtype)
    if end != size:
        state = "the file is truncated" if size < end else "something follows them"
        raise FileFormatError(f"{header.path}: expected {end} bytes of numbers, found {size}: {state}")
    return entries


def _header(file: BinaryIO, size: int, path: Path) -> JsonValue:
    length = int.from_bytes(file.read(8), "little")
    if size < 10 or length > size - 8:
        raise FileFormatError(
            f"{path}: expected a safetensors file, found {size} bytes that are truncated or something else"
        )
    _check_length(length, path)
    return parse_json(file.read(length), "header", path, MAX_VALUES + size - 8 - length)


def _check_length(length: int, path: Path) -> None:
    if length > MAX_HEADER_BYTES:
        raise FileFormatError(
            f"{path}: expected a header of at most {MAX_HEADER_BYTES} bytes, found one of {length}"
        )


def _start(offsets: JsonValue) -> int:
    items = offsets.as_list()
    if len(items) != 2:
        raise offsets.error("two numbers")
    return items[0].as_int(0)

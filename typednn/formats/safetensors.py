"""The safetensors container: 8 bytes with the length of a JSON header, the header, the numbers. No pickle.

It is that of https://huggingface.co/docs/safetensors: any of its readers opens the files. Reading takes no
more memory than the file has bytes, whatever the file says.
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
from typednn.formats.json_values import JsonValue, parsed

LARGEST_HEADER = 64 * 2**20
METADATA = "__metadata__"
CODES = {"float32": "F32", "float64": "F64", "int64": "I64", "uint64": "U64"}
"""How safetensors calls the dtypes."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a tensor lies among the numbers, and what it is."""

    start: int
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]


@dataclass(frozen=True, slots=True)
class TensorFile:
    """An open file whose header has been read.

    Attributes:
        header: its JSON.
        size: so many bytes of numbers follow.
    """

    header: JsonValue
    size: int
    file: BinaryIO

    def numbers(self) -> bytes:
        """The numbers.

        Raises:
            FileFormatError: there are fewer than there were.
        """
        numbers = self.file.read(self.size)
        if len(numbers) != self.size:
            raise FileFormatError(
                f"{self.header.path}: expected {self.size} bytes of numbers, found {len(numbers)}: "
                "the file was changed"
            )
        return numbers


def tensor_bytes(tensors: Mapping[str, NDArray[np.generic]], metadata: Mapping[str, str]) -> bytes:
    """A file of these tensors, in this order."""
    header: dict[str, object] = {METADATA: dict(metadata)}
    numbers: list[bytes] = []
    end = 0
    for name, tensor in tensors.items():
        start, end = end, end + tensor.nbytes
        code = CODES[tensor.dtype.newbyteorder("=").name]
        header[name] = {"dtype": code, "shape": tensor.shape, "data_offsets": (start, end)}
        numbers.append(tensor.astype(tensor.dtype.newbyteorder("<"), copy=False).tobytes())
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    return b"".join([len(head).to_bytes(8, "little"), head, *numbers])


@contextlib.contextmanager
def open_tensors(path: PathLike) -> Generator[TensorFile]:
    """Opens a file and reads its header.

    Raises:
        FileFormatError: it is missing, truncated or something else, or cannot be read.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise FileFormatError(f"{path}: {'is not a file' if path.exists() else 'there is no such file'}")
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            header = _header(file, size, path)
            yield TensorFile(header, size - file.tell(), file)
    except OSError as error:
        raise FileFormatError(f"{path}: cannot be read: {error.strerror or error}") from None


def tensor_places(header: JsonValue, size: int) -> dict[str, Place]:
    """Where each tensor lies in so many bytes of numbers, which they fill without gaps.

    Raises:
        FileFormatError: they do not.
    """
    tensors = {name: tensor for name, tensor in header.members().items() if name != METADATA}
    dtypes = {code: np.dtype(name).newbyteorder("<") for name, code in CODES.items()}
    places: dict[str, Place] = {}
    end = 0
    for name in sorted(tensors, key=lambda name: _first(tensors[name]["data_offsets"])):
        tensor = tensors[name]
        dtype = dtypes[tensor["dtype"].one_of(tuple(dtypes))]
        shape = tuple(length.count(0) for length in tensor["shape"].items())
        start, end = end, end + prod(shape) * dtype.itemsize
        if [each.value for each in tensor["data_offsets"].items()] != [start, end]:
            raise tensor["data_offsets"].wrong(f"[{start}, {end}], as the shape says")
        places[name] = Place(start, shape, dtype)
    if end != size:
        state = "the file is truncated" if size < end else "something follows them"
        raise FileFormatError(f"{header.path}: expected {end} bytes of numbers, found {size}: {state}")
    return places


def write_file(path: PathLike, content: bytes) -> None:
    """Writes a file beside its place and moves it there: complete, or not at all.

    Raises:
        OSError: it cannot be written; a file that was there is as it was.
    """
    place = Path(path).resolve()
    if place.exists() and not place.is_file():
        raise OSError(f"{os.fspath(path)}: is not a file, and would have to be replaced")
    draft = place.with_name(f".{place.name[:64]}.{os.urandom(4).hex()}.tmp")
    try:
        with draft.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileNotFoundError):
            draft.chmod(place.stat().st_mode)
        draft.replace(place)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def _header(file: BinaryIO, size: int, path: Path) -> JsonValue:
    length = int.from_bytes(file.read(8), "little")
    if size < 10 or length > size - 8:
        raise FileFormatError(
            f"{path}: expected a safetensors file, found {size} bytes that are truncated or something else"
        )
    if length > LARGEST_HEADER:
        raise FileFormatError(
            f"{path}: expected a header of at most {LARGEST_HEADER} bytes, found one of {length}"
        )
    return parsed(file.read(length), "header", path)


def _first(offsets: JsonValue) -> int:
    items = offsets.items()
    if len(items) != 2:
        raise offsets.wrong("two numbers")
    return items[0].count(0)

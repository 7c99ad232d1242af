"""Model files: safetensors, with the description of the network as JSON in the metadata. No pickle.

The tensors are `layers.1.W` `(n, n_prev)`, `layers.1.Bias` `(1, n)`, `layers.2.W`, … in the network's dtype,
and where there are any, `Gain`, `moving_mean` and `moving_variance` `(1, n)`; the metadata entry `typednn` is
the description. The container, 8 bytes with the length of a JSON header, the
header, the numbers, is that of https://huggingface.co/docs/safetensors: any of its readers opens the files.
Reading takes no more memory than the file has bytes, whatever the file says.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import BinaryIO, Generic, TypeAlias, cast, overload

import numpy as np
from typednn_kernels.arrays import F, Matrix

from typednn.arrays import check_finite
from typednn.errors import FileFormatError, ShapeError
from typednn.layers import TrainableLayer
from typednn.model_descriptions import Description, DtypeName, Entry, parsed, read, written
from typednn.networks import Network
from typednn.preprocessing import Numbers, Preprocessing

KEY = "typednn"
LARGEST_HEADER = 64 * 2**20
CODES: dict[DtypeName, str] = {"float32": "F32", "float64": "F64"}
"""How safetensors calls the dtypes."""

PathLike: TypeAlias = str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class Model(Generic[F]):
    """A network and the preprocessing it was trained with.

    Attributes:
        network: takes and gives what the preprocessing makes of raw data.
        preprocessing: None where the network takes raw data.
    """

    network: Network[F]
    preprocessing: Preprocessing | None = None

    def standardized(self, x: Numbers) -> Matrix[F]:
        """What the network takes, `(n_samples, n_features)`, for raw features x of the same shape.

        Raises:
            ShapeError: features of another number.
        """
        width, dtype = self.network.layers[0].length, self.network.dtype
        if x.ndim != 2 or x.shape[1] != width:
            raise ShapeError(f"the model takes {width} features, the samples have the shape {x.shape}")
        if self.preprocessing is not None:
            return self.preprocessing.features.standardize(x, dtype)
        with np.errstate(all="ignore"):
            samples: Matrix[F] = x.astype(dtype)
        return samples

    def outputs(self, x: Numbers) -> Matrix[F]:
        """The network's outputs `(n_samples, n_outputs)` for raw features x `(n_samples, n_features)`.

        Raises:
            ShapeError, DataError: features that do not fit.
        """
        return self.network.predict(self.standardized(x))


def save(network: Network[F], path: PathLike, *, preprocessing: Preprocessing | None = None) -> None:
    """Writes a network to a safetensors file.

    The file is written beside `path` and takes its place when it is complete, so that whatever goes wrong
    leaves an existing file as it was.

    Args:
        network: its layers and parameters are saved; the state of its random generator is not.
        path: by custom `*.safetensors`.
        preprocessing: saved too, for `load_model`.

    Raises:
        DataError: a parameter is NaN or infinite.
        OSError: the file cannot be written.
    """
    little = network.dtype.newbyteorder("<")
    code = "F32" if network.dtype == np.float32 else "F64"
    header: dict[str, object] = {"__metadata__": {KEY: written(network, preprocessing)}}
    numbers: list[bytes] = []
    end = 0
    for k, layer in enumerate(network.layers):
        if isinstance(layer, TrainableLayer):
            for name, tensor in layer._tensors.items():
                check_finite(tensor, name, layer.name)
                start, end = end, end + tensor.nbytes
                header[f"layers.{k}.{name}"] = {
                    "dtype": code,
                    "shape": tensor.shape,
                    "data_offsets": (start, end),
                }
                numbers.append(tensor.astype(little, copy=False).tobytes())
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    write_file(path, b"".join([len(head).to_bytes(8, "little"), head, *numbers]))


@overload
def load(path: PathLike) -> Network[np.float32] | Network[np.float64]: ...
@overload
def load(path: PathLike, dtype: type[F]) -> Network[F]: ...
def load(
    path: PathLike, dtype: type[F] | None = None
) -> Network[np.float32] | Network[np.float64] | Network[F]:
    """Reads a network that `save` has written.

    Args:
        path: the file.
        dtype: the dtype that the network must have; a type checker then knows it.

    Raises:
        FileFormatError: the file is missing, truncated, foreign, of another version or another dtype,
            or its parts do not fit together.
    """
    network = load_model(path).network
    if dtype is None:
        return network
    if network.dtype != dtype:
        raise FileFormatError(
            f"{os.fspath(path)}: expected a network of {np.dtype(dtype)}, found one of {network.dtype}"
        )
    return cast("Network[F]", network)


def load_model(path: PathLike) -> Model[np.float32] | Model[np.float64]:
    """Reads a network and its preprocessing.

    Raises:
        FileFormatError: as `load`.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise FileFormatError(f"{path}: {'is not a file' if path.exists() else 'there is no such file'}")
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            header = _header(file, size, path)
            description = _description(header)
            starts = _starts(header, description, size - file.tell())
            numbers = file.read(size - file.tell())
            complete = file.tell() == size
    except OSError as error:
        raise FileFormatError(f"{path}: cannot be read: {error.strerror or error}") from None
    if not complete:
        raise FileFormatError(f"{path}: expected {size} bytes, found fewer: the file was changed")
    layers, preprocessing = description.new_layers(), description.preprocessing
    if description.dtype == "float32":
        return Model(_filled(Network(layers, np.float32), numbers, starts, path), preprocessing)
    return Model(_filled(Network(layers, np.float64), numbers, starts, path), preprocessing)


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


def _header(file: BinaryIO, size: int, path: Path) -> Entry:
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


def _description(header: Entry) -> Description:
    metadata = header.members().get("__metadata__")
    if metadata is None or KEY not in metadata.members():
        raise FileFormatError(f"{header.path}: expected a model of typednn, found tensors of something else")
    return read(metadata[KEY].text(), header.path)


def _starts(header: Entry, description: Description, size: int) -> dict[str, int]:
    """Where each tensor begins in so many bytes of numbers; the header must say what the layers say."""
    shapes: dict[str, tuple[int, int]] = {}
    for k, (before, layer) in enumerate(pairwise(description.layers), start=1):
        shapes |= {f"layers.{k}.{name}": shape for name, shape in layer.tensors(before.length).items()}
    tensors = {name: tensor for name, tensor in header.members().items() if name != "__metadata__"}
    if tensors.keys() != shapes.keys():
        raise FileFormatError(
            f"{header.path}: expected the tensors {_some(shapes)}, as the layers say, found {_some(tensors)}"
        )
    starts: dict[str, int] = {}
    end = 0
    for name in sorted(tensors, key=lambda name: _first(tensors[name]["data_offsets"])):
        tensor, shape = tensors[name], shapes[name]
        tensor["dtype"].one_of((CODES[description.dtype],))
        start, end = end, end + prod(shape) * np.dtype(description.dtype).itemsize
        for entry, expected in ((tensor["shape"], shape), (tensor["data_offsets"], (start, end))):
            if [each.value for each in entry.items()] != list(expected):
                raise entry.wrong(f"{list(expected)}, as the layers say")
        starts[name] = start
    if end != size:
        state = "the file is truncated" if size < end else "something follows them"
        raise FileFormatError(f"{header.path}: expected {end} bytes of numbers, found {size}: {state}")
    return starts


def _first(offsets: Entry) -> int:
    items = offsets.items()
    if len(items) != 2:
        raise offsets.wrong("two numbers")
    return items[0].count(0)


def _some(names: dict[str, tuple[int, int]] | dict[str, Entry]) -> str:
    return ", ".join(list(names)[:6]) + (", …" if len(names) > 6 else "") if names else "none"


def _filled(network: Network[F], numbers: bytes, starts: dict[str, int], path: Path) -> Network[F]:
    little = network.dtype.newbyteorder("<")
    for k, layer in enumerate(network.layers):
        if isinstance(layer, TrainableLayer):
            for name, view in layer._tensors.items():
                start = starts[f"layers.{k}.{name}"]
                view[...] = np.frombuffer(numbers, little, view.size, start).reshape(view.shape)
                if not np.isfinite(view).all():
                    raise FileFormatError(
                        f"{path}: expected finite numbers, found NaN or infinity in {name} of {layer.name}"
                    )
                if name == "moving_variance" and (view < 0).any():
                    raise FileFormatError(
                        f"{path}: expected numbers of 0 or more, found {view.min()} in {name} of {layer.name}"
                    )
    return network

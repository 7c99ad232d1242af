"""Model files: safetensors containers with the description of the network as JSON. No pickle.

The tensors are `layers.1.W` `(n, n_prev)`, `layers.1.Bias` `(1, n)`, `layers.2.W`, … in the network's dtype,
for normalised layers also `Gain`, `moving_mean` and `moving_variance` `(1, n)`. The metadata entry `typednn`
is the description.
"""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path
from typing import TypeGuard, overload

import numpy as np
from numpy.typing import NDArray
from typednn_kernels.arrays import F

from typednn.data.model import Model
from typednn.errors import FileFormatError
from typednn.files.checkpoints import KEY as CHECKPOINT
from typednn.files.model_json import Description, describe, read_description
from typednn.formats.atomic import PathLike, write_file
from typednn.formats.json_values import JsonValue
from typednn.formats.safetensors import (
    CODES,
    METADATA,
    open_tensors,
    tensor_bytes,
    tensor_entries,
)
from typednn.layers import TrainableLayer
from typednn.network.network import AnyNetwork, Network
from typednn.validation.arrays import check_finite

KEY = "typednn"


def save(network: AnyNetwork, path: PathLike) -> None:
    """Writes a network to a safetensors file; of a `Model` also its preprocessing.

    The file is written beside `path` and renamed when it is complete, so that an error leaves an existing
    file unchanged.

    Args:
        network: the network; its layers and parameters are saved, the state of its random generator is not.
        path: the file, by convention `*.safetensors`.

    Raises:
        DataError: a parameter is NaN or infinite.
        OSError: the file cannot be written.
    """
    tensors: dict[str, NDArray[np.generic]] = {}
    for k, layer in enumerate(network.layers):
        if isinstance(layer, TrainableLayer):
            for name, tensor in layer._tensors.items():
                check_finite(tensor, name, layer.name)
                tensors[f"layers.{k}.{name}"] = tensor
    preprocessing, training = None, None
    if isinstance(network, Model):
        preprocessing, training = network.preprocessing, network.training
    write_file(path, tensor_bytes(tensors, {KEY: describe(network, preprocessing, training)}))


@overload
def load(path: PathLike) -> AnyNetwork: ...
@overload
def load(path: PathLike, kind: type[Model]) -> Model: ...
@overload
def load(path: PathLike, kind: type[F]) -> Network[F]: ...
def load(path: PathLike, kind: type[Model | F] | None = None) -> AnyNetwork:
    """Reads a network that `save` has written, or the `Model` that `typednn train` has written.

    A model is a network that takes raw tables or arrays and predicts in units of the target.

    Args:
        path: the file.
        kind: what the file must have, so that a type checker knows it: `Model`, or the dtype of a network; by
            default any.

    Raises:
        FileFormatError: the file is missing, truncated, foreign, of another version or another kind, or its
            parts do not fit together.
    """
    loaded, shown = _load(path), os.fspath(path)
    if kind is None:
        return loaded
    if issubclass(kind, Model):
        if not isinstance(loaded, Model):
            raise FileFormatError(f"{shown}: expected a model with its preprocessing, found a network alone")
        return loaded
    if isinstance(loaded, Model):
        raise FileFormatError(
            f"{shown}: expected a network alone, found a model that takes raw data; "
            "load(path, Model).network is its network of preprocessed data"
        )
    if not _has_dtype(loaded, kind):
        raise FileFormatError(f"{shown}: expected a network of {np.dtype(kind)}, found one of {loaded.dtype}")
    return loaded


def _has_dtype(network: AnyNetwork, dtype: type[F]) -> TypeGuard[Network[F]]:
    return network.dtype == dtype


def _load(path: PathLike) -> AnyNetwork:
    with open_tensors(path) as file:
        description = _description(file.header)
        starts = _starts(file.header, description, file.size)
        content = file.read_tensors()
    path = Path(path)
    layers = description.new_layers()
    if description.dtype == "float32":
        network: AnyNetwork = _filled(Network(layers, np.float32), content, starts, path)
    else:
        network = _filled(Network(layers, np.float64), content, starts, path)
    if description.preprocessing is None:
        return network
    return Model(network, description.preprocessing, description.training)


def _description(header: JsonValue) -> Description:
    metadata = header.as_object().get(METADATA)
    entries = {} if metadata is None else metadata.as_object()
    if CHECKPOINT in entries:
        raise FileFormatError(
            f"{header.path}: expected a model of typednn, found the checkpoint of a training; "
            f"network.fit(..., callbacks=[Checkpoint({os.fspath(header.path)!r}, resume=True)]) continues "
            "from it, and save(network, path) writes a model"
        )
    if KEY not in entries:
        raise FileFormatError(f"{header.path}: expected a model of typednn, found tensors of something else")
    return read_description(entries[KEY].as_str(), header.path)


def _starts(header: JsonValue, description: Description, size: int) -> dict[str, int]:
    """Returns where each tensor begins after the header; checks that the tensors are those of the layers."""
    shapes: dict[str, tuple[int, int]] = {}
    for k, (before, layer) in enumerate(pairwise(description.layers), start=1):
        shapes |= {f"layers.{k}.{name}": shape for name, shape in layer.tensors(before.length).items()}
    tensors = {name: tensor for name, tensor in header.as_object().items() if name != METADATA}
    if tensors.keys() != shapes.keys():
        raise FileFormatError(
            f"{header.path}: expected the tensors {_some(shapes)}, as the layers say, found {_some(tensors)}"
        )
    for name, tensor in tensors.items():
        tensor["dtype"].as_one_of((CODES[description.dtype],))
        if [each.value for each in tensor["shape"].as_list()] != list(shapes[name]):
            raise tensor["shape"].error(f"{list(shapes[name])}, as the layers say")
    return {name: entry.start for name, entry in tensor_entries(header, size).items()}


def _some(names: dict[str, tuple[int, int]] | dict[str, JsonValue]) -> str:
    return ", ".join(list(names)[:6]) + (", …" if len(names) > 6 else "") if names else "none"


def _filled(network: Network[F], content: bytes, starts: dict[str, int], path: Path) -> Network[F]:
    """Copies the tensors in `content` into a network, and returns it."""
    little = network.dtype.newbyteorder("<")
    for k, layer in enumerate(network.layers):
        if isinstance(layer, TrainableLayer):
            layer._weights_named = None  # zeros, before there were others
            for name, view in layer._tensors.items():
                start = starts[f"layers.{k}.{name}"]
                view[...] = np.frombuffer(content, little, view.size, start).reshape(view.shape)
                if not np.isfinite(view).all():
                    raise FileFormatError(
                        f"{path}: expected finite numbers, found NaN or infinity in {name} of {layer.name}"
                    )
                if name == "moving_variance" and (view < 0).any():
                    raise FileFormatError(
                        f"{path}: expected numbers of 0 or more, found {view.min()} in {name} of {layer.name}"
                    )
    return network

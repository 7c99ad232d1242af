"""Model files: safetensors containers with the description of the network as JSON. No pickle.

The tensors are `layers.1.W` `(n, n_prev)`, `layers.1.Bias` `(1, n)`, `layers.2.W`, … in the network's dtype,
for normalised layers also `Gain`, `InnerBias`, `moving_mean` and `moving_variance` `(1, n)`. The metadata
entry `typednn` is the description: the layers, which typednn wrote the file, and of a `Model` the
preprocessing with the names of columns and classes, and what is recorded about the training.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias, TypeGuard, overload

import numpy as np
from numpy.typing import NDArray
from typednn_kernels.arrays import F, Matrix

from typednn.data.model import Model
from typednn.errors import ArrayTypeError, DataError, FileFormatError
from typednn.files.checkpoints import KEY as CHECKPOINT
from typednn.files.model_json import DescribedLayer, Description, describe, read_description
from typednn.formats.atomic import PathLike, write_file
from typednn.formats.json_values import JsonValue
from typednn.formats.safetensors import (
    CODES,
    METADATA,
    TensorFile,
    open_tensors,
    tensor_bytes,
    tensor_entries,
)
from typednn.layers import TrainableLayer
from typednn.network.network import AnyNetwork, Network, check_network
from typednn.validation.arrays import check_finite
from typednn.validation.settings import check_path

KEY = "typednn"


Read: TypeAlias = Callable[[str, Matrix[Any]], None]
"""Reads the tensor of a name into an array."""


def save(network: AnyNetwork, path: PathLike) -> None:
    """Writes a network to a safetensors file; of a `Model` also its preprocessing.

    The file is written beside `path` and renamed when it is complete, so that an error leaves an existing
    file unchanged.

    Args:
        network: the network; its layers and parameters are saved, the state of its random generator is not.
        path: the file, by convention `*.safetensors`.

    Raises:
        DataError: a parameter is NaN or infinite, or a running variance is negative.
        FileFormatError: `load` would refuse the file, such as one of more than 10,000 layers.
        OSError: the file cannot be written.

    >>> import tempfile
    >>> import numpy as np
    >>> from typednn import InputLayer, Network, OutputLayer, load, save
    >>> network = Network([InputLayer(2), OutputLayer(1)], np.float32, seed=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(network, f"{folder}/model.safetensors")
    ...     again = load(f"{folder}/model.safetensors")
    >>> bool((again.parameters == network.parameters).all()), again.dtype
    (True, dtype('float32'))
    """
    check_network(network, "save")
    check_path("path", path)
    tensors: dict[str, NDArray[np.generic]] = {}
    for k, layer in enumerate(network.layers):
        if isinstance(layer, TrainableLayer):
            for name, tensor in layer._tensors.items():
                check_finite(tensor, name, layer.name)
                if name == "moving_variance" and (tensor < 0).any():
                    raise DataError(f"{layer.name}: {name} holds {tensor.min():g}, and must be 0 or more")
                tensors[f"layers.{k}.{name}"] = tensor
    preprocessing, training = None, None
    if isinstance(network, Model):
        preprocessing, training = network.preprocessing, network.training
    description = describe(network, preprocessing, training)
    content = tensor_bytes(tensors, {KEY: description}, path)
    read_description(description, Path(path), sum(tensor.nbytes for tensor in tensors.values()))
    write_file(path, content)


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
    check_kind(kind)
    return of_kind(_load(path), path, kind)


def check_kind(kind: object) -> None:
    """Raises ArrayTypeError unless `kind` is one that `load` takes."""
    if (
        kind is not None
        and kind is not Model
        and (not isinstance(kind, type) or kind not in (np.float32, np.float64))
    ):
        raise ArrayTypeError(f"kind must be Model, np.float32, np.float64 or None, not {kind!r}")


def of_kind(loaded: AnyNetwork, path: PathLike, kind: type[Model | F] | None) -> AnyNetwork:
    """Returns what was loaded from a file.

    Raises:
        FileFormatError: it is of another kind; see `load`.
    """
    shown = os.fspath(path)
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
        description = _description(file)
        starts = _starts(file.header, description, file.size)

        def read(name: str, view: Matrix[Any]) -> None:
            file.read_into(starts[name], view)

        return _network(description, read, Path(path))


def network_with(
    description: Description, tensors: Mapping[str, NDArray[np.generic]], path: Path
) -> AnyNetwork:
    """Builds the network or model of a description and fills it with the tensors of a file, by name.

    Raises:
        FileFormatError: a tensor holds NaN or infinity, or a variance below 0.
    """

    def read(name: str, view: Matrix[Any]) -> None:
        view[...] = tensors[name].reshape(view.shape)

    return _network(description, read, path)


def _network(description: Description, read: Read, path: Path) -> AnyNetwork:
    layers = description.new_layers()
    if description.dtype == "float32":
        network: AnyNetwork = _filled(Network(layers, np.float32), read, path)
    else:
        network = _filled(Network(layers, np.float64), read, path)
    if description.preprocessing is None:
        return network
    return Model(network, description.preprocessing, description.training)


def _description(file: TensorFile) -> Description:
    header = file.header
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
    return read_description(entries[KEY].as_str(), header.path, file.size)


def _starts(header: JsonValue, description: Description, size: int) -> dict[str, int]:
    """Returns where each tensor begins after the header; checks that the tensors are those of the layers."""
    shapes = tensor_shapes(description.layers)
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


def tensor_shapes(layers: Sequence[DescribedLayer]) -> dict[str, tuple[int, int]]:
    """Returns the shapes of the tensors of described layers, by their names in a file."""
    shapes: dict[str, tuple[int, int]] = {}
    for k, (before, layer) in enumerate(pairwise(layers), start=1):
        shapes |= {f"layers.{k}.{name}": shape for name, shape in layer.tensors(before.length).items()}
    return shapes


def _some(names: dict[str, tuple[int, int]] | dict[str, JsonValue]) -> str:
    return ", ".join(list(names)[:6]) + (", …" if len(names) > 6 else "") if names else "none"


def _filled(network: Network[F], read: Read, path: Path) -> Network[F]:
    """Reads tensors into a network by their names, and returns it."""
    for k, layer in enumerate(network.layers):
        if isinstance(layer, TrainableLayer):
            layer._weights_named = None  # zeros, before there were others
            for name, view in layer._tensors.items():
                read(f"layers.{k}.{name}", view)
                if not np.isfinite(view).all():
                    raise FileFormatError(
                        f"{path}: expected finite numbers, found NaN or infinity in {name} of {layer.name}"
                    )
                if name == "moving_variance" and (view < 0).any():
                    raise FileFormatError(
                        f"{path}: expected numbers of 0 or more, found {view.min()} in {name} of {layer.name}"
                    )
    return network

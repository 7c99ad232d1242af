"""Model files: safetensors containers with the description of the network as JSON. No pickle.

The tensors are `layers.1.W` `(n, n_prev)`, `layers.1.Bias` `(1, n)`, `layers.2.W`, … in the network's dtype,
for normalised layers also `Gain`, `moving_mean` and `moving_variance` `(1, n)`. The metadata entry `typednn`
is the description.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Generic, TypeAlias, TypeGuard, overload

import numpy as np
from numpy.typing import NDArray
from typednn_kernels.arrays import F, Matrix

from typednn.data.preprocessing import Classes, Numbers, Preprocessing
from typednn.errors import ArrayTypeError, DataError, FileFormatError, SettingError, ShapeError
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


@dataclass(frozen=True, slots=True)
class Model(Generic[F]):
    """A network and the preprocessing of the data that it was trained with.

    Attributes:
        network: the network, whose samples and outputs are preprocessed ones.
        preprocessing: the preprocessing, or None for a network of raw data.
    """

    network: Network[F]
    preprocessing: Preprocessing | None = None

    def standardized(self, x: Numbers) -> Matrix[F]:
        """Preprocesses raw features x `(n_samples, n_features)`; returns samples of that shape.

        Raises:
            ShapeError: the number of features is another.
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
        """Computes the network's outputs `(n_samples, n_outputs)` for raw features `(n_samples, n_features)`.

        Raises:
            ShapeError, DataError: the features do not fit.
        """
        return self.network.predict(self.standardized(x))

    def predict(self, x: Numbers) -> NDArray[np.floating]:
        """Predicts from raw features `(n_samples, n_features)`.

        Returns:
            Numbers in the units of the target, or for classes the network's outputs, `(n_samples,
            n_outputs)`.

        Raises:
            ShapeError, DataError: the features do not fit.
        """
        outputs = self.outputs(x)
        if self.preprocessing is None or isinstance(self.preprocessing.target, Classes):
            return outputs
        return self.preprocessing.target.restore(outputs)


AnyModel: TypeAlias = Model[np.float32] | Model[np.float64]
Read: TypeAlias = Callable[[str, Matrix[Any]], None]
"""Reads the tensor of a name into an array."""
"""A model of either dtype, such as `load_model` returns."""


def save(network: AnyNetwork, path: PathLike, *, preprocessing: Preprocessing | None = None) -> None:
    """Writes a network to a safetensors file.

    The file is written beside `path` and renamed when it is complete, so that an error leaves an existing
    file unchanged.

    Args:
        network: the network; its layers and parameters are saved, the state of its random generator is not.
        path: the file, by convention `*.safetensors`.
        preprocessing: the preprocessing that `load_model` returns with the network.

    Raises:
        DataError: a parameter is NaN or infinite, or a running variance is negative.
        FileFormatError: `load` would refuse the file, such as one of more than 10,000 layers.
        OSError: the file cannot be written.
    """
    check_network(network, "save")
    check_path("path", path)
    if preprocessing is not None and not isinstance(preprocessing, Preprocessing):
        raise SettingError(f"preprocessing must be a Preprocessing, not {type(preprocessing).__name__}")
    tensors: dict[str, NDArray[np.generic]] = {}
    for k, layer in enumerate(network.layers):
        if isinstance(layer, TrainableLayer):
            for name, tensor in layer._tensors.items():
                check_finite(tensor, name, layer.name)
                if name == "moving_variance" and (tensor < 0).any():
                    raise DataError(f"{layer.name}: {name} holds {tensor.min():g}, and must be 0 or more")
                tensors[f"layers.{k}.{name}"] = tensor
    description = describe(network, preprocessing)
    content = tensor_bytes(tensors, {KEY: description}, path)
    read_description(description, Path(path), sum(tensor.nbytes for tensor in tensors.values()))
    write_file(path, content)


@overload
def load(path: PathLike) -> AnyNetwork: ...
@overload
def load(path: PathLike, dtype: type[F]) -> Network[F]: ...
def load(path: PathLike, dtype: type[F] | None = None) -> AnyNetwork:
    """Reads a network that `save` has written.

    Args:
        path: the file.
        dtype: the dtype that the network must have, so that a type checker knows it; by default either.

    Raises:
        FileFormatError: the file is missing, truncated, foreign, of another version or another dtype,
            its parts do not fit together, or it holds a preprocessing without which the network predicts
            something else.
    """
    if dtype is not None and (not isinstance(dtype, type) or dtype not in (np.float32, np.float64)):
        raise ArrayTypeError(f"dtype must be np.float32, np.float64 or None, not {dtype!r}")
    return network_alone(load_model(path), path, dtype, "typednn.files.models.load_model")


def network_alone(model: AnyModel, path: PathLike, dtype: type[F] | None, instead: str) -> AnyNetwork:
    """Returns the network of a model that was read from a file.

    Args:
        model: the model.
        path: the file.
        dtype: the dtype that the network must have; None allows either.
        instead: the function that reads networks with their preprocessing.

    Raises:
        FileFormatError: the network has another dtype, or the model has a preprocessing.
    """
    if model.preprocessing is not None:
        raise FileFormatError(
            f"{os.fspath(path)}: expected a network alone, found one that works on preprocessed data; "
            f"{instead}(path).predict(x) takes raw features, and .network is the network"
        )
    network: AnyNetwork = model.network
    if dtype is None:
        return network
    if not _has_dtype(network, dtype):
        raise FileFormatError(
            f"{os.fspath(path)}: expected a network of {np.dtype(dtype)}, found one of {network.dtype}"
        )
    return network


def _has_dtype(network: AnyNetwork, dtype: type[F]) -> TypeGuard[Network[F]]:
    return network.dtype == dtype


def load_model(path: PathLike) -> AnyModel:
    """Reads a network that `save` has written, and its preprocessing.

    Raises:
        FileFormatError: as `load`.
    """
    with open_tensors(path) as file:
        description = _description(file)
        starts = _starts(file.header, description, file.size)

        def read(name: str, view: Matrix[Any]) -> None:
            file.read_into(starts[name], view)

        return _model(description, read, Path(path))


def model_with(description: Description, tensors: Mapping[str, NDArray[np.generic]], path: Path) -> AnyModel:
    """Builds a model and fills it with the tensors of a file, by name.

    Raises:
        FileFormatError: a tensor holds NaN or infinity, or a variance below 0.
    """

    def read(name: str, view: Matrix[Any]) -> None:
        view[...] = tensors[name].reshape(view.shape)

    return _model(description, read, path)


def _model(description: Description, read: Read, path: Path) -> AnyModel:
    layers, preprocessing = description.new_layers(), description.preprocessing
    if description.dtype == "float32":
        return Model(_filled(Network(layers, np.float32), read, path), preprocessing)
    return Model(_filled(Network(layers, np.float64), read, path), preprocessing)


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

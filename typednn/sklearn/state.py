"""The state of an estimator without code: descriptions, numbers and vectors, for pickles and skops files."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from typednn.errors import DataError
from typednn.files.model_json import describe, read_description
from typednn.initializers import WeightInitializerName
from typednn.layers import TrainableLayer
from typednn.network.network import AnyNetwork, Network
from typednn.sklearn.parameters import AnyLayers
from typednn.training.rng_state import state_as_json, state_from_json

Real: TypeAlias = np.float32 | np.float64
PICKLE = Path("the state of an estimator")


def network_state(network: AnyNetwork) -> dict[str, object]:
    """Returns the description, the parameters and the state of the generator of a network."""
    return {
        "description": describe(network, None),
        "parameters": network._storage.parameters.copy(),
        "random": json.dumps(state_as_json(network._random)),
    }


def network_of(state: dict[str, object]) -> AnyNetwork:
    """Makes the network of a state.

    Raises:
        FileFormatError, DataError: the state is not that of a network.
    """
    parameters = cast("NDArray[Real]", state["parameters"])
    description = read_description(str(state["description"]), PICKLE, parameters.nbytes)
    dtype: type[Real] = np.float32 if description.dtype == "float32" else np.float64
    network: AnyNetwork = Network(description.new_layers(), dtype, seed=0)
    if parameters.shape != network._storage.parameters.shape:
        raise DataError(
            f"the network has {network._storage.parameters.size} parameters, not {parameters.size}"
        )
    network._storage.parameters[...] = parameters
    random: object = json.loads(str(state["random"]))
    network._random.bit_generator.state = state_from_json(network._random, random)
    return network


def build_state(build: AnyLayers | AnyNetwork) -> dict[str, object]:
    """Returns the state of a network, or of layers, of which some may have no weights yet.

    Raises:
        TypednnError: the layers make no network.
    """
    if isinstance(build, Network):
        return network_state(build)
    weights = [
        (layer._weights_named, layer._storage.has_weights[layer._index])
        for layer in build
        if isinstance(layer, TrainableLayer)
    ]
    network: AnyNetwork = Network(cast("Any", deepcopy(list(build))), build[0]._storage.dtype.type, seed=0)
    return {**network_state(network), "weights": json.dumps(weights)}


def build_of(state: dict[str, object]) -> AnyLayers | AnyNetwork:
    """Makes the network or the layers of a state.

    Raises:
        FileFormatError, DataError: the state is not that of a network.
    """
    network = network_of(state)
    if "weights" not in state:
        return network
    weights: list[tuple[WeightInitializerName | None, bool]] = json.loads(str(state["weights"]))
    for layer, (name, has_weights) in zip(network.layers[1:], weights, strict=True):
        assert isinstance(layer, TrainableLayer)
        layer._weights_named = name
        network._storage.has_weights[layer._index] = has_weights
    return cast("AnyLayers", list(network.layers))

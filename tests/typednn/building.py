"""Networks of the library from the problems of the oracles, and what tests ask of them."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tests.oracles.problems import Problem
from typednn import HiddenLayer, InputLayer, Network, OutputLayer
from typednn.layers import Layer

HIDDEN: tuple[Any, ...] = ("none", "sigmoid", "relu", "tanh")
OUTPUTS: tuple[Any, ...] = (*HIDDEN, "softmax")
LOSSES: tuple[Any, ...] = ("MSE", "bincrossentropy", "crossentropy")
Dtype: TypeAlias = type[np.float32] | type[np.float64]

DTYPES: tuple[Any, ...] = (np.float32, np.float64)


def pickled(thing: Any) -> Any:
    """A copy by way of bytes."""
    return pickle.loads(pickle.dumps(thing))


COPIES: tuple[Callable[[Any], Any], ...] = (copy.deepcopy, pickled)


def layers_of(case: Problem) -> list[Layer[Any]]:
    """New layers, each for itself."""
    names: tuple[Any, ...] = case.activations
    loss: Any = case.loss
    first, *between, last = case.lengths
    return [
        InputLayer(first, names[0]),
        *(HiddenLayer(n, name) for n, name in zip(between, names[1:-1], strict=True)),
        OutputLayer(last, names[-1], loss),
    ]


def network_of(case: Problem) -> Network[Any]:
    """A network with the parameters of the problem."""
    dtype: Dtype = case.x.dtype.type
    network: Network[Any] = Network(layers_of(case), dtype=dtype, seed=0)
    network.parameters[...] = case.vector
    return network


def new_network(layers: Any, dtype: Dtype, seed: int = 0) -> Any:
    """A network of layers of any types."""
    return Network(layers, dtype=dtype, seed=seed)


def ann_of(case: Problem) -> list[Any]:
    """A plain list of attached layers with the parameters of the problem; those of a network for float32."""
    if case.x.dtype == np.float32:
        return list(network_of(case).layers)
    ann: list[Any] = layers_of(case)
    for before, layer in pairwise(ann):
        layer.attach_after(before)
    for layer, W, bias in zip(ann[1:], case.weights, case.biases, strict=True):
        layer.W, layer.Bias = W, bias
    return ann


def both_ways(ann: list[Any], x: NDArray[Any], t: NDArray[Any]) -> None:
    """A forward and a backward pass, layer by layer."""
    ann[0].put_values(x)
    ann[-1].set_actual(t)
    for layer in ann:
        layer.forward()
    for layer in ann[:0:-1]:
        layer.backward()


def vector_of(ann: list[Any]) -> NDArray[Any]:
    """All parameters of a list of layers: layer by layer the weights by rows, then the biases."""
    return np.concatenate([part.reshape(-1) for layer in ann[1:] for part in (layer.W, layer.Bias)])


def gradient_of(ann: list[Any]) -> NDArray[Any]:
    """All gradients of a list of layers, in the same order."""
    return np.concatenate([part.reshape(-1) for layer in ann[1:] for part in (layer.dLdW, layer.dLdBias)])


def set_vector(ann: list[Any], vector: NDArray[Any]) -> None:
    """Changes all parameters."""
    start = 0
    for layer in ann[1:]:
        stop = start + layer.W.size
        layer.W = vector[start:stop].reshape(layer.W.shape)
        layer.Bias = vector[stop : stop + layer.length]
        start = stop + layer.length

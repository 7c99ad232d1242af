"""Layers from a configuration: annotated names, a list that grows, and functions of the dtype."""

from dataclasses import dataclass
from typing import Generic, TypeVar, assert_type

import numpy as np

from typednn import (
    ActivationName,
    AnyLayer,
    AnyNetwork,
    HiddenLayer,
    InputLayer,
    LossName,
    Network,
    OutputActivationName,
    OutputLayer,
    names,
)
from typednn.names import WeightInitializerName

F = TypeVar("F", bound=np.float32 | np.float64)
Dtype = TypeVar("Dtype", np.float32, np.float64)


@dataclass(frozen=True)
class Config:
    """The settings of a network."""

    sizes: tuple[int, ...] = (8, 4)
    hidden: ActivationName = "relu"
    output: OutputActivationName = "softmax"
    loss: LossName = "crossentropy"
    weights: WeightInitializerName = "he"


def layers_of(config: Config) -> list[AnyLayer]:
    """Builds the layers by appending."""
    layers: list[AnyLayer] = [InputLayer(4)]
    layers += [HiddenLayer(size, config.hidden, weights=config.weights) for size in config.sizes]
    layers.append(OutputLayer(3, config.output, config.loss))
    return layers


def network_of(config: Config, dtype: type[F]) -> Network[F]:
    """Builds a network of any dtype."""
    return Network(layers_of(config), dtype, seed=0)


def multilayer_perceptron(dtype: type[Dtype]) -> Network[Dtype]:
    """Builds one with a type variable of two values."""
    return Network([InputLayer(4), HiddenLayer(3, "tanh"), OutputLayer(1)], dtype=dtype, seed=0)


class Model(Generic[F]):
    """A network of a dtype."""

    def __init__(self, dtype: type[F]) -> None:
        self.network: Network[F] = Network([InputLayer(4), OutputLayer(1)], dtype)


network = network_of(Config(), np.float32)
assert_type(network, Network[np.float32])
assert_type(multilayer_perceptron(np.float64), Network[np.float64])
assert_type(Model(np.float32).network, Network[np.float32])
assert_type(names.loss.known[0] == "MSE", bool)
either: AnyNetwork = network
print(either.predict(np.zeros((2, 4), np.float32)))

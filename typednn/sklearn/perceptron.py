"""Multilayer perceptrons: their layers, and initial weights as scikit-learn draws them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, cast

import numpy as np
from typednn_kernels.activations import OutputActivationName
from typednn_kernels.arrays import Matrix, Vector
from typednn_kernels.losses import CODES, LOSSES, Loss

from typednn import names
from typednn.layers import HiddenLayer, InputLayer, Layer, OutputLayer
from typednn.network.network import AnyNetwork, Network
from typednn.sklearn.estimator import Estimator, Real
from typednn.sklearn.losses import LossScale, scale_of
from typednn.sklearn.parameters import OURS, Activation, Normalizations, OutputActivation

OUTPUT_ACTIVATIONS: dict[str, OutputActivationName] = {
    "classes": "softmax",
    "probabilities": "sigmoid",
    "signs": "none",
    "numbers": "none",
}
"""The activation of the output layer by the targets of the loss, where the loss has no canonical one."""


class PerceptronBase(Estimator):
    """What multilayer perceptrons do: make layers of their parameters, scale losses, penalise weights."""

    hidden_layer_sizes: int | Sequence[int]
    activation: Activation | Sequence[Activation]
    alpha: float
    output: OutputActivation | None
    dropout: float | Sequence[float]
    normalization: Normalizations

    @abstractmethod
    def _shape(self) -> tuple[int, str]:
        """Returns the number of outputs and the name of their loss."""

    @property
    def _scale(self) -> LossScale:
        outputs, loss = self._shape()
        return scale_of(loss, outputs)

    @property
    def _penalty(self) -> float:
        return self.alpha

    def _new_network(self, inputs: int, dtype: type[Real], random: np.random.RandomState) -> AnyNetwork:
        sizes = listed(self.hidden_layer_sizes)
        if any(size <= 0 for size in sizes):
            raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
        if any(size != int(size) for size in sizes):
            raise ValueError(f"hidden_layer_sizes must be whole numbers, got {sizes}.")
        wanted: list[str] = for_each(self.activation, len(sizes), "activation")
        activations = [OURS.get(name, name) for name in wanted]
        layers: list[Layer] = [InputLayer(inputs)]
        for size, activation, dropout, normalization in zip(
            sizes,
            activations,
            for_each(self.dropout, len(sizes), "dropout"),
            for_each(self.normalization, len(sizes), "normalization"),
            strict=True,
        ):
            layers.append(
                HiddenLayer(
                    int(size),
                    names.hidden_activation(activation),
                    weights="zeros",
                    dropout=float(dropout),
                    normalization=names.normalization(normalization),
                )
            )
        outputs, loss = self._shape()
        row = LOSSES[CODES[names.loss(loss)]]
        output = self.output or usual_activation(row)
        layers.append(
            OutputLayer(outputs, names.output_activation(OURS.get(output, output)), row.name, weights="zeros")
        )
        seed = int(random.randint(2**31)) if any(layer.dropout for layer in layers) else 0
        network: AnyNetwork = Network(layers, dtype, seed)
        draw(network, [*activations, *activations[-1:]] or ["none"], random)
        return network


def usual_activation(loss: Loss) -> OutputActivationName:
    """Returns the activation of the output layer that belongs to a loss."""
    if loss.name == "nll":
        return "log_softmax"
    return loss.canonical or OUTPUT_ACTIVATIONS[loss.targets]


def draw(network: AnyNetwork, activations: Sequence[str], random: np.random.RandomState) -> None:
    """Draws weights and biases, uniform with variance 2 / (fan_in + fan_out), or a third of it for sigmoid.

    Glorot & Bengio 2010, equation 16.
    """
    for layer, activation in zip(network.layers[1:], activations, strict=True):
        fan_out, fan_in = layer.W.shape
        bound = np.sqrt((2.0 if activation == "sigmoid" else 6.0) / (fan_in + fan_out))
        weights: Matrix[np.float64] = random.uniform(-bound, bound, (fan_in, fan_out))
        biases: Vector[np.float64] = random.uniform(-bound, bound, fan_out)
        layer.W = weights.T.astype(network.dtype)
        layer.Bias = biases.reshape(1, -1).astype(network.dtype)


def for_each(value: object, count: int, name: str) -> list[Any]:
    """Returns a value for each of `count` hidden layers, given one for all or one for each.

    Raises:
        ValueError: there are more or fewer values than layers.
    """
    values = listed(value)
    if not isinstance(value, Iterable) or isinstance(value, str):
        return values * count
    if len(values) != count:
        raise ValueError(f"{name} must have a value for each of {count} hidden layers, not {len(values)}")
    return values


def listed(value: object) -> list[Any]:
    """Returns a list of the values, or of the one value; a name is one value."""
    if isinstance(value, Iterable) and not isinstance(value, str):
        return list(cast("Iterable[object]", value))
    return [value]

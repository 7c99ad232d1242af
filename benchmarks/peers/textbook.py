"""Backpropagation in NumPy as people write it by hand after the textbook.

A class per kind of layer, column vectors, dictionaries of activations and losses, and new arrays at every
step. It imports nothing of the library; the classic layer API is compared with it.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def softmax(a: Array) -> Array:
    e = np.exp(a - np.max(a, axis=0))
    y: Array = e / np.sum(e, axis=0)
    return y


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "none": lambda a: a,
    "sigmoid": lambda a: 1 / (1 + np.exp(-a)),
    "relu": lambda a: np.maximum(a, 0),
    "tanh": np.tanh,
    "softmax": softmax,
}
DERIVATIVES: dict[str, Callable[[Array, Array], Array]] = {
    "none": lambda a, h: np.ones_like(a),
    "sigmoid": lambda a, h: h * (1 - h),
    "relu": lambda a, h: (a > 0).astype(a.dtype),
    "tanh": lambda a, h: 1 - h**2,
}
LOSSES: dict[str, Callable[[Array, Array], Any]] = {
    "MSE": lambda y, t: np.mean((y - t) ** 2),
    "bincrossentropy": lambda y, t: -np.mean(t * np.log(y) + (1 - t) * np.log(1 - y)),
    "crossentropy": lambda y, t: -np.sum(t * np.log(y)) / t.shape[1],
}
LOSS_DERIVATIVES: dict[str, Callable[[Array, Array], Array]] = {
    "MSE": lambda y, t: 2 * (y - t) / y.size,
    "bincrossentropy": lambda y, t: (y - t) / (y * (1 - y)) / y.size,
}


def weight_gradient(dLda: Array, h: Array) -> Array:
    return np.outer(dLda, h) if h.shape[1] == 1 else np.dot(dLda, h.T)


class InputLayer:
    h: Array

    def __init__(self, length: int) -> None:
        self.length = length

    def put_values(self, values: Array) -> None:
        self.h = values.T if values.ndim == 2 else values.reshape(-1, 1)

    def forward(self) -> None:
        pass


class TrainableLayer:
    next: TrainableLayer
    h: Array
    dLda: Array

    def __init__(self, length: int, actname: str) -> None:
        self.length, self.actname = length, actname
        self.activation = ACTIVATIONS[actname]

    def attach_after(self, layer: InputLayer | TrainableLayer) -> None:
        self.previous = layer
        if isinstance(layer, TrainableLayer):
            layer.next = self

    def set_parameters(self, W: Array, Bias: Array) -> None:
        self.W, self.Bias = W.copy(), Bias.reshape(1, -1).copy()

    def forward(self) -> None:
        self.a = np.dot(self.W, self.previous.h) + self.Bias.T
        self.h = self.activation(self.a)


class HiddenLayer(TrainableLayer):
    def backward(self) -> None:
        self.dLdh = np.dot(self.next.W.T, self.next.dLda)
        self.dLda = self.dLdh * DERIVATIVES[self.actname](self.a, self.h)
        self.dLdW = weight_gradient(self.dLda, self.previous.h)


class OutputLayer(TrainableLayer):
    def __init__(self, length: int, actname: str, lossname: str) -> None:
        super().__init__(length, actname)
        self.lossname = lossname

    def set_actual(self, actual: Array) -> None:
        self.actual = actual.T if actual.ndim == 2 else actual.reshape(-1, 1)

    def loss(self) -> float:
        return float(LOSSES[self.lossname](self.h, self.actual))

    def backward(self) -> None:
        if self.actname == "softmax" and self.lossname == "crossentropy":
            self.dLda = (self.h - self.actual) / self.h.shape[1]
        else:
            self.dLdy = LOSS_DERIVATIVES[self.lossname](self.h, self.actual)
            self.dLda = self.dLdy * DERIVATIVES[self.actname](self.a, self.h)
        self.dLdW = weight_gradient(self.dLda, self.previous.h)


class IdleLayer:
    """A layer that computes nothing: it shows what the hand-written loop itself costs."""

    def __init__(self, n_prev: int, n: int, dtype: np.dtype[Any]) -> None:
        self.W, self.dLdW = np.zeros((n, n_prev), dtype), np.zeros((n, n_prev), dtype)
        self.Bias, self.dLda = np.zeros((1, n), dtype), np.zeros((n, 1), dtype)

    def put_values(self, values: Array) -> None:
        pass

    def set_actual(self, actual: Array) -> None:
        pass

    def forward(self) -> None:
        pass

    def backward(self) -> None:
        pass


def attached(lengths: tuple[int, ...], activations: tuple[str, ...], lossname: str) -> list[Any]:
    """Builds the layers of a network, the input layer first, and attaches them."""
    ANN: list[Any] = [InputLayer(lengths[0])]
    for length, actname in zip(lengths[1:-1], activations[:-1], strict=True):
        ANN.append(HiddenLayer(length, actname))
    ANN.append(OutputLayer(lengths[-1], activations[-1], lossname))
    for previous, layer in pairwise(ANN):
        layer.attach_after(previous)
    return ANN


def step(ANN: list[Any], x: Array, y: Array, eta: float) -> None:
    """Trains on one sample by a hand-written loop, for layers of either library."""
    ANN[0].put_values(x)
    ANN[-1].set_actual(y)
    for layer in ANN:
        layer.forward()
    for i in range(len(ANN) - 1, 0, -1):
        ANN[i].backward()
    for i in range(1, len(ANN)):
        ANN[i].W -= eta * ANN[i].dLdW
        ANN[i].Bias -= eta * ANN[i].dLda.reshape(1, -1)


def gradient_descent_epoch(ANN: list[Any], x: Array, y: Array, eta: float) -> float:
    """Trains on each sample in the given order and returns the mean of the losses before each step."""
    total = 0.0
    for sample, target in zip(x, y, strict=True):
        step(ANN, sample, target, eta)
        total += ANN[-1].loss()
    return total / len(x)


def batch_gradient_descent_epoch(ANN: list[Any], x: Array, y: Array, eta: float, size: int) -> float:
    """Trains as `gradient_descent_epoch`, a step for each batch, whose biases get the sum of all deltas."""
    total = 0.0
    for start in range(0, len(x), size):
        ANN[0].put_values(x[start : start + size])
        ANN[-1].set_actual(y[start : start + size])
        for layer in ANN:
            layer.forward()
        for i in range(len(ANN) - 1, 0, -1):
            ANN[i].backward()
        for i in range(1, len(ANN)):
            ANN[i].W -= eta * ANN[i].dLdW
            ANN[i].Bias -= eta * ANN[i].dLda.sum(axis=1)
        total += ANN[-1].loss()
    return total * size / len(x)

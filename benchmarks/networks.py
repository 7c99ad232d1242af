"""Networks that the candidates train, one row each, and the data that they are trained on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from typednn_kernels import activations, losses
from typednn_kernels.activations import OutputActivationName
from typednn_kernels.arrays import Layout
from typednn_kernels.layout import biases, layout_of, parameter_count, weights
from typednn_kernels.losses import LossName

Array: TypeAlias = NDArray[Any]
"""An array of the dtype of the run, float32 or float64."""

DTYPES = ("float32", "float64")

OptimizerName: TypeAlias = Literal["SGD", "Adam"]
LEARNING_RATES: dict[OptimizerName, float] = {"SGD": 0.01, "Adam": 0.001}
BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-30
"""Settings of Adam. Candidates add epsilon at different places, so it is too small to make a difference."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """A network and the size of a timed run.

    Attributes:
        lengths: number of units of each layer, the input layer first.
        activations: activation of each layer but the input layer.
        loss: name of the loss.
        samples: number of samples that a timed run trains.
        batch_size: number of samples per step.
    """

    lengths: tuple[int, ...]
    activations: tuple[OutputActivationName, ...]
    loss: LossName
    samples: int
    batch_size: int = 1

    @property
    def name(self) -> str:
        """Lengths and batch size, such as `784-128-10` or `784-128-10 × 64`."""
        batch = f" × {self.batch_size}" if self.batch_size > 1 else ""
        return "-".join(map(str, self.lengths)) + batch

    @property
    def flops(self) -> int:
        """Number of floating-point operations in the matrix products of training, per sample."""
        pairs = list(zip(self.lengths, self.lengths[1:], strict=False))
        return sum(6 * n_prev * n for n_prev, n in pairs) - 2 * pairs[0][0] * pairs[0][1]


ONLINE = (
    Architecture((2, 2, 1), ("sigmoid", "none"), "MSE", 16384),
    Architecture((5, 3, 5), ("tanh", "sigmoid"), "bincrossentropy", 16384),
    Architecture((784, 10, 10, 10), ("relu", "relu", "softmax"), "crossentropy", 4096),
    Architecture((784, 128, 10), ("relu", "softmax"), "crossentropy", 1024),
    Architecture((784, 512, 10), ("relu", "softmax"), "crossentropy", 512),
    Architecture((400, 400, 400), ("relu", "softmax"), "crossentropy", 512),
)
"""Networks trained with one sample per step."""

HAND_WRITTEN = (ONLINE[0], ONLINE[1], ONLINE[3])
"""Networks trained by a hand-written loop over the layers."""

PREDICTED = (ONLINE[0], ONLINE[3])
"""Networks that predict one sample at a time."""

BATCHES = (
    Architecture((64, 32, 10), ("relu", "softmax"), "crossentropy", 32 * 512, 32),
    Architecture((784, 128, 10), ("relu", "softmax"), "crossentropy", 64 * 64, 64),
    Architecture((784, 512, 256, 10), ("relu", "relu", "softmax"), "crossentropy", 128 * 16, 128),
    Architecture((2048, 2048, 2048, 10), ("relu", "relu", "softmax"), "crossentropy", 256 * 4, 256),
)
"""Networks trained with mini-batches."""

XOR = Architecture((2, 2, 1), ("sigmoid", "none"), "MSE", 4 * 5000)
XOR_BATCH = Architecture((2, 4, 1), ("tanh", "sigmoid"), "bincrossentropy", 4 * 2000, 4)
IRIS = Architecture((4, 16, 3), ("relu", "softmax"), "crossentropy", 150 * 200, 150)
SMALL_DATA = ((XOR, 4), (XOR_BATCH, 4), (IRIS, 150))
"""Networks trained for many epochs with few samples, and how many samples there are."""

CALLED = (
    Architecture((2, 2, 1), ("sigmoid", "none"), "MSE", 32, 32),
    Architecture((64, 32, 10), ("relu", "softmax"), "crossentropy", 32, 32),
    Architecture((784, 128, 10), ("relu", "softmax"), "crossentropy", 32, 32),
)
"""Networks that are called with one sample and with one batch."""

STREAM = Architecture((5, 16, 1), ("relu", "none"), "MSE", 256)
"""A network trained with a stream of samples."""


class Task:
    """A network with its initial parameters, and samples in the order in which they are trained.

    Attributes:
        parameters: initial parameters, a flat vector in the layout of the kernels; read-only.
        x: samples `(n_samples, n_inputs)`.
        t: targets `(n_samples, n_outputs)`.
        labels: class of each sample `(n_samples,)`; `t` is its one-hot form where the loss is crossentropy.
        optimizer: name of the optimiser, which follows the gradient of the mean loss of a batch.
        learning_rate: its learning rate.
        epsilon: what Adam adds to its divisor.
        distinct: number of samples after which they repeat: those of an epoch.
    """

    def __init__(
        self,
        architecture: Architecture,
        dtype: str,
        samples: int | None = None,
        optimizer: OptimizerName = "SGD",
        distinct: int | None = None,
    ) -> None:
        rng = np.random.default_rng(3)
        self.architecture = architecture
        self.optimizer: OptimizerName = optimizer
        self.learning_rate = LEARNING_RATES[optimizer]
        self.epsilon = EPSILON
        self.dtype = np.dtype(dtype)
        self.batch_size = architecture.batch_size
        count = samples or architecture.samples
        names = ("none", *architecture.activations)
        self.layout: Layout = layout_of(architecture.lengths, [activations.CODES[name] for name in names])
        self.loss = losses.CODES[architecture.loss]
        self.parameters: Array = np.zeros(parameter_count(self.layout), self.dtype)
        for k in range(1, len(self.layout)):
            W = weights(self.parameters, self.layout, k)
            W[...] = rng.normal(0, np.sqrt(2 / sum(W.shape)), W.shape)
            biases(self.parameters, self.layout, k)[...] = rng.normal(0, 0.1, len(W))
        self.parameters.setflags(write=False)
        n_inputs, n_outputs = architecture.lengths[0], architecture.lengths[-1]
        self.x: Array = rng.uniform(-0.5, 0.5, (count, n_inputs)).astype(self.dtype)
        self.labels = rng.integers(0, n_outputs, count)
        self.t: Array
        if architecture.loss == "crossentropy":
            self.t = np.eye(n_outputs, dtype=self.dtype)[self.labels]
        elif architecture.loss == "bincrossentropy":
            self.t = rng.integers(0, 2, (count, n_outputs)).astype(self.dtype)
        else:
            self.t = rng.uniform(0, 1, (count, n_outputs)).astype(self.dtype)
        self.distinct = distinct or count
        rows = np.arange(count) % self.distinct
        self.x, self.t, self.labels = self.x[rows], self.t[rows], self.labels[rows]

    @cached_property
    def weights(self) -> list[Array]:
        """Initial weights `(n, n_prev)` of each layer but the input layer; views."""
        return [weights(self.parameters, self.layout, k) for k in range(1, len(self.layout))]

    @cached_property
    def biases(self) -> list[Array]:
        """Initial biases `(n,)` of each layer but the input layer; views."""
        return [biases(self.parameters, self.layout, k) for k in range(1, len(self.layout))]


def flat(weight_arrays: list[Array], bias_arrays: list[Array]) -> Array:
    """Joins weights `(n, n_prev)` and biases `(n,)` to one vector in the layout of `Task.parameters`."""
    parts = [part.reshape(-1) for pair in zip(weight_arrays, bias_arrays, strict=True) for part in pair]
    return np.concatenate(parts)

"""typednn as a contestant, and the two that are its shape: the C program and the textbook layers."""

from __future__ import annotations

import ctypes
import ctypes.util
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import numpy as np
from typednn_kernels.activations import ActivationName
from typednn_kernels.arrays import Order
from typednn_kernels.layout import unit_count
from typednn_kernels.operands import Epoch, OptimizerSteps, Workspace

from benchmarks.cases.networks import BETA_1, BETA_2, EPSILON, Array, Task, flat
from benchmarks.peers import c as peers_c
from benchmarks.peers import textbook
from benchmarks.peers.peers import AbsentError
from typednn import SGD, Adam, HiddenLayer, InputLayer, Network, Optimizer, OutputLayer
from typednn.backends import kernels
from typednn.training.optimizer_state import OptimizerState


class VectorTrainer:
    """What trainers over one flat vector share: parameters, order, and workspaces."""

    def __init__(self, task: Task) -> None:
        self.task = task
        size = task.batch_size * unit_count(task.layout)
        self.vector: Array = task.parameters.copy()
        self.gradient: Array = np.empty_like(self.vector)
        self.rate: Any = task.dtype.type(task.learning_rate)
        self.order: Order = np.arange(len(task.x))
        self.unweighted: Array = np.empty(0, task.dtype)
        self.unweighted.setflags(write=False)
        self.losses: Array = np.empty(len(task.x), task.dtype)
        self.workspace: Workspace[Any] = Workspace(*(np.zeros(size, task.dtype) for _ in range(4)))

    def reset(self) -> None:
        """Goes back to the first parameters."""
        self.vector[...] = self.task.parameters

    def parameters(self) -> Array:
        """The parameters now."""
        return self.vector.copy()

    def epoch(self, samples: int) -> Epoch[Any]:
        """The first samples, in order."""
        task, order, losses = self.task, self.order[:samples], self.losses[:samples]
        return Epoch(task.x, task.t, self.unweighted, order, task.batch_size, losses)

    def run(self, train_online: Callable[..., object], samples: int) -> None:
        """One call that trains with the first samples, one at a step."""
        task = self.task
        train_online(self.vector, task.layout, task.loss, self.epoch(samples), self.rate, self.workspace)


class KernelTrainer(VectorTrainer):
    """The kernel of the active backend: one call for all samples."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self._kernels = kernels(task.dtype)
        self._storage = network(task)._storage
        self.updates = OptimizerState(self._storage, optimizer(task))

    def reset(self) -> None:
        """Goes back to the first parameters."""
        super().reset()
        self.updates = OptimizerState(self._storage, optimizer(self.task))

    def train(self, samples: int) -> None:
        """Steps over the first samples."""
        task = self.task
        if task.batch_size == 1:
            self.run(self._kernels.train_online, samples)
            return
        updates = self.updates
        optimizer = OptimizerSteps(
            updates.rule,
            updates.coefficients(samples // task.batch_size),
            updates.trainable_ranges,
            updates.penalties,
            updates.states,
        )
        self._kernels.train_batches(
            self.vector,
            task.layout,
            0,
            task.loss,
            self.epoch(samples),
            optimizer,
            self.workspace,
            self.gradient,
        )
        self.updates.step += samples // task.batch_size


class CTrainer(VectorTrainer):
    """The C program: one call for all samples.

    Raises:
        AbsentError: there is no gcc.
    """

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        if peers_c.gcc() is None:
            raise AbsentError("gcc is not installed")
        with denormals_kept():
            self.train(1)
        self.reset()

    def train(self, samples: int) -> None:
        """Steps over the first samples."""
        self.run(peers_c.train_online, samples)


@contextmanager
def denormals_kept() -> Generator[None, None, None]:
    """Undoes what loading a library made with -ffast-math does: numbers below the normal range become 0.

    It would do so in the whole process, for all contestants.
    """
    library = ctypes.CDLL(ctypes.util.find_library("m"))
    environment = ctypes.create_string_buffer(256)
    library.fegetenv(environment)
    try:
        yield
    finally:
        library.fesetenv(environment)


class FitTrainer:
    """`Network.fit`: an epoch, with all its checks."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self._network = network(task)

    def reset(self) -> None:
        """Goes back to the first parameters."""
        self._network.parameters[...] = self.task.parameters

    def train(self, samples: int) -> None:
        """Steps over the first samples."""
        task = self.task
        self._network.fit(
            task.x[:samples],
            task.t[:samples],
            epochs=1,
            batch_size=task.batch_size,
            optimizer=optimizer(task),
            shuffle=False,
        )

    def parameters(self) -> Array:
        """The parameters now."""
        return self._network.parameters.copy()


class LayersTrainer:
    """Layers in a plain list, and a Python loop over the samples."""

    def __init__(self, task: Task, layers: list[Any]) -> None:
        self.task = task
        self.layers = layers

    def train(self, samples: int) -> None:
        """Steps over the first samples."""
        task = self.task
        for x, t in zip(task.x[:samples], task.t[:samples], strict=True):
            textbook.step(self.layers, x, t, task.learning_rate)

    def parameters(self) -> Array:
        """The parameters now."""
        return flat([layer.W for layer in self.layers[1:]], [layer.Bias for layer in self.layers[1:]])


class ClassicTrainer(LayersTrainer):
    """The layers of typednn: the loop written by hand."""

    def __init__(self, task: Task) -> None:
        super().__init__(task, list(network(task).layers))

    def reset(self) -> None:
        """Goes back to the first parameters."""
        for layer, W, bias in zip(self.layers[1:], self.task.weights, self.task.biases, strict=True):
            layer.W, layer.Bias = W, bias


class TextbookTrainer(LayersTrainer):
    """The textbook layers: the same loop."""

    def __init__(self, task: Task) -> None:
        row = task.architecture
        super().__init__(task, textbook.attached(row.lengths, row.activations, row.loss))
        self.reset()

    def reset(self) -> None:
        """Goes back to the first parameters."""
        for layer, W, bias in zip(self.layers[1:], self.task.weights, self.task.biases, strict=True):
            layer.set_parameters(W, bias)


class TextbookEpochTrainer(TextbookTrainer):
    """The textbook layers, and their epoch with its losses."""

    def train(self, samples: int) -> None:
        """Steps over the first samples."""
        task = self.task
        textbook.gradient_descent_epoch(self.layers, task.x[:samples], task.t[:samples], task.learning_rate)


class FastPredictor:
    """The typed door: `Network.predictor`, which makes no array."""

    def __init__(self, task: Task) -> None:
        self.run: Callable[[], Array] = partial(network(task).predictor(), task.x[0])


class PlainPredictor:
    """The typed door: `Network.predict`."""

    def __init__(self, task: Task) -> None:
        self.run: Callable[[], Array] = partial(network(task).predict, task.x)


def optimizer(task: Task) -> Optimizer:
    """The optimiser of the task."""
    if task.optimizer == "SGD":
        return SGD(task.learning_rate)
    return Adam(task.learning_rate, BETA_1, BETA_2, EPSILON)


def network(task: Task) -> Network[Any]:
    """The typed door, with the first parameters."""
    row = task.architecture
    names = cast("tuple[ActivationName, ...]", row.activations[:-1])
    hidden = [HiddenLayer(n, name) for n, name in zip(row.lengths[1:-1], names, strict=True)]
    layers = [
        InputLayer(row.lengths[0]),
        *hidden,
        OutputLayer(row.lengths[-1], row.activations[-1], row.loss),
    ]
    made: Network[Any] = Network(layers, dtype=task.dtype.type, seed=0)
    made.parameters[...] = task.parameters
    return made

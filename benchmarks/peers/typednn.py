"""typednn: its training kernels, what users call to train, the classic layer API, and prediction."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

from typednn_kernels.activations import ActivationName
from typednn_kernels.operands import OptimizerSteps

from benchmarks.networks import BETA_1, BETA_2, Array, Task
from benchmarks.peers.layers_trainer import LayersTrainer
from benchmarks.peers.vector_trainer import VectorTrainer
from typednn import (
    SGD,
    Adam,
    HiddenLayer,
    InputLayer,
    Network,
    Optimizer,
    OutputLayer,
    Steps,
    gradient_descent_epoch,
    gradient_descent_threshold,
    use_backend,
)
from typednn.backends import kernels
from typednn.training.optimizer_state import OptimizerState


class KernelTrainer(VectorTrainer):
    """Trains by one call of a kernel of the active backend for all samples."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self._kernels = kernels(task.dtype)
        self._storage = network(task)._storage
        self.updates = OptimizerState(self._storage, optimizer(task))

    def reset(self) -> None:
        """Restores the initial parameters."""
        super().reset()
        self.updates = OptimizerState(self._storage, optimizer(self.task))

    def train(self, samples: int) -> None:
        """Trains on the first samples."""
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


class FitTrainer:
    """Trains by `Network.fit`, one epoch with all its checks."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self._network = network(task)

    def reset(self) -> None:
        """Restores the initial parameters."""
        self._network.parameters[...] = self.task.parameters

    def train(self, samples: int) -> None:
        """Trains on the first samples."""
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
        """Returns a copy of the parameters."""
        return self._network.parameters.copy()


class EpochsTrainer(FitTrainer):
    """Trains by one call of `Network.fit` for many epochs of the distinct samples."""

    shuffle = False

    def train(self, samples: int) -> None:
        """Trains on the first samples."""
        task, n = self.task, self.task.distinct
        self._network.fit(
            task.x[:n],
            task.t[:n],
            epochs=samples // n,
            batch_size=task.batch_size,
            optimizer=optimizer(task),
            shuffle=self.shuffle,
        )


class ShuffledTrainer(EpochsTrainer):
    """Trains as `EpochsTrainer`, each epoch in an order of its own."""

    shuffle = True


class GradientDescentTrainer(FitTrainer):
    """Trains by `gradient_descent_epoch`."""

    def train(self, samples: int) -> None:
        """Trains on the first samples."""
        task, n = self.task, self.task.distinct
        layers = list(self._network.layers)
        gradient_descent_epoch(layers, task.x[:n], task.t[:n], task.learning_rate, samples // n)


class ThresholdTrainer(FitTrainer):
    """Trains by `gradient_descent_threshold`, which looks at each loss; none reaches the threshold."""

    def train(self, samples: int) -> None:
        """Trains on the first samples."""
        task, n = self.task, self.task.distinct
        layers, epochs = list(self._network.layers), samples // n
        data = task.x[:n], task.t[:n]
        _, losses = gradient_descent_threshold(layers, *data, task.learning_rate, -1.0, epochs)
        assert len(losses) == epochs, "the loss has risen"


class StepsTrainer(FitTrainer):
    """Trains by `Steps.train`, a call for each batch."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        size = task.batch_size
        self.reset()
        self._batches = [
            (task.x[start : start + size], task.t[start : start + size])
            for start in range(0, len(task.x), size)
        ]

    def reset(self) -> None:
        """Restores the initial parameters."""
        super().reset()
        self._steps = Steps(self._network, optimizer(self.task))

    def train(self, samples: int) -> None:
        """Trains on the first samples."""
        train = self._steps.train
        for x, t in self._batches[: samples // self.task.batch_size]:
            train(x, t)


class StreamTrainer(StepsTrainer):
    """Trains by `Steps.train`, a call for each sample `(n_inputs,)`."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self._batches = list(zip(task.x, task.t, strict=True))


class NumpyFitTrainer(FitTrainer):
    """Trains by `Network.fit` on the NumPy path."""

    def train(self, samples: int) -> None:
        """Trains on the first samples."""
        with use_backend("numpy"):
            super().train(samples)


class ForwardAndBackward:
    """Computes the gradient of the mean loss of a batch by `network.forward(x).backward(y)`."""

    def __init__(self, task: Task) -> None:
        made = network(task)
        x, t = task.x, task.t
        self.run: Callable[[], object] = lambda: made.forward(x).backward(t)
        self.result: Callable[[], Array] = lambda: made.forward(x).backward(t).vector


class ClassicTrainer(LayersTrainer):
    """Trains the layers of the classic layer API by a hand-written loop."""

    def __init__(self, task: Task) -> None:
        super().__init__(task, list(network(task).layers))

    def reset(self) -> None:
        """Restores the initial parameters."""
        for layer, W, bias in zip(self.layers[1:], self.task.weights, self.task.biases, strict=True):
            layer.W, layer.Bias = W, bias


class FastPredictor:
    """Predicts one sample by `Network.predictor`, which allocates no array."""

    def __init__(self, task: Task) -> None:
        self.run: Callable[[], Array] = partial(network(task).predictor(), task.x[0])


class PlainPredictor:
    """Predicts by `Network.predict`."""

    def __init__(self, task: Task) -> None:
        self.run: Callable[[], Array] = partial(network(task).predict, task.x)


def optimizer(task: Task) -> Optimizer:
    """Returns the optimiser of the task."""
    if task.optimizer == "SGD":
        return SGD(task.learning_rate)
    return Adam(task.learning_rate, BETA_1, BETA_2, task.epsilon)


def network(task: Task) -> Network[Any]:
    """Builds the network of the task with its initial parameters."""
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

"""Trainers that run a hand-written Python loop over a list of layers."""

from __future__ import annotations

from typing import Any

from benchmarks.networks import Array, Task, flat
from benchmarks.peers import textbook


class LayersTrainer:
    """Trains layers in a plain list, one sample per step."""

    def __init__(self, task: Task, layers: list[Any]) -> None:
        self.task = task
        self.layers = layers

    def train(self, samples: int) -> None:
        """Trains on the first samples."""
        task = self.task
        for x, t in zip(task.x[:samples], task.t[:samples], strict=True):
            textbook.step(self.layers, x, t, task.learning_rate)

    def parameters(self) -> Array:
        """Returns the parameters as one vector."""
        return flat([layer.W for layer in self.layers[1:]], [layer.Bias for layer in self.layers[1:]])


class TextbookTrainer(LayersTrainer):
    """Trains the layers of `textbook`."""

    def __init__(self, task: Task) -> None:
        row = task.architecture
        super().__init__(task, textbook.attached(row.lengths, row.activations, row.loss))
        self.reset()

    def reset(self) -> None:
        """Restores the initial parameters."""
        for layer, W, bias in zip(self.layers[1:], self.task.weights, self.task.biases, strict=True):
            layer.set_parameters(W, bias)


class TextbookEpochTrainer(TextbookTrainer):
    """Trains the layers of `textbook` by its epoch, which also computes the loss of each sample."""

    def train(self, samples: int) -> None:
        """Trains on the first samples."""
        task = self.task
        x, t, rate, size = task.x[:samples], task.t[:samples], task.learning_rate, task.batch_size
        if size == 1:
            textbook.gradient_descent_epoch(self.layers, x, t, rate)
        else:
            textbook.batch_gradient_descent_epoch(self.layers, x, t, rate, size)

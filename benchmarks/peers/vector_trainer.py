"""Base of trainers that call a kernel on one flat vector of parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from typednn_kernels.arrays import Order
from typednn_kernels.layout import unit_count
from typednn_kernels.operands import Epoch, Workspace

from benchmarks.networks import Array, Task


class VectorTrainer:
    """Holds parameters, order and workspace of the kernels `train_online` and `train_batches`."""

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
        """Restores the initial parameters."""
        self.vector[...] = self.task.parameters

    def parameters(self) -> Array:
        """Returns a copy of the parameters."""
        return self.vector.copy()

    def epoch(self, samples: int) -> Epoch[Any]:
        """Returns the first samples, in order."""
        task, order, losses = self.task, self.order[:samples], self.losses[:samples]
        return Epoch(task.x, task.t, self.unweighted, order, task.batch_size, losses)

    def run(self, train_online: Callable[..., object], samples: int) -> None:
        """Trains on the first samples, one per step, in one call of a kernel."""
        task = self.task
        train_online(self.vector, task.layout, task.loss, self.epoch(samples), self.rate, self.workspace)

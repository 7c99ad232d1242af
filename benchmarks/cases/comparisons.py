"""Who competes in what: all contestants of a training, of a hand-written loop, of a prediction.

Each contest is checked before it is timed: everybody has to compute the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import ceil
from time import perf_counter
from typing import Any

import numpy as np
from typednn_kernels import plain
from typednn_kernels.dropout import INFERENCE
from typednn_kernels.layout import block, unit_count
from typednn_kernels.operands import Workspace

from benchmarks.cases.networks import Architecture, Array, OptimizerName, Task
from benchmarks.peers.peers import BATCH_PEERS, CLASSIC_PEERS, ONLINE_PEERS, PREDICTORS, AbsentError, Peer
from benchmarks.timing import Contestant

CHECKED_SAMPLES = 48
UNITS = 64
"""After so many samples all parameters agree, within so many eps of the largest.

Adam divides by the size of the gradient, and so magnifies the rounding of small ones; of float32 too little
is left there, so it is checked in float64.
"""


class TrainingContest:
    """Everybody who is here trains the network of one task.

    Attributes:
        trainers: by name.
        absent: who is not here, and why.
    """

    def __init__(
        self,
        architecture: Architecture,
        dtype: str,
        peers: Sequence[Peer],
        samples: int | None = None,
        optimizer: OptimizerName = "SGD",
    ) -> None:
        self.task = Task(architecture, dtype, samples, optimizer)
        self.peers = peers
        self.trainers: dict[str, Any] = {}
        self.absent: dict[str, str] = {}
        for peer in peers:
            try:
                self.trainers[peer.name] = peer.make(self.task)
            except AbsentError as reason:
                self.absent[peer.name] = str(reason)

    def check(self) -> None:
        """Raises AssertionError unless all end with the same parameters."""
        task = self.task
        samples = min(len(task.x), max(CHECKED_SAMPLES, 2 * task.batch_size))
        if task.optimizer == "Adam" and task.dtype != np.float64:
            TrainingContest(task.architecture, "float64", self.peers, samples, task.optimizer).check()
            return
        reference: Array | None = None
        for name, trainer in self.trainers.items():
            trainer.reset()
            trainer.train(samples)
            computed: Array = trainer.parameters()
            assert computed.dtype == task.dtype, f"{name} computes in {computed.dtype}"
            if reference is None:
                reference = computed
                assert not np.array_equal(reference, task.parameters), f"{name} did not train"
            off = abs(computed - reference).max() / abs(reference).max() / np.finfo(reference.dtype).eps
            assert off <= UNITS, f"{name} differs from {self.peers[0].name} by {off:.3g} units"

    def contestants(self, longest: float) -> list[Contestant]:
        """The contestants; times are per step. Those who run Python at each step train so many seconds."""
        return [self._contestant(peer, longest) for peer in self.peers if peer.name in self.trainers]

    def _contestant(self, peer: Peer, longest: float) -> Contestant:
        trainer, batch = self.trainers[peer.name], self.task.batch_size
        samples = len(self.task.x)
        tried = min(samples, 8 * batch) if peer.stepwise else samples
        if hasattr(trainer, "choices"):
            trainer.choice = min(trainer.choices, key=partial(self._seconds, trainer, tried))
        if peer.stepwise:
            steps = tried / batch * longest / self._seconds(trainer, tried)
            samples = min(samples, max(1, ceil(steps)) * batch)
        return Contestant(peer.name, partial(trainer.train, samples), samples / batch, trainer.reset)

    @staticmethod
    def _seconds(trainer: Any, samples: int, choice: int | None = None) -> float:
        """How long it takes to train the first samples, after a try."""
        if choice is not None:
            trainer.choice = choice
        trainer.reset()
        trainer.train(samples)
        trainer.reset()
        began = perf_counter()
        trainer.train(samples)
        return perf_counter() - began


class PredictionContest:
    """Everybody who is here predicts one sample, again and again.

    Attributes:
        predictors: by name, what is called.
        absent: who is not here, and why.
    """

    def __init__(self, architecture: Architecture, dtype: str) -> None:
        self.task = Task(architecture, dtype, 1)
        self.predictors: dict[str, Callable[[], Array]] = {}
        self.absent: dict[str, str] = {}
        for peer in PREDICTORS:
            try:
                self.predictors[peer.name] = peer.make(self.task).run
            except AbsentError as reason:
                self.absent[peer.name] = str(reason)

    def check(self) -> None:
        """Raises AssertionError unless all predict what the plain kernels do."""
        task = self.task
        workspace = Workspace(*(np.zeros(unit_count(task.layout), task.dtype) for _ in range(4)))
        plain.forward(task.parameters, task.layout, INFERENCE, task.x, workspace)
        reference = block(workspace.h, task.layout, len(task.layout) - 1, 1)[0]
        for name, predict in self.predictors.items():
            outputs = predict().reshape(-1)
            assert outputs.dtype == task.dtype, f"{name} predicts in {outputs.dtype}"
            off = abs(outputs - reference).max() / abs(reference).max() / np.finfo(task.dtype).eps
            assert off <= UNITS, f"{name} differs by {off:.3g} units"

    def contestants(self) -> list[Contestant]:
        """The contestants; times are per sample."""
        return [Contestant(name, predict) for name, predict in self.predictors.items()]


def online(architecture: Architecture, dtype: str, samples: int | None = None) -> TrainingContest:
    """A sample a step, in one call where the contestant can."""
    return TrainingContest(architecture, dtype, ONLINE_PEERS, samples)


def batches(
    architecture: Architecture, dtype: str, samples: int | None = None, optimizer: OptimizerName = "SGD"
) -> TrainingContest:
    """A mini-batch a step."""
    return TrainingContest(architecture, dtype, BATCH_PEERS, samples, optimizer)


def hand_written(architecture: Architecture, dtype: str, samples: int | None = None) -> TrainingContest:
    """The same hand-written loop over the layers of the classic door and of the textbook."""
    return TrainingContest(architecture, dtype, CLASSIC_PEERS, samples)

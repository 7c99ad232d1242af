"""Comparisons of trainings: online, with mini-batches, by a hand-written loop; first they are checked."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import ceil
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.installed import AbsentError
from benchmarks.networks import Architecture, Array, OptimizerName, Task
from benchmarks.peers.registry import BATCH_PEERS, CLASSIC_PEERS, ONLINE_PEERS, Peer
from benchmarks.timing import Candidate

CHECKED_SAMPLES, TOLERANCE_EPS = 48, 64
"""After `CHECKED_SAMPLES` samples, parameters differ by at most `TOLERANCE_EPS` eps of the largest one.

Adam divides by the size of the gradient and so magnifies the rounding errors of small gradients; float32 is
not precise enough there, so Adam is checked in float64.
"""


class TrainingComparison:
    """All installed candidates train the network of one task.

    Attributes:
        trainers: candidates by name.
        absent: reasons why others cannot take part, by name.
    """

    def __init__(
        self,
        architecture: Architecture,
        dtype: str,
        peers: Sequence[Peer],
        samples: int | None = None,
        optimizer: OptimizerName = "SGD",
        distinct: int | None = None,
    ) -> None:
        self.task = Task(architecture, dtype, samples, optimizer, distinct)
        self.peers = peers
        self.trainers: dict[str, Any] = {}
        self.absent: dict[str, str] = {}
        for peer in peers:
            try:
                self.trainers[peer.name] = peer.make(self.task)
            except AbsentError as reason:
                self.absent[peer.name] = str(reason)

    def check(self) -> None:
        """Trains with all candidates; raises AssertionError unless they end with the same parameters."""
        task = self.task
        samples = min(len(task.x), max(CHECKED_SAMPLES, 2 * task.batch_size))
        if task.optimizer == "Adam" and task.dtype != np.float64:
            TrainingComparison(task.architecture, "float64", self.peers, samples, task.optimizer).check()
            return
        checked = {peer.name for peer in self.peers if peer.in_order}
        reference: Array | None = None
        for name, trainer in self.trainers.items():
            if name not in checked:
                continue
            trainer.reset()
            trainer.train(samples)
            computed: Array = trainer.parameters()
            assert computed.dtype == task.dtype, f"{name} computes in {computed.dtype}"
            if reference is None:
                reference = computed
                assert not np.array_equal(reference, task.parameters), f"{name} did not train"
            off = abs(computed - reference).max() / abs(reference).max() / np.finfo(reference.dtype).eps
            assert off <= TOLERANCE_EPS, f"{name} differs from {self.peers[0].name} by {off:.3g} eps"

    def candidates(self, stepwise_seconds: float) -> list[Candidate]:
        """Returns what to time, per step; stepwise candidates train for `stepwise_seconds`."""
        return [self._candidate(peer, stepwise_seconds) for peer in self.peers if peer.name in self.trainers]

    def _candidate(self, peer: Peer, stepwise_seconds: float) -> Candidate:
        trainer, batch = self.trainers[peer.name], self.task.batch_size
        samples = len(self.task.x)
        tried = min(samples, 8 * batch) if peer.stepwise else samples
        if hasattr(trainer, "choices"):
            trainer.choice = min(trainer.choices, key=partial(self._seconds, trainer, tried))
        if peer.stepwise:
            steps = tried / batch * stepwise_seconds / self._seconds(trainer, tried)
            samples = min(samples, max(1, ceil(steps)) * batch)
        return Candidate(peer.name, partial(trainer.train, samples), samples / batch, trainer.reset)

    @staticmethod
    def _seconds(trainer: Any, samples: int, choice: int | None = None) -> float:
        """Returns the seconds of training the first samples, after an untimed run."""
        if choice is not None:
            trainer.choice = choice
        trainer.reset()
        trainer.train(samples)
        trainer.reset()
        began = perf_counter()
        trainer.train(samples)
        return perf_counter() - began


def online(architecture: Architecture, dtype: str, samples: int | None = None) -> TrainingComparison:
    """Compares online training, one sample per step, in one call where the candidate supports it."""
    return TrainingComparison(architecture, dtype, ONLINE_PEERS, samples)


def batches(
    architecture: Architecture, dtype: str, samples: int | None = None, optimizer: OptimizerName = "SGD"
) -> TrainingComparison:
    """Compares training with mini-batches."""
    return TrainingComparison(architecture, dtype, BATCH_PEERS, samples, optimizer)


def hand_written(architecture: Architecture, dtype: str, samples: int | None = None) -> TrainingComparison:
    """Compares the layers of the classic layer API and of the textbook in one hand-written loop."""
    return TrainingComparison(architecture, dtype, CLASSIC_PEERS, samples)

"""Comparisons of calls that users write, on the data that users have; first they are checked.

A comparison has calls of typednn, each with a row in the report, and peers, each with a column.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from benchmarks.cases.prediction import PredictionComparison
from benchmarks.cases.training import TOLERANCE_EPS, TrainingComparison
from benchmarks.installed import AbsentError
from benchmarks.networks import (
    BATCHES,
    CALLED,
    ONLINE,
    SMALL_DATA,
    STREAM,
    XOR,
    Architecture,
    Array,
    Task,
)
from benchmarks.peers.registry import (
    CALLERS,
    EPOCH_PEERS,
    FULL_BATCH_PEERS,
    NUMPY_PEERS,
    PASSES,
    STEP_PEERS,
    STREAM_PEERS,
    Peer,
)
from benchmarks.timing import Candidate


@dataclass(frozen=True, slots=True)
class CallComparison:
    """Calls that do the same work.

    Attributes:
        check: raises AssertionError unless all compute the same.
        candidates: what to time, given the seconds of a run of those that run Python code at each step.
        absent: reasons why others cannot take part, by name.
    """

    check: Callable[[], None]
    candidates: Callable[[float], list[Candidate]]
    absent: dict[str, str]


class PassComparison:
    """All installed candidates compute the gradient of the mean loss of some samples.

    Attributes:
        passes: candidates by name.
        absent: reasons why others cannot take part, by name.
    """

    def __init__(self, architecture: Architecture, dtype: str, samples: int) -> None:
        task = Task(architecture, dtype, samples)
        self.passes: dict[str, Any] = {}
        self.absent: dict[str, str] = {}
        for peer in PASSES:
            try:
                self.passes[peer.name] = peer.make(task)
            except AbsentError as reason:
                self.absent[peer.name] = str(reason)

    def check(self) -> None:
        """Raises AssertionError unless all compute the same gradient."""
        reference: Array | None = None
        for name, each in self.passes.items():
            each.run()
            computed: Array = each.result()
            reference = computed if reference is None else reference
            assert computed.dtype == reference.dtype, f"{name} computes in {computed.dtype}"
            off = abs(computed - reference).max() / abs(reference).max() / np.finfo(computed.dtype).eps
            assert off <= TOLERANCE_EPS, f"{name} differs by {off:.3g} eps"

    def candidates(self) -> list[Candidate]:
        """Returns what to time, per call."""
        return [Candidate(name, each.run) for name, each in self.passes.items()]


def _epochs(architecture: Architecture, samples: int, dtype: str) -> CallComparison:
    """Compares trainings of many epochs in one call."""
    peers: Sequence[Peer] = EPOCH_PEERS if architecture is XOR else FULL_BATCH_PEERS
    made = TrainingComparison(architecture, dtype, peers, distinct=samples)
    return CallComparison(made.check, made.candidates, made.absent)


def _prediction(architecture: Architecture, samples: int, dtype: str) -> CallComparison:
    made = PredictionComparison(architecture, dtype, CALLERS, samples)
    return CallComparison(made.check, lambda _: made.candidates(), made.absent)


def _passes(architecture: Architecture, samples: int, dtype: str) -> CallComparison:
    made = PassComparison(architecture, dtype, samples)
    return CallComparison(made.check, lambda _: made.candidates(), made.absent)


def _one_batch(architecture: Architecture, dtype: str) -> CallComparison:
    """Compares one step with a batch by Adam, again and again; each goes on from the one before."""
    made = TrainingComparison(architecture, dtype, STEP_PEERS, optimizer="Adam")
    size = architecture.batch_size

    def candidates(_: float) -> list[Candidate]:
        made.task.epsilon = 1e-7  # as users have it: steps of smaller ones are checked
        for each in made.trainers.values():
            each.reset()
        return [Candidate(name, partial(each.train, size)) for name, each in made.trainers.items()]

    return CallComparison(made.check, candidates, made.absent)


def _stream(dtype: str) -> CallComparison:
    made = TrainingComparison(STREAM, dtype, STREAM_PEERS)
    return CallComparison(made.check, made.candidates, made.absent)


def _on_numpy(architecture: Architecture, dtype: str) -> CallComparison:
    """Compares epochs of few steps, since others disturb long runs: with one sample each, or with a batch."""
    steps = 128 if architecture.lengths[0] < 100 else 32
    if architecture.batch_size > 1:
        steps //= 4
    made = TrainingComparison(architecture, dtype, NUMPY_PEERS, steps * architecture.batch_size)
    return CallComparison(made.check, made.candidates, made.absent)


def _rows() -> Iterator[tuple[str, Callable[[str], CallComparison]]]:
    for architecture, samples in SMALL_DATA:
        name = "-".join(map(str, architecture.lengths))
        batch = "a step for each" if architecture.batch_size == 1 else "a step for all"
        yield f"{name}, epochs of {samples} samples, {batch}", partial(_epochs, architecture, samples)
    for architecture in CALLED:
        name = "-".join(map(str, architecture.lengths))
        for samples in (1, 32):
            rows = f"{name}, {samples} {'row' if samples == 1 else 'rows'}"
            yield f"{rows}, outputs", partial(_prediction, architecture, samples)
            yield f"{rows}, gradient", partial(_passes, architecture, samples)
        yield f"{name}, 32 rows, a step by Adam", partial(_one_batch, architecture)
    yield f"{STREAM.name}, a step for a sample", _stream
    for architecture in (*ONLINE, *BATCHES[:3]):
        yield f"{architecture.name}, a step on NumPy", partial(_on_numpy, architecture)


COMPARISONS: dict[str, Callable[[str], CallComparison]] = dict(_rows())
"""Functions that make the comparisons of calls for a dtype, by what is computed."""

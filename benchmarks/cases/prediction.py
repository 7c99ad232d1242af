"""Comparison of predictions, of one sample or of several; first they are checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from typednn_kernels import plain
from typednn_kernels.dropout import INFERENCE
from typednn_kernels.layout import block, unit_count
from typednn_kernels.operands import Workspace

from benchmarks.cases.training import TOLERANCE_EPS
from benchmarks.installed import AbsentError
from benchmarks.networks import Architecture, Array, Task
from benchmarks.peers.registry import PREDICTORS, Peer
from benchmarks.timing import Candidate


class PredictionComparison:
    """All installed candidates predict the same samples, by default one.

    Attributes:
        predictors: functions to call, by name.
        absent: reasons why others cannot take part, by name.
    """

    def __init__(
        self, architecture: Architecture, dtype: str, peers: Sequence[Peer] = PREDICTORS, samples: int = 1
    ) -> None:
        self.task = Task(architecture, dtype, samples)
        self.predictors: dict[str, Callable[[], Array]] = {}
        self.absent: dict[str, str] = {}
        for peer in peers:
            try:
                self.predictors[peer.name] = peer.make(self.task).run
            except AbsentError as reason:
                self.absent[peer.name] = str(reason)

    def check(self) -> None:
        """Raises AssertionError unless all predict what the plain kernels compute."""
        task = self.task
        samples = len(task.x)
        size = samples * unit_count(task.layout)
        workspace = Workspace(*(np.zeros(size, task.dtype) for _ in range(4)))
        plain.forward(task.parameters, task.layout, INFERENCE, task.x, workspace)
        reference = block(workspace.h, task.layout, len(task.layout) - 1, samples).reshape(-1)
        for name, predict in self.predictors.items():
            outputs = predict().reshape(-1)
            assert outputs.dtype == task.dtype, f"{name} predicts in {outputs.dtype}"
            off = abs(outputs - reference).max() / abs(reference).max() / np.finfo(task.dtype).eps
            assert off <= TOLERANCE_EPS, f"{name} differs by {off:.3g} eps"

    def candidates(self) -> list[Candidate]:
        """Returns what to time, per call."""
        return [Candidate(name, predict) for name, predict in self.predictors.items()]

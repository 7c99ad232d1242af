"""Comparison of predictions of one sample; first they are checked."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from typednn_kernels import plain
from typednn_kernels.dropout import INFERENCE
from typednn_kernels.layout import block, unit_count
from typednn_kernels.operands import Workspace

from benchmarks.cases.training import TOLERANCE_EPS
from benchmarks.installed import AbsentError
from benchmarks.networks import Architecture, Array, Task
from benchmarks.peers.registry import PREDICTORS
from benchmarks.timing import Candidate


class PredictionComparison:
    """All installed candidates predict one sample.

    Attributes:
        predictors: functions to call, by name.
        absent: reasons why others cannot take part, by name.
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
        """Raises AssertionError unless all predict what the plain kernels compute."""
        task = self.task
        workspace = Workspace(*(np.zeros(unit_count(task.layout), task.dtype) for _ in range(4)))
        plain.forward(task.parameters, task.layout, INFERENCE, task.x, workspace)
        reference = block(workspace.h, task.layout, len(task.layout) - 1, 1)[0]
        for name, predict in self.predictors.items():
            outputs = predict().reshape(-1)
            assert outputs.dtype == task.dtype, f"{name} predicts in {outputs.dtype}"
            off = abs(outputs - reference).max() / abs(reference).max() / np.finfo(task.dtype).eps
            assert off <= TOLERANCE_EPS, f"{name} differs by {off:.3g} eps"

    def candidates(self) -> list[Candidate]:
        """Returns what to time, per sample."""
        return [Candidate(name, predict) for name, predict in self.predictors.items()]

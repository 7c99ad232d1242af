"""The penalty of the weights as scikit-learn has it."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from typednn_kernels.arrays import Vector
from typednn_kernels.operands import OptimizerSteps
from typednn_kernels.update_rules import L2, PENALTY

from typednn.training.trainer import Trainer

Real: TypeAlias = np.float32 | np.float64

CALL_PRODUCTS = 2**21
"""About the number of products, of samples and parameters, of the least steps between two measurements in an
epoch."""

SMALL_ALPHA = 0.01
"""Where alpha is larger, ΣW² may be measured at each step."""

CHANGE = 1e-6
"""Between two measurements, the penalty of a batch changes by about this, if the least steps allow it."""

GROWTH = 8
"""The largest factor by which the number of steps between two measurements grows."""


class PenaltyTrainer(Trainer[Real]):
    """A trainer whose penalties are multiplied by a factor of each step, by default 1."""

    _factors: Vector[np.float64] | None = None
    _first = 0

    def set_factors(self, factors: Vector[np.float64]) -> None:
        """Sets the factors of the next steps."""
        self._factors, self._first = factors, self.optimizer_state.step

    def next_steps(self, steps: int) -> OptimizerSteps[Real]:
        found, first = super().next_steps(steps), self.optimizer_state.step - self._first
        if self._factors is None:
            return found
        coefficients = found.coefficients.copy()
        coefficients[:, PENALTY] = self._factors[first : first + steps]
        return found._replace(coefficients=coefficients)


class Penalty:
    """Adds alpha / 2 · ΣW² to the losses, divided in each batch by the sum of the weights of its samples.

    ΣW² is measured every few steps; between two measurements it is interpolated.

    Args:
        alpha: the coefficient.
        trainer: makes the steps; the layers have the penalty of a full batch without weights.
        batch_size: samples per step.

    Attributes:
        stride: the number of steps to the next measurement, in one epoch.
        joint_steps: the number of steps to the next measurement, in several epochs.
    """

    alpha: float
    trainer: PenaltyTrainer
    batch_size: int
    stride: int
    joint_steps: int

    def __init__(self, alpha: float, trainer: PenaltyTrainer, batch_size: int) -> None:
        self.alpha, self.trainer, self.batch_size = alpha, trainer, batch_size
        state, self._parameters = trainer.optimizer_state, trainer.storage.trainable
        self._ranges = state.trainable_ranges[np.flatnonzero(state.penalties[:, L2])].tolist()
        least = CALL_PRODUCTS // (batch_size * len(self._parameters))
        self._least = 1 if alpha > SMALL_ALPHA else max(1, least)
        self._squares = self._measured()
        self.stride, self.joint_steps = self._least, 1

    def set_totals(self, totals: Vector[np.float64], epochs: int) -> None:
        """Sets the sum of the weights of each batch, for the next epochs."""
        self._totals = totals
        factors = np.divide(self.batch_size, totals, out=np.zeros_like(totals), where=totals > 0)
        self.trainer.set_factors(np.tile(factors, epochs))

    def before_steps(self, steps: int) -> Vector[np.float64]:
        """Returns alpha / 2 · ΣW² before each of the steps since the last measurement, and measures it."""
        first, self._squares = self._squares, self._measured()
        change = self._squares - first
        if steps and change:
            wanted = CHANGE * self.batch_size * steps / abs(change)
            self.joint_steps = int(max(1, min(GROWTH * self.joint_steps, wanted)))
            self.stride = max(self._least, self.joint_steps)
        values: Vector[np.float64] = np.arange(steps, dtype=np.float64)
        with np.errstate(invalid="ignore"):  # infinite just before a training diverges
            values *= change / max(1, steps)
        values += first
        return values

    def means(self, before_steps: Vector[np.float64], epochs: int, counts: Vector[np.float64]) -> list[float]:
        """Computes the mean penalty of the samples of each epoch, given the sizes of its batches."""
        steps = min(len(counts), len(before_steps))
        totals, counts = self._totals[:steps], counts[:steps]
        factors = np.divide(counts, totals, out=np.zeros_like(totals), where=totals > 0) / counts.sum()
        means: list[float] = (before_steps[: epochs * steps].reshape(epochs, steps) @ factors).tolist()
        return means

    def _measured(self) -> float:
        """Computes alpha / 2 · ΣW²."""
        total = 0.0
        for start, stop in self._ranges:
            weights = self._parameters[start:stop]
            with np.errstate(over="ignore"):
                total += float(np.dot(weights, weights))
        return self.alpha / 2 * total

"""Passes over the samples as scikit-learn makes them: its order, its weights, its penalty."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
from typednn_kernels.arrays import Matrix, Order, Vector
from typednn_kernels.update_rules import L2

from typednn.layers.storage import Storage
from typednn.sklearn.losses import LossScale
from typednn.training.batches import ArraySource, CheckedSamples
from typednn.training.optimizer_state import OptimizerState

Real: TypeAlias = np.float32 | np.float64

CALL_PRODUCTS = 2**21
"""About the number of products, of samples and parameters, of the steps between two measurements of ΣW²."""

SMALL_ALPHA = 0.01
"""Where alpha is larger, ΣW² is measured at each step."""


class Passes(ArraySource[Real]):
    """Orders the samples of each epoch, with the factors and the penalty that scikit-learn gives them.

    There, the loss of a batch is the mean of its samples' losses by weight, and alpha / 2 · ΣW² is divided by
    the sum of these weights. Here, the loss of a batch is the sum of the samples' losses times their factors,
    divided by their number.

    Args:
        samples: the samples; their weights are replaced.
        rows: the indices of those that are trained, in their first order.
        batch_size: samples per step.
        random: draws the order of each epoch, if it is given.
        alpha: the coefficient of the penalty.
        weights: the weights of all samples, or None.
        scale: the scale of the loss.
    """

    samples: CheckedSamples[Real]
    length: int | None
    batch_size: int
    draws: np.random.RandomState | None
    alpha: float
    weights: Vector[np.float64] | None
    scale: LossScale
    count: int
    penalty: float

    def __init__(
        self,
        samples: CheckedSamples[Real],
        rows: Order,
        batch_size: int,
        random: np.random.RandomState | None,
        alpha: float,
        weights: Vector[np.float64] | None,
        scale: LossScale,
    ) -> None:
        self.samples, self.batch_size, self.draws = samples, batch_size, random
        self.alpha, self.weights, self.scale = alpha, weights, scale
        self.order: Order = rows.copy()
        self.length = self.count = len(rows)
        self.penalty = 0.0
        """The penalty of the weights before each step, averaged over the samples of the last epoch."""
        self._constants = scale.constants(samples)
        self._firsts = np.arange(0, len(rows), batch_size)
        self._counts = np.diff(np.append(self._firsts, len(rows)))
        self._totals: Vector[np.float64] = np.zeros(0)
        factors = scale.factors(len(samples), weights)
        self._factors: Vector[Real] = np.zeros(0) if factors is None else factors
        self._factors = self._factors.astype(samples.weights.dtype)
        samples.weights = self._factors.view()
        samples.weights.setflags(write=False)

    def attach(self, storage: Storage[Real], state: OptimizerState[Real]) -> None:
        """Takes the network whose weights are penalised, and the optimiser that applies the penalty."""
        self._storage, self._state = storage, state
        self._penalties: Matrix[Real] = np.zeros((0, 2), storage.dtype)

    def parts(self) -> Iterator[tuple[int, int]]:
        """Draws the order of an epoch and yields the bounds of its parts, which the caller trains at once."""
        if self.draws is not None:
            drawn = np.arange(self.count)
            self.draws.shuffle(drawn)
            self.order = self.order[drawn]
        if self.weights is not None:
            self._weigh(self.weights[self.order])
        if not self.alpha:
            yield 0, self.count
            return
        norm: float | None = None
        self.penalty = 0.0
        for first, last, total in self._equal_parts():
            mean = self._squares() if norm is None else norm
            coefficient = self.alpha / (2 * total) if total else 0.0
            self._penalties[self._penalised, L2] = coefficient
            yield first, last
            norm, steps = None, -(-(last - first) // self.batch_size)
            if steps > 1:  # between two measurements ΣW² is about linear
                norm = self._squares()
                mean += (norm - mean) * (steps - 1) / (2 * steps)
            self.penalty += coefficient * mean * (last - first) / self.count

    def reported(self, loss: float) -> float:
        """Returns the loss of an epoch as scikit-learn reports it, given the mean loss of its samples."""
        if self._constants is None:
            return self.penalty + self.scale.report(loss, None)
        factors = None if self.weights is None else self._factors[self.order]
        return self.penalty + self.scale.report(loss, self._constants[self.order], factors)

    def _weigh(self, ordered: Vector[np.float64]) -> None:
        """Computes the factors of the samples from their weights, in the order of this epoch."""
        self._totals = np.add.reduceat(ordered, self._firsts)
        means = np.where(self._totals == 0, 1.0, self._totals) / self._counts
        self._factors[self.order] = ordered * np.repeat(self.scale.factor / means, self._counts)

    def _equal_parts(self) -> Iterator[tuple[int, int, float]]:
        """Yields the bounds of parts of the order, and the sum of the weights of each of their batches."""
        size, count = self.batch_size, self.count
        if self.weights is not None:
            for first, total in zip(self._firsts.tolist(), self._totals.tolist(), strict=True):
                yield first, min(first + size, count), total
            return
        whole = count - count % size
        steps = 1 if self.alpha > SMALL_ALPHA else CALL_PRODUCTS // (size * len(self._storage.trainable))
        stride = size * max(1, steps)
        for first in range(0, whole, stride):
            yield first, min(first + stride, whole), float(size)
        if whole < count:
            yield whole, count, float(count - whole)

    def _squares(self) -> float:
        """Computes the sum of squares of the weights that are penalised."""
        penalties = self._state.penalties
        if penalties is not self._penalties:  # the first time, or after a layer's settings have changed
            self._penalties, self._penalised = penalties, np.flatnonzero(penalties[:, L2])
            self._ranges = self._state.trainable_ranges[self._penalised].tolist()
        parameters, total = self._storage.trainable, 0.0
        for start, stop in self._ranges:
            weights = parameters[start:stop]
            total += float(np.dot(weights, weights))
        return total

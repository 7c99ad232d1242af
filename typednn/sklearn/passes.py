"""Passes over the samples as scikit-learn makes them: its order and its weights."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from typednn_kernels.arrays import Order, Vector

from typednn.sklearn.losses import LossScale
from typednn.training.batches import ArraySource
from typednn.training.samples import CheckedSamples

Real: TypeAlias = np.float32 | np.float64


class Passes(ArraySource[Real]):
    """Orders the samples of each epoch, with the factors that scikit-learn gives them.

    There, the loss of a batch is the mean of its samples' losses by weight. Here, it is the sum of the
    samples' losses times their factors, divided by their number.

    Args:
        samples: the samples; their weights are replaced.
        rows: the indices of those that are trained, in their first order.
        batch_size: samples per step.
        random: draws the order of each epoch, if it is given.
        weights: the weights of all samples, or None.
        scale: the scale of the loss.

    Attributes:
        count: the number of samples of an epoch.
        counts, totals: the number of samples of each batch of the last epoch, and the sum of their weights.
        penalty: the penalty of the weights before each step, averaged over the samples of the last epoch.
    """

    samples: CheckedSamples[Real]
    length: int | None
    batch_size: int
    draws: np.random.RandomState | None
    weights: Vector[np.float64] | None
    scale: LossScale
    count: int
    counts: Vector[np.float64]
    totals: Vector[np.float64]
    penalty: float

    def __init__(
        self,
        samples: CheckedSamples[Real],
        rows: Order,
        batch_size: int,
        random: np.random.RandomState | None,
        weights: Vector[np.float64] | None,
        scale: LossScale,
    ) -> None:
        self.samples, self.batch_size, self.draws = samples, batch_size, random
        self.weights, self.scale = weights, scale
        self.order: Order = rows.copy()
        self.length = self.count = len(rows)
        self.penalty = 0.0
        self._constants = scale.constants(samples)
        self._firsts = np.arange(0, len(rows), batch_size)
        self.counts = self.totals = np.diff(np.append(self._firsts, len(rows))).astype(np.float64)
        factors = scale.factors(len(samples), weights)
        self._factors: Vector[Real] = np.zeros(0) if factors is None else factors
        self._factors = self._factors.astype(samples.weights.dtype)
        samples.weights = self._factors.view()
        samples.weights.setflags(write=False)

    @property
    def may_be_joined(self) -> bool:
        """Whether several epochs can be trained at once: all samples, as they lie in memory, unweighted."""
        whole = self.samples.x.whole is not None and self.count == len(self.samples)
        return whole and self.weights is None

    def draw(self, epochs: int) -> Order:
        """Draws the orders of some epochs, `(epochs * count,)`; of several, `may_be_joined` must be true."""
        drawn: Order = np.empty(epochs * self.count, np.int64)
        for first in range(0, len(drawn), self.count):
            order: Order = drawn[first : first + self.count]
            order[...] = self.order
            if self.draws is not None:
                self.draws.shuffle(order)
            self.order = order
        if self.weights is not None:
            self._weigh(self.weights[self.order])
        return drawn

    def reported(self, loss: float) -> float:
        """Returns the loss of an epoch as scikit-learn reports it, given the mean loss of its samples."""
        if self._constants is None:
            return self.penalty + self.scale.report(loss, None)
        factors = None if self.weights is None else self._factors[self.order]
        return self.penalty + self.scale.report(loss, self._constants[self.order], factors)

    def _weigh(self, ordered: Vector[np.float64]) -> None:
        """Computes the factors of the samples from their weights, in the order of this epoch."""
        self.totals = np.add.reduceat(ordered, self._firsts)
        means = np.where(self.totals == 0, 1.0, self.totals) / self.counts
        self._factors[self.order] = ordered * np.repeat(
            self.scale.factor / means, self.counts.astype(np.intp)
        )

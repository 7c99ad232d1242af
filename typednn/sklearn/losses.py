"""Turns the library's losses into scikit-learn's: sums over outputs, squared errors halved."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
from typednn_kernels.arrays import Vector
from typednn_kernels.losses import CODES, is_mean

from typednn.names import LossName
from typednn.training.samples import CheckedSamples

Real: TypeAlias = np.float32 | np.float64

SYNONYMS: dict[str, LossName] = {"squared_error": "MSE"}
"""The library's names of losses by scikit-learn's; "log_loss" depends on the targets."""


class LossScale(NamedTuple):
    """How the loss of an estimator follows from that of its network.

    Attributes:
        factor: the minimised loss of a sample is this times the network's.
        reported: the reported loss is this times the minimised one: for several outputs, scikit-learn
            minimises the sum of squared errors and reports their mean.
        deviance: whether t log(t) - t is added to the reported loss of each target t, as poisson's is half a
            deviance.
    """

    factor: float = 1.0
    reported: float = 1.0
    deviance: bool = False

    def factors(self, count: int, weights: Vector[np.float64] | None) -> Vector[np.float64] | None:
        """Returns what the losses of `count` samples are multiplied by, or None where that is 1.

        The mean of the products is the mean of the losses by weight.
        """
        if weights is None:
            return None if self.factor == 1 else np.full(count, self.factor)
        total = weights.sum()
        return weights * (self.factor * count / total if total else 0.0)

    def constants(self, samples: CheckedSamples[Real]) -> Vector[np.float64] | None:
        """Computes what is added to the reported loss of each sample, or None."""
        if not self.deviance:
            return None
        from scipy.special import xlogy

        t = samples.t.take(slice(None)).astype(np.float64)
        constants: Vector[np.float64] = (xlogy(t, t) - t).sum(axis=1)
        return constants

    def report(
        self, loss: float, constants: Vector[np.float64] | None, factors: Vector[Real] | None = None
    ) -> float:
        """Returns the reported loss, given the mean of the losses times their factors."""
        value = loss * self.reported
        if constants is None:
            return value
        by_weight = constants if factors is None else constants * factors / self.factor
        return value + float(by_weight.mean())


def scale_of(loss: str, outputs: int) -> LossScale:
    """Returns the scale of a loss as scikit-learn's multilayer perceptron has it."""
    if loss == "MSE":
        return LossScale(outputs / 2, 1 / outputs)
    return LossScale(float(outputs) if is_mean(CODES[loss]) else 1.0, deviance=loss == "poisson")

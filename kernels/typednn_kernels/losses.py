"""The loss functions: one row each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from typednn_kernels.activations import CODES as ACTIVATION_CODES
from typednn_kernels.activations import INFINITY, OutputActivationName
from typednn_kernels.arrays import Values
from typednn_kernels.elementary import exp, log, log1p, maximum, minimum, where

RegressionLossName: TypeAlias = Literal["MSE"]
LossName: TypeAlias = Literal[RegressionLossName, "bincrossentropy", "crossentropy"]
"""The targets of those beside the regression losses are classes, and may be whole numbers."""

EPSILON = 1e-7
"""Probabilities are clipped to [EPSILON, 1 - EPSILON] before a logarithm is taken of them."""


@dataclass(frozen=True, slots=True)
class Loss:
    """A loss L(y, t) of one sample, and its slope dL/dy.

    `value` and `slope` are formulas in the words of `elementary`, one term per output; the loss of a
    sample is their mean or sum over the outputs, that of a batch the mean over its samples.

    With the output activation `canonical` the loss is a smooth function of the pre-activations that needs
    no clipping: `stable_value` is its term, given the logits (for softmax: the logarithms of the
    probabilities), and dL/da is y - t (for softmax: y * sum(t) - t).
    """

    name: LossName
    value: Callable[[Values, Values], Values]
    slope: Callable[[Values, Values], Values]
    over_outputs: Literal["mean", "sum"]
    canonical: OutputActivationName | None
    stable_value: Callable[[Values, Values], Values]
    target_minimum: float
    target_maximum: float
    description: str

    @property
    def any_target(self) -> bool:
        """Whether every number can be a target."""
        return self.target_minimum == -INFINITY and self.target_maximum == INFINITY


def _squared_error(y: Values, t: Values) -> Values:
    return (y - t) * (y - t)


def _squared_error_slope(y: Values, t: Values) -> Values:
    return 2 * (y - t)


def _binary_cross_entropy(y: Values, t: Values) -> Values:
    p = minimum(maximum(y, EPSILON), 1 - EPSILON)
    return -(t * log(p) + (1 - t) * log(1 - p))


def _binary_cross_entropy_slope(y: Values, t: Values) -> Values:
    p = minimum(maximum(y, EPSILON), 1 - EPSILON)
    return where(p == y, (p - t) / (p * (1 - p)), y * 0)


def _binary_cross_entropy_of_logits(a: Values, t: Values) -> Values:
    return maximum(a, 0) - a * t + log1p(exp(-abs(a)))


def _cross_entropy(y: Values, t: Values) -> Values:
    return -t * log(minimum(maximum(y, EPSILON), 1 - EPSILON))


def _cross_entropy_slope(y: Values, t: Values) -> Values:
    p = minimum(maximum(y, EPSILON), 1 - EPSILON)
    return where(p == y, -t / p, y * 0)


def _cross_entropy_of_log_probabilities(log_y: Values, t: Values) -> Values:
    return where(t == 0, t, -t * log_y)


LOSSES = (
    Loss(
        "MSE",
        _squared_error,
        _squared_error_slope,
        "mean",
        None,
        _squared_error,
        -INFINITY,
        INFINITY,
        "mean over outputs of (y - t)^2",
    ),
    Loss(
        "bincrossentropy",
        _binary_cross_entropy,
        _binary_cross_entropy_slope,
        "mean",
        "sigmoid",
        _binary_cross_entropy_of_logits,
        0.0,
        1.0,
        "mean over outputs of -(t log(y) + (1 - t) log(1 - y))",
    ),
    Loss(
        "crossentropy",
        _cross_entropy,
        _cross_entropy_slope,
        "sum",
        "softmax",
        _cross_entropy_of_log_probabilities,
        0.0,
        INFINITY,
        "sum over classes of -t log(y)",
    ),
)
"""The table; a row's place is its code in kernels."""

CODES = {row.name: code for code, row in enumerate(LOSSES)}
CANONICAL = tuple(-1 if row.canonical is None else ACTIVATION_CODES[row.canonical] for row in LOSSES)
MEAN_OVER_OUTPUTS = tuple(row.over_outputs == "mean" for row in LOSSES)
"""By loss code: the canonical activation's code (-1: none), and whether the loss is a mean over outputs."""

"""The update rules: one row each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from typednn_kernels.activations import INFINITY
from typednn_kernels.arrays import F, Matrix, Values
from typednn_kernels.primitives import maximum, minimum, sign, sqrt, where

RuleName: TypeAlias = Literal[
    "sgd", "momentum", "nesterov", "rmsprop", "rmsprop_momentum", "adagrad", "adam", "nadam", "rprop", "lion"
]


class UpdateRule(NamedTuple):
    """How a step changes a parameter w, given the gradient g by it.

    `formula` is written in the words of `elementary`, elementwise: it takes w, g, the numbers that the rule
    remembers for each parameter, and the rule's coefficients, which are the same for all parameters and may
    differ from step to step. It returns the new w and the new numbers. Whatever depends on the step alone,
    a learning rate on its schedule or the correction of a bias, is in the coefficients.
    """

    name: RuleName
    states: int
    coefficients: int
    formula: Callable[..., tuple[Values, ...]]
    description: str


def _sgd(w: Values, g: Values, rate: Values) -> tuple[Values, ...]:
    return (w - rate * g,)


def _momentum(w: Values, g: Values, velocity: Values, rate: Values, momentum: Values) -> tuple[Values, ...]:
    velocity = momentum * velocity - rate * g
    return w + velocity, velocity


def _nesterov(w: Values, g: Values, velocity: Values, rate: Values, momentum: Values) -> tuple[Values, ...]:
    step = rate * g
    velocity = momentum * velocity - step
    return w + (momentum * velocity - step), velocity


def _rmsprop(
    w: Values, g: Values, square: Values, rate: Values, forgotten: Values, epsilon: Values
) -> tuple[Values, ...]:
    square = square + forgotten * (g * g - square)
    return w - rate * g / sqrt(square + epsilon), square


def _rmsprop_momentum(
    w: Values,
    g: Values,
    square: Values,
    mean: Values,
    velocity: Values,
    rate: Values,
    forgotten: Values,
    epsilon: Values,
    momentum: Values,
    centered: Values,
) -> tuple[Values, ...]:
    square = square + forgotten * (g * g - square)
    mean = mean + forgotten * (g - mean)
    velocity = momentum * velocity + rate * g / sqrt(square - centered * (mean * mean) + epsilon)
    return w - velocity, square, mean, velocity


def _adagrad(w: Values, g: Values, squares: Values, rate: Values, epsilon: Values) -> tuple[Values, ...]:
    squares = squares + g * g
    return w - rate * g / sqrt(squares + epsilon), squares


def _adam(
    w: Values,
    g: Values,
    mean: Values,
    square: Values,
    rate: Values,
    forgotten_1: Values,
    forgotten_2: Values,
    epsilon: Values,
) -> tuple[Values, ...]:
    mean = mean + forgotten_1 * (g - mean)
    square = square + forgotten_2 * (g * g - square)
    return w - rate * mean / (sqrt(square) + epsilon), mean, square


def _nadam(
    w: Values,
    g: Values,
    mean: Values,
    square: Values,
    rate_of_mean: Values,
    rate_of_gradient: Values,
    forgotten_1: Values,
    forgotten_2: Values,
    epsilon: Values,
) -> tuple[Values, ...]:
    mean = mean + forgotten_1 * (g - mean)
    square = square + forgotten_2 * (g * g - square)
    return w - (rate_of_mean * mean + rate_of_gradient * g) / (sqrt(square) + epsilon), mean, square


def _rprop(
    w: Values,
    g: Values,
    previous: Values,
    step: Values,
    decrease: Values,
    increase: Values,
    smallest: Values,
    largest: Values,
) -> tuple[Values, ...]:
    # The signs, not the slopes, are multiplied: a product of small slopes would be 0.
    agreement = sign(g) * sign(previous)
    step = where(agreement > 0, minimum(step * increase, largest), step)
    step = where(agreement < 0, maximum(step * decrease, smallest), step)
    g = where(agreement < 0, g * 0, g)
    return w - sign(g) * step, g, step


def _lion(
    w: Values, g: Values, mean: Values, rate: Values, forgotten_1: Values, forgotten_2: Values
) -> tuple[Values, ...]:
    difference = g - mean
    return w - rate * sign(mean + forgotten_1 * difference), mean + forgotten_2 * difference


RULES = (
    UpdateRule("sgd", 0, 1, _sgd, "gradient descent"),
    UpdateRule("momentum", 1, 2, _momentum, "the steps of the past go on, weaker from step to step"),
    UpdateRule("nesterov", 1, 2, _nesterov, "momentum, with the gradient of where it leads"),
    UpdateRule("rmsprop", 1, 3, _rmsprop, "steps divided by the root of the mean square of the gradient"),
    UpdateRule("rmsprop_momentum", 3, 5, _rmsprop_momentum, "the same, centred or with momentum"),
    UpdateRule("adagrad", 1, 2, _adagrad, "steps divided by the root of the sum of squares of the gradient"),
    UpdateRule("adam", 2, 4, _adam, "the mean of the gradient, divided by the root of its mean square"),
    UpdateRule("nadam", 2, 5, _nadam, "Adam with Nesterov's momentum"),
    UpdateRule("rprop", 2, 4, _rprop, "a step for each parameter, which grows until the slope turns"),
    UpdateRule("lion", 1, 3, _lion, "the sign of the mean of the gradient"),
)
"""The table; a row's place is its code in kernels."""

CODES = {row.name: code for code, row in enumerate(RULES)}
SGD = CODES["sgd"]

DECAY, CLIP_VALUE, CLIP_NORM, FIRST = range(4)
"""Columns of the coefficients of a step: what is taken from each parameter as a share of it, the bounds of
the gradient and of its norm (infinite: none), and from the last on, those of the rule."""

COEFFICIENTS = FIRST + max(row.coefficients for row in RULES)
MOST_STATES = max(row.states for row in RULES)

START, STOP = range(2)
L1, L2 = range(2)
"""Columns of the segments of the vector of parameters that are trained, and of their penalties."""


def penalized(w: Values, g: Values, l1: Values, l2: Values) -> Values:
    """The gradient with that of the penalties l1 |w| + l2 w^2."""
    return g + (l1 * sign(w) + (l2 + l2) * w)


def whole_update(row: UpdateRule) -> Callable[..., tuple[Values, ...]]:
    """A rule with all that comes before it: penalties, clipping, decay."""

    def update(
        w: Values,
        g: Values,
        l1: Values,
        l2: Values,
        scale: Values,
        bound: Values,
        decay: Values,
        *states_and_coefficients: Values,
    ) -> tuple[Values, ...]:
        g = minimum(maximum(scale * penalized(w, g, l1, l2), -bound), bound)
        return row.formula(w - decay * w, g, *states_and_coefficients)

    return update


def coefficient_rows(
    own: NDArray[np.float64],
    dtype: np.dtype[F],
    *,
    decay: NDArray[np.float64] | float = 0.0,
    clip_value: float = INFINITY,
    clip_norm: float = INFINITY,
) -> Matrix[F]:
    """The coefficients `(steps, COEFFICIENTS)` of some steps, given those of the rule `(steps, k)`.

    They are computed in float64 and rounded once.
    """
    rows: Matrix[F] = np.zeros((len(own), COEFFICIENTS), dtype)
    rows[:, DECAY], rows[:, CLIP_VALUE], rows[:, CLIP_NORM] = decay, clip_value, clip_norm
    rows[:, FIRST : FIRST + own.shape[1]] = own
    return rows

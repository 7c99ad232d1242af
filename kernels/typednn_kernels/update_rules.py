"""Defines the update rules: each is a formula, which names its states and its coefficients."""

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
    """Says how a step changes a parameter w, given the gradient g with respect to it.

    `formula` is elementwise and written in the functions of `primitives`. Before the slash it takes w, g and
    the states, which the rule remembers for each parameter; after it the coefficients, which all parameters
    share and which may differ from step to step. It returns the new w and the new states. Whatever depends on
    the step alone, such as a scheduled learning rate or a correction of bias, is in the coefficients.
    """

    name: RuleName
    description: str
    formula: Callable[..., tuple[Values, ...]]

    @property
    def states(self) -> int:
        """The number of states."""
        return self.formula.__code__.co_posonlyargcount - 2

    @property
    def coefficients(self) -> int:
        """The number of coefficients, in the columns from FIRST on in the order of the formula."""
        return self.formula.__code__.co_argcount - self.formula.__code__.co_posonlyargcount


def _sgd(w: Values, g: Values, /, rate: Values) -> tuple[Values, ...]:
    return (w - rate * g,)


def _momentum(
    w: Values, g: Values, velocity: Values, /, rate: Values, momentum: Values
) -> tuple[Values, ...]:
    velocity = momentum * velocity - rate * g
    return w + velocity, velocity


def _nesterov(
    w: Values, g: Values, velocity: Values, /, rate: Values, momentum: Values
) -> tuple[Values, ...]:
    step = rate * g
    velocity = momentum * velocity - step
    return w + (momentum * velocity - step), velocity


def _rmsprop(
    w: Values, g: Values, square: Values, /, rate: Values, forgotten: Values, epsilon: Values
) -> tuple[Values, ...]:
    square = square + forgotten * (g * g - square)
    return w - rate * g / sqrt(square + epsilon), square


def _rmsprop_momentum(
    w: Values,
    g: Values,
    square: Values,
    mean: Values,
    velocity: Values,
    /,
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


def _adagrad(w: Values, g: Values, squares: Values, /, rate: Values, epsilon: Values) -> tuple[Values, ...]:
    squares = squares + g * g
    return w - rate * g / sqrt(squares + epsilon), squares


def _adam(
    w: Values,
    g: Values,
    mean: Values,
    square: Values,
    /,
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
    /,
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
    /,
    decrease: Values,
    increase: Values,
    smallest: Values,
    largest: Values,
) -> tuple[Values, ...]:
    # The signs, not the derivatives, are multiplied: a product of small derivatives would be 0.
    agreement = sign(g) * sign(previous)
    step = where(agreement > 0, minimum(step * increase, largest), step)
    step = where(agreement < 0, maximum(step * decrease, smallest), step)
    g = where(agreement < 0, g * 0, g)
    return w - sign(g) * step, g, step


def _lion(
    w: Values, g: Values, mean: Values, /, rate: Values, forgotten_1: Values, forgotten_2: Values
) -> tuple[Values, ...]:
    difference = g - mean
    return w - rate * sign(mean + forgotten_1 * difference), mean + forgotten_2 * difference


RULES = (
    UpdateRule("sgd", "gradient descent", _sgd),
    UpdateRule("momentum", "the steps of the past continue, weaker from step to step", _momentum),
    UpdateRule("nesterov", "momentum, with the gradient of where it leads", _nesterov),
    UpdateRule("rmsprop", "steps divided by the root of the mean square of the gradient", _rmsprop),
    UpdateRule("rmsprop_momentum", "RMSprop, centred or with momentum", _rmsprop_momentum),
    UpdateRule("adagrad", "steps divided by the root of the sum of squares of the gradient", _adagrad),
    UpdateRule("adam", "the mean of the gradient, divided by the root of its mean square", _adam),
    UpdateRule("nadam", "Adam with Nesterov's momentum", _nadam),
    UpdateRule("rprop", "a step for each parameter, which grows until the derivative changes sign", _rprop),
    UpdateRule("lion", "the sign of the mean of the gradient", _lion),
)
"""The table; a row's place is its code in kernels."""

CODES = {row.name: code for code, row in enumerate(RULES)}
SGD = CODES["sgd"]

DECAY, CLIP_VALUE, CLIP_NORM, PENALTY, FIRST = range(5)
"""Columns of the coefficients of a step: the fraction that is taken from each parameter, the bounds of each
element of the gradient and of its norm (infinity for none), what the penalties are multiplied by, and from
FIRST on those of the rule."""

COEFFICIENTS = FIRST + max(row.coefficients for row in RULES)
MOST_STATES = max(row.states for row in RULES)

START, STOP = range(2)
L1, L2 = range(2)
"""Columns of the ranges of the parameters that are trained, and of their penalties."""


def penalized(w: Values, g: Values, l1: Values, l2: Values) -> Values:
    """Computes the gradient with that of the penalties l1 |w| + l2 w^2."""
    return g + (l1 * sign(w) + (l2 + l2) * w)


def clipped(g: Values, bound: Values) -> Values:
    """Limits each element of the gradient."""
    return minimum(maximum(g, -bound), bound)


def whole_update(row: UpdateRule) -> Callable[..., tuple[Values, ...]]:
    """Returns the formula of a rule with what comes before it: penalties, clipping, decay.

    It takes w, g, l1, l2, the factor of the norm, the bound, the decay, the states and the coefficients.
    """

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
        g = clipped(scale * penalized(w, g, l1, l2), bound)
        return row.formula(w - decay * w, g, *states_and_coefficients)

    return update


def coefficient_rows(
    rule: NDArray[np.float64],
    dtype: np.dtype[F],
    *,
    decay: NDArray[np.float64] | float = 0.0,
    clip_value: float = INFINITY,
    clip_norm: float = INFINITY,
) -> Matrix[F]:
    """Computes the coefficients `(steps, COEFFICIENTS)` of some steps, given those of the rule `(steps, k)`.

    They are computed in float64 and rounded once.
    """
    rows: Matrix[F] = np.zeros((len(rule), COEFFICIENTS), dtype)
    rows[:, DECAY], rows[:, CLIP_VALUE], rows[:, CLIP_NORM] = decay, clip_value, clip_norm
    rows[:, PENALTY] = 1
    rows[:, FIRST : FIRST + rule.shape[1]] = rule
    return rows

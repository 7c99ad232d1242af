"""The table of optimisers: a row says how a parameter changes, what is remembered, and what each step uses.

Each row has a formula, the coefficients of a step, with the correction of bias, and the states before the
first step. Penalties, clipping and weight decay are the same for all rows and come before the formula:
`whole_update`. `typednn.training.optimizers` has what users write: settings, their defaults and checks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from typednn_kernels.activations import INFINITY
from typednn_kernels.arrays import F, Matrix, Values, Vector
from typednn_kernels.primitives import maximum, minimum, sign, sqrt, where

RuleName: TypeAlias = Literal[
    "sgd", "momentum", "nesterov", "rmsprop", "rmsprop_momentum", "adagrad", "adam", "nadam", "rprop", "lion"
]

Steps: TypeAlias = Vector[np.float64]
"""A number for each of some steps `(n,)`: t, counted from 1, or the learning rate."""

Column: TypeAlias = float | Steps
"""A coefficient of some steps: one number, or a number for each step `(n,)`."""


def no_divisor() -> float:
    """Returns infinity: the formula divides by nothing that may be 0."""
    return inf


class UpdateRule(NamedTuple):
    """Says how a step changes a parameter w, given the gradient g with respect to it.

    Attributes:
        name: the name of the rule.
        description: what it does, in a few words.
        formula: computes the new w and the new states, element by element, with the functions of
            `primitives`. Before the slash it takes w, g and the states; after it the coefficients, which all
            parameters share and which may differ from step to step.
        columns: computes the coefficients, in the order of the formula, from t and learning rate of each step
            `(n,)` and, as keywords, settings of the optimiser. Whatever depends on the step alone, such as a
            correction of bias, is here, in float64.
        first_states: each state before the first step: a number, or the setting that says it.
        divisor_floor: computes from settings what a step adds to its divisors at least.
    """

    name: RuleName
    description: str
    formula: Callable[..., tuple[Values, ...]]
    columns: Callable[..., tuple[Column, ...]]
    first_states: tuple[float | str, ...] = ()
    divisor_floor: Callable[..., float] = no_divisor
    squares: float = INFINITY
    """The fraction of the dtype's largest number that the square of an element of the gradient may be, if the
    rule remembers squares: a sum of them must not become infinite, which would end all further steps."""

    def largest_element(self, dtype: np.dtype[F]) -> float:
        """Returns the bound of the gradient's elements that keeps the squares finite; usually infinity."""
        return float(np.sqrt(self.squares * float(np.finfo(dtype).max)))

    @property
    def states(self) -> int:
        """The number of states."""
        return self.formula.__code__.co_posonlyargcount - 2

    @property
    def coefficients(self) -> int:
        """The number of coefficients, in the columns from FIRST on in the order of the formula."""
        return self.formula.__code__.co_argcount - self.formula.__code__.co_posonlyargcount


def settings_of(function: Callable[..., object], settings: object) -> Mapping[str, Any]:
    """Returns the attributes of `settings` that a function takes as keywords."""
    code = function.__code__
    names = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
    return {name: getattr(settings, name) for name in names}


def _sgd(w: Values, g: Values, /, rate: Values) -> tuple[Values, ...]:
    return (w - rate * g,)


def _rate(t: Steps, rate: Steps) -> tuple[Column, ...]:
    return (rate,)


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


def _rate_and_momentum(t: Steps, rate: Steps, *, momentum: float) -> tuple[Column, ...]:
    return rate, momentum


def _rmsprop(
    w: Values, g: Values, square: Values, /, rate: Values, forgotten: Values, epsilon: Values
) -> tuple[Values, ...]:
    square = square + forgotten * (g * g - square)
    return w - rate * g / sqrt(square + epsilon), square


def _rmsprop_columns(t: Steps, rate: Steps, *, rho: float, epsilon: float) -> tuple[Column, ...]:
    return rate, 1 - rho, epsilon


def _epsilon(*, epsilon: float) -> float:
    return epsilon


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


def _rmsprop_momentum_columns(
    t: Steps, rate: Steps, *, rho: float, epsilon: float, momentum: float, centered: bool
) -> tuple[Column, ...]:
    return rate, 1 - rho, epsilon, momentum, float(centered)


def _epsilon_unless_centered(*, epsilon: float, centered: bool) -> float:
    return 0.0 if centered else epsilon  # rounding can make a variance negative


def _adagrad(w: Values, g: Values, squares: Values, /, rate: Values, epsilon: Values) -> tuple[Values, ...]:
    squares = squares + g * g
    return w - rate * g / sqrt(squares + epsilon), squares


def _adagrad_columns(t: Steps, rate: Steps, *, epsilon: float) -> tuple[Column, ...]:
    return rate, epsilon


def _first_squares_and_epsilon(*, initial_accumulator_value: float, epsilon: float) -> float:
    return initial_accumulator_value + epsilon


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


def _adam_columns(
    t: Steps, rate: Steps, *, beta_1: float, beta_2: float, epsilon: float
) -> tuple[Column, ...]:
    # α m̂/(√v̂ + ε) = α√(1−β₂ᵗ)/(1−β₁ᵗ) · m/(√v + ε√(1−β₂ᵗ))
    root = np.sqrt(1 - beta_2**t)
    return rate * root / (1 - beta_1**t), 1 - beta_1, 1 - beta_2, epsilon * root


def _epsilon_of_first_step(*, beta_2: float, epsilon: float) -> float:
    return epsilon * float(np.sqrt(1 - beta_2))


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


def _nadam_columns(
    t: Steps, rate: Steps, *, beta_1: float, beta_2: float, epsilon: float
) -> tuple[Column, ...]:
    momentum, next_momentum = _warm_momentum(beta_1, t), _warm_momentum(beta_1, t + 1)
    product = beta_1**t * _product_of_warm_up(t)
    root = np.sqrt(1 - beta_2**t)
    rate_of_mean = rate * root * next_momentum / (1 - product * next_momentum)
    rate_of_gradient = rate * root * (1 - momentum) / (1 - product)
    return rate_of_mean, rate_of_gradient, 1 - beta_1, 1 - beta_2, epsilon * root


def _warm_momentum(beta_1: float, t: Steps) -> Steps:
    return beta_1 * (1 - 0.5 * 0.96**t)


WARM_UP_STEPS = 1024
"""The number of steps after which 1 - 0.96ᵗ / 2 is 1 in float64."""


def _product_of_warm_up(t: Steps) -> Steps:
    """Computes the product of 1 - 0.96ⁱ / 2 over i from 1 to t."""
    products: Vector[np.float64] = np.empty(WARM_UP_STEPS)
    np.cumprod(1 - 0.5 * 0.96 ** np.arange(1, WARM_UP_STEPS + 1, dtype=np.float64), out=products)
    return products[np.minimum(t, WARM_UP_STEPS).astype(np.intp) - 1]


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


def _rprop_columns(
    t: Steps, rate: Steps, *, etas: tuple[float, float], step_sizes: tuple[float, float]
) -> tuple[Column, ...]:
    return *etas, *step_sizes


def _lion(
    w: Values, g: Values, mean: Values, /, rate: Values, forgotten_1: Values, forgotten_2: Values
) -> tuple[Values, ...]:
    difference = g - mean
    return w - rate * sign(mean + forgotten_1 * difference), mean + forgotten_2 * difference


def _lion_columns(t: Steps, rate: Steps, *, beta_1: float, beta_2: float) -> tuple[Column, ...]:
    return rate, 1 - beta_1, 1 - beta_2


RULES = (
    UpdateRule("sgd", "gradient descent", _sgd, _rate),
    UpdateRule(
        "momentum",
        "the steps of the past continue, weaker from step to step",
        _momentum,
        _rate_and_momentum,
        first_states=(0.0,),
    ),
    UpdateRule(
        "nesterov",
        "momentum, with the gradient of where it leads",
        _nesterov,
        _rate_and_momentum,
        first_states=(0.0,),
    ),
    UpdateRule(
        "rmsprop",
        "steps divided by the root of the mean square of the gradient",
        _rmsprop,
        _rmsprop_columns,
        first_states=(0.0,),
        divisor_floor=_epsilon,
        squares=0.25,
    ),
    UpdateRule(
        "rmsprop_momentum",
        "RMSprop, centred or with momentum",
        _rmsprop_momentum,
        _rmsprop_momentum_columns,
        first_states=(0.0, 0.0, 0.0),
        divisor_floor=_epsilon_unless_centered,
        squares=0.25,
    ),
    UpdateRule(
        "adagrad",
        "steps divided by the root of the sum of squares of the gradient",
        _adagrad,
        _adagrad_columns,
        first_states=("initial_accumulator_value",),
        divisor_floor=_first_squares_and_epsilon,
        squares=2**-24,
    ),
    UpdateRule(
        "adam",
        "the mean of the gradient, divided by the root of its mean square",
        _adam,
        _adam_columns,
        first_states=(0.0, 0.0),
        divisor_floor=_epsilon_of_first_step,
        squares=0.25,
    ),
    UpdateRule(
        "nadam",
        "Adam with Nesterov's momentum",
        _nadam,
        _nadam_columns,
        first_states=(0.0, 0.0),
        divisor_floor=_epsilon_of_first_step,
        squares=0.25,
    ),
    UpdateRule(
        "rprop",
        "a step for each parameter, which grows until the derivative changes sign",
        _rprop,
        _rprop_columns,
        first_states=(0.0, "learning_rate"),
    ),
    UpdateRule("lion", "the sign of the mean of the gradient", _lion, _lion_columns, first_states=(0.0,)),
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

"""The loss functions: one row each.

- huber: Huber (1964), Robust estimation of a location parameter, Ann. Math. Stat. 35, with delta 1.
- focal: Lin, Goyal, Girshick, He & Dollár (2017), arXiv:1708.02002, eq. 4, with gamma 2, in the form for
  targets between 0 and 1 that Keras has (BinaryFocalCrossentropy).
- hinge: with targets -1 and 1; a target of 0 counts as -1, so that 0 and 1 can be given, too.

Where a loss has a kink, its slope is 0 there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple, NewType, TypeAlias

from typednn_kernels.activations import CODES as ACTIVATION_CODES
from typednn_kernels.activations import INFINITY, OutputActivationName
from typednn_kernels.arrays import Values
from typednn_kernels.primitives import exp, expm1, log, log1p, maximum, minimum, sign, tanh, unless_nan, where

RegressionLossName: TypeAlias = Literal["MSE", "mae", "huber", "log_cosh", "poisson"]
LossName: TypeAlias = Literal[
    RegressionLossName, "bincrossentropy", "crossentropy", "hinge", "kl_divergence", "focal"
]
"""The targets of a regression loss are numbers; those of the others say of what class a sample is, and may be
whole numbers."""

TargetKind: TypeAlias = Literal["numbers", "signs", "probabilities", "classes"]
"""What the targets of a loss are.

numbers: any, within its range. signs: of each output, 1 or -1, and 0 stands for -1. probabilities: of each
output, that it is 1. classes: one row of probabilities that a sample is of each class, or its label.
"""

CustomLoss = NewType("CustomLoss", str)
"""The name of a loss that a user has registered; its targets are numbers."""

EPSILON = 1e-7
"""Probabilities are clipped to [EPSILON, 1 - EPSILON] before a logarithm is taken of them."""


class Loss(NamedTuple):
    """A loss L(y, t) of one sample, and its slope dL/dy.

    `value` and `slope` are formulas in the words of `elementary`, one term per output; the loss of a
    sample is their mean or sum over the outputs, that of a batch the mean over its samples.

    With the output activation `canonical` the loss is a smooth function of the pre-activations that needs
    no clipping: `stable_value` is its term, given the logits (for softmax: the logarithms of the
    probabilities), and dL/da is y - t (for softmax: y * sum(t) - t).
    """

    name: LossName | CustomLoss
    value: Callable[[Values, Values], Values]
    derivative: Callable[[Values, Values], Values]
    over_outputs: Literal["mean", "sum"]
    canonical: OutputActivationName | None
    stable_value: Callable[[Values, Values], Values]
    targets: TargetKind
    target_minimum: float
    target_maximum: float
    description: str

    @property
    def boundary(self) -> float:
        """Above it, an output or a target of two sides is on the upper one."""
        return 0.0 if self.targets == "signs" else 0.5


def _squared_error(y: Values, t: Values) -> Values:
    return (y - t) * (y - t)


def _squared_error_derivative(y: Values, t: Values) -> Values:
    return 2 * (y - t)


def _binary_cross_entropy(y: Values, t: Values) -> Values:
    p = minimum(maximum(y, EPSILON), 1 - EPSILON)
    return -(t * log(p) + (1 - t) * log(1 - p))


def _binary_cross_entropy_derivative(y: Values, t: Values) -> Values:
    p = minimum(maximum(y, EPSILON), 1 - EPSILON)
    return where(p == y, (p - t) / (p * (1 - p)), y * 0)


def _binary_cross_entropy_of_logits(a: Values, t: Values) -> Values:
    return maximum(a, 0) - a * t + log1p(exp(-abs(a)))


def _cross_entropy(y: Values, t: Values) -> Values:
    return -t * log(minimum(maximum(y, EPSILON), 1 - EPSILON))


def _cross_entropy_derivative(y: Values, t: Values) -> Values:
    p = minimum(maximum(y, EPSILON), 1 - EPSILON)
    return where(p == y, -t / p, y * 0)


def _cross_entropy_of_log_probabilities(log_y: Values, t: Values) -> Values:
    return where(t == 0, t, -t * log_y)


def _absolute_error(y: Values, t: Values) -> Values:
    return abs(y - t)


def _absolute_error_derivative(y: Values, t: Values) -> Values:
    return sign(y - t)


def _huber(y: Values, t: Values) -> Values:
    d = abs(y - t)
    near = minimum(d, 1)
    return near * (d - near * 0.5)


def _huber_derivative(y: Values, t: Values) -> Values:
    return maximum(minimum(y - t, 1), -1)


LOG_2 = 0.6931471805599453


def _log_cosh(y: Values, t: Values) -> Values:
    d = abs(y - t)
    # With e = exp(-d), cosh(d) - 1 is (1 - e)^2 / 2e; it would lose nothing near 0, and overflow far from it.
    minus = expm1(-d)
    e = 1 + minus
    near = d < 1
    return log1p(where(near, minus * minus / (2 * e), e * e)) + where(near, 0, d - LOG_2)


def _log_cosh_derivative(y: Values, t: Values) -> Values:
    return tanh(y - t)


def _poisson(y: Values, t: Values) -> Values:
    return y - t * log(maximum(y, EPSILON))


def _poisson_derivative(y: Values, t: Values) -> Values:
    return where(y < EPSILON, 1, 1 - t / y)


def _poisson_of_logarithms(a: Values, t: Values) -> Values:
    return exp(a) - t * a


def _hinge(y: Values, t: Values) -> Values:
    return maximum(1 - where(t == 0, -1, t) * y, 0)


def _hinge_derivative(y: Values, t: Values) -> Values:
    side = where(t == 0, -1, t)
    return where(side * y < 1, -side, unless_nan(y, 0))


def _kl_divergence(y: Values, t: Values) -> Values:
    p = minimum(maximum(y, EPSILON), 1 - EPSILON)
    return t * log(where(t > 0, t, p) / p)


def _kl_divergence_of_log_probabilities(log_y: Values, t: Values) -> Values:
    return where(t == 0, t, t * (log(t) - log_y))


def _focal_parts(p: Values, t: Values) -> tuple[Values, Values]:
    """How far p is from certainty in t, and the binary cross-entropy; both exact where they are small."""
    return t * (1 - p) + (1 - t) * p, -(t * log(p) + (1 - t) * log1p(-p))


def _focal(y: Values, t: Values) -> Values:
    miss, entropy = _focal_parts(minimum(maximum(y, EPSILON), 1 - EPSILON), t)
    return miss * miss * entropy


def _focal_derivative(y: Values, t: Values) -> Values:
    p = minimum(maximum(y, EPSILON), 1 - EPSILON)
    miss, entropy = _focal_parts(p, t)
    derivative = miss * (2 * (1 - 2 * t) * entropy + miss * ((p - t) / (p * (1 - p))))
    return where(p == y, derivative, y * 0)


LOSSES: list[Loss] = [
    Loss(
        "MSE",
        _squared_error,
        _squared_error_derivative,
        "mean",
        None,
        _squared_error,
        "numbers",
        -INFINITY,
        INFINITY,
        "mean over outputs of (y - t)^2",
    ),
    Loss(
        "bincrossentropy",
        _binary_cross_entropy,
        _binary_cross_entropy_derivative,
        "mean",
        "sigmoid",
        _binary_cross_entropy_of_logits,
        "probabilities",
        0.0,
        1.0,
        "mean over outputs of -(t log(y) + (1 - t) log(1 - y))",
    ),
    Loss(
        "crossentropy",
        _cross_entropy,
        _cross_entropy_derivative,
        "sum",
        "softmax",
        _cross_entropy_of_log_probabilities,
        "classes",
        0.0,
        INFINITY,
        "sum over classes of -t log(y)",
    ),
    Loss(
        "mae",
        _absolute_error,
        _absolute_error_derivative,
        "mean",
        None,
        _absolute_error,
        "numbers",
        -INFINITY,
        INFINITY,
        "mean over outputs of |y - t|",
    ),
    Loss(
        "huber",
        _huber,
        _huber_derivative,
        "mean",
        None,
        _huber,
        "numbers",
        -INFINITY,
        INFINITY,
        "mean over outputs of (y - t)^2 / 2 where |y - t| is at most 1, |y - t| - 1/2 elsewhere",
    ),
    Loss(
        "log_cosh",
        _log_cosh,
        _log_cosh_derivative,
        "mean",
        None,
        _log_cosh,
        "numbers",
        -INFINITY,
        INFINITY,
        "mean over outputs of log(cosh(y - t))",
    ),
    Loss(
        "poisson",
        _poisson,
        _poisson_derivative,
        "mean",
        "exponential",
        _poisson_of_logarithms,
        "numbers",
        0.0,
        INFINITY,
        "mean over outputs of y - t log(y)",
    ),
    Loss(
        "hinge",
        _hinge,
        _hinge_derivative,
        "mean",
        None,
        _hinge,
        "signs",
        -1.0,
        1.0,
        "mean over outputs of max(1 - t y, 0), t being -1 or 1; 0 counts as -1",
    ),
    Loss(
        "kl_divergence",
        _kl_divergence,
        _cross_entropy_derivative,
        "sum",
        "softmax",
        _kl_divergence_of_log_probabilities,
        "classes",
        0.0,
        1.0,
        "sum over classes of t log(t / y)",
    ),
    Loss(
        "focal",
        _focal,
        _focal_derivative,
        "mean",
        None,
        _focal,
        "probabilities",
        0.0,
        1.0,
        "mean over outputs of (1 - p)^2 times the binary cross-entropy, p = t y + (1 - t) (1 - y)",
    ),
]
"""The table; a row's place is its code in kernels. Those of users come after the library's."""

CODES: dict[str, int] = {row.name: code for code, row in enumerate(LOSSES)}
BUILT_IN = len(LOSSES)
CANONICAL = tuple(-1 if row.canonical is None else ACTIVATION_CODES[row.canonical] for row in LOSSES)
MEAN_OVER_OUTPUTS = tuple(row.over_outputs == "mean" for row in LOSSES)
"""Of the library's losses, by code: the canonical activation's code (-1: none), and whether it is a mean."""


def canonical(loss: int) -> int:
    """The code of a loss's canonical activation, or -1; those of users have none."""
    return CANONICAL[loss] if loss < BUILT_IN else -1


def is_mean(loss: int) -> bool:
    """Whether a loss is a mean over the outputs, as those of users are."""
    return MEAN_OVER_OUTPUTS[loss] if loss < BUILT_IN else True

"""The table of loss functions: a row has the formula of a loss beside that of its derivative dL/dy.

- huber: Huber (1964), Robust estimation of a location parameter, Ann. Math. Stat. 35 (1), with delta 1.
- focal: Lin, Goyal, Girshick, He & Dollár (2017), arXiv:1708.02002, eq. 4, with gamma 2, in the form for
  targets between 0 and 1 that Keras has (BinaryFocalCrossentropy).
- hinge: with targets -1 and 1; a target of 0 counts as -1.

The derivative at a kink is 0.
"""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# Formulas written as lambdas have no types.

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Literal, NamedTuple, NewType, TypeAlias

from typednn_kernels.activations import (
    ACTIVATIONS,
    EPSILON,
    INFINITY,
    SOFTMAX,
    Logarithms,
    OutputActivationName,
)
from typednn_kernels.activations import BUILT_IN as BUILT_IN_ACTIVATIONS
from typednn_kernels.activations import CODES as ACTIVATION_CODES
from typednn_kernels.arrays import Values
from typednn_kernels.primitives import exp, expm1, log, log1p, maximum, minimum, sign, tanh, unless_nan, where

RegressionLossName: TypeAlias = Literal["MSE", "mae", "huber", "log_cosh", "poisson"]
BinaryLossName: TypeAlias = Literal["bincrossentropy", "hinge", "focal"]
ClassLossName: TypeAlias = Literal["crossentropy", "kl_divergence", "nll"]
LossName: TypeAlias = Literal[RegressionLossName, BinaryLossName, ClassLossName]
"""The targets of a regression loss are real numbers; those of the others say to which class a sample belongs,
and may be integers."""

MAX_SUMMED = 128
"""The number of losses of which a sum has the bits of NumPy's without its recursion."""

TargetKind: TypeAlias = Literal["numbers", "signs", "probabilities", "classes"]
"""What the targets of a loss are.

numbers: any in its range. signs: 1 or -1 for each output; 0 counts as -1. probabilities: that an output is 1,
for each output. classes: the probabilities of all classes for each sample, or its label.
"""

CustomLoss = NewType("CustomLoss", str)
"""The name of a loss that a user registered; its targets are numbers."""


class OfLogarithms(NamedTuple):
    """A loss as a function of y, 1 - y and their logarithms, for activations that have stable ones.

    `partials` are the derivatives with respect to y, log(y) and log(1 - y), as if each were independent.
    """

    value: Callable[[Logarithms, Values], Values]
    partials: Callable[[Logarithms, Values], tuple[Values, Values, Values]]


class Loss(NamedTuple):
    """A loss L(y, t) of a sample, and its derivative dL/dy.

    `value` and `derivative` are formulas of `primitives` for one term per output. The loss of a sample is the
    mean or the sum of its terms, the loss of a batch the mean over its samples.

    With its `canonical` output activation a loss is a smooth function of the pre-activations that needs no
    clipping: `stable_value` is a term of it, given the logits (for softmax, the log-probabilities), and dL/da
    is y - t (for softmax, y * sum(t) - t).
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
    of_logarithms: OfLogarithms | None = None

    @property
    def boundary(self) -> float:
        """Separates the two classes: an output or a target above it belongs to the upper one."""
        return 0.0 if self.targets == "signs" else 0.5


def _clipped(y: Values) -> Values:
    return minimum(maximum(y, EPSILON), 1 - EPSILON)


def _squared_error(y: Values, t: Values) -> Values:
    return (y - t) * (y - t)


def _binary_cross_entropy(y: Values, t: Values) -> Values:
    p = _clipped(y)
    return -(t * log(p) + (1 - t) * log(1 - p))


def _binary_cross_entropy_derivative(y: Values, t: Values) -> Values:
    p = _clipped(y)
    return where(p == y, (p - t) / (p * (1 - p)), y * 0)


def _cross_entropy_derivative(y: Values, t: Values) -> Values:
    p = _clipped(y)
    return where(p == y, -t / p, y * 0)


def _absolute_error(y: Values, t: Values) -> Values:
    return abs(y - t)


def _huber(y: Values, t: Values) -> Values:
    d = abs(y - t)
    near = minimum(d, 1)
    return near * (d - near * 0.5)


LOG_2 = 0.6931471805599453


def _log_cosh(y: Values, t: Values) -> Values:
    d = abs(y - t)
    # With e = exp(-d), cosh(d) - 1 = (1 - e)^2 / 2e, which is exact near 0, but overflows far from it.
    minus = expm1(-d)
    e = 1 + minus
    near = d < 1
    return log1p(where(near, minus * minus / (2 * e), e * e)) + where(near, 0, d - LOG_2)


def _hinge(y: Values, t: Values) -> Values:
    return maximum(1 - where(t == 0, -1, t) * y, 0)


def _hinge_derivative(y: Values, t: Values) -> Values:
    side = where(t == 0, -1, t)
    return where(side * y < 1, -side, unless_nan(y, 0))


def _kl_divergence(y: Values, t: Values) -> Values:
    p = _clipped(y)
    return t * log(where(t > 0, t, p) / p)


def _focal_parts(p: Values, t: Values) -> tuple[Values, Values]:
    """Computes |t - p| for t 0 or 1, and the binary cross-entropy; both are exact where they are small."""
    return t * (1 - p) + (1 - t) * p, -(t * log(p) + (1 - t) * log1p(-p))


def _focal(y: Values, t: Values) -> Values:
    miss, entropy = _focal_parts(_clipped(y), t)
    return miss * miss * entropy


def _focal_derivative(y: Values, t: Values) -> Values:
    p = _clipped(y)
    miss, entropy = _focal_parts(p, t)
    derivative = miss * (2 * (1 - 2 * t) * entropy + miss * ((p - t) / (p * (1 - p))))
    return where(p == y, derivative, y * 0)


def _binary_cross_entropy_partials(p: Logarithms, t: Values) -> tuple[Values, Values, Values]:
    return 0 * t, -t, t - 1


def _cross_entropy_partials(p: Logarithms, t: Values) -> tuple[Values, Values, Values]:
    return 0 * t, -t, 0 * t


def _focal_of_logarithms(p: Logarithms, t: Values) -> Values:
    miss, entropy = t * p.z + (1 - t) * p.y, -(t * p.log_y + (1 - t) * p.log_z)
    return miss * miss * entropy


def _focal_partials(p: Logarithms, t: Values) -> tuple[Values, Values, Values]:
    miss, entropy = t * p.z + (1 - t) * p.y, -(t * p.log_y + (1 - t) * p.log_z)
    square = miss * miss
    return 2 * (1 - 2 * t) * miss * entropy, -t * square, (t - 1) * square


LOSSES: list[Loss] = [
    Loss(
        "MSE",
        _squared_error,
        lambda y, t: 2 * (y - t),
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
        lambda a, t: maximum(a, 0) - a * t + log1p(exp(-abs(a))),
        "probabilities",
        0.0,
        1.0,
        "mean over outputs of -(t log(y) + (1 - t) log(1 - y))",
        OfLogarithms(lambda p, t: -(t * p.log_y + (1 - t) * p.log_z), _binary_cross_entropy_partials),
    ),
    Loss(
        "crossentropy",
        lambda y, t: -t * log(_clipped(y)),
        _cross_entropy_derivative,
        "sum",
        "softmax",
        lambda log_y, t: where(t == 0, t, -t * log_y),
        "classes",
        0.0,
        INFINITY,
        "sum over classes of -t log(y)",
        OfLogarithms(lambda p, t: -t * p.log_y, _cross_entropy_partials),
    ),
    Loss(
        "mae",
        _absolute_error,
        lambda y, t: sign(y - t),
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
        lambda y, t: maximum(minimum(y - t, 1), -1),
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
        lambda y, t: tanh(y - t),
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
        lambda y, t: y - t * log(maximum(y, EPSILON)),
        lambda y, t: where(y < EPSILON, 1, 1 - t / y),
        "mean",
        "exponential",
        lambda a, t: exp(a) - t * a,
        "numbers",
        0.0,
        INFINITY,
        "mean over outputs of y - t log(y)",
        OfLogarithms(lambda p, t: p.y - t * p.log_y, lambda p, t: (unless_nan(t, 1), -t, 0 * t)),
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
        lambda log_y, t: where(t == 0, t, t * (log(t) - log_y)),
        "classes",
        0.0,
        1.0,
        "sum over classes of t log(t / y)",
        OfLogarithms(lambda p, t: where(t == 0, t, t * (log(t) - p.log_y)), _cross_entropy_partials),
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
        OfLogarithms(_focal_of_logarithms, _focal_partials),
    ),
    Loss(
        "nll",
        lambda y, t: -t * y,
        lambda y, t: -t * unless_nan(y, 1),
        "sum",
        None,
        lambda y, t: -t * y,
        "classes",
        0.0,
        INFINITY,
        "sum over classes of -t y, the cross-entropy of outputs that are logarithms of probabilities",
    ),
]
"""The place of a row is its code in kernels. Rows of users come after the library's."""

CODES: dict[str, int] = {row.name: code for code, row in enumerate(LOSSES)}
BUILT_IN = len(LOSSES)
POISSON = CODES["poisson"]
CANONICAL = tuple(-1 if row.canonical is None else ACTIVATION_CODES[row.canonical] for row in LOSSES)
MEAN_OVER_OUTPUTS = tuple(row.over_outputs == "mean" for row in LOSSES)
"""By code of the library's losses: the code of the canonical activation, or -1, and whether it is a mean."""


OF_LOGARITHMS = tuple(code for code, row in enumerate(LOSSES) if row.of_logarithms is not None)
LOGARITHMIC = (SOFTMAX, *(code for code, row in enumerate(ACTIVATIONS) if row.logarithms is not None))
PAIRS = [(activation, loss) for activation in LOGARITHMIC for loss in OF_LOGARITHMS]
"""The pairs of an output activation with stable logarithms and a loss of logarithms, softmax first."""
PLACE_OF_LOSS = tuple(OF_LOGARITHMS.index(loss) if loss in OF_LOGARITHMS else -1 for loss in range(BUILT_IN))
PLACE_OF_ACTIVATION = tuple(
    len(OF_LOGARITHMS) * LOGARITHMIC.index(code) if code in LOGARITHMIC else -1
    for code in range(BUILT_IN_ACTIVATIONS)
)
"""By code: what the loss and the activation add to the place of their pair in `PAIRS`, or -1."""
COUPLED = len(OF_LOGARITHMS)
"""The first pairs have softmax, whose outputs depend on one another; those from here on are elementwise."""


def pair_of(loss: int, activation: int) -> int:
    """Returns the place of a loss and an activation in `PAIRS`, or -1; those of users have none."""
    loss_place = PLACE_OF_LOSS[loss] if loss < BUILT_IN else -1
    activation_place = PLACE_OF_ACTIVATION[activation] if activation < BUILT_IN_ACTIVATIONS else -1
    return loss_place + activation_place if loss_place >= 0 and activation_place >= 0 else -1


def is_stable(loss: int, activation: int) -> bool:
    """Says whether `Loss.stable_value` is for the activation, and dL/da is y - t, or y * sum(t) - t."""
    is_canonical = loss < BUILT_IN and activation == CANONICAL[loss]
    return is_canonical or (activation == SOFTMAX and loss == POISSON)


@cache
def pair_value(pair: int) -> Callable[[Values, Values], Values]:
    """Returns the formula of a term of an elementwise pair of (a, t)."""
    logarithms, loss = _rows_of(pair)
    return lambda a, t: loss.value(logarithms(a), t)


@cache
def pair_delta(pair: int) -> Callable[[Values, Values], Values]:
    """Returns the formula of dL/da of an elementwise pair of (a, t)."""
    logarithms, loss = _rows_of(pair)

    def delta(a: Values, t: Values) -> Values:
        p = logarithms(a)
        by_y, by_log_y, by_log_z = loss.partials(p, t)
        through_y = where(by_y == 0, by_y, by_y * p.y)  # y may be infinite
        return (through_y + by_log_y) * p.log_y_derivative + by_log_z * p.log_z_derivative

    return delta


SOFTMAX_DERIVATIVES: dict[str, Callable[[Values, Values, Values], Values]] = {
    "crossentropy": lambda a, y, t: -_over(t, y),
    "kl_divergence": lambda a, y, t: -_over(t, y),
    "poisson": lambda a, y, t: 1 - _over(t, y),
}
"""dL/dy of softmax for the losses that do not need 1 - y, which is not exact."""


@cache
def pair_derivative(pair: int) -> Callable[[Values, Values, Values], Values]:
    """Returns the formula of dL/dy of a pair of (a, y, t), infinite only where it is beyond the dtype."""
    activation, loss = PAIRS[pair]
    if activation == SOFTMAX:
        return SOFTMAX_DERIVATIVES.get(LOSSES[loss].name, lambda a, y, t: LOSSES[loss].derivative(y, t))
    logarithms, of_logarithms = _rows_of(pair)

    def derivative(a: Values, y: Values, t: Values) -> Values:
        p = logarithms(a)
        by_y, by_log_y, by_log_z = of_logarithms.partials(p, t)
        result = by_y + _over(by_log_y, p.y) - _over(by_log_z, p.z)
        return _below_cap(p, result) if _is_capped(pair) else result

    return derivative


def _over(x: Values, y: Values) -> Values:
    """Computes x / y, and 0 where x is 0, whatever y is; but NaN where y is NaN."""
    return where(x == 0, unless_nan(y, 0), x / y)


def _rows_of(pair: int) -> tuple[Callable[[Values], Logarithms], OfLogarithms]:
    activation, loss = PAIRS[pair]
    logarithms, of_logarithms = ACTIVATIONS[activation].logarithms, LOSSES[loss].of_logarithms
    assert logarithms is not None
    assert of_logarithms is not None
    return _capped(logarithms) if _is_capped(pair) else logarithms, of_logarithms


def _is_capped(pair: int) -> bool:
    """Says whether outputs above 1 count as 1 - EPSILON, as probabilities of a loss that needs 1 - y."""
    activation, loss = PAIRS[pair]
    return LOSSES[loss].targets == "probabilities" and ACTIVATIONS[activation].maximum > 1


def _capped(logarithms: Callable[[Values], Logarithms]) -> Callable[[Values], Logarithms]:
    def capped(a: Values) -> Logarithms:
        p = logarithms(a)
        return p._replace(
            y=minimum(p.y, 1 - EPSILON),
            log_y=minimum(p.log_y, -EPSILON),  # log(1 - EPSILON), to within its square
            log_y_derivative=_below_cap(p, p.log_y_derivative),
        )

    return capped


def _below_cap(p: Logarithms, derivative: Values) -> Values:
    return where(p.z > EPSILON, derivative, unless_nan(p.y, 0))


def is_mean(loss: int) -> bool:
    """Says whether a loss is a mean over the outputs; losses of users are."""
    return MEAN_OVER_OUTPUTS[loss] if loss < BUILT_IN else True

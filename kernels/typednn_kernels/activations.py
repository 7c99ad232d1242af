"""The table of activation functions: a row has the formula of y = f(a) beside that of its derivative dy/da.

Sources of those that are not in every textbook:

- leaky_relu: Maas, Hannun & Ng (2013), Rectifier nonlinearities improve neural network acoustic models.
- elu: Clevert, Unterthiner & Hochreiter (2016), arXiv:1511.07289, eq. 15, with alpha 1.
- selu: Klambauer, Unterthiner, Mayr & Hochreiter (2017), arXiv:1706.02515, eq. 2; constants of eq. 14.
- gelu: Hendrycks & Gimpel (2016), arXiv:1606.08415, section 2, exact, not one of its approximations.
- silu: Elfwing, Uchibe & Doya (2018), arXiv:1702.03118, eq. 3; also in section 2 of the paper on gelu.
- softplus: Glorot, Bordes & Bengio (2011), Deep sparse rectifier neural networks, AISTATS 15, section 3.
- mish: Misra (2020), arXiv:1908.08681, eq. 1.
- relu6: Krizhevsky (2010), Convolutional deep belief networks on CIFAR-10.
- hard_swish: Howard et al. (2019), Searching for MobileNetV3, arXiv:1905.02244, section 5.2.
- gelu_tanh: the approximation by tanh of section 2 of the paper on gelu, which JAX computes by default.
"""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# Formulas written as lambdas have no types.

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from threading import Lock
from typing import Literal, NamedTuple, TypeAlias

from typednn_kernels.arrays import Values
from typednn_kernels.primitives import (
    erfc,
    exp,
    expm1,
    log,
    log1p,
    maximum,
    minimum,
    sign,
    tanh,
    unless_nan,
    where,
)

ActivationName: TypeAlias = Literal[
    "none",
    "sigmoid",
    "relu",
    "tanh",
    "leaky_relu",
    "elu",
    "selu",
    "gelu",
    "silu",
    "softplus",
    "softsign",
    "mish",
    "hard_sigmoid",
    "hard_tanh",
    "exponential",
    "relu6",
    "hard_swish",
    "gelu_tanh",
]
OutputActivationName: TypeAlias = Literal[ActivationName, "softmax", "log_softmax"]


class CustomActivation(str):
    """The name of an activation that a user registered, or of one with parameters."""

    __slots__ = ()


class Logarithms(NamedTuple):
    """Outputs y of an activation in [0, 1], their complements z = 1 - y, and the logarithms of both.

    All come from the pre-activations a, without cancellation: they are exact where y is rounded to 0 or 1.
    """

    y: Values
    z: Values
    log_y: Values
    log_z: Values
    log_y_derivative: Values
    """d log(y) / da"""
    log_z_derivative: Values
    """d log(1 - y) / da"""


class Activation(NamedTuple):
    """An activation function y = f(a), from `minimum` to `maximum`, and its derivative dy/da.

    `value` takes the pre-activation a, `derivative` a and y. Both are formulas of `primitives`: elementwise
    over arrays of any shape, or over scalars when compiled. Softmax and its logarithm, which couple the units
    of a layer, have neither, but kernels of their own. `logarithms` takes a; most activations have no stable
    logarithm.
    """

    name: OutputActivationName | CustomActivation
    value: Callable[[Values], Values] | None
    derivative: Callable[[Values, Values], Values | float] | None
    minimum: float
    maximum: float
    description: str
    logarithms: Callable[[Values], Logarithms] | None = None


INFINITY = float("inf")
LEAKY_RELU_FACTOR = 0.2
SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772
GELU_SCALE, GELU_CUBIC = 1.5957691216057308, 0.044715
"""2 sqrt(2 / pi), and the coefficient of the cube, of the approximation of gelu by tanh."""
GELU_TANH_MINIMUM = -0.17004075057125412
GELU_MINIMUM, SILU_MINIMUM, MISH_MINIMUM = -0.16997120747990366, -0.2784645427610738, -0.3088434130172504
SOFTPLUS_ROOT, SOFTPLUS_ROOT_REST = 0.5413248538970947, 7.158233824158563e-10
"""log(e - 1), where softplus is 1: as float32 has it, and what that lacks."""
EXP_MINUS_1 = 0.36787944117144233
SATURATED = 1000.0
"""Beyond it all exponentials are 0 or infinite. Clipping to it replaces infinity times 0 by its limit."""
EPSILON = 1e-7
"""Probabilities are clipped to [EPSILON, 1 - EPSILON] where their logarithm is taken of them, not of a."""
TINY = 1e-30
"""A number so small that 1 + TINY is 1 in any dtype."""
HUGE = 1e30
"""A number so large that 1 + HUGE is HUGE in any dtype."""


def _clipped(a: Values) -> Values:
    return minimum(maximum(a, -SATURATED), SATURATED)


def _sigmoid(a: Values) -> Values:
    e = exp(-abs(a))
    limit = where(a < 0, e, 1)
    return limit - limit * (e / (1 + e))  # limit / (1 + e), with a smaller rounding error


def _sigmoid_logarithms(a: Values) -> Logarithms:
    y, z, log_sum = _sigmoid(a), _sigmoid(-a), log1p(exp(-abs(a)))
    return Logarithms(y, z, minimum(a, 0) - log_sum, minimum(-a, 0) - log_sum, z, -y)


def _exponential_logarithms(a: Values) -> Logarithms:
    y = exp(a)
    return _unbounded_logarithms(y, -expm1(a), a, unless_nan(a, 1), y)


def _softplus(a: Values) -> Values:
    return maximum(a, 0) + log1p(exp(-abs(a)))


def _softplus_logarithms(a: Values) -> Logarithms:
    e, y = exp(-abs(a)), _softplus(a)
    u = maximum(e, TINY)  # below 0, y is log1p(u), which is u where u is small
    log_y = where(a < 0, minimum(a, 0) + log(log1p(u) / u), log(y))
    log_y_derivative = where(a < 0, u / (log1p(u) * (1 + u)), 1 / ((1 + e) * y))
    # 1 - log(1 + exp(a)) with a = root + d, without cancellation near the root
    z = -log1p(expm1((a - SOFTPLUS_ROOT) - SOFTPLUS_ROOT_REST) * (1 - EXP_MINUS_1))
    return _unbounded_logarithms(y, z, log_y, log_y_derivative, _sigmoid(a))


def _unbounded_logarithms(
    y: Values, z: Values, log_y: Values, log_y_derivative: Values, dyda: Values
) -> Logarithms:
    """Completes the logarithms of an activation that exceeds 1, where 1 - y has none and is clipped."""
    z = maximum(z, EPSILON)
    log_z_derivative = where(z > EPSILON, -dyda / z, unless_nan(y, 0))
    return Logarithms(y, z, log_y, log(z), log_y_derivative, log_z_derivative)


def _normal_distribution(a: Values) -> Values:
    return erfc(a * -(0.5**0.5)) * 0.5


def _gelu(a: Values) -> Values:
    return maximum(a, -SATURATED) * _normal_distribution(a)


def _gelu_derivative(a: Values, y: Values) -> Values:
    near = _clipped(a)
    return _normal_distribution(a) + near * (exp(near * near * -0.5) * 0.3989422804014327)  # 1 / sqrt(2 pi)


def _gelu_argument(a: Values) -> Values:
    """Computes u = sqrt(8 / pi) (a + 0.044715 a^3); (1 + tanh(u / 2)) / 2 is the sigmoid of u."""
    return a * (a * a * (GELU_SCALE * GELU_CUBIC) + GELU_SCALE)


def _gelu_tanh(a: Values) -> Values:
    return maximum(a, -SATURATED) * _sigmoid(_gelu_argument(_clipped(a)))


def _gelu_tanh_derivative(a: Values, y: Values) -> Values:
    near = _clipped(a)
    u = _gelu_argument(near)
    e = exp(-abs(u))
    s = 1 / (1 + e)
    dudnear = near * near * (3 * GELU_SCALE * GELU_CUBIC) + GELU_SCALE
    return where(u < 0, e, 1) * s + near * dudnear * (e * s * s)


def _silu(a: Values) -> Values:
    return maximum(a, -SATURATED) * _sigmoid(a)


def _silu_derivative(a: Values, y: Values) -> Values:
    e = exp(-abs(a))
    s = 1 / (1 + e)
    return where(a < 0, e, 1) * s + _clipped(a) * (e * s * s)  # with the sigmoid S: S + a S (1 - S)


def _softsign(a: Values) -> Values:
    finite = minimum(maximum(a, -HUGE), HUGE)
    return finite / (1 + abs(finite))


def _softsign_derivative(a: Values, y: Values) -> Values:
    quotient = 1 / (1 + abs(a))
    return quotient * quotient


def _tanh_of_softplus(a: Values, e: Values) -> tuple[Values, Values]:
    """Computes T = tanh(softplus(a)) and 1 - T from a and e = exp(-|a|).

    With u = exp(a), T = (u^2 + 2u) / (u^2 + 2u + 2); above 0, both sides of the fraction are divided by u^2.
    """
    top = where(a < 0, e * (e + 2), 1 + 2 * e)
    rest = where(a < 0, 2, 2 * e * e)
    return top / (top + rest), rest / (top + rest)


def _mish(a: Values) -> Values:
    t, _ = _tanh_of_softplus(a, exp(-abs(a)))
    return maximum(a, -SATURATED) * t


def _mish_derivative(a: Values, y: Values) -> Values:
    e = exp(-abs(a))
    t, rest = _tanh_of_softplus(a, e)
    return t + _clipped(a) * (rest * (1 + t)) * (where(a < 0, e, 1) / (1 + e))


ACTIVATIONS: list[Activation] = [
    Activation("none", lambda a: a, lambda a, y: 1.0, -INFINITY, INFINITY, "the identity"),
    Activation(
        "sigmoid",
        _sigmoid,
        lambda a, y: y * (1 - y),
        0.0,
        1.0,
        "1 / (1 + exp(-a)), the logistic function",
        _sigmoid_logarithms,
    ),
    Activation(
        "relu",
        lambda a: maximum(a, 0),
        lambda a, y: sign(y),  # y is at least 0, or NaN
        0.0,
        INFINITY,
        "max(a, 0); its derivative at 0 is 0",
    ),
    Activation("tanh", tanh, lambda a, y: (1 - y) * (1 + y), -1.0, 1.0, "the hyperbolic tangent"),
    Activation("softmax", None, None, 0.0, 1.0, "exp(a) / sum(exp(a)) over the units of the output layer"),
    Activation(
        "leaky_relu",
        lambda a: where(a > 0, a, a * LEAKY_RELU_FACTOR),
        lambda a, y: where(a > 0, 1, unless_nan(a, LEAKY_RELU_FACTOR)),
        -INFINITY,
        INFINITY,
        "a above 0, 0.2 a below; its derivative at 0 is 0.2",
    ),
    Activation(
        "elu",
        lambda a: where(a > 0, a, expm1(minimum(a, 0))),
        lambda a, y: where(a > 0, 1, y + 1),
        -1.0,
        INFINITY,
        "a above 0, exp(a) - 1 below",
    ),
    Activation(
        "selu",
        lambda a: where(a > 0, a * SELU_SCALE, expm1(minimum(a, 0)) * (SELU_SCALE * SELU_ALPHA)),
        lambda a, y: where(a > 0, SELU_SCALE, y + SELU_SCALE * SELU_ALPHA),
        -SELU_SCALE * SELU_ALPHA,
        INFINITY,
        "1.0507 a above 0, 1.7581 (exp(a) - 1) below; its derivative at 0 is 1.7581",
    ),
    Activation("gelu", _gelu, _gelu_derivative, GELU_MINIMUM, INFINITY, "a (1 + erf(a / sqrt(2))) / 2"),
    Activation("silu", _silu, _silu_derivative, SILU_MINIMUM, INFINITY, "a / (1 + exp(-a))"),
    Activation(
        "softplus",
        _softplus,
        lambda a, y: _sigmoid(a),
        0.0,
        INFINITY,
        "log(1 + exp(a))",
        _softplus_logarithms,
    ),
    Activation("softsign", _softsign, _softsign_derivative, -1.0, 1.0, "a / (1 + |a|)"),
    Activation("mish", _mish, _mish_derivative, MISH_MINIMUM, INFINITY, "a tanh(log(1 + exp(a)))"),
    Activation(
        "hard_sigmoid",
        lambda a: minimum(maximum(a + 3, 0) / 6, 1),
        lambda a, y: where(abs(a) < 3, 1 / 6, unless_nan(a, 0)),
        0.0,
        1.0,
        "a / 6 + 1/2, within 0 and 1; its derivative at -3 and 3 is 0",
    ),
    Activation(
        "hard_tanh",
        lambda a: minimum(maximum(a, -1), 1),
        lambda a, y: where(abs(a) < 1, 1, unless_nan(a, 0)),
        -1.0,
        1.0,
        "a, within -1 and 1; its derivative at -1 and 1 is 0",
    ),
    Activation("exponential", exp, lambda a, y: y, 0.0, INFINITY, "exp(a)", _exponential_logarithms),
    Activation(
        "relu6",
        lambda a: minimum(maximum(a, 0), 6),
        lambda a, y: where(a > 0, where(a < 6, 1, unless_nan(a, 0)), unless_nan(a, 0)),
        0.0,
        6.0,
        "a, within 0 and 6; its derivative at 0 and 6 is 0",
    ),
    Activation(
        "hard_swish",
        lambda a: maximum(a, -3) * (minimum(maximum(a + 3, 0), 6) / 6),
        lambda a, y: where(abs(a) < 3, a / 3 + 0.5, where(a > 0, 1, unless_nan(a, 0))),
        -0.375,
        INFINITY,
        "a hard_sigmoid(a); its derivative at -3 is 0, at 3 it is 1",
    ),
    Activation(
        "gelu_tanh",
        _gelu_tanh,
        _gelu_tanh_derivative,
        GELU_TANH_MINIMUM,
        INFINITY,
        "a (1 + tanh(sqrt(2 / pi) (a + 0.044715 a^3))) / 2",
    ),
    Activation(
        *("log_softmax", None, None, -INFINITY, 0.0),
        "a - log(sum(exp(a))) over the units of the output layer: the logarithms of softmax",
    ),
]
"""The place of a row is its code in kernels and layouts. Rows of users come after the library's."""

MAX_ROWS = 1000
"""The largest number of rows of a table to which users add."""
ROWS_LOCK = Lock()
"""Held while a row is added."""
CODES: dict[str, int] = {row.name: code for code, row in enumerate(ACTIVATIONS)}
BUILT_IN = len(ACTIVATIONS)
NONE, SIGMOID, SOFTMAX, LOG_SOFTMAX = (CODES[name] for name in ("none", "sigmoid", "softmax", "log_softmax"))


def couples_units(activation: int) -> bool:
    """Says whether an output depends on all pre-activations of its sample."""
    return activation in (SOFTMAX, LOG_SOFTMAX)


def exp_of_smaller(a: Values, largest: Values) -> Values:
    """Computes exp(a - largest), or 0 for the largest; the sum is what log1p takes without cancellation."""
    return where(a < largest, exp(a - largest), (a - largest) * 0)


def log_softmax_of(a: Values, largest: Values, rest: Values) -> Values:
    """Computes a - log(sum(exp(a))), given the sum of exp(a - largest) without one of the largest."""
    return (a - largest) - log1p(rest)


def add_row(row: Activation) -> None:
    """Adds a row; its code is the next one."""
    ACTIVATIONS.append(row)
    CODES[row.name] = len(ACTIVATIONS) - 1


@cache
def derivative_to_show(row: Activation) -> Callable[[Values, Values], Values | float] | None:
    """Returns a formula of dy/da of (a, y) that is exact also where y is rounded to 1.

    Training takes the derivative of the row, which is faster.
    """
    logarithms = row.logarithms
    if logarithms is None or row.maximum > 1:
        return row.derivative
    return lambda a, y: y * logarithms(a).log_y_derivative


def elementwise_names() -> tuple[ActivationName | CustomActivation, ...]:
    """Returns the names of all activations of single units, those of users included."""
    return tuple(row.name for row in ACTIVATIONS if row.name != "softmax" and row.name != "log_softmax")  # noqa: PLR1714 (types narrow)

"""The activation functions: one row each.

- leaky_relu: Maas, Hannun & Ng (2013), Rectifier nonlinearities improve neural network acoustic models.
- elu: Clevert, Unterthiner & Hochreiter (2016), arXiv:1511.07289, eq. 15, with alpha 1.
- selu: Klambauer, Unterthiner, Mayr & Hochreiter (2017), arXiv:1706.02515, eq. 2; numbers from its eq. 14.
- gelu: Hendrycks & Gimpel (2016), arXiv:1606.08415, section 2, not its approximations.
- silu: the same, section 2; Elfwing, Uchibe & Doya (2018), arXiv:1702.03118, eq. 3.
- softplus: Glorot, Bordes & Bengio (2011), Deep sparse rectifier neural networks, AISTATS 15, section 3.
- mish: Misra (2020), arXiv:1908.08681, eq. 1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple, NewType, TypeAlias

from typednn_kernels.arrays import Values
from typednn_kernels.primitives import (
    erfc,
    exp,
    expm1,
    log1p,
    maximum,
    minimum,
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
]
OutputActivationName: TypeAlias = Literal[ActivationName, "softmax"]
CustomActivation = NewType("CustomActivation", str)
"""The name of an activation that a user has registered."""


class Activation(NamedTuple):
    """An activation function y = f(a) and its slope dy/da.

    `value` and `slope` are formulas in the words of `elementary`: elementwise over arrays of any shape,
    or over scalars when compiled. `slope` gets the pre-activation and the value. A function that couples
    the units of a layer has neither: softmax has kernels of its own.
    """

    name: OutputActivationName | CustomActivation
    value: Callable[[Values], Values] | None
    derivative: Callable[[Values, Values], Values | float] | None
    minimum: float
    maximum: float
    description: str


def _none(a: Values) -> Values:
    return a


def _none_derivative(a: Values, y: Values) -> float:
    return 1.0


def _sigmoid(a: Values) -> Values:
    e = exp(-abs(a))
    limit = where(a < 0, e, 1)
    return limit - limit * (e / (1 + e))  # limit / (1 + e), with less rounding


def _sigmoid_derivative(a: Values, y: Values) -> Values:
    return y * (1 - y)


def _relu(a: Values) -> Values:
    return maximum(a, 0)


def _relu_derivative(a: Values, y: Values) -> Values:
    return where(a > 0, 1, unless_nan(a, 0))


def _tanh(a: Values) -> Values:
    return tanh(a)


def _tanh_derivative(a: Values, y: Values) -> Values:
    return (1 - y) * (1 + y)


NEGATIVE_SLOPE = 0.2


def _leaky_relu(a: Values) -> Values:
    return where(a > 0, a, a * NEGATIVE_SLOPE)


def _leaky_relu_derivative(a: Values, y: Values) -> Values:
    return where(a > 0, 1, unless_nan(a, NEGATIVE_SLOPE))


def _elu(a: Values) -> Values:
    return where(a > 0, a, expm1(minimum(a, 0)))


def _elu_derivative(a: Values, y: Values) -> Values:
    return where(a > 0, 1, y + 1)


SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772


def _selu(a: Values) -> Values:
    return where(a > 0, a * SELU_SCALE, expm1(minimum(a, 0)) * (SELU_SCALE * SELU_ALPHA))


def _selu_derivative(a: Values, y: Values) -> Values:
    return where(a > 0, SELU_SCALE, y + SELU_SCALE * SELU_ALPHA)


FAR = 1000.0
"""Beyond, all exponentials are 0 or infinite; times 0, the limit stands for an infinite pre-activation."""


def _near(a: Values) -> Values:
    return minimum(maximum(a, -FAR), FAR)


def _normal_distribution(a: Values) -> Values:
    return erfc(a * -(0.5**0.5)) * 0.5


def _gelu(a: Values) -> Values:
    return maximum(a, -FAR) * _normal_distribution(a)


def _gelu_derivative(a: Values, y: Values) -> Values:
    near = _near(a)
    return _normal_distribution(a) + near * (exp(near * near * -0.5) * 0.3989422804014327)  # 1 / sqrt(2 pi)


def _silu(a: Values) -> Values:
    return maximum(a, -FAR) * _sigmoid(a)


def _silu_derivative(a: Values, y: Values) -> Values:
    e = exp(-abs(a))
    share = 1 / (1 + e)
    return where(a < 0, e, 1) * share + _near(a) * (e * share * share)  # s + a s (1 - s)


def _softplus(a: Values) -> Values:
    return maximum(a, 0) + log1p(exp(-abs(a)))


def _softplus_derivative(a: Values, y: Values) -> Values:
    return _sigmoid(a)


HUGE = 1e30
"""1 + HUGE is HUGE, in any dtype."""


def _softsign(a: Values) -> Values:
    finite = minimum(maximum(a, -HUGE), HUGE)
    return finite / (1 + abs(finite))


def _softsign_derivative(a: Values, y: Values) -> Values:
    share = 1 / (1 + abs(a))
    return share * share


def _tanh_of_softplus(a: Values, e: Values) -> tuple[Values, Values]:
    """tanh(softplus(a)) and 1 minus it, given e = exp(-|a|).

    With u = exp(a) it is (u^2 + 2u) / (u^2 + 2u + 2); above 0, both sides are divided by u^2.
    """
    top = where(a < 0, e * (e + 2), 1 + 2 * e)
    rest = where(a < 0, 2, 2 * e * e)
    return top / (top + rest), rest / (top + rest)


def _mish(a: Values) -> Values:
    share, _ = _tanh_of_softplus(a, exp(-abs(a)))
    return maximum(a, -FAR) * share


def _mish_derivative(a: Values, y: Values) -> Values:
    e = exp(-abs(a))
    share, rest = _tanh_of_softplus(a, e)
    return share + _near(a) * (rest * (1 + share)) * (where(a < 0, e, 1) / (1 + e))


def _hard_sigmoid(a: Values) -> Values:
    return minimum(maximum(a + 3, 0) / 6, 1)


def _hard_sigmoid_derivative(a: Values, y: Values) -> Values:
    return where(abs(a) < 3, 1 / 6, unless_nan(a, 0))


def _hard_tanh(a: Values) -> Values:
    return minimum(maximum(a, -1), 1)


def _hard_tanh_derivative(a: Values, y: Values) -> Values:
    return where(abs(a) < 1, 1, unless_nan(a, 0))


def _exponential(a: Values) -> Values:
    return exp(a)


def _exponential_derivative(a: Values, y: Values) -> Values:
    return y


INFINITY = float("inf")
LEAST_GELU, LEAST_SILU, LEAST_MISH = -0.16997120747990366, -0.2784645427610738, -0.3088434130172504

ACTIVATIONS: list[Activation] = [
    Activation("none", _none, _none_derivative, -INFINITY, INFINITY, "the identity"),
    Activation(
        "sigmoid", _sigmoid, _sigmoid_derivative, 0.0, 1.0, "1 / (1 + exp(-a)), the logistic function"
    ),
    Activation("relu", _relu, _relu_derivative, 0.0, INFINITY, "max(a, 0); its slope at 0 is 0"),
    Activation("tanh", _tanh, _tanh_derivative, -1.0, 1.0, "the hyperbolic tangent"),
    Activation("softmax", None, None, 0.0, 1.0, "exp(a) / sum(exp(a)) over the units of the output layer"),
    Activation(
        "leaky_relu",
        _leaky_relu,
        _leaky_relu_derivative,
        -INFINITY,
        INFINITY,
        "a above 0, 0.2 a below; its slope at 0 is 0.2",
    ),
    Activation("elu", _elu, _elu_derivative, -1.0, INFINITY, "a above 0, exp(a) - 1 below"),
    Activation(
        "selu",
        _selu,
        _selu_derivative,
        -SELU_SCALE * SELU_ALPHA,
        INFINITY,
        "1.0507 a above 0, 1.7581 (exp(a) - 1) below; its slope at 0 is 1.7581",
    ),
    Activation("gelu", _gelu, _gelu_derivative, LEAST_GELU, INFINITY, "a (1 + erf(a / sqrt(2))) / 2"),
    Activation("silu", _silu, _silu_derivative, LEAST_SILU, INFINITY, "a / (1 + exp(-a))"),
    Activation("softplus", _softplus, _softplus_derivative, 0.0, INFINITY, "log(1 + exp(a))"),
    Activation("softsign", _softsign, _softsign_derivative, -1.0, 1.0, "a / (1 + |a|)"),
    Activation("mish", _mish, _mish_derivative, LEAST_MISH, INFINITY, "a tanh(log(1 + exp(a)))"),
    Activation(
        "hard_sigmoid",
        _hard_sigmoid,
        _hard_sigmoid_derivative,
        0.0,
        1.0,
        "a / 6 + 1/2, within 0 and 1; its slope at -3 and 3 is 0",
    ),
    Activation(
        "hard_tanh",
        _hard_tanh,
        _hard_tanh_derivative,
        -1.0,
        1.0,
        "a, within -1 and 1; its slope at -1 and 1 is 0",
    ),
    Activation("exponential", _exponential, _exponential_derivative, 0.0, INFINITY, "exp(a)"),
]
"""The table; a row's place is its code in kernels and layouts. Those of users come after the library's."""

CODES: dict[str, int] = {row.name: code for code, row in enumerate(ACTIVATIONS)}
BUILT_IN = len(ACTIVATIONS)
NONE, SIGMOID, SOFTMAX = CODES["none"], CODES["sigmoid"], CODES["softmax"]


def elementwise_names() -> tuple[ActivationName | CustomActivation, ...]:
    """The names of all activations of single units, those of users included."""
    return tuple(row.name for row in ACTIVATIONS if row.name != "softmax")

"""The activation functions: one row each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from typednn_kernels.arrays import Values
from typednn_kernels.elementary import exp, maximum, tanh, where

ActivationName: TypeAlias = Literal["none", "sigmoid", "relu", "tanh"]
OutputActivationName: TypeAlias = Literal["none", "sigmoid", "relu", "tanh", "softmax"]


@dataclass(frozen=True, slots=True)
class Activation:
    """An activation function y = f(a) and its slope dy/da.

    `value` and `slope` are formulas in the words of `elementary`: elementwise over arrays of any shape,
    or over scalars when compiled. `slope` gets the pre-activation and the value. A function that couples
    the units of a layer has neither: softmax has kernels of its own.
    """

    name: OutputActivationName
    value: Callable[[Values], Values] | None
    slope: Callable[[Values, Values], Values | float] | None
    minimum: float
    maximum: float
    description: str


def _none(a: Values) -> Values:
    return a


def _none_slope(a: Values, y: Values) -> float:
    return 1.0


def _sigmoid(a: Values) -> Values:
    e = exp(-abs(a))
    limit = where(a < 0, e, 1)
    return limit - limit * (e / (1 + e))  # limit / (1 + e), with less rounding


def _sigmoid_slope(a: Values, y: Values) -> Values:
    return y * (1 - y)


def _relu(a: Values) -> Values:
    return maximum(a, 0)


def _relu_slope(a: Values, y: Values) -> Values:
    return where(a > 0, 1, a * 0)


def _tanh(a: Values) -> Values:
    return tanh(a)


def _tanh_slope(a: Values, y: Values) -> Values:
    return (1 - y) * (1 + y)


INFINITY = float("inf")

ACTIVATIONS = (
    Activation("none", _none, _none_slope, -INFINITY, INFINITY, "the identity"),
    Activation("sigmoid", _sigmoid, _sigmoid_slope, 0.0, 1.0, "1 / (1 + exp(-a)), the logistic function"),
    Activation("relu", _relu, _relu_slope, 0.0, INFINITY, "max(a, 0); its slope at 0 is 0"),
    Activation("tanh", _tanh, _tanh_slope, -1.0, 1.0, "the hyperbolic tangent"),
    Activation("softmax", None, None, 0.0, 1.0, "exp(a) / sum(exp(a)) over the units of the output layer"),
)
"""The table; a row's place is its code in kernels and layouts."""

CODES = {row.name: code for code, row in enumerate(ACTIVATIONS)}
NONE, SIGMOID, SOFTMAX = CODES["none"], CODES["sigmoid"], CODES["softmax"]

"""What operators of ONNX compute, in NumPy: elementwise functions, and functions of rows `(B, n)`.

With them a reader finds out which activation or normalisation a part of a graph is, by its values: exporters
write the same function in many ways.
"""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# Functions written as lambdas have no types.

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from typednn_kernels.primitives import erf

from typednn.onnx.nodes import Node

Array: TypeAlias = NDArray[Any]
Function: TypeAlias = Callable[..., Array]


def _sigmoid(x: Array) -> Array:
    return np.exp(-np.logaddexp(0, -x))


def _softplus(x: Array) -> Array:
    return np.logaddexp(0, x)


def _where(condition: Array, x: Array, y: Array) -> Array:
    return np.where(condition != 0, x, y)


def _elu(x: Array, alpha: float) -> Array:
    return np.where(x < 0, alpha * np.expm1(np.minimum(x, 0)), x)


def _gelu(x: Array, approximate: str) -> Array:
    if approximate == "tanh":
        return x * _sigmoid(2 * (2 / np.pi) ** 0.5 * (x + 0.044715 * x * x * x))
    return x * (1 + erf(x / 2**0.5)) / 2


def _clip(x: Array, low: Array | float = -np.inf, high: Array | float = np.inf) -> Array:
    return np.minimum(np.maximum(x, low), high)


def _leaky(x: Array, alpha: float) -> Array:
    return np.where(x < 0, alpha * x, x)


def _hard_sigmoid(x: Array, alpha: float, beta: float) -> Array:
    clipped: Array = np.clip(alpha * x + beta, 0, 1)
    return clipped


def _softmax(x: Array) -> Array:
    e: Array = np.exp(x - x.max(axis=1, keepdims=True))
    softmax: Array = e / e.sum(axis=1, keepdims=True)
    return softmax


ELEMENTWISE: dict[str, Callable[[Node], Function]] = {
    "Add": lambda node: np.add,
    "Sub": lambda node: np.subtract,
    "Mul": lambda node: np.multiply,
    "Div": lambda node: np.divide,
    "Pow": lambda node: np.power,
    "Sum": lambda node: lambda *x: reduce(np.add, x),
    "Max": lambda node: lambda *x: reduce(np.maximum, x),
    "Min": lambda node: lambda *x: reduce(np.minimum, x),
    "Neg": lambda node: np.negative,
    "Abs": lambda node: np.abs,
    "Sign": lambda node: np.sign,
    "Reciprocal": lambda node: np.reciprocal,
    "Sqrt": lambda node: np.sqrt,
    "Exp": lambda node: np.exp,
    "Log": lambda node: np.log,
    "Erf": lambda node: erf,
    "Tanh": lambda node: np.tanh,
    "Less": lambda node: lambda x, y: np.less(x, y) * 1.0,
    "LessOrEqual": lambda node: lambda x, y: np.less_equal(x, y) * 1.0,
    "Greater": lambda node: lambda x, y: np.greater(x, y) * 1.0,
    "GreaterOrEqual": lambda node: lambda x, y: np.greater_equal(x, y) * 1.0,
    "Equal": lambda node: lambda x, y: np.equal(x, y) * 1.0,
    "Where": lambda node: _where,
    "Sigmoid": lambda node: _sigmoid,
    "Relu": lambda node: lambda x: np.maximum(x, 0),
    "LeakyRelu": lambda node: lambda x: _leaky(x, node.number("alpha", 0.01)),
    "Elu": lambda node: lambda x: _elu(x, node.number("alpha", 1.0)),
    "Celu": lambda node: (
        lambda x: (
            np.maximum(x, 0)
            + node.number("alpha", 1.0) * np.expm1(np.minimum(x, 0) / node.number("alpha", 1.0))
        )
    ),
    "Selu": lambda node: (
        lambda x: node.number("gamma", 1.0507009873554805) * _elu(x, node.number("alpha", 1.6732632423543772))
    ),
    "Softplus": lambda node: _softplus,
    "Softsign": lambda node: lambda x: x / (1 + abs(x)),
    "HardSigmoid": lambda node: (
        lambda x: _hard_sigmoid(x, node.number("alpha", 0.2), node.number("beta", 0.5))
    ),
    "HardSwish": lambda node: lambda x: x * _hard_sigmoid(x, 1 / 6, 0.5),
    "Mish": lambda node: lambda x: x * np.tanh(_softplus(x)),
    "Gelu": lambda node: lambda x: _gelu(x, node.text("approximate", "none")),
    "Swish": lambda node: lambda x: x * _sigmoid(node.number("alpha", 1.0) * x),
    "Clip": lambda node: (
        lambda x, *limits: (
            _clip(x, *limits) if limits else _clip(x, node.number("min", -np.inf), node.number("max", np.inf))
        )
    ),
}
"""By the operator: its function with the attributes of a node; conditions are numbers, 1 or 0."""

BINARY = {
    *("Add", "Sub", "Mul", "Div", "Pow"),
    *("Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Equal"),
}
OPERANDS: dict[str, range] = {
    **dict.fromkeys(ELEMENTWISE, range(1, 2)),
    **dict.fromkeys(BINARY, range(2, 3)),
    **dict.fromkeys(("Sum", "Max", "Min"), range(1, 100)),
    "Where": range(3, 4),
    "Clip": range(1, 4),
}
"""By the operator: how many operands it can have."""

REDUCTIONS: dict[str, Function] = {
    "ReduceMean": lambda x: np.mean(x, axis=1, keepdims=True),
    "ReduceSum": lambda x: np.sum(x, axis=1, keepdims=True),
    "ReduceMax": lambda x: np.max(x, axis=1, keepdims=True),
}
"""Operators that make one column `(B, 1)` of rows `(B, n)`."""

OF_ROWS: dict[str, Function] = {"Softmax": _softmax, "LogSoftmax": lambda x: np.log(_softmax(x))}
"""Operators that make rows of rows."""

LINEAR: dict[str, Callable[[Array | float, bool], tuple[Array | float, Array | float]]] = {
    "Add": lambda c, first: (1.0, c),
    "Sub": lambda c, first: (1.0, -c) if first else (-1.0, c),
    "Mul": lambda c, first: (c, 0.0),
    "Div": lambda c, first: (1 / c, 0.0) if first else (np.nan, np.nan),
    "Neg": lambda c, first: (-1.0, 0.0),
}
"""Operators s·x + t where the other operand is a constant c: s and t, by c and whether x is first."""

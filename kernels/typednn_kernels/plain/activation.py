"""Activation values and slopes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from typednn_kernels.activations import ACTIVATIONS, SOFTMAX
from typednn_kernels.arrays import Cube, F, Matrix, Values

BLOCK = 16384
"""Formulas are applied to this many numbers at a time, so that their intermediate results stay in cache."""


def apply(formula: Callable[..., Values | float], *arrays: Matrix[F]) -> None:
    """Writes the formula of all but the last array into the last."""
    *arguments, out = arrays
    if out.size <= BLOCK:
        out[...] = formula(*arguments)
        return
    flat = [array.reshape(-1) for array in arrays]
    for start in range(0, out.size, BLOCK):
        *pieces, result = (array[start : start + BLOCK] for array in flat)
        result[...] = formula(*pieces)


def activation_value(activation: int, a: Matrix[F], y: Matrix[F]) -> None:
    """y = f(a), all (B, n)."""
    value = ACTIVATIONS[activation].value
    with np.errstate(all="ignore"):
        if value is None:
            np.subtract(a, a.max(axis=1, keepdims=True), out=y)
            np.exp(y, out=y)
            y /= y.sum(axis=1, keepdims=True)
        else:
            apply(value, a, y)


def activation_derivative(activation: int, a: Matrix[F], y: Matrix[F], derivative: Matrix[F]) -> None:
    """slope = dy/da, all (B, n); not for softmax."""
    formula = ACTIVATIONS[activation].derivative
    if formula is None:
        raise ValueError(f"{ACTIVATIONS[activation].name} has no elementwise slope, but a Jacobian")
    with np.errstate(all="ignore"):
        apply(formula, a, y, derivative)


def activation_backward(
    activation: int, a: Matrix[F], y: Matrix[F], dLdy: Matrix[F], dLda: Matrix[F]
) -> None:
    """dLda = dLdy * dy/da, all (B, n); for softmax the product with the Jacobian, y (g - <g, y>)."""
    with np.errstate(all="ignore"):
        if activation == SOFTMAX:
            np.multiply(dLdy, y, out=dLda)
            np.subtract(dLdy, dLda.sum(axis=1, keepdims=True), out=dLda)
            dLda *= y
        else:
            activation_derivative(activation, a, y, dLda)
            dLda *= dLdy


def softmax_jacobian(y: Matrix[F], dyda: Cube[F]) -> None:
    """dyda[s] = diag(y[s]) - y[s] y[s]^T, (B, n, n)."""
    np.multiply(y[:, :, None], -y[:, None, :], out=dyda)
    diagonal = np.einsum("sii->si", dyda)
    diagonal += y

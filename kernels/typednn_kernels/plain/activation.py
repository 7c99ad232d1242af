"""Activation functions: y = f(a), derivatives dy/da, and the backward step dLda = dLdy * dy/da."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

from typednn_kernels.activations import (
    ACTIVATIONS,
    LOG_SOFTMAX,
    NONE,
    SOFTMAX,
    derivative_to_show,
    exp_of_smaller,
    log_softmax_of,
)
from typednn_kernels.arrays import Cube, F, Matrix, Values
from typednn_kernels.plain.array_formula import array_formula
from typednn_kernels.plain.dense import sum_units

CACHE_CHUNK_ELEMENTS = 16384
"""Elements to which a formula is applied at a time, so that its intermediate results stay in the cache."""


def apply(formula: Callable[..., Values | float], out: Matrix[F], *arrays: Matrix[F]) -> None:
    """Writes what a formula gives for some arrays."""
    evaluate = array_formula(formula, len(arrays), out.dtype)
    if out.size <= CACHE_CHUNK_ELEMENTS:
        evaluate(out, *arrays)
        return
    results, *flat = (array.reshape(-1) for array in (out, *arrays))
    for start in range(0, out.size, CACHE_CHUNK_ELEMENTS):
        chunk = slice(start, start + CACHE_CHUNK_ELEMENTS)
        evaluate(results[chunk], *(array[chunk] for array in flat))


def activation_value(activation: int, a: Matrix[F], y: Matrix[F]) -> None:
    """Computes y = f(a), (B, n)."""
    value = ACTIVATIONS[activation].value
    if activation == LOG_SOFTMAX:
        log_softmax(a, y)
    elif value is None:
        softmax(a, y)
    else:
        apply(value, y, a)


def log_softmax(a: Matrix[F], y: Matrix[F]) -> None:
    """Computes the logarithms of softmax, (B, n)."""
    largest: Matrix[F] = np.maximum.reduce(a, axis=1, keepdims=True)
    rest: Matrix[F] = np.add.reduce(exp_of_smaller(a, largest), axis=1, keepdims=True)
    rest += np.add.reduce(a == largest, axis=1, keepdims=True, dtype=a.dtype) - 1
    y[...] = log_softmax_of(a, largest, rest)


def softmax(a: Matrix[F], y: Matrix[F]) -> tuple[Matrix[F], Matrix[F]]:
    """Computes y, (B, n); returns a - largest, for the largest a of each sample, and the sum of its exp."""
    shifted: Matrix[F] = np.subtract(a, largest_unit(a))
    np.exp(shifted, out=y)
    total = sum_units(y).reshape(-1, 1)
    y /= total
    return shifted, total


def largest_unit(a: Matrix[F]) -> Matrix[F]:
    """Returns the largest a of each sample, (B, 1); NumPy finds its place faster than the number."""
    if len(a) == 1:
        place = int(a.argmax())
        return a[:, place : place + 1]
    places = a.argmax(axis=1)
    places += _row_starts(*a.shape)
    largest: Matrix[F] = a.reshape(-1)[places].reshape(-1, 1)
    return largest


@lru_cache(64)
def _row_starts(rows: int, n: int) -> NDArray[np.intp]:
    """Returns the index of the first element of each row of a matrix (rows, n)."""
    return np.arange(0, rows * n, n)


def activation_derivative(activation: int, a: Matrix[F], y: Matrix[F], derivative: Matrix[F]) -> None:
    """Computes the derivative dy/da, (B, n).

    Raises:
        ValueError: the activation is softmax or log_softmax, whose derivative is a Jacobian.
    """
    formula = derivative_to_show(ACTIVATIONS[activation])
    if formula is None:
        raise ValueError(f"{ACTIVATIONS[activation].name} has no elementwise derivative, but a Jacobian")
    apply(formula, derivative, a, y)


def activation_backward(
    activation: int, a: Matrix[F], y: Matrix[F], dLdy: Matrix[F], dLda: Matrix[F]
) -> None:
    """Computes dLda = dLdy * dy/da, (B, n); for softmax y (dLdy - <dLdy, y>), the Jacobian's product.

    For log_softmax it is dLdy - exp(y) sum(dLdy).
    """
    if activation == LOG_SOFTMAX:
        np.multiply(np.exp(y), dLdy.sum(axis=1, keepdims=True), out=dLda)
        np.subtract(dLdy, dLda, out=dLda)
    elif activation == SOFTMAX:
        np.multiply(dLdy, y, out=dLda)
        np.subtract(dLdy, sum_units(dLda).reshape(-1, 1), out=dLda)
        dLda *= y
    elif activation == NONE:
        dLda[...] = dLdy
    else:
        derivative = ACTIVATIONS[activation].derivative
        assert derivative is not None
        apply(times_derivative(derivative), dLda, a, y, dLdy)


@cache
def times_derivative(
    derivative: Callable[[Values, Values], Values | float],
) -> Callable[[Values, Values, Values], Values]:
    """Returns the formula of dLda = dLdy * dy/da of (a, y, dLdy)."""
    return lambda a, y, upstream: derivative(a, y) * upstream


def softmax_jacobian(y: Matrix[F], dyda: Cube[F]) -> None:
    """Computes the Jacobians dyda[s] = diag(y[s]) - y[s] y[s]^T of softmax, (B, n, n).

    On the diagonal 1 - y_i is the sum of the other outputs, which has digits where y_i is rounded to 1.
    """
    np.multiply(y[:, :, None], -y[:, None, :], out=dyda)
    diagonal = np.einsum("sii->si", dyda)
    diagonal[...] = 0
    diagonal -= dyda.sum(axis=2)

"""Activation values and slopes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from typednn_kernels.activations import ACTIVATIONS, SOFTMAX, Activation
from typednn_kernels.arrays import Cube, F, Matrix, Values, Vector
from typednn_kernels.compiled import elementary as _meanings  # noqa: F401  (registers them)
from typednn_kernels.compiled.jit import entry, formula, kernel, reduction
from typednn_kernels.elementary import exp


def switch(cases: Sequence[Callable[..., None]]) -> Callable[..., None]:
    """One compiled function that calls the case its first argument numbers."""
    first, *others = cases
    if not others:

        @kernel
        def last(_code: int, *arguments: object) -> None:
            first(*arguments)

        return last

    rest = switch(others)

    @kernel
    def choose(code: int, *arguments: object) -> None:
        if code == 0:
            first(*arguments)
        else:
            rest(code - 1, *arguments)

    return choose


@reduction
def softmax_row(a: Vector[F], y: Vector[F]) -> None:
    """Softmax of one sample; the largest pre-activation is subtracted first."""
    largest = a[0]
    for i in range(1, a.size):
        largest = max(largest, a[i])
    for i in range(a.size):
        y[i] = exp(a[i] - largest)
    total = y[0]
    for i in range(1, a.size):
        total += y[i]
    for i in range(a.size):
        y[i] /= total


@reduction
def softmax_product_row(y: Vector[F], dLdy: Vector[F], dLda: Vector[F]) -> None:
    """dLda = y (g - <g, y>) of one sample."""
    inner = dLdy[0] * y[0]
    for i in range(1, y.size):
        inner += dLdy[i] * y[i]
    for i in range(y.size):
        dLda[i] = y[i] * (dLdy[i] - inner)


def _value_loop(row: Activation) -> Callable[..., None]:
    if row.value is None:

        @kernel
        def rows(a: Vector[F], y: Vector[F], n: int) -> None:
            for start in range(0, a.size, n):
                softmax_row(a[start : start + n], y[start : start + n])

        return rows

    value = formula(row.value)

    @kernel
    def loop(a: Vector[F], y: Vector[F], _n: int) -> None:
        for i in range(a.size):
            y[i] = value(a[i])

    return loop


def _slope_loop(slope: Callable[[Values, Values], Values]) -> Callable[..., None]:
    scalar = formula(slope)

    @kernel
    def loop(a: Vector[F], y: Vector[F], result: Vector[F]) -> None:
        for i in range(a.size):
            result[i] = scalar(a[i], y[i])

    return loop


def _product_loop(row: Activation) -> Callable[..., None]:
    if row.slope is None:

        @kernel
        def rows(_a: Vector[F], y: Vector[F], dLdy: Vector[F], dLda: Vector[F], n: int) -> None:
            for start in range(0, y.size, n):
                stop = start + n
                softmax_product_row(y[start:stop], dLdy[start:stop], dLda[start:stop])

        return rows

    slope = formula(row.slope)

    @kernel
    def loop(a: Vector[F], y: Vector[F], dLdy: Vector[F], dLda: Vector[F], _n: int) -> None:
        for i in range(a.size):
            dLda[i] = dLdy[i] * slope(a[i], y[i])

    return loop


values = switch([_value_loop(row) for row in ACTIVATIONS])
slopes = switch([_slope_loop(row.slope) for row in ACTIVATIONS if row.slope is not None])
products = switch([_product_loop(row) for row in ACTIVATIONS])
"""By activation code, over flat arrays of rows of n numbers: `(code, a, y, n)`, `(code, a, y, slope)`,
`(code, a, y, dLdy, dLda, n)`."""


@entry
def activation_value(activation: int, a: Matrix[F], y: Matrix[F]) -> None:
    """y = f(a), all (B, n)."""
    values(activation, a.reshape(a.size), y.reshape(a.size), a.shape[1])


@entry
def activation_slope(activation: int, a: Matrix[F], y: Matrix[F], slope: Matrix[F]) -> None:
    """slope = dy/da, all (B, n); not for softmax."""
    if activation == SOFTMAX:
        raise ValueError("softmax has no elementwise slope, but a Jacobian")
    slopes(activation, a.reshape(a.size), y.reshape(a.size), slope.reshape(a.size))


@entry
def slope_product(activation: int, a: Matrix[F], y: Matrix[F], dLdy: Matrix[F], dLda: Matrix[F]) -> None:
    """dLda = dLdy * dy/da, all (B, n); for softmax the product with the Jacobian, y (g - <g, y>)."""
    size = a.size
    products(
        activation, a.reshape(size), y.reshape(size), dLdy.reshape(size), dLda.reshape(size), a.shape[1]
    )


@entry
def softmax_jacobian(y: Matrix[F], dyda: Cube[F]) -> None:
    """dyda[s] = diag(y[s]) - y[s] y[s]^T, (B, n, n)."""
    for s in range(y.shape[0]):
        for i in range(y.shape[1]):
            for j in range(y.shape[1]):
                dyda[s, i, j] = -y[s, i] * y[s, j]
            dyda[s, i, i] += y[s, i]

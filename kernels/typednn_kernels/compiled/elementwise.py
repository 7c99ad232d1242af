"""Activation values and slopes."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false
# Formulas written as lambdas have no types.

from __future__ import annotations

from collections.abc import Callable

from typednn_kernels.activations import ACTIVATIONS, SOFTMAX
from typednn_kernels.arrays import Cube, F, Matrix, Values, Vector
from typednn_kernels.compiled.jit import entry, kernel
from typednn_kernels.compiled.loops import Formula, Loop, elementwise, maxima, piece, sums
from typednn_kernels.elementary import exp


def _times(slope: Callable[[Values, Values], Values | float] | None) -> Callable[..., Values] | None:
    return None if slope is None else lambda a, y, dLdy: dLdy * slope(a, y)


value_of: Loop = elementwise(*(row.value for row in ACTIVATIONS))
slope_of: Loop = elementwise(*(row.slope for row in ACTIVATIONS))
product_of: Loop = elementwise(*(_times(row.slope) for row in ACTIVATIONS))
"""By activation code: y from a, the slope from (a, y), dLda from (a, y, dLdy)."""

largest: Formula = maxima(lambda a: a)
total: Formula = sums(lambda y: y)
inner: Formula = sums(lambda x, y: x * y)
copies: Loop = elementwise(lambda x: x)
exponentials: Loop = elementwise(lambda a, shift: exp(a - shift))
quotients: Loop = elementwise(lambda y, divisor: y / divisor)
softmax_products: Loop = elementwise(lambda y, dLdy, mean: y * (dLdy - mean))


@kernel
def values(activation: int, a: Vector[F], y: Vector[F], samples: int) -> None:
    """y = f(a), all flat (B, n)."""
    if activation != SOFTMAX:
        value_of(activation, a.size, a, y)
        return
    n = a.size // samples
    for s in range(samples):
        a_row, y_row = piece(a, s * n, n), piece(y, s * n, n)
        exponentials(0, n, a_row, largest(0, n, a_row), y_row)
        quotients(0, n, y_row, total(0, n, y_row), y_row)


@kernel
def products(
    activation: int, a: Vector[F], y: Vector[F], dLdy: Vector[F], dLda: Vector[F], samples: int
) -> None:
    """dLda = dLdy * dy/da, all flat (B, n); for softmax y (g - <g, y>)."""
    if activation != SOFTMAX:
        product_of(activation, a.size, a, y, dLdy, dLda)
        return
    n = a.size // samples
    for s in range(samples):
        y_row, g_row = piece(y, s * n, n), piece(dLdy, s * n, n)
        softmax_products(0, n, y_row, g_row, inner(0, n, g_row, y_row), piece(dLda, s * n, n))


@entry
def activation_value(activation: int, a: Matrix[F], y: Matrix[F]) -> None:
    """y = f(a), all (B, n)."""
    values(activation, piece(a, 0, a.size), piece(y, 0, a.size), a.shape[0])


@entry
def activation_slope(activation: int, a: Matrix[F], y: Matrix[F], slope: Matrix[F]) -> None:
    """slope = dy/da, all (B, n); not for softmax."""
    if activation == SOFTMAX:
        raise ValueError("softmax has no elementwise slope, but a Jacobian")
    slope_of(activation, a.size, a, y, slope)


@entry
def slope_product(activation: int, a: Matrix[F], y: Matrix[F], dLdy: Matrix[F], dLda: Matrix[F]) -> None:
    """dLda = dLdy * dy/da, all (B, n); for softmax the product with the Jacobian, y (g - <g, y>)."""
    size = a.size
    products(
        activation,
        piece(a, 0, size),
        piece(y, 0, size),
        piece(dLdy, 0, size),
        piece(dLda, 0, size),
        a.shape[0],
    )


@entry
def softmax_jacobian(y: Matrix[F], dyda: Cube[F]) -> None:
    """dyda[s] = diag(y[s]) - y[s] y[s]^T, (B, n, n)."""
    for s in range(y.shape[0]):
        for i in range(y.shape[1]):
            for j in range(y.shape[1]):
                dyda[s, i, j] = -y[s, i] * y[s, j]
            dyda[s, i, i] += y[s, i]

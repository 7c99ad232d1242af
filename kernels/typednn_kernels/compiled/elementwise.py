"""Activation values and slopes."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# Formulas written as lambdas have no types.

from __future__ import annotations

from collections.abc import Callable

from typednn_kernels.activations import ACTIVATIONS, BUILT_IN, INFINITY, SOFTMAX
from typednn_kernels.arrays import Cube, F, Matrix, Values, Vector
from typednn_kernels.compiled.addresses import ByAddress
from typednn_kernels.compiled.jit import entry, kernel, share
from typednn_kernels.compiled.loops import CHUNK, Formula, Loop, elementwise, formula, maxima, sums
from typednn_kernels.compiled.threads import LEAST, divided
from typednn_kernels.compiled.views import piece, scratch
from typednn_kernels.elementary import exp, where

LONG = 4 * CHUNK
"""A row of so many units is read as few times as possible."""


def _times(slope: Callable[[Values, Values], Values | float] | None) -> Callable[..., Values] | None:
    return None if slope is None else lambda a, y, dLdy: dLdy * slope(a, y)


def shifted_exp(a: Values, shift: Values) -> Values:
    """exp(a - shift), shift being larger, with what rounding takes from the difference."""
    difference = a - shift
    e = exp(difference)
    lost = a - (difference + shift)
    return e + e * where(abs(lost) < 1, lost, 0 * e)


def _product(x: Values, y: Values) -> Values:
    return x * y


def _jacobian_product(y: Values, dLdy: Values, mean: Values) -> Values:
    return y * (dLdy - mean)


WITHIN = 5
OTHERS = range(WITHIN, BUILT_IN)
"""The first activations stand in the kernels; the others are called by address."""

VALUES = [row.value for row in ACTIVATIONS[:WITHIN]]
SLOPES = [row.slope for row in ACTIVATIONS[:WITHIN]]
PRODUCTS = [_times(row.slope) for row in ACTIVATIONS[:WITHIN]]
OTHER_VALUES = ByAddress("value", "vv", lambda code: ACTIVATIONS[code].value, OTHERS)
OTHER_SLOPES = ByAddress("slope", "vvv", lambda code: ACTIVATIONS[code].slope, OTHERS)
OTHER_PRODUCTS = ByAddress("product", "vvvv", lambda code: ACTIVATIONS[code].slope, OTHERS, _times)
"""By activation code: y from a, the slope from (a, y), dLda from (a, y, dLdy)."""

value_of: Loop = elementwise(*VALUES, others=OTHER_VALUES)
product_of: Loop = elementwise(*PRODUCTS, others=OTHER_PRODUCTS)
all_values: Loop = elementwise(*VALUES, threads=True, others=OTHER_VALUES)
all_slopes: Loop = elementwise(*SLOPES, threads=True, others=OTHER_SLOPES)
all_products: Loop = elementwise(*PRODUCTS, threads=True, others=OTHER_PRODUCTS)
"""The first are part of a training step, which has threads of its own."""

largest: Formula = maxima(lambda a: a)
total: Formula = sums(lambda y: y)
inner: Formula = sums(_product)
copies: Loop = elementwise(lambda x: x)
exponentials: Loop = elementwise(shifted_exp)
quotients: Loop = elementwise(lambda y, divisor: y / divisor)
softmax_products: Loop = elementwise(_jacobian_product)

sum_of_exponentials: Formula = sums(shifted_exp)
decayed: Formula = formula(lambda mass, rise: mass * exp(rise))
long_softmax: Loop = elementwise(lambda a, shift, mass: shifted_exp(a, shift) / mass, threads=True)
long_inner: Formula = sums(_product, threads=True)
long_softmax_products: Loop = elementwise(_jacobian_product, threads=True)


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


@share
def softmaxes(part: int, start: int, stop: int, a: Vector[F], y: Vector[F], n: int) -> None:
    """The softmax of some rows of n numbers."""
    first, size = start * n, (stop - start) * n
    values(SOFTMAX, piece(a, first, size), piece(y, first, size), stop - start)


@share
def jacobian_products(
    part: int, start: int, stop: int, y: Vector[F], dLdy: Vector[F], dLda: Vector[F], n: int
) -> None:
    """y (g - <g, y>) of some rows of n numbers."""
    first, size = start * n, (stop - start) * n
    y_rows = piece(y, first, size)
    products(SOFTMAX, y_rows, y_rows, piece(dLdy, first, size), piece(dLda, first, size), stop - start)


@share
def masses(part: int, start: int, stop: int, a: Vector[F], peaks: Vector[F], sums: Vector[F]) -> None:
    """The largest number of a part, and the sum of exp(a - largest)."""
    peak, mass = a.dtype.type(-INFINITY), a.dtype.type(0)
    for first in range(start, stop, CHUNK):
        size = min(CHUNK, stop - first)
        chunk = piece(a, first, size)
        most = largest(0, size, chunk)
        if not most <= peak:
            mass = decayed(mass, peak - most)
            peak = most
        mass += sum_of_exponentials(0, size, chunk, peak)
    peaks[part], sums[part] = peak, mass


all_softmaxes: Callable[..., int] = divided(softmaxes)
all_jacobian_products: Callable[..., int] = divided(jacobian_products)
all_masses: Callable[..., int] = divided(masses)


@kernel
def peak_and_mass(a: Vector[F]) -> tuple[F, F]:
    """The largest number of a long row, and the sum of exp(a - largest): what softmax and its loss need."""
    peaks, sums = scratch(a), scratch(a)
    parts = all_masses(a.size, LEAST, a, peaks, sums)
    peak, mass = largest(0, parts, peaks), a.dtype.type(0)
    for part in range(parts):
        mass += decayed(sums[part], peaks[part] - peak)
    return peak, mass


@entry
def activation_value(activation: int, a: Matrix[F], y: Matrix[F]) -> None:
    """y = f(a), all (B, n)."""
    size, n = a.size, a.shape[1]
    a_flat, y_flat = piece(a, 0, size), piece(y, 0, size)
    if activation != SOFTMAX:
        all_values(activation, size, a_flat, y_flat)
    elif n < LONG:
        all_softmaxes(a.shape[0], LEAST // n, a_flat, y_flat, n)
    else:
        for start in range(0, size, n):
            row = piece(a, start, n)
            peak, mass = peak_and_mass(row)
            long_softmax(0, n, row, peak, mass, piece(y, start, n))


@entry
def activation_slope(activation: int, a: Matrix[F], y: Matrix[F], slope: Matrix[F]) -> None:
    """slope = dy/da, all (B, n); not for softmax."""
    if activation == SOFTMAX:
        raise ValueError("softmax has no elementwise slope, but a Jacobian")
    all_slopes(activation, a.size, a, y, slope)


@entry
def slope_product(activation: int, a: Matrix[F], y: Matrix[F], dLdy: Matrix[F], dLda: Matrix[F]) -> None:
    """dLda = dLdy * dy/da, all (B, n); for softmax the product with the Jacobian, y (g - <g, y>)."""
    size, n = a.size, a.shape[1]
    y_flat, g_flat, out = piece(y, 0, size), piece(dLdy, 0, size), piece(dLda, 0, size)
    if activation != SOFTMAX:
        all_products(activation, size, a, y, dLdy, dLda)
    elif n < LONG:
        all_jacobian_products(a.shape[0], LEAST // n, y_flat, g_flat, out, n)
    else:
        for start in range(0, size, n):
            y_row, g_row = piece(y, start, n), piece(dLdy, start, n)
            mean = long_inner(0, n, g_row, y_row)
            long_softmax_products(0, n, y_row, g_row, mean, piece(dLda, start, n))


@entry
def softmax_jacobian(y: Matrix[F], dyda: Cube[F]) -> None:
    """dyda[s] = diag(y[s]) - y[s] y[s]^T, (B, n, n)."""
    for s in range(y.shape[0]):
        for i in range(y.shape[1]):
            for j in range(y.shape[1]):
                dyda[s, i, j] = -y[s, i] * y[s, j]
            dyda[s, i, i] += y[s, i]

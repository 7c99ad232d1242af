"""Activation values and slopes."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# Formulas written as lambdas have no types.

from __future__ import annotations

from collections.abc import Callable

from typednn_kernels.activations import ACTIVATIONS, BUILT_IN, INFINITY, SOFTMAX
from typednn_kernels.arrays import Cube, F, Matrix, Values, Vector
from typednn_kernels.compiled._codegen.array_views import piece, scratch
from typednn_kernels.compiled._codegen.function_tables import ByAddress
from typednn_kernels.compiled._codegen.ir_loops import (
    CHUNK,
    Formula,
    Loop,
    elementwise,
    formula,
    maxima,
    sums,
)
from typednn_kernels.compiled._codegen.ir_values import Number
from typednn_kernels.compiled._codegen.jit import entry, kernel, routine
from typednn_kernels.compiled._codegen.short_rows import Row, are_few, is_short, of_few, of_rows
from typednn_kernels.compiled.linalg.dense import copies
from typednn_kernels.compiled.parallel.thread_pool import LEAST, divided
from typednn_kernels.primitives import exp, where

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
slope_of: Loop = elementwise(*SLOPES, others=OTHER_SLOPES)
product_of: Loop = elementwise(*PRODUCTS, others=OTHER_PRODUCTS)

largest: Formula = maxima(lambda a: a)
total: Formula = sums(lambda y: y)
inner: Formula = sums(_product)


def softmax(row: Row, a: Number) -> Number:
    """Softmax of a row."""
    e = shifted_exp(a, row.largest(a))
    return e / row.total(e)


def softmax_product(row: Row, y: Number, dLdy: Number) -> Number:
    """The product of a row with the Jacobian of softmax."""
    return _jacobian_product(y, dLdy, row.total(dLdy * y))


short_value_of: Callable[..., None] = of_few("value", VALUES)
short_product_of: Callable[..., None] = of_few("slope_product", PRODUCTS)
softmax_rows: Callable[..., None] = of_rows("softmax", softmax)
softmax_product_rows: Callable[..., None] = of_rows("softmax_product", softmax_product)

exponentials: Loop = elementwise(shifted_exp)
quotients: Loop = elementwise(lambda y, divisor: y / divisor)
softmax_products: Loop = elementwise(_jacobian_product)

sum_of_exponentials: Formula = sums(shifted_exp)
decayed: Formula = formula(lambda mass, rise: mass * exp(rise))
shares_of_mass: Loop = elementwise(lambda a, shift, mass: shifted_exp(a, shift) / mass)


@kernel
def values(activation: int, a: Vector[F], y: Vector[F], samples: int) -> None:
    """y = f(a), all flat (B, n)."""
    if activation != SOFTMAX:
        if activation < WITHIN and are_few(a.size, a):
            short_value_of(activation, a.size, a, y)
        else:
            value_of(activation, a.size, a, y)
        return
    n = a.size // samples
    if is_short(n, a):
        softmax_rows(samples, n, a, y)
        return
    # Exponentials are computed of as many rows as stay in the cache, beside the largest number of each.
    some = max(1, CHUNK // n)
    for first in range(0, samples, some):
        stop = min(first + some, samples)
        for s in range(first, stop):
            copies(0, n, largest(0, n, piece(a, s * n, n)), piece(y, s * n, n))
        size = (stop - first) * n
        some_rows = piece(y, first * n, size)
        exponentials(0, size, piece(a, first * n, size), some_rows, some_rows)
        for s in range(first, stop):
            row = piece(y, s * n, n)
            quotients(0, n, row, total(0, n, row), row)


@kernel
def products(
    activation: int, a: Vector[F], y: Vector[F], dLdy: Vector[F], dLda: Vector[F], samples: int
) -> None:
    """dLda = dLdy * dy/da, all flat (B, n); for softmax y (g - <g, y>)."""
    if activation != SOFTMAX:
        if activation < WITHIN and are_few(a.size, a):
            short_product_of(activation, a.size, a, y, dLdy, dLda)
        else:
            product_of(activation, a.size, a, y, dLdy, dLda)
        return
    n = a.size // samples
    if is_short(n, a):
        softmax_product_rows(samples, n, y, dLdy, dLda)
        return
    for s in range(samples):
        y_row, g_row = piece(y, s * n, n), piece(dLdy, s * n, n)
        softmax_products(0, n, y_row, g_row, inner(0, n, g_row, y_row), piece(dLda, s * n, n))


@routine
def some_values(
    part: int, start: int, stop: int, activation: int, a: Vector[F], y: Vector[F], n: int
) -> None:
    """y = f(a) for some rows of n numbers; for all but softmax, a row may be any numbers."""
    first, size = start * n, (stop - start) * n
    values(activation, piece(a, first, size), piece(y, first, size), stop - start)


@routine
def some_slopes(
    part: int, start: int, stop: int, activation: int, a: Vector[F], y: Vector[F], slope: Vector[F]
) -> None:
    """slope = dy/da for some numbers."""
    n = stop - start
    slope_of(activation, n, piece(a, start, n), piece(y, start, n), piece(slope, start, n))


@routine
def some_products(
    part: int,
    start: int,
    stop: int,
    activation: int,
    a: Vector[F],
    y: Vector[F],
    dLdy: Vector[F],
    dLda: Vector[F],
    n: int,
) -> None:
    """dLda = dLdy * dy/da for some rows of n numbers."""
    first, size = start * n, (stop - start) * n
    products(
        activation,
        piece(a, first, size),
        piece(y, first, size),
        piece(dLdy, first, size),
        piece(dLda, first, size),
        stop - start,
    )


@routine
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


@routine
def shares(part: int, start: int, stop: int, a: Vector[F], peak: F, mass: F, y: Vector[F]) -> None:
    """Part of the softmax of a long row."""
    n = stop - start
    shares_of_mass(0, n, piece(a, start, n), peak, mass, piece(y, start, n))


@routine
def inner_products(part: int, start: int, stop: int, x: Vector[F], y: Vector[F], sums: Vector[F]) -> None:
    """The sum of products of a part of two long rows."""
    n = stop - start
    sums[part] = inner(0, n, piece(x, start, n), piece(y, start, n))


@routine
def long_products(
    part: int, start: int, stop: int, y: Vector[F], dLdy: Vector[F], mean: F, dLda: Vector[F]
) -> None:
    """Part of y (g - <g, y>) of a long row."""
    n = stop - start
    softmax_products(0, n, piece(y, start, n), piece(dLdy, start, n), mean, piece(dLda, start, n))


all_values: Callable[..., int] = divided(some_values)
all_slopes: Callable[..., int] = divided(some_slopes)
all_products: Callable[..., int] = divided(some_products)
all_masses: Callable[..., int] = divided(masses)
all_shares: Callable[..., int] = divided(shares)
all_inner_products: Callable[..., int] = divided(inner_products)
all_long_products: Callable[..., int] = divided(long_products)


@kernel
def peak_and_mass(a: Vector[F]) -> tuple[F, F]:
    """The largest number of a long row, and the sum of exp(a - largest): what softmax and its loss need."""
    peaks, sums = scratch(a), scratch(a)
    parts = all_masses(a.size, LEAST, a, peaks, sums)
    peak, mass = largest(0, parts, peaks), a.dtype.type(0)
    for part in range(parts):
        mass += decayed(sums[part], peaks[part] - peak)
    return peak, mass


@routine
def value_rows(activation: int, a: Matrix[F], y: Matrix[F]) -> None:
    """y = f(a)."""
    size, (samples, n) = a.size, a.shape
    a_flat, y_flat = piece(a, 0, size), piece(y, 0, size)
    if activation != SOFTMAX:
        all_values(size, LEAST, activation, a_flat, y_flat, 1)
    elif n < LONG:
        all_values(samples, LEAST // n, activation, a_flat, y_flat, n)
    else:
        for start in range(0, size, n):
            row = piece(a, start, n)
            peak, mass = peak_and_mass(row)
            all_shares(n, LEAST, row, peak, mass, piece(y, start, n))


@entry
def activation_value(activation: int, a: Matrix[F], y: Matrix[F]) -> None:
    """y = f(a), all (B, n)."""
    value_rows(activation, a, y)


@entry
def activation_slope(activation: int, a: Matrix[F], y: Matrix[F], slope: Matrix[F]) -> None:
    """slope = dy/da, all (B, n); not for softmax."""
    if activation == SOFTMAX:
        raise ValueError("softmax has no elementwise slope, but a Jacobian")
    size = a.size
    all_slopes(size, LEAST, activation, piece(a, 0, size), piece(y, 0, size), piece(slope, 0, size))


@routine
def product_rows(activation: int, a: Matrix[F], y: Matrix[F], dLdy: Matrix[F], dLda: Matrix[F]) -> None:
    """dLda = dLdy * dy/da."""
    size, (samples, n) = a.size, a.shape
    a_flat, y_flat = piece(a, 0, size), piece(y, 0, size)
    g_flat, out = piece(dLdy, 0, size), piece(dLda, 0, size)
    if activation != SOFTMAX:
        all_products(size, LEAST, activation, a_flat, y_flat, g_flat, out, 1)
    elif n < LONG:
        all_products(samples, LEAST // n, activation, a_flat, y_flat, g_flat, out, n)
    else:
        for start in range(0, size, n):
            y_row, g_row, sums = piece(y, start, n), piece(dLdy, start, n), scratch(y_flat)
            parts = all_inner_products(n, LEAST, g_row, y_row, sums)
            all_long_products(n, LEAST, y_row, g_row, total(0, parts, sums), piece(dLda, start, n))


@entry
def slope_product(activation: int, a: Matrix[F], y: Matrix[F], dLdy: Matrix[F], dLda: Matrix[F]) -> None:
    """dLda = dLdy * dy/da, all (B, n); for softmax the product with the Jacobian, y (g - <g, y>)."""
    product_rows(activation, a, y, dLdy, dLda)


@entry
def softmax_jacobian(y: Matrix[F], dyda: Cube[F]) -> None:
    """dyda[s] = diag(y[s]) - y[s] y[s]^T, (B, n, n)."""
    for s in range(y.shape[0]):
        for i in range(y.shape[1]):
            for j in range(y.shape[1]):
                dyda[s, i, j] = -y[s, i] * y[s, j]
            dyda[s, i, i] += y[s, i]

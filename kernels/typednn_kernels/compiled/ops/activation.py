"""Activation values and slopes."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# Formulas written as lambdas have no types.

from __future__ import annotations

from collections.abc import Callable

from typednn_kernels.activations import ACTIVATIONS, BUILT_IN, INFINITY, SOFTMAX
from typednn_kernels.arrays import Cube, F, Matrix, Values, Vector
from typednn_kernels.compiled._codegen.array_views import scratch, slice_of
from typednn_kernels.compiled._codegen.function_tables import FunctionTable
from typednn_kernels.compiled._codegen.ir_loops import (
    CHUNK_ELEMENTS,
    Formula,
    Loop,
    elementwise,
    max_reduction,
    scalar_function,
    sum_reduction,
)
from typednn_kernels.compiled._codegen.ir_values import Number
from typednn_kernels.compiled._codegen.jit import exported, inline, noinline
from typednn_kernels.compiled._codegen.short_rows import (
    Row,
    by_short_row,
    by_short_vector,
    is_short_row,
    is_short_vector,
)
from typednn_kernels.compiled.linalg.dense import copy
from typednn_kernels.compiled.parallel.thread_pool import GRAIN_ELEMENTS, parallel_for
from typednn_kernels.primitives import exp, where

LONG = 4 * CHUNK_ELEMENTS
"""A row of so many units is read as few times as possible."""


def _times(derivative: Callable[[Values, Values], Values | float] | None) -> Callable[..., Values] | None:
    return None if derivative is None else lambda a, y, dLdy: dLdy * derivative(a, y)


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
SLOPES = [row.derivative for row in ACTIVATIONS[:WITHIN]]
PRODUCTS = [_times(row.derivative) for row in ACTIVATIONS[:WITHIN]]
OTHER_VALUES = FunctionTable("value", "vv", lambda code: ACTIVATIONS[code].value, OTHERS)
OTHER_SLOPES = FunctionTable("slope", "vvv", lambda code: ACTIVATIONS[code].derivative, OTHERS)
OTHER_PRODUCTS = FunctionTable("product", "vvvv", lambda code: ACTIVATIONS[code].derivative, OTHERS, _times)
"""By activation code: y from a, the slope from (a, y), dLda from (a, y, dLdy)."""

value_of: Loop = elementwise(*VALUES, default_case=OTHER_VALUES)
slope_of: Loop = elementwise(*SLOPES, default_case=OTHER_SLOPES)
product_of: Loop = elementwise(*PRODUCTS, default_case=OTHER_PRODUCTS)

row_max: Formula = max_reduction(lambda a: a)
total: Formula = sum_reduction(lambda y: y)
inner: Formula = sum_reduction(_product)


def softmax(row: Row, a: Number) -> Number:
    """Softmax of a row."""
    e = shifted_exp(a, row.largest(a))
    return e / row.total(e)


def softmax_backward(row: Row, y: Number, dLdy: Number) -> Number:
    """The product of a row with the Jacobian of softmax."""
    return _jacobian_product(y, dLdy, row.total(dLdy * y))


short_value_of: Callable[..., None] = by_short_vector("value", VALUES)
short_product_of: Callable[..., None] = by_short_vector("activation_backward", PRODUCTS)
softmax_rows: Callable[..., None] = by_short_row("softmax", softmax)
softmax_product_rows: Callable[..., None] = by_short_row("softmax_product", softmax_backward)

exponentials: Loop = elementwise(shifted_exp)
quotients: Loop = elementwise(lambda y, divisor: y / divisor)
softmax_products: Loop = elementwise(_jacobian_product)

sum_of_exponentials: Formula = sum_reduction(shifted_exp)
rescaled_sum_exp: Formula = scalar_function(lambda mass, rise: mass * exp(rise))
softmax_from_sum_exp: Loop = elementwise(lambda a, shift, mass: shifted_exp(a, shift) / mass)


@inline
def activate(activation: int, a: Vector[F], y: Vector[F], samples: int) -> None:
    """y = f(a), all flat (B, n)."""
    if activation != SOFTMAX:
        if activation < WITHIN and is_short_vector(a.size, a):
            short_value_of(activation, a.size, a, y)
        else:
            value_of(activation, a.size, a, y)
        return
    n = a.size // samples
    if is_short_row(n, a):
        softmax_rows(samples, n, a, y)
        return
    # Exponentials are computed of as many rows as stay in the cache, beside the largest number of each.
    some = max(1, CHUNK_ELEMENTS // n)
    for first in range(0, samples, some):
        stop = min(first + some, samples)
        for s in range(first, stop):
            copy(0, n, row_max(0, n, slice_of(a, s * n, n)), slice_of(y, s * n, n))
        size = (stop - first) * n
        some_rows = slice_of(y, first * n, size)
        exponentials(0, size, slice_of(a, first * n, size), some_rows, some_rows)
        for s in range(first, stop):
            row = slice_of(y, s * n, n)
            quotients(0, n, row, total(0, n, row), row)


@inline
def activation_backward_flat(
    activation: int, a: Vector[F], y: Vector[F], dLdy: Vector[F], dLda: Vector[F], samples: int
) -> None:
    """dLda = dLdy * dy/da, all flat (B, n); for softmax y (g - <g, y>)."""
    if activation != SOFTMAX:
        if activation < WITHIN and is_short_vector(a.size, a):
            short_product_of(activation, a.size, a, y, dLdy, dLda)
        else:
            product_of(activation, a.size, a, y, dLdy, dLda)
        return
    n = a.size // samples
    if is_short_row(n, a):
        softmax_product_rows(samples, n, y, dLdy, dLda)
        return
    for s in range(samples):
        y_row, g_row = slice_of(y, s * n, n), slice_of(dLdy, s * n, n)
        softmax_products(0, n, y_row, g_row, inner(0, n, g_row, y_row), slice_of(dLda, s * n, n))


@noinline
def activate_range(
    part: int, start: int, stop: int, activation: int, a: Vector[F], y: Vector[F], n: int
) -> None:
    """y = f(a) for some rows of n numbers; for all but softmax, a row may be any numbers."""
    first, size = start * n, (stop - start) * n
    activate(activation, slice_of(a, first, size), slice_of(y, first, size), stop - start)


@noinline
def derivative_range(
    part: int, start: int, stop: int, activation: int, a: Vector[F], y: Vector[F], derivative: Vector[F]
) -> None:
    """slope = dy/da for some numbers."""
    n = stop - start
    slope_of(activation, n, slice_of(a, start, n), slice_of(y, start, n), slice_of(derivative, start, n))


@noinline
def activation_backward_range(
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
    activation_backward_flat(
        activation,
        slice_of(a, first, size),
        slice_of(y, first, size),
        slice_of(dLdy, first, size),
        slice_of(dLda, first, size),
        stop - start,
    )


@noinline
def row_max_and_sum_exp_range(
    part: int, start: int, stop: int, a: Vector[F], peaks: Vector[F], sums: Vector[F]
) -> None:
    """The largest number of a part, and the sum of exp(a - largest)."""
    peak, mass = a.dtype.type(-INFINITY), a.dtype.type(0)
    for first in range(start, stop, CHUNK_ELEMENTS):
        size = min(CHUNK_ELEMENTS, stop - first)
        chunk = slice_of(a, first, size)
        most = row_max(0, size, chunk)
        if not most <= peak:
            mass = rescaled_sum_exp(mass, peak - most)
            peak = most
        mass += sum_of_exponentials(0, size, chunk, peak)
    peaks[part], sums[part] = peak, mass


@noinline
def softmax_from_sum_exp_range(
    part: int, start: int, stop: int, a: Vector[F], peak: F, mass: F, y: Vector[F]
) -> None:
    """Part of the softmax of a long row."""
    n = stop - start
    softmax_from_sum_exp(0, n, slice_of(a, start, n), peak, mass, slice_of(y, start, n))


@noinline
def dot_range(part: int, start: int, stop: int, x: Vector[F], y: Vector[F], sums: Vector[F]) -> None:
    """The sum of products of a part of two long rows."""
    n = stop - start
    sums[part] = inner(0, n, slice_of(x, start, n), slice_of(y, start, n))


@noinline
def softmax_backward_range(
    part: int, start: int, stop: int, y: Vector[F], dLdy: Vector[F], mean: F, dLda: Vector[F]
) -> None:
    """Part of y (g - <g, y>) of a long row."""
    n = stop - start
    softmax_products(0, n, slice_of(y, start, n), slice_of(dLdy, start, n), mean, slice_of(dLda, start, n))


parallel_activate: Callable[..., int] = parallel_for(activate_range)
parallel_derivative: Callable[..., int] = parallel_for(derivative_range)
parallel_activation_backward: Callable[..., int] = parallel_for(activation_backward_range)
parallel_row_max_and_sum_exp: Callable[..., int] = parallel_for(row_max_and_sum_exp_range)
parallel_softmax_from_sum_exp: Callable[..., int] = parallel_for(softmax_from_sum_exp_range)
parallel_dot: Callable[..., int] = parallel_for(dot_range)
parallel_softmax_backward: Callable[..., int] = parallel_for(softmax_backward_range)


@inline
def row_max_and_sum_exp(a: Vector[F]) -> tuple[F, F]:
    """The largest number of a long row, and the sum of exp(a - largest): what softmax and its loss need."""
    peaks, sums = scratch(a), scratch(a)
    parts = parallel_row_max_and_sum_exp(a.size, GRAIN_ELEMENTS, a, peaks, sums)
    peak, mass = row_max(0, parts, peaks), a.dtype.type(0)
    for part in range(parts):
        mass += rescaled_sum_exp(sums[part], peaks[part] - peak)
    return peak, mass


@noinline
def activate_rows(activation: int, a: Matrix[F], y: Matrix[F]) -> None:
    """y = f(a)."""
    size, (samples, n) = a.size, a.shape
    a_flat, y_flat = slice_of(a, 0, size), slice_of(y, 0, size)
    if activation != SOFTMAX:
        parallel_activate(size, GRAIN_ELEMENTS, activation, a_flat, y_flat, 1)
    elif n < LONG:
        parallel_activate(samples, GRAIN_ELEMENTS // n, activation, a_flat, y_flat, n)
    else:
        for start in range(0, size, n):
            row = slice_of(a, start, n)
            peak, mass = row_max_and_sum_exp(row)
            parallel_softmax_from_sum_exp(n, GRAIN_ELEMENTS, row, peak, mass, slice_of(y, start, n))


@exported
def activation_value(activation: int, a: Matrix[F], y: Matrix[F]) -> None:
    """y = f(a), all (B, n)."""
    activate_rows(activation, a, y)


@exported
def activation_derivative(activation: int, a: Matrix[F], y: Matrix[F], derivative: Matrix[F]) -> None:
    """slope = dy/da, all (B, n); not for softmax."""
    if activation == SOFTMAX:
        raise ValueError("softmax has no elementwise slope, but a Jacobian")
    size = a.size
    parallel_derivative(
        size,
        GRAIN_ELEMENTS,
        activation,
        slice_of(a, 0, size),
        slice_of(y, 0, size),
        slice_of(derivative, 0, size),
    )


@noinline
def activation_backward_rows(
    activation: int, a: Matrix[F], y: Matrix[F], dLdy: Matrix[F], dLda: Matrix[F]
) -> None:
    """dLda = dLdy * dy/da."""
    size, (samples, n) = a.size, a.shape
    a_flat, y_flat = slice_of(a, 0, size), slice_of(y, 0, size)
    g_flat, out = slice_of(dLdy, 0, size), slice_of(dLda, 0, size)
    if activation != SOFTMAX:
        parallel_activation_backward(size, GRAIN_ELEMENTS, activation, a_flat, y_flat, g_flat, out, 1)
    elif n < LONG:
        parallel_activation_backward(samples, GRAIN_ELEMENTS // n, activation, a_flat, y_flat, g_flat, out, n)
    else:
        for start in range(0, size, n):
            y_row, g_row, sums = slice_of(y, start, n), slice_of(dLdy, start, n), scratch(y_flat)
            parts = parallel_dot(n, GRAIN_ELEMENTS, g_row, y_row, sums)
            parallel_softmax_backward(
                n, GRAIN_ELEMENTS, y_row, g_row, total(0, parts, sums), slice_of(dLda, start, n)
            )


@exported
def activation_backward(
    activation: int, a: Matrix[F], y: Matrix[F], dLdy: Matrix[F], dLda: Matrix[F]
) -> None:
    """dLda = dLdy * dy/da, all (B, n); for softmax the product with the Jacobian, y (g - <g, y>)."""
    activation_backward_rows(activation, a, y, dLdy, dLda)


@exported
def softmax_jacobian(y: Matrix[F], dyda: Cube[F]) -> None:
    """dyda[s] = diag(y[s]) - y[s] y[s]^T, (B, n, n)."""
    for s in range(y.shape[0]):
        for i in range(y.shape[1]):
            for j in range(y.shape[1]):
                dyda[s, i, j] = -y[s, i] * y[s, j]
            dyda[s, i, i] += y[s, i]

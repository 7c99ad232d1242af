"""Activation functions: y = f(a), derivatives dy/da, and the backward step dLda = dLdy * dy/da.

A function named `_range` computes one part of a `parallel_` function; `_flat` works on flat arrays in one
thread, `_rows` on matrices (B, n) in several.
"""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# Formulas written as lambdas have no types.

from __future__ import annotations

from collections.abc import Callable

from typednn_kernels.activations import (
    ACTIVATIONS,
    BUILT_IN,
    INFINITY,
    LOG_SOFTMAX,
    SOFTMAX,
    couples_units,
    derivative_to_show,
    exp_of_smaller,
    log_softmax_of,
)
from typednn_kernels.arrays import Cube, F, Matrix, Values, Vector
from typednn_kernels.compiled._codegen.array_views import scratch, slice_of
from typednn_kernels.compiled._codegen.function_tables import FunctionTable
from typednn_kernels.compiled._codegen.ir_loops import (
    Formula,
    Loop,
    elementwise,
    max_reduction,
    scalar_function,
    sum_reduction,
)
from typednn_kernels.compiled._codegen.ir_values import Number
from typednn_kernels.compiled._codegen.jit import exported, inline, noinline, on_demand, require
from typednn_kernels.compiled._codegen.short_rows import (
    Row,
    by_short_row,
    by_short_vector,
    is_short_row,
    is_short_vector,
)
from typednn_kernels.compiled._codegen.tuning import CHUNK_ELEMENTS, GRAIN_ELEMENTS, LONG_ROW_ELEMENTS
from typednn_kernels.compiled.linalg.dense import copy
from typednn_kernels.compiled.parallel.thread_pool import parallel_for
from typednn_kernels.primitives import exp, unless_nan, where


def _backward(derivative: Callable[[Values, Values], Values | float] | None) -> Callable[..., Values] | None:
    """Returns the formula of dLda of (a, y, dLdy) for a derivative."""
    return None if derivative is None else lambda a, y, dLdy: dLdy * derivative(a, y)


def shifted_exp(a: Values, shift: Values) -> Values:
    """Computes exp(a - shift), a <= shift, corrected for the rounding error of the difference."""
    difference = a - shift
    e = exp(difference)
    rounding_error = a - (difference + shift)
    return e + e * where(abs(rounding_error) < 1, rounding_error, 0 * e)


def _softmax_backward(y: Values, dLdy: Values, mean: Values) -> Values:
    return y * (dLdy - mean)


INLINED = 5
"""Number of activations, the first, whose code for short vectors is compiled into the kernels."""
CALLED = [code for code in range(BUILT_IN) if ACTIVATIONS[code].value is not None]
"""Activations of single units: their loops are called by address, and compiled when they are first called."""

VALUES = [row.value for row in ACTIVATIONS[:INLINED]]
DERIVATIVES = [derivative_to_show(row) for row in ACTIVATIONS[:INLINED]]
BACKWARDS = [_backward(row.derivative) for row in ACTIVATIONS[:INLINED]]
CALLED_VALUES = FunctionTable("value", "vv", lambda code: ACTIVATIONS[code].value, CALLED)
CALLED_DERIVATIVES = FunctionTable(
    "derivative",
    "vvv",
    lambda code: ACTIVATIONS[code].derivative,
    [each for each in CALLED if each >= INLINED],
)
CALLED_BACKWARDS = FunctionTable(
    "backward", "vvvv", lambda code: ACTIVATIONS[code].derivative, CALLED, _backward
)
"""By activation code: y of a, the derivative of (a, y), dLda of (a, y, dLdy)."""

value_loop: Loop = elementwise(default_case=CALLED_VALUES)
derivative_loop: Loop = elementwise(*DERIVATIVES, default_case=CALLED_DERIVATIVES)
backward_loop: Loop = elementwise(default_case=CALLED_BACKWARDS)

row_max: Formula = max_reduction(lambda a: a)
total: Formula = sum_reduction(lambda y: y)
inner: Formula = sum_reduction(lambda x, y: x * y)


def softmax(row: Row, a: Number) -> Number:
    """Computes exp(a) / sum(exp(a)) of a row."""
    e = shifted_exp(a, row.largest(a))
    return e * (1 / row.total(e))


def softmax_backward(row: Row, y: Number, dLdy: Number) -> Number:
    """Computes dLda of a row: the product of the Jacobian of softmax with dLdy."""
    return _softmax_backward(y, dLdy, row.total(dLdy * y))


short_value: Callable[..., None] = by_short_vector("activation_value", VALUES)
short_backward: Callable[..., None] = by_short_vector("activation_backward", BACKWARDS)
softmax_rows: Callable[..., None] = by_short_row("softmax", softmax)
softmax_backward_rows: Callable[..., None] = by_short_row(
    "softmax_backward", softmax_backward, in_blocks=False
)

exp_loop: Loop = elementwise(shifted_exp)
divide: Loop = elementwise(lambda y, divisor: y / divisor)
softmax_backward_loop: Loop = elementwise(_softmax_backward)
softmax_from_sum_exp: Loop = elementwise(lambda a, row_max, sum_exp: shifted_exp(a, row_max) / sum_exp)

sum_shifted_exp: Formula = sum_reduction(shifted_exp)
sum_exp_of_smaller: Formula = sum_reduction(exp_of_smaller)
count_largest: Formula = sum_reduction(lambda a, largest: where(a < largest, unless_nan(a, 0), 1))
log_softmax_loop: Loop = elementwise(log_softmax_of)
log_softmax_backward_loop: Loop = elementwise(lambda y, dLdy, total: dLdy - exp(y) * total)
couples: Callable[[int], bool] = inline(couples_units)
rescaled: Formula = scalar_function(lambda sum_exp, difference: sum_exp * exp(difference))


@inline
def is_short(activation: int, a: Vector[F]) -> bool:
    """Says whether the activation of a vector has code for short ones."""
    short: bool = activation < INLINED and activation != SOFTMAX and is_short_vector(a.size, a)
    return short


@inline
def activate(activation: int, a: Vector[F], y: Vector[F], samples: int) -> None:
    """Computes y = f(a), flat (B * n,)."""
    if is_short(activation, a):
        short_value(activation, a.size, a, y)
    else:
        activate_by_loops(activation, a, y, samples)


@inline
def activate_by_loops(activation: int, a: Vector[F], y: Vector[F], samples: int) -> None:
    """Computes y = f(a), flat (B * n,), of vectors that are not short."""
    if activation == LOG_SOFTMAX:
        log_softmax_by_loops(a, y, samples)
        return
    if activation != SOFTMAX:
        value_loop(activation, a.size, a, y)
        return
    n = a.size // samples
    if is_short_row(n, a):
        softmax_rows(samples, n, a, y)
        return
    softmax_by_loops(a, y, samples)


@on_demand
def log_softmax_by_loops(a: Vector[F], y: Vector[F], samples: int) -> None:
    """Computes the logarithms of softmax, flat (B * n,)."""
    n = a.size // samples
    for start in range(0, a.size, n):
        row = slice_of(a, start, n)
        largest = row_max(0, n, row)
        rest = (count_largest(0, n, row, largest) - a.dtype.type(1)) + sum_exp_of_smaller(0, n, row, largest)
        log_softmax_loop(0, n, row, largest, rest, slice_of(y, start, n))


@on_demand
def log_softmax_backward_by_loops(y: Vector[F], dLdy: Vector[F], dLda: Vector[F], samples: int) -> None:
    """Computes dLdy - exp(y) sum(dLdy), flat (B * n,)."""
    n = y.size // samples
    for start in range(0, y.size, n):
        upstream = slice_of(dLdy, start, n)
        log_softmax_backward_loop(
            0, n, slice_of(y, start, n), upstream, total(0, n, upstream), slice_of(dLda, start, n)
        )


@on_demand
def softmax_by_loops(a: Vector[F], y: Vector[F], samples: int) -> None:
    """Computes softmax of rows that are not short, flat (B * n,)."""
    n = a.size // samples
    # One loop computes the exponentials of as many rows as fit the cache; y holds their maxima until then.
    count = max(1, CHUNK_ELEMENTS // n)
    for first in range(0, samples, count):
        stop = min(first + count, samples)
        for s in range(first, stop):
            copy(0, n, row_max(0, n, slice_of(a, s * n, n)), slice_of(y, s * n, n))
        size = (stop - first) * n
        rows = slice_of(y, first * n, size)
        exp_loop(0, size, slice_of(a, first * n, size), rows, rows)
        for s in range(first, stop):
            row = slice_of(y, s * n, n)
            divide(0, n, row, total(0, n, row), row)


@inline
def activation_backward_flat(
    activation: int, a: Vector[F], y: Vector[F], dLdy: Vector[F], dLda: Vector[F], samples: int
) -> None:
    """Computes dLda = dLdy * dy/da, flat (B * n,); for softmax and its logarithm by their Jacobians."""
    if is_short(activation, a):
        short_backward(activation, a.size, a, y, dLdy, dLda)
    else:
        activation_backward_by_loops(activation, a, y, dLdy, dLda, samples)


@inline
def activation_backward_by_loops(
    activation: int, a: Vector[F], y: Vector[F], dLdy: Vector[F], dLda: Vector[F], samples: int
) -> None:
    """Computes dLda as `activation_backward_flat`, of vectors that are not short."""
    if activation == LOG_SOFTMAX:
        log_softmax_backward_by_loops(y, dLdy, dLda, samples)
        return
    if activation != SOFTMAX:
        backward_loop(activation, a.size, a, y, dLdy, dLda)
        return
    n = a.size // samples
    if is_short_row(n, a):
        softmax_backward_rows(samples, n, y, dLdy, dLda)
        return
    softmax_backward_by_loops(y, dLdy, dLda, samples)


@on_demand
def softmax_backward_by_loops(y: Vector[F], dLdy: Vector[F], dLda: Vector[F], samples: int) -> None:
    """Computes y (dLdy - <dLdy, y>) of rows that are not short, flat (B * n,)."""
    n = y.size // samples
    for s in range(samples):
        y_row, dLdy_row = slice_of(y, s * n, n), slice_of(dLdy, s * n, n)
        mean = inner(0, n, dLdy_row, y_row)
        softmax_backward_loop(0, n, y_row, dLdy_row, mean, slice_of(dLda, s * n, n))


@on_demand
def activate_short(activation: int, a: Vector[F], y: Vector[F]) -> None:
    """Computes y = f(a) of a short vector."""
    short_value(activation, a.size, a, y)


@on_demand
def activation_backward_short(
    activation: int, a: Vector[F], y: Vector[F], dLdy: Vector[F], dLda: Vector[F]
) -> None:
    """Computes dLda = dLdy * dy/da of a short vector."""
    short_backward(activation, a.size, a, y, dLdy, dLda)


@noinline
def activate_range(
    part: int, start: int, stop: int, activation: int, a: Vector[F], y: Vector[F], n: int
) -> None:
    """Computes y = f(a) for a range of rows; n is the row length; elementwise activations accept any n."""
    first, size = start * n, (stop - start) * n
    a_part, y_part = slice_of(a, first, size), slice_of(y, first, size)
    if is_short(activation, a_part):
        activate_short(activation, a_part, y_part)
    else:
        activate_by_loops(activation, a_part, y_part, stop - start)


@noinline
def derivative_range(
    part: int, start: int, stop: int, activation: int, a: Vector[F], y: Vector[F], derivative: Vector[F]
) -> None:
    """Computes dy/da for a range of elements."""
    n = stop - start
    derivative_loop(
        activation, n, slice_of(a, start, n), slice_of(y, start, n), slice_of(derivative, start, n)
    )


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
    """Computes dLda = dLdy * dy/da for a range of rows of n elements."""
    first, size = start * n, (stop - start) * n
    a_part, y_part = slice_of(a, first, size), slice_of(y, first, size)
    dLdy_part, dLda_part = slice_of(dLdy, first, size), slice_of(dLda, first, size)
    if is_short(activation, a_part):
        activation_backward_short(activation, a_part, y_part, dLdy_part, dLda_part)
    else:
        activation_backward_by_loops(activation, a_part, y_part, dLdy_part, dLda_part, stop - start)


@noinline
def row_max_and_sum_exp_range(
    part: int, start: int, stop: int, a: Vector[F], maxima: Vector[F], sums: Vector[F]
) -> None:
    """Computes max(a) and the sum of exp(a - max(a)) over a range of a row, in one pass.

    Source: Milakov & Gimelshein (2018), Online normalizer calculation for softmax, arXiv:1805.02867.
    """
    largest, sum_exp = a.dtype.type(-INFINITY), a.dtype.type(0)
    for first in range(start, stop, CHUNK_ELEMENTS):
        size = min(CHUNK_ELEMENTS, stop - first)
        chunk = slice_of(a, first, size)
        chunk_max = row_max(0, size, chunk)
        if not chunk_max <= largest:
            sum_exp = rescaled(sum_exp, largest - chunk_max)
            largest = chunk_max
        sum_exp += sum_shifted_exp(0, size, chunk, largest)
    maxima[part], sums[part] = largest, sum_exp


@noinline
def softmax_from_sum_exp_range(
    part: int, start: int, stop: int, a: Vector[F], largest: F, sum_exp: F, y: Vector[F]
) -> None:
    """Computes softmax over a range of a row whose maximum and sum of exponentials are known."""
    n = stop - start
    softmax_from_sum_exp(0, n, slice_of(a, start, n), largest, sum_exp, slice_of(y, start, n))


@noinline
def dot_range(part: int, start: int, stop: int, x: Vector[F], y: Vector[F], sums: Vector[F]) -> None:
    """Computes the inner product of a range of two vectors."""
    n = stop - start
    sums[part] = inner(0, n, slice_of(x, start, n), slice_of(y, start, n))


@noinline
def softmax_backward_range(
    part: int, start: int, stop: int, y: Vector[F], dLdy: Vector[F], mean: F, dLda: Vector[F]
) -> None:
    """Computes y (dLdy - mean), mean = <dLdy, y>, over a range of a row."""
    n = stop - start
    softmax_backward_loop(
        0, n, slice_of(y, start, n), slice_of(dLdy, start, n), mean, slice_of(dLda, start, n)
    )


parallel_activate: Callable[..., int] = parallel_for(activate_range)
parallel_derivative: Callable[..., int] = parallel_for(derivative_range)
parallel_activation_backward: Callable[..., int] = parallel_for(activation_backward_range)
parallel_row_max_and_sum_exp: Callable[..., int] = parallel_for(row_max_and_sum_exp_range)
parallel_softmax_from_sum_exp: Callable[..., int] = parallel_for(softmax_from_sum_exp_range)
parallel_dot: Callable[..., int] = parallel_for(dot_range)
parallel_softmax_backward: Callable[..., int] = parallel_for(softmax_backward_range)


@inline
def row_max_and_sum_exp(a: Vector[F]) -> tuple[F, F]:
    """Computes max(a) and the sum of exp(a - max(a)) of a long row, for softmax and its loss."""
    maxima, sums = scratch(a), scratch(a)
    num_parts = parallel_row_max_and_sum_exp(a.size, GRAIN_ELEMENTS, a, maxima, sums)
    largest, sum_exp = row_max(0, num_parts, maxima), a.dtype.type(0)
    for part in range(num_parts):
        sum_exp += rescaled(sums[part], maxima[part] - largest)
    return largest, sum_exp


@noinline
def activate_rows(activation: int, a: Matrix[F], y: Matrix[F]) -> None:
    """Computes y = f(a), (B, n)."""
    size, (samples, n) = a.size, a.shape
    a_flat, y_flat = slice_of(a, 0, size), slice_of(y, 0, size)
    if not couples(activation):
        parallel_activate(size, GRAIN_ELEMENTS, activation, a_flat, y_flat, 1)
    elif n < LONG_ROW_ELEMENTS or activation == LOG_SOFTMAX:
        parallel_activate(samples, max(1, GRAIN_ELEMENTS // n), activation, a_flat, y_flat, n)
    else:
        for start in range(0, size, n):
            row = slice_of(a, start, n)
            largest, sum_exp = row_max_and_sum_exp(row)
            parallel_softmax_from_sum_exp(n, GRAIN_ELEMENTS, row, largest, sum_exp, slice_of(y, start, n))


@exported
def activation_value(activation: int, a: Matrix[F], y: Matrix[F]) -> None:
    """Computes y = f(a), (B, n)."""
    require(a.shape == y.shape)
    activate_rows(activation, a, y)


@exported
def activation_derivative(activation: int, a: Matrix[F], y: Matrix[F], derivative: Matrix[F]) -> None:
    """Computes the derivative dy/da, (B, n).

    Raises:
        ValueError: the activation is softmax or log_softmax, whose derivative is a Jacobian.
    """
    if couples(activation):
        raise ValueError("softmax has no elementwise derivative, but a Jacobian")
    require(a.shape == y.shape == derivative.shape)
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
    """Computes dLda = dLdy * dy/da, (B, n)."""
    size, (samples, n) = a.size, a.shape
    a_flat, y_flat = slice_of(a, 0, size), slice_of(y, 0, size)
    dLdy_flat, out = slice_of(dLdy, 0, size), slice_of(dLda, 0, size)
    if not couples(activation):
        parallel_activation_backward(size, GRAIN_ELEMENTS, activation, a_flat, y_flat, dLdy_flat, out, 1)
    elif n < LONG_ROW_ELEMENTS or activation == LOG_SOFTMAX:
        parallel_activation_backward(
            samples, max(1, GRAIN_ELEMENTS // n), activation, a_flat, y_flat, dLdy_flat, out, n
        )
    else:
        for start in range(0, size, n):
            y_row, dLdy_row, sums = slice_of(y, start, n), slice_of(dLdy, start, n), scratch(y_flat)
            mean = total(0, parallel_dot(n, GRAIN_ELEMENTS, dLdy_row, y_row, sums), sums)
            parallel_softmax_backward(n, GRAIN_ELEMENTS, y_row, dLdy_row, mean, slice_of(dLda, start, n))


@exported
def activation_backward(
    activation: int, a: Matrix[F], y: Matrix[F], dLdy: Matrix[F], dLda: Matrix[F]
) -> None:
    """Computes dLda = dLdy * dy/da, (B, n); for softmax y (dLdy - <dLdy, y>), the Jacobian's product."""
    require(a.shape == y.shape == dLdy.shape == dLda.shape)
    activation_backward_rows(activation, a, y, dLdy, dLda)


@exported
def softmax_jacobian(y: Matrix[F], dyda: Cube[F]) -> None:
    """Computes the Jacobians dyda[s] = diag(y[s]) - y[s] y[s]^T of softmax, (B, n, n).

    On the diagonal 1 - y_i is the sum of the other outputs, which has digits where y_i is rounded to 1.
    """
    require(dyda.shape == (y.shape[0], y.shape[1], y.shape[1]))
    for s in range(y.shape[0]):
        for i in range(y.shape[1]):
            dyda[s, i, i] = 0
            for j in range(y.shape[1]):
                if j != i:
                    dyda[s, i, j] = -y[s, i] * y[s, j]
                    dyda[s, i, i] -= dyda[s, i, j]

"""The linear part of a layer: loops for one sample, tiles for more."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# Formulas written as lambdas have no types.

from __future__ import annotations

from collections.abc import Callable

from typednn_kernels.arrays import F, Matrix, Vector
from typednn_kernels.compiled._codegen.array_views import scratch_row, slice_of
from typednn_kernels.compiled._codegen.ir_loops import Loop, elementwise
from typednn_kernels.compiled._codegen.jit import exported, inline, noinline, reassociate
from typednn_kernels.compiled._codegen.short_rows import is_short_row, sum_short_rows
from typednn_kernels.compiled._codegen.tuning import (
    GEMV_GRAIN_WEIGHTS,
    GEMV_ROWS,
    GRAIN_ELEMENTS,
    SCRATCH_ROW_ELEMENTS,
)
from typednn_kernels.compiled.linalg.gemm import gemm
from typednn_kernels.compiled.linalg.short_gemv import has_short_rows, short_gemv_bias
from typednn_kernels.compiled.parallel.thread_pool import parallel_for

scal: Loop = elementwise(lambda x, factor: x * factor)
copy: Loop = elementwise(lambda x: x)
add: Loop = elementwise(lambda x, y: x + y)
axpy: Loop = elementwise(lambda total, x, weight: total + weight * x)
axpy4: Loop = elementwise(
    lambda total, w0, w1, w2, w3, e0, e1, e2, e3: total + ((e0 * w0 + e1 * w1) + (e2 * w2 + e3 * w3))
)
subtract_scaled: Loop = elementwise(lambda row, derivative, rate: row - rate * derivative)
"""A row times a number, a row itself, plus a row, plus or minus a multiple of a row."""
gemv_t_and_update_2: Loop = elementwise(
    lambda signal, row, other, below, error, other_error, rate: (
        signal + (error * row + other_error * other),
        row - rate * error * below,
        other - rate * other_error * below,
    ),
    outs=3,
)
"""The signal from two rows to those below, and their updates, with fewer loads and stores than one by one."""


@reassociate
def dot(x: Vector[F], y: Vector[F], n: int) -> F:
    """The sum of n products."""
    total = x.dtype.type(0)
    for j in range(n):
        total += x[j] * y[j]
    return total


@reassociate
def dot4(
    w0: Vector[F], w1: Vector[F], w2: Vector[F], w3: Vector[F], x: Vector[F], n: int
) -> tuple[F, F, F, F]:
    """Four rows times one vector, each element of which is loaded once."""
    d0 = d1 = d2 = d3 = x.dtype.type(0)
    for j in range(n):
        d0 += w0[j] * x[j]
        d1 += w1[j] * x[j]
        d2 += w2[j] * x[j]
        d3 += w3[j] * x[j]
    return d0, d1, d2, d3


@inline
def row_blocks(n: int) -> int:
    """How many blocks n rows make."""
    return (n + GEMV_ROWS - 1) // GEMV_ROWS


@inline
def gemv_bias(x: Vector[F], W: Vector[F], bias: Vector[F], a: Vector[F]) -> None:
    """a = W x + bias for one sample; W is flat."""
    n, m = a.size, x.size
    if has_short_rows(m, x):
        short_gemv_bias(n, m, x, W, bias, a)
        return
    blocks = n - n % GEMV_ROWS
    for i in range(0, blocks, GEMV_ROWS):
        first = i * m
        d0, d1, d2, d3 = dot4(
            slice_of(W, first, m),
            slice_of(W, first + m, m),
            slice_of(W, first + 2 * m, m),
            slice_of(W, first + 3 * m, m),
            x,
            m,
        )
        a[i] = bias[i] + d0
        a[i + 1] = bias[i + 1] + d1
        a[i + 2] = bias[i + 2] + d2
        a[i + 3] = bias[i + 3] + d3
    for i in range(blocks, n):
        a[i] = bias[i] + dot(slice_of(W, i * m, m), x, m)


@inline
def ger(dLda: Vector[F], h_prev: Vector[F], dLdW: Vector[F]) -> None:
    """The outer product of one sample, into a flat matrix."""
    m = h_prev.size
    for i in range(dLda.size):
        scal(0, m, h_prev, dLda[i], slice_of(dLdW, i * m, m))


@noinline
def affine_range(
    part: int, start: int, stop: int, x: Vector[F], W: Vector[F], bias: Vector[F], a: Vector[F]
) -> None:
    """Those of some blocks of units, for one sample."""
    first, m = GEMV_ROWS * start, x.size
    n = min(GEMV_ROWS * stop, a.size) - first
    gemv_bias(x, slice_of(W, first * m, n * m), slice_of(bias, first, n), slice_of(a, first, n))


@noinline
def outer_range(
    part: int, start: int, stop: int, dLda: Vector[F], h_prev: Vector[F], dLdW: Vector[F]
) -> None:
    """Those of some units, for one sample."""
    n, m = stop - start, h_prev.size
    ger(slice_of(dLda, start, n), h_prev, slice_of(dLdW, start * m, n * m))


@inline
def gemv_t(dLda: Vector[F], W: Vector[F], m: int, signal: Vector[F]) -> None:
    """Those of some units to some below; so many numbers lie between two rows of W."""
    size = signal.size
    scal(0, size, W, dLda[0], signal)
    blocks = dLda.size - (dLda.size - 1) % GEMV_ROWS
    for i in range(1, blocks, GEMV_ROWS):
        first = i * m
        axpy4(
            0,
            size,
            signal,
            slice_of(W, first, size),
            slice_of(W, first + m, size),
            slice_of(W, first + 2 * m, size),
            slice_of(W, first + 3 * m, size),
            dLda[i],
            dLda[i + 1],
            dLda[i + 2],
            dLda[i + 3],
            signal,
        )
    for i in range(blocks, dLda.size):
        axpy(0, size, signal, slice_of(W, i * m, size), dLda[i], signal)


@noinline
def backpropagate_range(
    part: int,
    start: int,
    stop: int,
    dLda: Vector[F],
    W: Vector[F],
    dLdh: Vector[F],
    second: Vector[F],
    m: int,
) -> None:
    """Those to some of m units below, for one sample.

    Where there is a second vector, from m on: the signals of the first half of the units, and then, in it,
    those of the second.
    """
    n = dLda.size if second.size == 0 else dLda.size // 2
    low, high = start, min(stop, m)
    if low < high:
        W_part = slice_of(W, low, W.size - low)
        gemv_t(slice_of(dLda, 0, n), W_part, m, slice_of(dLdh, low, high - low))
    low, high = max(start - m, 0), stop - m
    if low < high:
        place = n * m + low
        W_part = slice_of(W, place, W.size - place)
        gemv_t(slice_of(dLda, n, dLda.size - n), W_part, m, slice_of(second, low, high - low))


parallel_affine: Callable[..., int] = parallel_for(affine_range)
parallel_backpropagate: Callable[..., int] = parallel_for(backpropagate_range)
parallel_outer: Callable[..., int] = parallel_for(outer_range)


@noinline
def affine_rows(
    x: Matrix[F], W: Matrix[F], bias: Vector[F], a: Vector[F], a_row: int, together: bool
) -> None:
    """a = x W^T + bias; a bias without numbers is none. So many numbers lie between two rows of a."""
    samples, (n, m) = x.shape[0], W.shape
    x_flat, W_flat = slice_of(x, 0, x.size), slice_of(W, 0, W.size)
    if samples == 1 and bias.size > 0:
        blocks = row_blocks(n)
        least = max(1, GEMV_GRAIN_WEIGHTS // (GEMV_ROWS * m)) if together else blocks
        parallel_affine(blocks, least, x_flat, W_flat, bias, slice_of(a, 0, n))
    else:
        one = W.dtype.type(1)
        gemm(samples, n, m, x_flat, m, False, W_flat, m, True, bias, one, False, a, a_row, together)


@noinline
def backpropagate_rows(
    dLda: Matrix[F], W: Matrix[F], dLdh: Vector[F], first: int, count: int, together: bool
) -> None:
    """dLdh = dLda W, for `count` units below from `first` on; dLdh is flat."""
    samples, (n, m) = dLda.shape[0], W.shape
    signals, W_flat = slice_of(dLda, 0, dLda.size), slice_of(W, first, W.size - first)
    result, nothing = slice_of(dLdh, first, dLdh.size - first), slice_of(W, 0, 0)
    if samples == 1 and n * m >= 2 * GEMV_GRAIN_WEIGHTS and m <= SCRATCH_ROW_ELEMENTS:
        # Two threads then read whole rows, which come faster from memory than halves of them.
        second, least = (
            slice_of(scratch_row(dLdh), 0, m),
            max(1, 2 * GEMV_GRAIN_WEIGHTS // n) if together else 2 * m,
        )
        parallel_backpropagate(2 * m, least, signals, W_flat, result, second, m)
        add(0, m, result, second, result)
    elif samples == 1:
        least = max(1, GEMV_GRAIN_WEIGHTS // n) if together else count
        parallel_backpropagate(count, least, signals, W_flat, result, nothing, m)
    else:
        one = W.dtype.type(1)
        gemm(samples, count, n, signals, n, False, W_flat, m, False, nothing, one, False, result, m, together)


@noinline
def outer_rows(
    dLda: Matrix[F],
    h_prev: Matrix[F],
    factor: F,
    added: bool,
    result: Matrix[F],
    first: int,
    count: int,
    together: bool,
) -> None:
    """factor dLda^T h_prev, of `count` units from `first` on; it may be `added` to the result."""
    samples, (n, m) = dLda.shape[0], result.shape
    signals, inputs = slice_of(dLda, first, dLda.size - first), slice_of(h_prev, 0, h_prev.size)
    part = slice_of(result, first * m, count * m)
    if samples == 1 and not added:
        least = 1 + GRAIN_ELEMENTS // m if together else count
        parallel_outer(count, least, slice_of(signals, 0, count), inputs, part)
    else:
        nothing = slice_of(part, 0, 0)
        gemm(count, m, samples, signals, n, True, inputs, m, False, nothing, factor, added, part, m, together)


@noinline
def sum_rows(dLda: Vector[F], dLdBias: Vector[F], first: int, count: int) -> None:
    """The sum over samples, whose numbers lie in a flat array, of `count` units from `first` on."""
    part = slice_of(dLdBias, first, count)
    if count == dLdBias.size and is_short_row(count, dLda):
        sum_short_rows(dLda.size // count, count, dLda, part)
        return
    copy(0, count, slice_of(dLda, first, count), part)
    for start in range(dLdBias.size + first, dLda.size, dLdBias.size):
        add(0, count, part, slice_of(dLda, start, count), part)


@exported
def affine(x: Matrix[F], W: Matrix[F], bias: Vector[F], a: Matrix[F]) -> None:
    """a = x W^T + bias, from (B, n_prev), (n, n_prev), (n,) to (B, n)."""
    affine_rows(x, W, bias, slice_of(a, 0, a.size), W.shape[0], True)


@exported
def outer(dLda: Matrix[F], h_prev: Matrix[F], dLdW: Matrix[F]) -> None:
    """dLdW = dLda^T h_prev, from (B, n) and (B, n_prev) to (n, n_prev): the outer product for B = 1."""
    outer_rows(dLda, h_prev, dLdW.dtype.type(1), False, dLdW, 0, dLdW.shape[0], True)


@exported
def sum_samples(dLda: Matrix[F], dLdBias: Vector[F]) -> None:
    """dLdBias = the sum over samples, from (B, n) to (n,)."""
    sum_rows(slice_of(dLda, 0, dLda.size), dLdBias, 0, dLdBias.size)


@exported
def backpropagate(dLda: Matrix[F], W: Matrix[F], dLdh: Matrix[F]) -> None:
    """dLdh = dLda W: the signal (B, n_prev) to the layer below, from (B, n) and (n, n_prev)."""
    backpropagate_rows(dLda, W, slice_of(dLdh, 0, dLdh.size), 0, W.shape[1], True)

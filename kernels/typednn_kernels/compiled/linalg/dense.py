"""The linear part of a layer: loops for one sample, tiles for more."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# Formulas written as lambdas have no types.

from __future__ import annotations

from collections.abc import Callable

from typednn_kernels.arrays import F, Matrix, Vector
from typednn_kernels.compiled._codegen.array_views import BROADEST, piece, scratch_row
from typednn_kernels.compiled._codegen.ir_loops import Loop, elementwise
from typednn_kernels.compiled._codegen.jit import entry, kernel, reduction, routine
from typednn_kernels.compiled._codegen.short_rows import is_short, sums_of_rows
from typednn_kernels.compiled.linalg.gemm import product
from typednn_kernels.compiled.linalg.short_gemv import has_short_rows, small_affine
from typednn_kernels.compiled.parallel.thread_pool import LEAST, divided

STREAMED = 1 << 17
"""So many weights at least for each thread, where each is read once."""
ROWS = 4
"""So many rows of weights are multiplied side by side."""

scaled: Loop = elementwise(lambda x, factor: x * factor)
copies: Loop = elementwise(lambda x: x)
added: Loop = elementwise(lambda x, y: x + y)
weighted: Loop = elementwise(lambda total, x, weight: total + weight * x)
four_weighted: Loop = elementwise(
    lambda total, w0, w1, w2, w3, e0, e1, e2, e3: total + ((e0 * w0 + e1 * w1) + (e2 * w2 + e3 * w3))
)
descended: Loop = elementwise(lambda row, slope, rate: row - rate * slope)
"""A row times a number, a row itself, plus a row, plus or minus a multiple of a row."""
two_descended: Loop = elementwise(
    lambda signal, row, other, below, error, other_error, rate: (
        signal + (error * row + other_error * other),
        row - rate * error * below,
        other - rate * other_error * below,
    ),
    outs=3,
)
"""The signal from two rows to those below, and their updates, with fewer loads and stores than one by one."""


@reduction
def dot(x: Vector[F], y: Vector[F], n: int) -> F:
    """The sum of n products."""
    total = x.dtype.type(0)
    for j in range(n):
        total += x[j] * y[j]
    return total


@reduction
def four_dots(
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


@kernel
def blocks_of(n: int) -> int:
    """How many blocks n rows make."""
    return (n + ROWS - 1) // ROWS


@kernel
def affine_one(x: Vector[F], W: Vector[F], bias: Vector[F], a: Vector[F]) -> None:
    """a = W x + bias for one sample; W is flat."""
    n, m = a.size, x.size
    if has_short_rows(m, x):
        small_affine(n, m, x, W, bias, a)
        return
    blocks = n - n % ROWS
    for i in range(0, blocks, ROWS):
        first = i * m
        d0, d1, d2, d3 = four_dots(
            piece(W, first, m),
            piece(W, first + m, m),
            piece(W, first + 2 * m, m),
            piece(W, first + 3 * m, m),
            x,
            m,
        )
        a[i] = bias[i] + d0
        a[i + 1] = bias[i + 1] + d1
        a[i + 2] = bias[i + 2] + d2
        a[i + 3] = bias[i + 3] + d3
    for i in range(blocks, n):
        a[i] = bias[i] + dot(piece(W, i * m, m), x, m)


@kernel
def outer_one(dLda: Vector[F], h_prev: Vector[F], dLdW: Vector[F]) -> None:
    """The outer product of one sample, into a flat matrix."""
    m = h_prev.size
    for i in range(dLda.size):
        scaled(0, m, h_prev, dLda[i], piece(dLdW, i * m, m))


@routine
def some_pre_activations(
    part: int, start: int, stop: int, x: Vector[F], W: Vector[F], bias: Vector[F], a: Vector[F]
) -> None:
    """Those of some blocks of units, for one sample."""
    first, m = ROWS * start, x.size
    n = min(ROWS * stop, a.size) - first
    affine_one(x, piece(W, first * m, n * m), piece(bias, first, n), piece(a, first, n))


@routine
def some_weight_gradients(
    part: int, start: int, stop: int, dLda: Vector[F], h_prev: Vector[F], dLdW: Vector[F]
) -> None:
    """Those of some units, for one sample."""
    n, m = stop - start, h_prev.size
    outer_one(piece(dLda, start, n), h_prev, piece(dLdW, start * m, n * m))


@kernel
def signals_of(dLda: Vector[F], W: Vector[F], m: int, signal: Vector[F]) -> None:
    """Those of some units to some below; so many numbers lie between two rows of W."""
    size = signal.size
    scaled(0, size, W, dLda[0], signal)
    blocks = dLda.size - (dLda.size - 1) % ROWS
    for i in range(1, blocks, ROWS):
        first = i * m
        four_weighted(
            0,
            size,
            signal,
            piece(W, first, size),
            piece(W, first + m, size),
            piece(W, first + 2 * m, size),
            piece(W, first + 3 * m, size),
            dLda[i],
            dLda[i + 1],
            dLda[i + 2],
            dLda[i + 3],
            signal,
        )
    for i in range(blocks, dLda.size):
        weighted(0, size, signal, piece(W, i * m, size), dLda[i], signal)


@routine
def some_signals(
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
        W_part = piece(W, low, W.size - low)
        signals_of(piece(dLda, 0, n), W_part, m, piece(dLdh, low, high - low))
    low, high = max(start - m, 0), stop - m
    if low < high:
        place = n * m + low
        W_part = piece(W, place, W.size - place)
        signals_of(piece(dLda, n, dLda.size - n), W_part, m, piece(second, low, high - low))


all_pre_activations: Callable[..., int] = divided(some_pre_activations)
all_signals: Callable[..., int] = divided(some_signals)
all_weight_gradients: Callable[..., int] = divided(some_weight_gradients)


@routine
def affine_rows(
    x: Matrix[F], W: Matrix[F], bias: Vector[F], a: Vector[F], a_row: int, together: bool
) -> None:
    """a = x W^T + bias; a bias without numbers is none. So many numbers lie between two rows of a."""
    samples, (n, m) = x.shape[0], W.shape
    x_flat, W_flat = piece(x, 0, x.size), piece(W, 0, W.size)
    if samples == 1 and bias.size > 0:
        blocks = blocks_of(n)
        least = max(1, STREAMED // (ROWS * m)) if together else blocks
        all_pre_activations(blocks, least, x_flat, W_flat, bias, piece(a, 0, n))
    else:
        one = W.dtype.type(1)
        product(samples, n, m, x_flat, m, False, W_flat, m, True, bias, one, False, a, a_row, together)


@routine
def backpropagate_rows(
    dLda: Matrix[F], W: Matrix[F], dLdh: Vector[F], first: int, count: int, together: bool
) -> None:
    """dLdh = dLda W, for `count` units below from `first` on; dLdh is flat."""
    samples, (n, m) = dLda.shape[0], W.shape
    signals, W_flat = piece(dLda, 0, dLda.size), piece(W, first, W.size - first)
    result, nothing = piece(dLdh, first, dLdh.size - first), piece(W, 0, 0)
    if samples == 1 and n * m >= 2 * STREAMED and m <= BROADEST:
        # Two threads then read whole rows, which come faster from memory than halves of them.
        second, least = piece(scratch_row(dLdh), 0, m), max(1, 2 * STREAMED // n) if together else 2 * m
        all_signals(2 * m, least, signals, W_flat, result, second, m)
        added(0, m, result, second, result)
    elif samples == 1:
        least = max(1, STREAMED // n) if together else count
        all_signals(count, least, signals, W_flat, result, nothing, m)
    else:
        one = W.dtype.type(1)
        product(
            samples, count, n, signals, n, False, W_flat, m, False, nothing, one, False, result, m, together
        )


@routine
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
    signals, inputs = piece(dLda, first, dLda.size - first), piece(h_prev, 0, h_prev.size)
    part = piece(result, first * m, count * m)
    if samples == 1 and not added:
        least = 1 + LEAST // m if together else count
        all_weight_gradients(count, least, piece(signals, 0, count), inputs, part)
    else:
        nothing = piece(part, 0, 0)
        product(
            count, m, samples, signals, n, True, inputs, m, False, nothing, factor, added, part, m, together
        )


@routine
def sum_rows(dLda: Vector[F], dLdBias: Vector[F], first: int, count: int) -> None:
    """The sum over samples, whose numbers lie in a flat array, of `count` units from `first` on."""
    part = piece(dLdBias, first, count)
    if count == dLdBias.size and is_short(count, dLda):
        sums_of_rows(dLda.size // count, count, dLda, part)
        return
    copies(0, count, piece(dLda, first, count), part)
    for start in range(dLdBias.size + first, dLda.size, dLdBias.size):
        added(0, count, part, piece(dLda, start, count), part)


@entry
def affine(x: Matrix[F], W: Matrix[F], bias: Vector[F], a: Matrix[F]) -> None:
    """a = x W^T + bias, from (B, n_prev), (n, n_prev), (n,) to (B, n)."""
    affine_rows(x, W, bias, piece(a, 0, a.size), W.shape[0], True)


@entry
def outer(dLda: Matrix[F], h_prev: Matrix[F], dLdW: Matrix[F]) -> None:
    """dLdW = dLda^T h_prev, from (B, n) and (B, n_prev) to (n, n_prev): the outer product for B = 1."""
    outer_rows(dLda, h_prev, dLdW.dtype.type(1), False, dLdW, 0, dLdW.shape[0], True)


@entry
def sum_samples(dLda: Matrix[F], dLdBias: Vector[F]) -> None:
    """dLdBias = the sum over samples, from (B, n) to (n,)."""
    sum_rows(piece(dLda, 0, dLda.size), dLdBias, 0, dLdBias.size)


@entry
def backpropagate(dLda: Matrix[F], W: Matrix[F], dLdh: Matrix[F]) -> None:
    """dLdh = dLda W: the signal (B, n_prev) to the layer below, from (B, n) and (n, n_prev)."""
    backpropagate_rows(dLda, W, piece(dLdh, 0, dLdh.size), 0, W.shape[1], True)

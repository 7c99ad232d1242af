"""The affine map of a layer and its gradients: gemv and ger for one sample, gemm for more.

Shapes: B samples, n units of the layer, m of the layer before (its inputs). W is (n, m), by rows.
"""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# Formulas written as lambdas have no types.

from __future__ import annotations

from collections.abc import Callable

from typednn_kernels.arrays import F, Matrix, Vector
from typednn_kernels.compiled._codegen.array_views import slice_of, stack_row
from typednn_kernels.compiled._codegen.ir_loops import (
    SUMMED_ROWS,
    Loop,
    add_in_twice_the_precision,
    elementwise,
)
from typednn_kernels.compiled._codegen.jit import exported, inline, noinline, on_demand, reassociate, require
from typednn_kernels.compiled._codegen.short_rows import MAX_ROW_BYTES, sum_short_rows
from typednn_kernels.compiled._codegen.simd import VECTOR_BYTES
from typednn_kernels.compiled._codegen.small_stacks import free_row, heap_row
from typednn_kernels.compiled._codegen.tuning import (
    GEMM_FEW_ROWS_RATIO,
    GEMM_NR_VECTORS,
    GEMM_PACK_MIN_BYTES,
    GEMV_GRAIN_WEIGHTS,
    GEMV_ROWS,
    GRAIN_ELEMENTS,
    SCRATCH_ROW_ELEMENTS,
)
from typednn_kernels.compiled.linalg.gemm import Gemm, MatrixOperand, gemm
from typednn_kernels.compiled.linalg.gemm_packing import Transposition, transpose
from typednn_kernels.compiled.linalg.short_gemv import has_short_rows, short_gemv_bias
from typednn_kernels.compiled.parallel.thread_pool import parallel_for
from typednn_kernels.layout import square_scale

scal: Loop = elementwise(lambda x, alpha: x * alpha)
copy: Loop = elementwise(lambda x: x)
add: Loop = elementwise(lambda x, y: x + y)
axpy: Loop = elementwise(lambda y, x, alpha: y + alpha * x)
axpy4: Loop = elementwise(
    lambda y, x0, x1, x2, x3, a0, a1, a2, a3: y + ((a0 * x0 + a1 * x1) + (a2 * x2 + a3 * x3))
)
subtract_scaled: Loop = elementwise(lambda y, x, alpha: y - alpha * x)
"""BLAS level 1, as loops `(0, n, *arguments, out)`."""
gemv_t_and_update_2: Loop = elementwise(
    lambda dLdh, w0, w1, h_prev, d0, d1, rate: (
        dLdh + (d0 * w0 + d1 * w1),
        w0 - rate * d0 * h_prev,
        w1 - rate * d1 * h_prev,
    ),
    outs=3,
)
"""Adds what two rows of W contribute to dLdh, and updates them: each is loaded and stored once."""

scale_of_squares: Callable[[int], float] = inline(square_scale)
"""What elements are multiplied by where the sum of their squares overflows, by the size of an element."""

add_with_rest: Loop = elementwise(add_in_twice_the_precision, outs=2)

PLAIN, PRODUCTS, DIFFERENCES = range(3)
first_terms: Loop = elementwise(lambda x, y: x, lambda x, y: x * y, lambda x, y: x - y)
add_terms: Loop = elementwise(
    lambda total, x, y: total + x, lambda total, x, y: total + x * y, lambda total, x, y: total + (x - y)
)
"""What `sum_terms_of_rows` sums."""

SUMMED_SAMPLES = 4096
"""Number of samples whose products `gemm` sums in their order; the sums of as many are added in twice the
precision. Another value changes the last bits of gradients of larger batches. Chosen for precision."""


@reassociate
def dot(x: Vector[F], y: Vector[F], n: int) -> F:
    """Computes the inner product of two vectors (n,)."""
    total = x.dtype.type(0)
    for j in range(n):
        total += x[j] * y[j]
    return total


@reassociate
def dot4(
    w0: Vector[F], w1: Vector[F], w2: Vector[F], w3: Vector[F], x: Vector[F], n: int
) -> tuple[F, F, F, F]:
    """Computes the inner products of four rows (n,) with one vector (n,)."""
    d0 = d1 = d2 = d3 = x.dtype.type(0)
    for j in range(n):
        d0 += w0[j] * x[j]
        d1 += w1[j] * x[j]
        d2 += w2[j] * x[j]
        d3 += w3[j] * x[j]
    return d0, d1, d2, d3


@inline
def row_blocks(n: int) -> int:
    """Counts the blocks of `GEMV_ROWS` rows in n rows."""
    return (n + GEMV_ROWS - 1) // GEMV_ROWS


@inline
def gemv_bias(x: Vector[F], W: Vector[F], bias: Vector[F], a: Vector[F]) -> None:
    """Computes a = W x + bias of one sample; W is flat (n * m,)."""
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
    """Computes dLdW = dLda h_prev^T of one sample: the outer product, flat (n * m,)."""
    m = h_prev.size
    for i in range(dLda.size):
        scal(0, m, h_prev, dLda[i], slice_of(dLdW, i * m, m))


@on_demand
def affine_range(
    part: int, start: int, stop: int, x: Vector[F], W: Vector[F], bias: Vector[F], a: Vector[F]
) -> None:
    """Computes a of one sample for a range of blocks of units."""
    first, m = GEMV_ROWS * start, x.size
    n = min(GEMV_ROWS * stop, a.size) - first
    gemv_bias(x, slice_of(W, first * m, n * m), slice_of(bias, first, n), slice_of(a, first, n))


@on_demand
def outer_range(
    part: int, start: int, stop: int, dLda: Vector[F], h_prev: Vector[F], dLdW: Vector[F]
) -> None:
    """Computes dLdW of one sample for a range of units."""
    n, m = stop - start, h_prev.size
    ger(slice_of(dLda, start, n), h_prev, slice_of(dLdW, start * m, n * m))


@inline
def gemv_t(dLda: Vector[F], W: Vector[F], ldw: int, dLdh: Vector[F]) -> None:
    """Computes dLdh = W^T dLda, where the rows of W lie `ldw` elements apart: transposed gemv.

    For a range of inputs, W begins at the first of them in the first row.
    """
    size = dLdh.size
    scal(0, size, W, dLda[0], dLdh)
    blocks = dLda.size - (dLda.size - 1) % GEMV_ROWS
    for i in range(1, blocks, GEMV_ROWS):
        first = i * ldw
        axpy4(
            0,
            size,
            dLdh,
            slice_of(W, first, size),
            slice_of(W, first + ldw, size),
            slice_of(W, first + 2 * ldw, size),
            slice_of(W, first + 3 * ldw, size),
            dLda[i],
            dLda[i + 1],
            dLda[i + 2],
            dLda[i + 3],
            dLdh,
        )
    for i in range(blocks, dLda.size):
        axpy(0, size, dLdh, slice_of(W, i * ldw, size), dLda[i], dLdh)


@on_demand
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
    """Computes dLdh of one sample for a range of its m inputs.

    If `second` is not empty, dLdh gets the sum over the first half of the units, and `second`, whose inputs
    count from m on, the sum over the other half.
    """
    n = dLda.size if second.size == 0 else dLda.size // 2
    first, end = start, min(stop, m)
    if first < end:
        columns = slice_of(W, first, W.size - first)
        gemv_t(slice_of(dLda, 0, n), columns, m, slice_of(dLdh, first, end - first))
    first, end = max(start - m, 0), stop - m
    if first < end:
        offset = n * m + first
        columns = slice_of(W, offset, W.size - offset)
        gemv_t(slice_of(dLda, n, dLda.size - n), columns, m, slice_of(second, first, end - first))


@on_demand
def backpropagate_without_memory(dLda: Vector[F], W: Vector[F], dLdh: Vector[F], m: int) -> None:
    """Computes dLdh of one sample in halves, as two threads do, a few inputs at a time."""
    half, row = dLda.size // 2, stack_row(dLdh)
    for first in range(0, m, row.size):
        size = min(row.size, m - first)
        second, result = slice_of(row, 0, size), slice_of(dLdh, first, size)
        above, below = slice_of(dLda, 0, half), slice_of(dLda, half, dLda.size - half)
        gemv_t(above, slice_of(W, first, W.size - first), m, result)
        gemv_t(below, slice_of(W, half * m + first, W.size - half * m - first), m, second)
        add(0, size, result, second, result)


parallel_affine: Callable[..., int] = parallel_for(affine_range)
parallel_backpropagate: Callable[..., int] = parallel_for(backpropagate_range)
parallel_outer: Callable[..., int] = parallel_for(outer_range)


@inline
def copy_columns(x: Vector[F], n: int, count: int, result: Vector[F]) -> None:
    """Copies the first `count` elements of each row; rows of both lie n elements apart."""
    for start in range(0, x.size, n):
        copy(0, count, slice_of(x, start, count), slice_of(result, start, count))


@inline
def few_rows_fill_vectors(samples: int, n: int, W: Vector[F]) -> bool:
    """Says whether packing W takes much of a product, and samples and units fill vectors."""
    size, bytes_of_units = samples * W.itemsize, n * W.itemsize
    few: bool = size <= GEMM_NR_VECTORS * VECTOR_BYTES and n >= GEMM_FEW_ROWS_RATIO * samples
    whole = size % VECTOR_BYTES == 0 and bytes_of_units % VECTOR_BYTES == 0
    return few and whole and W.size * W.itemsize >= GEMM_PACK_MIN_BYTES


@on_demand
def affine_of_few_rows(
    samples: int, n: int, m: int, x: Vector[F], W: Vector[F], bias: Vector[F], a: Vector[F], lda: int
) -> bool:
    """Computes x W^T + bias as the transpose of W x^T + bias, so that x is packed and W is not.

    Each element is the sum that it is otherwise, to the bit. Without memory nothing is done; returns whether
    there was some.
    """
    transposed, empty = heap_row(n * samples, a), slice_of(a, 0, 0)
    done = transposed.size > 0
    if done:
        for i in range(n if bias.size > 0 else 0):
            copy(0, samples, bias[i], slice_of(transposed, i * samples, samples))
        A, B = MatrixOperand(W, m, False), MatrixOperand(x, m, True)
        gemm(Gemm(n, samples, m, A, B, empty, W.dtype.type(1), bias.size > 0, transposed, samples), True)
        transpose(Transposition(n, samples, transposed, samples, True, a, lda))
    free_row(transposed)
    return done


@noinline
def affine_rows(x: Matrix[F], W: Matrix[F], bias: Vector[F], a: Vector[F], lda: int, parallel: bool) -> None:
    """Computes a = x W^T + bias, (B, n) with rows `lda` elements apart; an empty bias counts as none."""
    samples, (n, m), done = x.shape[0], W.shape, False
    x_flat, W_flat = slice_of(x, 0, x.size), slice_of(W, 0, W.size)
    if parallel and few_rows_fill_vectors(samples, n, W_flat):
        done = affine_of_few_rows(samples, n, m, x_flat, W_flat, bias, a, lda)
    if samples == 1 and bias.size > 0:
        blocks = row_blocks(n)
        grain = max(1, GEMV_GRAIN_WEIGHTS // (GEMV_ROWS * m)) if parallel else blocks
        parallel_affine(blocks, grain, x_flat, W_flat, bias, slice_of(a, 0, n))
    elif not done:
        A, B = MatrixOperand(x_flat, m, False), MatrixOperand(W_flat, m, True)
        gemm(Gemm(samples, n, m, A, B, bias, W.dtype.type(1), False, a, lda), parallel)


@noinline
def backpropagate_rows(
    dLda: Matrix[F], W: Matrix[F], dLdh: Vector[F], first: int, count: int, parallel: bool
) -> None:
    """Computes dLdh = dLda W, flat (B * m,), for `count` inputs from `first` on; without W, dLdh = dLda."""
    samples, (n, m) = dLda.shape[0], W.shape
    if m == 0:
        columns, result = slice_of(dLda, first, dLda.size - first), slice_of(dLdh, first, dLdh.size - first)
        copy_columns(columns, n, count, result)
        return
    deltas, columns = slice_of(dLda, 0, dLda.size), slice_of(W, first, W.size - first)
    result, empty = slice_of(dLdh, first, dLdh.size - first), slice_of(W, 0, 0)
    if samples == 1 and n * m >= 2 * GEMV_GRAIN_WEIGHTS and m <= SCRATCH_ROW_ELEMENTS:
        # Two threads then read whole rows, which come faster from memory than halves of all rows.
        second = heap_row(m, dLdh)
        if second.size > 0:
            grain = max(1, 2 * GEMV_GRAIN_WEIGHTS // n) if parallel else 2 * m
            parallel_backpropagate(2 * m, grain, deltas, columns, result, second, m)
            add(0, m, result, second, result)
            free_row(second)
        else:
            backpropagate_without_memory(deltas, columns, result, m)
    elif samples == 1:
        grain = max(1, GEMV_GRAIN_WEIGHTS // n) if parallel else count
        parallel_backpropagate(count, grain, deltas, columns, result, empty, m)
    else:
        A, B = MatrixOperand(deltas, n, False), MatrixOperand(columns, m, False)
        gemm(Gemm(samples, count, n, A, B, empty, W.dtype.type(1), False, result, m), parallel)


@on_demand
def outer_in_blocks(
    samples: int,
    deltas: Vector[F],
    n: int,
    inputs: Vector[F],
    m: int,
    alpha: F,
    accumulate: bool,
    result: Vector[F],
    parallel: bool,
) -> None:
    """Computes alpha dLda^T h_prev of many samples, or adds it, in blocks that lose no digits.

    Without memory it is done for a few inputs of a unit at a time: the results are the same.
    """
    heap, count = heap_row(2 * result.size, result), result.size // m
    memory = heap if heap.size > 0 else stack_row(result)
    room, empty = memory.size // 2, slice_of(result, 0, 0)
    height = max(1, room // m)
    for unit in range(0, count, height):
        for column in range(0, m, room):
            units, width = min(height, count - unit), min(room, m - column)
            size = units * width
            total = slice_of(result, unit * m + column, size)
            part, rest = slice_of(memory, 0, size), slice_of(memory, room, size)
            copy(0, size, result.dtype.type(-0.0), rest)
            for start in range(0, samples, SUMMED_SAMPLES):
                block = min(SUMMED_SAMPLES, samples - start)
                rows = slice_of(deltas, start * n + unit, deltas.size - start * n - unit)
                columns = slice_of(inputs, start * m + column, inputs.size - start * m - column)
                A, B = MatrixOperand(rows, n, True), MatrixOperand(columns, m, False)
                if start == 0 and not accumulate:
                    gemm(Gemm(units, width, block, A, B, empty, alpha, False, total, width), parallel)
                else:
                    gemm(Gemm(units, width, block, A, B, empty, alpha, False, part, width), parallel)
                    add_with_rest(0, size, total, rest, part, total, rest)
            add(0, size, total, rest, total)
    free_row(heap)


@noinline
def outer_rows(
    dLda: Matrix[F],
    h_prev: Matrix[F],
    alpha: F,
    accumulate: bool,
    dLdW: Matrix[F],
    first: int,
    count: int,
    parallel: bool,
) -> None:
    """Computes dLdW = alpha dLda^T h_prev, or adds it, for `count` units from `first` on."""
    samples, (n, m) = dLda.shape[0], dLdW.shape
    deltas, inputs = slice_of(dLda, first, dLda.size - first), slice_of(h_prev, 0, h_prev.size)
    result = slice_of(dLdW, first * m, count * m)
    if samples == 1 and not accumulate:
        grain = 1 + GRAIN_ELEMENTS // m if parallel else count
        parallel_outer(count, grain, slice_of(deltas, 0, count), inputs, result)
    elif samples > SUMMED_SAMPLES:
        outer_in_blocks(samples, deltas, n, inputs, m, alpha, accumulate, result, parallel)
    else:
        A, B, empty = MatrixOperand(deltas, n, True), MatrixOperand(inputs, m, False), slice_of(result, 0, 0)
        gemm(Gemm(count, m, samples, A, B, empty, alpha, accumulate, result, m), parallel)


@inline
def sum_few_rows(
    terms: int, x: Vector[F], y: Vector[F], n: int, first: int, stop: int, total: Vector[F]
) -> None:
    """Computes the sum of the `terms` of rows n elements apart from `first` on, to below `stop`."""
    count = total.size
    y_row = slice_of(y, 0 if terms == DIFFERENCES else first, count)
    first_terms(terms, count, slice_of(x, first, count), y_row, total)
    for start in range(first + n, stop, n):
        y_row = slice_of(y, 0 if terms == DIFFERENCES else start, count)
        add_terms(terms, count, total, slice_of(x, start, count), y_row, total)


@noinline
def sum_terms_of_rows(terms: int, x: Vector[F], y: Vector[F], n: int, first: int, total: Vector[F]) -> None:
    """Computes the sum over rows, n elements apart, of x, of x * y, or of x - y, from `first` on.

    Of `DIFFERENCES`, y is the same for all rows. Blocks of rows are added in twice the precision.
    """
    count = total.size
    sum_few_rows(terms, x, y, n, first, min(x.size, SUMMED_ROWS * n), total)
    if x.size > SUMMED_ROWS * n:
        sums = stack_row(x)
        size = sums.size // 2
        for column in range(0, count, size):
            width = min(size, count - column)
            columns, part = slice_of(total, column, width), slice_of(sums, 0, width)
            rest = slice_of(sums, size, width)
            copy(0, width, x.dtype.type(-0.0), rest)
            skipped = column if terms == DIFFERENCES else 0
            y_columns = slice_of(y, skipped, y.size - skipped)
            for start in range(SUMMED_ROWS * n, x.size, SUMMED_ROWS * n):
                stop = min(x.size, start + SUMMED_ROWS * n)
                sum_few_rows(terms, x, y_columns, n, start + first + column, stop, part)
                add_with_rest(0, width, columns, rest, part, columns, rest)
            add(0, width, columns, rest, columns)


@noinline
def sum_rows(dLda: Vector[F], dLdBias: Vector[F], first: int, count: int) -> None:
    """Computes dLdBias, the sum of dLda, flat (B * n,), over samples, for `count` units from `first` on."""
    n, width = dLdBias.size, MAX_ROW_BYTES // dLda.itemsize
    if width == 0:
        sum_terms_of_rows(PLAIN, dLda, dLda, n, first, slice_of(dLdBias, first, count))
        return
    for column in range(first, first + count, width):
        total = slice_of(dLdBias, column, min(width, first + count - column))
        sum_short_rows(dLda.size // n, total.size, n, slice_of(dLda, column, dLda.size - column), total)


@exported
def affine(x: Matrix[F], W: Matrix[F], bias: Vector[F], a: Matrix[F]) -> None:
    """Computes a = x W^T + bias, (B, n), from x (B, n_prev), W (n, n_prev) and bias (n,); see `Kernels`."""
    (samples, m), (n, columns) = x.shape, W.shape
    require(columns == m or (columns == 0 and n == m))
    require(bias.size == n and a.shape == (samples, n))
    if columns > 0:
        affine_rows(x, W, bias, slice_of(a, 0, a.size), n, True)
    else:
        for start in range(0, a.size, n):
            add(0, n, slice_of(x, start, n), bias, slice_of(a, start, n))


@exported
def outer(dLda: Matrix[F], h_prev: Matrix[F], dLdW: Matrix[F]) -> None:
    """Computes dLdW = dLda^T h_prev, (n, n_prev), from dLda (B, n) and h_prev (B, n_prev); see `Kernels`."""
    n, m = dLdW.shape
    require(dLda.shape[0] == h_prev.shape[0] and n == dLda.shape[1] and m in (0, h_prev.shape[1]))
    if m > 0:
        outer_rows(dLda, h_prev, dLdW.dtype.type(1), False, dLdW, 0, n, True)


@exported
def sum_samples(dLda: Matrix[F], dLdBias: Vector[F]) -> None:
    """Computes dLdBias, the sum of dLda (B, n) over samples, (n,)."""
    require(dLda.shape[1] == dLdBias.size)
    sum_rows(slice_of(dLda, 0, dLda.size), dLdBias, 0, dLdBias.size)


@exported
def backpropagate(dLda: Matrix[F], W: Matrix[F], dLdh: Matrix[F]) -> None:
    """Computes dLdh = dLda W, (B, n_prev), for the layer below from dLda (B, n) and W (n, n_prev)."""
    (samples, n), (n_of_W, m) = dLda.shape, W.shape
    require(n_of_W == n and dLdh.shape == (samples, m if m > 0 else n))
    backpropagate_rows(dLda, W, slice_of(dLdh, 0, dLdh.size), 0, dLdh.shape[1], True)

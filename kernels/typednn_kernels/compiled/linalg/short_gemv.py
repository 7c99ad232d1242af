"""One sample in the linear part of layers of few inputs: each row of weights fits in a few vector registers.

A loop over so few numbers takes longer to begin and to end than to run, and what is summed over rows would go
through memory for each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import add

import numpy as np
from llvmlite import ir as llvm

from typednn_kernels.arrays import F, Vector
from typednn_kernels.compiled._codegen.ir_values import IRValue, Number
from typednn_kernels.compiled._codegen.jit import inline
from typednn_kernels.compiled._codegen.short_rows import (
    MAX_ROW_BYTES,
    MAX_ROW_VECTORS,
    RowLanes,
    by_row_length,
    emitted_kernel,
)
from typednn_kernels.compiled._codegen.simd import VECTOR_BYTES, SimdBuilder

WIDEST = 8
"""So many vectors hold a row of weights at most."""


def _number(code: SimdBuilder, array: llvm.Value, i: llvm.Value) -> IRValue:
    return IRValue(code.builder, code.builder.load(code.at(array, i), typ=code.real))


def _put(code: SimdBuilder, array: llvm.Value, i: llvm.Value, number: Number) -> None:
    code.builder.store(number.value, code.at(array, i))


def _write_affine(
    code: SimdBuilder,
    n: llvm.Value,
    m: llvm.Value,
    x: llvm.Value,
    W: llvm.Value,
    bias: llvm.Value,
    a: llvm.Value,
) -> None:
    def body(lanes: RowLanes) -> None:
        inputs: Number = lanes.argument(x)

        def unit(i: llvm.Value) -> None:
            product: Number = lanes.argument(W, i) * inputs
            _put(code, a, i, _number(code, bias, i) + lanes.first(lanes.folded(product, add)))

        code.repeat(0, n, 1, unit)

    by_row_length(code, m, body, WIDEST)


def _write_descend(
    code: SimdBuilder,
    n: llvm.Value,
    m: llvm.Value,
    W: llvm.Value,
    bias: llvm.Value,
    error: llvm.Value,
    below: llvm.Value,
    rate: llvm.Value,
    signal: llvm.Value,
) -> None:
    def body(lanes: RowLanes) -> None:
        inputs: Number = lanes.argument(below)

        def unit(i: llvm.Value, total: llvm.Value) -> Sequence[llvm.Value]:
            number: Number = _number(code, error, i)
            step: Number = IRValue(code.builder, rate) * number
            _put(code, bias, i, _number(code, bias, i) - step)
            row: Number = lanes.argument(W, i)
            lanes.store(row - lanes.argument(step.value) * inputs, W, i)
            signals: Number = IRValue(code.builder, total) + lanes.argument(number.value) * row
            return [signals.value]

        (signals,) = code.repeat(0, n, 1, unit, llvm.Constant(inputs.value.type, None))
        lanes.store(IRValue(code.builder, signals), signal)

    by_row_length(code, m, body, WIDEST)


def _write_descend_and_ascend(
    code: SimdBuilder,
    n: llvm.Value,
    m: llvm.Value,
    W: llvm.Value,
    bias: llvm.Value,
    error: llvm.Value,
    rate: llvm.Value,
    now: llvm.Value,
    following: llvm.Value,
    a: llvm.Value,
) -> None:
    def body(lanes: RowLanes) -> None:
        inputs, later = lanes.argument(now), lanes.argument(following)

        def unit(i: llvm.Value) -> None:
            step: Number = IRValue(code.builder, rate) * _number(code, error, i)
            moved: Number = _number(code, bias, i) - step
            _put(code, bias, i, moved)
            row: Number = lanes.argument(W, i) - lanes.argument(step.value) * inputs
            lanes.store(row, W, i)
            _put(code, a, i, moved + lanes.first(lanes.folded(row * later, add)))

        code.repeat(0, n, 1, unit)

    by_row_length(code, m, body, WIDEST)


def _affine(n: int, m: int, x: Vector[F], W: Vector[F], bias: Vector[F], a: Vector[F]) -> None:
    np.add(W.reshape(n, m) @ x, bias, out=a)


def _descend(
    n: int,
    m: int,
    W: Vector[F],
    bias: Vector[F],
    error: Vector[F],
    below: Vector[F],
    rate: F,
    signal: Vector[F],
) -> None:
    np.matmul(error, W.reshape(n, m), out=signal)
    bias -= rate * error
    W[...] -= np.outer(rate * error, below).reshape(-1)


def _descend_and_ascend(
    n: int,
    m: int,
    W: Vector[F],
    bias: Vector[F],
    error: Vector[F],
    rate: F,
    now: Vector[F],
    following: Vector[F],
    a: Vector[F],
) -> None:
    bias -= rate * error
    W[...] -= np.outer(rate * error, now).reshape(-1)
    _affine(n, m, following, W, bias, a)


short_gemv_bias: Callable[..., None] = emitted_kernel("small_affine", _write_affine, _affine)
short_backward_and_update: Callable[..., None] = emitted_kernel("small_descend", _write_descend, _descend)
short_update_and_gemv: Callable[..., None] = emitted_kernel(
    "small_descend_and_ascend", _write_descend_and_ascend, _descend_and_ascend
)
"""What `dense.affine_one`, `online.descend` and `online.descend_and_ascend` do; all is flat."""


@inline
def has_short_rows(m: int, like: Vector[F]) -> bool:
    """Whether rows of so many weights fill more than half a vector and fit in a few: these are faster so."""
    fill = 2 * (m - 1) * like.itemsize > VECTOR_BYTES
    return fill and MAX_ROW_VECTORS * m * like.itemsize <= WIDEST * MAX_ROW_BYTES

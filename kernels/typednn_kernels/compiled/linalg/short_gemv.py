"""gemv of one sample for layers of few inputs, where each row of W fits in a few vector registers.

A loop over so few elements takes longer to begin and to end than to run, and the sum over rows in a
transposed gemv would go through memory for each row. All arrays are flat; n units have m inputs.
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
    RowLanes,
    by_row_length,
    emitted_function,
)
from typednn_kernels.compiled._codegen.simd import VECTOR_BYTES, SimdBuilder
from typednn_kernels.compiled._codegen.tuning import SHORT_GEMV_REGISTERS, SHORT_ROW_REGISTERS


def _element(code: SimdBuilder, array: llvm.Value, i: llvm.Value) -> IRValue:
    return IRValue(code.builder, code.builder.load(code.at(array, i), typ=code.real))


def _store(code: SimdBuilder, array: llvm.Value, i: llvm.Value, number: Number) -> None:
    code.builder.store(number.value, code.at(array, i))


def _write_gemv_bias(code: SimdBuilder, n: llvm.Value, m: llvm.Value, *arrays: llvm.Value) -> None:
    x, W, bias, a = arrays

    def body(lanes: RowLanes) -> None:
        inputs: Number = lanes.argument(x)

        def unit(i: llvm.Value) -> None:
            product: Number = lanes.argument(W, i) * inputs
            _store(code, a, i, _element(code, bias, i) + lanes.first(lanes.horizontal_reduce(product, add)))

        code.repeat(0, n, 1, unit)

    by_row_length(code, m, body, SHORT_GEMV_REGISTERS)


def _write_backward_and_update(
    code: SimdBuilder, n: llvm.Value, m: llvm.Value, *arguments: llvm.Value
) -> None:
    W, bias, dLda, h_prev, rate, dLdh = arguments

    def body(lanes: RowLanes) -> None:
        inputs: Number = lanes.argument(h_prev)

        def unit(i: llvm.Value, total: llvm.Value) -> Sequence[llvm.Value]:
            delta: Number = _element(code, dLda, i)
            step: Number = IRValue(code.builder, rate) * delta
            _store(code, bias, i, _element(code, bias, i) - step)
            row: Number = lanes.argument(W, i)
            lanes.store(row - lanes.argument(step.value) * inputs, W, i)
            sums: Number = IRValue(code.builder, total) + lanes.argument(delta.value) * row
            return [sums.value]

        (sums,) = code.repeat(0, n, 1, unit, llvm.Constant(inputs.value.type, None))
        lanes.store(IRValue(code.builder, sums), dLdh)

    by_row_length(code, m, body, SHORT_GEMV_REGISTERS)


def _write_update_and_gemv(code: SimdBuilder, n: llvm.Value, m: llvm.Value, *arguments: llvm.Value) -> None:
    W, bias, dLda, rate, x, x_next, a = arguments

    def body(lanes: RowLanes) -> None:
        inputs, next_inputs = lanes.argument(x), lanes.argument(x_next)

        def unit(i: llvm.Value) -> None:
            step: Number = IRValue(code.builder, rate) * _element(code, dLda, i)
            updated: Number = _element(code, bias, i) - step
            _store(code, bias, i, updated)
            row: Number = lanes.argument(W, i) - lanes.argument(step.value) * inputs
            lanes.store(row, W, i)
            _store(code, a, i, updated + lanes.first(lanes.horizontal_reduce(row * next_inputs, add)))

        code.repeat(0, n, 1, unit)

    by_row_length(code, m, body, SHORT_GEMV_REGISTERS)


def _gemv_bias(n: int, m: int, *arrays: Vector[F]) -> None:
    x, W, bias, a = arrays
    np.add(W.reshape(n, m) @ x, bias, out=a)


def _backward_and_update(n: int, m: int, *arguments: Vector[F]) -> None:
    W, bias, dLda, h_prev, rate, dLdh = arguments
    np.matmul(dLda, W.reshape(n, m), out=dLdh)
    bias -= rate * dLda
    W[...] -= np.outer(rate * dLda, h_prev).reshape(-1)


def _update_and_gemv(n: int, m: int, *arguments: Vector[F]) -> None:
    W, bias, dLda, rate, x, x_next, a = arguments
    bias -= rate * dLda
    W[...] -= np.outer(rate * dLda, x).reshape(-1)
    _gemv_bias(n, m, x_next, W, bias, a)


short_gemv_bias: Callable[..., None] = emitted_function("short_gemv_bias", _write_gemv_bias, _gemv_bias)
"""`(n, m, x, W, bias, a)`: computes a = W x + bias."""
short_backward_and_update: Callable[..., None] = emitted_function(
    "short_backward_and_update", _write_backward_and_update, _backward_and_update
)
"""`(n, m, W, bias, dLda, h_prev, rate, dLdh)`: computes dLdh = W^T dLda, and then a gradient step."""
short_update_and_gemv: Callable[..., None] = emitted_function(
    "short_update_and_gemv", _write_update_and_gemv, _update_and_gemv
)
"""`(n, m, W, bias, dLda, rate, x, x_next, a)`: a step with the inputs x, and then a of the inputs x_next."""


@inline
def has_short_rows(m: int, like: Vector[F]) -> bool:
    """Says whether a row of m weights fills more than half a vector and fits in a few, so that this pays."""
    fills = 2 * (m - 1) * like.itemsize > VECTOR_BYTES
    return fills and SHORT_ROW_REGISTERS * m * like.itemsize <= SHORT_GEMV_REGISTERS * MAX_ROW_BYTES

"""Matrix products, written in LLVM.

The result is computed in panels of a few vectors, by tiles of a few rows whose sums stay in registers; each
step adds the product of a column of x and a row of y to a tile. A panel of y is read many times: where that
pays it is copied to a buffer first, and for x y^T it is transposed into it. So is a block of x, which is read
once for each panel. See Goto & van de Geijn, "Anatomy of High-Performance Matrix Multiplication", ACM TOMS 34
(3), 2008, sections 4 and 5.

Each number is the sum of its products in their order, `DEPTH` of them at a time: it is the same, to the bit,
into whatever ranges of rows and columns a result is divided.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from llvmlite import ir as llvm
from numba import types
from numba.core.base import BaseContext
from numba.extending import intrinsic

from typednn_kernels.arrays import F, Matrix, Vector
from typednn_kernels.compiled._codegen.array_views import JIT_DISABLED, TypedIntrinsic, field, slice_of
from typednn_kernels.compiled._codegen.ir_loops import HAS_MASKED_VECTORS, Operand
from typednn_kernels.compiled._codegen.ir_types import INDEX, POINTER
from typednn_kernels.compiled._codegen.jit import noinline
from typednn_kernels.compiled._codegen.simd import REGISTERS, VECTOR_BYTES, SimdBuilder, module_function
from typednn_kernels.compiled.linalg.gemm_packing import KINDS, packing
from typednn_kernels.compiled.parallel.thread_pool import parallel_for

NR_VECTORS = 3
"""Vectors in a row of a tile."""
MR: Mapping[int, tuple[int, ...]] = (
    {1: (16, 4, 1), 2: (8, 2, 1), 3: (8, 2, 1)} if REGISTERS == 32 else {1: (8, 2, 1), 2: (4, 1), 3: (4, 1)}
)
"""By the vectors in a row of a tile: its rows, and those of tiles for the rows that are left.

The sums take half to three quarters of the registers, and none waits for itself.
"""
KC = (24 << 10) // (NR_VECTORS * VECTOR_BYTES)
"""Products that are summed before they are added to the result: a panel of y fits the first-level cache."""
MC_BYTES, NC_PANELS = 256 << 10, 4
"""Bytes of x, and panels of y, that are packed at a time: they fit the second-level cache."""
THREAD_TILE, GRAIN_FLOPS = 48, 1 << 20
"""A product is divided between threads by blocks of so many rows or columns, whole tiles all, if there are so
many multiplications at least for each."""
COPIED, TALL, BROAD = 1 << 15, 64, 256
"""Bytes of y from which on a panel is copied, if it is multiplied by so many rows of x, and bytes of x from
which on it is packed, if it is multiplied by so many columns of y."""


def _gemm_loops(
    code: SimdBuilder,
    m: llvm.Value,
    n: llvm.Value,
    k: llvm.Value,
    x: llvm.Value,
    x_row: llvm.Value,
    x_turned: llvm.Value,
    y: llvm.Value,
    y_row: llvm.Value,
    y_turned: llvm.Value,
    bias: llvm.Value,
    factor: llvm.Value,
    added: llvm.Value,
    out: llvm.Value,
    out_row: llvm.Value,
) -> None:
    """out (m, n) = factor x (m, k) y (k, n) + bias, which may be none, or out if that is `added`.

    x and y are given turned, or as they are.
    """
    builder, module, group = code.builder, code.builder.module, _group(code)
    most = MC_BYTES // (KC * code.itemsize)
    buffer = code.room(most * KC)
    zeros = llvm.GlobalVariable(
        module, llvm.ArrayType(code.real, NR_VECTORS * code.lanes), f"typednn.zeros.{code.real}"
    )
    zeros.linkage, zeros.initializer = "internal", llvm.Constant(zeros.value_type, None)
    zeros.global_constant = True
    pack = module_function(module, "packed", code.real, KINDS, packing)
    panels = module_function(module, "panels", code.real, "iiipiiipibbrpiipi", _macrokernel)
    biased = builder.icmp_unsigned("!=", bias, llvm.Constant(POINTER, None))
    start, start_column = builder.select(biased, bias, zeros), builder.zext(biased, INDEX)
    one = INDEX(1)
    step, column = builder.select(x_turned, one, x_row), builder.select(x_turned, x_row, one)

    def pays(size: llvm.Value, other: llvm.Value, least: int) -> llvm.Value:
        enough = builder.icmp_signed(">=", code.product(size, k), INDEX(COPIED // code.itemsize))
        return builder.and_(enough, builder.icmp_signed(">=", other, INDEX(least)))

    x_packed, y_copied = pays(m, n, BROAD), pays(n, m, TALL)

    def block(i: llvm.Value) -> None:
        rows = code.smaller(builder.sub(m, i), most)

        def layer(p: llvm.Value) -> None:
            depth = code.smaller(builder.sub(k, p), KC)
            part, result = code.at(x, (i, step), (p, column)), code.at(out, (i, out_row))

            def pack_group(r: llvm.Value) -> None:
                count, place = code.smaller(builder.sub(rows, r), group), code.at(part, (r, step))
                target = code.at(buffer, (r, depth))
                builder.call(pack, [count, depth, place, x_row, builder.not_(x_turned), target, INDEX(group)])

            with builder.if_then(x_packed):
                code.repeat(0, rows, group, pack_group)
            first = builder.and_(builder.icmp_signed("==", p, INDEX(0)), builder.not_(added))
            arguments = (
                *(rows, n, depth),
                builder.select(x_packed, buffer, part),
                builder.select(x_packed, depth, step),
                builder.select(x_packed, one, step),
                builder.select(x_packed, INDEX(group), column),
                builder.select(y_turned, code.at(y, p), code.at(y, (p, y_row))),
                *(y_row, y_turned, y_copied, factor),
                builder.select(first, start, result),
                builder.select(first, INDEX(0), out_row),
                builder.select(first, start_column, one),
                *(result, out_row),
            )
            builder.call(panels, arguments)

        code.repeat(0, k, KC, layer)

    code.repeat(0, m, most, block)


def _group(code: SimdBuilder) -> int:
    """How many rows of x are packed side by side: whole vectors, and whole tiles."""
    return max(code.lanes, *(rows[0] for rows in MR.values()))


def _macrokernel(
    code: SimdBuilder,
    m: llvm.Value,
    n: llvm.Value,
    k: llvm.Value,
    x: llvm.Value,
    x_group: llvm.Value,
    x_row: llvm.Value,
    x_column: llvm.Value,
    y: llvm.Value,
    y_row: llvm.Value,
    turned: llvm.Value,
    copied: llvm.Value,
    factor: llvm.Value,
    base: llvm.Value,
    base_row: llvm.Value,
    base_column: llvm.Value,
    out: llvm.Value,
    out_row: llvm.Value,
) -> None:
    """out (m, n) = base + factor x (m, k) y (k, n), k at most `DEPTH`; y is given as (n, k) if `turned`."""
    builder, module, width = code.builder, code.builder.module, NR_VECTORS * code.lanes
    buffer = code.room(NC_PANELS * width * KC)
    pack = module_function(module, "packed", code.real, KINDS, packing)
    tiles = [
        module_function(module, f"tiles{count}", code.real, "iiipiiipirpipi", _microkernel_of(count))
        for count in range(1, NR_VECTORS + 1)
    ]

    def strip(j: llvm.Value) -> None:
        some = code.smaller(builder.sub(n, j), NC_PANELS * width)
        part = builder.select(turned, code.at(y, (j, y_row)), code.at(y, j))
        ragged = builder.icmp_signed("!=", some, code.whole(some, code.lanes))
        buffered = builder.or_(turned, builder.or_(ragged, copied))
        with builder.if_then(buffered):
            builder.call(pack, [some, k, part, y_row, turned, buffer, INDEX(width)])

        def panel(first: llvm.Value) -> None:
            columns, place = code.smaller(builder.sub(some, first), width), builder.add(j, first)
            arguments = (
                *(m, columns, k),
                *(x, x_group, x_row, x_column),
                builder.select(buffered, code.at(buffer, (first, k)), code.at(part, first)),
                builder.select(buffered, INDEX(width), y_row),
                factor,
                *(code.at(base, (place, base_column)), base_row),
                *(code.at(out, place), out_row),
            )
            after = builder.append_basic_block("after")
            choice = builder.switch(code.blocks(columns, code.lanes), after)
            for number, function in enumerate(tiles, 1):
                case = builder.append_basic_block("case")
                choice.add_case(number, case)
                builder.position_at_end(case)
                builder.call(function, arguments)
                builder.branch(after)
            builder.position_at_end(after)

        code.repeat(0, some, width, panel)

    code.repeat(0, n, NC_PANELS * width, strip)


def _microkernel_of(vectors: int) -> Callable[..., None]:
    """Writes a panel of so many vectors: out (m, columns) = base + factor x (m, k) y (k, columns)."""

    def write(
        code: SimdBuilder,
        m: llvm.Value,
        columns: llvm.Value,
        k: llvm.Value,
        x: llvm.Value,
        x_group: llvm.Value,
        x_row: llvm.Value,
        x_column: llvm.Value,
        y: llvm.Value,
        y_row: llvm.Value,
        factor: llvm.Value,
        base: llvm.Value,
        base_row: llvm.Value,
        out: llvm.Value,
        out_row: llvm.Value,
    ) -> None:
        builder, lanes, group = code.builder, code.lanes, _group(code)
        full = builder.icmp_signed("==", columns, INDEX(vectors * lanes))
        rest = code.mask(builder.sub(columns, INDEX((vectors - 1) * lanes)), lanes)
        factors = code.filled(factor, code.vector)

        def tile(height: int, i: llvm.Value) -> None:
            place = code.whole(i, group)
            first = code.at(x, (place, x_group), (builder.sub(i, place), x_row))
            rows = [code.at(first, (r, x_row)) for r in range(height)]

            def step(p: llvm.Value, *sums: llvm.Value) -> Sequence[llvm.Value]:
                row = [code.load(code.at(y, (p, y_row), v * lanes)) for v in range(vectors)]
                column = [builder.load(code.at(each, (p, x_column)), typ=code.real) for each in rows]
                pairs = [(code.filled(number, code.vector), each) for number in column for each in row]
                return [code.multiply_add(*pair, total) for pair, total in zip(pairs, sums, strict=True)]

            for r in range(height):
                for v in range(vectors):
                    code.prefetch(code.at(out, (i, out_row), (r, out_row), v * lanes))
            zeros = [llvm.Constant(code.vector, None)] * height * vectors
            sums = code.repeat(0, k, 1, step, *zeros)

            def finish(last: llvm.Value | None) -> None:
                for place, total in enumerate(sums):
                    r, v = divmod(place, vectors)
                    mask = last if v == vectors - 1 else None
                    before = code.load(code.at(base, (i, base_row), (r, base_row), v * lanes), mask=mask)
                    after = code.at(out, (i, out_row), (r, out_row), v * lanes)
                    code.store(code.multiply_add(factors, total, before), after, mask)

            if HAS_MASKED_VECTORS:
                finish(rest)
            else:
                with builder.if_else(full) as (yes, no):
                    with yes:
                        finish(None)
                    with no:
                        finish(rest)

        done: llvm.Value = INDEX(0)
        for height in MR[vectors]:
            whole = code.whole(m, height)
            code.repeat(done, whole, height, partial(tile, height))
            done = whole

    return write


def _multiply(
    _context: object,
    m: types.Type,
    n: types.Type,
    k: types.Type,
    x: types.Array,
    x_row: types.Type,
    x_turned: types.Type,
    y: types.Array,
    y_row: types.Type,
    y_turned: types.Type,
    bias: types.Array,
    factor: types.Type,
    added: types.Type,
    out: types.Array,
    out_row: types.Type,
) -> TypedIntrinsic:
    kinds = (m, n, k, x, x_row, x_turned, y, y_row, y_turned, bias, factor, added, out, out_row)

    def generate(
        context: BaseContext, builder: llvm.IRBuilder, _signature: object, values: Sequence[llvm.Value]
    ) -> llvm.Value:
        operands = [Operand.of(context, builder, *each) for each in zip(kinds, values, strict=True)]
        *factors, bias, factor, added, out, out_row = (
            each.value if each.data is None else each.data for each in operands
        )
        biases = field(context, builder, kinds[9], values[9], "nitems")
        biased = builder.icmp_signed(">", biases, INDEX(0))
        start = builder.select(biased, bias, llvm.Constant(bias.type, None))
        real = context.get_value_type(kinds[3].dtype)
        function = module_function(builder.module, "product", real, "iiipibpibprbpi", _gemm_loops)
        builder.call(function, [*factors, start, factor, added, out, out_row])
        return context.get_dummy_value()

    return types.none(*kinds), generate


if TYPE_CHECKING or JIT_DISABLED:

    def _matrix(array: Vector[F], rows: int, columns: int, row: int, *, turned: bool = False) -> Matrix[F]:
        shape, strides = (rows, columns), (row * array.itemsize, array.itemsize)
        if turned:
            strides = strides[::-1]
        return np.lib.stride_tricks.as_strided(array, shape, strides)

    def gemm_serial(
        m: int,
        n: int,
        k: int,
        x: Vector[F],
        x_row: int,
        x_turned: bool,
        y: Vector[F],
        y_row: int,
        y_turned: bool,
        bias: Vector[F],
        factor: F,
        added: bool,
        out: Vector[F],
        out_row: int,
    ) -> None:
        factors = _matrix(x, m, k, x_row, turned=x_turned), _matrix(y, k, n, y_row, turned=y_turned)
        result = _matrix(out, m, n, out_row)
        base = result if added else bias[:n] if bias.size else 0
        with np.errstate(all="ignore"):
            np.add(factor * np.matmul(*factors), base, out=result)

else:
    gemm_serial = intrinsic(_multiply)


@noinline
def gemm_range(
    part: int,
    start: int,
    stop: int,
    by_rows: bool,
    m: int,
    n: int,
    k: int,
    x: Vector[F],
    x_row: int,
    x_turned: bool,
    y: Vector[F],
    y_row: int,
    y_turned: bool,
    bias: Vector[F],
    factor: F,
    added: bool,
    out: Vector[F],
    out_row: int,
) -> None:
    """Some blocks of rows, or of columns, of a product."""
    first, stop = start * THREAD_TILE, min(stop * THREAD_TILE, m if by_rows else n)
    count = stop - first
    if by_rows:
        place = first if x_turned else first * x_row
        x, out, m = slice_of(x, place, x.size - place), slice_of(out, first * out_row, count * out_row), count
    else:
        place = first * y_row if y_turned else first
        y, out, n = slice_of(y, place, y.size - place), slice_of(out, first, out.size - first), count
        bias = slice_of(bias, first, min(count, bias.size))
    gemm_serial(m, n, k, x, x_row, x_turned, y, y_row, y_turned, bias, factor, added, out, out_row)


parallel_gemm: Callable[..., int] = parallel_for(gemm_range)


@noinline
def gemm(
    m: int,
    n: int,
    k: int,
    x: Vector[F],
    x_row: int,
    x_turned: bool,
    y: Vector[F],
    y_row: int,
    y_turned: bool,
    bias: Vector[F],
    factor: F,
    added: bool,
    out: Vector[F],
    out_row: int,
    together: bool,
) -> None:
    """out (m, n) = factor x (m, k) y (k, n) + bias (n,), of matrices that lie by rows in flat arrays; k > 0.

    So many numbers lie between the beginnings of two rows; a range of a matrix begins at a `piece` of it. A
    matrix that is turned is given as its transpose. A bias without numbers is none; then the result may be
    `added` to what is there. Workers help with what is large, if it is to be done `together`.
    """
    by_rows = m >= n
    blocks = (max(m, n) + THREAD_TILE - 1) // THREAD_TILE
    parallel_gemm(
        blocks,
        1 + GRAIN_FLOPS * blocks // (m * n * k) if together else blocks,
        by_rows,
        m,
        n,
        k,
        x,
        x_row,
        x_turned,
        y,
        y_row,
        y_turned,
        bias,
        factor,
        added,
        out,
        out_row,
    )

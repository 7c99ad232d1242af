"""Matrix products on one core, written in LLVM; huge ones by BLAS.

The result is computed in panels of a few vectors, by tiles of a few rows whose sums stay in registers; each
step adds the product of a column of x and a row of y to a tile. A panel of y is read many times: where that
pays it is copied to a buffer first, and for x y^T it is transposed into it. See Goto & van de Geijn, "Anatomy
of High-Performance Matrix Multiplication", ACM TOMS 34 (3), 2008, section 4.

Each number is the sum of its products in their order, `DEPTH` of them at a time: short of BLAS it is the
same, to the bit, into whatever ranges of rows and columns a result is divided.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from llvmlite import ir as llvm
from numba import types
from numba.core import cgutils
from numba.core.base import BaseContext
from numba.extending import intrinsic
from numba.np.linalg import check_blas_return

from typednn_kernels.arrays import F, Matrix, Vector
from typednn_kernels.compiled.jit import routine
from typednn_kernels.compiled.loops import MASKS, Operand
from typednn_kernels.compiled.symbols import SINGLE
from typednn_kernels.compiled.vectors import INDEX, POINTER, REGISTERS, VECTOR, _Code, shared
from typednn_kernels.compiled.views import PYTHON_ONLY, _Typed, field

PANEL = 3
"""Vectors in a row of a tile."""
HEIGHTS = (8, 2, 1) if REGISTERS == 32 else (4, 1)
"""Rows of a tile, and of those for the rows that are left: the sums take three quarters of the registers."""
DEPTH = 128
"""Products that are summed before they are added to the result: a panel of y fits the first-level cache."""
HUGE = 1 << 30
"""From so many multiplications on BLAS is faster, which copies x as well."""
COPIED, TALL = 1 << 15, 64
"""Bytes of y from which on a panel is copied, if it is multiplied by so many rows of x."""
SQUARE = 16
"""Bytes of the squares that are transposed at a time."""


def _product(
    code: _Code,
    m: llvm.Value,
    n: llvm.Value,
    k: llvm.Value,
    x: llvm.Value,
    x_row: llvm.Value,
    x_column: llvm.Value,
    y: llvm.Value,
    y_row: llvm.Value,
    turned: llvm.Value,
    bias: llvm.Value,
    out: llvm.Value,
    out_row: llvm.Value,
) -> None:
    """out (m, n) = x (m, k) y (k, n) + bias; y is given as (n, k) if `turned`; there may be no bias."""
    builder, module, width = code.builder, code.builder.module, PANEL * code.lanes
    buffer = builder.alloca(code.real, INDEX(width * DEPTH))
    buffer.align = VECTOR
    zeros = llvm.GlobalVariable(module, llvm.ArrayType(code.real, width), f"typednn.zeros.{code.real}")
    zeros.linkage, zeros.initializer = "internal", llvm.Constant(zeros.value_type, None)
    zeros.global_constant = True
    copied = shared(module, "copied", code.real, "iipip", _copied)
    transposed = shared(module, "transposed", code.real, "iipip", _transposed)
    tiles = [
        shared(module, f"tiles{count}", code.real, "iiipiipipipi", _tiles_of(count))
        for count in range(1, PANEL + 1)
    ]
    biased = builder.icmp_unsigned("!=", bias, llvm.Constant(POINTER, None))
    start, start_column = builder.select(biased, bias, zeros), builder.zext(biased, INDEX)
    pays = builder.and_(
        builder.icmp_signed(">=", m, INDEX(TALL)),
        builder.icmp_signed(">=", code.product(k, n), INDEX(COPIED // code.itemsize)),
    )

    def layer(p: llvm.Value) -> None:
        depth = code.smaller(builder.sub(k, p), DEPTH)
        first = builder.icmp_signed("==", p, INDEX(0))
        base, base_row = builder.select(first, start, out), builder.select(first, INDEX(0), out_row)
        base_column = builder.select(first, start_column, INDEX(1))

        def panel(_: llvm.Value, j: llvm.Value) -> Sequence[llvm.Value]:
            left = builder.sub(n, j)
            vectors = code.blocks(left, code.lanes)
            # Four vectors are two panels of two: one vector alone waits for its sums.
            four = builder.icmp_signed("==", vectors, INDEX(PANEL + 1))
            vectors = builder.select(four, INDEX(2), code.smaller(vectors, PANEL))
            columns = code.smaller(left, code.product(vectors, code.lanes))
            part = code.at(y, (p, y_row), j)
            ragged = builder.icmp_signed("!=", columns, code.whole(columns, code.lanes))
            buffered = builder.or_(turned, builder.or_(ragged, pays))
            with builder.if_then(buffered), builder.if_else(turned) as (yes, no):
                with yes:
                    builder.call(transposed, [columns, depth, code.at(y, (j, y_row), p), y_row, buffer])
                with no:
                    builder.call(copied, [columns, depth, part, y_row, buffer])
            arguments = (
                *(m, columns, depth),
                *(code.at(x, (p, x_column)), x_row, x_column),
                *(builder.select(buffered, buffer, part), builder.select(buffered, INDEX(width), y_row)),
                *(code.at(base, (j, base_column)), base_row),
                *(code.at(out, j), out_row),
            )
            after = builder.append_basic_block("after")
            choice = builder.switch(vectors, after)
            for count, function in enumerate(tiles, 1):
                case = builder.append_basic_block("case")
                choice.add_case(count, case)
                builder.position_at_end(case)
                builder.call(function, arguments)
                builder.branch(after)
            builder.position_at_end(after)
            return [builder.add(j, columns)]

        code.repeat(0, code.blocks(n, width), 1, panel, INDEX(0))

    code.repeat(0, k, DEPTH, layer)


def _tiles_of(vectors: int) -> Callable[..., None]:
    """Writes a panel of so many vectors: out (m, columns) = base + x (m, k) y (k, columns)."""

    def write(
        code: _Code,
        m: llvm.Value,
        columns: llvm.Value,
        k: llvm.Value,
        x: llvm.Value,
        x_row: llvm.Value,
        x_column: llvm.Value,
        y: llvm.Value,
        y_row: llvm.Value,
        base: llvm.Value,
        base_row: llvm.Value,
        out: llvm.Value,
        out_row: llvm.Value,
    ) -> None:
        builder, lanes = code.builder, code.lanes
        full = builder.icmp_signed("==", columns, INDEX(vectors * lanes))
        rest = code.mask(builder.sub(columns, INDEX((vectors - 1) * lanes)), lanes)

        def tile(height: int, i: llvm.Value) -> None:
            rows = [code.at(x, (i, x_row), (r, x_row)) for r in range(height)]

            def step(p: llvm.Value, *sums: llvm.Value) -> Sequence[llvm.Value]:
                row = [code.load(code.at(y, (p, y_row), v * lanes)) for v in range(vectors)]
                column = [builder.load(code.at(each, (p, x_column)), typ=code.real) for each in rows]
                factors = [(code.filled(factor, code.vector), each) for factor in column for each in row]
                return [code.multiply_add(*each, total) for each, total in zip(factors, sums, strict=True)]

            zeros = [llvm.Constant(code.vector, None)] * height * vectors
            sums = code.repeat(0, k, 1, step, *zeros)

            def finish(last: llvm.Value | None) -> None:
                for place, total in enumerate(sums):
                    r, v = divmod(place, vectors)
                    mask = last if v == vectors - 1 else None
                    before = code.load(code.at(base, (i, base_row), (r, base_row), v * lanes), mask=mask)
                    after = code.at(out, (i, out_row), (r, out_row), v * lanes)
                    code.store(builder.fadd(before, total), after, mask)

            if MASKS:
                finish(rest)
            else:
                with builder.if_else(full) as (yes, no):
                    with yes:
                        finish(None)
                    with no:
                        finish(rest)

        done: llvm.Value = INDEX(0)
        for height in HEIGHTS:
            whole = code.whole(m, height)
            code.repeat(done, whole, height, partial(tile, height))
            done = whole

    return write


def _copied(
    code: _Code, columns: llvm.Value, k: llvm.Value, y: llvm.Value, y_row: llvm.Value, buffer: llvm.Value
) -> None:
    """Writes a panel of y (k, columns) to a buffer, the last vector filled up."""

    def row(p: llvm.Value) -> None:
        source, target = code.at(y, (p, y_row)), code.at(buffer, (p, PANEL * code.lanes))

        def chunk(j: llvm.Value, mask: llvm.Value | None) -> None:
            code.store(code.load(code.at(source, j), mask=mask), code.at(target, j))

        code.along(columns, chunk)

    code.repeat(0, k, 1, row)


def _transposed(
    code: _Code, columns: llvm.Value, k: llvm.Value, y: llvm.Value, y_row: llvm.Value, buffer: llvm.Value
) -> None:
    """Writes a panel of y, given as (columns, k), to a buffer as (k, columns), the last vector filled up."""
    builder, lanes, side = code.builder, code.lanes, SQUARE // code.itemsize

    def vector(j: llvm.Value) -> None:
        last = builder.sub(builder.sub(columns, INDEX(1)), j)
        rows = [code.at(y, (builder.add(j, code.smaller(INDEX(r), last)), y_row)) for r in range(lanes)]

        def squares(p: llvm.Value, mask: llvm.Value | None = None) -> None:
            pieces = [code.load(code.at(row, p), llvm.VectorType(code.real, side), mask) for row in rows]
            for r, column in enumerate(_turned(code, [_joined(code, pieces[r::side]) for r in range(side)])):
                code.store(column, code.at(buffer, (builder.add(p, INDEX(r)), PANEL * lanes), j))

        def rest(p: llvm.Value) -> None:
            squares(p, code.mask(builder.sub(k, p), side))

        whole = code.whole(k, side)
        code.repeat(0, whole, side, squares)
        code.repeat(whole, k, side, rest)

    code.repeat(0, columns, lanes, vector)


def _joined(code: _Code, pieces: Sequence[llvm.Value]) -> llvm.Value:
    """Pieces side by side, as one vector."""
    if len(pieces) == 1:
        return pieces[0]
    half = len(pieces) // 2
    x, y = _joined(code, pieces[:half]), _joined(code, pieces[half:])
    return code.shuffled(x, y, range(len(pieces) * SQUARE // code.itemsize))


def _turned(code: _Code, rows: Sequence[llvm.Value]) -> Sequence[llvm.Value]:
    """Transposes squares that lie side by side: riffling the halves of the rows log2(rows) times."""
    side, half = len(rows), len(rows) // 2
    for _ in range(side.bit_length() - 1):
        low = [
            square + place
            for square in range(0, code.lanes, side)
            for i in range(half)
            for place in (i, code.lanes + i)
        ]
        high = [each + half for each in low]
        rows = [code.shuffled(rows[r], rows[r + half], order) for r in range(half) for order in (low, high)]
    return rows


def _raised(
    code: _Code, m: llvm.Value, n: llvm.Value, bias: llvm.Value, out: llvm.Value, out_row: llvm.Value
) -> None:
    """Adds the bias to each row of out (m, n)."""

    def row(i: llvm.Value) -> None:
        def chunk(j: llvm.Value, mask: llvm.Value | None) -> None:
            place = code.at(out, (i, out_row), j)
            total = code.builder.fadd(code.load(place, mask=mask), code.load(code.at(bias, j), mask=mask))
            code.store(total, place, mask)

        code.along(n, chunk)

    code.repeat(0, m, 1, row)


def _by_blas(
    context: BaseContext,
    builder: llvm.IRBuilder,
    real: llvm.Type,
    *operands: llvm.Value,
) -> None:
    """out (m, n) = x (m, k) y (k, n), which BLAS, counting by columns, sees as out^T = y^T x^T."""
    m, n, k, x, x_row, x_turned, y, y_row, y_turned, out, out_row = operands
    one, zero = (cgutils.alloca_once_value(builder, real(number)) for number in (1.0, 0.0))
    kind, by_rows, by_columns = (
        llvm.IntType(8)(ord(letter)) for letter in ("s" if real == SINGLE else "d", "n", "t")
    )
    turns = (builder.select(each, by_columns, by_rows) for each in (y_turned, x_turned))
    values = (kind, *turns, n, m, k, one, y, y_row, x, x_row, zero, out, out_row)
    signature = llvm.FunctionType(llvm.IntType(32), [each.type for each in values])
    function = cgutils.get_or_insert_function(builder.module, signature, "numba_xxgemm")
    check_blas_return(context, builder, builder.call(function, values))


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
    out: types.Array,
    out_row: types.Type,
    blas: types.Type,
) -> _Typed:
    kinds = (m, n, k, x, x_row, x_turned, y, y_row, y_turned, bias, out, out_row, blas)

    def generate(
        context: BaseContext, builder: llvm.IRBuilder, _signature: object, values: Sequence[llvm.Value]
    ) -> llvm.Value:
        operands = [Operand.of(context, builder, *each) for each in zip(kinds, values, strict=True)]
        m, n, k, x, x_row, x_turned, y, y_row, y_turned, bias, out, out_row, blas = (
            each.value if each.data is None else each.data for each in operands
        )
        real, module = context.get_value_type(kinds[3].dtype), builder.module
        biases = field(context, builder, kinds[9], values[9], "nitems")
        biased = builder.icmp_signed(">", biases, INDEX(0))
        huge = builder.and_(blas, builder.icmp_signed(">=", builder.mul(builder.mul(m, n), k), INDEX(HUGE)))
        with builder.if_else(huge, likely=False) as (yes, no):
            with yes:
                _by_blas(
                    context, builder, real, m, n, k, x, x_row, x_turned, y, y_row, y_turned, out, out_row
                )
                with builder.if_then(biased):
                    builder.call(shared(module, "raised", real, "iippi", _raised), [m, n, bias, out, out_row])
            with no:
                one = INDEX(1)
                strides = builder.select(x_turned, one, x_row), builder.select(x_turned, x_row, one)
                start = builder.select(biased, bias, llvm.Constant(bias.type, None))
                function = shared(module, "product", real, "iiipiipibppi", _product)
                builder.call(function, [m, n, k, x, *strides, y, y_row, y_turned, start, out, out_row])
        return context.get_dummy_value()

    return types.none(*kinds), generate


if TYPE_CHECKING or PYTHON_ONLY:

    def _matrix(array: Vector[F], rows: int, columns: int, row: int, *, turned: bool = False) -> Matrix[F]:
        shape, strides = (rows, columns), (row * array.itemsize, array.itemsize)
        if turned:
            strides = strides[::-1]
        return np.lib.stride_tricks.as_strided(array, shape, strides)

    def multiplied(
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
        out: Vector[F],
        out_row: int,
        _blas: bool,
    ) -> None:
        factors = _matrix(x, m, k, x_row, turned=x_turned), _matrix(y, k, n, y_row, turned=y_turned)
        with np.errstate(all="ignore"):
            np.add(np.matmul(*factors), bias[:n] if bias.size else 0, out=_matrix(out, m, n, out_row))

else:
    multiplied = intrinsic(_multiply)


@routine
def product(
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
    out: Vector[F],
    out_row: int,
    blas: bool,
) -> None:
    """out (m, n) = x (m, k) y (k, n) + bias (n,), of matrices that lie by rows in flat arrays; k > 0.

    So many numbers lie between the beginnings of two rows; a range of a matrix begins at a `piece` of it. A
    matrix that is turned is given as its transpose. A bias without numbers is none. If BLAS may, it does what
    is huge, with threads of its own.
    """
    multiplied(m, n, k, x, x_row, x_turned, y, y_row, y_turned, bias, out, out_row, blas)

"""Packing of gemm's operands: copies a matrix, or its transpose, into panels that are read in one go."""

# pyright: reportUnusedFunction=false
# gemm calls the function; its underscore says that its types are those of llvmlite, which has none.

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple

from llvmlite import ir as llvm

from typednn_kernels.arrays import F, Vector
from typednn_kernels.compiled._codegen.ir_types import INDEX
from typednn_kernels.compiled._codegen.simd import SimdBuilder, function_of_fields, module_function

SQUARE_BYTES = 16
"""Bytes in a row of the squares that are transposed at a time."""


class _Panels(NamedTuple):
    """What is packed: X (k, columns), rows `ldx` elements apart, into panels (k, width), one after another.

    Only the last panel is narrower; the last vector of each of its rows is filled up.
    """

    columns: llvm.Value
    k: llvm.Value
    x: llvm.Value
    ldx: llvm.Value
    packed: llvm.Value
    width: llvm.Value


class Transposition(NamedTuple, Generic[F]):
    """Y (k, columns), rows `ldy` elements apart, is X^T; X has rows `ldx` elements apart.

    The columns fill vectors, and k fills the squares that are transposed at a time: both are whole vectors.
    """

    columns: int
    k: int
    x: Vector[F]
    ldx: int
    trans: bool
    y: Vector[F]
    ldy: int


def _pack_panels(
    code: SimdBuilder,
    columns: llvm.Value,
    k: llvm.Value,
    x: llvm.Value,
    ldx: llvm.Value,
    trans: llvm.Value,
    packed: llvm.Value,
    width: llvm.Value,
) -> None:
    """Writes a call that packs X (k, columns), which `x` holds as (columns, k) if `trans`."""
    arguments = [columns, k, x, ldx, trans, packed, width]
    builder = code.builder
    builder.call(module_function(builder.module, "pack", code.real, "iipibpi", _write_pack), arguments)


def _write_pack(code: SimdBuilder, *values: llvm.Value) -> None:
    columns, k, x, ldx, trans, packed, width = values
    builder, arguments = code.builder, _Panels(columns, k, x, ldx, packed, width)
    with builder.if_else(trans) as (yes, no):
        for case, name, write in ((yes, "pack_trans", _write_transposition), (no, "pack_copy", _write_copy)):
            with case:
                builder.call(module_function(builder.module, name, code.real, "iipipi", write), arguments)


def _write_copy(code: SimdBuilder, *values: llvm.Value) -> None:
    """Writes the function that packs X as it is."""
    g = _Panels(*values)

    def row(p: llvm.Value) -> None:
        def panel(_: llvm.Value, first: llvm.Value) -> Sequence[llvm.Value]:
            source, target = code.at(g.x, (p, g.ldx), first), code.at(g.packed, (first, g.k), (p, g.width))

            def vector(j: llvm.Value, mask: llvm.Value | None) -> None:
                code.store(code.load(code.at(source, j), mask=mask), code.at(target, j))

            code.along(code.smaller(code.builder.sub(g.columns, first), g.width), vector)
            return [code.builder.add(first, g.width)]

        code.repeat(0, count, 1, panel, INDEX(0))

    count = code.builder.sdiv(code.builder.sub(code.builder.add(g.columns, g.width), INDEX(1)), g.width)
    code.repeat(0, g.k, 1, row)


def _write_transposition(code: SimdBuilder, *values: llvm.Value) -> None:
    """Writes the function that packs X given as its transpose (columns, k)."""
    builder, lanes, side, g = code.builder, code.lanes, SQUARE_BYTES // code.itemsize, _Panels(*values)

    def vector(j: llvm.Value) -> None:
        last = builder.sub(builder.sub(g.columns, INDEX(1)), j)
        rows = [code.at(g.x, (builder.add(j, code.smaller(INDEX(r), last)), g.ldx)) for r in range(lanes)]
        place = builder.srem(j, g.width)
        target = code.at(g.packed, (builder.sub(j, place), g.k), place)

        def squares(p: llvm.Value, mask: llvm.Value | None = None) -> None:
            parts = [code.load(code.at(row, p), llvm.VectorType(code.real, side), mask) for row in rows]
            joined = [code.joined(parts[r::side], side) for r in range(side)]
            for r, column in enumerate(_transposed(code, joined)):
                code.store(column, code.at(target, (builder.add(p, INDEX(r)), g.width)))

        def tail(p: llvm.Value) -> None:
            squares(p, code.mask(builder.sub(g.k, p), side))

        whole = code.round_down(g.k, side)
        code.repeat(0, whole, side, squares)
        code.repeat(whole, g.k, side, tail)

    code.repeat(0, g.columns, lanes, vector)


def _transposed(code: SimdBuilder, rows: Sequence[llvm.Value]) -> Sequence[llvm.Value]:
    """Transposes squares that lie side by side, by log2(rows) perfect shuffles of the halves of the rows."""
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


def _transpose_in_numpy(given: Transposition[F]) -> None:
    columns, k, x, ldx, _, y, ldy = given
    for p in range(k):
        y[p * ldy : p * ldy + columns] = x[p : p + columns * ldx : ldx]


transpose: Callable[..., None] = function_of_fields("pack", "iipibpi", _write_pack, _transpose_in_numpy)
"""`transpose(transposition)`: a matrix is packed into a single panel."""

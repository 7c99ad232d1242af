"""Matrices copied, or transposed, into panels, one after another, in which a product reads them in one go."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llvmlite import ir as llvm

from typednn_kernels.compiled._codegen.ir_types import INDEX
from typednn_kernels.compiled._codegen.simd import SimdBuilder, module_function

SQUARE = 16
"""Bytes of the squares that are transposed at a time."""


def _pack(
    code: SimdBuilder,
    columns: llvm.Value,
    k: llvm.Value,
    y: llvm.Value,
    y_row: llvm.Value,
    turned: llvm.Value,
    buffer: llvm.Value,
    width: llvm.Value,
) -> None:
    """Writes y (k, columns), given as (columns, k) if `turned`, to a buffer: panels (k, width) one by one.

    The last vector of a row is filled up.
    """
    builder, arguments = code.builder, (columns, k, y, y_row, buffer, width)
    with builder.if_else(turned) as (yes, no):
        for case, name, write in ((yes, "transposed", _transposed), (no, "copied", _copied)):
            with case:
                builder.call(module_function(builder.module, name, code.real, "iipipi", write), arguments)


packing: Callable[..., None] = _pack
"""Writes the function (columns, k, y, y_row, turned, buffer, width) that packs a matrix."""
KINDS = "iipibpi"
"""Its arguments, as `vectors.shared` takes them."""


def _copied(
    code: SimdBuilder,
    columns: llvm.Value,
    k: llvm.Value,
    y: llvm.Value,
    y_row: llvm.Value,
    buffer: llvm.Value,
    width: llvm.Value,
) -> None:
    """Writes panels of y (k, columns)."""

    def row(p: llvm.Value) -> None:
        def panel(_: llvm.Value, first: llvm.Value) -> Sequence[llvm.Value]:
            source, target = code.at(y, (p, y_row), first), code.at(buffer, (first, k), (p, width))

            def chunk(j: llvm.Value, mask: llvm.Value | None) -> None:
                code.store(code.load(code.at(source, j), mask=mask), code.at(target, j))

            code.along(code.smaller(code.builder.sub(columns, first), width), chunk)
            return [code.builder.add(first, width)]

        code.repeat(0, count, 1, panel, INDEX(0))

    count = code.builder.sdiv(code.builder.sub(code.builder.add(columns, width), INDEX(1)), width)
    code.repeat(0, k, 1, row)


def _transposed(
    code: SimdBuilder,
    columns: llvm.Value,
    k: llvm.Value,
    y: llvm.Value,
    y_row: llvm.Value,
    buffer: llvm.Value,
    width: llvm.Value,
) -> None:
    """Writes panels of y (k, columns) that is given as (columns, k)."""
    builder, lanes, side = code.builder, code.lanes, SQUARE // code.itemsize

    def vector(j: llvm.Value) -> None:
        last = builder.sub(builder.sub(columns, INDEX(1)), j)
        rows = [code.at(y, (builder.add(j, code.smaller(INDEX(r), last)), y_row)) for r in range(lanes)]
        place = builder.srem(j, width)
        target = code.at(buffer, (builder.sub(j, place), k), place)

        def squares(p: llvm.Value, mask: llvm.Value | None = None) -> None:
            pieces = [code.load(code.at(row, p), llvm.VectorType(code.real, side), mask) for row in rows]
            for r, column in enumerate(
                _turned(code, [code.joined(pieces[r::side], side) for r in range(side)])
            ):
                code.store(column, code.at(target, (builder.add(p, INDEX(r)), width)))

        def rest(p: llvm.Value) -> None:
            squares(p, code.mask(builder.sub(k, p), side))

        whole = code.whole(k, side)
        code.repeat(0, whole, side, squares)
        code.repeat(whole, k, side, rest)

    code.repeat(0, columns, lanes, vector)


def _turned(code: SimdBuilder, rows: Sequence[llvm.Value]) -> Sequence[llvm.Value]:
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

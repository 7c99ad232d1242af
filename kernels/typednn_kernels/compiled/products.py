"""Matrix products of one thread, written in LLVM: BLAS costs more to call than small ones take.

The result is computed in panels of a few vectors by tiles of a few rows, whose sums stay in registers: each
step of the inner loop adds the product of a column of x and a row of y to a tile. For x y^T a panel of y is
transposed beforehand, into a buffer on the stack, as packing does in Goto & van de Geijn, "Anatomy of
High-Performance Matrix Multiplication", 2008, section 4.

A number is the sum of its products in their order, `DEPTH` at a time: it is the same, to the bit, however
the result is divided into ranges of rows and columns, and whatever the other numbers are.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from llvmlite import ir as llvm
from llvmlite.binding import get_host_cpu_features
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from typednn_kernels.arrays import F, Vector
from typednn_kernels.compiled.loops import PYTHON_ONLY
from typednn_kernels.compiled.symbols import SINGLE

FEATURES = get_host_cpu_features()
VECTOR = 64 if FEATURES.get("avx512f") else 32 if FEATURES.get("avx") else 16
"""Bytes of a vector register."""
HEIGHTS = (8, 4, 2, 1) if VECTOR == 64 or platform.machine() in {"aarch64", "arm64"} else (4, 2, 1)
"""Rows of a tile, and of those for the rows that are left: with `PANEL` vectors each, they fill 32 registers or 16."""
PANEL = 3
"""Vectors of a row of a tile."""
PIECE = 16
"""Bytes in which vectors are transposed."""
DEPTH = 128
"""Terms of a sum before it is added to the result: a panel of y stays in the first-level cache."""


class Code:
    """Writes a function that works on vectors of one kind of number."""

    def __init__(self, module: Any, real: Any, name: str, kinds: Sequence[Any]) -> None:
        void = llvm.VoidType()
        self.real, self.module = real, module
        self.itemsize = 4 if real == SINGLE else 8
        self.lanes = VECTOR // self.itemsize
        self.vector = llvm.VectorType(real, self.lanes)
        self.function = llvm.Function(module, llvm.FunctionType(void, kinds), name)
        self.function.linkage = "internal"
        self.function.attributes.add("noinline")
        self.function.attributes.add("nounwind")
        self.builder = llvm.IRBuilder(self.function.append_basic_block())

    def at(self, pointer: Any, *offset: Any) -> Any:
        """The address `pointer[i j + k l ...]`, of products given as pairs."""
        for each in offset:
            pointer = self.builder.gep(pointer, [self.times(*each) if isinstance(each, tuple) else each])
        return pointer

    def times(self, x: Any, y: Any) -> Any:
        return self.builder.mul(x, y if isinstance(y, llvm.Value) else x.type(y))

    def smaller(self, x: Any, y: Any) -> Any:
        y = y if isinstance(y, llvm.Value) else x.type(y)
        return self.builder.select(self.builder.icmp_signed("<", x, y), x, y)

    def mask(self, count: Any, lanes: int) -> Any:
        """The first lanes."""
        kind = llvm.VectorType(count.type, lanes)
        numbers = llvm.Constant(kind, list(range(lanes)))
        return self.builder.icmp_signed("<", numbers, self.splat(count, kind))

    def splat(self, value: Any, kind: Any) -> Any:
        first = self.builder.insert_element(llvm.Constant(kind, llvm.Undefined), value, llvm.IntType(32)(0))
        return self.builder.shuffle_vector(first, llvm.Constant(kind, llvm.Undefined), llvm.Constant(llvm.VectorType(llvm.IntType(32), len(kind)), [0] * len(kind)))

    def name(self, kind: Any) -> str:
        return f"v{kind.count}{kind.element.intrinsic_name}"

    def call(self, name: str, result: Any, *values: Any) -> Any:
        kind = llvm.FunctionType(result, [each.type for each in values])
        return self.builder.call(cgutils.get_or_insert_function(self.module, kind, name), values)

    def load(self, pointer: Any, kind: Any = None, mask: Any = None) -> Any:
        kind = kind or self.vector
        pointer = self.builder.bitcast(pointer, kind.as_pointer())
        if mask is None:
            return self.builder.load(pointer, align=self.itemsize)
        return self.call(
            f"llvm.masked.load.{self.name(kind)}.p0", kind, pointer, llvm.IntType(32)(self.itemsize), mask, llvm.Constant(kind, None)
        )

    def store(self, value: Any, pointer: Any, mask: Any = None) -> None:
        pointer = self.builder.bitcast(pointer, value.type.as_pointer())
        if mask is None:
            self.builder.store(value, pointer, align=self.itemsize)
        else:
            self.call(
                f"llvm.masked.store.{self.name(value.type)}.p0", llvm.VoidType(), value, pointer, llvm.IntType(32)(self.itemsize), mask
            )

    def fma(self, x: Any, y: Any, total: Any) -> Any:
        return self.call(f"llvm.fmuladd.{self.name(x.type)}", x.type, x, y, total)

    def repeat(
        self, start: Any, stop: Any, step: Any, body: Callable[..., Sequence[Any]], state: Sequence[Any] = ()
    ) -> list[Any]:
        """`state = body(index, *state)` for each index from start on below stop; what state is at the end."""
        builder = self.builder
        before, head, inside, after = builder.block, *(builder.append_basic_block() for _ in range(3))
        builder.branch(head)
        builder.position_at_end(head)
        index, *variables = [builder.phi(each.type) for each in (start, *state)]
        builder.cbranch(builder.icmp_signed("<", index, stop), inside, after)
        builder.position_at_end(inside)
        results = body(index, *variables)
        following = builder.add(index, index.type(step) if isinstance(step, int) else step)
        for variable, first, later in zip(
            (index, *variables), (start, *state), (following, *(results or ())), strict=True
        ):
            variable.add_incoming(first, before)
            variable.add_incoming(later, builder.block)
        builder.branch(head)
        builder.position_at_end(after)
        return variables


def _tiles(module: Any, real: Any, size: Any, vectors: int) -> Any:
    """Writes a panel of the result."""
    name = f"tiles{vectors}.{real}"
    if name in module.globals:
        return module.globals[name]
    pointer = real.as_pointer()
    code = Code(module, real, name, [size, size, size, pointer, size, size, pointer, size, pointer, size, pointer, size])
    m, width, k, x, x_row, x_column, y, y_row, base, base_row, out, out_row = code.function.args
    builder, lanes = code.builder, code.lanes
    rest = code.mask(builder.sub(width, size((vectors - 1) * lanes)), lanes)
    masks = [None] * (vectors - 1) + [rest]
    done = size(0)
    for height in HEIGHTS:

        def tile(i: Any) -> None:
            rows = [code.at(x, (i, x_row), (x_row, r)) for r in range(height)]

            def add(p: Any, *sums: Any) -> Sequence[Any]:
                row = [code.load(code.at(y, (p, y_row), size(v * lanes))) for v in range(vectors)]
                totals = iter(sums)
                return [
                    code.fma(factor, each, next(totals))
                    for factor in [code.splat(builder.load(code.at(r, (p, x_column))), code.vector) for r in rows]
                    for each in row
                ]

            zero = llvm.Constant(code.vector, None)
            sums = iter(code.repeat(size(0), k, 1, add, [zero] * height * vectors))
            for r in range(height):
                row, before = code.at(out, (i, out_row), (out_row, r)), code.at(base, (i, base_row), (base_row, r))
                for v, mask in enumerate(masks):
                    total = builder.fadd(code.load(code.at(before, size(v * lanes)), mask=mask), next(sums))
                    code.store(total, code.at(row, size(v * lanes)), mask)

        whole = builder.and_(m, size(-height))
        code.repeat(done, whole, height, tile)
        done = whole
    builder.ret_void()
    return code.function


def _transposition(module: Any, real: Any, size: Any) -> Any:
    """Writes rows of y, k numbers of each, as the columns of a buffer."""
    name = f"transposed.{real}"
    if name in module.globals:
        return module.globals[name]
    pointer = real.as_pointer()
    code = Code(module, real, name, [size, size, pointer, size, pointer])
    n, k, y, y_row, buffer = code.function.args
    builder, lanes = code.builder, code.lanes
    few = PIECE // code.itemsize
    width = size(PANEL * lanes)
    piece = llvm.VectorType(real, few)

    def group(j: Any) -> None:
        last = builder.sub(builder.sub(n, size(1)), j)
        rows = [code.at(y, (builder.add(j, code.smaller(last, size(r))), y_row)) for r in range(lanes)]
        target = code.at(buffer, j)

        def square(p: Any, mask: Any) -> None:
            strips = [_joined(code, [code.load(code.at(rows[r], p), piece, mask) for r in range(g, lanes, few)]) for g in range(few)]
            for c, column in enumerate(_turned(code, strips, few)):
                code.store(column, code.at(target, (builder.add(p, size(c)), width)))

        def block(p: Any) -> None:
            for c in range(0, lanes, few):
                square(builder.add(p, size(c)), None)

        whole = builder.and_(k, size(-lanes))
        code.repeat(size(0), whole, lanes, block)
        code.repeat(whole, k, few, lambda p: square(p, code.mask(builder.sub(k, p), few)))

    code.repeat(size(0), n, lanes, group)
    builder.ret_void()
    return code.function


def _shuffle(code: Code, x: Any, y: Any, order: Sequence[int]) -> Any:
    kind = llvm.VectorType(llvm.IntType(32), len(order))
    return code.builder.shuffle_vector(x, y, llvm.Constant(kind, list(order)))


def _joined(code: Code, pieces: Sequence[Any]) -> Any:
    """Pieces as one vector."""
    if len(pieces) == 1:
        return pieces[0]
    half = len(pieces) // 2
    x, y = _joined(code, pieces[:half]), _joined(code, pieces[half:])
    return _shuffle(code, x, y, range(2 * x.type.count))


def _turned(code: Code, rows: Sequence[Any], few: int) -> list[Any]:
    """Transposes the squares that lie side by side in a few vectors: riffles the two halves until all is turned."""
    half = few // 2
    count = 1
    while count < few:
        low = [side + each for side in range(0, code.lanes, few) for i in range(half) for each in (i, code.lanes + i)]
        high = [each + half for each in low]
        rows = [
            _shuffle(code, rows[i], rows[i + half], order) for i in range(half) for order in (low, high)
        ]
        count *= 2
    return list(rows)


def _product(module: Any, real: Any, size: Any) -> Any:
    name = f"product.{real}"
    if name in module.globals:
        return module.globals[name]
    pointer, bit = real.as_pointer(), llvm.IntType(1)
    code = Code(module, real, name, [size, size, size, pointer, size, size, pointer, size, bit, pointer, pointer, size])
    m, n, k, x, x_row, x_column, y, y_row, by_rows, bias, out, out_row = code.function.args
    builder, lanes = code.builder, code.lanes
    width = PANEL * lanes
    buffer = builder.alloca(real, size(width * DEPTH))
    buffer.align = VECTOR
    zeros = builder.alloca(real, size(width))
    for v in range(PANEL):
        code.store(llvm.Constant(code.vector, None), code.at(zeros, size(v * lanes)))
    biased = builder.icmp_unsigned("!=", bias, pointer(None))
    start = builder.select(biased, bias, zeros)
    tiles = [_tiles(module, real, size, vectors + 1) for vectors in range(PANEL)]
    transposition = _transposition(module, real, size)

    def layer(p: Any) -> None:
        depth = code.smaller(builder.sub(k, p), size(DEPTH))
        first = builder.icmp_signed("==", p, size(0))
        base_row = builder.select(first, size(0), out_row)
        base_column = builder.select(builder.or_(builder.not_(first), biased), size(1), size(0))
        base = builder.select(first, start, out)

        def panel(j: Any) -> None:
            left = code.smaller(builder.sub(n, j), size(width))
            rest = builder.and_(left, size(lanes - 1))
            uneven = builder.icmp_signed("!=", rest, size(0))
            direct = code.at(y, (p, y_row), j)
            with builder.if_else(by_rows) as (transposed, straight):
                with transposed:
                    builder.call(transposition, [left, depth, code.at(y, (j, y_row), p), y_row, buffer])
                with straight, builder.if_then(uneven if not COPY else bit(1)):
                    def copy(q: Any) -> None:
                        def chunk(c: Any) -> None:
                            value = code.load(code.at(direct, (q, y_row), c), mask=code.mask(builder.sub(left, c), lanes))
                            code.store(value, code.at(buffer, (q, size(width)), c))
                        code.repeat(size(0), left, lanes, chunk)
                    code.repeat(size(0), depth, 1, copy)
            buffered = builder.or_(by_rows, uneven) if not COPY else bit(1)
            source = builder.select(buffered, buffer, direct)
            source_row = builder.select(buffered, size(width), y_row)
            after = builder.append_basic_block()
            choice = builder.switch(builder.sdiv(builder.sub(left, size(1)), size(lanes)), after)
            for v, tile in enumerate(tiles):
                block = builder.append_basic_block()
                choice.add_case(v, block)
                builder.position_at_end(block)
                builder.call(tile, [m, left, depth, code.at(x, (p, x_column)), x_row, x_column, source, source_row,
                    code.at(base, (j, base_column)), base_row, code.at(out, j), out_row])
                builder.branch(after)
            builder.position_at_end(after)

        code.repeat(size(0), n, width, panel)

    code.repeat(size(0), k, DEPTH, layer)
    builder.ret_void()
    return code.function

COPY = False

def _written(x_by_columns: bool, y_by_rows: bool, biased: bool) -> Any:
    def typer(_context: Any, m: Any, n: Any, k: Any, x: Any, x_row: Any, y: Any, y_row: Any, *rest: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            m, n, k, x, x_row, y, y_row, packed = values
            *bias, out, out_row = cgutils.unpack_tuple(builder, packed)
            kinds = [signature.args[3], signature.args[5], *signature.args[7]]
            def data(kind: Any, value: Any) -> Any:
                return context.make_array(kind)(context, builder, value).data
            real = context.get_value_type(signature.args[3].dtype)
            one = m.type(1)
            product = _product(builder.module, real, m.type)
            start = data(kinds[2], bias[0]) if biased else real.as_pointer()(None)
            xs = [one, x_row] if x_by_columns else [x_row, one]
            builder.call(product, [m, n, k, data(kinds[0], x), *xs, data(kinds[1], y), y_row, llvm.IntType(1)(y_by_rows), start,
                data(kinds[-2], out), out_row])
            return context.get_dummy_value()

        return types.none(m, n, k, x, x_row, y, y_row, types.StarArgTuple.from_types(rest)), generate
    return intrinsic(typer)

rows_by_rows = _written(False, True, True)
rows_by_columns = _written(False, False, False)
columns_by_columns = _written(True, False, False)

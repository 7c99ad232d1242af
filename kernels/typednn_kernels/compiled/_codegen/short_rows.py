"""Formulas of short rows, each of which fits in a few vector registers: softmax and its derivative.

Such a row is read once, however many reductions a formula has. A loop over ten elements for each reduction
would take longer to begin and to end than to run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import add
from typing import Protocol

import numpy as np
from llvmlite import ir as llvm
from numba import types
from numba.core.base import BaseContext
from numba.core.typing.templates import Signature

from typednn_kernels.arrays import F, Values, Vector
from typednn_kernels.compiled._codegen.array_views import CPU_FEATURES
from typednn_kernels.compiled._codegen.in_python.twins import TypedIntrinsic, written_in_llvm
from typednn_kernels.compiled._codegen.ir_loops import (
    SUMMED_ROWS,
    add_in_twice_the_precision,
    switch_cases,
    unpack_operands,
)
from typednn_kernels.compiled._codegen.ir_types import INDEX, INT32, POINTER
from typednn_kernels.compiled._codegen.ir_values import IRValue, Number
from typednn_kernels.compiled._codegen.jit import inline
from typednn_kernels.compiled._codegen.simd import VECTOR_BYTES, IndexLike, SimdBuilder, module_function
from typednn_kernels.compiled._codegen.tuning import (
    SHORT_ROW_REGISTERS,
    SHORT_VECTOR_REGISTERS,
    SHORT_VECTOR_SCALAR_ELEMENTS,
)
from typednn_kernels.plain.loss import Rows
from typednn_kernels.primitives import maximum, where

NARROW_LANES, BLOCK_REGISTERS = 4, 2
"""Rows of at most as many elements, or of one register, are computed in blocks that fill some registers."""

MAX_ROW_BYTES = SHORT_ROW_REGISTERS * VECTOR_BYTES if CPU_FEATURES.get("avx") else 0
"""Bytes of the longest short row; 0 where the CPU cannot load parts of vectors."""


class Row(Protocol):
    """The reductions of a row that a formula may use; what is computed of them alone is computed once."""

    def largest(self, x: Number) -> Number:
        """Returns the maximum; where an element is NaN, any element or NaN."""

    def total(self, x: Number) -> Number:
        """Returns the sum."""


class VectorLanes:
    """A row in a vector whose width is a power of two; the mask marks the lanes that hold elements."""

    count = 1
    """The number of rows."""

    def __init__(self, code: SimdBuilder, width: int, mask: llvm.Value) -> None:
        self.code, self.width, self.mask = code, width, mask

    def first(self, x: Number) -> IRValue:
        """Returns the first element."""
        return IRValue(self.code.builder, self.code.builder.extract_element(x.value, INT32(0)))

    def firsts(self, x: Number) -> llvm.Value:
        """Returns a vector of the first element of each row."""
        return self.code.shuffled(x.value, x.value, range(0, self.width * self.count, self.width))

    def largest(self, x: Number) -> Number:
        return self.horizontal_reduce(self.masked(x, -np.inf), maximum)

    def total(self, x: Number) -> Number:
        return self.horizontal_reduce(self.masked(x, 0.0), add)

    def masked(self, x: Number, beyond: float) -> Number:
        """Returns the row with the value `beyond` in the lanes that the mask excludes."""
        inside: Number = x.like(self.mask)
        return where(inside, x, beyond)

    def horizontal_reduce(self, x: Number, join: Callable[[Number, Number], Number]) -> Number:
        """Combines all lanes by `join`, and returns the result in all lanes."""
        value, count = x.value, self.width
        while count > 1:
            count //= 2
            halves = (x.like(self.code.shuffled(value, value, range(i, i + count))) for i in (0, count))
            value = join(*halves).value
        return x.like(self.code.shuffled(value, value, [0] * self.width))


class RowLanes(VectorLanes):
    """A row in several vector registers, the last of which may be partly filled."""

    def __init__(
        self, code: SimdBuilder, n: llvm.Value, vectors: int, stride: llvm.Value | None = None
    ) -> None:
        width = code.lanes * 2 ** (vectors - 1).bit_length()
        super().__init__(code, width, code.mask(n, width))
        self.stride, self.starts = stride or n, [k * code.lanes for k in range(vectors)]
        self.left = code.builder.sub(n, INDEX(self.starts[-1]))
        self.last = code.mask(self.left, code.lanes)

    def largest(self, x: Number) -> Number:
        return self.first(super().largest(x))

    def total(self, x: Number) -> Number:
        return self.first(super().total(x))

    def firsts(self, x: Number) -> llvm.Value:
        single: llvm.Value = x.broadcast(1).value
        return single

    def argument(self, operand: llvm.Value, s: IndexLike = 0) -> IRValue:
        """Loads row s of an array, or takes a scalar as it is."""
        code, vectors = self.code, len(self.starts)
        if operand.type != POINTER:
            return IRValue(code.builder, operand)
        masks = [*[None] * (vectors - 1), self.last]
        slices = [
            code.load(code.at(operand, (s, self.stride), start), mask=mask)
            for start, mask in zip(self.starts, masks, strict=True)
        ]
        nothing = [llvm.Constant(code.vector, None)] * (self.width // code.lanes - vectors)
        return IRValue(code.builder, code.joined([*slices, *nothing], code.lanes))

    def store(self, result: Number, out: llvm.Value, s: IndexLike = 0, *, exact: bool = False) -> None:
        """Stores row s of an array."""
        code, value = self.code, result.value
        *whole, last = [
            (
                code.shuffled(value, value, range(start, start + code.lanes)),
                code.at(out, (s, self.stride), start),
            )
            for start in self.starts
        ]
        for each in whole:
            code.store(*each)
        code.store_some(*last, self.left, exact=exact)


class BlockLanes(VectorLanes):
    """Some rows of at most `width` elements side by side, each in as many lanes."""

    def __init__(self, code: SimdBuilder, n: llvm.Value, width: int, count: int) -> None:
        self.n, self.count = n, count
        self.of_row = code.mask(n, width)
        super().__init__(code, width, code.joined([self.of_row] * count, width))

    def horizontal_reduce(self, x: Number, join: Callable[[Number, Number], Number]) -> Number:
        """Combines the lanes of each row by `join`, and returns the result in all of them."""
        value, half = x.value, self.width // 2
        while half:
            other = [i ^ half for i in range(self.width * self.count)]
            value = join(x.like(value), x.like(self.code.shuffled(value, value, other))).value
            half //= 2
        return x.like(value)

    def argument(self, operand: llvm.Value, s: IndexLike = 0) -> IRValue:
        """Loads the rows of an array from row s on, or takes a scalar as it is."""
        code, kind = self.code, llvm.VectorType(self.code.real, self.width)
        if operand.type != POINTER:
            return IRValue(code.builder, operand)
        place = code.at(operand, (s, self.n))
        rows = [code.load(code.at(place, (r, self.n)), kind, self.of_row) for r in range(self.count)]
        return IRValue(code.builder, code.joined(rows, self.width))

    def store(self, result: Number, out: llvm.Value, s: IndexLike = 0, *, exact: bool = False) -> None:
        """Stores rows of an array from row s on."""
        code, place = self.code, self.code.at(out, (s, self.n))
        for r in range(self.count):
            row = code.shuffled(result.value, result.value, range(r * self.width, (r + 1) * self.width))
            code.store_some(row, code.at(place, (r, self.n)), self.n, exact=exact)


def by_short_row(
    name: str,
    formula: Callable[..., Number],
    *,
    numbers: bool = False,
    in_blocks: bool = True,
    in_place: bool = False,
) -> Callable[..., None]:
    """Returns a function `(samples, n, *arguments, out)`: out = formula(row, *arguments) for each row of n.

    Arguments are flat arrays (samples, n) and scalars; `out` is an array of rows, too, which may be one of
    them; if the formula has one result for each row (`numbers`), it is (samples,). Rows must be short. With
    `in_blocks` several of them are computed at a time, which is faster and takes longer to compile. If `out`
    is usually one of the arguments (`in_place`), the loads of a row do not wait for the stores of the last.
    """

    def python(samples: int, n: int, *arrays: Values) -> None:
        *arguments, out = (each.reshape(samples, -1) if np.ndim(each) else each for each in arrays)
        with np.errstate(all="ignore"):
            out[...] = formula(Rows(), *arguments)

    return emitted_function(
        name, _writing(formula, numbers=numbers, in_blocks=in_blocks, exact=in_place), python
    )


def emitted_function(
    name: str, write: Callable[..., None], python: Callable[..., None]
) -> Callable[..., None]:
    """Returns a function `(count, n, *arguments)` of arrays and numbers, whose LLVM code `write` emits.

    Where nothing is compiled it is `python`. The last argument is an array.
    """

    def generate(
        context: BaseContext, builder: llvm.IRBuilder, signature: Signature, values: Sequence[llvm.Value]
    ) -> llvm.Value:
        count, n, packed = values
        _call(context, builder, name, write, [count, n], signature.args[2], packed)
        return context.get_dummy_value()

    def typer(_context: object, count: types.Type, n: types.Type, *arguments: types.Type) -> TypedIntrinsic:
        return types.none(count, n, types.StarArgTuple.from_types(arguments)), generate

    return written_in_llvm(typer)(python)


def by_short_vector(
    name: str, formulas: Sequence[Callable[..., Number] | None], *, sums: bool = False
) -> Callable[..., None]:
    """Returns a function `(code, n, *arguments, out)`: out = formulas[code](*arguments), or its sum.

    It is for short vectors (`is_short_vector`); a loop would take elements that fill no vector one by one.
    """

    def of_row(formula: Callable[..., Number]) -> Callable[..., Number]:
        def result(row: Row, *arguments: Number) -> Number:
            numbers: Number = formula(*arguments)
            return row.total(numbers) if sums else numbers

        return result

    def python(code: int, n: int, *arrays: Values) -> None:
        *arguments, out = (each.reshape(1, -1) if np.ndim(each) else each for each in arrays)
        with np.errstate(all="ignore"):
            formula = formulas[code]
            if formula is not None:
                out[:, : 1 if sums else n] = of_row(formula)(Rows(), *arguments)

    def generate(
        context: BaseContext, builder: llvm.IRBuilder, signature: Signature, values: Sequence[llvm.Value]
    ) -> llvm.Value:
        code, n, packed = values
        for formula in switch_cases(builder, code, formulas):
            case = f"{name}{formulas.index(formula)}"
            write = _writing(of_row(formula), numbers=sums, most=SHORT_VECTOR_REGISTERS)
            _call(context, builder, case, write, [INDEX(1), n], signature.args[2], packed)
        return context.get_dummy_value()

    def typer(_context: object, code: types.Type, n: types.Type, *arrays: types.Type) -> TypedIntrinsic:
        return types.none(code, n, types.StarArgTuple.from_types(arrays)), generate

    return written_in_llvm(typer)(python)


def _write_sums(
    code: SimdBuilder,
    samples: llvm.Value,
    n: llvm.Value,
    stride: llvm.Value,
    rows: llvm.Value,
    out: llvm.Value,
) -> None:
    def body(lanes: RowLanes) -> None:
        def few_rows(start: IndexLike) -> llvm.Value:
            def add_row(s: llvm.Value, sums: llvm.Value) -> Sequence[llvm.Value]:
                total: Number = IRValue(code.builder, sums) + lanes.argument(rows, s)
                return [total.value]

            begin = code.index(start)
            stop = code.smaller(code.builder.add(begin, INDEX(SUMMED_ROWS)), samples)
            second = code.builder.add(begin, INDEX(1))
            (sums,) = code.repeat(second, stop, 1, add_row, lanes.argument(rows, start).value)
            return sums

        def add_rows(start: llvm.Value, *sums: llvm.Value) -> Sequence[llvm.Value]:
            total, rest, part = (IRValue(code.builder, each) for each in (*sums, few_rows(start)))
            return [each.value for each in add_in_twice_the_precision(total, rest, part)]

        first = few_rows(0)
        nothing = llvm.Constant(first.type, [-0.0] * lanes.width)  # x + -0.0 is x, also where x is -0.0
        sums = code.repeat(SUMMED_ROWS, samples, SUMMED_ROWS, add_rows, first, nothing)
        total, rest = (IRValue(code.builder, each) for each in sums)
        lanes.store(total + rest, out)

    by_row_length(code, n, body, stride=stride)


def _sums(samples: int, n: int, stride: int, rows: Vector[F], out: Vector[F]) -> None:
    columns = np.add.outer(np.arange(samples) * stride, np.arange(n))
    rows[columns].sum(axis=0, dtype=rows.dtype, out=out)


sum_short_rows: Callable[..., None] = emitted_function("sums_of_rows", _write_sums, _sums)
"""`sum_short_rows(samples, n, stride, rows, out)`: out (n,) is the sum of rows of n elements that lie
`stride` elements apart, one after another, with the rounding errors added at the end."""


def by_row_length(
    code: SimdBuilder,
    n: llvm.Value,
    body: Callable[[RowLanes], None],
    most: int = SHORT_ROW_REGISTERS,
    stride: llvm.Value | None = None,
) -> None:
    """Writes a body for each number of vectors that a row may need; after it the function returns."""
    for vectors in range(1, most + 1):
        with code.builder.if_then(code.builder.icmp_signed("<=", n, INDEX(vectors * code.lanes))):
            body(RowLanes(code, n, vectors, stride))
            code.builder.ret_void()


def _call(
    context: BaseContext,
    builder: llvm.IRBuilder,
    name: str,
    write: Callable[..., None],
    counts: Sequence[llvm.Value],
    kinds: Sequence[types.Type],
    packed: llvm.Value,
) -> None:
    """Writes a call of a function of a module with two counts and a tuple of arguments."""
    operands = unpack_operands(context, builder, kinds, packed)
    letters = "".join(
        "p" if each.data is not None else "i" if isinstance(kind, types.Integer) else "r"
        for each, kind in zip(operands, kinds, strict=True)
    )
    *_, last = kinds
    assert isinstance(last, types.Array)
    function = module_function(
        builder.module, name, context.get_value_type(last.dtype), "ii" + letters, write
    )
    builder.call(function, [*counts, *(each.data or each.value for each in operands)])


def _writing(
    formula: Callable[..., Number],
    *,
    numbers: bool,
    most: int = SHORT_ROW_REGISTERS,
    in_blocks: bool = False,
    exact: bool = False,
) -> Callable[..., None]:
    """Returns a function that writes the LLVM of a formula; rows are computed one by one, or `in_blocks`."""

    def write(code: SimdBuilder, samples: llvm.Value, n: llvm.Value, *operands: llvm.Value) -> None:
        *arguments, out = operands

        def rows(lanes: RowLanes | BlockLanes, start: IndexLike, stop: IndexLike) -> None:
            def compute(s: llvm.Value) -> None:
                result = formula(lanes, *(lanes.argument(each, s) for each in arguments))
                if numbers:
                    code.store(lanes.firsts(result), code.at(out, s))
                else:
                    lanes.store(result, out, s, exact=exact)

            code.repeat(start, stop, lanes.count, compute)

        done: llvm.Value = INDEX(0)
        for width in sorted({min(NARROW_LANES, code.lanes), code.lanes}) if in_blocks else ():
            count = BLOCK_REGISTERS * code.lanes // width
            fits = code.builder.icmp_signed("<=", n, INDEX(width))
            stop = code.builder.select(fits, code.round_down(samples, count), done)
            rows(BlockLanes(code, n, width, count), done, stop)
            done = stop
        by_row_length(code, n, lambda lanes: rows(lanes, done, samples), most)

    return write


@inline
def is_short_row(n: int, like: Vector[F]) -> bool:
    """Says whether rows of n elements fit in `SHORT_ROW_REGISTERS` vector registers."""
    return n * like.itemsize <= MAX_ROW_BYTES


@inline
def is_short_vector(n: int, like: Vector[F]) -> bool:
    """Says whether n elements fit in `SHORT_VECTOR_REGISTERS` and are too many for scalar code."""
    is_vector: bool = n > SHORT_VECTOR_SCALAR_ELEMENTS
    return is_vector and SHORT_ROW_REGISTERS * n * like.itemsize <= SHORT_VECTOR_REGISTERS * MAX_ROW_BYTES

"""Formulas of short rows, each of which fits in a few vector registers: softmax and what belongs to it.

Such a row is read once, whatever a formula asks of it. A loop over ten numbers, for each sum of a row, would
take longer to begin and to end than to run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from operator import add
from typing import TYPE_CHECKING, Protocol

import numpy as np
from llvmlite import ir as llvm
from numba import types
from numba.core.base import BaseContext
from numba.core.typing.templates import Signature
from numba.extending import intrinsic

from typednn_kernels.arrays import F, Values, Vector
from typednn_kernels.compiled.jit import kernel
from typednn_kernels.compiled.loops import Operand, _cases, _operands
from typednn_kernels.compiled.symbols import Number, Symbol
from typednn_kernels.compiled.vectors import INDEX, SHORT, VECTOR, _Code, shared
from typednn_kernels.compiled.views import FEATURES, PYTHON_ONLY, _Typed, field
from typednn_kernels.elementary import maximum, where

MOST = 4
"""So many vectors hold a row at most."""
SINGLE, FEW = 2, 2
"""So few numbers are taken one by one; so many vectors of them are few."""
LONGEST = MOST * VECTOR if FEATURES.get("avx") else 0
"""Bytes of the longest row; none is short where parts of vectors cannot be read."""


class Row(Protocol):
    """What a formula asks of a row: numbers that stand in all places of the result."""

    def largest(self, x: Number) -> Number:
        """The largest of the numbers, or any, or NaN, where one is NaN."""

    def total(self, x: Number) -> Number:
        """Their sum."""


class _Rows:
    """Rows of NumPy."""

    def largest(self, x: Values) -> Values:
        result: Values = x.max(axis=1, keepdims=True)
        return result

    def total(self, x: Values) -> Values:
        result: Values = x.sum(axis=1, keepdims=True, dtype=x.dtype)
        return result


class _Lanes:
    """Rows in so many vectors, of which the last may be less than full."""

    def __init__(self, code: _Code, n: llvm.Value, vectors: int) -> None:
        self.code, self.n = code, n
        self.starts = [k * code.lanes for k in range(vectors)]
        self.width = code.lanes * 2 ** (vectors - 1).bit_length()
        self.left = code.builder.sub(n, INDEX(self.starts[-1]))
        self.mask, self.last = code.mask(n, self.width), code.mask(self.left, code.lanes)

    def argument(self, operand: llvm.Value, kind: str, s: llvm.Value) -> Symbol:
        """A row, or a number in all places."""
        code, vectors = self.code, len(self.starts)
        if kind == "r":
            return Symbol(code.builder, code.filled(operand, llvm.VectorType(code.real, self.width)))
        masks = [*[None] * (vectors - 1), self.last]
        pieces = [
            code.load(code.at(operand, (s, self.n), start), mask=mask)
            for start, mask in zip(self.starts, masks, strict=True)
        ]
        nothing = [llvm.Constant(code.vector, None)] * (self.width // code.lanes - vectors)
        return Symbol(code.builder, code.joined([*pieces, *nothing], code.lanes))

    def store(self, result: Symbol, out: llvm.Value, s: llvm.Value) -> None:
        """Writes a row."""
        code, value = self.code, result.value
        *whole, last = [
            (code.shuffled(value, value, range(start, start + code.lanes)), code.at(out, (s, self.n), start))
            for start in self.starts
        ]
        for each in whole:
            code.store(*each)
        code.store_some(*last, self.left)

    def largest(self, x: Number) -> Number:
        return self._folded(x, -np.inf, maximum)

    def total(self, x: Number) -> Number:
        return self._folded(x, 0.0, add)

    def _folded(self, x: Number, neutral: float, join: Callable[[Number, Number], Number]) -> Number:
        inside: Number = x.like(self.mask)
        chosen: Number = where(inside, x, neutral)
        value, count = chosen.value, self.width
        while count > 1:
            count //= 2
            halves = (x.like(self.code.shuffled(value, value, range(i, i + count))) for i in (0, count))
            value = join(*halves).value
        return x.like(self.code.shuffled(value, value, [0] * self.width))


def of_rows(name: str, formula: Callable[..., Number], *, numbers: bool = False) -> Callable[..., None]:
    """A kernel `(samples, n, *arguments, out)`: of each of so many rows of n, out = formula(row, *arguments).

    Arguments are flat arrays (samples, n) and scalars; `out` is an array of rows, too, which may be one of
    them, or, of a formula whose result is one number for each row, (samples,). A row must be short.
    """

    def python(samples: int, n: int, *arrays: Values) -> None:
        *arguments, out = (each.reshape(samples, -1) if np.ndim(each) else each for each in arrays)
        with np.errstate(all="ignore"):
            out[...] = formula(_Rows(), *arguments)

    def generate(
        context: BaseContext, builder: llvm.IRBuilder, signature: Signature, values: Sequence[llvm.Value]
    ) -> llvm.Value:
        samples, n, packed = values
        operands = _operands(context, builder, signature.args[2], packed)
        real = context.get_value_type(signature.args[2][-1].dtype)
        _call(builder, name, formula, real, samples, n, operands, numbers=numbers)
        return context.get_dummy_value()

    def typer(_context: object, samples: types.Type, n: types.Type, *arrays: types.Type) -> _Typed:
        return types.none(samples, n, types.StarArgTuple.from_types(arrays)), generate

    return python if PYTHON_ONLY else intrinsic(typer)


def of_few(
    name: str, formulas: Sequence[Callable[..., Number] | None], *, sums: bool = False
) -> Callable[..., None]:
    """A kernel `(code, n, *arguments, out)`: out = formulas[code](*arguments), or its sum, of a few numbers.

    As many as `are_few`. A loop would take those that fill no vector one by one.
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
                out[:, : 1 if sums else n] = of_row(formula)(_Rows(), *arguments)

    def generate(
        context: BaseContext, builder: llvm.IRBuilder, signature: Signature, values: Sequence[llvm.Value]
    ) -> llvm.Value:
        code, n, packed = values
        operands = _operands(context, builder, signature.args[2], packed)
        real = context.get_value_type(signature.args[2][-1].dtype)
        for formula in _cases(builder, code, formulas):
            case = f"{name}{formulas.index(formula)}"
            _call(builder, case, of_row(formula), real, INDEX(1), n, operands, numbers=sums, most=FEW)
        return context.get_dummy_value()

    def typer(_context: object, code: types.Type, n: types.Type, *arrays: types.Type) -> _Typed:
        return types.none(code, n, types.StarArgTuple.from_types(arrays)), generate

    return python if PYTHON_ONLY else intrinsic(typer)


def _write_sums(code: _Code, samples: llvm.Value, n: llvm.Value, rows: llvm.Value, out: llvm.Value) -> None:
    """Writes the function of `sums_of_rows`."""
    for lanes in _each_length(code, n):

        def add_row(s: llvm.Value, sums: llvm.Value, lanes: _Lanes = lanes) -> Sequence[llvm.Value]:
            total: Number = Symbol(code.builder, sums) + lanes.argument(rows, "p", s)
            return [total.value]

        (sums,) = code.repeat(1, samples, 1, add_row, lanes.argument(rows, "p", INDEX(0)).value)
        lanes.store(Symbol(code.builder, sums), out, INDEX(0))


def _sums_of_rows(
    _context: object, samples: types.Type, n: types.Type, rows: types.Array, out: types.Array
) -> _Typed:
    def generate(
        context: BaseContext, builder: llvm.IRBuilder, signature: Signature, values: Sequence[llvm.Value]
    ) -> llvm.Value:
        real = context.get_value_type(out.dtype)
        function = shared(builder.module, "sums_of_rows", real, "iipp", _write_sums)
        arrays = [
            field(context, builder, *each, "data") for each in zip((rows, out), values[2:], strict=True)
        ]
        builder.call(function, [*values[:2], *arrays])
        return context.get_dummy_value()

    return types.none(samples, n, rows, out), generate


if TYPE_CHECKING or PYTHON_ONLY:

    def sums_of_rows(samples: int, n: int, rows: Vector[F], out: Vector[F]) -> None:
        rows.reshape(samples, n).sum(axis=0, dtype=rows.dtype, out=out)

else:
    sums_of_rows = intrinsic(_sums_of_rows)
"""`sums_of_rows(samples, n, rows, out)`: out (n,) is the sum of flat rows (samples, n), one after another."""


def _each_length(code: _Code, n: llvm.Value, most: int = MOST) -> Iterator[_Lanes]:
    """By each number of vectors that a row may need; what is written meanwhile ends the function."""
    for vectors in range(1, most + 1):
        with code.builder.if_then(code.builder.icmp_signed("<=", n, INDEX(vectors * code.lanes))):
            yield _Lanes(code, n, vectors)
            code.builder.ret_void()


def _call(
    builder: llvm.IRBuilder,
    name: str,
    formula: Callable[..., Number],
    real: llvm.Type,
    samples: llvm.Value,
    n: llvm.Value,
    operands: Sequence[Operand],
    *,
    numbers: bool,
    most: int = MOST,
) -> None:
    """Calls the function of a formula."""
    kinds = "".join("r" if each.data is None else "p" for each in operands)
    write = _writing(formula, kinds, numbers=numbers, most=most)
    function = shared(builder.module, name, real, "ii" + kinds, write)
    builder.call(function, [samples, n, *(each.data or each.value for each in operands)])


def _writing(formula: Callable[..., Number], kinds: str, *, numbers: bool, most: int) -> Callable[..., None]:
    """What writes the function of a formula: a loop for each number of vectors that a row may need."""

    def write(code: _Code, samples: llvm.Value, n: llvm.Value, *operands: llvm.Value) -> None:
        *arguments, out = zip(operands, kinds, strict=True)
        for lanes in _each_length(code, n, most):

            def row(s: llvm.Value, lanes: _Lanes = lanes) -> None:
                result = formula(lanes, *(lanes.argument(*each, s) for each in arguments))
                if numbers:
                    first = code.builder.extract_element(result.value, SHORT(0))
                    code.builder.store(first, code.at(out[0], s))
                else:
                    lanes.store(result, out[0], s)

            code.repeat(0, samples, 1, row)

    return write


@kernel
def is_short(n: int, like: Vector[F]) -> bool:
    """Whether rows of n numbers are short."""
    return n * like.itemsize <= LONGEST


@kernel
def are_few(n: int, like: Vector[F]) -> bool:
    """Whether n numbers fit in so many vectors as are few, and are worth one."""
    return n > SINGLE and MOST * n * like.itemsize <= FEW * LONGEST

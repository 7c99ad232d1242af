"""Loops over formulas, matrix products and views: what is written in LLVM instead of compiled by numba.

A table of formulas becomes one loop for each row and a switch between them, in the function that uses
it: nothing is called and nothing is inferred, which compiles ten times faster than a numba function for
each formula, and vectorises however many numbers there are.

All arrays are C-contiguous and taken in flat order, whatever their shape. Nothing is checked.
"""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false
# Formulas written as lambdas have no types.

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from llvmlite import ir as llvm
from llvmlite.binding import get_host_cpu_features
from numba import types
from numba.core import cgutils, config
from numba.extending import intrinsic, overload
from numba.np.arrayobj import populate_array
from numba.np.linalg import call_xxgemm, call_xxgemv

from typednn_kernels.arrays import F, Matrix, Values, Vector
from typednn_kernels.compiled.symbols import INSTRUCTIONS, REORDERED, SINGLE, Symbol, write

if TYPE_CHECKING:
    from numba.core.base import BaseContext
    from numba.core.typing.templates import Signature

Formula: TypeAlias = Callable[..., Any]
Loop: TypeAlias = Callable[..., None]
Typed: TypeAlias = "tuple[Signature, Callable[..., llvm.Value]]"
"""What numba asks an intrinsic for: its signature, and what writes it."""

PYTHON_ONLY = bool(config.DISABLE_JIT)
"""Whether numba was told to compile nothing: everything here is then the Python it stands for."""
FEW = 3
"""Up to so many steps are taken one by one: a vector would wait for the numbers just written one by one."""
BLOCK = 64
"""A multiple of every vector that LLVM may choose, so that nothing is left to do after the last."""
MASKS = any(get_host_cpu_features().get(name, False) for name in ("avx512vl", "sve"))
"""Whether the CPU has masked vectors, which need no steps one by one after the last full vector."""


def elementwise(*formulas: Formula | None) -> Loop:
    """A kernel `(code, n, *arguments, out)`: out[i] = formulas[code](arguments), i < n.

    Arguments are arrays and scalars. `out` may be one of them, but not overlap them otherwise.
    """

    def python(code: int, n: int, *arrays: Values) -> None:
        formula, (*arguments, out) = formulas[code], _heads(n, arrays)
        if formula is not None:
            with np.errstate(all="ignore"):
                out[...] = formula(*arguments)

    def generate(
        context: BaseContext, builder: llvm.IRBuilder, signature: Signature, values: Sequence[llvm.Value]
    ) -> llvm.Value:
        code, n, operands = _operands(context, builder, signature, values)
        *arguments, out = operands
        for formula in _cases(builder, code, formulas):
            for i in _independent_steps(builder, n):
                builder.store(write(formula, builder, [each.at(i) for each in arguments]), out.pointer(i))
        return context.get_dummy_value()

    def typer(_context: object, code: types.Type, n: types.Type, *arrays: types.Array) -> Typed:
        return types.none(code, n, types.StarArgTuple.from_types(arrays)), generate

    return python if PYTHON_ONLY else intrinsic(typer)


def sums(*formulas: Formula | None) -> Formula:
    """A kernel `(code, n, *arguments)`: the sum of formulas[code](arguments) over i < n, in any order."""

    def add(total: Symbol, term: Symbol) -> llvm.Value:
        return total.builder.fadd(total.value, term.value, flags=REORDERED)

    return _folds(formulas, add, 0.0, np.sum)


def maxima(*formulas: Formula | None) -> Formula:
    """A kernel `(code, n, *arguments)`: the largest of formulas[code](arguments) over i < n."""
    return _folds(formulas, lambda most, term: INSTRUCTIONS["fmax"](most, term).value, -np.inf, np.max)


def _folds(
    formulas: Sequence[Formula | None],
    combine: Callable[[Symbol, Symbol], llvm.Value],
    neutral: float,
    in_python: Callable[[Values], np.floating],
) -> Formula:
    def python(code: int, n: int, *arrays: Values) -> np.floating:
        formula = formulas[code]
        if formula is None:
            return arrays[0].dtype.type(neutral)
        with np.errstate(all="ignore"):
            return in_python(formula(*_heads(n, arrays)))

    def generate(
        context: BaseContext, builder: llvm.IRBuilder, signature: Signature, values: Sequence[llvm.Value]
    ) -> llvm.Value:
        code, n, arguments = _operands(context, builder, signature, values)
        kind = context.get_value_type(signature.return_type)
        result = cgutils.alloca_once_value(builder, llvm.Constant(kind, neutral))
        for formula in _cases(builder, code, formulas):
            for i in _independent_steps(builder, n):
                term = write(formula, builder, [each.at(i) for each in arguments])
                builder.store(combine(Symbol(builder, builder.load(result)), Symbol(builder, term)), result)
        return builder.load(result)

    def typer(_context: object, code: types.Type, n: types.Type, *arrays: types.Array) -> Typed:
        return arrays[0].dtype(code, n, types.StarArgTuple.from_types(arrays)), generate

    return python if PYTHON_ONLY else intrinsic(typer)


def formula(function: Formula) -> Formula:
    """A formula that kernels call with scalars of one dtype."""

    def typer(_context: object, *arguments: types.Type) -> Typed:
        def generate(
            _target: object, builder: llvm.IRBuilder, _signature: object, values: Sequence[llvm.Value]
        ) -> llvm.Value:
            return write(function, builder, cgutils.unpack_tuple(builder, values[0]))

        return arguments[0](types.StarArgTuple.from_types(arguments)), generate

    return function if PYTHON_ONLY else intrinsic(typer)


def means(elementary: Formula) -> Callable[[Callable[[Any], Formula]], None]:
    """Registers what an elementary function is in formulas, and in kernels that call it.

    The decorated function gets the symbol of the argument and returns the formula for its dtype.
    """

    def register(choose: Callable[[Any], Formula]) -> None:
        def meaning(*arguments: Any) -> Any:
            return choose(*arguments)(*arguments)

        if INSTRUCTIONS.setdefault(elementary.__name__, meaning) is meaning and not PYTHON_ONLY:
            scalar = formula(elementary)
            overload(elementary, inline="always")(lambda x: lambda x: scalar(x))  # noqa: PLW0108 (numba takes no intrinsic)

    return register


def is_float32(argument: object) -> bool:
    """Whether a symbol is float32."""
    return isinstance(argument, Symbol) and argument.value.type == SINGLE


def _heads(n: int, arrays: Sequence[Values]) -> list[Values]:
    """What a loop of n steps works on, in Python."""
    return [each.reshape(-1)[:n] if np.ndim(each) else each for each in arrays]


class _Operand:
    """An argument of a loop: the elements of an array, or a scalar that is the same for all."""

    def __init__(
        self, context: BaseContext, builder: llvm.IRBuilder, kind: types.Type, value: llvm.Value
    ) -> None:
        self.builder, self.value = builder, value
        is_array = isinstance(kind, types.Array)
        self.data = context.make_array(kind)(context, builder, value).data if is_array else None

    def pointer(self, index: llvm.Value) -> llvm.Value:
        """The address of an element of an array."""
        assert self.data is not None
        return self.builder.gep(self.data, [index], inbounds=True)

    def at(self, index: llvm.Value) -> llvm.Value:
        """An element."""
        return self.value if self.data is None else self.builder.load(self.pointer(index))


def _operands(
    context: BaseContext, builder: llvm.IRBuilder, signature: Signature, values: Sequence[llvm.Value]
) -> tuple[llvm.Value, llvm.Value, list[_Operand]]:
    """Code, n and operands of a loop."""
    code, n, packed = values
    arguments = zip(signature.args[2], cgutils.unpack_tuple(builder, packed), strict=True)
    return code, n, [_Operand(context, builder, kind, each) for kind, each in arguments]


def _cases(
    builder: llvm.IRBuilder, code: llvm.Value, formulas: Sequence[Formula | None]
) -> Iterator[Formula]:
    """Goes through the formulas; what is written while at one runs only for its code."""
    after = builder.append_basic_block("after")
    choice = builder.switch(code, after)
    for number, formula in enumerate(formulas):
        if formula is not None:
            block = builder.append_basic_block(f"case{number}")
            choice.add_case(number, block)
            builder.position_at_end(block)
            yield formula
            builder.branch(after)
    builder.position_at_end(after)


def _independent_steps(builder: llvm.IRBuilder, n: llvm.Value) -> Iterator[llvm.Value]:
    """Goes through the index of n steps that are independent of each other: by each loop that it writes.

    A few steps are taken one by one; of more, whole blocks in vectors, and what is left in masked vectors.
    """
    yes, one = llvm.Constant(llvm.IntType(1), 1), llvm.Constant(llvm.IntType(32), 1)
    independent = _Distinct.of(builder.module, lambda _: ())
    with builder.if_else(builder.icmp_signed("<=", n, n.type(FEW))) as (few, many):
        with few, cgutils.for_range(builder, n) as loop:
            yield loop.index
        _describe(loop, {"vectorize.width": one, "interleave.count": one, "unroll.disable": yes})
        with many:
            blocks = builder.and_(n, n.type(-BLOCK)) if MASKS else n
            with cgutils.for_range(builder, blocks) as loop:
                yield loop.index
            _mark(loop, independent)
            _describe(loop, {"parallel_accesses": independent})
            if MASKS:
                with cgutils.for_range(builder, n, blocks) as loop:
                    yield loop.index
                _mark(loop, independent)
                _describe(loop, {"parallel_accesses": independent, "vectorize.predicate.enable": yes})


def _mark(loop: cgutils.Loop, group: llvm.MDValue) -> None:
    """Names the group of the loads and stores of a loop."""
    for instruction in _latch(loop).instructions:
        if instruction.opname in {"load", "store"}:
            instruction.set_metadata("llvm.access.group", group)


def _latch(loop: cgutils.Loop) -> llvm.Block:
    """The last block of the body of a loop: here the whole body, since formulas have no branches."""
    _, block = loop.index.incomings[-1]
    return block


def _describe(loop: cgutils.Loop, hints: Mapping[str, llvm.Value]) -> None:
    """Tells LLVM about a loop: llvm.org/docs/LangRef.html#llvm-loop."""
    module = _latch(loop).function.module
    nodes = [
        module.add_metadata([llvm.MetaDataString(module, f"llvm.loop.{name}"), value])
        for name, value in hints.items()
    ]
    _latch(loop).terminator.set_metadata("llvm.loop", _Distinct.of(module, lambda itself: (itself, *nodes)))


class _Distinct(llvm.MDValue):
    """A piece of metadata that equals no other."""

    __eq__, __ne__, __hash__ = object.__eq__, object.__ne__, object.__hash__

    def descr(self, buf: list[str]) -> None:
        part: list[str] = []
        super().descr(part)
        buf += ("distinct ", *part)

    @classmethod
    def of(cls, module: llvm.Module, make: Callable[[_Distinct], tuple[llvm.Value, ...]]) -> _Distinct:
        node = cls(module, [], name=str(len(module.metadata)))
        node.operands = tuple(make(node))
        return node


def _product(_context: object, x: types.Array, y: types.Array, result: types.Array) -> Typed:
    def generate(
        context: BaseContext, builder: llvm.IRBuilder, signature: Signature, values: Sequence[llvm.Value]
    ) -> llvm.Value:
        operands: list[Any] = []  # type, shape and data of each
        for kind, value in zip(signature.args, values, strict=True):
            array = context.make_array(kind)(context, builder, value)
            operands += [kind, cgutils.unpack_tuple(builder, array.shape), array.data]
        if y.ndim == 1:
            x_type, x_shape, x_data, _, _, y_data, _, _, result_data = operands
            by_columns = x_type.layout == "C"  # BLAS counts by columns
            call_xxgemv(context, builder, by_columns, x_type, x_shape, x_data, y_data, result_data)
        else:
            call_xxgemm(context, builder, *operands)
        return context.get_dummy_value()

    return types.none(x, y, result), generate


def _view(array: types.Array, start: types.Type, *shape: types.Type) -> Typed:
    def generate(
        context: BaseContext, builder: llvm.IRBuilder, signature: Signature, values: Sequence[llvm.Value]
    ) -> llvm.Value:
        array, start, *shape = values
        data = context.make_array(signature.args[0])(context, builder, array).data
        part = context.make_array(signature.return_type)(context, builder)
        size = context.get_constant(types.intp, context.get_abi_sizeof(data.type.pointee))
        populate_array(
            part,
            data=builder.gep(data, [start], inbounds=True),
            shape=shape,
            strides=[*(builder.mul(size, each) for each in shape[1:]), size],
            itemsize=size,
            meminfo=None,
        )
        return part._getvalue()

    return types.Array(array.dtype, len(shape), "C")(array, start, *shape), generate


def _piece(_context: object, array: types.Array, start: types.Type, n: types.Type) -> Typed:
    return _view(array, start, n)


def _rows(_context: object, array: types.Array, start: types.Type, n: types.Type, m: types.Type) -> Typed:
    return _view(array, start, n, m)


if TYPE_CHECKING:

    def product(x: Matrix[F], y: Matrix[F] | Vector[F], result: Matrix[F] | Vector[F]) -> None: ...
    def piece(array: Vector[F] | Matrix[F], start: int, n: int) -> Vector[F]: ...
    def rows(array: Vector[F], start: int, n: int, m: int) -> Matrix[F]: ...

elif PYTHON_ONLY:

    def product(x: Values, y: Values, result: Values) -> None:
        np.dot(x, y, out=result)

    def piece(array: Values, start: int, n: int) -> Values:
        return array.reshape(-1)[start : start + n]

    def rows(array: Values, start: int, n: int, m: int) -> Values:
        return piece(array, start, n * m).reshape(n, m)

else:
    product, piece, rows = intrinsic(_product), intrinsic(_piece), intrinsic(_rows)
"""`product(x, y, result)`: by BLAS, of matrices, which may be transposed views, or of a matrix and a vector.
`piece(array, start, n)`: n elements from `start` on `(n,)`.
`rows(array, start, n, m)`: the same as a matrix `(n, m)`."""

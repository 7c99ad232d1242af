"""Loops over formulas, written in LLVM instead of compiled by numba.

A table of formulas becomes one loop for each row and a switch between them, in the function that uses it:
nothing is called and no types are inferred, which compiles ten times faster than a numba function for each
formula, and vectorises whatever the number of elements.

All arrays are C-contiguous and taken in flat order, whatever their shape. Nothing is checked.
"""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# Formulas written as lambdas have no types.

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np
from llvmlite import ir as llvm
from numba import types
from numba.core import cgutils
from numba.extending import overload

from typednn_kernels.arrays import Values
from typednn_kernels.compiled._codegen.array_views import (
    CPU_FEATURES,
    elements,
    prefer_widest_vectors,
)
from typednn_kernels.compiled._codegen.in_python.twins import JIT_DISABLED, TypedIntrinsic, written_in_llvm
from typednn_kernels.compiled._codegen.ir_types import BIT, INDEX, INT32, POINTER, DistinctMetadata
from typednn_kernels.compiled._codegen.ir_values import (
    INSTRUCTIONS,
    REASSOCIATE,
    IRValue,
    Number,
    emit,
    emit_all,
)
from typednn_kernels.compiled._codegen.private_parts import HINTS
from typednn_kernels.compiled._codegen.tuning import (
    CHUNK_ELEMENTS,
    LOOP_BLOCK_ELEMENTS,
    LOOP_SCALAR_ELEMENTS,
)
from typednn_kernels.primitives import where

if TYPE_CHECKING:
    from numba.core.base import BaseContext
    from numba.core.typing.templates import Signature

Formula: TypeAlias = Callable[..., Number]
Loop: TypeAlias = Callable[..., None]

HAS_MASKED_VECTORS = any(CPU_FEATURES.get(name, False) for name in ("avx512vl", "sve"))
"""Whether the CPU has masked vectors, so that no scalar steps follow the last full vector."""


class DefaultCase(Protocol):
    """Handles the codes of a loop for which it has no formula of its own."""

    def formula(self, code: int) -> Formula | None:
        """Returns the formula of a code."""

    def call(
        self, builder: llvm.IRBuilder, code: llvm.Value, n: llvm.Value, operands: Sequence[Operand]
    ) -> llvm.Value:
        """Calls a loop over the formula of the code."""
        ...


def elementwise(
    *formulas: Formula | None,
    outs: int = 1,
    indexed: bool = False,
    default_case: DefaultCase | None = None,
    real: type[IRValue] = IRValue,
) -> Loop:
    """Returns a loop `(code, n, *arguments, out)`: out[i] = formulas[code](arguments[i]), i < n.

    Arguments are arrays and scalars, or tuples of them. `out` may be one of them, but not overlap them
    otherwise. With several `outs` a formula returns a tuple; a formula with fewer results than `outs` writes
    only the first outs. If `indexed`, the formulas get i before the arguments, as an integer of 32 bits.
    `real` is what the compiled formulas are called with.
    """

    def python(code: int, n: int, *arrays: Values) -> None:
        formula, operands = _chosen(formulas, default_case, code), _heads(n, arrays)
        index = [np.arange(n, dtype=np.uint32)] * indexed
        if formula is not None:
            with np.errstate(all="ignore"):
                results = formula(*index, *operands[:-outs])
            for out, result in zip(operands[-outs:], results if outs > 1 else (results,), strict=False):
                out[...] = result

    def generate(
        context: BaseContext, builder: llvm.IRBuilder, signature: Signature, values: Sequence[llvm.Value]
    ) -> llvm.Value:
        code, n, packed = values
        operands = unpack_operands(context, builder, signature.args[2], packed)
        arguments: list[Operand | Index] = [*[Index(builder)] * indexed, *operands[:-outs]]
        _write_loops(builder, formulas, code, n, arguments, operands[-outs:], real)
        _write_default_case(builder, code, formulas, default_case, n, operands)
        return context.get_dummy_value()

    def typer(_context: object, code: types.Type, n: types.Type, *arrays: types.Type) -> TypedIntrinsic:
        return types.none(code, n, types.StarArgTuple.from_types(arrays)), generate

    return written_in_llvm(typer)(python)


def _write_loops(
    builder: llvm.IRBuilder,
    formulas: Sequence[Formula | None],
    code: llvm.Value,
    n: llvm.Value,
    arguments: Sequence[Operand | Index],
    outs: Sequence[Operand],
    real: type[IRValue] = IRValue,
) -> None:
    for formula in switch_cases(builder, code, formulas):
        for i in _independent_steps(builder, n):
            results = emit_all(formula, builder, [each.at(i) for each in arguments], real)
            for out, result in zip(outs, results, strict=False):
                builder.store(result, out.pointer(i))


@dataclass(frozen=True, slots=True)
class Reduction:
    """A reduction: `combine` reduces a chunk of terms, `join` adds it to the total and its rounding error."""

    neutral: float
    combine: Callable[[IRValue, IRValue], llvm.Value]
    join: Callable[[IRValue, IRValue, IRValue], tuple[llvm.Value, llvm.Value]]
    in_python: Callable[[Values], np.floating]


def _add(total: IRValue, term: IRValue) -> llvm.Value:
    return total.builder.fadd(total.value, term.value, flags=REASSOCIATE)


def two_sum(total: Number, part: Number) -> tuple[Number, Number]:
    """Computes total + part and its rounding error, 0 if not finite (Knuth, TAOCP 2, 4.2.2, theorem B)."""
    result: Number = total + part
    from_part: Number = result - total
    from_total: Number = result - from_part
    lost: Number = (total - from_total) + (part - from_part)
    return result, where(abs(lost) < np.inf, lost, 0)


SUMMED_ROWS = 16
"""Number of rows that are summed one after another; the sums of as many are added in twice the precision.
Another value changes the last bits of sums. Chosen for precision, not measured."""


def add_in_twice_the_precision(total: Number, rest: Number, part: Number) -> tuple[Number, Number]:
    """Adds a part to total + rest, of which rest is what total has lost by rounding."""
    result, lost = two_sum(total, part)
    more = rest + lost
    rounded = result + more
    kept = more - (rounded - result)
    return rounded, where(abs(kept) < np.inf, kept, 0)


def _add_exactly(total: IRValue, rest: IRValue, part: IRValue) -> tuple[llvm.Value, llvm.Value]:
    """Adds total + part, and its rounding error to rest."""
    result, lost = two_sum(total, part)
    return result.value, (rest + lost).value


def _larger(x: IRValue, y: IRValue) -> llvm.Value:
    larger: llvm.Value = INSTRUCTIONS["fmax"](x, y).value
    return larger


SUM = Reduction(0.0, _add, _add_exactly, np.sum)
MAXIMUM = Reduction(-np.inf, _larger, lambda total, rest, part: (_larger(total, part), rest.value), np.max)


def sum_reduction(*formulas: Formula | None, default_case: DefaultCase | None = None) -> Formula:
    """Returns a loop `(code, n, *arguments)` that sums formulas[code](arguments[i]), i < n, in any order."""
    return _reduction(formulas, SUM, default_case)


def max_reduction(*formulas: Formula | None) -> Formula:
    """Returns a loop `(code, n, *arguments)`: the maximum of formulas[code](arguments[i]) over i < n."""
    return _reduction(formulas, MAXIMUM, None)


def _reduction(
    formulas: Sequence[Formula | None], reduction: Reduction, default_case: DefaultCase | None
) -> Formula:
    def python(code: int, n: int, *arrays: Values) -> np.floating:
        formula = _chosen(formulas, default_case, code)
        if formula is None:
            return arrays[0].dtype.type(reduction.neutral)
        with np.errstate(all="ignore"):
            return reduction.in_python(formula(*_heads(n, arrays)))

    def generate(
        context: BaseContext, builder: llvm.IRBuilder, signature: Signature, values: Sequence[llvm.Value]
    ) -> llvm.Value:
        code, n, packed = values
        operands = unpack_operands(context, builder, signature.args[2], packed)
        kind = context.get_value_type(signature.return_type)
        result = _write_reduction(builder, formulas, reduction, kind, code, n, operands)
        place = cgutils.alloca_once_value(builder, result)
        _write_default_case(builder, code, formulas, default_case, n, operands, place)
        return builder.load(place, typ=kind)

    def typer(_context: object, code: types.Type, n: types.Type, *arrays: types.Array) -> TypedIntrinsic:
        return arrays[0].dtype(code, n, types.StarArgTuple.from_types(arrays)), generate

    return written_in_llvm(typer)(python)


def _write_reduction(
    builder: llvm.IRBuilder,
    formulas: Sequence[Formula | None],
    reduction: Reduction,
    kind: llvm.Type,
    code: llvm.Value,
    n: llvm.Value,
    arguments: Sequence[Operand],
) -> llvm.Value:
    total, rest, part = (
        cgutils.alloca_once_value(builder, kind(value))
        for value in (reduction.neutral, 0.0, reduction.neutral)
    )

    def now(*places: llvm.Value) -> list[IRValue]:
        return [IRValue(builder, builder.load(each, typ=kind)) for each in places]

    most = n.type(CHUNK_ELEMENTS)
    chunks = builder.sdiv(builder.add(n, n.type(CHUNK_ELEMENTS - 1)), most)
    for formula in switch_cases(builder, code, formulas):
        with cgutils.for_range(builder, chunks) as chunk:
            first = builder.mul(chunk.index, most)
            left = builder.sub(n, first)
            builder.store(kind(reduction.neutral), part)
            for i in _independent_steps(
                builder, builder.select(builder.icmp_signed("<", left, most), left, most)
            ):
                here = builder.add(first, i)
                term = emit(formula, builder, [each.at(here) for each in arguments])
                builder.store(reduction.combine(now(part)[0], IRValue(builder, term)), part)
            first_chunk = builder.icmp_signed("==", chunk.index, n.type(0))
            with builder.if_else(first_chunk) as (begin, go_on):
                with begin:
                    builder.store(builder.load(part, typ=kind), total)
                with go_on:
                    sum_, missing, more = now(total, rest, part)
                    joined, lost = reduction.join(sum_, missing, more)
                    builder.store(joined, total)
                    builder.store(lost, rest)
    result: Number = now(total)[0] + now(rest)[0]
    value: llvm.Value = result.value
    return value


def write_loop(
    module: llvm.Module, name: str, formula: Formula, real: llvm.Type, operands: str, *, sums: bool
) -> None:
    """Writes a C function `(code, n, *operands)`: a loop over one formula, whatever the code.

    A letter gives the kind of each operand: v for a vector, n for a scalar. The last vector is the result,
    unless the loop returns the sum.
    """
    kinds = {"v": POINTER, "n": real}
    arguments = [INDEX, INDEX, *(kinds[each] for each in operands)]
    function = llvm.Function(module, llvm.FunctionType(real if sums else llvm.VoidType(), arguments), name)
    builder = llvm.IRBuilder(function.append_basic_block("entry"))
    _, n, *values = function.args
    given = [
        Operand(builder, real, each, each if letter == "v" else None)
        for each, letter in zip(values, operands, strict=True)
    ]
    if sums:
        builder.ret(_write_reduction(builder, [formula], SUM, real, INDEX(0), n, given))
    else:
        _write_loops(builder, [formula], INDEX(0), n, given[:-1], given[-1:])
        builder.ret_void()


def scalar_function(function: Formula) -> Formula:
    """Returns a function that computes a formula of scalars of one dtype."""

    def typer(_context: object, *arguments: types.Type) -> TypedIntrinsic:
        def generate(
            _target: object, builder: llvm.IRBuilder, _signature: object, values: Sequence[llvm.Value]
        ) -> llvm.Value:
            return emit(function, builder, cgutils.unpack_tuple(builder, values[0]))

        return arguments[0](types.StarArgTuple.from_types(arguments)), generate

    return written_in_llvm(typer)(function)


def lowers(elementary: Formula) -> Callable[[Callable[[IRValue], Formula]], None]:
    """Registers the LLVM lowering of an elementary function, for formulas and for functions that call it.

    The decorated function gets the IR value of the argument and returns the formula for its dtype.
    """

    def register(choose: Callable[[IRValue], Formula]) -> None:
        def meaning(*arguments: IRValue) -> Number:
            return choose(*arguments)(*arguments)

        if INSTRUCTIONS.setdefault(elementary.__name__, meaning) is meaning and not JIT_DISABLED:
            scalar = scalar_function(elementary)
            overload(elementary, inline="always")(lambda x: lambda x: scalar(x))  # noqa: PLW0108 (numba takes no intrinsic)

    return register


def _heads(n: int, arrays: Iterable[Values | tuple[Values, ...]]) -> list[Values]:
    """Returns the first n elements of each array, for loops in Python."""
    heads: list[Values] = []
    for each in arrays:
        if isinstance(each, tuple):
            heads += _heads(n, each)
        else:
            heads.append(each.reshape(-1)[:n] if np.ndim(each) else each)
    return heads


class Operand:
    """An argument of a loop: the elements of an array from an address on, or one scalar for all steps."""

    def __init__(
        self, builder: llvm.IRBuilder, element: llvm.Type, value: llvm.Value, data: llvm.Value | None
    ) -> None:
        self.builder: llvm.IRBuilder = builder
        self.element: llvm.Type = element
        self.value: llvm.Value = value
        self.data: llvm.Value | None = data

    @classmethod
    def of(
        cls, context: BaseContext, builder: llvm.IRBuilder, kind: types.Type, value: llvm.Value
    ) -> Operand:
        """Returns the operand for an argument of an intrinsic."""
        if not isinstance(kind, types.Array):
            return cls(builder, value.type, value, None)
        element = context.get_data_type(kind.dtype)
        return cls(builder, element, value, elements(context, builder, kind, value))

    def pointer(self, index: llvm.Value) -> llvm.Value:
        """Returns the address of an element."""
        assert self.data is not None
        return self.builder.gep(self.data, [index], inbounds=True, source_etype=self.element)

    def at(self, index: llvm.Value) -> llvm.Value:
        """Returns an element."""
        return self.value if self.data is None else self.builder.load(self.pointer(index), typ=self.element)


class Index:
    """The index of a step, as an integer of 32 bits."""

    def __init__(self, builder: llvm.IRBuilder) -> None:
        self.builder: llvm.IRBuilder = builder

    def at(self, index: llvm.Value) -> llvm.Value:
        """Returns the index."""
        return self.builder.trunc(index, INT32)


def fields_of(
    builder: llvm.IRBuilder, kinds: Iterable[types.Type], packed: llvm.Value
) -> Iterator[tuple[types.Type, llvm.Value]]:
    """Unpacks a tuple, and tuples within it, into types and values."""
    for kind, value in zip(kinds, cgutils.unpack_tuple(builder, packed), strict=True):
        if isinstance(kind, types.BaseTuple):
            yield from fields_of(builder, kind.types, value)
        else:
            yield kind, value


def unpack_operands(
    context: BaseContext, builder: llvm.IRBuilder, kinds: Iterable[types.Type], packed: llvm.Value
) -> list[Operand]:
    """Unpacks the operands of a loop, which come in a tuple, and may come in tuples within it."""
    return [Operand.of(context, builder, *each) for each in fields_of(builder, kinds, packed)]


def switch_cases(
    builder: llvm.IRBuilder, code: llvm.Value, formulas: Sequence[Formula | None]
) -> Iterator[Formula]:
    """Iterates over the formulas; what is written in an iteration runs for the code of its formula only."""
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


def _write_default_case(
    builder: llvm.IRBuilder,
    code: llvm.Value,
    formulas: Sequence[Formula | None],
    default_case: DefaultCase | None,
    n: llvm.Value,
    operands: Sequence[Operand],
    place: llvm.Value | None = None,
) -> None:
    """Calls the default case for codes >= len(formulas), and stores its result at `place`, if given."""
    if default_case is not None:
        beyond = builder.icmp_signed(">=", code, code.type(len(formulas)))
        with builder.if_then(beyond, likely=False):
            result = default_case.call(builder, code, n, operands)
            if place is not None:
                builder.store(result, place)


def _chosen(
    formulas: Sequence[Formula | None], default_case: DefaultCase | None, code: int
) -> Formula | None:
    """Returns the formula of a code, for loops in Python."""
    return formulas[code] if default_case is None or code < len(formulas) else default_case.formula(code)


def _independent_steps(builder: llvm.IRBuilder, n: llvm.Value) -> Iterator[llvm.Value]:
    """Writes loops over n steps that are independent of each other, and yields the index in each.

    Where the CPU masks vectors, whole blocks run in full vectors and the rest in masked ones, and up to
    `LOOP_SCALAR_ELEMENTS` steps run one by one; elsewhere LLVM runs the rest one by one.
    """
    prefer_widest_vectors(builder.function)
    independent: llvm.MDValue | None = None
    with HINTS:
        independent = DistinctMetadata.of(builder.module, lambda _: ())
    if not HAS_MASKED_VECTORS:
        yield from _loop(builder, n.type(0), n, {"parallel_accesses": independent}, independent)
        return
    yes, one = llvm.Constant(BIT, 1), llvm.Constant(INT32, 1)
    one_by_one = {"vectorize.width": one, "interleave.count": one, "unroll.disable": yes}
    masked = {"parallel_accesses": independent, "vectorize.predicate.enable": yes}
    blocks = builder.and_(n, n.type(-LOOP_BLOCK_ELEMENTS))
    with builder.if_else(builder.icmp_signed("<=", n, n.type(LOOP_SCALAR_ELEMENTS))) as (few, many):
        with few:
            yield from _loop(builder, n.type(0), n, one_by_one)
        with many:
            yield from _loop(builder, n.type(0), blocks, {"parallel_accesses": independent}, independent)
            yield from _loop(builder, blocks, n, masked, independent)


def _loop(
    builder: llvm.IRBuilder,
    start: llvm.Value,
    stop: llvm.Value,
    hints: Mapping[str, llvm.Value | None],
    independent: llvm.MDValue | None = None,
) -> Iterator[llvm.Value]:
    """Writes a loop, marks its loads and stores as independent, and gives LLVM hints about it."""
    with cgutils.for_range(builder, stop, start) as loop:
        yield loop.index
    with HINTS:
        if HINTS.works:
            if independent is not None:
                _mark(loop, independent)
            _describe(loop, hints)


def _mark(loop: cgutils.Loop, group: llvm.MDValue) -> None:
    """Marks the loads and stores of a loop as a group of independent accesses."""
    for instruction in _latch(loop).instructions:
        if instruction.opname in {"load", "store"}:
            instruction.set_metadata("llvm.access.group", group)


def _latch(loop: cgutils.Loop) -> llvm.Block:
    """Returns the last block of a loop: here the whole body, since formulas have no branches."""
    _, block = loop.index.incomings[-1]
    return block


def _describe(loop: cgutils.Loop, hints: Mapping[str, llvm.Value | None]) -> None:
    """Attaches hints to a loop: llvm.org/docs/LangRef.html#llvm-loop."""
    module = _latch(loop).function.module
    nodes = [
        module.add_metadata([llvm.MetaDataString(module, f"llvm.loop.{name}"), value])
        for name, value in hints.items()
        if value is not None
    ]
    _latch(loop).terminator.set_metadata(
        "llvm.loop", DistinctMetadata.of(module, lambda itself: (itself, *nodes))
    )

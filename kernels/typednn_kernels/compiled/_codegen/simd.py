"""Functions on vector registers, written in LLVM; `ir_values` is for formulas."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from llvmlite import ir as llvm
from numba import types

from typednn_kernels.compiled._codegen.array_views import CPU_FEATURES, elements, field
from typednn_kernels.compiled._codegen.in_python.twins import TypedIntrinsic, written_in_llvm
from typednn_kernels.compiled._codegen.ir_loops import HAS_MASKED_VECTORS, fields_of
from typednn_kernels.compiled._codegen.ir_types import (
    BIT,
    INDEX,
    INT32,
    NULL,
    POINTER,
    DistinctMetadata,
    opaque,
)
from typednn_kernels.compiled._codegen.ir_values import FLOAT32
from typednn_kernels.compiled._codegen.private_parts import HINTS

if TYPE_CHECKING:
    from numba.core.base import BaseContext
    from numba.core.typing.templates import Signature

VECTOR_BYTES = 64 if CPU_FEATURES.get("avx512f") else 32 if CPU_FEATURES.get("avx") else 16
"""Bytes of a vector register."""
REGISTERS = 32 if VECTOR_BYTES == 64 or platform.machine() in {"aarch64", "arm64"} else 16


IndexLike: TypeAlias = llvm.Value | int
"""An index that exists when the machine code runs, or a constant."""


class SimdBuilder:
    """Writes the body of a function on floats of one type."""

    def __init__(self, function: llvm.Function, real: llvm.Type) -> None:
        self.builder: llvm.IRBuilder = llvm.IRBuilder(function.append_basic_block("entry"))
        self.real: llvm.Type = real
        self.itemsize: int = 4 if real == FLOAT32 else 8
        self.lanes: int = VECTOR_BYTES // self.itemsize
        self.vector: llvm.VectorType = llvm.VectorType(real, self.lanes)

    def at(self, pointer: llvm.Value, *offsets: IndexLike | tuple[IndexLike, IndexLike]) -> llvm.Value:
        """Returns pointer + offsets, in elements; a pair is an index and its stride."""
        for each in offsets:
            offset = self.product(*each) if isinstance(each, tuple) else self.index(each)
            pointer = self.builder.gep(pointer, [offset], source_etype=self.real)
        return pointer

    def index(self, number: IndexLike) -> llvm.Value:
        """Returns an index as an IR value."""
        return INDEX(number) if isinstance(number, int) else number

    def product(self, x: IndexLike, y: IndexLike) -> llvm.Value:
        """Returns the product of two indices."""
        return self.builder.mul(self.index(x), self.index(y))

    def smaller(self, x: llvm.Value, y: IndexLike) -> llvm.Value:
        """Returns the smaller of two indices."""
        y = self.index(y)
        return self.builder.select(self.builder.icmp_signed("<", x, y), x, y)

    def round_down(self, x: llvm.Value, block: int) -> llvm.Value:
        """Returns x rounded down to a multiple of `block`, a power of two."""
        return self.builder.and_(x, INDEX(-block))

    def blocks(self, x: llvm.Value, block: int) -> llvm.Value:
        """Returns x / block, rounded up."""
        return self.builder.sdiv(self.builder.add(x, INDEX(block - 1)), INDEX(block))

    def splat(self, value: llvm.Value, kind: llvm.VectorType) -> llvm.Value:
        """Broadcasts a scalar to all lanes of a vector."""
        nothing = llvm.Constant(kind, llvm.Undefined)
        single = self.builder.insert_element(nothing, value, INT32(0))
        return self.shuffled(single, nothing, [0] * kind.count)

    def shuffled(self, x: llvm.Value, y: llvm.Value, order: Sequence[int]) -> llvm.Value:
        """Returns the elements of two vectors that `order` lists; y is numbered on from x."""
        places = llvm.Constant(llvm.VectorType(INT32, len(order)), list(order))
        return self.builder.shuffle_vector(x, y, places)

    def joined(self, slices: Sequence[llvm.Value], lanes: int) -> llvm.Value:
        """Concatenates vectors of `lanes` elements; their number is a power of two."""
        if len(slices) == 1:
            return slices[0]
        half = len(slices) // 2
        x, y = self.joined(slices[:half], lanes), self.joined(slices[half:], lanes)
        return self.shuffled(x, y, range(lanes * len(slices)))

    def mask(self, count: llvm.Value, lanes: int) -> llvm.Value:
        """Returns the mask of the first `count` lanes."""
        kind = llvm.VectorType(INDEX, lanes)
        return self.builder.icmp_signed("<", llvm.Constant(kind, list(range(lanes))), self.splat(count, kind))

    def alloca(self, size: int) -> llvm.Value:
        """Allocates `size` elements on the stack, aligned to a vector."""
        buffer = self.builder.alloca(self.real, INDEX(size))
        buffer.align = VECTOR_BYTES
        return opaque(buffer)

    def load(
        self, pointer: llvm.Value, kind: llvm.VectorType | None = None, mask: llvm.Value | None = None
    ) -> llvm.Value:
        """Loads a vector, or the lanes of a mask and 0 in the others."""
        kind = kind or self.vector
        if mask is None:
            return self.builder.load(pointer, align=self.itemsize, typ=kind)
        zero = llvm.Constant(kind, None)
        return self.call("llvm.masked.load", kind, ".p0", kind, pointer, INT32(self.itemsize), mask, zero)

    def load_scalar(
        self, pointer: llvm.Value, *offsets: IndexLike | tuple[IndexLike, IndexLike]
    ) -> llvm.Value:
        """Loads a single element."""
        return self.builder.load(self.at(pointer, *offsets), typ=self.real)

    def kind_of(self, value: llvm.Value) -> llvm.VectorType:
        """Returns the type of a vector."""
        assert isinstance(value.type, llvm.VectorType)
        return value.type

    def store(self, value: llvm.Value, pointer: llvm.Value, mask: llvm.Value | None = None) -> None:
        """Stores a vector, or the lanes of a mask."""
        if mask is None:
            self.builder.store(value, pointer, align=self.itemsize)
        else:
            size, kind = INT32(self.itemsize), self.kind_of(value)
            self.call("llvm.masked.store", kind, ".p0", llvm.VoidType(), value, pointer, size, mask)

    def store_some(
        self, value: llvm.Value, pointer: llvm.Value, count: llvm.Value, *, exact: bool = False
    ) -> None:
        """Stores the first `count` elements of a vector.

        Where a masked store takes longer, it stores halves, quarters and so on. They are also `exact`: a load
        from where the other elements would lie waits for a masked store.
        """
        if HAS_MASKED_VECTORS and not exact:
            self.store(value, pointer, self.mask(count, self.kind_of(value).count))
            return
        whole = INDEX(self.kind_of(value).count)
        with self.builder.if_else(self.builder.icmp_signed("<", count, whole)) as (some, all_):
            with some:
                self._store_parts(value, pointer, count)
            with all_:
                self.store(value, pointer)

    def _store_parts(self, value: llvm.Value, pointer: llvm.Value, count: llvm.Value) -> None:
        builder, half = self.builder, self.kind_of(value).count // 2
        while half:
            low, high = (self.shuffled(value, value, range(first, first + half)) for first in (0, half))
            before = builder.block
            with builder.if_then(builder.icmp_signed("!=", builder.and_(count, INDEX(half)), INDEX(0))):
                self.store(low, pointer)
                further, inside = self.at(pointer, half), builder.block
            value, place = builder.phi(llvm.VectorType(self.real, half)), builder.phi(POINTER)
            for phi, without, after in (value, low, high), (place, pointer, further):
                phi.add_incoming(without, before)
                phi.add_incoming(after, inside)
            pointer, half = place, half // 2

    def prefetch(self, pointer: llvm.Value) -> None:
        """Prefetches a cache line that will be written."""
        self.called("llvm.prefetch.p0", llvm.VoidType(), pointer, INT32(1), INT32(3), INT32(1))

    def multiply_add(self, x: llvm.Value, y: llvm.Value, total: llvm.Value) -> llvm.Value:
        """Returns total + x y, rounded once where the CPU can."""
        return self.call("llvm.fmuladd", self.vector, "", self.vector, x, y, total)

    def call(
        self, name: str, kind: llvm.VectorType, suffix: str, result: llvm.Type, *values: llvm.Value
    ) -> llvm.Value:
        """Calls an LLVM intrinsic on vectors."""
        return self.called(f"{name}.v{kind.count}{kind.element.intrinsic_name}{suffix}", result, *values)

    def called(self, name: str, result: llvm.Type, *values: llvm.Value) -> llvm.Value:
        """Calls a function by name, which is declared at the first call."""
        signature, module = llvm.FunctionType(result, [each.type for each in values]), self.builder.module
        function = module.globals.get(name) or llvm.Function(module, signature, name)
        return self.builder.call(function, values)

    def repeat(
        self,
        start: IndexLike,
        stop: IndexLike,
        step: IndexLike,
        body: Callable[..., Sequence[llvm.Value] | None],
        *state: llvm.Value,
    ) -> list[llvm.Value]:
        """Writes a loop `state = body(i, *state)` for i from start to below stop; returns the final state."""
        builder, first = self.builder, (self.index(start), *state)
        before = builder.block
        head, inside, after = (builder.append_basic_block(name) for name in ("head", "inside", "after"))
        builder.branch(head)
        builder.position_at_end(head)
        variables = [builder.phi(each.type) for each in first]
        builder.cbranch(builder.icmp_signed("<", variables[0], self.index(stop)), inside, after)
        builder.position_at_end(inside)
        results = body(*variables) or ()
        following = (builder.add(variables[0], self.index(step)), *results)
        for variable, value, later in zip(variables, first, following, strict=True):
            variable.add_incoming(value, before)
            variable.add_incoming(later, builder.block)
        last = builder.branch(head)
        with HINTS:
            if HINTS.works:
                last.set_metadata("llvm.loop", self.as_written())
        builder.position_at_end(after)
        return list(variables[1:])

    def along(self, n: llvm.Value, body: Callable[[llvm.Value, llvm.Value | None], None]) -> None:
        """Writes `body(j, mask)` for each vector of n elements; the mask of a full one is None."""
        whole = self.round_down(n, self.lanes)
        rest = self.mask(self.builder.sub(n, whole), self.lanes)

        def last(j: llvm.Value) -> None:
            body(j, rest)

        def vector(j: llvm.Value) -> None:
            body(j, None)

        self.repeat(0, whole, self.lanes, vector)
        self.repeat(whole, n, self.lanes, last)

    def as_written(self) -> llvm.MDValue:
        """Returns the metadata that tells LLVM not to unroll a loop."""
        module = self.builder.module
        hint = module.add_metadata([llvm.MetaDataString(module, "llvm.loop.unroll.disable")])
        return DistinctMetadata.of(module, lambda itself: (itself, hint))


def module_function(
    module: llvm.Module, name: str, real: llvm.Type, kinds: str, write: Callable[..., None]
) -> llvm.Function:
    """Returns a function of a module, which is written when it is first asked for.

    A letter gives the type of each argument: i for an index, b for a bit, r for a float, p for a pointer.
    """
    name = f"typednn.{name}.{real}"
    if name not in module.globals:
        letters = {"i": INDEX, "b": BIT, "r": real, "p": POINTER}
        signature = llvm.FunctionType(llvm.VoidType(), [letters[each] for each in kinds])
        function = llvm.Function(module, signature, name)
        function.linkage = "internal"
        function.attributes.add("noinline")
        function.attributes.add("nounwind")
        code = SimdBuilder(function, real)
        write(code, *function.args)
        code.builder.ret_void()
    return module.globals[name]


def _pointer_or_value(
    context: BaseContext, builder: llvm.IRBuilder, kind: types.Type, value: llvm.Value
) -> llvm.Value:
    """Returns a scalar, or the pointer to the elements of an array; it is null if there are none."""
    if not isinstance(kind, types.Array):
        return value
    is_empty = builder.icmp_signed("==", field(context, builder, kind, value, "nitems"), INDEX(0))
    return builder.select(is_empty, NULL, elements(context, builder, kind, value))


def function_of_fields(
    name: str, kinds: str, write: Callable[..., None], python: Callable[..., None]
) -> Callable[..., None]:
    """Returns a function of one named tuple whose body is written in LLVM.

    Args:
        name: of the `module_function` that it calls with the fields of the tuple, and of tuples in it, in
            order: arrays as pointers, which are null for empty ones.
        kinds: the letters of these fields.
        write: writes the body.
        python: what runs in its place where nothing is compiled.
    """

    def typer(_context: object, fields: types.BaseNamedTuple) -> TypedIntrinsic:
        def generate(
            context: BaseContext, builder: llvm.IRBuilder, signature: Signature, values: Sequence[llvm.Value]
        ) -> llvm.Value:
            given = list(fields_of(builder, signature.args[0].types, values[0]))
            arguments = [_pointer_or_value(context, builder, *each) for each in given]
            real = next(
                context.get_data_type(kind.dtype) for kind, _ in given if isinstance(kind, types.Array)
            )
            builder.call(module_function(builder.module, name, real, kinds, write), arguments)
            return context.get_dummy_value()

        return types.none(fields), generate

    return written_in_llvm(typer)(python)

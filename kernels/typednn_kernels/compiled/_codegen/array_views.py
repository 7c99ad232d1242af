"""Views of arrays, written in LLVM: a slice in numba counts references and checks bounds.

All views are C-contiguous and take the elements in flat order, whatever the shape of the array. Nothing is
checked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import reduce
from math import prod
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np
from llvmlite import ir as llvm
from llvmlite.binding import get_host_cpu_features
from numba import types
from numba.core import cgutils

from typednn_kernels.arrays import F, Layout, Matrix, Vector
from typednn_kernels.compiled._codegen.in_python.twins import TypedIntrinsic, written_in_llvm
from typednn_kernels.compiled._codegen.ir_types import INDEX, opaque
from typednn_kernels.compiled._codegen.ir_values import IRValue, Number
from typednn_kernels.compiled._codegen.private_parts import HINTS
from typednn_kernels.compiled._codegen.tuning import STACK_ROW_ELEMENTS
from typednn_kernels.layout import COLUMNS
from typednn_kernels.operands import Block, Rows
from typednn_kernels.thread_limit import MAX_THREADS

if TYPE_CHECKING:
    from numba.core.base import BaseContext
    from numba.core.typing.templates import Signature

THREAD_SLOTS = MAX_THREADS
"""Maximum number of parts of a parallel loop, and of threads of a team."""
CPU_FEATURES: Mapping[str, bool] = get_host_cpu_features()
WIDEST = '"prefer-vector-width"="512"' if CPU_FEATURES.get("avx512f", False) else ""
"""By default LLVM prefers vectors of 256 bits, lest the clock drop; those of 512 are 1.5 times faster."""


def prefer_widest_vectors(function: llvm.Function) -> None:
    """Lets LLVM use the widest vectors of the CPU in a function; each that makes a view asks for it."""
    if WIDEST:
        with HINTS:  # llvmlite's own check knows no attributes with values
            set[str].add(function.attributes, WIDEST)


def field(
    context: BaseContext, builder: llvm.IRBuilder, kind: types.Type, array: llvm.Value, name: str
) -> llvm.Value:
    """Reads a field of an array. numba's `make_array` would store the array in memory, for LLVM to undo."""
    return builder.extract_value(array, context.data_model_manager[kind].get_field_position(name))


def elements(
    context: BaseContext, builder: llvm.IRBuilder, kind: types.Type, array: llvm.Value
) -> llvm.Value:
    """Reads the address of the elements of an array."""
    return opaque(field(context, builder, kind, array, "data"))


def view(
    context: BaseContext,
    builder: llvm.IRBuilder,
    kind: types.Array,
    data: llvm.Value,
    shape: Sequence[llvm.Value],
) -> llvm.Value:
    """Returns a C-contiguous array of elements at an address."""
    place = context.data_model_manager[kind].get_field_position
    size = context.get_constant(types.intp, np.dtype(str(kind.dtype)).itemsize)
    strides = [*(builder.mul(size, each) for each in shape[1:]), size]
    array: llvm.Value = llvm.Constant(context.get_value_type(kind), None)
    for name, value in ("data", data), ("itemsize", size), ("nitems", reduce(builder.mul, shape)):
        array = builder.insert_value(array, value, place(name))
    for name, values in ("shape", shape), ("strides", strides):
        for i, value in enumerate(values):
            array = builder.insert_value(array, value, [place(name), i])
    return array


def _part(array: types.Array, start: types.Type, *shape: types.Type) -> TypedIntrinsic:
    part = types.Array(array.dtype, len(shape), "C")

    def generate(
        context: BaseContext, builder: llvm.IRBuilder, signature: Signature, values: Sequence[llvm.Value]
    ) -> llvm.Value:
        prefer_widest_vectors(builder.function)
        array, start, *shape = values
        data, element = (
            elements(context, builder, signature.args[0], array),
            context.get_data_type(part.dtype),
        )
        first = builder.gep(data, [start], inbounds=True, source_etype=element)
        return view(context, builder, part, first, shape)

    return part(array, start, *shape), generate


def _slice_of(_context: object, array: types.Array, start: types.Type, n: types.Type) -> TypedIntrinsic:
    return _part(array, start, n)


def _stack_vector(n: int, like: types.Array) -> TypedIntrinsic:
    vector = types.Array(like.dtype, 1, "C")

    def generate(
        context: BaseContext, builder: llvm.IRBuilder, _signature: object, _values: object
    ) -> llvm.Value:
        size = context.get_constant(types.intp, n)
        data = cgutils.alloca_once(builder, context.get_data_type(like.dtype), size)
        return view(context, builder, vector, data, [size])

    return vector(like), generate


def _scratch(_context: object, like: types.Array) -> TypedIntrinsic:
    return _stack_vector(2 * THREAD_SLOTS, like)


def _stack_row(_context: object, like: types.Array) -> TypedIntrinsic:
    return _stack_vector(STACK_ROW_ELEMENTS, like)


@written_in_llvm(_slice_of)
def slice_of(array: Vector[F] | Matrix[F], start: int, n: int) -> Vector[F]:
    """Returns a view of n elements from `start` on, `(n,)`."""
    return array.reshape(-1)[start : start + n]


@written_in_llvm(_scratch)
def scratch(like: Vector[F]) -> Vector[F]:
    """Returns two elements per thread slot of an array's dtype, until the function returns."""
    return np.empty(2 * THREAD_SLOTS, like.dtype)


@written_in_llvm(_stack_row)
def stack_row(like: Vector[F]) -> Vector[F]:
    """Returns `STACK_ROW_ELEMENTS` elements of an array's dtype, until the function returns."""
    return np.empty(STACK_ROW_ELEMENTS, like.dtype)


class VectorView(Protocol):
    """Makes a view `(n,)` of a vector by the layout of a layer."""

    def __call__(
        self, vector: Vector[F], layout: Layout, k: int, /, *numbers: int | Rows | Block
    ) -> Vector[F]:
        """Returns the view for layer k."""
        ...


class MatrixView(Protocol):
    """Makes a view `(n, m)` of a vector by the layout of a layer."""

    def __call__(
        self, vector: Vector[F], layout: Layout, k: int, /, *numbers: int | Rows | Block
    ) -> Matrix[F]:
        """Returns the view for layer k."""
        ...


def vector_view(place: Callable[..., tuple[Number, Number]]) -> VectorView:
    """Returns a function `(vector, layout, k, *numbers)` that makes a view `(n,)`.

    `place(row, *numbers)` computes its start and n from the row of layer k in the layout.
    """
    return cast("VectorView", _by_layout(place, 1))


def matrix_view(place: Callable[..., tuple[Number, Number, Number]]) -> MatrixView:
    """Returns a function that makes a view `(n, m)`; `place` computes start, n and m."""
    return cast("MatrixView", _by_layout(place, 2))


class _Row:
    """A row of a layout, of which each column is read when a formula asks for it."""

    def __init__(self, builder: llvm.IRBuilder, address: llvm.Value) -> None:
        self.builder: llvm.IRBuilder = builder
        self.address: llvm.Value = address

    def __getitem__(self, column: int) -> IRValue:
        place = self.builder.gep(self.address, [INDEX(column)], source_etype=INDEX)
        return IRValue(self.builder, self.builder.load(place, typ=INDEX))


def _as_ir_values(builder: llvm.IRBuilder, kinds: Iterable[types.Type], packed: llvm.Value) -> list[object]:
    """Wraps a tuple's integers in IRValue, keeping named tuples."""
    return [
        kind.instance_class(*_as_ir_values(builder, kind.types, value))
        if isinstance(kind, types.BaseNamedTuple)
        else IRValue(builder, value)
        for kind, value in zip(kinds, cgutils.unpack_tuple(builder, packed), strict=True)
    ]


def _by_layout(place: Callable[..., tuple[Number, ...]], dimensions: int) -> Callable[..., Number]:
    def python(vector: Vector[F], layout: Layout, k: int, *numbers: int) -> Number:
        start, *shape = place(layout[k], *numbers)
        return vector[start : start + prod(shape)].reshape(shape)

    def typer(
        _context: object, vector: types.Array, layout: types.Type, _k: types.Type, *numbers: types.Type
    ) -> TypedIntrinsic:
        result = types.Array(vector.dtype, dimensions, "C")

        def generate(
            context: BaseContext, builder: llvm.IRBuilder, signature: Signature, values: Sequence[llvm.Value]
        ) -> llvm.Value:
            prefer_widest_vectors(builder.function)
            vector, layout, k, packed = values
            numbers = _as_ir_values(builder, signature.args[3].types, packed)
            table = elements(context, builder, signature.args[1], layout)
            row = builder.gep(table, [builder.mul(k, INDEX(COLUMNS))], source_etype=INDEX)
            start, *shape = (
                IRValue(builder, k).peer(each).value for each in place(_Row(builder, row), *numbers)
            )
            data = elements(context, builder, signature.args[0], vector)
            first = builder.gep(data, [start], source_etype=context.get_data_type(result.dtype))
            return view(context, builder, result, first, shape)

        integers = types.StarArgTuple(
            [each if isinstance(each, types.BaseNamedTuple) else types.intp for each in numbers]
        )
        return result(vector, layout, types.intp, integers), generate

    return written_in_llvm(typer)(python)

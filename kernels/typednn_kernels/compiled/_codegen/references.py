"""Passes named tuples of arrays to compiled functions by the address of their fields.

numba itself passes seven words or more for each array of a tuple, and again with each call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llvmlite import ir as llvm
from numba import types
from numba.core import cgutils
from numba.core.imputils import impl_ret_borrowed
from numba.core.typing.templates import AttributeTemplate
from numba.extending import (
    NativeValue,
    infer_getattr,
    lower_cast,
    lower_getattr_generic,
    models,
    register_model,
    unbox,
)

from typednn_kernels.compiled._codegen.ir_types import POINTER, field_pointer, opaque

if TYPE_CHECKING:
    from numba.core.base import BaseContext
    from numba.extending import _Unboxing


class Reference(types.Type):
    """numba type of a named tuple passed by pointer; the caller stores it on its stack."""

    def __init__(self, fields: types.BaseNamedTuple) -> None:
        self.fields: types.BaseNamedTuple = fields
        super().__init__(f"Reference({fields})")


register_model(Reference)(models.OpaqueModel)


@infer_getattr
class _Attributes(AttributeTemplate):
    """Infers the type of a field."""

    key = Reference

    def generic_resolve(self, reference: Reference, name: str) -> types.Type | None:
        return dict(zip(reference.fields.fields, reference.fields.types, strict=True)).get(name)


@lower_getattr_generic(Reference)
def _load_field(
    context: BaseContext, builder: llvm.IRBuilder, reference: Reference, address: llvm.Value, name: str
) -> llvm.Value:
    struct = context.get_value_type(reference.fields)
    index = reference.fields.fields.index(name)
    place = field_pointer(builder, builder.bitcast(address, POINTER), struct, index)
    kind = reference.fields.types[index]
    value = builder.load(place, typ=context.get_value_type(kind))
    return impl_ret_borrowed(context, builder, kind, value)


@lower_cast(types.BaseNamedTuple, Reference)
def _store(
    context: BaseContext,
    builder: llvm.IRBuilder,
    kind: types.BaseNamedTuple,
    reference: Reference,
    value: llvm.Value,
) -> llvm.Value:
    wanted = reference.fields
    fields = zip(cgutils.unpack_tuple(builder, value), kind.types, wanted.types, strict=True)
    value = context.make_tuple(builder, wanted, [context.cast(builder, *each) for each in fields])
    memory = opaque(cgutils.alloca_once_value(builder, value))
    return builder.bitcast(memory, context.get_value_type(reference))


@unbox(Reference)
def _unbox(reference: Reference, value: llvm.Value, python: _Unboxing) -> NativeValue:
    fields = python.unbox(reference.fields, value)
    address = _store(python.context, python.builder, reference.fields, reference, fields.value)
    return NativeValue(address, fields.is_error, fields.cleanup)

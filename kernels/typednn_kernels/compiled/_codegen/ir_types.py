"""LLVM types, distinct metadata, and opaque pointers, which do not say what they point to.

llvmlite 0.50 still gives some pointers an element type (those to stack memory, globals and the elements of
numba's arrays), from which it infers the type of a load, an address or a call; it announces that it will
stop. So every load and every address in this package names its element type.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence

from llvmlite import ir as llvm
from numba.core import cgutils

INDEX: llvm.Type = llvm.IntType(64)
INT32: llvm.Type = llvm.IntType(32)
BIT: llvm.Type = llvm.IntType(1)
POINTER: llvm.Type = llvm.PointerType()
NULL: llvm.Value = llvm.Constant(POINTER, None)
IS_X86 = platform.machine() in {"x86_64", "AMD64", "i686"}


def opaque(pointer: llvm.Value) -> llvm.Value:
    """Forgets the element type of a pointer: llvmlite 0.50 would refuse to store any other type there."""
    pointer.type = POINTER
    return pointer


def field_pointer(builder: llvm.IRBuilder, pointer: llvm.Value, struct: llvm.Type, field: int) -> llvm.Value:
    """Writes the address of a field of a struct."""
    return builder.gep(pointer, [INT32(0), INT32(field)], inbounds=True, source_etype=struct)


def struct_fields(
    builder: llvm.IRBuilder, pointer: llvm.Value, struct: llvm.LiteralStructType
) -> list[llvm.Value]:
    """Loads all fields of a struct."""
    return [
        builder.load(field_pointer(builder, pointer, struct, field), typ=kind)
        for field, kind in enumerate(struct.elements)
    ]


def stored(
    builder: llvm.IRBuilder, values: Sequence[llvm.Value]
) -> tuple[llvm.LiteralStructType, llvm.Value]:
    """Stores values in a struct on the stack; returns its type and its address."""
    struct = llvm.LiteralStructType([each.type for each in values])
    address = opaque(builder.alloca(struct))
    for field, value in enumerate(values):
        builder.store(value, field_pointer(builder, address, struct, field))
    return struct, address


def call_pointer(
    builder: llvm.IRBuilder, pointer: llvm.Value, kind: llvm.FunctionType, arguments: Sequence[llvm.Value]
) -> llvm.Value:
    """Calls the function at an address, whose type is `kind`."""
    return builder.call(FunctionAt(pointer, kind), arguments)


class FunctionAt(llvm.Value):
    """A pointer with the type of its function, which llvmlite asks of what it calls."""

    def __init__(self, pointer: llvm.Value, function_type: llvm.FunctionType) -> None:
        self.type: llvm.Type = POINTER
        self.function_type: llvm.FunctionType = function_type
        self.pointer: llvm.Value = pointer

    def get_reference(self) -> str:
        """Returns the name of the pointer."""
        return self.pointer.get_reference()


def internal_function(
    module: llvm.Module,
    name: str,
    result: llvm.Type,
    arguments: Sequence[llvm.Type],
    write: Callable[..., None],
) -> llvm.Function:
    """Returns a function of a module; `write(builder, *arguments)` writes it when it is first asked for."""
    name = f"typednn_{name}"
    if name not in module.globals:
        function = llvm.Function(module, llvm.FunctionType(result, arguments), name)
        function.linkage = "internal"
        write(llvm.IRBuilder(function.append_basic_block("entry")), *function.args)
    return module.globals[name]


def call_in_thread(builder: llvm.IRBuilder, function: llvm.Function, argument: llvm.Value) -> None:
    """Calls `function(pointer) -> pointer` in a thread of its own, or here where none can be started."""
    handle = opaque(builder.alloca(INDEX))
    names = "pthread_create", "pthread_join"
    create, join = (
        cgutils.get_or_insert_function(builder.module, llvm.FunctionType(INT32, arguments), name)
        for name, arguments in zip(names, ([POINTER] * 4, [INDEX, POINTER]), strict=True)
    )
    refusal = builder.call(create, [handle, NULL, function, argument])
    with builder.if_else(builder.icmp_signed("==", refusal, INT32(0))) as (started, refused):
        with started:
            builder.call(join, [builder.load(handle, typ=INDEX), NULL])
        with refused:
            builder.call(function, [argument])


class DistinctMetadata(llvm.MDValue):
    """A metadata node that equals no other, which llvmlite cannot write otherwise."""

    __eq__, __ne__, __hash__ = object.__eq__, object.__ne__, object.__hash__

    def descr(self, buf: list[str]) -> None:
        """Writes the node."""
        operands = (
            each.get_reference()
            if isinstance(each.type, llvm.MetaDataType)
            else f"{each.type} {each.get_reference()}"
            for each in self.operands
        )
        buf.append(f"distinct !{{ {', '.join(operands)} }}\n")

    @classmethod
    def of(
        cls, module: llvm.Module, make: Callable[[DistinctMetadata], tuple[llvm.Value, ...]]
    ) -> DistinctMetadata:
        node = cls(module, [], name=str(len(module.metadata)))
        node.operands = tuple(make(node))
        return node

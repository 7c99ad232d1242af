"""Has the CPU take subnormal numbers for 0, in a part of a kernel.

x86 takes a hundred times as long for an operation with a number below the smallest normal one. Its control
register MXCSR, which each thread has, says that such operands and results count as 0. Other CPUs are as they
are: they take as long for all numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from llvmlite import ir as llvm
from numba import types
from numba.core import cgutils

from typednn_kernels.compiled._codegen.in_python.twins import TypedIntrinsic, written_in_llvm
from typednn_kernels.compiled._codegen.ir_types import INT32, IS_X86, POINTER, opaque

if TYPE_CHECKING:
    from numba.core.base import BaseContext

FLUSH = 0x8040
"""The bits of MXCSR that take results and operands for 0 (Intel, Software Developer's Manual, 11.6)."""


def _call(builder: llvm.IRBuilder, name: str, address: llvm.Value) -> None:
    kind = llvm.FunctionType(llvm.VoidType(), [POINTER])
    builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.x86.sse.{name}"), [address])


def _flush_subnormals(_context: object) -> TypedIntrinsic:
    def generate(
        _context: object, builder: llvm.IRBuilder, _signature: object, _values: object
    ) -> llvm.Value:
        if not IS_X86:
            return INT32(0)
        place = opaque(cgutils.alloca_once(builder, INT32))
        _call(builder, "stmxcsr", place)
        before = builder.load(place, typ=INT32)
        builder.store(builder.or_(before, INT32(FLUSH)), place)
        _call(builder, "ldmxcsr", place)
        return before

    return types.int32(), generate


def _restore_subnormals(_context: object, control: types.Type) -> TypedIntrinsic:
    def generate(
        context: BaseContext, builder: llvm.IRBuilder, _signature: object, values: Sequence[llvm.Value]
    ) -> llvm.Value:
        if IS_X86:
            place = opaque(cgutils.alloca_once(builder, INT32))
            builder.store(values[0], place)
            _call(builder, "ldmxcsr", place)
        return context.get_dummy_value()

    return types.none(control), generate


@written_in_llvm(_flush_subnormals)
def flush_subnormals() -> int:
    """Has this thread take subnormal numbers for 0, and returns the register as it was before."""
    return 0


@written_in_llvm(_restore_subnormals)
def restore_subnormals(control: int) -> None:
    """Sets the register."""

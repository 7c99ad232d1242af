from contextlib import AbstractContextManager
from typing import Protocol

from llvmlite.ir import Function, FunctionType, IRBuilder, Module, PhiInstr, Type, Value
from numba.core.base import BaseContext

class Loop:
    index: PhiInstr

class _StructProxy:
    """An array in machine code."""

    data: Value
    shape: Value
    nitems: Value
    def __init__(
        self, context: BaseContext, builder: IRBuilder, value: Value | None = None, ref: Value | None = None
    ) -> None: ...
    def _getvalue(self) -> Value: ...

class _StructMaker(Protocol):
    def __call__(
        self, context: BaseContext, builder: IRBuilder, value: Value | None = None
    ) -> _StructProxy: ...

def alloca_once(
    builder: IRBuilder, ty: Type, size: Value | None = None, name: str = "", zfill: bool = False
) -> Value: ...
def alloca_once_value(builder: IRBuilder, value: Value, name: str = "", zfill: bool = False) -> Value: ...
def unpack_tuple(builder: IRBuilder, tup: Value, count: int | None = None) -> list[Value]: ...
def for_range(
    builder: IRBuilder, count: Value, start: Value | None = None, intp: Type | None = None
) -> AbstractContextManager[Loop]: ...
def gep_inbounds(builder: IRBuilder, ptr: Value, *inds: int) -> Value: ...
def get_or_insert_function(module: Module, fnty: FunctionType, name: str) -> Function: ...

from collections.abc import Sequence
from contextlib import AbstractContextManager

from llvmlite.ir import IRBuilder, PhiInstr, Value

class Loop:
    index: PhiInstr

def alloca_once_value(builder: IRBuilder, value: Value) -> Value: ...
def unpack_tuple(builder: IRBuilder, tup: Value) -> list[Value]: ...
def for_range(builder: IRBuilder, count: Value) -> AbstractContextManager[Loop]: ...

from llvmlite import ir
from numba.core.base import BaseContext
from numba import types

def impl_ret_borrowed(
    ctx: BaseContext, builder: ir.IRBuilder, retty: types.Type, ret: ir.Value
) -> ir.Value: ...

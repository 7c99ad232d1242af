from collections.abc import Sequence

from llvmlite import ir
from numba import types

class CPUCallConv:
    def get_function_type(self, restype: types.Type, argtypes: Sequence[types.Type]) -> ir.FunctionType: ...
    def call_function(
        self,
        builder: ir.IRBuilder,
        callee: ir.Value,
        resty: types.Type,
        argtys: Sequence[types.Type],
        args: Sequence[ir.Value],
        attrs: Sequence[str] | None = None,
    ) -> tuple[object, ir.Value]: ...

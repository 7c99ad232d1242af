from numba.core.base import BaseContext
from numba.core.callconv import CPUCallConv
from numba.core.codegen import JITCPUCodegen

class CPUContext(BaseContext):
    @property
    def call_conv(self) -> CPUCallConv: ...
    def codegen(self) -> JITCPUCodegen: ...

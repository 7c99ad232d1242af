from llvmlite.ir import IRBuilder, Value
from numba.core.base import BaseContext

def check_blas_return(context: BaseContext, builder: IRBuilder, res: Value) -> None: ...

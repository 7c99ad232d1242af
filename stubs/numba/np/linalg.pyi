from typing import Any

from llvmlite.ir import IRBuilder, Value

def check_blas_return(context: Any, builder: IRBuilder, res: Value) -> None: ...

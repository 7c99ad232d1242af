from typing import Any

from llvmlite.ir import IRBuilder

def call_xxgemm(context: Any, builder: IRBuilder, *operands: Any) -> None: ...

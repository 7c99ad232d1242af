from collections.abc import Sequence

from llvmlite.ir import IRBuilder, Value
from numba.core.base import BaseContext
from numba.types import Array

def call_xxgemv(
    context: BaseContext,
    builder: IRBuilder,
    do_trans: bool,
    m_type: Array,
    m_shapes: Sequence[Value],
    m_data: Value,
    v_data: Value,
    out_data: Value,
) -> None: ...
def call_xxgemm(
    context: BaseContext,
    builder: IRBuilder,
    x_type: Array,
    x_shapes: Sequence[Value],
    x_data: Value,
    y_type: Array,
    y_shapes: Sequence[Value],
    y_data: Value,
    out_type: Array,
    out_shapes: Sequence[Value],
    out_data: Value,
) -> None: ...

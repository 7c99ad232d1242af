from collections.abc import Sequence

from llvmlite.ir import Value
from numba.core.cgutils import _StructProxy

def populate_array(
    array: _StructProxy,
    data: Value,
    shape: Sequence[Value],
    strides: Sequence[Value],
    itemsize: Value,
    meminfo: Value | None,
    parent: Value | None = None,
) -> _StructProxy: ...

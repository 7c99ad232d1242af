from collections.abc import Sequence
from typing import Any

from llvmlite.ir import Value

def populate_array(
    array: Any,
    data: Value,
    shape: Sequence[Value],
    strides: Sequence[Value],
    itemsize: Value,
    meminfo: Value | None,
) -> Any: ...

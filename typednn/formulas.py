"""The functions in which formulas of activations and losses are written, the library's and your own.

A formula consists of these functions, `abs`, `+`, `-`, `*`, `/` and comparisons. It computes elementwise
in the dtype of its arguments, and uses `where`, `maximum` and `minimum` instead of `if`.

>>> def swish(a: Values) -> Values:
...     return a / (1 + exp(-a))
"""

from __future__ import annotations

from typednn_kernels.arrays import Values
from typednn_kernels.primitives import (
    erf,
    erfc,
    exp,
    expm1,
    log,
    log1p,
    maximum,
    minimum,
    sign,
    sqrt,
    tanh,
    where,
)

__all__ = [
    "Values",
    "erf",
    "erfc",
    "exp",
    "expm1",
    "log",
    "log1p",
    "maximum",
    "minimum",
    "sign",
    "sqrt",
    "tanh",
    "where",
]

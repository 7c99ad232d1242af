"""The functions of which formulas consist, beside `abs`, arithmetic and comparisons.

A formula of `activations`, `losses`, `normalizations` or `update_rules` is written once. Called with arrays
it computes with NumPy, elementwise. Called by the compiler it writes the instructions for one element, where
the functions of this module become those of `compiled.math`, which LLVM vectorises.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from typednn_kernels.arrays import Values


def exp(x: Values) -> Values:
    """Computes e to the power of x."""
    result: Values = np.exp(x)
    return result


def expm1(x: Values) -> Values:
    """Computes exp(x) - 1, accurately where x is small."""
    result: Values = np.expm1(x)
    return result


def log(x: Values) -> Values:
    """Computes the natural logarithm."""
    result: Values = np.log(x)
    return result


def log1p(x: Values) -> Values:
    """Computes log(1 + x), accurately where x is small."""
    result: Values = np.log1p(x)
    return result


def tanh(x: Values) -> Values:
    """Computes the hyperbolic tangent."""
    result: Values = np.tanh(x)
    return result


def sqrt(x: Values) -> Values:
    """Computes the square root."""
    result: Values = np.sqrt(x)
    return result


def sign(x: Values) -> Values:
    """Returns 1, -1 or 0; NaN where x is NaN."""
    result: Values = np.sign(x)
    return result


def erf(x: Values) -> Values:
    """Computes the error function, 2 / sqrt(pi) times the integral of exp(-u^2) from 0 to x."""
    from scipy.special import erf as error_function

    return error_function(x)


def erfc(x: Values) -> Values:
    """Computes 1 - erf(x), accurately where erf(x) is near 1."""
    from scipy.special import erfc as complement

    return complement(x)


def maximum(x: Values, y: Values | np.floating | float) -> Values:
    """Returns the larger of the two; NaN where x is NaN."""
    result: Values = np.maximum(x, y)
    return result


def minimum(x: Values, y: Values | np.floating | float) -> Values:
    """Returns the smaller of the two; NaN where x is NaN."""
    result: Values = np.minimum(x, y)
    return result


def unless_nan(x: Values, number: float) -> Values:
    """Returns the number, but NaN where x is NaN: for parts of a formula that do not depend on x."""
    return where(x == x, number, x)


def where(
    condition: NDArray[np.bool], x: Values | np.floating | float, y: Values | np.floating | float
) -> Values:
    """Returns x where the condition holds, else y, in the dtype of the array among them."""
    dtype = None
    if isinstance(condition, np.ndarray) and condition.size >= MANY_CHOICES:  # not in traced formulas
        dtypes = {each.dtype for each in (x, y) if isinstance(each, np.ndarray)}
        dtype = dtypes.pop() if len(dtypes) == 1 else None
    if dtype is None or dtype not in BITS:
        result: Values = np.where(condition, x, y)
        return result
    bits = BITS[dtype]
    chosen, others = (np.asarray(each, dtype).view(bits) for each in (x, y))
    mask = np.negative(condition.view(np.int8), dtype=bits)
    mask &= np.bitwise_xor(chosen, others)  # a mask does not guess, as a jump for each element does
    mask ^= others
    chosen_or_others: Values = mask.view(dtype)
    return chosen_or_others


MANY_CHOICES = 2048
"""The number of elements from which on choices by a mask take less time than `np.where`."""

BITS: dict[Any, np.dtype[Any]] = {
    np.dtype(np.float32): np.dtype(np.int32),
    np.dtype(np.float64): np.dtype(np.int64),
}
"""Integers of as many bytes, by dtype."""

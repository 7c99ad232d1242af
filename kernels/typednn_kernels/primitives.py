"""The words in which formulas are written.

A formula of `activations`, `losses` or `updates` is written once, in these functions, `abs`, arithmetic and
comparisons. Called as it stands it is the NumPy version, elementwise over arrays. Compiled, the same
source runs on scalars inside a loop, and these names stand for the versions of `compiled.elementary`
that LLVM vectorises.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from typednn_kernels.arrays import Values


def exp(x: Values) -> Values:
    """e to the power of x."""
    result: Values = np.exp(x)
    return result


def expm1(x: Values) -> Values:
    """exp(x) - 1, exact where x is small."""
    result: Values = np.expm1(x)
    return result


def log(x: Values) -> Values:
    """The natural logarithm."""
    result: Values = np.log(x)
    return result


def log1p(x: Values) -> Values:
    """log(1 + x), exact where x is small."""
    result: Values = np.log1p(x)
    return result


def tanh(x: Values) -> Values:
    """The hyperbolic tangent."""
    result: Values = np.tanh(x)
    return result


def sqrt(x: Values) -> Values:
    """The square root."""
    result: Values = np.sqrt(x)
    return result


def sign(x: Values) -> Values:
    """1, -1 or 0; NaN where x is NaN."""
    result: Values = np.sign(x)
    return result


def erf(x: Values) -> Values:
    """The error function, 2 / sqrt(pi) times the integral of exp(-u^2) from 0 to x."""
    from scipy.special import erf as error_function

    return error_function(x)


def erfc(x: Values) -> Values:
    """1 - erf(x), exact where erf(x) is near 1."""
    from scipy.special import erfc as complement

    return complement(x)


def maximum(x: Values, y: Values | np.floating | float) -> Values:
    """The larger of the two; NaN where x is NaN."""
    result: Values = np.maximum(x, y)
    return result


def minimum(x: Values, y: Values | np.floating | float) -> Values:
    """The smaller of the two; NaN where x is NaN."""
    result: Values = np.minimum(x, y)
    return result


def unless_nan(x: Values, number: float) -> Values:
    """The number, but NaN where x is NaN: for the parts of a formula that do not depend on x."""
    return where(x == x, number, x)


def where(
    condition: NDArray[np.bool], x: Values | np.floating | float, y: Values | np.floating | float
) -> Values:
    """x where the condition holds, else y, in the dtype of the array among them."""
    result: Values = np.where(condition, x, y)
    return result

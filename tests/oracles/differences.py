"""Central differences of any scalar function of a vector."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

STEP = 2e-5
"""Rounding costs eps / STEP, 1e-11 of the function; truncation STEP^4 of its fifth derivative, which is large
where logarithms are taken of small probabilities."""


def gradient(
    function: Callable[[NDArray[np.float64]], float], at: NDArray[np.floating]
) -> NDArray[np.float64]:
    """df/dv_i one by one: (f(v + h e_i) - f(v - h e_i)) / 2h, extrapolated from steps h and 2h."""
    result = np.zeros(at.size)
    for i in range(at.size):
        near, far = (
            _quotient(function, at, i, width * STEP * max(1.0, abs(float(at[i])))) for width in (1, 2)
        )
        result[i] = (4 * near - far) / 3
    return result


def _quotient(
    function: Callable[[NDArray[np.float64]], float], at: NDArray[np.floating], i: int, step: float
) -> float:
    above, below = np.array(at, np.float64), np.array(at, np.float64)
    above[i] += step
    below[i] -= step
    return (function(above) - function(below)) / float(above[i] - below[i])

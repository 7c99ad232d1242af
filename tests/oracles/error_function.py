"""The error function in extended precision, from its series and its continued fraction."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.longdouble]

ROOT_OF_PI = np.sqrt(np.longdouble("3.14159265358979323846264338327950288"))
BORDER = 1.5
"""Up to here by the series, from here on by the fraction."""


def erf(x: Numbers) -> Numbers:
    """2 / sqrt(pi) times the integral of exp(-u^2) from 0 to x."""
    a = abs(x)
    return np.asarray(np.copysign(np.where(a < BORDER, _series(a), 1 - _fraction(a)), x), np.longdouble)


def erfc(x: Numbers) -> Numbers:
    """1 - erf(x)."""
    return np.where(x < BORDER, 1 - erf(x), _fraction(x))


def _exp_of_minus_square(x: Numbers) -> Numbers:
    high = np.asarray(x, np.float32).astype(np.longdouble)
    return np.asarray(np.exp(-high * high) * np.exp(-(x - high) * (x + high)), np.longdouble)


def _series(x: Numbers) -> Numbers:
    """Abramowitz & Stegun (1964), Handbook of mathematical functions, 7.1.6."""
    x = np.minimum(x, BORDER)
    term = 2 * x / ROOT_OF_PI
    total = term
    for n in range(1, 50):
        term = term * (2 * x * x / (2 * n + 1))
        total = total + term
    return np.asarray(total * _exp_of_minus_square(x), np.longdouble)


def _fraction(x: Numbers) -> Numbers:
    """The same, 7.1.14."""
    x = np.clip(x, BORDER, 200)
    tail = x
    for n in range(150, 0, -1):
        tail = x + np.longdouble(n) / 2 / tail
    return np.asarray(_exp_of_minus_square(x) / tail / ROOT_OF_PI, np.longdouble)

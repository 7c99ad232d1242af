"""The polynomials of exp, log and the like, derived again by Remez's algorithm in 60 decimal digits.

`python -m tests.oracles.polynomials` prints the coefficients for `typednn_kernels.compiled.math.polynomials`.

Each polynomial P minimises the largest |weight (P - f)|, which is the error of an elementary function
relative to its value. The coefficients are numbers of the dtype: from the constant term on, one after the
other is rounded, and those of higher order are fitted again. See Muller (2016), Elementary functions, third
edition, chapters 3 (Remez's algorithm) and 4 (coefficients that are numbers of a format).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal, localcontext
from functools import cache
from itertools import groupby
from math import cos, pi
from typing import NamedTuple, TypeAlias

import numpy as np

Function: TypeAlias = Callable[[Decimal], Decimal]
Real: TypeAlias = type[np.float32 | np.float64]

DIGITS = 60
POINTS_PER_COEFFICIENT = 24
"""Points of the grid on which the error is looked at: between them it is larger by at most 0.3 %."""

HALF, TWO = Decimal("0.5"), Decimal(2)
PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494459230781640628620899862803")
ERF_LIMIT, ERFC_CENTER = Decimal("0.75"), Decimal("0.1875")


class Fit(NamedTuple):
    """A polynomial of `length` coefficients for a function on an interval; its first may be `given`."""

    length: int
    function: Function
    weight: Function
    interval: tuple[Decimal, Decimal]
    given: tuple[Decimal, ...] = ()


@cache
def erfcx(a: Decimal) -> Decimal:
    """exp(a^2) erfc(a): Abramowitz & Stegun (1964), Handbook of mathematical functions, 7.1.6 and 7.1.14."""
    square, tail = a * a, a
    if a < 6:
        with localcontext(prec=DIGITS + 16):  # both sides of the difference are as large as exp(36)
            total = term = 2 * a
            n = 1
            while term.adjusted() > total.adjusted() - DIGITS - 16:
                n += 2
                term *= 2 * square / n
                total += term
            return square.exp() - total / PI.sqrt()
    for n in range(80, 0, -1):
        tail = a + n / (2 * tail)
    return 1 / (tail * PI.sqrt())


def tanh_quotient(z: Decimal) -> Decimal:
    """tanh(a) / a, where z = a^2."""
    a = z.sqrt()
    return (1 - 2 / ((2 * a).exp() + 1)) / a


def erf_quotient(z: Decimal) -> Decimal:
    """erf(a) / a, where z = a^2."""
    a = z.sqrt()
    return (1 - erfcx(a) / z.exp()) / a


def log_quotient(z: Decimal) -> Decimal:
    """log((1 + s) / (1 - s)) / s, where z = s^2."""
    s = z.sqrt()
    return ((1 + s) / (1 - s)).ln() / s


def erfc_product(v: Decimal) -> Decimal:
    """exp(a^2) erfc(a) sqrt(pi) (a + 1/2), where v = 1 / (a + 2) - `ERFC_CENTER`."""
    a = 1 / (v + ERFC_CENTER) - 2
    return erfcx(a) * PI.sqrt() * (a + HALF)


def fits(real: Real) -> dict[str, Fit]:
    """The polynomials of a dtype, by the names of the fields of `Format`."""
    single = real is np.float32
    r = TWO.ln() / 2
    s = (TWO.sqrt() - 1) / (TWO.sqrt() + 1)
    a = Decimal("0.625" if single else "0.7")
    farthest = Decimal("10.1" if single else "27.3")
    u = ERFC_CENTER
    return {
        "exp": Fit(
            7 if single else 12, Decimal.exp, lambda r: (-r).exp(), (-r, r), (Decimal(1), Decimal(1), HALF)
        ),
        "log": Fit(
            3 if single else 7,
            lambda z: (log_quotient(z) - 2) / z,
            lambda z: z / log_quotient(z),
            (Decimal(0), s * s),
        ),
        "tanh": Fit(
            5 if single else 12,
            lambda z: (1 - tanh_quotient(z)) / z,
            lambda z: z / tanh_quotient(z),
            (Decimal(0), a * a),
        ),
        "expm1": Fit(
            6 if single else 11,
            lambda r: (r.exp() - 1 - r) / (r * r),
            lambda r: r * r / abs(r.exp() - 1),
            (-r, r),
        ),
        "erf": Fit(
            6 if single else 11,
            lambda z: erf_quotient(z) - 1,
            lambda z: 1 / erf_quotient(z),
            (Decimal(0), ERF_LIMIT * ERF_LIMIT),
        ),
        "erfc": Fit(
            9 if single else 22,
            lambda v: (erfc_product(v) - 1) / (v + u),
            lambda v: (v + u) / erfc_product(v),
            (1 / (farthest + 2) - u, 1 / (ERF_LIMIT + 2) - u),
        ),
    }


def polynomial(coefficients: Sequence[Decimal], x: Decimal) -> Decimal:
    """The value at x; the constant term comes first."""
    result = Decimal(0)
    for coefficient in reversed(coefficients):
        result = result * x + coefficient
    return result


def solution(rows: list[list[Decimal]]) -> list[Decimal]:
    """Solves n linear equations, each given as n coefficients and the right-hand side."""
    n = len(rows)
    for i in range(n):
        pivot = max(range(i, n), key=lambda j: abs(rows[j][i]))
        rows[i], rows[pivot] = rows[pivot], rows[i]
        for j in range(n):
            if j != i:
                factor = rows[j][i] / rows[i][i]
                rows[j][i:] = [x - factor * y for x, y in zip(rows[j][i:], rows[i][i:], strict=True)]
    return [row[n] / row[i] for i, row in enumerate(rows)]


class Grid:
    """The function and the weight of a fit at Chebyshev's points of its interval."""

    def __init__(self, fit: Fit) -> None:
        low, high = fit.interval
        last = POINTS_PER_COEFFICIENT * (fit.length + 1)
        x = [(low + high) / 2 - (high - low) / 2 * Decimal(cos(pi * i / last)) for i in range(last + 1)]
        self.x: list[Decimal] = [each for each in x if abs(each) > (high - low) / last**3]  # x may divide
        self.values: list[Decimal] = [fit.function(each) for each in self.x]
        self.weights: list[Decimal] = [fit.weight(each) for each in self.x]

    def errors(self, coefficients: Sequence[Decimal]) -> list[Decimal]:
        """The errors of the elementary function relative to its values."""
        points = zip(self.x, self.values, self.weights, strict=True)
        return [weight * (polynomial(coefficients, x) - value) for x, value, weight in points]

    def best(self, known: Sequence[Decimal], length: int) -> list[Decimal]:
        """All coefficients with the least largest error, of which the first are known.

        The others belong to x^k times a polynomial, where k are known. So the best errors, times the sign of
        x^k, have their largest size at one place more than there are others, with alternating signs.
        """
        k = len(known)
        signs = [-1 if k % 2 and x < 0 else 1 for x in self.x]
        offsets = self.errors(known)
        nodes = [round(i * (len(self.x) - 1) / (length - k)) for i in range(length - k + 1)]
        while True:
            rows = [
                [self.weights[j] * self.x[j] ** p for p in range(k, length)]
                + [Decimal(signs[j] * (-1) ** i), -offsets[j]]
                for i, j in enumerate(nodes)
            ]
            *others, level = solution(rows)
            coefficients = [*known, *others]
            errors = [sign * e for sign, e in zip(signs, self.errors(coefficients), strict=True)]
            sizes = [abs(e) for e in errors]
            if max(sizes) <= abs(level) * Decimal("1.0001"):
                return coefficients
            large = [j for j, size in enumerate(sizes) if size >= abs(level) * Decimal("0.9999999")]
            runs = groupby(large, [e > 0 for e in errors].__getitem__)
            peaks = [max(run, key=sizes.__getitem__) for _, run in runs]
            while len(peaks) > len(nodes):
                del peaks[0 if sizes[peaks[0]] < sizes[peaks[-1]] else -1]
            nodes = peaks


def derived(real: Real, name: str) -> tuple[float, ...]:
    """The coefficients of a polynomial, rounded to a dtype."""
    with localcontext(prec=DIGITS):
        fit = fits(real)[name]
        grid, known = Grid(fit), [*fit.given]
        while len(known) < fit.length:
            rounded = real(grid.best(known, fit.length)[len(known)])
            known.append(Decimal(float(rounded)))
    return tuple(map(float, known))


def largest_error(real: Real, name: str, coefficients: Sequence[float]) -> float:
    """The largest error of the elementary function, relative to its value, with such coefficients."""
    with localcontext(prec=DIGITS):
        errors = Grid(fits(real)[name]).errors([Decimal(float(real(each))) for each in coefficients])
        return float(max(map(abs, errors)))


def main() -> None:
    """Prints all polynomials."""
    for real in np.float32, np.float64:
        for name in fits(real):
            coefficients = derived(real, name)
            print(f"# {real.__name__}: relative error {largest_error(real, name, coefficients):.1e}")
            print(f"{name}=({', '.join(str(real(each)) for each in coefficients)}),")


if __name__ == "__main__":
    main()

"""What the elementary functions mean in compiled code.

exp, log, log1p and tanh are polynomials after a reduction of the argument, without branches, tables and
calls, so that LLVM vectorises the loops they stand in. float32 and float64 share the code; what differs
is in the two rows of type `Format`.

At most 1.5 units in the last place off the correctly rounded result, with and without FMA, in this order:
tanh 1.45, exp 1.2, log1p 1.1, log 1.0. Zeros, infinities, NaN and denormal numbers are as in IEEE 754.
A step that must not be rounded is exact by the sizes of its operands, whether or not it is contracted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

from typednn_kernels import elementary
from typednn_kernels.compiled.loops import is_float32, means
from typednn_kernels.compiled.symbols import Number
from typednn_kernels.elementary import maximum, minimum, where


@dataclass(frozen=True, slots=True)
class Format:
    """A floating-point format, and the numbers that fit it.

    `digits` are stored after the leading 1, and the exponent with `bias` added. Polynomials begin with the
    constant term.

    `ln2` is log(2) in two parts; a multiple of the first by an exponent is exact.
    `exp_range`: beyond it, exp is 0 and infinite.
    `exp` approximates exp(r), |r| <= log(2) / 2.
    `log` approximates (log((1 + s) / (1 - s)) / s - 2) / z, z = s**2, s up to (sqrt(2) - 1) / (sqrt(2) + 1).
    `tanh` approximates (1 - tanh(a) / a) / z, z = a**2, a up to `tanh_border`.
    `tanh_limit`: from there on, tanh is 1.

    The polynomials were fitted with the Remez algorithm in 45 digits, to the least largest error relative to
    the function's result; coefficient by coefficient was rounded and the rest fitted again.
    """

    real: type[np.float32 | np.float64]
    integer: type[np.int32 | np.int64]
    digits: int
    bias: int
    ln2: tuple[float, float]
    exp_range: tuple[float, float]
    exp: tuple[float, ...]
    log: tuple[float, ...]
    tanh: tuple[float, ...]
    tanh_border: float
    tanh_limit: float


SINGLE = Format(
    real=np.float32,
    integer=np.int32,
    digits=23,
    bias=127,
    ln2=(0.693145751953125, 1.4286068e-06),
    exp_range=(-104.0, 89.0),
    # Relative error 3.7e-9: a sixteenth of the rounding error 2**-24 = 6.0e-8.
    exp=(1.0, 1.0, 0.5, 0.16666535, 0.04166724, 0.008367433, 0.0013863419),
    # Relative error 8.2e-10.
    log=(0.66666776, 0.3997758, 0.29870927),
    # Relative error 4.6e-9.
    tanh=(0.3333328, -0.13331406, 0.053736515, -0.020628167, 0.005692296),
    tanh_border=0.625,
    tanh_limit=9.5,
)

DOUBLE = Format(
    real=np.float64,
    integer=np.int64,
    digits=52,
    bias=1023,
    ln2=(0.6931471805598903, 5.497923018708371e-14),
    exp_range=(-746.0, 710.0),
    # Relative error 5.4e-18: a twentieth of the rounding error 2**-53 = 1.1e-16.
    exp=(
        1.0,
        1.0,
        0.5,
        0.16666666666666433,
        0.04166666666660397,
        0.008333333333500415,
        0.0013888888926792626,
        0.00019841269465531086,
        2.4801508685184705e-05,
        2.755764140670034e-06,
        2.76251864281765e-07,
        2.4978225135856507e-08,
    ),
    # Relative error 1.3e-18.
    log=(
        0.6666666666666734,
        0.3999999999941654,
        0.28571428742066496,
        0.2222219859980609,
        0.1818356318179984,
        0.1531407509143197,
        0.1479574254212459,
    ),
    # Relative error 5.7e-18.
    tanh=(
        0.3333333333333309,
        -0.13333333333298925,
        0.05396825395144935,
        -0.021869488123600723,
        0.008863229576164436,
        -0.003592073103915289,
        0.001455494387881269,
        -0.0005885786315954263,
        0.00023483777953995876,
        -8.81241176435348e-05,
        2.7066906680937677e-05,
        -4.800088714770984e-06,
    ),
    tanh_border=0.7,
    tanh_limit=19.5,
)


def format_of(x: Number) -> Format:
    """The format of an argument type."""
    return SINGLE if is_float32(x) else DOUBLE


def descending(f: Format, polynomial: tuple[float, ...]) -> tuple[np.floating, ...]:
    """The coefficients in the order in which `horner` takes them."""
    return tuple(f.real(coefficient) for coefficient in reversed(polynomial))


def horner(x: Number, coefficients: tuple[Number, ...]) -> Number:
    """The polynomial at x; its highest coefficient comes first."""
    result = coefficients[0]
    for i in range(1, len(coefficients)):
        result = result * x + coefficients[i]
    return result


@cache
def exp_parts(f: Format, ln2: tuple[float, ...]) -> Callable[[Number], tuple[Number, Number]]:
    """A formula for p and n with exp(x) = p 2**n, sqrt(1/2) < p < sqrt(2).

    n is an integer of which the low bits count, those that a shift by `digits` leaves. log(2) comes in parts.
    """
    log2_e, parts = f.real(1 / np.log(2)), tuple(f.real(part) for part in ln2)
    coefficients = descending(f, f.exp)
    # A sum with this number is rounded to an integer, which its last bits hold. Conversions between float64
    # and int64 instead would not vectorise before AVX-512.
    rounder = f.real(1.5 * 2**f.digits)

    def exponential(x: Number) -> tuple[Number, Number]:
        sum_ = x * log2_e + rounder
        n = sum_ - rounder
        r = x
        for part in parts:
            r = r - n * part
        return horner(r, coefficients), sum_.bits()

    return exponential


@cache
def exp_in(f: Format) -> Callable[[Number], Number]:
    """exp in a format."""
    digits = f.digits
    lowest, highest = f.real(f.exp_range[0]), f.real(f.exp_range[1])
    bits_of_one = f.bias << f.digits
    exponential = exp_parts(f, f.ln2)

    def power_of_2(n: Number) -> Number:
        return ((n << digits) + bits_of_one).bits()

    def exp(x: Number) -> Number:
        p, n = exponential(minimum(maximum(x, lowest), highest))
        # Twice half the way, since 2**n itself may be denormal or infinite where the result is not.
        half = n >> 1
        return p * power_of_2(half) * power_of_2(n - half)

    return exp


@cache
def tanh_in(f: Format) -> Callable[[Number], Number]:
    """tanh in a format."""
    digits = f.digits
    one, two, border, limit = f.real(1), f.real(2), f.real(f.tanh_border), f.real(2 * f.tanh_limit)
    coefficients = descending(f, f.tanh)
    # One part of log(2) will do: where n is large, the exponential weighs little.
    exponential = exp_parts(f, (sum(f.ln2),))

    def tanh(x: Number) -> Number:
        a = abs(x)
        p, n = exponential(minimum(a + a, limit))
        e = (p.bits() + (n << digits)).bits()
        large = one - two / (e + one)
        z = a * a
        small = a - a * (z * horner(z, coefficients))
        # NaN goes the way of small numbers: the bits of e have lost it.
        return np.copysign(where(a >= border, large, small), x)

    return tanh


@cache
def log_parts(f: Format) -> Callable[[Number, Number, Number], Number]:
    """A formula for k log(2) + log(1 + g + rest), sqrt(1/2) <= 1 + g < sqrt(2), from g, rest and -k.

    With k = 0 the sign of g = -0 is kept: no term that is subtracted from g is then -0.
    """
    two, ln2, ln2_rest = f.real(2), f.real(f.ln2[0]), f.real(f.ln2[1])
    coefficients = descending(f, f.log)

    def logarithm(g: Number, rest: Number, minus_k: Number) -> Number:
        # With s = g / (2 + g), log(1 + g) = log((1 + s) / (1 - s)) = 2 s + s z P(z), where 2 s = g - s g.
        s = g / (two + g)
        z = s * s
        correction = s * (g - z * horner(z, coefficients)) + minus_k * ln2_rest - rest
        return (g - correction) - minus_k * ln2

    return logarithm


def bits_of_root(f: Format) -> int:
    """sqrt(1/2) read as an integer."""
    return int(f.real(np.sqrt(0.5)).view(f.integer))


@cache
def exponent_in(f: Format) -> Callable[[Number], tuple[Number, Number]]:
    """A formula for the bits of x, shifted as from sqrt(1/2) to 1, and the number 2**digits + bias + k.

    The shift carries into the exponent from sqrt(2) on, so that k + bias is the exponent, where x 2**-k is
    from sqrt(1/2) up to sqrt(2). The sign of a negative x fills the exponent of the number: it is NaN.
    """
    digits = f.digits
    root_to_one = (f.bias << f.digits) - bits_of_root(f)
    # An integer becomes a number in the free last bits of 2**digits; see `exp_parts` for the way back.
    bits_of_counter = (f.bias + f.digits) << f.digits

    def exponent(x: Number) -> tuple[Number, Number]:
        bits = x.bits() + root_to_one
        return bits, ((bits >> digits) | bits_of_counter).bits()

    return exponent


@cache
def log_in(f: Format) -> Callable[[Number], Number]:
    """log in a format."""
    zero, one, infinity = f.real(0), f.real(1), f.real(np.inf)
    root, fraction = bits_of_root(f), (1 << f.digits) - 1
    # Denormal numbers are lifted by a power of 2.
    smallest, lift = f.real(2.0 ** (1 - f.bias)), f.real(2.0 ** (f.digits + 1))
    count_0, lifted_count_0 = f.real(2**f.digits + f.bias), f.real(2**f.digits + f.bias + f.digits + 1)
    exponent, logarithm = exponent_in(f), log_parts(f)

    def log(x: Number) -> Number:
        denormal = x < smallest
        bits, count = exponent(where(denormal, x * lift, x))
        minus_k = where(denormal, lifted_count_0, count_0) - count
        m = ((bits & fraction) + root).bits()
        result = logarithm(m - one, zero, minus_k)
        return where(x == zero, -infinity, where(x < infinity, result, x))

    return log


@cache
def log1p_in(f: Format) -> Callable[[Number], Number]:
    """log1p in a format."""
    digits = f.digits
    zero, one, quarter, infinity = f.real(0), f.real(1), f.real(0.25), f.real(np.inf)
    count_0, reverse = f.real(2**f.digits + f.bias), 2 * f.bias + 2
    exponent, logarithm = exponent_in(f), log_parts(f)

    def log1p(x: Number) -> Number:
        u = x + one
        bits, count = exponent(u)
        # 2**-k may be denormal, 4 * 2**-k is not.
        scale = ((reverse - (bits >> digits)) << digits).bits() * quarter
        # (1 + x) 2**-k - 1, and what rounding takes from it; u served for the exponent alone.
        product, distance = x * scale, one - scale
        g = product - distance
        rest = product - (g + distance)
        result = logarithm(g, rest, count_0 - count)
        return where(u == zero, -infinity, where(u < infinity, result, u))

    return log1p


@means(elementary.exp)
def _exp(x: Number) -> Callable[..., Number]:
    return exp_in(format_of(x))


@means(elementary.log)
def _log(x: Number) -> Callable[..., Number]:
    return log_in(format_of(x))


@means(elementary.log1p)
def _log1p(x: Number) -> Callable[..., Number]:
    return log1p_in(format_of(x))


@means(elementary.tanh)
def _tanh(x: Number) -> Callable[..., Number]:
    return tanh_in(format_of(x))

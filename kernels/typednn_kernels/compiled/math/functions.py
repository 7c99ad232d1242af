"""What the elementary functions mean in compiled code.

All are polynomials after a reduction of the argument, without branches, tables and calls, so that LLVM
vectorises the loops they stand in. float32 and float64 share the code; what differs is in `formats`.

At most 2 units in the last place off the correctly rounded result, with and without FMA, in this order:
expm1 1.9, erfc 1.8, tanh 1.4, erf 1.15, exp 1.1, log1p 1.1, log 1.0. Zeros, infinities, NaN and denormal
numbers are as in IEEE 754. A step that must not be rounded is exact by the sizes of its operands, whether
or not it is contracted.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from typednn_kernels import primitives as elementary
from typednn_kernels.compiled._codegen.ir_loops import is_float32, lowers
from typednn_kernels.compiled._codegen.ir_values import Number
from typednn_kernels.compiled.math.polynomials import (
    DOUBLE,
    ERF_BORDER,
    ERFC_CENTER,
    HALF_LOG_PI,
    SINGLE,
    Format,
)
from typednn_kernels.primitives import maximum, minimum, where


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


def in_pairs(x: Number, coefficients: tuple[Number, ...]) -> Number:
    """The polynomial at x; its constant term comes first. Half as many terms wait for each other."""
    square = x * x
    pairs = [coefficients[i] + x * coefficients[i + 1] for i in range(0, len(coefficients) - 1, 2)]
    if len(coefficients) % 2:
        pairs.append(coefficients[-1])
    result = pairs.pop()
    while pairs:
        result = result * square + pairs.pop()
    return result


@cache
def multiple_of_ln2(f: Format) -> Callable[[Number], tuple[Number, Number]]:
    """A formula for the n with the least |x - n log(2)|, as a number and as an integer.

    Of the integer the low bits count, those that a shift by `digits` leaves.
    """
    log2_e = f.real(1 / np.log(2))
    # A sum with this number is rounded to an integer, which its last bits hold. Conversions between float64
    # and int64 instead would not vectorise before AVX-512.
    rounder = f.real(1.5 * 2**f.digits)

    def multiple(x: Number) -> tuple[Number, Number]:
        sum_ = x * log2_e + rounder
        return sum_ - rounder, sum_.bits()

    return multiple


@cache
def reduction_in(f: Format, ln2: tuple[float, ...]) -> Callable[[Number], tuple[Number, Number]]:
    """A formula for r and n with x = r + n log(2), |r| <= log(2) / 2. log(2) comes in parts."""
    multiple, parts = multiple_of_ln2(f), tuple(f.real(part) for part in ln2)

    def reduction(x: Number) -> tuple[Number, Number]:
        n, bits = multiple(x)
        r = x
        for part in parts:
            r = r - n * part
        return r, bits

    return reduction


@cache
def exp_derivative(f: Format) -> Callable[[Number], Number]:
    """A formula for (exp(r) - 1) / r, |r| <= log(2) / 2; the constant term of exp is 1."""
    # The linear term by itself: in a pair its sum would be rounded where it counts most.
    one, coefficients = f.real(f.exp[1]), tuple(f.real(coefficient) for coefficient in f.exp[2:])
    return lambda r: one + r * in_pairs(r, coefficients)


def power_of_2(f: Format, n: Number) -> Number:
    """2**n, where it is a normal number; n as from `multiple_of_ln2`."""
    return ((n << f.digits) + (f.bias << f.digits)).bits()


def scaled(f: Format, x: Number, n: Number) -> Number:
    """x 2**n: twice half the way, since 2**n itself may be denormal or infinite where the result is not."""
    half = n >> 1
    return x * power_of_2(f, half) * power_of_2(f, n - half)


@cache
def exp_in(f: Format) -> Callable[[Number], Number]:
    """exp in a format."""
    lowest, highest = f.real(f.exp_range[0]), f.real(f.exp_range[1])
    reduction, derivative = reduction_in(f, f.ln2), exp_derivative(f)

    def exp(x: Number) -> Number:
        r, n = reduction(minimum(maximum(x, lowest), highest))
        half = n >> 1
        scale = power_of_2(f, half)
        return (scale + (scale * r) * derivative(r)) * power_of_2(f, n - half)

    return exp


@cache
def expm1_of_rest(f: Format) -> Callable[[Number], Number]:
    """A formula for exp(r) - 1, |r| <= log(2) / 2."""
    coefficients = descending(f, f.expm1)
    return lambda r: r + r * r * horner(r, coefficients)


@cache
def expm1_in(f: Format) -> Callable[[Number], Number]:
    """expm1 in a format."""
    half, two, border = f.real(0.5), f.real(2), f.real(0.25)
    lowest, highest = f.real(-0.7 * (f.digits + 3)), f.real(f.exp_range[1])
    reduction, of_rest = reduction_in(f, f.ln2), expm1_of_rest(f)

    def expm1(x: Number) -> Number:
        r, n = reduction(minimum(maximum(x, lowest), highest))
        small = of_rest(r)
        scale = power_of_2(f, n - 1)  # 2**n itself may be infinite where the result is not
        large = (scale * small + (scale - half)) * two
        return np.copysign(where(abs(x) < border, small, large), x)

    return expm1


@cache
def erfc_parts(f: Format) -> tuple[Callable[[Number], Number], Callable[[Number], Number]]:
    """Formulas for erf(x) - x, |x| <= `ERF_BORDER`, and for erfc(a), a >= `ERF_BORDER`."""
    one, half, two, center, limit = (f.real(number) for number in (1, 0.5, 2, ERFC_CENTER, f.erfc_limit))
    # exp(-a**2) / sqrt(pi) is one exponential, of which this is a part, in two parts again.
    half_log_pi, rest_of_it = f.real(HALF_LOG_PI[0]), f.real(HALF_LOG_PI[1])
    upper_half = -1 << (f.digits // 2 + 1)
    ln2, ln2_rest = f.real(f.ln2[0]), f.real(f.ln2[1])
    near, far = descending(f, f.erf), descending(f, f.erfc)
    multiple, of_rest = multiple_of_ln2(f), expm1_of_rest(f)

    def small(x: Number) -> Number:
        return x * horner(x * x, near)

    def large(x: Number) -> Number:
        a: Number = minimum(x, limit)
        b = (a.bits() & upper_half).bits()
        square, rest = b * b, (a - b) * (a + b) + rest_of_it  # the square is exact
        n, bits = multiple(-(square + (rest + half_log_pi)))
        r = ((-square - n * ln2) - half_log_pi) - (n * ln2_rest + rest)
        u = one / (a + two)
        p, q = of_rest(r), u * horner(u - center, far)
        divisor = a + half
        rounded_off = half - (divisor - a)
        return scaled(f, (one + (p + (q + p * q - rounded_off / divisor))) / divisor, bits)

    return small, large


@cache
def erf_in(f: Format) -> Callable[[Number], Number]:
    """erf in a format."""
    one, border = f.real(1), f.real(ERF_BORDER)
    small, large = erfc_parts(f)

    def erf(x: Number) -> Number:
        a = abs(x)
        return np.copysign(where(a < border, a + small(a), one - large(a)), x)

    return erf


@cache
def erfc_in(f: Format) -> Callable[[Number], Number]:
    """erfc in a format."""
    zero, half, two, border = f.real(0), f.real(0.5), f.real(2), f.real(ERF_BORDER)
    small, large = erfc_parts(f)

    def erfc(x: Number) -> Number:
        a = abs(x)
        tail = large(a)
        return where(a < border, half - ((x - half) + small(x)), where(x < zero, two - tail, tail))

    return erfc


@cache
def tanh_in(f: Format) -> Callable[[Number], Number]:
    """tanh in a format."""
    digits = f.digits
    one, two, border, limit = f.real(1), f.real(2), f.real(f.tanh_border), f.real(2 * f.tanh_limit)
    coefficients = descending(f, f.tanh)
    # One part of log(2) will do: where n is large, the exponential weighs little.
    reduction, derivative = reduction_in(f, (sum(f.ln2),)), exp_derivative(f)

    def tanh(x: Number) -> Number:
        a = abs(x)
        r, n = reduction(minimum(a + a, limit))
        e = ((one + r * derivative(r)).bits() + (n << digits)).bits()
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
    # An integer becomes a number in the free last bits of 2**digits; see `multiple_of_ln2` for the way back.
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


@lowers(elementary.exp)
def _exp(x: Number) -> Callable[..., Number]:
    return exp_in(format_of(x))


@lowers(elementary.expm1)
def _expm1(x: Number) -> Callable[..., Number]:
    return expm1_in(format_of(x))


@lowers(elementary.erf)
def _erf(x: Number) -> Callable[..., Number]:
    return erf_in(format_of(x))


@lowers(elementary.erfc)
def _erfc(x: Number) -> Callable[..., Number]:
    return erfc_in(format_of(x))


@lowers(elementary.log)
def _log(x: Number) -> Callable[..., Number]:
    return log_in(format_of(x))


@lowers(elementary.log1p)
def _log1p(x: Number) -> Callable[..., Number]:
    return log1p_in(format_of(x))


@lowers(elementary.tanh)
def _tanh(x: Number) -> Callable[..., Number]:
    return tanh_in(format_of(x))

"""The elementary functions of compiled code: exp, expm1, log, log1p, tanh, erf and erfc.

Each reduces its argument and evaluates a polynomial, without branches, tables or calls, so that LLVM
vectorises the loops around it. float32 and float64 share the code; `polynomials.py` has what differs.

Results differ from the correctly rounded ones by at most 2 units in the last place, with and without FMA; on
the arguments of the tests: expm1 1.9, erfc 1.8, tanh 1.4, erf 1.15, exp 1.1, log1p 1.1, log 1.0. Zeros,
infinities, NaN and subnormal numbers follow IEEE 754. Steps that must be exact are exact by the magnitudes of
their operands, whether or not LLVM contracts them.

Source: Muller (2016), Elementary functions, third edition, chapters 5 (evaluation) and 11 (range reduction).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from typednn_kernels import primitives
from typednn_kernels.compiled._codegen.ir_loops import lowers
from typednn_kernels.compiled._codegen.ir_values import Number, is_float32
from typednn_kernels.compiled.math.polynomials import (
    ERF_SWITCH,
    ERFC_CENTER,
    FORMATS,
    HALF_LOG_PI,
    Format,
)
from typednn_kernels.primitives import maximum, minimum, where


def format_of(x: Number) -> Format:
    """Returns the format of an argument."""
    return FORMATS[np.float32 if is_float32(x) else np.float64]


def highest_first(f: Format, polynomial: tuple[float, ...]) -> tuple[np.floating, ...]:
    """Returns the coefficients in the order in which `horner` takes them."""
    return tuple(f.real(coefficient) for coefficient in reversed(polynomial))


def horner(x: Number, coefficients: tuple[Number, ...]) -> Number:
    """Evaluates a polynomial at x; its highest coefficient comes first."""
    result = coefficients[0]
    for i in range(1, len(coefficients)):
        result = result * x + coefficients[i]
    return result


def horner_of_pairs(x: Number, coefficients: tuple[Number, ...]) -> Number:
    """Evaluates a polynomial at x as one in x^2, which halves the chain of dependent operations.

    The constant term comes first.
    """
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
    """Returns a formula for the n with the least |x - n log(2)|, as a float and as an integer.

    Only the low bits of the integer, which a shift left by `digits` keeps, are those of n.
    """
    log2_e = f.real(1 / np.log(2))
    # Adding this number rounds to an integer, which the last bits of the sum hold. Conversions between
    # float64 and int64 would not be vectorised without AVX-512.
    rounder = f.real(1.5 * 2**f.digits)

    def multiple(x: Number) -> tuple[Number, Number]:
        sum_ = x * log2_e + rounder
        return sum_ - rounder, sum_.bits()

    return multiple


@cache
def reduction_by_ln2(f: Format, ln2: tuple[float, ...]) -> Callable[[Number], tuple[Number, Number]]:
    """Returns a formula for r and n with x = r + n log(2), |r| <= log(2) / 2; `ln2` is log(2) in parts."""
    multiple, parts = multiple_of_ln2(f), tuple(f.real(part) for part in ln2)

    def reduction(x: Number) -> tuple[Number, Number]:
        n, bits = multiple(x)
        r = x
        for part in parts:
            r = r - n * part
        return r, bits

    return reduction


@cache
def expm1_quotient(f: Format) -> Callable[[Number], Number]:
    """Returns a formula for (exp(r) - 1) / r, |r| <= log(2) / 2; the constant term of exp is 1."""
    # The linear term is added last: within a pair its sum would be rounded where that costs most.
    one, coefficients = f.real(f.exp[1]), tuple(f.real(coefficient) for coefficient in f.exp[2:])
    return lambda r: one + r * horner_of_pairs(r, coefficients)


def power_of_2(f: Format, n: Number) -> Number:
    """Computes 2^n where it is a normal number; n comes from `multiple_of_ln2`."""
    return ((n << f.digits) + (f.bias << f.digits)).bits()


def ldexp(f: Format, x: Number, n: Number) -> Number:
    """Computes x 2^n with two factors, since 2^n may be subnormal or infinite where the result is not."""
    half = n >> 1
    return x * power_of_2(f, half) * power_of_2(f, n - half)


@cache
def exp_formula(f: Format) -> Callable[[Number], Number]:
    """Returns the formula of exp."""
    lowest, highest = f.real(f.exp_range[0]), f.real(f.exp_range[1])
    reduction, quotient = reduction_by_ln2(f, f.ln2), expm1_quotient(f)

    def exp(x: Number) -> Number:
        r, n = reduction(minimum(maximum(x, lowest), highest))
        half = n >> 1
        scale = power_of_2(f, half)
        return (scale + (scale * r) * quotient(r)) * power_of_2(f, n - half)

    return exp


@cache
def expm1_reduced(f: Format) -> Callable[[Number], Number]:
    """Returns a formula for exp(r) - 1, |r| <= log(2) / 2."""
    coefficients = highest_first(f, f.expm1)
    return lambda r: r + r * r * horner(r, coefficients)


@cache
def expm1_formula(f: Format) -> Callable[[Number], Number]:
    """Returns the formula of expm1."""
    half, two, switch = f.real(0.5), f.real(2), f.real(0.25)
    lowest, highest = f.real(-0.7 * (f.digits + 3)), f.real(f.exp_range[1])
    reduction, reduced = reduction_by_ln2(f, f.ln2), expm1_reduced(f)

    def expm1(x: Number) -> Number:
        r, n = reduction(minimum(maximum(x, lowest), highest))
        small = reduced(r)
        scale = power_of_2(f, n - 1)  # 2^n may be infinite where the result is not
        large = (scale * small + (scale - half)) * two
        return np.copysign(where(abs(x) < switch, small, large), x)

    return expm1


@cache
def erfc_parts(f: Format) -> tuple[Callable[[Number], Number], Callable[[Number], Number]]:
    """Returns formulas for erf(x) - x, |x| <= `ERF_SWITCH`, and for erfc(a), a >= `ERF_SWITCH`.

    erfc(a) = exp(-a^2) / sqrt(pi) * (1 + u P(u)) / (a + 1/2), where u = 1 / (a + 2).
    """
    one, half, two, center, limit = (f.real(number) for number in (1, 0.5, 2, ERFC_CENTER, f.erfc_limit))
    # exp(-a^2) / sqrt(pi) = exp(-a^2 - log(pi) / 2) is one exponential.
    half_log_pi, rest_of_it = f.real(HALF_LOG_PI[0]), f.real(HALF_LOG_PI[1])
    upper_half = -1 << (f.digits // 2 + 1)
    ln2, ln2_rest = f.real(f.ln2[0]), f.real(f.ln2[1])
    near, far = highest_first(f, f.erf), highest_first(f, f.erfc)
    multiple, reduced = multiple_of_ln2(f), expm1_reduced(f)

    def small(x: Number) -> Number:
        return x * horner(x * x, near)

    def large(x: Number) -> Number:
        a: Number = minimum(x, limit)
        b = (a.bits() & upper_half).bits()
        square, rest = b * b, (a - b) * (a + b) + rest_of_it  # the square is exact
        n, bits = multiple(-(square + (rest + half_log_pi)))
        r = ((-square - n * ln2) - half_log_pi) - (n * ln2_rest + rest)
        u = one / (a + two)
        p, q = reduced(r), u * horner(u - center, far)
        divisor = a + half
        rounded_off = half - (divisor - a)
        return ldexp(f, (one + (p + (q + p * q - rounded_off / divisor))) / divisor, bits)

    return small, large


@cache
def erf_formula(f: Format) -> Callable[[Number], Number]:
    """Returns the formula of erf."""
    one, switch = f.real(1), f.real(ERF_SWITCH)
    small, large = erfc_parts(f)

    def erf(x: Number) -> Number:
        a = abs(x)
        return np.copysign(where(a < switch, a + small(a), one - large(a)), x)

    return erf


@cache
def erfc_formula(f: Format) -> Callable[[Number], Number]:
    """Returns the formula of erfc."""
    zero, half, two, switch = f.real(0), f.real(0.5), f.real(2), f.real(ERF_SWITCH)
    small, large = erfc_parts(f)

    def erfc(x: Number) -> Number:
        a = abs(x)
        tail = large(a)
        return where(a < switch, half - ((x - half) + small(x)), where(x < zero, two - tail, tail))

    return erfc


@cache
def tanh_formula(f: Format) -> Callable[[Number], Number]:
    """Returns the formula of tanh."""
    digits = f.digits
    one, two, switch, limit = f.real(1), f.real(2), f.real(f.tanh_switch), f.real(2 * f.tanh_limit)
    coefficients = highest_first(f, f.tanh)
    # log(2) in one part is enough: where n is large, the exponential contributes little.
    reduction, quotient = reduction_by_ln2(f, (sum(f.ln2),)), expm1_quotient(f)

    def tanh(x: Number) -> Number:
        a = abs(x)
        r, n = reduction(minimum(a + a, limit))
        e = ((one + r * quotient(r)).bits() + (n << digits)).bits()
        large = one - two / (e + one)
        z = a * a
        small = a - a * (z * horner(z, coefficients))
        # A NaN must not be >= switch: the bits of e have lost it.
        return np.copysign(where(a >= switch, large, small), x)

    return tanh


@cache
def log_parts(f: Format) -> Callable[[Number, Number, Number], Number]:
    """Returns a formula of g, rest and -k for k log(2) + log(1 + g + rest), sqrt(1/2) <= 1 + g < sqrt(2).

    With k = 0 the sign of g = -0 is kept, since no term subtracted from g is then -0.
    """
    two, ln2, ln2_rest = f.real(2), f.real(f.ln2[0]), f.real(f.ln2[1])
    coefficients = highest_first(f, f.log)

    def logarithm(g: Number, rest: Number, minus_k: Number) -> Number:
        # With s = g / (2 + g), log(1 + g) = log((1 + s) / (1 - s)) = 2 s + s z P(z), where 2 s = g - s g.
        s = g / (two + g)
        z = s * s
        correction = s * (g - z * horner(z, coefficients)) + minus_k * ln2_rest - rest
        return (g - correction) - minus_k * ln2

    return logarithm


def bits_of_root(f: Format) -> int:
    """Returns the bits of sqrt(1/2) as an integer."""
    return int(f.real(np.sqrt(0.5)).view(f.integer))


@cache
def exponent_formula(f: Format) -> Callable[[Number], tuple[Number, Number]]:
    """Returns a formula for bits(x) + bits(1) - bits(sqrt(1/2)), and for 2^digits + bias + k.

    The sum has the biased exponent k + bias, where sqrt(1/2) <= x 2^-k < sqrt(2). The sign bit of a negative
    x ends up in the exponent of the second result, which is then NaN.
    """
    digits = f.digits
    root_to_one = (f.bias << f.digits) - bits_of_root(f)
    # The last bits of 2^digits, as an integer, count ones; `multiple_of_ln2` does the opposite conversion.
    bits_of_counter = (f.bias + f.digits) << f.digits

    def exponent(x: Number) -> tuple[Number, Number]:
        bits = x.bits() + root_to_one
        return bits, ((bits >> digits) | bits_of_counter).bits()

    return exponent


@cache
def log_formula(f: Format) -> Callable[[Number], Number]:
    """Returns the formula of log."""
    zero, one, infinity = f.real(0), f.real(1), f.real(np.inf)
    root, fraction = bits_of_root(f), (1 << f.digits) - 1
    # Subnormal numbers are multiplied by a power of 2 first.
    smallest, lift = f.real(2.0 ** (1 - f.bias)), f.real(2.0 ** (f.digits + 1))
    count_0, lifted_count_0 = f.real(2**f.digits + f.bias), f.real(2**f.digits + f.bias + f.digits + 1)
    exponent, logarithm = exponent_formula(f), log_parts(f)

    def log(x: Number) -> Number:
        subnormal = x < smallest
        bits, count = exponent(where(subnormal, x * lift, x))
        minus_k = where(subnormal, lifted_count_0, count_0) - count
        m = ((bits & fraction) + root).bits()
        result = logarithm(m - one, zero, minus_k)
        return where(x == zero, -infinity, where(x < infinity, result, x))

    return log


@cache
def log1p_formula(f: Format) -> Callable[[Number], Number]:
    """Returns the formula of log1p."""
    digits = f.digits
    zero, one, quarter, infinity = f.real(0), f.real(1), f.real(0.25), f.real(np.inf)
    count_0, reverse = f.real(2**f.digits + f.bias), 2 * f.bias + 2
    exponent, logarithm = exponent_formula(f), log_parts(f)

    def log1p(x: Number) -> Number:
        u = x + one
        bits, count = exponent(u)
        # 2^-k may be subnormal, 4 * 2^-k is not.
        scale = ((reverse - (bits >> digits)) << digits).bits() * quarter
        # (1 + x) 2^-k - 1 and its rounding error; u = 1 + x only gives the exponent.
        product, distance = x * scale, one - scale
        g = product - distance
        rest = product - (g + distance)
        result = logarithm(g, rest, count_0 - count)
        return where(u == zero, -infinity, where(u < infinity, result, u))

    return log1p


def _lower(function: Callable[..., Number], formula: Callable[[Format], Callable[[Number], Number]]) -> None:
    """Registers the formula that compiled code has for a function of `primitives`."""
    lowers(function)(lambda x: formula(format_of(x)))


_lower(primitives.exp, exp_formula)
_lower(primitives.expm1, expm1_formula)
_lower(primitives.erf, erf_formula)
_lower(primitives.erfc, erfc_formula)
_lower(primitives.log, log_formula)
_lower(primitives.log1p, log1p_formula)
_lower(primitives.tanh, tanh_formula)


def newton_sqrt(x: Number) -> Number:
    """Computes sqrt(x) of float64, of 0 or a normal number; numbers below 0 and infinity give NaN.

    The error is at most 1 unit in the last place. The CPU's own root is exact, but roots and divisions follow
    one another in one unit of it: a formula with both waits for that unit alone.

    Source: Lomont (2003), Fast inverse square root, whose first guess is within 3.5 %.
    """
    half, y = 0.5 * x, (0x5FE6EB50C7B537A9 - (x.bits() >> 1)).bits()
    for _ in range(3):
        y = y * (1.5 - half * y * y)  # half * y is 0 for x = 0, where y * y would be infinite
    root = x * y
    return where(x < 0, np.nan, root + 0.5 * y * (x - root * root))

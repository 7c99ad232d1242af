"""Coefficients of the polynomials that approximate the elementary functions, for float32 and float64."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Format:
    """A floating-point format, and the polynomials and limits of the elementary functions in it.

    A number has `digits` bits after its leading 1, and its exponent is stored with `bias` added.

    Polynomials begin with the constant term. They minimise the largest error relative to the function, with
    coefficients rounded one after the other. They are the output of `python -m tests.oracles.polynomials`; a
    test derives them again and compares the errors.

    exp: exp(r), |r| <= log(2) / 2; the first three coefficients are given.
    log: (log((1 + s) / (1 - s)) / s - 2) / z, z = s^2, 0 <= s <= (sqrt(2) - 1) / (sqrt(2) + 1).
    tanh: (1 - tanh(a) / a) / z, z = a^2, 0 <= a <= `tanh_switch`.
    expm1: (expm1(r) - r) / r^2, |r| <= log(2) / 2.
    erf: erf(a) / a - 1 in a^2, 0 <= a <= `ERF_SWITCH`.
    erfc: (exp(a^2) erfc(a) sqrt(pi) (a + 1/2) - 1) / u in u - `ERFC_CENTER`, u = 1 / (a + 2),
        `ERF_SWITCH` <= a <= `erfc_limit`.

    ln2: log(2) as a sum of two numbers; the first times an exponent is exact.
    exp_range: below it exp is 0, above it infinite.
    tanh_limit, erfc_limit: from there on tanh is 1 and erfc is 0.
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
    tanh_switch: float
    tanh_limit: float
    expm1: tuple[float, ...]
    erf: tuple[float, ...]
    erfc: tuple[float, ...]
    erfc_limit: float


_FLOAT32 = Format(
    real=np.float32,
    integer=np.int32,
    digits=23,
    bias=127,
    ln2=(0.693145751953125, 1.4286068e-06),
    exp_range=(-104.0, 89.0),
    # Relative error 3.6e-9: a sixteenth of the rounding error 2**-24 = 6.0e-8.
    exp=(1.0, 1.0, 0.5, 0.16666535, 0.04166724, 0.008367431, 0.0013863401),
    # Relative error 8.0e-10.
    log=(0.66666776, 0.3997759, 0.29870582),
    # Relative error 4.5e-9.
    tanh=(0.3333328, -0.13331406, 0.053736523, -0.020628233, 0.0056924303),
    tanh_switch=0.625,
    tanh_limit=9.5,
    # Relative error 4.3e-10.
    expm1=(0.5, 0.16666666, 0.041666493, 0.008333547, 0.0013932328, 0.0001976045),
    # Relative error 1.6e-9.
    erf=(0.12837917, -0.3761262, 0.11283379, -0.026834335, 0.005113157, -0.00067375856),
    # Relative error 4.9e-9.
    erfc=(
        0.5547885,
        -0.15106626,
        -4.0383463,
        -11.018967,
        -8.780311,
        21.472036,
        39.80129,
        -66.243774,
        -39.105217,
    ),
    erfc_limit=10.1,
)

_FLOAT64 = Format(
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
        0.04166666666660405,
        0.008333333333500335,
        0.0013888888926760646,
        0.0001984126946577347,
        2.480150872682252e-05,
        2.7557641176850033e-06,
        2.762516926317416e-07,
        2.4978292434338558e-08,
    ),
    # Relative error 1.2e-18.
    log=(
        0.6666666666666734,
        0.3999999999941701,
        0.2857142874190475,
        0.22222198620101874,
        0.18183561997472458,
        0.15314107777678138,
        0.14795397367441476,
    ),
    # Relative error 5.6e-18.
    tanh=(
        0.3333333333333309,
        -0.13333333333298933,
        0.05396825395145544,
        -0.021869488123767176,
        0.008863229578538575,
        -0.0035920731241354696,
        0.0014554944975166712,
        -0.0005885790201246327,
        0.00023483867689319914,
        -8.812541986559113e-05,
        2.7067985000948383e-05,
        -4.800477380998852e-06,
    ),
    tanh_switch=0.7,
    tanh_limit=19.5,
    # Relative error 2.8e-19.
    expm1=(
        0.5,
        0.16666666666666677,
        0.04166666666666669,
        0.008333333333321771,
        0.0013888888888886396,
        0.00019841269885352932,
        2.4801587295960245e-05,
        2.7557245204843527e-06,
        2.7557314774535327e-07,
        2.5108648996952078e-08,
        2.089830579546275e-09,
    ),
    # Relative error 1.1e-17.
    erf=(
        0.1283791670955126,
        -0.3761263890318417,
        0.11283791670978408,
        -0.026866170650159383,
        0.005223977680272067,
        -0.0008548330415488219,
        0.00012055457634285999,
        -1.4928339500845477e-05,
        1.6492493549632485e-06,
        -1.645116400020997e-07,
        1.3270403470081711e-08,
    ),
    # Relative error 3.5e-18.
    erfc=(
        0.5547884538886778,
        -0.15106744722870372,
        -4.038323829322029,
        -11.017966330125299,
        -8.792172511933334,
        21.30158267404641,
        41.93926130165185,
        -60.931930196502925,
        -159.89132150298252,
        287.74689062578204,
        557.1627022422186,
        -1710.9154476795811,
        -1183.151677955295,
        9945.434068707325,
        -5962.321684124604,
        -46534.53587086152,
        103593.88918786163,
        108055.8513567752,
        -768025.6057060227,
        554872.6102765731,
        2814536.531551988,
        -5132226.0316075,
    ),
    erfc_limit=27.3,
)

FORMATS: dict[type[np.floating], Format] = {np.float32: _FLOAT32, np.float64: _FLOAT64}

ERF_SWITCH = 0.75
"""Below it erf has a polynomial, from it on erfc."""
ERFC_CENTER = 0.1875
"""Near the middle of the values of 1 / (a + 2), so that the powers in the polynomial of erfc stay small."""
HALF_LOG_PI = (0.572265625, 9.931792470008707e-05)
"""log(pi) / 2 as a sum of two numbers; the first has so few bits that its subtraction is exact."""

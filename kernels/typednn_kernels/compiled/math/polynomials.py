"""Coefficients of the polynomials that approximate the elementary functions, for float32 and float64."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Format:
    """A floating-point format, and the polynomials and limits of the elementary functions in it.

    A number has `digits` bits after its leading 1, and its exponent is stored with `bias` added.

    Polynomials begin with the constant term. They minimise the largest error relative to the function, with
    coefficients rounded one after the other: `python -m tests.oracles.polynomials` derives them again, and a
    test compares the errors.

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
    # Relative error 3.7e-9: a sixteenth of the rounding error 2**-24 = 6.0e-8.
    exp=(1.0, 1.0, 0.5, 0.16666535, 0.04166724, 0.008367433, 0.0013863419),
    # Relative error 8.2e-10.
    log=(0.66666776, 0.3997758, 0.29870927),
    # Relative error 4.6e-9.
    tanh=(0.3333328, -0.13331406, 0.053736515, -0.020628167, 0.005692296),
    tanh_switch=0.625,
    tanh_limit=9.5,
    # Relative error 3.3e-9.
    expm1=(0.5, 0.16666636, 0.04166651, 0.008341606, 0.0013930523, 0.00014933609),
    # Relative error 1.6e-9.
    erf=(0.12837917, -0.3761262, 0.11283379, -0.026834335, 0.005113157, -0.00067375833),
    # Relative error 5.8e-9.
    erfc=(
        0.5547885,
        -0.15106559,
        -4.038368,
        -11.019045,
        -8.773492,
        21.435144,
        39.419167,
        -62.251366,
        -48.72292,
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
    tanh_switch=0.7,
    tanh_limit=19.5,
    # Relative error 2.9e-19.
    expm1=(
        0.5,
        0.16666666666666677,
        0.041666666666666685,
        0.008333333333321822,
        0.0013888888888893727,
        0.00019841269885256276,
        2.480158727882401e-05,
        2.7557245240549366e-06,
        2.7557329700226403e-07,
        2.5108658637439945e-08,
        2.0893865387000615e-09,
    ),
    # Relative error 1.4e-17.
    erf=(
        0.1283791670955126,
        -0.37612638903184176,
        0.11283791670978856,
        -0.026866170650281535,
        0.005223977681881105,
        -0.0008548330535127033,
        0.00012055463063153236,
        -1.4928493070574359e-05,
        1.6495128937463725e-06,
        -1.6476172310472583e-07,
        1.3370739560830502e-08,
    ),
    # Relative error 1.1e-17.
    erfc=(
        0.5547884538886778,
        -0.15106744722869825,
        -4.038323829322104,
        -11.017966330139657,
        -8.792172511743889,
        21.301582684937443,
        41.93926115849266,
        -60.931933899152156,
        -159.89127164900165,
        287.7475482681805,
        557.1532615412251,
        -1710.9795547046658,
        -1182.10136664606,
        9948.677370755488,
        -6032.863583694644,
        -46587.14249210552,
        106405.05999777433,
        105714.70489268584,
        -829190.2119287638,
        674021.2610488132,
        3373982.072915264,
        -6679110.307348426,
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

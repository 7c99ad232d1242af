"""The compiled elementary functions, in units in the last place of the correctly rounded result."""

from __future__ import annotations

import platform
import re
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import erf, erfc
from typednn_kernels import primitives

from tests.oracles import error_function

numba = pytest.importorskip("numba", reason="numba does not work here", exc_type=ImportError)
if numba.config.DISABLE_JIT:
    pytest.skip("nothing is compiled", allow_module_level=True)
jit = import_module("typednn_kernels.compiled._codegen.jit")
loops = import_module("typednn_kernels.compiled._codegen.ir_loops")
functions = import_module("typednn_kernels.compiled.math.functions")

Function = Callable[[Any], Any]


def sigmoid(a: Any) -> Any:
    """The formula that an error of exp spoils most; e / (1 + e) alone is off by 2.4 units whatever exp is."""
    e = primitives.exp(-abs(a))
    y = primitives.where(a < 0, e, 1)
    return y - y * (e / (1 + e))


def sigmoid_of_numpy(a: NDArray[Any]) -> Any:
    e = np.exp(-abs(a))
    return np.where(a < 0, e, 1) / (1 + e)


def erf_of_wider(x: NDArray[Any]) -> Any:
    return erf(x) if x.dtype == np.float64 else error_function.erf(x)


def erfc_of_wider(x: NDArray[Any]) -> Any:
    return erfc(x) if x.dtype == np.float64 else error_function.erfc(x)


FUNCTIONS: dict[str, Function] = {
    "exp": primitives.exp,
    "expm1": primitives.expm1,
    "erf": primitives.erf,
    "erfc": primitives.erfc,
    "log": primitives.log,
    "log1p": primitives.log1p,
    "tanh": primitives.tanh,
}
ORACLES: dict[str, Function] = {
    "exp": np.exp,
    "expm1": np.expm1,
    "erf": erf_of_wider,
    "erfc": erfc_of_wider,
    "log": np.log,
    "log1p": np.log1p,
    "tanh": np.tanh,
    "sigmoid": sigmoid_of_numpy,
}
LIMITS = {
    "exp": 1.1,
    "expm1": 1.9,
    "erf": 1.2,
    "erfc": 1.8,
    "log": 1.0,
    "log1p": 1.1,
    "tanh": 1.4,
    "sigmoid": 2.0,
}
"""Units in the last place. Without FMA exp comes to 1.10 and tanh to 1.38, with FMA to 0.86 and 1.32."""

# Argument, correctly rounded float64 result, and what it leaves, in units of its last place: computed with
# mpmath in 400 digits. Borders of the reductions, denormal numbers, and the worst places found.
REFERENCES: dict[str, tuple[tuple[float, float, float], ...]] = {
    "exp": (
        (1e-300, 1.0, 4.504e-285),
        (-1e-17, 1.0, -0.04504),
        (0.34657359027997264, 1.414213562373095, 0.4908),
        (0.34657359027997275, 1.4142135623730951, 0.1979),
        (0.35912451078053265, 1.4320750992598263, 0.1339),
        (-0.3465735902799727, 0.7071067811865475, 0.2849),
        (1.0, 2.718281828459045, 0.3255),
        (-20.5, 1.2501528663867426e-09, 0.3118),
        (100.0, 2.6881171418161356e43, -0.3252),
        (-480.0151827084531, 3.4045123970380266e-209, 0.1179),
        (709.782712893384, 1.7976931348622732e308, 0.1057),
        (-708.3964185322641, 2.2250738585072626e-308, -0.2617),
        (-708.8210640854768, 1.455201758562974e-308, -0.124),
        (-740.3, 3.1e-322, -0.1927),
        (-745.1332191019411, 5e-324, -0.5),
    ),
    "expm1": (
        (5e-324, 5e-324, 0.0),
        (-5e-324, -5e-324, 0.0),
        (1e-310, 1e-310, 1.012e-297),
        (-1e-17, -1e-17, 0.03245),
        (1e-05, 1.0000050000166668e-05, -0.1837),
        (-0.001, -0.0009995001666250085, 0.4493),
        (0.24999999999999997, 0.28402541668774145, -0.02631),
        (0.25, 0.2840254166877415, -0.3843),
        (-0.25, -0.22119921692859512, -0.3686),
        (0.34657359027997264, 0.41421356237309503, -0.03691),
        (0.34805908203125, 0.41631592608991996, 0.1343),
        (0.36274414062500004, 0.4372680736814847, 0.1979),
        (-0.34657359027997275, -0.29289321881345254, -0.1373),
        (-0.6931471805599453, -0.5, 0.1044),
        (1.0, 1.7182818284590453, -0.3489),
        (-1.0, -0.6321205588285577, -0.1119),
        (3.7, 39.4473043600674, -0.1714),
        (-20.5, -0.9999999987498471, -0.03357),
        (-36.0, -0.9999999999999998, 0.08924),
        (-37.42994775023705, -1.0, 0.25),
        (-40.0, -1.0, 0.01913),
        (100.0, 2.6881171418161356e43, -0.3252),
        (709.4361393031039, 1.2711610061535065e308, 0.3239),
        (709.782712893384, 1.7976931348622732e308, 0.1057),
    ),
    "erf": (
        (5e-324, 5e-324, 0.1284),
        (-1e-310, -1.1283791670955e-310, 0.2587),
        (1e-17, 1.1283791670955127e-17, -0.3794),
        (-1e-08, -1.1283791670955126e-08, 0.3554),
        (0.001, 0.0011283787909692365, -0.3637),
        (0.3, 0.3286267594591274, 0.4127),
        (0.4769362762044699, 0.5, 0.03581),
        (0.7499999999999999, 0.7111556336535151, -0.2198),
        (0.75, 0.7111556336535151, 0.4231),
        (0.7503417968750001, 0.7113753291520116, 0.1344),
        (0.7635253906250001, 0.7197633872900501, 0.07743),
        (-0.9, -0.7969082124228322, 0.2089),
        (1.0, 0.8427007929497149, -0.2234),
        (-1.5, -0.9661051464753108, 0.305),
        (2.0, 0.9953222650189527, 0.1988),
        (3.0, 0.9999779095030014, 0.4831),
        (4.7, 0.9999999999700474, -0.01716),
        (5.5, 0.9999999999999927, -0.2736),
        (5.8, 0.9999999999999998, -0.1217),
        (5.921587195794507, 1.0, -0.25),
        (6.0, 1.0, -0.09692),
    ),
    "erfc": (
        (5e-324, 1.0, -2.511e-308),
        (-1e-310, 1.0, 5.082e-295),
        (1e-17, 1.0, -0.05082),
        (-1e-08, 1.0000000112837917, -0.03536),
        (0.001, 0.9988716212090307, 0.3523),
        (0.3, 0.6713732405408726, 0.2937),
        (0.4769362762044699, 0.5, -0.03581),
        (0.5, 0.4795001221869535, -0.3423),
        (0.7499999999999999, 0.2888443663464849, 0.4396),
        (0.75, 0.28884436634648486, 0.1538),
        (0.817962646484375, 0.24736476091337004, -0.3107),
        (0.81951904296875, 0.24646639791370933, -0.3812),
        (-0.75, 1.7111556336535152, -0.2884),
        (-0.9, 1.7969082124228322, -0.1045),
        (1.0, 0.15729920705028513, -0.1064),
        (-1.5, 1.9661051464753108, -0.1525),
        (2.0, 0.004677734981047266, -0.4473),
        (3.3, 3.0577097964381654e-06, -0.4952),
        (-5.8, 1.9999999999999998, -0.06086),
        (-6.0, 2.0, -0.04846),
        (5.9, 7.190409783550478e-17, -0.4706),
        (8.25, 1.8735664705504997e-31, 0.2086),
        (10.5, 7.035928090177523e-50, 0.006225),
        (13.0, 1.7395573154667246e-75, -0.3998),
        (17.7, 2.7710425007754264e-138, 0.3855),
        (21.3, 2.440645213496405e-199, 0.3914),
        (25.9, 1.0202833184732667e-293, -0.07912),
        (26.2, 1.643250792438946e-300, 0.2289),
        (26.543258454250875, 2.225073858519784e-308, -0.1425),
        (26.6, 1.088512588544227e-309, -0.08287),
        (27.0, 5.23705e-319, 0.05029),
        (27.2, 1e-323, 0.06229),
    ),
    "log": (
        (5e-324, -744.4400719213812, -0.389),
        (1e-310, -713.8013788281542, -0.07558),
        (2.2250738585072014e-308, -708.3964185322641, -0.2417),
        (1e-100, -230.25850929940458, 0.3895),
        (0.5, -0.6931471805599453, -0.2089),
        (0.7055821133280037, -0.34873212420269334, -0.07177),
        (0.7071067811865475, -0.34657359027997275, 0.1941),
        (0.7071067811865476, -0.3465735902799726, 0.02255),
        (0.9999999999999999, -1.1102230246251565e-16, -0.25),
        (1.0000000000000002, 2.2204460492503128e-16, 1.48e-16),
        (1.0001, 9.999500033329732e-05, 0.1283),
        (1.2795182, 0.24648360082291168, -0.1562),
        (1.4142135623730951, 0.3465735902799727, 0.4403),
        (1.414213562373095, 0.3465735902799726, -0.3881),
        (10.0, 2.302585092994046, -0.4888),
        (1.7976931348623157e308, 709.782712893384, 0.2079),
    ),
    "log1p": (
        (5e-324, 5e-324, -0.0),
        (-5e-324, -5e-324, -0.0),
        (1e-310, 1e-310, -1.012e-297),
        (1e-17, 1e-17, -0.03245),
        (-1e-17, -1e-17, -0.03245),
        (1e-05, 9.999950000333332e-06, -0.1409),
        (-0.29289321881345254, -0.34657359027997275, 0.1941),
        (-0.2928932188134524, -0.3465735902799726, 0.02255),
        (0.4142135623730949, 0.3465735902799726, -0.3881),
        (0.41421356237309515, 0.3465735902799727, 0.4403),
        (0.42501134365507226, 0.3541797741486294, -0.005627),
        (-0.5, -0.6931471805599453, -0.2089),
        (-0.9999999999999999, -36.7368005696771, -0.09485),
        (1.0, 0.6931471805599453, 0.2089),
        (-0.9, -2.302585092994046, -0.01119),
        (3.7, 1.547562508716013, -0.1526),
        (1000000000000000.0, 34.538776394910684, 0.3075),
        (9007199254740992.0, 36.7368005696771, 0.1105),
        (1e300, 690.7755278982137, 0.2089),
        (1.7976931348623157e308, 709.782712893384, 0.2079),
    ),
    "tanh": (
        (5e-324, 5e-324, 0.0),
        (-1e-310, -1e-310, 0.0),
        (1e-08, 1e-08, -0.2015),
        (-0.001, -0.0009999996666668, -0.08209),
        (0.3, 0.2913126124515909, -0.1164),
        (0.5493061443340549, 0.5, 0.3064),
        (0.6999999999999998, 0.6043677771171634, 0.1138),
        (0.7, 0.6043677771171635, -0.2514),
        (0.7042370132031339, 0.6070502919341495, -0.1896),
        (0.9, 0.7162978701990245, -0.3165),
        (-1.5, -0.9051482536448664, -0.3782),
        (3.0, 0.9950547536867305, -0.117),
        (10.0, 0.9999999958776927, 0.3327),
        (18.9, 0.9999999999999999, 0.3093),
        (19.06, 0.9999999999999999, 0.4985),
        (19.5, 1.0, -0.104),
    ),
}

SPECIAL: dict[str, tuple[tuple[float, float], ...]] = {
    "expm1": (
        (0.0, 0.0),
        (-0.0, -0.0),
        (np.inf, np.inf),
        (-np.inf, -1.0),
        (np.nan, np.nan),
        (1e4, np.inf),
        (-1e4, -1.0),
        (3e38, np.inf),
        (-3e38, -1.0),
    ),
    "erf": (
        (0.0, 0.0),
        (-0.0, -0.0),
        (6.0, 1.0),
        (-6.0, -1.0),
        (3e38, 1.0),
        (np.inf, 1.0),
        (-np.inf, -1.0),
        (np.nan, np.nan),
    ),
    "erfc": (
        (0.0, 1.0),
        (-0.0, 1.0),
        (6.0, 2.1519736712498913e-17),
        (-6.0, 2.0),
        (28.0, 0.0),
        (3e38, 0.0),
        (np.inf, 0.0),
        (-np.inf, 2.0),
        (np.nan, np.nan),
    ),
    "exp": (
        (0.0, 1.0),
        (-0.0, 1.0),
        (np.inf, np.inf),
        (-np.inf, 0.0),
        (np.nan, np.nan),
        (1e4, np.inf),
        (-1e4, 0.0),
        (3e38, np.inf),
        (-3e38, 0.0),
    ),
    "log": (
        (0.0, -np.inf),
        (-0.0, -np.inf),
        (1.0, 0.0),
        (np.inf, np.inf),
        (-np.inf, np.nan),
        (np.nan, np.nan),
        (-1.0, np.nan),
        (-1e-40, np.nan),
    ),
    "log1p": (
        (0.0, 0.0),
        (-0.0, -0.0),
        (-1.0, -np.inf),
        (np.inf, np.inf),
        (-np.inf, np.nan),
        (np.nan, np.nan),
        (-1.5, np.nan),
        (-3e38, np.nan),
    ),
    "tanh": (
        (0.0, 0.0),
        (-0.0, -0.0),
        (20.0, 1.0),
        (-20.0, -1.0),
        (3e38, 1.0),
        (np.inf, 1.0),
        (-np.inf, -1.0),
        (np.nan, np.nan),
    ),
}

by_name = pytest.mark.parametrize("name", FUNCTIONS)
by_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda dtype: dtype.__name__)


@cache
def loop_of(function: Function) -> Any:
    def loop(x: NDArray[Any], result: NDArray[Any]) -> None:
        for i in range(x.size):
            result[i] = function(x[i])

    return jit.inline(loop)


def compiled(function: Function, x: NDArray[Any]) -> NDArray[Any]:
    result = np.empty_like(x)
    loop_of(function)(x, result)
    return result


def units_off(computed: NDArray[Any], rounded: NDArray[Any], remainder: NDArray[Any]) -> NDArray[Any]:
    """Distance to rounded + remainder units; infinite where a sign, a NaN or an infinity is wrong."""
    finite = np.isfinite(rounded) & np.isfinite(computed)
    same = (np.isnan(rounded) & np.isnan(computed)) | (
        (finite | (rounded == computed)) & (np.signbit(rounded) == np.signbit(computed))
    )
    steps = (computed - rounded) / np.spacing(abs(rounded)).astype(remainder.dtype)
    return np.where(same, np.where(finite, abs(steps - remainder), 0), np.inf)


def off(name: str, function: Function, x: NDArray[Any], wide: Any) -> NDArray[Any]:
    with np.errstate(all="ignore"):
        exact = ORACLES[name](x.astype(wide))
        rounded = exact.astype(x.dtype)
        remainder = (exact - rounded) / np.spacing(abs(rounded)).astype(wide)
        return units_off(compiled(function, x), rounded, remainder)


def ranges(dtype: Any) -> Iterator[NDArray[Any]]:
    """All exponents and both signs, NaN of all kinds, and where the functions have their steps and curves."""
    count = 1 << (20 if dtype is np.float32 else 17)
    # Odd multiples of the golden section, modulo 2**64, are spread evenly over all bit patterns.
    patterns = np.arange(count, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    yield (
        (patterns >> np.uint64(32)).astype(np.uint32).view(dtype)
        if dtype is np.float32
        else patterns.view(dtype)
    )
    for bound in (1e-3, 0.1, 1, 5, 30, 120, 750):
        yield np.linspace(-bound, bound, count // 8 + 1, dtype=dtype)
    for low, high in ((0.5, 2), (0.2, 0.8), (-0.45, -0.25), (-104, -86), (-746, -708)):
        yield np.linspace(low, high, count // 8 + 1, dtype=dtype)
    edges = (
        1,
        -1,
        0.5,
        -0.5,
        2**0.5,
        0.5**0.5,
        2**0.5 - 1,
        0.5**0.5 - 1,
        0.625,
        0.7,
        88.72284,
        709.782712893384,
    )
    places = np.arange(-200, 201)
    for edge in edges:
        yield dtype(edge) + places.astype(dtype) * np.spacing(dtype(abs(edge)))
    limits = np.finfo(dtype)
    denormal = np.arange(-400, 401).astype(dtype) * limits.smallest_subnormal
    yield np.concatenate([denormal, denormal + limits.tiny, denormal - limits.tiny, [limits.max, limits.min]])


def worst(name: str, function: Function, dtype: Any, wide: Any) -> tuple[float, float]:
    """The largest error over `ranges`, and where."""
    x = np.concatenate(list(ranges(dtype))).astype(dtype)
    error = off(name, function, x, wide)
    place = int(np.argmax(error))
    return float(error[place]), float(x[place])


@by_name
def test_float32_against_float64(name: str) -> None:
    error, place = worst(name, FUNCTIONS[name], np.float32, np.float64)

    assert error <= LIMITS[name], f"{name}({place!r}) is off by {error}"


@pytest.mark.skipif(np.finfo(np.longdouble).nmant < 60, reason="long double is no wider than float64")
@by_name
def test_float64_against_long_double(name: str) -> None:
    error, place = worst(name, FUNCTIONS[name], np.float64, np.longdouble)

    assert error <= LIMITS[name], f"{name}({place!r}) is off by {error}"


newton_sqrt = loops.elementwise(functions.newton_sqrt)


def roots_of(x: NDArray[Any], result: NDArray[Any]) -> None:
    newton_sqrt(0, x.size, x, result)


roots = jit.inline(roots_of)


def test_newton_sqrt_of_zero_and_normal_numbers() -> None:
    x = np.concatenate([abs(each) for each in ranges(np.float64)])
    x = np.append(x[(x >= np.finfo(np.float64).tiny) & (x < np.inf)], [0.0, -1.0, -1e-300, np.nan])
    result = np.empty_like(x)

    roots(x, result)
    with np.errstate(invalid="ignore"):
        rounded = np.sqrt(x)
    np.testing.assert_array_equal(np.isnan(result), np.isnan(rounded))
    assert np.nanmax(abs(result - rounded) / np.spacing(rounded)) <= 1


@by_name
def test_float64_against_400_digits(name: str) -> None:
    x, rounded, remainder = np.array(REFERENCES[name]).T.copy()

    error = units_off(compiled(FUNCTIONS[name], x), rounded, remainder)

    assert error.max() <= LIMITS[name], f"{name}({x[np.argmax(error)]!r}) is off by {error.max()}"


@by_dtype
@by_name
def test_special_values(name: str, dtype: Any) -> None:
    x, expected = np.array(SPECIAL[name], dtype).T.copy()

    computed = compiled(FUNCTIONS[name], x)
    one_by_one = np.concatenate([compiled(FUNCTIONS[name], x[i : i + 1]) for i in range(x.size)])

    for result in (computed, one_by_one):
        np.testing.assert_array_equal(result, expected)
        np.testing.assert_array_equal(np.signbit(result[expected == 0]), np.signbit(expected[expected == 0]))


@by_dtype
def test_sigmoid_from_exp(dtype: Any) -> None:
    if dtype is np.float64 and np.finfo(np.longdouble).nmant < 60:
        pytest.skip("long double is no wider than float64")
    wide = np.float64 if dtype is np.float32 else np.longdouble

    error, place = worst("sigmoid", formula_of(sigmoid), dtype, wide)

    assert error <= LIMITS["sigmoid"], f"sigmoid({place!r}) is off by {error}"


@cache
def formula_of(function: Function) -> Function:
    scalar: Function = loops.scalar_function(function)
    return scalar


@by_dtype
def test_where_sums_may_be_reordered_exp_keeps_its_order(dtype: Any) -> None:
    def loop(x: NDArray[Any], shift: Any, result: NDArray[Any]) -> None:
        for i in range(x.size):
            result[i] = primitives.exp(x[i] - shift)

    x: NDArray[Any] = np.linspace(-80, 80, 10_001).astype(dtype)
    shift = dtype(3.1)
    computed = np.empty_like(x)
    jit.reassociate(loop)(x, shift, computed)

    reference = np.exp((x - shift).astype(np.longdouble))

    units = abs(computed - reference) / np.spacing(reference.astype(dtype))
    assert units.max() <= 1.5  # on Windows the reference has an error itself


@by_dtype
def test_selects_and_nan(dtype: Any) -> None:
    def clipped(x: Any) -> Any:
        return primitives.minimum(primitives.maximum(x, -1), 2)

    def step(x: Any) -> Any:
        return primitives.where(x > 0, 1, x)

    x = np.array([-np.inf, -2, -1, -0.0, 0.0, 1, 2, 3, np.inf, np.nan] * 4, dtype)

    np.testing.assert_array_equal(compiled(formula_of(clipped), x), np.clip(x, -1, 2))
    np.testing.assert_array_equal(compiled(formula_of(step), x), np.where(x > 0, dtype(1), x))


def largest(x: Any) -> Any:
    return primitives.maximum(x, 0)


def smallest(x: Any) -> Any:
    return primitives.minimum(x, 0)


def chosen(x: Any) -> Any:
    return primitives.where(x < 0, x, 1)


@by_dtype
@pytest.mark.parametrize("name", [*FUNCTIONS, "maximum", "minimum", "where"])
def test_loops_have_vectors_of_their_dtype_and_no_calls(name: str, dtype: Any) -> None:
    selects = {"maximum": largest, "minimum": smallest, "where": chosen}
    function = FUNCTIONS[name] if name in FUNCTIONS else formula_of(selects[name])
    compiled(function, np.ones(1, dtype))
    [code] = [
        code
        for signature, code in loop_of(function).inspect_llvm().items()
        if signature[0].dtype == numba.from_dtype(np.dtype(dtype))
    ]

    kind, other = ("float", "double") if dtype is np.float32 else ("double", "float")

    assert not re.search(rf"\b{other}\b", code)
    assert not re.search(r"@(llvm\.)?(exp|log|tanh|pow|ldexp|rint)", code)
    if dtype is np.float32:
        assert not re.search(r"<\d+ x i64>", code), "integers are as wide as the numbers"
    if platform.machine().lower() in {"x86_64", "amd64", "aarch64", "arm64"}:
        assert re.search(rf"<\d+ x {kind}>", code), "the loop is not vectorised"

"""The table of activations: every row against its definition and against differences."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest
from numpy.typing import NDArray
from typednn_kernels.activations import (
    ACTIVATIONS,
    BUILT_IN,
    CODES,
    NONE,
    SIGMOID,
    SOFTMAX,
    Activation,
    ActivationName,
    OutputActivationName,
)

from tests.oracles import differences, loops
from tests.oracles.agreement import assert_agrees

DTYPES = (np.float32, np.float64)
ELEMENTWISE = [row for row in ACTIVATIONS[:BUILT_IN] if row.value is not None]
by_name = pytest.mark.parametrize("row", ELEMENTWISE, ids=lambda row: row.name)
by_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)

GRID: NDArray[np.float64] = np.concatenate(
    [
        np.linspace(-12, 12, 97),
        [-np.inf, -1e30, -1e4, -745.2, -103.5, -88.8, -38.5, -37.4, -13.2],
        [25.0, 36.5, 88.8, 709.9, 1e4, 1e30, np.inf, 1e-30, -1e-30, 0.0, -0.0, 1e-310, -1e-310],
    ]
)
KINKS = {
    "hard_tanh": (-1.0, 1.0),
    "hard_sigmoid": (-3.0, 3.0),
    "relu6": (0.0, 6.0),
    "hard_swish": (-3.0, 3.0),
}


def condition(name: str, a: NDArray[Any]) -> Any:
    """What the rounding of a / sqrt(2) does to the tail of the normal distribution."""
    return 1 + np.minimum(abs(loops.exact(a)), 1e3) ** 2 if name in {"gelu", "gelu_tanh"} else 1


def values(row: Activation, a: NDArray[Any]) -> NDArray[Any]:
    assert row.value is not None
    with np.errstate(all="ignore"):
        return row.value(a)


def derivatives(row: Activation, a: NDArray[Any]) -> NDArray[Any]:
    assert row.derivative is not None
    with np.errstate(all="ignore"):
        return np.full_like(a, row.derivative(a, values(row, a)))


@by_dtype
@by_name
def test_value(row: Activation, dtype: Any) -> None:
    a: NDArray[Any] = GRID.astype(dtype)

    with np.errstate(over="ignore"):
        reference = loops.activation(row.name, loops.exact(a))
    computed = values(row, a)

    assert computed.dtype == dtype
    assert_agrees(computed, reference, 4, abs(reference) * condition(row.name, a))


@by_dtype
@by_name
def test_derivative(row: Activation, dtype: Any) -> None:
    a: NDArray[Any] = GRID.astype(dtype)

    with np.errstate(over="ignore"):
        reference = loops.exact([loops.derivative(row.name, each) for each in loops.exact(a)])
    computed = derivatives(row, a)

    assert computed.dtype == dtype
    # 1 - y^2 and y (1 - y) keep eps where they saturate
    assert_agrees(computed, reference, 4, np.maximum(abs(reference), 1))


@by_name
def test_derivative_against_differences(row: Activation) -> None:
    for a in {-2.5, -0.75, 0.3, 1.0, 4.0}.difference(KINKS.get(row.name, ())):
        reference = differences.gradient(lambda v: float(values(row, v)[0]), np.array([a]))
        np.testing.assert_allclose(derivatives(row, np.array([a])), reference, rtol=1e-8, atol=1e-9)


@by_name
def test_range_is_kept_and_reached(row: Activation) -> None:
    y = values(row, np.concatenate([[-np.inf, np.inf], np.linspace(-5, 5, 100_001)]))

    np.testing.assert_allclose([y.min(), y.max()], [row.minimum, row.maximum], rtol=1e-8)


@pytest.mark.parametrize(
    ("name", "a", "y", "derivative"),
    [
        ("none", -3.5, -3.5, 1.0),
        ("sigmoid", 0.0, 0.5, 0.25),
        ("relu", -2.0, 0.0, 0.0),
        ("relu", 0.0, 0.0, 0.0),
        ("relu", 2.0, 2.0, 1.0),
        ("tanh", 0.0, 0.0, 1.0),
        ("leaky_relu", -5.0, -1.0, 0.2),
        ("leaky_relu", 0.0, 0.0, 0.2),
        ("elu", 0.0, 0.0, 1.0),
        ("gelu", 0.0, 0.0, 0.5),
        ("silu", 0.0, 0.0, 0.5),
        ("softplus", 0.0, float(np.log(2)), 0.5),
        ("softsign", -1.0, -0.5, 0.25),
        ("mish", 0.0, 0.0, 0.6),
        ("hard_sigmoid", 0.0, 0.5, 1 / 6),
        ("hard_sigmoid", 3.0, 1.0, 0.0),
        ("hard_sigmoid", -3.0, 0.0, 0.0),
        ("hard_tanh", 0.5, 0.5, 1.0),
        ("hard_tanh", 1.0, 1.0, 0.0),
        ("hard_tanh", -1.0, -1.0, 0.0),
        ("exponential", 0.0, 1.0, 1.0),
        ("relu6", 6.0, 6.0, 0.0),
        ("relu6", 0.0, 0.0, 0.0),
        ("relu6", 1e-300, 1e-300, 1.0),
        ("hard_swish", -3.0, 0.0, 0.0),
        ("hard_swish", 3.0, 3.0, 1.0),
        ("hard_swish", 1.0, 2 / 3, 5 / 6),
        ("gelu_tanh", 0.0, 0.0, 0.5),
        ("gelu_tanh", 1.0, 0.8411919906082768, 1.0829640838457826),
    ],
)
def test_numbers_everybody_knows(name: str, a: float, y: float, derivative: float) -> None:
    row, at = next(row for row in ACTIVATIONS if row.name == name), np.array([a])

    np.testing.assert_allclose(values(row, at), [y], rtol=1e-15)
    np.testing.assert_allclose(derivatives(row, at), [derivative], rtol=1e-15)


@by_name
def test_nan_is_not_hidden(row: Activation) -> None:
    a = np.array([np.nan])

    assert np.isnan(values(row, a)).all()
    assert (
        row.name == "none" or np.isnan(derivatives(row, a)).all()
    )  # the derivative of the identity is 1 everywhere


def test_names_are_those_of_the_types() -> None:
    names = tuple(row.name for row in ACTIVATIONS[:BUILT_IN])

    assert sorted(names) == sorted(get_args(OutputActivationName))
    assert sorted(row.name for row in ELEMENTWISE) == sorted(get_args(ActivationName))
    assert names == tuple(CODES)[:BUILT_IN]


def test_codes_are_places_in_the_table() -> None:
    assert [ACTIVATIONS[code].name for code in CODES.values()] == list(CODES)
    assert [ACTIVATIONS[code].name for code in (NONE, SIGMOID, SOFTMAX)] == ["none", "sigmoid", "softmax"]


@pytest.mark.parametrize("row", ACTIVATIONS[:BUILT_IN], ids=lambda row: row.name)
def test_every_row_is_described(row: Activation) -> None:
    assert row.description
    assert (row.value is None) == (row.derivative is None)

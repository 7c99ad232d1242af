"""The table of losses: every row against its definition, against differences, and at the edges."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest
from numpy.typing import NDArray
from typednn_kernels.activations import CODES as ACTIVATION_CODES
from typednn_kernels.activations import EPSILON
from typednn_kernels.losses import (
    BUILT_IN,
    CANONICAL,
    CODES,
    LOSSES,
    MEAN_OVER_OUTPUTS,
    Loss,
    LossName,
)

from tests.oracles import differences, loops
from tests.oracles.agreement import assert_agrees

DTYPES = (np.float32, np.float64)
BY_NAME: dict[str, Loss] = {row.name: row for row in LOSSES}
by_row = pytest.mark.parametrize("row", LOSSES[:BUILT_IN], ids=lambda row: row.name)
by_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)

OUTPUTS = (0.0, -0.0, 1e-30, 1e-8, 2e-7, 0.25, 0.5, 1 - 2e-7, 1 - 1e-9, 1.0)
BEYOND = (-3.0, -1e-9, 1.5, 40.0)
TARGETS = (0.0, 1.0, 0.3)


def pairs(dtype: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    """Every output beside every target, outputs that are no probabilities included."""
    all_pairs = [(y, t) for t in TARGETS for y in OUTPUTS + BEYOND]
    table: NDArray[Any] = np.array(all_pairs, dtype)
    return table[:, 0].copy(), table[:, 1].copy()


def value(row: Loss, y: NDArray[Any], t: NDArray[Any]) -> NDArray[Any]:
    with np.errstate(all="ignore"):
        return row.value(y, t)


def derivative(row: Loss, y: NDArray[Any], t: NDArray[Any]) -> NDArray[Any]:
    with np.errstate(all="ignore"):
        return row.derivative(y, t)


@by_dtype
@by_row
def test_value(row: Loss, dtype: Any) -> None:
    y, t = pairs(dtype)

    reference = loops.exact(
        [loops.sample_loss(row.name, y1, t1, dtype) for y1, t1 in zip(columns(y), columns(t), strict=True)]
    )
    computed = value(row, y, t)

    assert computed.dtype == dtype
    assert_agrees(computed, reference, 4, magnitude=abs(reference) + 1)


@by_dtype
@by_row
def test_derivative(row: Loss, dtype: Any) -> None:
    y, t = pairs(dtype)

    reference = loops.exact(
        [
            loops.sample_loss_derivative(row.name, y1, t1, dtype)[0]
            for y1, t1 in zip(columns(y), columns(t), strict=True)
        ]
    )
    computed = derivative(row, y, t)

    assert computed.dtype == dtype
    magnitude = [
        loops.magnitude_of_derivative(row.name, y1, t1)[0]
        for y1, t1 in zip(columns(y), columns(t), strict=True)
    ]
    assert_agrees(computed, reference, 8, magnitude)


@by_row
def test_derivative_against_differences(row: Loss) -> None:
    for y in (-0.5, 0.125, 0.5, 0.9, 1.5):
        for t in TARGETS:
            target = np.array([t])
            reference = differences.gradient(
                lambda v, target=target: float(value(row, v, target)[0]),  # type: ignore[misc]
                np.array([y]),
            )
            np.testing.assert_allclose(
                derivative(row, np.array([y]), target), reference, rtol=1e-8, atol=1e-8
            )


@by_row
def test_range_of_targets(row: Loss) -> None:
    """Only numbers and signs go below 0; the losses of classes are those that know softmax, or nll."""
    lowest = {"numbers": row.target_minimum, "signs": -1}.get(row.targets, 0)

    assert row.target_minimum == lowest
    assert row.boundary == {"signs": 0}.get(row.targets, 0.5)
    assert (row.canonical == "softmax" or row.name == "nll") == (row.targets == "classes")


@pytest.mark.parametrize(
    ("name", "y", "t", "loss"),
    [
        ("MSE", 3.0, 1.0, 4.0),
        ("bincrossentropy", 0.5, 1.0, float(np.log(2))),
        ("bincrossentropy", 0.5, 0.3, float(np.log(2))),
        ("crossentropy", 0.25, 1.0, float(np.log(4))),
        ("crossentropy", 0.25, 0.0, 0.0),
        ("mae", 3.0, 1.0, 2.0),
        ("huber", 0.5, 1.0, 0.125),
        ("huber", 1.0, 4.0, 2.5),
        ("log_cosh", 1.0, 1.0, 0.0),
        ("log_cosh", 1e-9, 0.0, 5e-19),
        ("log_cosh", -1e300, 0.0, 1e300),
        ("poisson", 1.0, 3.0, 1.0),
        ("hinge", -0.5, 1.0, 1.5),
        ("hinge", -0.5, -1.0, 0.5),
        ("hinge", -0.5, 0.0, 0.5),
        ("hinge", 2.0, 1.0, 0.0),
        ("kl_divergence", 0.25, 0.5, float(np.log(2) / 2)),
        ("kl_divergence", 0.25, 0.0, 0.0),
        ("focal", 0.5, 1.0, float(np.log(2) / 4)),
        ("focal", 0.25, 0.0, float(np.log(4 / 3) / 16)),
    ],
)
def test_numbers_everybody_knows(name: str, y: float, t: float, loss: float) -> None:
    computed = value(BY_NAME[name], np.array([y]), np.array([t]))

    np.testing.assert_allclose(computed, [loss], rtol=1e-15)


@by_dtype
@pytest.mark.parametrize("name", ["bincrossentropy", "crossentropy"])
def test_a_certainty_that_is_wrong_costs_the_logarithm_of_epsilon(name: str, dtype: Any) -> None:
    y, t = pairs(dtype)
    wrong = (y == 0) & (t == 1)
    computed = value(BY_NAME[name], y[wrong], t[wrong])

    assert_agrees(computed, [-np.log(loops.Number(dtype(EPSILON)))] * 2, 4)


@pytest.mark.parametrize("t", TARGETS)
@pytest.mark.parametrize("a", [-1e4, -40.0, -1.0, -0.0, 0.0, 0.5, 30.0, 1e4])
@by_dtype
def test_binary_cross_entropy_of_logits(a: float, t: float, dtype: Any) -> None:
    row, logits, targets = BY_NAME["bincrossentropy"], *np.array([[a], [t]], dtype)

    reference = loops.sample_loss_of_logits(row.name, loops.exact(logits), loops.exact(targets))
    with np.errstate(all="ignore"):
        computed = row.stable_value(logits, targets)

    assert_agrees(computed, [reference], 4, magnitude=abs(a) + 1)


@pytest.mark.parametrize(
    ("name", "y", "t"),
    [
        ("mae", 1.0, 1.0),
        ("huber", 1.0, 1.0),
        ("log_cosh", 1.0, 1.0),
        ("hinge", 1.0, 1.0),
        ("hinge", -1.0, 0.0),
    ],
)
def test_derivative_at_the_best_output_and_at_a_kink_is_0(name: str, y: float, t: float) -> None:
    assert derivative(BY_NAME[name], np.array([y]), np.array([t])).tolist() == [0.0]


@by_dtype
@pytest.mark.parametrize("y", [-np.inf, -1e30, 1e30, np.inf])
@pytest.mark.parametrize("name", ["mae", "huber", "log_cosh"])
def test_derivatives_of_distances_stay_finite(name: str, y: float, dtype: Any) -> None:
    outputs, targets = np.array([[y], [3]], dtype)

    assert derivative(BY_NAME[name], outputs, targets).tolist() == [np.sign(y)]
    assert value(BY_NAME[name], outputs, targets).tolist() == [abs(outputs[0])]


@by_dtype
def test_poisson_of_logarithms(dtype: Any) -> None:
    a, t = np.array([-1e4, -30.0, 0.0, 0.5, 20.0], dtype), np.array([0, 2.5, 1, 7, 1e6], dtype)

    reference = loops.exact(
        [
            loops.sample_loss_of_logits("poisson", a1, t1)
            for a1, t1 in zip(columns(a), columns(t), strict=True)
        ]
    )
    with np.errstate(all="ignore"):
        computed = BY_NAME["poisson"].stable_value(a, t)

    assert_agrees(computed, reference, 4, abs(a) * t + np.exp(loops.exact(a)))


def test_crossentropy_of_log_probabilities_counts_only_where_there_is_a_target() -> None:
    row = BY_NAME["crossentropy"]

    with np.errstate(all="ignore"):
        computed = row.stable_value(np.array([-np.inf, -2e4, -0.5]), np.array([0.0, 1.0, 0.5]))

    assert computed.tolist() == [0.0, 2e4, 0.25]


def test_kl_divergence_of_log_probabilities_counts_only_where_there_is_a_target() -> None:
    row = BY_NAME["kl_divergence"]

    with np.errstate(all="ignore"):
        computed = row.stable_value(np.array([-np.inf, -2e4, -0.5]), np.array([0.0, 1.0, 0.5]))

    assert computed.tolist() == [0.0, 2e4, 0.5 * (np.log(0.5) + 0.5)]


@by_row
def test_nan_is_not_hidden(row: Loss) -> None:
    y, t = np.array([np.nan]), np.array([0.5])

    assert np.isnan(value(row, y, t)).all()
    assert np.isnan(derivative(row, y, t)).all()


def test_the_table() -> None:
    assert sorted(list(CODES)[:BUILT_IN]) == sorted(get_args(LossName))
    assert [LOSSES[code].name for code in CODES.values()] == list(CODES)
    assert [row.over_outputs == "mean" for row in LOSSES[:BUILT_IN]] == list(MEAN_OVER_OUTPUTS)
    for row, code in zip(LOSSES[:BUILT_IN], CANONICAL, strict=True):
        assert code == (-1 if row.canonical is None else ACTIVATION_CODES[row.canonical])
        assert row.description


def columns(numbers: NDArray[Any]) -> list[loops.Numbers]:
    """Each number as the outputs of a network with one output."""
    return [loops.exact([number]) for number in numbers]

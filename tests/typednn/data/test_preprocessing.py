"""Scaling, classes and held-out samples, against formulas written out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from typednn import DataError, SettingError
from typednn.data.preprocessing import classes_of, held_out_split, numbers_of, scale_of, task_of

FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)


def test_columns_have_mean_0_and_deviation_1() -> None:
    values = np.random.default_rng(0).normal([1e3, 0, -3], [1e-3, 1, 5], (10_000, 3))

    scaled = scale_of(values).standardize(values, FLOAT64)

    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(scaled.std(axis=0), 1, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["u1", "i8", "?", "f4", "f8"])
def test_means_and_deviations_are_those_of_float64(dtype: str) -> None:
    values = np.random.default_rng(0).integers(0, 2, (9000, 4)).astype(dtype)

    scale = scale_of(values)

    np.testing.assert_allclose(scale.mean, values.astype(float).mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(scale.deviation, values.astype(float).std(axis=0), rtol=1e-12)


def test_pixels_share_a_scale() -> None:
    values = np.random.default_rng(0).integers(0, 256, (500, 7)).astype(np.uint8)

    scale = scale_of(values, as_one=True)

    np.testing.assert_allclose(scale.mean, np.full(7, values.mean()), rtol=1e-12)
    np.testing.assert_allclose(scale.deviation, np.full(7, values.std()), rtol=1e-12)


@pytest.mark.parametrize("constant", [0.0, 0.1, 7.0, -1e15])
def test_a_constant_column_is_0(constant: float) -> None:
    values = np.full((101, 2), constant)

    scale = scale_of(values)

    np.testing.assert_array_equal(scale.deviation, 1)
    np.testing.assert_allclose(scale.standardize(values, FLOAT32), 0, atol=1)


def test_pixels_that_are_constant_or_equal() -> None:
    values = np.full((5, 3), [0, 9, 0], np.uint8)

    np.testing.assert_array_equal(scale_of(values).deviation, 1)
    np.testing.assert_allclose(scale_of(values, as_one=True).deviation, values.std())
    np.testing.assert_array_equal(scale_of(values[:, :1], as_one=True).deviation, 1)


def test_restoring_undoes_standardizing() -> None:
    values = np.array([[1.0, -5e9], [2.5, 1e9], [1e-3, 0.0]])
    scale = scale_of(values)

    np.testing.assert_allclose(scale.restore(scale.standardize(values, FLOAT64)), values, atol=1e-6)


def test_numbers_too_large_to_be_standardized() -> None:
    with pytest.raises(DataError, match="column 2: the numbers are too large"):
        scale_of(np.array([[1.0, 1e308], [2.0, -1e308], [2.0, 1e308]]))


TASKS: list[tuple[Any, str]] = [
    (["a", "b"], "classification"),
    ([0.0, 1.0, 1.0, 0.0], "classification"),
    ([-1.0, 1.0] * 5, "classification"),
    (list(range(20)) * 2, "classification"),
    (list(range(21)) * 2, "regression"),
    ([1.0, 2.0, 3.0], "regression"),
    ([0.5, 1.0] * 5, "regression"),
    ([[0.0, 1.0]] * 5, "regression"),
]


@pytest.mark.parametrize(("target", "task"), TASKS)
def test_the_target_tells_the_task(target: Any, task: str) -> None:
    array = np.array(target)
    assert task_of(array if array.dtype.kind == "U" else array.astype(float)) == task


def test_classes_are_sorted_by_value() -> None:
    classes, labels = classes_of(np.array([10.0, 9.0, 10.0, -1.0]))

    assert classes.names == ("-1", "9", "10")
    assert labels.tolist() == [2, 1, 2, 0]


def test_classes_of_text() -> None:
    classes, labels = classes_of(np.array(["b", "a", "b"]))

    assert classes.names == ("a", "b")
    assert labels.tolist() == [1, 0, 1]


def test_what_cannot_be_learnt() -> None:
    with pytest.raises(DataError, match="all targets are x: there is nothing to learn"):
        classes_of(np.array(["x", "x"]))
    with pytest.raises(DataError, match="must be text or whole numbers"):
        classes_of(np.array([0.5, 1.0]))
    with pytest.raises(DataError, match="one target column, not 2"):
        classes_of(np.eye(2))
    with pytest.raises(DataError, match=r"the target is text \('x'\)"):
        numbers_of(np.array(["x", "y"]))
    with pytest.raises(DataError, match=r"all targets are 0\.5"):
        numbers_of(np.array([0.5, 0.5]))


@given(st.integers(2, 300), st.floats(0.01, 0.99), st.integers(0, 99), st.booleans())
def test_every_sample_is_in_one_part(samples: int, share: float, seed: int, with_labels: bool) -> None:
    labels = np.random.default_rng(seed).integers(0, 3, samples) if with_labels else None
    wanted = round(samples * share)
    if not 1 <= wanted < samples:
        with pytest.raises(DataError, match=f"{samples} samples cannot be split"):
            held_out_split(samples, share, seed, labels)
        return

    training, held = held_out_split(samples, share, seed, labels)

    assert sorted([*training, *held]) == list(range(samples))
    assert len(held) == wanted


@given(st.lists(st.integers(1, 60), min_size=2, max_size=6), st.integers(0, 99))
def test_each_class_has_its_fraction(counts: list[int], seed: int) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    np.random.default_rng(seed).shuffle(labels)
    if len(labels) < 3:
        return

    _, held = held_out_split(len(labels), 0.2, seed, labels)

    found = np.bincount(labels[held], minlength=len(counts))
    for label, count in enumerate(counts):
        assert abs(found[label] - len(held) * count / len(labels)) < 1.01


def test_the_seed_decides() -> None:
    first, again, other = (held_out_split(100, 0.2, seed)[1].tolist() for seed in (1, 1, 2))

    assert first == again
    assert first != other


@pytest.mark.parametrize("share", [0.0, 1.0, -0.5, float("nan")])
def test_fractions_lie_between_0_and_1(share: float) -> None:
    with pytest.raises(SettingError, match="must lie between 0 and 1"):
        held_out_split(10, share, 0)

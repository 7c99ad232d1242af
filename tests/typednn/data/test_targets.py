"""Targets, their tasks and scales, and held-out samples, against formulas written out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from typednn import DataError, SettingError
from typednn.data.preprocessing import folds_of, held_out_split, others
from typednn.data.table import as_column
from typednn.data.targets import Classes, classes_of, numbers_of, scale_of, task_of

FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)


def column(values: Any) -> Any:
    return as_column(values, "y", "data")


def place(row: int) -> str:
    return f"data, row {row + 1}"


def test_targets_have_mean_0_and_deviation_1() -> None:
    values = np.random.default_rng(0).normal([1e3, 0, -3], [1e-3, 1, 5], (10_000, 3))

    scaled = scale_of(values).standardize(values, FLOAT64)

    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(scaled.std(axis=0), 1, rtol=1e-6)


@pytest.mark.parametrize("constant", [0.0, 0.1, 7.0, -1e15])
def test_a_constant_target_is_0(constant: float) -> None:
    values = np.full((101, 2), constant)

    scale = scale_of(values)

    np.testing.assert_array_equal(scale.deviation, 1)
    np.testing.assert_allclose(scale.standardize(values, FLOAT32), 0, atol=1)


def test_restoring_undoes_standardizing() -> None:
    values = np.array([[1.0, -5e9], [2.5, 1e9], [1e-3, 0.0]])
    scale = scale_of(values)

    np.testing.assert_allclose(scale.restore(scale.standardize(values, FLOAT64)), values, atol=1e-6)


def test_numbers_too_large_to_be_standardized() -> None:
    values = np.array([[1.0, 1e308], [2.0, -1e308], [2.0, 1e308]])
    with pytest.raises(DataError, match="column 2: the numbers are too large"):
        scale_of(values)
    with pytest.raises(DataError, match="column 'b': the numbers are too large"):
        scale_of(values, ("a", "b"))


TASKS: list[tuple[Any, str]] = [
    (["a", "b"], "classification"),
    ([True, False], "classification"),
    ([0.0, 1.0, 1.0, 0.0], "classification"),
    ([-1.0, 1.0] * 5, "classification"),
    (["01", "1", "01", "1"], "classification"),
    (list(range(20)) * 2, "classification"),
    (list(range(21)) * 2, "regression"),
    ([1.0, 2.0, 3.0], "regression"),
    ([0.5, 1.0] * 5, "regression"),
    (["0.5", "1", "2"], "regression"),
    (["none", "mild"], "classification"),
]


@pytest.mark.parametrize(("target", "task"), TASKS)
def test_the_target_tells_the_task(target: Any, task: str) -> None:
    assert task_of([column(target)]) == task
    assert task_of([column(target)] * 2) == "regression"


def test_infinity_is_no_class() -> None:
    assert task_of([np.array([0.0, 1.0, 1.0, np.inf])]) == "regression"


def test_labels_are_classes_however_many_there_are() -> None:
    letters = np.arange(26, dtype=np.uint8)

    assert task_of([letters], labels=True) == "classification"
    assert len(classes_of(letters, "y", place)[0].names) == 26


@pytest.mark.parametrize(
    ("values", "names", "labels"),
    [
        ([10.0, 9.0, 10.0, -1.0], ("-1", "9", "10"), [2, 1, 2, 0]),
        (["10", "9", "10", "-1"], ("-1", "9", "10"), [2, 1, 2, 0]),
        (["b", "a", "b"], ("a", "b"), [1, 0, 1]),
        (["01", "1", "1E3", "1000"], ("01", "1", "1000", "1E3"), [0, 1, 3, 2]),
        ([True, False], ("false", "true"), [1, 0]),
        (["none", "mild"], ("mild", "none"), [1, 0]),
    ],
)
def test_classes_are_sorted_and_kept_as_written(values: Any, names: Any, labels: Any) -> None:
    classes, found = classes_of(column(values), "y", place)

    assert classes.names == names
    assert found.tolist() == labels


def test_what_cannot_be_learnt() -> None:
    for values, message in (
        (["x", "x"], "all targets are x: there is nothing to learn"),
        ([0.5, 1.0], "must be text or whole numbers"),
        (["x", None], r"row 2: the target 'y' has no value \(''\)"),
        (["1", "nan"], r"row 2: the target 'y' has no value \('nan'\)"),
        (["x", "\0a"], "row 2: expected text in 'y', found a NUL byte"),
    ):
        with pytest.raises(DataError, match=message):
            classes_of(column(values), "y", place)
    for values, message in (
        (["1", "y"], r"row 2: the target 'y' is text \('y'\)"),
        ([0.5, 0.5], r"all targets are 0\.5"),
        (["0.5", None], r"row 2: the target 'y' has no value \(''\)"),
        ([0.5, np.inf], "row 2: column 'y': expected a finite number, found inf"),
        ([0.5, 1e300], r"row 2: the target 'y': expected numbers up to 1e\+150, found 1e\+300"),
    ):
        with pytest.raises(DataError, match=message):
            numbers_of([column(values)], ["y"], place)
    with pytest.raises(
        DataError, match=r"row 2: the target 'y': expected one of the 2 classes .*'a', found 'c'"
    ):
        Classes(("a", "b")).labels(column(["a", "c"]), "y", place)


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


@given(st.integers(2, 60), st.integers(2, 9), st.integers(0, 9))
def test_each_sample_is_in_one_fold(samples: int, count: int, seed: int) -> None:
    labels = np.arange(samples) % 2
    if count > samples:
        with pytest.raises(SettingError, match=f"2 to {samples} folds for {samples} samples, not {count}"):
            folds_of(samples, count, seed, labels)
        return

    folds = folds_of(samples, count, seed, labels)

    assert sorted(np.concatenate(folds).tolist()) == list(range(samples))
    assert max(map(len, folds)) - min(map(len, folds)) <= 1
    for fold in folds:
        assert abs(labels[fold].sum() - len(fold) / 2) <= 1
        assert sorted([*fold.tolist(), *others(samples, fold).tolist()]) == list(range(samples))


def test_the_seed_decides() -> None:
    first, again, other = (held_out_split(100, 0.2, seed)[1].tolist() for seed in (1, 1, 2))

    assert first == again
    assert first != other


@pytest.mark.parametrize("share", [0.0, 1.0, -0.5, float("nan")])
def test_fractions_lie_between_0_and_1(share: float) -> None:
    with pytest.raises(SettingError, match="must lie between 0 and 1"):
        held_out_split(10, share, 0)

"""Preprocessing: standardised features and targets, classes, and the split into training and held-out."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from typednn_kernels.arrays import F, Matrix, Vector

from typednn.errors import DataError, SettingError
from typednn.validation.arrays import Labels

Task: TypeAlias = Literal["classification", "regression"]
Numbers: TypeAlias = NDArray[np.number | np.bool]
TargetValues: TypeAlias = NDArray[np.float64] | NDArray[np.str_]
"""Targets in a file: numbers `(n_samples,)` or `(n_samples, n_outputs)`, or text `(n_samples,)`."""

MAX_NUMERIC_CLASSES = 20
"""The largest number of different integers that are taken for classes."""

CHUNK_ROWS = 4096
"""The number of samples that are converted to float64 at a time, so that they take little memory."""


@dataclass(frozen=True, slots=True)
class Scale:
    """The mean and standard deviation of columns, by which they are standardised.

    Attributes:
        mean, deviation: one element per column, `(n_columns,)`; the deviation of a constant column is 1.
    """

    mean: Vector[np.float64]
    deviation: Vector[np.float64]

    def standardize(self, values: Numbers, dtype: np.dtype[F]) -> Matrix[F]:
        """Computes (values - mean) / deviation in float64; returns `(n_samples, n_columns)` in the dtype."""
        scaled: Matrix[F] = np.empty((len(values), len(self.mean)), dtype)
        with np.errstate(all="ignore"):
            for start in range(0, len(values), CHUNK_ROWS):
                chunk = slice(start, start + CHUNK_ROWS)
                scaled[chunk] = (values[chunk].astype(np.float64) - self.mean) / self.deviation
        return scaled

    def restore(self, scaled: NDArray[np.floating]) -> NDArray[np.float64]:
        """Inverts `standardize`, for `(n_samples, n_columns)` values."""
        return scaled.astype(np.float64) * self.deviation + self.mean


def scale_of(values: Numbers, *, as_one: bool = False) -> Scale:
    """Computes the means and standard deviations of the columns of `values`.

    Args:
        values: real numbers, `(n_samples, n_columns)`.
        as_one: whether all columns, such as pixels, share one mean and deviation.

    Raises:
        DataError: a mean or deviation is infinite.
    """
    columns = values.shape[1]
    with np.errstate(all="ignore"):
        mean = values.mean(axis=0, dtype=np.float64)
        center = np.full(columns, mean.mean()) if as_one else mean
        squares = np.zeros(columns)
        for start in range(0, len(values), CHUNK_ROWS):
            squares += np.square(values[start : start + CHUNK_ROWS].astype(np.float64) - center).sum(axis=0)
        deviation = np.sqrt(np.full(columns, squares.mean()) if as_one else squares) / np.sqrt(len(values))
        wrong = ~np.isfinite(center + deviation)
    if wrong.any():
        raise DataError(f"column {int(wrong.argmax()) + 1}: the numbers are too large to be standardised")
    lowest, highest = values.min(axis=0), values.max(axis=0)
    constant = np.full(columns, lowest.min() == highest.max()) if as_one else lowest == highest
    return Scale(center, np.where(constant | (deviation == 0), 1.0, deviation))


@dataclass(frozen=True, slots=True)
class Classes:
    """The classes of a target.

    Attributes:
        names: the sorted names, those of numbers by value; the label of a class is its index.
    """

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """The preprocessing of the data of a training, saved with the network so that it predicts from raw data.

    Attributes:
        features: the scale of the features.
        target: the classes, or the scale of the targets.
        feature_names: the names of the features in their order, or None if the data had no names.
        target_name: the name of the target, or None if the data had no names.
    """

    features: Scale
    target: Classes | Scale
    feature_names: tuple[str, ...] | None = None
    target_name: str | None = None


def task_of(target: TargetValues) -> Task:
    """Returns the task for a target: classification for text and few different integers, else regression.

    >>> [task_of(np.array(target)) for target in (["cat", "dog"], [0.0, 1.0, 1.0, 0.0], [0.5, 2.0])]
    ['classification', 'classification', 'regression']
    """
    if target.dtype.kind == "U":
        return "classification"
    if target.ndim > 1 or (target != np.floor(_numbers(target))).any():
        return "regression"
    most = min(MAX_NUMERIC_CLASSES, len(target) // 2)
    return "classification" if len(np.unique(target)) <= most else "regression"


def classes_of(target: TargetValues) -> tuple[Classes, Labels]:
    """Finds the classes of a target, and the label of each sample `(n_samples,)`.

    Raises:
        DataError: there are fewer than two classes, or numbers that are not integers.
    """
    if target.ndim > 1:
        raise DataError(f"classes need one target column, not {target.shape[1]}")
    if target.dtype.kind != "U" and (target != np.floor(_numbers(target))).any():
        raise DataError("classes must be text or whole numbers; --task regression learns other numbers")
    values, labels = np.unique(target, return_inverse=True)
    if len(values) < 2:
        raise DataError(f"all targets are {values[0]}: there is nothing to learn")
    names = tuple(str(each) if target.dtype.kind == "U" else str(int(each)) for each in values)
    return Classes(names), labels.reshape(len(target))


def numbers_of(target: TargetValues) -> Matrix[np.float64]:
    """Returns the targets of a regression, `(n_samples, n_outputs)`.

    Raises:
        DataError: the targets are text, or all equal.
    """
    if target.dtype.kind == "U":
        raise DataError(f"the target is text ({str(target.flat[0])!r}), which only classification can learn")
    numbers = _numbers(target).reshape(len(target), -1)
    if (numbers == numbers[0]).all():
        raise DataError(f"all targets are {numbers[0, 0]:g}: there is nothing to learn")
    return numbers


def held_out_split(
    samples: int, fraction: float, seed: int, labels: Labels | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draws the indices of training and held-out samples; given labels, the split is stratified by class.

    Raises:
        SettingError: the fraction is not between 0 and 1.
        DataError: there are so few samples that one of the two parts is empty.

    >>> training, held_out = held_out_split(10, 0.2, seed=0)
    >>> len(training), len(held_out)
    (8, 2)
    """
    if not 0 < fraction < 1:
        raise SettingError(f"the held-out fraction must lie between 0 and 1, not {fraction!r}")
    count = round(samples * fraction)
    if count < 1 or count >= samples:
        raise DataError(f"{samples} samples cannot be split with a held-out fraction of {fraction:g}")
    random = np.random.default_rng(seed)
    order = random.permutation(samples)
    if labels is not None:
        order = order[np.argsort(labels[order], kind="stable")]
    held = np.zeros(samples, np.bool)
    held[[floor((k + 0.5) * samples / count) for k in range(count)]] = True
    return random.permutation(order[~held]), np.sort(order[held])


def _numbers(target: TargetValues) -> NDArray[np.float64]:
    return target.astype(np.float64, copy=False)

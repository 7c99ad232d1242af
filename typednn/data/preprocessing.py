"""From raw data to what a network takes, and from its outputs back: scaling, classes, held-out samples."""

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

FEW = 20
"""Whole numbers with at most so many different values are taken for classes."""

CHUNK = 4096
"""So many samples at a time are converted to float64, to take little memory."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Standardises columns.

    Attributes:
        mean, deviation: `(n_columns,)`; the deviation of a constant column is 1.
    """

    mean: Vector[np.float64]
    deviation: Vector[np.float64]

    def standardize(self, values: Numbers, dtype: np.dtype[F]) -> Matrix[F]:
        """(values - mean) / deviation, computed in float64, `(n_samples, n_columns)`."""
        scaled: Matrix[F] = np.empty((len(values), len(self.mean)), dtype)
        with np.errstate(all="ignore"):
            for start in range(0, len(values), CHUNK):
                chunk = slice(start, start + CHUNK)
                scaled[chunk] = (values[chunk].astype(np.float64) - self.mean) / self.deviation
        return scaled

    def restore(self, scaled: NDArray[np.floating]) -> NDArray[np.float64]:
        """What `standardize` was given, `(n_samples, n_columns)`."""
        return scaled.astype(np.float64) * self.deviation + self.mean


def scale_of(values: Numbers, *, as_one: bool = False) -> Scale:
    """The means and standard deviations of the columns of values `(n_samples, n_columns)`.

    Args:
        values: real numbers.
        as_one: whether all columns are of one kind, as pixels are, and share a mean and a deviation.

    Raises:
        DataError: numbers so large that these are infinite.
    """
    columns = values.shape[1]
    with np.errstate(all="ignore"):
        mean = values.mean(axis=0, dtype=np.float64)
        center = np.full(columns, mean.mean()) if as_one else mean
        squares = np.zeros(columns)
        for start in range(0, len(values), CHUNK):
            squares += np.square(values[start : start + CHUNK].astype(np.float64) - center).sum(axis=0)
        deviation = np.sqrt(np.full(columns, squares.mean()) if as_one else squares) / np.sqrt(len(values))
        wrong = ~np.isfinite(center + deviation)
    if wrong.any():
        raise DataError(f"column {int(wrong.argmax()) + 1}: the numbers are too large to be standardised")
    lowest, highest = values.min(axis=0), values.max(axis=0)
    constant = np.full(columns, lowest.min() == highest.max()) if as_one else lowest == highest
    return Scale(center, np.where(constant | (deviation == 0), 1.0, deviation))


@dataclass(frozen=True, slots=True)
class Classes:
    """The classes of a target; a class's number is its place.

    Attributes:
        names: sorted, those of numbers by value.
    """

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """What was done to the data of a training; saved with the network, so that it predicts from raw data.

    Attributes:
        features: how the features are standardised.
        target: the classes, or how the targets were standardised.
        feature_names: the columns in order, or None where the data had no names.
        target_name: likewise.
    """

    features: Scale
    target: Classes | Scale
    feature_names: tuple[str, ...] | None = None
    target_name: str | None = None


def task_of(target: TargetValues) -> Task:
    """Classification for text and for few-valued whole numbers, regression for other numbers.

    >>> [task_of(np.array(target)) for target in (["cat", "dog"], [0.0, 1.0, 1.0, 0.0], [0.5, 2.0])]
    ['classification', 'classification', 'regression']
    """
    if target.dtype.kind == "U":
        return "classification"
    if target.ndim > 1 or (target != np.floor(_numbers(target))).any():
        return "regression"
    few = min(FEW, len(target) // 2)
    return "classification" if len(np.unique(target)) <= few else "regression"


def classes_of(target: TargetValues) -> tuple[Classes, Labels]:
    """The classes of a target, and the class number of each sample `(n_samples,)`.

    Raises:
        DataError: fewer than two classes, or numbers that are not whole.
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
    """The targets of a regression, `(n_samples, n_outputs)`.

    Raises:
        DataError: text, or targets that are all equal.
    """
    if target.dtype.kind == "U":
        raise DataError(f"the target is text ({str(target.flat[0])!r}), which only classification can learn")
    numbers = _numbers(target).reshape(len(target), -1)
    if (numbers == numbers[0]).all():
        raise DataError(f"all targets are {numbers[0, 0]:g}: there is nothing to learn")
    return numbers


def held_out_split(
    samples: int, share: float, seed: int, labels: Labels | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draws the samples to train with and those to hold out; with labels, the same share of each class.

    Raises:
        SettingError: a share outside 0 … 1.
        DataError: so few samples that one of the two is empty.

    >>> training, held_out = held_out_split(10, 0.2, seed=0)
    >>> len(training), len(held_out)
    (8, 2)
    """
    if not 0 < share < 1:
        raise SettingError(f"the held-out share must lie between 0 and 1, not {share!r}")
    count = round(samples * share)
    if count < 1 or count >= samples:
        raise DataError(f"{samples} samples cannot be split with a held-out share of {share:g}")
    random = np.random.default_rng(seed)
    order = random.permutation(samples)
    if labels is not None:
        order = order[np.argsort(labels[order], kind="stable")]
    held = np.zeros(samples, np.bool)
    held[[floor((k + 0.5) * samples / count) for k in range(count)]] = True
    return random.permutation(order[~held]), np.sort(order[held])


def _numbers(target: TargetValues) -> NDArray[np.float64]:
    return target.astype(np.float64, copy=False)

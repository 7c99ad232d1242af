"""Targets: classes by name, or numbers that are standardised."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from typednn_kernels.arrays import F, Matrix, Vector

from typednn.data.columns import Place, number_of, numbers_in, written_in
from typednn.data.table import Column, is_text
from typednn.errors import DataError
from typednn.validation.arrays import Labels

Task: TypeAlias = Literal["classification", "regression"]
Numbers: TypeAlias = NDArray[np.number | np.bool]

MAX_NUMERIC_CLASSES = 20
"""The largest number of different integers that are taken for classes."""

LARGEST_TARGET = 1e150
"""The largest number that is learnt: sums of squares of such numbers are finite."""


@dataclass(frozen=True)
class Scale:
    """The mean and standard deviation of columns, by which they are standardised.

    Attributes:
        mean, deviation: one element per column, `(n_columns,)`; the deviation of a constant column is 1.
    """

    mean: Vector[np.float64]
    deviation: Vector[np.float64]

    def standardize(self, values: Numbers, dtype: np.dtype[F]) -> Matrix[F]:
        """Computes (values - mean) / deviation in float64; returns `(n_samples, n_columns)` in the dtype."""
        with np.errstate(all="ignore"):
            scaled: Matrix[F] = ((values.astype(np.float64) - self.mean) / self.deviation).astype(dtype)
        return scaled

    def restore(self, scaled: NDArray[np.floating]) -> Matrix[np.float64]:
        """Inverts `standardize`, for `(n_samples, n_columns)` values."""
        restored: Matrix[np.float64] = scaled.astype(np.float64) * self.deviation + self.mean
        return restored


@dataclass(frozen=True)
class Classes:
    """The classes of a target.

    Attributes:
        names: the names as they are written, sorted, those of numbers by value; the label of a class is its
            index.
    """

    names: tuple[str, ...]

    def labels(self, column: Column, name: str, place: Place) -> Labels:
        """Returns the label of each value of a target column, `(n_samples,)`.

        Raises:
            DataError: a value is missing, or no class that was learnt.
        """
        index = {each: k for k, each in enumerate(self.names)}
        words = written_in(column)
        for row, word in enumerate(words):
            if word not in index:
                expected = f"one of the {len(self.names)} classes that were learnt, such as {self.names[0]!r}"
                raise DataError(f"{place(row)}: the target {name!r}: expected {expected}, found {word!r}")
        return np.array([index[word] for word in words if word is not None], np.int64)


def scale_of(values: Numbers, names: Sequence[str] = ()) -> Scale:
    """Computes the means and standard deviations of the columns of `values`, `(n_samples, n_columns)`.

    Raises:
        DataError: a mean or deviation is infinite.
    """
    numbers = values.astype(np.float64)
    with np.errstate(all="ignore"):
        mean, deviation = numbers.mean(axis=0), numbers.std(axis=0)
        wrong = ~np.isfinite(mean + deviation)
    if wrong.any():
        k = int(wrong.argmax())
        shown = repr(names[k]) if k < len(names) else str(k + 1)
        raise DataError(f"column {shown}: the numbers are too large to be standardised")
    constant = (numbers.min(axis=0) == numbers.max(axis=0)) | (deviation == 0)
    return Scale(mean, np.where(constant, 1.0, deviation))


def task_of(columns: Sequence[Column], *, labels: bool = False) -> Task:
    """Returns the task for target columns: classification for text and few different integers.

    Args:
        columns: the target columns.
        labels: whether integers are labels of classes however many there are, as in IDX files.

    >>> [task_of([np.array(target)]) for target in ([True, False], [0, 1, 1, 0], [0.5, 2.0])]
    ['classification', 'classification', 'regression']
    """
    if len(columns) != 1:
        return "regression"
    [column] = columns
    if column.dtype.kind == "b" or (labels and column.dtype.kind in "iu"):
        return "classification"
    if column.dtype.kind == "f":
        finite: NDArray[np.float64] = column[np.isfinite(column)].astype(np.float64)
        if (finite % 1).any():
            return "regression"
    counts = Counter(word for word in written_in(column) if word is not None)
    numbers = [number_of(word) for word in counts]
    known = [number for number in numbers if number is not None and not isnan(number)]
    if None in numbers or not known:
        return "classification"
    most = min(MAX_NUMERIC_CLASSES, sum(counts.values()) // 2)
    whole = all(number.is_integer() for number in known)
    return "classification" if whole and len(known) <= most else "regression"


def classes_of(column: Column, name: str, place: Place) -> tuple[Classes, Labels]:
    """Finds the classes of a target column, and the label of each sample `(n_samples,)`.

    Raises:
        DataError: a value is missing, there are fewer than two classes, or numbers that are not integers.
    """
    words = written_in(column)
    known = set(words)
    numbers = {word: number_of(word) for word in known if word is not None}
    numeric = all(number is not None for number in numbers.values())
    for row, word in enumerate(words):
        number = None if word is None else numbers[word]
        if word is None or (numeric and number is not None and isnan(number)):
            raise DataError(f"{place(row)}: the target {name!r} has no value ({word or ''!r})")
        if "\0" in word:
            raise DataError(f"{place(row)}: expected text in {name!r}, found a NUL byte")
    if numeric and any(not float(number or 0.0).is_integer() for number in numbers.values()):
        raise DataError("classes must be text or whole numbers; --task regression learns other numbers")
    if len(numbers) < 2:
        raise DataError(f"all targets are {words[0]}: there is nothing to learn")
    names = sorted(numbers, key=lambda word: ((numbers[word] or 0.0) if numeric else 0.0, word))
    classes = Classes(tuple(names))
    return classes, classes.labels(column, name, place)


def numbers_of(
    columns: Sequence[Column], names: Sequence[str], place: Place, *, vary: bool = True
) -> Matrix[np.float64]:
    """Returns the targets of a regression, `(n_samples, n_outputs)`; unless `vary` is False they must differ.

    Raises:
        DataError: a target is missing, text, infinite or beyond `LARGEST_TARGET`, or all are equal.
    """
    found: Matrix[np.float64] = np.empty((len(columns[0]), len(columns)))
    for k, (column, name) in enumerate(zip(columns, names, strict=True)):
        if is_text(column):
            words = written_in(column)
            text = [row for row, word in enumerate(words) if number_of(word) is None]
            if text:
                raise DataError(
                    f"{place(text[0])}: the target {name!r} is text ({words[text[0]]!r}), which only "
                    "classification can learn"
                )
        found[:, k] = numbers_in(column, name, place)
        missing = np.isnan(found[:, k])
        if missing.any():
            row = int(missing.argmax())
            word = written_in(column[row : row + 1])[0]
            raise DataError(f"{place(row)}: the target {name!r} has no value ({word or ''!r})")
        beyond = abs(found[:, k]) > LARGEST_TARGET
        if beyond.any():
            row = int(beyond.argmax())
            raise DataError(
                f"{place(row)}: the target {name!r}: expected numbers up to {LARGEST_TARGET:.0e}, found "
                f"{found[row, k]:g}"
            )
    if vary and (found == found[0]).all():
        raise DataError(f"all targets are {found[0, 0]:g}: there is nothing to learn")
    return found

"""The transforms of columns: how each column of a table becomes features of the network, one row each.

A fitted transform is data: a frozen dataclass of numbers and text, which model files store as JSON. Applying
it is NumPy code. Exporters map each of the four kinds: numbers, categories, booleans and dates.

| kind | features, in this order |
|---|---|
| `number` | (value - mean) / deviation, where `fill` stands for a missing value |
| `category` | for each category 1 or 0; then one for rare and unknown words, if there were rare ones |
| `boolean` | -1 or 1 |
| `date` | (days since 1970 - mean) / deviation; sine and cosine of month, weekday and perhaps hour |

A last feature is 1 where the value is missing, if values were missing in the data of the fit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import ClassVar, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from typednn_kernels.arrays import Vector

from typednn.data.table import Column, is_text, missing_in
from typednn.errors import DataError

Place: TypeAlias = Callable[[int], str]
"""Returns what messages call the place of a row."""

Features: TypeAlias = NDArray[np.float64]

ColumnKind: TypeAlias = Literal["number", "category", "boolean", "date"]

MISSING_WORDS = frozenset({"", "?", "-", "na", "n/a", "#n/a", "<na>", "nan", "null", "none", ".", "nil"})
"""Words that stand for a missing number, in lower case."""

MISSING_TEXT = frozenset({"", "?", "na", "n/a", "#n/a", "<na>", "nan", "null"})
"""Words that stand for a missing category, in lower case."""

BOOLEAN_WORDS = (("false", "true"), ("no", "yes"), ("n", "y"), ("f", "t"), ("off", "on"))

MAX_CATEGORIES = 64
"""The largest number of categories of a column; rarer ones are grouped."""

MIN_COUNT = 5
"""The number of samples that a category needs, fewer in less than 500 samples; rarer ones are grouped."""

DAY = 86_400_000_000
"""Microseconds of a day."""


@dataclass(frozen=True, slots=True)
class NumberColumn:
    """Standardised numbers.

    Attributes:
        name: the column of the table.
        mean, deviation: the mean and standard deviation; the deviation of a constant column is 1.
        fill: the number that stands for a missing one: the median.
        indicator: whether a second feature tells what is missing.
    """

    name: str
    mean: float
    deviation: float
    fill: float = 0.0
    indicator: bool = False

    kind: ClassVar[Literal["number"]] = "number"

    @property
    def features(self) -> tuple[str, ...]:
        """The names of the features."""
        return (self.name, f"{self.name} is missing")[: 1 + self.indicator]

    def apply(self, values: Column, out: Features, place: Place) -> None:
        """Writes the features `(n_samples, n_features)` of values `(n_samples,)` to `out`.

        Raises:
            DataError: a value is no number, or is infinite.
        """
        numbers = numbers_in(values, self.name, place)
        missing = np.isnan(numbers)
        with np.errstate(all="ignore"):
            if missing.any():
                numbers = np.where(missing, self.fill, numbers)
            np.subtract(numbers, self.mean, out=out[:, 0])
            out[:, 0] /= self.deviation
        if self.indicator:
            out[:, 1] = missing


@dataclass(frozen=True, slots=True)
class CategoryColumn:
    """Categories, one-hot.

    Attributes:
        name: the column of the table.
        categories: the categories as they are written, each a feature.
        other: whether one feature is for the rare and unknown ones; else these are 0 everywhere.
        fill: the index of the category that stands for a missing one: the most frequent.
        indicator: whether the last feature tells what is missing.
    """

    name: str
    categories: tuple[str, ...]
    other: bool = False
    fill: int = 0
    indicator: bool = False

    kind: ClassVar[Literal["category"]] = "category"

    @property
    def features(self) -> tuple[str, ...]:
        """The names of the features."""
        names = [f"{self.name} = {category}" for category in self.categories]
        more = [f"{self.name} is another"] * self.other + [f"{self.name} is missing"] * self.indicator
        return (*names, *more)

    def apply(self, values: Column, out: Features, place: Place) -> None:  # noqa: ARG002 (one signature)
        """Writes the features `(n_samples, n_features)` of values `(n_samples,)` to `out`."""
        count = len(self.categories)
        places: dict[str | None, int] = {category: k for k, category in enumerate(self.categories)}
        unknown = count if self.other else -1
        words = words_in(values)
        missing = np.array([word is None for word in words], np.bool_)
        places[None] = self.fill
        index = np.array([places.get(word, unknown) for word in words], np.intp)
        out[...] = 0.0
        known = np.flatnonzero(index >= 0)
        out[known, index[known]] = 1.0
        if self.indicator:
            out[:, -1] = missing


@dataclass(frozen=True, slots=True)
class BooleanColumn:
    """Booleans, -1 and 1.

    Attributes:
        name: the column of the table.
        words: the words for false and true, in lower case.
        fill: what stands for a missing value: the most frequent.
        indicator: whether a second feature tells what is missing.
    """

    name: str
    words: tuple[str, str] = ("false", "true")
    fill: bool = False
    indicator: bool = False

    kind: ClassVar[Literal["boolean"]] = "boolean"

    @property
    def features(self) -> tuple[str, ...]:
        """The names of the features."""
        return (self.name, f"{self.name} is missing")[: 1 + self.indicator]

    def apply(self, values: Column, out: Features, place: Place) -> None:
        """Writes the features `(n_samples, n_features)` of values `(n_samples,)` to `out`.

        Raises:
            DataError: a value is neither of the words.
        """
        meanings = {self.words[0]: 0, self.words[1]: 1, "0": 0, "1": 1, "false": 0, "true": 1, None: -1}
        found = np.array(
            [meanings.get(None if word is None else word.lower(), -2) for word in words_in(values)], np.int8
        )
        if (found == -2).any():
            row = int((found == -2).argmax())
            raise DataError(
                f"{place(row)}: column {self.name!r}: expected {self.words[0]!r} or {self.words[1]!r}, found "
                f"{words_in(values[row : row + 1])[0]!r}"
            )
        out[:, 0] = np.where(found == -1, int(self.fill), found) * 2.0 - 1.0
        if self.indicator:
            out[:, 1] = found == -1


@dataclass(frozen=True, slots=True)
class DateColumn:
    """Dates, as days that are standardised and as parts that return: month, weekday, hour.

    Attributes:
        name: the column of the table.
        mean, deviation: the mean and standard deviation of the days since 1970.
        fill: the day that stands for a missing one: the median.
        times: whether the hour matters.
        indicator: whether the last feature tells what is missing.
    """

    name: str
    mean: float
    deviation: float
    fill: float = 0.0
    times: bool = False
    indicator: bool = False

    kind: ClassVar[Literal["date"]] = "date"

    @property
    def features(self) -> tuple[str, ...]:
        """The names of the features."""
        parts = ["month", "weekday", *(["hour"] if self.times else [])]
        turns = [f"{turn} of the {part} of {self.name}" for part in parts for turn in ("sine", "cosine")]
        return (self.name, *turns, *([f"{self.name} is missing"] if self.indicator else []))

    def apply(self, values: Column, out: Features, place: Place) -> None:
        """Writes the features `(n_samples, n_features)` of values `(n_samples,)` to `out`.

        Raises:
            DataError: a value is no date.
        """
        days = days_in(values, self.name, place)
        missing = np.isnan(days)
        days = np.where(missing, self.fill, days)
        out[:, 0] = (days - self.mean) / self.deviation
        dates = np.floor(days).astype(np.int64).astype("datetime64[D]")
        turns = [
            dates.astype("datetime64[M]").astype(np.int64) % 12 / 12,
            (dates.astype(np.int64) + 3) % 7 / 7,
        ]
        if self.times:
            turns.append(days - np.floor(days))
        for k, turn in enumerate(turns):
            angle = 2 * np.pi * turn
            out[:, 2 * k + 1], out[:, 2 * k + 2] = np.sin(angle), np.cos(angle)
        if self.indicator:
            out[:, -1] = missing


ColumnTransform: TypeAlias = NumberColumn | CategoryColumn | BooleanColumn | DateColumn


def numbers_in(values: Column, name: str, place: Place) -> Vector[np.float64]:
    """Returns the numbers of a column, `(n_samples,)`, with NaN for what is missing.

    Raises:
        DataError: a value is no number, or is infinite.
    """
    if is_text(values):
        numbers: Vector[np.float64] = np.empty(len(values))
        words = written_in(values)
        for row, number in enumerate(map(cache(number_of), words)):
            if number is None:
                raise DataError(
                    f"{place(row)}: column {name!r}: expected a number, found {words[row]!r}; correct it, or "
                    "leave the column out by --drop"
                )
            numbers[row] = number
    elif values.dtype.kind == "M":
        raise DataError(f"{place(0)}: column {name!r}: expected a number, found the date {values[0]}")
    else:
        numbers = values.astype(np.float64, copy=False).reshape(len(values))
    infinite = np.isinf(numbers)
    if infinite.any():
        row = int(infinite.argmax())
        raise DataError(f"{place(row)}: column {name!r}: expected a finite number, found {numbers[row]}")
    return numbers


def number_of(word: str | None) -> float | None:
    """Returns the number that a word is, NaN for a missing one, and None for another word."""
    if word is None:
        return float("nan")
    try:
        number = float(word)
    except ValueError:
        return float("nan") if word.strip(" \t").lower() in MISSING_WORDS else None
    return number if "_" not in word and word.isprintable() else None


def words_in(values: Column) -> list[str | None]:
    """Returns the values of a column as words, with None for what is missing, such as `?` and `NA`."""
    words = written_in(values)
    if is_text(values):
        return [None if word is None or word.lower() in MISSING_TEXT else word for word in words]
    return words


def written_in(values: Column) -> list[str | None]:
    """Returns the values of a column as they are written, with None for no value; the number 3.0 is `3`."""
    if is_text(values):
        words: list[str | None] = values.tolist()
        return words
    missing = missing_in(values)
    plain: list[object] = values.tolist()
    return [
        None
        if absent
        else str(int(value))
        if isinstance(value, float) and value.is_integer()
        else str(value).lower()
        if isinstance(value, bool)
        else str(value)
        for value, absent in zip(plain, missing.tolist(), strict=True)
    ]


def days_in(values: Column, name: str, place: Place) -> Vector[np.float64]:
    """Returns the days since 1970 of a column of dates, `(n_samples,)`, with NaN for what is missing.

    Raises:
        DataError: a value is no date.
    """
    if values.dtype.kind == "M":
        dates = values.astype("datetime64[us]")
    elif is_text(values):
        dates = np.empty(len(values), "datetime64[us]")
        for row, word in enumerate(written_in(values)):
            date = date_of(word)
            if date is None:
                raise DataError(f"{place(row)}: column {name!r}: expected a date, found {word!r}")
            dates[row] = date
    else:
        raise DataError(f"{place(0)}: column {name!r}: expected a date, found the number {values[0]}")
    days: Vector[np.float64] = np.where(np.isnat(dates), np.nan, dates.astype(np.int64) / DAY)
    return days


def date_of(word: str | None) -> np.datetime64 | None:
    """Returns the date that a word is, NaT for a missing one, and None for another word.

    Dates are written as 2024-01-31, 2024/01/31, 31.01.2024 or 01/31/2024, perhaps with a time.
    """
    from datetime import datetime

    if word is None or word.strip().lower() in MISSING_WORDS:
        return np.datetime64("NaT")
    text = word.strip()
    if len(text) < 8 or not text[0].isdigit() or not (set(text[:5]) & set("-/.")):
        return None
    try:
        return np.datetime64(datetime.fromisoformat(text.replace("/", "-")).replace(tzinfo=None), "us")
    except ValueError:
        pass
    day, _, time = text.partition(" ")
    for form in ("%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%d-%m-%Y"):
        try:
            found = datetime.strptime(day, form)  # noqa: DTZ007 (tables have no time zones)
            if time:
                found = datetime.fromisoformat(f"{found:%Y-%m-%d} {time}")
            return np.datetime64(found, "us")
        except ValueError:
            continue
    return None


def fit_numbers(name: str, values: Column, place: Place) -> NumberColumn:
    """Fits the transform of a column of numbers.

    Raises:
        DataError: a value is infinite, or the numbers are too large to be standardised.
    """
    numbers = numbers_in(values, name, place)
    missing = np.isnan(numbers)
    known = numbers[~missing] if missing.any() else numbers
    if not len(known):
        return NumberColumn(name, 0.0, 1.0)
    fill = float(np.median(known)) if missing.any() else float(known[0])
    filled = np.where(missing, fill, numbers) if missing.any() else numbers
    mean, deviation = moments(filled, name)
    return NumberColumn(name, mean, deviation, fill if missing.any() else mean, bool(missing.any()))


def moments(numbers: Vector[np.float64], name: str) -> tuple[float, float]:
    """Computes the mean and standard deviation of numbers; the deviation of equal ones is 1.

    Raises:
        DataError: one of the two is infinite.
    """
    if not len(numbers) or numbers.min() == numbers.max():
        return (float(numbers[0]) if len(numbers) else 0.0), 1.0
    with np.errstate(all="ignore"):
        mean, deviation = float(numbers.mean()), float(numbers.std())
    if not np.isfinite(mean + deviation):
        raise DataError(f"column {name!r}: the numbers are too large to be standardised")
    return mean, deviation or 1.0


def fit_categories(name: str, values: Column) -> CategoryColumn:
    """Fits the transform of a column of categories: the most frequent ones, in alphabetical order."""
    counts = Counter(words_in(values))
    missing = counts.pop(None, 0)
    least = min(MIN_COUNT, max(2, len(values) // 100))
    frequent = [word for word, count in counts.most_common(MAX_CATEGORIES) if word and count >= least]
    categories = tuple(sorted(frequent))
    most = counts.most_common(1)[0][0] if counts else None
    fill = categories.index(most) if most in categories else 0
    rare = len(categories) < len(counts)
    return CategoryColumn(name, categories, rare, fill, missing > 0)


def fit_booleans(name: str, values: Column, words: tuple[str, str]) -> BooleanColumn:
    """Fits the transform of a column of booleans, of which `words` are false and true."""
    counts = Counter(None if word is None else word.lower() for word in words_in(values))
    missing = counts.pop(None, 0)
    return BooleanColumn(name, words, counts[words[1]] > counts[words[0]], missing > 0)


def fit_dates(name: str, values: Column, place: Place) -> DateColumn:
    """Fits the transform of a column of dates.

    Raises:
        DataError: a value is no date.
    """
    days = days_in(values, name, place)
    missing = np.isnan(days)
    known: Vector[np.float64] = days[~missing]
    mean, deviation = moments(known, name)
    fill = float(np.median(known)) if len(known) else 0.0
    times = bool((known != np.floor(known)).any())
    return DateColumn(name, mean, deviation, fill, times, bool(missing.any()))


def boolean_words(words: set[str]) -> tuple[str, str] | None:
    """Returns the words for false and true, if these are the only words of a column."""
    lower = {word.lower() for word in words}
    return next((pair for pair in BOOLEAN_WORDS if lower == set(pair)), None)

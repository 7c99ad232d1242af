"""Chooses how each column of a table becomes features, and says why a column is left out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray
from typednn_kernels.arrays import Vector

from typednn.data.columns import (
    ColumnTransform,
    NumberColumn,
    boolean_words,
    date_of,
    fit_booleans,
    fit_categories,
    fit_dates,
    fit_numbers,
    number_of,
    words_in,
)
from typednn.data.table import Column, Table, is_text, missing_in
from typednn.errors import DataError

ID_NAME = re.compile(
    r"(?i)^$|^(unnamed|column)\b|(^|[^a-z])(id|ids|index|idx|uuid|guid|key|row|rownum)$|[a-z]Id$|ID$"
)
"""Names of columns that number rows."""

MIN_ROWS_FOR_IDS = 10
"""The number of rows from which text that differs in most rows counts as a name of the row."""

MOSTLY = 0.5
"""The fraction of rows above which different words tell nothing that another row could repeat."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The features of a training.

    Attributes:
        transforms: the fitted transforms of the columns, in their order.
        notes: why columns are left out, as sentences.
    """

    transforms: tuple[ColumnTransform, ...]
    notes: tuple[str, ...]


def choose_features(
    table: Table, names: Sequence[str], rows: NDArray[np.int64], *, explicit: Iterable[str] = ()
) -> Choice:
    """Fits the transforms of columns, and leaves out those that are constant or number the rows.

    Args:
        table: the whole table, of which it is decided what a column is.
        names: the columns that may be features.
        rows: the indices of the training rows, of which the transforms are fitted.
        explicit: columns that the user asked for, which are kept.

    Raises:
        DataError: a column cannot be a feature, or none is left.
    """
    if table.pixels:
        return Choice(_pixels(names, table, rows), ())
    asked, notes = set(explicit), list[str]()
    transforms: list[ColumnTransform] = []
    for name in names:
        column = table[name]
        _refuse_misprints(name, column, table)
        reason = None if name in asked else _useless(name, column, table.named)
        if reason is None:
            transforms.append(_fitted(name, column, table, rows))
        else:
            notes.append(f"column {name!r} is left out: {reason}")
    if not transforms:
        why = f"; {'; '.join(notes)}" if notes else ""
        raise DataError(f"{table.source}: expected columns of features beside the target, found none{why}")
    return Choice(tuple(transforms), tuple(notes))


def _pixels(names: Sequence[str], table: Table, rows: NDArray[np.int64]) -> tuple[ColumnTransform, ...]:
    """Fits one mean and deviation for all pixels."""
    columns = [table[name] for name in names]
    mean = float(np.mean([column[rows].astype(np.float64).mean() for column in columns]))
    variance = float(
        np.mean([np.square(column[rows].astype(np.float64) - mean).mean() for column in columns])
    )
    return tuple(NumberColumn(name, mean, sqrt(variance) or 1.0, mean) for name in names)


def _useless(name: str, column: Column, named: bool) -> str | None:
    """Returns why a column tells nothing, or None."""
    missing = missing_in(column)
    if missing.all():
        return "it has no values"
    if column.dtype.kind in "fiu":
        numbers: Vector[np.float64] = column[~missing].astype(np.float64)
        if numbers.min() == numbers.max() and not missing.any():
            return f"it is always {float(numbers[0]):g}"
        counted = named and not missing.any() and ID_NAME.search(name) and _are_ids(numbers)
        return "it numbers the rows" if counted else None
    words = [word for word in words_in(column) if word is not None]
    different = set(words)
    if len(different) <= 1:
        constant = f"it is always {words[0]!r}" if len(words) == len(column) else None
        return constant if words else "it has no values"
    mostly = is_text(column) and len(words) >= MIN_ROWS_FOR_IDS and len(different) > MOSTLY * len(words)
    if mostly and _kind_of(different) == "category":
        return f"its text differs in most rows ({len(different):,} of {len(words):,}), as names and keys do"
    return None


def _are_ids(numbers: Vector[np.float64]) -> bool:
    """Tells whether three whole numbers or more are all different."""
    whole = bool((numbers == np.floor(numbers)).all())
    return len(numbers) > 2 and whole and len(np.unique(numbers)) == len(numbers)


def _kind_of(words: set[str]) -> str:
    some = sorted(words)[:: max(1, len(words) // 200)]
    if all(date_of(word) is not None for word in some):
        return "date"
    if all(number_of(word) is not None for word in some) and not any(is_code(word) for word in words):
        return "number"
    return "category"


def is_code(word: str) -> bool:
    """Tells whether digits are a code and not a number: they begin with 0, as in 02134."""
    return len(word) > 1 and word[0] == "0" and word[1].isdigit()


def _fitted(name: str, column: Column, table: Table, rows: NDArray[np.int64]) -> ColumnTransform:
    """Fits the transform of a column: its kind is that of all rows, its numbers are of the training rows."""
    part: Column = column[rows]

    def place(row: int) -> str:
        return table.place(int(rows[row]))

    if column.dtype.kind == "b":
        return fit_booleans(name, part, ("false", "true"))
    words = {word for word in words_in(column) if word is not None} if is_text(column) else set[str]()
    pair = boolean_words(words)
    if pair is not None:
        return fit_booleans(name, part, pair)
    kind = _kind_of(words) if words else "date" if column.dtype.kind == "M" else "number"
    if kind == "category":
        return fit_categories(name, part)
    return fit_dates(name, part, place) if kind == "date" else fit_numbers(name, part, place)


def _refuse_misprints(name: str, column: Column, table: Table) -> None:
    """Raises DataError where nearly all values are different numbers and a few are text."""
    if not is_text(column):
        return
    every = words_in(column)
    words = {word for word in every if word is not None}
    odd = {word for word in words if number_of(word) is None}
    rows = [row for row, word in enumerate(every) if word in odd]
    few = (
        len(rows) <= len(every) / 10
        and len(odd) <= len(words) / 5
        and len(words) - len(odd) >= MIN_ROWS_FOR_IDS
    )
    if rows and few and not any(map(is_code, words)):
        raise DataError(
            f"{table.place(rows[0])}: column {name!r}: expected a number, as in most rows, found "
            f"{every[rows[0]]!r}; correct it, leave it empty, or leave the column out by --drop"
        )

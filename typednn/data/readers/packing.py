"""Columns as polars has read them: packed while other chunks are read, then made numbers or text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from typednn.data.columns import MISSING_WORDS
from typednn.data.readers.dialects import DECIMAL_COMMA
from typednn.data.table import Column

if TYPE_CHECKING:
    import polars as pl

SOME_ROWS = 10_000
"""The number of rows that tell whether most words of a column differ."""

ALL_DIFFER = 0.98
"""The fraction of these rows beyond which the words of a column are not counted: most differ."""

SOME_NUMBERS = 64
"""The number of rows that tell whether a column may have whole numbers only; a chunk of fewer is not packed,
since each call of polars takes as long as reading some hundred values."""


def as_values(series: pl.Series | Words, as_text: bool, decimal: str, *, words_stay: bool = False) -> Column:
    """Makes a column of what polars has read: numbers if all values are, else text.

    Args:
        series: what polars has read, or its words as numbers.
        as_text: whether whole numbers are kept as they are written.
        decimal: the decimal sign.
        words_stay: whether all text is.
    """
    import polars as pl

    if isinstance(series, pl.Series) and series.dtype != pl.String:
        column: Column = series.to_numpy()
        return column
    coded = Words.of(series) if isinstance(series, pl.Series) else series
    words = stripped(coded.different, decimal)
    numbers = None if words_stay else as_numbers(words, as_text)
    found: Column = (
        np.array([word or None for word in words.to_list()], object)
        if numbers is None
        else numbers.to_numpy()
    )
    return found if coded.codes is None else found[coded.codes]


def stripped(series: pl.Series, decimal: str) -> pl.Series:
    """Returns text without spaces around it, with decimal points in numbers."""
    words = series.str.strip_chars(" \t\r")
    if decimal == ",":
        words = words.str.replace(
            "^" + DECIMAL_COMMA.pattern.replace(r"\d+,\d+", r"(\d+),(\d+)") + "$", "$1.$2"
        )
    return words


def as_numbers(words: pl.Series, as_text: bool) -> pl.Series | None:
    """Returns the numbers of a column, null where one is missing; None if it is text, or kept as written."""
    import polars as pl

    numbers = words.cast(pl.Float64, strict=False)
    gaps = numbers.is_null() | numbers.is_nan()
    if gaps.all() or (as_text and (numbers == numbers.floor()).all()):  # perhaps names of classes
        return None
    gap_words = words.filter(gaps).unique().to_list()
    if any(word is not None and word.lower() not in MISSING_WORDS for word in gap_words):
        return None
    return None if words.str.contains(r"^[+-]?0\d").any() else numbers.set(gaps, None)


class Words(NamedTuple):
    """The words of a column, of which rows that have one word share it.

    Attributes:
        different: the words; where most are different, those of all rows.
        codes: the place of the word of each row, `(n_samples,)`; None where all rows have their own.
    """

    different: pl.Series
    codes: NDArray[np.uint32] | None

    @classmethod
    def of(cls, series: pl.Series) -> Words:
        """Returns the words of text; missing ones are empty."""
        series = series.fill_null("")
        some = series.head(SOME_ROWS)
        different = series.unique() if some.n_unique() <= ALL_DIFFER * len(some) else series
        if len(different) > len(series) / 2:
            return cls(series, None)
        return cls(different, _codes(series, different))


def _has_few_words(series: pl.Series) -> bool:
    """Tells whether words occur more than once each, by the first rows."""
    return series.head(SOME_ROWS).n_unique() <= min(len(series), SOME_ROWS) / 2


def _codes(series: pl.Series, different: pl.Series) -> NDArray[np.uint32]:
    import polars as pl

    codes: NDArray[np.uint32] = series.cast(pl.Enum(different)).to_physical().to_numpy()
    return codes


def packed(frame: pl.DataFrame) -> list[pl.Series]:
    """Returns the columns of a chunk, float64 or text, packed where that takes less memory.

    A field of one digit and a comma has two bytes, its number as float64 has eight, and a word sixteen and
    more. Packed, whole numbers take the bytes that they need, and words a number each.
    """
    import polars as pl

    if len(frame) < SOME_NUMBERS:
        return frame.get_columns()
    return [
        _packed_words(each) if each.dtype == pl.String else _packed_numbers(each)
        for each in frame.get_columns()
    ]


def _packed_words(series: pl.Series) -> pl.Series:
    import polars as pl

    if not _has_few_words(series):
        return series
    series = series.fill_null("")
    return series.cast(pl.Enum(series.unique()))


def _packed_numbers(series: pl.Series) -> pl.Series:
    import polars as pl

    some: NDArray[np.float64] = series.head(SOME_NUMBERS).to_numpy()
    if (some > np.floor(some)).any():
        return series
    present = series.drop_nulls() if series.null_count() else series
    values: NDArray[np.float64] = present.to_numpy()  # NumPy takes half the time of polars
    if not len(values):
        return series
    low, high = values.min(), values.max()
    for dtype, packed_dtype in ((np.int8, pl.Int8), (np.int16, pl.Int16), (np.int32, pl.Int32)):
        limits = np.iinfo(dtype)
        if limits.min <= low and high <= limits.max:
            whole = values.astype(dtype)
            if not (whole == values).all():
                return series
            return pl.Series(whole) if len(values) == len(series) else series.cast(packed_dtype)
    return series


def joined(parts: Sequence[pl.Series]) -> pl.Series | Words:
    """Returns a column of its packed chunks: numbers or text, or its words."""
    import polars as pl

    if all(part.dtype == pl.Float64 for part in parts):
        return pl.concat(parts)
    places: dict[str, int] = {}
    codes: list[NDArray[np.uint32]] = []
    for part in parts:
        if isinstance(part.dtype, pl.Enum):
            words: list[str] = part.dtype.categories.to_list()
            own = np.array([places.setdefault(word, len(places)) for word in words], np.uint32)
            codes.append(own[part.to_physical().to_numpy()])
    if len(codes) == len(parts):
        return Words(pl.Series(list(places), dtype=pl.String), np.concatenate(codes))
    if any(isinstance(part.dtype, pl.Enum | pl.String) for part in parts):
        return pl.concat([part.cast(pl.String) for part in parts])
    kinds = (pl.Float64, pl.Int32, pl.Int16, pl.Int8)
    widest = next(kind for kind in kinds if any(part.dtype == kind for part in parts))
    return pl.concat([part.cast(widest) for part in parts])

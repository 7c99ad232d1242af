"""Packs columns that polars has read, so that files of short fields take little memory while they are read.

A field of one digit and a comma has two bytes, its number as float64 has eight, and a word sixteen and more.
Packed, whole numbers take the bytes that they need, and words a number each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import polars as pl

SOME_ROWS = 10_000
"""The number of rows that tell whether most words of a column differ."""

SOME_NUMBERS = 64
"""The number of rows that tell whether a column may have whole numbers only."""


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
        if not _has_few_words(series):
            return cls(series, None)
        different = series.unique()
        return cls(different, _codes(series, different))


def _has_few_words(series: pl.Series) -> bool:
    """Tells whether words occur more than once each, by the first rows."""
    return series.head(SOME_ROWS).n_unique() <= min(len(series), SOME_ROWS) / 2


def _codes(series: pl.Series, different: pl.Series) -> NDArray[np.uint32]:
    import polars as pl

    codes: NDArray[np.uint32] = series.cast(pl.Enum(different)).to_physical().to_numpy()
    return codes


def packed(frame: pl.DataFrame) -> list[pl.Series]:
    """Returns the columns of a chunk, float64 or text, packed where that takes less memory."""
    import polars as pl

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

    some = series.head(SOME_NUMBERS)
    if not (some == some.floor()).all():
        return series
    low, high = series.min(), series.max()
    if not (isinstance(low, float) and isinstance(high, float)):
        return series
    for dtype, limit in ((pl.Int8, 2**7), (pl.Int16, 2**15), (pl.Int32, 2**31)):
        if -limit <= low and high < limit:
            whole = series.cast(dtype, strict=False)
            is_same = whole.null_count() == series.null_count() and bool((whole == series).all())
            return whole if is_same else series
    return series


def joined(parts: Sequence[pl.Series]) -> pl.Series | Words:
    """Returns a column of its packed chunks: numbers or text, or its words."""
    import polars as pl

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
    widest = max((part.dtype for part in parts), key=[pl.Int8, pl.Int16, pl.Int32, pl.Float64].index)
    return pl.concat([part.cast(widest) for part in parts])

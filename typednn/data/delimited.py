"""Reads delimited text, such as CSV, by polars; what polars cannot read is read again, to say where."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from typednn.data.columns import MISSING_WORDS, number_of
from typednn.data.dialects import DECIMAL_COMMA, Dialect, Layout, find_layout, text_of
from typednn.data.inspection import is_code
from typednn.data.opening import Source
from typednn.data.table import Column, Table
from typednn.errors import DataError, FileFormatError, MissingExtraError

if TYPE_CHECKING:
    import polars as pl

ChooseText = Callable[[Sequence[str]], Collection[int]]
"""Returns, given the names of the columns, the places of those that are read as they are written."""


def read_delimited(source: Source, dialect: Dialect, as_text: ChooseText) -> Table:
    """Reads delimited text.

    Args:
        source: the file.
        dialect: what the user says about it.
        as_text: returns, given the names of the columns, the places of those that are kept as written.

    Raises:
        FileFormatError: a line is ragged, quotes do not match, or the text is not in this encoding.
        DataError: there are no values.
        MissingExtraError: polars is not installed.
    """
    content, start = text_of(source, dialect.encoding)
    layout = find_layout(start, dialect, source.shown)
    text = frozenset(as_text(layout.names))
    records = Records(source, content, layout)
    frame = None
    if layout.delimiter != " " and len(layout.delimiter.encode()) == 1 and not _is_odd(source, content):
        frame = _parse(source.path if content is None else content, layout, text)
    if frame is None or frame.to_series(-1).null_count():
        frame = _parse(records.rewritten(), layout, text, rewritten=True)
    if frame is None:
        raise FileFormatError(f"{source.shown}: expected delimited text, found something else")
    if not len(frame):
        names = " below the column names" * layout.named
        raise DataError(f"{source.shown}: expected lines of values{names}, found none")
    read = frame.get_columns()[::-1]
    del frame  # of each column, what polars has read is freed when its values are made
    columns = [as_values(read.pop(), k in text, layout.decimal) for k in range(len(read))]
    return Table(
        layout.names, tuple(columns), source.shown, layout.named, notes=layout.notes, line=records.line
    )


def _is_odd(source: Source, content: bytes | None) -> bool:
    """Tells whether quotes cannot match, or there is a NUL byte, for which polars has no word."""
    quotes, nul = 0, False
    with io.BytesIO(content) if content is not None else source.path.open("rb") as file:
        for block in iter(partial(file.read, 2**20), b""):
            quotes += block.count(b'"')
            nul = nul or b"\0" in block
    return nul or quotes % 2 == 1


def _parse(
    file: Path | bytes, layout: Layout, text: Collection[int], *, rewritten: bool = False
) -> pl.DataFrame | None:
    """Reads text by polars, columns that begin with numbers as numbers if all are; None if it cannot."""
    try:
        import polars as pl
    except ImportError:
        raise MissingExtraError("polars", "reading tables", "tables") from None
    names = [str(k) for k in range(len(layout.names))]
    numeric = [
        k not in text and all(_is_plain_number(record[k]) for record in layout.sample if k < len(record))
        for k in range(len(names))
    ]
    for numbers in [numeric, [False] * len(names)] if any(numeric) else [numeric]:
        kinds = [pl.Float64 if number else pl.String for number in numbers]
        schema = dict(zip(names, kinds, strict=True))
        try:
            return pl.read_csv(
                file,
                has_header=False,
                schema=schema,
                separator="\t" if rewritten else layout.delimiter,
                skip_lines=0 if rewritten else layout.skipped,
                comment_prefix="#" if layout.commented and not rewritten else None,
                decimal_comma=layout.decimal == "," and not rewritten,
            )
        except pl.exceptions.NoDataError:
            return pl.DataFrame(schema=schema)
        except pl.exceptions.PolarsError:
            continue
    return None


def _is_plain_number(field: str) -> bool:
    number = number_of(field)
    return field == "" or (number is not None and not isnan(number) and not is_code(field.lstrip("+-")))


def as_values(series: pl.Series, as_text: bool, decimal: str) -> Column:
    """Makes a column of what polars has read: numbers if all values are, else text."""
    import polars as pl

    if series.dtype != pl.String:
        column: Column = series.to_numpy()
        return column
    words = series.str.strip_chars(" \t\r")
    if decimal == ",":
        words = words.str.replace(
            "^" + DECIMAL_COMMA.pattern.replace(r"\d+,\d+", r"(\d+),(\d+)") + "$", "$1.$2"
        )
    numbers = _numbers_in(words, as_text)
    if numbers is not None:
        found: Column = numbers.to_numpy()
        return found
    return np.array([word or None for word in words.to_list()], object)


def _numbers_in(words: pl.Series, as_text: bool) -> pl.Series | None:
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


class Records:
    """The records of a file, one after the other, with their lines; slow, and exact about what is wrong."""

    def __init__(self, source: Source, content: bytes | None, layout: Layout) -> None:
        self._source, self._content, self._layout = source, content, layout
        self._lines: list[int] | None = None

    def __iter__(self) -> Iterator[tuple[int, list[str]]]:
        """Yields the line in which each record begins, and its fields.

        Raises:
            FileFormatError: a record is ragged, quotes do not match, or the text is not UTF-8.
        """
        layout, shown = self._layout, self._source.shown
        count, spaces = len(layout.names), layout.delimiter == " "
        line = end = layout.skipped
        with self._open() as file:
            lines = _lines_of(file, layout)
            reader = csv.reader(lines, delimiter=layout.delimiter, skipinitialspace=spaces, strict=True)
            try:
                for record in reader:
                    line, end = end + 1, layout.skipped + reader.line_num
                    if not record or record == [""]:
                        continue
                    if len(record) != count:
                        raise FileFormatError(
                            f"{shown}, line {end}: expected {count} values, as in the first line, "
                            f"found {len(record)}"
                        )
                    yield line, record
            except csv.Error:
                raise FileFormatError(
                    f"{shown}, line {layout.skipped + reader.line_num}: expected values between "
                    f"{layout.delimiter!r}, found quotes that do not match, a NUL byte, or an overlong value"
                ) from None
            except UnicodeDecodeError as error:
                raise FileFormatError(
                    f"{shown}: expected CSV in UTF-8, found the byte {error.object[error.start]:#04x} after "
                    f"line {end}; --encoding latin-1 (or cp1252, …) reads other text"
                ) from None

    def line(self, row: int) -> int:
        """Returns the line in which a row begins, counted from 1."""
        if self._lines is None:
            self._lines = [line for line, _ in self]
        return self._lines[row]

    def rewritten(self) -> bytes:
        """Returns the records separated by tabs, with decimal points and without empty lines."""
        text = io.StringIO(newline="")
        writer = csv.writer(text, delimiter="\t", lineterminator="\n")
        comma = self._layout.decimal == ","
        for _, record in self:
            fields = [field.strip(" \t\r") for field in record]
            if comma:
                fields = [
                    field.replace(",", ".") if DECIMAL_COMMA.fullmatch(field) else field for field in fields
                ]
            writer.writerow(fields)
        return text.getvalue().encode()

    def _open(self) -> io.TextIOWrapper:
        raw = io.BytesIO(self._content) if self._content is not None else self._source.path.open("rb")
        return io.TextIOWrapper(raw, "utf-8", newline="")


def _lines_of(file: io.TextIOWrapper, layout: Layout) -> Iterator[str]:
    """Yields the lines of values, comments emptied."""
    for number, line in enumerate(file):
        if number < layout.skipped:
            continue
        text = "\n" if layout.commented and line.startswith("#") else line
        if layout.delimiter == " ":
            text = text.replace("\t", " ").strip() + "\n"
        yield text

"""Reads delimited text, such as CSV, by polars, in chunks; what it cannot read is read again, to say why."""

from __future__ import annotations

import csv
import io
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from math import isnan
from typing import IO, TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np

from typednn.data.columns import MISSING_WORDS, number_of
from typednn.data.dialects import DECIMAL_COMMA, Dialect, Layout, find_layout, line_ends, text_of
from typednn.data.inspection import is_code
from typednn.data.opening import Source
from typednn.data.table import Column, Table
from typednn.errors import DataError, FileFormatError, MissingExtraError

if TYPE_CHECKING:
    import polars as pl

ChooseText = Callable[[Sequence[str]], Collection[int]]
"""Returns, given the names of the columns, the places of those that are read as they are written."""

CHUNK_BYTES = 2**22
"""The number of bytes that are read at a time."""

CHUNK_RECORDS = 2**16
"""The number of records that are read at a time where polars cannot read them."""

MAX_QUOTED_LINES = 1000
"""The number of lines after a chunk among which quotes that are open at its end are closed."""


SOME_ROWS = 10_000
"""The number of rows that tell whether most words of a column differ."""


T = TypeVar("T")


class Start(NamedTuple):
    """Where a chunk begins: its first row, and its first byte in the file."""

    row: int
    byte: int


class TurnsToTextError(Exception):
    """A column that began with numbers has text, so that what has been read of it must be read as text."""


class Delimited:
    """A file of delimited text, which can be read again and again, a chunk at a time.

    Args:
        source: the file.
        dialect: what the user says about it.
        as_text: returns, given the names of the columns, the places of those that are kept as written.

    Attributes:
        head: a table without rows: names, source and notes.

    Raises:
        FileFormatError: the text is not in this encoding, or names occur twice.
        DataError: there are no records.
    """

    def __init__(self, source: Source, dialect: Dialect, as_text: ChooseText) -> None:
        self._source = source
        self._content, self._start = text_of(source, dialect.encoding)
        self._layout = layout = find_layout(self._start, dialect, source.shown)
        self._text = frozenset(as_text(layout.names))
        self.head: Table = Table(
            layout.names, (), source.shown, layout.named, notes=layout.notes, line=self.line
        )
        self._starts = [Start(0, 0)]
        self._some_read = False
        self._are_numbers = [
            k not in self._text
            and all(_is_plain_number(record[k]) for record in self._layout.sample if k < len(record))
            for k in range(len(self._layout.names))
        ]

    def table(self) -> Table:
        """Reads the whole file.

        Raises:
            FileFormatError: a line is ragged, quotes do not match, or the text is not UTF-8.
            DataError: there are no values.
            MissingExtraError: polars is not installed.
        """
        try:
            import polars as pl
        except ImportError:
            raise MissingExtraError("polars", "reading tables", "tables") from None
        frames = self.settled(lambda: list(self.frames()))
        if not sum(map(len, frames)):
            names = " below the column names" * self._layout.named
            raise DataError(f"{self._source.shown}: expected lines of values{names}, found none")
        read = pl.concat(frames, rechunk=False).get_columns()[::-1]
        del frames  # of each column, what polars has read is freed when its values are made
        columns = [
            self.values(read.pop(), as_text=k in self._text, words_stay=False) for k in range(len(read))
        ]
        return replace(self.head, columns=tuple(columns))

    def count_values(self) -> int:
        """Returns about how many values there are, by the start of the file; 0 if it is in memory."""
        if self._content is not None:
            return 0
        values = self._start.count(b"\n") + self._start.count(self._layout.delimiter.encode())
        return self._source.path.stat().st_size * values // max(1, len(self._start))

    def settled(self, read: Callable[[], T]) -> T:
        """Calls what reads chunks, again if a column that began with numbers turns out to be text.

        Raises:
            FileFormatError: as `table`.
        """
        for _ in range(2):
            try:
                return read()
            except TurnsToTextError:
                continue
        self._are_numbers = [False] * len(self._are_numbers)
        return read()

    def frames(self) -> Iterator[pl.DataFrame]:
        """Yields the rows of one chunk after the other: columns of numbers, or of text as it is written.

        Raises:
            FileFormatError: as `table`.
            TurnsToTextError: what was read of a column must be read again, as text.
        """
        layout = self._layout
        fast = layout.delimiter != " " and len(layout.delimiter.encode()) == 1
        self._starts.clear()
        self._some_read = False
        row = 0
        with self._open() as file:
            byte = _skip_lines(file, layout.skipped)
            for chunk in _chunks(file):
                self._starts.append(Start(row, byte))
                parsed = self._parse(chunk) if fast and chunk is not None and _is_plain(chunk) else None
                for frame in self._slowly(chunk, byte) if parsed is None else [parsed]:
                    row += len(frame)
                    self._some_read = True
                    yield frame
                byte = file.tell()

    def line(self, row: int) -> int:
        """Returns the line in which a row begins, counted from 1."""
        start = self._starts[bisect_right(self._starts, row, key=lambda start: start.row) - 1]
        with self._open() as file:
            file.seek(start.byte)
            line, _ = next(islice(self._records(file, start.byte), row - start.row, None))
            return line + self._lines_before(start.byte)

    def _records(self, file: IO[bytes], byte: int) -> Records:
        """Returns the records of a file from where it is, which is behind this byte of the whole."""
        return Records(file, self._layout, self._source.shown, lambda: self._lines_before(byte))

    def _lines_before(self, byte: int) -> int:
        count, last = 0, b""
        with self._open() as file:
            for at in range(0, byte, CHUNK_BYTES):
                part = file.read(min(CHUNK_BYTES, byte - at))
                count += line_ends(part) - (last == b"\r" and part.startswith(b"\n"))
                last = part[-1:]
        return count

    def _slowly(self, chunk: bytes | None, byte: int) -> Iterator[pl.DataFrame]:
        """Yields the rows of a chunk that begins at a byte, or of all that follows where it is None."""
        with self._open() if chunk is None else io.BytesIO(chunk) as file:
            if chunk is None:
                file.seek(byte)
            for text in self._records(file, byte).rewritten():
                frame = self._parse(text, rewritten=True)
                if frame is None:
                    raise FileFormatError(
                        f"{self._source.shown}: expected delimited text, found something else"
                    )
                yield frame

    def values(self, series: pl.Series, *, as_text: bool, words_stay: bool) -> Column:
        """Makes a column of what was read, as `as_values`."""
        return as_values(series, as_text, self._layout.decimal, words_stay=words_stay)

    def _open(self) -> IO[bytes]:
        return io.BytesIO(self._content) if self._content is not None else self._source.path.open("rb")

    def _parse(self, text: bytes, *, rewritten: bool = False) -> pl.DataFrame | None:
        """Reads text by polars, numbers as numbers if all are; None if it cannot, or values are missing."""
        import polars as pl

        layout, numbers = self._layout, self._are_numbers
        names = [str(k) for k in range(len(layout.names))]
        for as_numbers in [numbers, [False] * len(names)] if any(numbers) else [numbers]:
            kinds = [pl.Float64 if number else pl.String for number in as_numbers]
            schema = dict(zip(names, kinds, strict=True))
            try:
                frame = pl.read_csv(
                    text,
                    has_header=False,
                    schema=schema,
                    separator="\t" if rewritten else layout.delimiter,
                    comment_prefix="#" if layout.commented and not rewritten else None,
                    decimal_comma=layout.decimal == "," and not rewritten,
                )
            except pl.exceptions.NoDataError:
                return pl.DataFrame(schema=schema)
            except pl.exceptions.PolarsError:
                continue
            if not rewritten and frame.to_series(-1).null_count() and not self._is_even(text, len(frame)):
                return None
            return frame if as_numbers is numbers else self._with_numbers(frame)
        return None

    def _is_even(self, text: bytes, rows: int) -> bool:
        """Tells whether no line is short, which polars takes for missing values."""
        delimiter, count = self._layout.delimiter.encode(), len(self._layout.names)
        plain = b'"' not in text and not self._layout.commented
        short = len(text) <= rows * csv.field_size_limit()
        return plain and short and count > 1 and text.count(delimiter) == rows * (count - 1)

    def _with_numbers(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Makes numbers of the text in columns of numbers, such as `NA`."""
        turned = False
        for k, is_number in enumerate(self._are_numbers):
            if is_number:
                numbers = _numbers_in(_words(frame.to_series(k), self._layout.decimal), False)
                if numbers is None:
                    self._are_numbers[k], turned = False, True
                else:
                    frame = frame.replace_column(k, numbers.alias(str(k)))
        if turned and self._some_read:
            raise TurnsToTextError
        return frame


def _skip_lines(file: IO[bytes], count: int) -> int:
    """Skips lines, which may end by carriage returns; returns the byte that follows."""
    text = io.TextIOWrapper(file, "latin-1", newline="")  # a character is a byte
    byte = sum(len(text.readline()) for _ in range(count))
    text.detach()
    return file.seek(byte)


def _chunks(file: IO[bytes]) -> Iterator[bytes | None]:
    """Yields chunks that end where a record does; None stands for all the rest, whose quotes do not match."""
    while text := file.read(CHUNK_BYTES):
        parts = [text, file.readline()]
        odd = sum(part.count(b'"') for part in parts) % 2
        while odd and len(parts) < MAX_QUOTED_LINES and (line := file.readline()):
            parts.append(line)
            odd ^= line.count(b'"') % 2
        if odd:
            yield None
            return
        yield b"".join(parts)


def _is_plain(text: bytes) -> bool:
    """Tells whether there are neither NUL bytes nor carriage returns within lines, which end lines too."""
    return b"\0" not in text and text.count(b"\r") == text.count(b"\r\n")


def _is_plain_number(field: str) -> bool:
    number = number_of(field)
    return field == "" or (number is not None and not isnan(number) and not is_code(field.lstrip("+-")))


def as_values(series: pl.Series, as_text: bool, decimal: str, *, words_stay: bool = False) -> Column:
    """Makes a column of what polars has read: numbers if all values are, else text.

    Args:
        series: what polars has read.
        as_text: whether whole numbers are kept as they are written.
        decimal: the decimal sign.
        words_stay: whether all text is.
    """
    import polars as pl

    if series.dtype != pl.String:
        column: Column = series.to_numpy()
        return column
    series = series.fill_null("")
    few = series.head(SOME_ROWS).n_unique() <= SOME_ROWS / 2  # then rows that have one word share it
    different = series.unique() if few else series
    words = _words(different, decimal)
    numbers = None if words_stay else _numbers_in(words, as_text)
    found: Column = (
        np.array([word or None for word in words.to_list()], object)
        if numbers is None
        else numbers.to_numpy()
    )
    return found[series.cast(pl.Enum(different)).to_physical().to_numpy()] if few else found


def _words(series: pl.Series, decimal: str) -> pl.Series:
    """Returns text without spaces around it, with decimal points in numbers."""
    words = series.str.strip_chars(" \t\r")
    if decimal == ",":
        words = words.str.replace(
            "^" + DECIMAL_COMMA.pattern.replace(r"\d+,\d+", r"(\d+),(\d+)") + "$", "$1.$2"
        )
    return words


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

    def __init__(self, file: IO[bytes], layout: Layout, shown: str, lines_before: Callable[[], int]) -> None:
        self._file, self._layout, self._shown, self._lines_before = file, layout, shown, lines_before

    def __iter__(self) -> Iterator[tuple[int, list[str]]]:
        """Yields the line in which each record begins, counted from 1 here, and its fields.

        Raises:
            FileFormatError: a record is ragged, quotes do not match, or the text is not UTF-8.
        """
        layout, shown = self._layout, self._shown
        count, spaces = len(layout.names), layout.delimiter == " "
        line = end = 0
        text = io.TextIOWrapper(self._file, "utf-8", newline="")
        lines = _lines_of(text, layout)
        reader = csv.reader(lines, delimiter=layout.delimiter, skipinitialspace=spaces, strict=True)
        try:
            for record in reader:
                line, end = end + 1, reader.line_num
                if not record:
                    continue
                if len(record) != count:
                    raise FileFormatError(
                        f"{shown}, line {self._lines_before() + end}: expected {count} values, as in the "
                        f"first line, found {len(record)}"
                    )
                yield line, record
        except csv.Error:
            raise FileFormatError(
                f"{shown}, line {self._lines_before() + reader.line_num}: expected values between "
                f"{layout.delimiter!r}, found quotes that do not match, a NUL byte, or an overlong value"
            ) from None
        except UnicodeDecodeError as error:
            raise FileFormatError(
                f"{shown}: expected CSV in UTF-8, found the byte {error.object[error.start]:#04x} after "
                f"line {self._lines_before() + end}; --encoding latin-1 (or cp1252, …) reads other text"
            ) from None
        finally:
            text.detach()

    def rewritten(self) -> Iterator[bytes]:
        """Yields chunks of records separated by tabs, with decimal points and without empty lines."""
        comma = self._layout.decimal == ","
        records = iter(self)
        while some := list(islice(records, CHUNK_RECORDS)):
            text = io.StringIO(newline="")
            writer = csv.writer(text, delimiter="\t", lineterminator="\n")
            for _, record in some:
                fields = [field.strip(" \t\r") for field in record]
                if comma:
                    fields = [
                        field.replace(",", ".") if DECIMAL_COMMA.fullmatch(field) else field
                        for field in fields
                    ]
                writer.writerow(fields)
            yield text.getvalue().encode()


def _lines_of(file: io.TextIOWrapper, layout: Layout) -> Iterator[str]:
    """Yields the lines of values, comments emptied."""
    for line in file:
        text = "\n" if layout.commented and line.startswith("#") else line
        if layout.delimiter == " ":
            text = text.replace("\t", " ").strip() + "\n"
        yield text

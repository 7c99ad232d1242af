"""Reads delimited text, such as CSV, by polars, in chunks; what it cannot read is read again, to say why."""

from __future__ import annotations

import csv
import io
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from importlib.util import find_spec
from itertools import islice
from math import isnan
from typing import IO, TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np

from typednn.data.columns import MISSING_WORDS, number_of
from typednn.data.inspection import is_code
from typednn.data.readers.dialects import (
    DECIMAL_COMMA,
    LONG_LINE,
    Dialect,
    Layout,
    find_layout,
    in_utf8,
    line_ends,
    start_of,
)
from typednn.data.readers.opening import MAX_LINE, Source
from typednn.data.readers.packing import as_numbers, as_values, joined, packed, stripped
from typednn.data.table import Column, Table
from typednn.errors import DataError, FileFormatError, MissingExtraError

if TYPE_CHECKING:
    import polars as pl

ChooseText = Callable[[Table], Collection[int]]
"""Returns, given a table without rows, the places of the columns that are read as they are written."""

CHUNK_BYTES = 2**22
"""The number of bytes that are read at a time."""

CACHE_BYTES = 2**16
"""The number of bytes that are looked through at a time, so that what is made of them stays in the cache."""

CHUNK_RECORDS = 2**16
"""The number of records that are read at a time where polars cannot read them."""

MAX_QUOTED_LINES = 1000
"""The number of lines after a chunk among which quotes that are open at its end are closed."""


SOME_RECORDS = 100
"""The number of records by which it is decided what polars reads as numbers; it is corrected later."""

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
        as_text: returns, given `head`, the places of the columns that are kept as written.

    Attributes:
        head: a table without rows: names, source and notes.

    Raises:
        FileFormatError: the text is not in this encoding, or names occur twice.
        DataError: there are no records.
    """

    def __init__(self, source: Source, dialect: Dialect, as_text: ChooseText) -> None:
        self._source = source = in_utf8(source, dialect.encoding)
        self._start = start_of(source)
        self._layout = layout = find_layout(self._start, dialect, source.shown)
        self.head: Table = Table(
            layout.names, (), source.shown, layout.named, notes=layout.notes, line=self.line
        )
        self._text = frozenset(as_text(self.head))
        self._starts = [Start(0, 0)]
        self._some_read = False
        some, count = layout.sample[:SOME_RECORDS], len(layout.names)
        self._are_numbers = [
            k not in self._text
            and _are_plain_numbers([record[k] for record in some if k < len(record)], last=k == count - 1)
            for k in range(count)
        ]
        self._missing: dict[int, str] = {}  # of columns of numbers, but the last: a word for missing ones

    def table(self) -> Table:
        """Reads the whole file.

        Raises:
            FileFormatError: a line is ragged, quotes do not match, or the text is not UTF-8.
            DataError: there are no values.
            MissingExtraError: polars is not installed.
        """
        if find_spec("polars") is None:
            raise MissingExtraError("polars", "reading tables", "tables")
        chunks = self.settled(lambda: [packed(frame)[::-1] for frame in self.frames()])
        columns = [  # of each column, what polars has read is freed when its values are made
            as_values(joined([chunk.pop() for chunk in chunks]), k in self._text, self._layout.decimal)
            for k in range(len(self.head.names))
        ]
        return replace(self.head, columns=tuple(columns))

    def count_values(self) -> int:
        """Returns about how many values there are, by the start of the file."""
        values = self._start.count(b"\n") + self._start.count(self._layout.delimiter.encode())
        return self._source.size() * values // max(1, len(self._start))

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

    def frames(self, *, mixed: bool = False) -> Iterator[pl.DataFrame]:
        """Yields the rows of one chunk after the other: columns of numbers, or of text as it is written.

        Args:
            mixed: whether a column may be numbers in one chunk, and text in another.

        Raises:
            FileFormatError, DataError: as `table`.
            TurnsToTextError: what was read of a column must be read again, as text.
        """
        layout = self._layout
        fast = layout.delimiter != " " and len(layout.delimiter.encode()) == 1
        self._starts.clear()
        self._some_read = False
        row = 0
        with self._source.open() as file:
            byte = _skip_lines(file, layout.skipped)
            for chunk in _chunks(file, self._source.shown):
                self._starts.append(Start(row, byte))
                parsed = self._parse(chunk) if fast and chunk is not None and _is_plain(chunk) else None
                for frame in self._slowly(chunk, byte) if parsed is None else [parsed]:
                    row += len(frame)
                    self._some_read = not mixed
                    yield frame
                byte = file.tell()
        if not row:
            names = " below the column names" * layout.named
            raise DataError(f"{self._source.shown}: expected lines of values{names}, found none")

    def line(self, row: int) -> int:
        """Returns the line in which a row begins, counted from 1."""
        start = self._starts[bisect_right(self._starts, row, key=lambda start: start.row) - 1]
        with self._source.open() as file:
            file.seek(start.byte)
            line, _ = next(islice(self._records(file, start.byte), row - start.row, None))
            return line + self._lines_before(start.byte)

    def _records(self, file: IO[bytes], byte: int) -> Records:
        """Returns the records of a file from where it is, which is behind this byte of the whole."""
        return Records(file, self._layout, self._source.shown, lambda: self._lines_before(byte))

    def _lines_before(self, byte: int) -> int:
        count, last = 0, b""
        with self._source.open() as file:
            for at in range(0, byte, CHUNK_BYTES):
                part = file.read(min(CHUNK_BYTES, byte - at))
                count += line_ends(part) - (last == b"\r" and part.startswith(b"\n"))
                last = part[-1:]
        return count

    def _slowly(self, chunk: bytes | None, byte: int) -> Iterator[pl.DataFrame]:
        """Yields the rows of a chunk that begins at a byte, or of all that follows where it is None."""
        with self._source.open() if chunk is None else io.BytesIO(chunk) as file:
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

    def _parse(self, text: bytes, *, rewritten: bool = False) -> pl.DataFrame | None:
        """Reads text by polars, numbers as numbers if all are; None if it cannot, or values are missing."""
        import polars as pl

        layout, numbers, missing = self._layout, self._are_numbers, self._missing
        names = [str(k) for k in range(len(layout.names))]
        ways = [numbers, [False] * len(names)] if any(numbers) else [numbers]
        if missing:  # their columns are read as text where there may be codes, such as 01
            ways.insert(1, [is_number and k not in missing for k, is_number in enumerate(numbers)])
            ways = ways[_has_codes(text) :]
        for are_numbers in ways:
            kinds = [pl.Float64 if number else pl.String for number in are_numbers]
            schema = dict(zip(names, kinds, strict=True))
            words = {names[k]: word for k, word in missing.items() if are_numbers[k]}
            try:
                frame = pl.read_csv(
                    text,
                    has_header=False,
                    schema=schema,
                    separator="\t" if rewritten else layout.delimiter,
                    comment_prefix="#" if layout.commented and not rewritten else None,
                    null_values=sorted({*words.values()}) if all(are_numbers) else words,  # faster for all
                    decimal_comma=layout.decimal == "," and not rewritten,
                )
            except pl.exceptions.NoDataError:
                return pl.DataFrame(schema=schema)
            except pl.exceptions.PolarsError:
                continue
            if not rewritten and frame.to_series(-1).null_count() and not self._is_even(text, len(frame)):
                return None
            return self._with_numbers(frame)
        return None

    def _is_even(self, text: bytes, rows: int) -> bool:
        """Tells whether no line is short, which polars takes for missing values."""
        delimiter, count = self._layout.delimiter.encode(), len(self._layout.names)
        plain = b'"' not in text and not self._layout.commented
        short = len(text) <= rows * csv.field_size_limit()
        return plain and short and count > 1 and _count_often(text, delimiter) == rows * (count - 1)

    def _with_numbers(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Makes numbers of the text in columns of numbers, such as `NA`, which is known in later chunks."""
        import polars as pl

        turned, last = False, len(self._are_numbers) - 1
        for k, words in enumerate(frame.get_columns()):
            if self._are_numbers[k] and words.dtype == pl.String:
                numbers = as_numbers(stripped(words, self._layout.decimal), False)
                if numbers is None:
                    self._are_numbers[k], turned = False, True
                    continue
                missing = words.filter(numbers.is_null()).drop_nulls()
                if len(missing) and k < last:  # nulls in the last tell of short lines
                    self._missing.setdefault(k, missing[0])
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


def _chunks(file: IO[bytes], shown: str) -> Iterator[bytes | None]:
    """Yields chunks that end where a record does; None stands for all the rest, whose quotes do not match.

    Raises FileFormatError for a line that is too long.
    """

    def line_of() -> bytes:
        line = file.readline(MAX_LINE)
        if len(line) == MAX_LINE:
            raise FileFormatError(f"{shown}: {LONG_LINE}, before the byte {file.tell()}")
        return line

    while text := file.read(CHUNK_BYTES):
        parts = [text, line_of()]
        odd, size = sum(_count(part, b'"') for part in parts) % 2, 0
        while odd and len(parts) < MAX_QUOTED_LINES and size < MAX_LINE and (line := line_of()):
            parts.append(line)
            size += len(line)
            odd ^= _count(line, b'"') % 2
        if odd:
            yield None
            return
        yield b"".join(parts)


def _is_plain(text: bytes) -> bool:
    """Tells whether there are neither NUL bytes nor carriage returns within lines, which end lines too."""
    return b"\0" not in text and _count(text, b"\r") == _count(text, b"\r\n")


def _count(text: bytes, what: bytes) -> int:
    """Counts what is mostly absent: `in` searches ten times as fast as `count` counts."""
    return text.count(what) if what[:1] in text else 0


def _count_often(text: bytes, character: bytes) -> int:
    """Counts a character that occurs often, such as the delimiter: in a fifth of the time of `count`."""
    if len(character) > 1:
        return text.count(character)
    some = np.frombuffer(text, np.uint8)
    code = ord(character)
    return sum(
        int(np.count_nonzero(some[k : k + CACHE_BYTES] == code)) for k in range(0, len(text), CACHE_BYTES)
    )


def _are_plain_numbers(fields: Sequence[str], *, last: bool) -> bool:
    """Tells whether all are numbers, or nothing; among numbers of other columns than the last, also `NA`."""
    plain = {field for field in set(fields) if _is_plain_number(field)}
    others = {field.lower() for field in fields if field not in plain}
    return not others or (not last and any(plain) and others <= MISSING_WORDS)


def _is_plain_number(field: str) -> bool:
    number = number_of(field)
    return field == "" or (number is not None and not isnan(number) and not is_code(field.lstrip("+-")))


def _has_codes(text: bytes) -> bool:
    """Tells whether there may be a code, such as 01: a 0 before a digit, not after a digit or a point."""
    some = np.frombuffer(b",," + text + b",", np.uint8)
    for k in range(0, len(text), CACHE_BYTES):
        at = some[k : k + CACHE_BYTES + 3]
        before, after = at[1:-2] - ord("."), at[3:] - ord("0")  # what is smaller becomes large
        places = np.flatnonzero((at[2:-1] == ord("0")) & (after < 10) & (before > 11))
        if not np.all(at[places] | 32 == ord("e")):  # exponents, as in 1e-05 and 1E-05, are no codes
            return True
    return False


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
        lines = _lines_of(text, layout, shown)
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


def _lines_of(file: io.TextIOWrapper, layout: Layout, shown: str) -> Iterator[str]:
    """Yields the lines of values, comments emptied."""
    while line := file.readline(MAX_LINE):
        if len(line) == MAX_LINE:
            raise FileFormatError(f"{shown}: {LONG_LINE}")
        text = "\n" if layout.commented and line.startswith("#") else line
        if layout.delimiter == " ":
            text = text.replace("\t", " ").strip() + "\n"
        yield text

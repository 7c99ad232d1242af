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
from numpy.typing import NDArray

from typednn.data.columns import MISSING_WORDS, number_of
from typednn.data.dialects import (
    DECIMAL_COMMA,
    LONG_LINE,
    Dialect,
    Layout,
    find_layout,
    in_utf8,
    line_ends,
    start_of,
)
from typednn.data.inspection import is_code
from typednn.data.opening import MAX_LINE, Source
from typednn.data.table import Column, Table
from typednn.errors import DataError, FileFormatError, MissingExtraError

if TYPE_CHECKING:
    import polars as pl

ChooseText = Callable[[Table], Collection[int]]
"""Returns, given a table without rows, the places of the columns that are read as they are written."""

CHUNK_BYTES = 2**22
"""The number of bytes that are read at a time."""

CHUNK_RECORDS = 2**16
"""The number of records that are read at a time where polars cannot read them."""

MAX_QUOTED_LINES = 1000
"""The number of lines after a chunk among which quotes that are open at its end are closed."""


SOME_RECORDS = 100
"""The number of records by which it is decided what polars reads as numbers; it is corrected later."""

SOME_ROWS = 10_000
"""The number of rows that tell whether most words of a column differ."""

SOME_NUMBERS = 64
"""The number of rows that tell whether a column may have whole numbers only."""

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
        some = layout.sample[:SOME_RECORDS]
        self._are_numbers = [
            k not in self._text and all(_is_plain_number(record[k]) for record in some if k < len(record))
            for k in range(len(self._layout.names))
        ]

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


def _is_plain_number(field: str) -> bool:
    number = number_of(field)
    return field == "" or (number is not None and not isnan(number) and not is_code(field.lstrip("+-")))


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
    words = _words(coded.different, decimal)
    numbers = None if words_stay else _numbers_in(words, as_text)
    found: Column = (
        np.array([word or None for word in words.to_list()], object)
        if numbers is None
        else numbers.to_numpy()
    )
    return found if coded.codes is None else found[coded.codes]


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
    """Returns the columns of a chunk, float64 or text, packed where that takes less memory.

    A field of one digit and a comma has two bytes, its number as float64 has eight, and a word sixteen and
    more. Packed, whole numbers take the bytes that they need, and words a number each.
    """
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
    kinds = (pl.Float64, pl.Int32, pl.Int16, pl.Int8)
    widest = next(kind for kind in kinds if any(part.dtype == kind for part in parts))
    return pl.concat([part.cast(widest) for part in parts])


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

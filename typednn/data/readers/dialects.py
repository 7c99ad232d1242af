"""The dialect of delimited text: delimiter, decimal sign, names and encoding, given or found by rule."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from typednn.data.columns import MISSING_WORDS, number_of
from typednn.data.readers.opening import MAX_LINE, Source
from typednn.errors import DataError, FileFormatError

DELIMITERS = "\t;|,"
"""In the order in which they are tried."""

SAMPLE_BYTES, SAMPLE_RECORDS = 2**18, 1000
"""The start of a file of which the dialect is found."""

LONG_LINE = f"expected lines of values, found one that does not end within {MAX_LINE // 2**20} MiB"

MAX_COLUMNS = 2**17
"""The largest number of columns of text: each takes some 0.1 ms, however few rows there are."""

DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+([eE][-+]?\d+)?")
DECIMAL_POINT = re.compile(r"[-+]?\d*\.\d+([eE][-+]?\d+)?")
SEPARATOR_LINE = re.compile(r"sep=(.)\r?\n?", re.IGNORECASE)

BOMS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


@dataclass(frozen=True, slots=True)
class Dialect:
    """How delimited text is to be read; what is None is found by rule.

    Attributes:
        delimiter: the character between two values; a space means any number of spaces and tabs.
        decimal: the decimal sign, `.` or `,`.
        header: whether the first line names the columns.
        encoding: the encoding, as Python names it.
    """

    delimiter: str | None = None
    decimal: str | None = None
    header: bool | None = None
    encoding: str | None = None


@dataclass(frozen=True, slots=True)
class Layout:
    """What was found at the start of a file.

    Attributes:
        delimiter, decimal: as in `Dialect`.
        named: whether the first record names the columns.
        names: the names, or `column 1`, ….
        skipped: the number of lines before the first record of values: names, comments, `sep=`, empty lines.
        commented: whether lines that begin with # are comments.
        sample: the first records of values.
        notes: what was decided by rule.
    """

    delimiter: str
    decimal: str
    named: bool
    names: tuple[str, ...]
    skipped: int
    commented: bool
    sample: list[list[str]]
    notes: tuple[str, ...]


def in_utf8(source: Source, encoding: str | None) -> Source:
    """Returns the source of the same text in UTF-8 without a mark.

    Raises:
        FileFormatError: the bytes are not in this encoding.
        SettingError: there is no room for a temporary file.
    """
    start = source.start(SAMPLE_BYTES)
    if b"\r" in start and b"\n" not in start and b"\0" not in start:  # the line ends of old Macs
        source = source.holding(part.replace(b"\r", b"\n") for part in source.parts())
    known = encoding or next((name for bom, name in BOMS.items() if start.startswith(bom)), None)
    if known is None or (
        known.lower().replace("_", "-") in {"utf-8", "utf8"} and not start.startswith(tuple(BOMS))
    ):
        return source
    try:
        io.TextIOWrapper(io.BytesIO(), known)
    except LookupError:
        raise FileFormatError(
            f"{source.shown}: unknown encoding {known!r}; utf-8, utf-16, latin-1 and cp1252 are usual ones"
        ) from None
    return source.holding(_encoded_again(source, known))


def _encoded_again(source: Source, encoding: str) -> Iterator[bytes]:
    """Yields the bytes of text in UTF-8, without a mark."""
    decoder = codecs.getincrementaldecoder(encoding)()
    ends, mark = 0, "\ufeff"
    for part in chain(source.parts(), [b""]):
        ends += len(part)
        try:
            text = decoder.decode(part, final=not part)
        except UnicodeDecodeError as error:
            at = ends - len(error.object) + error.start
            raise FileFormatError(
                f"{source.shown}: expected text in {encoding}, found the byte "
                f"{error.object[error.start]:#04x} at {at}; --encoding names another encoding"
            ) from None
        yield text.removeprefix(mark).encode()
        mark = "" if text else mark


def start_of(source: Source) -> bytes:
    """Returns the start of text by which its layout is found: at least a line.

    Raises:
        FileFormatError: the first line is too long.
    """
    start = source.start(SAMPLE_BYTES)
    if len(start) < SAMPLE_BYTES or b"\n" in start or b"\r" in start:
        return start
    start, _, rest = source.start(MAX_LINE).partition(b"\n")
    if len(start) == MAX_LINE:
        raise FileFormatError(f"{source.shown}: {LONG_LINE}")
    return start + b"\n" + rest[:SAMPLE_BYTES]


def find_layout(start: bytes, dialect: Dialect, shown: str) -> Layout:
    """Finds the layout of text from its start.

    Raises:
        FileFormatError: the bytes are not UTF-8, or names are missing or occur twice.
        DataError: there are no records.
    """
    text = _sample_text(start, shown)
    skipped, delimiter, commented, rest = _preamble(text)
    delimiter = dialect.delimiter or delimiter or _delimiter(rest, commented)
    records = list(records_of(rest, delimiter, commented, SAMPLE_RECORDS))
    lines_of_names = 1 + line_ends(",".join(records[0]).encode()) if records else 0
    if not records:
        raise DataError(f"{shown}: expected a line of column names and lines of values, found an empty file")
    if len(records[0]) > MAX_COLUMNS:
        raise FileFormatError(f"{shown}: expected at most {MAX_COLUMNS} columns, found {len(records[0])}")
    decimal = dialect.decimal or ("," if delimiter != "," and _has_decimal_commas(records) else ".")
    first, *others = [[field.strip() for field in record] for record in records]
    as_written = [[_pointed(field, decimal) for field in record] for record in others]
    named, why = (dialect.header, None) if dialect.header is not None else _is_header(first, as_written)
    notes = [] if why is None else [why]
    if decimal == "," and dialect.decimal is None:
        notes.append("numbers are written with decimal commas")
    names = _names(first, shown) if named else tuple(f"column {k}" for k in range(1, len(first) + 1))
    sample = as_written if named else [[_pointed(field, decimal) for field in first], *as_written]
    skipped += lines_of_names if named else 0
    return Layout(delimiter, decimal, named, names, skipped, commented, sample, tuple(notes))


def records_of(text: str, delimiter: str, commented: bool, most: int | None = None) -> Iterator[list[str]]:
    """Yields the records of a sample, without empty lines and comments; ends where quotes do not match."""
    file = io.StringIO(text, newline="")
    lines = (line for line in file if not (commented and line.startswith("#")))
    spaces = delimiter == " "
    if spaces:
        lines = (line.replace("\t", " ").strip() + "\n" for line in lines)
    count = 0
    try:
        for record in csv.reader(lines, delimiter=delimiter, skipinitialspace=spaces):
            if record:
                yield record
                count += 1
                if most is not None and count >= most:
                    return
    except csv.Error:
        return


def _sample_text(start: bytes, shown: str) -> str:
    if len(start) >= SAMPLE_BYTES:
        start = start[: max(start.rfind(b"\n"), start.rfind(b"\r")) + 1 or len(start)]
    try:
        return start.decode("utf-8")
    except UnicodeDecodeError as error:
        line = line_ends(start[: error.start]) + 1
        raise FileFormatError(
            f"{shown}, line {line}: expected CSV in UTF-8, Parquet, Arrow, .npz, .npy or IDX, found bytes "
            "that are none of these; --encoding latin-1 (or cp1252, …) reads other text"
        ) from None


def _preamble(text: str) -> tuple[int, str | None, bool, str]:
    """Skips `sep=` lines, comments and empty lines before the first record."""
    skipped, delimiter, commented = 0, None, False
    rest = io.StringIO(text, newline="")
    while line := rest.readline():
        separator = SEPARATOR_LINE.fullmatch(line.rstrip("\r\n")) if not skipped else None
        if separator:
            delimiter = separator[1]
        elif line.startswith("#"):
            commented = True
        elif line.strip():
            break
        skipped += 1
    return skipped, delimiter, commented, line + rest.read()


def line_ends(text: bytes) -> int:
    """Returns how many lines end in a text: by a line feed, a carriage return, or both."""
    return text.count(b"\n") + text.count(b"\r") - text.count(b"\r\n")


def _delimiter(text: str, commented: bool) -> str:
    """Returns the first delimiter that splits all records alike, else the one that is most frequent."""
    for delimiter in DELIMITERS:
        lengths = {len(record) for record in records_of(text, delimiter, commented, 100)}
        if len(lengths) == 1 and lengths != {1}:
            return delimiter
    line = re.sub('"[^"]*"', "", text.partition("\n")[0])
    most = max(DELIMITERS, key=line.count)
    if line.count(most):
        return most
    lengths = {len(record) for record in records_of(text, " ", commented, 100)}
    return " " if len(lengths) == 1 and lengths != {1} else ","


def _has_decimal_commas(records: Sequence[Sequence[str]]) -> bool:
    fields = [field.strip() for record in records[:100] for field in record]
    return any(map(DECIMAL_COMMA.fullmatch, fields)) and not any(map(DECIMAL_POINT.fullmatch, fields))


def _pointed(field: str, decimal: str) -> str:
    """Returns a field with a decimal point, if it is a number with a decimal comma."""
    return field.replace(",", ".") if decimal == "," and DECIMAL_COMMA.fullmatch(field) else field


def _is_header(first: Sequence[str], others: Sequence[Sequence[str]]) -> tuple[bool, str | None]:
    """Tells whether the first record names the columns, and the reason where one may doubt it."""
    numbers = [number_of(field) is not None for field in first]
    counted = first[1:] if first[0] == "" else first  # pandas leaves the place above its index empty
    if counted == [str(k) for k in range(len(counted))] and len(counted) > 1:
        last = len(counted) - 1
        return True, f"line 1 numbers the columns from 0 to {last}, as pandas does: it is not a sample"
    if all(numbers):
        return False, "the first line holds values, no names: the columns are called column 1, column 2, …"
    columns = [[record[k] for record in others if k < len(record)] for k in range(len(first))]
    if any(not number and _has_numbers(column) for number, column in zip(numbers, columns, strict=True)):
        return True, None
    again = next((k for k, column in enumerate(columns) if first[k] and first[k] in column), None)
    beside = next(
        (k for k, number in enumerate(numbers) if number and first[k] and _has_numbers(columns[k])), None
    )
    if again is not None or beside is not None or len(set(first)) < len(first):
        found = first[again if again is not None else beside if beside is not None else 0]
        return False, (
            f"the first line holds values like {found!r}, no names: the columns are called column 1, "
            "column 2, …; --header says otherwise"
        )
    return True, None


def _has_numbers(column: Sequence[str]) -> bool:
    """Tells whether all fields are numbers or missing, and not all are missing."""
    return all(number_of(field) is not None for field in column) and any(
        field.lower() not in MISSING_WORDS for field in column
    )


def _names(first: Sequence[str], shown: str) -> tuple[str, ...]:
    """Returns the names of the columns; one that has none is called by its number."""
    places: dict[str, int] = {}
    for k, name in enumerate((name or f"column {k}" for k, name in enumerate(first, start=1)), start=1):
        if places.setdefault(name, k) != k:
            raise FileFormatError(
                f"{shown}, line 1: expected different names, found {name!r} for the columns "
                f"{places[name]} and {k}; --no-header reads the line as values"
            )
    return tuple(places)

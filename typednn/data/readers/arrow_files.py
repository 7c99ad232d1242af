"""Reads Parquet and Arrow files (Feather version 2) by pyarrow, which checks all values first.

polars and NumPy take lengths, offsets and text on trust; so they are given only what `validate(full=True)` of
pyarrow has passed, and only kinds of columns that they know.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, TypeVar

from typednn.data.readers.opening import MAX_COMPRESSION, MAX_LINE, MAX_RATIO, Source
from typednn.data.readers.packing import as_values
from typednn.data.table import CHUNK_VALUES, Column, Table, as_column, checked_table
from typednn.errors import ArrayTypeError, FileFormatError, MissingExtraError, TypednnError

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

T = TypeVar("T")
Rows = TypeVar("Rows", bound="pa.RecordBatch | pa.Table")

MANY_VALUES = 2**20
"""Files of more values have at most `MAX_COMPRESSION` values for each byte, as compressed arrays do: a few
bytes can say that one value is repeated billions of times."""

WORD_BYTES = 256
"""Words that codes stand for have at most this number of bytes on average, beside `MAX_RATIO` times those of
the file and `MAX_LINE`."""

MAX_REASON = 300
"""The number of characters of pyarrow's reasons that messages quote."""


class ArrowFile:
    """A Parquet or Arrow file, which can be read again and again, a chunk at a time.

    Attributes:
        head: a table without rows: the names, and the source.

    Raises:
        FileFormatError: the file is damaged, or Feather version 1.
        MissingExtraError: polars or pyarrow is not installed.
    """

    def __init__(self, source: Source) -> None:
        if source.format == "feather":
            raise FileFormatError(
                f"{source.shown}: expected Arrow (Feather version 2), found Feather version 1; "
                "pyarrow.feather.write_feather writes version 2"
            )
        for package in ("polars", "pyarrow"):
            try:
                import_module(package)
            except ImportError:
                raise MissingExtraError(package, "reading Parquet and Arrow files", "parquet") from None
        self._source = source
        with self._damage():
            self._content = _Parquet(source) if source.format == "parquet" else _Batches(source)
            schema, counts = self._content.schema, self._content.counts
            names: tuple[str, ...] = tuple(schema.names)
            check_rows(counts, len(names), source.size(), source.shown)
            self._other = {each.name: str(each.type) for each in schema if not _is_known(each.type)}
        name, uses = Counter(names).most_common(1)[0] if names else ("", 0)
        if uses > 1:
            raise FileFormatError(
                f"{source.shown}: expected different names of columns, found {name!r} twice"
            )
        self._count = sum(counts)
        self.head: Table = Table(names, (), source.shown)

    def table(self) -> Table:
        """Reads the whole file.

        Raises:
            FileFormatError: it is damaged.
            ArrayTypeError: a column holds neither numbers, booleans, dates nor text.
            DataError: there are no rows.
        """
        with self._damage():
            found = validated(self._content.read())
            columns = tuple(self.values(each, as_text=True, words_stay=False) for each in self._series(found))
        return checked_table(Table(self.head.names, columns, self.head.source))

    def count_values(self) -> int:
        """Counts the values."""
        return len(self.head.names) * self._count

    def settled(self, read: Callable[[], T]) -> T:
        """Calls what reads chunks."""
        return read()

    def frames(self, *, mixed: bool = False) -> Iterator[pl.DataFrame]:  # noqa: ARG002 (as Delimited)
        """Yields the rows of one chunk after the other.

        Raises:
            FileFormatError: the file is damaged.
        """
        import polars as pl

        batches = self._content.batches(max(1, CHUNK_VALUES // max(1, len(self.head.names))))
        while True:
            with self._damage():
                batch = next(batches, None)
                if batch is None:
                    return
                frame = pl.DataFrame(list(self._series(validated(batch))))
            yield frame

    def values(self, series: pl.Series, *, as_text: bool, words_stay: bool) -> Column:  # noqa: ARG002 (as Delimited)
        """Makes a column of what was read.

        Raises:
            ArrayTypeError: it holds neither numbers, booleans, dates nor text.
        """
        if (kind := self._other.get(series.name)) is not None:
            raise ArrayTypeError(
                f"{self._source.shown}: column {series.name!r}: expected numbers, booleans, dates or text, "
                f"found {kind:.{MAX_REASON}}"
            )
        return as_column(_plain(series, words_stay=words_stay), series.name, self._source.shown)

    def _series(self, batch: pa.RecordBatch | pa.Table) -> Iterator[pl.Series]:
        """Yields the columns; of kinds that are not known, only the number of rows."""
        import polars as pl

        for name, column in zip(self.head.names, batch.columns, strict=True):
            if name in self._other:
                yield pl.repeat(None, len(column), dtype=pl.Null, eager=True).alias(name)
                continue
            yield pl.Series(name, self._decoded(name, column))

    def _decoded(self, name: str, column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
        """Returns a column whose values are themselves in place of codes.

        Raises:
            FileFormatError: its words would take far more memory than the file.
        """
        import pyarrow as pa
        from pyarrow import compute

        if not pa.types.is_dictionary(column.type):
            return column
        kind = column.type.value_type
        is_text = not (pa.types.is_primitive(kind) or pa.types.is_decimal(kind) or pa.types.is_null(kind))
        room = MAX_LINE + MAX_RATIO * self._source.size() + WORD_BYTES * len(column)
        parts = list[pa.Array]()
        for chunk in column.chunks if isinstance(column, pa.ChunkedArray) else [column]:
            values = chunk.dictionary.cast(pa.large_string()) if is_text else chunk.dictionary
            if is_text:
                room -= compute.sum(compute.binary_length(values).take(chunk.indices)).as_py() or 0
            if room < 0:
                raise FileFormatError(
                    f"{self._source.shown}: column {name!r}: expected words of {WORD_BYTES} bytes, or a "
                    "larger file, found long words that few bytes repeat; if it is in order, write it as CSV"
                )
            parts.append(values.take(chunk.indices))
        return pa.chunked_array(parts, pa.large_string() if is_text else kind)

    @contextmanager
    def _damage(self) -> Generator[None]:
        """Raises FileFormatError for what pyarrow and polars raise about a damaged file."""
        import polars as pl

        others = pl.exceptions.PolarsError, pl.exceptions.PanicException
        expected = f"expected a complete {self._source.format} file, found a damaged one"
        with damage_of_arrow(self._source.shown, expected, *others):
            yield


def open_parquet(content: pa.NativeFile) -> ParquetFile:
    """Opens a Parquet file, whose text is read as codes: few bytes can repeat a long word very often."""
    from pyarrow.parquet import ParquetFile

    words = _words_of(ParquetFile(content, pre_buffer=False).schema_arrow)
    return ParquetFile(content, pre_buffer=False, read_dictionary=words)


def _words_of(schema: pa.Schema) -> list[str]:
    """Returns the names of the columns of text."""
    from pyarrow import types

    text = types.is_string, types.is_large_string, types.is_string_view
    return [each.name for each in schema if any(is_text(each.type) for is_text in text)]


def rows_of_groups(file: ParquetFile) -> list[int]:
    """Returns the numbers of rows of the row groups, as the file says."""
    return [int(file.metadata.row_group(k).num_rows) for k in range(file.num_row_groups)]


class _Parquet:
    """A Parquet file: its columns, the numbers of rows of its row groups, and what reads them."""

    def __init__(self, source: Source) -> None:
        import pyarrow as pa

        content = pa.OSFile(str(source.path)) if source.content is None else _in_memory(source)
        self._file = open_parquet(content)
        self.schema: pa.Schema = self._file.schema_arrow
        self.counts: list[int] = rows_of_groups(self._file)

    def read(self) -> pa.Table:
        return self._file.read()

    def batches(self, rows: int) -> Iterator[pa.RecordBatch]:
        """Yields all rows, at most some at a time."""
        return self._file.iter_batches(rows)


class _Batches:
    """An Arrow file: its columns, the numbers of rows of its record batches, and what reads them."""

    def __init__(self, source: Source) -> None:
        from pyarrow import ipc

        content = _in_memory(source)
        self._file = ipc.open_file(content)
        self.schema: pa.Schema = self._file.schema
        fields = [0] if self.schema.names else []  # one is enough to count rows
        one_column = ipc.open_file(content, options=ipc.IpcReadOptions(included_fields=fields))
        self.counts: list[int] = [
            one_column.get_batch(k).num_rows for k in range(one_column.num_record_batches)
        ]

    def read(self) -> pa.Table:
        return self._file.read_all()

    def batches(self, rows: int) -> Iterator[pa.RecordBatch]:
        """Yields all rows, at most some at a time."""
        for k in range(self._file.num_record_batches):
            batch = self._file.get_batch(k)
            yield from (batch.slice(first, rows) for first in range(0, batch.num_rows, rows))


def _in_memory(source: Source) -> pa.BufferReader:
    """Returns the bytes of a file, which is mapped into memory, or read already."""
    import pyarrow as pa

    return pa.BufferReader(pa.py_buffer(source.buffer()))


def check_rows(counts: Sequence[int], width: int, size: int, shown: str) -> None:
    """Checks numbers of rows that a file of `size` bytes and `width` columns says it has.

    Raises:
        FileFormatError: one is negative, or they are more than a file of this size holds.
    """
    values = sum(counts) * width
    if any(count < 0 for count in counts) or values > max(MANY_VALUES, MAX_COMPRESSION * size):
        raise FileFormatError(
            f"{shown}: expected at most {MAX_COMPRESSION} values for each byte of the file, found "
            f"{sum(counts)} rows of {width} columns in {size} bytes; if it is in order, write it as CSV"
        )


def validated(rows: Rows) -> Rows:
    """Returns rows of which all lengths, offsets, indices and words are as they must be.

    Raises:
        pyarrow.ArrowInvalid: they are not.
    """
    rows.validate(full=True)
    return rows


@contextmanager
def damage_of_arrow(shown: str, expected: str, *others: type[BaseException]) -> Generator[None]:
    """Raises FileFormatError for what pyarrow, or others, raise about a damaged file."""
    import pyarrow as pa

    usual = pa.ArrowException, OSError, RuntimeError, TypeError, ValueError, LookupError
    kinds: tuple[type[BaseException], ...] = *usual, *others
    try:
        yield
    except TypednnError:
        raise
    except MemoryError as error:
        raise FileFormatError(
            f"{shown}: expected a table that memory has room for, found none: {_reason(error)}"
        ) from None
    except kinds as error:
        raise FileFormatError(f"{shown}: {expected}: {_reason(error)}") from None


def _reason(error: BaseException) -> str:
    """Returns the first line of a message."""
    lines = str(error).splitlines()
    return lines[0][:MAX_REASON] if lines else type(error).__name__


def _is_known(kind: pa.DataType) -> bool:
    """Tells whether values of this type are numbers, booleans, dates, text, or all missing."""
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        return _is_known(kind.value_type) and not pa.types.is_dictionary(kind.value_type)
    types = pa.types
    known = (
        *(types.is_boolean, types.is_integer, types.is_floating, types.is_decimal128, types.is_null),
        *(types.is_date, types.is_timestamp, types.is_string, types.is_large_string, types.is_string_view),
    )
    return any(each(kind) for each in known)


def _plain(series: pl.Series, *, words_stay: bool = False) -> object:
    import polars as pl

    if series.dtype == pl.String or (series.dtype == pl.Boolean and series.null_count()):
        words_stay = words_stay and series.dtype == pl.String
        return as_values(series.cast(pl.String), True, ".", words_stay=words_stay)
    if series.dtype.is_decimal():
        return series.cast(pl.Float64).to_numpy()
    return series.to_numpy()

"""Reads Parquet and Arrow files (Feather version 2) by polars."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from typednn.data.readers.opening import Source
from typednn.data.readers.packing import as_values
from typednn.data.table import CHUNK_VALUES, Column, Table, as_column, checked_table
from typednn.errors import FileFormatError, MissingExtraError
from typednn.formats.temporary import TemporaryCopy

if TYPE_CHECKING:
    import polars as pl

T = TypeVar("T")


class ArrowFile:
    """A Parquet or Arrow file, which can be read again and again, a chunk at a time.

    Attributes:
        head: a table without rows: the names, and the source.

    Raises:
        FileFormatError: the file is damaged, or Feather version 1.
        MissingExtraError: polars is not installed.
    """

    def __init__(self, source: Source) -> None:
        try:
            import polars as pl
        except ImportError:
            raise MissingExtraError("polars", "reading tables", "tables") from None
        if source.format == "feather":
            raise FileFormatError(
                f"{source.shown}: expected Arrow (Feather version 2), found Feather version 1; "
                "pyarrow.feather.write_feather writes version 2"
            )
        self._source = source
        content = source.content.file if isinstance(source.content, TemporaryCopy) else source.content
        with self._damage():
            self._frame = (pl.scan_parquet if source.format == "parquet" else pl.scan_ipc)(
                content or source.path
            )
            names = tuple(self._frame.collect_schema().names())
        self.head: Table = Table(names, (), source.shown)

    def table(self) -> Table:
        """Reads the whole file.

        Raises:
            FileFormatError: it is damaged.
            ArrayTypeError: a column holds neither numbers, booleans, dates nor text.
            DataError: there are no rows.
        """
        with self._damage():
            frame = self._frame.collect()
        columns = tuple(self.values(each, as_text=True, words_stay=False) for each in frame.get_columns())
        return checked_table(Table(self.head.names, columns, self.head.source))

    def count_values(self) -> int:
        """Counts the values."""
        return len(self.head.names) * self._count()

    def settled(self, read: Callable[[], T]) -> T:
        """Calls what reads chunks."""
        return read()

    def frames(self, *, mixed: bool = False) -> Iterator[pl.DataFrame]:  # noqa: ARG002 (as Delimited)
        """Yields the rows of one chunk after the other.

        Raises:
            FileFormatError: the file is damaged.
        """
        rows = max(1, CHUNK_VALUES // max(1, len(self.head.names)))
        for first in range(0, self._count(), rows):
            with self._damage():
                frame = self._frame.slice(first, rows).collect()
            yield frame

    def values(self, series: pl.Series, *, as_text: bool, words_stay: bool) -> Column:  # noqa: ARG002 (as Delimited)
        """Makes a column of what was read."""
        return as_column(_plain(series, words_stay=words_stay), series.name, self._source.shown)

    def _count(self) -> int:
        import polars as pl

        with self._damage():
            return int(self._frame.select(pl.len()).collect().item())

    @contextmanager
    def _damage(self) -> Generator[None]:
        """Raises FileFormatError for what polars raises about a damaged file."""
        import polars as pl

        try:
            yield
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise FileFormatError(
                f"{self._source.shown}: expected a complete {self._source.format} file, found a damaged one: "
                f"{reason}"
            ) from None


def _plain(series: pl.Series, *, words_stay: bool = False) -> object:
    import polars as pl

    if isinstance(series.dtype, pl.Categorical | pl.Enum | pl.String):
        return as_values(series.cast(pl.String), True, ".", words_stay=words_stay)
    if series.dtype == pl.Boolean and series.null_count():
        return as_values(series.cast(pl.String), True, ".")
    if series.dtype.is_decimal():
        return series.cast(pl.Float64).to_numpy()
    return series.to_numpy()

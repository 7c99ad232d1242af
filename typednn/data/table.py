"""Tables: named columns of numbers, booleans, dates or text, of a file or of a DataFrame.

A column is an array `(n_samples,)`: numbers with NaN for what is missing, booleans, dates (datetime64, NaT),
or objects that are text, with None for what is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import isnan
from typing import Protocol, TypeAlias, TypeGuard, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from typednn.errors import ArrayTypeError, DataError, ShapeError, UnknownNameError
from typednn.validation.arrays import ArrayExport

Column: TypeAlias = NDArray[np.generic]

CHUNK_VALUES = 2**20
"""The number of values that are read or transformed at a time."""

MAX_NAMES = 8
"""The number of names that a message lists."""


@dataclass(frozen=True, slots=True)
class Table:
    """Named columns of one length.

    Attributes:
        names: the names of the columns, all different.
        columns: the columns, each `(n_samples,)`.
        source: what messages call the table: the file.
        named: whether the names are those of the data; else they are `column 1`, ….
        pixels: whether the columns are the pixels of images.
        notes: what was decided by rule while the table was read, as sentences.
        line: returns the line of the file in which a row begins; None where there are no lines.
        first: the number of rows of the file that come before these, by which `place` and `line` count.
    """

    names: tuple[str, ...]
    columns: tuple[Column, ...]
    source: str = "the table"
    named: bool = True
    pixels: bool = False
    notes: tuple[str, ...] = ()
    line: Callable[[int], int] | None = field(default=None, repr=False, compare=False)
    first: int = 0

    def __len__(self) -> int:
        """Returns the number of rows."""
        return len(self.columns[0]) if self.columns else 0

    def __getitem__(self, name: str) -> Column:
        """Returns the column of a name.

        Raises:
            UnknownNameError: there is no such column.
        """
        return self.columns[self.index(name)]

    def index(self, name: str) -> int:
        """Returns the place of a column that is given by its name or number, from 1; -1 is the last.

        Raises:
            UnknownNameError: there is no such column.
        """
        if name in self.names:
            return self.names.index(name)
        try:
            number = int(name)
        except ValueError:
            number = 0
        count = len(self.names)
        if not 1 <= abs(number) <= count:
            many = count > 2 * MAX_NAMES
            shown = [*self.names[:MAX_NAMES], "…", *self.names[-MAX_NAMES:]] if many else self.names
            raise UnknownNameError(f"column of {self.source}", name, shown)
        return number - 1 if number > 0 else number + count

    def place(self, row: int) -> str:
        """Returns what messages call the place of a row: the file and its line, or the number of the row."""
        if self.line is not None:
            return f"{self.source}, line {self.line(self.first + row)}"
        return f"{self.source}, row {self.first + row + 1}"

    def rows(self, index: NDArray[np.integer] | slice) -> Table:
        """Returns the table of some rows."""
        numbers = np.arange(len(self))[index]
        line, start = self.line, self.first
        return Table(
            self.names,
            tuple(column[index] for column in self.columns),
            self.source,
            self.named,
            self.pixels,
            line=None if line is None else lambda row: line(start + int(numbers[row])),
        )

    def chunks(self) -> Iterator[Table]:
        """Yields the rows, some at a time, as views."""
        rows = max(1, CHUNK_VALUES // len(self.names))
        for first in range(0, len(self), rows):
            columns = tuple(column[first : first + rows] for column in self.columns)
            yield replace(self, columns=columns, first=self.first + first)


@runtime_checkable
class DataFrameLike(Protocol):
    """A DataFrame of pandas or polars: columns by name."""

    @property
    def columns(self) -> Iterable[object]:
        """The names of the columns."""
        ...

    def __getitem__(self, name: str, /) -> object: ...


@runtime_checkable
class ArrowTableLike(Protocol):
    """A table or record batch of pyarrow: columns by name."""

    @property
    def column_names(self) -> list[str]:
        """The names of the columns."""
        ...

    def __getitem__(self, name: str, /) -> object: ...


@runtime_checkable
class ArrayLike2D(Protocol):
    """What NumPy makes an array of."""

    def __array__(self) -> NDArray[np.generic]: ...


TableLike: TypeAlias = (
    Table
    | DataFrameLike
    | ArrowTableLike
    | Mapping[str, object]
    | NDArray[np.generic]
    | ArrayLike2D
    | ArrayExport
)
"""What `table_of` takes: DataFrames of pandas and polars, tables of pyarrow, columns by name, matrices."""


def table_of(data: TableLike, source: str = "the table") -> Table:
    """Makes a table of a DataFrame (pandas, polars), a table of pyarrow, columns by name, or an array.

    Args:
        data: the data; an array is `(n_samples, n_columns)`, or has named fields.
        source: what messages call it.

    Raises:
        ArrayTypeError: it is none of these, or a column holds neither numbers, booleans, dates nor text.
        ShapeError: an array is not a matrix, or columns differ in length.
        DataError: there are no rows, or two columns have one name.

    >>> table_of({"a": [1, 2], "b": ["x", None]}).columns
    (array([1, 2]), array(['x', None], dtype=object))
    """
    if isinstance(data, Table):
        return data
    if _is_array(data):
        return matrix_table(data, source)
    if _is_mapping(data):
        return _named(data.keys(), data, source)
    if isinstance(data, ArrowTableLike):
        return _named(data.column_names, data, source)
    if isinstance(data, DataFrameLike):
        return _named(data.columns, data, source)
    if isinstance(data, ArrayLike2D | ArrayExport):
        return matrix_table(np.asarray(data), source)
    raise ArrayTypeError(
        f"{source} must be a DataFrame, an Arrow table, a dict of columns or a matrix, not "
        f"{type(data).__name__}; np.array(...) makes a matrix of rows of numbers"
    )


def _is_array(data: object) -> TypeGuard[NDArray[np.generic]]:
    return isinstance(data, np.ndarray)


def _is_mapping(data: object) -> TypeGuard[Mapping[str, object]]:
    return isinstance(data, Mapping)


class _HasColumns(Protocol):
    def __getitem__(self, name: str, /) -> object: ...


def _named(names: Iterable[object], data: _HasColumns, source: str) -> Table:
    known = list(names)
    shown = tuple(str(name) for name in known)
    if len(set(shown)) < len(shown):
        twice = next(name for name in shown if shown.count(name) > 1)
        raise DataError(f"{source}: expected different names of columns, found {twice!r} twice")
    columns = [as_column(data[cast("str", name)], str(name), source) for name in known]
    return checked_table(Table(shown, tuple(columns), source))


def checked_table(table: Table) -> Table:
    """Returns a table that has rows and columns of one length.

    Raises:
        ShapeError: columns differ in length.
        DataError: there are no columns or rows.
    """
    lengths = {len(column) for column in table.columns}
    if len(lengths) > 1:
        raise ShapeError(
            f"{table.source}: expected columns of one length, found the lengths {sorted(lengths)}"
        )
    if not len(table):
        raise DataError(f"{table.source}: expected rows of values, found none")
    return table


def matrix_table(data: NDArray[np.generic], source: str, *, pixels: bool = False) -> Table:
    """Makes a table of an array `(n_samples, n_columns)`, or of one whose dtype has named fields.

    Raises:
        ShapeError, DataError, ArrayTypeError: as `table_of`.
    """
    if data.dtype.names is not None:
        return _named(data.dtype.names, cast("_HasColumns", data), source)
    if isinstance(data, np.ma.MaskedArray):
        raise ArrayTypeError(
            f"{source} is a masked array, and its mask would be ignored; .filled(np.nan) helps"
        )
    if data.ndim != 2:
        raise ShapeError(
            f"{source}: expected samples of the shape (n_samples, n_features), found {data.shape}"
            + ("; .reshape(1, -1) makes one sample of it" if data.ndim == 1 else "")
        )
    names = tuple(f"column {k}" for k in range(1, data.shape[1] + 1))
    columns = tuple(as_column(column, name, source) for name, column in zip(names, data.T, strict=True))
    return checked_table(Table(names, columns, source, named=False, pixels=pixels))


def as_column(values: object, name: str, source: str) -> Column:
    """Makes a column of numbers, booleans, dates or text.

    Raises:
        ArrayTypeError: the values are something else.
    """
    column: Column = np.asarray(values)
    if column.ndim != 1:
        raise ShapeError(f"{source}: column {name!r}: expected one value for each row, found {column.shape}")
    if column.dtype.kind in "fiubM":
        return column
    if column.dtype.kind in "UT":
        return column.astype(object)
    if column.dtype.kind == "O":
        return _objects(column, name, source)
    raise ArrayTypeError(
        f"{source}: column {name!r}: expected numbers, booleans, dates or text, found {column.dtype}"
    )


def _objects(column: Column, name: str, source: str) -> Column:
    """Makes numbers or text of Python objects; None, NaN and pandas' NA are missing."""
    values: list[object] = column.tolist()
    known = [value for value in values if not _is_missing(value)]
    if all(isinstance(value, bool | np.bool) for value in known):
        words = [None if _is_missing(value) else str(bool(value)).lower() for value in values]
        return np.array(words, object)
    if all(isinstance(value, float | int | np.number) for value in known):
        return np.array([np.nan if _is_missing(value) else value for value in values], np.float64)
    if all(isinstance(value, str) for value in known):
        return np.array([None if _is_missing(value) else value for value in values], object)
    import datetime as dt

    if all(isinstance(value, dt.date | np.datetime64) for value in known):
        return np.array([None if _is_missing(value) else value for value in values], "datetime64[us]")
    odd = next((value for value in known if not isinstance(value, str | float | int)), known[0])
    raise ArrayTypeError(
        f"{source}: column {name!r}: expected numbers, booleans, dates or text, found {type(odd).__name__}; "
        f"str(...) makes text of it"
    )


def _is_missing(value: object) -> bool:
    return (
        value is None
        or (isinstance(value, float) and isnan(value))
        or type(value).__name__
        in {
            "NAType",
            "NaTType",
        }
    )


def is_text(column: Column) -> TypeGuard[NDArray[np.object_]]:
    """Tells whether a column holds text."""
    return column.dtype.kind == "O"


def missing_in(column: Column) -> NDArray[np.bool_]:
    """Returns which values of a column are missing, `(n_samples,)`."""
    if is_text(column):
        return np.array([value is None for value in column.tolist()], np.bool_)
    if column.dtype.kind == "f":
        missing: NDArray[np.bool_] = np.isnan(column.astype(np.float64, copy=False))
        return missing
    if column.dtype.kind == "M":
        no_time: NDArray[np.bool_] = np.isnat(column.astype("datetime64[us]"))
        return no_time
    return np.zeros(len(column), np.bool_)


def listed(names: Iterable[str]) -> str:
    """Returns some names for a message, and `…` where there are more."""
    every = list(names)
    return ", ".join(map(repr, every[:MAX_NAMES])) + (", …" if len(every) > MAX_NAMES else "")

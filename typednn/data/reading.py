"""Reads data files into tables: CSV and its relatives, Parquet, Arrow, .npz, .npy, and IDX files.

The first bytes of a file determine its format, not its name.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from typednn.data.large_tables import Whole, sample_rows, sampled, tables
from typednn.data.readers.arrow_files import ArrowFile
from typednn.data.readers.delimited import ChooseText, Delimited
from typednn.data.readers.dialects import Dialect
from typednn.data.readers.idx_files import check_labels, idx_array, labels_path
from typednn.data.readers.numpy_files import npy_array, npz_arrays
from typednn.data.readers.opening import Source, open_source
from typednn.data.table import Table, as_column, matrix_table
from typednn.errors import DataError, FileFormatError, SettingError, ShapeError

USUAL = Dialect()

Choose = Callable[[Table], Collection[int]]
"""Returns, given a table without rows, the places of some columns."""


def every_place(table: Table) -> Collection[int]:
    """Returns the places of all columns."""
    return range(len(table.names))


@dataclass(frozen=True, slots=True)
class Data:
    """A table, and which of its columns are the targets.

    Attributes:
        table: the table.
        targets: the names of the target columns.
        labels: whether integers in the target are labels of classes, however many there are.
        whole: the file, where the table is a sample of its rows because it is larger than memory.
    """

    table: Table
    targets: tuple[str, ...]
    labels: bool = False
    whole: Whole | None = None

    @property
    def features(self) -> tuple[str, ...]:
        """The names of the other columns."""
        return tuple(name for name in self.table.names if name not in self.targets)


def read_data(
    path: Path, *, target: str | None = None, labels: Path | None = None, dialect: Dialect = USUAL
) -> Data:
    """Reads samples and targets.

    Args:
        path: the file; `-` is the standard input.
        target: the name or number of the target column, or several between commas; by default the last.
        labels: the IDX file with labels; by default the one that MNIST's naming puts beside the images.
        dialect: what is known about delimited text.

    Raises:
        FileFormatError: the file, or a line of it, is missing, truncated or of another format.
        DataError: a value is not finite, or there are no samples.
        UnknownNameError: there is no such column.
        SettingError: an option does not apply to this kind of file.
        ShapeError: the numbers of samples and targets differ, or an array is not a table.
        MissingExtraError: polars is not installed.
    """
    source = open_source(path)
    if target is not None and source.format in {"npz", "idx"}:
        raise SettingError(
            f"{source.shown}: a target column can be chosen in tables; this is {source.format}, whose "
            "targets are an array of their own"
        )
    if labels is not None and source.format != "idx":
        raise SettingError(
            f"{source.shown}: labels in a file of their own go with IDX files; this is {source.format}"
        )
    if source.format == "npz":
        arrays = npz_arrays(source, ("x", "y"))
        if "y" not in arrays:
            raise FileFormatError(f"{source.shown}: expected the arrays 'x' and 'y', found only 'x'")
        return _with_targets(_samples(arrays["x"], source), arrays["y"], f"{source.shown}: y")
    if source.format == "idx":
        images, place = idx_array(source.buffer(), source.shown), labels or labels_path(path)
        y = check_labels(idx_array(open_source(place).buffer(), str(place)), str(place))
        return _with_targets(_samples(images, source), y, str(place), labels=True)

    def chosen(table: Table) -> list[int]:
        return [table.index(each) for each in _split(target, table.names)]

    whole = None
    if source.format == "npy":
        table = matrix_table(npy_array(source), source.shown)
    else:
        file = _opened(source, dialect, chosen)
        rows = sample_rows(file)
        if rows is None:
            table = file.table()
        else:
            table, whole = file.settled(lambda: sampled(file, chosen(file.head), rows))
    places = chosen(table)
    if len(set(places)) < len(places):
        raise SettingError(f"--target {target}: a column is named twice")
    return Data(table, tuple(table.names[k] for k in places), whole=whole)


def read_tables(
    path: Path,
    *,
    dialect: Dialect = USUAL,
    numbers: Choose = every_place,
    used: Choose = every_place,
) -> Iterator[Table]:
    """Reads a table, a chunk of rows at a time: of an .npz file the array x, of an IDX file the images.

    Args:
        path: the file; `-` is the standard input.
        dialect: what is known about delimited text.
        numbers: returns the places of columns that are numbers, if they can be; words of others are kept as
            they are written. It is given a table without rows.
        used: returns the places of the columns that are needed; others may be 0.

    Raises:
        FileFormatError, DataError, ShapeError, MissingExtraError: as `read_data`.
    """
    source = open_source(path)
    if source.format == "npz":
        yield from _samples(npz_arrays(source, ("x",))["x"], source).chunks()
    elif source.format == "idx":
        yield from _samples(idx_array(source.buffer(), source.shown), source).chunks()
    elif source.format == "npy":
        yield from matrix_table(npy_array(source), source.shown).chunks()
    else:
        file = _opened(source, dialect, lambda head: {*every_place(head)} - {*numbers(head)})
        yield from tables(file, numbers(file.head), used(file.head))


def _split(target: str | None, names: Sequence[str]) -> list[str]:
    """Returns the names of the target columns."""
    if target is None:
        return [names[-1]]
    return [target] if target in names else [part.strip() for part in target.split(",")]


def _opened(source: Source, dialect: Dialect, as_text: ChooseText) -> Delimited | ArrowFile:
    return Delimited(source, dialect, as_text) if source.format == "csv" else ArrowFile(source)


def _samples(x: NDArray[np.generic], source: Source) -> Table:
    """Makes a table of samples, such as images, `(n_samples, …)`."""
    if x.dtype.kind not in "fiub":
        raise DataError(f"{source.shown}: expected numbers as features, found {x.dtype}")
    if x.ndim < 2 or x.size == 0:
        raise ShapeError(
            f"{source.shown}: expected samples of the shape (n_samples, n_features), found {x.shape}"
        )
    return matrix_table(x.reshape(len(x), -1), source.shown, pixels=x.ndim > 2)


def _with_targets(table: Table, y: NDArray[np.generic], shown: str, *, labels: bool = False) -> Data:
    """Adds the columns of the targets `(n_samples,)` or `(n_samples, n_outputs)` to a table."""
    if (
        y.dtype.kind not in "fiubU"
        or y.ndim not in {1, 2}
        or y.size == 0
        or (y.dtype.kind == "U" and y.ndim > 1)
    ):
        raise ShapeError(
            f"{shown}: expected targets of the shape (n_samples,) or (n_samples, n_outputs), found {y.dtype} "
            f"of the shape {y.shape}"
        )
    if len(table) != len(y):
        raise ShapeError(f"{shown} has {len(y)} targets for the {len(table)} samples of {table.source}")
    targets = y.reshape(len(y), -1).T
    names = tuple(["y"] if len(targets) == 1 else [f"y {k}" for k in range(1, len(targets) + 1)])
    columns = tuple(as_column(column, name, shown) for name, column in zip(names, targets, strict=True))
    return Data(
        Table(table.names + names, table.columns + columns, table.source, False, table.pixels), names, labels
    )

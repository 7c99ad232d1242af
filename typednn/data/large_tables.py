"""Tables larger than memory: a random sample of the rows, and all rows as features in files.

The file is read twice, in chunks. The first time a sample is taken, by which columns are chosen, transforms
fitted and models measured. The second time all other rows are transformed, and written to temporary files
as the arrays of a training, of which blocks are read in random order.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from tempfile import gettempdir
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from typednn.data.columns import NumberColumn
from typednn.data.preprocessing import Preprocessing
from typednn.data.table import Column, Table
from typednn.data.targets import Classes, numbers_of
from typednn.errors import DataError, SettingError
from typednn.formats.temporary import available_memory, nameless_file, write_all

if TYPE_CHECKING:
    import polars as pl

BYTES_PER_VALUE = 24
"""The memory that a training takes for each value of a table: 8 as it is read, twice, and 4 as a feature,
twice."""

SAMPLE_ROWS = 200_000
"""The number of rows of a sample, unless memory allows fewer."""

MIN_SAMPLE_ROWS = 2_000

SAMPLE_FRACTION = 8
"""A sample takes at most this part of the memory: an eighth."""

MAX_RARE = 1_000
"""The number of different words of a target of which the sample has each at least once."""


class Frames(Protocol):
    """A file that is read in chunks, again and again."""

    @property
    def head(self) -> Table:
        """A table without rows: names, source and notes."""
        ...

    def count_values(self) -> int:
        """Returns about how many values there are."""
        ...

    def frames(self, *, mixed: bool = False) -> Iterator[pl.DataFrame]:
        """Yields the rows of one chunk after the other.

        Args:
            mixed: whether a column may be numbers in one chunk, and text in another.
        """
        ...

    def values(self, series: pl.Series, *, as_text: bool, words_stay: bool) -> Column:
        """Makes a column of what was read."""
        ...


@dataclass(frozen=True, slots=True)
class Whole:
    """A file whose table is larger than memory.

    Attributes:
        file: the file.
        count: the number of rows of the file.
        rows: those of them that the sample has, `(n_samples,)`.
    """

    file: Frames
    count: int
    rows: NDArray[np.int64]

    @contextmanager
    def features(
        self, preprocessing: Preprocessing, without: NDArray[np.int64]
    ) -> Generator[tuple[NDArray[np.float32], NDArray[Any]]]:
        """Transforms all rows but some; returns memory maps of inputs and targets while the context lasts.

        Args:
            preprocessing: the transforms.
            without: the places in the sample of the rows that are left out.

        Raises:
            DataError: a value does not fit, or the number of rows has changed.
            SettingError: there is no room in the folder of temporary files.
        """
        left_out, width = self.rows[without], len(preprocessing.feature_names)
        shape = (self.count - len(left_out), width)
        target = preprocessing.target
        outputs = 1 if isinstance(target, Classes) else len(target.mean)
        needed = shape[0] * (4 * width + (8 if isinstance(target, Classes) else 4 * outputs))
        folder = gettempdir()
        free = shutil.disk_usage(folder).free
        if needed > free:
            raise SettingError(
                f"{self.file.head.source}: expected {needed / 1e9:.1f} GB of room for its features in "
                f"{folder}, found {free / 1e9:.1f} GB; TMPDIR names another folder"
            )
        count = 0
        with nameless_file() as x, nameless_file() as y:
            for inputs, targets in self._transformed(preprocessing, left_out):
                write_all(x, inputs.data)
                write_all(y, targets.data)
                count += len(inputs)
            if count != shape[0]:
                raise DataError(
                    f"{self.file.head.source}: expected {self.count:,} rows, as when it was read first, "
                    f"found {count + len(left_out):,}; it has changed since"
                )
            features = np.memmap(x, np.float32, "r", shape=shape)
            if isinstance(target, Classes):
                yield features, np.memmap(y, np.int64, "r", shape=shape[:1])
            else:
                yield features, np.memmap(y, np.float32, "r", shape=(shape[0], outputs))

    def tables(self, preprocessing: Preprocessing, targets: Sequence[str]) -> Iterator[Table]:
        """Yields all rows, a chunk at a time, for a model that has this preprocessing.

        Args:
            preprocessing: the transforms.
            targets: the names of the target columns.

        Raises:
            FileFormatError, ShapeError: the file is damaged, or lacks a column.
        """
        head = self.file.head
        places = [head.names.index(name) for name in targets]
        numbers = number_places(preprocessing, head)
        if not isinstance(preprocessing.target, Classes):
            numbers |= set(places)
        return tables(self.file, numbers, {*places, *preprocessing.places(head)})

    def _transformed(
        self, preprocessing: Preprocessing, left_out: NDArray[np.int64]
    ) -> Iterator[tuple[NDArray[np.float32], NDArray[Any]]]:
        """Yields inputs and targets, a chunk at a time."""
        targets = preprocessing.target_names
        for table in self.tables(preprocessing, targets):
            ends = np.searchsorted(left_out, [table.first, table.first + len(table)])
            kept = np.delete(np.arange(len(table)), left_out[slice(*ends)] - table.first)
            if not len(kept):
                continue
            inputs = preprocessing.apply(table, np.dtype(np.float32), kept)
            part = table.rows(kept)
            found = [part[name] for name in targets]
            if isinstance(preprocessing.target, Classes):
                yield inputs, preprocessing.target.labels(found[0], targets[0], part.place)
            else:
                scaled = numbers_of(found, targets, part.place, vary=False)
                yield inputs, preprocessing.target.standardize(scaled, np.dtype(np.float32))


def number_places(preprocessing: Preprocessing, head: Table) -> set[int]:
    """Returns the places of the features that are numbers.

    Raises:
        ShapeError: a column is missing.
    """
    places = zip(preprocessing.features, preprocessing.places(head), strict=True)
    return {place for each, place in places if isinstance(each, NumberColumn)}


def tables(file: Frames, numbers: Collection[int], used: Collection[int]) -> Iterator[Table]:
    """Yields all rows of a file, a chunk at a time.

    Args:
        file: the file.
        numbers: the places of columns that are numbers, if they can be; words of others are kept as written.
        used: the places of columns that are needed; others are 0.

    Raises:
        FileFormatError, DataError: the file is damaged, or has no rows.
    """
    first = 0
    for frame in file.frames(mixed=True):
        columns = [
            file.values(series, as_text=False, words_stay=k not in numbers)
            if k in used
            else np.zeros(len(frame))
            for k, series in enumerate(frame.get_columns())
        ]
        yield replace(file.head, columns=tuple(columns), first=first)
        first += len(frame)
    if not first:
        raise DataError(f"{file.head.source}: expected rows of values, found none")


class _Kept(NamedTuple):
    """Rows of a chunk that a sample may keep: their keys, numbers, and which are the first of their class."""

    keys: NDArray[np.float64]
    rows: NDArray[np.int64]
    first: NDArray[np.bool_]
    frame: pl.DataFrame

    def below(self, most: float) -> _Kept:
        """Returns those whose keys are below a number, or that are the first of their class."""
        places = np.flatnonzero((self.keys < most) | self.first)
        return _Kept(self.keys[places], self.rows[places], self.first[places], self.frame[places])


def sample_rows(file: Frames) -> int | None:
    """Returns the number of rows to sample of a file whose training takes more than the memory; else None."""
    memory = available_memory()
    if memory is None or file.count_values() * BYTES_PER_VALUE <= memory:
        return None
    rows = memory // (SAMPLE_FRACTION * BYTES_PER_VALUE * len(file.head.names))
    return min(SAMPLE_ROWS, max(MIN_SAMPLE_ROWS, rows))


def sampled(file: Frames, targets: Sequence[int], rows: int, seed: int = 0) -> tuple[Table, Whole]:
    """Reads a file larger than memory; returns a table of some of its rows, and what reads all of them.

    Each row is kept with the same probability, which is halved whenever twice as many as wanted are kept. Of
    each class the first row is always kept, if there are few.

    Args:
        file: the file.
        targets: the places of the target columns.
        rows: the number of rows that are wanted; up to twice as many are kept.
        seed: the seed of the choice.

    Raises:
        DataError: there are no rows.
    """
    import polars as pl

    random = np.random.default_rng(seed)
    kept: list[_Kept] = []
    seen: set[object] = set()
    count, most = 0, 1.0
    for frame in file.frames():
        first = np.zeros(len(frame), np.bool_)
        if len(targets) == 1 and len(seen) <= MAX_RARE:
            target = frame.to_series(targets[0])
            for word in set(target.unique().to_list()) - seen:
                seen.add(word)
                if word is not None:
                    first[(target == word).arg_max()] = True
        rows_of = np.arange(count, count + len(frame))
        kept.append(_Kept(random.random(len(frame)), rows_of, first, frame).below(most))
        count += len(frame)
        while sum(int((each.keys < most).sum()) for each in kept) > 2 * rows:
            most /= 2
            kept = [each.below(most) for each in kept]
    if not count:
        raise DataError(f"{file.head.source}: expected rows of values, found none")
    if len(seen) > MAX_RARE:
        kept = [each._replace(first=np.zeros_like(each.first)).below(most) for each in kept]
    sample = np.concatenate([each.rows for each in kept])
    columns = pl.concat([each.frame for each in kept]).get_columns()
    values = [file.values(series, as_text=k in targets, words_stay=False) for k, series in enumerate(columns)]
    head = file.head
    lines = head.line
    note = (
        f"{head.source} is larger than memory: columns are chosen, fitted and measured by a sample of "
        f"{len(sample):,} of its {count:,} rows"
    )
    table = replace(
        head,
        columns=tuple(values),
        notes=(*head.notes, note),
        line=None if lines is None else _at(lines, sample),
    )
    return table, Whole(file, count, sample)


def _at(lines: Callable[[int], int], rows: NDArray[np.int64]) -> Callable[[int], int]:
    """Returns what finds the lines of some rows, given that of all rows."""
    return lambda row: lines(int(rows[row]))

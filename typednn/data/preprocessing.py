"""The fitted preprocessing of a table: transforms of columns and target, saved with the network as data."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor

import numpy as np
from numpy.typing import NDArray
from typednn_kernels.arrays import F, Matrix

from typednn.data.columns import ColumnTransform
from typednn.data.table import Column, Table, TableLike, listed, table_of
from typednn.data.targets import Classes, Scale
from typednn.errors import DataError, SettingError, ShapeError
from typednn.validation.arrays import Labels

CHUNK_ROWS = 4096
"""The number of samples that are transformed in float64 at a time, so that they take little memory."""


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """The preprocessing of the data of a training, saved with the network so that it predicts from raw data.

    Attributes:
        features: the transforms of the columns; their features in this order are the network's inputs.
        target: the classes, or the scale of the targets.
        target_names: the names of the target columns, or none if the data had no names.
        columns: the names of all columns of the training data, which tell the places of features in tables
            without names.
        named: whether these names are those of the data.
    """

    features: tuple[ColumnTransform, ...]
    target: Classes | Scale
    target_names: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    named: bool = True

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The names of the network's inputs."""
        return tuple(name for transform in self.features for name in transform.features)

    def apply(self, data: TableLike, dtype: np.dtype[F], rows: NDArray[np.int64] | None = None) -> Matrix[F]:
        """Transforms raw data; returns the network's inputs `(n_samples, n_features)`.

        Args:
            data: a DataFrame, an Arrow table, columns by name, or an array of the columns. Further columns
                are passed over.
            dtype: the dtype of the result.
            rows: the indices of the samples; by default all.

        Raises:
            ShapeError: a column is missing, or an array has another number of columns.
            DataError: a value does not fit, or is beyond the dtype when it is standardised.
        """
        table = table_of(data)
        columns = self.select(table)
        widths = [len(transform.features) for transform in self.features]
        starts = np.cumsum([0, *widths]).tolist()
        count = len(table) if rows is None else len(rows)
        inputs: Matrix[F] = np.empty((count, starts[-1]), dtype)
        chunk = np.empty((min(CHUNK_ROWS, count), starts[-1]))
        for first in range(0, count, CHUNK_ROWS):
            last = min(first + CHUNK_ROWS, count)
            taken = slice(first, last) if rows is None else rows[first:last]
            part = chunk[: last - first]

            def place(row: int, first: int = first) -> str:
                return table.place(first + row if rows is None else int(rows[first + row]))

            for column, transform, start, width in zip(columns, self.features, starts, widths, strict=False):
                transform.apply(column[taken], part[:, start : start + width], place)
            with np.errstate(over="ignore"):
                inputs[first:last] = part
            beyond = ~np.isfinite(inputs[first:last])
            if beyond.any():
                row, k = np.argwhere(beyond)[0]
                raise DataError(
                    f"{place(row)}: {self.feature_names[k]!r} is {part[row, k]:.3g} deviations from the "
                    f"mean, which is beyond what {dtype} can hold"
                )
        return inputs

    def select(self, table: Table) -> list[Column]:
        """Finds the columns of the features in a table: by name, or where there are no names by place.

        Raises:
            ShapeError: a column is missing, or the table has another number of columns.
        """
        wanted = [transform.name for transform in self.features]
        if self.named and table.named:
            absent = [name for name in wanted if name not in table.names]
            if absent:
                raise ShapeError(
                    f"{table.source}: expected the columns of the training data, found none named "
                    f"{listed(absent)}; its columns are {listed(table.names)}"
                )
            return [table[name] for name in wanted]
        every = self.columns or tuple(wanted)
        others = [name for name in every if name not in self.target_names]
        count = len(table.names)
        for names in (wanted, list(every), others):
            if count == len(names):
                return [table.columns[names.index(name)] for name in wanted]
        counts = sorted({len(wanted), len(others), len(every)})
        more = f", or {' or '.join(map(str, counts[1:]))} with those that are passed over" * (len(counts) > 1)
        raise ShapeError(f"{table.source}: expected {counts[0]} columns of features{more}, found {count}")


def held_out_split(
    samples: int, fraction: float, seed: int, labels: Labels | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draws the indices of training and held-out samples; given labels, the split is stratified by class.

    Raises:
        SettingError: the fraction is not between 0 and 1.
        DataError: there are so few samples that one of the two parts is empty.

    >>> training, held_out = held_out_split(10, 0.2, seed=0)
    >>> len(training), len(held_out)
    (8, 2)
    """
    if not 0 < fraction < 1:
        raise SettingError(f"the held-out fraction must lie between 0 and 1, not {fraction!r}")
    count = round(samples * fraction)
    if count < 1 or count >= samples:
        raise DataError(f"{samples} samples cannot be split with a held-out fraction of {fraction:g}")
    random = np.random.default_rng(seed)
    order = random.permutation(samples)
    if labels is not None:
        order = order[np.argsort(labels[order], kind="stable")]
    held = np.zeros(samples, np.bool)
    held[[floor((k + 0.5) * samples / count) for k in range(count)]] = True
    return random.permutation(order[~held]), np.sort(order[held])


def folds_of(samples: int, count: int, seed: int, labels: Labels | None = None) -> list[NDArray[np.int64]]:
    """Draws the indices of `count` folds, stratified by class if there are labels.

    Raises:
        SettingError: there are fewer than 2 folds, or fewer samples than folds.
    """
    if not 2 <= count <= samples:
        raise SettingError(f"cross-validation needs 2 to {samples} folds for {samples} samples, not {count}")
    order = np.random.default_rng(seed).permutation(samples)
    if labels is not None:
        order = order[np.argsort(labels[order], kind="stable")]
    return [np.sort(order[k::count]) for k in range(count)]


def others(samples: int, held: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns the indices that are not held out, in order."""
    return np.setdiff1d(np.arange(samples), held)

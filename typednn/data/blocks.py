"""Batches from data larger than memory: blocks of rows that follow each other, in random order, read ahead.

>>> import numpy as np
>>> from typednn import InputLayer, Network, OutputLayer
>>> x = np.linspace(-1, 1, 1000).reshape(-1, 1)
>>> network = Network([InputLayer(1), OutputLayer(1)], seed=0)
>>> batches = shuffled_blocks((x, 3 - x), block=200, seed=0)
>>> history = network.fit_batches(batches, epochs=20, batch_size=10, learning_rate=0.1)
>>> network.parameters.round(2)
array([-1.,  3.])
"""

from __future__ import annotations

import mmap
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, Protocol, TypeAlias, cast

import numpy as np
from numpy.lib.array_utils import byte_bounds
from numpy.typing import NDArray

from typednn.attributes import KnownAttributes
from typednn.data.readers.arrow_files import (
    check_rows,
    damage_of_arrow,
    open_parquet,
    rows_of_groups,
    validated,
)
from typednn.data.readers.idx_files import MAX_HEADER, idx_layout
from typednn.errors import DataError, FileFormatError, MissingExtraError, SettingError, ShapeError
from typednn.formats.atomic import PathLike
from typednn.initializers import Seed, generator
from typednn.validation.settings import check_count, check_path

Arrays: TypeAlias = tuple[NDArray[Any], ...]
"""Samples, targets and optional sample weights, of the same rows."""

NPY = b"\x93NUMPY"
"""What .npy files begin with."""


class Rows(Protocol):
    """Rows of samples, targets and optional weights that are read in parts, such as those of a file."""

    def bounds(self, block: int) -> Sequence[int]:
        """Returns where blocks of about this number of rows begin, and where the last one ends."""
        ...

    def read(self, first: int, last: int) -> Arrays:
        """Reads the rows from `first` to below `last`, which are bounds that follow each other."""
        ...


class ArrayRows:
    """The rows of arrays in memory, or of memory maps."""

    def __init__(self, arrays: Arrays) -> None:
        lengths = [len(each) for each in arrays]
        if len(set(lengths)) != 1:
            raise ShapeError(f"shuffled_blocks: arrays must have as many rows as each other, not {lengths}")
        self.arrays = arrays

    def bounds(self, block: int) -> Sequence[int]:
        """Returns where blocks of this number of rows begin, and where the last one ends."""
        count = len(self.arrays[0])
        return [*range(0, count, block), count]

    def read(self, first: int, last: int) -> Arrays:
        """Returns views of the rows; the disk begins to read those of memory maps, one after the other.

        Raises:
            DataError: the file of a memory map is shorter than when it was mapped.
        """
        parts = tuple(each[first:last] for each in self.arrays)
        for each in parts:
            _check_length(each)
            _read_ahead(each)
        return parts


def _pages(array: NDArray[Any]) -> mmap.mmap | None:
    """Returns the pages of a read-only memory map, which the file has, too, where the system takes advice."""
    pages: object = getattr(array, "_mmap", None)
    advised = getattr(array, "mode", "") == "r" and hasattr(mmap, "MADV_DONTNEED")
    return pages if advised and isinstance(pages, mmap.mmap) else None


def _check_length(array: NDArray[Any]) -> None:
    """Raises DataError if the file of a memory map has been truncated: reading it would end the process."""
    pages: object = getattr(array, "_mmap", None)
    if isinstance(pages, mmap.mmap) and pages.size() < len(pages):
        raise DataError(
            f"shuffled_blocks: {getattr(array, 'filename', None)} has been truncated since it was mapped, to "
            f"{pages.size()} bytes"
        )


def _read_ahead(array: NDArray[Any]) -> None:
    """Makes the disk read the part of a memory map that an array is, one page after the other."""
    if (pages := _pages(array)) is not None:
        begin, end = byte_bounds(array)
        base, _ = byte_bounds(np.frombuffer(pages, np.uint8))
        start = (begin - base) // mmap.PAGESIZE * mmap.PAGESIZE
        pages.madvise(mmap.MADV_WILLNEED, start, end - base - start)


def _release(array: NDArray[Any]) -> None:
    """Gives back the memory of all pages of a memory map that were read."""
    if (pages := _pages(array)) is not None:
        pages.madvise(mmap.MADV_DONTNEED)


class ParquetRows:
    """The rows of a Parquet file; a block is a row group. `parquet_rows` makes it."""

    def __init__(self, path: Path, features: Sequence[str], target: str, dtype: np.dtype[Any]) -> None:
        try:
            import pyarrow as pa
        except ImportError:
            raise MissingExtraError("pyarrow", "reading row groups of a Parquet file", "parquet") from None
        self.path: Path = path
        self.features: list[str] = list(features)
        self.target: str = target
        self.dtype: np.dtype[Any] = dtype
        content = pa.OSFile(str(path))
        with damage_of_arrow(str(path), "expected a Parquet file"):
            self._file = open_parquet(content)
            names: list[str] = self._file.schema_arrow.names
            counts = rows_of_groups(self._file)
        if missing := [name for name in [*features, target] if name not in names]:
            raise FileFormatError(f"{path}: expected the columns {missing}, found {names}")
        check_rows(counts, len(names), path.stat().st_size, str(path))
        self.groups: list[int] = [0, *accumulate(counts)]

    def bounds(self, block: int) -> Sequence[int]:  # noqa: ARG002 (as others have it)
        """Returns where row groups begin, and where the last one ends."""
        return list(dict.fromkeys(self.groups))

    def read(self, first: int, last: int) -> Arrays:
        """Reads a row group.

        Raises:
            FileFormatError: it is damaged, or a feature is no number.
        """
        group = bisect_right(self.groups, first) - 1  # groups without rows begin there, too
        expected = f"expected numbers in row group {group} of {self.features}"
        with damage_of_arrow(str(self.path), expected):
            table = validated(self._file.read_row_group(group, columns=[*self.features, self.target]))
            if table.num_rows != last - first:
                raise ValueError(f"{table.num_rows} rows, not {last - first}")
            x = np.empty((table.num_rows, len(self.features)), self.dtype)
            for k, name in enumerate(self.features):
                x[:, k] = table[name].to_numpy()
            return x, table[self.target].to_numpy()


def mapped(path: PathLike) -> NDArray[Any]:
    """Maps the array of a .npy or an uncompressed IDX file into memory, read-only: rows are read when used.

    Raises:
        FileFormatError: the file is neither, or truncated.
        OSError: the file cannot be read.
    """
    check_path("mapped: path", path)
    with Path(path).open("rb") as file:
        start, size = file.read(MAX_HEADER), file.seek(0, 2)
    if start.startswith(NPY):
        try:
            return cast("NDArray[Any]", np.load(path, mmap_mode="r", allow_pickle=False))
        except (ValueError, OverflowError) as error:
            raise FileFormatError(f"{path}: expected a .npy file: {error}") from None
    dtype, shape, offset = idx_layout(start, size, str(path))
    return np.memmap(path, dtype, "r", offset, shape)


def parquet_rows(path: PathLike, features: Sequence[str], target: str, dtype: type[Any] = np.float32) -> Rows:
    """Returns the rows of a Parquet file for `shuffled_blocks`, whose blocks are its row groups.

    Args:
        path: the file.
        features: the columns of the samples.
        target: the column of the targets, or of labels.
        dtype: the dtype of the samples.

    Raises:
        FileFormatError: the file is none, or lacks a column.
        MissingExtraError: pyarrow is not installed.
        OSError: the file cannot be read.
    """
    check_path("parquet_rows: path", path)
    return ParquetRows(Path(path), features, target, np.dtype(dtype))


class ShuffledBlocks(KnownAttributes):
    """Batches of blocks in random order, for `fit_batches`; `shuffled_blocks` makes them."""

    def __init__(self, rows: Rows, block: int, key: int) -> None:
        self._rows, self._key = rows, key
        bounds = rows.bounds(block)
        self._blocks = list(pairwise(bounds))
        if not self._blocks or bounds[-1] == 0:
            raise DataError("shuffled_blocks: there are no rows")
        self._passes = 0

    def __len__(self) -> int:
        """Returns the number of blocks."""
        return len(self._blocks)

    def __iter__(self) -> Iterator[Any]:
        """Yields all blocks in the order of the next pass."""
        self._passes += 1
        return self.after((self._passes - 1) * len(self))

    def after(self, count: int) -> Iterator[Any]:
        """Yields the blocks that follow the first `count` of all passes, to the end of a pass.

        While one is used, a thread reads the next.
        """
        from concurrent.futures import ThreadPoolExecutor

        number, first = divmod(count, len(self))
        order = np.random.default_rng([self._key, number]).permutation(len(self))[first:].tolist()
        with ThreadPoolExecutor(1) as pool:
            ahead = pool.submit(self._read, number, order[0])
            for k in order[1:]:
                block = ahead.result()
                ahead = pool.submit(self._read, number, k)
                yield block
                del block
            yield ahead.result()

    def _read(self, number: int, k: int) -> Arrays:
        """Reads a block, and shuffles its rows."""
        first, last = self._blocks[k]
        parts = self._rows.read(first, last)
        order = np.random.default_rng([self._key, number, k]).permutation(last - first)
        taken = tuple(np.asarray(part).take(order, 0) for part in parts)
        for part in parts:
            _release(part)
        return taken


def shuffled_blocks(source: Rows | Arrays, *, block: int = 8192, seed: Seed = None) -> ShuffledBlocks:
    """Returns an iterable for `Network.fit_batches` of rows in random order, from data larger than memory.

    Blocks of rows that follow each other are read in random order, each at once, and their rows shuffled:
    disks and memory maps read them at full speed. A row is shuffled with its block only, so that blocks
    should hold many batches, and rows should not be sorted. `fit_batches(blocks, batch_size=32)` makes steps
    of 32 rows. Memory: up to five blocks beside what the training needs: used, read ahead, being read, and
    copies on the way.

    A training that a `Checkpoint` resumes begins where it was, without reading what came before; with
    `steps_per_epoch`, an epoch may be a part of a pass.

    Args:
        source: a tuple of arrays or memory maps, `(x, y)` or `(x, y, sample_weight)`, such as
            `mapped` returns; or what `parquet_rows` returns, or another object with its methods.
        block: the number of rows of a block; a Parquet file has its row groups instead.
        seed: a seed or generator for the orders. Resuming needs the same integer.

    Raises:
        ShapeError: the arrays have different numbers of rows.
        DataError: there are no rows.
        SettingError: the source is something else, or a block has no rows.
    """
    check_count("block", block, 1)
    if isinstance(source, tuple):
        if not 2 <= len(source) <= 3 or not all(isinstance(each, np.ndarray) for each in source):
            raise SettingError(
                "shuffled_blocks: source must be a tuple (x, y) or (x, y, sample_weight) of arrays"
            )
        source = ArrayRows(source)
    elif not callable(getattr(source, "bounds", None)) or not callable(getattr(source, "read", None)):
        raise SettingError(
            f"shuffled_blocks: source must be a tuple of arrays, or have bounds and read, not be {source!r}"
        )
    return ShuffledBlocks(source, int(block), int(generator(seed).integers(1 << 62)))

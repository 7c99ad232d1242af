"""Sums over all ranks, and what keeps ranks in step: a failure of one, a wish to stop, other settings.

Every exchange of a training is a sum of vectors whose last elements count the ranks that want to stop and
those that have failed. A rank knows which vector the others will add up next; where it fails before that, it
adds zeros and its failure, and all ranks raise.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, NamedTuple, Self, cast

import numpy as np
from numpy.typing import NDArray
from typednn_kernels.arrays import F, Matrix, Vector

from typednn.errors import ProcessError, SettingError
from typednn.layers.workspace import new_vector
from typednn.processes.groups import Lender, Processes, check_processes

STOP, FAILED = -2, -1
"""The places of the two counts in each vector."""

FLAGS = 2
"""The number of elements after the values of a vector."""

MESSAGE_BYTES = 1000
"""The bytes of the message of a rank that has failed."""

DIGEST_BYTES = 6
"""The bytes of a digest, which a float64 holds exactly."""

COLUMNS = 4096
"""The number of integers in a row of those whose columns `digest` sums."""


class Part(NamedTuple):
    """The part of a rank in samples of all: `size` of `total`, from `first` on; where each begins."""

    first: int
    size: int
    total: int
    firsts: tuple[int, ...]


class Ranks:
    """The ranks of a training, from the checks of its data to its end: a context.

    An exception that leaves the context is raised in the other ranks as a `ProcessError`.

    Attributes:
        rank, size: the number of this process, and how many there are.
        stop: whether a rank wanted to stop in the last exchange.
    """

    rank: int
    size: int
    stop: bool

    def __init__(self, processes: Processes) -> None:
        self._processes = check_processes(processes)
        self.rank, self.size = processes.rank, processes.size
        self._ended, self.stop = False, False
        self._agreement: Vector[Any] = np.zeros(FLAGS)
        self._next: Vector[Any] = np.zeros(2 * self.size + FLAGS)  # that of `parts`

    def __enter__(self) -> Self:
        """Returns the ranks."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Tells the other ranks of an exception, unless all know it; gives back what processes have lent."""
        if error is not None and not self._ended:
            self._next[...] = 0
            self._next[FAILED] = 1
            self._add(self._next)
            self._messages(f"{type(error).__name__}: {error}")
        if isinstance(self._processes, Lender):
            self._processes.take_back()

    def lent(self, vector: Vector[F]) -> Vector[F]:
        """Returns a vector of the same size whose sums take less time, if processes lend one; else the same.

        It is lent until the end of the training. All ranks call it directly after another exchange.
        """
        if not isinstance(self._processes, Lender):
            return vector
        lent = self._processes.lend(len(vector), vector.dtype)
        return vector if lent is None else lent

    def expect(self, size: int, dtype: np.dtype[F]) -> Vector[F]:
        """Returns zeros for the values of the next exchange, `(size,)`, to be written before `add_up`."""
        return self.expect_vector(new_vector(size + FLAGS, dtype))

    def expect_vector(self, vector: Vector[F]) -> Vector[F]:
        """Says that the next exchange is of this vector; returns its values, without the flags at its end."""
        self._next = vector
        vector[-FLAGS:] = 0
        return vector[:-FLAGS]

    def agree(self, stop: bool) -> bool:
        """Returns whether a rank wants to stop: the exchange where no other is expected.

        Raises:
            ProcessError: another rank has failed.
        """
        self.expect_vector(self._agreement)
        self.add_up(stop)
        return self.stop

    def add_up(self, stop: bool = False) -> None:
        """Adds up the vector that is expected; the next one is that of `agree`, unless another is expected.

        Raises:
            ProcessError: another rank has failed.
        """
        vector = self._next
        vector[STOP] = stop
        self._add(vector)
        self._next, self.stop = self._agreement, bool(vector[STOP])
        if vector[FAILED]:
            self._messages("")

    def parts(self, samples: int, held_out: int) -> tuple[Part, Part]:
        """Returns the parts of this rank, which has these numbers of training and held-out samples."""
        table = self._next[:-FLAGS].reshape(self.size, 2)
        table[self.rank] = counts = samples, held_out
        self.add_up()
        ends = table.cumsum(axis=0).astype(np.int64)
        firsts = np.concatenate([np.zeros((1, 2), np.int64), ends[:-1]])
        parts = (
            Part(begin[self.rank], count, stop[-1], tuple(begin))
            for begin, count, stop in zip(firsts.T.tolist(), counts, ends.T.tolist(), strict=True)
        )
        return next(parts), next(parts)

    def expect_rows(self, part: Part, width: int) -> tuple[Matrix[np.float64], Matrix[np.float64]]:
        """Returns zeros, a row for each sample of all ranks, `(total, width)`, and a view of this rank's."""
        table = self.expect(part.total * width, np.dtype(np.float64)).reshape(part.total, width)
        return table, table[part.first : part.first + part.size]

    def check_same(self, settings: Mapping[str, object]) -> None:
        """Checks that settings, by name, are the same on all ranks.

        Raises:
            SettingError: they are not; raised on all ranks.
        """
        table = self.expect(self.size * len(settings), np.dtype(np.float64)).reshape(self.size, -1)
        table[self.rank] = [digest(value) for value in settings.values()]
        self.add_up()
        for k, (name, value) in enumerate(settings.items()):
            others = np.flatnonzero(table[:, k] != table[0, k])
            if len(others):
                here = "" if isinstance(value, bytes | np.ndarray) else f"; on rank {self.rank} it is {value}"
                raise SettingError(
                    f"processes: {name} must be the same on all ranks, and on rank {others[0]} it is not "
                    f"that of rank 0{here}"
                )

    def _add(self, vector: Vector[Any]) -> None:
        self._ended = True  # where the sum itself fails, there is no telling the others
        self._processes.add_up(vector)
        self._ended = False

    def _messages(self, mine: str) -> None:
        """Exchanges messages of the ranks that have failed; raises that of the first, if it is another."""
        table = np.zeros((self.size, MESSAGE_BYTES))
        text = mine.encode()[:MESSAGE_BYTES]
        table[self.rank, : len(text)] = list(text)
        self._add(table.reshape(-1))
        self._ended = True
        if not mine:
            rank = int(table.any(axis=1).argmax())
            message = bytes(table[rank].astype(np.uint8).tolist()).rstrip(b"\0").decode(errors="replace")
            raise ProcessError(f"rank {rank} of {self.size} has ended the training on all: {message}")


def digest(value: object) -> int:
    """Computes a checksum of the bytes of an array, and for others a digest of how they are printed.

    The checksum of a large array is that of the sums of columns, as a matrix with `COLUMNS` integers of 8
    bytes in a row, which takes a fifth of the time: arrays that differ have another, unless all sums agree.
    """
    if isinstance(value, np.ndarray):
        array: NDArray[Any] = np.ascontiguousarray(cast("NDArray[Any]", value))
        from zlib import crc32

        data = array.reshape(-1).view(np.uint8)
        whole = len(data) // (8 * COLUMNS) * 8 * COLUMNS
        table: Matrix[Any] = data[:whole].view(np.uint64).reshape(-1, COLUMNS)
        sums: Vector[Any] = table.sum(axis=0, dtype=np.uint64)
        return crc32(data[whole:].data, crc32(sums.data))
    from hashlib import blake2b

    return int.from_bytes(blake2b(repr(value).encode(), digest_size=DIGEST_BYTES).digest(), "big")

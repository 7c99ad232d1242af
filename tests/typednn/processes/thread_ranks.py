"""Threads as ranks: processes of a training that run in one process."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")

TIMEOUT_S = 60


class Meeting:
    """The vectors that the ranks have brought to a sum."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.vectors: list[Any] = [None] * size
        self.barrier = Barrier(size, timeout=TIMEOUT_S)


class ThreadRank:
    """A thread among those that train together.

    Attributes:
        sums: the number of sums so far.
    """

    def __init__(self, meeting: Meeting, rank: int) -> None:
        self.meeting, self.rank, self.size, self.sums = meeting, rank, meeting.size, 0

    def add_up(self, vector: Any, /) -> None:
        meeting = self.meeting
        meeting.vectors[self.rank] = vector.copy()
        meeting.barrier.wait()
        kinds = {(each.shape, each.dtype) for each in meeting.vectors}
        total = np.sum(meeting.vectors, axis=0, dtype=vector.dtype) if len(kinds) == 1 else None
        meeting.barrier.wait()
        assert total is not None, f"the ranks add up vectors of {kinds}"
        self.sums += 1
        vector[...] = total


def on_ranks(size: int, job: Callable[[ThreadRank], T]) -> list[T | Exception]:
    """What a function returns or raises on each rank."""
    meeting = Meeting(size)

    def call(rank: int) -> T | Exception:
        try:
            return job(ThreadRank(meeting, rank))
        except Exception as error:  # noqa: BLE001 (whatever the training raises)
            return error

    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(call, range(size)))


def results(size: int, job: Callable[[ThreadRank], T]) -> list[T]:
    """What a function returns on each rank; none raises."""
    found: list[T] = []
    for each in on_ranks(size, job):
        if isinstance(each, Exception):
            raise each
        found.append(each)
    return found


def share(count: int, rank: int, size: int) -> slice:
    """The rows of a rank, in shares that are not equal; the last of more than two ranks has none."""
    sharing = size if size < 3 else size - 1
    bounds = [count * k * k // sharing**2 for k in range(sharing + 1)] + [count] * (size - sharing)
    return slice(bounds[rank], bounds[rank + 1])

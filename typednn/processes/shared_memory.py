"""Sums in memory that the ranks of one machine share: each adds up its part of all vectors where they are.

MPI moves what it adds up through buffers, which takes more than twice as long.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray
from typednn_kernels.arrays import F, Vector

if TYPE_CHECKING:
    from mpi4py.MPI import Comm, Win

SHARED_BYTES = 1 << 18
"""The size from which on a vector is lent: MPI adds up smaller ones as fast."""

CHUNK_BYTES = 1 << 18
"""How much of a vector is added up at a time: what caches hold until it is written to the other vectors."""

PAGE_BYTES = 1 << 12
"""The memory of each rank begins at a multiple of it."""

SHARED_FOLDER = "/dev/shm"  # noqa: S108 (nothing is written there by name)
"""Where Linux keeps shared memory. A process that writes to more than there is room for is ended."""


class Shared(NamedTuple):
    """Memory that ranks share: the window of MPI, and the bytes of each rank."""

    window: Win
    parts: list[NDArray[np.uint8]]


class SharedMemory:
    """Lends vectors that the ranks of a communicator, all on one machine, add up without MPI's buffers.

    Memory that has been given back is lent again, and is kept until MPI ends. All ranks call the methods
    alike, with vectors of one length and dtype.
    """

    def __init__(self, comm: Comm) -> None:
        self._comm = comm
        self._free: list[Shared] = []
        self._lent: dict[int, tuple[Vector[Any], Shared, list[Vector[Any]]]] = {}

    def lend(self, size: int, dtype: np.dtype[F]) -> Vector[F] | None:
        """Returns a vector `(size,)` with any values, or None where it would not pay, or there is no room."""
        count = -(-size * dtype.itemsize // PAGE_BYTES) * PAGE_BYTES
        if self._comm.Get_size() == 1 or count < SHARED_BYTES:
            return None
        memory = next((each for each in self._free if len(each.parts[0]) >= count), None)
        if memory is None:
            memory = self._allocate(count)
            if memory is None:
                return None
        else:
            self._free.remove(memory)
        stop = size * dtype.itemsize
        vectors = [cast("Vector[F]", part[:stop].view(dtype)) for part in memory.parts]
        vector = vectors.pop(self._comm.Get_rank())
        self._lent[id(vector)] = vector, memory, vectors
        return vector

    def take_back(self) -> None:
        """Takes back all vectors."""
        self._free += [memory for _, memory, _ in self._lent.values()]
        self._lent.clear()

    def add_up(self, vector: Vector[Any]) -> bool:
        """Replaces a lent vector by the sum of those of all ranks; returns whether it is lent.

        Each rank sums a part of all vectors, in which no other reads or writes.
        """
        if id(vector) not in self._lent:
            return False
        _, memory, others = self._lent[id(vector)]
        rank, ranks, size = self._comm.Get_rank(), self._comm.Get_size(), len(vector)
        stop, chunk = size * (rank + 1) // ranks, CHUNK_BYTES // vector.itemsize
        memory.window.Fence()
        for first in range(size * rank // ranks, stop, chunk):
            part = slice(first, min(first + chunk, stop))
            total = vector[part]
            for other in others:
                total += other[part]
            for other in others:
                other[part] = total
        memory.window.Fence()
        return True

    def _allocate(self, count: int) -> Shared | None:
        """Allocates bytes for each rank, or none where ranks are on several machines, or memory is short."""
        from mpi4py import MPI

        comm = self._comm
        if not isinstance(comm, MPI.Intracomm):
            return None
        node = comm.Split_type(MPI.COMM_TYPE_SHARED)
        fits = node.Get_size() == comm.Get_size() and _free_bytes() > 2 * count * comm.Get_size()
        node.Free()
        if not comm.allreduce(fits, MPI.LAND):
            return None
        window = MPI.Win.Allocate_shared(count, 1, comm=comm)
        parts = [window.Shared_query(rank)[0].cast("B") for rank in range(comm.Get_size())]
        return Shared(window, [np.frombuffer(each, np.uint8, count) for each in parts])


def _free_bytes() -> int:
    """Returns how much shared memory there is room for: 0 where that is not known."""
    try:
        found = os.statvfs(SHARED_FOLDER)
    except (AttributeError, OSError):
        return 0
    return found.f_bavail * found.f_frsize

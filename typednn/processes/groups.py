"""What a training needs to know of the processes that it runs on, and how MPI provides it."""

from __future__ import annotations

from typing import Protocol, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from typednn_kernels.arrays import F, Vector

from typednn.attributes import KnownAttributes
from typednn.errors import MissingExtraError, SettingError
from typednn.processes.shared_memory import SharedMemory

CHUNK_BYTES = 1 << 22
"""How much of a vector MPI adds up at a time: what caches hold."""


class Processes(Protocol):
    """The processes of a training, as each of them sees them."""

    @property
    def rank(self) -> int:
        """The number of this process, from 0 on."""
        ...

    @property
    def size(self) -> int:
        """The number of processes."""
        ...

    def add_up(self, vector: NDArray[np.float32] | NDArray[np.float64], /) -> None:
        """Replaces a vector `(n,)` in each process by the sum of the vectors of all, the same bits in each.

        All processes call it with vectors of one length and dtype, and each waits for the others.
        """


@runtime_checkable
class Lender(Protocol):
    """What processes may have, besides: memory in which sums take less time, as ranks of one machine have."""

    def lend(self, size: int, dtype: np.dtype[F], /) -> Vector[F] | None:
        """Returns a vector `(size,)` with any values, to be given to `add_up`, or None where there is none.

        All processes call it alike, and each waits for the others.
        """
        ...

    def take_back(self) -> None:
        """Ends the use of all vectors that have been lent."""


class Averaged(KnownAttributes):
    """Processes that train by themselves and average after each epoch: see `averaged`.

    Attributes:
        processes: the processes.
    """

    processes: Processes

    def __init__(self, processes: Processes) -> None:
        self.processes = check_processes(processes)

    @property
    def rank(self) -> int:
        """The number of this process, from 0 on."""
        return self.processes.rank

    @property
    def size(self) -> int:
        """The number of processes."""
        return self.processes.size

    def add_up(self, vector: NDArray[np.float32] | NDArray[np.float64], /) -> None:
        """Replaces a vector in each process by the sum of all."""
        self.processes.add_up(vector)


def averaged(processes: Processes) -> Averaged:
    """Makes processes train by themselves, and average their parameters after each epoch, for slow links.

    Each process makes steps of `batch_size` of its own samples. After an epoch all get the mean of the
    parameters, running means and variances, and states of the optimiser, in proportion to their samples. That
    is another algorithm than that of one process: local SGD (Stich 2019, arXiv:1805.09767).

    Args:
        processes: such as `mpi(comm)` returns.

    Returns:
        What `fit` takes as `processes`.

    Raises:
        SettingError: `processes` has no rank, size and add_up.
    """
    return Averaged(processes)


class MPIProcesses:
    """The processes of an MPI communicator; `mpi` makes it."""

    def __init__(self, comm: Communicator) -> None:
        try:
            from mpi4py import MPI
        except ImportError:
            raise MissingExtraError("mpi4py", "typednn.processes.mpi", "mpi") from None
        if not isinstance(comm, MPI.Comm):
            raise SettingError(f"mpi: comm must be a communicator such as MPI.COMM_WORLD, not {comm!r}")
        self._comm, self._in_place = comm, MPI.IN_PLACE
        self._memory = SharedMemory(comm)

    @property
    def rank(self) -> int:
        """The number of this process, from 0 on."""
        return self._comm.Get_rank()

    @property
    def size(self) -> int:
        """The number of processes."""
        return self._comm.Get_size()

    def lend(self, size: int, dtype: np.dtype[F], /) -> Vector[F] | None:
        """Returns a vector whose sums take less time, or None; see `Lender`."""
        return self._memory.lend(size, dtype)

    def take_back(self) -> None:
        """Takes back all vectors."""
        self._memory.take_back()

    def add_up(self, vector: NDArray[np.float32] | NDArray[np.float64], /) -> None:
        """Replaces a vector in each process by the sum of all."""
        if self._memory.add_up(vector):
            return
        rows = CHUNK_BYTES // vector.itemsize
        for first in range(0, len(vector), rows):
            self._comm.Allreduce(self._in_place, vector[first : first + rows])


class Communicator(Protocol):
    """The methods of `mpi4py.MPI.Comm` that a training calls."""

    def Get_rank(self) -> int: ...
    def Get_size(self) -> int: ...
    def Allreduce(self, sendbuf: object, recvbuf: object, /) -> None: ...


def mpi(comm: Communicator) -> Processes:
    """Returns the processes of a communicator of mpi4py, such as `MPI.COMM_WORLD`.

    Start the script by `mpiexec -n 4 python -m mpi4py train.py`: with `-m mpi4py` a process that ends by an
    exception outside of `fit` ends the others, too, instead of letting them wait.

    Raises:
        MissingExtraError: mpi4py is not installed.
        SettingError: it is no communicator.
    """
    return MPIProcesses(comm)


def check_processes(processes: object) -> Processes:
    """Returns processes, if they have what a training needs.

    Raises:
        SettingError: they have not.
    """
    rank, size = getattr(processes, "rank", None), getattr(processes, "size", None)
    numbers = isinstance(rank, int) and isinstance(size, int) and 0 <= rank < size
    if not numbers or not callable(getattr(processes, "add_up", None)):
        raise SettingError(
            "processes must have rank, size and add_up(vector), as typednn.processes.mpi(MPI.COMM_WORLD) "
            f"has, not be {processes!r}"
        )
    return cast("Processes", processes)

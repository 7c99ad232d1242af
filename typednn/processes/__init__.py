"""One training on several processes, of one machine or of several that a network connects.

Each process, a rank, has a network with the same seed and calls `fit` with its part of the data. The data of
the training are the parts of all ranks, one after the other in the order of the ranks, and the result is that
of one process with all of them, but for rounding. With MPI, in a script that `mpiexec -n 4 python -m mpi4py
train.py` starts:

    from mpi4py import MPI
    from typednn.processes import mpi

    ranks = mpi(MPI.COMM_WORLD)
    x = np.load("samples.npy", mmap_mode="r")
    mine = slice(len(x) * ranks.rank // ranks.size, len(x) * (ranks.rank + 1) // ranks.size)
    network.fit(x[mine], y[mine], batch_size=1024, processes=ranks)
"""

from typednn.processes.groups import Averaged, Processes, averaged, mpi

__all__ = ["Averaged", "Processes", "averaged", "mpi"]

"""A training on the ranks of MPI, which `test_mpi.py` starts: prints what it has come to, or fails."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from mpi4py import MPI

from tests.typednn.processes.test_shared_training import data, network, vector
from tests.typednn.processes.thread_ranks import share
from typednn import Adam, Callback, Run
from typednn.processes import groups, mpi, shared_memory


class Fails(Callback):
    def on_batch(self, run: Run) -> None:
        if run.global_step == 3:
            raise OSError("the disk of rank 1 is full")


class Looks(Callback):
    """Needs the gradient of a step while the next is computed."""

    def on_batch(self, run: Run) -> None:
        assert run.global_step


class AddUp:
    """The ranks of MPI, which lend no memory."""

    def __init__(self) -> None:
        self.rank, self.size = MPI.COMM_WORLD.Get_rank(), MPI.COMM_WORLD.Get_size()

    def add_up(self, vector: Any, /) -> None:
        MPI.COMM_WORLD.Allreduce(MPI.IN_PLACE, vector)


def compare_with_shared_memory(free: int) -> None:
    """Trains with memory that the ranks share, as much as there is, and without; prints the deviations."""
    lent: list[bool] = []

    class Counted(shared_memory.SharedMemory):
        def add_up(self, vector: Any) -> bool:
            lent.append(super().add_up(vector))
            return lent[-1]

    patch = pytest.MonkeyPatch()
    patch.setattr(shared_memory, "SHARED_BYTES", 1)
    patch.setattr(shared_memory, "_free_bytes", lambda: free)
    patch.setattr(groups, "SharedMemory", Counted)
    sharing, without = mpi(MPI.COMM_WORLD), AddUp()
    for dtype, callbacks in ((np.float64, []), (np.float32, []), (np.float64, [Looks()])):
        x, labels, _ = data(dtype)
        rows = share(len(x), without.rank, without.size)
        trained: list[Any] = []
        for ranks in (sharing, without, sharing):  # what has been given back is lent again
            each = network(dtype, normalization="batch", dropout=0.2)
            adam = Adam(0.01, clip_norm=0.5)
            each.fit(
                x[rows], labels[rows], batch_size=16, optimizer=adam, callbacks=callbacks, processes=ranks
            )
            gradients = [layer.dLdW.copy() for layer in each.layers[1:]]
            trained.append(np.concatenate([vector(each), *map(np.ravel, gradients)]))
        digest = trained[0].tobytes()
        assert MPI.COMM_WORLD.bcast(digest) == digest
        assert digest == trained[2].tobytes()
        tolerance = 1e-13 if dtype == np.float64 else 1e-6
        np.testing.assert_allclose(trained[0], trained[1], rtol=tolerance, atol=tolerance)
    if without.rank == 0:
        print("lent" if any(lent) else "not lent")


def main(what: str) -> None:
    if what in {"shared", "full"}:
        compare_with_shared_memory(1 << 30 if what == "shared" else 0)
        return
    if what == "fail sharing memory":
        pytest.MonkeyPatch().setattr(shared_memory, "SHARED_BYTES", 1)
    ranks = mpi(MPI.COMM_WORLD)
    x, labels, _ = data(np.float64)
    rows = share(len(x), ranks.rank, ranks.size)
    trained = network(np.float64, normalization="batch", dropout=0.2)
    trained.fit(
        x[rows],
        labels[rows],
        batch_size=16,
        optimizer=Adam(0.01, clip_norm=0.5),
        validation_split=0.2,
        metrics=["accuracy"],
        callbacks=[Fails()] if what.startswith("fail") and ranks.rank == 1 else [],
        processes=ranks,
    )
    digest = vector(trained).tobytes()
    assert MPI.COMM_WORLD.bcast(digest) == digest
    if ranks.rank == 0:
        print(*trained.history.loss, *vector(trained).tolist())


if __name__ == "__main__":
    main(sys.argv[1])

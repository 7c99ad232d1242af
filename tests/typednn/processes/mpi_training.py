"""A training on the ranks of MPI, which `test_mpi.py` starts: prints what it has come to, or fails."""

from __future__ import annotations

import sys

import numpy as np
from mpi4py import MPI

from tests.typednn.processes.test_shared_training import data, network, vector
from tests.typednn.processes.thread_ranks import share
from typednn import Adam, Callback, Run
from typednn.processes import mpi


class Fails(Callback):
    def on_batch(self, run: Run) -> None:
        if run.global_step == 3:
            raise OSError("the disk of rank 1 is full")


def main(what: str) -> None:
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
        callbacks=[Fails()] if what == "fail" and ranks.rank == 1 else [],
        processes=ranks,
    )
    digest = vector(trained).tobytes()
    assert MPI.COMM_WORLD.bcast(digest) == digest
    if ranks.rank == 0:
        print(*trained.history.loss, *vector(trained).tolist())


if __name__ == "__main__":
    main(sys.argv[1])

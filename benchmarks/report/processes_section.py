"""Section on one training on several processes, on sweeps in processes, and on data larger than memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, sleep

import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import Limits
from benchmarks.networks import BATCHES, Architecture, Task
from benchmarks.peers.typednn import network
from benchmarks.report.large_data import reading
from benchmarks.report.report import Section, table
from benchmarks.report.targets import number
from benchmarks.settings import Settings
from typednn import in_parallel, use_threads
from typednn.processes import Processes, mpi
from typednn.processes.groups import Lender

MPIEXEC = Path(sys.executable).with_name("mpiexec")
ROOT = Path(__file__).parents[2]
SHARED = (
    *BATCHES,
    *(replace(each, batch_size=size) for each, size in zip(BATCHES, (4096, 1024, 1024, 1024), strict=True)),
)
"""The networks that ranks train: with the batches of other sections, and with larger ones."""
STEPS = (1000, 400, 50, 8, 100, 50, 20, 4)
"""The number of steps of a run, by network."""
REPEATS = 10
"""The number of runs of each candidate, in turn."""
SWEEP = 200
"""The number of networks of a sweep."""
POLL_S = 1e-3


def processes_section(settings: Settings, _limits: Limits) -> Section:
    """Measures a step on one and on two ranks, each with one thread, and sweeps on executors."""
    section = Section("Several processes")
    if MPIEXEC.exists() and find_spec("mpi4py") is not None:
        ddp = find_spec("torch") is not None
        section.text.append(
            "One training on ranks of MPI, each with one thread: ms per step, the shortest of "
            f"{REPEATS} epochs that take turns" + ("." if ddp else "; PyTorch is not installed.")
        )
        rows = [row(place) for place in ((0, 1) if settings.quick else range(len(SHARED)))]
        heads = ["network × batch", "fit", "one rank", "two ranks", "one rank / two", "sum alone"]
        heads += ["DDP, one process", "DDP, two", "DDP / two ranks"] * ddp
        section.text.append(table(heads, rows))
    else:
        section.text.append("mpi4py or mpich is not installed.")
    count = SWEEP // 10 if settings.quick else SWEEP
    section.text.append(f"A sweep of {count} networks {BATCHES[0].name}, one epoch each:")
    section.text.append(table(("executor", "ms per network"), sweeps(count)))
    size = 50_000 if settings.quick else 400_000
    section.text.append(f"{size:,} rows of 256 float32 in a memory map, in random order, without training:")
    section.text.append(table(("reader", "µs of CPU time per row", "× shuffled_blocks"), reading(size)))
    return section


def row(place: int) -> list[str]:
    """Returns the row of a network: times of its step."""
    command = [str(MPIEXEC), "-n", "2", sys.executable, "-m", "mpi4py", "-m", __name__, str(place)]
    paths = os.pathsep.join(map(str, (ROOT, ROOT / "kernels")))
    limits = dict.fromkeys(("TYPEDNN_THREADS", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1")
    environment = {**os.environ, **limits, "PYTHONPATH": paths}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    times: dict[str, float] = json.loads(done.stdout)
    cells = [number(times[each]) for each in ("fit", "one", "two")]
    cells += [f"{times['one'] / times['two']:.2f}", number(times["sum"])]
    if "ddp" in times:
        cells += [number(times["torch"]), number(times["ddp"]), f"{times['ddp'] / times['two']:.2f}"]
    return [SHARED[place].name, *cells]


def measure(place: int) -> None:
    """Prints, on rank 0 of 2, the times of a step of this rank alone, of one on both, and of the sum."""
    from mpi4py import MPI

    world, architecture, steps = MPI.COMM_WORLD, SHARED[place], STEPS[place]
    ranks = mpi(world)
    size, count = architecture.batch_size, steps * architecture.batch_size
    task = Task(architecture, "float32", count)
    mine = slice(count * ranks.rank // ranks.size, count * (ranks.rank + 1) // ranks.size)
    vector = np.zeros(len(task.parameters), np.float32)
    use_threads(1)

    def fit(rows: slice, processes: Processes | None) -> Callable[[], object]:
        return partial(
            network(task).fit,
            *(task.x[rows], task.t[rows]),
            epochs=1,
            batch_size=size,
            progress=False,
            processes=processes,
        )

    alone = {"fit": fit(slice(None), None), "one": fit(slice(None), mpi(MPI.COMM_SELF))}
    together: dict[str, Callable[[], object]] = {
        "two": fit(mine, ranks),
        "sum": partial(add_up, ranks, vector, steps),
    }
    if find_spec("torch") is not None:
        from benchmarks.peers.ddp import DDPTrainer
        from benchmarks.peers.torch import TorchTrainer

        with TemporaryDirectory() as folder:
            store = Path(world.bcast(folder)) / "store"
            together["ddp"] = partial(DDPTrainer(task, ranks.rank, ranks.size, store).train, count)
            world.Barrier()
        alone["torch"] = partial(TorchTrainer(task).train, count)

    def time(name: str, train: Callable[[], object]) -> float:
        if name in together:
            world.Barrier()
        began = perf_counter()
        if name in together or ranks.rank == 0:
            train()
        elapsed = perf_counter() - began
        arrived = world.Ibarrier()  # a rank that waits in Barrier would take time of its core
        while not arrived.Test():
            sleep(POLL_S)
        return elapsed / steps * 1e3

    runs = [{name: time(name, train) for name, train in (alone | together).items()} for _ in range(REPEATS)]
    if ranks.rank == 0:
        print(json.dumps({name: min(run[name] for run in runs) for name in runs[0]}))


def add_up(ranks: Processes, vector: NDArray[np.float32], times: int) -> None:
    """Adds up a vector, in memory that the processes lend if they do."""
    lent = ranks.lend(len(vector), vector.dtype) if isinstance(ranks, Lender) else None
    for _ in range(times):
        ranks.add_up(vector if lent is None else lent)
    if isinstance(ranks, Lender):
        ranks.take_back()


def sweeps(count: int) -> list[list[str]]:
    """Measures trainings of small networks on each executor."""
    jobs = [partial(train, BATCHES[0])] * count
    rows: list[list[str]] = []

    def add(name: str, executor: Executor | None) -> None:
        in_parallel(jobs[:4], executor=executor)  # starts the workers
        began = perf_counter()
        in_parallel(jobs, executor=executor)
        rows.append([name, number((perf_counter() - began) / count * 1e3)])

    add("threads", None)
    with ProcessPoolExecutor(2) as pool:
        add("ProcessPoolExecutor", pool)
    if find_spec("loky") is not None:
        add("loky", import_module("loky").get_reusable_executor(2))
    if find_spec("distributed") is not None:
        distributed = import_module("distributed")
        with (
            distributed.LocalCluster(2, threads_per_worker=1, dashboard_address=None) as cluster,
            distributed.Client(cluster) as client,
        ):
            add("Dask", client.get_executor(pure=False))  # equal jobs are jobs of their own
    return rows


def train(architecture: Architecture) -> float:
    """Trains a network for an epoch; returns its loss."""
    task = Task(architecture, "float32")
    return network(task).fit(task.x, task.t, epochs=1, batch_size=architecture.batch_size).loss[-1]


if __name__ == "__main__":
    measure(int(sys.argv[1]))

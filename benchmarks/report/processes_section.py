"""Section on one training on several processes, and on sweeps in processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np

from benchmarks.machine import Limits
from benchmarks.networks import BATCHES, Architecture, Task
from benchmarks.peers.typednn import network
from benchmarks.report.report import Section, table
from benchmarks.report.targets import number
from benchmarks.settings import Settings
from typednn import in_parallel, use_threads
from typednn.processes import mpi

MPIEXEC = Path(sys.executable).with_name("mpiexec")
ROOT = Path(__file__).parents[2]
STEPS = (200, 100, 40, 10)
"""The number of steps of a measurement, by network."""
SWEEP = 200
"""The number of networks of a sweep."""


def processes_section(settings: Settings, _limits: Limits) -> Section:
    """Measures a step on one and on two ranks, each with one thread, and sweeps on executors."""
    section = Section("Several processes")
    if MPIEXEC.exists() and find_spec("mpi4py") is not None:
        section.text.append("One training on ranks of MPI, each with one thread:")
        rows = [row(k) for k in range(len(BATCHES)) if not settings.quick or k < 2]
        heads = (
            "network × batch",
            "ms per step, fit",
            "one rank",
            "two ranks",
            "one rank / two",
            "sum alone, ms",
        )
        section.text.append(table(heads, rows))
    else:
        section.text.append("mpi4py or mpich is not installed.")
    count = SWEEP // 10 if settings.quick else SWEEP
    section.text.append(f"A sweep of {count} networks {BATCHES[0].name}, one epoch each:")
    section.text.append(table(("executor", "ms per network"), sweeps(count)))
    return section


def row(place: int) -> list[str]:
    """Returns the row of a network: times of its step."""
    one, two = on_ranks(place, 1), on_ranks(place, 2)
    ratio = one["shared"] / two["shared"]
    times = (one["fit"], one["shared"], two["shared"])
    return [BATCHES[place].name, *map(number, times), f"{ratio:.2f}", number(two["sum"])]


def on_ranks(place: int, ranks: int) -> dict[str, float]:
    """Measures a step on some ranks, which mpiexec starts; in ms."""
    command = [str(MPIEXEC), "-n", str(ranks), sys.executable, "-m", "mpi4py", "-m", __name__, str(place)]
    paths = os.pathsep.join(map(str, (ROOT, ROOT / "kernels")))
    environment = {**os.environ, "PYTHONPATH": paths, "TYPEDNN_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    times: dict[str, float] = json.loads(done.stdout)
    return times


def measure(place: int) -> None:
    """Prints, on rank 0, the times of a step of this process alone, of one on all ranks, and of the sum."""
    from mpi4py import MPI

    ranks, architecture, steps = mpi(MPI.COMM_WORLD), BATCHES[place], STEPS[place]
    task = Task(architecture, "float32", steps * architecture.batch_size)
    mine = slice(len(task.x) * ranks.rank // ranks.size, len(task.x) * (ranks.rank + 1) // ranks.size)
    vector = np.zeros(len(network(task).parameters), np.float32)
    size = architecture.batch_size

    def of(train: Callable[[], object]) -> float:
        times: list[float] = []
        for _ in range(6):
            MPI.COMM_WORLD.Barrier()
            began = perf_counter()
            train()
            times.append((perf_counter() - began) / steps * 1e3)
        return median(times[1:])

    def add_up() -> None:
        for _ in range(steps):
            ranks.add_up(vector)

    trained = network(task)
    use_threads(1)
    shared = partial(trained.fit, task.x[mine], task.t[mine], batch_size=size, processes=ranks)
    times = {
        "shared": of(partial(shared, epochs=1)),
        "sum": of(add_up),
        "fit": of(partial(network(task).fit, task.x, task.t, batch_size=size, epochs=1)),
    }
    if ranks.rank == 0:
        print(json.dumps(times))


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
    return rows


def train(architecture: Architecture) -> float:
    """Trains a network for an epoch; returns its loss."""
    task = Task(architecture, "float32")
    return network(task).fit(task.x, task.t, epochs=1, batch_size=architecture.batch_size).loss[-1]


if __name__ == "__main__":
    measure(int(sys.argv[1]))

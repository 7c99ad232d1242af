"""`python -m tests.faults.endurance 1.0`: long runs, without growth of the process.

At scale 1: a million predictions, 100,000 networks of different sizes, 20,000 trainings. The memory of the
process is compared after a half of each and at its end: networks are garbage in cycles, for which the heap
grows until the collector keeps up with them, after some 50,000.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from typednn import Adam, HiddenLayer, InputLayer, Network, OutputLayer, backend

MOST_GROWTH = 8 << 20
"""Bytes by which the memory of the process may differ; the C library does not return all at once."""
X, Y = np.random.default_rng(0).random((8, 4)), np.arange(8) % 2


def network(hidden: int) -> Network[Any]:
    layers: list[Any] = [InputLayer(4), HiddenLayer(hidden, "tanh")]
    return Network([*layers, OutputLayer(2, "softmax", "crossentropy")], seed=0)


def memory() -> int:
    """Returns the resident memory of this process in bytes."""
    gc.collect()
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def growth(count: int, call: Callable[[int], object]) -> int:
    """Calls something with the numbers from 0 on; returns by how much memory grows in the second half."""
    before = 0
    for number in range(count):
        if number == count // 2:
            before = memory()
        call(number)
    return memory() - before


def main(scale: float) -> int:
    """Prints what was done and the growth; returns 1 if it is too large."""
    trained = network(5)
    rates = [0.01, 0.02]

    def predict(_number: int) -> None:
        trained.predict(X)

    def create(number: int) -> None:
        network(1 + number % 50).predict(X)

    def fit(number: int) -> None:
        size = 1 + number % 8
        mine = network(1 + number % 20)
        mine.fit(X, Y, epochs=2, batch_size=size, optimizer=Adam(rates[number % 2]), progress=False)
        trained.fit(X, Y, epochs=1, batch_size=size, progress=False)

    grown: list[int] = []
    for what, count, call in (
        ("predictions", 1_000_000, predict),
        ("networks", 100_000, create),
        ("trainings", 20_000, fit),
    ):
        number = int(count * scale)
        grown.append(growth(number, call))
        print(f"{number:,} {what}: {grown[-1] / 2**20:+.1f} MiB", end=", ", flush=True)
    print(backend())
    return int(max(grown) > MOST_GROWTH)


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 1.0))

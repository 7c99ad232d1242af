"""Interleaved timing: candidates run in turns, so that a drift of the machine affects all of them alike.

In each round every candidate runs once, in a new random order. Ratios are taken between times of one round,
and the result is the median over the rounds.
"""

from __future__ import annotations

import gc
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import repeat
from math import ceil
from statistics import median
from time import perf_counter, process_time, sleep

IDLE_CHECK_S, IDLE_CHECKS = 0.02, 50
"""A process is idle if it works for less than a tenth of `IDLE_CHECK_S` seconds; the maximum of checks."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One of several functions that do the same work and are timed against each other.

    Attributes:
        run: the function to time.
        operations: number of steps, elements or calls that one run makes; times are per operation.
        prepare: called before each run and not timed. Without it, short runs are repeated to fill a slot.
    """

    name: str
    run: Callable[[], object]
    operations: float = 1
    prepare: Callable[[], object] | None = None


@dataclass(frozen=True, slots=True)
class Budget:
    """How long a comparison may take.

    Attributes:
        seconds: no new round starts after this time.
        rounds: minimum number of rounds, whatever they take.
        slot: minimum duration of one timed run, in seconds; shorter runs are repeated.
        wait_for_idle: whether to wait before each run until the threads of the previous one sleep. Threads of
            OpenBLAS spin for a tenth of a second after their work.
    """

    seconds: float
    rounds: int = 5
    slot: float = 1e-3
    wait_for_idle: bool = False


@dataclass(slots=True)
class Timing:
    """Seconds per operation of each candidate, one entry per round."""

    seconds: dict[str, list[float]] = field(default_factory=dict[str, list[float]])

    def median(self, name: str) -> float:
        """Returns the median time of one operation, in seconds."""
        return median(self.seconds[name])

    def shortest(self, name: str) -> float:
        """Returns the shortest time of one operation, in seconds; other work only makes a call longer."""
        return min(self.seconds[name])

    def ratio(self, name: str, reference: str) -> float:
        """Returns the median over the rounds of the time of `name` divided by that of `reference`."""
        pairs = zip(self.seconds[name], self.seconds[reference], strict=True)
        return median(time / other for time, other in pairs)


def compare(candidates: Sequence[Candidate], budget: Budget) -> Timing:
    """Times the candidates against each other."""
    return interleave(
        {each.name: partial(seconds_of, each, repeats_of(each, budget.slot)) for each in candidates}, budget
    )


def interleave(measures: Mapping[str, Callable[[], float]], budget: Budget) -> Timing:
    """Calls the measures, each of which returns seconds, in turns; the garbage collector is off meanwhile."""
    timing = Timing({name: [] for name in measures})
    order = random.Random(0)
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        end = perf_counter() + budget.seconds
        rounds = 0
        while rounds < budget.rounds or perf_counter() < end:
            for name in order.sample(list(measures), len(measures)):
                if budget.wait_for_idle:
                    _wait_until_idle()
                timing.seconds[name].append(measures[name]())
            rounds += 1
    finally:
        if collecting:
            gc.enable()
    return timing


def _wait_until_idle() -> None:
    """Waits until no thread of this process uses the CPU, for a second at most."""
    for _ in range(IDLE_CHECKS):
        used = process_time()
        sleep(IDLE_CHECK_S)
        if process_time() - used < IDLE_CHECK_S / 10:
            return


def repeats_of(candidate: Candidate, slot: float) -> int:
    """Returns how many runs of a candidate fill a slot."""
    if candidate.prepare is not None:
        return 1
    runs = 1
    while True:
        taken = seconds_of(candidate, runs) * runs * candidate.operations
        if taken >= slot / 2:
            return max(1, ceil(runs * slot / taken))
        runs *= 4


def seconds_of(candidate: Candidate, runs: int) -> float:
    """Returns seconds per operation of `runs` runs, after one untimed run that warms caches and threads."""
    run, prepare = candidate.run, candidate.prepare or (lambda: None)
    prepare()
    run()
    prepare()
    began = perf_counter()
    for _ in repeat(None, runs):
        run()
    return (perf_counter() - began) / runs / candidate.operations

"""Interleaved timing: A B A B …, so that a machine that drifts favours nobody.

In a round each contestant runs once, in an order drawn anew. What is compared are the times of one round,
and the result is the median over the rounds.
"""

from __future__ import annotations

import gc
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from math import ceil
from statistics import median
from time import perf_counter, process_time, sleep

REST, ATTEMPTS = 0.02, 50
"""A process that works for less than a tenth of so many seconds is idle; so often one looks."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """Somebody who does the same work as the others of a comparison.

    Attributes:
        run: what is timed.
        operations: how many steps, elements or calls one run makes; times are given for one of them.
        prepare: called before each run, untimed; without it, short runs are repeated.
    """

    name: str
    run: Callable[[], object]
    operations: float = 1
    prepare: Callable[[], object] | None = None


@dataclass(frozen=True, slots=True)
class Budget:
    """How long a comparison may take.

    Attributes:
        seconds: new rounds are begun for so long.
        rounds: so many are made in any case.
        slot: runs are repeated until they take so many seconds.
        rested: before each run the threads of the one before fall asleep: those of OpenBLAS keep a core busy
            for a tenth of a second after their work.
    """

    seconds: float
    rounds: int = 5
    slot: float = 1e-3
    rested: bool = False


@dataclass(slots=True)
class Timing:
    """Seconds per operation of each contestant, round by round."""

    seconds: dict[str, list[float]] = field(default_factory=dict[str, list[float]])

    def median(self, name: str) -> float:
        """The median time of one operation."""
        return median(self.seconds[name])

    def ratio(self, name: str, reference: str) -> float:
        """How many times longer `name` takes than the reference: the median of the rounds' ratios."""
        pairs = zip(self.seconds[name], self.seconds[reference], strict=True)
        return median(time / other for time, other in pairs)


def compare(contestants: Sequence[Contestant], budget: Budget) -> Timing:
    """Times the contestants against each other."""
    timing = Timing({each.name: [] for each in contestants})
    repeats = {each.name: _repeats(each, budget.slot) for each in contestants}
    order = random.Random(0)
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        end = perf_counter() + budget.seconds
        made = 0
        while made < budget.rounds or perf_counter() < end:
            for each in order.sample(contestants, len(contestants)):
                if budget.rested:
                    _rest()
                timing.seconds[each.name].append(_seconds(each, repeats[each.name]))
            made += 1
    finally:
        if collecting:
            gc.enable()
    return timing


def _rest() -> None:
    """Waits until no thread of this process works."""
    for _ in range(ATTEMPTS):
        used = process_time()
        sleep(REST)
        if process_time() - used < REST / 10:
            return


def _repeats(contestant: Contestant, slot: float) -> int:
    """How many runs fill a slot."""
    if contestant.prepare is not None:
        return 1
    runs = 1
    while True:
        taken = _seconds(contestant, runs) * runs * contestant.operations
        if taken >= slot / 2:
            return max(1, ceil(runs * slot / taken))
        runs *= 4


def _seconds(contestant: Contestant, runs: int) -> float:
    """Per operation, of so many runs in a row, after one that wakes cores, caches and threads."""
    run, prepare = contestant.run, contestant.prepare or (lambda: None)
    prepare()
    run()
    prepare()
    began = perf_counter()
    for _ in repeat(None, runs):
        run()
    return (perf_counter() - began) / runs / contestant.operations

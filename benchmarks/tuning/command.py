"""The command `python -m benchmarks tune`: measures thresholds and prints them beside the tree's values."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack, closing
from functools import partial
from math import log, sqrt
from time import perf_counter

from benchmarks.report.report import table
from benchmarks.report.targets import number
from benchmarks.timing import Budget, Timing, interleave
from benchmarks.tuning.thresholds import MEASUREMENTS, UNTIMED, Crossover, Sweep, Values
from benchmarks.tuning.values import tree_values


class Variant:
    """A process whose kernels are compiled for changed thresholds; `close` ends it."""

    def __init__(self, values: Values) -> None:
        command = [sys.executable, "-m", "benchmarks.tuning.worker", repr(values)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def close(self) -> None:
        """Ends the process."""
        self._process.communicate()

    def ask(self, workload: str, size: int, threads: int, slot: float) -> None:
        """Sends a request; `answer` waits for its result."""
        assert self._process.stdin is not None
        print(repr((workload, size, threads, slot)), file=self._process.stdin, flush=True)

    def answer(self) -> float:
        """Returns seconds per operation.

        Raises:
            RuntimeError: the process has ended; it has written why to standard error.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("a process that times kernels has ended")
        return float(line)

    def seconds(self, workload: str, size: int, threads: int, slot: float) -> float:
        """Times a workload; returns seconds per operation."""
        self.ask(workload, size, threads, slot)
        return self.answer()


def tune(arguments: Sequence[str]) -> None:
    """Measures the tuning thresholds of the compiled kernels on this machine and prints a table."""
    by_name = {each.name: each for each in MEASUREMENTS}
    parser = argparse.ArgumentParser(prog="python -m benchmarks tune", description=tune.__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer sizes, shorter runs")
    parser.add_argument("--only", default=",".join(by_name), help="thresholds, separated by commas")
    given = parser.parse_args(arguments)
    names = given.only.split(",")
    unknown = [name for name in names if name not in by_name]
    if unknown:
        parser.error(f"{unknown[0]!r} is not measured; these are: {', '.join(by_name)}")
    budget = Budget(0.05, 3, 1e-3) if given.quick else Budget(0.4, 5, 2e-3)
    tree = tree_values()
    rows: list[tuple[str, str, str, str]] = []
    for name in names:
        began = perf_counter()
        print(f"{name} …", end=" ", flush=True, file=sys.stderr)
        result = measured(by_name[name], budget, quick=given.quick)
        print(f"{result} ({perf_counter() - began:.0f} s)", file=sys.stderr)
        rows.append((name, _text(tree[name]), result, by_name[name].unit))
    if names == list(by_name):
        rows += [(name, _text(tree[name]), "not timed", "") for name in UNTIMED]
    print(table(("threshold", "in the tree", "measured", "unit"), rows))


def measured(threshold: Crossover | Sweep, budget: Budget, *, quick: bool) -> str:
    """Measures a threshold; returns its crossover, or the speed at each value."""
    with ExitStack() as stack:
        values = {repr(way.values): way.values for way in threshold.ways.values()}
        variants = {text: stack.enter_context(closing(Variant(each))) for text, each in values.items()}
        if isinstance(threshold, Sweep):
            return speeds(threshold, variants, budget)
        return crossover(threshold, threshold.sizes[::2] if quick else threshold.sizes, variants, budget)


def crossover(
    threshold: Crossover, sizes: Sequence[int], variants: dict[str, Variant], budget: Budget
) -> str:
    """Returns the quantity at which both ways of a threshold are equally fast."""
    timings = [times(threshold, size, variants, budget) for size in sizes]
    place = crossing([log(timing.ratio("below", "above")) for timing in timings])
    quantities = [threshold.quantity(size) for size in sizes]
    if place == 0:
        return f"< {number(quantities[0])}"
    if place == len(sizes):
        return f"> {number(quantities[-1])}"
    return number(sqrt(quantities[place - 1] * quantities[place]))


def crossing(gains: Sequence[float]) -> int:
    """Returns the index at which gains turn from negative to positive.

    If they do so several times, it is the index for which the sum of the gains on the wrong side is smallest.
    """
    costs = [
        sum(max(0.0, gain) for gain in gains[:place]) + sum(max(0.0, -gain) for gain in gains[place:])
        for place in range(len(gains) + 1)
    ]
    return costs.index(min(costs))


def speeds(threshold: Sweep, variants: dict[str, Variant], budget: Budget) -> str:
    """Returns the speed at each value of a threshold."""
    timing = times(threshold, threshold.size, variants, budget)
    medians = {label: timing.median(label) for label in threshold.choices}
    each = [
        f"{label}: {number(1e-9 / time if threshold.speed == 'GFLOP/s' else 1e6 * time)}"
        for label, time in medians.items()
    ]
    return f"{', '.join(each)} {threshold.speed}"


def times(threshold: Crossover | Sweep, size: int, variants: dict[str, Variant], budget: Budget) -> Timing:
    """Times all ways of a threshold in turns, after a first run of each, for which kernels are compiled."""
    ways = {label: (variants[repr(way.values)], way.threads) for label, way in threshold.ways.items()}
    for variant, threads in ways.values():
        variant.ask(threshold.workload, size, threads, budget.slot)
    for variant, _ in ways.values():
        variant.answer()
    measures = {
        label: partial(variant.seconds, threshold.workload, size, threads, budget.slot)
        for label, (variant, threads) in ways.items()
    }
    return interleave(measures, budget)


def _text(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)

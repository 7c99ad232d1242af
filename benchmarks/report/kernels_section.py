"""Section on kernels: compiled kernels beside the faster of two NumPy versions, at all sizes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from statistics import geometric_mean

import numpy as np

from benchmarks.cases.dense import DENSE, SIDES, dense_comparison
from benchmarks.cases.elementwise import ELEMENTWISE, SIZES, elementwise_comparison
from benchmarks.cases.kernel_comparison import OURS, PLAIN, TUNED, KernelComparison
from benchmarks.installed import AbsentError, package
from benchmarks.machine import Limits
from benchmarks.networks import Array
from benchmarks.report import plots, targets
from benchmarks.report.report import Section, table
from benchmarks.report.targets import number
from benchmarks.settings import Settings
from benchmarks.timing import Candidate, Timing, compare

LIMIT = "limit"
LARGE = 1 << 16
"""Elements from which on BLAS uses several threads, one of which may still spin when the next run starts."""
EXPLANATION = (
    "Time of NumPy divided by time of the compiled kernel. NumPy is the faster of the plain kernel and of "
    "one tuned by hand (`out=`, no temporaries, blocks that stay in cache); bold: slower than NumPy. The "
    "last columns: the geometric mean over the sizes, and the bandwidth at the largest size, for the arrays "
    "that have to be read or written, as a fraction of the bandwidth of a copy (dense kernels: of a fill)."
)


@dataclass(slots=True)
class Curve:
    """Times of a kernel by size; `traffic` is the memory traffic as a multiple of that of the limit."""

    name: str
    traffic: float
    timings: dict[int, Timing] = field(default_factory=dict[int, Timing])

    def ratio(self, size: int) -> float:
        """Returns the time of the faster NumPy version divided by that of the compiled kernel."""
        timing = self.timings[size]
        return min(timing.ratio(name, OURS) for name in (PLAIN, TUNED) if name in timing.seconds)

    def mean_ratio(self) -> float:
        """Returns the geometric mean of the ratios over the sizes."""
        return geometric_mean(self.ratio(size) for size in self.timings)

    def bound(self) -> float | None:
        """Returns the time per element at the largest size if memory alone counts; None if not measured."""
        timing = self.timings[max(self.timings)]
        return self.traffic * timing.median(LIMIT) if LIMIT in timing.seconds else None

    def fraction(self) -> float | None:
        """Returns the fraction of the bandwidth of the limit at the largest size; None if not measured."""
        timing = self.timings[max(self.timings)]
        return self.traffic * timing.ratio(LIMIT, OURS) if LIMIT in timing.seconds else None


def kernels_section(settings: Settings, _limits: Limits) -> Section:
    """Measures all kernels; one table and one plot per dtype and kind."""
    section = Section("Kernels")
    try:
        package("typednn_kernels.compiled")
    except AbsentError as reason:
        section.note_absent({OURS: str(reason)})
        return section
    section.text.append(EXPLANATION)
    sizes, sides = settings.subset(SIZES, (0, 2, 3, 5)), settings.subset(SIDES, (0, 5, 8))
    measure = partial(measured, section, settings)
    for dtype in settings.dtypes:
        elementwise = [
            measure(case.name, case.traffic / 2, sizes, partial(elementwise_comparison, case, dtype))
            for case in ELEMENTWISE
        ]
        dense = [
            measure(case.name, 1, sides, partial(dense_comparison, case, dtype), wait_for_idle=True)
            for case in DENSE
        ]
        for kind, curves, axis in (
            ("elementwise", elementwise, "elements"),
            ("dense", dense, "units = inputs"),
        ):
            section.text.append(kernels_table(section, f"{kind} kernels, {dtype}", curves))
            path = settings.output / f"{kind}-{dtype}.png"
            section.text.append(plots.kernels(curves, f"{kind.capitalize()} kernels, {dtype}", axis, path))
    return section


def measured(
    section: Section,
    settings: Settings,
    name: str,
    traffic: float,
    sizes: Sequence[int],
    comparison_of: Callable[[int], KernelComparison],
    *,
    wait_for_idle: bool = False,
) -> Curve:
    """Checks and times a kernel at all sizes, at the largest one together with the limit.

    With `wait_for_idle`, large runs wait until the threads of BLAS sleep.
    """
    curve = Curve(name, traffic)
    with np.errstate(all="ignore"):
        for size in sizes:
            comparison = comparison_of(size)
            section.check(f"{name}, {comparison.result.dtype}, at {size:,}", comparison.check)
            candidates = [Candidate(who, run, comparison.elements) for who, run in comparison.runs.items()]
            if size in (SIZES[-1], SIDES[-1]):
                candidates.append(Candidate(LIMIT, limit(comparison.result, size), comparison.elements))
            budget = settings.budget(0.25, wait_for_idle=wait_for_idle and comparison.elements >= LARGE)
            curve.timings[size] = compare(candidates, budget)
    return curve


def limit(result: Array, size: int) -> Callable[[], object]:
    """Returns a copy of as many elements as an elementwise kernel writes, or a fill of dense weights."""
    if size == SIZES[-1]:
        target: Array = np.empty(size, result.dtype)
        return partial(np.copyto, target, np.ones_like(target))
    return partial(np.empty((size, size), result.dtype).fill, 1)


def kernels_table(section: Section, name: str, curves: Sequence[Curve]) -> str:
    """Returns the table of ratios and records their targets."""
    sizes = list(curves[0].timings)
    lines: list[list[str]] = []
    everything: list[float] = []
    for curve in curves:
        ratios = [curve.ratio(size) for size in sizes]
        everything += ratios
        lowest = min(ratios)
        where = f"{curve.name}, {name}, at {sizes[ratios.index(lowest)]:,}"
        section.record_target(where, lowest, targets.NOISE)
        fraction = curve.fraction()
        lines.append(
            [
                curve.name,
                *(number(ratio) if ratio >= targets.NOISE else f"**{number(ratio)}**" for ratio in ratios),
                number(curve.mean_ratio()),
                "–"
                if fraction is None
                else section.record_target(f"{curve.name}, {name}: bandwidth", fraction, targets.BANDWIDTH),
            ]
        )
    mean = geometric_mean(everything)
    mean_cell = section.record_target(f"{name}: geometric mean", mean, targets.GEOMETRIC_MEAN)
    lines.append(["all", *[""] * len(sizes), mean_cell, ""])
    return table((name, *(f"{size:,}" for size in sizes), "mean", "fraction of the limit"), lines)

"""The chapter on kernels: the better of two NumPy versions beside numba, at all sizes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from statistics import geometric_mean

import numpy as np

from benchmarks.cases.dense import DENSE, SIDES, dense_contest
from benchmarks.cases.kernel_comparisons import OURS, PLAIN, TUNED, KernelContest
from benchmarks.cases.kernels import ELEMENTWISE, SIZES, elementwise_contest
from benchmarks.cases.networks import Array
from benchmarks.machine import Limits
from benchmarks.peers.peers import AbsentError, package
from benchmarks.report import plots, targets
from benchmarks.report.report import Section, table
from benchmarks.report.targets import number
from benchmarks.settings import Settings
from benchmarks.timing import Contestant, Timing, compare

LIMIT = "limit"
LARGE = 1 << 16
"""BLAS, of whose threads one would still be busy, works on so many numbers with several."""
EXPLANATION = (
    "How many times longer NumPy takes than the compiled kernel. NumPy is the better of the plain kernel and "
    "of one tuned by hand (`out=`, no temporaries, blocks that stay in cache); bold: slower than NumPy. The "
    "last columns: the geometric mean over the sizes, and the bandwidth at the largest size, for the arrays "
    "that have to be read or written, as a part of what a copy reaches (dense kernels: a fill)."
)


@dataclass(slots=True)
class Curve:
    """The times of a kernel by size; `traffic` is what it moves, as a multiple of what the limit moves."""

    name: str
    traffic: float
    timings: dict[int, Timing] = field(default_factory=dict[int, Timing])

    def ratio(self, size: int) -> float:
        """How many times longer the better NumPy takes."""
        timing = self.timings[size]
        return min(timing.ratio(name, OURS) for name in (PLAIN, TUNED) if name in timing.seconds)

    def mean_ratio(self) -> float:
        """The geometric mean of the ratios over the sizes."""
        return geometric_mean(self.ratio(size) for size in self.timings)

    def bound(self) -> float | None:
        """What an element takes at the largest size if memory alone counts; None if not measured."""
        timing = self.timings[max(self.timings)]
        return self.traffic * timing.median(LIMIT) if LIMIT in timing.seconds else None

    def share(self) -> float | None:
        """What part of the limit's bandwidth the kernel reaches at the largest size, if measured."""
        timing = self.timings[max(self.timings)]
        return self.traffic * timing.ratio(LIMIT, OURS) if LIMIT in timing.seconds else None


def kernels_section(settings: Settings, _limits: Limits) -> Section:
    """Measures all kernels; a table and a picture for each dtype."""
    section = Section("Kernels")
    try:
        package("typednn_kernels.compiled")
    except AbsentError as reason:
        section.note_absent({OURS: str(reason)})
        return section
    section.text.append(EXPLANATION)
    sizes, sides = settings.some(SIZES, (0, 2, 3, 5)), settings.some(SIDES, (0, 5, 8))
    measure = partial(measured, section, settings)
    for dtype in settings.dtypes:
        elementwise = [
            measure(case.name, case.traffic / 2, sizes, partial(elementwise_contest, case, dtype))
            for case in ELEMENTWISE
        ]
        dense = [
            measure(case.name, 1, sides, partial(dense_contest, case, dtype), rested=True) for case in DENSE
        ]
        for kind, curves, axis in (
            ("elementwise", elementwise, "numbers"),
            ("dense", dense, "units = inputs"),
        ):
            section.text.append(judged(section, f"{kind} kernels, {dtype}", curves))
            path = settings.output / f"{kind}-{dtype}.png"
            section.text.append(plots.kernels(curves, f"{kind.capitalize()} kernels, {dtype}", axis, path))
    return section


def measured(
    section: Section,
    settings: Settings,
    name: str,
    traffic: float,
    sizes: Sequence[int],
    contest_of: Callable[[int], KernelContest],
    *,
    rested: bool = False,
) -> Curve:
    """Checks and times the kernel at all sizes, the limit beside it at the largest there is.

    Before large runs the threads of BLAS fall asleep, if they are `rested`.
    """
    curve = Curve(name, traffic)
    with np.errstate(all="ignore"):
        for size in sizes:
            contest = contest_of(size)
            section.check(f"{name}, {contest.result.dtype}, at {size:,}", contest.check)
            contestants = [Contestant(who, run, contest.elements) for who, run in contest.runs.items()]
            if size in (SIZES[-1], SIDES[-1]):
                contestants.append(Contestant(LIMIT, limit(contest.result, size), contest.elements))
            long = contest.elements >= LARGE
            curve.timings[size] = compare(contestants, settings.budget(0.25, rested=rested and long))
    return curve


def limit(result: Array, size: int) -> Callable[[], object]:
    """A copy into the result of an elementwise kernel, a fill of the weights of a dense one."""
    if size == SIZES[-1]:
        target: Array = np.empty(size, result.dtype)
        return partial(np.copyto, target, np.ones_like(target))
    return partial(np.empty((size, size), result.dtype).fill, 1)


def judged(section: Section, name: str, curves: Sequence[Curve]) -> str:
    """The table of the ratios, and the verdicts."""
    sizes = list(curves[0].timings)
    lines: list[list[str]] = []
    everything: list[float] = []
    for curve in curves:
        ratios = [curve.ratio(size) for size in sizes]
        everything += ratios
        lowest = min(ratios)
        where = f"{curve.name}, {name}, at {sizes[ratios.index(lowest)]:,}"
        section.judge(where, lowest, targets.NOISE)
        share = curve.share()
        lines.append(
            [
                curve.name,
                *(number(ratio) if ratio >= targets.NOISE else f"**{number(ratio)}**" for ratio in ratios),
                number(curve.mean_ratio()),
                "–"
                if share is None
                else section.judge(f"{curve.name}, {name}: bandwidth", share, targets.BANDWIDTH),
            ]
        )
    mean = section.judge(f"{name}: geometric mean", geometric_mean(everything), targets.GEOMETRIC_MEAN)
    lines.append(["all", *[""] * len(sizes), mean, ""])
    return table((name, *(f"{size:,}" for size in sizes), "mean", "of the limit"), lines)

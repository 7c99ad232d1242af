"""Plots of the report: time against size for kernels, time per step for networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from pathlib import Path
from typing import Any, Protocol

from benchmarks.cases.kernel_comparison import OURS, PLAIN, TUNED
from benchmarks.installed import AbsentError, package
from benchmarks.timing import Timing

COLUMNS = 5
LINES = {
    PLAIN: {"color": "#b3bac4", "linewidth": 1.6, "marker": "o", "markersize": 3},
    TUNED: {"color": "#3f7cac", "linewidth": 1.8, "marker": "o", "markersize": 3},
    OURS: {"color": "#e4572e", "linewidth": 2.4, "marker": "o", "markersize": 4},
}
COLORS = ("#e4572e", "#f2a65a", "#2e4057", "#3f7cac", "#7b5ea7", "#58a55c", "#8d99ae")
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#9aa3ad",
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.grid": True,
    "grid.color": "#e8ebee",
    "xtick.color": "#5c6670",
    "ytick.color": "#5c6670",
    "text.color": "#22272b",
    "axes.labelcolor": "#5c6670",
    "savefig.dpi": 150,
}


class Curve(Protocol):
    """Times per element of a kernel, by size."""

    name: str
    timings: dict[int, Timing]

    def mean_ratio(self) -> float:
        """Returns the geometric mean over the sizes of the ratio of the faster NumPy version."""
        ...

    def bound(self) -> float | None:
        """Returns the time per element at the largest size if memory alone counts; None if not measured."""
        ...


def kernels(curves: Sequence[Curve], title: str, axis: str, path: Path) -> str:
    """Plots nanoseconds per element against size, one plot per kernel; returns Markdown that shows them.

    The title of a plot gives the mean ratio of NumPy over the sizes.
    """
    try:
        plt = _pyplot()
    except AbsentError as reason:
        return f"No plots: {reason}."
    columns = min(COLUMNS, len(curves))
    rows = ceil(len(curves) / columns)
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            rows, columns, figsize=(3 * columns, 2.35 * rows + 1), sharex=True, sharey=True, squeeze=False
        )
        for place, curve in zip(axes.flat, curves, strict=False):
            sizes = list(curve.timings)
            there = curve.timings[sizes[0]].seconds
            for name, style in ((name, style) for name, style in LINES.items() if name in there):
                times = [1e9 * curve.timings[size].median(name) for size in sizes]
                place.plot(sizes, times, label=name, zorder=3 if name == OURS else 2, **style)
            place.set(xscale="log", yscale="log", title=curve.name)
            place.set_title(f"× {curve.mean_ratio():.2g}", loc="right", color=LINES[OURS]["color"])
            if (bound := curve.bound()) is not None:
                place.hlines(
                    1e9 * bound, sizes[-3], sizes[-1], color="#22272b", linestyle=":", label="memory"
                )
        for place in list(axes.flat)[len(curves) :]:
            place.set_visible(False)
        for column in range(columns):
            lowest = max(i for i in range(column, len(curves), columns)) // columns
            axes[lowest, column].set_xlabel(axis)
            axes[lowest, column].tick_params(labelbottom=True)
        for row in axes[:, 0]:
            row.set_ylabel("ns per element")
        return _finished(figure, title, axes.flat[0].get_legend_handles_labels(), path)


def steps(timings: Mapping[str, Timing], title: str, path: Path) -> str:
    """Plots µs per step, one row per network and one dot per candidate; returns Markdown that shows it."""
    try:
        plt = _pyplot()
    except AbsentError as reason:
        return f"No plots: {reason}."
    names = list(dict.fromkeys(name for timing in timings.values() for name in timing.seconds))
    with plt.rc_context(STYLE):
        figure, place = plt.subplots(figsize=(9, 0.55 * len(timings) + 1.9))
        for row, timing in enumerate(timings.values()):
            times = [1e6 * timing.median(name) for name in timing.seconds]
            place.hlines(row, min(times), max(times), color="#d5dae0", linewidth=5, zorder=1)
        for name, color in zip(names, COLORS, strict=False):
            rows = [i for i, timing in enumerate(timings.values()) if name in timing.seconds]
            times = [1e6 * timing.median(name) for timing in timings.values() if name in timing.seconds]
            first = name == names[0]
            size = 110 if first else 55
            place.scatter(
                times, rows, s=size, color=color, label=name, zorder=4 if first else 3, edgecolor="white"
            )
        place.set(xscale="log", xlabel="µs per step", yticks=range(len(timings)), yticklabels=list(timings))
        place.set_ylim(len(timings) - 0.5, -0.5)
        place.xaxis.set_major_formatter("{x:g}")
        place.grid(axis="y", visible=False)
        place.tick_params(axis="y", length=0, labelcolor="#22272b")
        return _finished(figure, title, place.get_legend_handles_labels(), path)


def _pyplot() -> Any:
    package("matplotlib").use("Agg")
    return package("matplotlib.pyplot")


def _finished(figure: Any, title: str, legend: tuple[Any, Any], path: Path) -> str:
    height = figure.get_size_inches()[1]
    headline = figure.suptitle(
        title, x=0.01, y=1 - 0.1 / height, ha="left", va="top", fontsize=14, fontweight="bold"
    )
    key = figure.legend(
        *legend,
        loc="upper left",
        bbox_to_anchor=(0.0, 1 - 0.35 / height),
        ncols=len(legend[1]),
        frameon=False,
        columnspacing=1.2,
        handletextpad=0.4,
    )
    headline.set_in_layout(False)
    key.set_in_layout(False)
    figure.tight_layout(rect=(0, 0, 1, 1 - 0.75 / height))
    figure.savefig(path)
    package("matplotlib.pyplot").close(figure)
    return f"![{title}]({path.name})"

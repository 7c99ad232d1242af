"""The report: Markdown tables of ratios beside their targets, and a list of missed targets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.peers.registry import OURS
from benchmarks.report.targets import TargetResult, number
from benchmarks.timing import Timing

INTRODUCTION = (
    "Ratios say how many times longer a peer takes than typednn: the median over interleaved rounds. "
    "Before they are timed, all candidates are checked to compute the same."
)


@dataclass(slots=True)
class Section:
    """A section of the report.

    Attributes:
        title: its heading.
        text: its paragraphs, tables and plots, in Markdown.
        results: values that have a target.
        failures: comparisons whose candidates do not compute the same.
    """

    title: str
    text: list[str] = field(default_factory=list[str])
    results: list[TargetResult] = field(default_factory=list[TargetResult])
    failures: list[str] = field(default_factory=list[str])

    def record_target(self, what: str, value: float, target: float, *, most: bool = False) -> str:
        """Records a value that has a target and returns the text of both; `most`: the target is a maximum."""
        result = TargetResult(what, value, target, most)
        self.results.append(result)
        return str(result)

    def check(self, what: str, check: Callable[[], None]) -> None:
        """Runs the check of a comparison and records its failure."""
        try:
            check()
        except AssertionError as error:
            self.failures.append(f"{what}: {error}")

    def note_absent(self, absent: dict[str, str]) -> None:
        """Adds a line for each absent candidate, once."""
        for name, reason in absent.items():
            line = f"{name} did not take part: {reason}."
            if line not in self.text:
                self.text.append(line)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Returns a Markdown table; all columns but the first are right-aligned."""
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def ratio_row(
    section: Section, row: str, dtype: str, timing: Timing, peers: Sequence[str], targets: dict[str, float]
) -> list[str]:
    """Returns a row: the network, the time of typednn in µs, and the ratio of each peer."""
    cells = [row, number(timing.median(OURS) * 1e6)]
    for peer in peers:
        if peer not in timing.seconds:
            cells.append("–")
            continue
        ratio = timing.ratio(peer, OURS)
        target = targets.get(peer)
        what = f"{row}, {dtype}, against {peer}"
        cells.append(number(ratio) if target is None else section.record_target(what, ratio, target))
    return cells


def write(folder: Path, sections: Sequence[Section]) -> Path:
    """Writes `report.md` to a folder, met and missed targets first, and returns its path."""
    results = [(section, result) for section in sections for result in section.results]
    missed = [f"- {section.title}: {result.what}: {result}" for section, result in results if not result.met]
    failures = [f"- {section.title}: {line}" for section in sections for line in section.failures]
    summary = [f"{len(results) - len(missed)} of {len(results)} targets are met."]
    if missed:
        summary += ["Missed:", "\n".join(missed)]
    if failures:
        summary += ["Candidates that do not compute the same:", "\n".join(failures)]
    parts = [
        "# typednn: benchmarks",
        INTRODUCTION,
        "\n\n".join(summary),
    ]
    for section in sections:
        parts += [f"## {section.title}", *section.text]
    path = folder / "report.md"
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return path

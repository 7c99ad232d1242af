"""The report: Markdown tables of ratios, the targets beside them, and what was missed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.peers.peers import OURS
from benchmarks.report.targets import Verdict, number
from benchmarks.timing import Timing

INTRODUCTION = (
    "Ratios say how many times longer a peer takes than typednn: the median over interleaved rounds. "
    "Before they are timed, all contestants are checked to compute the same."
)


@dataclass(slots=True)
class Section:
    """A chapter of the report.

    Attributes:
        text: its paragraphs, tables and pictures, in Markdown.
        verdicts: the numbers that have a target.
        failures: where contestants did not compute the same.
    """

    title: str
    text: list[str] = field(default_factory=list[str])
    verdicts: list[Verdict] = field(default_factory=list[Verdict])
    failures: list[str] = field(default_factory=list[str])

    def judge(self, what: str, value: float, target: float, *, most: bool = False) -> str:
        """Notes a number that has a target; the text that says both."""
        verdict = Verdict(what, value, target, most)
        self.verdicts.append(verdict)
        return str(verdict)

    def check(self, what: str, check: Callable[[], None]) -> None:
        """Runs the check before a comparison; if it fails, the report says so."""
        try:
            check()
        except AssertionError as error:
            self.failures.append(f"{what}: {error}")

    def note_absent(self, absent: dict[str, str]) -> None:
        """Says who did not take part, and why; once."""
        for name, reason in absent.items():
            line = f"{name} did not take part: {reason}."
            if line not in self.text:
                self.text.append(line)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; all columns but the first are right-aligned."""
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def ratio_row(
    section: Section, row: str, dtype: str, timing: Timing, peers: Sequence[str], targets: dict[str, float]
) -> list[str]:
    """A row: the network, our time in µs, and how many times longer each peer takes."""
    cells = [row, number(timing.median(OURS) * 1e6)]
    for peer in peers:
        if peer not in timing.seconds:
            cells.append("–")
            continue
        ratio = timing.ratio(peer, OURS)
        target = targets.get(peer)
        what = f"{row}, {dtype}, against {peer}"
        cells.append(number(ratio) if target is None else section.judge(what, ratio, target))
    return cells


def write(folder: Path, sections: Sequence[Section]) -> Path:
    """Writes `report.md` into the folder, the verdict first."""
    verdicts = [(section, verdict) for section in sections for verdict in section.verdicts]
    missed = [
        f"- {section.title}: {verdict.what}: {verdict}" for section, verdict in verdicts if not verdict.met
    ]
    failures = [f"- {section.title}: {line}" for section in sections for line in section.failures]
    summary = [f"{len(verdicts) - len(missed)} of {len(verdicts)} targets are met."]
    if missed:
        summary += ["Missed:", "\n".join(missed)]
    if failures:
        summary += ["Contestants that do not compute the same:", "\n".join(failures)]
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

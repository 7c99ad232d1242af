"""Section on what a call costs: those that users write, on the data that users have."""

from __future__ import annotations

from benchmarks.cases.calls import COMPARISONS
from benchmarks.machine import Limits
from benchmarks.peers.registry import CALLS, OURS
from benchmarks.report import targets
from benchmarks.report.report import Section, table
from benchmarks.report.targets import number
from benchmarks.settings import Settings
from benchmarks.timing import compare
from typednn import use_threads

STEPWISE_SECONDS = 0.003
"""Seconds of one run of single steps with one sample, of which there are many: the shortest counts."""

PEERS = ("C", "JAX", "PyTorch", "ONNX Runtime", "scikit-learn", "textbook", OURS)
HEADS = (*PEERS[:-1], "the kernel alone")


def calls_section(settings: Settings, _limits: Limits) -> Section:
    """Measures calls of typednn beside those of the peers, all on one thread."""
    section = Section("What a call costs")
    section.text.append(
        "Each line is a call of typednn: its time (of trainings, the time per step), and how many times "
        "longer peers take for the same. All run on one thread. Times are the shortest of many runs by "
        "turns: whatever else the machine does makes a short call longer, never shorter."
    )
    lines: list[list[str]] = []
    with use_threads(1):
        for work, make in COMPARISONS.items():
            comparison = make("float32")
            section.check(work, comparison.check)
            section.note_absent(comparison.absent)
            timing = compare(comparison.candidates(STEPWISE_SECONDS), settings.budget(4))
            for call in [name for name in timing.seconds if name in CALLS]:
                of_all = targets.CALLS.get((work.partition(", ")[2], call), {})
                goals = targets.CALLS.get((work, call), of_all)
                line = [work, f"`{call}`", number(timing.shortest(call) * 1e6)]
                for peer in PEERS:
                    if peer not in timing.seconds:
                        line.append("")
                        continue
                    ratio, goal = timing.shortest(peer) / timing.shortest(call), goals.get(peer)
                    what = f"{work}, {call}, against {peer}"
                    line.append(number(ratio) if goal is None else section.record_target(what, ratio, goal))
                lines.append(line)
    section.text.append(table(("work, float32", "call", "typednn, µs", *HEADS), lines))
    return section

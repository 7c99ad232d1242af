"""Sections on training: online and with mini-batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from benchmarks.cases import training
from benchmarks.machine import SGEMM, Limits, large_product
from benchmarks.networks import BATCHES, LEARNING_RATES, ONLINE, Architecture
from benchmarks.peers.registry import BATCH_PEERS, ONLINE_PEERS, OURS, Peer
from benchmarks.report import plots, targets
from benchmarks.report.report import Section, ratio_row, table
from benchmarks.report.targets import number
from benchmarks.settings import Settings
from benchmarks.timing import Candidate, Timing, compare


def online_section(settings: Settings, _limits: Limits) -> Section:
    """Measures online SGD, one step per sample."""
    section = Section("Online SGD, one step per sample")
    for dtype in settings.dtypes:
        goals = targets.ONLINE
        if dtype != "float32":
            goals = {name: {"C": row["C"]} for name, row in goals.items()}
        rows = settings.subset(ONLINE, (0, 3))
        timings = training_table(section, settings, dtype, rows, training.online, ONLINE_PEERS, goals, 8)
        path = settings.output / f"online-{dtype}.png"
        section.text.append(plots.steps(timings, f"Online SGD, {dtype}", path))
    return section


def batches_section(settings: Settings, _limits: Limits) -> Section:
    """Measures mini-batches with SGD and with Adam."""
    section = Section("Mini-batches")
    section.text.append(
        f"In the plots, {SGEMM} is the time of the matrix products of a step at the speed of large products."
    )
    rows, goals = settings.subset(BATCHES, (0, 1)), targets.BATCHES
    for optimizer in LEARNING_RATES:
        section.text.append(f"### {optimizer}")
        comparison_of = partial(training.batches, optimizer=optimizer)
        timings = training_table(
            section, settings, "float32", rows, comparison_of, BATCH_PEERS, goals, 15, beside=_products
        )
        section.text.append(_fractions_of_peak(section, rows, timings))
        path = settings.output / f"batches-{optimizer}-float32.png"
        section.text.append(plots.steps(timings, f"Mini-batches with {optimizer}, float32", path))
    return section


def _products(architecture: Architecture) -> Sequence[Candidate]:
    """Returns the matrix products of a step, at the speed of large products."""
    return [large_product(architecture.flops * architecture.batch_size)]


def _fractions_of_peak(section: Section, rows: Sequence[Architecture], timings: dict[str, Timing]) -> str:
    """Returns a table: the fraction of the speed of large matrix products that each training reaches."""
    lines: list[list[str]] = []
    for architecture in rows:
        name, timing = architecture.name, timings[architecture.name]
        speed = 1e-9 * architecture.flops * architecture.batch_size / timing.median(OURS)
        reached = timing.ratio(SGEMM, OURS)
        fraction = number(reached)
        if architecture is BATCHES[-1]:
            fraction = section.record_target(f"{name}: fraction of the sgemm peak", reached, targets.SGEMM)
        lines.append([name, number(speed), fraction])
    return table(("network × batch", "typednn, GFLOP/s", "fraction of the sgemm peak"), lines)


def training_table(
    section: Section,
    settings: Settings,
    dtype: str,
    rows: Sequence[Architecture],
    comparison_of: Callable[[Architecture, str], training.TrainingComparison],
    peers: Sequence[Peer],
    goals: dict[str, dict[str, float]],
    seconds: float,
    beside: Callable[[Architecture], Sequence[Candidate]] = lambda _: (),
) -> dict[str, Timing]:
    """Checks and times the networks, adds a table to the section, and returns the times by network.

    Candidates that `beside` returns are timed with the others and have no column.
    """
    names = [peer.name for peer in peers[1:]]
    timings: dict[str, Timing] = {}
    lines: list[list[str]] = []
    for architecture in rows:
        comparison = comparison_of(architecture, dtype)
        section.check(f"{architecture.name}, {dtype}", comparison.check)
        section.note_absent(comparison.absent)
        candidates = [*comparison.candidates(settings.stepwise_seconds), *beside(architecture)]
        timing = compare(candidates, settings.budget(seconds, wait_for_idle=True))
        timings[architecture.name] = timing
        goal = goals.get(architecture.name, {})
        lines.append(ratio_row(section, architecture.name, dtype, timing, names, goal))
    section.text.append(table((f"network, {dtype}", "typednn, µs per step", *names), lines))
    return timings

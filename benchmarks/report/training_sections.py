"""The chapters on training: online, in mini-batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from benchmarks.cases import comparisons as contests
from benchmarks.cases.networks import BATCHES, LEARNING_RATES, ONLINE, Architecture
from benchmarks.machine import SGEMM, Limits, large_product
from benchmarks.peers.peers import BATCH_PEERS, ONLINE_PEERS, OURS, Peer
from benchmarks.report import plots, targets
from benchmarks.report.report import Section, ratio_row, table
from benchmarks.report.targets import number
from benchmarks.settings import Settings
from benchmarks.timing import Contestant, Timing, compare


def online_section(settings: Settings, _limits: Limits) -> Section:
    """Online SGD."""
    section = Section("Online SGD, a step for each sample")
    for dtype in settings.dtypes:
        goals = targets.ONLINE
        if dtype != "float32":
            goals = {name: {"C": row["C"]} for name, row in goals.items()}
        rows = settings.some(ONLINE, (0, 3))
        timings = training_table(section, settings, dtype, rows, contests.online, ONLINE_PEERS, goals, 8)
        path = settings.output / f"online-{dtype}.png"
        section.text.append(plots.steps(timings, f"Online SGD, {dtype}", path))
    return section


def batches_section(settings: Settings, _limits: Limits) -> Section:
    """Mini-batches, with SGD and with Adam."""
    section = Section("Mini-batches")
    section.text.append(
        f"In the plots {SGEMM} is what the matrix products of a step take at the speed of large ones."
    )
    rows = settings.some(BATCHES, (0, 1))
    for optimizer in LEARNING_RATES:
        section.text.append(f"### {optimizer}")
        contest_of = partial(contests.batches, optimizer=optimizer)
        timings = training_table(
            section, settings, "float32", rows, contest_of, BATCH_PEERS, targets.BATCHES, 15, beside=_products
        )
        section.text.append(_shares_of_peak(section, rows, timings))
        path = settings.output / f"batches-{optimizer}-float32.png"
        section.text.append(plots.steps(timings, f"Mini-batches with {optimizer}, float32", path))
    return section


def _products(architecture: Architecture) -> Sequence[Contestant]:
    """The matrix products of a step, as fast as large ones are."""
    return [large_product(architecture.flops * architecture.batch_size)]


def _shares_of_peak(section: Section, rows: Sequence[Architecture], timings: dict[str, Timing]) -> str:
    """How much of the machine's peak in matrix products each training reaches, as a table."""
    lines: list[list[str]] = []
    for architecture in rows:
        name, timing = architecture.name, timings[architecture.name]
        speed = 1e-9 * architecture.flops * architecture.batch_size / timing.median(OURS)
        reached = timing.ratio(SGEMM, OURS)
        share = number(reached)
        if architecture is BATCHES[-1]:
            share = section.judge(f"{name}: share of the sgemm peak", reached, targets.SGEMM)
        lines.append([name, number(speed), share])
    return table(("network × batch", "typednn, GFLOP/s", "of the sgemm peak"), lines)


def training_table(
    section: Section,
    settings: Settings,
    dtype: str,
    rows: Sequence[Architecture],
    contest_of: Callable[[Architecture, str], contests.TrainingContest],
    peers: Sequence[Peer],
    goals: dict[str, dict[str, float]],
    seconds: float,
    beside: Callable[[Architecture], Sequence[Contestant]] = lambda _: (),
) -> dict[str, Timing]:
    """Checks and times the networks one after another, and adds a table; the times by network.

    What runs `beside` the contestants is timed with them, and has no column.
    """
    names = [peer.name for peer in peers[1:]]
    timings: dict[str, Timing] = {}
    lines: list[list[str]] = []
    for architecture in rows:
        contest = contest_of(architecture, dtype)
        section.check(f"{architecture.name}, {dtype}", contest.check)
        section.note_absent(contest.absent)
        contestants = [*contest.contestants(settings.longest), *beside(architecture)]
        timing = compare(contestants, settings.budget(seconds, rested=True))
        timings[architecture.name] = timing
        goal = goals.get(architecture.name, {})
        lines.append(ratio_row(section, architecture.name, dtype, timing, names, goal))
    section.text.append(table((f"network, {dtype}", "typednn, µs a step", *names), lines))
    return timings

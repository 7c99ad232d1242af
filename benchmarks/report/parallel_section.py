"""Section on several trainings at a time, by `in_parallel`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from benchmarks.machine import Limits
from benchmarks.networks import BATCHES, Architecture, Task
from benchmarks.peers.registry import OURS
from benchmarks.peers.typednn import network
from benchmarks.report import targets
from benchmarks.report.report import Section, table
from benchmarks.report.targets import number
from benchmarks.settings import Settings
from benchmarks.timing import Candidate, compare
from typednn import History, in_parallel

NETWORKS, EPOCHS = 4, 10
ONE_AFTER_ANOTHER = "one after another"

Job = Callable[[], History]


def parallel_section(settings: Settings, _limits: Limits) -> Section:
    """Measures networks of one kind, trained by `fit` in one call of `in_parallel`."""
    section = Section("Several trainings at a time")
    lines: list[list[str]] = []
    for architecture in BATCHES[:2]:
        section.check(architecture.name, partial(check, architecture))
        jobs = trainings(architecture)
        timing = compare(
            [
                Candidate(OURS, partial(in_parallel, jobs), NETWORKS),
                Candidate(ONE_AFTER_ANOTHER, partial(one_after_another, jobs), NETWORKS),
            ],
            settings.budget(8, wait_for_idle=True),
        )
        ratio, target = timing.ratio(ONE_AFTER_ANOTHER, OURS), targets.IN_PARALLEL.get(architecture.name)
        cell = number(ratio) if target is None else section.record_target(architecture.name, ratio, target)
        lines.append([architecture.name, number(timing.median(OURS) * 1e3), cell])
    section.text.append(f"{NETWORKS} networks, {EPOCHS} epochs of Adam each, by `in_parallel`:")
    section.text.append(table(("network × batch", "ms per network", ONE_AFTER_ANOTHER), lines))
    return section


def trainings(architecture: Architecture) -> list[Job]:
    """Returns a training of some epochs for each network; they share their data."""
    task = Task(architecture, "float32")
    size = architecture.batch_size
    return [
        partial(network(task).fit, task.x, task.t, epochs=EPOCHS, batch_size=size, optimizer="adam")
        for _ in range(NETWORKS)
    ]


def one_after_another(jobs: list[Job]) -> list[History]:
    """Runs all trainings in this thread."""
    return [job() for job in jobs]


def check(architecture: Architecture) -> None:
    """Raises AssertionError unless both ways give the same losses, to the bit."""
    computed, reference = (
        [each.loss for each in run(trainings(architecture))] for run in (in_parallel, one_after_another)
    )
    np.testing.assert_array_equal(computed, reference)

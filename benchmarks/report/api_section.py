"""The chapter on what users call: the hand-written loop, the prediction of one sample, the cold start."""

from __future__ import annotations

import itertools
from functools import partial

from benchmarks import cold_start
from benchmarks.cases import comparisons as contests
from benchmarks.cases.networks import HAND_WRITTEN, PREDICTED, Architecture, Task
from benchmarks.cases.ours import LayersTrainer, TextbookTrainer
from benchmarks.machine import Limits
from benchmarks.peers.peers import CLASSIC_PEERS, PREDICTORS
from benchmarks.peers.textbook import IdleLayer
from benchmarks.report import targets
from benchmarks.report.report import Section, ratio_row, table
from benchmarks.report.targets import number
from benchmarks.report.training_sections import training_table
from benchmarks.settings import Settings
from benchmarks.timing import Contestant, compare


def doors_section(settings: Settings, _limits: Limits) -> Section:
    """Both doors, and the way to them."""
    section = Section("Doors")
    for dtype in settings.dtypes:
        section.text.append("The loop written by hand over a list of layers, a step for each sample:")
        goals = targets.HAND_WRITTEN
        training_table(section, settings, dtype, HAND_WRITTEN, contests.hand_written, CLASSIC_PEERS, goals, 3)
        section.text.append(limit_of_loop(settings, HAND_WRITTEN[0], dtype))
        section.text.append("The prediction of one sample:")
        section.text.append(prediction_table(section, settings, dtype))
    section.text.append(cold_start_table(section, settings))
    return section


def limit_of_loop(settings: Settings, architecture: Architecture, dtype: str) -> str:
    """How much faster than the textbook's any layers can be, in a loop written in Python."""
    task, steps = Task(architecture, dtype), 256
    book, pairs = TextbookTrainer(task), itertools.pairwise((1, *architecture.lengths))
    idle = LayersTrainer(task, [IdleLayer(*pair, task.dtype) for pair in pairs])
    contestants = [
        Contestant(name, partial(trainer.train, steps), steps, book.reset)
        for name, trainer in (("textbook", book), ("idle", idle))
    ]
    ratio = compare(contestants, settings.budget(3)).ratio("textbook", "idle")
    return (
        f"With layers that compute nothing, the loop on {architecture.name} is {number(ratio)} times as fast "
        "as with those of the textbook: the rest is what Python takes between the layers."
    )


def prediction_table(section: Section, settings: Settings, dtype: str) -> str:
    """Checks and times the prediction of one sample."""
    names = [peer.name for peer in PREDICTORS[1:]]
    lines: list[list[str]] = []
    for architecture in PREDICTED:
        contest = contests.PredictionContest(architecture, dtype)
        section.check(f"{architecture.name}, {dtype}", contest.check)
        section.note_absent(contest.absent)
        timing = compare(contest.contestants(), settings.budget(3))
        goals = targets.PREDICTED[architecture.name]
        lines.append(ratio_row(section, architecture.name, dtype, timing, names, goals))
    return table((f"network, {dtype}", "typednn, µs", *names), lines)


def cold_start_table(section: Section, settings: Settings) -> str:
    """Times what a fresh process waits for."""
    rounds = 3 if settings.quick else 11
    imports = cold_start.imports(11)
    ratio, step = imports.ratio("typednn", "numpy"), cold_start.first_step(rounds)
    rows = [
        ("`import typednn`, s", number(imports.median("typednn"))),
        ("`import typednn` / `import numpy`", section.judge("import", ratio, targets.IMPORT, most=True)),
        (
            "first training step after import, warm cache, s",
            section.judge("first step", step, targets.FIRST_STEP, most=True),
        ),
    ]
    if settings.quick:
        return table(("cold start", ""), rows)
    rows.append(("first training step ever, s", number(cold_start.first_ever())))
    try:
        taken = cold_start.warm_up()
    except RuntimeError as error:
        section.text.append(f"`typednn warmup` was not measured: {error}.")
    else:
        verdict = section.judge("everything compiled", taken, targets.FIRST_EVER, most=True)
        rows.append(("`typednn warmup`, nothing being compiled before, s", verdict))
    return table(("cold start", ""), rows)

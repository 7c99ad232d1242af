"""Section on calls of users: the hand-written loop and the prediction of one sample."""

from __future__ import annotations

import itertools
from functools import partial

from benchmarks.cases import training
from benchmarks.cases.prediction import PredictionComparison
from benchmarks.machine import Limits
from benchmarks.networks import HAND_WRITTEN, PREDICTED, Architecture, Task
from benchmarks.peers.layers_trainer import LayersTrainer, TextbookTrainer
from benchmarks.peers.registry import CLASSIC_PEERS, PREDICTORS
from benchmarks.peers.textbook import IdleLayer
from benchmarks.report import targets
from benchmarks.report.report import Section, ratio_row, table
from benchmarks.report.targets import number
from benchmarks.report.training_sections import training_table
from benchmarks.settings import Settings
from benchmarks.timing import Candidate, compare


def api_section(settings: Settings, _limits: Limits) -> Section:
    """Measures the layer API and `Network.predict`."""
    section = Section("The layer API and the Network API")
    for dtype in settings.dtypes:
        section.text.append("A hand-written loop over a list of layers, one step per sample:")
        goals = targets.HAND_WRITTEN
        training_table(section, settings, dtype, HAND_WRITTEN, training.hand_written, CLASSIC_PEERS, goals, 3)
        section.text.append(limit_of_loop(settings, HAND_WRITTEN[0], dtype))
        section.text.append("The prediction of one sample:")
        section.text.append(prediction_table(section, settings, dtype))
    return section


def limit_of_loop(settings: Settings, architecture: Architecture, dtype: str) -> str:
    """Measures the ratio that layers which compute nothing would reach in the hand-written loop."""
    task, steps = Task(architecture, dtype), 256
    book, pairs = TextbookTrainer(task), itertools.pairwise((1, *architecture.lengths))
    idle = LayersTrainer(task, [IdleLayer(*pair, task.dtype) for pair in pairs])
    candidates = [
        Candidate(name, partial(trainer.train, steps), steps, book.reset)
        for name, trainer in (("textbook", book), ("idle", idle))
    ]
    ratio = compare(candidates, settings.budget(3)).ratio("textbook", "idle")
    return (
        f"With layers that compute nothing, the loop on {architecture.name} is {number(ratio)} times as fast "
        "as with the textbook layers: the remaining time is Python code between the layers."
    )


def prediction_table(section: Section, settings: Settings, dtype: str) -> str:
    """Checks and times the prediction of one sample; returns a table."""
    names = [peer.name for peer in PREDICTORS[1:]]
    lines: list[list[str]] = []
    for architecture in PREDICTED:
        comparison = PredictionComparison(architecture, dtype)
        section.check(f"{architecture.name}, {dtype}", comparison.check)
        section.note_absent(comparison.absent)
        timing = compare(comparison.candidates(), settings.budget(3))
        goals = targets.PREDICTED[architecture.name]
        lines.append(ratio_row(section, architecture.name, dtype, timing, names, goals))
    return table((f"network, {dtype}", "typednn, µs", *names), lines)

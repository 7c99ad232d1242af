"""Section on the estimators of `typednn.sklearn`, compared with those of scikit-learn."""

from __future__ import annotations

import warnings
from time import perf_counter
from typing import Any

from benchmarks.cases import estimators
from benchmarks.machine import Limits
from benchmarks.peers.registry import OURS
from benchmarks.report import targets
from benchmarks.report.report import Section, table
from benchmarks.report.targets import number
from benchmarks.settings import Settings
from benchmarks.timing import Candidate, compare

SETTINGS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("adam", {"solver": "adam"}),
    ("sgd", {"solver": "sgd"}),
    ("adam, batch_size=1", {"solver": "adam", "max_iter": 2, "batch_size": 1}),
    ("sgd, batch_size=1", {"solver": "sgd", "max_iter": 2, "batch_size": 1}),
)


def sklearn_section(settings: Settings, _limits: Limits) -> Section:
    """Measures fits, predictions of one row, a grid search and held-out scores."""
    section = Section("scikit-learn's multilayer perceptrons")
    tables = estimators.tables()
    chosen = settings.subset(tuple(tables), (1, 4))
    with estimators.one_thread():
        section.text.append(fit_table(section, settings, chosen))
        section.text.append(thread_table(section, settings, chosen))
        section.text.append(prediction_table(section, settings, tables[1]))
        if not settings.quick:
            section.text.append(score_table(section, chosen))
    if not settings.quick:
        section.text.append(search_text(section, tables[0], tables[1]))
    return section


def fit_table(section: Section, settings: Settings, chosen: tuple[estimators.Table, ...]) -> str:
    """Times whole fits on one thread; returns a table of milliseconds and of scikit-learn's multiples."""
    lines: list[list[str]] = []
    for each in chosen:
        line = [each.name]
        for name, given in SETTINGS:
            target = targets.ESTIMATORS["batch_size=1" if "batch_size" in given else "fit"]
            ours, ratio = measured(settings, estimators.fits(each, **given), 4)
            result = section.record_target(f"{each.name}, {name}", ratio, target)
            line.append(f"{number(ours * 1e3)} ms, {result}")
        lines.append(line)
    return table(("fit on one thread", *(name for name, _ in SETTINGS)), lines)


def thread_table(section: Section, settings: Settings, chosen: tuple[estimators.Table, ...]) -> str:
    """Times whole fits on one thread and on two; returns a table of ratios."""
    lines: list[list[str]] = []
    for each in chosen:
        line = [each.name]
        for name, given in SETTINGS[:2]:
            timing = compare(estimators.fits_on_threads(each, **given), settings.budget(2))
            ratio = timing.ratio("1", "2")
            line.append(section.record_target(f"{each.name}, {name}, threads", ratio, targets.TWO_THREADS))
        lines.append(line)
    return table(("fit: time on one thread / on two", *(name for name, _ in SETTINGS[:2])), lines)


def prediction_table(section: Section, settings: Settings, each: estimators.Table) -> str:
    """Times predictions of one row; returns a table."""
    lines: list[list[str]] = []
    for method in ("predict", "predict_proba"):
        ours, ratio = measured(settings, estimators.predictions(each, method), 2)
        target = targets.ESTIMATORS["row"]
        result = section.record_target(f"{method} of one row", ratio, target)
        lines.append([f"{method} of one row, {each.name}", number(ours * 1e6), result])
    return table(("", "typednn, µs", "scikit-learn"), lines)


def score_table(section: Section, chosen: tuple[estimators.Table, ...]) -> str:
    """Compares held-out scores over the seeds; returns a table."""
    lines: list[list[str]] = []
    for each in chosen:
        for solver in ("adam", "sgd"):
            found = estimators.scores(each, solver=solver, max_iter=100)
            p = section.record_target(
                f"{each.name}, {solver}: p of equal scores", found.p, targets.SAME_SCORES
            )
            lines.append([f"{each.name}, {solver}", f"{found.ours:.4f}", f"{found.theirs:.4f}", p])
    head = (f"held-out score, {estimators.SEEDS} seeds", "typednn", "scikit-learn", "p of a paired t test")
    return table(head, lines)


def search_text(section: Section, each: estimators.Table, warm_up: estimators.Table) -> str:
    """Times a grid search of each package in two processes, which a search of another table has started."""
    seconds: dict[str, float] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for candidate in estimators.searches(warm_up):
            candidate.run()
        for candidate in estimators.searches(each):
            began = perf_counter()
            candidate.run()
            seconds[candidate.name] = perf_counter() - began
    ratio = seconds["scikit-learn"] / seconds[OURS]
    result = section.record_target("GridSearchCV", ratio, targets.ESTIMATORS["search"])
    return (
        f"GridSearchCV of 40 candidates × 5 folds on {each.name}, n_jobs=2: {number(seconds[OURS])} s; "
        f"scikit-learn takes {result} times as long."
    )


def measured(settings: Settings, candidates: list[Candidate], seconds: float) -> tuple[float, float]:
    """Returns the seconds of a call, and how many times longer scikit-learn takes."""
    timing = compare(candidates, settings.budget(seconds))
    return timing.median(OURS), timing.ratio("scikit-learn", OURS)

"""Fits, scores and searches of the same estimators of scikit-learn and of `typednn.sklearn`, on tables."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal

import numpy as np

from benchmarks.installed import package
from benchmarks.networks import Array
from benchmarks.timing import Candidate
from typednn import use_threads

sklearn: Any = package("sklearn")
datasets: Any = package("sklearn.datasets")
selection: Any = package("sklearn.model_selection")
preprocessing: Any = package("sklearn.preprocessing")
stats: Any = package("scipy.stats")
threadpoolctl: Any = package("threadpoolctl")
PACKAGES: dict[str, Any] = {
    "typednn": package("typednn.sklearn"),
    "scikit-learn": package("sklearn.neural_network"),
}

SEEDS = 20


@dataclass(frozen=True, slots=True)
class Table:
    """A table of samples: its name, its samples, its targets, and whether they are numbers."""

    name: str
    x: Array
    y: Array
    numbers: bool


def tables() -> list[Table]:
    """Returns the tables, standardised: five of scikit-learn's, and 8,000 × 8 numbers."""
    found: list[Table] = []
    for name in ("digits", "iris", "wine", "breast_cancer", "diabetes"):
        x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
        numbers = name == "diabetes"
        found.append(Table(name, preprocessing.scale(x), preprocessing.scale(y) if numbers else y, numbers))
    random = np.random.default_rng(0)
    x = random.normal(size=(8000, 8))
    y = np.sin(x[:, 0]) + x[:, 1] * x[:, 2] + 0.1 * random.normal(size=8000)
    found.append(Table("8,000 × 8", x, y, numbers=True))
    return found


def estimator(package_name: str, table: Table, **settings: Any) -> Any:
    """Returns an estimator for a table."""
    kind = "MLPRegressor" if table.numbers else "MLPClassifier"
    return getattr(PACKAGES[package_name], kind)(**settings)


def fits(table: Table, **settings: Any) -> list[Candidate]:
    """Returns the fits of both packages, with the same settings."""

    def fit_of(name: str) -> Callable[[], object]:
        return lambda: estimator(name, table, random_state=0, **settings).fit(table.x, table.y)

    return [Candidate(name, fit_of(name)) for name in PACKAGES]


def fits_on_threads(table: Table, **settings: Any) -> list[Candidate]:
    """Returns the fits of typednn on one thread and on two."""

    def fit_on(threads: int) -> Callable[[], object]:
        model = estimator("typednn", table, random_state=0, threads=threads, **settings)
        return lambda: model.fit(table.x, table.y)

    return [Candidate(str(threads), fit_on(threads)) for threads in (1, 2)]


def predictions(table: Table, method: Literal["predict", "predict_proba"]) -> list[Candidate]:
    """Returns the predictions of one row by both packages."""
    row = table.x[:1]

    def call_of(name: str) -> Callable[[], object]:
        call = getattr(estimator(name, table, random_state=0, max_iter=2).fit(table.x, table.y), method)
        return lambda: call(row)

    return [Candidate(name, call_of(name)) for name in PACKAGES]


def searches(table: Table) -> list[Candidate]:
    """Returns grid searches of both packages: 40 candidates, 5 folds, two processes."""
    grid = {
        "hidden_layer_sizes": [(16,), (32,), (64,), (100,), (32, 16)],
        "alpha": [1e-5, 1e-4, 1e-3, 1e-2],
        "learning_rate_init": [1e-3, 1e-2],
    }

    def search_of(name: str) -> Callable[[], object]:
        model = estimator(name, table, random_state=0, max_iter=100)
        return lambda: selection.GridSearchCV(model, grid, cv=5, n_jobs=2).fit(table.x, table.y)

    return [Candidate(name, search_of(name)) for name in PACKAGES]


@dataclass(frozen=True, slots=True)
class Scores:
    """Held-out scores of both packages: their means, and p of a paired t test over the seeds."""

    ours: float
    theirs: float
    p: float


def scores(table: Table, **settings: Any) -> Scores:
    """Scores both packages on a held-out quarter, for `SEEDS` splits with seeds of their own.

    The weights of each package are drawn with other seeds than those of the other, so that the comparison is
    of two ways to train and not of equal random numbers.
    """
    found: dict[str, list[float]] = {name: [] for name in PACKAGES}
    for seed in range(SEEDS):
        x, held_x, y, held_y = selection.train_test_split(table.x, table.y, random_state=seed)
        for offset, (name, mine) in enumerate(found.items()):
            model = estimator(name, table, random_state=1000 * offset + seed, **settings)
            mine.append(float(model.fit(x, y).score(held_x, held_y)))
    ours, theirs = found.values()
    if ours == theirs:
        return Scores(fmean(ours), fmean(theirs), 1.0)
    return Scores(fmean(ours), fmean(theirs), float(stats.ttest_rel(ours, theirs).pvalue))


@contextmanager
def one_thread() -> Generator[None]:
    """Limits both packages to one thread, and ignores that few epochs do not converge."""
    with warnings.catch_warnings(), threadpoolctl.threadpool_limits(1), use_threads(1):
        warnings.simplefilter("ignore")
        yield

"""Cross-validation, and a random search for settings; the trainings run in parallel, one per core."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from typednn_kernels.activations import ActivationName

from typednn.cli.output import headline
from typednn.cli.settings import Settings
from typednn.cli.train import Prepared, default_batch_size, fit, prepare
from typednn.data.preprocessing import folds_of, others
from typednn.data.reading import Data
from typednn.errors import DivergenceError
from typednn.parallel import in_parallel

T = TypeVar("T")

TUNING_FOLDS = 3
"""The number of folds by which the trials of a search are compared."""

ACTIVATIONS: tuple[ActivationName, ...] = ("relu", "tanh", "gelu", "silu")


@dataclass(frozen=True, slots=True)
class Trial:
    """A trial of a random search.

    Attributes:
        settings: its settings.
        score: the mean of the accuracy or R² over the folds; -inf where a training diverged.
    """

    settings: Settings
    score: float

    def changes(self) -> dict[str, object]:
        """Returns the settings that the search has drawn."""
        drawn = ("hidden", "activation", "learning_rate", "batch_size", "dropout", "l2")
        return {name: getattr(self.settings, name) for name in drawn}


def cross_validate(prepared: Prepared, settings: Settings, count: int) -> list[dict[str, float]]:
    """Trains with all folds but one, for each fold, in parallel; returns the main measures of each fold.

    Raises:
        SettingError: there are fewer than 2 folds, or fewer samples than folds.
        DataError, DivergenceError: as `train`.
    """
    samples = len(prepared)
    folds = folds_of(samples, count, settings.seed, prepared.labels)

    def measure(held: NDArray[np.int64]) -> dict[str, float]:
        model, _ = fit(prepared, settings, others(samples, held))
        return headline(prepared.measure(model, held))

    return all_of([partial(measure, held) for held in folds])


def tune(
    data: Data, settings: Settings, trials: int, on_trial: Callable[[Trial], None] | None = None
) -> list[Trial]:
    """Searches for settings at random: trains each trial on folds, in parallel; returns them, best first.

    The first trial has the settings that were given; hidden layers, activation, learning rate, batch size,
    dropout and L2 penalty of the others are drawn.

    Raises:
        DataError, SettingError: the data do not allow training.
    """
    prepared = prepare(data, settings)
    random = np.random.default_rng(settings.seed)
    tried = [settings, *(draw(settings, len(prepared), random) for _ in range(trials - 1))]
    folds = folds_of(len(prepared), TUNING_FOLDS, settings.seed, prepared.labels)

    def run(each: Settings) -> Trial:
        try:
            scores = [_score(prepared, each, held) for held in folds]
        except DivergenceError:
            scores = [-np.inf]
        trial = Trial(each, float(np.mean(scores)))
        if on_trial is not None:
            on_trial(trial)
        return trial

    found = all_of([partial(run, each) for each in tried])
    return sorted(found, key=lambda trial: -trial.score)


def all_of(jobs: list[Callable[[], T]]) -> list[T]:
    """Calls functions in parallel; where some raise exceptions, the first is raised alone."""
    try:
        return in_parallel(jobs)
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None


def _score(prepared: Prepared, settings: Settings, held: NDArray[np.int64]) -> float:
    model, _ = fit(prepared, settings, others(len(prepared), held))
    return next(iter(headline(prepared.measure(model, held)).values()))


def draw(settings: Settings, samples: int, random: np.random.Generator) -> Settings:
    """Draws the settings of a trial."""
    width = int(2 ** random.integers(4, 9))
    depth = int(random.integers(1, 4))
    size = default_batch_size(samples)
    return replace(
        settings,
        hidden=tuple(max(8, width >> k) for k in range(depth)),
        activation=ACTIVATIONS[int(random.integers(len(ACTIVATIONS)))],
        learning_rate=float(f"{10 ** random.uniform(-3.5, -1.5):.2g}"),
        batch_size=int(np.clip(size * 2.0 ** random.integers(-1, 3), 8, 1024)),
        dropout=(0.0, 0.0, 0.1, 0.3)[int(random.integers(4))],
        l2=float(f"{10 ** random.uniform(-6, -2):.2g}"),
    )

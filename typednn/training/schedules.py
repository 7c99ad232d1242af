"""Learning-rate schedules: one class each.

A schedule takes the place of a number: `SGD(learning_rate=CosineDecay(0.1, 1000))`. A step is one update of
the parameters, by one batch. Steps are counted from 0, as in Keras, from which the names come where it has
the schedule.

>>> from typednn import ExponentialDecay
>>> halved = ExponentialDecay(0.1, decay_steps=100, decay_rate=0.5)
>>> [halved(step) for step in (0, 100, 200)]
[0.1, 0.05, 0.025]
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from math import inf
from typing import TypeAlias

import numpy as np
from typednn_kernels.arrays import Vector

from typednn.errors import SettingError
from typednn.records import Record
from typednn.validation.settings import check_count, check_nonnegative, check_positive, check_sequence

StepNumbers: TypeAlias = Vector[np.float64]
"""Numbers of updates made before, `(n,)`."""

Rates: TypeAlias = Vector[np.float64]
"""Learning rates, `(n,)`."""

State: TypeAlias = tuple[float, ...]
"""The state of a schedule that depends on losses; empty where it depends on the step alone."""


class Schedule(ABC):
    """The base class of schedules; `schedule(step)` is the learning rate of a step.

    A schedule is immutable. One that depends on losses computes a `State`, which begins as `start` and which
    `observe` replaces after each epoch.
    """

    @property
    def start(self) -> State:
        """The state before the first epoch."""
        return ()

    @abstractmethod
    def rates(self, steps: StepNumbers, state: State) -> Rates:
        """Computes the learning rates of some steps, `(n,)`."""

    def observe(self, state: State, loss: float) -> State:
        """Returns the state after an epoch, given its validation loss, or without that its training loss."""
        return state

    def __call__(self, step: int) -> float:
        """Computes the learning rate of one step, from the state before the first epoch."""
        return float(self.rates(np.array([step], np.float64), self.start)[0])


class _Decay(Record, Schedule):
    """A schedule that decays at a rate per `decay_steps` steps."""

    initial_learning_rate: float
    decay_steps: int
    decay_rate: float

    def __post_init__(self) -> None:
        check_positive("initial_learning_rate", self.initial_learning_rate)
        check_count("decay_steps", self.decay_steps, 1)
        check_positive("decay_rate", self.decay_rate)


class StepDecay(_Decay):
    """Decays in stairs: initial_learning_rate · decay_rate^⌊step / decay_steps⌋.

    Raises:
        SettingError: a number is not positive, or decay_steps is not an integer.

    >>> StepDecay(0.1, decay_steps=10, decay_rate=0.5)(29)
    0.025
    """

    def rates(self, steps: StepNumbers, state: State) -> Rates:
        return self.initial_learning_rate * self.decay_rate ** np.floor(steps / self.decay_steps)


class ExponentialDecay(_Decay):
    """Decays exponentially: initial_learning_rate · decay_rate^(step / decay_steps).

    Raises:
        SettingError: a number is not positive, or decay_steps is not an integer.

    >>> ExponentialDecay(0.1, decay_steps=10, decay_rate=0.25)(5)
    0.05
    """

    def rates(self, steps: StepNumbers, state: State) -> Rates:
        return self.initial_learning_rate * self.decay_rate ** (steps / self.decay_steps)


class InverseTimeDecay(_Decay):
    """Decays inversely with time: initial_learning_rate / (1 + decay_rate · step / decay_steps).

    Raises:
        SettingError: a number is not positive, or decay_steps is not an integer.

    >>> InverseTimeDecay(0.1, decay_steps=10, decay_rate=1.0)(30)
    0.025
    """

    def rates(self, steps: StepNumbers, state: State) -> Rates:
        return self.initial_learning_rate / (1 + self.decay_rate * steps / self.decay_steps)


class PiecewiseConstantDecay(Record, Schedule):
    """Takes values[0] up to and including step boundaries[0], values[1] up to boundaries[1], and so on.

    Raises:
        SettingError: a value is not positive, the boundaries are not increasing integers, or there is not
            exactly one value more than boundaries.

    >>> schedule = PiecewiseConstantDecay([10, 20], [0.1, 0.01, 0.001])
    >>> [schedule(step) for step in (10, 11, 21)]
    [0.1, 0.01, 0.001]
    """

    boundaries: Sequence[int]
    values: Sequence[float]

    def __post_init__(self) -> None:
        """Checks the settings and stores them as tuples."""
        for name in ("boundaries", "values"):
            check_sequence(f"{name} of PiecewiseConstantDecay", getattr(self, name))
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for boundary in self.boundaries:
            check_count("boundaries of PiecewiseConstantDecay", boundary, 0)
        if any(lower >= upper for lower, upper in pairwise(self.boundaries)):
            raise SettingError(f"boundaries must rise, not be {self.boundaries}")
        for value in self.values:
            check_positive("values of PiecewiseConstantDecay", value)
        if len(self.values) != len(self.boundaries) + 1:
            raise SettingError(
                f"{len(self.boundaries)} boundaries need {len(self.boundaries) + 1} values, "
                f"not {len(self.values)}"
            )

    def rates(self, steps: StepNumbers, state: State) -> Rates:
        places = np.searchsorted(np.array(self.boundaries, np.float64), steps)
        return np.array(self.values, np.float64)[places]


class CosineDecay(Record, Schedule):
    """Decays along half a cosine to `alpha` times the learning rate, in `decay_steps` steps.

    Loshchilov & Hutter 2017, "SGDR: stochastic gradient descent with warm restarts", equation 5, without
    restarts. With a `warmup_target`, the learning rate first rises linearly from `initial_learning_rate` to
    the target in `warmup_steps` steps and decays from there.

    Raises:
        SettingError: a number is outside its range, or only one of the two warm-up settings is given.

    >>> schedule = CosineDecay(0.0, decay_steps=20, warmup_target=0.1, warmup_steps=10)
    >>> [round(schedule(step), 6) for step in (0, 5, 10, 20, 30)]
    [0.0, 0.05, 0.1, 0.05, 0.0]
    """

    initial_learning_rate: float
    decay_steps: int
    alpha: float = 0.0
    warmup_target: float | None = None
    warmup_steps: int = 0

    def __post_init__(self) -> None:
        check_count("decay_steps", self.decay_steps, 1)
        _check_warm_up(self)

    def rates(self, steps: StepNumbers, state: State) -> Rates:
        done = np.minimum((steps - self.warmup_steps) / self.decay_steps, 1)
        return _warmed_up(self, steps, _cosine(1.0, self.alpha, done))


class CosineDecayRestarts(Record, Schedule):
    """Repeats `CosineDecay` with warm restarts.

    Loshchilov & Hutter 2017, "SGDR: stochastic gradient descent with warm restarts", equation 5. The first
    decay takes `first_decay_steps` steps; each further one is `t_mul` times as long as the one before. With a
    fraction p of decay k done, the learning rate is initial_learning_rate · ((1 - alpha) · m_mulᵏ ·
    (1 + cos π p) / 2 + alpha), as in Keras. The warm-up is that of `CosineDecay`.

    Raises:
        SettingError: a number is outside its range, or only one of the two warm-up settings is given.

    >>> schedule = CosineDecayRestarts(0.1, first_decay_steps=10, m_mul=0.5)
    >>> [round(schedule(step), 6) for step in (0, 5, 10, 20, 30)]
    [0.1, 0.05, 0.05, 0.025, 0.025]
    """

    initial_learning_rate: float
    first_decay_steps: int
    t_mul: float = 2.0
    m_mul: float = 1.0
    alpha: float = 0.0
    warmup_target: float | None = None
    warmup_steps: int = 0

    def __post_init__(self) -> None:
        check_count("first_decay_steps", self.first_decay_steps, 1)
        check_positive("m_mul", self.m_mul)
        check_positive("t_mul", self.t_mul)
        if self.t_mul < 1:
            raise SettingError(f"t_mul must be 1 or more, not {self.t_mul!r}")
        _check_warm_up(self)

    def rates(self, steps: StepNumbers, state: State) -> Rates:
        time = np.maximum((steps - self.warmup_steps) / self.first_decay_steps, 0)
        if self.t_mul == 1:
            restarts = np.floor(time)
        else:
            restarts = np.floor(np.log1p(time * (self.t_mul - 1)) / np.log(self.t_mul))
            restarts += time >= self._time_of(restarts + 1)  # corrects rounding, by one either way
            restarts -= time < self._time_of(restarts)
        done = (time - self._time_of(restarts)) / self.t_mul**restarts
        heights = (1 - self.alpha) * self.m_mul**restarts
        return _warmed_up(self, steps, _cosine(heights, 0.0, done) + self.alpha)

    def _time_of(self, restarts: StepNumbers) -> StepNumbers:
        """Computes when the decay after `restarts` restarts begins, in lengths of the first decay."""
        return restarts if self.t_mul == 1 else (self.t_mul**restarts - 1) / (self.t_mul - 1)


class OneCycle(Record, Schedule):
    """Rises to the largest learning rate and falls to almost 0, each along half a cosine.

    Smith & Topin 2018, "Super-convergence" (arXiv:1708.07120); settings and defaults are those of PyTorch's
    OneCycleLR. The learning rate starts at max_learning_rate / div_factor, reaches the maximum after the
    fraction `pct_start` of the steps, and ends at its start divided by final_div_factor, where it stays.

    Raises:
        SettingError: a number is outside its range, or the rise takes less than one step.

    >>> schedule = OneCycle(0.1, total_steps=20)
    >>> [round(schedule(step), 8) for step in (0, 5, 19)]
    [0.004, 0.1, 4e-07]
    """

    max_learning_rate: float
    total_steps: int
    pct_start: float = 0.3
    div_factor: float = 25.0
    final_div_factor: float = 1e4

    def __post_init__(self) -> None:
        check_positive("max_learning_rate", self.max_learning_rate)
        check_count("total_steps", self.total_steps, 2)
        check_nonnegative("pct_start", self.pct_start, 1)
        check_positive("div_factor", self.div_factor)
        check_positive("final_div_factor", self.final_div_factor)
        if self.pct_start * self.total_steps <= 1:
            raise SettingError(
                f"pct_start {self.pct_start!r} of {self.total_steps} total_steps must be more than one step"
            )

    def rates(self, steps: StepNumbers, state: State) -> Rates:
        last, top = self.total_steps - 1, self.pct_start * self.total_steps - 1
        first_rate = self.max_learning_rate / self.div_factor
        last_rate = first_rate / self.final_div_factor
        up = _cosine(self.max_learning_rate, first_rate, 1 - steps / top)
        down = _cosine(self.max_learning_rate, last_rate, np.minimum((steps - top) / (last - top), 1))
        return np.where(steps <= top, up, down)


class ReduceOnPlateau(Record, Schedule):
    """Multiplies the learning rate by `factor` when the loss has not fallen for `patience` epochs.

    It follows Keras' ReduceLROnPlateau. A loss has fallen if it is lower than the lowest by more than
    `min_delta`. After a reduction, `cooldown` epochs pass before epochs are counted again. The learning rate
    never falls below `min_learning_rate`. The loss is that of the validation data, or without them of
    training.

    The state holds the learning rate, the lowest loss, the epochs counted, and the remaining cooldown epochs.

    Raises:
        SettingError: a number is outside its range.

    >>> plateau = ReduceOnPlateau(0.1, factor=0.5, patience=2)
    >>> state = plateau.start
    >>> for loss in (1.0, 0.8, 0.8, 0.9):
    ...     state = plateau.observe(state, loss)
    >>> state
    (0.05, 0.8, 0.0, 0.0)
    """

    initial_learning_rate: float
    factor: float = 0.1
    patience: int = 10
    min_delta: float = 1e-4
    cooldown: int = 0
    min_learning_rate: float = 0.0

    def __post_init__(self) -> None:
        check_positive("initial_learning_rate", self.initial_learning_rate)
        check_positive("factor", self.factor)
        check_nonnegative("factor", self.factor, 1)
        check_count("patience", self.patience, 1)
        check_nonnegative("min_delta", self.min_delta)
        check_count("cooldown", self.cooldown, 0)
        check_nonnegative("min_learning_rate", self.min_learning_rate)

    @property
    def start(self) -> State:
        return self.initial_learning_rate, inf, 0.0, 0.0

    def rates(self, steps: StepNumbers, state: State) -> Rates:
        return np.full(len(steps), state[0])

    def observe(self, state: State, loss: float) -> State:
        rate, best, waited, cooling = state
        if cooling > 0:
            cooling, waited = cooling - 1, 0.0
        if loss < best - self.min_delta:
            return rate, loss, 0.0, cooling
        if cooling > 0:
            return rate, best, waited, cooling
        waited += 1
        if waited >= self.patience and rate > self.min_learning_rate:
            return max(rate * self.factor, self.min_learning_rate), best, 0.0, float(self.cooldown)
        return rate, best, waited, cooling


def _cosine(highest: Rates | float, lowest: float, done: StepNumbers) -> Rates:
    """Computes half a cosine that falls from `highest` at `done` = 0 to `lowest` at `done` = 1."""
    return (highest - lowest) * (0.5 * (1 + np.cos(np.pi * done))) + lowest


def _warmed_up(schedule: CosineDecay | CosineDecayRestarts, steps: StepNumbers, decay: Rates) -> Rates:
    """Computes the linear warm-up, followed by the decay of the learning rate that it ends at."""
    first, target = schedule.initial_learning_rate, schedule.warmup_target
    if target is None:
        return first * decay
    rising = first + (target - first) * (steps / schedule.warmup_steps)
    return np.where(steps < schedule.warmup_steps, rising, target * decay)


def _check_warm_up(schedule: CosineDecay | CosineDecayRestarts) -> None:
    check_nonnegative("alpha", schedule.alpha)
    check_count("warmup_steps", schedule.warmup_steps, 0)
    if schedule.warmup_target is None:
        check_positive("initial_learning_rate", schedule.initial_learning_rate)
        if schedule.warmup_steps != 0:
            raise SettingError("warmup_steps needs warmup_target, the learning rate that they lead to")
        return
    check_nonnegative("initial_learning_rate", schedule.initial_learning_rate)
    check_positive("warmup_target", schedule.warmup_target)
    check_count("warmup_steps", schedule.warmup_steps, 1)

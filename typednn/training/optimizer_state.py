"""The state of an optimiser during a training: its step, its moments, and the parameters that it updates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from math import inf
from typing import Generic, cast

import numpy as np
from numpy.typing import NDArray
from typednn_kernels.arrays import F, Matrix, Ranges
from typednn_kernels.layout import BIASES, LENGTH, WEIGHTS
from typednn_kernels.normalizations import settings_of
from typednn_kernels.operands import OptimizerSteps
from typednn_kernels.update_rules import CODES

from typednn.errors import SettingError, ShapeError
from typednn.layers.storage import Storage
from typednn.training.optimizers import SGD, Optimizer, Rprop
from typednn.training.schedules import Rates, Schedule
from typednn.validation.arrays import read_only
from typednn.validation.settings import check_positive

ASSIGNED_RATE = "learning_rate"
"""The name of the learning rate in the state of a training that assigned it."""

KEY = "key"
"""The name of the key in the state of a training that has drawn one."""

OPTIONAL = frozenset({ASSIGNED_RATE, KEY})
"""The names that only some states have."""
MAX_STEP = 1 << 53
"""A number of steps that no training makes, up to which floats count."""

MAX_STEPS_AHEAD = 256
"""The number of steps for which coefficients are computed in advance, where the learning rate is constant."""


SAFE_DIVISORS = {
    name: float(np.finfo(name).tiny) / float(np.finfo(name).eps) for name in ("float32", "float64")
}
"""By dtype, the divisors from which on a step from finite gradients is finite."""


class OptimizerState(Generic[F]):
    """The state of an optimiser, in the form that the kernels read.

    Attributes:
        optimizer: the optimiser, with the learning rate that was assigned, if any.
        given: the optimiser as it was given.
        rule: the code of the update rule.
        trainable_ranges, penalties: the ranges of parameters that are trained, and their L1 and L2
            coefficients, both `(n_ranges, 2)`.
        states: the vectors that the rule keeps, such as moments, `(n_states, n_parameters)`.
        step: the number of updates that have been made.
        key: the random key that dropout and the order of samples follow from, if it has been drawn.
        constant_sgd_rate: the learning rate of plain gradient descent on all parameters with a constant
            learning rate and no penalty, else None.
        may_divide_by_zero: whether epsilon is so small that a step from finite gradients may not be finite.

    Raises:
        SettingError: the dtype cannot hold the learning rate, or the weight decay would erase the parameters.
    """

    dtype: np.dtype[F]
    optimizer: Optimizer
    given: Optimizer
    rule: int
    trainable_ranges: Ranges
    penalties: Matrix[F]
    step: int
    key: int | None
    constant_sgd_rate: F | None
    may_divide_by_zero: bool
    _repeated: OptimizerSteps[F]
    _repeated_for: range

    def __init__(self, storage: Storage[F], optimizer: Optimizer) -> None:
        self.dtype, self.optimizer, self.given = storage.dtype, optimizer, optimizer
        self.rule = CODES[optimizer.rule]
        self.step, self.key = 0, None
        self._ahead: Matrix[F] = np.empty((0, 0), storage.dtype)
        self._ahead_from, self._are_alike = 0, False
        rate = optimizer.learning_rate
        self.schedule_state = rate.start if isinstance(rate, Schedule) else ()
        self._assigned = False
        self.may_divide_by_zero = optimizer._divisor_floor < SAFE_DIVISORS[storage.dtype.name]
        self._check_first_step()
        firsts = optimizer.first_states
        self.states: Matrix[F] = np.zeros((len(firsts), storage.gradient.size), storage.dtype)
        if any(firsts):
            self.states += np.array(firsts, storage.dtype).reshape(-1, 1)
        self.take_settings(storage)

    def take_settings(self, storage: Storage[F]) -> None:
        """Takes up which layers are trainable, and their penalties."""
        known = storage.trained
        if known is None or known[0] is not storage.layout:
            known = storage.trained = storage.layout, *trainable_ranges(storage)
        self.trainable_ranges, self.penalties = known[1], known[2].copy()
        self._repeated_for = range(0)
        whole = [[0, storage.gradient.size]]
        self._whole = self.trainable_ranges.tolist() == whole and not any(self.penalties.tolist()[0])
        self.constant_sgd_rate = self._constant_sgd_rate()

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next step; assignment sets that of all further steps.

        Raises:
            SettingError: the number is not positive, the dtype cannot hold it, or it would have no effect.
        """
        return float(self._rates(1)[0])

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        if isinstance(self.optimizer, Rprop):
            raise SettingError("learning_rate of Rprop is its first step, so that it cannot be set later")
        check_positive("learning_rate", value)
        before = self.optimizer
        self.optimizer = replace(before, learning_rate=float(value))
        try:
            self._check_first_step()
        except SettingError:
            self.optimizer = before
            raise
        self._assigned = True
        self._forget_coefficients()
        self.constant_sgd_rate = self._constant_sgd_rate()

    def coefficients(self, steps: int) -> Matrix[F]:
        """Returns the coefficients of the next steps, `(steps, n_coefficients)`."""
        rate = self.optimizer.learning_rate
        if type(rate) is not float and isinstance(rate, Schedule):
            return self._coefficients(steps)
        start = self.step - self._ahead_from
        if not 0 <= start <= len(self._ahead) - steps:
            count = max(steps, min(2 * len(self._ahead), MAX_STEPS_AHEAD))
            self._ahead, self._ahead_from, start = self._coefficients(count), self.step, 0
            self._are_alike = bool((self._ahead == self._ahead[0]).all())
        return self._ahead[start : start + steps]

    def next_steps(self, steps: int) -> OptimizerSteps[F]:
        """Returns what the kernels need for the next steps.

        While the coefficients of all steps are the same, so is the result: it costs as much as a small step.
        """
        if self.step in self._repeated_for and len(self._repeated.coefficients) == steps:
            return self._repeated
        rows, ranges, penalties = self.coefficients(steps), self.trainable_ranges, self.penalties
        found = OptimizerSteps(self.rule, rows, ranges, penalties, self.states)
        if self._are_alike and len(self._ahead):
            last = self._ahead_from + len(self._ahead) - steps
            self._repeated, self._repeated_for = found, range(self._ahead_from, last + 1)
        return found

    @property
    def observes(self) -> bool:
        """Whether the learning rate depends on the losses of epochs."""
        rate = self.optimizer.learning_rate
        return isinstance(rate, Schedule) and type(rate).observe is not Schedule.observe

    def observe(self, loss: float) -> None:
        """Passes the loss of an epoch to the schedule of the learning rate."""
        rate = self.optimizer.learning_rate
        if type(rate) is not float and isinstance(rate, Schedule):
            self.schedule_state = rate.observe(self.schedule_state, loss)

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Returns copies of all arrays that a continuation needs besides the parameters, by name."""
        arrays: dict[str, NDArray[np.generic]] = {
            "step": np.array(self.step),
            "states": self.states.copy(),
            "schedule": np.array(self.schedule_state, np.float64),
        }
        if self._assigned:
            arrays[ASSIGNED_RATE] = np.array(self.learning_rate)
        if self.key is not None:
            arrays[KEY] = np.array(self.key)
        return arrays

    def restore(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Restores the state of a training with the same settings.

        Raises:
            ShapeError: the state is of another network, optimiser or schedule; nothing is changed.
        """
        for name, array in self.state().items():
            if name in OPTIONAL:
                continue
            found = state.get(name)
            if found is None or found.shape != array.shape or found.dtype != array.dtype:
                what = "nothing" if found is None else f"{found.dtype} of shape {found.shape}"
                raise ShapeError(
                    f"the state of a training with {self.optimizer} has {name!r}, {array.dtype} of shape "
                    f"{array.shape}; this one has {what}: it is of another network or optimizer"
                )
        step = int(state["step"])
        if not 0 <= step < MAX_STEP:
            raise ShapeError(f"the number of steps that were made is 0 to {MAX_STEP - 1}, not {step}")
        if ASSIGNED_RATE in state:
            self.learning_rate = float(state[ASSIGNED_RATE])
        elif self._assigned:
            self.optimizer, self._assigned = self.given, False
            self._forget_coefficients()
            self.constant_sgd_rate = self._constant_sgd_rate()
        self.step = step
        self.key = int(state[KEY]) if KEY in state else None
        self.states[...] = state["states"]
        self.schedule_state = tuple(float(number) for number in state["schedule"].tolist())

    def _forget_coefficients(self) -> None:
        self._ahead, self._repeated_for = self._ahead[:0], range(0)

    def _constant_sgd_rate(self) -> F | None:
        rate, optimizer = self.optimizer.learning_rate, self.optimizer
        if type(optimizer) is not SGD or isinstance(rate, Schedule) or not self._whole:
            return None
        return self.dtype.type(rate) if optimizer == SGD(rate) else None

    def _coefficients(self, steps: int) -> Matrix[F]:
        rate = self.optimizer.learning_rate
        if steps <= MAX_STEPS_AHEAD and not isinstance(rate, Schedule):
            rows = _constant_coefficients(self.optimizer, rate, self.step + 1, steps, self.dtype)
            return cast("Matrix[F]", rows)
        with np.errstate(over="ignore", under="ignore"):
            return self.optimizer.coefficients(self.step + 1, self._rates(steps), self.dtype)

    def _rates(self, steps: int) -> Rates:
        rate = self.optimizer.learning_rate
        if isinstance(rate, Schedule):
            return rate.rates(np.arange(self.step, self.step + steps, dtype=np.float64), self.schedule_state)
        return np.full(steps, rate, np.float64)

    def _check_first_step(self) -> None:
        rate, decay = self.optimizer.learning_rate, self.optimizer.weight_decay
        if not isinstance(rate, Schedule) and not 1e-30 < rate < 1e30:
            with np.errstate(over="ignore", under="ignore"):
                representable = 0 < float(self.dtype.type(rate)) < inf
            if not representable:
                raise SettingError(f"learning_rate {rate!r} is beyond what {self.dtype} can hold")
        if decay and self._rates(1)[0] * decay >= 1:
            raise SettingError(
                f"learning_rate × weight_decay is {self._rates(1)[0] * decay:g} and must be below 1: "
                "one step would erase every parameter"
            )


@lru_cache(maxsize=16)
def _constant_coefficients(
    optimizer: Optimizer, rate: float, first: int, steps: int, dtype: np.dtype[np.float32 | np.float64]
) -> Matrix[np.float32 | np.float64]:
    """Computes the coefficients of some steps with a constant learning rate, once for equal optimisers."""
    rates = np.full(steps, rate, np.float64)
    with np.errstate(over="ignore", under="ignore"):
        return read_only(optimizer.coefficients(first, rates, dtype))


def _without(start: int, stop: int, left_out: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yields the ranges that are left of a range where others, in order, are left out."""
    for first, last in left_out:
        yield start, first
        start = last
    yield start, stop


def trainable_ranges(storage: Storage[F]) -> tuple[Ranges, Matrix[F]]:
    """Returns the ranges of parameters that are trained and their L1 and L2 coefficients, both `(n, 2)`.

    Biases and gains have no penalties, and are not trained with `center=False` and `scale=False`.
    Neighbouring ranges with equal penalties are merged.
    """
    bounds = [*storage.layout[1:, WEIGHTS].tolist(), storage.gradient.size]
    ranges: list[tuple[int, int, float, float]] = []
    for (start, stop), layout, layer in zip(
        pairwise(bounds), storage.layout[1:], storage.layers[1:], strict=True
    ):
        if layer._trainable:
            middle, penalties = int(layout[BIASES]), layer._penalties
            settings, n = settings_of(layer.normalization), int(layout[LENGTH])
            fixed = [(middle, middle + n)] * (not settings.center)
            fixed += [(middle + n, middle + 2 * n)] * (not settings.scale)
            for first, last, l1, l2 in (
                (start, middle, *penalties),
                *((first, last, 0.0, 0.0) for first, last in _without(middle, stop, fixed)),
            ):
                if first == last:
                    continue
                if ranges and ranges[-1][1:] == (first, l1, l2):
                    first = ranges.pop()[0]
                ranges.append((first, last, l1, l2))
    bounds_of_ranges = np.array([each[:2] for each in ranges], np.int64).reshape(-1, 2)
    coefficients: Matrix[F] = np.array([each[2:] for each in ranges], storage.dtype).reshape(-1, 2)
    return read_only(bounds_of_ranges), read_only(coefficients)

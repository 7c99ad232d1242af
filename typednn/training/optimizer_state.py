"""The updates of a training: which parameters, by which rule, and how far they have come."""

from __future__ import annotations

from itertools import pairwise
from math import inf
from typing import Generic

import numpy as np
from numpy.typing import NDArray
from typednn_kernels.arrays import F, Matrix, Ranges
from typednn_kernels.layout import BIASES, WEIGHTS
from typednn_kernels.update_rules import CODES

from typednn.errors import SettingError, ShapeError
from typednn.layers import TrainableLayer
from typednn.layers.storage import Storage
from typednn.training.optimizers import SGD, Optimizer
from typednn.training.schedules import Rates, Schedule

AHEAD = 256
"""Coefficients are computed for at most so many steps ahead, where the learning rate is a number."""


class OptimizerState(Generic[F]):
    """What the kernels take of an optimiser, and what it remembers.

    Attributes:
        rule: its code.
        segments, penalties: the parameters that are trained, and the penalties on them.
        states: what the rule remembers, `(n, n_parameters)`.
        step: how many updates were made.

    Raises:
        SettingError: a setting that the dtype cannot hold, or a decay of all that there is.
    """

    dtype: np.dtype[F]
    optimizer: Optimizer
    rule: int
    segments: Ranges
    penalties: Matrix[F]
    step: int

    def __init__(self, chain: Storage[F], optimizer: Optimizer) -> None:
        self.dtype, self.optimizer = chain.dtype, optimizer
        self.rule = CODES[optimizer.rule]
        self.segments, self.penalties = trainable_ranges(chain)
        self.step = 0
        self._ahead: Matrix[F] = np.empty((0, 0), chain.dtype)
        self._ahead_from = 0
        rate = optimizer.learning_rate
        self.schedule_state = rate.start if isinstance(rate, Schedule) else ()
        self._check_first_step()
        firsts = optimizer.first_states
        self.states: Matrix[F] = np.empty((len(firsts), len(chain.trainable)), chain.dtype)
        for state, first in zip(self.states, firsts, strict=True):
            state[...] = first
        bare = not self.penalties.any() and self.segments.tolist() == [[0, len(chain.trainable)]]
        self.plain_rate: F | None = None
        """The learning rate, where all is plain gradient descent with a constant one."""
        if bare and not isinstance(rate, Schedule) and optimizer == SGD(rate):
            self.plain_rate = chain.dtype.type(rate)

    def coefficients(self, steps: int) -> Matrix[F]:
        """The coefficients of the next steps."""
        if isinstance(self.optimizer.learning_rate, Schedule):
            return self._coefficients(steps)
        start = self.step - self._ahead_from
        if not 0 <= start <= len(self._ahead) - steps:
            count = max(steps, min(2 * len(self._ahead), AHEAD))
            self._ahead, self._ahead_from, start = self._coefficients(count), self.step, 0
        return self._ahead[start : start + steps]

    def observe(self, loss: float) -> None:
        """Takes the loss of an epoch, for schedules that depend on it."""
        rate = self.optimizer.learning_rate
        if isinstance(rate, Schedule):
            self.schedule_state = rate.observe(self.schedule_state, loss)

    def state(self) -> dict[str, NDArray[np.generic]]:
        """All that training on needs beside the parameters; copies."""
        return {
            "step": np.array(self.step),
            "states": self.states.copy(),
            "schedule": np.array(self.schedule_state, np.float64),
        }

    def restore(self, state: dict[str, NDArray[np.generic]]) -> None:
        """Goes on where another training with the same settings was.

        Raises:
            ShapeError: it is of another network, optimiser or schedule; nothing is changed.
        """
        mine = self.state()
        for name, array in mine.items():
            found = state.get(name)
            if found is None or found.shape != array.shape or found.dtype != array.dtype:
                what = "nothing" if found is None else f"{found.dtype} of shape {found.shape}"
                raise ShapeError(
                    f"the state of a training with {self.optimizer} has {name!r}, {array.dtype} of shape "
                    f"{array.shape}; this one has {what}: it is of another network or optimizer"
                )
        self.step = int(state["step"])
        self.states[...] = state["states"]
        self.schedule_state = tuple(float(number) for number in state["schedule"].tolist())

    def _coefficients(self, steps: int) -> Matrix[F]:
        with np.errstate(over="ignore", under="ignore"):
            return self.optimizer.coefficients(self.step + 1, self._rates(steps), self.dtype)

    def _rates(self, steps: int) -> Rates:
        rate = self.optimizer.learning_rate
        if isinstance(rate, Schedule):
            return rate.rates(np.arange(self.step, self.step + steps, dtype=np.float64), self.schedule_state)
        return np.full(steps, rate, np.float64)

    def _check_first_step(self) -> None:
        rate, decay = self.optimizer.learning_rate, self.optimizer.weight_decay
        with np.errstate(over="ignore", under="ignore"):
            held = isinstance(rate, Schedule) or 0 < float(self.dtype.type(rate)) < inf
        if not held:
            raise SettingError(f"learning_rate {rate!r} is beyond what {self.dtype} can hold")
        if self._rates(1)[0] * decay >= 1:
            raise SettingError(
                f"weight_decay {decay!r}, times the learning rate, must be below 1: all is lost"
            )


def trainable_ranges(chain: Storage[F]) -> tuple[Ranges, Matrix[F]]:
    """The parts of the parameters that are trained, and their L1 and L2, `(n, 2)` both.

    Penalties are on weights alone, not on biases and gains. Neighbours with the same penalties are one part.
    """
    borders = [*chain.layout[1:, WEIGHTS].tolist(), len(chain.trainable)]
    parts: list[tuple[int, int, float, float]] = []
    for (start, stop), layout, layer in zip(
        pairwise(borders), chain.layout[1:], chain.layers[1:], strict=True
    ):
        if isinstance(layer, TrainableLayer) and layer.trainable:
            middle = int(layout[BIASES])
            for first, last, l1, l2 in ((start, middle, layer.l1, layer.l2), (middle, stop, 0.0, 0.0)):
                if parts and parts[-1][1:] == (first, l1, l2):
                    first = parts.pop()[0]
                parts.append((first, last, l1, l2))
    segments = np.array([part[:2] for part in parts], np.int64).reshape(-1, 2)
    return segments, np.array([part[2:] for part in parts], chain.dtype).reshape(-1, 2)

"""Coefficients of steps, which are computed ahead, beside those of each step alone."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from typednn import SGD, Adam, ExponentialDecay, InputLayer, Nadam, Network, Optimizer, OutputLayer, RMSprop
from typednn.training import optimizer_state as updates
from typednn.training.optimizer_state import OptimizerState

OPTIMIZERS: list[Optimizer] = [
    SGD(learning_rate=0.1, momentum=0.5, weight_decay=0.25, clip_norm=2.0),
    RMSprop(),
    Adam(learning_rate=0.01),
    Nadam(),
    Adam(learning_rate=ExponentialDecay(0.1, 10, 0.5)),
]
by_optimizer = pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
STEPS = [1, 1, 1, 4, 2, 1, 30, 1, 1, 3]


def new_updates(optimizer: Optimizer) -> OptimizerState[np.float32]:
    return OptimizerState(Network([InputLayer(2), OutputLayer(1)], np.float32, seed=0)._storage, optimizer)


def one_by_one(optimizer: Optimizer, first: int, steps: int) -> NDArray[np.float32]:
    rows: list[NDArray[np.float32]] = []
    for step in range(first, first + steps):
        fresh = new_updates(optimizer)
        fresh.step = step
        rows.append(fresh.coefficients(1)[0])
    return np.array(rows)


@by_optimizer
def test_they_are_those_of_their_steps(optimizer: Optimizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(updates, "MAX_STEPS_AHEAD", 8)
    computing = new_updates(optimizer)

    for steps in STEPS:
        computed = computing.coefficients(steps)

        assert np.array_equal(computed, one_by_one(optimizer, computing.step, steps))
        assert computed.flags.c_contiguous
        computing.step += steps


@by_optimizer
def test_a_training_that_is_restored_has_those_of_its_step(optimizer: Optimizer) -> None:
    computing, other = new_updates(optimizer), new_updates(optimizer)
    other.step = 3
    for steps in (1, 1, 4, 1):
        computing.coefficients(steps)
        computing.step += steps

    computing.restore(other.state())

    assert np.array_equal(computing.coefficients(2), one_by_one(optimizer, 3, 2))

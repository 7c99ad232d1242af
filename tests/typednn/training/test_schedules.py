"""Every schedule beside its formula, one step at a time."""

from __future__ import annotations

from collections.abc import Callable
from math import cos, floor, pi
from typing import Any

import numpy as np
import pytest

import typednn
from tests.oracles.torch_float64 import pytorch
from tests.typednn.building import network_of
from tests.typednn.training.test_optimizers import case_of
from typednn import (
    SGD,
    CosineDecay,
    CosineDecayRestarts,
    ExponentialDecay,
    InverseTimeDecay,
    OneCycle,
    PiecewiseConstantDecay,
    ReduceOnPlateau,
    Schedule,
    SettingError,
    StepDecay,
)


def cosine(done: float, alpha: float) -> float:
    """Loshchilov & Hutter 2017, equation 5, as Keras writes it."""
    return (1 - alpha) * 0.5 * (1 + cos(pi * done)) + alpha


def restarts(step: int, first: int, t_mul: float, m_mul: float, alpha: float) -> float:
    """Decay after decay, counted one by one; the formula is that of Keras."""
    length, highest = float(first), 1.0
    since = float(step)
    while since >= length:
        since, length, highest = since - length, length * t_mul, highest * m_mul
    return (1 - alpha) * highest * 0.5 * (1 + cos(pi * since / length)) + alpha


CASES: dict[str, tuple[Schedule, Callable[[int], float]]] = {
    "step": (StepDecay(0.1, 7, 0.5), lambda step: 0.1 * 0.5 ** floor(step / 7)),
    "exponential": (ExponentialDecay(0.1, 7, 0.5), lambda step: 0.1 * 0.5 ** (step / 7)),
    "inverse time": (InverseTimeDecay(0.1, 7, 0.5), lambda step: 0.1 / (1 + 0.5 * step / 7)),
    "piecewise": (
        PiecewiseConstantDecay([3, 30], [0.1, 0.2, 0.05]),
        lambda step: 0.1 if step <= 3 else 0.2 if step <= 30 else 0.05,
    ),
    "cosine": (CosineDecay(0.1, 40, alpha=0.1), lambda step: 0.1 * cosine(min(step, 40) / 40, 0.1)),
    "cosine, warm-up": (
        CosineDecay(0.01, 40, warmup_target=0.1, warmup_steps=9),
        lambda step: 0.01 + 0.09 * step / 9 if step < 9 else 0.1 * cosine(min(step - 9, 40) / 40, 0),
    ),
    "restarts": (CosineDecayRestarts(0.1, 7), lambda step: 0.1 * restarts(step, 7, 2, 1, 0)),
    "restarts, same length": (
        CosineDecayRestarts(0.1, 9, t_mul=1, m_mul=0.5),
        lambda step: 0.1 * restarts(step, 9, 1, 0.5, 0),
    ),
    "restarts, alpha": (
        CosineDecayRestarts(0.1, 9, m_mul=0.25, alpha=0.5),
        lambda step: 0.1 * restarts(step, 9, 2, 0.25, 0.5),
    ),
    "restarts, warm-up": (
        CosineDecayRestarts(0.0, 6, t_mul=1.5, m_mul=0.9, alpha=0.1, warmup_target=0.1, warmup_steps=5),
        lambda step: 0.1 * step / 5 if step < 5 else 0.1 * restarts(step - 5, 6, 1.5, 0.9, 0.1),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_formulas(name: str) -> None:
    schedule, formula = CASES[name]
    steps = np.arange(100)

    reference = [formula(step) for step in steps.tolist()]
    computed = schedule.rates(steps.astype(np.float64), schedule.start)

    np.testing.assert_allclose(computed, reference, rtol=1e-12, atol=1e-15)
    assert [schedule(step) for step in (0, 50, 99)] == computed[[0, 50, 99]].tolist()
    assert schedule.observe(schedule.start, 1.0) == schedule.start


def test_restarts_never_fall_below_alpha() -> None:
    """Values by hand: 0.5 · 0.25ᵏ + 0.5 where a decay begins, 0.5 · 0.25ᵏ / 2 + 0.5 in its middle."""
    schedule = CosineDecayRestarts(1.0, 10, t_mul=1.0, m_mul=0.25, alpha=0.5)

    assert [schedule(step) for step in (0, 5, 10, 15, 20)] == pytest.approx(
        [1.0, 0.75, 0.625, 0.5625, 0.53125], rel=1e-12
    )
    assert min(schedule(step) for step in range(100)) >= 0.5


def test_restarts_begin_at_their_step_exactly() -> None:
    """The third decay of 7 steps, 21 with t_mul 3, ends after 7 + 21 + 63; rounding must not miss it."""
    for t_mul in (1, 2, 3, 10):
        schedule = CosineDecayRestarts(0.1, 7, t_mul=t_mul)
        starts = np.cumsum([7 * t_mul**k for k in range(4)])
        for start in starts.tolist():
            assert schedule(start) == 0.1
            assert schedule(start - 1) < 0.01


def test_one_cycle_as_in_pytorch() -> None:
    torch = pytorch()
    settings: dict[str, Any] = {"pct_start": 0.25, "div_factor": 10.0, "final_div_factor": 100.0}
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.5, total_steps=40, **settings)

    reference: list[float] = []
    for step in range(40):
        reference.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if step < 39:
            theirs.step()
    schedule = OneCycle(0.5, 40, **settings)

    np.testing.assert_allclose([schedule(step) for step in range(40)], reference, rtol=1e-12)
    assert schedule(1000) == schedule(39)


# On a plateau.


def test_plateau() -> None:
    """Waits two epochs, counts a tiny gain as none, cools down for one, and stops at the smallest rate."""
    plateau = ReduceOnPlateau(0.8, factor=0.5, patience=2, min_delta=0.01, cooldown=1, min_learning_rate=0.15)
    losses = [1.0, 0.995, 1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5]
    expected = [0.8, 0.8, 0.4, 0.4, 0.2, 0.2, 0.2, 0.2, 0.15, 0.15, 0.15, 0.15, 0.15, 0.15]

    state, rates = plateau.start, list[float]()
    for loss in losses:
        state = plateau.observe(state, loss)
        rates.append(float(plateau.rates(np.zeros(1), state)[0]))

    assert rates == expected
    assert plateau.start == (0.8, np.inf, 0.0, 0.0)


@pytest.mark.usefixtures("path")
def test_fit_follows_a_plateau_by_the_validation_loss() -> None:
    """Targets that training leaves behind: the validation loss rises from the second epoch on."""
    case = case_of(np.float64)
    network, other = network_of(case), network_of(case)
    held_out = case.x, network.predict(case.x)
    settings: dict[str, Any] = {"batch_size": 5, "shuffle": False}

    plateau = ReduceOnPlateau(0.1, factor=0.5, patience=1)
    settings["epochs"] = 3
    network.fit(case.x, case.t, learning_rate=plateau, validation_data=held_out, **settings)
    settings["epochs"] = 1
    for rate in (0.1, 0.1, 0.05):
        other.fit(case.x, case.t, learning_rate=rate, **settings)

    np.testing.assert_allclose(network.parameters, other.parameters, rtol=1e-13)


# Settings.

REFUSED: list[tuple[Any, dict[str, Any]]] = [
    *(
        (kind, {"initial_learning_rate": 0.1, "decay_steps": 10, "decay_rate": 0.5, name: value})
        for kind in ("StepDecay", "ExponentialDecay", "InverseTimeDecay")
        for name, value in (
            ("initial_learning_rate", 0),
            ("initial_learning_rate", np.nan),
            ("decay_steps", 0),
            ("decay_steps", 1.5),
            ("decay_rate", -1),
            ("decay_rate", np.inf),
        )
    ),
    ("PiecewiseConstantDecay", {"boundaries": [3, 3], "values": [1, 1, 1]}),
    ("PiecewiseConstantDecay", {"boundaries": [0.5], "values": [1, 1]}),
    ("PiecewiseConstantDecay", {"boundaries": [3], "values": [1]}),
    ("PiecewiseConstantDecay", {"boundaries": [3], "values": [1, -1]}),
    ("CosineDecay", {"initial_learning_rate": 0.1, "decay_steps": 10, "alpha": -1}),
    ("CosineDecay", {"initial_learning_rate": 0.1, "decay_steps": 10, "warmup_steps": 5}),
    ("CosineDecay", {"initial_learning_rate": 0.1, "decay_steps": 10, "warmup_target": 1.0}),
    ("CosineDecay", {"initial_learning_rate": 0.0, "decay_steps": 10}),
    ("CosineDecayRestarts", {"initial_learning_rate": 0.1, "first_decay_steps": 10, "t_mul": 0.5}),
    ("CosineDecayRestarts", {"initial_learning_rate": 0.1, "first_decay_steps": 10, "m_mul": 0}),
    ("OneCycle", {"max_learning_rate": 0.1, "total_steps": 1}),
    ("OneCycle", {"max_learning_rate": 0.1, "total_steps": 10, "pct_start": 1}),
    ("OneCycle", {"max_learning_rate": 0.1, "total_steps": 10, "pct_start": 0.05}),
    *(
        ("ReduceOnPlateau", {"initial_learning_rate": 0.1, name: value})
        for name, value in (
            ("factor", 1),
            ("factor", 0),
            ("patience", 0),
            ("min_delta", -1),
            ("cooldown", -1),
        )
    ),
]


@pytest.mark.parametrize(("kind", "settings"), REFUSED, ids=str)
def test_settings_outside_their_range(kind: str, settings: dict[str, Any]) -> None:
    with pytest.raises(SettingError, match=r"must|need"):
        getattr(typednn, kind)(**settings)


def test_schedules_are_values() -> None:
    schedule = PiecewiseConstantDecay([3], [0.1, 0.2])

    assert schedule == PiecewiseConstantDecay((3,), (0.1, 0.2))
    assert SGD(schedule) == SGD(PiecewiseConstantDecay([3], [0.1, 0.2]))
    assert "boundaries=(3,)" in repr(SGD(schedule))

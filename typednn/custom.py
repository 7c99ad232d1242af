"""Activations and losses of your own, beside those of the tables.

They are written in the words of `typednn.formulas`, and run on both paths: the formula is recorded when it
is registered, NumPy replays the record, and the compiler makes a loop of it, which is kept on disk under
what it computes. Whatever a formula depends on is therefore fixed by registering it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from threading import Lock
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from typednn_kernels import activations, losses
from typednn_kernels.activations import ACTIVATIONS, INFINITY, Activation, CustomActivation
from typednn_kernels.arrays import Values
from typednn_kernels.losses import LOSSES, CustomLoss, Loss
from typednn_kernels.tracing import TracedFormula, TracingError

from typednn.errors import FormulaError, SettingError

MOST = 1000
"""So many rows a table holds."""

STEP = 2.0**-17
TOLERANCE = 1e-6
"""A derivative agrees with differences within this, relative, or absolute where they are small."""

KINK = 0.75
"""As in `gradient_checking`: the derivatives of two sides differ by so much more than curvature explains."""

GRID: NDArray[np.float64] = np.concatenate(
    [np.linspace(-10, 10, 401) + 0.0123, [-1000, -300, -80, -30, 30, 80, 300, 1000]]
)
"""Where derivatives are checked."""

Numbers: TypeAlias = NDArray[np.float64]
_lock = Lock()


def register_activation(
    name: str, value: Callable[[Values], Values], derivative: Callable[[Values, Values], Values | float]
) -> CustomActivation:
    """Adds an activation y = f(a); what it returns stands for its name, also where types are checked.

    Args:
        name: how layers, saved models and messages call it. Before a model that has it is loaded, or a
            network unpickled in another process, it must be registered there.
        value: y, given the pre-activations a.
        derivative: dy/da, given a and y.

    Raises:
        FormulaError: a formula with something else than the words of `typednn.formulas`, or a derivative that
            differs from differences of the value; kinks are tolerated.
        SettingError: the name belongs to another activation.

    >>> from typednn import HiddenLayer
    >>> from typednn.formulas import exp
    >>> bell = register_activation("bell", lambda a: exp(-a * a), lambda a, y: -2 * a * y)
    >>> HiddenLayer(3, bell)
    HiddenLayer(3, 'bell')
    """
    what = f"register_activation({name!r})"
    _check_name(what, name)
    f, df = _recorded(what, "value", value, 1), _recorded(what, "derivative", derivative, 2)
    _check_derivative(what, f, lambda a: df(a, f(a)), GRID, "a = {0:.6g}")
    row = Activation(CustomActivation(name), f, df, -INFINITY, INFINITY, "registered by a user")
    with _lock:
        code = activations.CODES.get(name)
        _check_free(what, len(ACTIVATIONS), None if code is None else ACTIVATIONS[code], row)
        if code is None:
            ACTIVATIONS.append(row)
            activations.CODES[name] = len(ACTIVATIONS) - 1
    return CustomActivation(name)


def register_loss(
    name: str,
    value: Callable[[Values, Values], Values],
    derivative: Callable[[Values, Values], Values | float],
    *,
    outputs: tuple[float, float] = (-INFINITY, INFINITY),
    targets: tuple[float, float] = (-INFINITY, INFINITY),
) -> CustomLoss:
    """Adds a loss, the mean of its value over the outputs.

    Args:
        name: as in `register_activation`.
        value: the loss of an output, given outputs y and targets t.
        derivative: its derivative by y, given y and t.
        outputs: the least and the largest output for which it is defined; there, the derivative is checked.
        targets: the least and the largest target; others are refused.

    Raises:
        FormulaError, SettingError: as `register_activation`, or a range is empty.

    >>> from typednn import OutputLayer
    >>> quartic = register_loss(
    ...     "quartic",
    ...     lambda y, t: (y - t) * (y - t) * (y - t) * (y - t),
    ...     lambda y, t: 4 * (y - t) * (y - t) * (y - t),
    ... )
    >>> OutputLayer(1, "none", quartic)
    OutputLayer(1, 'none', 'quartic')
    """
    what = f"register_loss({name!r})"
    _check_name(what, name)
    f, df = _recorded(what, "value", value, 2), _recorded(what, "derivative", derivative, 2)
    y = _within(outputs, len(GRID), what, "outputs")
    for number in _within(targets, 7, what, "targets").tolist():
        t = np.full_like(y, number)
        _check_derivative(
            what, partial(_swapped, f, t), partial(_swapped, df, t), y, f"y = {{0:.6g}}, t = {number:.6g}"
        )
    row = Loss(CustomLoss(name), f, df, "mean", None, f, "numbers", *targets, "registered by a user")
    with _lock:
        code = losses.CODES.get(name)
        _check_free(what, len(LOSSES), None if code is None else LOSSES[code], row)
        if code is None:
            LOSSES.append(row)
            losses.CODES[name] = len(LOSSES) - 1
    return CustomLoss(name)


def _swapped(formula: TracedFormula, t: Numbers, y: Numbers) -> Values:
    return formula(y, t)


def _check_name(what: str, name: str) -> None:
    if not isinstance(name, str) or not name.isprintable() or not name.strip():
        raise SettingError(f"{what}: the name must be printable text")


def _check_free(what: str, count: int, present: Activation | Loss | None, row: Activation | Loss) -> None:
    if present is None and count >= MOST:
        raise SettingError(f"{what}: there is room for {MOST} names only")
    if present is not None and present != row:
        kind = "has other formulas" if isinstance(present.value, TracedFormula) else "is the library's own"
        raise SettingError(f"{what}: the name is taken, and what it stands for {kind}; choose another name")


def _recorded(what: str, part: str, formula: Callable[..., object], arity: int) -> TracedFormula:
    try:
        return TracedFormula.of(formula, arity)
    except TracingError as error:
        raise FormulaError(f"{what}: the {part} cannot be used: {error}") from error


def _within(limits: tuple[float, float], count: int, what: str, name: str) -> Numbers:
    """So many points between limits, not on them, of which those that are far away are near enough."""
    lowest, highest = limits
    if not lowest < highest:
        raise SettingError(f"{what}: {name} must be a range (lowest, highest), not {limits!r}")
    low, high = max(lowest, min(-3.0, highest - 6)), min(highest, max(3.0, lowest + 6))
    points: Numbers = np.arange(count, dtype=np.float64)
    points += 0.5137
    points *= (high - low) / (count + 0.0411)
    points += low
    return points


def _check_derivative(
    what: str,
    value: Callable[[Numbers], Values],
    derivative: Callable[[Numbers], Values],
    at: Numbers,
    place: str,
) -> None:
    """Compares a derivative with differences of the value, wherever that is finite."""
    with np.errstate(all="ignore"):
        step = STEP * np.maximum(1, abs(at))
        far_left, left, here, right, far_right = (
            np.broadcast_to(np.asarray(value(at + distance * step), np.float64), at.shape)
            for distance in (-2, -1, 0, 1, 2)
        )
        given = np.broadcast_to(np.asarray(derivative(at), np.float64), at.shape)
        near, far = (right - left) / (2 * step), (far_right - far_left) / (4 * step)
        difference = (4 * near - far) / 3
        gap, far_gap = left + right - 2 * here, (far_left + far_right - 2 * here) / 2
        rounding = 64 * np.finfo(np.float64).eps * (abs(here) + 1)
        kink = (abs(gap) > KINK * abs(far_gap)) & (abs(gap) > rounding)
        finite = np.isfinite(far_left) & np.isfinite(far_right) & np.isfinite(here)
        off = abs(given - difference)
        allowed = TOLERANCE * np.maximum(1, abs(difference)) + abs(near - far) + rounding / step
        wrong = finite & ~kink & ~(off <= allowed)
    if not finite.any():
        raise FormulaError(f"{what}: the value is nowhere finite")
    if wrong.any():
        worst = int(np.argmax(np.where(wrong, np.nan_to_num(off / allowed, nan=np.inf), 0)))
        raise FormulaError(
            f"{what}: the derivative is wrong at {wrong.sum()} of {len(at)} points, most at "
            f"{place.format(at[worst])}: it is {given[worst]:.6g}, but by differences of the value "
            f"{difference[worst]:.6g}, so it is off by {off[worst]:.3g}"
        )

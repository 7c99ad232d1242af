"""Registers activations and losses of your own, which run on both paths.

A formula is written in the functions of `typednn.formulas` and traced when it is registered. NumPy evaluates
the trace, and numba compiles a loop of it, which is cached on disk. Values that a formula captures are
therefore constants from then on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from inspect import Parameter, Signature
from typing import NamedTuple, TypeAlias, overload

import numpy as np
from numpy.typing import NDArray
from typednn_kernels import activations, losses
from typednn_kernels.activation_families import FAMILIES, ActivationFamily, ParametricActivation
from typednn_kernels.activations import (
    ACTIVATIONS,
    INFINITY,
    MAX_ROWS,
    ROWS_LOCK,
    Activation,
    CustomActivation,
)
from typednn_kernels.arrays import Values
from typednn_kernels.losses import LOSSES, CustomLoss, Loss
from typednn_kernels.tracing import TracedFormula, TracingError

from typednn.activations import named_with
from typednn.errors import FormulaError, SettingError
from typednn.validation.settings import check_sequence

STEPS = (2.0**-12, 2.0**-17)
"""The steps of the differences: the large one has less rounding, the small one comes closer to kinks."""

TOLERANCE = 2e-7
"""The largest relative error of a derivative, beside what rounding and the step make uncertain."""

ROUNDING = 16
"""The rounding error of a value, in units of eps (|value| + 1)."""

KINK = 0.75
"""The ratio of second differences above which there is a kink; see `gradient_checking.numerical.KINK`."""

GRID: NDArray[np.float64] = np.concatenate(
    [np.arange(-10, 10, 0.0009), [-1000, -300, -80, -30, 30, 80, 300, 1000]]
)
"""The points at which derivatives are checked: some in every interval of 0.001 from -10 to 10."""

Numbers: TypeAlias = NDArray[np.float64]


def register_activation(
    name: str, value: Callable[[Values], Values], derivative: Callable[[Values, Values], Values | float]
) -> CustomActivation:
    """Registers an activation y = f(a).

    Args:
        name: the name in layers, saved models and messages. Another process must register it too before it
            loads a model or unpickles a network that uses it.
        value: computes y from the pre-activations a.
        derivative: computes dy/da from a and y.

    Returns:
        The name, in a type that type checkers accept where an activation is expected.

    Raises:
        FormulaError: a formula calls other functions than those of `typednn.formulas`, or the derivative
            disagrees with central differences of the value other than at a kink.
        SettingError: the name is that of another activation.

    >>> from typednn import HiddenLayer
    >>> from typednn.formulas import exp
    >>> bell = register_activation("bell", lambda a: exp(-a * a), lambda a, y: -2 * a * y)
    >>> HiddenLayer(3, bell)
    HiddenLayer(3, 'bell')
    """
    what = f"register_activation({name!r})"
    _check_name(what, name)
    f, df = _traced(what, "value", value, 1), _traced(what, "derivative", derivative, 2)
    _check_derivative(what, f, lambda a: df(a, f(a)), GRID, "a = {0:.6g}")
    row = Activation(CustomActivation(name), f, df, -INFINITY, INFINITY, "registered by a user")
    with ROWS_LOCK:
        code = activations.CODES.get(name)
        _check_free(what, len(ACTIVATIONS), None if code is None else ACTIVATIONS[code], row)
        if code is None:
            activations.add_row(row)
    return CustomActivation(name)


@overload
def register_activation_family(
    name: str,
    value: Callable[[Values, float], Values],
    derivative: Callable[[Values, Values, float], Values | float],
    *,
    parameters: Sequence[str],
) -> Callable[..., CustomActivation]: ...
@overload
def register_activation_family(
    name: str,
    value: Callable[[Values, float, float], Values],
    derivative: Callable[[Values, Values, float, float], Values | float],
    *,
    parameters: Sequence[str],
) -> Callable[..., CustomActivation]: ...
@overload
def register_activation_family(
    name: str,
    value: Callable[..., Values],
    derivative: Callable[..., Values | float],
    *,
    parameters: Sequence[str],
) -> Callable[..., CustomActivation]: ...
def register_activation_family(
    name: str,
    value: Callable[..., Values],
    derivative: Callable[..., Values | float],
    *,
    parameters: Sequence[str],
) -> Callable[..., CustomActivation]:
    """Registers activations y = f(a) that have parameters.

    Args:
        name: as in `register_activation`, without brackets.
        value: computes y from the pre-activations a and the parameters.
        derivative: computes dy/da from a, y and the parameters.
        parameters: the names of the parameters, which are finite numbers.

    Returns:
        A function of the parameters, by position or by name, that checks the formulas for them and returns
        the name of the activation, such as "beta_swish(1.5)".

    Raises:
        FormulaError, SettingError: as `register_activation`; the formulas are checked when the function is
            called with parameters.

    >>> from typednn import HiddenLayer
    >>> from typednn.formulas import exp
    >>> swish = register_activation_family(
    ...     "beta_swish",
    ...     lambda a, beta: a / (1 + exp(-beta * a)),
    ...     lambda a, y, beta: (1 + beta * (a - y)) / (1 + exp(-beta * a)),
    ...     parameters=["beta"],
    ... )
    >>> HiddenLayer(3, swish(beta=1.5))
    HiddenLayer(3, 'beta_swish(1.5)')
    """
    what = f"register_activation_family({name!r})"
    _check_name(what, name)
    check_sequence(f"{what}: parameters", parameters)
    if "(" in name or ")" in name or not parameters:
        raise SettingError(f"{what}: the name must have no brackets, and parameters at least one name")
    family = ActivationFamily(name, tuple(parameters), value, derivative)
    signature = Signature([Parameter(each, Parameter.POSITIONAL_OR_KEYWORD) for each in family.parameters])

    def with_parameters(*arguments: float, **by_name: float) -> CustomActivation:
        try:
            bound = signature.bind(*arguments, **by_name).arguments
        except TypeError as error:
            raise SettingError(
                f"{name}: {error}; its parameters are {', '.join(family.parameters)}"
            ) from None
        return _checked_name(family, bound)

    some = (0.25,) * len(family.parameters)  # any numbers show whether formulas can be traced, and are equal
    row = _family_row(what, family, some)
    with ROWS_LOCK:
        present = FAMILIES.get(name)
        if present and (present.parameters, *_family_row(what, present, some)) != (family.parameters, *row):
            raise SettingError(f"{what}: the name is taken by other formulas; choose another name")
        if name in activations.CODES and present is None:
            raise SettingError(f"{what}: the name is that of an activation; choose another name")
        FAMILIES.setdefault(name, family)
    return with_parameters


def _checked_name(family: ActivationFamily, parameters: Mapping[str, float]) -> ParametricActivation:
    """Returns the name of an activation of a user's family, whose derivative is checked."""
    name = named_with(family, parameters)
    row = _family_row(str(name), family, tuple(parameters.values()))
    value, derivative = row.value, row.derivative
    assert value is not None
    assert derivative is not None
    _check_derivative(str(name), value, lambda a: np.asarray(derivative(a, value(a))), GRID, "a = {0:.6g}")
    return name


def _family_row(what: str, family: ActivationFamily, numbers: tuple[float, ...]) -> Activation:
    try:
        return family.row(CustomActivation(what), numbers)
    except TracingError as error:
        raise FormulaError(f"{what}: a formula cannot be used: {error}") from error


def register_loss(
    name: str,
    value: Callable[[Values, Values], Values],
    derivative: Callable[[Values, Values], Values | float],
    *,
    outputs: tuple[float, float] = (-INFINITY, INFINITY),
    targets: tuple[float, float] = (-INFINITY, INFINITY),
) -> CustomLoss:
    """Registers a loss, the mean over the outputs of a value per output.

    Args:
        name: as in `register_activation`.
        value: computes the value from outputs y and targets t.
        derivative: computes the derivative of the value with respect to y from y and t.
        outputs: the range of outputs for which the loss is defined, and in which the derivative is checked.
        targets: the range of targets for which the loss is defined; other targets raise DataError.

    Returns:
        The name, in a type that type checkers accept where a loss is expected.

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
    f, df = _traced(what, "value", value, 2), _traced(what, "derivative", derivative, 2)
    y = _points_within(outputs, len(GRID), 10.0, what, "outputs")
    for number in _points_within(targets, 7, 3.0, what, "targets").tolist():
        t = np.full_like(y, number)
        _check_derivative(
            what, partial(_swapped, f, t), partial(_swapped, df, t), y, f"y = {{0:.6g}}, t = {number:.6g}"
        )
    row = Loss(CustomLoss(name), f, df, "mean", None, f, "numbers", *targets, "registered by a user")
    with ROWS_LOCK:
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
    if present is None and count >= MAX_ROWS:
        raise SettingError(f"{what}: there is room for {MAX_ROWS} names only")
    if present is not None and present != row:
        kind = "has other formulas" if isinstance(present.value, TracedFormula) else "is the library's own"
        raise SettingError(f"{what}: the name is taken, and what it stands for {kind}; choose another name")


def _traced(what: str, part: str, formula: Callable[..., object], arity: int) -> TracedFormula:
    try:
        return TracedFormula.of(formula, arity)
    except TracingError as error:
        raise FormulaError(f"{what}: the {part} cannot be used: {error}") from error


def _points_within(limits: tuple[float, float], count: int, reach: float, what: str, name: str) -> Numbers:
    """Returns evenly spaced points strictly between limits; those beyond `reach` are moved closer."""
    lowest, highest = limits
    if not lowest < highest:
        raise SettingError(f"{what}: {name} must be a range (lowest, highest), not {limits!r}")
    low = max(lowest, min(-reach, highest - 2 * reach))
    high = min(highest, max(reach, lowest + 2 * reach))
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
    """Compares a derivative with differences of the value, wherever the value is finite.

    Raises:
        FormulaError: they disagree, or the value is nowhere finite.
    """
    with np.errstate(all="ignore"):
        formula = np.broadcast_to(np.asarray(derivative(at), np.float64), at.shape)
        comparisons = [_compare(value, formula, at, size * np.maximum(1, abs(at) / 10)) for size in STEPS]
    if not any(comparison.finite.any() for comparison in comparisons):
        raise FormulaError(f"{what}: the value is nowhere finite")
    for comparison in comparisons:
        comparison.check(what, formula, at, place)


class _Comparison(NamedTuple):
    """Differences of a value, where they are finite, how far a derivative is off, and how far it may be."""

    difference: Numbers
    finite: NDArray[np.bool_]
    off: Numbers
    allowed: Numbers

    def check(self, what: str, formula: Numbers, at: Numbers, place: str) -> None:
        """Raises FormulaError if a derivative is wrong."""
        difference, finite, off, allowed = self
        wrong = finite & ~(off <= allowed)
        if not wrong.any():
            return
        worst = int(np.argmax(np.where(wrong, np.nan_to_num(off, nan=np.inf), 0)))
        raise FormulaError(
            f"{what}: the derivative is wrong at {wrong.sum()} of {len(at)} points, most at "
            f"{place.format(at[worst])}: it is {formula[worst]:.6g}, but by differences of the value "
            f"{difference[worst]:.6g}, so it is off by {off[worst]:.3g}"
        )


def _compare(value: Callable[[Numbers], Values], formula: Numbers, at: Numbers, step: Numbers) -> _Comparison:
    """Compares a derivative with differences of the value; at a kink anything is right."""
    far_left, left, here, right, far_right = (
        np.broadcast_to(np.asarray(value(at + distance * step), np.float64), at.shape)
        for distance in (-2, -1, 0, 1, 2)
    )
    near, far = (right - left) / (2 * step), (far_right - far_left) / (4 * step)
    difference = (4 * near - far) / 3
    gap, far_gap = left + right - 2 * here, (far_left + far_right - 2 * here) / 2
    rounding = ROUNDING * np.finfo(np.float64).eps * (abs(here) + 1)
    kink = (abs(gap) > KINK * abs(far_gap)) & (abs(gap) > 4 * rounding)
    finite = np.isfinite(far_left) & np.isfinite(far_right) & np.isfinite(here)
    sides = (3 * here - 4 * left + far_left) / (2 * step), (4 * right - far_right - 3 * here) / (2 * step)
    offs = [abs(formula - each) for each in (difference, *sides)]  # near a kink one side is smooth
    off = np.where(kink, 0, np.minimum(np.minimum(offs[0], offs[1]), offs[2]))
    return _Comparison(
        difference, finite, off, TOLERANCE * abs(difference) + abs(near - far) + rounding / step
    )

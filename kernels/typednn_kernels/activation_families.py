"""The table of activations with parameters: formulas of y = f(a) and dy/da that take numbers beside a.

A family and its numbers make a row of the table of activations, whose name says both: `leaky_relu(0.01)`.
The row is added when the name is first looked up, as rows of users are: its formulas are traced, so that the
numbers are constants of them on both paths.

Sources: celu: Barron (2017), arXiv:1704.07483, eq. 2. The others: see `activations`.
"""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# Formulas written as lambdas have no types.

from __future__ import annotations

import re
from collections.abc import Callable
from math import isfinite
from typing import ClassVar, NamedTuple

from typednn_kernels import activations
from typednn_kernels.activations import INFINITY, MAX_ROWS, ROWS_LOCK, Activation, CustomActivation
from typednn_kernels.arrays import Values
from typednn_kernels.primitives import exp, expm1, log1p, maximum, minimum, unless_nan, where
from typednn_kernels.tracing import TracedFormula

_NAME = re.compile(r"(?P<family>.+)\((?P<numbers>[^()]*)\)")


class ActivationFamily(NamedTuple):
    """A family of activations.

    Attributes:
        name: of the family.
        parameters: their names.
        value: computes y from a and the parameters.
        derivative: computes dy/da from a, y and the parameters.
        are_valid: says whether finite numbers can be parameters.
        requirement: what `are_valid` demands, for messages.
        limits: computes the range of y from the parameters.
    """

    name: str
    parameters: tuple[str, ...]
    value: Callable[..., Values]
    derivative: Callable[..., Values | float]
    are_valid: Callable[..., bool] = lambda *_: True
    requirement: str = "finite parameters"
    limits: Callable[..., tuple[float, float]] = lambda *_: (-INFINITY, INFINITY)

    def accepts(self, numbers: tuple[float, ...]) -> bool:
        """Says whether numbers can be the parameters."""
        return (
            len(numbers) == len(self.parameters) and all(map(isfinite, numbers)) and self.are_valid(*numbers)
        )

    def name_with(self, numbers: tuple[float, ...]) -> str:
        """Returns the name of the activation with these parameters."""
        return f"{self.name}({', '.join(map(repr, numbers))})"

    def row(self, name: CustomActivation, numbers: tuple[float, ...]) -> Activation:
        """Returns the row of the activation with these parameters.

        Raises TracingError if a formula does something else than compute.
        """
        value = TracedFormula.of(lambda a: self.value(a, *numbers), 1)
        derivative = TracedFormula.of(lambda a, y: self.derivative(a, y, *numbers), 2)
        pairs = (f"{each} {number:g}" for each, number in zip(self.parameters, numbers, strict=True))
        return Activation(
            name, value, derivative, *self.limits(*numbers), f"{self.name} with {', '.join(pairs)}"
        )


def _within(a: Values, v: Values, lowest: float, highest: float, dvda: float) -> Values:
    """Returns the derivative of a clipped number: dv/da where v is between the limits, else 0."""
    return where(v > lowest, where(v < highest, dvda, unless_nan(a, 0)), unless_nan(a, 0))


FAMILIES: dict[str, ActivationFamily] = {
    row.name: row
    for row in (
        ActivationFamily(
            "leaky_relu",
            ("alpha",),
            lambda a, alpha: where(a > 0, a, a * alpha),
            lambda a, y, alpha: where(a > 0, 1, unless_nan(a, alpha)),
            limits=lambda alpha: (-INFINITY if alpha > 0 else 0.0, INFINITY),
        ),
        ActivationFamily(
            "elu",
            ("alpha",),
            lambda a, alpha: where(a > 0, a, expm1(minimum(a, 0)) * alpha),
            lambda a, y, alpha: where(a > 0, 1, y + alpha),
            lambda alpha: alpha >= 0,
            "an alpha of 0 or more",
            lambda alpha: (-alpha, INFINITY),
        ),
        ActivationFamily(
            "celu",
            ("alpha",),
            lambda a, alpha: where(a > 0, a, expm1(minimum(a, 0) / alpha) * alpha),
            lambda a, y, alpha: where(a > 0, 1, y / alpha + 1),
            lambda alpha: alpha > 0,
            "a positive alpha",
            lambda alpha: (-alpha, INFINITY),
        ),
        ActivationFamily(
            "softplus",
            ("beta",),
            lambda a, beta: maximum(a, 0) + log1p(exp(abs(a) * -beta)) / beta,
            lambda a, y, beta: _sigmoid(a * beta),
            lambda beta: beta > 0,
            "a positive beta",
            lambda _: (0.0, INFINITY),
        ),
        ActivationFamily(
            "hard_tanh",
            ("lowest", "highest"),
            lambda a, lowest, highest: minimum(maximum(a, lowest), highest),
            lambda a, y, lowest, highest: _within(a, a, lowest, highest, 1),
            lambda lowest, highest: lowest < highest,
            "lowest below highest",
            lambda lowest, highest: (lowest, highest),
        ),
        ActivationFamily(
            "hard_sigmoid",
            ("alpha", "beta"),
            lambda a, alpha, beta: minimum(maximum(a * alpha + beta, 0), 1),
            lambda a, y, alpha, beta: _within(a, a * alpha + beta, 0, 1, alpha),
            limits=lambda *_: (0.0, 1.0),
        ),
    )
}
"""By name; families of users come after the library's."""


def _sigmoid(a: Values) -> Values:
    e = exp(-abs(a))
    return where(a < 0, e, 1) / (1 + e)


class ParametricActivation(CustomActivation):
    """The name of an activation with parameters, such as `leaky_relu(0.01)`.

    Subclasses are the library's families: their `repr` is the call that makes them.
    """

    __slots__ = ()

    _classes: ClassVar[dict[str, type[ParametricActivation]]] = {}
    """The subclasses, by the names of their families."""
    _family: ClassVar[str] = ""
    """The family of a subclass."""

    def __init_subclass__(cls, *, family: str) -> None:
        """Makes the class that of a family."""
        cls._family = family
        ParametricActivation._classes[family] = cls

    @property
    def parameters(self) -> dict[str, float]:
        """The parameters, by name."""
        family, numbers = parsed(self)
        return dict(zip(family.parameters, numbers, strict=True))

    def __repr__(self) -> str:
        """Returns the call that makes it."""
        name = str(self)
        if type(self) is ParametricActivation:
            return repr(name)
        return f"{type(self).__name__}{name[name.index('(') :]}"

    def __reduce__(self) -> tuple[Callable[[str], str], tuple[str]]:
        """Returns how to make it from its name: the family may not be registered where it is unpickled."""
        return name_of, (str(self),)


def parsed(name: str) -> tuple[ActivationFamily, tuple[float, ...]]:
    """Returns the family and the parameters that a name such as `leaky_relu(0.01)` says.

    Raises KeyError if there is no such family, ValueError if the parameters are no numbers for it.
    """
    match = _NAME.fullmatch(name)
    family = FAMILIES[match["family"] if match else name]
    numbers = tuple(map(float, match["numbers"].split(","))) if match else ()
    if not family.accepts(numbers):
        raise ValueError(family.requirement)
    return family, numbers


def name_of(text: str) -> CustomActivation:
    """Returns the name of an activation with parameters that a text says, or of one that users register."""
    try:
        family, numbers = parsed(text)
    except (KeyError, ValueError):
        return CustomActivation(text)
    return named(family, numbers)


def named(family: ActivationFamily, numbers: tuple[float, ...]) -> ParametricActivation:
    """Returns the name of an activation of a family."""
    kind = ParametricActivation._classes.get(family.name, ParametricActivation)
    return str.__new__(kind, family.name_with(numbers))


def code_of(name: str) -> int | None:
    """Returns the code of an activation; one with parameters gets its row at the first call.

    It is None if there is no such activation, or no room for its row.
    """
    code = activations.CODES.get(name)
    return _add(name) if code is None else code


def _add(name: str) -> int | None:
    try:
        family, numbers = parsed(name)
    except (KeyError, ValueError):
        return None
    row = family.row(named(family, numbers), numbers)
    with ROWS_LOCK:
        if row.name not in activations.CODES and len(activations.ACTIVATIONS) < MAX_ROWS:
            activations.add_row(row)
        return activations.CODES.get(row.name)

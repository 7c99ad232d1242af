"""Formulas of users, recorded.

A formula of the tables is source code that all caches of machine code know. One that a user brings may
depend on anything: numbers around it, other functions, the file it stands in. So it is called once, with
arguments that record what is done with them, and from then on the record is the formula: NumPy replays it
on arrays, and the compiler on symbols. Equal records are equal formulas, whatever they were written like.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import SupportsFloat, TypeAlias

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from typednn_kernels.arrays import Values

OPERATIONS = frozenset(
    [
        *("add", "subtract", "multiply", "divide", "negative", "absolute"),
        *("less", "less_equal", "greater", "greater_equal", "equal"),
        *("exp", "expm1", "log", "log1p", "tanh", "erf", "erfc", "sqrt", "sign", "maximum", "minimum"),
    ]
)
"""What a formula may do, beside choosing with `where`."""

ADVICE = "a formula consists of +, -, *, /, comparisons, abs and the functions of typednn.formulas"


@dataclass(frozen=True, slots=True)
class Place:
    """Where an operand of a step comes from: an argument, or the result of a step before it."""

    index: int


Operand: TypeAlias = Place | float


@dataclass(frozen=True, slots=True)
class Step:
    """An operation; `where` or a function of NumPy or SciPy, known by its name."""

    name: str
    operands: tuple[Operand, ...]


class TracingError(Exception):
    """Something in a formula that is no word for formulas."""


@dataclass(frozen=True)
class TracedFormula:
    """A formula that was recorded, and can be called as it could."""

    arity: int
    steps: tuple[Step, ...]
    result: Place

    @classmethod
    def of(cls, formula: Callable[..., object], arity: int) -> TracedFormula:
        """Records a formula of so many arguments.

        Raises:
            TracingError: it does something else than compute with them; says what.
        """
        steps: list[Step] = []
        arguments = [Tracer(steps, Place(index), arity) for index in range(arity)]
        try:
            result = formula(*arguments)
        except TracingError:
            raise
        except Exception as error:
            raise TracingError(f"{error}; {ADVICE}") from error
        if not isinstance(result, Tracer):
            result = arguments[0].replaced_by(operand_of(result))
        if result.is_condition:
            raise TracingError("it returns a comparison; where(condition, x, y) makes numbers of it")
        return cls(arity, tuple(steps), result.place)

    def __call__(self, *arguments: Values) -> Values:
        """Replays it on arrays, or on symbols."""
        values = list(arguments)

        def value(operand: Operand) -> Values | float:
            return values[operand.index] if isinstance(operand, Place) else operand

        for step in self.steps:
            values += [function_named(step.name)(*map(value, step.operands))]
        return values[self.result.index]

    @property
    def digest(self) -> str:
        """What it computes, in 16 hexadecimal digits."""
        return hashlib.sha256(repr((self.arity, self.steps, self.result)).encode()).hexdigest()[:16]


class Tracer(NDArrayOperatorsMixin):
    """An argument of a formula that is being recorded, or an intermediate result."""

    def __init__(self, steps: list[Step], place: Place, arity: int, *, is_condition: bool = False) -> None:
        self.steps: list[Step] = steps
        self.place: Place = place
        self.arity: int = arity
        self.is_condition: bool = is_condition

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: object, **settings: object) -> Tracer:
        """Records an operator or function."""
        name = ufunc.__name__
        if name == "power":
            raise TracingError(f"powers are written as products: a * a; {ADVICE}")
        if name not in OPERATIONS or method != "__call__":
            raise TracingError(f"{name} is no word for formulas; {ADVICE}")
        if settings:
            raise TracingError("a formula makes new values: x = x + 1 instead of x += 1, and no out=")
        if any(isinstance(each, Tracer) and each.is_condition for each in inputs):
            raise TracingError(f"{name} of a comparison; where(condition, x, y) makes numbers of it")
        return self._record(name, inputs)

    def __array_function__(
        self,
        function: Callable[..., object],
        _types: object,
        inputs: Sequence[object],
        _settings: object,
    ) -> Tracer:
        """Records `np.where`."""
        if function is not np.where or len(inputs) != 3:
            raise TracingError(f"{function.__name__} is no word for formulas; {ADVICE}")
        condition, x, y = inputs
        if not isinstance(condition, Tracer) or not condition.is_condition:
            raise TracingError("the condition of where(condition, x, y) must be a comparison of arguments")
        if not isinstance(x, Tracer) and not isinstance(y, Tracer):
            compared = self.steps[condition.place.index - self.arity].operands
            place = next(each for each in compared if isinstance(each, Place))
            x = Tracer(self.steps, place, self.arity).replaced_by(operand_of(x))
        return self._record("where", (condition, x, y))

    def replaced_by(self, number: Operand) -> Tracer:
        """A number in the dtype of this value, which is limited to it; NaN where this is NaN."""
        limited = self._record("maximum", (self, number))
        return self._record("minimum", (limited, number))

    def __bool__(self) -> bool:
        """Refuses `if`, `and`, `max` and the like: the formula is recorded once, for every value."""
        raise TracingError(
            "it asks whether a value is true, as if, and, or, min and max do; "
            "where, maximum and minimum choose"
        )

    def _record(self, name: str, inputs: Sequence[object]) -> Tracer:
        self.steps.append(Step(name, tuple(map(operand_of, inputs))))
        place = Place(self.arity + len(self.steps) - 1)
        comparison = name.startswith(("less", "greater", "equal"))
        return Tracer(self.steps, place, self.arity, is_condition=comparison)


def operand_of(value: object) -> Operand:
    """A recorded value, or a number as Python has it: it takes the dtype of the arrays that it meets."""
    if isinstance(value, Tracer | Place):
        return value if isinstance(value, Place) else value.place
    if isinstance(value, SupportsFloat) and not hasattr(value, "__len__"):
        return float(value)
    raise TracingError(f"{type(value).__name__} is neither an argument nor a number; {ADVICE}")


def function_named(name: str) -> Callable[..., Values]:
    """The function of NumPy or SciPy with that name."""
    if name in {"erf", "erfc"}:
        from scipy import special

        function: Callable[..., Values] = getattr(special, name)
        return function
    found: Callable[..., Values] = getattr(np, name)
    return found

"""Traces the formulas of users.

The formulas of the library's tables are source code, which the cache of machine code knows. One that a user
registers may depend on anything: variables around it, other functions, its file. So it is called once, with
tracers as arguments, which record the operations on them. From then on the trace is the formula: NumPy
replays it on arrays, and the compiler on values in LLVM. Formulas with equal traces are equal.
"""

from __future__ import annotations

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
"""The operations of formulas, beside `where`."""

ADVICE = "a formula consists of +, -, *, /, comparisons, abs and the functions of typednn.formulas"


@dataclass(frozen=True, slots=True)
class Place:
    """Names an operand of a step: an argument or, after them, the result of an earlier step."""

    index: int


Operand: TypeAlias = Place | float


@dataclass(frozen=True, slots=True)
class Step:
    """An operation on some operands: `where`, or a function of NumPy or SciPy, by its name."""

    name: str
    operands: tuple[Operand, ...]


class TracingError(Exception):
    """A formula does something that formulas must not do."""


@dataclass(frozen=True)
class TracedFormula:
    """The operations of a formula, in order; it is called like the formula."""

    arity: int
    steps: tuple[Step, ...]
    result: Place

    @classmethod
    def of(cls, formula: Callable[..., object], arity: int) -> TracedFormula:
        """Traces a formula of `arity` arguments.

        Raises:
            TracingError: it does something else than compute with them; the message says what.
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
            result = arguments[0].clipped_to(operand_of(result))
        if result.is_condition:
            raise TracingError("it returns a comparison; where(condition, x, y) makes numbers of it")
        return cls(arity, tuple(steps), result.place)

    def __call__(self, *arguments: Values) -> Values:
        """Replays the formula on arrays, or on values in LLVM."""
        values = list(arguments)

        def value(operand: Operand) -> Values | float:
            return values[operand.index] if isinstance(operand, Place) else operand

        for step in self.steps:
            values += [function_named(step.name)(*map(value, step.operands))]
        return values[self.result.index]

    @property
    def digest(self) -> str:
        """Returns a hash of the operations, 16 hexadecimal digits."""
        from hashlib import sha256

        return sha256(repr((self.arity, self.steps, self.result)).encode()).hexdigest()[:16]


class Tracer(NDArrayOperatorsMixin):
    """An argument of a formula that is being traced, or an intermediate result."""

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
            x = Tracer(self.steps, place, self.arity).clipped_to(operand_of(x))
        return self._record("where", (condition, x, y))

    def clipped_to(self, number: Operand) -> Tracer:
        """Records a number in the dtype of this value, which is clipped to it; NaN where this is NaN."""
        at_least = self._record("maximum", (self, number))
        return self._record("minimum", (at_least, number))

    def __bool__(self) -> bool:
        """Refuses `if`, `and`, `max` and the like: a formula is traced once, for all values."""
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
    """Returns what a step keeps of an operand: numbers become Python floats, which have no dtype."""
    if isinstance(value, Tracer | Place):
        return value if isinstance(value, Place) else value.place
    if isinstance(value, SupportsFloat) and not hasattr(value, "__len__"):
        return float(value)
    raise TracingError(f"{type(value).__name__} is neither an argument nor a number; {ADVICE}")


def function_named(name: str) -> Callable[..., Values]:
    """Returns the function of NumPy or SciPy with a name."""
    if name in {"erf", "erfc"}:
        from scipy import special

        function: Callable[..., Values] = getattr(special, name)
        return function
    found: Callable[..., Values] = getattr(np, name)
    return found

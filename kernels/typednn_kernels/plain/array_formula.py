"""Evaluates a formula on arrays and does nothing in vain.

Formulas of tables are written to be read, and for a compiler, which drops what is computed twice or not used.
NumPy does not, and takes as long to make an array of a number as to add two small arrays. So a formula is
traced once, and what is left of its operations is made with arrays for its numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from operator import itemgetter
from typing import Any, TypeAlias

import numpy as np

from typednn_kernels.arrays import Values
from typednn_kernels.primitives import where
from typednn_kernels.tracing import Operand, Place, TracedFormula, function_named

Operation: TypeAlias = tuple[Callable[..., Values], Callable[[Sequence[Any]], Sequence[Any]]]
"""A function, and what picks its operands among the arrays, the numbers and the results before it."""


class ArrayFormula:
    """The operations of a formula of some arrays of a dtype, in order, with the same results to the bit."""

    def __init__(self, formula: Callable[..., object], arity: int, dtype: np.dtype[Any]) -> None:
        traced = TracedFormula.of(formula, arity)
        used = _used(traced)
        steps = [(index, step) for index, step in enumerate(traced.steps, arity) if index in used]
        numbers = dict.fromkeys(
            repr(each) for _, step in steps for each in step.operands if not isinstance(each, Place)
        )
        self.numbers: list[Values] = [np.array(float(each), dtype) for each in numbers]
        place_of_number = {each: arity + place for place, each in enumerate(numbers)}
        places = {index: index for index in range(arity)}
        found: dict[tuple[str, tuple[int, ...]], int] = {}

        def place_of(operand: Operand) -> int:
            return places[operand.index] if isinstance(operand, Place) else place_of_number[repr(operand)]

        self.steps: list[Operation] = []
        for index, step in steps:
            chosen = tuple([place_of(each) for each in step.operands])
            if (step.name, chosen) not in found:
                found[step.name, chosen] = arity + len(numbers) + len(self.steps)
                function = where if step.name == "where" else function_named(step.name)
                self.steps.append((function, _picked(chosen)))
            places[index] = found[step.name, chosen]
        result = traced.result.index
        copy: Operation = np.positive, _picked([result])
        self.last: Operation = self.steps.pop() if self.steps else copy

    def __call__(self, out: Values, *arrays: Values) -> None:
        """Writes the result to `out`."""
        values = [*arrays, *self.numbers]
        for function, pick in self.steps:
            values.append(function(*pick(values)))
        function, pick = self.last
        if function is where:
            out[...] = where(*pick(values))
        else:
            function(*pick(values), out=out)


def _picked(places: Sequence[int]) -> Callable[[Sequence[Any]], Sequence[Any]]:
    """Returns what picks the values at some places."""
    first, *others = places
    return itemgetter(first, *others) if others else itemgetter(slice(first, first + 1))


def _used(traced: TracedFormula) -> set[int]:
    """Returns the indices of the values that the result depends on."""
    used = {traced.result.index}
    for index, step in reversed(list(enumerate(traced.steps, traced.arity))):
        if index in used:
            used.update(each.index for each in step.operands if isinstance(each, Place))
    return used


@cache
def array_formula(formula: Callable[..., object], arity: int, dtype: np.dtype[Any]) -> ArrayFormula:
    """Returns what evaluates a formula of some arrays of a dtype; it is made once."""
    return ArrayFormula(formula, arity, dtype)

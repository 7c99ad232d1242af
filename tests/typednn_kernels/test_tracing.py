"""A trace computes what its formula does, and what is no formula is refused."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false
# Formulas written as lambdas have no types.

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from typednn_kernels.activations import ACTIVATIONS, BUILT_IN
from typednn_kernels.losses import BUILT_IN as BUILT_IN_LOSSES
from typednn_kernels.losses import LOSSES
from typednn_kernels.tracing import TracedFormula, TracingError

FORMULAS: dict[str, tuple[Callable[..., Any], int]] = {
    **{f"{row.name} value": (row.value, 1) for row in ACTIVATIONS[:BUILT_IN] if row.value},
    **{f"{row.name} derivative": (row.derivative, 2) for row in ACTIVATIONS[:BUILT_IN] if row.derivative},
    **{f"{row.name} value": (row.value, 2) for row in LOSSES[:BUILT_IN_LOSSES]},
    **{f"{row.name} derivative": (row.derivative, 2) for row in LOSSES[:BUILT_IN_LOSSES]},
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize("name", FORMULAS)
def test_a_trace_computes_what_the_formula_does(name: str, dtype: Any) -> None:
    formula, arity = FORMULAS[name]
    arguments = [np.linspace(-3, 3, 61).astype(dtype), np.linspace(0, 1, 61).astype(dtype)][:arity]

    with np.errstate(all="ignore"):
        reference = np.full_like(arguments[0], formula(*arguments))
        computed: Any = TracedFormula.of(formula, arity)(*arguments)

    assert computed.dtype == dtype
    np.testing.assert_array_equal(computed, reference)


def test_equal_traces_are_equal_formulas() -> None:
    factor = 2.0

    def doubled(a: Any) -> Any:
        return factor * a

    first, same, other = (TracedFormula.of(each, 1) for each in (doubled, lambda a: 2 * a, lambda a: a * 2))
    factor = 3.0
    changed = TracedFormula.of(doubled, 1)

    assert first == same
    assert first.digest == same.digest
    assert len({first.digest, other.digest, changed.digest}) == 3
    assert first(np.array([1.5])).tolist() == [3.0]  # what it depended on is fixed


def test_numbers_take_the_dtype_of_the_arrays() -> None:
    scaled = TracedFormula.of(lambda a: np.float64(0.5) * a, 1)
    chosen = TracedFormula.of(lambda a: np.where(a > 0, 1, 0.25), 1)
    constant = TracedFormula.of(lambda a, y: 1, 2)
    a = np.array([-2, 0, 3], np.float32)

    for trace, expected in ((scaled, [-1, 0, 1.5]), (chosen, [0.25, 0.25, 1])):
        assert trace(a).dtype == np.float32
        assert trace(a).tolist() == expected
    assert constant(a, a).tolist() == [1, 1, 1]
    assert constant(a, a).dtype == np.float32


REFUSED: dict[str, tuple[Callable[..., Any], str]] = {
    "if": (lambda a: a if a > 0 else 0 * a, "whether a value is true"),
    "and": (lambda a: np.where((a > 0) and (a < 1), a, 0), "whether a value is true"),
    "max": (lambda a: max(a, 0), "whether a value is true"),
    "power": (lambda a: a**2, "powers are written as products"),
    "unknown function": (np.sin, "sin is no word"),
    "function of numbers": (math.exp, "must be real number"),
    "sum": (np.sum, "is no word"),
    "mean": (np.mean, "is no word"),
    "method": (lambda a: a.astype(np.float32), "no attribute 'astype'"),
    "in place": (lambda a: a.__iadd__(1), "x = x \\+ 1"),
    "array": (lambda a: a * np.ones(3), "ndarray is neither an argument nor a number"),
    "nothing": (lambda a: None, "NoneType is neither"),
    "comparison": (lambda a: a > 0, "returns a comparison"),
    "comparison as a number": (lambda a: a * (a > 0), "multiply of a comparison"),
    "no comparison": (lambda a: np.where(a, a, 0), "must be a comparison"),
    "arguments": (lambda: 1, "takes 0 positional arguments"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str) -> None:
    formula, message = REFUSED[name]

    with pytest.raises(TracingError, match=message):
        TracedFormula.of(formula, 1)

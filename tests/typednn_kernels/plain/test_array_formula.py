"""What NumPy evaluates in place of a formula, and in place of the losses of a step, has the same bits."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# Formulas written as lambdas have no types.

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from typednn_kernels.activations import ACTIVATIONS, CODES, SOFTMAX
from typednn_kernels.activations import BUILT_IN as BUILT_IN_ACTIVATIONS
from typednn_kernels.losses import BUILT_IN, LOSSES, PAIRS, pair_delta, pair_derivative, pair_value
from typednn_kernels.plain import loss_value, output_delta
from typednn_kernels.plain.activation import activation_value, softmax
from typednn_kernels.plain.array_formula import array_formula
from typednn_kernels.plain.loss import ShortStep, has_short_step, is_one_hot
from typednn_kernels.primitives import exp

ELEMENTWISE = [place for place, (activation, _) in enumerate(PAIRS) if activation != SOFTMAX]
FORMULAS: dict[str, tuple[Callable[..., Any], int]] = {
    **{f"{row.name} value": (row.value, 1) for row in ACTIVATIONS[:BUILT_IN_ACTIVATIONS] if row.value},
    **{
        f"{row.name} derivative": (row.derivative, 2)
        for row in ACTIVATIONS[:BUILT_IN_ACTIVATIONS]
        if row.derivative and row.name != "none"
    },
    **{f"{row.name} value": (row.value, 2) for row in LOSSES[:BUILT_IN]},
    **{f"{row.name} derivative": (row.derivative, 2) for row in LOSSES[:BUILT_IN]},
    **{f"{row.name} stable value": (row.stable_value, 2) for row in LOSSES[:BUILT_IN]},
    **{f"pair {place} value": (pair_value(place), 2) for place in ELEMENTWISE},
    **{f"pair {place} delta": (pair_delta(place), 2) for place in ELEMENTWISE},
    **{f"pair {place} derivative": (pair_derivative(place), 3) for place in ELEMENTWISE},
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda dtype: dtype.__name__)
def test_it_computes_what_the_formula_does(dtype: Any) -> None:
    first = [-np.inf, *np.linspace(-90, 90, 3000), -0.0, 0.0, np.inf, np.nan]
    arrays = [np.array(first, dtype), np.linspace(0, 1, len(first)).astype(dtype), np.ones(len(first), dtype)]
    with np.errstate(all="ignore"):
        for name, (formula, arity) in FORMULAS.items():
            for count in (len(first), 5):  # choices by a mask, and by np.where
                arguments = [each[-count:] for each in arrays[:arity]]
                out = np.empty(count, dtype)
                array_formula(formula, arity, np.dtype(dtype))(out, *arguments)
                np.testing.assert_array_equal(out, formula(*arguments), err_msg=name)


def test_no_operation_is_made_twice_or_for_nothing() -> None:
    def formula(a: Any) -> Any:
        unused = exp(-a)
        del unused
        return exp(a + 1) * exp(a + 1) + 1.0

    made = array_formula(formula, 1, np.dtype(np.float32))
    assert len(made.steps) == 3  # a + 1, exp, the product; the last one has the result written
    assert [each.dtype for each in made.numbers] == [np.float32]


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize("soft", [False, True], ids=["one-hot", "soft"])
@pytest.mark.parametrize("samples", [1, 7])
def test_a_short_step_has_the_bits_of_the_kernels(samples: int, soft: bool, dtype: Any) -> None:
    rng, n = np.random.default_rng(samples), 5
    a = rng.normal(0, 3, (samples, n)).astype(dtype)
    t = np.eye(n, dtype=dtype)[rng.integers(0, n, samples)]
    if soft:
        t = (t + rng.uniform(0, 1, t.shape)).astype(dtype) / 2
    assert is_one_hot(t) is not soft
    for loss in range(BUILT_IN):
        for activation in (SOFTMAX, *(CODES[name] for name in ("none", "sigmoid", "tanh", "relu"))):
            if not has_short_step(loss, activation, n):
                continue
            y, losses, expected = np.empty_like(a), np.empty(samples, dtype), np.empty(samples, dtype)
            dLda, dLdy, expected_dLda = np.empty_like(a), np.empty_like(a), np.empty_like(a)
            exponentials, shown = softmax(a, y) if activation == SOFTMAX else None, np.empty_like(a)
            activation_value(activation, a, y)
            loss_value(loss, activation, a, y, t, expected)
            output_delta(loss, activation, a, y, t, dLdy, expected_dLda)

            step = ShortStep[Any](loss, activation, y, not soft)
            with np.errstate(all="ignore"):
                step.compute(a, y, t, shown, dLda, losses, exponentials)

            np.testing.assert_array_equal(losses, expected)
            np.testing.assert_array_equal(shown, dLdy)
            np.testing.assert_array_equal(dLda, expected_dLda)

"""Losses of probabilities after softmax, where the numbers are known; `test_kernels` compares any others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from typednn_kernels.activations import CODES as ACTIVATION_CODES
from typednn_kernels.losses import CODES

SOFTMAX = ACTIVATION_CODES["softmax"]
by_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda dtype: dtype.__name__)


def computed(kernels: Any, loss: str, a: Any, t: Any, dtype: Any) -> tuple[float, Any, Any]:
    """The loss, dLdy and dLda of one sample."""
    logits, targets = np.array([a], dtype), np.array([t], dtype)
    y, dLdy, dLda, losses = (np.full(shape, np.nan, dtype) for shape in (*[logits.shape] * 3, 1))
    kernels.activation_value(SOFTMAX, logits, y)
    kernels.loss_value(CODES[loss], SOFTMAX, logits, y, targets, losses)
    kernels.output_delta(CODES[loss], SOFTMAX, logits, y, targets, dLdy, dLda)
    return float(losses[0]), dLdy[0], dLda[0]


@by_dtype
@pytest.mark.parametrize("loss", ["bincrossentropy", "focal"])
@pytest.mark.parametrize("distance", [20.0, 200.0, 20_000.0])
def test_an_output_that_is_certain_and_wrong(kernels: Any, loss: str, distance: float, dtype: Any) -> None:
    """Of two outputs, one is 1 - exp(-distance): both terms are the distance, and their derivatives 1."""
    value, _, dLda = computed(kernels, loss, [distance, 0], [0, 1], dtype)

    assert value == pytest.approx(distance, rel=1e-6)
    np.testing.assert_allclose(dLda, [1, -1], rtol=1e-6)


@by_dtype
def test_a_certain_output_among_three(kernels: Any, dtype: Any) -> None:
    """The gradient reaches the others in proportion to their outputs, though these are 0 in float32."""
    value, _, dLda = computed(kernels, "bincrossentropy", [300, 0, np.log(3)], [0, 0, 0], dtype)

    assert value == pytest.approx((300 - np.log(4)) / 3, rel=1e-6)
    np.testing.assert_allclose(dLda, np.array([1, -1 / 4, -3 / 4]) / 3, rtol=1e-6)


@by_dtype
def test_dLdy_of_complements_that_are_rounded_to_0(kernels: Any, dtype: Any) -> None:
    """1 - y of the first output is exp(-40), which 1 - y has no digits of."""
    _, dLdy, _ = computed(kernels, "bincrossentropy", [40, 0], [0, 1], dtype)

    np.testing.assert_allclose(dLdy, np.array([1, -1]) * np.exp(40) / 2, rtol=1e-5)


@by_dtype
@pytest.mark.parametrize("loss", ["bincrossentropy", "focal"])
def test_equal_outputs(kernels: Any, loss: str, dtype: Any) -> None:
    """No output is above 1/2; the gradient of y = 1/3 and targets 1, 0, 0, by hand."""
    value, _, dLda = computed(kernels, loss, [5, 5, 5], [1, 0, 0], dtype)
    y, of_1, of_0 = 1 / 3, -np.log(1 / 3), -np.log(2 / 3)
    slopes = [-1 / y, 1 / (1 - y), 1 / (1 - y)]
    expected = of_1 + 2 * of_0
    if loss == "focal":
        expected = (1 - y) ** 2 * of_1 + 2 * y**2 * of_0
        first, other = -2 * (1 - y) * of_1 - (1 - y) ** 2 / y, 2 * y * of_0 + y**2 / (1 - y)
        slopes = [first, other, other]

    assert value == pytest.approx(expected / 3, rel=1e-6)
    np.testing.assert_allclose(dLda, y * (np.array(slopes) - np.mean(slopes)) / 3, rtol=1e-5)


@by_dtype
def test_one_output_is_always_1_and_clipped(kernels: Any, dtype: Any) -> None:
    value, _, dLda = computed(kernels, "bincrossentropy", [7], [0], dtype)

    assert value == pytest.approx(-np.log(1 - (1 - 1e-7)), rel=0.2)
    assert dLda.tolist() == [0]

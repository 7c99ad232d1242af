"""Gradients with respect to samples, from gradients of one's own, and of single samples."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.oracles.problems import problem
from tests.typednn.building import DTYPES, network_of
from typednn import SettingError, jacobian, sample_gradients

pytestmark = pytest.mark.usefixtures("path")
by_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)


def case_of(dtype: Any) -> Any:
    return problem((3, 4, 2), ("tanh", "sigmoid", "softmax"), "crossentropy", 5, dtype)


def expected_dLdx(case: Any) -> NDArray[Any]:
    """By hand in float64: tanh samples, a sigmoid layer, softmax with cross-entropy."""
    x, t = case.x.astype(float), case.t.astype(float)
    (W1, W2), (b1, b2) = ([each.astype(float) for each in pair[-2:]] for pair in (case.weights, case.biases))
    h0 = np.tanh(x)
    h1 = 1 / (1 + np.exp(-(h0 @ W1.T + b1.reshape(-1))))
    e = np.exp(h1 @ W2.T + b2.reshape(-1))
    y = e / e.sum(axis=1, keepdims=True)
    delta = ((y * t.sum(axis=1, keepdims=True) - t) / len(x)) @ W2 * h1 * (1 - h1)
    return np.asarray(delta @ W1 * (1 - h0 * h0))


@by_dtype
def test_gradient_with_respect_to_samples(dtype: Any) -> None:
    case = case_of(dtype)
    network = network_of(case)
    computed = network.forward(case.x).backward(case.t, inputs=True).dLdx

    assert computed.dtype == dtype
    np.testing.assert_allclose(computed, expected_dLdx(case), rtol=0, atol=200 * np.finfo(dtype).eps)


@by_dtype
def test_samples_by_themselves(dtype: Any) -> None:
    case = case_of(dtype)
    network = network_of(case)
    each, eps = sample_gradients(network, case.x, case.t), np.finfo(dtype).eps
    pairs = zip(case.x[:, None], case.t[:, None], strict=True)
    alone = [network.forward(x).backward(t).vector for x, t in pairs]
    w = np.arange(5.0)
    weighted = network.forward(case.x).backward(case.t, sample_weight=w)

    np.testing.assert_allclose(each, alone, rtol=0, atol=200 * eps)
    np.testing.assert_allclose(
        weighted.vector, (w[:, None] * np.array(alone)).mean(axis=0), rtol=0, atol=800 * eps
    )
    g = np.ones_like(network.predict(case.x))
    by_jacobian = np.einsum("so,sof->sf", g, jacobian(network, case.x))
    dLdx = network.forward(case.x).backward(dLdy=g, inputs=True).dLdx
    np.testing.assert_allclose(dLdx, by_jacobian, rtol=0, atol=200 * eps)


def test_what_is_missing_is_said() -> None:
    case = case_of(np.float64)
    forward = network_of(case).forward(case.x)
    given: Any = forward
    with pytest.raises(SettingError, match="targets y"):
        given.backward()
    with pytest.raises(AttributeError, match="inputs=True"):
        _ = given.backward(case.t).dLdx

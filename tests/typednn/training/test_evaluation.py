"""Accuracies and coefficients of determination, by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.oracles.agreement import assert_near
from tests.typednn.building import Dtype
from typednn import Evaluation, InputLayer, Network, OutputLayer

both_paths = pytest.mark.usefixtures("path")


def identity(output: Any, loss: Any, n: int) -> Network[np.float64]:
    """A network whose pre-activations are its inputs."""
    network = Network([InputLayer(n), OutputLayer(n, output, loss)])
    network.parameters[...] = [*np.eye(n).reshape(-1), *np.zeros(n)]
    return network


@both_paths
def test_accuracy_of_classes() -> None:
    x = np.array([[3.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 9.0], [2.0, 1.0, 0.0]])
    network = identity("softmax", "crossentropy", 3)

    computed = network.evaluate(x, np.array([0, 1, 1, 0]))

    assert computed == Evaluation(network.loss(x, np.array([0, 1, 1, 0])), 0.75, None, {})


@both_paths
def test_accuracy_of_yes_and_no() -> None:
    x = np.array([[3.0, -1.0], [-2.0, -2.0], [1.0, 1.0]])
    t = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 1.0]])

    computed = identity("sigmoid", "bincrossentropy", 2).evaluate(x, t)

    assert computed.accuracy == 2 / 3
    assert computed.r2 is None


@both_paths
def test_coefficient_of_determination() -> None:
    """1 - 0.5 / 5 and 1 - 4 / 5: sums of squares by hand."""
    x = np.array([[1.0, 0.0], [2.0, 1.0], [3.0, 2.0], [4.0, 5.0]])
    t = np.array([[1.5, 0.0], [2.0, 1.0], [2.5, 2.0], [4.0, 3.0]])

    computed = identity("none", "MSE", 2).evaluate(x, t)

    total = ((t[:, 0] - 2.5) ** 2).sum()
    assert computed.accuracy is None
    assert computed.r2 is not None
    assert_near(computed.r2, (1 - 0.5 / total + 1 - 4 / 5) / 2, 1e-12)
    assert_near(computed.loss, (0.5 + 4) / 8, 1e-12)


@both_paths
def test_for_constant_targets_the_coefficient_of_determination_is_1_or_0() -> None:
    """As scikit-learn defines it."""
    network = identity("none", "MSE", 1)

    assert network.evaluate(np.array([[7.0], [7.0]]), np.array([[7.0], [7.0]])).r2 == 1
    assert network.evaluate(np.array([[7.0], [8.0]]), np.array([[7.0], [7.0]])).r2 == 0


@both_paths
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_constant_targets_that_no_float_has_exactly_count_as_constant(dtype: Any) -> None:
    """The mean of equal numbers need not be that number; documented: 0 where outputs are not exact."""
    network: Network[Any] = Network([InputLayer(1), OutputLayer(1)], dtype=dtype)
    network.parameters[...] = [1, 0]
    x: NDArray[Any] = np.linspace(0, 1, 1001).astype(dtype).reshape(-1, 1)
    t: NDArray[Any] = np.full((1001, 1), 0.1, dtype)

    for weights in (None, np.linspace(0.1, 1, 1001)):
        assert network.evaluate(x, t, sample_weight=weights).r2 == 0
        assert network.evaluate(t, t, sample_weight=weights).r2 == 1


@both_paths
def test_coefficient_of_determination_of_a_million_rows_in_float32() -> None:
    """Targets 100 and 102, whose variance is 1, and outputs that miss by 1/8: 1 - 1/64 for both."""
    n = 1_000_000
    t = np.tile(np.array([[100, 102], [102, 100]], np.float32), (n // 2, 1))
    missed = np.array([[0.125], [-0.125]], np.float32)
    x = t + np.tile(missed, (n // 2, 1))
    network: Network[Any] = Network([InputLayer(2), OutputLayer(2)], dtype=np.float32)
    network.parameters[...] = [1, 0, 0, 1, 0, 0]

    r2 = network.evaluate(x, t).r2

    assert r2 is not None
    assert_near(r2, 1 - 0.125**2, 1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@both_paths
def test_weights_reach_loss_accuracy_and_r2(dtype: Dtype) -> None:
    """Weighted accuracy is Σ w correct / Σ w; R² has the weighted mean in it, as in scikit-learn."""
    w = np.array([0.5, 2, 0, 3])
    x = np.array([[3, 1, 0], [0, 1, 0], [0, 0, 9], [2, 1, 0]], dtype)
    labels = np.array([0, 1, 1, 0])
    network: Network[Any] = Network([InputLayer(3), OutputLayer(3, "softmax", "crossentropy")], dtype=dtype)
    network.parameters[...] = [*np.eye(3).reshape(-1), *np.zeros(3)]
    each = [network.loss(x[[i]], labels[[i]]) for i in range(4)]

    computed = network.evaluate(x, labels, sample_weight=w)

    assert computed.loss == pytest.approx(np.mean(w * each), rel=1e-6)
    assert computed.loss == network.loss(x, labels, sample_weight=w)
    assert computed.accuracy == pytest.approx(5.5 / 5.5)
    w[2] = 4.5
    assert network.evaluate(x, labels, sample_weight=w).accuracy == pytest.approx(5.5 / 10)
    of_classes = network.evaluate(x, labels, sample_weight=w, class_weight={0: 2.0, 1: 0.5})
    assert of_classes.accuracy == pytest.approx((1 + 1 + 6) / (1 + 1 + 2.25 + 6))
    assert of_classes.loss == pytest.approx(np.mean([1, 1, 2.25, 6] * np.array(each)), rel=1e-6)
    balanced = network.evaluate(x, np.array([0, 1, 1, 1]), class_weight="balanced")
    assert balanced.accuracy == pytest.approx((2 + 2 / 3) / 4)

    line: Any = Network([InputLayer(1), OutputLayer(1)], dtype=dtype)
    line.parameters[...] = [1, 0]
    x, t, w = np.array([[1], [2], [4]], dtype), np.array([[1.5], [2], [3]], dtype), np.array([1.0, 2, 5])
    mean = (1.5 + 4 + 15) / 8
    total = (1.5 - mean) ** 2 + 2 * (2 - mean) ** 2 + 5 * (3 - mean) ** 2
    assert line.evaluate(x, t, sample_weight=w).r2 == pytest.approx(1 - (0.25 + 5) / total, rel=1e-6)
    assert np.isnan(line.evaluate(x, t, sample_weight=np.zeros(3)).r2)


def test_metrics_of_one_output_take_a_vector() -> None:
    x, y = np.random.default_rng(0).normal(size=(9, 2)), np.arange(9.0)
    network = Network([InputLayer(2), OutputLayer(1)], seed=0)

    found = network.evaluate(x, y, metrics=["mae"])

    assert found.metrics == network.evaluate(x, y.reshape(-1, 1), metrics=["mae"]).metrics
    assert found.metrics["mae"] == pytest.approx(abs(network.predict(x)[:, 0] - y).mean())

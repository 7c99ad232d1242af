"""Accuracies and coefficients of determination, by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.oracles.agreement import assert_near
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

    assert computed == Evaluation(network.loss(x, np.array([0, 1, 1, 0])), 0.75, None)


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
    x, t = np.linspace(0, 1, 1001, dtype=dtype).reshape(-1, 1), np.full((1001, 1), 0.1, dtype)

    assert network.evaluate(x, t).r2 == 0
    assert network.evaluate(t, t).r2 == 1


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

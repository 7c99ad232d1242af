"""The oracles agree with each other, so that none of them is trusted alone."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.oracles import differences, loops, torch_float64
from tests.oracles.agreement import assert_agrees, assert_close
from tests.oracles.problems import OUTPUTS, PAIRS, problem


@pytest.mark.once_per("output", "loss")
@pytest.mark.parametrize(("output", "loss"), PAIRS)
@pytest.mark.parametrize("samples", [1, 4])
def test_loops_agree_with_central_differences_of_their_own_loss(output: str, loss: str, samples: int) -> None:
    case = problem((2, 3, 3), ("tanh", "relu", output), loss, samples)
    net = case.net

    reference = differences.gradient(
        lambda v: float(net.with_vector(v).mean_loss(case.x, case.t)), case.vector
    )
    computed = net.trace(case.x, case.t).vector

    np.testing.assert_allclose(computed, reference, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(("output", "loss"), PAIRS)
def test_loops_agree_with_pytorch(output: str, loss: str) -> None:
    case = problem((3, 4, 3), ("none", "sigmoid", output), loss, 5)

    reference = torch_float64.gradients(case.activations, case.weights, case.biases, loss, case.x, case.t)
    computed = case.trace

    assert_close(np.array(reference.loss), computed.loss, 8)
    for k in (1, 2):
        assert_close(reference.dLda[k - 1], computed.dLda[k], 64)
        assert_close(reference.dLdW[k - 1], computed.dLdW[k], 64)
        assert_close(reference.dLdBias[k - 1], computed.dLdBias[k], 64)


@pytest.mark.parametrize("name", OUTPUTS)
def test_jacobians_are_the_derivatives_of_the_activations(name: str) -> None:
    a = np.array([-2.75, -0.5, 0.25, 2.0])

    def sum_of_squares(v: NDArray[np.float64]) -> float:
        return float((loops.activation(name, loops.exact(v)) ** 2).sum())

    reference = differences.gradient(sum_of_squares, a)
    computed = loops.jacobian_product(
        2 * loops.activation(name, loops.exact(a)), loops.jacobian(name, loops.exact(a))
    )

    np.testing.assert_allclose(computed, reference, rtol=1e-9, atol=1e-9)


def test_numbers_worked_out_by_hand() -> None:
    """2-2-1, all weights 1, sigmoid: a = 0, h = 1/2, y = 1, L = (1 - 0)^2, dLda = 2, slope 1/4."""
    net = loops.Net(
        ("none", "sigmoid", "none"),
        [loops.exact([[1, 1], [1, 1]]), loops.exact([[1, 1]])],
        [loops.exact([0, 0]), loops.exact([0])],
        "MSE",
    )

    trace = net.trace([[0.5, -0.5]], [[0]])

    assert trace.loss == 1
    assert trace.dLdW[2].tolist() == [[1, 1]]
    assert trace.dLdBias[1].tolist() == [0.5, 0.5]
    assert trace.dLdW[1].tolist() == [[0.25, -0.25], [0.25, -0.25]]


def test_descent_by_hand() -> None:
    """y = w x + b from w = 1, b = 0; samples 1 and 2 with target 0; eta 1/8.

    First step: y = 1, dL/dy = 2, so w = 1 - 2/8 = 3/4 and b = -1/4. Second: y = 5/4, dL/dy = 5/2.
    """
    net = loops.Net(("none", "none"), [loops.exact([[1]])], [loops.exact([0])], "MSE")

    after, losses = net.descend([[1], [2]], [[0], [0]], [0, 1], 1, 0.125)

    assert losses.tolist() == [1, (5 / 4) ** 2]
    assert after.vector.tolist() == [3 / 4 - 5 / 2 * 2 / 8, -1 / 4 - 5 / 2 / 8]


def test_agreement_is_refused_where_there_is_none() -> None:
    with pytest.raises(AssertionError, match="off by"):
        assert_agrees(np.array([1.0, 2.0]), [1.0, 2.0 + 1e-12], 8)
    with pytest.raises(AssertionError, match="shape"):
        assert_agrees(np.zeros((1, 2)), [0.0, 0.0], 8)
    with pytest.raises(AssertionError, match="NaN"):
        assert_agrees(np.array([np.nan]), [0.0], 8)

"""Networks trained by SciPy: gradients beside differences, minima beside scikit-learn, what goes wrong."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.oracles import differences
from tests.oracles.problems import problem
from tests.typednn.building import network_of
from typednn import (
    DivergenceError,
    HiddenLayer,
    InputLayer,
    Network,
    OutputLayer,
    SettingError,
    ShapeError,
    UnknownNameError,
    minimize,
    names,
)
from typednn.minimizers import GRADIENT_METHODS, Objective
from typednn.training.samples import format_of

pytest.importorskip("scipy.optimize")
both_paths = pytest.mark.usefixtures("path")

CASE = problem((3, 4, 3, 2), ("none", "tanh", "sigmoid", "none"), "MSE", 13)


def penalized(case: Any = CASE) -> Network[Any]:
    network: Any = network_of(case)
    network.layers[1].l1, network.layers[1].l2 = 0.02, 0.03
    network.layers[2].trainable = False
    return network  # type: ignore[no-any-return]


@both_paths
def test_the_gradient_is_that_of_the_objective(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the samples pass through the network in several pieces."""
    network = penalized()
    monkeypatch.setattr("typednn.network.network.EVALUATION_CHUNK", 5)
    objective = Objective(network, format_of(network._output).samples(CASE.x, CASE.t))
    start = objective.vector
    first, frozen = CASE.weights[0].size, CASE.weights[1].size + CASE.biases[1].size
    before = first + CASE.biases[0].size

    def whole(free: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.concatenate([free[:before], CASE.vector[before : before + frozen], free[before:]])

    def value(free: NDArray[np.float64]) -> float:
        loss = float(CASE.net.with_vector(whole(free)).mean_loss(CASE.x, CASE.t))
        return loss + float(0.02 * abs(free[:first]).sum() + 0.03 * (free[:first] ** 2).sum())

    computed, gradient = objective.value_and_gradient(start)

    assert start.size == CASE.vector.size - frozen
    np.testing.assert_allclose(computed, value(start), rtol=1e-13)
    np.testing.assert_allclose(objective.value(start), computed, rtol=1e-13)
    np.testing.assert_allclose(gradient, differences.gradient(value, start), rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("method", list(names.minimizer))
def test_every_method_finds_lower_ground(method: Any) -> None:
    network = network_of(problem((2, 2, 1), ("none", "tanh", "none"), "MSE", 9))
    x, t = problem((2, 2, 1), ("none", "tanh", "none"), "MSE", 9).x, np.zeros((9, 1))
    before = network.loss(x, t)

    minimum = minimize(network, x, t, method, max_iterations=60)

    assert minimum.loss < before
    np.testing.assert_allclose(network.loss(x, t), minimum.loss, rtol=1e-12)
    assert minimum.loss == minimum.objective
    assert minimum.evaluations > 1
    assert minimum.message


@both_paths
def test_a_minimum_with_penalties_and_a_frozen_layer() -> None:
    network = penalized()
    frozen = network.layers[2].W.copy()

    minimum = minimize(network, CASE.x, CASE.t, max_iterations=400)
    W = network.layers[1].W

    assert minimum.success
    np.testing.assert_allclose(network.loss(CASE.x, CASE.t), minimum.loss, rtol=1e-10)
    penalty = 0.02 * abs(W).sum() + 0.03 * (W**2).sum()
    np.testing.assert_allclose(minimum.objective - minimum.loss, penalty, rtol=1e-10)
    assert (frozen == network.layers[2].W).all()


@pytest.mark.full("minimises twice to 1e-9; others find lower ground, too")
def test_lower_than_scikit_learn() -> None:
    """MLPRegressor stops where no slope is steeper than 1e-4; from there it goes on down."""
    neural_network = pytest.importorskip("sklearn.neural_network")
    datasets = pytest.importorskip("sklearn.datasets")
    x, y = datasets.load_diabetes(return_X_y=True)
    x, t = x / x.std(axis=0), ((y - y.mean()) / y.std()).reshape(-1, 1)
    network: Network[Any] = Network([InputLayer(10), HiddenLayer(4, "tanh"), OutputLayer(1)], seed=0)
    theirs = neural_network.MLPRegressor(
        hidden_layer_sizes=[4], activation="tanh", solver="lbfgs", alpha=0, max_iter=2000, random_state=0
    ).fit(x, t[:, 0])

    own = minimize(network, x, t, tolerance=1e-9, max_iterations=20000)
    steepest = abs(network.forward(x).backward(t).vector).max()
    for layer, W, bias in zip(network.layers[1:], theirs.coefs_, theirs.intercepts_, strict=True):
        layer.W, layer.Bias = W.T, bias
    reference = network.loss(x, t)
    further = minimize(network, x, t, tolerance=1e-9, max_iterations=20000)

    np.testing.assert_allclose(2 * theirs.loss_, reference, rtol=1e-9)
    assert further.loss <= reference
    assert steepest < 1e-4
    assert own.loss < 1.05 * reference


@both_paths
def test_float32_networks_stay_float32() -> None:
    case = problem((3, 4, 2), ("none", "tanh", "softmax"), "crossentropy", 13, np.float32)
    network = network_of(case)
    before = network.loss(case.x, case.t)

    minimum = minimize(network, case.x, case.t, max_iterations=50)

    assert network.parameters.dtype == np.float32
    assert minimum.loss < before
    np.testing.assert_allclose(network.loss(case.x, case.t), minimum.loss, rtol=1e-6)


# What goes wrong.


def test_an_interrupt_keeps_the_best_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    network, seen = network_of(CASE), list[float]()
    noted = Objective._record

    def interrupted(self: Any, vector: Any, loss: float) -> float:
        seen.append(loss)
        if len(seen) == 7:
            raise KeyboardInterrupt
        return noted(self, vector, loss)

    monkeypatch.setattr(Objective, "_record", interrupted)
    with pytest.raises(KeyboardInterrupt):
        minimize(network, CASE.x, CASE.t)

    np.testing.assert_allclose(network.loss(CASE.x, CASE.t), min(seen[:6]), rtol=1e-12)


@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        ({"method": "l-bfgs"}, UnknownNameError, "L-BFGS-B"),
        ({"method": "trust-exact"}, UnknownNameError, "minimizer"),
        ({"max_iterations": 0}, SettingError, "max_iterations"),
        ({"tolerance": 0}, SettingError, "tolerance must be"),
        ({"options": {"maxls": "many"}}, TypeError, "str"),
    ],
    ids=str,
)
def test_a_call_that_fails_changes_nothing(settings: Any, kind: Any, message: str) -> None:
    network = network_of(CASE)

    with pytest.raises(kind, match=message):
        minimize(network, CASE.x, CASE.t, **settings)
    assert network.parameters.tobytes() == CASE.vector.tobytes()


def test_data_that_do_not_fit() -> None:
    with pytest.raises(ShapeError):
        minimize(network_of(CASE), CASE.x[:, :2], CASE.t)


def test_nothing_to_minimize() -> None:
    network = network_of(CASE)
    network.trainable = False

    with pytest.raises(SettingError, match="no layer of the network is trainable"):
        minimize(network, CASE.x, CASE.t)


def test_no_finite_loss() -> None:
    network: Network[Any] = Network([InputLayer(1), OutputLayer(1)], seed=0)
    network.parameters[...] = 1e300
    before = network.parameters.tobytes()
    x = np.array([[1.0]])

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        with pytest.raises(DivergenceError, match="the network is as it was before"):
            minimize(network, x, x)
    assert network.parameters.tobytes() == before


@pytest.mark.parametrize("method", GRADIENT_METHODS)
def test_methods_with_gradients_are_given_them(method: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Differences would cost an evaluation for each parameter and step."""
    network = network_of(CASE)

    minimum = minimize(network, CASE.x, CASE.t, method, max_iterations=3)

    assert minimum.evaluations < len(CASE.vector)


@pytest.mark.parametrize("normalization", ["none", "batch", "layer"])
@both_paths
def test_weights_are_those_of_samples_that_occur_so_many_times(
    normalization: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Σ w L / n is Σ over the repeated samples, times their number, by n; so are the gradients."""
    monkeypatch.setattr("typednn.network.network.EVALUATION_CHUNK", 5)
    random, w = np.random.default_rng(0), np.arange(13) % 4
    hidden: Any = HiddenLayer(4, "tanh", normalization=normalization)
    network = Network([InputLayer(3), hidden, OutputLayer(2, "softmax", "crossentropy")], seed=0)
    network.parameters[...] = random.normal(size=network.parameters.shape)
    labels = np.arange(13) % 2
    twice, factor = np.repeat(np.arange(13), w), w.sum() / 13

    samples = format_of(network._output).samples
    value, gradient = Objective(network, samples(CASE.x, labels, w)).value_and_gradient(
        network.parameters.copy()
    )
    plain = Objective(network, samples(CASE.x[twice], labels[twice]))
    expected, slope = plain.value_and_gradient(network.parameters.copy())

    np.testing.assert_allclose(value, factor * expected, rtol=1e-13)
    np.testing.assert_allclose(gradient, factor * slope, rtol=1e-11, atol=1e-14)


@both_paths
def test_weighted_minima() -> None:
    """Weighted least squares, by the normal equations; class weights decide where the outputs lie."""
    random = np.random.default_rng(1)
    x, t, w = random.normal(size=(20, 2)), random.normal(size=(20, 1)), random.uniform(size=20)
    network = Network([InputLayer(2), OutputLayer(1)], seed=0)
    minimum = minimize(network, x, t, sample_weight=w, tolerance=1e-15)
    rows = np.hstack([x, np.ones((20, 1))])
    expected = np.linalg.solve(rows.T @ (w.reshape(-1, 1) * rows), rows.T @ (w.reshape(-1, 1) * t))

    np.testing.assert_allclose(network.parameters, expected[:, 0], rtol=1e-5)
    assert minimum.loss == pytest.approx(network.loss(x, t, sample_weight=w), rel=1e-12)
    for weights, likely in ((None, 0.25), ("balanced", 0.5), ({0: 1.0, 1: 6.0}, 2 / 3)):
        given: Any = weights
        constant = Network([InputLayer(1), OutputLayer(1, "sigmoid", "bincrossentropy")], seed=0)
        minimize(constant, np.zeros((8, 1)), np.arange(8) % 4 == 0, class_weight=given, tolerance=1e-14)
        assert constant.predict(np.zeros((1, 1)))[0, 0] == pytest.approx(likely, rel=1e-4)

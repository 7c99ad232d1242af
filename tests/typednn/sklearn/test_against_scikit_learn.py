"""The multilayer perceptrons give scikit-learn's weights and losses for the same random state."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("sklearn")

import sklearn.neural_network as theirs

import typednn.sklearn as ours
from typednn import Callback, Run, gradcheck

RNG = np.random.default_rng(0)
X = RNG.normal(size=(117, 6))
SIGNAL = np.tanh(X[:, 0] - X[:, 1] * X[:, 2])
TARGETS: dict[str, NDArray[Any]] = {
    "two classes": np.array(["no", "yes"])[(SIGNAL > 0).astype(int)],
    "four classes": np.digitize(SIGNAL, [-0.5, 0, 0.5]),
    "labels": np.stack([SIGNAL > 0, X[:, 3] > 0, X[:, 4] > 1], axis=1).astype(int),
    "numbers": SIGNAL,
    "columns": np.stack([SIGNAL, X[:, 5] ** 2], axis=1),
    "counts": RNG.poisson(np.exp(SIGNAL)),
}
WEIGHTS = RNG.uniform(0.0, 3.0, len(X)) * (np.arange(len(X)) % 7 > 0)

pytestmark = [pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")]


def fitted(package: Any, kind: str, weights: NDArray[Any] | None, **settings: Any) -> Any:
    """A fitted estimator of a package."""
    settings = {"hidden_layer_sizes": (9, 5), "random_state": 3, "max_iter": 8, **settings}
    if kind == "counts":
        settings["loss"] = "poisson"
    numbers = kind in {"numbers", "columns", "counts"}
    estimator = (package.MLPRegressor if numbers else package.MLPClassifier)(**settings)
    return estimator.fit(X, TARGETS[kind], weights)


def assert_same(kind: str, weights: NDArray[Any] | None, **settings: Any) -> None:
    """Compares an estimator with that of scikit-learn."""
    reference, computed = (fitted(package, kind, weights, **settings) for package in (theirs, ours))

    arrays = [*zip(reference.coefs_, computed.coefs_, strict=True)]
    arrays += [*zip(reference.intercepts_, computed.intercepts_, strict=True)]
    for expected, array in arrays:
        np.testing.assert_allclose(array, expected, rtol=0, atol=1e-10)
    np.testing.assert_allclose(computed.loss_, reference.loss_, rtol=1e-5)
    assert computed.n_iter_ == reference.n_iter_
    assert computed.out_activation_ == reference.out_activation_
    if reference.solver != "lbfgs":
        np.testing.assert_allclose(computed.loss_curve_, reference.loss_curve_, rtol=1e-5)
        assert computed.t_ == reference.t_
    if kind in {"numbers", "columns", "counts"}:
        np.testing.assert_allclose(computed.predict(X), reference.predict(X), rtol=0, atol=1e-9)
    else:
        np.testing.assert_array_equal(computed.predict(X), reference.predict(X))
        np.testing.assert_allclose(computed.predict_proba(X), reference.predict_proba(X), rtol=0, atol=1e-9)


@pytest.mark.parametrize("alpha", [0.0, 1e-4, 1.0])
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["", "weights"])
@pytest.mark.parametrize("batch_size", ["auto", 16])
@pytest.mark.parametrize("activation", ["relu", "tanh", "logistic", "identity"])
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("kind", TARGETS)
@pytest.mark.once_per("kind", "solver", in_full=("kind", "solver", "activation"))
def test_a_fit_is_that_of_scikit_learn(
    kind: str,
    solver: str,
    activation: str,
    batch_size: Any,
    weights: NDArray[Any] | None,
    alpha: float,
    path: str,
) -> None:
    if kind == "columns" and solver == "lbfgs":
        pytest.skip("scikit-learn's value and gradient do not belong together")
    settings: dict[str, Any] = {
        "solver": solver,
        "activation": activation,
        "batch_size": batch_size,
        "alpha": alpha,
    }
    if solver == "lbfgs":
        settings["max_iter"] = 4  # where it crosses a kink of relu, rounding decides the side
    assert_same(kind, weights, **settings)


@pytest.mark.parametrize("kind", ["two classes", "four classes", "numbers"])
@pytest.mark.parametrize(
    "settings",
    [
        {"early_stopping": True, "max_iter": 60, "tol": 1e-3},
        {
            "solver": "sgd",
            "learning_rate": "adaptive",
            "learning_rate_init": 0.2,
            "max_iter": 60,
            "tol": 1e-2,
        },
        {"solver": "sgd", "learning_rate": "invscaling", "learning_rate_init": 0.2},
        {"solver": "sgd", "momentum": 0.0, "shuffle": False},
        {"solver": "sgd", "nesterovs_momentum": False, "n_iter_no_change": 1, "tol": 1.0},
        {"beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-2},
        {"batch_size": 1, "max_iter": 2},
    ],
    ids=repr,
)
@pytest.mark.once_per("settings")
def test_its_settings_mean_what_they_mean_there(kind: str, settings: dict[str, Any]) -> None:
    assert_same(kind, None, **settings)


@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("kind", ["four classes", "numbers"])
@pytest.mark.once_per("solver")
def test_partial_fit_and_warm_starts_go_on_as_there(kind: str, solver: str) -> None:
    both: list[Any] = []
    for package in (theirs, ours):
        estimator = fitted(package, kind, None, solver=solver, warm_start=True)
        estimator.fit(X, TARGETS[kind])
        for start in (0, 40, 80):
            estimator.partial_fit(X[start : start + 40], TARGETS[kind][start : start + 40])
        both.append(estimator)

    reference, computed = both
    for expected, array in zip(reference.coefs_, computed.coefs_, strict=True):
        np.testing.assert_allclose(array, expected, rtol=0, atol=1e-10)
    assert computed.t_ == reference.t_
    np.testing.assert_allclose(computed.loss_curve_, reference.loss_curve_, rtol=1e-6)


def test_the_worked_example_of_scikit_learn() -> None:
    """What its `test_fit` checks, which makes the private state of an estimator by hand."""
    settings: Any = {"learning_rate_init": 0.1, "alpha": 0.1, "momentum": 0, "random_state": 1}
    model = ours.MLPClassifier(2, "logistic", solver="sgd", max_iter=1, **settings)
    x = np.array([[0.6, 0.8, 0.7]])
    model.partial_fit(x, [0], classes=[0, 1])
    model.coefs_[0][...] = [[0.1, 0.2], [0.3, 0.1], [0.5, 0]]
    model.coefs_[1][...] = [[0.1], [0.2]]
    model.intercepts_[0][...], model.intercepts_[1][...] = 0.1, 1.0

    model.partial_fit(x, [0])

    expected = [[0.098, 0.195756], [0.2956664, 0.096008], [0.493833, -0.002618]]  # x[2] is 0.7
    np.testing.assert_allclose(model.coefs_[0], expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(model.coefs_[1], [[0.04706], [0.154089]], rtol=0, atol=1e-4)
    np.testing.assert_allclose(model.intercepts_[0], [0.098333, 0.09626], rtol=0, atol=1e-5)
    np.testing.assert_allclose(model.intercepts_[1], [0.9235], rtol=0, atol=1e-4)
    assert model.predict_proba(x)[0, 1] == pytest.approx(0.739, abs=1e-3)


@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
@pytest.mark.parametrize("kind", ["two classes", "four classes"])
@pytest.mark.once_per("activation")
def test_gradients_are_those_of_the_loss(kind: str, activation: str) -> None:
    """What its `test_gradient` checks, by the private `_loss_grad_lbfgs`."""
    model = fitted(ours, kind, None, activation=activation, solver="lbfgs", max_iter=1)

    assert gradcheck(model.network_, X[:5], model._encode(TARGETS[kind][:5])).passed


class Rates(Callback):
    """Notes the learning rate after each epoch."""

    def on_begin(self, run: Run) -> None:  # noqa: ARG002
        self.rates: list[float] = []

    def on_epoch(self, run: Run) -> None:
        self.rates.append(run.learning_rate)


def test_callbacks_see_how_rates_change() -> None:
    """What its tests of learning rates check, by the private `_optimizer.learning_rate`."""
    noted = Rates()
    settings: Any = {"solver": "sgd", "callbacks": [noted], "random_state": 0}
    model = ours.MLPClassifier(
        4, learning_rate="invscaling", power_t=0.25, max_iter=1, warm_start=True, **settings
    )
    for _ in range(2):
        model.fit([[3, 2], [1, 6], [5, 6], [-2, -4]], [1, 1, 1, 0])
    assert noted.rates[-1] == pytest.approx(model.learning_rate_init / (8 + 1) ** 0.25)

    model = ours.MLPClassifier(tol=0.5, max_iter=3000, learning_rate="adaptive", **settings)
    model.fit([[3, 2], [1, 6]], [1, 0])
    assert model.n_iter_ < 3000
    assert 0 < noted.rates[-1] < 1e-6

"""What classifiers and regressors make of the outputs of any network: labels, probabilities and scores."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("sklearn")

from sklearn.exceptions import NotFittedError
from sklearn.metrics import r2_score
from sklearn.model_selection import train_test_split

from typednn import BatchNorm, HiddenLayer, InputLayer, LayerNorm, NormalizationLayer, OutputLayer
from typednn.sklearn import MLPClassifier, NetworkClassifier, NetworkRegressor

RNG = np.random.default_rng(5)
X: NDArray[np.float64] = RNG.normal(size=(120, 4))
SIGNAL = X[:, 0] - X[:, 1]
TARGETS: dict[str, NDArray[Any]] = {
    "two classes": np.array(["no", "yes"])[(SIGNAL > 0).astype(int)],
    "three classes": np.array(["a", "b", "c"])[np.digitize(SIGNAL, [-0.6, 0.6])],
    "labels": np.stack([SIGNAL > 0, X[:, 2] > 0], axis=1).astype(int),
}
FAST: Any = {"max_iter": 30, "random_state": 0, "batch_size": 20, "learning_rate_init": 0.02}

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def network(
    *hidden: HiddenLayer, outputs: int = 3, activation: Any = "softmax", loss: Any = "crossentropy"
) -> Any:
    """Layers for X."""
    layers = hidden or (HiddenLayer(8, "tanh", weights="glorot_uniform"),)
    return [InputLayer(4), *layers, OutputLayer(outputs, activation, loss, weights="glorot_uniform")]


def hidden(normalization: Any) -> HiddenLayer:
    """A hidden layer with a normalisation."""
    return HiddenLayer(8, "tanh", normalization=normalization, weights="glorot_uniform")


NETWORKS: dict[str, Any] = {
    "log_softmax": network(activation="log_softmax", loss="nll"),
    "normalised features": network(NormalizationLayer(4), hidden("none")),
    "normalised twice": network(NormalizationLayer(4, "layer"), hidden("none"), NormalizationLayer(8)),
    "batch": network(hidden(BatchNorm(momentum=0.8, epsilon=1e-3))),
    "layer": network(hidden(LayerNorm(epsilon=1e-3))),
    "sigmoid": network(activation="sigmoid", loss="bincrossentropy"),
    "squares": network(activation="softmax", loss="MSE"),
}


def check_probabilities(model: Any, y: NDArray[Any], *, sum_to_1: bool = True) -> None:
    """Compares probabilities with their logarithms and with the labels."""
    p = model.predict_proba(X)
    assert ((p >= 0) & (p <= 1 + 1e-12)).all()
    np.testing.assert_allclose(model.predict_log_proba(X), np.log(p), rtol=0, atol=1e-9)
    if sum_to_1:
        np.testing.assert_allclose(p.sum(axis=1), 1, rtol=0, atol=1e-12)
        np.testing.assert_array_equal(model.predict(X), model.classes_[p.argmax(axis=1)])
    else:
        np.testing.assert_array_equal(model.predict(X), (p > 0.5).astype(int))
    assert (model.predict(X) == y).mean() > 0.8


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.once_per("kind")
def test_any_network_of_classes_has_probabilities(kind: str, solver: Any) -> None:
    model = NetworkClassifier(NETWORKS[kind], solver=solver, **FAST).fit(X, TARGETS["three classes"])

    check_probabilities(model, TARGETS["three classes"])
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    bridged = NetworkClassifier.from_network(model.network_, classes=model.classes_)
    if kind != "sigmoid":  # with several sigmoids, a network says yes or no to each of several labels
        np.testing.assert_array_equal(bridged.predict(X), model.predict(X))


@pytest.mark.parametrize("loss", ["nll", "crossentropy", "kl_divergence", "focal"])
@pytest.mark.parametrize("kind", TARGETS)
def test_every_loss_of_a_perceptron_has_its_activation(kind: str, loss: Any) -> None:
    model = MLPClassifier(8, loss=loss, **FAST).fit(X, TARGETS[kind])

    activations = {"nll": "log_softmax", "focal": "logistic"}
    assert model.out_activation_ == activations.get(loss, "softmax")
    if kind != "labels" or loss == "focal":
        check_probabilities(model, TARGETS[kind], sum_to_1=kind != "labels")


@pytest.mark.parametrize(
    ("loss", "output"), [("hinge", None), ("MSE", None), ("log_loss", "tanh"), ("nll", None)]
)
@pytest.mark.parametrize("method", ["predict_proba", "predict_log_proba"])
def test_probabilities_are_there_before_a_fit_where_they_are_after(
    method: str, loss: Any, output: Any
) -> None:
    model = MLPClassifier(8, loss=loss, output=output, **FAST)
    if loss == "nll":
        with pytest.raises(NotFittedError):
            getattr(model, method)(X)

    assert hasattr(model, method) == hasattr(model.fit(X, TARGETS["two classes"]), method) == (loss == "nll")
    assert hasattr(MLPClassifier(loss="hinge", output="logistic"), method)
    unknown: Any = "hing"
    assert hasattr(MLPClassifier(loss=unknown), method)


def test_two_classes_have_two_outputs_where_these_are_compared() -> None:
    model = MLPClassifier(8, output="softmax", **FAST).fit(X, TARGETS["two classes"])

    assert model.n_outputs_ == 2
    check_probabilities(model, TARGETS["two classes"])
    alone = network(outputs=1, activation="softmax", loss="MSE")
    with pytest.raises(ValueError, match="4 inputs and 1 outputs"):
        NetworkClassifier(alone, **FAST).fit(X, TARGETS["two classes"])


def test_probabilities_that_are_all_0_are_alike() -> None:
    model = NetworkClassifier(network(activation="hard_sigmoid", loss="MSE"), **FAST)
    model.set_params(max_iter=1).fit(X, TARGETS["three classes"])
    model.intercepts_[-1][...] = -100

    np.testing.assert_array_equal(model.predict_proba(X), np.full((len(X), 3), 1 / 3))


@pytest.mark.parametrize("kind", ["sigmoid", "squares", "log_softmax"])
def test_early_stopping_looks_at_the_accuracy_of_any_network(kind: str) -> None:
    y, weights = TARGETS["three classes"], np.arange(len(X)) % 3 + 1.0
    model = NetworkClassifier(NETWORKS[kind], early_stopping=True, **FAST).fit(X, y, weights)

    rows = np.arange(len(X))
    random = np.random.RandomState(0)
    random.randint(2**31)  # the seed of the network
    _, held = train_test_split(rows, random_state=random, test_size=0.1)
    right = model.predict(X[held]) == y[held]
    expected = np.average(right, weights=weights[held])
    assert model.best_validation_score_ == pytest.approx(expected, abs=1e-12)


def test_early_stopping_of_a_regressor_looks_at_r_squared() -> None:
    y = 1 / (1 + np.exp(-SIGNAL))
    layers = network(outputs=1, activation="sigmoid", loss="bincrossentropy")
    held = X[:20], y[:20]
    model = NetworkRegressor(layers, early_stopping=True, **FAST).fit(X, y, validation_data=held)

    expected = r2_score(held[1], model.predict(held[0]))
    assert model.best_validation_score_ == pytest.approx(expected, abs=1e-12)


def test_a_network_keeps_the_order_of_its_labels() -> None:
    y = TARGETS["three classes"]
    model = NetworkClassifier(NETWORKS["log_softmax"], **FAST).fit(X, y)
    names = np.array(["z", "x", "y"])
    renamed = names[np.searchsorted(model.classes_, y)]
    again = NetworkClassifier.from_network(model.network_.copy(), classes=names)
    again.set_params(**FAST, warm_start=True)

    assert again.score(X, renamed) == model.score(X, y)
    assert again.partial_fit(X, renamed).score(X, renamed) > 0.8
    assert again.fit(X, renamed).score(X, renamed) > 0.8
    assert again.history_.loss[-1] < 0.5
    with pytest.raises(ValueError, match="3 different labels"):
        NetworkClassifier.from_network(model.network_, classes=["a", "b", "a"])

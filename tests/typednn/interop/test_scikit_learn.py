"""Weights from and to scikit-learn: the same outputs, then the same parameters after one step; or refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from typednn import HiddenLayer, InputLayer, Network, OutputLayer, WiringError
from typednn.interop import from_sklearn, to_sklearn

pytest.importorskip("sklearn", reason="scikit-learn is not installed: pip install 'typednn[metrics]'")
from sklearn.neural_network import MLPClassifier, MLPRegressor

pytestmark = [
    pytest.mark.usefixtures("numpy_alone"),
    pytest.mark.filterwarnings("ignore:Stochastic Optimizer"),
]

X = np.random.default_rng(0).normal(size=(16, 5))
RATE = 0.1
SGD: Any = {"solver": "sgd", "momentum": 0, "learning_rate_init": RATE, "shuffle": False}
CASES: dict[str, tuple[Any, dict[str, Any], Any, float]] = {
    "two classes": (
        MLPClassifier,
        {"hidden_layer_sizes": (6,)},
        np.array(["no", "yes"])[np.arange(16) % 2],
        1.0,
    ),
    "three classes": (
        MLPClassifier,
        {"hidden_layer_sizes": (6, 4), "activation": "tanh"},
        np.array(["a", "b", "c"])[np.arange(16) % 3],
        1.0,
    ),
    "labels": (MLPClassifier, {"hidden_layer_sizes": (6,)}, (X[:, :3] > 0).astype(int), 3.0),
    "a number": (MLPRegressor, {"hidden_layer_sizes": (6,), "activation": "logistic"}, X[:, 0], 0.5),
    "two numbers": (MLPRegressor, {"hidden_layer_sizes": (6, 5), "activation": "identity"}, X[:, :2], 1.0),
    "counts": (MLPRegressor, {"hidden_layer_sizes": (6,), "loss": "poisson"}, abs(X[:, 0]), 1.0),
}
"""The estimator, its settings, the targets, and the learning rate here for 1 there."""


def outputs_of(estimator: Any) -> Any:
    predict = getattr(estimator, "predict_proba", estimator.predict)
    outputs = np.reshape(predict(X), (len(X), -1))
    return (
        outputs[:, 1:] if estimator.out_activation_ == "logistic" and estimator.n_outputs_ == 1 else outputs
    )


@pytest.mark.parametrize("name", CASES)
def test_outputs_and_a_training_step_agree(name: str) -> None:
    kind, settings, y, factor = CASES[name]
    estimator: Any = kind(**settings, alpha=0, max_iter=3, random_state=0, **SGD).fit(X, y)

    network: Any = from_sklearn(estimator)
    assert abs(network.predict(X) - outputs_of(estimator)).max() < 1e-12
    classes = estimator.classes_ if name.endswith("classes") else None
    other: Any = to_sklearn(network, classes)
    other.set_params(**SGD)
    assert abs(outputs_of(other) - outputs_of(estimator)).max() < 1e-12
    if name != "counts":
        assert (other.predict(X) == estimator.predict(X)).all()

    targets = np.unique(y, return_inverse=True)[1] if classes is not None else y
    if network.layers[-1].length == 1:
        targets = targets.reshape(-1, 1).astype(float)
    estimator.partial_fit(X, y)
    other.partial_fit(X, y)
    rate = RATE * factor
    network.fit(X, targets, epochs=1, batch_size=16, learning_rate=rate, shuffle=False, progress=False)
    for each in (estimator, other):
        assert abs(from_sklearn(each).parameters - network.parameters).max() < 1e-10


def test_float32() -> None:
    network = Network([InputLayer(5), HiddenLayer(4, "relu"), OutputLayer(3, "softmax")], np.float32, seed=0)

    estimator: Any = to_sklearn(network, ["a", "b", "c"])

    assert from_sklearn(estimator).parameters.tobytes() == network.parameters.tobytes()
    assert set(estimator.predict(X.astype(np.float32))) <= {"a", "b", "c"}


def network_of(*hidden: HiddenLayer[Any], output: Any = None) -> Any:
    last = OutputLayer(3, "softmax") if output is None else output
    return Network([InputLayer(5), *hidden, last])


REFUSED: list[tuple[Any, Any, str]] = [
    (lambda: network_of(HiddenLayer(4, "gelu")), None, "layer 1, .*has no activation 'gelu'"),
    (
        lambda: network_of(HiddenLayer(4, "relu"), HiddenLayer(4, "tanh")),
        None,
        "layer 2, .*one activation for all",
    ),
    (
        lambda: network_of(HiddenLayer(4, "relu", normalization="layer")),
        None,
        "neither normalisation nor dropout",
    ),
    (lambda: network_of(HiddenLayer(4, "relu", l2=0.1)), None, "has a penalty"),
    (lambda: network_of(output=OutputLayer(2, "tanh")), None, "no such output activation"),
    (lambda: network_of(output=OutputLayer(2, "softmax")), None, "one logistic output for two classes"),
    (lambda: network_of(output=OutputLayer(2)), ["a", "b"], "has no classes"),
    (network_of, ["b", "a", "c"], "expected 3 classes in order"),
]


@pytest.mark.parametrize(("network", "classes", "message"), REFUSED, ids=[each[2][:20] for each in REFUSED])
def test_what_scikit_learn_does_not_do_is_refused(network: Any, classes: Any, message: str) -> None:
    with pytest.raises(WiringError, match=message):
        to_sklearn(network(), classes)


def test_estimators_that_are_not_fitted_are_refused() -> None:
    with pytest.raises(WiringError, match="expected an MLPClassifier or MLPRegressor that is fitted"):
        from_sklearn(MLPClassifier())

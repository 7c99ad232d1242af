"""Real work: scanned digits that were held out, read by networks that `fit` has trained."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from typednn import (
    SGD,
    Adagrad,
    Adam,
    AdamW,
    EarlyStopping,
    HiddenLayer,
    InputLayer,
    Lion,
    Nadam,
    Network,
    Optimizer,
    OutputLayer,
    RMSprop,
    Rprop,
)

OPTIMIZERS: dict[str, tuple[Optimizer, int]] = {
    "SGD": (SGD(0.1), 32),
    "Nesterov": (SGD(0.02, momentum=0.9, nesterov=True), 32),
    "RMSprop": (RMSprop(1e-3), 32),
    "Adagrad": (Adagrad(0.05), 32),
    "Adam": (Adam(1e-3), 32),
    "AdamW": (AdamW(1e-3, weight_decay=0.01), 32),
    "Nadam": (Nadam(1e-3), 32),
    "Rprop": (Rprop(1e-3), 1347),
    "Lion": (Lion(3e-4), 32),
}
"""With batch sizes: Rprop compares signs, and needs the gradient of all samples."""

EPOCHS = 40
"""scikit-learn's MLPClassifier with these settings needs 18 for SGD, 10 with momentum and 19 for Adam."""


@pytest.fixture(scope="module")
def digits() -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]:
    """A quarter is held out, by a rule fixed beforehand: a shuffle with seed 0."""
    datasets = pytest.importorskip("sklearn.datasets")
    x, y = datasets.load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    pixels = (x[order] / 16).astype(np.float32)
    return pixels[:1347], y[order[:1347]], pixels[1347:], y[order[1347:]]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_held_out_digits(name: str, digits: Any) -> None:
    x, y, held_x, held_y = digits
    optimizer, batch_size = OPTIMIZERS[name]
    layers = [InputLayer(64), HiddenLayer(64, "relu"), OutputLayer(10, "softmax", "crossentropy")]
    network = Network(layers, np.float32, seed=0)

    history = network.fit(
        x[:1200],
        y[:1200],
        epochs=EPOCHS,
        batch_size=min(batch_size, 1200),
        optimizer=optimizer,
        validation_data=(x[1200:], y[1200:]),
        callbacks=[EarlyStopping(patience=20)],
    )

    assert len(history.loss) <= EPOCHS
    assert (network.evaluate(held_x, held_y).accuracy or 0) >= 0.97


def test_regression_is_as_good_as_that_of_scikit_learn() -> None:
    """On the diabetes data, with the same settings."""
    datasets, networks = (
        pytest.importorskip("sklearn.datasets"),
        pytest.importorskip("sklearn.neural_network"),
    )
    x, y = datasets.load_diabetes(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = x[order] / x.std(axis=0), ((y - y.mean()) / y.std())[order]
    settings: dict[str, Any] = {"batch_size": 32, "max_iter": 60, "tol": 0, "n_iter_no_change": 60}
    peer = networks.MLPRegressor(
        hidden_layer_sizes=(16,), alpha=0, learning_rate_init=1e-3, random_state=0, **settings
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it has not converged
        reference = peer.fit(x[:330], y[:330]).score(x[330:], y[330:])

    network = Network([InputLayer(10), HiddenLayer(16, "relu"), OutputLayer(1)], seed=0)
    history = network.fit(
        x[:330],
        y[:330].reshape(-1, 1),
        epochs=60,
        optimizer=Adam(1e-3),
        metrics=["r2"],
        validation_data=(x[330:], y[330:].reshape(-1, 1)),
    )

    assert history.curve("validation_r2")[-1] > reference - 0.03
    assert reference > 0.3

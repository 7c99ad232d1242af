"""The Network API: fit, predict, gradients, and a file that keeps it all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from typednn_kernels.arrays import Matrix

from typednn import Adam, HiddenLayer, InputLayer, Network, OutputLayer, load, save

LABELS = np.array([0, 1, 1, 0])


def network() -> Network[np.float64]:
    layers = [InputLayer(2), HiddenLayer(8, "tanh"), OutputLayer(2, "softmax", "crossentropy")]
    return Network(layers, seed=0)


def test_it_learns_xor(x: Matrix[np.float64]) -> None:
    classifier = network()
    before = classifier.loss(x, LABELS)

    history = classifier.fit(x, LABELS, epochs=200, batch_size=4, optimizer=Adam(0.05), metrics=["accuracy"])

    assert history.loss[0] == before
    assert history.loss[-1] < 0.02 < before
    assert history.metrics["accuracy"][-1] == 1
    assert classifier.predict(x).argmax(axis=1).tolist() == LABELS.tolist()


def test_the_gradient_is_the_limit_of_differences(x: Matrix[np.float64]) -> None:
    """(L(θ + ε) − L(θ − ε)) / 2ε for each parameter θ."""
    classifier, epsilon = network(), 1e-6
    computed = classifier.forward(x).backward(LABELS).vector

    parameters = classifier.parameters  # a view: what is written here, layers see as W and Bias
    reference = np.empty_like(parameters)
    for k, theta in enumerate(parameters.tolist()):
        parameters[k] = theta + epsilon
        above = classifier.loss(x, LABELS)
        parameters[k] = theta - epsilon
        below = classifier.loss(x, LABELS)
        parameters[k] = theta
        reference[k] = (above - below) / (2 * epsilon)

    np.testing.assert_allclose(computed, reference, rtol=1e-7, atol=1e-9)


def test_a_file_keeps_it(x: Matrix[np.float64], tmp_path: Path) -> None:
    classifier = network()
    classifier.fit(x, LABELS, epochs=5)

    save(classifier, tmp_path / "xor.safetensors")
    loaded = load(tmp_path / "xor.safetensors", np.float64)

    assert loaded.parameters.tobytes() == classifier.parameters.tobytes()
    assert loaded.predict(x).tobytes() == classifier.predict(x).tobytes()

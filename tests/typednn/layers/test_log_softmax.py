"""Outputs that are logarithms of probabilities: the same training as with softmax and crossentropy."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from typednn import HiddenLayer, InputLayer, Network, OutputLayer, UnknownNameError, gradcheck, load, save

by_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda dtype: dtype.__name__)
both_paths = pytest.mark.usefixtures("path")


def pair(dtype: Any, n: int = 5) -> tuple[Network[Any], Network[Any]]:
    """A network with nll after log_softmax, and its twin with crossentropy after softmax."""
    hidden = [InputLayer(3), HiddenLayer(6, "tanh")]
    network: Network[Any] = Network([*hidden, OutputLayer(n, "log_softmax", "nll")], dtype, seed=0)
    return network, Network([*network.layers[:-1], *twin_of(network)], dtype)


def twin_of(network: Network[Any]) -> list[Any]:
    last: Any = OutputLayer(network.layers[-1].length, "softmax", "crossentropy")
    whole: Any = Network([InputLayer(6), last])
    whole.layers[1].W, whole.layers[1].Bias = network.layers[-1].W, network.layers[-1].Bias
    return [whole.layers[1]]


@pytest.mark.once_per("n", "batch_size")
@by_dtype
@pytest.mark.parametrize("n", [2, 5, 300])
@pytest.mark.parametrize("batch_size", [1, 7])
@both_paths
def test_it_trains_as_crossentropy_after_softmax(batch_size: int, n: int, dtype: Any) -> None:
    network, twin = pair(dtype, n)
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(21, 3)).astype(dtype), rng.integers(0, n, 21)
    tolerance = 200 * np.finfo(dtype).eps

    np.testing.assert_allclose(np.exp(network.predict(x)), twin.predict(x), rtol=0, atol=tolerance)
    found, wanted = (each.forward(x).backward(labels) for each in (network, twin))
    assert abs(found.loss - wanted.loss) < tolerance * 10
    np.testing.assert_allclose(found.vector, wanted.vector, rtol=0, atol=tolerance)
    for each in (network, twin):
        each.fit(x, labels, epochs=3, batch_size=batch_size, learning_rate=0.1, shuffle=False)
    np.testing.assert_allclose(network.parameters, twin.parameters, rtol=0, atol=10 * tolerance)
    assert network.evaluate(x, labels).accuracy == twin.evaluate(x, labels).accuracy
    assert gradcheck(network, x, labels).passed


@both_paths
def test_probabilities_near_1_have_all_digits() -> None:
    network = Network([InputLayer(1), OutputLayer(2, "log_softmax", "nll")])
    network.layers[1].W = np.array([[1.0], [0.0]])
    [[nearly_1, nearly_0]] = network.predict(np.array([[40.0]]))
    np.testing.assert_allclose([nearly_1, nearly_0], [-np.exp(-40.0), -40.0], rtol=1e-14)


@both_paths
def test_layers_show_the_jacobian_and_files_keep_it(tmp_path: Path) -> None:
    network, _ = pair(np.float64)
    x = np.array([[0.5, -1.0, 2.0]])
    p = np.exp(network.forward(x).output[0])
    np.testing.assert_allclose(network.layers[-1].dyda, np.eye(5) - p, atol=1e-15)

    save(network, tmp_path / "model.safetensors")
    assert repr(load(tmp_path / "model.safetensors")) == repr(network)


def test_other_losses_and_places_are_named() -> None:
    with pytest.warns(UserWarning, match="nll is of logarithms of probabilities; use 'log_softmax'"):
        OutputLayer(2, "softmax", "nll")
    with pytest.warns(
        UserWarning, match="crossentropy is of probabilities of classes; use 'softmax', or 'nll'"
    ):
        OutputLayer(2, "log_softmax", "crossentropy")
    with pytest.warns(UserWarning, match="'focal'.* not defined for: focal is of probabilities"):
        OutputLayer(2, "log_softmax", "focal")
    hidden: Any = "log_softmax"
    with pytest.raises(UnknownNameError):
        HiddenLayer(2, hidden)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        OutputLayer(2, "log_softmax", "nll")

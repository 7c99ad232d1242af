"""Models from and to Keras 3: the same outputs, then the same parameters after one step; or refused."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from typing import Any, get_args

import numpy as np
import pytest
from typednn_kernels.activations import ActivationName

from tests.oracles.torch_float64 import pytorch
from typednn import (
    BatchNorm,
    HiddenLayer,
    InputLayer,
    LayerNorm,
    Network,
    NormalizationLayer,
    OutputLayer,
    WiringError,
)
from typednn.activations import CELU, ELU, LeakyReLU
from typednn.interop import from_keras, to_keras
from typednn.interop.keras import THEIRS

pytorch()
os.environ.setdefault("KERAS_BACKEND", "torch")
keras: Any = pytest.importorskip("keras", reason="Keras is not installed: pip install 'typednn[exporters]'")
pytestmark = [
    pytest.mark.usefixtures("numpy_alone"),
    pytest.mark.full("Keras takes seconds to import"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # Keras' own
]

X = np.random.default_rng(0).normal(size=(16, 5))
Y = np.random.default_rng(1).uniform(size=(16, 3))
RATE = 0.1
ACTIVATIONS: tuple[Any, ...] = tuple(each for each in get_args(ActivationName) if each in THEIRS)


@pytest.fixture(autouse=True)
def _in_float64(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Has Keras compute in float64, which it does with TensorFlow alone: a table of its says so."""
    dtypes: Any = import_module("keras.src.backend.common.dtypes")
    monkeypatch.setitem(dtypes.BIT64_TO_BIT32_DTYPE, "float64", "float64")
    keras.config.set_floatx("float64")
    keras.utils.set_random_seed(0)
    yield
    keras.config.set_floatx("float32")


def model_of(layers: list[Any]) -> Any:
    return keras.Sequential([keras.Input((5,)), *layers])


def outputs_of(model: Any) -> Any:
    return np.asarray(model.predict(X, verbose=0))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_outputs_and_a_training_step_agree(activation: Any) -> None:
    L, theirs = keras.layers, THEIRS[activation]
    model = model_of(
        [
            L.Dense(7, theirs, kernel_regularizer=keras.regularizers.L1L2(0.01, 0.02)),
            L.Dense(6, bias_initializer="random_normal"),
            *(
                L.BatchNormalization(),
                L.Activation(theirs),
                L.Dense(4, use_bias=False),
                L.LayerNormalization(),
            ),
            *(L.Activation(theirs), L.Dense(3)),
        ]
    )
    network: Any = from_keras(model)
    assert abs(network.predict(X) - outputs_of(model)).max() < 1e-12
    assert (network.layers[1].l1, network.layers[1].l2) == (0.01, 0.02)

    model.compile(keras.optimizers.SGD(RATE), "mse")
    model.fit(X, Y, batch_size=16, epochs=1, shuffle=False, verbose=0)
    network.fit(X, Y, epochs=1, batch_size=16, learning_rate=RATE, shuffle=False, progress=False)

    trained: Any = from_keras(model)
    bound = 1e-8 if activation == "hard_sigmoid" else 1e-10  # PyTorch's gradient of it has 1/6 in float32
    assert abs(network.parameters - trained.parameters).max() < bound
    assert abs(network.layers[2].running_variance - trained.layers[2].running_variance).max() < bound
    assert abs(network.predict(X) - outputs_of(to_keras(network))).max() < 1e-12
    assert repr(from_keras(to_keras(network))) == repr(network)


NORMS: list[tuple[Callable[[Any], Any], bool, Any]] = [
    (lambda L: L.BatchNormalization(epsilon=1e-5, momentum=0.9), True, BatchNorm(1e-5, 0.9)),
    (lambda L: L.BatchNormalization(momentum=0.0), False, BatchNorm(momentum=0)),
    (lambda L: L.LayerNormalization(epsilon=1e-6), True, LayerNorm(1e-6, inner_bias=True)),
    (lambda L: L.LayerNormalization(epsilon=0.1), False, LayerNorm(0.1)),
    (lambda L: L.BatchNormalization(scale=False), True, BatchNorm(scale=False)),
    (lambda L: L.LayerNormalization(center=False), False, LayerNorm(center=False)),
    (
        lambda L: L.LayerNormalization(center=False, scale=False),
        True,
        LayerNorm(inner_bias=True, center=False, scale=False),
    ),
]


@pytest.mark.parametrize(("norm", "bias", "ours"), NORMS)
def test_normalizations_train_alike(norm: Callable[[Any], Any], bias: bool, ours: Any) -> None:
    L = keras.layers
    first = L.Dense(6, use_bias=bias, bias_initializer="random_normal")
    network = train_alike(model_of([first, norm(L), L.Activation("tanh"), L.Dense(3)]))
    assert network.layers[1].normalization == ours


@pytest.mark.parametrize("norm", [norm for norm, _, _ in NORMS])
def test_layers_that_only_normalize_train_alike(norm: Callable[[Any], Any]) -> None:
    L = keras.layers
    layers = [L.BatchNormalization(), L.Dense(6, "relu"), norm(L), L.Dropout(0.0), L.Dense(3)]
    network = train_alike(model_of(layers))
    assert repr(network.layers[1]) == "NormalizationLayer(5, 'batch')"
    assert type(network.layers[3]) is NormalizationLayer


def train_alike(model: Any) -> Any:
    network: Any = from_keras(model)
    assert abs(network.predict(X) - outputs_of(model)).max() < 1e-12

    model.compile(keras.optimizers.SGD(RATE), "mse")
    model.fit(X, Y, batch_size=16, epochs=3, shuffle=False, verbose=0)
    network.fit(X, Y, epochs=3, batch_size=16, learning_rate=RATE, shuffle=False, progress=False)

    trained: Any = from_keras(model)
    assert abs(network._storage.parameters - trained._storage.parameters).max() < 1e-10
    assert abs(network.predict(X) - outputs_of(to_keras(network))).max() < 1e-12
    assert repr(from_keras(to_keras(network))) == repr(network)
    return network


def test_layers_of_activations_dropout_and_frozen_layers() -> None:
    L = keras.layers
    model = model_of(
        [
            *(L.Flatten(), L.Dense(4), L.LeakyReLU(), L.Dropout(0.25), L.Dense(4), L.ELU(0.5)),
            *(L.Dense(4), L.ReLU(max_value=6.0), L.Dense(2), L.Softmax()),
        ]
    )
    model.layers[1].trainable = False

    network: Any = from_keras(model)

    assert [layer.actname for layer in network.layers[1:]] == [LeakyReLU(0.3), ELU(0.5), "relu6", "softmax"]
    assert [layer.trainable for layer in network.layers[1:]] == [False, True, True, True]
    assert network.layers[1].dropout == 0.25
    assert abs(network.predict(X) - outputs_of(model)).max() < 1e-12
    assert repr(from_keras(to_keras(network))) == repr(network)


def test_outputs_that_are_logarithms_of_probabilities_train_alike() -> None:
    L = keras.layers
    model = model_of([L.Dense(4, "tanh"), L.Dense(3, "log_softmax")])
    network: Any = from_keras(model)
    assert (network.layers[2].actname, network.layers[2].lossfnname) == ("log_softmax", "nll")
    assert abs(network.predict(X) - outputs_of(model)).max() < 1e-12
    targets = np.eye(3)[np.arange(16) % 3]

    def nll(t: Any, y: Any) -> Any:
        return -keras.ops.sum(t * y, axis=-1)

    model.compile(keras.optimizers.SGD(RATE), nll)
    model.fit(X, targets, batch_size=16, epochs=1, shuffle=False, verbose=0)
    network.fit(X, np.arange(16) % 3, epochs=1, batch_size=16, learning_rate=RATE, shuffle=False)

    trained: Any = from_keras(model)
    assert abs(network.parameters - trained.parameters).max() < 1e-10
    assert abs(network.predict(X) - outputs_of(to_keras(network))).max() < 1e-12
    assert repr(from_keras(to_keras(network))) == repr(network)


def test_float32() -> None:
    network = Network([InputLayer(5), HiddenLayer(4, "tanh"), OutputLayer(2, "softmax")], np.float32, seed=0)

    model = to_keras(network)

    assert {str(each.dtype) for each in model.get_weights()} == {"float32"}
    assert from_keras(model).parameters.tobytes() == network.parameters.tobytes()


def twice() -> list[Any]:
    dense = keras.layers.Dense(5)
    return [dense, dense]


REFUSED: list[tuple[Callable[[Any], list[Any]], str]] = [
    (lambda L: [L.Reshape((5, 1)), L.Conv1D(2, 2)], r"\(Reshape\): is no layer that is known here"),
    (lambda L: [L.Dense(3), L.BatchNormalization(epsilon=0.0), L.Dense(1)], "adds 0 to variances"),
    (
        lambda L: [L.Dense(3), L.BatchNormalization(momentum=1.5), L.Dense(1)],
        "keeps 1.5 of its running moments",
    ),
    (lambda L: [L.Dense(3, use_bias=False)], "has no bias"),
    (lambda L: [L.Dense(3, "relu"), L.BatchNormalization()], "comes after the last affine map"),
    (lambda L: [L.Dense(3, bias_regularizer="l2")], "bias_regularizer"),
    (lambda L: [L.Dense(3, "glu")], "has the activation 'glu'"),
    (lambda L: [L.Dense(3), L.ReLU(max_value=2.0)], "max_value=2.0"),
    (lambda L: twice(), "is used twice"),
]


@pytest.mark.parametrize(("layers", "message"), REFUSED, ids=[message[:20] for _, message in REFUSED])
def test_what_layers_here_do_not_do_is_refused(layers: Callable[[Any], list[Any]], message: str) -> None:
    with pytest.raises(WiringError, match=message):
        from_keras(model_of(layers(keras.layers)))


def test_models_that_are_no_chain_or_not_built_are_refused() -> None:
    with pytest.raises(WiringError, match=r"expected a keras\.Sequential that has been built"):
        from_keras(keras.Sequential([keras.layers.Dense(3)]))
    with pytest.raises(WiringError, match="Keras has no activation"):
        to_keras(Network([InputLayer(2), OutputLayer(1, CELU(0.5))]))
    hidden = HiddenLayer(3, normalization=BatchNorm(unbiased=True))
    with pytest.raises(WiringError, match=r"layer 1, .*biased running variance"):
        to_keras(Network([InputLayer(2), hidden, OutputLayer(1)]))

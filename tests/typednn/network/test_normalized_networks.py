"""Networks with batch and layer normalisation, and with dropout, through both doors."""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.conftest import PATHS, kernels_of
from tests.oracles.torch_float64 import pytorch
from tests.typednn.building import COPIES, Dtype
from typednn import (
    SGD,
    BatchNorm,
    DataError,
    FileFormatError,
    HiddenLayer,
    InputLayer,
    LayerNorm,
    Network,
    OutputLayer,
    SettingError,
    ShapeError,
    UnknownNameError,
    WiringError,
    gradcheck,
    gradient_descent_epoch,
    load,
    names,
    save,
)
from typednn.training.samples import format_of
from typednn.training.trainer import Trainer

DTYPES: tuple[Any, ...] = (np.float32, np.float64)
by_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)
NAMES: tuple[Any, ...] = ("batch", "layer")
WITH_SETTINGS: tuple[Any, ...] = (
    BatchNorm(1e-5, 0.9, unbiased=True),
    LayerNorm(1e-5, inner_bias=True),
)
both_paths = pytest.mark.usefixtures("path")


def data(samples: int, dtype: Any = np.float64) -> tuple[NDArray[Any], NDArray[Any]]:
    """Samples (B, 4), of which a feature is constant, and labels of 3 classes."""
    rng = np.random.default_rng(3)
    x = rng.normal(0.5, 2, (samples, 4)).astype(dtype)
    x[:, 2] = 1
    return x, rng.integers(0, 3, samples)


def built(dtype: Dtype = np.float64, seed: int = 0, dropout: float = 0.0, **first: Any) -> Network[Any]:
    """4-7-5-3: a layer as `first` says, one with layer normalisation, softmax."""
    return Network(
        [
            InputLayer(4),
            HiddenLayer(7, "tanh", dropout=dropout, **first),
            HiddenLayer(5, "sigmoid", normalization="layer"),
            OutputLayer(3, "softmax", "crossentropy"),
        ],
        dtype=dtype,
        seed=seed,
    )


def everything(network: Network[Any]) -> NDArray[Any]:
    """The parameters, and the moving means and variances."""
    return network._storage.parameters


def stirred(network: Network[Any]) -> Network[Any]:
    """The same network with gains, biases, moving means and variances like those of a trained one."""
    rng = np.random.default_rng(5)
    for layer in network.layers[1:]:
        layer.Bias = rng.normal(0, 0.3, layer.length)
        if isinstance(layer, HiddenLayer) and layer.normalization != "none":
            layer.Gain = rng.normal(1, 0.3, layer.length)
        if isinstance(layer, HiddenLayer) and "inner_bias" in layer.normalization:
            layer.InnerBias = rng.normal(0, 0.3, layer.length)
        if isinstance(layer, HiddenLayer) and layer.normalization.startswith("batch"):
            layer.running_mean[...] = rng.normal(0, 1, layer.length)
            layer.running_variance[...] = rng.uniform(0.5, 2, layer.length)
    return network


# Gradients.


def choose_kernels(monkeypatch: pytest.MonkeyPatch, found: dict[str, Any]) -> None:
    """Lets `gradcheck` compare these."""

    def implementations(_dtype: np.dtype[Any]) -> dict[str, Any]:
        return found

    for module in ("check", "numerical"):
        monkeypatch.setattr(f"typednn.gradient_checking.{module}.implementations", implementations)


@pytest.mark.once_per("name", "dropout", "training", "samples")
@by_dtype
@pytest.mark.parametrize("samples", [1, 2, 9])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(("name", "dropout"), list(product(("none", *NAMES, *WITH_SETTINGS), (0.0, 0.4))))
def test_gradients_against_differences(
    name: str, dropout: float, training: bool, samples: int, dtype: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose_kernels(monkeypatch, {path: kernels_of(path) for path in PATHS})
    network = stirred(built(dtype, normalization=name, dropout=dropout))
    before = everything(network).copy()

    report = gradcheck(network, *data(samples, dtype), training=training)

    assert report.passed, report
    counts = {"W": 28, "Bias": 7} | ({"Gain": 7} if name != "none" else {})
    counts |= {"InnerBias": 7} if "inner_bias" in name else {}
    first = {check.parameter: check.checked for check in report.checks if check.layer.startswith("layer 1")}
    assert first == counts
    assert everything(network).tobytes() == before.tobytes()


def test_a_wrong_gradient_of_gains_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    kernels = kernels_of("numpy")
    right = kernels.backward

    def wrong(*arguments: Any) -> None:
        right(*arguments)
        arguments[-1][28 + 7 : 28 + 14] *= 1.001

    monkeypatch.setattr(kernels, "backward", wrong)
    choose_kernels(monkeypatch, {"numpy": kernels})
    report = gradcheck(stirred(built(normalization="batch")), *data(9), training=True)

    assert [check.parameter for check in report.checks if not check.passed] == ["Gain"]


@both_paths
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(("name", "dropout"), list(product(("none", *NAMES), (0.0, 0.4))))
def test_gradients_of_a_forward_pass_and_of_layers(name: str, dropout: float, training: bool) -> None:
    """The doors agree, a second backward pass changes nothing, and dLda = dLdh * dhda, dropped or not."""
    network = stirred(built(normalization=name, dropout=dropout))
    x, labels = data(9)
    first = network.layers[1]

    forward = network.forward(x, training=training)
    gradients = forward.backward(labels)
    again = forward.backward(labels)

    assert gradients.vector.tobytes() == again.vector.tobytes()
    assert gradients.vector.shape == network.parameters.shape
    part = gradients[first]
    np.testing.assert_allclose(first.dLda, first.dLdh * first.dhda, atol=1e-15)
    np.testing.assert_allclose(first.dLdW, part.dLdW, atol=1e-15)
    assert part.dLdGain.shape == (1, 7 if name != "none" else 0)
    if name != "none":
        np.testing.assert_allclose(first.dLdGain, part.dLdGain, atol=1e-15)
        first.Gain -= 0.1 * first.dLdGain
    dropped = (first.activations == 0).mean()
    assert (0.1 < dropped < 0.7) if training and dropout else dropped == 0


# Training, against PyTorch.


class TorchTwin:
    """The same network in PyTorch, with the constants of Keras, float64."""

    def __init__(self, network: Network[Any], name: str) -> None:
        self.torch, self.name = pytorch(), name
        torch = self.torch
        self.W = [self._tensor(layer.W) for layer in network.layers[1:]]
        self.bias = [self._tensor(layer.Bias[0]) for layer in network.layers[1:]]
        self.gain = [self._tensor(layer.Gain[0]) for layer in network.layers[1:3]]
        self.mean: Any = torch.zeros(7, dtype=torch.float64)
        self.variance: Any = self.mean
        if name == "batch":
            hidden: Any = network.layers[1]
            self.mean, self.variance = (
                torch.tensor(each[0]) for each in (hidden.running_mean, hidden.running_variance)
            )

    def _tensor(self, values: NDArray[Any]) -> Any:
        return self.torch.tensor(np.array(values), requires_grad=True)

    def loss(self, x: NDArray[Any], labels: NDArray[Any], training: bool) -> Any:
        """The mean loss; training updates the moving averages, with the variance of the population."""
        functional = self.torch.nn.functional
        z = self.torch.tensor(x) @ self.W[0].T
        if self.name == "batch":
            h = functional.batch_norm(
                z,
                self.mean.clone(),
                self.variance.clone(),
                self.gain[0],
                self.bias[0],
                training=training,
                eps=1e-3,
            )
            if training:
                self.mean = 0.99 * self.mean + 0.01 * z.detach().mean(dim=0)
                self.variance = 0.99 * self.variance + 0.01 * z.detach().var(dim=0, unbiased=False)
        else:
            h = functional.layer_norm(z, (7,), self.gain[0], self.bias[0], eps=1e-3)
        z = self.torch.tanh(h) @ self.W[1].T
        h = self.torch.sigmoid(functional.layer_norm(z, (5,), self.gain[1], self.bias[1], eps=1e-3))
        return functional.cross_entropy(h @ self.W[2].T + self.bias[2], self.torch.tensor(labels))

    def step(self, x: NDArray[Any], labels: NDArray[Any], rate: float) -> float:
        """A step of gradient descent; the loss before it."""
        loss = self.loss(x, labels, training=True)
        parameters = [*self.W, *self.bias, *self.gain]
        with self.torch.no_grad():
            for each, derivative in zip(parameters, self.torch.autograd.grad(loss, parameters), strict=True):
                each -= rate * derivative
        return float(loss.detach())


@both_paths
@pytest.mark.parametrize("name", NAMES)
def test_training_follows_pytorch(name: str) -> None:
    """Three epochs of batches of 8, 8 and 4; then predictions, by moving averages where there are any."""
    network = stirred(built(normalization=name))
    x, labels = data(20)
    twin = TorchTwin(network, name)

    history = network.fit(x, labels, epochs=3, batch_size=8, learning_rate=0.1, shuffle=False)
    reference = [
        [twin.step(x[i : i + 8], labels[i : i + 8], 0.1) * len(x[i : i + 8]) for i in (0, 8, 16)]
        for _ in range(3)
    ]

    np.testing.assert_allclose(history.loss, np.sum(reference, axis=1) / 20, rtol=1e-11)
    for layer, W, bias in zip(network.layers[1:], twin.W, twin.bias, strict=True):
        np.testing.assert_allclose(layer.W, W.detach().numpy(), rtol=1e-9, atol=1e-11)
        np.testing.assert_allclose(layer.Bias[0], bias.detach().numpy(), rtol=1e-9, atol=1e-11)
    for layer, gain in zip(network.layers[1:3], twin.gain, strict=True):
        np.testing.assert_allclose(layer.Gain[0], gain.detach().numpy(), rtol=1e-9)
    if name == "batch":
        hidden: Any = network.layers[1]
        np.testing.assert_allclose(hidden.running_mean[0], twin.mean.numpy(), rtol=1e-11)
        np.testing.assert_allclose(hidden.running_variance[0], twin.variance.numpy(), rtol=1e-11)
    assert abs(network.loss(x, labels) - float(twin.loss(x, labels, training=False).detach())) < 1e-11


# Training and predicting.


@both_paths
@by_dtype
@pytest.mark.parametrize("batch_size", [1, 8])
@pytest.mark.parametrize(("name", "dropout"), list(product(("none", *NAMES, *WITH_SETTINGS), (0.0, 0.3))))
def test_a_loop_by_hand_trains_as_fit(
    name: str, dropout: float, batch_size: int, dtype: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, labels = data(16, dtype)
    t, rate = np.eye(3, dtype=dtype)[labels], dtype(0.1)
    first, second = (stirred(built(dtype, normalization=name, dropout=dropout)) for _ in range(2))
    keys = iter(_keys(first, len(x) // batch_size))
    monkeypatch.setattr(second._storage, "new_key", lambda: next(keys))

    first.fit(x, labels, epochs=1, batch_size=batch_size, learning_rate=0.1, shuffle=False)
    ann = list(second.layers)
    ann[0].training = True
    for start in range(0, len(x), batch_size):
        ann[0].put_values(x[start : start + batch_size])
        ann[-1].set_actual(t[start : start + batch_size])
        for layer in ann:
            layer.forward()
        for layer in ann[:0:-1]:
            layer.backward()
        for layer in ann[1:]:
            layer.W -= rate * layer.dLdW
            layer.Bias -= rate * layer.dLdBias
            if isinstance(layer, HiddenLayer) and layer.normalization != "none":
                layer.Gain -= rate * layer.dLdGain
            if isinstance(layer, HiddenLayer) and "inner_bias" in layer.normalization:
                layer.InnerBias -= rate * layer.dLdInnerBias

    limit = 512 * np.finfo(dtype).eps * abs(everything(first)).max()
    np.testing.assert_allclose(everything(second), everything(first), rtol=0, atol=limit)


def _keys(network: Network[Any], steps: int) -> list[int]:
    """Those that the next epoch of a copy of the network will have."""
    start = copy.deepcopy(network)._storage.new_key()
    return list(range(start, start + steps))


@both_paths
def test_only_training_drops_and_moves_averages() -> None:
    network = stirred(built(normalization="batch", dropout=0.5))
    x, labels = data(9)
    before, state = everything(network).copy(), network._random.bit_generator.state

    outputs = network.predict(x)
    assert network.forward(x).output.tobytes() == outputs.tobytes()
    np.testing.assert_allclose(network.predictor()(x[0]), outputs[0], rtol=1e-12)
    assert network.forward(x).loss(labels) == network.loss(x, labels) == network.evaluate(x, labels).loss
    assert everything(network).tobytes() == before.tobytes()
    assert network._random.bit_generator.state == state

    one, other = (network.forward(x, training=True).output.copy() for _ in range(2))
    assert not np.allclose(one, outputs)
    assert not np.allclose(one, other)
    assert everything(network)[: network.parameters.size].tobytes() == network.parameters.tobytes()
    assert (everything(network)[network.parameters.size :] != before[network.parameters.size :]).all()


@both_paths
@by_dtype
def test_validation_is_prediction_and_the_same_seed_gives_the_same_bits(dtype: Any) -> None:
    x, labels = data(33, dtype)
    found: list[bytes] = []
    network = built(dtype)
    for _ in range(2):
        network = built(dtype, seed=4, normalization="batch", dropout=0.2)
        history = network.fit(x, labels, epochs=3, batch_size=8, validation_data=(x, labels))
        assert history.validation_loss[-1] == network.loss(x, labels)
        found.append(everything(network).tobytes())
    assert found[0] == found[1]
    assert everything(network).dtype == network.predict(x).dtype == dtype
    other = built(dtype, seed=5, normalization="batch", dropout=0.2)
    other.fit(x, labels, epochs=3, batch_size=8)
    assert everything(other).tobytes() != found[0]


@both_paths
def test_chunks_of_an_epoch_drop_as_the_whole() -> None:
    found: list[bytes] = []
    for chunk in (1, 16, 10**6):
        network = built(normalization="batch", dropout=0.5)
        trainer = Trainer(network._storage, network._loss, 8, SGD(0.1))
        trainer.chunk = chunk
        for _ in trainer.run(format_of(network._output).samples(*data(40)), np.arange(40), np.zeros(40)):
            pass
        found.append(everything(network).tobytes())
    assert found[0] == found[1] == found[2]


@both_paths
def test_without_shuffling_dropout_still_draws() -> None:
    network = built(dropout=0.5)
    x, labels = data(8)
    masks: list[NDArray[Any]] = []
    for _ in range(2):
        network.fit(x, labels, epochs=1, batch_size=8, shuffle=False)
        masks.append(network.layers[1].activations == 0)
        np.testing.assert_array_equal(network.layers[1].dhda == 0, masks[-1])
    assert (masks[0] != masks[1]).any()


def test_wrong_data_change_nothing() -> None:
    network = stirred(built(normalization="batch", dropout=0.5))
    x, _ = data(8)
    before, state = everything(network).copy(), network._random.bit_generator.state

    with pytest.raises(ShapeError):
        network.forward(x[:, :3], training=True)

    assert everything(network).tobytes() == before.tobytes()
    assert network._random.bit_generator.state == state


@both_paths
def test_networks_learn_wherever_the_samples_lie() -> None:
    """Training does not see an offset; moving averages see it some steps later, which small steps allow."""
    rng = np.random.default_rng(0)
    near = rng.normal(size=(400, 4))
    labels = (near[:, 0] > 0).astype(np.int64) + (near[:, 1] > 0)
    losses: list[float] = []
    for offset in (0, 50):
        network, x = built(normalization="batch", dropout=0.1), near + np.array([0.0, offset, 0.0, 0.0])
        losses += network.fit(x, labels, epochs=60, batch_size=20, learning_rate=0.1).loss[-1:]
        network.fit(x, labels, epochs=60, batch_size=20, learning_rate=0.001)
        assert (network.evaluate(x, labels).accuracy or 0) > 0.9

    assert abs(losses[0] - losses[1]) < 1e-6


# The classic door.


@both_paths
def test_a_plain_list_normalises() -> None:
    ann: list[Any] = [InputLayer(4), HiddenLayer(7, "relu", normalization="batch"), OutputLayer(3)]
    for before, layer in pairwise(ann):
        layer.attach_after(before)
        layer.set_weights("xavier", seed=0)
    x, _ = data(12)
    ann[2].training = True
    ann[0].put_values(x)
    for layer in ann:
        layer.forward()

    a = ann[1].pre_activations
    np.testing.assert_allclose(a.mean(axis=1), 0, atol=1e-12)
    z = x @ ann[1].W.T
    np.testing.assert_allclose(ann[1].running_mean[0], 0.01 * z.mean(axis=0), rtol=1e-11)
    np.testing.assert_allclose(ann[1].running_variance[0], 0.99 + 0.01 * z.var(axis=0), rtol=1e-11)
    ann, losses = gradient_descent_epoch(ann, x, np.zeros((12, 3)), 0.01, 2)
    assert np.isfinite(losses).all()


def test_a_plain_list_cannot_draw_what_to_drop() -> None:
    ann: list[Any] = [InputLayer(4), HiddenLayer(7, "relu", dropout=0.5), OutputLayer(3)]
    for before, layer in pairwise(ann):
        layer.attach_after(before)
        layer.set_weights("xavier", seed=0)
    x, _ = data(12)
    before = ann[1].W.copy()
    ann[0].put_values(x)
    for layer in ann:
        layer.forward()
    ann[0].training = True

    with pytest.raises(WiringError, match=r"layer 1, .*dropout=0.5\): dropout draws from .* Network"):
        ann[0].forward()
    with pytest.raises(WiringError, match="dropout draws"):
        gradient_descent_epoch(ann, x, np.zeros((12, 3)), 0.01, 2)
    assert ann[1].W.tobytes() == before.tobytes()

    Network(ann, seed=0)
    ann[0].put_values(x)
    ann[0].forward()
    assert ann[0].training


def test_attaching_keeps_gains_and_averages() -> None:
    first, second = HiddenLayer(3, "relu", normalization="batch"), HiddenLayer(2, normalization="layer")
    first.attach_after(InputLayer(2))
    first.Gain, first.running_mean[...], first.training = np.array([1, 2, 3.0]), 5, True
    second.attach_after(first)

    assert first.Gain.tolist() == [[1, 2, 3]]
    assert first.running_mean.tolist() == [[5, 5, 5]]
    assert first.running_variance.tolist() == [[1, 1, 1]]
    assert second.Gain.tolist() == [[1, 1]]
    assert second.training


# Copies and files.


@pytest.mark.parametrize("copied", COPIES)
def test_copies_carry_averages_and_are_of_their_own(copied: Any) -> None:
    network = stirred(built(normalization="batch", dropout=0.3))
    x, labels = data(16)

    other = copied(network)

    assert everything(other).tobytes() == everything(network).tobytes()
    for each in (network, other):
        each.fit(x, labels, epochs=2, batch_size=8)
    assert everything(other).tobytes() == everything(network).tobytes()
    assert not np.shares_memory(everything(other), everything(network))
    assert np.shares_memory(other.parameters, everything(other))


@by_dtype
@pytest.mark.parametrize("name", ["none", *NAMES])
def test_files_keep_all(name: str, dtype: Any, tmp_path: Path) -> None:
    network = stirred(built(dtype, normalization=name, dropout=0.25))
    x, _ = data(5, dtype)

    save(network, tmp_path / "model.safetensors")
    other = load(tmp_path / "model.safetensors", dtype)

    assert everything(other).tobytes() == everything(network).tobytes()
    assert repr(other) == repr(network)
    assert other.predict(x).tobytes() == network.predict(x).tobytes()


def test_files_say_so_where_a_variance_is_negative(tmp_path: Path) -> None:
    network = stirred(built(normalization="batch"))
    hidden: Any = network.layers[1]
    path, marker = tmp_path / "model.safetensors", hidden.running_variance.dtype.type(12345)
    hidden.running_variance[0, 2] = marker
    save(network, path)
    path.write_bytes(path.read_bytes().replace(marker.tobytes(), (-marker).tobytes()))

    with pytest.raises(FileFormatError, match=r"0 or more, found -12345.0 in moving_variance of layer 1"):
        load(path)


def test_files_with_a_negative_variance_are_not_written(tmp_path: Path) -> None:
    network = stirred(built(normalization="batch"))
    hidden: Any = network.layers[1]
    hidden.running_variance[0, 2] = -1

    with pytest.raises(DataError, match="moving_variance holds -1"):
        save(network, tmp_path / "model.safetensors")
    assert not list(tmp_path.iterdir())


def test_files_with_nan_are_not_written(tmp_path: Path) -> None:
    network = built(normalization="batch")
    hidden: Any = network.layers[1]
    hidden.running_mean[0, 2] = np.nan

    with pytest.raises(DataError, match="moving_mean"):
        save(network, tmp_path / "model.safetensors")
    assert not list(tmp_path.iterdir())


# Settings.


def test_what_layers_say() -> None:
    layer = HiddenLayer(3, "relu", normalization="batch", dropout=0.2)
    assert repr(layer) == "HiddenLayer(3, 'relu', normalization='batch', dropout=0.2)"
    assert repr(HiddenLayer(3, "relu")) == "HiddenLayer(3, 'relu')"
    network = built(normalization="batch")
    assert network.parameters.size == 4 * 7 + 7 + 7 + 7 * 5 + 5 + 5 + 5 * 3 + 3
    assert everything(network).size == network.parameters.size + 14
    assert [row.split()[-1] for row in network.summary().splitlines()[2:5]] == ["42", "45", "18"]


@pytest.mark.parametrize("settings", WITH_SETTINGS)
def test_settings_go_wherever_the_name_goes(settings: Any, tmp_path: Path) -> None:
    network = stirred(built(normalization=settings))
    x = data(9)[0]

    save(network, tmp_path / "model")
    for other in (load(tmp_path / "model", np.float64), *(each(network) for each in COPIES)):
        layer = other.layers[1]
        assert repr(layer.normalization) == repr(settings)
        assert everything(other).tobytes() == everything(network).tobytes()
        assert other.predict(x).tobytes() == network.predict(x).tobytes()
    attached: Any = Network([each.copy() for each in network.layers])
    assert attached.layers[1].normalization == settings
    assert everything(attached).tobytes() == everything(network).tobytes()
    assert names.normalization(str(settings)) == settings


def test_defaults_are_the_names() -> None:
    assert repr(BatchNorm()) == "BatchNorm()"
    assert (BatchNorm(), LayerNorm()) == ("batch", "layer")
    assert HiddenLayer(3, normalization=BatchNorm()).normalization == "batch"
    assert repr(HiddenLayer(3, normalization=LayerNorm(0.5))) == (
        "HiddenLayer(3, 'none', normalization=LayerNorm(epsilon=0.5))"
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: BatchNorm(0),
            "BatchNorm: needs a positive epsilon, and a momentum from 0 to 1, not epsilon=0.0",
        ),
        (lambda: BatchNorm(1e-3, 1.01), "not epsilon=0.001, momentum=1.01"),
        (lambda: BatchNorm(np.nan), "BatchNorm: epsilon must be a finite number, not nan"),
        (lambda: LayerNorm("1"), "LayerNorm: epsilon must be a finite number, not '1'"),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        (lambda: LayerNorm(inner_bias=1), "inner_bias must be True or False"),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        (lambda: BatchNorm(unbiased="no"), "unbiased must be True or False"),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    ],
)
def test_wrong_settings(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        make()


def test_inner_biases_of_layers_without_them() -> None:
    network = built(normalization=LayerNorm(inner_bias=True))
    first, second, output = network.layers[1:]
    assert first.InnerBias.shape == (1, 7)
    for layer in (second, output):
        with pytest.raises(WiringError, match="has no"):
            _ = layer.InnerBias
        with pytest.raises(WiringError, match="has no"):
            layer.InnerBias = np.ones((1, 7))
        with pytest.raises(WiringError, match="has no"):
            _ = layer.dLdInnerBias


@pytest.mark.parametrize("dropout", [-0.1, 1.0, np.nan, np.inf, "0.5", None, True])
def test_wrong_dropout(dropout: Any) -> None:
    with pytest.raises(SettingError, match="dropout must be a number from 0 to below 1"):
        HiddenLayer(3, dropout=dropout)


def test_unknown_normalization() -> None:
    wrong: Any = "bach"
    with pytest.raises(UnknownNameError, match="did you mean 'batch'"):
        HiddenLayer(3, normalization=wrong)


def test_what_layers_without_normalisation_lack() -> None:
    network = built(normalization="none")
    plain, layered, output = network.layers[1:]
    for layer in (plain, output, network.layers[0]):
        with pytest.raises(WiringError, match="has no"):
            _ = layer.Gain
        with pytest.raises(WiringError, match="has no"):
            layer.Gain = np.ones((1, 7))
        with pytest.raises(WiringError, match="has no"):
            _ = layer.dLdGain
    assert isinstance(layered, HiddenLayer)
    with pytest.raises(WiringError, match='normalization="batch" has'):
        _ = layered.running_mean
    wrong: Any = np.ones(4)
    with pytest.raises(ShapeError, match=r"Gain has the shape \(1, 5\), not \(4,\)"):
        layered.Gain = wrong

"""Layers that only normalise: each does what a normalised layer does whose weights are the identity."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.typednn.building import COPIES
from typednn import (
    Adam,
    AdamW,
    BatchNorm,
    FileFormatError,
    HiddenLayer,
    InputLayer,
    LayerNorm,
    Network,
    NormalizationLayer,
    OutputLayer,
    SettingError,
    UnknownNameError,
    WiringError,
    gradcheck,
    load,
    minimize,
    sample_gradients,
    save,
)

DTYPES: tuple[Any, ...] = (np.float32, np.float64)
NORMS: tuple[Any, ...] = ("batch", "layer", BatchNorm(1e-5, 0.9, unbiased=True), LayerNorm(0.1))
by_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)
both_paths = pytest.mark.usefixtures("path")


def data(samples: int, dtype: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    """Samples (B, 4) of very different scales, and targets (B, 2)."""
    rng = np.random.default_rng(samples)
    x = rng.normal(size=(samples, 4)) * [1, 10, 0.1, 3] + [0, 20, -1, 5]
    return x.astype(dtype), rng.normal(size=(samples, 2)).astype(dtype)


def built(first: list[Any], second: list[Any], dtype: Any) -> Network[Any]:
    """4-(4)-6-(6)-2, with values like those of a trained network."""
    layers = [InputLayer(4), *first, HiddenLayer(6, "relu"), *second, OutputLayer(2)]
    network: Network[Any] = Network(layers, dtype, seed=1)
    rng, trainable = np.random.default_rng(5), cast("Any", network.layers[1:])
    for layer in trainable:
        for name, values in layer._tensors.items():
            if name != "W":
                values[...] = rng.uniform(0.5, 1.5, values.shape)
    return network


def pair(norm: Any, dtype: Any) -> tuple[Network[Any], Network[Any]]:
    """A network with layers that only normalise, and one with the identity as weights in their place."""
    network = built([NormalizationLayer(4, norm)], [NormalizationLayer(6, norm, "tanh", dropout=0.3)], dtype)
    twin = built(
        [HiddenLayer(4, normalization=norm)], [HiddenLayer(6, "tanh", normalization=norm, dropout=0.3)], dtype
    )
    twin.layers[2].W = network.layers[2].W
    twin.layers[4].W = network.layers[4].W
    restore(twin)
    for each in (network, twin):  # which units are dropped
        each._random.bit_generator.state = np.random.default_rng(7).bit_generator.state
    return network, twin


def restore(twin: Network[Any]) -> None:
    for k in (1, 3):
        layer: Any = twin.layers[k]
        layer.W = np.eye(layer.length)


def tensors(network: Network[Any]) -> dict[str, NDArray[Any]]:
    layers: Any = network.layers
    return {
        f"{k}.{name}": values.copy()
        for k, layer in enumerate(layers[1:], start=1)
        for name, values in layer._tensors.items()
        if not (name == "W" and k in {1, 3})
    }


def assert_close(found: NDArray[Any], wanted: NDArray[Any], message: str = "") -> None:
    assert found.shape == wanted.shape, message
    if wanted.size:
        tolerance = 64 * np.finfo(wanted.dtype).eps * (1 + abs(wanted).max())
        assert abs(found - wanted).max() <= tolerance, message


@pytest.mark.once_per("norm", "samples", "training")
@by_dtype
@pytest.mark.parametrize("samples", [1, 2, 9, 40])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("norm", NORMS)
@both_paths
def test_a_pass_is_that_of_identical_weights(norm: Any, training: bool, samples: int, dtype: Any) -> None:
    network, twin = pair(norm, dtype)
    x, y = data(samples, dtype)

    passes = [each.forward(x, training=training) for each in (network, twin)]
    found, wanted = (each.backward(y, inputs=True) for each in passes)

    assert_close(passes[0].output, passes[1].output)
    assert_close(found.dLdx, wanted.dLdx)
    for one, other in zip(network.layers[1:], twin.layers[1:], strict=True):
        for name in ("dLda", "dLdBias", "dLdGain"):
            assert_close(getattr(found[one], name), getattr(wanted[other], name), f"{other!r}: {name}")
    assert found[network.layers[1]].dLdW.shape == (4, 0)
    for name, values in tensors(twin).items():
        assert_close(tensors(network)[name], values, name)


@pytest.mark.once_per("norm", "batch_size")
@by_dtype
@pytest.mark.parametrize("batch_size", [1, 8])
@pytest.mark.parametrize("norm", NORMS)
@both_paths
def test_a_training_is_that_of_identical_weights(norm: Any, batch_size: int, dtype: Any) -> None:
    network, twin = pair(norm, dtype)
    x, y = data(24, dtype)
    for start in range(0, 24, batch_size):
        rows = slice(start, start + batch_size)
        for each in (network, twin):
            each.fit(x[rows], y[rows], epochs=1, batch_size=batch_size, learning_rate=0.01, shuffle=False)
        restore(twin)

    for name, values in tensors(twin).items():
        assert_close(tensors(network)[name], values, name)


@pytest.mark.once_per("norm", "training")
@by_dtype
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("norm", NORMS)
def test_gradients_against_differences(norm: Any, training: bool, dtype: Any) -> None:
    network, _ = pair(norm, dtype)
    report = gradcheck(network, *data(9, dtype), training=training)
    assert report.passed, report
    first = [check.parameter for check in report.checks if check.layer.startswith("layer 1")]
    assert set(first) == {"Bias", "Gain"}


@by_dtype
@pytest.mark.parametrize("norm", ["batch", "layer"])
@both_paths
def test_a_loop_over_layers_shows_what_the_network_computes(norm: Any, dtype: Any) -> None:
    network, _ = pair(norm, dtype)
    network.layers[3].dropout = 0.0
    x, y = data(9, dtype)
    ANN = list(network.copy().layers)
    ANN[0].training = True
    ANN[0].put_values(x)
    ANN[-1].set_actual(y)
    for layer in ANN:
        layer.forward()
    for layer in reversed(ANN):
        layer.backward()

    gradients = network.forward(x, training=True).backward(y, inputs=True)

    assert_close(ANN[0].dLdx.T, gradients.dLdx)
    for one, other in zip(ANN[1:], network.layers[1:], strict=True):
        assert_close(one.dLdBias, gradients[other].dLdBias)
        assert one.dLdW.shape == gradients[other].dLdW.shape == one.W.shape
    assert_close(ANN[1].dLdGain, gradients[network.layers[1]].dLdGain)
    assert_close(ANN[2].dLdh, network.layers[2].dLdh)
    for layer in ANN[1:]:
        layer.W -= layer.dLdW  # loops over layers need no exception
        layer.set_weights("orthogonal", seed=0)


@both_paths
def test_gradients_of_samples_and_minimizers() -> None:
    network, twin = pair("batch", np.float64)
    x, y = data(6, np.float64)
    restored = [sample_gradients(each, x, y).mean(axis=0) for each in (network, twin)]
    assert_close(restored[0], network.forward(x).backward(y).vector)
    assert restored[0].size == restored[1].size - 16 - 36
    before = network.loss(x, y)
    minimize(network, x, y, max_iterations=3)
    assert network.loss(x, y) < before


@pytest.mark.parametrize("copied", COPIES)
def test_copies_have_gains_and_moments(copied: Any) -> None:
    network, _ = pair("batch", np.float64)
    x, _ = data(5, np.float64)
    assert (copied(network).predict(x) == network.predict(x)).all()


def test_a_layer_alone_has_parameters_and_can_be_attached() -> None:
    layer: Any = pickle.loads(pickle.dumps(NormalizationLayer(3)))
    layer.Gain = np.array([1.0, 2.0, 3.0])
    layer.attach_after(InputLayer(3))
    assert layer.Gain.tolist() == [[1, 2, 3]]
    assert layer.copy().Gain.tolist() == [[1, 2, 3]]
    assert layer.W.shape == (3, 0)
    network: Any = Network([layer.previous, layer, OutputLayer(1)])
    assert network.layers[1].Gain.tolist() == [[1, 2, 3]]


def test_the_summary_counts_what_there_is() -> None:
    network, _ = pair(LayerNorm(), np.float64)
    lines = network.summary().splitlines()
    counts = [int(line.split()[-1]) for line in lines[1:-1]]
    assert counts == [0, 8, 30, 12, 14]
    assert lines[-1].startswith(f"{sum(counts)} parameters")
    assert network.parameters.size == sum(counts)


def test_it_normalizes_what_is_before_it() -> None:
    with pytest.raises(WiringError, match=r"normalises 3 units, InputLayer\(4, 'none'\) has 4 units"):
        NormalizationLayer(3).attach_after(InputLayer(4))
    with pytest.raises(WiringError, match=r"normalises 3 units, and the layer before it has 4 units"):
        Network([InputLayer(4), NormalizationLayer(3), OutputLayer(1)])
    with pytest.raises(SettingError, match=r"^NormalizationLayer: dropout"):
        NormalizationLayer(3, dropout=1.0)
    nothing: Any = "none"
    with pytest.raises(UnknownNameError, match="weight initialiser"):
        NormalizationLayer(3).set_weights(nothing)
    for norm in (nothing, LayerNorm(inner_bias=True)):
        with pytest.raises(
            SettingError, match="NormalizationLayer: normalization must be 'batch' or 'layer'"
        ):
            NormalizationLayer(3, norm)


def test_files(tmp_path: Path) -> None:
    network, _ = pair(BatchNorm(1e-5, scale=False), np.float32)
    path = tmp_path / "model.safetensors"
    save(network, path)
    again: Any = load(path)
    assert repr(again) == repr(network)
    assert again._storage.parameters.tobytes() == network._storage.parameters.tobytes()

    content = path.read_bytes()
    for old, new, message in (
        (
            b'\\"length\\": 4, \\"activation\\": \\"none\\", \\"normal',
            b'\\"length\\": 3',
            "expected 4, the len",
        ),
        (b"batch(epsilon=1e-05, scale=False)", b"none", "expected a normalisation without inner biases"),
    ):
        changed = content.replace(old, new + old[len(b'\\"length\\": 4') :] if b"len" in old else new, 1)
        assert changed != content
        header = int.from_bytes(content[:8], "little") + len(changed) - len(content)
        path.write_bytes(header.to_bytes(8, "little") + changed[8:])
        with pytest.raises(FileFormatError, match=message):
            load(path)


@pytest.mark.parametrize("optimizer", [Adam(0.1), AdamW(0.1)], ids=["adam", "adamw"])
@pytest.mark.parametrize(
    ("norm", "still"),
    [
        (BatchNorm(center=False), {"Bias"}),
        (LayerNorm(scale=False), {"Gain"}),
        (BatchNorm(center=False, scale=False), {"Bias", "Gain"}),
        (LayerNorm(inner_bias=True, center=False, scale=False), {"Bias", "Gain"}),
    ],
)
@both_paths
def test_gains_and_biases_that_are_not_trained_stay(norm: Any, still: set[str], optimizer: Any) -> None:
    network: Any = Network([InputLayer(4), HiddenLayer(5, normalization=norm), OutputLayer(2)], seed=0)
    before = tensors(network)
    x, y = data(16, np.float64)
    network.fit(x, y, epochs=2, batch_size=8, optimizer=optimizer)
    minimize(network, x, y, max_iterations=2)
    after = tensors(network)
    unchanged = {name[2:] for name in before if (before[name] == after[name]).all() and name[0] == "1"}
    assert unchanged == still
    assert gradcheck(network, x, y).passed

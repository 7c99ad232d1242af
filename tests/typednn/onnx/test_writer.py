"""ONNX files of networks, run by ONNX Runtime and compared with `predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from typednn_kernels import plain
from typednn_kernels.activations import ActivationName, OutputActivationName
from typednn_kernels.normalizations import NormalizationName

import typednn.onnx
from tests.typednn.building import DTYPES, new_network
from typednn import (
    BatchNorm,
    HiddenLayer,
    InputLayer,
    LayerNorm,
    NormalizationLayer,
    NotReadyError,
    OutputLayer,
    SettingError,
    TypednnError,
    register_activation,
)
from typednn.activations import CELU, ELU, HardSigmoid, HardTanh, LeakyReLU, Softplus
from typednn.data.columns import BooleanColumn, CategoryColumn, DateColumn, NumberColumn
from typednn.data.model import Model
from typednn.data.preprocessing import Preprocessing
from typednn.data.targets import Classes, Scale
from typednn.formulas import erf, exp, expm1, log1p

onnx: Any = pytest.importorskip("onnx", reason="onnx is not installed: pip install 'typednn[onnx]'")
runtime: Any = pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
runtime.set_default_logger_severity(3)
pytestmark = pytest.mark.usefixtures("numpy_alone")

ACTIVATIONS: tuple[Any, ...] = (
    *get_args(ActivationName),
    *(LeakyReLU(0.01), ELU(0.5), CELU(2.0), Softplus(2.0), HardTanh(-2.0, 0.5), HardSigmoid()),
)
OUTPUTS: tuple[Any, ...] = get_args(OutputActivationName)
NORMALIZATIONS: tuple[Any, ...] = (
    *get_args(NormalizationName),
    *(BatchNorm(1e-5, 0.9, unbiased=True), LayerNorm(1e-5, inner_bias=True)),
)
OPSETS = (13, 17, 20, 22)


def network_with(layers: list[Any], dtype: Any) -> Any:
    """A network whose biases and running moments are not those of a new one."""
    network: Any = new_network(layers, dtype, 3)
    random = np.random.default_rng(4)
    for layer in network.layers[1:]:
        shake(layer, random)
    return network


def shake(layer: Any, random: np.random.Generator) -> None:
    """Draws biases and running moments."""
    row = (1, int(layer.length))
    layer.Bias[...] = random.normal(size=row) / 4
    if "inner_bias" in layer.normalization:
        layer.InnerBias[...] = random.normal(size=row) / 4
    if layer.normalization.startswith("batch"):
        layer.running_mean[...] = random.normal(size=row) / 4
        layer.running_variance[...] = random.uniform(0.5, 1.5, row)


def magnitude(network: Any, x: Any) -> Any:
    """The largest output, or sum of the magnitudes of what an output is made of; errors are of this order.

    The sum |W| |h| + |b| is that of a pre-activation of the output layer; its errors reach an output times
    the derivative of the activation.
    """
    forward = network.forward(x)
    below, last = (network._storage.workspace.blocks[k] for k in (-2, -1))
    layer = network.layers[-1]
    terms = abs(below.h) @ abs(layer.W).T + abs(layer.Bias)
    derivative = np.ones_like(last.a)
    if "softmax" not in layer.actname:
        plain.activation_derivative(network._storage.activations[-1], last.a, last.h, derivative)
    return max(abs(forward.output).max(), (terms * abs(derivative)).max())


def run(path: Path, x: Any, name: str = "x") -> list[Any]:
    onnx.checker.check_model(str(path), full_check=True)
    return list(runtime.InferenceSession(str(path)).run(None, {name: x}))


def samples(dtype: Any, n_features: int = 5) -> Any:
    return np.random.default_rng(5).normal(size=(20, n_features)).astype(dtype)


@pytest.mark.once_per("activation", "opset", in_full=("activation", "output"))
@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_onnx_runtime_computes_what_predict_computes(
    activation: Any, normalization: Any, output: Any, opset: int, dtype: Any, tmp_path: Path
) -> None:
    hidden = HiddenLayer(7, activation, normalization=normalization, dropout=0.25)
    network = network_with([InputLayer(5), hidden, OutputLayer(3, output)], dtype)
    path, x = tmp_path / "model.onnx", samples(dtype)

    if dtype == np.float64 and "gelu" in {str(activation), str(output)}:
        with pytest.raises(SettingError, match=r"no kernel for the error function in float64.*astype"):
            typednn.onnx.save(network, path, opset=opset)
        assert not path.exists()
        return
    typednn.onnx.save(network, path, opset=opset)
    [outputs] = run(path, x)

    expected = network.predict(x)
    assert outputs.dtype == dtype
    assert abs(outputs - expected).max() <= 4 * np.finfo(dtype).eps * magnitude(network, x)


@pytest.mark.once_per("normalization", "opset")
@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("normalization", ["batch", "layer", BatchNorm(1e-5, 0.9, scale=False)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_layers_that_only_normalize_are_written(
    normalization: Any, opset: int, dtype: Any, tmp_path: Path
) -> None:
    network = normalizing(normalization, dtype)
    path, x = tmp_path / "model.onnx", samples(dtype)

    typednn.onnx.save(network, path, opset=opset)
    [outputs] = run(path, x)

    assert abs(outputs - network.predict(x)).max() <= 4 * np.finfo(dtype).eps * magnitude(network, x)
    restored: Any = typednn.onnx.load(path)
    assert repr(restored) == repr(network)
    assert restored._storage.parameters.tobytes() == network._storage.parameters.tobytes()


def normalizing(normalization: Any, dtype: Any) -> Any:
    """A network that normalises its features, and the activations of a hidden layer."""
    layers = [InputLayer(5), NormalizationLayer(5, normalization, "tanh"), HiddenLayer(7, "relu")]
    return network_with([*layers, NormalizationLayer(7, normalization), OutputLayer(3)], dtype)


@pytest.mark.parametrize("opset", OPSETS)
def test_files_have_the_oldest_format_that_has_their_operators(opset: int, tmp_path: Path) -> None:
    network = network_with([InputLayer(5), HiddenLayer(7, "mish"), OutputLayer(3, "softmax")], np.float32)

    typednn.onnx.save(network, tmp_path / "model.onnx", opset=opset)

    model = onnx.load(str(tmp_path / "model.onnx"))
    assert model.ir_version == {13: 7, 17: 8, 20: 9, 22: 10}[opset]
    assert [each.version for each in model.opset_import] == [opset]
    assert [dim.dim_param for dim in model.graph.input[0].type.tensor_type.shape.dim] == ["batch", ""]


@pytest.mark.parametrize("dtype", DTYPES)
def test_an_activation_of_the_input_layer_is_written(dtype: Any, tmp_path: Path) -> None:
    network = network_with([InputLayer(5, "tanh"), OutputLayer(3)], dtype)
    path, x = tmp_path / "model.onnx", samples(dtype)

    typednn.onnx.save(network, path)
    [outputs] = run(path, x)

    np.testing.assert_allclose(outputs, network.predict(x), rtol=8 * np.finfo(dtype).eps, atol=1e-7)


@pytest.mark.parametrize("dtype", DTYPES)
def test_activations_of_users_are_written_by_their_formulas(dtype: Any, tmp_path: Path) -> None:
    tail = register_activation(
        "tail", lambda a: log1p(exp(a)) + expm1(a), lambda a, y: exp(a) / (1 + exp(a)) + exp(a)
    )
    network = network_with([InputLayer(5), HiddenLayer(7, tail), OutputLayer(3)], dtype)
    path, x = tmp_path / "model.onnx", samples(dtype)

    typednn.onnx.save(network, path, opset=13)
    [outputs] = run(path, x)

    expected = network.predict(x)
    assert abs(outputs - expected).max() <= 8 * np.finfo(dtype).eps * abs(expected).max()


def test_an_activation_of_a_user_that_needs_the_error_function_is_refused_in_float64(tmp_path: Path) -> None:
    bell = register_activation("bell of erf", erf, lambda a, y: exp(-a * a) * (2 / np.pi**0.5))
    network = network_with([InputLayer(5), HiddenLayer(7, bell), OutputLayer(3)], np.float64)

    with pytest.raises(SettingError, match=r"layer 1.*error function in float64"):
        typednn.onnx.save(network, tmp_path / "model.onnx")


@pytest.mark.parametrize("number", [-1e-9, -0.7, 0.0, 1e-9, 0.7, 0.999, 1.001, 30.0])
@pytest.mark.parametrize("dtype", DTYPES)
def test_formulas_without_an_operator_lose_no_digits(number: float, dtype: Any, tmp_path: Path) -> None:
    both = register_activation("expm1 and log1p", expm1, lambda a, y: y + 1)
    layers = [InputLayer(1, both), OutputLayer(1)]
    network = new_network(layers, dtype)
    network.layers[1].W[...] = 1
    x = np.array([[number]], dtype)

    typednn.onnx.save(network, tmp_path / "model.onnx")
    [[[found]]] = run(tmp_path / "model.onnx", x)

    np.testing.assert_allclose(found, np.expm1(np.float64(x[0, 0])), rtol=8 * np.finfo(dtype).eps)


RAW = np.random.default_rng(6).normal(size=(50, 2)) * [1, 1e-3] + [1e7, 0]
FEATURES = (NumberColumn("a", 1e7, 1.5, 1e7), NumberColumn("b", 0.0, 2e-3))


def columns_of_all_kinds() -> Any:
    """A preprocessing of columns of text and numbers, raw columns, and the inputs of ONNX for them."""
    columns = (
        NumberColumn("size", 1e6, 2.5, 1e6 + 1, indicator=True),
        CategoryColumn("colour", ("blue", "red", "NAvy"), other=True, fill=1, indicator=True),
        BooleanColumn("member", ("no", "yes"), fill=True, indicator=True),
        NumberColumn("label", 0.0, 1.0),
        CategoryColumn("kind", ("a", "b")),
    )
    raw: dict[str, list[Any]] = {
        "size": [1e6, 1e6 + 3, None, 5.0],
        "colour": ["red", "green", "N/a", "NAvy"],
        "member": ["YES", "no", "", "True"],
        "label": [1.0, 2.0, 3.0, -4.0],
        "kind": ["a", "b", "c", "nan"],
    }
    inputs = {name: np.array(values, object).reshape(-1, 1) for name, values in raw.items()}
    inputs["size"] = np.array([[1e6], [1e6 + 3], [np.nan], [5]])
    inputs["label_column"] = inputs.pop("label").astype(float)
    return Preprocessing(columns, Classes(("cat", "dög")), ("species",), tuple(raw)), raw, inputs


@pytest.mark.parametrize("dtype", DTYPES)
def test_raw_rows_go_in_and_labels_and_probabilities_come_out(dtype: Any, tmp_path: Path) -> None:
    network = network_with([InputLayer(2), HiddenLayer(7, "tanh"), OutputLayer(3, "softmax")], dtype)
    names = ("cat", "dög", "01")
    preprocessing = Preprocessing(FEATURES, Classes(names), ("kind",), ("a", "b"))
    path = tmp_path / "model.onnx"

    typednn.onnx.save(Model(network, preprocessing), path)
    labels, probabilities = run(path, RAW, "features")

    expected = Model(network, preprocessing).predict(RAW)
    np.testing.assert_allclose(probabilities, expected, rtol=0, atol=4 * np.finfo(dtype).eps)
    assert labels.tolist() == [names[k] for k in expected.argmax(axis=1)]


@pytest.mark.parametrize("dtype", DTYPES)
def test_probabilities_are_written_where_the_outputs_are_their_logarithms(dtype: Any, tmp_path: Path) -> None:
    network = network_with(
        [InputLayer(2), HiddenLayer(7, "tanh"), OutputLayer(3, "log_softmax", "nll")], dtype
    )
    model = Model(network, Preprocessing(FEATURES, Classes(("a", "b", "c")), ("kind",), ("a", "b")))
    path = tmp_path / "model.onnx"

    typednn.onnx.save(model, path)
    label, probabilities = run(path, RAW, "features")

    expected = np.exp(model.predict(RAW))
    np.testing.assert_allclose(probabilities, expected, rtol=0, atol=8 * np.finfo(dtype).eps)
    assert label.tolist() == np.array(("a", "b", "c"), object)[expected.argmax(axis=1)].tolist()
    assert repr(typednn.onnx.load(path, Model).network) == repr(network)


@pytest.mark.parametrize("dtype", DTYPES)
def test_predictions_of_a_regression_have_the_units_of_the_target(dtype: Any, tmp_path: Path) -> None:
    network = network_with([InputLayer(2), HiddenLayer(7, "tanh"), OutputLayer(1)], dtype)
    preprocessing = Preprocessing(FEATURES, Scale(np.array([1e5]), np.array([3.0])), ("y",), ("a", "b"))
    path = tmp_path / "model.onnx"

    typednn.onnx.save(Model(network, preprocessing), path)
    [predictions] = run(path, RAW, "features")

    expected = Model(network, preprocessing).predict(RAW)
    assert predictions.dtype == np.float64
    np.testing.assert_allclose(predictions, expected, rtol=0, atol=16 * np.finfo(dtype).eps)
    restored = typednn.onnx.load(path, Model)
    assert (restored.predict(RAW) == expected).all()


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_columns_of_text_and_missing_values(dtype: Any, opset: int, tmp_path: Path) -> None:
    preprocessing, raw, inputs = columns_of_all_kinds()
    layers = [InputLayer(12), HiddenLayer(6, "tanh"), OutputLayer(2, "softmax")]
    model = Model(network_with(layers, dtype), preprocessing)
    path = tmp_path / "model.onnx"

    typednn.onnx.save(model, path, opset=opset)
    onnx.checker.check_model(str(path), full_check=True)
    labels, probabilities = runtime.InferenceSession(str(path)).run(None, inputs)

    expected = model.predict(raw)
    np.testing.assert_allclose(probabilities, expected, rtol=0, atol=4 * np.finfo(dtype).eps)
    assert labels.tolist() == model.classes(raw).tolist()
    assert (typednn.onnx.load(path, Model).predict(raw) == expected).all()


def test_dates_are_refused(tmp_path: Path) -> None:
    preprocessing = Preprocessing((DateColumn("born", 0.0, 1.0),), Classes(("a", "b")))
    model = Model(network_with([InputLayer(5), OutputLayer(2, "softmax")], np.float32), preprocessing)

    with pytest.raises(SettingError, match="the column 'born' holds dates"):
        typednn.onnx.save(model, tmp_path / "model.onnx")


@pytest.mark.parametrize("opset", [12, 23, 0, True, 17.5, "17"])
def test_other_opsets_are_refused(opset: Any, tmp_path: Path) -> None:
    network = network_with([InputLayer(2), OutputLayer(1)], np.float32)

    with pytest.raises(SettingError, match="13 to 22"):
        typednn.onnx.save(network, tmp_path / "model.onnx", opset=opset)


def test_nan_is_not_written_and_an_old_file_stays(tmp_path: Path) -> None:
    network = network_with([InputLayer(2), OutputLayer(1)], np.float32)
    path = tmp_path / "model.onnx"
    typednn.onnx.save(network, path)
    before = path.read_bytes()
    network.layers[1].W[0, 0] = np.nan

    with pytest.raises(TypednnError, match=r"layer 1.*W"):
        typednn.onnx.save(network, path)

    assert path.read_bytes() == before


def test_an_activation_that_is_unknown_here_is_named(tmp_path: Path) -> None:
    network = network_with([InputLayer(2), OutputLayer(1)], np.float32)
    network.layers[1]._actname = "of another process"

    with pytest.raises(NotReadyError, match="call register_activation"):
        typednn.onnx.save(network, tmp_path / "model.onnx")

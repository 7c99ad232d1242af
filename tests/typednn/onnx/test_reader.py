"""ONNX files that are read: ours to the bit, those of others layer by layer, or refused with the reason."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# Functions written as lambdas have no types.

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import typednn.onnx
from tests.typednn.building import DTYPES
from tests.typednn.onnx.test_writer import (
    ACTIVATIONS,
    NORMALIZATIONS,
    OPSETS,
    magnitude,
    network_with,
    run,
    samples,
)
from typednn import FileFormatError, HiddenLayer, InputLayer, OutputLayer, SettingError
from typednn.activations import LeakyReLU
from typednn.data.columns import NumberColumn
from typednn.data.model import Model
from typednn.data.preprocessing import Preprocessing
from typednn.data.targets import Classes

onnx: Any = pytest.importorskip("onnx", reason="onnx is not installed: pip install 'typednn[onnx]'")
helper: Any = onnx.helper
pytestmark = pytest.mark.usefixtures("numpy_alone")

FLOAT, DOUBLE = 1, 11


@pytest.mark.once_per("activation", "normalization", in_full=("activation", "normalization", "dtype"))
@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("output", ["none", "softmax", "mish", "log_softmax"])
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_files_of_ours_are_restored_to_the_bit_and_read_without_their_description(
    activation: Any, normalization: Any, output: Any, opset: int, dtype: Any, tmp_path: Path
) -> None:
    hidden = HiddenLayer(7, activation, normalization=normalization, dropout=0.25, l2=0.1)
    network = network_with([InputLayer(5), hidden, OutputLayer(3, output, "mae")], dtype)
    network.layers[1].trainable = False
    path, x = tmp_path / "model.onnx", samples(dtype)
    try:
        typednn.onnx.save(network, path, opset=opset)
    except SettingError:
        pytest.skip("gelu in float64")

    restored: Any = typednn.onnx.load(path)
    assert repr(restored) == repr(network)
    assert restored.dtype == network.dtype
    assert restored.parameters.tobytes() == network.parameters.tobytes()
    assert (restored.predict(x) == network.predict(x)).all()
    assert not restored.layers[1].trainable

    model = onnx.load(str(path))
    del model.metadata_props[:]
    onnx.save(model, str(path))
    other: Any = typednn.onnx.load(path)
    assert [layer.actname for layer in other.layers] == [layer.actname for layer in network.layers]
    expected = network.predict(x)
    assert abs(other.predict(x) - expected).max() <= 16 * np.finfo(dtype).eps * magnitude(network, x)


def test_a_graph_that_was_changed_is_read_as_it_is(tmp_path: Path) -> None:
    network = network_with([InputLayer(5), HiddenLayer(7, "tanh"), OutputLayer(3)], np.float32)
    path = tmp_path / "model.onnx"
    typednn.onnx.save(network, path)
    model = onnx.load(str(path))
    [node] = [each for each in model.graph.node if each.op_type == "Tanh"]
    node.op_type = "Sigmoid"
    onnx.save(model, str(path))

    restored: Any = typednn.onnx.load(path)

    assert restored.layers[1].actname == "sigmoid"


def test_load_says_which_dtype_and_whether_raw_features_are_expected(tmp_path: Path) -> None:
    network = network_with([InputLayer(1), OutputLayer(2, "softmax")], np.float32)
    path = tmp_path / "model.onnx"
    typednn.onnx.save(network, path)
    with pytest.raises(FileFormatError, match="expected a network of float64, found one of float32"):
        typednn.onnx.load(path, np.float64)

    with pytest.raises(FileFormatError, match="expected a model with its preprocessing"):
        typednn.onnx.load(path, Model)

    preprocessing = Preprocessing((NumberColumn("x", 1.0, 2.0),), Classes(("a", "b")))
    typednn.onnx.save(Model(network, preprocessing), path)
    with pytest.raises(FileFormatError, match="expected a network alone"):
        typednn.onnx.load(path, np.float32)
    assert typednn.onnx.load(path, Model).preprocessing == preprocessing


# Graphs of others, written by hand.

W1, B1 = np.array([[1.0, -2.0], [0.5, 0.25], [0.0, 3.0]]), np.array([0.5, 0.0, -1.0])
W2, B2 = np.array([[1.0, 2.0, -1.0]]), np.array([0.125])
X = np.random.default_rng(0).normal(size=(6, 2))


def graph(nodes: list[Any], constants: dict[str, Any], *, width: Any = 2, dtype: Any = np.float64) -> Any:
    """A model whose nodes are (operator, inputs, output, attributes)."""
    kind = FLOAT if dtype == np.float32 else DOUBLE
    made = [helper.make_node(op, ins, [out], **attributes) for op, ins, out, attributes in nodes]
    arrays = [
        onnx.numpy_helper.from_array(
            np.asarray(each, dtype) if np.asarray(each).dtype.kind == "f" else np.asarray(each), name
        )
        for name, each in constants.items()
    ]
    ends = [
        helper.make_tensor_value_info("x", kind, ["batch", width]),
        helper.make_tensor_value_info("y", kind, ["batch", None]),
    ]
    model = helper.make_graph(made, "hand", ends[:1], ends[1:], arrays)
    return helper.make_model(model, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def written(model: Any, folder: Path) -> Path:
    onnx.save(model, str(folder / "hand.onnx"))
    return folder / "hand.onnx"


CHAINS: dict[str, tuple[list[Any], dict[str, Any], Any]] = {
    "Gemm with transB, alpha and beta": (
        [("Gemm", ["x", "W", "b"], "y", {"transB": 1, "alpha": 2.0, "beta": 0.5})],
        {"W": W1, "b": B1},
        lambda x: 2 * (x @ W1.T) + 0.5 * B1,
    ),
    "MatMul and Add, the constant first": (
        [("MatMul", ["x", "W"], "z", {}), ("Add", ["b", "z"], "y", {})],
        {"W": W1.T, "b": B1[None]},
        lambda x: x @ W1.T + B1,
    ),
    "features that are scaled": (
        [
            ("Sub", ["x", "m"], "c", {}),
            ("Div", ["c", "d"], "s", {}),
            ("Gemm", ["s", "W", "b"], "y", {"transB": 1}),
        ],
        {"m": np.array([3.0, -1.0]), "d": np.array([2.0, 4.0]), "W": W1, "b": B1},
        lambda x: (x - [3, -1]) / [2, 4] @ W1.T + B1,
    ),
    "outputs that are scaled": (
        [
            ("Gemm", ["x", "W", "b"], "z", {"transB": 1}),
            ("Mul", ["z", "m"], "s", {}),
            ("Add", ["s", "m"], "y", {}),
        ],
        {"W": W1, "b": B1, "m": np.array([2.0, 3.0, -1.0])},
        lambda x: (x @ W1.T + B1) * [2, 3, -1] + [2, 3, -1],
    ),
    "a scale after an activation": (
        [
            ("Gemm", ["x", "W", "b"], "z", {"transB": 1}),
            ("Tanh", ["z"], "h", {}),
            ("Mul", ["h", "m"], "s", {}),
            ("Sub", ["m", "s"], "t", {}),
            ("Gemm", ["t", "W2"], "y", {"transB": 1}),
        ],
        {"W": W1, "b": B1, "m": np.array([2.0, 3.0, -1.0]), "W2": W2},
        lambda x: ([2, 3, -1] - np.tanh(x @ W1.T + B1) * [2, 3, -1]) @ W2.T,
    ),
    "constants that are computed": (
        [
            ("Identity", ["W"], "V", {}),
            ("Transpose", ["V"], "VT", {"perm": [1, 0]}),
            ("Sqrt", ["m"], "r", {}),
            ("MatMul", ["x", "VT"], "z", {}),
            ("Div", ["z", "r"], "y", {}),
        ],
        {"W": W1, "m": np.array([4.0, 9.0, 16.0])},
        lambda x: x @ W1.T / [2, 3, 4],
    ),
    "features by a layer normalisation": (
        [
            ("LayerNormalization", ["x", "m", "n"], "h", {"epsilon": 0.5}),
            ("Gemm", ["h", "W", "b"], "y", {"transB": 1}),
        ],
        {"m": np.array([2.0, -1.0]), "n": np.array([0.5, 1.0]), "W": W1, "b": B1},
        lambda x: (
            (
                (x - np.mean(x, axis=1, keepdims=True))
                / np.sqrt(np.var(x, axis=1, keepdims=True) + 0.5)
                * [2, -1]
                + [0.5, 1]
            )
            @ W1.T
            + B1
        ),
    ),
    "softplus by its formula": (
        [
            ("Gemm", ["x", "W", "b"], "z", {"transB": 1}),
            ("Exp", ["z"], "e", {}),
            ("Add", ["e", "one"], "f", {}),
            ("Log", ["f"], "y", {}),
        ],
        {"W": W1, "b": B1, "one": np.array(1.0)},
        lambda x: np.log1p(np.exp(x @ W1.T + B1)),
    ),
    "softmax by its formula": (
        [
            ("Gemm", ["x", "W", "b"], "z", {"transB": 1}),
            ("ReduceMax", ["z"], "m", {"axes": [1]}),
            ("Sub", ["z", "m"], "d", {}),
            ("Exp", ["d"], "e", {}),
            ("ReduceSum", ["e", "axis"], "s", {"keepdims": 1}),
            ("Div", ["e", "s"], "y", {}),
        ],
        {"W": W1, "b": B1, "axis": np.array([-1])},
        lambda x: np.exp(x @ W1.T + B1) / np.exp(x @ W1.T + B1).sum(axis=1, keepdims=True),
    ),
    "logarithms of softmax": (
        [("Gemm", ["x", "W", "b"], "z", {"transB": 1}), ("LogSoftmax", ["z"], "y", {"axis": 1})],
        {"W": W1, "b": B1},
        lambda x: (x @ W1.T + B1) - np.log(np.exp(x @ W1.T + B1).sum(axis=1, keepdims=True)),
    ),
    "an activation with a parameter, by Where": (
        [
            ("Gemm", ["x", "W", "b"], "z", {"transB": 1}),
            ("Mul", ["z", "slope"], "s", {}),
            ("Greater", ["z", "zero"], "c", {}),
            ("Where", ["c", "z", "s"], "y", {}),
        ],
        {"W": W1, "b": B1, "slope": np.array(0.03), "zero": np.array(0.0)},
        lambda x: np.where(x @ W1.T + B1 > 0, x @ W1.T + B1, 0.03 * (x @ W1.T + B1)),
    ),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CHAINS)
def test_chains_of_others_are_read(name: str, dtype: Any, tmp_path: Path) -> None:
    nodes, constants, expected = CHAINS[name]

    network: Any = typednn.onnx.load(written(graph(nodes, constants, dtype=dtype), tmp_path))

    assert network.dtype == dtype
    np.testing.assert_allclose(
        network.predict(X.astype(dtype)), expected(X), rtol=0, atol=32 * np.finfo(dtype).eps
    )


GEMM = ("Gemm", ["x", "W", "b"], "z", {"transB": 1})
TWO = {"W": W1, "b": B1}
REFUSED: dict[str, tuple[list[Any], dict[str, Any], str]] = {
    "an operator of images": ([("Conv", ["x", "W"], "y", {})], {"W": W1}, r"node 0 \(Conv\)"),
    "two branches": (
        [GEMM, ("Gemm", ["x", "W", "b"], "v", {"transB": 1}), ("Add", ["z", "v"], "y", {})],
        TWO,
        r"node 2 \(Add\): joins two branches",
    ),
    "a residual connection": (
        [GEMM, ("Tanh", ["z"], "h", {}), ("Add", ["z", "h"], "y", {})],
        TWO,
        r"node 2 \(Add\): computes no activation",
    ),
    "an unknown activation": (
        [GEMM, ("Celu", ["z"], "h", {}), ("Erf", ["h"], "y", {})],
        TWO,
        "no activation",
    ),
    "another constant of hard_swish": (
        [GEMM, ("HardSigmoid", ["z"], "h", {"alpha": 0.2}), ("Mul", ["z", "h"], "y", {})],
        TWO,
        r"node 2 \(Mul\): computes no activation",
    ),
    "outputs scaled after softmax": (
        [GEMM, ("Softmax", ["z"], "p", {}), ("Mul", ["p", "two"], "y", {})],
        {**TWO, "two": np.array(2.0)},
        r"node 1 \(Softmax\): what it computes is scaled at the output",
    ),
    "softmax inside": (
        [GEMM, ("Softmax", ["z"], "p", {}), ("Gemm", ["p", "V"], "y", {"transB": 1})],
        {**TWO, "V": W2},
        "softmax in a hidden layer",
    ),
    "an epsilon of 0": (
        [
            ("Gemm", ["x", "W"], "z", {"transB": 1}),
            ("LayerNormalization", ["z", "g"], "h", {"epsilon": 0.0}),
            ("Gemm", ["h", "V"], "y", {"transB": 1}),
        ],
        {"W": W1, "g": np.ones(3), "V": W2},
        r"adds 0 to variances",
    ),
    "weights that are computed": (
        [GEMM, ("MatMul", ["x", "z"], "y", {})],
        TWO,
        r"node 1 \(MatMul\): expected constant weights",
    ),
    "an image that is not flattened": (
        [GEMM, ("Reshape", ["z", "s"], "y", {})],
        {**TWO, "s": np.array([1, -1])},
        "keeps rows",
    ),
    "weights of two dtypes": (
        [GEMM, ("Cast", ["V"], "U", {"to": FLOAT}), ("Gemm", ["z", "U"], "y", {"transB": 1})],
        {**TWO, "V": W2},
        "weights of one dtype, found float32 and float64",
    ),
    "no weights": ([("Tanh", ["x"], "y", {})], {}, "no weights"),
    "integers": ([GEMM, ("Cast", ["z"], "y", {"to": 7})], TWO, r"node 1 \(Cast\)"),
    "weights that are infinite": (
        [GEMM, ("Identity", ["z"], "y", {})],
        {"W": np.full((3, 2), np.inf), "b": B1},
        "NaN or infinity",
    ),
}


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("name", REFUSED)
def test_what_no_layer_does_is_refused(name: str, tmp_path: Path) -> None:
    nodes, constants, message = REFUSED[name]
    path = written(graph(nodes, constants), tmp_path)

    with pytest.raises(FileFormatError, match=message) as raised:
        typednn.onnx.load(path)

    assert str(raised.value).startswith(f"{path}: ")


def test_a_column_is_flattened_first(tmp_path: Path) -> None:
    model = graph([("Flatten", ["x"], "f", {}), ("Gemm", ["f", "W", "b"], "y", {"transB": 1})], TWO)
    del model.graph.input[0].type.tensor_type.shape.dim[1]
    for length in (1, 2):
        model.graph.input[0].type.tensor_type.shape.dim.add().dim_value = length

    network: Any = typednn.onnx.load(written(model, tmp_path))

    np.testing.assert_allclose(network.predict(X), X @ W1.T + B1)


def test_a_slope_keeps_its_digits_in_float32(tmp_path: Path) -> None:
    nodes = [GEMM, ("LeakyRelu", ["z"], "y", {"alpha": 0.01})]

    network: Any = typednn.onnx.load(written(graph(nodes, TWO, dtype=np.float32), tmp_path))

    assert network.layers[-1].actname == LeakyReLU(0.01)


def test_a_thousand_layers(tmp_path: Path) -> None:
    nodes: list[Any] = []
    for k in range(1000):
        nodes += [
            ("Gemm", ["x" if k == 0 else f"h{k - 1}", "W"], f"z{k}", {}),
            ("Tanh", [f"z{k}"], f"h{k}", {}),
        ]
    nodes.append(("Gemm", ["h999", "W"], "y", {}))

    network: Any = typednn.onnx.load(written(graph(nodes, {"W": np.array([[0.9]])}, width=1), tmp_path))

    assert len(network.layers) == 1002


def test_external_data_beside_the_file(tmp_path: Path) -> None:
    model = graph([("Gemm", ["x", "W", "b"], "y", {"transB": 1})], TWO)
    onnx.save_model(
        model, str(tmp_path / "hand.onnx"), save_as_external_data=True, location="hand.data", size_threshold=0
    )

    network: Any = typednn.onnx.load(tmp_path / "hand.onnx")

    np.testing.assert_allclose(network.predict(X), X @ W1.T + B1)
    run(tmp_path / "hand.onnx", X)

"""The typed door: forward passes, gradients, predictions, wiring, copies."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.oracles import differences, torch_float64
from tests.oracles.agreement import assert_close, assert_near
from tests.oracles.problems import PAIRS, problem
from tests.typednn.building import (
    COPIES,
    DTYPES,
    Dtype,
    both_ways,
    gradient_of,
    layers_of,
    network_of,
)
from typednn import (
    ArrayTypeError,
    DataError,
    HiddenLayer,
    InputLayer,
    Network,
    OutputLayer,
    Predictor,
    ShapeError,
    UnknownNameError,
    WiringError,
)
from typednn.training.watched_epochs import EVALUATION_CHUNK

by_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)
all_pairs = pytest.mark.parametrize(("output", "loss"), PAIRS)
both_paths = pytest.mark.usefixtures("path")

CASE = problem((3, 4, 2), ("none", "tanh", "softmax"), "crossentropy", 7)


@pytest.mark.once_per("output", "loss")
@all_pairs
@by_dtype
@pytest.mark.parametrize("samples", [1, 7])
@pytest.mark.parametrize("hidden", ["relu", "mish"])
@both_paths
def test_gradients(hidden: str, output: str, loss: str, samples: int, dtype: Any) -> None:
    case = problem((3, 5, 4, 3), ("sigmoid", hidden, hidden, output), loss, samples, dtype)
    network = network_of(case)

    reference = case.trace
    forward = network.forward(case.x)
    gradients = forward.backward(case.t)

    assert_close(forward.output, reference.h[-1], 32, "output")
    assert_close(gradients.vector, reference.vector, 128, "vector")
    for k, layer in enumerate(network.layers[1:], start=1):
        part = gradients[layer]
        assert_close(part.dLda, reference.dLda[k].T, 128, f"dLda of layer {k}")
        assert_close(part.dLdW, reference.dLdW[k], 128, f"dLdW of layer {k}")
        assert_close(part.dLdBias, reference.dLdBias[k].reshape(1, -1), 128, f"dLdBias of layer {k}")
    for mean_loss in (forward.loss(case.t), gradients.loss, network.loss(case.x, case.t)):
        assert_close(np.array(mean_loss, dtype), reference.loss, 32, "loss")
    assert network.parameters.tobytes() == case.vector.tobytes()


@pytest.mark.once_per("output", "loss")
@all_pairs
@both_paths
def test_gradients_are_central_differences_of_the_loss(output: str, loss: str) -> None:
    case = problem((3, 4, 3), ("none", "relu", output), loss, 7)
    network = network_of(case)

    def mean_loss(parameters: NDArray[np.float64]) -> float:
        network.parameters[...] = parameters
        return network.loss(case.x, case.t)

    reference = differences.gradient(mean_loss, case.vector)
    network.parameters[...] = case.vector
    computed = network.forward(case.x).backward(case.t).vector

    np.testing.assert_allclose(computed, reference, rtol=1e-8, atol=1e-8)


@pytest.mark.once_per("output", "loss")
@all_pairs
@both_paths
def test_gradients_are_those_of_pytorch(output: str, loss: str) -> None:
    case = problem((6, 9, 3), ("tanh", "sigmoid", output), loss, 20)

    reference = torch_float64.gradients(case.activations, case.weights, case.biases, loss, case.x, case.t)
    parts = zip(reference.dLdW, reference.dLdBias, strict=True)
    computed = network_of(case).forward(case.x).backward(case.t)

    assert_near(computed.loss, reference.loss, 1e-13)
    assert_close(computed.vector, np.concatenate([part.reshape(-1) for pair in parts for part in pair]), 256)


@pytest.mark.parametrize("rng", [np.random.default_rng(8)])
@both_paths
def test_labels_are_one_hot_targets(rng: np.random.Generator) -> None:
    network = network_of(CASE)
    labels = rng.integers(0, 2, 7)
    one_hot = np.array([[1.0, 0.0] if label == 0 else [0.0, 1.0] for label in labels])

    reference = network.forward(CASE.x).backward(one_hot)
    for integers in (labels, labels.astype(np.uint8), labels.astype(">i4"), labels.astype(np.uint64)):
        computed = network.forward(CASE.x).backward(integers)
        assert computed.vector.tobytes() == reference.vector.tobytes()
        assert computed.loss == reference.loss


# What a pass leaves behind.


@both_paths
def test_layers_show_the_last_pass() -> None:
    network, reference = network_of(CASE), network_of(CASE)
    ann = list(reference.layers)
    both_ways(ann, CASE.x, CASE.t)

    network.forward(CASE.x).backward(CASE.t)

    assert_close(gradient_of(list(network.layers)), gradient_of(ann), 64)
    for computed, expected in zip(network.layers, ann, strict=True):
        assert_close(computed.activations, expected.activations, 64)


@both_paths
def test_layers_show_the_gradients_of_the_targets_given_last() -> None:
    network = network_of(CASE)
    forward = network.forward(CASE.x)

    forward.backward(CASE.t)
    first = gradient_of(list(network.layers))
    other = forward.backward(CASE.t[:, ::-1].copy())

    assert_close(gradient_of(list(network.layers)), other.vector, 64)
    assert abs(first - other.vector).max() > 0.01


@both_paths
def test_a_pass_is_not_changed_by_the_next() -> None:
    network = network_of(CASE)
    forward = network.forward(CASE.x)
    gradients = forward.backward(CASE.t)
    shown = [forward.output.copy(), gradients.vector.copy(), gradients[network.layers[1]].dLda.copy()]

    network.forward(-CASE.x).backward(CASE.t)
    both_ways(list(network.layers), -CASE.x, CASE.t)
    network.predict(-CASE.x)
    network.loss(-CASE.x, CASE.t)

    for before, after in zip(
        shown, (forward.output, gradients.vector, gradients[network.layers[1]].dLda), strict=True
    ):
        assert before.tobytes() == after.tobytes()


def test_gradients_of_strange_layers_are_refused() -> None:
    network, other = network_of(CASE), network_of(CASE)
    gradients = network.forward(CASE.x).backward(CASE.t)

    for layer in (network.layers[0], other.layers[1], HiddenLayer(4, "tanh")):
        with pytest.raises(WiringError, match=r"Layer\("):
            gradients[layer]


@by_dtype
@pytest.mark.parametrize("samples", [1, EVALUATION_CHUNK, EVALUATION_CHUNK + 1, 2 * EVALUATION_CHUNK + 5])
@both_paths
def test_many_samples_are_worked_on_in_chunks(samples: int, dtype: Any) -> None:
    case = problem((3, 4, 2), ("none", "tanh", "softmax"), "crossentropy", 5, dtype)
    network = network_of(case)
    x = np.resize(case.x, (samples, 3))
    t = np.resize(case.t, (samples, 2))

    reference = np.resize(case.trace.h[-1].astype(dtype), (samples, 2))
    losses = np.resize(case.trace.losses, samples)

    assert_close(network.predict(x), reference, 32)
    assert_close(network.forward(x).output, reference, 32)
    assert_close(np.array(network.loss(x, t), dtype), losses.mean(), 32)


def test_what_is_shown_is_not_what_is_predicted() -> None:
    """`predict` and `loss` leave the layers as they were."""
    network = network_of(CASE)
    network.forward(CASE.x)
    shown = network.layers[-1].activations.tobytes()

    network.predict(-CASE.x)
    network.loss(-CASE.x, CASE.t)

    assert network.layers[-1].activations.tobytes() == shown


# One sample at a time.


@by_dtype
@both_paths
def test_a_predictor_gives_what_predict_gives(dtype: Any) -> None:
    case = problem((3, 4, 2), ("sigmoid", "tanh", "softmax"), "crossentropy", 7, dtype)
    network = network_of(case)
    predict = network.predictor()

    computed = [predict(sample) for sample in case.x]

    assert_close(np.array(computed), case.trace.h[-1], 32)
    out: Any = np.zeros(2, dtype)
    assert predict(case.x[1], out) is out
    assert out.tolist() == computed[1].tolist()
    wrong: Any
    for wrong in (np.zeros(3, dtype), np.zeros((1, 2), dtype), np.zeros((2, 2), dtype)):
        with pytest.raises(ShapeError, match=r"Predictor: out must have the shape \(2,\), not \("):
            predict(case.x[0], wrong)
    with pytest.raises(ArrayTypeError, match=r"Predictor: out must be of float\d\d, not int64"):
        predict(case.x[0], np.zeros(2, np.int64))
    network.parameters[...] = 0
    assert predict(case.x[0]).tolist() == [0.5, 0.5]
    assert computed[0].tolist() != [0.5, 0.5]
    with pytest.raises(ArrayTypeError, match="Predictor: sample is a masked array"):
        predict(np.ma.masked_array(np.zeros(3, network.dtype), [True, False, False]))
    with pytest.raises(ShapeError, match=r"Predictor: the sample must have the shape \(3,\), not \(1, 3\)"):
        predict(case.x[:1])


@both_paths
@pytest.mark.parametrize("wrong", [network_of(CASE), None, "model", list(network_of(CASE).layers)])
def test_a_predictor_is_returned_by_a_network(wrong: Any) -> None:
    with pytest.raises(WiringError, match=r"^Predictor: network.predictor\(\) returns one.*not \w+$"):
        Predictor(wrong)


def test_a_sample_that_is_not_finite_has_no_outputs_of_another() -> None:
    predict = network_of(CASE).predictor()
    predict(CASE.x[0])

    for number in (np.nan, np.inf):
        assert np.isnan(predict(np.array([0.5, number, 0.5]))).all()


@pytest.mark.parametrize("duplicate", COPIES)
@both_paths
def test_copies_of_a_predictor_predict(duplicate: Any) -> None:
    predict = network_of(CASE).predictor()
    reference = [predict(sample).tolist() for sample in CASE.x]

    other = duplicate(predict)

    assert [other(sample).tolist() for sample in CASE.x] == reference


# One vector.


@by_dtype
def test_all_parameters_live_in_one_vector(dtype: Any) -> None:
    case = problem((3, 4, 2), ("none", "tanh", "softmax"), "crossentropy", 7, dtype)
    network = network_of(case)
    before = network.parameters
    trainable: list[Any] = list(network.layers[1:])

    assert before.shape == (3 * 4 + 4 + 4 * 2 + 2,)
    assert before.flags.c_contiguous
    for layer in trainable:
        assert np.shares_memory(layer.W, before)
        assert np.shares_memory(layer.Bias, before)
    network.fit(case.x, case.t, epochs=1, batch_size=2)
    trainable[0].W = np.zeros((4, 3))
    trainable[0].set_biases("constant")
    assert network.parameters is before
    assert before[:16].tolist() == [0.0] * 12 + [dtype(0.1)] * 4
    network.parameters[...] = np.arange(26)
    assert trainable[1].W.tolist() == [[16, 17, 18, 19], [20, 21, 22, 23]]
    assert trainable[1].Bias.tolist() == [[24, 25]]


@pytest.mark.parametrize("duplicate", COPIES)
@pytest.mark.parametrize("used", [False, True])
def test_copies_live_on_their_own(duplicate: Any, used: bool) -> None:
    network = network_of(CASE)
    if used:
        network.fit(CASE.x, CASE.t, epochs=1, batch_size=2)
        both_ways(list(network.layers), CASE.x, CASE.t)
    before = network.parameters.tobytes()

    other = duplicate(network)
    assert other.parameters.tobytes() == before
    assert other.predict(CASE.x).tobytes() == network.predict(CASE.x).tobytes()
    first: Any = other.layers[1]
    assert np.shares_memory(first.W, other.parameters)
    first.W -= 1
    assert other.parameters[:12].tolist() == (np.frombuffer(before)[:12] - 1).tolist()
    assert network.parameters.tobytes() == before
    histories = [each.fit(CASE.x, CASE.t, epochs=3, batch_size=2) for each in (duplicate(network), network)]
    assert histories[0] == histories[1]  # the generator was copied as well
    assert network.parameters.tobytes() != before
    assert first.W[0, 0] == np.frombuffer(before)[0] - 1


def test_a_shallow_copy_shares_the_parameters() -> None:
    network = network_of(CASE)
    other: Any = copy.copy(network)

    other.layers[1].W -= 1

    assert network.parameters is other.parameters
    assert network.parameters.tolist() == [*(CASE.vector[:12] - 1), *CASE.vector[12:]]


# Construction.


@by_dtype
def test_layers_keep_what_they_were_given_before_they_were_in_a_network(dtype: Dtype) -> None:
    layers: list[Any] = [InputLayer(2), HiddenLayer(2, "tanh"), OutputLayer(1)]
    layers[1].attach_after(layers[0])
    layers[1].W, layers[1].Bias = np.array([[1.5, 2.5], [3.5, 4.5]]), np.array([5.5, 6.5])
    layers[2].set_actual([0.25])

    network = Network(layers, dtype=dtype, seed=0)

    assert network.parameters[:6].tolist() == [1.5, 2.5, 3.5, 4.5, 5.5, 6.5]
    assert network.parameters.dtype == dtype
    assert network.parameters[6:8].all()
    network.layers[0].put_values([1, 1])
    for layer in network.layers:
        layer.forward()
    assert_near(network.layers[2].loss(), (network.layers[2].output()[0, 0] - 0.25) ** 2, 1e-6)


def test_layers_of_a_network_of_another_dtype_are_copied() -> None:
    layers = [InputLayer(2), HiddenLayer(3, "tanh"), OutputLayer(1)]
    double = Network(layers, seed=0)
    single = Network(layers, dtype=np.float32, seed=0)

    assert double.layers == tuple(layers)
    assert layers[1].W.dtype == np.float64
    assert single.layers[1].W.dtype == np.float32
    assert single.layers[1].W.tolist() == double.layers[1].W.astype(np.float32).tolist()
    single.parameters[...] = 0
    assert double.parameters.any()


def test_the_same_seed_gives_the_same_bits() -> None:
    def parameters(seed: Any, dtype: Dtype = np.float64) -> bytes:
        network: Network[Any] = Network(layers_of(CASE), dtype=dtype, seed=seed)
        return network.parameters.tobytes()

    assert parameters(3) == parameters(3) == parameters(np.int64(3)) == parameters(np.random.default_rng(3))
    assert parameters(3) != parameters(4)
    assert parameters(None) != parameters(None)
    assert np.frombuffer(parameters(3)).astype(np.float32).tobytes() == parameters(3, np.float32)


def test_weights_by_activation_or_as_the_layer_names_them() -> None:
    layers: list[Any] = [
        InputLayer(50),
        HiddenLayer(200, "relu"),
        HiddenLayer(100, "tanh", weights="orthogonal", biases="constant"),
        OutputLayer(3, "softmax", "crossentropy", biases="uniform_random"),
    ]

    Network(layers, seed=0)

    assert_near(layers[1].W.std(), np.sqrt(2 / 50), 0.03)
    assert not layers[1].Bias.any()
    assert_close(layers[2].W @ layers[2].W.T, np.eye(100), 64)
    assert (layers[2].Bias == 0.1).all()
    assert_near(layers[3].W.std(), np.sqrt(2 / 103), 0.15)
    assert layers[3].Bias.any()


ONE, TWO, END = InputLayer(2), HiddenLayer(2), OutputLayer(1)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([], "not 0 layers"),
        ([ONE], "not 1 layers"),
        ([ONE, TWO], r"layer 1 must be of OutputLayer, not HiddenLayer\(2, 'none'\)"),
        ([TWO, END], r"layer 0 must be of InputLayer, not HiddenLayer\(2, 'none'\)"),
        ([ONE, END, END], "layer 1 must be of HiddenLayer, not OutputLayer"),
        ([ONE, TWO, TWO, END], r"layer 2, HiddenLayer\(2, 'none'\), is in the list twice"),
        ([ONE, "tanh", END], "layer 1 must be of HiddenLayer, not 'tanh'"),
        ([ONE, HiddenLayer, END], "layer 1 must be of HiddenLayer"),
    ],
)
def test_layers_that_form_no_network_are_refused(layers: Any, message: str) -> None:
    with pytest.raises(WiringError, match=message):
        Network(layers)
    Network([InputLayer(2), HiddenLayer(2), OutputLayer(1)])


def test_layers_without_a_list_are_refused() -> None:
    construct: Any = Network
    for arguments in ((InputLayer(2),), (InputLayer(2), OutputLayer(1))):
        with pytest.raises(WiringError, match=r"layers must be a list, such as \[InputLayer\(2, 'none'\), "):
            construct(*arguments)


def test_layers_of_another_list_are_refused() -> None:
    layers: list[Any] = [InputLayer(2), HiddenLayer(2), OutputLayer(1)]
    layers[1].attach_after(layers[0])
    with pytest.raises(WiringError, match="is attached to a layer outside the list"):
        Network([InputLayer(2), layers[1], layers[2]])
    with pytest.raises(WiringError, match="is attached to a layer outside the list"):
        Network([layers[0], HiddenLayer(2), layers[2]])
    assert layers[2].previous is None
    network = Network(layers, seed=0)
    before = network.parameters.tobytes()

    other: Network[Any] = Network(layers)
    assert other.parameters.tobytes() == before
    assert not np.shares_memory(other.parameters, network.parameters)
    assert not set(other.layers) & set(layers)
    with pytest.raises(WiringError, match="layers of a Network cannot be attached again"):
        HiddenLayer(2).attach_after(layers[0])
    assert network.parameters.tobytes() == before


@pytest.mark.parametrize("dtype", [np.float16, np.int64, np.longdouble, int, "float64", None, object])
def test_other_dtypes_are_refused(dtype: Any) -> None:
    with pytest.raises(ArrayTypeError, match=r"dtype must be np\.float32 or np\.float64"):
        Network(layers_of(CASE), dtype=dtype)


def test_names_are_checked_when_a_layer_is_made() -> None:
    for arguments in ({"weights": "xaver"}, {"biases": "constnat"}):
        with pytest.raises(UnknownNameError, match=r"initialiser .*did you mean '(xavier|constant)'"):
            HiddenLayer(2, "tanh", **arguments)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_repr_and_summary() -> None:
    network: Network[Any] = Network(layers_of(CASE), dtype=np.float32, seed=0)

    assert repr(network) == (
        "Network([InputLayer(3, 'none'), HiddenLayer(4, 'tanh'), OutputLayer(2, 'softmax', 'crossentropy')], "
        "dtype=np.float32)"
    )
    lines = [line.split() for line in network.summary().splitlines()]
    assert lines[:4] == [
        ["layer", "kind", "units", "activation", "parameters"],
        ["0", "InputLayer", "3", "none", "0"],
        ["1", "HiddenLayer", "4", "tanh", "16"],
        ["2", "OutputLayer", "2", "softmax", "10"],
    ]
    assert network.summary().endswith("26 parameters, float32, 104 bytes, loss crossentropy")


@both_paths
def test_a_forward_pass_takes_targets_of_its_samples_only() -> None:
    forward = network_of(CASE).forward(CASE.x)

    with pytest.raises(ShapeError, match="the forward pass had 7 samples, y has 6"):
        forward.backward(CASE.t[:6])
    with pytest.raises(DataError, match=r"labels must be 0 … 1, for 2 outputs; y holds 0 … 2"):
        forward.loss(np.array([0, 1, 2, 0, 0, 0, 0]))


@pytest.mark.parametrize("name", ["history", "layers", "parameters", "dtype"])
def test_what_a_network_says_of_itself_is_read_only(name: str) -> None:
    network = network_of(CASE)
    before = getattr(network, name)

    with pytest.raises(AttributeError, match=name):
        setattr(network, name, 3)
    assert getattr(network, name) is before or name in {"parameters", "layers"}

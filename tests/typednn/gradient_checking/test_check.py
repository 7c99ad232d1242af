"""`gradcheck` passes where gradients are right, and fails where a kernel is wrong."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.conftest import PATHS, kernels_of
from tests.oracles.problems import ELEMENTWISE, PAIRS, problem
from tests.typednn.building import DTYPES, Dtype, network_of
from typednn import (
    DataError,
    GradientReport,
    HiddenLayer,
    InputLayer,
    Network,
    NormalizationLayer,
    OutputLayer,
    gradcheck,
    use_backend,
)
from typednn.gradient_checking.numerical import STEP

CASE = problem((3, 4, 2), ("none", "tanh", "softmax"), "MSE", 5)


@pytest.fixture(autouse=True)
def only_the_paths_under_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """With TYPEDNN_BACKEND=numpy the tests compile nothing."""

    def implementations(_dtype: Any) -> dict[str, Any]:
        return {path: kernels_of(path) for path in PATHS}

    for module in ("check", "numerical"):
        monkeypatch.setattr(
            import_module(f"typednn.gradient_checking.{module}"), "implementations", implementations
        )


@pytest.mark.once_per("hidden", "output", "loss")
@pytest.mark.parametrize(
    ("hidden", "output", "loss"),
    [*(("relu", *pair) for pair in PAIRS), *((hidden, "none", "MSE") for hidden in ELEMENTWISE)],
)
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)
def test_right_gradients_pass(hidden: str, output: str, loss: str, dtype: Any) -> None:
    case = problem((3, 5, 3), ("tanh", hidden, output), loss, 4, dtype)
    network = network_of(case)

    report = gradcheck(network, case.x, case.t)

    assert report.passed, report
    assert [(check.layer, check.parameter, check.checked) for check in report.checks] == [
        (layer.name, parameter, count)
        for layer, counts in zip(network.layers[1:], ((15, 5), (15, 3)), strict=True)
        for parameter, count in zip(("W", "Bias"), counts, strict=True)
    ]
    assert {check.numba is None for check in report.checks} == {"numba" not in PATHS}
    assert network.parameters.tobytes() == case.vector.tobytes()


def broken(monkeypatch: pytest.MonkeyPatch, path: str, change: Any) -> GradientReport:
    """The report where `change(layout, gradient)` is done to the gradients of a path."""
    kernels = kernels_of(path)
    backward = kernels.backward

    def wrong(*arguments: Any) -> None:
        backward(*arguments)
        change(arguments[-1])

    monkeypatch.setattr(kernels, "backward", wrong)
    return gradcheck(network_of(CASE), CASE.x, CASE.t)


MISTAKES: list[tuple[slice, Callable[[NDArray[Any]], NDArray[Any]]]] = [
    (slice(0, 12), lambda part: -part),
    (slice(0, 12), lambda part: part * (1 + 1e-6)),
    (slice(5, 6), lambda part: part + 1e-6),
    (slice(12, 16), lambda part: part * 0),
    (slice(16, 24), lambda part: part[::-1]),
    (slice(24, 26), lambda part: part * 2),
    (slice(24, 25), lambda part: part * np.nan),
]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("part", "change"), MISTAKES)
def test_wrong_gradients_fail(path: str, part: slice, change: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def spoil(gradient: Any) -> None:
        gradient[part] = change(gradient[part].copy())

    report = broken(monkeypatch, path, spoil)

    starts: list[int] = [0, 12, 16, 24]
    wrong = dict(zip(starts, report.checks, strict=True))
    place = max(start for start in wrong if start <= part.start)
    assert not report.passed
    assert [start for start, check in wrong.items() if not check.passed] == [place]
    deviation = getattr(wrong[place], path)
    assert deviation > 1 or np.isnan(deviation)
    assert "WRONG" in str(report)
    assert "GRADIENTS DISAGREE" in str(report)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("kernel", ["train_batches", "train_online"])
def test_wrong_steps_fail(path: str, kernel: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gradient is right, and a step changes a weight by a millionth too much, or makes it NaN."""
    kernels = kernels_of(path)
    train = getattr(kernels, kernel)
    for change in (1e-6, np.nan):

        def wrong(parameters: Any, *others: Any, change: float = change) -> None:
            before = parameters.copy()
            train(parameters, *others)
            parameters[5] += change * (parameters[5] - before[5])

        monkeypatch.setattr(kernels, kernel, wrong)
        report = gradcheck(network_of(CASE), CASE.x, CASE.t)

        assert [check.passed for check in report.checks] == [False, True, True, True]
        deviation = report.checks[0].steps
        assert deviation is not None
        assert not deviation <= 1
        assert "GRADIENTS DISAGREE" in str(report)


def test_wrong_layers_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel of the network is right, and that of a layer is not."""
    kernels = kernels_of("numpy")
    layer_backward = kernels.hidden_layer_backward

    def wrong(*arguments: Any) -> None:
        layer_backward(*arguments)
        arguments[-1][0, 0] *= 1 + 1e-6

    monkeypatch.setattr(kernels, "hidden_layer_backward", wrong)
    with use_backend("numpy"):
        report = gradcheck(network_of(CASE), CASE.x, CASE.t)

    assert [check.passed for check in report.checks] == [False, True, True, True]


def test_layers_that_are_not_trained_have_no_steps() -> None:
    network = network_of(CASE)
    network.layers[1].trainable = False
    report = gradcheck(network, CASE.x, CASE.t)

    assert report.passed
    assert all(check.steps is not None for check in report.checks)  # what layers show is compared


def test_remarks_on_kinks_and_rounding() -> None:
    x, y = np.array([[1.0], [2.0]]), np.array([[0.0], [0.5]])
    network = Network([InputLayer(1), OutputLayer(1, "none", "mae")], seed=0)
    network.layers[1].W[...], network.layers[1].Bias[...] = 1.0, -1.0

    assert gradcheck(network, x, y).remarks[0].startswith("the loss has a kink at 2 of the parameters")
    assert gradcheck(network, x, y - 0.25).remarks == []

    layers = [InputLayer(2), HiddenLayer(3, normalization="batch"), HiddenLayer(2, normalization="batch")]
    random = np.random.default_rng(0)
    single = Network([*layers, OutputLayer(1)], dtype=np.float32, seed=0)
    samples = random.normal(size=(8, 2)).astype(np.float32), random.normal(size=(8, 1)).astype(np.float32)
    report = gradcheck(single, *samples, training=True)

    assert report.passed
    assert "float32 cannot decide on Bias of layer 1" in str(
        report
    )  # layer 2 takes the mean of all of it away


def test_the_report_is_a_table() -> None:
    lines = str(gradcheck(network_of(CASE), CASE.x, CASE.t)).splitlines()

    assert len(lines) == 1 + 4 + 1
    assert lines[1].startswith("layer 1, HiddenLayer(4, 'tanh')")
    assert all(line.endswith("ok") for line in lines[1:5])
    assert lines[5].startswith("all gradients agree (float64)")


def test_a_kink_is_no_mistake() -> None:
    """relu exactly at 0: the gradient is that of one side."""
    case = problem((2, 3, 1), ("none", "relu", "none"), "MSE", 3)
    network = network_of(case)
    first: Any = network.layers[1]
    first.W, first.Bias = np.zeros((3, 2)), np.zeros(3)

    assert gradcheck(network, case.x, case.t).passed


def test_large_layers_are_sampled() -> None:
    case = problem((20, 30, 2), ("none", "tanh", "none"), "MSE", 3)

    report = gradcheck(network_of(case), case.x, case.t)

    assert report.passed
    assert [check.checked for check in report.checks] == [64, 30, 60, 2]


def test_bad_data_are_refused() -> None:
    with pytest.raises(DataError, match="x has no samples"):
        gradcheck(network_of(CASE), CASE.x[:0], CASE.t)


def normalized_network(dtype: Dtype, seed: int, normalization: Any, hidden: Any) -> Network[Any]:
    """A linear layer below one that is normalised: its bias is subtracted again, its gradient is 0."""
    layers = [
        InputLayer(4),
        HiddenLayer(6),
        HiddenLayer(5, hidden, normalization=normalization),
        OutputLayer(3, "softmax", "crossentropy"),
    ]
    network: Network[Any] = Network(layers, dtype=dtype, seed=seed)
    return network


@pytest.mark.parametrize("hidden", ["tanh", "relu", "none"])
@pytest.mark.parametrize("normalization", ["batch", "layer"])
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)
def test_gradients_that_cancel_raise_no_alarm(hidden: str, normalization: str, dtype: Any) -> None:
    for seed in range(10):
        random = np.random.default_rng(seed)
        samples = 2 + 3 * seed
        x = random.normal(size=(samples, 4)).astype(dtype)
        network = normalized_network(dtype, seed, normalization, hidden)

        report = gradcheck(network, x, random.integers(0, 3, samples), training=True)

        assert report.passed, report
        if normalization == "batch":
            largest = np.abs(network.forward(x, training=True).backward(np.zeros(samples, int)).vector[24:30])
            assert largest.max() < 100 * np.finfo(dtype).eps


@pytest.mark.parametrize("path", PATHS)
def test_wrong_gradients_below_a_normalised_layer_fail(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tolerance for what cancels hides nothing that matters."""
    kernels = kernels_of(path)
    backward = kernels.backward

    def wrong(*arguments: Any) -> None:
        backward(*arguments)
        arguments[-1][24:30] += 1e-4

    monkeypatch.setattr(kernels, "backward", wrong)
    random = np.random.default_rng(0)
    x = random.normal(size=(8, 4)).astype(np.float32)
    report = gradcheck(normalized_network(np.float32, 0, "batch", "tanh"), x, np.arange(8) % 3, training=True)

    assert [check.parameter for check in report.checks if not check.passed] == ["Bias"]


def test_gradients_that_are_all_0_are_said_to_be() -> None:
    network: Any = Network([InputLayer(2), HiddenLayer(3, "relu"), OutputLayer(1)], seed=0)
    network.parameters[...] = 0
    x = np.ones((4, 2))

    report = gradcheck(network, x, np.zeros((4, 1)))

    assert report.all_zero
    assert str(report).splitlines()[-1].startswith("all gradients are 0, so that this says little")
    other = gradcheck(network, x, np.ones((4, 1)))
    assert not other.all_zero
    assert "all gradients are 0" not in str(other)


def test_a_bias_that_the_next_layer_subtracts_raises_no_alarm() -> None:
    """A normalised layer of one unit below another one: the gradient of its bias is 0."""
    for seed in (0, 29):
        random = np.random.default_rng(seed)
        labels = random.integers(0, 4, 9)
        layers = [
            InputLayer(1),
            HiddenLayer(5, "tanh"),
            HiddenLayer(1, "tanh", normalization="batch"),
            HiddenLayer(7, "tanh", normalization="batch"),
            OutputLayer(4, "softmax", "crossentropy"),
        ]
        network = Network(layers, dtype=np.float32, seed=seed)
        x = random.normal(size=(9, 1)).astype(np.float32)

        report = gradcheck(network, x, labels, training=True)

        assert report.passed, report


@pytest.mark.parametrize("seed", [97, 114, 123, 130, 251, 292])
def test_random_float32_networks_raise_no_alarm(seed: int) -> None:
    """Seeds for which rounding alone was an alarm: units that saturate below units that are normalised."""
    random = np.random.default_rng(seed)
    inputs, sizes = int(random.integers(1, 5)), random.integers(1, 8, size=random.integers(1, 4))
    names = ["none", "tanh", "relu", "sigmoid", "softplus", "gelu"]
    layers: list[Any] = [InputLayer(inputs)]
    for size in sizes.tolist():
        name: Any = str(random.choice(names))
        normalization: Any = str(random.choice(["none", "batch", "layer"]))
        layers.append(HiddenLayer(size, name, normalization=normalization))
    outputs, numbers = int(random.integers(1, 4)), random.random() < 0.5
    y: Any
    samples = int(random.integers(1, 20))
    if numbers:
        layers.append(OutputLayer(outputs))
        y = random.normal(size=(samples, outputs)).astype(np.float32)
    else:
        layers.append(OutputLayer(outputs + 1, "softmax", "crossentropy"))
        y = random.integers(0, outputs + 1, samples)
    network: Network[Any] = Network(layers, dtype=np.float32, seed=seed)
    x = (random.normal(size=(samples, inputs)) * 10.0 ** random.integers(-2, 3)).astype(np.float32)

    report = gradcheck(network, x, y, training=True)

    assert report.passed, report


@pytest.mark.parametrize("aside", [-1.5, -0.99, -0.55, -0.45, 0.3, 0.41, 0.5, 0.6, 0.8, 1.2, 1.9])
def test_a_kink_within_two_steps_of_a_difference_is_no_mistake(aside: float) -> None:
    network = Network([InputLayer(1), HiddenLayer(1, "relu"), OutputLayer(1)], seed=0)
    hidden, output = network.layers[1:]
    hidden.W, hidden.Bias = np.ones((1, 1)), np.array([[-1 - aside * STEP]])
    output.W, output.Bias = np.ones((1, 1)), np.zeros((1, 1))

    assert gradcheck(network, np.ones((1, 1)), np.full((1, 1), 5.0)).passed


def test_units_whose_kinks_coincide_raise_no_alarm() -> None:
    """Without input and bias each unit is at a kink, and a step moves some to one side, some to the other."""
    x, y = np.zeros((2, 1)), np.array([[3.0], [-1.0]])
    layers = [InputLayer(1), HiddenLayer(1, "leaky_relu"), HiddenLayer(2, "leaky_relu"), OutputLayer(1)]
    network = Network(layers, seed=0)
    _, first, second, last = network.layers
    first.W, second.W, last.W = np.ones((1, 1)), np.array([[1.0], [-1.0]]), np.array([[1.0, -1.0]])

    report = gradcheck(network, x, y)

    shown = network.forward(x).backward(y)[first].dLdBias
    assert shown[0, 0] == pytest.approx(-2 * 0.2 * (0.2 + 0.2))  # the one-sided ones are -2.4 and -0.48
    assert report.passed, report
    assert report.checks[1].at_kink == 1


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("factor", [-1.0, 1.001, 0.0, np.nan])
def test_kinks_of_other_parameters_hide_no_mistake(
    path: str, factor: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last layer has no kink, and those below have all of theirs at 0."""
    kernels = kernels_of(path)
    backward = kernels.backward

    def wrong(*arguments: Any) -> None:
        backward(*arguments)
        arguments[-1][-1] *= factor

    monkeypatch.setattr(kernels, "backward", wrong)
    network = Network([InputLayer(2), HiddenLayer(4, "relu"), OutputLayer(1)], np.float32, seed=0)
    report = gradcheck(network, np.zeros((3, 2), np.float32), np.ones((3, 1), np.float32))

    assert [check.passed for check in report.checks] == [True, True, True, False]


def test_a_saturated_unit_below_dropout_raises_no_alarm() -> None:
    """y (1 - y) of sigmoid loses its digits where y is rounded to nearly 1."""
    for seed in range(10):
        layers = [InputLayer(1), HiddenLayer(3, "sigmoid", dropout=0.3), OutputLayer(1)]
        network = Network(layers, np.float32, seed)
        hidden = network.layers[1]
        hidden.W, hidden.Bias = np.ones((3, 1), np.float32), np.array([[0.0, 0.1, 0.2]])
        x, y = np.full((1, 1), 13.25, np.float32), np.ones((1, 1), np.float32)

        report = gradcheck(network, x, y, training=True)

        assert report.passed, report


def test_equal_outputs_of_softmax_raise_no_alarm() -> None:
    """Rounding makes no two outputs larger than 1/2: they add up to 1."""
    network = Network([InputLayer(1), OutputLayer(2, "softmax", "focal")], np.float32, seed=0)
    network.layers[1].W = np.zeros((2, 1), np.float32)
    x, y = np.ones((3, 1), np.float32), np.array([[1, 0], [0, 0], [1, 0]], np.float32)

    report = gradcheck(network, x, y)

    assert report.passed, report
    assert not any(check.undecided for check in report.checks)


def test_values_beyond_the_dtype_are_said_to_be() -> None:
    layers = [InputLayer(1), HiddenLayer(2, "exponential"), OutputLayer(1)]
    network = Network(layers, np.float32, seed=0)
    network.layers[1].W = np.ones((2, 1), np.float32)
    x, y = np.full((1, 1), 80, np.float32), np.zeros((1, 1), np.float32)

    report = gradcheck(network, x, y)

    assert report.beyond_dtype
    assert not report.passed
    remark = (
        "values are beyond float32, so that no step can be made: scale samples or weights, or take float64"
    )
    assert remark in str(report)
    assert not gradcheck(network.astype(np.float64), x.astype(float), y.astype(float)).beyond_dtype


def test_a_loss_that_grows_within_a_step_raises_no_alarm() -> None:
    """The loss is 1e-7, and 1e42 a step aside: what rounding leaves of the difference says nothing."""
    layers = [InputLayer(1), HiddenLayer(2, "exponential"), OutputLayer(1)]
    network = Network(layers, np.float32, seed=0)
    _, hidden, output = network.layers
    hidden.W, output.W = np.array([[60.0], [-40.0]]), np.array([[0.0, 1e14]])

    report = gradcheck(network, np.ones((1, 1), np.float32), np.zeros((1, 1), np.float32))

    assert report.passed, report


def test_a_step_that_is_refused_is_no_wrong_step() -> None:
    """The gradient is finite, and its bound, the norm of all deltas times that of all inputs, is not."""
    layers = [InputLayer(1), HiddenLayer(2, "exponential"), OutputLayer(1)]
    network = Network(layers, np.float32, seed=0)
    _, hidden, output = network.layers
    hidden.W, output.W = np.array([[80.0], [-60.0]]), np.array([[0.0, 1e26]])
    x, y = np.ones((1, 1), np.float32), np.array([[-2.5e3]], np.float32)

    report = gradcheck(network, x, y)

    assert np.isfinite(network.forward(x).backward(y).vector).all()
    assert report.passed, report
    assert report.beyond_dtype
    assert [check.steps is not None for check in report.checks] == [True] * 4  # those of the layers


def test_a_saturated_output_whose_rounding_errors_cancel_by_chance_raises_no_alarm() -> None:
    """1 - y y of tanh loses its digits in all samples alike, and errors that are drawn cancel."""
    layers = [
        InputLayer(1),
        NormalizationLayer(1, "batch", "hard_tanh"),
        HiddenLayer(2, "relu"),
        OutputLayer(1, "tanh", "huber"),
    ]
    network: Any = Network(layers, np.float32, seed=317)
    _, normalized, hidden, output = network.layers
    normalized.Bias = np.zeros((1, 1))
    hidden.W, hidden.Bias = np.array([[0.5], [0.0]]), np.array([[6.0, 1.0]])
    output.W, output.Bias = np.array([[0.5, 0.0]]), np.array([[6.0]])
    x = np.array([[-1, 1, 0, 1, 1, 3, 3, 1, -1, -1, 0, 1, -1, -1, 3]], np.float32).T
    y = np.array([[1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 0]], np.float32).T

    report = gradcheck(network, x, y)

    assert report.passed, report


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)
def test_inputs_so_large_that_a_step_saturates_raise_no_alarm(dtype: Any) -> None:
    """A step of 1e-5 changes the output by 1e19, where the loss does not change any more."""
    layers = [InputLayer(1), HiddenLayer(1, "exponential"), OutputLayer(1, "softsign", "hinge")]
    network: Network[Any] = Network(layers, dtype, seed=0)
    _, hidden, output = network.layers
    hidden.W, hidden.Bias, output.W, output.Bias = (
        np.full((1, 1), 55),
        np.zeros((1, 1)),
        np.zeros((1, 1)),
        np.zeros((1, 1)),
    )
    x, y = np.ones((1, 1), dtype), np.ones((1, 1), dtype)

    assert gradcheck(network, x, y).passed


@pytest.mark.parametrize("aside", [0.05, 0.1, 0.19, 0.4])
def test_kinks_of_second_derivatives_on_both_sides_are_no_mistake(aside: float) -> None:
    """The loss bends at 0 to one side, and at a part of a step to the other: their parts cancel."""
    network = Network([InputLayer(1), OutputLayer(1, "none", "huber")], seed=0)
    network.layers[1].W, network.layers[1].Bias = np.zeros((1, 1)), np.zeros((1, 1))
    x, y = np.array([[1.0], [-1.0]]), np.array([[1.0], [1 + aside * STEP]])

    assert gradcheck(network, x, y).passed


@pytest.mark.parametrize(("dtype", "subnormal"), [(np.float32, 1e-40), (np.float64, 1e-310)])
def test_subnormal_pre_activations_beside_a_kink_are_no_mistake(dtype: Any, subnormal: float) -> None:
    """Steps count them as 0, where the derivative of relu is 0; the layers do not, and it is 1."""
    network: Network[Any] = Network([InputLayer(1), HiddenLayer(2, "relu"), OutputLayer(1)], dtype, seed=0)
    network.layers[1].W, network.layers[1].Bias = np.ones((2, 1)), np.zeros((1, 2))

    x, y = np.full((3, 1), subnormal).astype(dtype), np.ones((3, 1)).astype(dtype)

    report = gradcheck(network, x, y)

    assert report.passed, report

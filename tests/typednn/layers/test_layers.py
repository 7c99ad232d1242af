"""The layers, one call at a time: values, gradients, shapes, views."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from typednn_kernels.activations import CODES as ACTIVATION_CODES
from typednn_kernels.losses import CODES as LOSS_CODES

from tests.oracles import differences, loops, torch_float64
from tests.oracles.agreement import assert_agrees, assert_close, assert_near
from tests.oracles.problems import ELEMENTWISE, PAIRS, Problem, problem
from tests.typednn.building import (
    COPIES,
    DTYPES,
    ann_of,
    both_ways,
    gradient_of,
    new_network,
    set_vector,
    vector_of,
)
from typednn import (
    DataError,
    HiddenLayer,
    InputLayer,
    LeakyReLU,
    Network,
    NotReadyError,
    OutputLayer,
    SettingError,
    ShapeError,
    WiringError,
    use_backend,
)
from typednn.backends import kernels as active_kernels
from typednn.layers import Layer

LENGTHS = (3, 5, 4, 3)

all_pairs = pytest.mark.parametrize(
    ("hidden", "output", "loss"),
    [*(("relu", *pair) for pair in PAIRS), *((hidden, "softmax", "crossentropy") for hidden in ELEMENTWISE)],
)
by_batch = pytest.mark.parametrize("samples", [1, 7])


def case_of(hidden: str, output: str, loss: str, samples: int = 1, dtype: Any = np.float64) -> Problem:
    """Two hidden layers; the inputs go through an activation as well where these are sigmoid."""
    return problem(
        LENGTHS, ("tanh" if hidden == "sigmoid" else "none", hidden, hidden, output), loss, samples, dtype
    )


def slopes_of(trace: loops.Trace, k: int, name: str) -> loops.Numbers:
    """What dyda and dhda show: the diagonals (n, B), for softmax the Jacobians, of one sample without B."""
    jacobians = trace.jacobians[k]
    if "softmax" in name:
        return jacobians[0] if len(jacobians) == 1 else jacobians
    return np.array([np.diag(J) for J in jacobians]).T


@pytest.mark.once_per("hidden", "output", "loss")
@all_pairs
@by_batch
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)
@pytest.mark.usefixtures("path")
def test_attributes_are_those_of_the_textbook(
    hidden: str, output: str, loss: str, samples: int, dtype: Any
) -> None:
    case = case_of(hidden, output, loss, samples, dtype)
    ann = ann_of(case)

    reference = case.trace
    both_ways(ann, case.x, case.t)

    for k, layer in enumerate(ann):
        expected = {"pre_activations": reference.a[k].T, "activations": reference.h[k].T}
        if k > 0:
            derivative = "dyda" if k == len(ann) - 1 else "dhda"
            expected |= {
                "dLdy" if k == len(ann) - 1 else "dLdh": reference.dLdh[k].T,
                derivative: slopes_of(reference, k, layer.actname),
                "dLda": reference.dLda[k].T,
                "dLdW": reference.dLdW[k],
                "dLdBias": reference.dLdBias[k].reshape(1, -1),
            }
        for name, numbers in expected.items():
            computed = getattr(layer, name)
            assert computed.dtype == dtype
            assert_close(computed, numbers, 128, f"{name} of layer {k}")
    assert_close(np.array(ann[-1].loss()).astype(dtype), reference.loss, 32, "the loss")
    assert_close(ann[-1].output(), reference.h[-1].T, 32, "the output")


@pytest.mark.once_per("hidden", "output", "loss")
@all_pairs
@by_batch
@pytest.mark.usefixtures("path")
def test_gradients_are_central_differences_of_the_loss(
    hidden: str, output: str, loss: str, samples: int
) -> None:
    case = case_of(hidden, output, loss, samples)
    ann = ann_of(case)
    both_ways(ann, case.x, case.t)
    computed = gradient_of(ann)

    def mean_loss(parameters: NDArray[np.float64]) -> float:
        set_vector(ann, parameters)
        for layer in ann:
            layer.forward()
        return float(ann[-1].loss())

    reference = differences.gradient(mean_loss, case.vector)

    np.testing.assert_allclose(computed, reference, rtol=1e-8, atol=1e-8)


@pytest.mark.once_per("hidden", "output", "loss")
@all_pairs
@pytest.mark.usefixtures("path")
def test_gradients_are_those_of_pytorch(hidden: str, output: str, loss: str) -> None:
    case = case_of(hidden, output, loss, 7)
    ann = ann_of(case)

    reference = torch_float64.gradients(case.activations, case.weights, case.biases, loss, case.x, case.t)
    both_ways(ann, case.x, case.t)

    for k, layer in enumerate(ann[1:]):
        assert_close(layer.dLda, reference.dLda[k].T, 128, f"dLda of layer {k + 1}")
        assert_close(layer.dLdW, reference.dLdW[k], 128, f"dLdW of layer {k + 1}")
        assert_close(layer.dLdBias, reference.dLdBias[k].reshape(1, -1), 128, f"dLdBias of layer {k + 1}")
    if not np.isnan(reference.dLdy).any():  # of the stable pairs PyTorch does not see dLdy either
        assert_close(ann[-1].dLdy, reference.dLdy.T, 64, "dLdy")
    assert_near(ann[-1].loss(), reference.loss, 1e-13)


SHAPES = {
    InputLayer: {"pre_activations": "nB", "activations": "nB"},
    HiddenLayer: {
        "W": "np",
        "Bias": "1n",
        "pre_activations": "nB",
        "activations": "nB",
        "dLdh": "nB",
        "dhda": "nB",
        "dLda": "nB",
        "dLdW": "np",
        "dLdBias": "1n",
    },
    OutputLayer: {
        "W": "np",
        "Bias": "1n",
        "pre_activations": "nB",
        "activations": "nB",
        "dLdy": "nB",
        "dyda": "nB",
        "dLda": "nB",
        "dLdW": "np",
        "dLdBias": "1n",
    },
}
"""The table of DESIGN: n units, p of the layer before, B samples."""


@by_batch
@pytest.mark.parametrize("output", ["tanh", "softmax"])
@pytest.mark.parametrize("lengths", [(3, 5, 4), (1, 1, 1)])
def test_shapes_are_those_of_the_design(lengths: tuple[int, ...], output: str, samples: int) -> None:
    case = problem(lengths, ("none", "relu", output), "MSE", samples)
    ann = ann_of(case)
    both_ways(ann, case.x, case.t)

    for k, layer in enumerate(ann):
        sizes = {"n": lengths[k], "p": lengths[k - 1], "B": samples, "1": 1}
        for name, letters in SHAPES[type(layer)].items():
            expected: tuple[int, ...] = tuple(sizes[letter] for letter in letters)
            if name == "dyda" and output == "softmax":
                expected = (lengths[k],) * 2 if samples == 1 else (samples, lengths[k], lengths[k])
            assert getattr(layer, name).shape == expected, name
    assert ann[-1].output().shape == (lengths[-1], samples)


def test_names_and_neighbours() -> None:
    ann: list[Any] = [InputLayer(2), HiddenLayer(3, "relu"), OutputLayer(1, "sigmoid", "bincrossentropy")]
    ann[1].attach_after(ann[0])
    ann[2].attach_after(ann[1])

    assert [layer.length for layer in ann] == [2, 3, 1]
    assert [layer.actname for layer in ann] == ["none", "relu", "sigmoid"]
    assert [layer.previous for layer in ann] == [None, ann[0], ann[1]]
    assert [layer.next for layer in ann] == [ann[1], ann[2], None]
    assert ann[2].lossfnname == "bincrossentropy"
    assert [repr(layer) for layer in ann] == [
        "InputLayer(2, 'none')",
        "HiddenLayer(3, 'relu')",
        "OutputLayer(1, 'sigmoid', 'bincrossentropy')",
    ]


def passed(a: Any, t: Any, output: Any, loss: Any, dtype: Any) -> OutputLayer[Any, Any]:
    """The output layer after both passes over a sample whose pre-activations are given."""
    network: Network[Any] = Network([InputLayer(len(a)), OutputLayer(len(a), output, loss)], dtype=dtype)
    network.parameters[...] = [*np.eye(len(a)).reshape(-1), *np.zeros(len(a))]
    ann: list[Any] = list(network.layers)
    both_ways(ann, np.array(a, dtype), np.array(t, dtype))
    last: OutputLayer[Any, Any] = ann[-1]
    return last


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("output", "loss", "a", "t", "value", "dLda", "dLdy"),
    [
        # The loss is log(1 + e^17); then the output, and the inverse of what it lacks from 1.
        ("sigmoid", "bincrossentropy", 17.0, 0.0, 17.0000000413994, 0.9999999586006, 24154953.7535753),
        ("sigmoid", "bincrossentropy", -30.0, 1.0, 30.0, -1.0, -10686474581525.5),
        ("sigmoid", "focal", -30.0, 1.0, 30.0, -1.0, -10686474581525.5),
        ("sigmoid", "focal", 30.0, 0.0, 30.0, 1.0, 10686474581525.5),
        ("sigmoid", "poisson", -20.0, 2.0, 40.00000000618346, -1.999999993816539, 1 - 2 * 485165196.409790),
        ("exponential", "poisson", -17.0, 2.0, 34.0000000413994, -1.9999999586006, 1 - 2 * 24154952.7535753),
        ("exponential", "bincrossentropy", -30.0, 1.0, 30.0, -1.0, -10686474581524.5),
        ("exponential", "focal", -30.0, 1.0, 30.0, -1.0, -10686474581524.5),
        ("softplus", "poisson", -25.0, 2.0, 50.0, -2.0, 1 - 2 * 72004899337.8859),
        ("softplus", "bincrossentropy", -25.0, 1.0, 25.0, -1.0, -72004899337.8859),
    ],
)
def test_saturated_outputs_tell_one_story(
    output: str, loss: str, a: float, t: float, value: float, dLda: float, dLdy: float, dtype: Any, path: str
) -> None:
    layer = passed([a], [t], output, loss, dtype)

    eps = 16 * float(np.finfo(dtype).eps)
    assert_near(layer.loss(), value, eps + 1e-10)
    assert_near(float(layer.dLda[0, 0]), dLda, eps + 1e-10)
    assert_near(float(layer.dLdy[0, 0]), dLdy, eps + 1e-10)
    assert_near(float(layer.dLdy[0, 0] * layer.dyda[0, 0]), float(layer.dLda[0, 0]), eps)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", ["crossentropy", "kl_divergence"])
@pytest.mark.parametrize("output", ["sigmoid", "exponential", "softplus"])
def test_the_gradient_lives_where_the_network_is_most_wrong(
    output: str, loss: str, dtype: Any, path: str
) -> None:
    """Output 8.5e-10, target 1: the loss is 20.889, and its gradient -1."""
    layer = passed([-20.8858, 0.0], [1, 0], output, loss, dtype)

    np.testing.assert_allclose(layer.loss(), 20.8858, rtol=1e-6)
    np.testing.assert_allclose(layer.dLda[:, 0], [-1, 0], rtol=1e-6)
    np.testing.assert_allclose(layer.dLdy[:, 0] * layer.dyda[:, 0], [-1, 0], rtol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("a", [-1e4, -700.0, 700.0, 1e4])
@pytest.mark.parametrize(("loss", "sign"), [("bincrossentropy", 1), ("crossentropy", 0), ("focal", 1)])
def test_no_finite_pre_activation_has_a_dead_gradient(
    loss: str, sign: int, a: float, dtype: Any, path: str
) -> None:
    wrong = 1.0 if a < 0 else 0.0
    layer = passed([a, a], [wrong, wrong], "sigmoid", loss, dtype)

    expected = (abs(a), np.sign(a) / (2 if sign else 1)) if wrong or sign else (0.0, 0.0)
    np.testing.assert_allclose(layer.loss(), expected[0] * (1 if sign else 2), rtol=1e-6)
    np.testing.assert_allclose(layer.dLda[:, 0], expected[1], rtol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", ["crossentropy", "kl_divergence"])
def test_an_output_that_is_infinite_has_the_gradient_of_its_logarithm(
    loss: str, dtype: Any, path: str
) -> None:
    """exp(1e4) is beyond any dtype, and its logarithm is 1e4."""
    layer = passed([1e4, 1.0], [0.25, 0.75], "exponential", loss, dtype)

    entropy = 0.25 * np.log(0.25) + 0.75 * np.log(0.75) if loss == "kl_divergence" else 0
    np.testing.assert_allclose(layer.loss(), entropy - 0.25e4 - 0.75, rtol=1e-6)
    np.testing.assert_allclose(layer.dLda[:, 0], [-0.25, -0.75], rtol=1e-6)
    np.testing.assert_allclose(layer.dLdy[:, 0], [0, -0.75 / np.e], rtol=1e-6)
    assert passed([1e4], [0.0], "exponential", "poisson", dtype).dLdy[0, 0] == 1


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", ["crossentropy", "kl_divergence", "poisson"])
def test_softmax_that_is_certain_shows_its_derivatives(loss: str, dtype: Any, path: str) -> None:
    """At (17, 0), y = 1 / (1 + e^-17) and 1 / (1 + e^17); dLdy is -t / y, for poisson (1 - t / y) / 2."""
    layer = passed([17.0, 0.0], [0, 1], "softmax", loss, dtype)

    y = 1 / (1 + np.exp([-17.0, 17.0]))
    expected = np.array([1, 1 - 1 / y[1]]) / 2 if loss == "poisson" else np.array([0, -1 / y[1]])
    np.testing.assert_allclose(layer.dLdy[:, 0], expected, rtol=1e-6)
    np.testing.assert_allclose(
        layer.dLda[:, 0], np.array([1, -1]) / (2 if loss == "poisson" else 1), rtol=1e-6
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [3, 100, 20_000])
@pytest.mark.parametrize("size", [50, 1_000, 30_000])
def test_cross_entropy_of_large_logits(size: float, n: int, dtype: Any, path: str) -> None:
    """The logits differ by 1/4 at most, exactly: the loss is of the order of log(n)."""
    a = size + np.arange(n) % 5 / 16
    losses, y, t = np.zeros(1, dtype), np.zeros((1, n), dtype), np.eye(1, n, 1, dtype=dtype)
    run: Any = active_kernels(np.dtype(dtype))
    softmax, loss = ACTIVATION_CODES["softmax"], LOSS_CODES["crossentropy"]

    run.activation_value(softmax, a[None].astype(dtype), y)
    run.loss_value(loss, softmax, a[None].astype(dtype), y, t, losses)

    exact = loops.exact(a - size)
    assert_near(float(losses[0]), float(np.log(np.exp(exact).sum()) - exact[1]), 4 * np.finfo(dtype).eps)


@pytest.mark.parametrize("loss", ["crossentropy", "kl_divergence"])
@pytest.mark.parametrize("output", ["softmax", "sigmoid", "none"])
def test_one_output_is_refused_for_a_loss_of_classes(output: Any, loss: Any) -> None:
    with pytest.raises(SettingError, match=f"{loss}.* 2 or more, not 1; .*'bincrossentropy'"):
        OutputLayer(1, output, loss)


@pytest.mark.parametrize("loss", ["crossentropy", "kl_divergence"])
@pytest.mark.parametrize("output", ELEMENTWISE)
def test_outputs_that_do_not_sum_to_1_are_warned_of_once(output: Any, loss: Any) -> None:
    with pytest.warns(UserWarning, match=f"'{output}', '{loss}'.* cannot tell .* use 'softmax'") as caught:
        Network([InputLayer(1), OutputLayer(2, output, loss)], dtype=np.float32, seed=0)

    [warning] = caught
    assert warning.filename == __file__


OF_PROBABILITIES = ("bincrossentropy", "focal")


@pytest.mark.parametrize("loss", [*OF_PROBABILITIES, "poisson"])
@pytest.mark.parametrize("output", ["none", "tanh", "leaky_relu", "softplus", "exponential", "relu6"])
def test_outputs_for_which_the_loss_is_not_defined_are_warned_of_once(output: Any, loss: Any) -> None:
    """The values of y are clipped there, and the gradient is 0; poisson falls without end."""
    if loss == "poisson" and output in {"softplus", "exponential", "relu6"}:
        pytest.skip("rates are 0 or more")
    remedy = "exponential" if loss == "poisson" else "sigmoid"
    with pytest.warns(UserWarning, match=f"'{output}', '{loss}'.* not defined for: .*'{remedy}'") as caught:
        network = Network([InputLayer(1), OutputLayer(1, output, loss)], seed=0)

    [warning] = caught
    assert warning.filename == __file__
    last = network.layers[1]
    last.W, last.Bias = np.ones((1, 1)), np.zeros((1, 1))
    gradients = network.forward(np.array([[3.0]])).backward(np.array([[0.0]]))
    np.testing.assert_allclose(last.dLda, last.dLdy * last.dyda)
    if loss != "poisson" and output != "tanh":
        assert gradients.vector.tolist() == [0, 0]
        p = 1 - 1e-7
        value = -np.log1p(-p) * (1 if loss == "bincrossentropy" else p**2)
        assert network.loss(np.array([[3.0]]), np.array([[0.0]])) == pytest.approx(value, rel=1e-6)


def test_an_output_activation_with_parameters_may_be_new() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert OutputLayer(2, LeakyReLU(0.0271828), "bincrossentropy").actname == "leaky_relu(0.0271828)"


def test_outputs_that_fit_the_loss_are_not_warned_of() -> None:
    fitting: list[Any] = [
        *(("softmax", "crossentropy"), ("softmax", "kl_divergence"), ("none", "MSE"), ("none", "hinge")),
        *((output, loss) for output in ("sigmoid", "softmax", "hard_sigmoid") for loss in OF_PROBABILITIES),
        *(
            (output, "poisson")
            for output in ("exponential", "softplus", "relu", "relu6", "sigmoid", "softmax")
        ),
    ]

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for pair in fitting:
            OutputLayer(2, *pair)


def test_defaults() -> None:
    assert [InputLayer(1).actname, HiddenLayer(1).actname, OutputLayer(1).actname] == ["none"] * 3
    assert OutputLayer(1).lossfnname == "MSE"


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_layers_can_be_attached_in_any_order(order: tuple[int, ...]) -> None:
    ann: list[Any] = [InputLayer(2), HiddenLayer(3), HiddenLayer(4), OutputLayer(1)]
    for k in order:
        ann[k + 1].attach_after(ann[k])
        ann[k + 1].set_weights("one")
        ann[k + 1].set_biases("constant")

    both_ways(ann, np.array([1.0, 2.0]), np.array([0.0]))

    first = 3 + 0.1
    second = 3 * first + 0.1
    assert_near(ann[-1].output()[0, 0], 4 * second + 0.1, 1e-15)


@pytest.mark.usefixtures("path")
def test_the_loop_that_people_have_written_for_years() -> None:
    case = problem((2, 3, 1), ("none", "sigmoid", "none"), "MSE", 4)
    ANN, eta = ann_of(case), 0.3

    reference, _ = case.net.descend(case.x, case.t, range(4), 1, eta)
    for x, y in zip(case.x, case.t, strict=True):
        ANN[0].put_values(x)
        ANN[-1].set_actual(y)
        # fmt: off
        for layer in ANN: layer.forward()  # noqa: E701
        for i in range(len(ANN) - 1, 0, -1): ANN[i].backward()  # noqa: E701
        for i in range(1, len(ANN)):
            ANN[i].W -= eta * ANN[i].dLdW
            ANN[i].Bias -= eta * ANN[i].dLda.reshape(1, -1)
        # fmt: on

    assert_close(vector_of(ANN), reference.vector, 128)


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.usefixtures("path")
def test_moments_of_a_batch_that_are_not_finite_earn_a_warning(dtype: Any) -> None:
    x = np.random.default_rng(0).normal(size=(8, 3)).astype(dtype)
    layers: list[Any] = [InputLayer(3), HiddenLayer(4, normalization="batch"), OutputLayer(1)]
    network = Network(layers, dtype, seed=0)
    network.forward(x, training=True)
    network.forward(x * np.sqrt(np.finfo(dtype).max))  # which predicts
    warning = r"layer 1, HiddenLayer\(4, .*\): the mean or variance of the batch is beyond " + dtype.__name__

    with pytest.warns(UserWarning, match=warning) as whole:
        network.forward(x * np.sqrt(np.finfo(dtype).max), training=True)
    layers[1].running_mean[...], layers[1].running_variance[...] = 0, 1
    layers[0].training = True
    layers[0].put_values(x * np.sqrt(np.finfo(dtype).max))
    layers[0].forward()
    with pytest.warns(UserWarning, match=warning) as one:
        layers[1].forward()

    assert [each.filename for each in (*whole, *one)] == [__file__, __file__]
    assert not np.isfinite(layers[1].running_variance).all()


def test_a_batch_is_the_mean_of_its_samples() -> None:
    case = problem((3, 4, 2), ("none", "tanh", "softmax"), "MSE", 7)
    ann = ann_of(case)
    gradients: list[NDArray[Any]] = []
    losses: list[float] = []
    for x, t in zip(case.x, case.t, strict=True):
        both_ways(ann, x, t)
        gradients.append(gradient_of(ann))
        losses.append(ann[-1].loss())

    both_ways(ann, case.x, case.t)

    assert_close(gradient_of(ann), np.mean(gradients, axis=0), 64)
    assert_near(ann[-1].loss(), sum(losses) / 7, 1e-14)


def test_numbers_can_be_put_in_as_they_come() -> None:
    ann = ann_of(problem((2, 2), ("none", "none"), "MSE"))
    ann[1].W, ann[1].Bias = np.eye(2), np.zeros(2)

    for values in (
        [1, 2],
        (1.0, 2.0),
        np.array([[1, 2]]),
        np.array([1, 2], np.uint8),
        np.array([1, 2], np.float16),
        np.array([1, 2], np.float32),
        np.array([1, 2], np.int64),
        np.array([1, 2], ">f8"),
        np.array([1.0, 9.0, 2.0])[::2],
        np.array([[1.0, 2.0]]),
    ):
        both_ways(ann, values, values)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        assert ann[-1].output().tolist() == [[1.0], [2.0]]
        assert ann[-1].loss() == 0


def test_what_is_put_in_is_copied() -> None:
    ann = ann_of(problem((2, 2), ("none", "none"), "MSE"))
    values, targets = np.array([1.0, 2.0]), np.array([3.0, 4.0])
    both_ways(ann, values, targets)
    loss = ann[-1].loss()

    values[:], targets[:] = 7, 8

    assert ann[0].activations.tolist() == [[1.0], [2.0]]
    assert ann[-1].loss() == loss


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)
@pytest.mark.usefixtures("path")
def test_what_is_refused_changes_nothing(dtype: Any) -> None:
    case = problem((2, 3, 2), ("none", "tanh", "sigmoid"), "bincrossentropy", 1, dtype)
    ann = ann_of(case)
    both_ways(ann, case.x[0], case.t[0])
    values, loss = ann[0].activations.copy(), ann[-1].loss()

    for wrong in ([1, np.nan], [np.inf, 1], [1, 2, 3], [1]):
        for refused in (ann[0].put_values, ann[-1].set_actual):
            with pytest.raises((DataError, ShapeError)):
                refused(np.array(wrong, dtype))
    for wrong in ([0.5, 1.25], [-0.25, 0.5]):
        with pytest.raises(DataError, match=r"actual must lie in \[0, 1\]"):
            ann[-1].set_actual(np.array(wrong, dtype))
    with pytest.raises(DataError, match=r"actual must lie in \[0, 1\]"):
        ann[-1].set_actual(np.array([0, 2]))

    assert ann[0].activations.tolist() == values.tolist()
    assert ann[-1].loss() == loss
    ann[-1].backward()


@pytest.mark.usefixtures("path")
def test_numbers_too_large_for_float32_are_refused() -> None:
    ann = ann_of(problem((2, 2), ("none", "none"), "MSE", 1, np.float32))

    for refused in (ann[0].put_values, ann[-1].set_actual):
        with pytest.raises(DataError, match="not finite"):
            refused(np.array([1e39, 1]))


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize("output", ["tanh", "softmax"])
@by_batch
@pytest.mark.usefixtures("path")
def test_gradients_are_read_only(samples: int, output: str, dtype: Any) -> None:
    """What was written into dLdW was kept, what was written into dLdBias and dhda was lost."""
    output_name: Any = output
    layers: list[Any] = [
        InputLayer(3),
        HiddenLayer(4, "tanh", normalization="layer", dropout=0.5),
        HiddenLayer(5, "relu"),
        OutputLayer(2, output_name),
    ]
    network = new_network(layers, dtype)
    rng = np.random.default_rng(0)
    both_ways(layers, rng.normal(size=(samples, 3)), rng.normal(size=(samples, 2)))
    names = {"dLda", "dLdW", "dLdBias"}
    shown = [
        *((layers[1], name) for name in {*names, "dLdh", "dhda", "dLdGain"}),
        *((layers[2], name) for name in {*names, "dLdh", "dhda"}),
        *((layers[3], name) for name in {*names, "dLdy", "dyda"}),
    ]
    for layer, name in shown:
        before = getattr(layer, name).copy()
        assert not getattr(layer, name).flags.writeable, name
        with pytest.raises(ValueError, match="read-only"):
            getattr(layer, name)[...] = 0
        with pytest.raises(ValueError, match="read-only"):
            exec(f"layer.{name} *= 0.5", {"layer": layer})
        assert getattr(layer, name).tolist() == before.tolist()
    x, t = rng.normal(size=(samples, 3)).astype(dtype), rng.normal(size=(samples, 2)).astype(dtype)
    gradients = network.forward(x).backward(t)
    for layer in layers[1:]:
        for name in ("dLda", "dLdW", "dLdBias", "dLdGain"):
            assert not getattr(gradients[layer], name).flags.writeable, name
    gradients.vector *= 2
    assert gradients[layers[1]].dLdW.ravel().tolist() == gradients.vector[:12].tolist()


def test_deltas_stay_when_the_output_layer_runs_again() -> None:
    case = problem((2, 3, 1), ("none", "tanh", "none"), "MSE")
    ann = ann_of(case)
    both_ways(ann, case.x, case.t)
    before = ann[1].dLda.copy()

    ann[-1].backward()

    assert ann[1].dLda.tolist() == before.tolist()


# Weights and biases.


def test_weights_change_in_place_and_by_setting() -> None:
    ann = ann_of(problem((2, 3, 1), ("none", "tanh", "none"), "MSE"))
    layer, before = ann[1], ann[1].W.copy()
    memory = layer.W

    layer.W -= np.ones((3, 2))
    assert (before - 1 == layer.W).all()
    layer.W[0, 0] = 9
    assert memory[0, 0] == 9
    layer.W = given = np.zeros((3, 2))
    given[...] = 7
    assert not memory.any()
    assert np.shares_memory(layer.W, memory)


@pytest.mark.parametrize("shape", [(3,), (1, 3)])
def test_biases_change_in_place_and_by_setting(shape: tuple[int, ...]) -> None:
    layer = ann_of(problem((2, 3, 1), ("none", "tanh", "none"), "MSE"))[1]
    memory, before = layer.Bias, layer.Bias.copy()

    layer.Bias -= np.ones((1, 3))
    assert (memory == before - 1).all()
    layer.Bias = given = np.arange(3.0).reshape(shape)
    given[...] = 7
    assert memory.tolist() == [[0, 1, 2]]
    assert np.shares_memory(layer.Bias, memory)


@pytest.mark.parametrize(
    ("attribute", "shape"), [("W", (2, 3)), ("W", (6,)), ("Bias", (3, 1)), ("Bias", (2,)), ("Bias", ())]
)
def test_another_shape_is_refused(attribute: str, shape: tuple[int, ...]) -> None:
    layer = ann_of(problem((2, 3, 1), ("none", "tanh", "none"), "MSE"))[1]
    before = getattr(layer, attribute).copy()

    with pytest.raises(ShapeError, match=rf"layer 1, HiddenLayer\(3, 'tanh'\): {attribute} has the shape"):
        setattr(layer, attribute, np.zeros(shape))
    assert getattr(layer, attribute).tolist() == before.tolist()


def test_weights_stay_when_a_layer_is_attached() -> None:
    ann: list[Any] = [InputLayer(2), HiddenLayer(2), OutputLayer(1)]
    ann[2].attach_after(ann[1])
    ann[2].W, ann[2].Bias = np.array([[3.0, 4.0]]), np.array([5.0])
    ann[2].set_actual([1.0])
    ann[1].attach_after(ann[0])
    ann[1].set_weights("one")

    ann[0].put_values([1, 1])
    for layer in ann:
        layer.forward()

    assert ann[2].output().tolist() == [[2 * 3 + 2 * 4 + 5.0]]
    assert ann[2].loss() == 18.0**2


# Before and after.


def test_nothing_is_shown_before_it_exists() -> None:
    ann: list[Any] = [InputLayer(2), HiddenLayer(2, "tanh"), OutputLayer(1)]
    ann[1].attach_after(ann[0])
    ann[2].attach_after(ann[1])
    names: dict[Any, set[str]] = {type(layer): set(SHAPES[type(layer)]) - {"Bias"} for layer in ann}

    def missing(layer: Layer[Any]) -> set[str]:
        found: set[str] = set()
        for name in names[type(layer)]:
            try:
                getattr(layer, name)
            except NotReadyError as error:
                found.add(name if str(error).startswith(layer.name) else str(error))
        return found

    assert [missing(layer) for layer in ann] == list(names.values())
    for layer in ann[1:]:
        layer.set_weights("one")
    ann[0].put_values([1.0, 2.0])
    ann[2].set_actual([1.0])
    assert missing(ann[0]) == {"activations"}
    for layer in ann:
        layer.forward()
    assert [missing(layer) for layer in ann] == [
        set(),
        *[{"dLda", "dLdW", "dLdBias", n} for n in ("dLdh", "dLdy")],
    ]
    ann[2].backward()
    assert missing(ann[2]) == set()
    assert missing(ann[1]) == {"dLda", "dLdW", "dLdBias", "dLdh"}
    ann[1].backward()
    assert missing(ann[1]) == set()


def test_a_pass_in_the_wrong_order_is_refused() -> None:
    case = problem((2, 3, 3, 1), ("none", "tanh", "tanh", "none"), "MSE")
    ann = ann_of(case)
    both_ways(ann, case.x, case.t)
    ann[0].put_values(case.x)

    with pytest.raises(NotReadyError, match=r"layer 2, .*call forward\(\) of layer 0"):
        ann[2].forward()
    with pytest.raises(NotReadyError, match=r"layer 3, .*call forward\(\) of every layer before backward"):
        ann[3].backward()
    with pytest.raises(NotReadyError, match=r"layer 2, .*call backward\(\) of the layer after"):
        ann[2].backward()
    for layer in ann:
        layer.forward()
    ann[3].backward()
    with pytest.raises(NotReadyError, match=r"layer 1, .*call backward\(\) of the layer after"):
        ann[1].backward()
    for layer in ann:
        layer.forward()  # the error signal of the output layer is of the pass before
    with pytest.raises(NotReadyError, match=r"layer 2, .*call backward\(\) of the layer after"):
        ann[2].backward()


def test_attaching_what_does_not_fit_is_refused() -> None:
    layers: list[Any] = [InputLayer(2), HiddenLayer(2), HiddenLayer(2), OutputLayer(1)]
    first, hidden, other, last = layers
    hidden.attach_after(first)
    last.attach_after(hidden)

    for layer, before in (
        (other, last),
        (hidden, hidden),
        (other, hidden),
        (hidden, other),
        (first.next, "x"),
    ):
        with pytest.raises(WiringError, match=r"Layer\(2, 'none'\)"):
            layer.attach_after(before)
    assert (first.next, hidden.previous, hidden.next, other.previous, last.next) == (
        hidden,
        first,
        last,
        None,
        None,
    )
    hidden.attach_after(first)  # again, which changes nothing


NOT_OF: dict[type[Layer[Any]], dict[str, str]] = {
    InputLayer: dict.fromkeys(("W", "Bias"), "weights|biases")
    | dict.fromkeys(("dLda", "dLdW", "dLdBias"), "gradients")
    | {
        "set_weights": "weights",
        "set_biases": "biases",
        "attach_after": "layer before",
    }
    | {"set_actual": "targets", "output": "output", "loss": "loss"},
    HiddenLayer: {
        "dLdx": "samples",
        "put_values": "values",
        "set_actual": "targets",
        "output": "output",
        "loss": "loss",
    },
    OutputLayer: {"dLdx": "samples", "put_values": "values"},
}
"""What one kind of layer has and another has not."""


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, names in NOT_OF.items() for name in names])
def test_what_a_layer_has_not(kind: Any, name: str) -> None:
    ann = ann_of(problem((2, 3, 1), ("none", "tanh", "none"), "MSE"))
    layer = next(each for each in ann if type(each) is kind)
    message = rf"^layer \d, {kind.__name__}\(.*: has no .*({NOT_OF[kind][name]})"

    def use() -> None:
        thing = getattr(layer, name)  # raises by itself where it is no method
        thing(*[ann[1]] * (name in {"attach_after", "set_actual", "put_values"}))

    with pytest.raises(WiringError, match=message):
        use()
    if name in {"W", "Bias"}:
        with pytest.raises(WiringError, match=message):
            setattr(layer, name, np.ones((1, 1)))


# Copies.


@pytest.mark.parametrize("duplicate", COPIES)
def test_copies_live_on_their_own(duplicate: Any) -> None:
    case = problem((2, 3, 1), ("none", "tanh", "none"), "MSE", 4)
    ann = ann_of(case)
    both_ways(ann, case.x, case.t)
    before, gradient = vector_of(ann), gradient_of(ann)

    other = duplicate(ann)
    both_ways(other, case.x, case.t)  # a copy has nothing of the last pass
    assert gradient_of(other).tolist() == gradient.tolist()
    other[1].W -= 1
    other[1].Bias -= 1
    both_ways(other, case.x, case.t)

    assert vector_of(ann).tolist() == before.tolist()
    assert gradient_of(ann).tolist() == gradient.tolist()
    changed = Problem(
        case.lengths,
        case.activations,
        case.loss,
        (case.weights[0] - 1, case.weights[1]),
        (case.biases[0] - 1, case.biases[1]),
        case.x,
        case.t,
    )
    assert_close(gradient_of(other), changed.net.trace(case.x, case.t).vector, 64)


@pytest.mark.usefixtures("path")
def test_a_pass_can_go_on_on_the_other_path(path: str) -> None:
    case = problem((2, 3, 1), ("none", "tanh", "none"), "MSE", 4)
    ann = ann_of(case)
    ann[0].put_values(case.x)
    ann[-1].set_actual(case.t)
    for layer in ann:
        layer.forward()

    with use_backend("numpy"):
        for layer in ann[:0:-1]:
            layer.backward()

    assert_agrees(gradient_of(ann), case.trace.vector, 64, magnitude=abs(case.trace.vector).max())

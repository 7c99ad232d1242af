"""Every kernel of both paths against triple loops, and the paths against each other."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from typednn_kernels import activations as activation_table
from typednn_kernels import losses as loss_table
from typednn_kernels import plain
from typednn_kernels.dropout import INFERENCE
from typednn_kernels.layout import block, layout_of, unit_count, weights
from typednn_kernels.operands import Epoch, Workspace

from tests.conftest import PATHS, kernels_of
from tests.oracles import loops
from tests.oracles.agreement import assert_agrees, assert_close
from tests.oracles.problems import PAIRS, Problem, problem
from tests.typednn_kernels.updating import descent

DTYPES = (np.float32, np.float64)
ACTIVATION_CODES: dict[str, int] = {str(name): code for name, code in activation_table.CODES.items()}
LOSS_CODES: dict[str, int] = {str(name): code for name, code in loss_table.CODES.items()}
NAMES, LOSSES = tuple(ACTIVATION_CODES), tuple(LOSS_CODES)
ELEMENTWISE = tuple(name for name in NAMES if "softmax" not in name)

by_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)
by_batch = pytest.mark.parametrize("samples", [1, 7])
by_sizes = pytest.mark.parametrize(("n_prev", "n"), [(1, 1), (1, 4), (5, 1), (3, 4), (17, 9)])
by_pair = pytest.mark.parametrize(("activation", "loss"), PAIRS)
by_loss = pytest.mark.parametrize("loss", LOSSES)


def unwritten(shape: int | tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """Where a result goes; what the kernel leaves out stays NaN."""
    return np.full(shape, np.nan, dtype)


def frozen(values: NDArray[Any]) -> NDArray[Any]:
    """As the layers pass what users gave: not to be written to."""
    array = np.ascontiguousarray(values).copy()
    array.setflags(write=False)
    return array


def matrices(elements: st.SearchStrategy[float], count: int) -> st.SearchStrategy[tuple[NDArray[Any], ...]]:
    """So many matrices of one shape and dtype."""
    return st.tuples(st.sampled_from(DTYPES), st.integers(1, 7), st.integers(1, 9)).flatmap(
        lambda drawn: st.tuples(*[arrays(drawn[0], drawn[1:], elements=elements)] * count)
    )


ANYTHING = st.floats(-1e4, 1e4, width=32)  # denormals and -0.0 included
NEAR = st.floats(-20, 20, width=32)  # exponential makes outputs of them that can be squared
PROBABILITIES = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, 2.0**-23, 1 - 2.0**-24]), st.floats(0, 1, width=32)
)
EXTREMES = np.array([[-1e4, 1e4, 0.0, -0.0, 1e-42, -1e-42, 88.75, -103.5]])


# Activations.


@pytest.mark.parametrize("name", NAMES)
@given(drawn=matrices(ANYTHING, 1))
@example(drawn=(EXTREMES.astype(np.float32),))
@example(drawn=(EXTREMES,))
def test_activation_value(kernels: Any, name: str, drawn: tuple[NDArray[Any], ...]) -> None:
    (a,) = drawn
    y = unwritten(a.shape, a.dtype)

    reference = loops.exact([loops.activation(name, sample) for sample in loops.exact(a)])
    kernels.activation_value(ACTIVATION_CODES[name], a, y)

    # exp(a - max) is off by eps times its argument, of which a - max is off by eps itself
    # and the normal distribution by eps times the square of its argument
    units, condition = 4, np.ones_like(reference)
    if name == "softmax":
        units, condition = 16, 1 + abs(loops.exact(a) - a.max(axis=1, keepdims=True))
    if name == "log_softmax":
        units, condition = 16, 1 + loops.exact(a).max(axis=1, keepdims=True) - a.min(axis=1, keepdims=True)
    if name in {"gelu", "gelu_tanh"}:
        condition += loops.exact(a) ** 2
    assert_agrees(y, reference, units, abs(reference) * condition)


@pytest.mark.parametrize("name", ELEMENTWISE)
@given(drawn=matrices(ANYTHING, 1))
@example(drawn=(EXTREMES.astype(np.float32),))
@example(drawn=(EXTREMES,))
def test_activation_derivative(kernels: Any, name: str, drawn: tuple[NDArray[Any], ...]) -> None:
    (a,) = drawn
    y, derivative = unwritten(a.shape, a.dtype), unwritten(a.shape, a.dtype)
    kernels.activation_value(ACTIVATION_CODES[name], a, y)

    reference = np.array([[loops.derivative(name, each) for each in sample] for sample in loops.exact(a)])
    kernels.activation_derivative(ACTIVATION_CODES[name], a, y, derivative)

    assert_agrees(derivative, reference, 4, np.maximum(abs(reference), 1))


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax_has_no_elementwise_derivative(kernels: Any, name: str) -> None:
    a = np.zeros((1, 2))

    with pytest.raises(ValueError, match="softmax has no elementwise derivative"):
        kernels.activation_derivative(ACTIVATION_CODES[name], a, a.copy(), a.copy())


@pytest.mark.parametrize("name", NAMES)
@given(drawn=matrices(st.floats(-20, 20, width=32), 2))
def test_activation_backward(kernels: Any, name: str, drawn: tuple[NDArray[Any], ...]) -> None:
    a, dLdy = drawn
    y, dLda = unwritten(a.shape, a.dtype), unwritten(a.shape, a.dtype)
    kernels.activation_value(ACTIVATION_CODES[name], a, y)

    jacobians = [loops.jacobian(name, sample) for sample in loops.exact(a)]
    reference = loops.exact(
        [loops.jacobian_product(g, J) for g, J in zip(loops.exact(dLdy), jacobians, strict=True)]
    )
    kernels.activation_backward(ACTIVATION_CODES[name], a, y, dLdy, dLda)

    largest = abs(dLdy).max(axis=1, keepdims=True)  # with softmax <g, y> cancels against g
    derivatives = np.array([abs(J).max(axis=0) for J in jacobians])
    if name == "softmax":
        assert_agrees(dLda, reference, 64, largest)
    elif name == "log_softmax":  # at the y that is given: exp multiplies what y was rounded by with abs(y)
        gradients, given_y = loops.exact(dLdy), loops.exact(y)
        reference = gradients - np.exp(given_y) * gradients.sum(axis=1, keepdims=True)
        assert_agrees(dLda, reference, 16, abs(dLdy) + np.exp(y) * abs(dLdy).sum(axis=1, keepdims=True))
    else:
        assert_agrees(dLda, reference, 8, abs(dLdy) * np.maximum(derivatives, 1))


@by_dtype
@pytest.mark.parametrize("n", [1, 2, 5])
@by_batch
def test_softmax_jacobian(kernels: Any, samples: int, n: int, dtype: Any) -> None:
    a = np.random.default_rng(3).normal(0, 3, (samples, n)).astype(dtype)
    y, dyda = unwritten(a.shape, dtype), unwritten((samples, n, n), dtype)
    kernels.activation_value(ACTIVATION_CODES["softmax"], a, y)

    reference = loops.exact([loops.jacobian("softmax", sample) for sample in loops.exact(a)])
    kernels.softmax_jacobian(y, dyda)

    assert_agrees(dyda, reference, 16, magnitude=1)
    assert_agrees(dyda.sum(axis=2), np.zeros((samples, n)), 16, magnitude=1)


@by_dtype
def test_softmax_jacobian_where_an_output_is_rounded_to_1(kernels: Any, dtype: Any) -> None:
    y = np.array([[1e-20, 1.0, 3e-17]], dtype)
    dyda = unwritten((1, 3, 3), dtype)

    kernels.softmax_jacobian(y, dyda)

    first, _, last = loops.exact(y)[0]
    reference = [[first, -first, -first * last], [-first, first + last, -last], [-first * last, -last, last]]
    np.testing.assert_allclose(dyda[0], np.array(reference, np.float64), rtol=4 * np.finfo(dtype).eps)


@by_dtype
@pytest.mark.parametrize("name", NAMES)
def test_nan_is_not_hidden(kernels: Any, name: str, dtype: Any) -> None:
    a, dLdy = np.array([[0.5, np.nan], [1.0, 2.0]], dtype), np.ones((2, 2), dtype)
    y, dLda = np.zeros((2, 2), dtype), np.zeros((2, 2), dtype)

    kernels.activation_value(ACTIVATION_CODES[name], a, y)
    kernels.activation_backward(ACTIVATION_CODES[name], a, y, dLdy, dLda)

    assert np.isnan(y[0, 1])
    assert name == "none" or np.isnan(dLda[0, 1])  # the slope of the identity is 1 everywhere
    assert np.isfinite([y[1], dLda[1]]).all()


# The linear part.


@by_dtype
@by_sizes
@by_batch
def test_affine(kernels: Any, samples: int, n_prev: int, n: int, dtype: Any) -> None:
    rng = np.random.default_rng(4)
    x, W, bias = (rng.normal(size=shape).astype(dtype) for shape in ((samples, n_prev), (n, n_prev), n))
    a = unwritten((samples, n), dtype)

    reference = loops.affine(loops.exact(x), loops.exact(W), loops.exact(bias))
    magnitude = loops.affine(*(abs(loops.exact(each)) for each in (x, W, bias)))
    kernels.affine(x, W, bias, a)

    assert_agrees(a, reference, 4, magnitude)


@by_dtype
@pytest.mark.parametrize("n", [1, 5, 64, 300])
@by_batch
def test_no_weights_are_the_identity(kernels: Any, samples: int, n: int, dtype: Any) -> None:
    rng = np.random.default_rng(4)
    x, dLda = rng.normal(size=(2, samples, n)).astype(dtype)
    W, bias = np.empty((n, 0), dtype), rng.normal(size=n).astype(dtype)
    a, dLdh = unwritten((samples, n), dtype), unwritten((samples, n), dtype)

    kernels.affine(x, W, bias, a)
    kernels.backpropagate(dLda, W, dLdh)
    kernels.outer(dLda, x, W.copy())

    assert (a == x + bias).all()
    assert (dLdh == dLda).all()


@by_dtype
@by_sizes
@by_batch
def test_gradients_of_the_affine_part(kernels: Any, samples: int, n_prev: int, n: int, dtype: Any) -> None:
    rng = np.random.default_rng(5)
    shapes = ((samples, n), (samples, n_prev), (n, n_prev))
    dLda, h_prev, W = (rng.normal(size=shape).astype(dtype) for shape in shapes)
    dLdW, dLdBias, dLdh = (unwritten(shape, dtype) for shape in ((n, n_prev), n, (samples, n_prev)))
    error, below, exact_W = loops.exact(dLda), loops.exact(h_prev), loops.exact(W)

    kernels.outer(dLda, h_prev, dLdW)
    kernels.sum_samples(dLda, dLdBias)
    kernels.backpropagate(dLda, W, dLdh)

    assert_agrees(dLdW, loops.outer(error, below), 4, loops.outer(abs(error), abs(below)))
    assert_agrees(dLdBias, loops.sum_samples(error), 4, loops.sum_samples(abs(error)))
    assert_agrees(dLdh, loops.backpropagate(error, exact_W), 4, loops.backpropagate(abs(error), abs(exact_W)))


@by_dtype
@by_batch
def test_overflow_is_silent(kernels: Any, samples: int, dtype: Any) -> None:
    """Training finds out; a warning would depend on the path."""
    large = np.full((samples, 3), np.finfo(dtype).max, dtype)
    W, bias = np.full((3, 3), 2, dtype), np.zeros(3, dtype)
    a, dLdW, dLdBias, dLdh = (unwritten(shape, dtype) for shape in ((samples, 3), (3, 3), 3, (samples, 3)))

    kernels.affine(large, W, bias, a)
    kernels.outer(large, large, dLdW)
    kernels.sum_samples(large, dLdBias)
    kernels.backpropagate(large, W, dLdh)

    assert np.isinf([*a.flat, *dLdW.flat, *dLdh.flat]).all()
    assert np.isinf(dLdBias).all() == (samples > 1)


@pytest.mark.once_per("numbers", "limits", "laid_out", "samples")
@by_dtype
@pytest.mark.parametrize(
    "numbers",
    [[1.5, -2.0, 3.0], [1.5, -2.0, np.nan], [np.inf, -2.0, 3.0], [1.5, -2.0], [1.5, -2.0, 3.0, 0.0]],
)
@pytest.mark.parametrize("limits", [(-np.inf, np.inf), (-2.0, 3.0), (-1.0, np.inf), (-2.0, 2.5)])
@pytest.mark.parametrize("laid_out", ["side by side", "backwards", "apart", "askew"])
@pytest.mark.parametrize("samples", [1, 2])
def test_take_sample(
    kernels: Any, samples: int, laid_out: str, limits: tuple[float, float], numbers: list[float], dtype: Any
) -> None:
    n = len(numbers)
    values = np.array(numbers, dtype)
    if laid_out == "backwards":
        values = values[::-1].copy()[::-1]
    elif laid_out == "apart":
        values = np.repeat(values, 3)[::3]
    elif laid_out == "askew":
        values = np.frombuffer(b"?" + values.tobytes(), np.uint8)[1:].view(dtype)
        assert not values.flags.aligned
    sample = np.full((samples, 3), 7, dtype)

    wanted = n == 3 and samples == 1 and all(np.isfinite(v) and limits[0] <= v <= limits[1] for v in numbers)
    taken = kernels.try_copy_sample(values, *limits, sample)

    assert taken is wanted
    assert sample.tolist() == ([numbers] if wanted else [[7] * 3] * samples)


# A layer in one call.


@pytest.mark.once_per("lengths", "hidden", "output", "loss")
@pytest.mark.parametrize(
    ("lengths", "hidden", "output", "loss"),
    [
        *(((3, 5, 4), "tanh", *pair) for pair in PAIRS),
        *(((3, 5, 4), hidden, "none", "MSE") for hidden in NAMES),
        *((lengths, "relu", "softmax", "crossentropy") for lengths in ((1, 1, 1), (17, 9, 6))),
    ],
)
@by_batch
@by_dtype
def test_layers_in_one_call(
    kernels: Any, dtype: Any, samples: int, lengths: tuple[int, ...], hidden: str, output: str, loss: str
) -> None:
    case = problem(lengths, ("none", hidden, output), loss, samples, dtype)
    codes = [ACTIVATION_CODES[name] for name in case.activations]
    a, h, dLdh, dLda = ([unwritten((samples, n), dtype) for n in lengths] for _ in range(4))
    dLdW = [unwritten(W.shape, dtype) for W in case.weights]
    h[0] = case.x

    reference = case.trace
    for k in (1, 2):
        kernels.layer_forward(codes[k], h[k - 1], case.weights[k - 1], case.biases[k - 1], a[k], h[k])
    kernels.output_layer_backward(
        LOSS_CODES[loss], codes[2], a[2], h[2], frozen(case.t), h[1], dLdh[2], dLda[2], dLdW[1]
    )
    kernels.hidden_layer_backward(
        codes[1], dLda[2], case.weights[1], a[1], h[1], h[0], dLdh[1], dLda[1], dLdW[0]
    )

    for k in (1, 2):
        assert_close(a[k], reference.a[k], 128, f"a of layer {k}")
        assert_close(h[k], reference.h[k], 128, f"h of layer {k}")
        assert_close(dLdh[k], reference.dLdh[k], 128, f"dLdh of layer {k}")
        assert_close(dLda[k], reference.dLda[k], 128, f"dLda of layer {k}")
        assert_close(dLdW[k - 1], reference.dLdW[k], 128, f"dLdW of layer {k}")


@by_dtype
@pytest.mark.parametrize("n", [1, 3, 100, 5000])
def test_sums_over_many_samples_are_as_exact_as_pairwise_sums(kernels: Any, n: int, dtype: Any) -> None:
    """All terms are -6 / B, rounded; a pairwise sum loses a rounding for each of log2(B) levels at most."""
    samples = 1_000_000 // max(1, n // 3)
    term = dtype(-6 / samples)
    dLda, total = np.full((samples, n), term, dtype), unwritten(n, dtype)

    kernels.sum_samples(dLda, total)

    assert_agrees(total, loops.exact([term] * n) * samples, 4)


# The output layer.


def test_gradients_of_weights_lose_no_digits_over_many_samples(kernels: Any) -> None:
    samples = 1_000_000
    dLda, h = np.full((samples, 3), np.float32(-6 / samples)), np.ones((samples, 2), np.float32)
    dLdW = np.empty((3, 2), np.float32)
    kernels.outer(dLda, h, dLdW)

    assert abs(dLdW / (np.float64(dLda[0, 0]) * samples) - 1).max() < 1e-5


def outputs_of(kernels: Any, activation: str, a: NDArray[Any]) -> NDArray[Any]:
    y = unwritten(a.shape, a.dtype)
    kernels.activation_value(ACTIVATION_CODES[activation], a, y)
    return y


@pytest.mark.once_per("loss", "activation")
@by_pair
@given(drawn=st.data())
def test_loss_value(kernels: Any, loss: str, activation: str, drawn: st.DataObject) -> None:
    a, t = drawn.draw(matrices_of_targets(activation, loss))
    y, losses = outputs_of(kernels, activation, a), unwritten(len(a), a.dtype)
    stable = loops.is_stable(activation, loss, a.shape[1])
    logits, outputs, targets = loops.exact(a), loops.exact(y), loops.exact(t)

    reference = loops.exact(
        [
            loops.sample_loss_of_logits(loss, logits[s], targets[s], activation)
            if stable
            else loops.sample_loss(loss, outputs[s], targets[s], a.dtype)
            for s in range(len(a))
        ]
    )
    kernels.loss_value(LOSS_CODES[loss], ACTIVATION_CODES[activation], a, y, frozen(t), losses)

    if loss == "poisson":
        logarithms = abs(logits) if stable else abs(np.log(np.maximum(outputs, 1e-7)))
        if activation == "softmax":
            logarithms = abs(logits) + abs(loops.exact([loops.log_softmax(each) for each in logits]))
        assert_agrees(losses, reference, 16, (logarithms * targets + abs(outputs) + 1).sum(axis=1))
        return
    if loss == "nll" and not stable:  # its terms have both signs, and cancel
        assert_agrees(losses, reference, 4, abs(targets * outputs).sum(axis=1))
        return
    spread = (logits.max(axis=1) - logits.min(axis=1) + abs(logits).max(axis=1) + 1) * (
        1 + abs(targets).sum(axis=1)
    )
    assert_agrees(losses, reference, 16, abs(reference) + (spread if stable else a.shape[1]))


@by_loss
@given(drawn=st.data())
def test_loss_derivative(kernels: Any, loss: str, drawn: st.DataObject) -> None:
    y, t = drawn.draw(matrices(PROBABILITIES, 2))
    dLdy = unwritten(y.shape, y.dtype)

    reference = loops.exact(
        [
            loops.sample_loss_derivative(loss, y1, t1, y.dtype) / len(y)
            for y1, t1 in zip(loops.exact(y), loops.exact(t), strict=True)
        ]
    )
    kernels.loss_derivative(LOSS_CODES[loss], y, frozen(t), dLdy)

    assert_agrees(dLdy, reference, 16, magnitudes_of_derivatives(loss, y, t))


def magnitudes_of_derivatives(loss: str, y: NDArray[Any], t: NDArray[Any]) -> NDArray[Any]:
    """Of the terms of dLdy of a batch."""
    outputs, targets = loops.exact(y), loops.exact(t)
    return np.array(
        [
            loops.magnitude_of_derivative(loss, y1, t1) / len(y)
            for y1, t1 in zip(outputs, targets, strict=True)
        ]
    )


@pytest.mark.once_per("loss", "activation")
@by_pair
@given(drawn=st.data())
def test_output_error(kernels: Any, loss: str, activation: str, drawn: st.DataObject) -> None:
    a, t = drawn.draw(matrices_of_targets(activation, loss))
    y = outputs_of(kernels, activation, a)
    dLdy, dLda = unwritten(a.shape, a.dtype), unwritten(a.shape, a.dtype)
    samples, terms = len(a), a.size if loss_table.MEAN_OVER_OUTPUTS[LOSS_CODES[loss]] else len(a)
    outputs, targets = loops.exact(y), loops.exact(t)

    kernels.output_delta(LOSS_CODES[loss], ACTIVATION_CODES[activation], a, y, frozen(t), dLdy, dLda)

    derivatives = loops.exact(
        [
            loops.sample_loss_derivative(loss, outputs[s], targets[s], a.dtype) / samples
            for s in range(samples)
        ]
    )
    if loops.is_stable(activation, loss, a.shape[1]):
        logits = loops.exact(a)
        derivatives = loops.exact(
            [
                loops.sample_derivative_of_logits(loss, logits[s], targets[s], activation) / samples
                for s in range(samples)
            ]
        )
        y_exact = loops.exact([loops.activation(activation, each) for each in logits])
        z_exact = abs(1 - y_exact)
        if activation == "sigmoid":
            z_exact = loops.exact([loops.activation(activation, -each) for each in logits])
        elif activation == "softmax" and loss in loops.BINARY:
            z_exact = np.exp(loops.exact([loops.log_complements(each) for each in logits]))
        tiny = np.finfo(a.dtype).tiny  # 1 / y below it is beyond the dtype, or nearly
        exact_complements = activation == "sigmoid" or (activation == "softmax" and loss in loops.BINARY)
        inside = (y_exact > tiny) & ((z_exact > tiny) | (not exact_complements))
        magnitude_of_dLdy = 1 + targets / np.maximum(y_exact, tiny)
        if loss in {"bincrossentropy", "focal"}:
            magnitude_of_dLdy += abs(1 - targets) / np.maximum(z_exact, tiny if exact_complements else 1e-7)
        spread = 1 + logits.max(axis=1, keepdims=True) - logits.min(axis=1, keepdims=True)
        if activation == "softmax":  # exp magnifies the rounding of a - log(sum), of which 1 / y is made
            magnitude_of_dLdy *= spread
        assert_agrees(dLdy[inside], derivatives[inside], 16, magnitude_of_dLdy[inside] / samples, "dLdy")
        reference = [
            loops.sample_error_of_logits(loss, logits[s], targets[s], activation) / samples
            for s in range(samples)
        ]
        magnitude = spread * (1 + targets.sum(axis=1, keepdims=True)) * np.maximum(outputs, 1) / terms
        if activation != "softmax" and (activation, loss) not in {
            ("sigmoid", "bincrossentropy"),
            ("exponential", "poisson"),
        }:
            derivatives = loops.exact(
                [[loops.derivative(activation, each) for each in row] for row in logits]
            )
            terms_of_dLda = magnitude_of_dLdy * derivatives / samples
            magnitude = np.maximum(magnitude, (1 + abs(logits)) * terms_of_dLda)
        assert_agrees(dLda, loops.exact(reference), 16, magnitude, "dLda")
    else:
        assert_agrees(dLdy, derivatives, 16, magnitudes_of_derivatives(loss, y, t), "dLdy")
        computed_derivatives = loops.exact(dLdy)
        jacobians = [jacobian_of_outputs(activation, loops.exact(a)[s], outputs[s]) for s in range(samples)]
        reference = [loops.jacobian_product(computed_derivatives[s], jacobians[s]) for s in range(samples)]
        magnitude = abs(computed_derivatives).max(axis=1, keepdims=True)
        if activation == "log_softmax":
            magnitude = abs(computed_derivatives) + np.exp(outputs) * abs(computed_derivatives).sum(
                axis=1, keepdims=True
            )
        elif activation != "softmax":
            magnitude = abs(computed_derivatives) * np.maximum([J.max(axis=0) for J in jacobians], 1)
        assert_agrees(dLda, loops.exact(reference), 16, magnitude, "dLda")


def jacobian_of_outputs(activation: str, a: loops.Numbers, y: loops.Numbers) -> loops.Numbers:
    """The Jacobian at the outputs as they were rounded."""
    return np.diag(y) - np.outer(y, y) if activation == "softmax" else loops.jacobian(activation, a)


def matrices_of_targets(activation: str, loss: str) -> st.SearchStrategy[tuple[NDArray[Any], ...]]:
    """Pre-activations and targets that the loss is defined for."""
    row = loss_table.LOSSES[LOSS_CODES[loss]]
    anything = (row.target_minimum, row.target_maximum) == (-np.inf, np.inf)
    elements = ANYTHING if anything else PROBABILITIES
    arguments = NEAR if activation == "exponential" else ANYTHING
    return st.tuples(st.sampled_from(DTYPES), st.integers(1, 7), st.integers(1, 9)).flatmap(
        lambda drawn: st.tuples(
            arrays(drawn[0], drawn[1:], elements=arguments), arrays(drawn[0], drawn[1:], elements=elements)
        )
    )


# Networks.


def workspaces(case: Problem, samples: int, spare: int = 0) -> SimpleNamespace:
    """The flat workspaces, with more room than needed where `spare`."""
    layout = layout_of(case.lengths, [ACTIVATION_CODES[name] for name in case.activations])
    size, dtype = samples * unit_count(layout) + spare, case.x.dtype
    a, h, dLdh, dLda = (unwritten(size, dtype) for _ in range(4))
    parameters = case.vector
    return SimpleNamespace(
        layout=layout,
        parameters=parameters,
        gradient=unwritten(parameters.size, dtype),
        flat=Workspace(a, h, dLdh, dLda),
    )


@by_dtype
def test_sums_of_losses_are_those_of_numpy(kernels: Any, dtype: Any) -> None:
    for count in (*range(26), 127, loss_table.MAX_SUMMED):
        losses = np.random.default_rng(count).lognormal(0, 3, count).astype(dtype)

        assert kernels.sum_losses(frozen(losses)) == float(np.add.reduce(losses, dtype=np.float64))


@by_dtype
@pytest.mark.parametrize("order_key", [-1, 11])
@pytest.mark.parametrize("samples", [7, 130])
def test_an_epoch_is_shuffled_trained_and_summed(
    kernels: Any, samples: int, order_key: int, dtype: Any
) -> None:
    """All in one call, with the bits of a call for each; of many samples the sum is left out."""
    made: list[tuple[object, ...]] = []
    for whole in (False, True):
        case = problem((3, 4, 2), ("none", "sigmoid", "tanh"), "MSE", samples, dtype)
        work, order, losses = workspaces(case, 4), np.arange(samples)[::-1].copy(), unwritten(samples, dtype)
        network = work.parameters, work.layout
        if not whole and order_key >= 0:
            plain.shuffle(order_key, 5, 0, samples, order)
        epoch = Epoch(frozen(case.x), frozen(case.t), frozen(np.empty(0, dtype)), order, 4, losses)
        rest = LOSS_CODES["MSE"], epoch, descent(0.5, samples, work.parameters), work.flat, work.gradient
        if whole:
            total = kernels.train_epoch(*network, order_key, 5, 0, *rest)
        else:
            kernels.train_batches(*network, 0, *rest)
            total = kernels.sum_losses(losses) if samples == 7 else np.nan
        made.append((order.tolist(), losses.tobytes(), work.parameters.tobytes(), repr(float(total))))

    assert made[0] == made[1]


@pytest.mark.parametrize("weighted", [False, True])
@by_dtype
@by_batch
def test_evaluation(kernels: Any, samples: int, dtype: Any, weighted: bool) -> None:
    case = problem((3, 5, 4, 3), ("none", "relu", "tanh", "softmax"), "crossentropy", samples, dtype)
    work, losses = workspaces(case, samples, spare=3), unwritten(samples, dtype)
    factors: NDArray[Any] = np.linspace(0.5, 2, samples if weighted else 0).astype(dtype)
    expected, inputs, targets = unwritten(samples, dtype), frozen(case.x), frozen(case.t)

    kernels.forward(work.parameters, work.layout, INFERENCE, inputs, work.flat)
    a, y = (block(each, work.layout, 3, samples) for each in work.flat[:2])
    kernels.loss_value(LOSS_CODES["crossentropy"], ACTIVATION_CODES["softmax"], a, y, targets, expected)
    shown = y.copy()
    y[...] = np.nan
    kernels.evaluate(
        *(work.parameters, work.layout, LOSS_CODES["crossentropy"], inputs, targets),
        *(factors, work.flat, losses),
    )

    np.testing.assert_array_equal(losses, expected * factors if weighted else expected)
    np.testing.assert_array_equal(y, shown)


@pytest.mark.once_per("hidden", "output", "loss")
@by_dtype
@by_batch
@pytest.mark.parametrize(
    ("hidden", "output", "loss"),
    [
        *product(ELEMENTWISE, ["none"], ["MSE"]),
        *(("relu", *pair) for pair in PAIRS),
        *(("gelu", *pair) for pair in PAIRS if pair[0] == "softmax"),
    ],
)
def test_forward_and_backward(
    kernels: Any, hidden: str, output: str, loss: str, samples: int, dtype: Any
) -> None:
    first = "tanh" if hidden == "relu" else "none"
    case = problem((3, 5, 4, 3), (first, hidden, hidden, output), loss, samples, dtype)
    work = workspaces(case, samples, spare=3)
    inputs, targets = frozen(case.x), frozen(case.t)

    reference = case.trace
    kernels.forward(work.parameters, work.layout, INFERENCE, inputs, work.flat)
    kernels.backward(
        work.parameters,
        work.layout,
        INFERENCE,
        LOSS_CODES[loss],
        targets,
        work.flat,
        work.gradient,
    )

    for k in range(len(case.lengths)):
        assert_close(block(work.flat.h, work.layout, k, samples), reference.h[k], 32, f"h of layer {k}")
        if k > 0:
            assert_close(block(work.flat.a, work.layout, k, samples), reference.a[k], 32, f"a of layer {k}")
            assert_close(
                block(work.flat.dLdh, work.layout, k, samples), reference.dLdh[k], 128, f"dLdh of layer {k}"
            )
            assert_close(
                block(work.flat.dLda, work.layout, k, samples), reference.dLda[k], 128, f"dLda of layer {k}"
            )
    assert_close(work.gradient, reference.vector, 128, "the gradient")
    assert work.parameters.tobytes() == case.vector.tobytes()
    if first != "none":
        assert block(work.flat.a, work.layout, 0, samples).tobytes() == case.x.tobytes()
    for each in work.flat:
        assert np.isnan(each[-3:]).all()


ARCHITECTURES: list[tuple[tuple[int, ...], tuple[str, ...], str]] = [
    *(((3, 4, 3), ("sigmoid", "tanh", "none"), loss) for loss in LOSSES),
    *(((3, 4, 3), ("sigmoid", "tanh", "sigmoid"), loss) for loss in ("MSE", "bincrossentropy", "focal")),
    *(((3, 4, 3), ("sigmoid", "tanh", "softmax"), loss) for loss in ("MSE", "crossentropy", "kl_divergence")),
    ((1, 1), ("none", "none"), "MSE"),
    ((6, 3), ("tanh", "softmax"), "crossentropy"),
    ((5, 7, 6, 2), ("none", "relu", "relu", "none"), "MSE"),
    ((19, 9, 4), ("none", "relu", "softmax"), "crossentropy"),
    ((2, 1, 5, 1, 3), ("none", "tanh", "none", "sigmoid", "sigmoid"), "bincrossentropy"),
]
"""No hidden layer and many, narrow and wide ones, and units that are off."""


@pytest.mark.once_per("lengths", "names", "loss", "batch_size")
@by_dtype
@pytest.mark.parametrize("batch_size", [None, 1, 3, 4, 7])
@pytest.mark.parametrize(("lengths", "names", "loss"), ARCHITECTURES)
def test_training(
    kernels: Any, lengths: Sequence[int], names: Sequence[str], loss: str, batch_size: int | None, dtype: Any
) -> None:
    """An epoch of 7 samples and 4 of them again, in an order; by 3, 4 or 7 the last batch is smaller."""
    case = problem(lengths, names, loss, 7, dtype)
    work = workspaces(case, batch_size or 1)
    order = frozen(np.array([4, 0, 6, 2, 2, 5, 1, 3, 0, 6, 4], np.int64))
    eta, losses = dtype(2**-3), unwritten(len(order), dtype)
    given = [case.x.copy(), case.t.copy(), order.copy()]

    net, reference = case.net.descend(case.x, case.t, order.tolist(), batch_size or 1, float(eta))
    network, data = (work.parameters, work.layout), (frozen(case.x), frozen(case.t))
    epoch = Epoch(*data, frozen(np.empty(0, dtype)), order, batch_size or 1, losses)
    if batch_size is None:
        kernels.train_online(*network, LOSS_CODES[loss], epoch, eta, work.flat)
    else:
        update = descent(float(eta), len(order), work.parameters)
        kernels.train_batches(*network, 0, LOSS_CODES[loss], epoch, update, work.flat, work.gradient)

    assert_close(losses, reference, 512, "losses")
    assert_close(work.parameters, net.vector, 512, "parameters")
    assert all((before == after).all() for before, after in zip(given, (*data, order), strict=True))


@pytest.mark.once_per("output", "loss")
@by_dtype
@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize(("output", "loss"), PAIRS)
def test_steps_do_not_depend_on_how_many_a_call_makes(
    kernels: Any, output: str, loss: str, batch_size: int, dtype: Any
) -> None:
    """Only the last step of a call shows all that it computes."""
    case = problem((3, 4, 2), ("none", "relu", output), loss, 6, dtype)
    results: list[list[bytes]] = []
    for steps in (6 // batch_size, 1):
        work, losses, size = workspaces(case, batch_size), unwritten(6, dtype), steps * batch_size
        for start in range(0, 6, size):
            part, order = losses[start : start + size], np.arange(start, start + size)
            epoch = Epoch(case.x, case.t, np.empty(0, dtype), order, batch_size, part)
            update = descent(2**-6, steps, work.parameters)
            network = work.parameters, work.layout, 0, LOSS_CODES[loss]
            kernels.train_batches(*network, epoch, update, work.flat, work.gradient)
        results.append([work.parameters.tobytes(), losses.tobytes()])

    assert results[0] == results[1]


@pytest.mark.once_per("lengths", "names", "loss", "batch_size")
@by_dtype
@pytest.mark.parametrize("batch_size", [1, 4, 11])
@pytest.mark.parametrize(("lengths", "names", "loss"), ARCHITECTURES)
def test_training_with_weights(
    kernels: Any, lengths: Sequence[int], names: Sequence[str], loss: str, batch_size: int, dtype: Any
) -> None:
    """A whole weight is as many copies of a sample, where the mean is over as many; one of 0 is none."""
    case = problem(lengths, names, loss, 7, dtype)
    work = workspaces(case, batch_size)
    weights = np.array([1, 2, 0, 3, 1, 0.5, 2], dtype)
    order = np.array([4, 0, 6, 2, 2, 5, 1, 3, 0, 6, 4], np.int64)
    net, reference = case.net, list[Any]()
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        gradient = 0
        for sample in chosen:
            trace = net.trace(case.x[[sample]], case.t[[sample]])
            gradient = gradient + weights[sample] * trace.vector / len(chosen)
            reference.append(weights[sample] * net.mean_loss(case.x[[sample]], case.t[[sample]]))
        net = net.with_vector(net.vector - 2**-3 * gradient)

    losses = unwritten(len(order), dtype)
    kernels.train_batches(
        *(work.parameters, work.layout, 0, LOSS_CODES[loss]),
        Epoch(frozen(case.x), frozen(case.t), frozen(weights), frozen(order), batch_size, losses),
        *(descent(2**-3, len(order), work.parameters), work.flat, work.gradient),
    )

    assert_close(losses, np.array(reference), 512, "losses")
    assert_close(work.parameters, net.vector, 512, "parameters")


@by_dtype
@pytest.mark.parametrize("wrong", [np.nan, np.inf, "input of units that are off", "rate", "rate of biases"])
def test_a_step_that_is_not_finite_is_not_made(kernels: Any, wrong: Any, dtype: Any) -> None:
    case = problem((3, 4, 2), ("none", "relu", "none"), "MSE", 7, dtype)
    work, x, eta = workspaces(case, 2), case.x.copy(), 2.0**-3
    order = np.array([4, 0, 6, 2, 5, 1, 3], np.int64)
    good = 4
    if wrong == "rate":
        good, eta = 0, float(np.finfo(dtype).max)
    elif wrong == "rate of biases":  # nothing else has a gradient
        good, eta = 0, float(np.finfo(dtype).max)
        x[...], work.parameters[...] = 0, 0
    elif wrong == "input of units that are off":  # losses and signals are finite
        W = weights(work.parameters, work.layout, 1)
        W[:, 1] = abs(W[:, 1]) + 1
        x[order[5], 1] = -np.inf
    else:
        x[order[5], 1] = wrong
    net = case.net.with_vector(loops.exact(work.parameters))
    net, reference = net.descend(case.x, case.t, order[:good].tolist(), 2, eta)

    losses = unwritten(7, dtype)
    kernels.train_batches(
        *(work.parameters, work.layout, 0, LOSS_CODES["MSE"]),
        Epoch(frozen(x), frozen(case.t), frozen(np.empty(0, dtype)), frozen(order), 2, losses),
        *(descent(eta, len(order), work.parameters), work.flat, work.gradient),
    )

    assert_close(losses[:good], reference, 512, "losses")
    assert np.isnan(losses[good:]).all()
    assert_close(work.parameters, net.vector, 512, "parameters")


@by_dtype
@pytest.mark.parametrize("batch_size", [1, 4])
def test_workspaces_show_the_last_step(kernels: Any, batch_size: int, dtype: Any) -> None:
    """An epoch leaves the passes of the last batch, made with the weights before its step."""
    case = problem((3, 4, 2), ("none", "sigmoid", "tanh"), "MSE", 7, dtype)
    work, order = workspaces(case, batch_size), np.arange(7)
    last = order[6:] if batch_size == 1 else order[4:]
    before, _ = case.net.descend(case.x, case.t, order[: -len(last)].tolist(), batch_size, 0.5)

    reference = before.trace(case.x[last], case.t[last])
    network, data = (work.parameters, work.layout), (frozen(case.x), frozen(case.t))
    unweighted, loss = frozen(np.empty(0, dtype)), LOSS_CODES["MSE"]
    epoch = Epoch(*data, unweighted, frozen(order), batch_size, unwritten(7, dtype))
    if batch_size == 1:
        kernels.train_online(*network, loss, epoch, dtype(0.5), work.flat)
    else:
        update = descent(0.5, len(order), work.parameters)
        kernels.train_batches(*network, 0, loss, epoch, update, work.flat, work.gradient)

    for k in (1, 2):
        for name in ("a", "h", "dLdh", "dLda"):
            computed = block(getattr(work.flat, name), work.layout, k, len(last))
            assert_close(computed, getattr(reference, name)[k], 512, f"{name} of layer {k}")


# The two paths, up to sizes that are worked on block by block.

SIZES = [(1, 1), (1, 130), (3, 200), (70, 300)]


@pytest.mark.skipif("numba" not in PATHS, reason="one path only")
@by_dtype
@pytest.mark.parametrize(("samples", "n"), SIZES)
def test_paths_agree(samples: int, n: int, dtype: Any) -> None:
    rng = np.random.default_rng(6)
    n_prev = n // 2 + 1
    a = rng.normal(0, 4, (samples, n)).astype(dtype)
    g, h_prev = rng.normal(size=(samples, n)).astype(dtype), rng.normal(size=(samples, n_prev)).astype(dtype)
    W, bias = (rng.normal(size=shape).astype(dtype) / dtype(n) for shape in ((n, n_prev), n))
    t = frozen(rng.dirichlet(np.ones(n), samples).astype(dtype))
    outputs = {name: outputs_of(kernels_of("numpy"), name, a) for name in NAMES}

    references, results = (
        results_of(kernels_of(path), a, outputs, g, h_prev, W, bias, t) for path in ("numpy", "numba")
    )

    for name, (reference, magnitude) in references.items():
        assert_agrees(results[name][0], reference, 16, abs(reference).max() + magnitude, name)


def results_of(
    run: Any,
    a: NDArray[Any],
    outputs: dict[str, NDArray[Any]],
    g: NDArray[Any],
    h_prev: NDArray[Any],
    W: NDArray[Any],
    bias: NDArray[Any],
    t: NDArray[Any],
) -> dict[str, tuple[NDArray[Any], Any]]:
    """The results of all kernels of a layer by name, and the magnitude of terms that may cancel in them."""
    found: dict[str, tuple[NDArray[Any], Any]] = {}

    def result(name: str, shape: int | tuple[int, ...], magnitude: Any = 0) -> NDArray[Any]:
        found[name] = unwritten(shape, a.dtype), magnitude
        return found[name][0]

    run.affine(h_prev, W, bias, result("affine", a.shape))
    run.outer(g, h_prev, result("outer", W.shape))
    run.sum_samples(g, result("sum_samples", bias.shape))
    run.backpropagate(g, W, result("backpropagate", h_prev.shape))
    for name, code in ACTIVATION_CODES.items():
        y = outputs[name]
        run.activation_value(code, a, result(f"{name} value", a.shape))
        run.activation_backward(code, a, y, g, result(f"{name} product", a.shape, abs(g).max()))
        if name in ELEMENTWISE:
            run.activation_derivative(code, a, y, result(f"{name} slope", a.shape, 1))
        for loss, loss_code in LOSS_CODES.items():
            run.loss_value(loss_code, code, a, y, t, result(f"{name} {loss}", len(a), abs(a).max()))
            dLdy = result(f"{name} {loss} dLdy", a.shape)
            dLda = result(f"{name} {loss} dLda", a.shape, 0)
            run.output_delta(loss_code, code, a, y, t, dLdy, dLda)
            found[f"{name} {loss} dLda"] = dLda, abs(dLdy).max()
    return found

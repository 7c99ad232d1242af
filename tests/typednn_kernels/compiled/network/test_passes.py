"""Epochs of the compiled path beside those of the plain path: the same numbers within rounding."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from typednn_kernels import operands, plain
from typednn_kernels.activations import ACTIVATIONS
from typednn_kernels.activations import CODES as ACTIVATION_CODES
from typednn_kernels.layout import ACTIVATION, layout_of, parameter_count, unit_count
from typednn_kernels.losses import CODES as LOSS_CODES
from typednn_kernels.operands import Workspace

from tests.conftest import ENTRY_POINTS
from tests.oracles.problems import PAIRS
from tests.typednn_kernels.updating import descent

pytest.importorskip("numba", reason="numba does not work here", exc_type=ImportError)
compiled = ENTRY_POINTS

SAMPLES = 23
SHAPES = ([3, 2], [1, 1], [4, 5, 3], [1, 1, 1, 1], [20, 70, 9, 2], [33, 4, 130, 5])

by_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda dtype: dtype.__name__)
by_batch_size = pytest.mark.parametrize("batch_size", [1, 7])


class Epoch:
    """A network and its workspaces, trained for an epoch on one of the paths."""

    def __init__(
        self, path: Any, lengths: list[int], activations: list[str], loss: str, batch_size: int, dtype: Any
    ) -> None:
        random = np.random.default_rng(7)
        self.layout = layout_of(lengths, [ACTIVATION_CODES[each] for each in activations])
        self.parameters = (random.normal(size=parameter_count(self.layout)) / 4).astype(dtype)
        x = read_only(random.normal(size=(SAMPLES, lengths[0])).astype(dtype))
        t = read_only(random.uniform(0.1, 0.9, (SAMPLES, lengths[-1])).astype(dtype))
        order = read_only(random.integers(0, SAMPLES, SAMPLES))
        size = batch_size * unit_count(self.layout)
        self.work = Workspace(*(np.full(size, 7, dtype) for _ in range(4)))
        self.gradient = np.empty_like(self.parameters)
        self.losses = np.empty(SAMPLES, dtype)
        code = LOSS_CODES[loss]
        rate = dtype(0.05)
        unweighted = read_only(np.empty(0, dtype))
        epoch = operands.Epoch(x, t, unweighted, order, batch_size, self.losses)
        if batch_size == 1:
            path.train_online(self.parameters, self.layout, code, epoch, rate, self.work)
        else:
            path.train_batches(
                self.parameters,
                self.layout,
                0,
                code,
                epoch,
                descent(float(rate), SAMPLES, self.parameters),
                self.work,
                self.gradient,
            )
        self.last_batch = (SAMPLES - 1) % batch_size + 1

    def workspaces(self) -> list[Any]:
        """What the last batch left: a and h, and dLdh and dLda of all layers but the input layer."""
        n_inputs, stop = self.last_batch * int(self.layout[0, 0]), self.last_batch * unit_count(self.layout)
        a, h, dLdh, dLda = (each[:stop] for each in self.work)
        first = 0 if self.layout[0, ACTIVATION] else n_inputs
        return [a[first:], h, dLdh[n_inputs:], dLda[n_inputs:]]


def read_only(array: Any) -> Any:
    """As training hands its data over; other arrays would be compiled for once more."""
    array.setflags(write=False)
    return array


def assert_agree(ours: Epoch, reference: Epoch) -> None:
    """Sums of up to 130 terms and 23 steps: some thousand units in the last place of the largest term."""
    tolerance = 4000 * np.finfo(reference.parameters.dtype).eps
    pairs = [(ours.parameters, reference.parameters), (ours.losses, reference.losses)]
    for computed, expected in [*pairs, *zip(ours.workspaces(), reference.workspaces(), strict=True)]:
        np.testing.assert_allclose(
            computed, expected, rtol=tolerance, atol=tolerance * max(1, abs(expected).max())
        )


def assert_same_epoch(*arguments: Any) -> None:
    assert_agree(Epoch(compiled, *arguments), Epoch(plain, *arguments))


@pytest.mark.once_per("activation", "loss")
@by_dtype
@by_batch_size
@pytest.mark.parametrize(("activation", "loss"), PAIRS)
def test_every_output_activation_with_every_loss(
    activation: str, loss: str, batch_size: int, dtype: Any
) -> None:
    if activation == "none" and loss != "MSE":
        pytest.skip("outputs that are no probabilities")
    if (activation, loss) == ("exponential", "nll"):
        pytest.skip("the loss has no lower bound")
    assert_same_epoch([4, 6, 3], ["none", "tanh", activation], loss, batch_size, dtype)


@pytest.mark.once_per("lengths", "hidden")
@by_dtype
@by_batch_size
@pytest.mark.parametrize("hidden", [row.name for row in ACTIVATIONS if row.derivative is not None])
@pytest.mark.parametrize("lengths", SHAPES, ids=str)
def test_every_hidden_activation_and_shape(
    lengths: list[int], hidden: str, batch_size: int, dtype: Any
) -> None:
    if hidden == "exponential" and max(lengths) > 50:
        pytest.skip("exponentials of sums of exponentials are infinite")
    activations = ["none", *[hidden] * (len(lengths) - 2), "sigmoid"]
    assert_same_epoch(lengths, activations, "bincrossentropy", batch_size, dtype)


@by_dtype
@by_batch_size
@pytest.mark.parametrize("activation", ["sigmoid", "relu", "tanh"])
def test_an_input_layer_with_an_activation(activation: str, batch_size: int, dtype: Any) -> None:
    assert_same_epoch([70, 5, 2], [activation, "relu", "softmax"], "crossentropy", batch_size, dtype)
    assert_same_epoch([3, 2], [activation, "none"], "MSE", batch_size, dtype)


@by_dtype
def test_nothing_is_done_for_units_that_are_off(dtype: Any) -> None:
    lengths, activations = [5, 4, 4, 2], ["none", "relu", "relu", "none"]
    epoch = Epoch(compiled, lengths, activations, "MSE", 1, dtype)
    layout, x, t = epoch.layout, read_only(np.ones((3, 5), dtype)), read_only(np.ones((3, 2), dtype))
    epoch.parameters[layout[1, 4] : layout[1, 4] + 4] = -1000  # the biases of the first hidden layer
    before = epoch.parameters.copy()
    unweighted = read_only(np.empty(0, dtype))
    data = operands.Epoch(x, t, unweighted, read_only(np.arange(3)), 1, np.empty(3, dtype))

    compiled.train_online(epoch.parameters, layout, 0, data, dtype(0.1), epoch.work)

    first, second = slice(0, int(layout[2, 3])), slice(int(layout[2, 3]), None)
    np.testing.assert_array_equal(epoch.parameters[first], before[first])
    assert (epoch.parameters[second] != before[second]).any()


@by_dtype
@by_batch_size
def test_the_same_data_give_the_same_bits(batch_size: int, dtype: Any) -> None:
    arguments = ([20, 70, 3], ["none", "relu", "softmax"], "crossentropy", batch_size, dtype)

    one, other = Epoch(compiled, *arguments), Epoch(compiled, *arguments)

    np.testing.assert_array_equal(one.parameters, other.parameters)
    np.testing.assert_array_equal(one.losses, other.losses)


@by_dtype
def test_no_samples_change_nothing(dtype: Any) -> None:
    layout = layout_of([2, 3, 1], [0, 1, 0])
    parameters = np.ones(parameter_count(layout), dtype)
    work = Workspace(*(np.zeros(unit_count(layout), dtype) for _ in range(4)))
    x, t = read_only(np.ones((4, 2), dtype)), read_only(np.ones((4, 1), dtype))
    unweighted, order = read_only(np.empty(0, dtype)), read_only(np.arange(0))
    epoch, update = (
        operands.Epoch(x, t, unweighted, order, 1, np.empty(0, dtype)),
        descent(0.1, 0, parameters),
    )

    compiled.train_online(parameters, layout, 0, epoch, dtype(0.1), work)
    compiled.train_batches(parameters, layout, 0, 0, epoch, update, work, parameters.copy())

    assert (parameters == 1).all()

"""Gradient descent: by hand, by epoch, compiled, through both doors; and what interrupts it."""

from __future__ import annotations

import signal
import time
from importlib import import_module
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.oracles.agreement import assert_close
from tests.oracles.problems import PAIRS, Problem, problem
from tests.typednn.building import (
    DTYPES,
    Dtype,
    ann_of,
    both_ways,
    gradient_of,
    network_of,
    vector_of,
)
from typednn import (
    DivergenceError,
    HiddenLayer,
    History,
    InputLayer,
    Network,
    OutputLayer,
    gradient_descent_epoch,
    gradient_descent_threshold,
)
from typednn.backends import kernels as active_kernels

by_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)
both_paths = pytest.mark.usefixtures("path")

CASE = problem((3, 4, 2), ("none", "tanh", "none"), "MSE", 11)
ETA = 0.25


def by_hand(ann: list[Any], x: NDArray[Any], t: NDArray[Any], eta: float, epochs: int) -> list[float]:
    """The loop that one writes; the mean loss of each epoch."""
    losses: list[float] = []
    for _ in range(epochs):
        total = 0.0
        for sample, target in zip(x, t, strict=True):
            both_ways(ann, sample, target)
            total += ann[-1].loss() / len(x)
            for layer in ann[1:]:
                layer.W -= eta * layer.dLdW
                layer.Bias -= eta * layer.dLda.reshape(1, -1)
        losses.append(total)
    return losses


# One truth.

ILL_CONDITIONED = ("exponential", "focal")
"""Outputs come near 1, where rounding counts many times in the logarithm of their distance from it."""


@pytest.mark.once_per("output", "loss")
@by_dtype
@pytest.mark.parametrize(("output", "loss"), [pair for pair in PAIRS if pair != ILL_CONDITIONED])
@both_paths
def test_all_ways_to_train_give_the_same_weights(output: str, loss: str, dtype: Any, path: str) -> None:
    """By hand = gradient_descent_epoch = Network.fit, and all as the triple loops."""
    case = problem((3, 4, 3), ("none", "sigmoid", output), loss, 5, dtype)
    epochs, eta = 3, 2.0**-6
    net, sample_losses = case.net.descend(case.x, case.t, [*range(5)] * epochs, 1, eta)
    reference = sample_losses.reshape(epochs, 5).mean(axis=1)

    hand, compiled, typed = ann_of(case), ann_of(case), network_of(case)
    hand_losses = by_hand(hand, case.x, case.t, eta, epochs)
    same, epoch_losses = gradient_descent_epoch(compiled, case.x, case.t, eta, epochs)
    history = typed.fit(case.x, case.t, epochs=epochs, batch_size=1, learning_rate=eta, shuffle=False)

    assert same is compiled
    assert epoch_losses == history.loss
    assert vector_of(compiled).tobytes() == typed.parameters.tobytes()
    if path == "numpy":
        assert vector_of(hand).tobytes() == typed.parameters.tobytes()
    for vector, losses in ((vector_of(hand), hand_losses), (typed.parameters, history.loss)):
        assert_close(vector, net.vector, 512)
        assert_close(np.array(losses, dtype), reference, 512)


@by_dtype
@pytest.mark.parametrize("batch_size", [1, 2, 3, 4, 5, 10, 11])
@both_paths
def test_batches(batch_size: int, dtype: Any) -> None:
    """11 samples: the last batch has from 1 to all of them."""
    case = problem((3, 4, 2), ("none", "tanh", "softmax"), "crossentropy", 11, dtype)
    network = network_of(case)

    first, losses = case.net.descend(case.x, case.t, range(11), batch_size, ETA)
    second, more = first.descend(case.x, case.t, range(11), batch_size, ETA)
    history = network.fit(case.x, case.t, epochs=2, batch_size=batch_size, learning_rate=ETA, shuffle=False)

    assert_close(network.parameters, second.vector, 512)
    assert_close(np.array(history.loss, dtype), [losses.mean(), more.mean()], 512)


@pytest.mark.parametrize("batch_size", [1, 3])
@both_paths
def test_chunks_of_an_epoch_make_no_difference(batch_size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def trained() -> tuple[bytes, History]:
        network = network_of(CASE)
        x, t = np.tile(CASE.x, (20, 1)), np.tile(CASE.t, (20, 1))
        history = network.fit(x, t, epochs=2, batch_size=batch_size, learning_rate=0.01)
        return network.parameters.tobytes(), history

    reference = trained()
    training: Any = import_module("typednn.training.trainer")
    start = training.Trainer.__init__

    def in_small_pieces(self: Any, *arguments: Any) -> None:
        start(self, *arguments)
        self.chunk = 2

    monkeypatch.setattr(training.Trainer, "__init__", in_small_pieces)
    monkeypatch.setattr(training, "CHUNK_SECONDS", 0.0)

    assert trained() == reference


@pytest.mark.parametrize(
    ("door", "batch_size", "output", "loss"),
    [
        ("classic", 1, "none", "MSE"),
        ("typed", 1, "none", "MSE"),
        ("typed", 4, "none", "MSE"),
        ("typed", 4, "softmax", "crossentropy"),
        ("typed", 4, "softplus", "poisson"),
    ],
)
@by_dtype
@both_paths
def test_layers_show_the_last_step(door: str, batch_size: int, output: str, loss: str, dtype: Any) -> None:
    """Afterwards the layers hold the last batch, passed through the weights before its step."""
    case = problem((3, 4, 2), ("sigmoid", "tanh", output), loss, 11, dtype)
    ann: list[Any] = ann_of(case) if door == "classic" else list(network_of(case).layers)
    last = range(10, 11) if batch_size == 1 else range(8, 11)
    before, _ = case.net.descend(case.x, case.t, range(last.start), batch_size, ETA)

    reference = before.trace(case.x[last], case.t[last])
    if door == "classic":
        gradient_descent_epoch(ann, case.x, case.t, ETA, 1)
    else:
        network = network_of(case)
        ann = list(network.layers)
        network.fit(case.x, case.t, epochs=1, batch_size=batch_size, learning_rate=ETA, shuffle=False)

    assert_close(gradient_of(ann), reference.vector, 512)
    for k, layer in enumerate(ann):
        assert_close(layer.pre_activations, reference.a[k].T, 512)
        assert_close(layer.activations, reference.h[k].T, 512)
    assert_close(ann[1].dLdh, reference.dLdh[1].T, 512)
    assert_close(ann[2].dLdy, reference.dLdh[2].T, 512)


@both_paths
def test_gradients_of_a_hand_written_pass_do_not_linger_after_training() -> None:
    network = network_of(CASE)
    layers: list[Any] = list(network.layers)
    both_ways(layers, CASE.x, CASE.t)
    before = gradient_of(layers)

    network.fit(CASE.x, CASE.t, epochs=1, batch_size=4, learning_rate=ETA)

    assert abs(gradient_of(layers) - before).max() > 1e-3
    for layer in layers[1:]:
        assert_close(layer.dLdBias, layer.dLda.sum(axis=1).reshape(1, -1), 16)
        assert_close(layer.dLdW, layer.dLda @ layer.previous.activations.T, 16)


# The classic door.


@both_paths
def test_data_as_they_come_to_the_layer_api() -> None:
    case = problem((2, 3, 1), ("none", "tanh", "none"), "MSE", 4)
    x, t = np.rint(case.x * 4), np.rint(case.t * 4)

    results = [
        (vector_of(ann).tobytes(), losses)
        for given_x, given_t in (
            (x, t),
            (x.tolist(), t.tolist()),
            (x.astype(np.float32), t.astype(np.int8)),
            (np.asfortranarray(x), t[:, 0]),
            (x.astype(">i8"), t[:, 0].tolist()),
        )
        for ann, losses in [gradient_descent_epoch(ann_of(case), given_x, given_t, 0.01, 2)]
    ]

    assert results == [results[0]] * 5


@both_paths
def test_labels_in_the_layer_api() -> None:
    case = problem((2, 3, 3), ("none", "tanh", "softmax"), "crossentropy", 6)
    labels = np.array([0, 2, 1, 1, 0, 2])

    reference = gradient_descent_epoch(ann_of(case), case.x, np.eye(3)[labels], ETA, 2)[1]

    assert gradient_descent_epoch(ann_of(case), case.x, labels, ETA, 2)[1] == reference
    assert gradient_descent_epoch(ann_of(case), case.x, labels.tolist(), ETA, 2)[1] == reference


def losses_of(case: Problem, epochs: int, eta: float) -> list[float]:
    return gradient_descent_epoch(ann_of(case), case.x, case.t, eta, epochs)[1]


@both_paths
def test_threshold_ends_with_the_first_epoch_that_is_good_enough() -> None:
    reference = losses_of(CASE, 8, 0.02)
    assert reference == sorted(reference, reverse=True)
    ann, net = ann_of(CASE), CASE.net

    for thresh, epochs in ((reference[3] + 1e-9, 4), (reference[3], 4), (reference[3] - 1e-9, 5), (1e9, 1)):
        ann = ann_of(CASE)
        same, losses = gradient_descent_threshold(ann, CASE.x, CASE.t, 0.02, thresh)
        assert same is ann
        assert losses == reference[:epochs]
        net, _ = CASE.net.descend(CASE.x, CASE.t, [*range(11)] * epochs, 1, 0.02)
        assert_close(vector_of(ann), net.vector, 512)


@both_paths
def test_threshold_ends_after_so_many_epochs() -> None:
    reference = losses_of(CASE, 5, 0.02)

    assert gradient_descent_threshold(ann_of(CASE), CASE.x, CASE.t, 0.02, 0.0, 5)[1] == reference
    assert (
        gradient_descent_threshold(ann_of(CASE), CASE.x, CASE.t, 0.02, 0.0, max_epochs=1)[1] == reference[:1]
    )


@both_paths
def test_threshold_ends_when_the_loss_rises() -> None:
    """A slope of 1, learnt from 0 in steps that overshoot: the error grows with every step."""
    ann: list[Any] = [InputLayer(1), OutputLayer(1)]
    ann[1].attach_after(ann[0])
    ann[1].set_weights("zeros")

    losses = gradient_descent_threshold(ann, [[1.0]], [[1.0]], 0.75, 0.0)[1]

    assert losses == [1.0, 4.0]  # y = 0, then 0 + 2 * (3/4) * 2 = 3


# XOR.

XOR_X, XOR_Y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([[0], [1], [1], [0]])


@both_paths
def test_xor_by_the_layer_api() -> None:
    ANN: list[Any] = [InputLayer(2), HiddenLayer(4, "tanh"), OutputLayer(1, "sigmoid", "bincrossentropy")]
    for before, layer in pairwise(ANN):
        layer.attach_after(before)
        layer.set_weights("xavier", seed=0)

    same, losses = gradient_descent_epoch(ANN, XOR_X, XOR_Y, 0.5, 500)
    ANN[0].put_values(XOR_X)
    for layer in ANN:
        layer.forward()

    assert same is ANN
    assert len(losses) == 500
    assert losses[-1] < 0.02 < 0.5 < losses[0]
    assert np.rint(ANN[-1].output().T).tolist() == XOR_Y.tolist()


@by_dtype
@both_paths
def test_xor_by_the_network_api(dtype: Dtype) -> None:
    layers: list[Any] = [InputLayer(2), HiddenLayer(8, "tanh"), OutputLayer(2, "softmax", "crossentropy")]
    network: Network[Any] = Network(layers, dtype=dtype, seed=0)
    x = XOR_X.astype(dtype)

    history = network.fit(x, XOR_Y[:, 0], epochs=300, batch_size=4, learning_rate=0.5)

    assert history.loss[-1] < 0.05 < 0.5 < history.loss[0]
    assert network.predict(x).argmax(axis=1).tolist() == [0, 1, 1, 0]
    assert network.evaluate(x, XOR_Y[:, 0]).accuracy == 1


# fit.


@both_paths
def test_the_same_seed_gives_the_same_bits() -> None:
    def trained(seed: Any) -> tuple[bytes, History]:
        network = Network([InputLayer(3), HiddenLayer(4, "tanh"), OutputLayer(2)], seed=seed)
        history = network.fit(CASE.x, CASE.t, epochs=3, batch_size=2, learning_rate=0.1)
        return network.parameters.tobytes(), history

    assert trained(5) == trained(5) == trained(np.random.default_rng(5))
    assert trained(5)[1] != trained(6)[1]


@both_paths
def test_every_epoch_trains_every_sample_once_in_an_order_of_its_own(
    monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    orders: list[list[int]] = []
    kernels: Any = active_kernels(np.dtype(np.float64))
    train = kernels.train_online

    def noted(*arguments: Any) -> None:
        orders.extend(arguments[3].order.reshape(-1, 11).tolist())
        train(*arguments)

    monkeypatch.setattr(kernels, "train_online", noted)
    network = network_of(CASE)
    network.fit(CASE.x, CASE.t, epochs=3, batch_size=1, learning_rate=0.01)
    network.fit(CASE.x, CASE.t, epochs=1, batch_size=1, learning_rate=0.01, shuffle=False)

    assert [sorted(order) for order in orders] == [list(range(11))] * 4
    assert len({tuple(order) for order in orders}) == 4
    assert orders[-1] == list(range(11))


@both_paths
def test_history() -> None:
    network, held_out = network_of(CASE), (CASE.x[:4], CASE.t[:4])
    seen: list[tuple[list[float], list[float]]] = []
    expected: list[float] = []

    def on_epoch(history: History) -> None:
        seen.append((list(history.loss), list(history.validation_loss)))
        expected.append(network.loss(*held_out))

    history = network.fit(
        CASE.x, CASE.t, epochs=3, batch_size=4, learning_rate=0.1, validation_data=held_out, on_epoch=on_epoch
    )

    assert history.validation_loss == expected
    assert seen == [(history.loss[:k], history.validation_loss[:k]) for k in (1, 2, 3)]
    assert network.history is history
    assert not network.fit(CASE.x, CASE.t, epochs=1, batch_size=4).validation_loss


def test_training_goes_on_where_it_was() -> None:
    reference, network = network_of(CASE), network_of(CASE)
    settings: dict[str, Any] = {"batch_size": 4, "learning_rate": 0.1, "shuffle": False}

    losses = reference.fit(CASE.x, CASE.t, epochs=4, **settings).loss
    computed = [network.fit(CASE.x, CASE.t, epochs=1, **settings).loss[0] for _ in range(4)]

    assert computed == losses
    assert network.parameters.tobytes() == reference.parameters.tobytes()


# What goes wrong on the way.


def divergent(door: str) -> tuple[Any, Any]:
    """Something to train whose steps are far too long, and how."""
    ann: Any = ann_of(CASE)
    network = network_of(CASE)
    if door == "classic":
        return ann, lambda: gradient_descent_epoch(ann, CASE.x, CASE.t, 1e3, 200)
    if door == "threshold":
        return ann, lambda: gradient_descent_threshold(ann, CASE.x, CASE.t, 1e200, 0.0)
    return list(network.layers), lambda: network.fit(
        CASE.x, CASE.t, epochs=200, batch_size=3, learning_rate=1e3
    )


@pytest.mark.parametrize("door", ["classic", "threshold", "typed"])
@both_paths
def test_divergence_leaves_the_network_as_after_the_last_good_step(door: str) -> None:
    ann, train = divergent(door)
    both_ways(ann, CASE.x, CASE.t)
    before = vector_of(ann).tobytes()

    with pytest.raises(DivergenceError, match=r"at step \d+ of epoch \d+: layer 2, Output.*A smaller"):
        train()

    assert np.isfinite(vector_of(ann)).all()
    assert vector_of(ann).tobytes() != before


@by_dtype
@both_paths
def test_a_parameter_that_becomes_infinite_is_divergence(dtype: Any) -> None:
    """The loss before the last step is finite still."""
    network = Network([InputLayer(1), OutputLayer(1)], dtype=dtype, seed=0)
    largest = float(np.finfo(dtype).max)
    x, t = np.array([[1.0]], dtype), np.array([[np.sqrt(largest) / 4]], dtype)
    before = network.parameters.tobytes()

    for batch_size in (1, 2):
        x, t = np.repeat(x, batch_size, axis=0), np.repeat(t, batch_size, axis=0)
        with pytest.raises(DivergenceError, match=r"at step 1 of epoch 1: layer 1, .* has steps that"):
            network.fit(x, t, epochs=1, batch_size=batch_size, learning_rate=largest / 8)
        assert network.parameters.tobytes() == before


def usable(network: Network[Any], x: NDArray[Any], t: NDArray[Any]) -> bool:
    """Whether a network predicts, shows and learns."""
    both_ways(list(network.layers), x[:5], t[:5])
    history = network.fit(x[:50], t[:50], epochs=2, batch_size=1, learning_rate=0.001)
    return bool(np.isfinite(network.predict(x)).all() and np.isfinite(history.loss).all())


@pytest.mark.parametrize("batch_size", [1, 4])
@both_paths
def test_an_interrupt_between_chunks_keeps_those_that_are_done(
    batch_size: int, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernels: Any = active_kernels(np.dtype(np.float64))
    name = "train_online" if batch_size == 1 else "train_batches"
    train, done = getattr(kernels, name), list[Any]()
    x, t = np.tile(CASE.x, (500, 1)), np.tile(CASE.t, (500, 1))
    network = network_of(CASE)

    def interrupted(*arguments: Any) -> None:
        if done:
            raise KeyboardInterrupt
        train(*arguments)
        order = arguments[3 if batch_size == 1 else 4].order
        done.append((order.copy(), arguments[0].copy()))

    with monkeypatch.context() as patch:
        patch.setattr(kernels, name, interrupted)
        with pytest.raises(KeyboardInterrupt):
            network.fit(x, t, batch_size=batch_size, learning_rate=0.01, shuffle=False)

    order, parameters = done[0]
    assert 0 < len(order) < len(x)
    assert network.parameters.tobytes() == parameters.tobytes()
    assert parameters.tobytes() != CASE.vector.tobytes()
    assert usable(network, x, t)


@pytest.mark.parametrize("batch_size", [1, 4])
@both_paths
def test_an_interrupt_leaves_no_gradient_of_another_pass(
    batch_size: int, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training has used the memory of the layers' gradients; the layers show the last step that was made."""
    kernels: Any = active_kernels(np.dtype(np.float64))
    name = "train_online" if batch_size == 1 else "train_batches"
    train = getattr(kernels, name)
    network, reference = network_of(CASE), network_of(CASE)
    both_ways(list(network.layers), CASE.x, CASE.t)
    reference.fit(CASE.x, CASE.t, batch_size=batch_size)

    def interrupted(*arguments: Any) -> None:
        train(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(kernels, name, interrupted)
    with pytest.raises(KeyboardInterrupt):
        network.fit(CASE.x, CASE.t, batch_size=batch_size)

    assert network.parameters.tobytes() == reference.parameters.tobytes()
    assert network.history.loss == reference.history.loss
    assert_close(gradient_of(list(network.layers)), gradient_of(list(reference.layers)), 16)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers that interrupt on this system")
@both_paths
def test_an_interrupt_is_answered_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network([InputLayer(3), HiddenLayer(64, "tanh"), OutputLayer(2)], seed=0)
    x, t = np.tile(CASE.x, (20_000, 1)), np.tile(CASE.t, (20_000, 1))
    network.fit(CASE.x, CASE.t, epochs=1, batch_size=1)  # compiles

    def interrupt(*_arguments: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        began = time.perf_counter()
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(KeyboardInterrupt):
            network.fit(x, t, epochs=1000, batch_size=1, learning_rate=1e-3)
        elapsed = time.perf_counter() - began
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

    assert elapsed < 1.5  # 0.4 on a machine that does nothing else
    assert usable(network, x[:100], t[:100])


def test_an_error_of_a_callback_reaches_the_caller() -> None:
    network = network_of(CASE)

    def on_epoch(history: History) -> None:
        if len(history.loss) == 2:
            raise StopIteration("enough")

    with pytest.raises(StopIteration, match="enough"):
        network.fit(CASE.x, CASE.t, epochs=100, batch_size=4, learning_rate=0.1, on_epoch=on_epoch)
    assert usable(network, CASE.x, CASE.t)


@both_paths
@by_dtype
def test_squares_that_overflow_stop_no_step_with_finite_gradients(dtype: Any) -> None:
    """The gradient of the mean absolute error is minus the mean of the inputs."""
    huge = 3e19 if dtype == np.float32 else 1e160
    x, t = np.array([[huge], [1.0], [huge]], dtype), np.ones((3, 1), dtype)
    network: Network[Any] = Network([InputLayer(1), OutputLayer(1, "none", "mae")], dtype=dtype)
    network.parameters[...] = 0

    network.fit(x, t, epochs=1, batch_size=3, learning_rate=1 / huge)

    np.testing.assert_allclose(network.layers[1].W, [[2 / 3]], rtol=1e-6)


@both_paths
@by_dtype
def test_deltas_whose_squares_overflow_stop_no_step_with_finite_gradients(dtype: Any) -> None:
    """A sample weight multiplies the delta -1/3 of the mean absolute error."""
    huge = 1e20 if dtype == np.float32 else 1e160
    x, t, weights = np.zeros((3, 1), dtype), np.ones((3, 1), dtype), np.array([huge, 1, huge])
    network: Network[Any] = Network([InputLayer(1), OutputLayer(1, "none", "mae")], dtype=dtype)
    network.parameters[...] = 0

    network.fit(x, t, epochs=1, batch_size=3, learning_rate=1 / huge, sample_weight=weights)

    np.testing.assert_allclose(network.layers[1].Bias, [[2 / 3]], rtol=1e-6)

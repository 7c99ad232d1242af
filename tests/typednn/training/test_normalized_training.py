"""What a training keeps of normalised networks, and what each part of it does to gains and averages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from typednn_kernels.dropout import threshold

from tests.conftest import kernels_of
from tests.typednn.building import COPIES, Dtype
from tests.typednn.network.test_normalized_networks import built, by_dtype, data, everything, stirred
from typednn import (
    SGD,
    Adam,
    Callback,
    Checkpoint,
    DivergenceError,
    EarlyStopping,
    GradientNorms,
    HiddenLayer,
    InputLayer,
    LayerNorm,
    Network,
    Optimizer,
    OutputLayer,
    Run,
    Steps,
    gradcheck,
    minimize,
)
from typednn.minimizers import Objective
from typednn.training.samples import format_of

both_paths = pytest.mark.usefixtures("path")


def averages(network: Network[Any]) -> NDArray[Any]:
    """The moving means and variances."""
    return everything(network)[network.parameters.size :]


@by_dtype
@both_paths
@pytest.mark.parametrize("batch_size", [1, 8])
def test_a_variance_beyond_the_dtype(batch_size: int, dtype: Any) -> None:
    """Samples of a layer normalisation are normalised all the same; a batch has a running variance, too."""
    x, labels = data(8, dtype)
    large = dtype(1e12 * np.sqrt(np.finfo(dtype).max))
    layers = [InputLayer(4), HiddenLayer(5, "tanh", normalization=LayerNorm(1e-12)), OutputLayer(3)]
    network = Network(layers, dtype=dtype, seed=0)
    network.layers[1].trainable = False  # W would be too large for any rate
    other = network.copy()
    network.layers[1].W *= large

    one_hot = np.eye(3, dtype=dtype)[labels]
    expected = other.fit(x, one_hot, batch_size=batch_size, shuffle=False).loss
    computed = network.fit(x, one_hot, batch_size=batch_size, shuffle=False).loss
    np.testing.assert_allclose(computed, expected, rtol=1e-4)

    by_batch = built(dtype, normalization="batch")
    by_batch.layers[1].W *= large
    before = everything(by_batch).copy()
    if batch_size > 1:
        with pytest.raises(DivergenceError, match=r"layer 1, .* has running means and variances"):
            by_batch.fit(x, labels, batch_size=batch_size)
        assert everything(by_batch).tobytes() == before.tobytes()


# Going on.


def of_layers(dtype: Any) -> Network[Any]:
    """Batch normalisation and dropout in one layer, layer normalisation in another."""
    return built(dtype, seed=4, normalization="batch", dropout=0.3)


@by_dtype
@both_paths
@pytest.mark.parametrize("optimizer", [SGD(0.1), Adam(0.01)], ids=["sgd", "adam"])
@pytest.mark.parametrize("batches", [False, True])
def test_a_resumed_training_gives_the_same_bits(
    batches: bool, optimizer: Optimizer, dtype: Any, tmp_path: Path
) -> None:
    x, labels = data(33, dtype)
    parts = [(x[:20], labels[:20]), (x[20:], labels[20:])]

    def trained(epochs: int, *callbacks: Callback, network: Network[Any]) -> Network[Any]:
        rest: Any = {"epochs": epochs, "batch_size": 8, "optimizer": optimizer, "callbacks": callbacks}
        if batches:
            network.fit_batches(parts, **rest)
        else:
            network.fit(x, labels, **rest)
        return network

    reference = trained(5, network=of_layers(dtype))
    path = tmp_path / "checkpoint"
    trained(2, Checkpoint(path), network=of_layers(dtype))
    computed = trained(5, Checkpoint(path, resume=True), network=of_layers(dtype))

    assert everything(computed).tobytes() == everything(reference).tobytes()
    assert computed.history.loss == reference.history.loss
    assert computed._random.bit_generator.state == reference._random.bit_generator.state
    assert (averages(reference) != averages(of_layers(dtype))).all()


@both_paths
def test_steps_that_are_watched_drop_and_move_as_others() -> None:
    x, labels = data(33)
    networks = [of_layers(np.float64) for _ in range(2)]
    for network, callbacks in zip(networks, ([], [GradientNorms()]), strict=True):
        network.fit(x, labels, epochs=2, batch_size=8, callbacks=callbacks)

    assert everything(networks[0]).tobytes() == everything(networks[1]).tobytes()


class Kept(Callback):
    """All numbers of the network after each epoch."""

    def __init__(self) -> None:
        self.numbers: list[NDArray[Any]] = []

    def on_epoch(self, run: Run) -> None:
        self.numbers.append(run.parameters.copy())


@by_dtype
@both_paths
def test_the_best_weights_come_with_their_averages(dtype: Any) -> None:
    x, labels = data(33, dtype)
    network, kept = of_layers(dtype), Kept()
    stopping = EarlyStopping(patience=3)

    wrong = (x, (labels + 1) % 3)
    callbacks = [kept, stopping]
    network.fit(x, labels, epochs=30, batch_size=8, validation_data=wrong, callbacks=callbacks)

    assert stopping.best_epoch < len(kept.numbers) < 30
    assert everything(network).tobytes() == kept.numbers[stopping.best_epoch - 1].tobytes()
    assert averages(network).tobytes() != kept.numbers[-1][-averages(network).size :].tobytes()
    assert abs(network.loss(*wrong) - stopping.best) <= 4 * np.finfo(dtype).eps * stopping.best


# Measuring.


@both_paths
def test_what_is_measured_is_predicted_and_changes_nothing() -> None:
    x, labels = data(33)
    network, unwatched = of_layers(np.float64), of_layers(np.float64)

    history = network.fit(
        *(x, labels), epochs=2, batch_size=8, validation_data=(x[:9], labels[:9]), metrics=["accuracy"]
    )
    unwatched.fit(x, labels, epochs=2, batch_size=8)

    assert everything(network).tobytes() == everything(unwatched).tobytes()
    assert history.validation_loss[-1] == network.loss(x[:9], labels[:9])
    assert history.metrics["accuracy"][-1] == network.evaluate(x, labels).accuracy
    assert history.validation_metrics["accuracy"][-1] == network.evaluate(x[:9], labels[:9]).accuracy


# Steps that are not made.


def regression(dtype: Dtype) -> Network[Any]:
    """A normalised layer that drops, and one output."""
    hidden: Any = HiddenLayer(7, "tanh", normalization="batch", dropout=0.3)
    return stirred(Network([InputLayer(4), hidden, OutputLayer(1)], dtype, seed=2))


@by_dtype
@both_paths
@pytest.mark.parametrize(("wrong", "layer"), [("x", 1), ("y", 2)])
def test_a_step_that_is_not_finite_moves_no_average(wrong: str, layer: int, dtype: Any) -> None:
    given = {"x": data(24, dtype)[0], "y": np.ones((24, 1), dtype)}
    given[wrong][12] = np.finfo(dtype).max
    x, y = given.values()
    network, before, another = (regression(dtype) for _ in range(3))

    with pytest.raises(DivergenceError, match=rf"step 2 of epoch 1: layer {layer}, "):
        network.fit(x, y, batch_size=8, learning_rate=0.1, shuffle=False)
    before.fit(x[:8], y[:8], epochs=1, batch_size=8, learning_rate=0.1, shuffle=False)

    assert everything(network).tobytes() == everything(before).tobytes()
    hidden: Any = network.layers[1]  # shows the step that was not made
    shown = np.ones((8, 7), dtype)
    kernels_of("numpy").apply_dropout(another._storage.new_key() + 1, 1, threshold(0.3), shown)
    np.testing.assert_array_equal(hidden.activations.T == 0, shown == 0)


@by_dtype
@both_paths
def test_an_average_that_is_not_finite_is_divergence(dtype: Any) -> None:
    """The variance is too large for the dtype, and the loss does not show it."""
    x, labels = data(8, dtype)
    x *= np.sqrt(np.finfo(dtype).max)
    network = built(dtype, normalization="batch")
    before = everything(network).copy()

    with pytest.raises(DivergenceError, match=r"step 1 of epoch 1: layer 1, .* has running means"):
        network.fit(x, labels, learning_rate=0.1)

    assert everything(network).tobytes() == before.tobytes()


# What training does to gains.


def one_step(optimizer: Optimizer, l1: float = 0.0, l2: float = 0.0) -> tuple[Network[Any], Network[Any]]:
    """A network before and after a step."""
    networks: list[Network[Any]] = []
    for _ in range(2):
        hidden: Any = HiddenLayer(7, "tanh", normalization="batch", l1=l1, l2=l2)
        network = Network([InputLayer(4), hidden, OutputLayer(3, "softmax", "crossentropy")], seed=1)
        networks.append(stirred(network))
    before, after = networks
    after.fit(*data(9), epochs=1, batch_size=9, optimizer=optimizer, shuffle=False)
    return before, after


@both_paths
def test_penalties_are_on_weights_alone() -> None:
    before, reference = one_step(SGD(0.1))
    _, computed = one_step(SGD(0.1), l1=0.5, l2=0.25)

    W = before.layers[1].W
    expected = reference.layers[1].W - 0.1 * (0.5 * np.sign(W) + 2 * 0.25 * W)
    np.testing.assert_allclose(computed.layers[1].W, expected, rtol=0, atol=1e-14)
    for name in ("Bias", "Gain"):
        one, other = (getattr(each.layers[1], name) for each in (reference, computed))
        assert one.tobytes() == other.tobytes()
    assert averages(computed).tobytes() == averages(reference).tobytes()


@both_paths
def test_weight_decay_is_of_every_parameter_and_of_no_average() -> None:
    before, reference = one_step(SGD(0.1))
    _, computed = one_step(SGD(0.1, weight_decay=0.5))

    expected = reference.parameters - 0.1 * 0.5 * before.parameters
    np.testing.assert_allclose(computed.parameters, expected, rtol=0, atol=1e-14)
    assert averages(computed).tobytes() == averages(reference).tobytes()


@both_paths
def test_clipping_is_of_the_gradient_with_that_by_gains() -> None:
    before, reference = one_step(SGD(0.1))
    step = (reference.parameters - before.parameters) / 0.1

    _, clipped = one_step(SGD(0.1, clip_norm=0.01))
    _, bounded = one_step(SGD(0.1, clip_value=0.01))

    expected = before.parameters + 0.1 * 0.01 / np.linalg.norm(step) * step
    np.testing.assert_allclose(clipped.parameters, expected, rtol=0, atol=1e-14)
    expected = before.parameters + 0.1 * np.clip(step, -0.01, 0.01)
    np.testing.assert_allclose(bounded.parameters, expected, rtol=0, atol=1e-14)
    assert averages(clipped).tobytes() == averages(bounded).tobytes() == averages(reference).tobytes()


# Frozen layers.


def of_layer(network: Network[Any], k: int) -> bytes:
    """All that belongs to a layer."""
    layer: Any = network.layers[k]
    found = [layer.W, layer.Bias, layer.Gain]
    if layer.normalization == "batch":
        found += [layer.running_mean, layer.running_variance]
    return b"".join(each.tobytes() for each in found)


@by_dtype
@both_paths
def test_a_frozen_layer_keeps_gains_and_averages_and_uses_them(dtype: Any) -> None:
    x, labels = data(16, dtype)
    network = stirred(built(dtype, normalization="batch"))
    network.layers[1].trainable = False
    before, loss = of_layer(network, 1), network.loss(x, labels)
    others = of_layer(network, 2)

    history = network.fit(x, labels, epochs=1, batch_size=16, learning_rate=0.1)

    assert of_layer(network, 1) == before
    assert of_layer(network, 2) != others
    assert abs(history.loss[0] - loss) <= 16 * np.finfo(dtype).eps * loss

    network.layers[1].trainable = True
    network.fit(x, labels, epochs=1, batch_size=16, learning_rate=0.1)
    assert of_layer(network, 1) != before


@both_paths
@pytest.mark.parametrize("copied", COPIES)
def test_layers_stay_frozen_in_copies_and_in_new_networks(copied: Any) -> None:
    hidden: HiddenLayer[Any] = HiddenLayer(7, "tanh", normalization="batch")
    hidden.trainable = False
    network = Network([InputLayer(4), hidden, OutputLayer(3, "softmax", "crossentropy")], seed=1)
    network = copied(stirred(network))
    x, labels = data(16)
    before = of_layer(network, 1)

    network.forward(x, training=True)
    network.fit(x, labels, epochs=1)

    assert of_layer(network, 1) == before


@both_paths
def test_the_gradients_of_a_frozen_layer_are_those_of_its_averages() -> None:
    network = stirred(built(normalization="batch", dropout=0.3))
    network.layers[1].trainable = False
    x, labels = data(9)
    layer = network.layers[1]

    report = gradcheck(network, x, labels, training=True)
    gradients = network.forward(x, training=True).backward(labels)

    assert report.passed, report
    np.testing.assert_allclose(layer.dLdW, gradients[layer].dLdW, rtol=0, atol=1e-15)
    a = layer.pre_activations.copy()
    network.forward(x)
    np.testing.assert_allclose(a, layer.pre_activations, rtol=0, atol=1e-14)


@both_paths
def test_a_frozen_layer_in_a_loop_by_hand() -> None:
    network = stirred(built(normalization="batch"))
    network.layers[1].trainable = False
    x, labels = data(9)
    before, layers = everything(network).copy(), network.layers

    layers[0].training = True
    layers[0].put_values(x)
    layers[-1].set_actual(np.eye(3)[labels])
    for layer in layers:
        layer.forward()
    for layer in layers[:0:-1]:
        layer.backward()
    computed = layers[1].dLdW.copy()

    reference = network.forward(x).backward(labels)[layers[1]].dLdW
    np.testing.assert_allclose(computed, reference, rtol=0, atol=1e-15)
    assert everything(network).tobytes() == before.tobytes()


@both_paths
def test_freezing_while_a_training_runs_takes_effect_at_the_next_step() -> None:
    class Freeze(Callback):
        def on_epoch(self, run: Run) -> None:
            run.layers[1].trainable = False

    x, labels = data(16)
    reference, computed = (of_layers(np.float64) for _ in range(2))
    steps = Steps(reference, SGD())
    reference.fit(x, labels, epochs=1, batch_size=8, optimizer=steps)
    reference.layers[1].trainable = False
    reference.fit(x, labels, epochs=1, batch_size=8, optimizer=steps)
    computed.fit(x, labels, epochs=2, batch_size=8, callbacks=[Freeze()])

    assert everything(computed).tobytes() == everything(reference).tobytes()


# Minimisers.


@both_paths
def test_minimizers_take_the_network_as_it_predicts() -> None:
    x, labels = data(20)
    network = stirred(of_layers(np.float64))
    before, loss = averages(network).copy(), network.loss(x, labels)
    state = network._random.bit_generator.state

    objective = Objective(network, format_of(network._output).samples(x, labels))
    _, gradient = objective.value_and_gradient(objective.vector)
    np.testing.assert_allclose(gradient, network.forward(x).backward(labels).vector, rtol=0, atol=1e-14)
    minimum = minimize(network, x, labels, max_iterations=20)

    assert minimum.loss < 0.9 * loss
    assert abs(network.loss(x, labels) - minimum.loss) < 1e-12
    assert averages(network).tobytes() == before.tobytes()
    assert network._random.bit_generator.state == state

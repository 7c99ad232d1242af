"""What `fit` does around the steps: weights, smoothing, metrics, callbacks, and what ends it early."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.oracles.agreement import assert_close
from tests.oracles.problems import LOSSES, problem
from tests.typednn.building import DTYPES, both_ways, gradient_of, network_of
from typednn import (
    Adam,
    Callback,
    DivergenceError,
    EarlyStopping,
    History,
    InputLayer,
    LayerNorm,
    Network,
    NormalizationLayer,
    OutputLayer,
    Run,
    SettingError,
)

by_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)
by_batch = pytest.mark.parametrize("batch_size", [1, 4])
both_paths = pytest.mark.usefixtures("path")

CASE = problem((3, 4, 2), ("none", "tanh", "none"), "MSE", 11)
CLASSES = problem((3, 4, 3), ("none", "tanh", "softmax"), "crossentropy", 11)
LABELS = np.arange(11) % 3
OUTPUT_OF: dict[str, str] = dict.fromkeys(LOSSES, "none") | {
    "bincrossentropy": "sigmoid",
    "crossentropy": "softmax",
    "poisson": "exponential",
    "kl_divergence": "softmax",
    "focal": "sigmoid",
}
WEIGHTS = np.array([0, 1, 2, 0.5, 1, 3, 1, 0, 1, 0.25, 2])


# Weights: the loss of a batch is the mean of w_i * L_i.


@by_dtype
@by_batch
@pytest.mark.parametrize("loss", LOSSES)
@both_paths
def test_sample_weights(loss: str, batch_size: int, dtype: Any) -> None:
    case = problem((3, 4, 2), ("none", "tanh", OUTPUT_OF[loss]), loss, 11, dtype)
    net, losses, eta = case.net, list[Any](), 0.25
    for start in range(0, 11, batch_size):
        chosen = range(start, min(start + batch_size, 11))
        gradient = 0
        for i in chosen:
            gradient = gradient + WEIGHTS[i] / len(chosen) * net.trace(case.x[[i]], case.t[[i]]).vector
            losses.append(WEIGHTS[i] * net.mean_loss(case.x[[i]], case.t[[i]]))
        net = net.with_vector(net.vector - eta * gradient)

    network = network_of(case)
    history = network.fit(
        *(case.x, case.t),
        epochs=1,
        batch_size=batch_size,
        learning_rate=eta,
        shuffle=False,
        sample_weight=WEIGHTS.astype(np.float32),
    )

    assert_close(network.parameters, net.vector, 512)
    assert_close(np.array(history.loss, dtype), np.mean(losses).reshape(1), 512)


@both_paths
def test_class_weights_are_sample_weights() -> None:
    binary = problem((3, 4, 1), ("none", "tanh", "sigmoid"), "bincrossentropy", 11)
    zero_one = np.rint(binary.t)
    divergence = problem((3, 4, 3), ("none", "tanh", "softmax"), "kl_divergence", 11)
    focal = problem((3, 4, 1), ("none", "tanh", "sigmoid"), "focal", 11)
    hinge = problem((3, 4, 1), ("none", "tanh", "none"), "hinge", 11)
    for case, y, weights, factors in (
        (CLASSES, LABELS, {0: 2.0, 2: 0.5}, np.choose(LABELS, [2, 1, 0.5])),
        (CLASSES, np.eye(3)[LABELS], {0: 2.0, 2: 0.5}, np.choose(LABELS, [2, 1, 0.5])),
        (binary, zero_one, {0: 3}, np.where(zero_one[:, 0] == 1, 1, 3)),
        (divergence, LABELS, {0: 2.0, 2: 0.5}, np.choose(LABELS, [2, 1, 0.5])),
        (focal, zero_one, {0: 3}, np.where(zero_one[:, 0] == 1, 1, 3)),
        (hinge, zero_one, {0: 3}, np.where(zero_one[:, 0] == 1, 1, 3)),
        (hinge, 2 * zero_one - 1, {0: 3}, np.where(zero_one[:, 0] == 1, 1, 3)),
    ):
        given: Any = y
        for sample_weight in (None, WEIGHTS):
            combined: Any = factors * (1 if sample_weight is None else sample_weight)
            reference, network = network_of(case), network_of(case)
            expected = reference.fit(case.x, given, epochs=2, sample_weight=combined.astype(float))
            computed = network.fit(case.x, given, epochs=2, sample_weight=sample_weight, class_weight=weights)
            assert computed == expected
            assert network.parameters.tobytes() == reference.parameters.tobytes()


@both_paths
def test_validation_weighs_only_what_it_is_told_to() -> None:
    network = network_of(CASE)
    held: Any = (CASE.x, CASE.t, WEIGHTS)
    each = [network.loss(CASE.x[[i]], CASE.t[[i]]) for i in range(11)]
    settings: dict[str, Any] = {"epochs": 1, "learning_rate": 1e-300}

    weighted = network.fit(CASE.x, CASE.t, validation_data=held, **settings)
    plain = network.fit(CASE.x, CASE.t, validation_data=held[:2], sample_weight=WEIGHTS, **settings)

    assert weighted.validation_loss[0] == pytest.approx(np.mean(WEIGHTS * each), rel=1e-12)
    assert plain.validation_loss[0] == pytest.approx(np.mean(each), rel=1e-12)
    assert plain.loss[0] == pytest.approx(np.mean(WEIGHTS * each), rel=1e-12)


@by_dtype
@both_paths
def test_label_smoothing(dtype: Any) -> None:
    """t (1 - s) + s / n; of separate probabilities n is 2, of however many outputs. Validation has it too."""
    settings: dict[str, Any] = {"epochs": 2, "shuffle": False, "batch_size": 4}
    several = problem((3, 4, 3), ("none", "tanh", "softmax"), "crossentropy", 11, dtype)
    binary = problem((3, 4, 3), ("none", "tanh", "sigmoid"), "bincrossentropy", 11, dtype)
    divergence = problem((3, 4, 3), ("none", "tanh", "softmax"), "kl_divergence", 11, dtype)
    focal = problem((3, 4, 3), ("none", "tanh", "sigmoid"), "focal", 11, dtype)
    one_hot = np.eye(3, dtype=dtype)[LABELS]
    for case, y, smooth in (
        (divergence, LABELS, one_hot * 0.75 + 0.25 / 3),
        (focal, focal.t, focal.t * 0.75 + 0.125),
        (several, LABELS, one_hot * 0.75 + 0.25 / 3),
        (several, one_hot, one_hot * 0.75 + 0.25 / 3),
        (binary, binary.t, binary.t * 0.75 + 0.125),
    ):
        reference, network = network_of(case), network_of(case)
        given, smooth = y, smooth.astype(dtype)
        expected = reference.fit(case.x, smooth, validation_data=(case.x, smooth), **settings)
        computed = network.fit(
            case.x, given, validation_data=(case.x, given), label_smoothing=0.25, **settings
        )

        eps = 64 * float(np.finfo(dtype).eps)
        np.testing.assert_allclose(computed.loss, expected.loss, rtol=eps)
        np.testing.assert_allclose(computed.validation_loss, expected.validation_loss, rtol=eps)
        assert_close(network.parameters, reference.parameters, 512)


@pytest.mark.parametrize("smoothing", [-0.1, 1.1, np.nan, "0.1", True])
def test_bad_smoothing(smoothing: Any) -> None:
    with pytest.raises(SettingError, match="label_smoothing must be a number from 0 to 1"):
        network_of(CLASSES).fit(CLASSES.x, LABELS, label_smoothing=smoothing)


# Losses.


@by_dtype
@pytest.mark.parametrize("loss", LOSSES)
@both_paths
def test_every_loss_falls(loss: str, dtype: Any) -> None:
    """And what Adam makes of the network predicts better than the first guess."""
    case = problem((3, 4, 2), ("none", "tanh", OUTPUT_OF[loss]), loss, 11, dtype)
    network = network_of(case)
    before = network.loss(case.x, case.t)

    history = network.fit(
        case.x, case.t, epochs=30, optimizer=Adam(learning_rate=0.02), validation_data=(case.x, case.t)
    )

    assert history.validation_loss[-1] == pytest.approx(network.loss(case.x, case.t), rel=1e-5)
    assert history.validation_loss[-1] < before
    assert np.isfinite(network.parameters).all()


@both_paths
def test_labels_of_every_loss_of_classes() -> None:
    """Of one-hot targets the divergence is the cross-entropy."""
    settings: dict[str, Any] = {"epochs": 2, "shuffle": False, "batch_size": 4, "metrics": ["accuracy"]}
    case = problem((3, 4, 3), ("none", "tanh", "softmax"), "kl_divergence", 11)
    of_labels, of_rows = network_of(case), network_of(case)
    entropy = network_of(replace(case, loss="crossentropy"))

    computed = of_labels.fit(case.x, LABELS, **settings)

    assert computed == of_rows.fit(case.x, np.eye(3)[LABELS], **settings)
    assert of_labels.evaluate(case.x, LABELS).accuracy == computed.metrics["accuracy"][-1]
    np.testing.assert_allclose(computed.loss, entropy.fit(case.x, LABELS, **settings).loss, rtol=1e-12)
    np.testing.assert_allclose(of_labels.parameters, entropy.parameters, rtol=1e-12)


@both_paths
def test_zeros_are_the_lower_side_of_hinge() -> None:
    case = problem((3, 4, 2), ("none", "tanh", "none"), "hinge", 11)
    zeros: Any = (case.t > 0).astype(int)
    signs: Any = 2 * zeros - 1
    settings: dict[str, Any] = {"epochs": 2, "shuffle": False, "metrics": ["accuracy"]}
    network, reference = network_of(case), network_of(case)

    assert network.fit(case.x, zeros, **settings) == reference.fit(case.x, signs, **settings)
    assert network.evaluate(case.x, zeros) == reference.evaluate(case.x, signs)


def test_signs_cannot_be_smoothed() -> None:
    case = problem((3, 4, 2), ("none", "tanh", "none"), "hinge", 11)
    network = network_of(case)

    with pytest.raises(SettingError, match=r"label_smoothing is for bincrossentropy, .*, not for hinge"):
        network.fit(case.x, case.t, label_smoothing=0.1)
    with pytest.raises(
        SettingError, match="class_weight needs classes, but the loss is hinge of several out"
    ):
        network.fit(case.x, case.t, class_weight={0: 2})


# Metrics.


@both_paths
def test_metrics_are_of_the_weights_after_the_epoch() -> None:
    network = network_of(CLASSES)
    seen: list[tuple[float, float]] = []

    def on_epoch(_: History) -> None:
        right = network.predict(CLASSES.x).argmax(axis=1) == LABELS
        seen.append((float(right.mean()), float(right[:5].mean())))

    held: Any = (CLASSES.x[:5], LABELS[:5])
    history = network.fit(
        *(CLASSES.x, LABELS),
        epochs=3,
        learning_rate=0.5,
        metrics=["accuracy", "mse"],
        validation_data=held,
        label_smoothing=0.1,
        on_epoch=on_epoch,
    )

    assert history.metrics["accuracy"] == [whole for whole, _ in seen]
    assert history.curve("validation_accuracy") == [part for _, part in seen]
    assert list(history.curves()) == [
        *("loss", "accuracy", "mse"),
        *("validation_loss", "validation_accuracy", "validation_mse"),
    ]


# Callbacks.


class Note(Callback):
    """What is called, and when."""

    def __init__(self, calls: list[str], name: str) -> None:
        self.calls, self.name = calls, name

    def on_begin(self, run: Run) -> None:
        self.calls.append(f"{self.name} begin {run.epoch}/{run.epochs}")

    def on_epoch(self, run: Run) -> None:
        self.calls.append(f"{self.name} epoch {run.epoch} of {run.step}")

    def on_end(self, run: Run) -> None:
        self.calls.append(f"{self.name} end {run.epoch}")


class NoteBatches(Note):
    """Each step, too."""

    def on_batch(self, run: Run) -> None:
        self.calls.append(f"{self.name} step {run.step}")


@both_paths
def test_callbacks_are_called_in_order_and_those_that_come_last_last() -> None:
    calls: list[str] = []
    last = Note(calls, "last")
    last.comes_last = True

    network_of(CASE).fit(
        CASE.x,
        CASE.t,
        epochs=2,
        batch_size=6,
        callbacks=[last, Note(calls, "a"), NoteBatches(calls, "b")],
        on_epoch=lambda history: calls.append(f"history {len(history.loss)}"),
    )

    assert calls == [
        *("a begin 0/2", "b begin 0/2", "last begin 0/2"),
        *("b step 1", "b step 2", "history 1", "a epoch 1 of 2", "b epoch 1 of 2", "last epoch 1 of 2"),
        *("b step 1", "b step 2", "history 2", "a epoch 2 of 2", "b epoch 2 of 2", "last epoch 2 of 2"),
        *("a end 2", "b end 2", "last end 2"),
    ]


@by_batch
@both_paths
def test_layers_show_each_step_to_callbacks(batch_size: int) -> None:
    """Activations, gradients and parameters are those of the triple loops; nothing else changes."""
    net, seen = CASE.net, list[Any]()

    class Look(Callback):
        def on_batch(self, run: Run) -> None:
            layers: list[Any] = list(run.layers)
            seen.append((gradient_of(layers), layers[1].activations.copy(), run.parameters.copy()))

    network, reference = network_of(CASE), network_of(CASE)
    settings: dict[str, Any] = {"epochs": 1, "batch_size": batch_size, "learning_rate": 0.25}
    expected = reference.fit(CASE.x, CASE.t, shuffle=False, **settings)
    computed = network.fit(CASE.x, CASE.t, shuffle=False, callbacks=[Look()], **settings)

    assert computed == expected
    assert network.parameters.tobytes() == reference.parameters.tobytes()
    assert len(seen) == -(-11 // batch_size)
    for k, (gradient, activations, parameters) in enumerate(seen):
        chosen = range(k * batch_size, min(11, (k + 1) * batch_size))
        trace = net.trace(CASE.x[chosen], CASE.t[chosen])
        net = net.with_vector(net.vector - 0.25 * trace.vector)
        assert_close(gradient, trace.vector, 512)
        assert_close(activations, trace.h[1].T, 512)
        assert_close(parameters, net.vector, 512)


def test_callbacks_without_on_batch_do_not_divide_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    from typednn.training import trainer as training

    asked: list[Any] = []
    run = training.Trainer.run

    def noted(self: Any, *arguments: Any) -> Any:
        asked.append(arguments[-1])
        return run(self, *arguments)

    monkeypatch.setattr(training.Trainer, "run", noted)
    for callback in (Note([], "a"), NoteBatches([], "b")):
        network_of(CASE).fit(CASE.x, CASE.t, epochs=1, callbacks=[callback])

    assert asked == [None, 1]


@both_paths
def test_a_callback_can_stop() -> None:
    class Stop(Callback):
        def on_epoch(self, run: Run) -> None:
            if run.epoch == 2:
                run.stop()

    class StopWithin(Callback):
        def on_batch(self, run: Run) -> None:
            if run.step == 2:
                run.stop()

    reference, network, within = network_of(CASE), network_of(CASE), network_of(CASE)
    settings: dict[str, Any] = {"batch_size": 2, "learning_rate": 0.1, "shuffle": False}

    expected = reference.fit(CASE.x, CASE.t, epochs=2, **settings)
    assert network.fit(CASE.x, CASE.t, epochs=9, callbacks=[Stop()], **settings) == expected
    assert network.parameters.tobytes() == reference.parameters.tobytes()

    reference = network_of(CASE)
    expected = reference.fit(CASE.x[:4], CASE.t[:4], epochs=1, **settings)
    assert within.fit(CASE.x, CASE.t, epochs=9, callbacks=[StopWithin()], **settings) == expected
    assert within.parameters.tobytes() == reference.parameters.tobytes()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"callbacks": EarlyStopping()},
            r"callbacks must be a sequence, such as \[EarlyStopping\(...\)\], not one EarlyStopping$",
        ),
        ({"metrics": "mse"}, r"metrics must be a sequence, such as \['mse'\], not 'mse'$"),
        ({"metrics": "accuracy"}, r"such as \['accuracy'\], not 'accuracy'$"),
        ({"metrics": None}, r"metrics must be a sequence, such as \(\), not None$"),
        ({"callbacks": None}, r"callbacks must be a sequence, such as \(\), not None$"),
    ],
)
def test_one_callback_or_metric_is_not_a_sequence(settings: Any, message: str) -> None:
    network = network_of(CASE)
    before = network.parameters.tobytes()

    with pytest.raises(SettingError, match=message):
        network.fit(CASE.x, CASE.t, validation_split=0.2, **settings)
    with pytest.raises(SettingError, match=message):
        network.fit_batches([(CASE.x, CASE.t)], epochs=1, validation_data=(CASE.x, CASE.t), **settings)
    assert network.parameters.tobytes() == before


@pytest.mark.parametrize("callback", [Note, print, None, "EarlyStopping"])
def test_callbacks_are_objects(callback: Any) -> None:
    with pytest.raises(SettingError, match="callbacks must be objects of Callback, not"):
        network_of(CASE).fit(CASE.x, CASE.t, callbacks=[callback])


# What ends a training early.


class Interrupt(Callback):
    """Raises something at a step."""

    def __init__(self, epoch: int, step: int, error: BaseException) -> None:
        self.at, self.error = (epoch, step), error

    def on_batch(self, run: Run) -> None:
        if (run.epoch + 1, run.step) == self.at:
            raise self.error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("mine"), SystemExit()])
@by_batch
@both_paths
def test_what_interrupts_reaches_the_caller_and_history_is_reachable(
    batch_size: int, error: BaseException
) -> None:
    network, reference = network_of(CASE), network_of(CASE)
    settings: dict[str, Any] = {"batch_size": batch_size, "learning_rate": 0.1, "shuffle": False}
    expected = reference.fit(CASE.x, CASE.t, epochs=2, validation_data=(CASE.x, CASE.t), **settings)
    reference.fit(CASE.x[: 2 * batch_size], CASE.t[: 2 * batch_size], epochs=1, **settings)

    with pytest.raises(type(error)):
        network.fit(
            *(CASE.x, CASE.t),
            epochs=9,
            validation_data=(CASE.x, CASE.t),
            callbacks=[Interrupt(3, 2, error)],
            **settings,
        )

    assert network.history == expected
    assert network.parameters.tobytes() == reference.parameters.tobytes()
    for layer, other in zip(network.layers, reference.layers, strict=True):
        assert layer.activations.tobytes() == other.activations.tobytes()
    assert gradient_of(list(network.layers)).tobytes() == gradient_of(list(reference.layers)).tobytes()
    assert np.isfinite(network.fit(CASE.x, CASE.t, epochs=1).loss).all()


def test_an_interrupt_while_history_is_written_leaves_it_even(monkeypatch: pytest.MonkeyPatch) -> None:
    append = History._append

    def torn(self: History, *arguments: Any) -> None:
        if len(self.loss) == 2:
            self.loss.append(arguments[0])
            raise KeyboardInterrupt
        append(self, *arguments)

    monkeypatch.setattr(History, "_append", torn)
    network = network_of(CASE)
    with pytest.raises(KeyboardInterrupt):
        network.fit(CASE.x, CASE.t, epochs=9, validation_data=(CASE.x, CASE.t))

    assert (len(network.history.loss), len(network.history.validation_loss)) == (2, 2)


@by_dtype
@by_batch
@pytest.mark.parametrize("at", [0, 1, 5, 9, 10])
@both_paths
def test_divergence_leaves_the_network_as_after_the_last_good_step(
    at: int, batch_size: int, dtype: Any
) -> None:
    """A sample so large that its loss overflows."""
    case = problem((3, 4, 2), ("none", "none", "none"), "MSE", 11, dtype)
    x, good = case.x.copy(), at - at % batch_size
    x[at] = np.sqrt(np.finfo(dtype).max) * 4
    reference, network = network_of(case), network_of(case)
    settings: dict[str, Any] = {"epochs": 1, "batch_size": batch_size, "shuffle": False}
    if good:
        reference.fit(x[:good], case.t[:good], **settings)

    with pytest.raises(DivergenceError, match="has losses that are not finite") as caught:
        network.fit(x, case.t, **settings)

    error = caught.value
    assert (error.epoch, error.step, error.layer) == (1, good // batch_size + 1, 2)
    assert f"training diverged at step {error.step} of epoch 1: layer 2, OutputLayer(2" in str(error)
    assert network.parameters.tobytes() == reference.parameters.tobytes()
    other = pickle.loads(pickle.dumps(error))
    assert (str(other), other.epoch, other.step, other.layer) == (str(error), 1, error.step, 2)


ORIGINS: dict[str, tuple[tuple[str, ...], Any, tuple[int, str]]] = {
    "activations": (("none", "none", "none", "none"), (1, 1e200, 1), (2, "activations")),
    "losses": (("none", "none", "none", "none"), (1, 1, 1e200), (3, "losses")),
    "deltas": (("none", "none", "none", "none"), (1e-200, 1e200, 1e130), (1, "deltas")),
}


@by_batch
@pytest.mark.parametrize("name", ORIGINS)
@both_paths
def test_divergence_names_the_layer(name: str, batch_size: int) -> None:
    """Weights of such sizes that the first infinity arises where it should."""
    names, scales, (layer, what) = ORIGINS[name]
    network: Network[Any] = network_of(problem((1, 1, 1, 1), names, "MSE", 4))
    for each, scale in zip(network.layers[1:], scales, strict=True):
        each.W = np.full((1, 1), scale)
        each.Bias = np.zeros((1, 1))
    x = np.full((4, 1), 1e150 if name == "activations" else 1.0)
    before = network.parameters.copy()

    with pytest.raises(DivergenceError, match=f"layer {layer}, .* has {what} that") as caught:
        network.fit(x, np.ones((4, 1)), batch_size=batch_size, epochs=1)

    assert caught.value.layer == layer
    assert network.parameters.tobytes() == before.tobytes()
    if name == "activations":
        assert np.isinf(network.layers[layer].activations).all()  # the layers show the step that failed


def test_history_and_parameters_are_finite_after_divergence() -> None:
    network = network_of(CASE)
    with pytest.raises(DivergenceError):
        network.fit(CASE.x, CASE.t, epochs=200, batch_size=3, learning_rate=1e3)

    assert np.isfinite(network.history.loss).all()
    assert np.isfinite(network.parameters).all()
    both_ways(list(network.layers), CASE.x, CASE.t)


def test_features_that_are_large_earn_one_warning() -> None:
    x, y = np.linspace(-1e4, 3e4, 8).reshape(-1, 1), np.ones((8, 1))
    network = Network([InputLayer(1), OutputLayer(1)], seed=0)

    with pytest.warns(UserWarning, match=r"x holds features of 3e\+04: .*; scale them, as") as caught:
        network.fit(x, y, epochs=3, learning_rate=1e-12)
    assert [each.filename for each in caught] == [__file__]
    network.fit(x / 1e4, y, epochs=1)


@by_dtype
def test_features_that_are_normalized_may_be_large(dtype: Any) -> None:
    x: NDArray[Any] = np.linspace(-1e6, 3e6, 16).astype(dtype).reshape(-1, 2)
    y = np.ones((8, 1), dtype)
    for norm in ("batch", LayerNorm()):
        first = NormalizationLayer(2, norm)
        network: Any = Network([InputLayer(2), first, OutputLayer(1)], dtype, seed=0)
        network.fit(x, y, batch_size=8, epochs=1)

    with pytest.warns(UserWarning, match="x holds features of"):
        network.fit(x * dtype(np.finfo(dtype).max / 1e7), y, batch_size=8, epochs=1)
    network = Network([InputLayer(2), NormalizationLayer(2), OutputLayer(1)], dtype, seed=0)
    network.layers[1].trainable = False  # it divides by the running deviations, which are 1
    with pytest.warns(UserWarning, match="x holds features of"):
        network.fit(x, y, batch_size=8, epochs=1, learning_rate=1e-15)


def test_a_loss_that_has_grown_a_million_times_earns_one_warning() -> None:
    x, y = np.linspace(-1, 1, 8).reshape(-1, 1), np.linspace(-1, 1, 8).reshape(-1, 1)
    network = Network([InputLayer(1), OutputLayer(1)], seed=0)

    with pytest.warns(
        UserWarning, match="the loss has grown from .* a smaller learning rate helps"
    ) as caught:
        network.fit(x, y, epochs=30, batch_size=8, learning_rate=30.0)
    assert [each.filename for each in caught] == [__file__]

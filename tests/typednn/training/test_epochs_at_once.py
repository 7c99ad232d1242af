"""Epochs that nobody watches are trained many at a time, with the results that they have one by one."""

from __future__ import annotations

import copy
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.oracles.problems import problem
from tests.typednn.building import DTYPES, ann_of, network_of, vector_of
from tests.typednn_kernels.test_shuffling import permutation
from typednn import (
    SGD,
    Adam,
    Callback,
    Checkpoint,
    DivergenceError,
    HiddenLayer,
    InputLayer,
    Network,
    Optimizer,
    OutputLayer,
    Run,
    Steps,
    gradient_descent_epoch,
    gradient_descent_threshold,
)
from typednn.backends import kernels
from typednn.training.fit import Fit
from typednn.training.optimizer_state import OptimizerState
from typednn.training.trainer import Trainer
from typednn.training.watched_epochs import ShortEpoch

by_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)
both_paths = pytest.mark.usefixtures("path")

CASE = problem((3, 4, 2), ("none", "tanh", "none"), "MSE", 11)
OPTIMIZERS: tuple[Optimizer, ...] = (SGD(0.05), SGD(0.05, clip_norm=0.1), Adam(0.01), Adam(epsilon=1e-30))


class Watch(Callback):
    """Looks after each epoch, so that each is a call of its own."""

    def on_epoch(self, run: Run) -> None:
        """Looks."""


class Calls:
    """How many epochs each call trained."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.epochs: list[int] = []
        train = Fit[Any]._train_epochs

        def counted(fit: Fit[Any], epochs: int, bar: Any) -> None:
            self.epochs.append(epochs)
            train(fit, epochs, bar)

        monkeypatch.setattr(Fit, "_train_epochs", counted)


def network(dtype: Any, **settings: Any) -> Network[Any, Any]:
    layers: list[Any] = [InputLayer(3), HiddenLayer(4, "tanh", **settings), OutputLayer(2)]
    return Network(layers, dtype=dtype, seed=3)


def everything(net: Network[Any, Any]) -> bytes:
    return bytes(net._storage.parameters.tobytes()) + str(net._random.bit_generator.state).encode()


def data(dtype: Any = np.float64) -> tuple[NDArray[Any], NDArray[Any]]:
    return CASE.x.astype(dtype), CASE.t.astype(dtype)


@pytest.mark.once_per("optimizer", "settings", "batch_size")
@by_dtype
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("settings", [{}, {"normalization": "batch", "dropout": 0.3}], ids=["plain", "drops"])
@pytest.mark.parametrize("batch_size", [1, 4, 11])
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
@both_paths
def test_watched_epochs_have_the_same_bits(
    optimizer: Optimizer, batch_size: int, settings: dict[str, Any], shuffle: bool, dtype: Any
) -> None:
    watched, alone, stepped = (network(dtype, **settings) for _ in range(3))
    chosen: Any = {"batch_size": batch_size, "optimizer": optimizer, "shuffle": shuffle}

    reference = watched.fit(*data(dtype), epochs=7, callbacks=[Watch()], **chosen)
    history = alone.fit(*data(dtype), epochs=7, **chosen)
    steps, losses = Steps(stepped, optimizer), list[float]()
    for epochs in (1, 4, 2):
        again: Any = {**chosen, "optimizer": steps}
        losses += stepped.fit(*data(dtype), epochs=epochs, **again).loss

    assert history.loss == reference.loss == losses
    assert everything(alone) == everything(watched) == everything(stepped)
    for layer, other in zip(alone.layers, watched.layers, strict=True):
        assert layer.activations.tobytes() == other.activations.tobytes()


class Last(Callback):
    """Notes the last step of each epoch, and makes the fifth epoch diverge."""

    def __init__(self) -> None:
        self.seen = list[tuple[int, int, float]]()

    def on_epoch(self, run: Run) -> None:
        self.seen.append((run.step, run.global_step, run.step_loss))
        if run.epoch == 4:
            run.learning_rate = 1e200


class Stepped(Last):
    """Looks at each step, so that each is a call of its own."""

    def on_batch(self, run: Run) -> None:
        pass


@pytest.mark.parametrize("batch_size", [1, 4, 11])
@both_paths
def test_watched_epochs_end_as_those_of_single_steps(batch_size: int) -> None:
    ends, callbacks = list[tuple[object, ...]](), (Stepped(), Last())
    for callback in callbacks:
        net = network(np.float64)
        with pytest.raises(DivergenceError) as caught:
            net.fit(*data(), epochs=9, batch_size=batch_size, callbacks=[callback])
        error = caught.value
        ends.append((error.epoch, error.step, error.layer, str(error), net.history.loss, everything(net)))

    assert callbacks[0].seen == callbacks[1].seen
    assert len(callbacks[0].seen) >= 4
    assert ends[0] == ends[1]


@both_paths
def test_many_epochs_are_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = Calls(monkeypatch)

    network(np.float64).fit(*data(), epochs=40, batch_size=4)
    network(np.float64).fit(*data(), epochs=3, batch_size=4, callbacks=[Watch()])
    network(np.float64).fit(*data(), epochs=3, batch_size=4, validation_split=0.3)
    network(np.float64).fit(*data(), epochs=3, batch_size=4, on_epoch=print)
    network(np.float64).fit(*data(), epochs=3, batch_size=4, callbacks=[Callback()])

    assert calls.epochs == [40, *[1] * 9, 3]


@pytest.mark.parametrize("batch_size", [1, 4])
@both_paths
def test_orders_follow_from_the_key_and_the_first_step(batch_size: int) -> None:
    found, net = list[list[int]](), network(np.float64)
    key = int(copy.deepcopy(net._random).integers(1 << 62))

    class Orders(Watch):
        def on_epoch(self, run: Run) -> None:
            fit: Any = run
            found.append(fit.trainer._order.tolist())

    net.fit(*data(), epochs=3, batch_size=batch_size, callbacks=[Orders()])

    steps = -(-11 // batch_size)
    assert found == [permutation(key, epoch * steps, 11) for epoch in range(3)]


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@both_paths
def test_a_resumed_training_has_the_orders_of_one_that_ran_through(dropout: float, tmp_path: Path) -> None:
    path: Path = tmp_path / "c.safetensors"
    chosen: Any = {"batch_size": 4, "optimizer": Adam(0.01)}
    through, begun, resumed = (network(np.float64, dropout=dropout) for _ in range(3))

    history = through.fit(*data(), epochs=6, **chosen)
    begun.fit(*data(), epochs=2, callbacks=[Checkpoint(path)], **chosen)
    again = resumed.fit(*data(), epochs=6, callbacks=[Checkpoint(path, resume=True)], **chosen)

    assert again.loss == history.loss
    assert everything(resumed) == everything(through)


@pytest.mark.parametrize("batch_size", [1, 4])
@both_paths
def test_divergence_names_the_epoch_and_keeps_those_before(
    batch_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, found = Calls(monkeypatch), list[Any]()
    for callbacks in ([], [Watch()]):
        net = network(np.float64)
        with pytest.raises(DivergenceError) as caught:
            net.fit(
                *data(),
                epochs=400,
                batch_size=batch_size,
                learning_rate=3.0,
                shuffle=False,
                callbacks=callbacks,
            )
        error, history = caught.value, net.history
        assert error.epoch == len(history.loss) + 1 > 2
        shown = [layer.activations.tobytes() for layer in net.layers]
        found.append((error.epoch, error.step, str(error), history.loss, everything(net), shown))

    assert found[0] == found[1]
    assert calls.epochs[0] > 2


def test_an_interrupt_keeps_the_epochs_that_were_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes effect when the compiled call has ended."""
    reference, net = network(np.float64), network(np.float64)
    steps = Steps(net, Adam())
    train = Trainer[Any]._train_batches

    def interrupted(trainer: Trainer[Any], *arguments: Any) -> int:
        train(trainer, *arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "_train_batches", interrupted)
        with pytest.raises(KeyboardInterrupt):
            net.fit(*data(), epochs=40, batch_size=4, optimizer=steps)
    expected = reference.fit(*data(), epochs=40, batch_size=4, optimizer=Adam())

    assert net.history.loss == expected.loss
    assert everything(net) == everything(reference)
    assert steps.count == 120
    assert net.layers[1].activations.tobytes() == reference.layers[1].activations.tobytes()


@pytest.mark.parametrize("when", ["before the steps", "after the steps"])
@both_paths
def test_an_interrupt_of_a_watched_epoch_counts_the_steps_that_were_made(
    when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, reference = network(np.float64), network(np.float64)
    steps, train = Steps(net, Adam()), ShortEpoch[Any].train

    def interrupted(epoch: ShortEpoch[Any]) -> float:
        if net.history.loss[3:]:
            monkeypatch.setattr(*places[when])
        return train(epoch)

    run = kernels(np.dtype(np.float64))
    train_epoch: Any = run.train_epoch

    def trained_then_interrupted(*arguments: Any) -> None:
        train_epoch(*arguments)
        raise KeyboardInterrupt

    places: dict[str, tuple[object, str, Any]] = {
        "before the steps": (OptimizerState, "next_steps", _raise_interrupt),
        "after the steps": (run, "train_epoch", trained_then_interrupted),
    }
    monkeypatch.setattr(ShortEpoch, "train", interrupted)
    with monkeypatch.context(), pytest.raises(KeyboardInterrupt):
        net.fit(*data(), epochs=9, batch_size=4, optimizer=steps, callbacks=[Watch()])
    monkeypatch.undo()
    epochs = 4 if when == "before the steps" else 5
    expected = reference.fit(*data(), epochs=epochs, batch_size=4, optimizer=Adam(), callbacks=[Watch()])

    assert net.history.loss == expected.loss[:4]
    assert everything(net) == everything(reference)
    assert steps.count == 3 * epochs


def _raise_interrupt(*_arguments: Any) -> None:
    raise KeyboardInterrupt


@by_dtype
@both_paths
def test_a_threshold_ends_where_a_loop_over_epochs_ends(dtype: Any) -> None:
    case = problem((3, 4, 2), ("none", "tanh", "none"), "MSE", 11, dtype)
    _, losses = gradient_descent_epoch(ann_of(case), case.x, case.t, 0.05, 60)
    assert all(later < earlier for earlier, later in pairwise(losses))
    for epochs in (1, 2, 3, 4, 11, 60):
        ann, reference = ann_of(case), ann_of(case)
        _, expected = gradient_descent_epoch(reference, case.x, case.t, 0.05, epochs)

        _, found = gradient_descent_threshold(ann, case.x, case.t, 0.05, losses[epochs - 1], 60)

        assert found == expected == losses[:epochs]
        assert vector_of(ann).tobytes() == vector_of(reference).tobytes()
        assert ann[1].activations.tobytes() == reference[1].activations.tobytes()


@both_paths
def test_a_rise_before_a_divergence_ends_a_threshold_training() -> None:
    net = network_of(CASE)
    _, found = gradient_descent_threshold(list(net.layers), CASE.x, CASE.t, 1.9, 0.0, 1000)

    assert found[-1] > found[-2]
    assert all(later <= earlier for earlier, later in pairwise(found[:-1]))
    reference = network_of(CASE)
    _, losses = gradient_descent_epoch(list(reference.layers), CASE.x, CASE.t, 1.9, len(found))
    assert found == losses
    assert net.parameters.tobytes() == reference.parameters.tobytes()

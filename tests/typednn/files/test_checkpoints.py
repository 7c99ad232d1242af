"""A training that was interrupted and resumed gives the same bits as one that was not."""

from __future__ import annotations

import errno
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from tests.oracles.problems import problem
from tests.typednn.building import DTYPES, network_of
from typednn import (
    SGD,
    Adagrad,
    Adam,
    AdamW,
    Callback,
    Checkpoint,
    CosineDecay,
    CosineDecayRestarts,
    EarlyStopping,
    FileFormatError,
    GradientNorms,
    HiddenLayer,
    History,
    InputLayer,
    Lion,
    Nadam,
    Network,
    OneCycle,
    Optimizer,
    OutputLayer,
    ReduceOnPlateau,
    RMSprop,
    Rprop,
    Run,
    SettingError,
    load,
    save,
)

by_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)
both_paths = pytest.mark.usefixtures("path")

NAMES = ("none", "tanh", "softmax")
CASE = problem((3, 4, 2), NAMES, "crossentropy", 11)
LABELS = CASE.t.argmax(axis=1)


class Interrupt(Callback):
    """Ctrl-C at a step."""

    def __init__(self, epoch: int, step: int) -> None:
        self.at = epoch, step

    def on_batch(self, run: Run) -> None:
        if (run.epoch + 1, run.step) == self.at:
            raise KeyboardInterrupt


class Trained:
    """A network and its callbacks; `go` trains them, all in the same way."""

    def __init__(
        self, path: Path, dtype: Any = np.float64, seed: Any = 3, optimizer: Optimizer | None = None
    ) -> None:
        self.optimizer = optimizer or SGD(0.5)
        self.network: Network[Any] = Network(
            [InputLayer(3), HiddenLayer(4, "tanh"), OutputLayer(2, "softmax", "crossentropy")], dtype, seed
        )
        self.stopping, self.norms = EarlyStopping(patience=4), GradientNorms()
        self.checkpoint = Checkpoint(path, resume=True)
        self.x = CASE.x.astype(dtype)

    def go(self, *others: Callback, epochs: int = 7, batch_size: int = 4) -> History:
        # The checkpoint keeps the others wherever it stands.
        return self.network.fit(
            *(self.x, LABELS),
            epochs=epochs,
            batch_size=batch_size,
            optimizer=self.optimizer,
            validation_data=(self.x[:5], 1 - LABELS[:5]),
            metrics=["accuracy"],
            callbacks=[self.checkpoint, self.stopping, self.norms, *others],
        )

    @property
    def result(self) -> tuple[Any, ...]:
        random = self.network._random.bit_generator.state
        stopping = self.stopping.best_epoch, self.stopping.best
        return (
            self.network.parameters.tobytes(),
            self.network.history,
            stopping,
            self.norms.norms,
            str(random),
        )


@pytest.mark.once_per("at", "batch_size")
@by_dtype
@pytest.mark.parametrize("batch_size", [1, 4])
@pytest.mark.parametrize("at", [(1, 2), (2, 1), (3, 3), (5, 2), (7, 1)])
@both_paths
def test_the_same_bits(at: tuple[int, int], batch_size: int, dtype: Any, tmp_path: Path) -> None:
    """Interrupted in the middle of an epoch, and by another object started again."""
    reference, first = Trained(tmp_path / "a", dtype), Trained(tmp_path / "b", dtype)
    history = reference.go(batch_size=batch_size)
    if at[0] <= len(history.loss):
        with pytest.raises(KeyboardInterrupt):
            first.go(Interrupt(*at), batch_size=batch_size)

    second = Trained(tmp_path / "b", dtype)
    second.go(batch_size=batch_size)

    assert second.result == reference.result
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


OPTIMIZERS = {
    "momentum": SGD(CosineDecay(0.2, 20), momentum=0.9, nesterov=True),
    "adam": Adam(0.05),
    "adamw": AdamW(OneCycle(0.05, 20), weight_decay=0.01),
    "nadam": Nadam(CosineDecayRestarts(0.05, 5)),
    "rmsprop": RMSprop(0.01, momentum=0.5),
    "adagrad": Adagrad(0.1),
    "rprop": Rprop(0.01),
    "lion": Lion(ReduceOnPlateau(0.05, patience=1)),
}


@pytest.mark.once_per("name")
@by_dtype
@pytest.mark.parametrize("batch_size", [1, 4])
@pytest.mark.parametrize("name", OPTIMIZERS)
@both_paths
def test_the_same_bits_with_every_optimizer(name: str, batch_size: int, dtype: Any, tmp_path: Path) -> None:
    def new(path: str) -> Trained:
        return Trained(tmp_path / path, dtype, optimizer=OPTIMIZERS[name])

    reference, second = new("a"), new("b")
    reference.go(batch_size=batch_size)
    with suppress(KeyboardInterrupt):
        new("b").go(Interrupt(4, 2), batch_size=batch_size)
    second.go(batch_size=batch_size)

    assert second.result == reference.result
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_checkpoint_of_another_optimizer(tmp_path: Path) -> None:
    Trained(tmp_path / "c").go(epochs=1)
    with pytest.raises(FileFormatError, match=r"another training: expected optimizer.states to be .*2, 26"):
        Trained(tmp_path / "c", optimizer=Adam()).go()


@pytest.mark.parametrize("kind", [np.random.PCG64, np.random.MT19937, np.random.SFC64, np.random.Philox])
def test_every_kind_of_generator(kind: Any, tmp_path: Path) -> None:
    def new(name: str) -> Trained:
        return Trained(tmp_path / name, seed=np.random.Generator(kind(5)))

    reference, second = new("a"), new("b")
    reference.go(epochs=4)
    new("b").go(epochs=2)
    second.go(epochs=4)

    assert second.result == reference.result


def test_two_callbacks_of_one_kind_are_told_apart(tmp_path: Path) -> None:
    def stoppings(epochs: int) -> list[int]:
        both = EarlyStopping("loss", patience=9), EarlyStopping("loss", patience=9, min_delta=10)
        network_of(CASE).fit(
            CASE.x,
            LABELS,
            epochs=epochs,
            learning_rate=0.5,
            callbacks=[*both, Checkpoint(tmp_path / "c", resume=True)],
        )
        return [one.best_epoch for one in both]

    stoppings(3)
    assert stoppings(5) == [5, 1]


@both_paths
def test_batches_that_an_endless_iterator_gave_are_passed_over(tmp_path: Path) -> None:
    def endless() -> Any:
        for k in range(10**6):
            yield CASE.x[k % 9 : k % 9 + 2], LABELS[k % 9 : k % 9 + 2]

    reference, second = network_of(CASE), network_of(CASE)
    settings: dict[str, Any] = {"steps_per_epoch": 4, "learning_rate": 0.1}
    expected = reference.fit_batches(endless(), epochs=5, **settings)
    network_of(CASE).fit_batches(endless(), epochs=3, callbacks=[Checkpoint(tmp_path / "c")], **settings)
    computed = second.fit_batches(
        endless(), epochs=5, callbacks=[Checkpoint(tmp_path / "c", resume=True)], **settings
    )

    assert computed == expected
    assert second.parameters.tobytes() == reference.parameters.tobytes()


def test_every_so_many_epochs_and_the_last(tmp_path: Path) -> None:
    path, written = tmp_path / "c.safetensors", list[int]()

    class Look(Callback):
        comes_last = True

        def on_epoch(self, run: Run) -> None:
            if run.epoch > 1:
                written.append(len(tensor_of(path, "history.loss")))

    network_of(CASE).fit(CASE.x, LABELS, epochs=5, callbacks=[Checkpoint(path, every=2), Look()])

    assert written == [2, 2, 4, 4]
    assert len(tensor_of(path, "history.loss")) == 5
    assert list(tmp_path.iterdir()) == [path]


def tensor_of(path: Path, name: str) -> Any:
    """Read by the library that the format comes from."""
    numpy = pytest.importorskip("safetensors.numpy")
    return numpy.load_file(path)[name]


def test_a_finished_training_is_not_trained_again(tmp_path: Path) -> None:
    first, second = Trained(tmp_path / "c"), Trained(tmp_path / "c")
    first.go()
    second.go()

    assert second.result == first.result


def test_without_resume_the_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "c"
    path.write_bytes(b"something")
    network_of(CASE).fit(CASE.x, LABELS, epochs=1, callbacks=[Checkpoint(path)])

    assert len(tensor_of(path, "parameters")) == len(CASE.vector)


# What cannot be taken up.


def other(change: str) -> Network[Any]:
    hidden: Any = {"activation": HiddenLayer(4, "relu"), "length": HiddenLayer(5, "tanh")}.get(change)
    between: Any = [hidden or HiddenLayer(4, "tanh")] * (change != "count")
    last: Any = ("sigmoid", "crossentropy") if change == "output" else ("softmax", "crossentropy")
    dtype: Any = np.float32 if change == "dtype" else np.float64
    layers: list[Any] = [InputLayer(3), *between, OutputLayer(2, *last)]
    network: Network[Any] = cast("Any", Network)(layers, dtype, 0)
    return network


DIFFERENCES = {
    "activation": r"its layer 1 is .*'tanh'.*, not .*'relu'",
    "length": r"its layer 1 is .*'length': 4.*, not .*'length': 5",
    "count": r"the number of its layers is 3, not 2",
    "output": r"its layer 2 is .*'softmax'.*, not .*'sigmoid'",
    "dtype": r"its dtype is float64, not float32",
}


@pytest.mark.parametrize("change", DIFFERENCES)
def test_a_checkpoint_of_another_network(change: str, tmp_path: Path) -> None:
    path = tmp_path / "c"
    Trained(path).go(epochs=1)
    network, content = other(change), path.read_bytes()
    before = network.parameters.copy(), str(network._random.bit_generator.state)

    with pytest.raises(FileFormatError, match=f"is of another network: .*{DIFFERENCES[change]}"):
        network.fit(CASE.x.astype(network.dtype), LABELS, callbacks=[Checkpoint(path, resume=True)])

    assert (network.parameters == before[0]).all()
    assert str(network._random.bit_generator.state) == before[1]
    assert path.read_bytes() == content


def test_files_of_something_else(tmp_path: Path) -> None:
    path = tmp_path / "c"
    Trained(path).go(epochs=1)
    whole = path.read_bytes()
    with pytest.raises(FileFormatError, match="expected a model of typednn, found the checkpoint") as caught:
        load(path)
    assert f"callbacks=[Checkpoint({str(path)!r}, resume=True)]" in str(caught.value)

    for content, message in (
        (b"", "expected a safetensors file"),
        (b"something else", "expected a safetensors file"),
        (whole[:-1], "the file is truncated"),
        (whole + b"x", "something follows"),
        (whole.replace(b"PCG64", b"PCG65"), "random"),
        (whole.replace(rb"\"version\": 2", rb"\"version\": 1"), "version that this typednn reads"),
        (whole.replace(b"history.accuracy", b"history.akkuracy"), "history"),
        (whole.replace(b'"history.loss": {"dtype": "F64"', b'"history.lost": {"dtype": "F64"'), "history"),
        (whole.replace(b'"parameters"', b'"parametres"'), "expected parameters to be float64"),
    ):
        assert content != whole, message
        path.write_bytes(content)
        again = Trained(path)
        before = again.network.parameters.copy()
        with pytest.raises(FileFormatError, match=message):
            again.go()
        assert (again.network.parameters == before).all()
    save(again.network, path)
    with pytest.raises(FileFormatError, match="expected a checkpoint of typednn"):
        again.go()


@pytest.mark.parametrize("where", range(0, 3000, 37))
def test_damaged_files_give_one_kind_of_error(where: int, tmp_path: Path) -> None:
    """Any damage to the header is an error, or none at all."""
    path = tmp_path / "c"
    Trained(path).go(epochs=1)
    content = bytearray(path.read_bytes())
    length = int.from_bytes(content[:8], "little")
    content[8 + where % length] ^= 0x15
    path.write_bytes(content)

    with suppress(FileFormatError):
        Trained(path).go(epochs=2)


def test_settings() -> None:
    for every in (0, -1, 1.5, True):
        given: Any = every
        with pytest.raises(SettingError, match="every must be an integer of 1 or more"):
            Checkpoint("c", given)


# A disk that is full.


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
def test_a_full_disk_leaves_the_old_checkpoint(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, reference, network = tmp_path / "c", network_of(CASE), network_of(CASE)
    expected = reference.fit(CASE.x, LABELS, epochs=3)
    network.fit(CASE.x, LABELS, epochs=2, callbacks=[Checkpoint(path)])
    before = path.read_bytes()

    def full(*_: Any, **__: Any) -> Any:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if call == "fsync":
        monkeypatch.setattr(os, "fsync", full)
    elif call == "replace":
        monkeypatch.setattr(Path, "replace", full)
    else:
        opened: Any = os.open

        def open_full(path: Any, flags: int, *more: Any) -> Any:
            if not flags & os.O_EXCL:
                return opened(path, flags, *more)
            os.close(opened(path, flags, *more))
            return opened("/dev/full", os.O_WRONLY)

        if not Path("/dev/full").exists():
            pytest.skip("no /dev/full here")
        monkeypatch.setattr(os, "open", open_full)
    with pytest.raises(OSError, match="the checkpoint of epoch 3 could not be written") as caught:
        network.fit(CASE.x, LABELS, epochs=9, callbacks=[Checkpoint(path, resume=True)])

    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == str(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    assert network.history == expected
    assert network.parameters.tobytes() == reference.parameters.tobytes()


def test_no_pickle_and_all_described(tmp_path: Path) -> None:
    """The header says what the docstring says."""
    path = tmp_path / "c"
    Trained(path).go(epochs=1)
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])

    described = json.loads(header.pop("__metadata__")["typednn_checkpoint"])
    assert set(described) == {"version", "dtype", "layers", "random"}
    assert set(header) == {
        "parameters",
        *(f"history.{name}" for name in ("loss", "accuracy", "validation_loss", "validation_accuracy")),
        *(f"callbacks.EarlyStopping.0.{name}" for name in ("best", "parameters")),
        "callbacks.GradientNorms.0.norms",
        *(f"optimizer.{name}" for name in ("step", "states", "schedule", "key")),
    }

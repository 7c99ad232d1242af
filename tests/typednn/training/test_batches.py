"""Iterables of batches: lists, generators, files; with weights, and with steps for an epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.oracles.problems import problem
from tests.typednn.building import DTYPES, network_of
from typednn import (
    ArrayTypeError,
    Callback,
    DataError,
    Network,
    Run,
    SettingError,
    ShapeError,
)

by_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)
both_paths = pytest.mark.usefixtures("path")

CASE = problem((3, 4, 2), ("none", "tanh", "softmax"), "crossentropy", 11)
LABELS = CASE.t.argmax(axis=1)
SETTINGS: dict[str, Any] = {"epochs": 3, "learning_rate": 0.25}


def pieces(x: NDArray[Any], y: NDArray[Any], size: int) -> list[Any]:
    return [(x[start : start + size], y[start : start + size]) for start in range(0, len(x), size)]


@by_dtype
@both_paths
def test_batches_are_steps(dtype: Any) -> None:
    case = problem((3, 4, 2), ("none", "tanh", "softmax"), "crossentropy", 11, dtype)
    labels = case.t.argmax(axis=1)
    reference, network = network_of(case), network_of(case)

    expected = reference.fit(case.x, labels, batch_size=4, shuffle=False, **SETTINGS)
    computed = network.fit_batches(pieces(case.x, labels, 4), **SETTINGS)

    np.testing.assert_allclose(computed.loss, expected.loss, rtol=1e-12)
    assert network.parameters.tobytes() == reference.parameters.tobytes()


@both_paths
def test_batches_of_any_size_weights_and_steps_within_batches() -> None:
    x, y, weights = CASE.x, LABELS, np.linspace(0, 2, 11)
    reference, network = network_of(CASE), network_of(CASE)
    reference.fit(x, y, batch_size=2, shuffle=False, sample_weight=weights, class_weight={1: 3.0}, **SETTINGS)
    given: Any = [(x[:2], y[:2], weights[:2]), (x[2:8], y[2:8], weights[2:8]), (x[8:], y[8:], weights[8:])]

    network.fit_batches(given, batch_size=2, class_weight={1: 3.0}, **SETTINGS)
    assert network.parameters.tobytes() == reference.parameters.tobytes()

    one, other = network_of(CASE), network_of(CASE)
    one.fit_batches(given, **SETTINGS)
    other.fit_batches(given[:1], epochs=1, learning_rate=0.25)
    assert one.parameters.tobytes() != other.parameters.tobytes()


@both_paths
def test_steps_per_epoch_go_on_where_the_last_epoch_ended() -> None:
    batches_of_two = pieces(CASE.x[:10], CASE.t[:10], 2)
    reference, endless, again = network_of(CASE), network_of(CASE), network_of(CASE)
    for k in (0, 3, 1):
        epoch = [*batches_of_two, *batches_of_two][k : k + 3]
        reference.fit_batches(epoch, epochs=1, learning_rate=0.25)

    def generator() -> Iterator[Any]:
        while True:
            yield from batches_of_two

    endless.fit_batches(generator(), steps_per_epoch=3, **SETTINGS)
    again.fit_batches(batches_of_two, steps_per_epoch=3, **SETTINGS)

    assert endless.parameters.tobytes() == reference.parameters.tobytes()
    assert again.parameters.tobytes() == reference.parameters.tobytes()


def faulty(fault: str) -> Iterator[Any]:
    """Two good batches, and then something else."""
    yield CASE.x[:4], CASE.t[:4]
    yield CASE.x[4:8], CASE.t[4:8]
    if fault == "raises":
        raise RuntimeError("the disk is gone")
    if fault == "ends":
        return
    yield {
        "width": (CASE.x[8:, :2], CASE.t[8:]),
        "lengths": (CASE.x[8:], CASE.t[:1]),
        "rank": (CASE.x[8], CASE.t[8:]),
        "dtype": (CASE.x[8:].astype(np.float32), CASE.t[8:]),
        "nan": (CASE.x[8:] * np.nan, CASE.t[8:]),
        "empty": (CASE.x[:0], CASE.t[:0]),
        "not a tuple": CASE.x[8:],
        "a single": (CASE.x[8:],),
    }[fault]


FAULTS: dict[str, tuple[type[Exception], str]] = {
    "raises": (RuntimeError, "the disk is gone"),
    "ends": (DataError, "the batches ended after 2 of the 3 steps of epoch 1"),
    "width": (ShapeError, r"batch 3 of epoch 1: x must have the shape \(n_samples, 3\), not \(3, 2\)"),
    "lengths": (ShapeError, "batch 3 of epoch 1: x has 3 samples, y has 1"),
    "rank": (ShapeError, r"batch 3 of epoch 1: x must have the shape"),
    "dtype": (ArrayTypeError, "batch 3 of epoch 1: x must be float64, not float32"),
    "nan": (DataError, "batch 3 of epoch 1: x holds 9 numbers that are not finite"),
    "empty": (DataError, "batch 3 of epoch 1: x has no samples"),
    "not a tuple": (ArrayTypeError, r"batch 3 of epoch 1: must be a tuple \(x, y\) or .*, not ndarray"),
    "a single": (ArrayTypeError, r"batch 3 of epoch 1: must be a tuple \(x, y\) or .*, not tuple of 1"),
}


@pytest.mark.parametrize("fault", FAULTS)
@both_paths
def test_a_faulty_iterable_leaves_the_network_as_after_the_last_step(fault: str) -> None:
    kind, message = FAULTS[fault]
    reference, network = network_of(CASE), network_of(CASE)
    reference.fit(CASE.x[:8], CASE.t[:8], epochs=1, batch_size=4, learning_rate=0.25, shuffle=False)

    with pytest.raises(kind, match=message):
        network.fit_batches(faulty(fault), steps_per_epoch=3, learning_rate=0.25)

    assert network.parameters.tobytes() == reference.parameters.tobytes()
    assert network.layers[1].activations.tobytes() == reference.layers[1].activations.tobytes()
    assert not network.history.loss


@pytest.mark.parametrize("wrong", [None, 3, "xy", [CASE.x, CASE.t], (CASE.x,), (1, 2, 3, 4)])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_what_is_no_batch_is_refused_with_its_place(wrong: Any, place: int) -> None:
    """None is not the end of the batches."""
    given: list[Any] = [(CASE.x, CASE.t)] * 2
    given.insert(place, wrong)

    for steps in (None, 3):
        network, reference = network_of(CASE), network_of(CASE)
        with pytest.raises(ArrayTypeError, match=rf"batch {place + 1} of epoch 1: must be a tuple \(x, y\)"):
            network.fit_batches(given, steps_per_epoch=steps, learning_rate=0.25)
        if place:
            reference.fit_batches(given[:place], epochs=1, learning_rate=0.25)
        assert network.parameters.tobytes() == reference.parameters.tobytes()
        assert not network.history.loss


NOTHING: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "none": (list, DataError, "there are no batches in epoch 1$"),
    "once": (lambda: iter(pieces(CASE.x, CASE.t, 4)), DataError, "no batches in epoch 2; an iterator gives"),
    "no iterable": (lambda: 3, ArrayTypeError, "must be an iterable of batches, not int"),
    "an array": (lambda: CASE.x, ArrayTypeError, "batch 1 of epoch 1: must be a tuple"),
}


@pytest.mark.parametrize("name", NOTHING)
def test_iterables_that_do_not_give_batches(name: str) -> None:
    make, kind, message = NOTHING[name]

    with pytest.raises(kind, match=message):
        network_of(CASE).fit_batches(make(), epochs=2)


def test_bad_settings_for_batches() -> None:
    network, given = network_of(CASE), pieces(CASE.x, CASE.t, 4)

    for name in ("steps_per_epoch", "batch_size", "epochs"):
        for value in (0, -1, 1.5):
            settings: dict[str, Any] = {name: value}
            with pytest.raises(SettingError, match=f"{name} must be an integer of 1 or more"):
                network.fit_batches(given, **settings)
    with pytest.raises(SettingError, match="metrics of batches need validation_data"):
        network.fit_batches(given, metrics=["mse"])


def test_an_epoch_can_end_between_batches() -> None:
    class Stop(Callback):
        def on_batch(self, run: Run) -> None:
            if run.step == 2:
                run.stop()

    reference, network = network_of(CASE), network_of(CASE)
    reference.fit(CASE.x[:8], CASE.t[:8], epochs=1, batch_size=4, learning_rate=0.25, shuffle=False)

    history = network.fit_batches(pieces(CASE.x, CASE.t, 4), learning_rate=0.25, callbacks=[Stop()])

    assert network.parameters.tobytes() == reference.parameters.tobytes()
    assert len(history.loss) == 1


class Table:
    """The row groups of a Parquet file, as `fit_batches` says."""

    def __init__(self, path: Path, names: list[str]) -> None:
        self.path, self.names = path, names

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        parquet = import_module("pyarrow.parquet")
        for part in parquet.ParquetFile(self.path).iter_batches(4):
            columns = [part[name].to_numpy() for name in self.names]
            yield np.stack(columns, axis=1), part["label"].to_numpy()


def test_a_parquet_file(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    names = ["a", "b", "c"]
    columns = {**dict(zip(names, CASE.x.T, strict=True)), "label": LABELS}
    import_module("pyarrow.parquet").write_table(pyarrow.table(columns), tmp_path / "table.parquet")
    reference = network_of(CASE)
    reference.fit(CASE.x, LABELS, batch_size=4, shuffle=False, **SETTINGS)

    network: Network[Any] = network_of(CASE)
    network.fit_batches(Table(tmp_path / "table.parquet", names), **SETTINGS)

    assert network.parameters.tobytes() == reference.parameters.tobytes()


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("wrong", [None, 3, (None, None), (np.zeros((2, 3)), None), [np.zeros((2, 3))] * 2])
def test_something_else_among_batches(wrong: Any, place: int) -> None:
    network = network_of(problem((3, 4, 2), ("none", "tanh", "none"), "MSE", 8))
    good = np.zeros((2, 3)), np.zeros((2, 2))
    given: Any = [good, good, good]
    given[place] = wrong

    with pytest.raises(ArrayTypeError, match=f"batch {place + 1} of epoch 1"):
        network.fit_batches(given, epochs=1)

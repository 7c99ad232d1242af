"""Arrays of every kind, also larger than they may be copied; weights; held-out samples."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import compiling_only
from tests.oracles.problems import problem
from tests.typednn.building import DTYPES, network_of
from typednn import (
    ArrayTypeError,
    Callback,
    DataError,
    HiddenLayer,
    InputLayer,
    Network,
    OutputLayer,
    Run,
    SettingError,
    ShapeError,
    backend,
)
from typednn.training import samples

by_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)
both_paths = pytest.mark.usefixtures("path")

CASE = problem((3, 4, 2), ("none", "tanh", "softmax"), "crossentropy", 11)
LABELS = CASE.t.argmax(axis=1)
SETTINGS: dict[str, Any] = {"epochs": 3, "learning_rate": 0.25}


def trained(x: Any, y: Any, **settings: Any) -> tuple[bytes, Any]:
    network = network_of(CASE)
    history = network.fit(x, y, batch_size=4, **SETTINGS, **settings)
    return network.parameters.tobytes(), history


def test_no_array_that_kernels_can_read_is_copied(tmp_path: Path) -> None:
    """A memory-mapped file too."""
    path = tmp_path / "x.npy"
    np.save(path, CASE.x)
    mapped: Any = np.load(path, mmap_mode="r")
    takes = samples.format_of(network_of(CASE)._output)

    for x in (CASE.x, mapped):
        checked = takes.samples(x, CASE.t)
        whole, t, _, _ = checked.take(np.arange(11))
        assert np.shares_memory(whole, x)
        assert np.shares_memory(t, CASE.t)
        assert not whole.flags.writeable


@both_paths
def test_arrays_that_are_converted_by_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same bits, whether all rows are converted, or those of a piece, also of a memory-mapped array."""
    x, t = np.rint(CASE.x * 8), np.eye(2)[LABELS]
    held: Any = (x[:5], LABELS[:5])
    reference = trained(x, t, validation_data=held)
    given: list[tuple[Any, Any]] = [
        (x.astype(np.int8), LABELS),
        (np.asfortranarray(x), LABELS.astype(np.uint8)),
        (np.repeat(x, 2, axis=0)[::2], t),
        (x.astype(">f8"), np.asfortranarray(t)),
        (x, LABELS),
    ]

    for largest in (samples.MAX_COPY_BYTES, 0):
        monkeypatch.setattr(samples, "MAX_COPY_BYTES", largest)
        monkeypatch.setattr(samples, "MAX_CHUNK_BYTES", 200)
        for each, y in given:
            network = network_of(CASE)
            history = network.fit(each, y, **SETTINGS, batch_size=4, validation_data=held)
            assert (network.parameters.tobytes(), history) == reference


def test_a_large_array_is_never_held_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Training, checking and validating 16 MB of pixels takes a fraction of what they are as floats."""
    import tracemalloc

    path = tmp_path / "pixels.npy"
    np.save(path, np.random.default_rng(0).integers(0, 256, (16384, 1024), np.uint8))
    x: Any = np.load(path, mmap_mode="r")
    labels = np.arange(16384) % 3
    network: Network[Any] = network_of(problem((1024, 2, 3), ("none", "tanh", "softmax"), "crossentropy", 2))
    monkeypatch.setattr(samples, "MAX_COPY_BYTES", 2**20)
    monkeypatch.setattr(samples, "MAX_CHUNK_BYTES", 2**20)

    tracemalloc.start()
    network.fit(x, labels, epochs=1, learning_rate=1e-6, validation_data=(x, labels))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < x.size * 8 / 2


@both_paths
@pytest.mark.parametrize("held", [False, True])
def test_a_large_memory_map_is_checked_as_it_is_read_the_first_time(
    held: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samples, "MAX_COPY_BYTES", 0)
    count, path = len(CASE.x), tmp_path / "x.npy"
    np.save(path, CASE.x)
    file: Any = np.load(path, mmap_mode="r+")
    checked: list[int] = []
    check = samples.CheckedSamples._check

    def noted(self: Any, order: Any) -> None:
        checked.extend(order.tolist())
        check(self, order)

    monkeypatch.setattr(samples.CheckedSamples, "_check", noted)

    def train(x: Any) -> Network[Any]:
        network = network_of(CASE)
        validation: Any = (x, CASE.t) if held else None
        trained_x: Any = CASE.x if held else x
        network.fit(
            trained_x,
            CASE.t,
            **SETTINGS,
            batch_size=4,
            on_epoch=lambda _: None,
            validation_data=validation,
        )
        return network

    reference, computed = train(CASE.x), train(file)

    assert sorted(checked) == list(range(count))
    assert computed.parameters.tobytes() == reference.parameters.tobytes()
    assert computed.history.curves() == reference.history.curves()
    file[count - 1, 0] = np.inf
    owner = "validation_data" if held else "Network"
    with pytest.raises(DataError, match=f"^{owner}: row {count - 1} of x, a memory map"):
        train(file)
    with pytest.raises(DataError, match=f"^Network: row {count - 1} of x, a memory map"):
        network_of(CASE).fit(file, CASE.t, **SETTINGS, batch_size=4, validation_split=0.3)


def test_what_is_not_finite_is_found_in_any_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("typednn.validation.arrays.CHUNK_ELEMENTS", 6)
    x = CASE.x.copy()
    x[7, 1] = x[10, 0] = np.nan

    with pytest.raises(DataError, match=r"x holds 2 numbers .*, the first is x\[7, 1\] = nan"):
        network_of(CASE).fit(x, CASE.t)


# Validation split.


@both_paths
def test_validation_split_holds_out_the_last() -> None:
    weights = np.linspace(0.5, 1.5, 11)
    t = np.eye(2)[LABELS]
    held = (CASE.x[8:], t[8:], weights[8:])
    reference = trained(CASE.x[:8], t[:8], sample_weight=weights[:8], validation_data=held)

    assert trained(CASE.x, t, sample_weight=weights, validation_split=0.2) == reference
    assert trained(CASE.x, LABELS, sample_weight=weights, validation_split=0.2) == reference


@by_dtype
@both_paths
def test_validation_split_keeps_weights(dtype: Any) -> None:
    """The loss of y = 0 for targets t is the mean of w t²; classes weigh in the held-out part, too."""
    network: Any = Network([InputLayer(1), OutputLayer(1)], dtype=dtype)
    x, t = np.zeros((4, 1), dtype), np.array([[0], [0], [1], [3]], dtype)
    network.parameters[...] = 0

    history = network.fit(
        *(x, t),
        sample_weight=np.array([1, 1, 0.5, 0.001]),
        validation_split=0.5,
        epochs=1,
        learning_rate=1e-30,
        shuffle=False,
    )

    assert history.validation_loss == [pytest.approx((0.5 * 1 + 0.001 * 9) / 2, rel=1e-6)]
    case = problem((3, 4, 2), ("none", "tanh", "softmax"), "crossentropy", 11, dtype)
    weighted, labels = network_of(case), case.t.argmax(axis=1)
    each = [weighted.loss(case.x[[i]], labels[[i]]) for i in range(8, 11)]
    settings: dict[str, Any] = {"epochs": 1, "learning_rate": 1e-30, "validation_split": 0.2}
    history = weighted.fit(case.x, labels, class_weight={0: 3.0, 1: 0.25}, **settings)
    expected = (
        sum(3 * loss if label == 0 else loss / 4 for loss, label in zip(each, labels[8:], strict=True)) / 3
    )
    assert history.validation_loss == [pytest.approx(expected, rel=1e-5)]


def test_a_weight_for_each_sample_is_asked_for_before_they_are_split() -> None:
    with pytest.raises(ShapeError, match=r"sample_weight must have the shape \(11,\), not \(12,\)"):
        trained(CASE.x, CASE.t, sample_weight=np.ones(12), validation_split=0.2)


@both_paths
def test_a_batch_larger_than_the_data_is_all_of_them() -> None:
    """As in Keras and scikit-learn."""
    reference, network = network_of(CASE), network_of(CASE)

    expected = reference.fit(CASE.x, CASE.t, batch_size=11, **SETTINGS)
    assert network.fit(CASE.x, CASE.t, batch_size=4096, **SETTINGS) == expected
    assert network.parameters.tobytes() == reference.parameters.tobytes()
    for size in (0, -1, 1.5, True, "8"):
        wrong: Any = size
        with pytest.raises(SettingError, match="batch_size must be an integer of 1 or more"):
            network.fit(CASE.x, CASE.t, batch_size=wrong)


ONE_OUTPUT: dict[str, tuple[Any, Any, Any]] = {
    "numbers": ("none", "MSE", np.linspace(-1, 1, 11)),
    "integers": ("none", "MSE", np.arange(11)),
    "yes or no": ("sigmoid", "bincrossentropy", np.arange(11) % 2),
    "booleans": ("sigmoid", "bincrossentropy", np.arange(11) % 2 == 1),
    "every other": ("none", "mae", np.arange(22.0)[::2]),
}
"""Output, loss, targets; type checkers do not know how many outputs there are."""


@pytest.mark.parametrize("name", ONE_OUTPUT)
@both_paths
def test_targets_of_one_output_may_be_a_vector(name: str) -> None:
    output, loss, y = ONE_OUTPUT[name]
    case: Any = problem((3, 4, 1), ("none", "tanh", output), loss, 11)
    column, network, reference = y.reshape(-1, 1), network_of(case), network_of(case)
    if y.dtype.kind == "f":
        y = y.astype(case.x.dtype)

    assert network.loss(case.x, y) == reference.loss(case.x, column)
    assert network.evaluate(case.x, y) == reference.evaluate(case.x, column)
    assert (
        network.forward(case.x).backward(y).vector.tobytes()
        == reference.forward(case.x).backward(column).vector.tobytes()
    )
    held: list[dict[str, Any]] = [{"validation_split": 0.2}, {"validation_data": (case.x, y)}]
    for more in held:
        more |= SETTINGS
        assert network.fit(case.x, y, **more) == reference.fit(case.x, column, **more)
    assert network.parameters.tobytes() == reference.parameters.tobytes()
    history = network.fit_batches([(case.x, y)], **SETTINGS)
    assert history == reference.fit_batches([(case.x, column)], **SETTINGS)


def test_targets_of_several_outputs_may_not() -> None:
    case = problem((3, 4, 2), ("none", "tanh", "none"), "MSE", 11)

    given: list[Any] = [np.zeros(11), np.zeros(22), np.arange(11)]
    for y in given:
        with pytest.raises(ShapeError, match=r"y must have the shape \(n_samples, 2\)"):
            network_of(case).fit(case.x, y)


@pytest.mark.parametrize("share", [1.0, -0.1, np.nan, 0.999, 2, "0.5"])
def test_bad_splits(share: Any) -> None:
    with pytest.raises(SettingError, match="validation_split must be between 0 and 1"):
        trained(CASE.x, CASE.t, validation_split=share)


def test_split_beside_validation_data() -> None:
    with pytest.raises(SettingError, match="validation_data or validation_split, not both"):
        trained(CASE.x, CASE.t, validation_split=0.5, validation_data=(CASE.x, CASE.t))


BAD_VALIDATION: dict[str, tuple[Any, type[Exception], str]] = {
    "width": (
        (CASE.x[:, :2], CASE.t),
        ShapeError,
        r"^validation_data: x must have .*, 3\)",
    ),
    "dtype": ((CASE.x.astype(np.float32), CASE.t), ArrayTypeError, "^validation_data: x must be float64"),
    "nan": ((CASE.x * np.nan, CASE.t), DataError, "^validation_data: x holds 33 numbers"),
    "one": ((CASE.x,), ArrayTypeError, "must be a tuple"),
    "list": ([CASE.x, CASE.t], ArrayTypeError, "must be a tuple"),
    "weights": ((CASE.x, CASE.t, np.ones(3)), ShapeError, r"sample_weight must have the shape \(11,\)"),
}


@pytest.mark.parametrize("name", BAD_VALIDATION)
def test_bad_validation_data(name: str) -> None:
    data, kind, message = BAD_VALIDATION[name]
    network = network_of(CASE)

    with pytest.raises(kind, match=message):
        network.fit(CASE.x, CASE.t, validation_data=data)
    assert network.parameters.tobytes() == CASE.vector.tobytes()
    assert not network.history.loss


BAD_WEIGHTS: dict[str, tuple[Any, type[Exception], str]] = {
    "list": ([1.0] * 11, ArrayTypeError, "sample_weight must be a numpy.ndarray of real numbers"),
    "text": (np.array(["1"] * 11), ArrayTypeError, "sample_weight must be a numpy.ndarray of real numbers"),
    "length": (np.ones(10), ShapeError, r"sample_weight must have the shape \(11,\), not \(10,\)"),
    "rank": (np.ones((11, 1)), ShapeError, r"sample_weight must have the shape \(11,\), not \(11, 1\)"),
    "nan": (np.full(11, np.nan), DataError, "sample_weight holds 11 numbers that are not finite"),
    "negative": (-np.ones(11), DataError, "sample_weight must be 0 or more, but holds -1"),
}


@pytest.mark.parametrize("name", BAD_WEIGHTS)
def test_bad_weights(name: str) -> None:
    weights, kind, message = BAD_WEIGHTS[name]

    with pytest.raises(kind, match=message):
        trained(CASE.x, CASE.t, sample_weight=weights)


@pytest.mark.parametrize("weights", [{2: 1.0}, {-1: 1.0}, {"0": 1.0}, {0: -1.0}, {0: np.nan}, {0: "1"}])
def test_bad_class_weights(weights: Any) -> None:
    with pytest.raises(SettingError, match="class_weight"):
        trained(CASE.x, CASE.t, class_weight=weights)


WRONG_CLASS_WEIGHTS: dict[str, tuple[Any, str]] = {
    "a name": ("balancd", "must be \"balanced\", a mapping from labels to weights or .*, not 'balancd'"),
    "a number": (2.0, 'must be "balanced", a mapping .*, not 2.0'),
    "too few": ([1.0], "a weight for each of 2 classes, not 1 weights"),
    "too many": (np.ones(3), "a weight for each of 2 classes, not 3 weights"),
    "two ranks": (np.ones((2, 1)), r"class_weight\[0\] must be a finite number of 0 or more, not \[1.0\]"),
    "negative": ([1.0, -1.0], r"class_weight\[1\] must be a finite number of 0 or more"),
    "nan": (np.array([1.0, np.nan]), r"class_weight\[1\] must be a finite number of 0 or more"),
}


@pytest.mark.parametrize("name", WRONG_CLASS_WEIGHTS)
def test_class_weights_of_no_kind(name: str) -> None:
    weights, message = WRONG_CLASS_WEIGHTS[name]
    network = network_of(CASE)

    with pytest.raises(SettingError, match=message):
        network.fit(CASE.x, LABELS, class_weight=weights)
    with pytest.raises(SettingError, match=message):
        network.evaluate(CASE.x, LABELS, class_weight=weights)
    with pytest.raises(SettingError, match=message):
        network.fit_batches([(CASE.x, LABELS)], class_weight=weights)
    with pytest.raises(SettingError, match='"balanced" needs all labels'):
        network.fit_batches([(CASE.x, LABELS)], class_weight="balanced")


@both_paths
def test_every_form_of_class_weights_is_that_of_sample_weights() -> None:
    """Of 11 labels 3 are 0; "balanced" is n_samples / (n_classes * count), as scikit-learn defines it."""
    labels = np.array([0, 1, 1, 0, 1, 1, 1, 1, 0, 1, 1])
    balanced = {0: 11 / (2 * 3), 1: 11 / (2 * 8)}
    forms: list[tuple[Any, dict[int, float]]] = [
        ("balanced", balanced),
        ([0.5, 2.0], {0: 0.5, 1: 2.0}),
        ((0.5, 2), {0: 0.5, 1: 2.0}),
        (np.array([0.5, 2.0], np.float32), {0: 0.5, 1: 2.0}),
    ]
    for given, mapping in forms:
        factors = np.array([mapping[int(label)] for label in labels])
        for y in (labels, np.eye(2)[labels]):
            assert trained(CASE.x, y, class_weight=given) == trained(CASE.x, y, sample_weight=factors)
    three = problem((3, 4, 3), ("none", "tanh", "softmax"), "crossentropy", 11)
    two_of_three = network_of(three).loss(three.x, labels, class_weight="balanced")
    factors = np.array([balanced[int(label)] for label in labels])
    assert two_of_three == network_of(three).loss(three.x, labels, sample_weight=factors)


MASKED: Any = np.ma.masked_equal(np.where(np.arange(33) == 5, -999.0, 1.0).reshape(11, 3), -999.0)


def test_masked_arrays_are_refused() -> None:
    network, predicted = network_of(CASE), np.ma.masked_equal(LABELS, 0)
    before = network.parameters.copy()
    calls: list[tuple[str, Callable[[], Any]]] = [
        ("x", lambda: network.predict(MASKED)),
        ("x", lambda: network.forward(MASKED)),
        ("x", lambda: network.fit(MASKED, LABELS)),
        ("x", lambda: network.evaluate(MASKED, LABELS)),
        ("y", lambda: network.fit(CASE.x, predicted)),
        ("y", lambda: network.loss(CASE.x, np.ma.masked_less(CASE.t, 0.5))),
        (
            "sample_weight",
            lambda: network.fit(CASE.x, LABELS, sample_weight=np.ma.masked_equal(np.ones(11), 0)),
        ),
        ("x", lambda: network.fit(CASE.x, LABELS, validation_data=(MASKED, LABELS))),
        ("x", lambda: network.fit_batches([(MASKED, LABELS)])),
        ("W", lambda: setattr(network.layers[1], "W", np.ma.masked_equal(np.ones((4, 3)), 0))),
        ("values", lambda: network.layers[0].put_values(MASKED)),
    ]
    for name, call in calls:
        with pytest.raises(ArrayTypeError, match=rf"{name} is a masked array.*{name}\.filled"):
            call()
    assert network.parameters.tobytes() == before.tobytes()


def test_classes_to_weigh_where_there_are_none() -> None:
    case = problem((3, 4, 2), ("none", "tanh", "none"), "MSE", 11)

    with pytest.raises(SettingError, match="class_weight needs classes, but the loss is MSE"):
        network_of(case).fit(case.x, case.t, class_weight={0: 1.0})
    with pytest.raises(SettingError, match=r"label_smoothing is for .* not for MSE"):
        network_of(case).fit(case.x, case.t, label_smoothing=0.1)


@compiling_only
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_training_takes_no_more_memory_than_it_says(optimizer: Any) -> None:
    """Beyond data and parameters: three times the parameters, four times the activations of a batch."""
    import tracemalloc

    if backend() == "numpy":
        pytest.skip("NumPy makes an array of what it computes")
    layers: Any = [InputLayer(500), HiddenLayer(300, "relu"), OutputLayer(10, "softmax", "crossentropy")]
    network: Any = Network(layers, dtype=np.float32, seed=0)
    x = np.random.default_rng(0).normal(size=(3000, 500)).astype(np.float32)
    t = np.eye(10, dtype=np.float32)[np.arange(3000) % 10]
    batch_size, one_epoch = 100, {"epochs": 1, "batch_size": 100, "optimizer": optimizer}
    network.fit(x, t, **one_epoch)  # compiles
    activations = batch_size * (500 + 300 + 10) * x.itemsize
    order_and_losses = len(x) * (np.dtype(np.intp).itemsize + 2 * x.itemsize)

    tracemalloc.start()
    network.fit(x, t, **one_epoch)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 3 * network.parameters.nbytes + 4 * activations + order_and_losses + 100_000


# Arrays that another thread changes.


@pytest.mark.parametrize("wrong", [-3, 2, 1 << 40])
def test_labels_that_change_after_they_were_checked(wrong: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are read chunk by chunk: no chunk is trained with labels that are out of range."""
    monkeypatch.setattr(samples, "MAX_COPY_BYTES", 0)
    network = network_of(problem((3, 4, 2), ("none", "tanh", "softmax"), "crossentropy", 8))
    x, y = np.random.default_rng(0).random((8, 3)), np.arange(8) % 2
    before = network.parameters.copy()

    class Change(Callback):
        def on_begin(self, run: Run) -> None:
            assert run.epoch == 0
            y[5] = wrong

    with pytest.raises(DataError, match="y was changed while it was read"):
        network.fit(x, y, epochs=1, callbacks=[Change()])
    np.testing.assert_array_equal(network.parameters, before)

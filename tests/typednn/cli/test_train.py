"""Training from a file's data: the task, the metrics by hand, predictions from raw data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typednn.data.datasets import Dataset

from tests.typednn.building import Dtype
from typednn import (
    DataError,
    DivergenceError,
    HiddenLayer,
    InputLayer,
    Network,
    OutputLayer,
    SettingError,
    use_backend,
)
from typednn.cli.train import Settings, predictions, train
from typednn.data.preprocessing import Classes, held_out_split
from typednn.files.models import Model, load_model, save

pytest.importorskip("sklearn", reason="scikit-learn is not installed")

QUICK = Settings(hidden=(8,), epochs=30, batch_size=8)


@pytest.fixture(autouse=True)
def numpy_alone() -> Iterator[None]:
    with use_backend("numpy"):
        yield


def rings(samples: int = 200) -> Dataset:
    """Points inside a circle, or outside, in columns of very different size."""
    x = np.random.default_rng(0).uniform(-1, 1, (samples, 2))
    y = np.where((x**2).sum(axis=1) < 0.5, "inside", "outside")
    return Dataset(x * [1e6, 1e-6] + [5e6, 0], y, ("a", "b"), "where")


def derivative(samples: int = 200) -> Dataset:
    x = np.random.default_rng(0).normal(size=(samples, 3))
    return Dataset(x, 1e4 + 300 * (x @ [1.0, -2.0, 0.5]), ("a", "b", "c"), "y")


def test_classes_and_their_metrics() -> None:
    data = rings()

    training = train(data, replace(QUICK, epochs=200))

    assert training.task == "classification"
    assert (training.samples, training.held_out) == (160, 40)
    _, labels = np.unique(data.y, return_inverse=True)
    part, held = held_out_split(200, 0.2, 0, labels)
    probabilities = training.model.outputs(data.x[held])
    shares = np.bincount(labels[part]) / len(part)
    accuracy, loss = training.metrics
    assert accuracy.name == "accuracy"
    assert accuracy.value == (probabilities.argmax(axis=1) == labels[held]).mean() > 0.9
    assert accuracy.baseline == (labels[held] == shares.argmax()).mean()
    assert loss.name == "loss"
    assert loss.value == pytest.approx(-np.log(probabilities[np.arange(40), labels[held]]).mean(), rel=1e-4)
    assert loss.baseline == pytest.approx(-np.log(shares[labels[held]]).mean())


def test_numbers_and_their_metrics() -> None:
    data = derivative()

    training = train(data, replace(QUICK, hidden=(), epochs=60))

    assert training.task == "regression"
    part, held = held_out_split(200, 0.2, 0)
    truth, known = data.y[held].astype(float), training.model.preprocessing
    assert known is not None and not isinstance(known.target, Classes)  # noqa: PT018
    found = known.target.restore(training.model.outputs(data.x[held]))[:, 0]
    r2, mae = training.metrics
    assert r2.name == "R2"
    assert r2.value == pytest.approx(1 - ((truth - found) ** 2).sum() / ((truth - truth.mean()) ** 2).sum())
    assert r2.value > 0.99
    assert r2.baseline < 0.05
    assert mae.name == "MAE"
    assert mae.value == pytest.approx(abs(truth - found).mean())
    assert mae.baseline == pytest.approx(abs(truth - data.y[part].astype(float).mean()).mean())


def test_held_out_samples_do_not_touch_the_model() -> None:
    data, disturbed = derivative(), derivative()
    _, held = held_out_split(200, 0.2, 0)
    disturbed.x[held] = 77.0
    disturbed.y[held] = 1e9

    models = [train(each, QUICK).model for each in (data, disturbed)]

    assert repr(models[0].preprocessing) == repr(models[1].preprocessing)
    np.testing.assert_array_equal(models[0].network.parameters, models[1].network.parameters)


def test_the_task_can_be_chosen() -> None:
    x = np.random.default_rng(0).normal(size=(40, 2))
    data = Dataset(x, (x[:, 0] > 0).astype(float))

    assert train(data, QUICK).task == "classification"
    assert train(data, replace(QUICK, task="regression")).task == "regression"
    with pytest.raises(DataError, match="whole numbers"):
        train(derivative(), replace(QUICK, task="classification"))
    with pytest.raises(DataError, match="is text"):
        train(rings(), replace(QUICK, task="regression"))


def test_several_targets() -> None:
    x = np.random.default_rng(0).normal(size=(60, 2))
    training = train(Dataset(x, x @ np.array([[1.0, 2.0, 3.0], [0.0, 1.0, -1.0]])), QUICK)

    lines = list(predictions(training.model, x))

    assert lines[0] == ["prediction 1", "prediction 2", "prediction 3"]
    assert len(lines) == 61


def test_small_data_get_a_small_batch() -> None:
    data = rings(10)

    for size in (None, 8, 9):
        assert train(data, replace(QUICK, batch_size=size)).samples == 8
    with pytest.raises(SettingError, match="batch_size must be an integer of 1 or more"):
        train(data, replace(QUICK, batch_size=0))


def test_what_cannot_be_trained() -> None:
    with pytest.raises(DivergenceError, match="smaller learning rate"):
        train(derivative(), replace(QUICK, learning_rate=1e3))
    with pytest.raises(SettingError, match="two held-out samples or more"):
        train(derivative(5), QUICK)
    with pytest.raises(DataError, match="2 samples cannot be split"):
        train(rings(2), QUICK)


def test_predictions_of_a_saved_model(tmp_path: Path) -> None:
    data = rings()
    model = train(data, replace(QUICK, epochs=100)).model
    save(model.network, tmp_path / "model", preprocessing=model.preprocessing)

    lines = list(predictions(load_model(tmp_path / "model"), data.x))

    assert lines == list(predictions(model, data.x))
    assert lines[0] == ["where", "probability"]
    right = np.mean([name == str(true) for (name, _), true in zip(lines[1:], data.y, strict=True)])
    assert right > 0.85
    assert all(0.5 <= float(probability) <= 1 for _, probability in lines[1:])


def test_predictions_in_units_of_the_target() -> None:
    data = derivative()
    lines = list(predictions(train(data, replace(QUICK, hidden=(), epochs=60)).model, data.x))

    assert lines[0] == ["y"]
    found = np.array([float(number) for (number,) in lines[1:]])
    assert abs(found - data.y.astype(float)).max() < 100


def network_in(dtype: Dtype, layers: list[Any]) -> Any:
    return Network(layers, dtype, 0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_predictions_of_a_network_without_preprocessing(dtype: Any) -> None:
    layers = [InputLayer(2), HiddenLayer(3, "tanh"), OutputLayer(4, "softmax", "crossentropy")]
    network = network_in(dtype, layers)

    lines = list(predictions(Model(network), np.eye(2)))

    probabilities = network.predict(np.eye(2, dtype=dtype))
    assert lines[0] == ["prediction", "probability"]
    assert [line[0] for line in lines[1:]] == [str(k) for k in probabilities.argmax(axis=1)]
    plain = network_in(dtype, [InputLayer(2), OutputLayer(1)])
    expected = [
        ["prediction"],
        *([f"{number:.7g}"] for number in plain.predict(np.eye(2, dtype=dtype))[:, 0]),
    ]
    assert list(predictions(Model(plain), np.eye(2))) == expected

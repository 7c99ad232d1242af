"""Training with a table: the task, the metrics by hand, predictions from raw data, and ten tables."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.typednn.data.made_tables import MADE, SHIPPED, Columns, as_csv, shipped
from typednn import (
    DataError,
    DivergenceError,
    HiddenLayer,
    InputLayer,
    Network,
    OutputLayer,
    SettingError,
    UnknownNameError,
    use_backend,
)
from typednn.cli.measures import ClassMeasures, NumberMeasures
from typednn.cli.settings import Settings
from typednn.cli.tables import predictions
from typednn.cli.train import prepare, train
from typednn.cli.tuning import cross_validate, tune
from typednn.data.model import Model
from typednn.data.preprocessing import held_out_split
from typednn.data.reading import Data, read_data
from typednn.data.table import table_of
from typednn.files.models import load, save

QUICK = Settings(hidden=(8,), epochs=30, batch_size=8)


@pytest.fixture(autouse=True)
def numpy_alone() -> Iterator[None]:
    with use_backend("numpy"):
        yield


def data_of(columns: dict[str, Any], *targets: str) -> Data:
    return Data(table_of(columns), targets)


def rings(samples: int = 200) -> Data:
    """Points inside a circle, or outside, in columns of very different size."""
    x = np.random.default_rng(0).uniform(-1, 1, (samples, 2))
    y = np.where((x**2).sum(axis=1) < 0.5, "inside", "outside")
    return data_of({"a": 5e6 + 1e6 * x[:, 0], "b": 1e-6 * x[:, 1], "where": y}, "where")


def line(samples: int = 200) -> Data:
    x = np.random.default_rng(0).normal(size=(samples, 3))
    return data_of({**dict(zip("abc", x.T, strict=True)), "y": 1e4 + 300 * (x @ [1.0, -2.0, 0.5])}, "y")


def test_classes_and_their_metrics() -> None:
    data = rings()

    training = train(data, replace(QUICK, epochs=200))

    measures, usual = training.measures, training.baseline
    assert isinstance(measures, ClassMeasures)
    assert isinstance(usual, ClassMeasures)
    assert (training.prepared.task, len(training.training), len(training.held_out)) == (
        "classification",
        160,
        40,
    )
    _, labels = np.unique(data.table["where"], return_inverse=True)
    part, held = held_out_split(200, 0.2, 0, labels)
    probabilities = training.model.predict(data.table.rows(held))
    shares = np.bincount(labels[part]) / len(part)
    assert measures.accuracy == (probabilities.argmax(axis=1) == labels[held]).mean() > 0.9
    assert usual.accuracy == (labels[held] == shares.argmax()).mean()
    assert measures.loss == pytest.approx(
        -np.log(probabilities[np.arange(40), labels[held]]).mean(), rel=1e-4
    )
    assert usual.loss == pytest.approx(-np.log(shares[labels[held]]).mean())


def test_numbers_and_their_metrics() -> None:
    data = line()

    training = train(data, replace(QUICK, hidden=(), epochs=200))

    measures, usual = training.measures, training.baseline
    assert isinstance(measures, NumberMeasures)
    assert isinstance(usual, NumberMeasures)
    part, held = held_out_split(200, 0.2, 0)
    truth: Any = data.table["y"][held].astype(float)
    found = training.model.predict(data.table.rows(held))[:, 0]
    assert measures.r2[0] == pytest.approx(
        1 - ((truth - found) ** 2).sum() / ((truth - truth.mean()) ** 2).sum()
    )
    assert measures.r2[0] > 0.99 > 0.05 > usual.r2[0]
    assert measures.mae[0] == pytest.approx(abs(truth - found).mean())
    assert usual.mae[0] == pytest.approx(abs(truth - data.table["y"][part].astype(float).mean()).mean())
    np.testing.assert_allclose(measures.quantiles[2, 0], np.median(found - truth))


def test_measures_are_those_of_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    from typednn.cli.measures import measure_classes, measure_numbers

    random = np.random.default_rng(0)
    labels, probabilities = random.integers(0, 3, 200), random.dirichlet(np.ones(4), 200)
    found = probabilities.argmax(axis=1)

    measures = measure_classes(("a", "b", "c", "d"), labels, probabilities)

    p, r, f, _ = metrics.precision_recall_fscore_support(labels, found, labels=range(4), zero_division=0)
    np.testing.assert_allclose([measures.precision, measures.recall, measures.f1], [p, r, f])
    np.testing.assert_array_equal(
        measures.confusion, metrics.confusion_matrix(labels, found, labels=range(4))
    )
    assert measures.loss == pytest.approx(metrics.log_loss(labels, probabilities, labels=range(4)))
    assert sum(n for _, _, n in measures.calibration) == 200
    truth, predicted = random.normal(size=(50, 2)), random.normal(size=(50, 2))
    numbers = measure_numbers(("a", "b"), truth, predicted)
    np.testing.assert_allclose(numbers.r2, metrics.r2_score(truth, predicted, multioutput="raw_values"))
    np.testing.assert_allclose(
        numbers.rmse**2, metrics.mean_squared_error(truth, predicted, multioutput="raw_values")
    )


def test_held_out_samples_do_not_touch_the_model() -> None:
    data = line()
    _, held = held_out_split(200, 0.2, 0)
    columns = {name: data.table[name].copy() for name in data.table.names}
    for column in columns.values():
        column[held] = 77.5
    disturbed = data_of(columns, "y")

    models = [train(each, QUICK).model for each in (data, disturbed)]

    assert repr(models[0].preprocessing) == repr(models[1].preprocessing)
    np.testing.assert_array_equal(models[0].parameters, models[1].parameters)


def test_the_task_can_be_chosen() -> None:
    x = np.random.default_rng(0).normal(size=(40, 2))
    data = data_of({"a": x[:, 0], "b": x[:, 1], "y": (x[:, 0] > 0).astype(float)}, "y")

    assert train(data, QUICK).prepared.task == "classification"
    assert train(data, replace(QUICK, task="regression")).prepared.task == "regression"
    with pytest.raises(DataError, match="whole numbers"):
        train(line(), replace(QUICK, task="classification"))
    with pytest.raises(DataError, match="is text"):
        train(rings(), replace(QUICK, task="regression"))


def test_columns_can_be_chosen() -> None:
    data = line()

    dropped = train(data, replace(QUICK, drop=("b", "3"))).model
    explicit = train(data, replace(QUICK, features=("c", "a"))).model

    assert dropped.preprocessing.feature_names == ("a",)
    assert explicit.preprocessing.feature_names == ("c", "a")
    with pytest.raises(UnknownNameError, match=r"unknown column of the table 'd'"):
        train(data, replace(QUICK, drop=("d",)))
    with pytest.raises(SettingError, match=r"'y': a column of --features cannot be a target"):
        train(data, replace(QUICK, features=("a", "y")))


def test_several_targets() -> None:
    x = np.random.default_rng(0).normal(size=(60, 2))
    data = data_of({"a": x[:, 0], "b": x[:, 1], "t": x[:, 0] * 2, "u": x[:, 1] + 9}, "t", "u")

    training = train(data, QUICK)

    lines = list(predictions(training.model, data.table))
    assert lines[0] == ["t", "u"]
    assert len(lines) == 61
    with pytest.raises(DataError, match="one target column, not 2"):
        train(data, replace(QUICK, task="classification"))


OPTIONS: list[dict[str, Any]] = [
    {"optimizer": name, "schedule": schedule}
    for name, schedule in (
        ("sgd", "cosine"),
        ("rprop", "constant"),
        ("lion", "one_cycle"),
        ("adamw", "plateau"),
    )
]
OTHERS: list[dict[str, Any]] = [
    {"dropout": 0.1, "normalization": "batch", "l2": 0.0, "class_weight": "balanced"},
    {"patience": 0},
]


@pytest.mark.parametrize("options", [*OPTIONS, *OTHERS], ids=str)
def test_options_of_the_training(options: dict[str, Any]) -> None:
    training = train(rings(), replace(QUICK, epochs=3, **options))

    assert training.model.training["epochs"] in {1, 2, 3}


def test_losses_fit_the_task() -> None:
    output: Any = train(line(), replace(QUICK, loss="huber")).model.layers[-1]
    assert output.lossfnname == "huber"
    with pytest.raises(SettingError, match=r"--loss MSE is not for classes: take crossentropy"):
        train(rings(), replace(QUICK, loss="MSE"))
    with pytest.raises(SettingError, match="--loss crossentropy is not for numbers: take MSE"):
        train(line(), replace(QUICK, loss="crossentropy"))


def test_what_cannot_be_trained() -> None:
    with pytest.raises(DivergenceError, match="smaller learning rate"):
        train(line(), replace(QUICK, optimizer="sgd", learning_rate=1e9))
    with pytest.raises(SettingError, match="two held-out samples or more"):
        train(line(5), QUICK)
    with pytest.raises(DataError, match="2 samples cannot be split"):
        train(rings(2), QUICK)


def test_predictions_of_a_saved_model(tmp_path: Path) -> None:
    data = rings()
    model = train(data, replace(QUICK, epochs=100)).model
    save(model, tmp_path / "model")

    loaded = load(tmp_path / "model", Model)

    lines = list(predictions(loaded, data.table, keep=["a"]))
    assert lines == list(predictions(model, data.table, keep=["a"]))
    assert lines[0] == ["a", "where", "probability"]
    right = np.mean([name == true for (_, name, _), true in zip(lines[1:], data.table["where"], strict=True)])
    assert right > 0.85
    assert [name for _, name, _ in lines[1:]] == loaded.classes(data.table).tolist()
    probabilities = list(predictions(loaded, data.table, proba=True))
    assert probabilities[0] == ["where", "probability of inside", "probability of outside"]
    np.testing.assert_allclose(
        np.array([row[1:] for row in probabilities[1:]], float), loaded.predict(data.table), atol=1e-4
    )


def test_a_model_is_a_network_of_raw_data() -> None:
    data = rings()
    model: Any = train(data, QUICK).model
    frame = {"b": data.table["b"], "more": data.table["where"], "a": data.table["a"]}
    y = data.table["where"]

    evaluation = model.evaluate(frame, y)
    copied, wide = model.copy(), model.astype(np.float64)

    assert evaluation.accuracy == (model.classes(frame) == y).mean()
    assert model.loss(frame, y) == evaluation.loss
    np.testing.assert_allclose(wide.predict(frame), model.predict(frame), atol=1e-6)
    before = model.predict(frame)
    copied.fit(frame, y, epochs=1, validation_data=(frame, y), optimizer="adam")
    assert copied.history.validation_loss
    np.testing.assert_array_equal(model.predict(frame), before)
    assert (copied.predict(frame) != before).any()
    for wrong in (model.predictor, lambda: model.fit_batches([])):
        with pytest.raises(SettingError, match=r"a model takes raw data: model.network"):
            wrong()
    with pytest.raises(SettingError, match="predicts numbers, no classes"):
        train(line(), QUICK).model.classes(line().table)


def test_models_are_pickled_and_copied() -> None:
    data = rings()
    model = train(data, QUICK).model

    for other in (pickle.loads(pickle.dumps(model)), deepcopy(model)):
        np.testing.assert_array_equal(other.predict(data.table), model.predict(data.table))
        assert np.shares_memory(other.parameters, other.network.parameters)


def network_in(dtype: Any, layers: list[Any]) -> Any:
    return Network(layers, dtype, 0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_predictions_of_a_network_without_preprocessing(dtype: Any) -> None:
    layers = [InputLayer(2), HiddenLayer(3, "tanh"), OutputLayer(4, "softmax", "crossentropy")]
    network = network_in(dtype, layers)

    lines = list(predictions(network, table_of(np.eye(2))))

    probabilities = network.predict(np.eye(2, dtype=dtype))
    assert lines[0] == ["prediction", "probability"]
    assert [line[0] for line in lines[1:]] == [str(k) for k in probabilities.argmax(axis=1)]
    plain = network_in(dtype, [InputLayer(2), OutputLayer(1)])
    expected = [
        ["prediction"],
        *([f"{number:.7g}"] for number in plain.predict(np.eye(2, dtype=dtype))[:, 0]),
    ]
    assert list(predictions(plain, table_of(np.eye(2)))) == expected


def test_cross_validation_measures_each_sample_once() -> None:
    data = rings(90)

    folds = cross_validate(prepare(data, QUICK), QUICK, 3)

    assert len(folds) == 3
    assert all(set(fold) == {"accuracy", "loss"} and fold["accuracy"] > 0.5 for fold in folds)


def test_what_goes_wrong_in_a_fold_is_one_error() -> None:
    data = data_of({"a": [*range(6)], "y": ["x"] * 5 + ["z"]}, "y")
    with pytest.raises(DataError, match="the training samples are of one class"):
        cross_validate(prepare(data, QUICK), QUICK, 6)


def test_a_search_begins_with_the_settings_given() -> None:
    shown: list[float] = []

    trials = tune(rings(60), replace(QUICK, epochs=5), 3, lambda trial: shown.append(trial.score))

    assert [trial.score for trial in trials] == sorted(shown, reverse=True)
    assert sum(trial.settings == replace(QUICK, epochs=5) for trial in trials) == 1


def made(name: str) -> tuple[Columns, str]:
    return shipped(name) if name in SHIPPED else (MADE[name][0](), MADE[name][1])


LEAST = {"titanic": 0.70, "adult": 0.75, "car": 0.95, "california": 0.70, "iris": 0.93, "wine": 0.94}
MORE = {"digits": 0.96, "breast_cancer": 0.95, "diabetes": 0.40, "linnerud": -50.0}
"""A little below what scikit-learn's perceptron has in a pipeline; `benchmarks` compares the two."""


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in {"iris", "titanic"} else pytest.mark.full("trains longer"))
        for name in {**LEAST, **MORE}
    ],
)
def test_ten_tables_are_learnt_unasked(name: str, tmp_path: Path) -> None:
    if name in SHIPPED:
        pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    columns, target = made(name)
    (tmp_path / "table.csv").write_text(as_csv(columns), encoding="utf-8")

    seeds = range(
        3 if len(next(iter(columns.values()))) < 200 else 1
    )  # of a small table few samples are held out
    data = read_data(tmp_path / "table.csv", target=target)
    scores = [score_of(train(data, Settings(target=target, seed=seed)).measures) for seed in seeds]

    assert np.mean(scores) >= {**LEAST, **MORE}[name]


def score_of(measures: ClassMeasures | NumberMeasures) -> float:
    return measures.accuracy if isinstance(measures, ClassMeasures) else float(measures.r2.mean())

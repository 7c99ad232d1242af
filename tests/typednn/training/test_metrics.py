"""Metrics against their definitions, written out."""

from __future__ import annotations

import sys
from functools import partial
from typing import Any, get_args

import numpy as np
import pytest
from typednn_kernels.losses import CODES, LOSSES

from tests.oracles.problems import problem
from tests.typednn.building import network_of
from typednn import InputLayer, MissingExtraError, Network, OutputLayer, SettingError, UnknownNameError
from typednn.names import MetricName
from typednn.training.metrics import METRICS, CurveName, Measure, Metric, higher_is_better

pytest.importorskip("sklearn")

RANDOM = np.random.default_rng(0)
N = 40
LABELS = RANDOM.integers(0, 6, N)
SEVERAL = (RANDOM.dirichlet(np.ones(6), N) + np.eye(6)[LABELS] * (np.arange(N) % 2).reshape(-1, 1)) / 2
SEVERAL[::2] *= 2
LIKELY = RANDOM.uniform(size=(N, 1))
TRUE = (LIKELY + RANDOM.normal(size=(N, 1)) > 0.5).astype(float)


def accuracy(truth: Any, read: Any) -> float:
    return float(np.mean([t == r for t, r in zip(truth, read, strict=True)]))


def f1(truth: Any, read: Any) -> float:
    both = sum(t and r for t, r in zip(truth, read, strict=True))
    either = sum(truth) + sum(read)
    return 2 * both / either if either else 0.0


def auc(truth: Any, scores: Any) -> float:
    """The share of pairs that are in the right order; a tie is half a pair."""
    ones = [s for t, s in zip(truth, scores, strict=True) if t]
    zeros = [s for t, s in zip(truth, scores, strict=True) if not t]
    return float(np.mean([(a > b) + 0.5 * (a == b) for a in ones for b in zeros]))


def top(k: int) -> float:
    ranks = [sum(row > row[label]) for row, label in zip(SEVERAL, LABELS, strict=True)]
    return float(np.mean([rank < k for rank in ranks]))


def measured(name: MetricName, targets: Any, outputs: Any, activation: Any, loss: Any) -> float:
    return Measure([name], activation, LOSSES[CODES[loss]], outputs.shape[1])(targets, outputs)[name]


def test_several_classes() -> None:
    read = SEVERAL.argmax(axis=1)
    one_hot = np.eye(6)[LABELS]
    reference: dict[MetricName, float] = {
        "accuracy": accuracy(LABELS, read),
        "top_3_accuracy": top(3),
        "top_5_accuracy": top(5),
        "f1": float(np.mean([f1(k == LABELS, read == k) for k in range(6)])),
        "auc": float(np.mean([auc(k == LABELS, SEVERAL[:, k]) for k in range(6)])),
        "mse": float(((one_hot - SEVERAL) ** 2).mean()),
        "mae": float(abs(one_hot - SEVERAL).mean()),
    }

    assert 0.5 < reference["accuracy"] < reference["top_3_accuracy"] < reference["top_5_accuracy"] < 1
    for targets in (LABELS, LABELS.astype(np.uint8), one_hot, one_hot * 0.9 + 0.1 / 6):
        for name, value in reference.items():
            if targets.ndim == 1 or name not in {"mse", "mae"}:
                for loss in ("crossentropy", "kl_divergence"):
                    computed = measured(name, targets, SEVERAL, "softmax", loss)
                    assert computed == pytest.approx(value, rel=1e-12), name


def test_two_classes() -> None:
    read = (LIKELY > 0.5)[:, 0]
    pair, truth = np.hstack([1 - LIKELY, LIKELY]), TRUE[:, 0]
    reference: dict[MetricName, float] = {
        "accuracy": accuracy(truth, read),
        "f1": f1(truth, read),
        "auc": auc(truth, LIKELY[:, 0]),
    }

    for name, value in reference.items():
        one = measured(name, TRUE, LIKELY, "sigmoid", "bincrossentropy")
        two = measured(name, truth.astype(int), pair, "softmax", "crossentropy")
        np.testing.assert_allclose([one, two], value, rtol=1e-12, err_msg=name)


def test_several_independent_outputs() -> None:
    outputs = np.hstack([LIKELY, LIKELY[::-1] ** 2])
    truth = np.hstack([TRUE, TRUE[::-1]])
    read = outputs > 0.5
    reference: dict[MetricName, float] = {
        "accuracy": float(np.mean([(t == r).all() for t, r in zip(truth, read, strict=True)])),
        "f1": float(np.mean([f1(truth[:, k], read[:, k]) for k in range(2)])),
        "auc": float(np.mean([auc(truth[:, k], outputs[:, k]) for k in range(2)])),
    }

    for name, value in reference.items():
        for loss in ("bincrossentropy", "focal"):
            computed = measured(name, truth, outputs, "sigmoid", loss)
            assert computed == pytest.approx(value, rel=1e-12), name


@pytest.mark.parametrize("outputs", [1, 3])
def test_scores(outputs: int) -> None:
    """hinge draws the line at 0; outputs and targets of 0 are below it, as in scikit-learn."""
    scores = RANDOM.normal(size=(N, outputs))
    scores[:5] = 0
    truth = scores + RANDOM.normal(size=scores.shape) > 0
    read = scores > 0
    right = [(t == r).all() for t, r in zip(truth, read, strict=True)]
    reference: dict[MetricName, float] = {
        "accuracy": float(np.mean(right)),
        "f1": float(np.mean([f1(truth[:, k], read[:, k]) for k in range(outputs)])),
        "auc": float(np.mean([auc(truth[:, k], scores[:, k]) for k in range(outputs)])),
    }

    for name, value in reference.items():
        for targets in (truth.astype(float), np.where(truth, 1, -1)):
            assert measured(name, targets, scores, "none", "hinge") == pytest.approx(value, rel=1e-12), name


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numbers(dtype: Any) -> None:
    t, y = RANDOM.normal(size=(2, N, 3)).astype(dtype)
    residual, total = ((t - y) ** 2).sum(axis=0), ((t - t.mean(axis=0)) ** 2).sum(axis=0)
    reference: dict[MetricName, float] = {
        "mse": float(((t - y) ** 2).mean()),
        "mae": float(abs(t - y).mean()),
        "r2": float((1 - residual / total).mean()),
    }

    for name, value in reference.items():
        assert measured(name, t, y, "none", "MSE") == pytest.approx(value, rel=1e-5), name


@pytest.mark.parametrize("outputs", [1, 2, 3])
def test_what_is_not_defined_is_not_a_number(outputs: int) -> None:
    """Samples of one class have no order to be right about; classes that do not occur are no error."""
    likely = np.full((4, outputs), 1 / max(outputs, 2))
    truth: Any = np.ones((4, 1)) if outputs == 1 else np.zeros(4, int)
    names: Any = ("sigmoid", "bincrossentropy") if outputs == 1 else ("softmax", "crossentropy")

    assert np.isnan(measured("auc", truth, likely, *names))
    assert 0 <= measured("f1", truth, likely, *names) <= 1
    assert 0 <= measured("accuracy", truth, likely, *names) <= 1


REFUSED: dict[str, tuple[Any, Any, Any, int]] = {
    "accuracy": ("accuracy", "none", "MSE", 1),
    "f1": ("f1", "sigmoid", "MSE", 1),
    "auc": ("auc", "tanh", "MSE", 2),
    "of counts": ("accuracy", "exponential", "poisson", 2),
    "top of signs": ("top_3_accuracy", "none", "hinge", 6),
    "top of two": ("top_3_accuracy", "softmax", "crossentropy", 2),
    "top of independent": ("top_5_accuracy", "sigmoid", "bincrossentropy", 6),
}


@pytest.mark.parametrize("name", REFUSED)
def test_metrics_that_the_network_has_no_use_for(name: str) -> None:
    metric, activation, loss, outputs = REFUSED[name]

    with pytest.raises(SettingError, match=f"the metric '{metric}' is of .*classes, which a network with"):
        Measure([metric], activation, LOSSES[CODES[loss]], outputs).check(RANDOM.normal(size=(N, outputs)))


def test_unknown_metrics() -> None:
    case = problem((3, 4, 2), ("none", "tanh", "softmax"), "crossentropy", 11)
    metrics: Any = ["acuracy"]

    with pytest.raises(UnknownNameError, match="unknown metric 'acuracy': did you mean 'accuracy'"):
        network_of(case).fit(case.x, case.t, metrics=metrics)


OWN = ("accuracy", "mse", "mae")
"""The metrics that are computed without scikit-learn."""


@pytest.mark.parametrize("row", METRICS, ids=[row.name for row in METRICS])
def test_without_scikit_learn(row: Metric, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "sklearn.metrics", None)
    y = np.eye(6)

    if row.name in OWN:
        loss = LOSSES[CODES["crossentropy"]]
        assert Measure([row.name], "softmax", loss, 6)(y, y) == {row.name: float(row.higher)}
    else:
        with pytest.raises(MissingExtraError, match=r"scikit-learn: pip install 'typednn\[metrics\]'"):
            Measure([row.name], "softmax", LOSSES[CODES["crossentropy"]], 6)
    assert Measure([], "none", LOSSES[CODES["MSE"]], 1)(np.zeros(3), np.zeros((3, 1))) == {}


def test_type_checkers_know_all_names() -> None:
    names = [row.name for row in METRICS]

    assert list(get_args(MetricName)) == names
    assert list(get_args(CurveName)) == [
        f"{kind}{name}" for kind in ("", "validation_") for name in ("loss", *names)
    ]


def test_which_way_is_better() -> None:
    falling = {"loss", "mse", "mae"}

    for name in get_args(CurveName):
        assert higher_is_better(name) == (name.removeprefix("validation_") not in falling)


WEIGHTED: dict[str, tuple[Any, Any, Any, Any]] = {
    "classes": ("softmax", "crossentropy", LABELS, SEVERAL),
    "one": ("sigmoid", "bincrossentropy", TRUE, LIKELY),
    "independent": (
        "sigmoid",
        "bincrossentropy",
        np.hstack([TRUE, TRUE[::-1]]),
        np.hstack([LIKELY, LIKELY[::-1] ** 2]),
    ),
    "numbers": ("none", "MSE", *RANDOM.normal(size=(2, N, 3))),
}


@pytest.mark.parametrize("name", WEIGHTED)
def test_a_weight_of_two_is_a_sample_twice(name: str) -> None:
    """Every metric of samples with whole weights is that of samples that occur so many times."""
    activation, loss, targets, outputs = WEIGHTED[name]
    row, weights = LOSSES[CODES[loss]], np.arange(N) % 4
    chosen: list[MetricName] = ["accuracy", "f1", "auc"]
    if name == "classes":
        chosen = [*chosen, "top_3_accuracy", "top_5_accuracy"]
    if name == "numbers":
        chosen = ["mse", "mae", "r2"]
    measure = Measure(chosen, activation, row, outputs.shape[1])

    reference = measure(np.repeat(targets, weights, axis=0), np.repeat(outputs, weights, axis=0))
    computed = measure(targets, outputs, weights.astype(np.float64))

    assert computed == pytest.approx(reference, rel=1e-12)
    assert computed != pytest.approx(measure(targets, outputs), rel=1e-3)
    nothing = measure(targets, outputs, np.zeros(N))
    assert list(nothing) == chosen
    assert np.isnan(list(nothing.values())).all()


@pytest.mark.parametrize("activation", ["softplus", "sigmoid", "exponential", "softmax", "log_softmax"])
def test_auc_of_each_class_against_the_rest_whatever_outputs_sum_to(activation: Any) -> None:
    loss = "nll" if activation == "log_softmax" else "crossentropy"
    for scores in (SEVERAL, np.log(SEVERAL), 7 * SEVERAL**2):
        expected = np.mean([auc(k == LABELS, scores[:, k]) for k in range(6)])
        assert measured("auc", LABELS, scores, activation, loss) == pytest.approx(expected, rel=1e-12)


def weighted_share(targets: Any, outputs: Any, sample_weight: Any) -> float:
    return float(np.average(outputs[:, 0] > targets[:, 0], weights=sample_weight))


def largest_error(targets: Any, outputs: Any) -> float:
    return float(abs(outputs - targets).max())


def test_functions_of_ones_own() -> None:
    x, y = RANDOM.normal(size=(N, 2)), RANDOM.normal(size=(N, 1))
    w = RANDOM.uniform(size=N)
    network = Network([InputLayer(2), OutputLayer(1)], seed=0)
    history = network.fit(
        x, y, epochs=2, validation_data=(x, y, w), metrics=[weighted_share, largest_error, "mae"]
    )
    error = network.predict(x) - y

    assert list(history.metrics) == ["mae", "weighted_share", "largest_error"]
    assert history.metrics["weighted_share"][-1] == pytest.approx(float((error > 0).mean()))
    assert history.validation_metrics["weighted_share"][-1] == pytest.approx(
        float(w @ (error[:, 0] > 0) / w.sum())
    )
    assert history.curves()["largest_error"][-1] == pytest.approx(float(abs(error).max()))
    computed = network.evaluate(x, y, metrics=[largest_error, "mse"], sample_weight=w).metrics
    assert computed == pytest.approx(
        {"mse": float(w @ error[:, 0] ** 2 / w.sum()), "largest_error": float(abs(error).max())}
    )


def test_functions_of_scikit_learn() -> None:
    from sklearn.metrics import mean_absolute_error

    x, y = RANDOM.normal(size=(N, 2)), RANDOM.normal(size=(N, 1))
    network = Network([InputLayer(2), OutputLayer(1)], seed=0)
    computed = network.evaluate(x, y, metrics=[mean_absolute_error]).metrics

    assert computed == {"mean_absolute_error": pytest.approx(abs(network.predict(x) - y).mean())}


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (partial(accuracy), "a function with a name that no other curve has"),
        (len, r"'len' must take \(targets, outputs\)"),
        (accuracy, "a function with a name that no other curve has"),
    ],
)
def test_functions_that_are_no_metrics(metric: Any, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        Measure([metric], "none", LOSSES[CODES["MSE"]], 1)


def vector_of_errors(targets: Any, outputs: Any) -> Any:
    return outputs - targets


def test_a_function_that_returns_an_array() -> None:
    with pytest.raises(SettingError, match="'vector_of_errors' must return a number"):
        Measure([vector_of_errors], "none", LOSSES[CODES["MSE"]], 1)(TRUE, LIKELY)


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "none"])
@pytest.mark.parametrize("low", [0.0, -1.0])
def test_one_hot_targets_of_a_regression_loss(activation: Any, low: float) -> None:
    one_hot = low + (1 - low) * np.eye(6)[LABELS]
    computed = measured("accuracy", one_hot, SEVERAL, activation, "MSE")
    Measure(["accuracy"], activation, LOSSES[CODES["MSE"]], 6).check(one_hot)

    assert computed == accuracy(LABELS, SEVERAL.argmax(axis=1))
    assert measured("accuracy", TRUE, LIKELY, activation, "MSE") == accuracy(TRUE > 0.5, LIKELY > 0.5)


@pytest.mark.parametrize("name", ["mse", "mae", "r2"])
def test_logarithms_are_not_compared_with_probabilities(name: MetricName) -> None:
    network = Network([InputLayer(1), OutputLayer(3, "log_softmax", "nll")], seed=0)
    with pytest.raises(SettingError, match=f"the metric '{name}' compares .*log_softmax and nll .*softmax"):
        network.evaluate(np.zeros((3, 1)), np.arange(3), metrics=[name])


def test_metrics_of_numbers_need_no_classes_and_no_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    """An epoch takes microseconds, as much as a search for classes or a change of the filter of warnings."""

    def unused(*arguments: Any, **settings: Any) -> Any:
        raise AssertionError

    for name in ("class_indices", "above", "warnings"):
        monkeypatch.setattr(f"typednn.training.metrics.{name}", unused)
    measure = Measure(["mse", "mae"], "none", LOSSES[CODES["MSE"]], 2)
    assert measure(np.array([[1.0, 2.0]]), np.array([[1.0, 4.0]])) == {"mse": 2.0, "mae": 1.0}


def test_errors_beyond_the_dtype_are_infinite_without_a_warning() -> None:
    assert measured("mse", np.array([[-1e300]]), np.array([[1e300]]), "none", "MSE") == np.inf

"""The estimators inside of those of scikit-learn, and in other processes."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from typednn_kernels.thread_limit import available_cores

from typednn import threads
from typednn.sklearn import MLPClassifier, MLPRegressor
from typednn.validation.arrays import read_only

calibration: Any = import_module("sklearn.calibration")
ensemble: Any = import_module("sklearn.ensemble")
inspection: Any = import_module("sklearn.inspection")
joblib: Any = import_module("joblib")
linear_model: Any = import_module("sklearn.linear_model")
pipeline: Any = import_module("sklearn.pipeline")
preprocessing: Any = import_module("sklearn.preprocessing")
selection: Any = import_module("sklearn.feature_selection")
sparse: Any = import_module("scipy.sparse")

RNG = np.random.default_rng(2)
X = read_only(RNG.normal(size=(120, 4)))
SIGNAL = X[:, 0] - X[:, 1]
LABELS = read_only(np.array(["no", "yes"])[(SIGNAL > 0).astype(int)])
FAST: Any = {
    "hidden_layer_sizes": 6,
    "max_iter": 40,
    "random_state": 0,
    "batch_size": 20,
    "learning_rate_init": 0.02,
}

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def classifier() -> Any:
    """A classifier that trains fast."""
    return MLPClassifier(**FAST)


def by_importance(y: Any) -> float:
    """Fraction of the important features that a permutation finds."""
    model = classifier().fit(X, y)
    found = inspection.permutation_importance(model, X, y, n_repeats=3, random_state=0)
    return float(np.isin(np.argsort(found.importances_mean)[-2:], [0, 1]).mean())


def by_selection(y: Any) -> float:
    """Fraction of the important features that are selected one after the other."""
    chosen = selection.SequentialFeatureSelector(classifier(), n_features_to_select=2, cv=2).fit(X, y)
    return float(np.isin(chosen.get_support(indices=True), [0, 1]).mean())


def of_stacking() -> Any:
    """A stack of two perceptrons."""
    other = MLPClassifier(activation="tanh", **FAST)
    return ensemble.StackingClassifier(
        [("a", classifier()), ("b", other)], linear_model.LogisticRegression(), cv=2
    )


def with_frames(y: Any) -> float:
    """Accuracy behind a transformer that gives DataFrames."""
    pytest.importorskip("pandas")
    model = pipeline.make_pipeline(preprocessing.StandardScaler(), classifier())
    model.set_output(transform="pandas").fit(X, y)
    assert model[-1].feature_names_in_.tolist() == ["x0", "x1", "x2", "x3"]
    return float(model.score(X, y))


WAYS: dict[str, Callable[[Any], float]] = {
    "pipeline": lambda y: (
        pipeline.make_pipeline(preprocessing.StandardScaler(), classifier()).fit(X, y).score(X, y)
    ),
    "cross_val_score": lambda y: float(cross_val_score(classifier(), X, y, cv=2).mean()),
    "grid search": lambda y: float(
        GridSearchCV(classifier(), {"alpha": [1e-4, 1e-2]}, cv=2).fit(X, y).best_score_
    ),
    "calibration": lambda y: calibration.CalibratedClassifierCV(classifier(), cv=2).fit(X, y).score(X, y),
    "importance": by_importance,
    "bagging": lambda y: ensemble.BaggingClassifier(classifier(), 3, random_state=0).fit(X, y).score(X, y),
    "stacking": lambda y: of_stacking().fit(X, y).score(X, y),
    "selection": by_selection,
    "frames": with_frames,
    "clone": lambda y: clone(classifier().fit(X, y)).fit(X, y).score(X, y),
}


@pytest.mark.parametrize("way", WAYS)
def test_estimators_of_scikit_learn_take_ours(way: str) -> None:
    assert WAYS[way](LABELS) > 0.85


def test_several_outputs_and_labels_go_through_a_pipeline() -> None:
    numbers = np.stack([SIGNAL, X[:, 2]], axis=1)
    scaled = pipeline.make_pipeline(preprocessing.StandardScaler(), MLPRegressor(**FAST))
    assert scaled.fit(X, numbers).score(X, numbers) > 0.8

    labels = numbers > 0
    for y in (labels.astype(int), labels.tolist(), sparse.csr_matrix(labels.astype(int))):
        model = classifier().fit(X, y)
        assert (model.predict(X) == labels).mean() > 0.85


def test_an_estimator_is_shown_as_html() -> None:
    shown = classifier().fit(X, LABELS)._repr_html_()

    assert "MLPClassifier" in shown
    assert "hidden_layer_sizes" in shown


@pytest.mark.full("starts two processes")
def test_each_of_two_processes_has_its_part_of_the_cores() -> None:
    found = joblib.Parallel(n_jobs=2)(joblib.delayed(threads)() for _ in range(4))

    assert found == [max(1, available_cores() // 2)] * 4


@pytest.mark.full("starts two processes")
def test_a_search_in_two_processes_finds_what_one_finds() -> None:
    grid = {"alpha": [1e-4, 1.0], "hidden_layer_sizes": [(3,), (7, 3)]}
    alone, together = (GridSearchCV(classifier(), grid, cv=3, n_jobs=jobs) for jobs in (1, 2))

    scores = [each.fit(X, LABELS).cv_results_["mean_test_score"] for each in (alone, together)]

    np.testing.assert_array_equal(*scores)


LOADING = """
import pickle, sys
import numpy as np
import skops.io
x = np.load("x.npy")
models = pickle.load(open("model.pickle", "rb")), skops.io.load("model.skops", trusted=[sys.argv[1]])
np.save("predicted.npy", [model.partial_fit(x, x[:, 0] > 0).predict_proba(x) for model in models])
"""


@pytest.mark.full("starts a process")
def test_files_continue_in_another_process(tmp_path: Path) -> None:
    skops = pytest.importorskip("skops.io")
    y = X[:, 0] > 0
    model = classifier().fit(X, y)
    (tmp_path / "model.pickle").write_bytes(pickle.dumps(model))
    skops.dump(model, tmp_path / "model.skops")
    np.save(tmp_path / "x.npy", X)

    trusted = "typednn.sklearn.classifiers.MLPClassifier"
    subprocess.run([sys.executable, "-c", LOADING, trusted], cwd=tmp_path, check=True)

    expected = model.partial_fit(X, y).predict_proba(X)
    for predicted in np.load(tmp_path / "predicted.npy"):
        np.testing.assert_allclose(predicted, expected, rtol=0, atol=1e-12)

"""What the estimators take and give beyond scikit-learn's checks: data, our settings, pickles."""

from __future__ import annotations

import pickle
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("sklearn")

from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV

from typednn import (
    Adam,
    Callback,
    CosineDecay,
    HiddenLayer,
    InputLayer,
    Network,
    OutputLayer,
    Run,
    load,
    save,
    threads,
)
from typednn.sklearn import MLPClassifier, MLPRegressor, NetworkClassifier, NetworkRegressor
from typednn.sklearn import samples as samples_module
from typednn.sklearn.penalty import CHANGE
from typednn.training import trainer as trainer_module
from typednn.training.trainer import Trainer

sparse: Any = import_module("scipy.sparse")
config_context: Any = import_module("sklearn").config_context
make_pipeline: Any = import_module("sklearn.pipeline").make_pipeline
FunctionTransformer: Any = import_module("sklearn.preprocessing").FunctionTransformer
RNG = np.random.default_rng(1)
X: NDArray[np.float64] = RNG.normal(size=(90, 4)) * (RNG.random((90, 4)) > 0.4)
LABELS = np.array(["a", "b", "c"])[np.digitize(X[:, 0] + X[:, 1], [-0.5, 0.5])]
FAST: Any = {"hidden_layer_sizes": 7, "max_iter": 30, "random_state": 0, "batch_size": 20}

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("default:::pandas"),
]


def frame(package: str) -> Any:
    """The samples as a DataFrame."""
    columns = {f"x{k}": X[:, k] for k in range(4)}
    return pytest.importorskip(package).DataFrame(columns)


def mapped(folder: Path) -> Any:
    """The samples in a file, mapped into memory, read-only."""
    np.save(folder / "x.npy", X)
    return np.load(folder / "x.npy", mmap_mode="r")


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("form", ["list", "pandas", "polars", "csr", "csc", "map", "columns", "integers"])
@pytest.mark.once_per("form")
def test_samples_of_every_form_give_the_same(form: str, solver: Any, tmp_path: Path) -> None:
    forms: dict[str, Any] = {
        "list": X.tolist,
        "pandas": lambda: frame("pandas"),
        "polars": lambda: frame("polars"),
        "csr": lambda: sparse.csr_matrix(X),
        "csc": lambda: sparse.csc_array(X),
        "map": lambda: mapped(tmp_path),
        "columns": lambda: np.asfortranarray(X),
        "integers": lambda: (10 * X).astype(np.int16),
    }
    x = forms[form]()
    plain = (10 * X).astype(np.int16).astype(float) if form == "integers" else X
    reference = MLPClassifier(solver=solver, **FAST).fit(plain, LABELS)

    computed = MLPClassifier(solver=solver, **FAST).fit(x, LABELS.tolist())

    np.testing.assert_array_equal(computed.coefs_[0], reference.coefs_[0])
    np.testing.assert_array_equal(computed.predict_proba(x), reference.predict_proba(plain))


def test_sparse_samples_are_made_dense_a_chunk_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    take = samples_module.SparseRows.take

    def noted(self: Any, index: Any) -> Any:
        rows = take(self, index)
        taken.append(len(rows))
        return rows

    monkeypatch.setattr(samples_module.SparseRows, "take", noted)
    x = sparse.random_array((3000, 5000), density=0.001, rng=np.random.default_rng(0), format="csr")
    y = (np.arange(3000) % 3 > 0).astype(float)
    MLPRegressor(hidden_layer_sizes=2, max_iter=1, random_state=0).fit(x, y).predict(x)

    assert max(taken) <= 1024
    assert sum(taken) == 2 * 3000
    settings: Any = {"hidden_layer_sizes": 2, "max_iter": 1, "metrics": ["mae"], "early_stopping": True}
    MLPRegressor(validation_fraction=0.5, **settings).fit(x, y)
    MLPRegressor(**settings).fit(x, y, validation_data=(x, y))
    assert max(taken) <= 1024


@pytest.mark.filterwarnings("error:x holds features of")
def test_metrics_do_not_warn_of_large_features() -> None:
    model = MLPClassifier(metrics=["accuracy"], **FAST).fit(1e6 * X, LABELS)

    assert len(model.history_.metrics["accuracy"]) == 30


@pytest.mark.parametrize("given", [np.float32, "float32"])
def test_float32_is_kept_or_asked_for(given: Any) -> None:
    asked: Any = given if isinstance(given, str) else None
    x = X if isinstance(given, str) else X.astype(given)

    model = MLPRegressor(dtype=asked, **FAST).fit(x, X[:, 0])

    assert model.predict(X).dtype == model.coefs_[0].dtype == np.float32


@pytest.mark.parametrize("package", ["pandas", "polars"])
def test_tables_of_float32_are_kept(package: str) -> None:
    columns = {f"x{k}": X[:, k].astype(np.float32) for k in range(4)}
    model = MLPRegressor(**FAST).fit(pytest.importorskip(package).DataFrame(columns), X[:, 0])

    assert model.coefs_[0].dtype == np.float32
    assert model.feature_names_in_.tolist() == list(columns)


def test_sample_weights_of_whole_numbers_repeat_samples() -> None:
    weights = np.arange(90) % 3
    settings: dict[str, Any] = {**FAST, "batch_size": 1000, "shuffle": False, "max_iter": 5, "alpha": 1.0}
    with pytest.warns(UserWarning, match="going to be clipped"):
        reference = MLPClassifier(**settings).fit(np.repeat(X, weights, 0), np.repeat(LABELS, weights))

    with pytest.warns(UserWarning, match="going to be clipped"):
        computed = MLPClassifier(**settings).fit(X, LABELS, weights)

    np.testing.assert_allclose(computed.coefs_[0], reference.coefs_[0], rtol=0, atol=1e-12)
    assert computed.loss_ == pytest.approx(reference.loss_, rel=1e-12)


def test_class_weights_are_weights_of_samples() -> None:
    factors: Any = {"a": 2.0, "b": 0.5}
    weights = np.array([factors.get(label, 1.0) for label in LABELS])
    reference = MLPClassifier(**FAST).fit(X, LABELS, weights)

    computed = MLPClassifier(class_weight=factors, **FAST).fit(X, LABELS)

    np.testing.assert_array_equal(computed.coefs_[0], reference.coefs_[0])
    with pytest.raises(ValueError, match="balanced"):
        MLPClassifier(class_weight="balanced", **FAST).partial_fit(X, LABELS, classes=["a", "b", "c"])


class Noted(Callback):
    """Notes the learning rate after each epoch."""

    def on_begin(self, run: Run) -> None:  # noqa: ARG002
        self.rates: list[float] = []

    def on_epoch(self, run: Run) -> None:
        self.rates.append(run.learning_rate)


def test_our_settings_reach_the_network_and_its_training() -> None:
    noted = Noted()
    settings: dict[str, Any] = {**FAST, "hidden_layer_sizes": (6, 5)}
    model = MLPClassifier(
        activation=["gelu", "logistic"],
        dropout=[0.0, 0.5],
        normalization="layer",
        loss="focal",
        optimizer=CosineDecay(0.1, 150),
        callbacks=[noted],
        metrics=["accuracy"],
        threads=1,
        **settings,
    )
    before = threads()
    model.fit(X, LABELS, validation_data=(X[:30], LABELS[:30]))

    layers = model.network_.layers
    assert [layer.actname for layer in layers] == ["none", "gelu", "sigmoid", "sigmoid"]
    assert [layer.dropout for layer in layers] == [0.0, 0.0, 0.5, 0.0]
    assert noted.rates == sorted(noted.rates, reverse=True)
    assert len(noted.rates) == model.n_iter_ == len(model.history_.validation_loss)
    assert len(model.history_.metrics["accuracy"]) == model.n_iter_
    np.testing.assert_allclose(model.predict_proba(X).sum(axis=1), 1)
    assert threads() == before
    with pytest.raises(ValueError, match="a value for each of 2 hidden layers, not 1"):
        clone(model).set_params(dropout=[0.5]).fit(X, LABELS)
    with pytest.raises(ValueError, match="unknown hidden activation 'rleu'"):
        clone(model).set_params(activation="rleu").fit(X, LABELS)


def test_validation_data_that_are_the_training_data_have_their_loss() -> None:
    model = MLPRegressor("poisson", solver="sgd", alpha=0.0, learning_rate_init=1e-12, **FAST)
    weights = RNG.random(90)

    history = model.fit(X, LABELS == "a", weights, validation_data=(X, LABELS == "a", weights)).history_

    assert history.validation_loss[-1] == pytest.approx(history.loss[-1], rel=0.05)
    whole = clone(model).set_params(batch_size=90)
    history = whole.fit(X, LABELS == "a", weights, validation_data=(X, LABELS == "a", weights)).history_
    assert history.validation_loss[-1] == pytest.approx(history.loss[-1], rel=1e-9)


def test_an_optimizer_of_ours_takes_the_place_of_the_solver() -> None:
    layers = [InputLayer(4), HiddenLayer(5, "tanh"), OutputLayer(1)]
    network = Network(layers, seed=0)
    settings: Any = {"max_iter": 4, "tol": 0.0, "batch_size": 45, "shuffle": False}
    reference = network.copy()
    reference.fit(X, X[:, :1], epochs=4, batch_size=45, optimizer=Adam(0.01), shuffle=False)

    computed = NetworkRegressor(network, optimizer=Adam(0.01), **settings).fit(X, X[:, 0])

    np.testing.assert_allclose(computed.network_.parameters, reference.parameters, rtol=0, atol=1e-14)
    assert (network.parameters != reference.parameters).any()


def test_weights_are_routed_through_a_pipeline() -> None:
    weights = np.arange(90) % 3
    reference = MLPClassifier(**FAST).fit(X, LABELS, weights)

    with config_context(enable_metadata_routing=True):
        model = MLPClassifier(**FAST).set_fit_request(sample_weight=True)
        computed = make_pipeline(FunctionTransformer(), model).fit(X, LABELS, sample_weight=weights)

    np.testing.assert_array_equal(computed[-1].coefs_[0], reference.coefs_[0])


def test_a_network_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="4 features and 3 classes"):
        NetworkClassifier([InputLayer(4), OutputLayer(2, "softmax", "crossentropy")]).fit(X, LABELS)


def test_a_trained_network_becomes_an_estimator(tmp_path: Path) -> None:
    model = MLPClassifier(**FAST).fit(X, LABELS)
    save(model.network_, tmp_path / "model.safetensors")

    again = NetworkClassifier.from_network(load(tmp_path / "model.safetensors"), model.classes_)

    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    with pytest.raises(ValueError, match="classes must be 3 labels"):
        NetworkClassifier.from_network(model.network_, ["a", "b"])
    numbers = MLPRegressor(**FAST).fit(X, X[:, 0])
    np.testing.assert_array_equal(
        NetworkRegressor.from_network(numbers.network_).predict(X), numbers.predict(X)
    )


@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_a_pickled_training_goes_on_as_the_original(kind: Any) -> None:
    y: Any = LABELS if kind is MLPClassifier else X[:, 0]
    model = kind(dropout=0.2, metrics=["accuracy"] if kind is MLPClassifier else ["r2"], **FAST).fit(X, y)
    data = pickle.dumps(model)

    again = pickle.loads(data)
    for each in (model, again):
        for _ in range(3):
            each.partial_fit(X, y)

    np.testing.assert_array_equal(again.coefs_[0], model.coefs_[0])
    assert again.loss_curve_ == model.loss_curve_
    assert again.loss_curve_ is again.history_.loss
    assert len(data) < 30_000, "no samples"


@pytest.mark.parametrize("way", ["pickle", "skops"])
@pytest.mark.parametrize("kind", ["layers", "some weights", "network", "bridged"])
def test_layers_and_networks_go_into_files(way: str, kind: str) -> None:
    layers: list[Any] = [InputLayer(4), HiddenLayer(6, "tanh", weights="orthogonal"), OutputLayer(1)]
    if kind == "some weights":
        layers[1].attach_after(layers[0])
        layers[1].set_weights("he", seed=3)
    build: Any = Network(layers, np.float32, seed=1) if kind in {"network", "bridged"} else layers
    model = NetworkRegressor(build, max_iter=3, random_state=0).fit(X, X[:, 0])
    if kind == "bridged":
        model = NetworkRegressor.from_network(model.network_)

    if way == "pickle":
        again = pickle.loads(pickle.dumps(model))
    else:
        skops = pytest.importorskip("skops.io")
        again = skops.loads(skops.dumps(model), trusted=["typednn.sklearn.regressors.NetworkRegressor"])

    assert type(again.build) is type(build)
    assert (again.build is again.network_) == (kind == "bridged")
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    for each in (model, again):
        each.set_params(max_iter=2, random_state=0).fit(X, X[:, 0])
    np.testing.assert_array_equal(again.predict(X), model.predict(X))


def test_layers_that_make_no_network_are_pickled() -> None:
    model = pickle.loads(pickle.dumps(NetworkRegressor([InputLayer(4)])))

    with pytest.raises(ValueError, match="needs an input layer and an output layer"):
        model.fit(X, X[:, 0])


def test_a_skops_file_trusts_the_estimator_alone(tmp_path: Path) -> None:
    skops = pytest.importorskip("skops.io")
    model = MLPClassifier(**FAST).fit(X, LABELS)
    skops.dump(model, tmp_path / "model.skops")

    asked = skops.get_untrusted_types(file=tmp_path / "model.skops")
    again = skops.load(tmp_path / "model.skops", trusted=asked)

    assert asked == ["typednn.sklearn.classifiers.MLPClassifier"]
    np.testing.assert_array_equal(again.predict(X), model.predict(X))


@pytest.mark.full("starts two processes")
def test_grid_search_in_two_processes() -> None:
    grid = {"alpha": [1e-4, 1.0], "hidden_layer_sizes": [(3,), (7, 3)]}

    search = GridSearchCV(MLPClassifier(**FAST), grid, cv=3, n_jobs=2)

    assert search.fit(X, LABELS).best_score_ > 0.5


class StopsAt(Callback):
    """Stops the training after a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_batch(self, run: Run) -> None:
        if run.global_step == self.step:
            assert run.step == (self.step - 1) % 5 + 1
            run.stop()


@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_a_callback_stops_within_an_epoch(alpha: float) -> None:
    whole, part = (MLPClassifier(callbacks=[StopsAt(step)], **FAST) for step in (10, 8))

    whole.set_params(alpha=alpha).fit(X, LABELS)
    part.set_params(alpha=alpha).fit(X, LABELS)

    assert whole.n_iter_ == part.n_iter_ == len(part.loss_curve_) == 2
    assert part.loss_curve_[0] == whole.loss_curve_[0]
    assert part.loss_curve_[1] == pytest.approx(whole.loss_curve_[1], rel=0.3)


def test_a_warning_points_to_the_call() -> None:
    model = MLPClassifier(**FAST).set_params(max_iter=2)
    with pytest.warns(ConvergenceWarning, match=r"Maximum iterations \(2\)") as noted:
        model.fit(X, LABELS)

    assert [each.filename for each in noted] == [__file__]


def test_a_failing_call_says_why() -> None:
    model = MLPClassifier(**FAST)
    with pytest.raises(ValueError, match="Expected 2D array"):
        model.fit(X[:, 0], LABELS)
    with pytest.raises(TypeError, match="must be a tuple"):
        model.fit(X, LABELS, validation_data=[X, LABELS])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="non-finite"):
        MLPRegressor(solver="sgd", learning_rate_init=1e200, **FAST).fit(X, X[:, 0])
    with pytest.raises(ValueError, match="'lbfgs' has no epochs"):
        MLPClassifier(solver="lbfgs", callbacks=[Noted()]).fit(X, LABELS)
    assert not hasattr(MLPClassifier(solver="lbfgs"), "partial_fit")
    with pytest.raises(NotFittedError, match="not fitted yet"):
        assert MLPClassifier().coefs_
    assert not hasattr(MLPClassifier(), "intercepts_")
    with pytest.raises(ValueError, match=r"whole numbers, got \[3.5\]"):
        clone(model).set_params(hidden_layer_sizes=[3.5]).fit(X, LABELS)
    fitted: Any = model.set_params(max_iter=1).fit(X, LABELS)
    with pytest.raises(TypeError, match="takes a Network, not MLPClassifier: give its network_"):
        NetworkRegressor.from_network(fitted)
    layers: Any = [InputLayer(4), OutputLayer(1)]
    with pytest.raises(TypeError, match="takes a Network, not list"):
        NetworkClassifier.from_network(layers)


def test_a_warm_start_may_change_solver_and_way_to_stop() -> None:
    model = MLPClassifier(solver="lbfgs", warm_start=True, **FAST).fit(X, LABELS)
    before = model.score(X, LABELS)

    model.set_params(solver="adam", max_iter=2).fit(X, LABELS)
    assert abs(model.score(X, LABELS) - before) < 0.1
    assert len(model.loss_curve_) == 2
    model.set_params(early_stopping=True).fit(X, LABELS)
    assert model.best_loss_ is None
    assert model.validation_scores_ is not None
    assert len(model.validation_scores_) == 2
    assert model.set_params(solver="lbfgs").fit(X, LABELS).score(X, LABELS) > 0.9


def test_a_pickle_of_another_solver_since_loads() -> None:
    model = MLPClassifier(**FAST).fit(X, LABELS).set_params(solver="sgd")

    again = pickle.loads(pickle.dumps(model)).partial_fit(X, LABELS)

    assert again.n_iter_ == 1


@pytest.mark.parametrize("rate", ["constant", "adaptive", "invscaling"])
@pytest.mark.parametrize("batch_size", [90, 40, 7])
@pytest.mark.parametrize("alpha", [0.0, 1e-6])
@pytest.mark.once_per("rate", "alpha")
def test_epochs_trained_in_one_call_are_those_of_many(
    rate: Any, alpha: float, batch_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    train = Trainer._train

    def noted(self: Any, samples: Any, order: Any, *rest: Any) -> None:
        calls.append(len(order))
        train(self, samples, order, *rest)

    monkeypatch.setattr(Trainer, "_train", noted)
    settings: Any = {**FAST, "batch_size": batch_size, "max_iter": 300, "tol": 1e-2, "n_iter_no_change": 4}
    settings |= {
        "solver": "sgd",
        "learning_rate": rate,
        "learning_rate_init": 0.5,
        "dropout": 0.2,
        "alpha": alpha,
    }
    reference = MLPClassifier(callbacks=[Noted()], **settings).fit(X, LABELS)
    of_many = len(calls)

    computed = MLPClassifier(**settings).fit(X, LABELS)

    assert of_many >= reference.n_iter_ > 5
    if rate != "invscaling" and not alpha:
        assert len(calls) - of_many < 0.7 * of_many
    np.testing.assert_array_equal(computed.coefs_[0], reference.coefs_[0])
    np.testing.assert_allclose(computed.loss_curve_, reference.loss_curve_, rtol=0, atol=CHANGE)
    assert (computed.n_iter_, computed.t_) == (reference.n_iter_, reference.t_)


def test_epochs_before_an_interrupt_or_a_divergence_are_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    settings: Any = {"n_iter_no_change": np.inf, "max_iter": 2000, "batch_size": 90, "alpha": 0.0}
    model = MLPRegressor("squared_error", (), solver="sgd", learning_rate_init=3.0, **settings)
    reference = clone(model).set_params(callbacks=[Noted()])
    for each in (model, reference):
        with pytest.raises(ValueError, match=r"non-finite.*epoch"):
            each.set_params(random_state=0).fit(X, X[:, 0])
    assert model.n_iter_ == reference.n_iter_ > 11
    assert len(model.loss_curve_) == model.n_iter_
    np.testing.assert_array_equal(model.coefs_[0], reference.coefs_[0])

    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(trainer_module, "check_interrupt", interrupted)
    with pytest.warns(UserWarning, match="interrupted by user"):
        model = MLPRegressor(alpha=0.0, **FAST).fit(X, X[:, 0])
    assert len(model.loss_curve_) == model.n_iter_ == 11
    assert model.t_ == 90 * 11


def test_probabilities_of_outputs_that_are_logarithms() -> None:
    network = Network([InputLayer(4), OutputLayer(3, "log_softmax", "nll")], seed=0)
    model: Any = NetworkClassifier.from_network(network, ["a", "b", "c"])
    logits = X @ network.layers[1].W.T
    wanted = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model.predict_proba(X), wanted, rtol=1e-12)
    np.testing.assert_allclose(model.predict_log_proba(X), np.log(wanted), rtol=1e-12)
    assert (model.predict(X) == np.array(["a", "b", "c"])[wanted.argmax(axis=1)]).all()

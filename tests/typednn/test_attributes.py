"""Attributes that a class does not have: they are refused, and the message names the nearest that it has."""

from __future__ import annotations

import copy
import pickle
from functools import cached_property
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

import typednn
from tests.typednn.building import COPIES
from typednn import (
    SGD,
    Adam,
    BatchNorm,
    Callback,
    Checkpoint,
    CosineDecay,
    EarlyStopping,
    Evaluation,
    GradientNorms,
    GradientReport,
    HiddenLayer,
    History,
    InputLayer,
    LeakyReLU,
    Minimum,
    Network,
    NormalizationLayer,
    OutputLayer,
    Run,
    SettingError,
    Steps,
    gradcheck,
    minimize,
    names,
    use_backend,
    use_threads,
)
from typednn.data.columns import NumberColumn
from typednn.data.model import Model
from typednn.data.preprocessing import Preprocessing
from typednn.data.targets import Scale
from typednn.training.loggers import CSVLogger, LogEpochs

x, y = np.linspace(-1, 1, 8).reshape(-1, 1), np.linspace(2, 0, 8).reshape(-1, 1)


def new_network() -> Any:
    return Network([InputLayer(1), HiddenLayer(3, "tanh"), OutputLayer(1)], seed=0)


def one_of_each() -> dict[str, Any]:
    """An object of each public class."""
    network = new_network()
    forward = network.forward(x)
    backward = forward.backward(y, inputs=True)
    column, scale = NumberColumn("a", mean=0, deviation=1), Scale(np.zeros(1), np.ones(1))
    objects: list[Any] = [
        *(network, *network.layers, NormalizationLayer(2), forward, forward.backward(y), backward),
        *(backward[network.layers[1]], network.predictor(), Steps(network, "adam"), network.history),
        *(Model(network, Preprocessing((column,), scale)), network.evaluate(x, y), gradcheck(network, x, y)),
        *(minimize(network, x, y, max_iterations=1), EarlyStopping("loss"), GradientNorms(), Callback()),
        *(Checkpoint("a.safetensors"), CSVLogger("a.csv"), LogEpochs(), SGD(), Adam(), CosineDecay(0.1, 5)),
        *(BatchNorm(), LeakyReLU(0.1), use_backend(typednn.backend()), use_threads(typednn.threads())),
        names.activation,
    ]
    return {type(each).__name__: each for each in objects}


NAMES = sorted(one_of_each())


@pytest.mark.parametrize("name", NAMES)
def test_an_invented_attribute_is_refused(name: str) -> None:
    thing = one_of_each()[name]

    with pytest.raises(AttributeError, match=rf"({name}|field).*'invented'") as found:
        thing.invented = 1

    assert "no attribute" in str(found.value) or "field" in str(found.value)
    assert not hasattr(thing, "invented")


@pytest.mark.parametrize(
    ("name", "wrong", "message"),
    [
        ("HiddenLayer", "dropuot", "HiddenLayer has no attribute 'dropuot': did you mean 'dropout'?"),
        ("HiddenLayer", "lengtth", "HiddenLayer has no attribute 'lengtth': did you mean 'length'?"),
        ("HiddenLayer", "bias", "HiddenLayer has no attribute 'bias': did you mean 'Bias'?"),
        ("HiddenLayer", "kernel", "HiddenLayer has no attribute 'kernel': did you mean 'W'?"),
        ("HiddenLayer", "requires_grad", "no attribute 'requires_grad': did you mean 'trainable'?"),
        (
            "HiddenLayer",
            "weights",
            "no attribute 'weights'; it is an argument of HiddenLayer",
        ),
        ("OutputLayer", "loss_fn", "OutputLayer has no attribute 'loss_fn': did you mean 'lossfnname'?"),
        ("Network", "trainabel", "Network has no attribute 'trainabel': did you mean 'trainable'?"),
        ("Network", "batch_size", "'batch_size'; it is an argument of fit and fit_batches"),
        ("EarlyStopping", "patiense", "EarlyStopping has no attribute 'patiense': did you mean 'patience'?"),
        ("Checkpoint", "filepath", "Checkpoint has no attribute 'filepath': did you mean 'path'?"),
        ("Steps", "lr", "Steps has no attribute 'lr': did you mean 'learning_rate'?"),
        ("Adam", "lr", "Adam has no attribute 'lr': did you mean 'learning_rate'?"),
        ("Adam", "beta1", "Adam has no attribute 'beta1': did you mean 'beta_1'?"),
        ("CosineDecay", "decay_step", "'decay_step': did you mean 'decay_steps'?"),
        ("History", "losss", "History has no attribute 'losss': did you mean 'loss'?"),
        ("GradientReport", "passedd", "GradientReport has no attribute 'passedd': did you mean 'passed'?"),
    ],
)
def test_the_message_names_the_nearest_that_there_is(name: str, wrong: str, message: str) -> None:
    with pytest.raises(AttributeError) as found:
        setattr(one_of_each()[name], wrong, 0.5)

    assert message in str(found.value)


def test_methods_and_constants_are_not_settings() -> None:
    network = new_network()

    with pytest.raises(AttributeError, match=r"Network: loss is a method, and cannot be set to 'mse'"):
        network.loss = "mse"
    with pytest.raises(AttributeError, match=r"HiddenLayer: last is read-only"):
        network.layers[1].last = True
    with patch.object(network, "predict", return_value=3) as replaced:
        assert network.predict(x) == 3
    assert replaced.called
    assert network.predict(x).shape == (8, 1)


def test_what_a_training_shows_is_not_set_by_callbacks() -> None:
    refused: list[str] = []

    class Sets(Callback):
        def on_epoch(self, run: Run) -> None:
            for name in ("step", "epochs", "history", "curves", "rank", "global_step", "learning_rat"):
                with pytest.raises(AttributeError):
                    setattr(run, name, 1)
                refused.append(name)

    network = new_network()
    history = network.fit(x, y, epochs=1, callbacks=[Sets()])

    assert len(refused) == 7
    assert history == new_network().fit(x, y, epochs=1)


class Patient(EarlyStopping):
    """A user's callback, with attributes of its own."""

    def __init__(self, note: str) -> None:
        super().__init__("loss", patience=3)
        self.note = note
        self.seen = 0

    def on_epoch(self, run: Run) -> None:
        super().on_epoch(run)
        self.seen += 1

    @cached_property
    def length(self) -> int:
        return len(self.note)


class Named(HiddenLayer[Any]):
    """A user's layer, with an attribute of its own."""

    label = "none"


class Marked(Network[Any, Any]):
    """A user's network."""


class Watching:
    """A class that sees what is set."""

    seen: tuple[str, ...] = ()

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, value)
        if name != "seen":
            super().__setattr__("seen", (*self.seen, name))


class Both(EarlyStopping, Watching):
    """A user's class with two bases."""


@pytest.mark.parametrize("duplicate", [*COPIES, copy.copy])
def test_a_users_class_works_as_any_other(duplicate: Any) -> None:
    patient = Patient("abc")
    new_network().fit(x, y, epochs=2, callbacks=[patient])
    twin = duplicate(patient)

    assert (twin.note, twin.seen, twin.patience, twin.length) == ("abc", 2, 3, 3)
    twin.anything = 1
    assert duplicate(twin).anything == 1
    layer: Any = Named(3)
    layer.label, layer.other = "first", [1]
    assert (duplicate(layer).label, duplicate(layer).other) == ("first", [1])
    network: Any = Marked([InputLayer(1), layer, OutputLayer(1)], seed=0)
    network.remark = "mine"
    assert duplicate(network).remark == "mine"
    both: Any = Both("loss")
    both.anything = 1
    assert "anything" in both.seen


@pytest.mark.parametrize("name", NAMES)
def test_copies_and_pickles_are_whole(name: str) -> None:
    thing = one_of_each()[name]
    if name in {"Names", "use_backend", "use_threads"}:
        return

    for twin in (copy.copy(thing), copy.deepcopy(thing), pickle.loads(pickle.dumps(thing))):
        assert type(twin) is type(thing)
        with pytest.raises(AttributeError):
            twin.invented = 1


def test_those_that_joblib_and_skops_load_are_whole(tmp_path: Path) -> None:
    joblib = pytest.importorskip("joblib")
    network = new_network()
    joblib.dump([network, EarlyStopping("loss")], tmp_path / "both")

    other, stopping = joblib.load(tmp_path / "both")

    assert other.predict(x).tobytes() == network.predict(x).tobytes()
    with pytest.raises(AttributeError, match="did you mean 'patience'"):
        stopping.patiense = 1


def test_a_name_is_private_where_it_begins_with_an_underscore() -> None:
    network: Any = Network[np.float64, Any]([InputLayer(1), OutputLayer(1)], seed=0)
    network._remark = "of a notebook"
    assert network._remark == "of a notebook"


def test_results_are_frozen() -> None:
    for kind in (Evaluation, GradientReport, Minimum):
        thing = one_of_each()[kind.__name__]
        for name in kind.__match_args__:
            with pytest.raises(AttributeError, match=f"cannot assign to field '{name}'"):
                setattr(thing, name, None)
    history: Any = History()
    with pytest.raises(AttributeError, match="History: curve is a method"):
        history.curve = None


def test_what_early_stopping_found_is_read_only() -> None:
    stopping: Any = EarlyStopping("loss")
    for name in ("best", "best_epoch", "monitor"):
        with pytest.raises(AttributeError):
            setattr(stopping, name, 1)
    stopping.patience = -1
    with pytest.raises(SettingError, match="patience"):
        new_network().fit(x, y, epochs=1, callbacks=[stopping])

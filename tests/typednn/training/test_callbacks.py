"""Early stopping and gradient norms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.oracles.problems import problem
from tests.typednn.building import network_of
from typednn import (
    SGD,
    Callback,
    Checkpoint,
    DivergenceError,
    EarlyStopping,
    ExponentialDecay,
    GradientNorms,
    History,
    InputLayer,
    Network,
    NotReadyError,
    OutputLayer,
    Run,
    SettingError,
    UnknownNameError,
)
from typednn.training.loggers import CSVLogger

both_paths = pytest.mark.usefixtures("path")

CASE = problem((3, 4, 5, 2), ("none", "tanh", "tanh", "none"), "MSE", 11)


class Script(Callback):
    """Writes validation losses as a script has them, and numbers the parameters by epoch."""

    def __init__(self, values: list[float]) -> None:
        self.values = values

    def on_epoch(self, run: Run) -> None:
        run.history.validation_loss[-1] = self.values[run.epoch - 1]
        run.parameters[...] = run.epoch


@both_paths
def test_a_state_is_that_of_its_epoch() -> None:
    """It shared memory with the network."""

    class States(Callback):
        def __init__(self) -> None:
            self.kept: list[tuple[dict[str, Any], dict[str, Any]]] = []

        def on_epoch(self, run: Run) -> None:
            state = run.state().arrays
            self.kept.append((dict(state), {name: array.copy() for name, array in state.items()}))
            run.state().arrays["parameters"][...] = 7
            for array in run.state().arrays.values():
                array.fill(7)

    def trained(*callbacks: Callback) -> bytes:
        network = network_of(CASE)
        network.fit(
            CASE.x,
            CASE.t,
            epochs=3,
            optimizer="adam",
            validation_data=(CASE.x, CASE.t),
            callbacks=[EarlyStopping(patience=9), GradientNorms(), *callbacks],
        )
        return network.parameters.tobytes()

    states = States()
    assert trained(states) == trained()

    assert len(states.kept) == 3
    for state, copies in states.kept:
        assert any(name.endswith("EarlyStopping.0.parameters") for name in state)
        for name, array in state.items():
            np.testing.assert_array_equal(array, copies[name], name)
    first, last = states.kept[0][0], states.kept[2][0]
    assert (first["parameters"] != last["parameters"]).all()


SCRIPTS: dict[str, tuple[list[float], dict[str, Any], int, int]] = {
    "falls": ([4, 3, 2, 1], {}, 4, 4),
    "rises": ([1, 2, 0, 0], {}, 2, 1),
    "equal is not better": ([1, 1, 0, 0], {}, 2, 1),
    "patience 1 is patience 0": ([1, 2, 0, 0], {"patience": 1}, 2, 1),
    "patience": ([3, 4, 2, 5, 5, 1], {"patience": 2}, 5, 3),
    "patience to the end": ([3, 4, 2, 5, 5, 1], {"patience": 3}, 6, 6),
    "min_delta": ([3, 2.5, 1.9, 1.5], {"patience": 2, "min_delta": 1.0}, 4, 3),
    "nan is never better": ([np.nan, 2, np.nan, np.nan, 1], {"patience": 2}, 4, 2),
    "always nan": ([np.nan] * 4, {"patience": 3}, 3, 0),
}
"""Values, settings, how many epochs there are, and which is the best; as in Keras."""


@pytest.mark.parametrize("name", SCRIPTS)
def test_early_stopping(name: str) -> None:
    values, settings, epochs, best = SCRIPTS[name]
    for restore in (True, False):
        network, stopping = network_of(CASE), EarlyStopping(restore_best_weights=restore, **settings)
        history = network.fit(
            CASE.x,
            CASE.t,
            epochs=len(values),
            learning_rate=1e-300,
            validation_data=(CASE.x, CASE.t),
            callbacks=[Script(values), stopping],
        )

        assert len(history.loss) == epochs
        assert stopping.best_epoch == best
        assert stopping.best == (values[best - 1] if best else np.inf)
        assert (network.parameters == (best if restore and best else epochs)).all()


def test_early_stopping_knows_which_way_is_better() -> None:
    class Accuracy(Callback):
        def on_epoch(self, run: Run) -> None:
            run.history.metrics["r2"] = [0.1, 0.3, 0.2, 0.4][: run.epoch]

    network, stopping = network_of(CASE), EarlyStopping("r2")

    history = network.fit(CASE.x, CASE.t, epochs=4, metrics=["r2"], callbacks=[Accuracy(), stopping])

    assert (len(history.loss), stopping.best_epoch, stopping.best) == (3, 2, 0.3)


@both_paths
def test_early_stopping_restores_the_best_weights() -> None:
    """On a curve as it is; the object can be used again."""
    stopping, held = EarlyStopping(patience=2), (CASE.x, CASE.t + 1)
    for _ in range(2):
        network = network_of(CASE)
        history = network.fit(
            CASE.x, CASE.t, epochs=30, learning_rate=0.3, validation_data=held, callbacks=[stopping]
        )

        assert stopping.best == min(history.validation_loss) == network.loss(*held)
        assert stopping.best_epoch == 1 + int(np.argmin(history.validation_loss))


def test_bad_settings() -> None:
    for settings, name in (({"patience": -1}, "patience"), ({"patience": 1.5}, "patience")):
        given: dict[str, Any] = settings
        with pytest.raises(SettingError, match=name):
            EarlyStopping(**given)
    for min_delta in (-1, np.nan, np.inf):
        with pytest.raises(SettingError, match="min_delta"):
            EarlyStopping(min_delta=min_delta)
    for name in ("validation_loss", "val_loss"):
        given = {"monitor": name}
        with pytest.raises(UnknownNameError, match=f"unknown curve of this history '{name}'") as raised:
            network_of(CASE).fit(CASE.x, CASE.t, callbacks=[EarlyStopping(**given)])
        assert "validation_split" in raised.value.__notes__[0]
    wrong: Any = "validation_los"
    with pytest.raises(UnknownNameError, match="did you mean 'validation_loss'"):
        network_of(CASE).fit(CASE.x, CASE.t, validation_split=0.2, callbacks=[EarlyStopping(wrong)])


class Raise(Callback):
    """Raises an error at a step or after an epoch."""

    def __init__(self, error: BaseException, epoch: int, *, within: bool) -> None:
        self.error, self.epoch, self.within = error, epoch, within

    def on_batch(self, run: Run) -> None:
        if self.within and (run.epoch, run.step) == (self.epoch, 2):
            raise self.error

    def on_epoch(self, run: Run) -> None:
        if not self.within and run.epoch == self.epoch:
            raise self.error


ENDS: dict[str, Callback] = {
    "Ctrl-C": Raise(KeyboardInterrupt(), 3, within=True),
    "an error": Raise(RuntimeError("mine"), 3, within=True),
    "after an epoch": Raise(SystemExit(), 3, within=False),
}


@pytest.mark.parametrize("name", ENDS)
@both_paths
def test_the_best_weights_are_restored_however_the_training_ends(name: str) -> None:
    """The parameters are the number of the epoch; that of the second is best."""
    network, stopping, end = network_of(CASE), EarlyStopping(patience=9), ENDS[name]
    assert isinstance(end, Raise)

    with pytest.raises(type(end.error)) as caught:
        network.fit(
            *(CASE.x, CASE.t),
            epochs=9,
            batch_size=4,
            learning_rate=1e-300,
            validation_data=(CASE.x, CASE.t),
            callbacks=[Script([3, 1, 2, 2, 2]), stopping, end],
        )

    assert (network.parameters == 2).all()
    assert stopping.best_epoch == 2
    assert "EarlyStopping has given the network the parameters of epoch 2" in caught.value.__notes__


@both_paths
def test_the_best_weights_are_restored_after_divergence() -> None:
    class Blow(Callback):
        def on_epoch(self, run: Run) -> None:
            if run.epoch == 3:
                run.parameters[...] = 1e200

    network, stopping = network_of(CASE), EarlyStopping(patience=9)
    with pytest.raises(DivergenceError) as caught:
        network.fit(
            *(CASE.x, CASE.t),
            epochs=9,
            learning_rate=1e-3,
            validation_data=(CASE.x, CASE.t),
            callbacks=[stopping, Blow()],
        )

    assert network.loss(CASE.x, CASE.t) == stopping.best == min(network.history.validation_loss)
    assert any("EarlyStopping has given" in note for note in caught.value.__notes__)


def test_weights_of_another_training_are_not_restored() -> None:
    """An error before the first step leaves the network as it was."""

    class Fail(Callback):
        def on_begin(self, run: Run) -> None:
            raise RuntimeError("mine" * (run.epoch + 1))

    stopping, other = EarlyStopping(), network_of(CASE)
    network_of(CASE).fit(CASE.x, CASE.t + 1, validation_split=0.2, callbacks=[stopping])
    before, history = other.parameters.copy(), other.history
    with pytest.raises(RuntimeError, match="mine"):
        other.fit(CASE.x, CASE.t, validation_split=0.2, callbacks=[Fail(), stopping])

    assert other.parameters.tobytes() == before.tobytes()
    assert other.history is history


REFUSED_FIRST: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "no validation data": ({"callbacks": [EarlyStopping()]}, UnknownNameError, "'validation_loss'"),
    "no such metric": (
        {"callbacks": [EarlyStopping("validation_r2")], "validation_split": 0.2},
        UnknownNameError,
        "unknown curve of this history 'validation_r2'",
    ),
    "no folder": ({"callbacks": [Checkpoint("no such folder/c")]}, FileNotFoundError, "create it first"),
    "a folder": ({"callbacks": [Checkpoint(".")]}, IsADirectoryError, "expected a file"),
    "on_epoch": ({"on_epoch": 3}, SettingError, "on_epoch must be a function that takes the history, not 3"),
    "no list": (
        {"callbacks": EarlyStopping()},
        SettingError,
        r"a sequence, such as \[EarlyStopping\(\.\.\.\)\], not",
    ),
    "shuffle": ({"shuffle": "no"}, SettingError, "shuffle must be True or False, not 'no'"),
    "progress": ({"progress": "no"}, SettingError, "progress must be True or False, not 'no'"),
}


@pytest.mark.parametrize("name", REFUSED_FIRST)
def test_settings_are_checked_before_the_first_step(name: str) -> None:
    settings, kind, message = REFUSED_FIRST[name]
    network = network_of(CASE)
    history = network.history

    with pytest.raises(kind, match=message):
        network.fit(CASE.x, CASE.t, **settings)

    assert network.parameters.tobytes() == CASE.vector.tobytes()
    assert network.history is history


@both_paths
@pytest.mark.parametrize("batch_size", [1, 4])
def test_what_a_run_tells_of_a_step(batch_size: int) -> None:
    """The loss of each step is that of the triple loops; rates are those of the schedule, or assigned."""
    net, losses, rates = CASE.net, list[float](), list[float]()
    seen = list[tuple[float, float, int]]()
    for step, start in enumerate([*range(0, 11, batch_size)] * 2):
        chosen = range(start, min(11, start + batch_size))
        losses.append(float(net.mean_loss(CASE.x[chosen], CASE.t[chosen])))
        rates.append(0.25 * 0.5**step if step < 2 else 0.01)
        net = net.with_vector(net.vector - rates[-1] * net.trace(CASE.x[chosen], CASE.t[chosen]).vector)

    class Look(Callback):
        def on_begin(self, run: Run) -> None:
            assert (run.learning_rate, run.global_step) == (0.25, 0)
            assert np.isnan(run.step_loss)

        def on_batch(self, run: Run) -> None:
            if run.global_step == 2:
                run.learning_rate = 0.01
            seen.append((run.step_loss, run.learning_rate, run.global_step))

    network = network_of(CASE)
    network.fit(
        *(CASE.x, CASE.t),
        epochs=2,
        batch_size=batch_size,
        learning_rate=ExponentialDecay(0.25, 1, 0.5),
        shuffle=False,
        callbacks=[Look()],
    )

    np.testing.assert_allclose([loss for loss, _, _ in seen], losses, rtol=1e-12)
    assert [rate for _, rate, _ in seen] == [*rates[1:], 0.01]
    assert [step for _, _, step in seen] == list(range(1, len(losses) + 1))
    np.testing.assert_allclose(network.parameters, net.vector, rtol=1e-11)


def test_learning_rates_that_cannot_be_assigned() -> None:
    class Assign(Callback):
        def __init__(self, rate: Any) -> None:
            self.rate = rate

        def on_begin(self, run: Run) -> None:
            run.learning_rate = self.rate

    rates: tuple[Any, ...] = (0, -1.0, np.nan, "0.1", None)
    for rate in rates:
        with pytest.raises(SettingError, match="learning_rate must be a positive finite number"):
            network_of(CASE).fit(CASE.x, CASE.t, callbacks=[Assign(rate)])
    with pytest.raises(SettingError, match="learning_rate of Rprop"):
        network_of(CASE).fit(CASE.x, CASE.t, optimizer="rprop", callbacks=[Assign(0.1)])


def test_an_assigned_learning_rate_is_in_the_checkpoint(tmp_path: Path) -> None:
    class Assign(Callback):
        def on_epoch(self, run: Run) -> None:
            if run.epoch == 1:
                run.learning_rate = 0.07

    class Rate(Callback):
        def on_epoch(self, run: Run) -> None:
            self.rate = run.learning_rate

    path, reference, network, resumed, rate = (
        tmp_path / "c",
        *(network_of(CASE), network_of(CASE), network_of(CASE)),
        Rate(),
    )
    settings: dict[str, Any] = {"optimizer": "adam", "shuffle": False}
    expected = reference.fit(CASE.x, CASE.t, epochs=5, callbacks=[Assign()], **settings)
    network.fit(CASE.x, CASE.t, epochs=2, callbacks=[Assign(), Checkpoint(path)], **settings)
    more = [rate, Checkpoint(path, resume=True)]
    assert resumed.fit(CASE.x, CASE.t, epochs=5, callbacks=more, **settings) == expected

    assert rate.rate == 0.07
    assert resumed.parameters.tobytes() == reference.parameters.tobytes()


class Plain:
    """An object with the methods of a callback."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def on_begin(self, run: Run) -> None:
        self.calls.append(f"begin {run.epoch}")

    def on_batch(self, run: Run) -> None:
        self.calls.append(f"step {run.step}")

    def on_epoch(self, run: Run) -> None:
        self.calls.append(f"epoch {run.epoch}")

    def on_end(self, run: Run) -> None:
        self.calls.append(f"end {run.epoch}")


def test_any_object_with_the_methods_is_a_callback() -> None:
    plain = Plain()

    network_of(CASE).fit(CASE.x, CASE.t, epochs=1, batch_size=6, callbacks=[plain])

    assert plain.calls == ["begin 0", "step 1", "step 2", "epoch 1", "end 1"]
    wrong: Any = [Plain]
    with pytest.raises(SettingError, match="callbacks must be objects of Callback"):
        network_of(CASE).fit(CASE.x, CASE.t, callbacks=wrong)


@both_paths
def test_gradient_norms() -> None:
    norms, network, net = GradientNorms(), network_of(CASE), CASE.net
    reference = list[Any]()
    for _ in range(2):
        epoch = list[Any]()
        for start in (0, 4, 8):
            chosen = range(start, min(11, start + 4))
            trace = net.trace(CASE.x[chosen], CASE.t[chosen])
            epoch.append([float(np.sqrt((dLdW**2).sum())) for dLdW in trace.dLdW[1:]])
            net = net.with_vector(net.vector - 0.25 * trace.vector)
        reference.append(np.mean(epoch, axis=0))

    network.fit(CASE.x, CASE.t, epochs=2, batch_size=4, learning_rate=0.25, shuffle=False, callbacks=[norms])

    np.testing.assert_allclose(norms.norms, reference, rtol=1e-12)


@pytest.mark.parametrize(("dtype", "large"), [(np.float32, 1e25), (np.float64, 1e200)])
@both_paths
def test_gradient_norms_whose_squares_overflow(dtype: Any, large: float) -> None:
    """The norm was infinite; where it was clipped, the step changed nothing."""
    network = Network([InputLayer(2), OutputLayer(1, "none", "mae")], dtype=dtype, seed=0)
    network.layers[1].Bias = np.full((1, 1), 2 * large, dtype)
    before, norms = network.layers[1].W.copy(), GradientNorms()
    x, y = np.array([[3e-3 * large, 4e-3 * large]], dtype), np.zeros((1, 1), dtype)

    with pytest.warns(UserWarning, match="features"):
        network.fit(x, y, epochs=1, optimizer=SGD(1.0, clip_norm=0.5), callbacks=[norms])

    np.testing.assert_allclose(norms.norms, [[5e-3 * large]], rtol=1e-6)
    np.testing.assert_allclose(network.layers[1].W - before, [[-0.3, -0.4]], rtol=1e-5)


def test_pictures(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    norms, network = GradientNorms(), network_of(CASE)
    with pytest.raises(NotReadyError, match="plot"):
        norms.plot(tmp_path / "none.png")
    with pytest.raises(NotReadyError, match="plot"):
        History().plot(tmp_path / "none.png")

    history = network.fit(
        CASE.x, CASE.t, epochs=3, validation_split=0.2, metrics=["mse", "r2"], callbacks=[norms]
    )
    for kind, head in (("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")):
        for thing in (norms, history):
            path = tmp_path / f"picture.{kind}"
            thing.plot(path)
            assert path.read_bytes().startswith(head)
    with pytest.raises(SettingError, match=r"a picture must be .png, .svg or .pdf, not .txt"):
        history.plot(tmp_path / "picture.txt")
    svg = tmp_path / "picture.svg"
    history.plot(svg)
    assert {"MSE", "R2", "Loss", "training", "validation"} <= {
        part.split("-->")[0].strip() for part in svg.read_text(encoding="utf-8").split("<!--")[1:]
    }


def test_what_early_stopping_watches_is_read_only() -> None:
    stopping: Any = EarlyStopping("accuracy")

    with pytest.raises(AttributeError, match="monitor"):
        stopping.monitor = "loss"
    assert stopping.monitor == "accuracy"


@pytest.mark.parametrize(
    ("make", "name", "value"),
    [
        (EarlyStopping, "patience", -1),
        (EarlyStopping, "patience", "3"),
        (EarlyStopping, "min_delta", np.nan),
        (EarlyStopping, "min_delta", "small"),
        (EarlyStopping, "restore_best_weights", "no"),
        (Checkpoint, "every", 0),
        (Checkpoint, "path", 3),
        (Checkpoint, "resume", "yes"),
        (CSVLogger, "path", None),
    ],
)
def test_settings_that_were_assigned_are_checked_before_the_first_step(
    make: Any, name: str, value: Any, tmp_path: Path
) -> None:
    """They were checked where they were used: an epoch was trained by then."""
    callback = make() if make is EarlyStopping else make(tmp_path / "first")
    setattr(callback, name, value)
    network = network_of(CASE)

    with pytest.raises(SettingError, match=f"^{make.__name__}: {name} must be "):
        network.fit(CASE.x, CASE.t, epochs=2, validation_split=0.2, callbacks=[callback])

    assert network.parameters.tobytes() == CASE.vector.tobytes()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("make", [Checkpoint, CSVLogger])
def test_a_path_that_was_assigned_is_where_a_callback_writes(make: Any, tmp_path: Path) -> None:
    callback = make(tmp_path / "first")
    callback.path = str(tmp_path / "second")

    network_of(CASE).fit(CASE.x, CASE.t, epochs=1, callbacks=[callback])

    assert [each.name for each in tmp_path.iterdir()] == ["second"]

"""Early stopping and gradient norms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.oracles.problems import problem
from tests.typednn.building import network_of
from typednn import (
    Callback,
    EarlyStopping,
    GradientNorms,
    History,
    NotReadyError,
    Run,
    SettingError,
    UnknownNameError,
)

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
    with pytest.raises(UnknownNameError, match="unknown curve of this history 'validation_loss'"):
        network_of(CASE).fit(CASE.x, CASE.t, callbacks=[EarlyStopping()])
    wrong: Any = "validation_los"
    with pytest.raises(UnknownNameError, match="did you mean 'validation_loss'"):
        network_of(CASE).fit(CASE.x, CASE.t, validation_split=0.2, callbacks=[EarlyStopping(wrong)])


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

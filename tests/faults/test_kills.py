"""A training that writes checkpoints is killed, interrupted and forked at random moments."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Timer
from typing import Any

import numpy as np
import pytest

from typednn import (
    Adam,
    Checkpoint,
    HiddenLayer,
    InputLayer,
    Network,
    OutputLayer,
    backend,
    load,
    save,
    use_backend,
)

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")

TRAINING = """
import sys
from tests.faults.test_kills import train
print("begins", flush=True)
train(sys.argv[1], 10_000)
"""
X = np.random.default_rng(0).random((64, 20))
Y = (X[:, :1] > 0.5).astype(float)


def network() -> Network[Any]:
    layers: list[Any] = [InputLayer(20), HiddenLayer(300, "tanh")]
    return Network([*layers, OutputLayer(1, "sigmoid", "bincrossentropy")], seed=0)


def train(path: str, epochs: int) -> Network[Any]:
    trained = network()
    trained.fit(
        X, Y, epochs=epochs, optimizer=Adam(1e-3), callbacks=[Checkpoint(path, resume=True)], progress=False
    )
    return trained


@pytest.mark.parametrize("kills", [2, pytest.param(100, marks=pytest.mark.full("a hundred trainings"))])
def test_killed_trainings_resume(kills: int, tmp_path: Path) -> None:
    """Whenever it is killed, the file is a whole checkpoint, later than the one before."""
    path, epochs = tmp_path / "checkpoint", 0
    environment = {**os.environ, "TYPEDNN_BACKEND": "numpy"}
    for kill in range(kills):
        command = [sys.executable, "-c", TRAINING, str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(0.2 + 0.0037 * (kill % 31))
            process.send_signal(signal.SIGKILL)
        if path.exists():
            with use_backend("numpy"):
                done = len(train_no_more(path).history.loss)
            assert done >= epochs
            epochs = done
    assert epochs > 0
    assert [each.name for each in tmp_path.iterdir()] == ["checkpoint"]


def train_no_more(path: Path) -> Network[Any]:
    """Resumes and makes one more epoch, which also removes what the killed writer has left."""
    trained = network()

    def stop(history: object) -> None:
        raise StopIteration

    with pytest.raises(StopIteration):
        trained.fit(
            X,
            Y,
            epochs=1 << 30,
            optimizer=Adam(1e-3),
            callbacks=[Checkpoint(path, resume=True)],
            on_epoch=stop,
            progress=False,
        )
    checkpoint = Checkpoint(path, resume=True)
    trained.fit(
        X,
        Y,
        epochs=len(trained.history.loss) + 1,
        optimizer=Adam(1e-3),
        callbacks=[checkpoint],
        progress=False,
    )
    return trained


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("count", [10])
def test_interrupts_at_random_moments(count: int, tmp_path: Path) -> None:
    """Of a training, a prediction and a save: the network predicts afterwards, and the next call works."""
    environment = {**os.environ, "TYPEDNN_BACKEND": backend()}
    command = f"from tests.faults.test_kills import interrupt; interrupt({count}, {str(tmp_path)!r})"
    done = subprocess.run(
        [sys.executable, "-c", command], env=environment, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")


def interrupt(count: int, folder: str) -> None:
    file, trained = Path(folder, "model"), network()
    trained.fit(X, Y, epochs=1, progress=False)
    save(trained, file)
    caught = 0
    for number in range(count):
        alarm = Timer(0.001 + 0.0013 * (number % 23), os.kill, (os.getpid(), signal.SIGINT))
        try:
            alarm.start()
            deadline = time.monotonic() + 2  # a lost interrupt, whose cause is not known, must not hang
            while time.monotonic() < deadline:
                trained.fit(X, Y, epochs=3, batch_size=1 + number % 3, progress=False)
                trained.predict(X)
                save(trained, file)
        except KeyboardInterrupt:
            caught += 1
        alarm.join()
        assert np.isfinite(trained.parameters).all()
        assert np.isfinite(trained.predict(X)).all()
        assert load(file).predict(X).shape == (64, 1)
    save(trained, file)

    assert caught >= count - 2
    assert [each.name for each in Path(folder).iterdir()] == ["model"]


@pytest.mark.usefixtures("path")
def test_signals_with_handlers_do_not_disturb_a_training() -> None:
    expected, seen = network(), list[int]()
    expected.fit(X, Y, epochs=30, batch_size=4, progress=False)
    before = signal.signal(signal.SIGALRM, lambda number, _: seen.append(number))
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        trained = network()
        while len(seen) < 3:
            trained = network()
            trained.fit(X, Y, epochs=30, batch_size=4, progress=False)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

    np.testing.assert_array_equal(trained.parameters, expected.parameters)


@pytest.mark.usefixtures("path")
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="threads have no set of cores here")
def test_cores_that_change_while_threads_work() -> None:
    cores = os.sched_getaffinity(0)
    rng = np.random.default_rng(0)
    x, layers = rng.random((400, 300)), list[Any]([InputLayer(300), HiddenLayer(600, "tanh")])
    wide: Network[Any] = Network([*layers, OutputLayer(10)], seed=0)
    expected = wide.predict(x)
    try:
        for number in range(20):
            os.sched_setaffinity(0, {min(cores)} if number % 2 else cores)
            np.testing.assert_array_equal(wide.predict(x), expected)
    finally:
        os.sched_setaffinity(0, cores)

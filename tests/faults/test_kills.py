"""A training that writes checkpoints is killed at random moments, and a writer at each of its calls."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
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
    use_backend,
)
from typednn.formats.atomic import write_file

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


WRITER = """
import os, signal, sys
from pathlib import Path
from typednn.formats.atomic import write_file
path, wanted, after = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "after"
calls = 0
def killed(known):
    def call(*arguments, **options):
        global calls
        calls += 1
        if calls == wanted and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = known(*arguments, **options)
        if calls == wanted:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    return call
for name in ("open", "fdopen", "chmod", "fsync", "replace", "close"):
    setattr(os, name, killed(getattr(os, name)))
write_file(path, bytes([1]) * 300_000)
"""


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.full("twenty processes")
def test_a_writer_killed_at_each_of_its_calls(when: str, tmp_path: Path) -> None:
    """Also before and after the draft is renamed: the file is the old one or the new one."""
    path, found = tmp_path / "model", list[int]()
    for wanted in range(1, 20):
        write_file(path, bytes(300_000))
        command = [sys.executable, "-c", WRITER, str(path), str(wanted), when]
        run = subprocess.run(command, check=False)
        content = path.read_bytes()
        assert len(content) == 300_000
        assert len(set(content)) == 1
        found.append(content[0])
        if run.returncode == 0:
            break
        assert run.returncode == -signal.SIGKILL

    assert found[0] == 0
    assert found == sorted(found)
    assert len(found) > 6
    write_file(path, b"last")
    assert [each.name for each in tmp_path.iterdir()] == ["model"]

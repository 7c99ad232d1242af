"""Ctrl-C at random moments, signals with handlers, cores that change, busy neighbours: nothing is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from tests.conftest import compiling_only
from tests.faults.test_kills import X, Y, network
from typednn import Adam, Checkpoint, HiddenLayer, InputLayer, Network, OutputLayer, backend, load, save

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")


def run(command: str, **environment: str) -> str:
    """Runs Python code in a process of its own, and returns what it prints; it must print no error."""
    done = subprocess.run(
        [sys.executable, "-c", command],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("count", [10, pytest.param(200, marks=pytest.mark.full("200 interrupts"))])
def test_interrupts_at_random_moments(count: int, tmp_path: Path) -> None:
    """Of a training, a prediction and a save: the network predicts afterwards, and the next call works."""
    command = f"from tests.faults.test_interrupts import interrupt; interrupt({count}, {str(tmp_path)!r})"

    assert run(command, TYPEDNN_BACKEND=backend()) == f"{count} of {count}\n"


class Interrupter:
    """Interrupts once, after a random time, as Ctrl-C does.

    Python itself drops an exception that is raised in a finaliser, a callback of a weak reference or of the
    garbage collector, and says so (sys.unraisablehook); then it interrupts again.
    """

    def __init__(self, most_s: float, seed: int) -> None:
        signal.signal(
            signal.SIGINT, signal.default_int_handler
        )  # shells have their background jobs ignore it
        signal.signal(signal.SIGALRM, self._handle)
        sys.unraisablehook = self._dropped
        self.random, self.most_s = Random(seed), most_s
        self.caught = self.dropped = 0

    def interrupts(self, call: Callable[[], object], at_most_s: float = 60) -> bool:
        """Calls something again and again until it is interrupted; tells whether it was."""
        try:
            signal.setitimer(signal.ITIMER_REAL, 1e-4 + self.random.random() * self.most_s)
            end = time.monotonic() + at_most_s
            while time.monotonic() < end:
                call()
        except KeyboardInterrupt:
            self.caught += 1
            return True
        return False

    def _handle(self, *_: object) -> None:
        signal.raise_signal(signal.SIGINT)

    def _dropped(self, what: Any) -> None:
        assert isinstance(what.exc_value, KeyboardInterrupt)
        self.dropped += 1
        signal.setitimer(signal.ITIMER_REAL, 1e-4)


def interrupt(count: int, folder: str) -> None:
    file, trained = Path(folder, "model"), network()
    trained.fit(X, Y, epochs=1, progress=False)
    save(trained, file)
    interrupter = Interrupter(0.02, 0)
    for number in range(count):
        size = 1 + number % 3

        def call(size: int = size) -> None:
            trained.fit(X, Y, epochs=3, batch_size=size, progress=False)
            trained.predict(X)
            save(trained, file)
            network().fit(X, Y, epochs=1, callbacks=[Checkpoint(file.with_name("state"))], progress=False)

        assert interrupter.interrupts(call), f"the interrupt {number} was lost"
        assert np.isfinite(trained.predict(X)).all()
        assert load(file).predict(X).shape == (64, 1)
    save(trained, file)
    Checkpoint(file.with_name("state"))
    assert {each.name for each in Path(folder).iterdir()} <= {"model", "state"}
    print(interrupter.caught, "of", count)


IMPORT = """
import importlib, sys
import numpy, typednn  # NumPy cannot be imported twice, and what both need is there
from tests.faults.test_interrupts import Interrupter
interrupter = Interrupter(0.02, {seed})
def load():
    for name in [each for each in sys.modules if each.partition(".")[0] == "typednn"]:
        del sys.modules[name]
    importlib.import_module("typednn")
for number in range({count}):
    assert interrupter.interrupts(load)
    typednn = importlib.import_module("typednn")
    network = typednn.Network([typednn.InputLayer(2), typednn.OutputLayer(1)], seed=0)
    network.fit(numpy.zeros((3, 2)), numpy.zeros((3, 1)), epochs=1, progress=False)
print("imported")
"""


@pytest.mark.parametrize("count", [5, pytest.param(50, marks=pytest.mark.full("fifty imports"))])
def test_interrupts_of_the_import(count: int) -> None:
    assert run(IMPORT.format(count=count, seed=0), TYPEDNN_BACKEND="numpy") == "imported\n"


COMPILE = """
import numpy as np
from tests.faults.test_interrupts import Interrupter
from typednn import *
from typednn.backends import kernels
interrupter = Interrupter(2.0, {seed})
x, total = np.arange(6.0).reshape(3, 2), np.zeros(2)
def call():
    kernels(x.dtype).sum_samples(x, total)
    layers = [InputLayer(2), HiddenLayer(3, "mish"), OutputLayer(1)]
    Network(layers, seed=0).fit(x, x[:, :1], epochs=1, progress=False)
for _ in range({count}):
    assert interrupter.interrupts(call, 300)
call()
print(*total, backend())
"""


@compiling_only
@pytest.mark.full("compiles again")
def test_interrupts_of_the_compiler(tmp_path: Path) -> None:
    said = run(COMPILE.format(seed=0, count=12), TYPEDNN_BACKEND="numba", TYPEDNN_CACHE_DIR=str(tmp_path))

    assert said == "6.0 9.0 numba\n"


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


def wide() -> tuple[Network[Any], Any]:
    """A network whose passes are divided among threads, and samples."""
    layers: list[Any] = [InputLayer(300), HiddenLayer(600, "tanh")]
    made: Network[Any] = Network([*layers, OutputLayer(10)], seed=0)
    return made, np.random.default_rng(0).random((400, 300))


@pytest.mark.usefixtures("path")
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="threads have no set of cores here")
def test_cores_that_change_while_threads_work() -> None:
    """Of all threads, also those of the pool, at any moment of a call."""
    cores, (made, x), end = os.sched_getaffinity(0), wide(), threading.Event()
    expected = made.predict(x)

    def change() -> None:
        number = 0
        while not end.wait(0.0005):
            number += 1
            for thread in Path("/proc/self/task").iterdir():
                try:
                    os.sched_setaffinity(int(thread.name), {min(cores)} if number % 2 else cores)
                except ProcessLookupError:
                    continue

    changing = threading.Thread(target=change)
    changing.start()
    try:
        for _ in range(50):
            np.testing.assert_array_equal(made.predict(x), expected)
    finally:
        end.set()
        changing.join()
        for thread in Path("/proc/self/task").iterdir():
            os.sched_setaffinity(int(thread.name), cores)


@pytest.mark.usefixtures("path")
@pytest.mark.full("eight busy processes")
def test_busy_neighbours() -> None:
    made, x = wide()
    y = np.eye(10)[np.arange(400) % 10]
    expected, parameters = made.predict(x), made.parameters.copy()
    made.fit(x, y, epochs=1, optimizer=Adam(1e-3), progress=False)
    trained = made.parameters.copy()
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(8)]
    try:
        for _ in range(2):
            again, _ = wide()
            np.testing.assert_array_equal(again.parameters, parameters)
            np.testing.assert_array_equal(again.predict(x), expected)
            again.fit(x, y, epochs=1, optimizer=Adam(1e-3), progress=False)
            np.testing.assert_array_equal(again.parameters, trained)
    finally:
        for each in busy:
            each.kill()
            each.wait()


SUBINTERPRETER = """
import importlib
for name in ("_interpreters", "_xxsubinterpreters"):
    try:
        interpreters = importlib.import_module(name)
        break
    except ImportError:
        continue
else:
    raise SystemExit
import typednn
code = 'try:\\n import typednn\\nexcept ImportError as error:\\n print(type(error).__name__)'
interpreters.run_string(interpreters.create(), code)
"""


def test_subinterpreters_are_refused() -> None:
    """By NumPy, which says so; it is imported first."""
    assert run(SUBINTERPRETER, TYPEDNN_BACKEND="numpy") in {"ImportError\n", ""}

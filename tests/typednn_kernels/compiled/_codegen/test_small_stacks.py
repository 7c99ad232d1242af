"""Kernels in threads with the smallest stacks, and where the heap has no memory: the same numbers."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.conftest import compiling_only
from typednn import Adam, HiddenLayer, InputLayer, Network, OutputLayer
from typednn.backends import use_backend

pytestmark = compiling_only
small_stacks = import_module("typednn_kernels.compiled._codegen.small_stacks")

SMALL = """
import sys, threading
from tests.typednn_kernels.compiled._codegen.test_small_stacks import results
if sys.argv[2] == "warm":
    results()
found = []
threading.stack_size(int(sys.argv[1]))
thread = threading.Thread(target=lambda: found.append(results()))
thread.start()
thread.join()
print(len(found))
"""


def results() -> list[NDArray[Any]]:
    """What networks that use all large buffers compute."""
    rng = np.random.default_rng(0)
    x, y = rng.random((300, 300)), rng.integers(0, 10, 300)
    layers: list[Any] = [InputLayer(300), HiddenLayer(700, "relu"), HiddenLayer(500, "tanh")]
    network = Network([*layers, OutputLayer(10, "softmax", "crossentropy")], seed=0)
    found = [network.predict(x), network.forward(x[:1]).backward(y[:1]).vector]
    network.fit(x, y, epochs=1, batch_size=128, optimizer=Adam(clip_norm=1.0), progress=False)
    network.fit(x[:20], y[:20], epochs=1, batch_size=1, progress=False)
    return [*found, network.parameters.copy()]


@pytest.mark.parametrize("stack", [64 << 10, 256 << 10])
def test_stacks(stack: int) -> None:
    command = [sys.executable, "-c", SMALL, str(stack), "warm"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (run.returncode, run.stdout) == (0, "1\n"), run.stderr


def test_the_compiler_gets_a_thread_of_its_own() -> None:
    names: list[str] = []

    def compile_something() -> int:
        names.append(threading.current_thread().name)
        count: int = small_stacks.with_large_stack(lambda: len(names))
        return count

    assert small_stacks.with_large_stack(compile_something) == 1
    thread = threading.Thread(
        target=lambda: names.append(str(small_stacks.with_large_stack(compile_something)))
    )
    thread.start()
    thread.join()

    assert names == ["typednn compiles", "typednn compiles", "2"]
    assert threading.stack_size() == 0


def test_ctrl_c_is_raised_when_the_compiler_has_ended() -> None:
    ended: list[int] = []

    def compile_something() -> None:
        signal.raise_signal(signal.SIGINT)
        time.sleep(0.05)
        ended.append(1)

    with pytest.raises(KeyboardInterrupt):
        small_stacks.with_large_stack(compile_something)

    assert ended == [1]


def test_what_the_compiler_raises() -> None:
    caught: list[BaseException] = []

    def ask() -> None:
        try:
            small_stacks.with_large_stack(lambda: int("x"))
        except ValueError as error:
            caught.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()

    assert len(caught) == 1


FAILING = """
import sys
from ctypes import CFUNCTYPE, c_size_t, c_void_p
import numpy as np
from typednn_kernels.compiled._codegen import small_stacks
from tests.typednn_kernels.compiled._codegen import test_small_stacks as here

calls = []
def allocate(size):
    calls.append(size)
    return None
fake = CFUNCTYPE(c_void_p, c_size_t)(allocate)
small_stacks.register(fake, small_stacks.C_LIBRARY.free)
from typednn import *
rng = np.random.default_rng(0)
x, y = rng.random((300, 300)), rng.integers(0, 10, 300)
layers = [InputLayer(300), HiddenLayer(700, "relu"), HiddenLayer(500, "tanh")]
network = Network([*layers, OutputLayer(10, "softmax", "crossentropy")], seed=0)
assert (network.predict(x[:8]) == network.predict(x)[:8]).all()
found = [network.predict(x), network.forward(x[:1]).backward(y[:1]).vector]
network.fit(x, y, epochs=1, batch_size=128, optimizer=Adam(clip_norm=1.0), progress=False)
before = network.parameters.copy()
try:
    network.fit(x[:20], y[:20], epochs=1, batch_size=1, progress=False)
except MemoryError:
    print("refused", bool((network.parameters == before).all()))
print(len(calls) > 0)
np.savez(sys.argv[1], *found, before)
"""


def test_without_memory_the_numbers_are_the_same(tmp_path: Any) -> None:
    """Each buffer that the heap refuses has a slower way; an online training says that it cannot begin."""
    run = subprocess.run(
        [sys.executable, "-c", FAILING, str(tmp_path / "found.npz")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stdout) == (0, "refused True\nTrue\n"), run.stderr
    with use_backend("numba"):
        predicted, gradient, _ = results()
    found = np.load(tmp_path / "found.npz")

    np.testing.assert_array_equal(found["arr_0"], predicted)
    np.testing.assert_array_equal(found["arr_1"], gradient)

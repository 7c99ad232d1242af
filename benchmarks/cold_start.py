"""Cold start: how long imports and first calls take, each measured in a new process."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from statistics import median

from benchmarks.timing import Timing

IMPORT = """
from time import perf_counter
began = perf_counter()
import {name}
print(perf_counter() - began)
import sys
assert "numba" not in sys.modules
"""

FIRST_STEP = """
import numpy as np
from typednn import HiddenLayer, InputLayer, Network, OutputLayer
from time import perf_counter
began = perf_counter()
network = Network([InputLayer(2), HiddenLayer(2, "sigmoid"), OutputLayer(1)], dtype=np.{dtype}, seed=0)
network.fit(np.zeros((1, 2), np.{dtype}), np.zeros((1, 1), np.{dtype}), epochs=1, batch_size=1)
print(perf_counter() - began)
"""

FIRST_CALL = """
import numpy as np
from typednn import SGD, Adam, HiddenLayer, InputLayer, Network, OutputLayer
from time import perf_counter
lengths, activation, settings = {lengths}, {activation!r}, {settings}
x = np.random.default_rng(0).random((256, lengths[0]), np.float32)
hidden = [HiddenLayer(n, activation, **settings) for n in lengths[1:-1]]
output = OutputLayer(lengths[-1], "softmax", "crossentropy")
network = Network([InputLayer(lengths[0]), *hidden, output], dtype=np.float32, seed=0)
began = perf_counter()
{call}
print(perf_counter() - began)
"""
FIT = "network.fit(x, np.arange(256) % lengths[-1], epochs=1, batch_size={batch_size}, optimizer={optimizer})"

FIRST_CALLS = {
    "`fit`, 64-32-10, relu, batches of 32, Adam": FIRST_CALL.format(
        lengths=(64, 32, 10),
        activation="relu",
        settings={},
        call=FIT.format(batch_size=32, optimizer="Adam(1e-3)"),
    ),
    "`fit`, 784-128-10, relu, batches of 64, SGD": FIRST_CALL.format(
        lengths=(784, 128, 10),
        activation="relu",
        settings={},
        call=FIT.format(batch_size=64, optimizer="SGD(0.01)"),
    ),
    "`fit`, 4-16-3, tanh, batches of 16, Adam": FIRST_CALL.format(
        lengths=(4, 16, 3),
        activation="tanh",
        settings={},
        call=FIT.format(batch_size=16, optimizer="Adam(1e-3)"),
    ),
    "`fit`, 20-64-32-5, batch normalisation, dropout": FIRST_CALL.format(
        lengths=(20, 64, 32, 5),
        activation="relu",
        settings={"normalization": "batch", "dropout": 0.2},
        call=FIT.format(batch_size=32, optimizer="Adam(1e-3)"),
    ),
    "`predict`, 64-32-10, 256 samples": FIRST_CALL.format(
        lengths=(64, 32, 10), activation="relu", settings={}, call="network.predict(x)"
    ),
}
"""First calls of a process, by their description."""

WARM_UP = """
from time import perf_counter
began = perf_counter()
import sys
sys.argv = ["typednn", "warmup"]
from typednn.cli.main import main
try:
    status = main()
except SystemExit as end:
    status = end.code
assert not status, status
print(perf_counter() - began)
"""


def seconds(program: str, cache: str | None = None) -> float:
    """Runs a program in a new process and returns the number that it prints last.

    Args:
        program: Python source.
        cache: folder of the machine-code cache; None: the usual one.

    Raises:
        RuntimeError: the program failed; the message is the last line of its standard error.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    if cache is not None:
        environment["TYPEDNN_CACHE_DIR"] = cache
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, env=environment
    )
    if done.returncode:
        raise RuntimeError(done.stderr.strip().rpartition("\n")[2])
    return float(done.stdout.strip().rpartition("\n")[2])


def imports(rounds: int) -> Timing:
    """Times `import typednn` and `import numpy` in turns, both from bytecode, as pip installs them."""
    timing = Timing({"typednn": [], "numpy": []})
    for name in timing.seconds:
        seconds(IMPORT.format(name=name))
    for _ in range(rounds):
        for name, times in timing.seconds.items():
            times.append(seconds(IMPORT.format(name=name)))
    return timing


def first_step(rounds: int, dtype: str = "float32") -> float:
    """Returns the seconds from after the import to the end of the first training step, with a warm cache."""
    program = FIRST_STEP.format(dtype=dtype)
    seconds(program)
    return median(seconds(program) for _ in range(rounds))


def first_call(program: str, rounds: int) -> tuple[float, float]:
    """Returns the seconds of a first call with an empty cache of machine code, and with a warm one."""
    empty: list[float] = []
    warm: list[float] = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as cache:
            empty.append(seconds(program, cache))
            warm.append(seconds(program, cache))
    return median(empty), median(warm)


def warm_up() -> float:
    """Returns the seconds of `typednn warmup` with an empty cache: all kernels are compiled.

    Raises:
        RuntimeError: the command failed.
    """
    with tempfile.TemporaryDirectory() as cache:
        return seconds(WARM_UP, cache)

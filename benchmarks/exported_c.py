"""One row predicted: the C of `to_c` beside `Network.predictor`, in float32 and on one thread.

`python -m benchmarks.exported_c` prints µs for a row, the shortest of many runs by turns, after both have
computed the same. C is compiled by `gcc -std=c99 -O2`, and called in a loop of C.
"""

from __future__ import annotations

import ctypes
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from typednn_kernels.arrays import Vector

from benchmarks.timing import Budget, Candidate, compare
from typednn import ActivationName, HiddenLayer, InputLayer, Network, OutputLayer, use_threads
from typednn.interop import to_c
from typednn.tables import aligned

NETWORKS: dict[str, tuple[tuple[int, ...], ActivationName]] = {
    "2-2-1 sigmoid": ((2, 2, 1), "sigmoid"),
    "64-64-64-10 tanh, softmax": ((64, 64, 64, 10), "tanh"),
    "128-128-128-10 gelu, softmax": ((128, 128, 128, 10), "gelu"),
    "784-128-10 relu, softmax": ((784, 128, 10), "relu"),
    "784-512-256-10 relu, softmax": ((784, 512, 256, 10), "relu"),
}
LOOP = """void model_predict(const float *features, float *outputs);
void repeat(const float *features, float *outputs, int count)
{ while (count-- > 0) model_predict(features, outputs); }
"""
CALLS = 50
"""The number of calls in one run."""
SECONDS = 4.0
"""How long a network is measured."""


def main() -> int:
    """Times all networks."""
    rows: list[tuple[str, ...]] = [("network", "C, µs", "predictor(), µs", "times as long")]
    with use_threads(1), TemporaryDirectory() as folder:
        for name, (lengths, activation) in NETWORKS.items():
            rows.append((name, *timed(network_of(lengths, activation), Path(folder))))
    print(*aligned(rows), sep="\n")
    return 0


def network_of(lengths: tuple[int, ...], activation: ActivationName) -> Network[np.float32]:
    """Returns a network; several outputs are those of softmax."""
    first, *between, last = lengths
    output = OutputLayer(last, "softmax") if last > 1 else OutputLayer(last, "sigmoid")
    layers = [HiddenLayer(n, activation) for n in between]
    return Network([InputLayer(first), *layers, output], np.float32, seed=0)


def timed(network: Network[np.float32], folder: Path) -> tuple[str, str, str]:
    """Compiles a network and times both."""
    row: Vector[np.float32] = np.linspace(-1, 1, network.layers[0].length, dtype=np.float32)
    repeat = loop_of(network, folder)
    outputs, expected = np.empty((2, network.layers[-1].length), np.float32)
    addresses, predict = (row.ctypes.data, outputs.ctypes.data), network.predictor()
    repeat(*addresses, 1)
    predict(row, expected)
    np.testing.assert_allclose(outputs, expected, rtol=0, atol=2e-6)
    ours = Candidate("ours", lambda: [predict(row, expected) for _ in range(CALLS)], CALLS)
    timing = compare([Candidate("C", partial(repeat, *addresses, CALLS), CALLS), ours], Budget(SECONDS))
    c, predictor = timing.shortest("C") * 1e6, timing.shortest("ours") * 1e6
    return f"{c:.2f}", f"{predictor:.2f}", f"{predictor / c:.2f}"


def loop_of(network: Network[np.float32], folder: Path) -> Callable[[int, int, int], object]:
    """Compiles the C of a network, and a loop that calls it."""
    name = f"network_{network.parameters.size}"
    sources = folder / f"{name}.c", folder / f"{name}_loop.c"
    for source, text in zip(sources, (to_c(network), LOOP), strict=True):
        source.write_text(text, encoding="ascii")
    library = folder / f"{name}.so"
    command = ["gcc", "-std=c99", "-O2", "-shared", "-fPIC", "-o", str(library), *map(str, sources), "-lm"]
    subprocess.run(command, check=True)
    repeat = ctypes.CDLL(str(library)).repeat
    repeat.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int]
    return repeat


if __name__ == "__main__":
    sys.exit(main())

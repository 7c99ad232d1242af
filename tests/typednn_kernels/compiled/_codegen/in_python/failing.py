"""Trains networks in a process in which nothing can be compiled on demand.

Prints a line of JSON: what each network comes to with compiled kernels and with NumPy's, the warnings, and
which functions were asked for.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from threading import Thread
from typing import Any

import numpy as np
import pytest

import typednn
from typednn import SGD, Adam, HiddenLayer, InputLayer, Network, OutputLayer, Steps, backends

SAMPLES = 12
CASES: dict[str, dict[str, Any]] = {
    "short vectors": {},
    "batches of one sample": {"batch_size": 1},
    "batch normalisation and dropout": {"hidden": {"normalization": "batch", "dropout": 0.3}},
    "layer normalisation": {"hidden": {"normalization": "layer"}},
    "log_softmax": {"output": (4, "log_softmax", "nll")},
    "many outputs": {"output": (300, "softmax", "crossentropy")},
    "many outputs, another loss": {"output": (300, "softmax", "MSE")},
    "rows of softmax": {"output": (4, "softmax", "focal")},
    "one output": {"output": (1, "sigmoid", "bincrossentropy")},
    "clipped norm": {"optimizer": Adam(1e-3, clip_norm=1e-3)},
    "many samples": {"samples": 5000, "batch_size": 5000},
    "few rows of large layers": {"lengths": (64, 2048), "samples": 16, "predicts": True},
    "squares that overflow": {"scale": True, "optimizer": SGD(1e-30), "output": (4, "none", "mae")},
    "no thread to be had": {"without_threads": True},
    "a given gradient": {"gradient": 0.25, "optimizer": Adam(1e-3, clip_norm=1e-3)},
}
asked: set[str] = set()


def failing(name: str) -> Callable[[], int]:
    """What is called in place of the compiler."""

    def fail() -> int:
        asked.add(name)
        raise RuntimeError("no compiler")

    return fail


def trained(dtype: Any, case: dict[str, Any]) -> list[float]:
    """Losses, some predictions and the sum of each layer's weights."""
    given: dict[str, Any] = {"samples": SAMPLES, "batch_size": 5, "lengths": (6, 5), "optimizer": Adam(1e-3)}
    given |= case
    output, hidden = given.get("output", (4, "softmax", "crossentropy")), given.get("hidden", {})
    n_inputs, *lengths = given["lengths"]
    layers = [HiddenLayer(n, "relu", **hidden) for n in lengths]
    network: Any = Network([InputLayer(n_inputs), *layers, OutputLayer(*output)], dtype=dtype, seed=0)
    random = np.random.default_rng(1)
    x = random.standard_normal((given["samples"], n_inputs)).astype(dtype)
    x *= dtype(np.finfo(dtype).max ** 0.6 if "scale" in given else 1)
    y = random.random((given["samples"], output[0])).astype(dtype)
    if "softmax" in output[1]:
        y /= y.sum(axis=1, keepdims=True)
    if "gradient" in given:
        Steps(network, given["optimizer"]).step(np.full(network.parameters.size, given["gradient"], dtype))
    before = network.predict(x)[0] if "predicts" in given else ()
    history = network.fit(x, y, epochs=2, batch_size=given["batch_size"], optimizer=given["optimizer"])
    sums = [float(layer.W.sum(dtype=np.float64)) for layer in network.layers[1:]]
    after = network.predict(x)[0]
    return [*history.loss, *map(float, (*before, *after, *network.predict(x[:1])[0])), *sums]


def without_threads(dtype: Any, case: dict[str, Any]) -> list[float]:
    """What a network comes to in a thread that can start no others."""
    numbers: list[float] = []

    def refuse(_: Thread) -> None:
        raise RuntimeError("can't start new thread")

    def run() -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Thread, "start", refuse)
            numbers.extend(trained(dtype, case))

    thread = Thread(target=run)
    thread.start()
    thread.join()
    return numbers


def outcome(dtype: Any, case: dict[str, Any]) -> dict[str, Any]:
    """What a network comes to on both paths."""
    with typednn.use_backend("numpy"):
        expected = trained(dtype, case)
    backends._failures.clear()
    backends._warned.clear()
    typednn.use_backend("numba")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.filterwarnings("ignore", "x holds features")
        numbers = without_threads(dtype, case) if "without_threads" in case else trained(dtype, case)
    said = [str(each.message) for each in caught]
    return {"numbers": numbers, "expected": expected, "said": said, "backend": typednn.backend()}


def main() -> None:
    """Trains all of them."""
    typednn.use_backend("numba")
    import typednn_kernels.compiled
    from typednn_kernels.compiled._codegen import noinline

    assert typednn_kernels.compiled.__all__
    kinds = (np.float32, np.float64)
    for each in noinline.ON_DEMAND.values():
        each.compiled = failing(each.name)
    results: dict[str, Any] = {}
    for i, (name, case) in enumerate(CASES.items()):
        for each in noinline.ON_DEMAND.values():
            each.address[0] = 0
        results[name] = outcome(kinds[i % 2], case)
    print(json.dumps({"results": results, "asked": sorted(each.rpartition(".")[2] for each in asked)}))


if __name__ == "__main__":
    main()

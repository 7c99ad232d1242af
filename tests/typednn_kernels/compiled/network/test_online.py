"""Steps for single samples divided between threads: the same numbers as by one thread, to the bit."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from typednn_kernels import plain
from typednn_kernels.activations import CODES as ACTIVATION_CODES
from typednn_kernels.layout import LENGTH, layout_of, parameter_count, workspace_size
from typednn_kernels.losses import CODES as LOSS_CODES
from typednn_kernels.operands import Epoch, Workspace
from typednn_kernels.thread_limit import THREADS

from tests.conftest import ENTRY_POINTS
from tests.oracles.agreement import assert_agrees

numba = pytest.importorskip("numba", reason="numba does not work here", exc_type=ImportError)
compiled = ENTRY_POINTS
online = import_module("typednn_kernels.compiled.network.online")


def layout(lengths: tuple[int, ...], *names: str) -> Any:
    return layout_of(lengths, [ACTIVATION_CODES[name] for name in names])


NETWORKS = {
    "relu": (layout((401, 250, 7), "none", "relu", "softmax"), "crossentropy", 3),
    "deep": (layout((331, 303, 20, 7), "none", "tanh", "gelu", "sigmoid"), "bincrossentropy", 3),
    "one layer": (layout((331, 303), "none", "sigmoid"), "MSE", 3),
    "fewer units than threads": (layout((50000, 2, 3), "none", "tanh", "none"), "MSE", 2),
    "an activation of the inputs": (layout((401, 250, 7), "tanh", "relu", "softmax"), "crossentropy", 1),
    "softmax first": (layout((331, 303), "none", "softmax"), "crossentropy", 1),
    "wide above": (layout((401, 303, 333, 7), "none", "relu", "tanh", "softmax"), "crossentropy", 3),
    "softmax above": (layout((401, 303, 333, 250), "none", "relu", "softmax", "softmax"), "crossentropy", 3),
    "narrow between": (layout((401, 250, 10, 7000), "none", "relu", "tanh", "sigmoid"), "MSE", 3),
    "softmax between": (layout((401, 250, 10, 7000), "none", "relu", "softmax", "sigmoid"), "MSE", 3),
    "narrow first": (layout((20, 400, 301, 10), "none", "relu", "gelu", "softmax"), "crossentropy", 3),
    "narrow": (layout((100, 50, 7), "none", "relu", "softmax"), "crossentropy", 1),
}
"""With how many threads pay, of three."""
SAMPLES = 190

by_network = pytest.mark.parametrize("name", NETWORKS)
by_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda dtype: dtype.__name__)


def trained(path: Any, name: str, dtype: Any, threads: int = 1) -> dict[str, NDArray[Any]]:
    """All that a training changes, and the samples."""
    layout, loss, _ = NETWORKS[name]
    random, n_inputs, n = np.random.default_rng(5), layout[0, LENGTH], layout[-1, LENGTH]
    scale = 1 / np.sqrt(layout[:-1, LENGTH].max())
    numbers = {"parameters": (random.normal(size=parameter_count(layout)) * scale).astype(dtype)}
    numbers["x"] = random.normal(size=(SAMPLES, n_inputs)).astype(dtype)
    t = np.eye(n, dtype=dtype)[random.integers(0, n, SAMPLES)]
    workspace = Workspace(*(np.zeros(workspace_size(layout, 1), dtype) for _ in range(4)))
    numbers |= workspace._asdict()
    numbers["losses"] = np.full(SAMPLES, np.nan, dtype)
    before, THREADS.value = THREADS.value, threads
    try:
        unweighted, order = np.empty(0, dtype), random.permutation(SAMPLES)
        epoch = Epoch(numbers["x"], t, unweighted, order, 1, numbers["losses"])
        network = numbers["parameters"], layout, LOSS_CODES[loss]
        path.train_online(*network, epoch, dtype(0.01), workspace)
    finally:
        THREADS.value = before
    return numbers


@by_network
def test_threads_share_what_pays(name: str) -> None:
    layout, _, expected = NETWORKS[name]

    assert min(online.online_num_threads(layout, SAMPLES), 3) == expected
    assert online.online_num_threads(layout, 3) == 1


@pytest.mark.once_per("name")
@by_dtype
@by_network
@pytest.mark.parametrize("threads", [2, 3])
def test_the_number_of_threads_changes_no_bit(name: str, threads: int, dtype: Any) -> None:
    alone, together = trained(compiled, name, dtype), trained(compiled, name, dtype, threads)

    for each, reference in alone.items():
        np.testing.assert_array_equal(together[each], reference, each)


@pytest.mark.once_per("name")
@by_dtype
@by_network
def test_paths_agree(name: str, dtype: Any) -> None:
    reference, computed = trained(plain, name, dtype), trained(compiled, name, dtype, 3)

    inputs = NETWORKS[name][0][0, LENGTH]  # they have no error, whose place compiled kernels use
    for each, first in ("parameters", 0), ("losses", 0), ("a", 0), ("h", 0), ("dLdh", 0), ("dLda", inputs):
        reference_of, computed_of = reference[each][first:], computed[each][first:]
        assert_agrees(computed_of, reference_of, 512, abs(reference_of).max(), each)

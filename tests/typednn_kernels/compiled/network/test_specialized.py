"""Loops that are written for tiny networks, and the kernel for all others, against triple loops."""

from __future__ import annotations

import gc
import re
import weakref
from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from typednn_kernels import operands
from typednn_kernels.activations import BUILT_IN, CODES
from typednn_kernels.layout import LENGTH, UNITS, layout_of, unit_count
from typednn_kernels.losses import BUILT_IN as BUILT_IN_LOSSES
from typednn_kernels.losses import CODES as LOSS_CODES

from tests.oracles.agreement import assert_close
from tests.oracles.problems import ELEMENTWISE, PAIRS, Problem, problem
from typednn import HiddenLayer, InputLayer, Network, OutputLayer

numba = pytest.importorskip("numba", reason="numba does not work here", exc_type=ImportError)
if numba.config.DISABLE_JIT:
    pytest.skip("nothing is compiled", allow_module_level=True)
tuning = import_module("typednn_kernels.compiled._codegen.tuning")
compiled = import_module("typednn_kernels.compiled")
entry_points = import_module("typednn_kernels.compiled.entry_points")
routines = import_module("typednn_kernels.compiled._codegen.noinline")
tiny = import_module("typednn_kernels.compiled.network.specialized")

by_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda dtype: dtype.__name__)
by_kernel = pytest.mark.parametrize("written", [True, False], ids=["written", "for all networks"])
ORDER = [4, 0, 6, 2, 2, 5, 1, 3, 0, 6, 4]
RATE = 2.0**-6

NETWORKS = [
    ((1, 1), ("none", "none"), "MSE"),
    ((1, 2), ("none", "softmax"), "crossentropy"),
    ((2, 1, 5, 1, 3), ("none", "tanh", "none", "sigmoid", "sigmoid"), "bincrossentropy"),
    ((3, 9, 4), ("none", "relu", "softmax"), "crossentropy"),
    ((2, 17, 1), ("none", "tanh", "none"), "huber"),
    ((40, 2), ("none", "sigmoid"), "bincrossentropy"),
    ((3, 5, 3, 2), ("none", "softmax", "softmax", "none"), "MSE"),
    *(((3, 4, 3), ("none", hidden, "none"), "MSE") for hidden in (*ELEMENTWISE, "softmax")),
    *(((3, 4, 3), ("none", "tanh", output), loss) for output, loss in PAIRS),
]
"""Layers of all widths up to several vectors, and every activation and loss."""


def layout(lengths: tuple[int, ...], activations: tuple[str, ...]) -> Any:
    return layout_of(lengths, [CODES[name] for name in activations])


def kernel(dtype: Any, written: bool) -> Any:
    """The kernel that the library calls, or the one for networks that are not tiny."""
    if written:
        return entry_points.kernels_for(np.dtype(dtype)).train_online
    return routines.compiled_for(compiled.train_online, np.dtype(dtype))


class Epoch:
    """What training with some samples leaves; there is one number more than needed in each workspace."""

    def __init__(self, case: Problem, order: list[int], written: bool, rate: float = RATE) -> None:
        dtype = case.x.dtype.type
        self.layout: Any = layout(case.lengths, case.activations)
        self.parameters: NDArray[Any] = case.vector
        self.losses: NDArray[Any] = np.full(len(order), np.nan, dtype)
        names = ("a", "h", "dLdh", "dLda")
        self.work: dict[str, Any] = {
            name: np.full(unit_count(self.layout) + 1, np.nan, dtype) for name in names
        }
        unweighted, indices = np.empty(0, dtype), np.array(order, np.int64)
        epoch = operands.Epoch(case.x, case.t, unweighted, indices, 1, self.losses)
        network = self.parameters, self.layout, LOSS_CODES[case.loss]
        kernel(dtype, written)(*network, epoch, dtype(rate), operands.Workspace(**self.work))


def is_written(case: Problem) -> bool:
    return bool(tiny.is_tiny(layout(case.lengths, case.activations), LOSS_CODES[case.loss], case.x.itemsize))


@pytest.mark.once_per("lengths", "activations", "loss")
@by_dtype
@by_kernel
@pytest.mark.parametrize(("lengths", "activations", "loss"), NETWORKS)
def test_training(
    lengths: tuple[int, ...], activations: tuple[str, ...], loss: str, written: bool, dtype: Any
) -> None:
    case = problem(lengths, activations, loss, 7, dtype)
    assert is_written(case) == ("log_softmax" not in activations)
    net, losses = case.net.descend(case.x, case.t, ORDER, 1, RATE)
    before, _ = case.net.descend(case.x, case.t, ORDER[:-1], 1, RATE)
    shown = before.trace(case.x[ORDER[-1:]], case.t[ORDER[-1:]])

    epoch = Epoch(case, ORDER, written)

    assert_close(epoch.losses, losses, 512, "losses")
    assert_close(epoch.parameters, net.vector, 512, "parameters")
    assert_close(epoch.work["h"][: lengths[0]], case.x[ORDER[-1]], 0, "inputs")
    for name, numbers in epoch.work.items():
        assert np.isnan(numbers[-1])
        for k in range(1, len(lengths)):
            first, n = epoch.layout[k, UNITS], epoch.layout[k, LENGTH]
            assert_close(numbers[first : first + n], getattr(shown, name)[k][0], 512, f"{name} of layer {k}")


@by_dtype
@by_kernel
def test_no_samples_change_nothing(written: bool, dtype: Any) -> None:
    case = problem((3, 4, 2), ("none", "tanh", "none"), "MSE", 7, dtype)

    epoch = Epoch(case, [], written)

    np.testing.assert_array_equal(epoch.parameters, case.vector)
    assert all(np.isnan(numbers).all() for numbers in epoch.work.values())


@by_dtype
@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_what_is_not_finite_is_not_hidden(wrong: float, dtype: Any) -> None:
    """Not even where the input meets units that are off."""
    case = problem((3, 4, 2), ("none", "relu", "none"), "MSE", 7, dtype)
    case = replace(case, x=case.x.copy())  # problems are shared between tests
    case.x[2, 1] = wrong

    epoch, good = Epoch(case, ORDER, True), Epoch(case, ORDER[:3], True)

    np.testing.assert_array_equal(epoch.losses[:3], good.losses)
    assert not np.isfinite(epoch.losses[4:]).any()
    assert not np.isfinite(epoch.parameters).all()


@by_dtype
def test_the_same_data_give_the_same_bits(dtype: Any) -> None:
    case = problem((3, 9, 4), ("none", "relu", "softmax"), "crossentropy", 7, dtype)

    one, other = Epoch(case, ORDER, True), Epoch(case, ORDER, True)

    np.testing.assert_array_equal(one.parameters, other.parameters)
    np.testing.assert_array_equal(one.losses, other.losses)


@pytest.mark.parametrize("change", ["nothing", "inputs", "activation", "loss", "units"])
def test_which_networks_are_tiny(change: str) -> None:
    """Those whose inputs come as they are, of formulas of the library, and of few units."""
    names = ("tanh" if change == "inputs" else "none", "relu", "none")
    network = layout((2, 500 if change == "units" else 5, 1), names)
    if change == "activation":
        network[1, 2] = BUILT_IN
    loss = BUILT_IN_LOSSES if change == "loss" else 0

    assert tiny.is_tiny(network, loss, 4) == (change == "nothing")
    assert (tiny.loop_for(network, loss, np.dtype(np.float32)) is not None) == (change == "nothing")


@by_dtype
def test_large_networks_are_trained_by_the_kernel_for_all(dtype: Any) -> None:
    case = problem((30, 40, 3), ("none", "tanh", "none"), "MSE", 7, dtype)
    assert not is_written(case)

    chosen, general = Epoch(case, ORDER, True), Epoch(case, ORDER, False)

    np.testing.assert_array_equal(chosen.parameters, general.parameters)


def test_float32_stays_float32() -> None:
    llvm = import_module("llvmlite.ir")
    module = llvm.Module()
    network = layout((3, 4, 3), ("none", "gelu", "softmax"))
    tiny.write_training(module, network, LOSS_CODES["crossentropy"], llvm.FloatType())

    assert re.search(r"\bfloat\b", str(module))
    assert not re.search(r"\bdouble\b", str(module))


def test_the_largest_tiny_networks() -> None:
    """There is a vector for each input and one of biases, or more of many units."""
    for units, itemsize, vectors in (1, 4, 1), (tiny.VECTOR_BYTES, 4, 4), (tiny.VECTOR_BYTES, 8, 8):
        inputs = tuning.SPECIALIZED_PARAMETER_REGISTERS // vectors - 1

        assert tiny.is_tiny(layout((inputs, units), ("none", "none")), 0, itemsize)
        assert not tiny.is_tiny(layout((inputs + 1, units), ("none", "none")), 0, itemsize)


def test_the_library_trains_them_so(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[object] = []
    loop_for = tiny.loop_for

    def noted(*arguments: object) -> object:
        found.append(loop_for(*arguments))
        return found[-1]

    monkeypatch.setattr(tiny, "loop_for", noted)
    layers = InputLayer(3), HiddenLayer(4, "tanh"), OutputLayer(2)
    network = Network(layers, dtype=np.float32, seed=0)
    x, t = np.ones((5, 3), np.float32), np.ones((5, 2), np.float32)

    network.fit(x, t, epochs=1, batch_size=1, learning_rate=0.01)

    assert len(found) == 1
    assert found[0] is not None


def test_loops_of_networks_that_are_no_longer_trained_take_no_memory() -> None:
    network = layout((3, 4, 2), ("none", "tanh", "none"))
    tiny._loop_for.cache_clear()
    first = tiny.loop_for(network, 0, np.dtype(np.float32))
    assert tiny.loop_for(network.copy(), 0, np.dtype(np.float32)) is first
    library = weakref.ref(first.library)

    del first
    tiny._loop_for.cache_clear()  # as `MAX_LOOPS` others do
    gc.collect()

    assert library() is None
    assert tiny._loop_for.cache_parameters()["maxsize"] == tiny.MAX_LOOPS == 64


def test_only_what_a_network_needs_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled_for: list[str] = []

    def noted(entry: Any, dtype: Any) -> Any:
        compiled_for.append(entry.__name__)
        return routines.compiled_for(entry, dtype)

    monkeypatch.setattr(tiny, "compiled_for", noted)
    train = tiny.train_online_for(np.dtype(np.float32))
    for lengths in (3, 4, 2), (3, 4, 2), (30, 40, 2), (30, 40, 2):
        case = problem(lengths, ("none", "tanh", "none"), "MSE", 7, np.float32)
        network, unweighted = layout(lengths, case.activations), np.empty(0, np.float32)
        epoch = operands.Epoch(case.x, case.t, unweighted, np.arange(7), 1, np.empty(7, np.float32))
        work = operands.Workspace(*(np.zeros(100, np.float32) for _ in range(4)))
        train(case.vector, network, 0, epoch, np.float32(RATE), work)

    assert compiled_for == ["train_tiny", "train_online"]

"""A kernel that is given arrays that do not fit together raises, and has read and written nothing."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from typednn_kernels.interface import Kernels
from typednn_kernels.layout import LENGTH, WEIGHTS, layout_of, parameter_count, vector_size, workspace_size
from typednn_kernels.normalizations import BATCH, Settings
from typednn_kernels.operands import Epoch, Workspace

from tests.conftest import compiling_only, kernels_of
from tests.typednn_kernels.updating import descent

pytestmark = compiling_only

B, N, M = 3, 4, 5
"""Samples, units of a layer, units of the layer before."""
SHAPES: dict[str, str] = {
    "activation_value": "BN BN",
    "activation_derivative": "BN BN BN",
    "activation_backward": "BN BN BN BN",
    "softmax_jacobian": "BN BNN",
    "affine": "BM NM N BN",
    "outer": "BN BM NM",
    "sum_samples": "BN N",
    "backpropagate": "BN NM BM",
    "loss_value": "BN BN BN B",
    "loss_derivative": "BN BN BN",
    "output_delta": "BN BN BN BN BN",
    "normalize": "BN N N 2N N BN",
    "normalization_backward": "BN N N BN N N BN",
    "layer_forward": "BM NM N BN BN",
    "hidden_layer_backward": "BM MN BN BN BM BN BN NM",
    "output_layer_backward": "BN BN BN BM BN BN NM",
}
"""The shapes of the arrays of each kernel that works on one layer, in their order."""
SIZES = {"B": B, "N": N, "M": M, "2": 2}


def filled(shape: tuple[int, ...]) -> NDArray[Any]:
    return np.linspace(0.1, 0.9, int(np.prod(shape))).reshape(shape)


def changed(shape: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Shapes that are longer or shorter by 1 along one axis."""
    for axis, length in enumerate(shape):
        for other in (length - 1, length + 1):
            yield (*shape[:axis], other, *shape[axis + 1 :])


@pytest.mark.parametrize("name", SHAPES)
def test_one_layer(name: str) -> None:
    kernel = getattr(kernels_of("numba"), name)
    shapes = [tuple(SIZES[letter] for letter in each) for each in SHAPES[name].split()]
    parameters = list(inspect.signature(getattr(Kernels, name)).parameters.values())[1:]
    kinds: dict[str, Any] = {"int": 1, "bool": True, "Settings": Settings(BATCH)}
    codes = [kinds[each.annotation] for each in parameters if each.annotation in kinds]
    kernel(*codes, *map(filled, shapes))

    for place, shape in enumerate(shapes):
        for other in changed(shape):
            if name == "sum_samples" and other[0] != shape[0] and place == 0:
                continue  # it sums any number of samples
            arrays = [filled(other if k == place else each) for k, each in enumerate(shapes)]
            before = [each.copy() for each in arrays]
            with pytest.raises(ValueError, match="do not fit together"):
                kernel(*codes, *arrays)
            for array, value in zip(arrays, before, strict=True):
                np.testing.assert_array_equal(array, value)


LAYOUT = layout_of([M, N, 2], [0, 1, 0], [0, 1, 0])
DENSE = layout_of([M, N, 2], [0, 1, 0])


def operands(name: str, layout: NDArray[Any]) -> dict[str, Any]:
    """The arguments of a kernel of a whole network, by name."""
    samples = 1 if name == "train_online" else B
    size, units = workspace_size(layout, samples), samples * int(layout[:, LENGTH].sum())
    parameters = filled((vector_size(layout),))
    gradient = filled((parameter_count(layout),))
    x, t = filled((7, M)), filled((7, 2))
    everything = {
        "parameters": parameters,
        "layout": layout.copy(),
        "key": 0,
        "loss": 0,
        "x": x[:B],
        "t": t[:B],
        "epoch": Epoch(x, t, np.empty(0), np.arange(6), 1 if name == "train_online" else B, np.empty(6)),
        "optimizer": descent(0.1, 2, gradient),
        "learning_rate": 0.1,
        "workspace": Workspace(*(filled((n,)) for n in (size, units, units, size))),
        "gradient": gradient,
        "order_key": -1,
        "step": 0,
        "sample_weights": filled((B,)),
        "losses": filled((B,)),
    }
    names = list(inspect.signature(getattr(Kernels, name)).parameters)[1:]
    return {each: everything[each] for each in names}


def with_wrong_arrays(given: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The arguments, each time with one array that is too short or lies elsewhere."""
    any_number = {("x", 0), ("t", 0)} if "losses" not in given else set[tuple[str, int]]()
    for name in given.keys() & {"parameters", "gradient", "x", "t", "sample_weights", "losses"}:
        for axis in range(given[name].ndim if name != "parameters" else 1):
            if (name, axis) not in any_number:
                yield f"{name} {axis}", {**given, name: np.delete(given[name], 0, axis)}
    for row, column, value in (1, WEIGHTS, 1 << 40), (1, WEIGHTS, -9), (1, LENGTH, 1 << 40), (2, LENGTH, 0):
        layout = given["layout"].copy()
        layout[row, column] = value
        yield f"layout {row} {column}", {**given, "layout": layout}
    for name, fields in {
        "workspace": ["a", "h", "dLdh", "dLda"],
        "epoch": ["x", "t", "losses"],
        "optimizer": ["coefficients", "ranges", "penalties"],
    }.items():
        for field in fields if name in given else []:
            array = getattr(given[name], field)
            shorter = array[: len(array) // 2] if name == "workspace" else np.delete(array, 0, array.ndim - 1)
            cut = given[name]._replace(**{field: shorter})
            yield f"{name}.{field}", {**given, name: cut}
    if "epoch" in given:
        for wrong in (-1, 7, 1 << 60):
            order = given["epoch"].order.copy()
            order[4] = wrong
            yield f"order {wrong}", {**given, "epoch": given["epoch"]._replace(order=order)}
        yield "weights", {**given, "epoch": given["epoch"]._replace(sample_weights=np.ones(2))}
        yield "batch_size", {**given, "epoch": given["epoch"]._replace(batch_size=0)}
    if "optimizer" in given:
        ranges = np.array([[0, given["gradient"].size + 1]])
        yield "beyond", {**given, "optimizer": given["optimizer"]._replace(ranges=ranges)}
        states = np.zeros((1, 3))
        yield "states", {**given, "optimizer": given["optimizer"]._replace(states=states)}


@pytest.mark.parametrize(
    "name", ["forward", "evaluate", "backward", "train_batches", "train_epoch", "train_online"]
)
@pytest.mark.parametrize("tiny", [False, True])
def test_networks(name: str, tiny: bool) -> None:
    kernel = getattr(kernels_of("numba"), name)
    if tiny and name != "train_online":
        pytest.skip("only online training has a loop of its own for tiny networks")
    layout = LAYOUT if name != "train_online" else DENSE if tiny else layout_of([M, 90, 2], [0, 1, 0])
    kernel(*operands(name, layout).values())
    before = operands(name, layout)["parameters"]

    for what, wrong in with_wrong_arrays(operands(name, layout)):
        try:
            assert kernel(*wrong.values()) is False  # `forward` says so of samples that do not fit
            assert (name, what.split()[0]) == ("forward", "x")
        except ValueError as error:
            assert "do not fit together" in str(error)  # noqa: PT017
        if what != "parameters 0":
            np.testing.assert_array_equal(wrong["parameters"], before)

"""The memory of a network: vectors, views of them, and what copies make of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from typednn_kernels import plain

from tests.oracles.problems import problem
from tests.typednn.building import COPIES, DTYPES, both_ways, network_of
from typednn import HiddenLayer, InputLayer, OutputLayer, WiringError, use_backend
from typednn.backends import kernels
from typednn.layers.storage import Storage
from typednn.layers.workspace import new_vector

by_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)
copies = pytest.mark.parametrize("duplicate", COPIES)


def storage_of(dtype: Any = np.float64) -> Storage[Any]:
    layers: list[Any] = [InputLayer(2), HiddenLayer(3, "tanh"), OutputLayer(1)]
    return Storage(layers, np.dtype(dtype))


def vectors_of(storage: Storage[Any]) -> list[NDArray[Any]]:
    work = storage.workspace
    return [storage.parameters, storage.gradient, work.a, work.h, work.dLdh, work.dLda]


@by_dtype
def test_views_lie_in_the_vectors(dtype: Any) -> None:
    storage = storage_of(dtype)

    for views, vector in (
        (storage.weights[1:] + storage.biases[1:], storage.parameters),
        (storage.weight_gradients[1:] + storage.bias_gradients[1:], storage.gradient),
    ):
        assert all(np.shares_memory(view, vector) for view in views)
        assert sum(view.size for view in views) == vector.size == 2 * 3 + 3 + 3 + 1
        assert {view.dtype for view in views} == {np.dtype(dtype)}
    assert [each.shape for each in storage.weights] == [(2, 0), (3, 2), (1, 3)]


@by_dtype
def test_vectors_begin_with_a_cache_line(dtype: Any) -> None:
    for size in range(1, 70):
        vector = new_vector(size, np.dtype(dtype))
        assert (vector.shape, vector.dtype, vector.ctypes.data % 64) == ((size,), dtype, 0)
        assert not vector.any()
    for vector in vectors_of(storage_of(dtype)):
        assert vector.ctypes.data % 64 == 0


@copies
@by_dtype
def test_vectors_of_copies_begin_with_a_cache_line_too(duplicate: Any, dtype: Any) -> None:
    for n in range(1, 9):
        case = problem((3, n, 2), ("none", "tanh", "none"), "MSE", 5, dtype)
        network = network_of(case)
        storage, forward = duplicate(network)._storage, duplicate(network.forward(case.x))
        assert storage.parameters.tobytes() == network.parameters.tobytes()
        for vector in vectors_of(storage):
            assert vector.ctypes.data % 64 == 0
        work = forward._workspace
        assert np.shares_memory(work.with_new_deltas().a, work.a)
        assert work.with_new_deltas().dLda.ctypes.data % 64 == 0


def test_a_workspace_holds_fewer_samples_as_well() -> None:
    workspace = storage_of().new_workspace(5)

    assert [block.a.shape for block in workspace.blocks] == [(5, 2), (5, 3), (5, 1)]
    workspace.resize_batch(2)
    assert [block.dLda.shape for block in workspace.blocks] == [(2, 2), (2, 3), (2, 1)]
    assert workspace.output.shape == (2, 1)
    for vector in ("a", "h", "dLdh", "dLda"):
        assert all(
            np.shares_memory(getattr(block, vector), getattr(workspace, vector)) for block in workspace.blocks
        )


def test_targets_are_copied_and_read_only() -> None:
    storage, given = storage_of(), np.array([[1.0], [2.0]])

    storage.set_targets(given)
    given[...] = 7
    assert storage.targets_view.tolist() == [[1], [2]]
    assert not storage.targets_view.flags.writeable
    storage.set_targets(np.array([[3.0]]))
    assert storage.targets_view.tolist() == [[3]]


@copies
def test_views_of_a_copy_lie_in_its_own_vectors(duplicate: Any) -> None:
    storage = storage_of()
    storage.set_targets(np.array([[1.0]]))
    views = (
        storage.weights,
        storage.biases,
        storage.weight_gradients,
        storage.bias_gradients,
        storage.workspace.blocks,
        storage.workspace.vectors,
    )
    assert all(views)
    assert storage.targets_view.tolist() == [[1]]

    other = duplicate(storage)
    other.parameters[...] = 3
    other.workspace.h[...] = 4
    other.workspace.dLda[...] = 6  # allocated when it is asked for
    other.targets[...] = 5

    assert other.weights[1].tolist() == [[3, 3]] * 3
    assert other.workspace.output.tolist() == [[4]]
    assert other.targets_view.tolist() == [[5]]
    assert not storage.parameters.any()
    assert storage.targets_view.tolist() == [[1]]
    for thing, made in ((other, storage), (other.workspace, storage.workspace)):
        owned = [each for name, each in thing.__dict__.items() if name not in thing.views]
        vectors: list[NDArray[Any]] = [each for each in owned if isinstance(each, np.ndarray)]
        for name in thing.views - {"running"}:
            for where, view in arrays_in(getattr(thing, name), set()):
                assert not view.size or any(np.shares_memory(view, vector) for vector in vectors), where
        assert set(thing.__dict__) == set(made.__dict__)


def test_a_chain_follows_the_switch_of_the_kernels() -> None:
    before = use_backend("numpy").previous
    storage, other = storage_of(), storage_of(np.float32)

    with use_backend(before):
        assert storage.running.kernels is kernels(np.dtype(np.float64))
    assert storage.running.kernels is other.running.kernels is plain
    use_backend(before)
    assert (storage.running.kernels is plain) == (before == "numpy")
    assert storage.running is storage_of().running


# One dtype.


def arrays_in(thing: Any, seen: set[int]) -> Iterator[tuple[str, NDArray[Any]]]:
    """All arrays that can be reached from an object by attributes, items and public properties."""
    if id(thing) in seen:
        return
    seen.add(id(thing))
    if type(thing) is np.ndarray:
        yield "itself", thing
    inner: dict[str, Any] = {}
    if type(thing) in {list, tuple}:
        inner = {str(i): each for i, each in enumerate(thing)}
    elif type(thing).__module__.startswith("typednn"):
        names = {name for kind in type(thing).__mro__ for name in vars(kind) if not name.startswith("__")}
        for name in names | set(getattr(thing, "__dict__", {})):
            with suppress(WiringError):  # an input layer has no weights
                inner[name] = getattr(thing, name)
    for name, each in inner.items():
        for where, array in arrays_in(each, seen):
            yield f"{type(thing).__name__}.{name}: {where}", array


@by_dtype
@pytest.mark.usefixtures("path")
def test_a_network_has_arrays_of_its_dtype_only(dtype: Any) -> None:
    case = problem((3, 4, 2), ("sigmoid", "tanh", "softmax"), "crossentropy", 7, dtype)
    network = network_of(case)
    both_ways(list(network.layers), case.x, case.t)
    network.fit(case.x, case.t, epochs=2, batch_size=2)
    forward = network.forward(case.x)
    gradients = forward.backward(case.t, inputs=True)
    layer_gradients = [gradients[layer] for layer in network.layers[1:]]

    found = list(arrays_in([network, forward, gradients, layer_gradients, network.predict(case.x)], set()))

    floating = {where: array.dtype for where, array in found if array.dtype.kind == "f"}
    assert len(floating) > 30
    assert set(floating.values()) == {np.dtype(dtype)}, floating

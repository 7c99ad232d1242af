"""Copies, pickles and networks made of the layers of others."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.oracles.agreement import assert_close
from tests.oracles.problems import problem
from tests.typednn.building import COPIES, DTYPES, both_ways, layers_of, network_of, new_network
from typednn import (
    ArrayTypeError,
    DataError,
    HiddenLayer,
    InputLayer,
    Network,
    NotReadyError,
    OutputLayer,
    WiringError,
)

by_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)
both_paths = pytest.mark.usefixtures("path")

CASE = problem((3, 4, 2), ("none", "tanh", "softmax"), "crossentropy", 7)


def used_network(dtype: Any, rows: int = 2000) -> tuple[Any, Any, Any]:
    """A network that has been trained with many rows, and shows them."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 20)).astype(dtype)
    t = rng.normal(size=(rows, 3)).astype(dtype)
    layers: list[Any] = [
        InputLayer(20),
        HiddenLayer(64, "tanh", normalization="batch", dropout=0.1),
        OutputLayer(3),
    ]
    network = new_network(layers, dtype)
    network.fit(x, t, epochs=2, batch_size=rows)
    network.forward(x).backward(t)
    both_ways(list(network.layers), x, t)
    return network, x, t


# What a copy has.


@by_dtype
@pytest.mark.parametrize("protocol", [2, 4, pickle.HIGHEST_PROTOCOL])
@both_paths
def test_pickles_have_parameters_and_no_data(protocol: int, dtype: Any) -> None:
    network, x, t = used_network(dtype)
    limit = 1.2 * network.parameters.nbytes + 16_000

    for thing in (network, list(network.layers), network.layers[1], network.predictor()):
        content = pickle.dumps(thing, protocol)
        assert len(content) <= limit
        for row in (x[-1], t[-1]):
            assert row.tobytes() not in content


@pytest.mark.parametrize("duplicate", COPIES)
@by_dtype
@both_paths
def test_copies_show_nothing_of_the_last_pass(duplicate: Any, dtype: Any) -> None:
    network, x, t = used_network(dtype, 50)
    other = duplicate(network)

    for layer in other.layers[1:]:
        for name in ("activations", "dLda", "dLdW", "dLdBias"):
            with pytest.raises(NotReadyError):
                getattr(layer, name)
    with pytest.raises(NotReadyError, match=r"call put_values"):
        other.layers[0].forward()
    assert other.parameters.tobytes() == network.parameters.tobytes()
    assert other.predict(x).tobytes() == network.predict(x).tobytes()
    assert other.history == network.history
    other.fit(x, t, epochs=1, batch_size=10)
    network.fit(x, t, epochs=1, batch_size=10)
    assert other.parameters.tobytes() == network.parameters.tobytes()


# Memory that cannot be written to.


@by_dtype
@pytest.mark.parametrize("kind", [bytes, bytearray, None], ids=["read-only", "writable", "of the network"])
@both_paths
def test_buffers_of_a_pickle_are_copied(kind: Any, dtype: Any) -> None:
    """Protocol 5 with buffers, as Ray and Dask use it."""
    network, x, t = used_network(dtype, 50)
    before = network.parameters.copy()
    found: list[pickle.PickleBuffer] = []
    content = pickle.dumps(network, 5, buffer_callback=found.append)
    buffers: list[Any] = [each if kind is None else kind(each) for each in found]

    other = pickle.loads(content, buffers=buffers)
    other.fit(x, t, epochs=1, batch_size=10)
    other.layers[1].W -= 1
    both_ways(list(other.layers), x, t)

    assert buffers
    assert network.parameters.tobytes() == before.tobytes()
    assert (other.parameters != before).any()


@by_dtype
@pytest.mark.parametrize("mode", ["r", "c", "r+", None])
@both_paths
def test_a_network_is_loaded_from_a_memory_map(mode: Any, dtype: Any, tmp_path: Path) -> None:
    joblib = pytest.importorskip("joblib")
    network, x, t = used_network(dtype, 50)
    joblib.dump(network, tmp_path / "network")
    content = (tmp_path / "network").read_bytes()

    other = joblib.load(tmp_path / "network", mmap_mode=mode)
    assert other.predict(x).tobytes() == network.predict(x).tobytes()
    other.fit(x, t, epochs=1, batch_size=10)
    network.fit(x, t, epochs=1, batch_size=10)

    assert other.parameters.tobytes() == network.parameters.tobytes()
    assert (tmp_path / "network").read_bytes() == content


def test_a_forward_pass_is_loaded_from_read_only_memory() -> None:
    network = network_of(CASE)
    found: list[pickle.PickleBuffer] = []
    content = pickle.dumps(network.forward(CASE.x), 5, buffer_callback=found.append)

    forward = pickle.loads(content, buffers=[bytes(each) for each in found])

    reference = network.forward(CASE.x).backward(CASE.t).vector
    assert forward.backward(CASE.t).vector.tobytes() == reference.tobytes()


@pytest.mark.parametrize("duplicate", [*COPIES, Network.copy])
def test_a_deep_network_is_copied(duplicate: Any) -> None:
    layers: list[Any] = [InputLayer(2), *(HiddenLayer(2, "tanh") for _ in range(1000)), OutputLayer(1)]
    network: Network[Any] = Network(layers, seed=0)

    other = duplicate(network)

    assert len(other.layers) == 1002
    assert other.layers[500].previous is other.layers[499]
    assert other.layers[500].next is other.layers[501]
    assert other.layers[1001].next is None
    assert other.parameters.tobytes() == network.parameters.tobytes()
    x = np.ones((3, 2))
    assert other.predict(x).tobytes() == network.predict(x).tobytes()


# copy, astype.


@by_dtype
@both_paths
def test_a_copy_of_a_network_is_its_own(dtype: Any) -> None:
    network, x, t = used_network(dtype, 50)
    before = network.parameters.tobytes()
    other = network.copy()

    assert repr(other) == repr(network)
    assert not np.shares_memory(other.parameters, network.parameters)
    other.layers[1].W -= 1
    other.layers[1].trainable = False
    assert network.layers[1].trainable
    assert network.parameters.tobytes() == before
    assert network.fit(x, t, epochs=1) == network.history
    assert len(other.history.loss) == 2


@pytest.mark.parametrize("source", DTYPES, ids=lambda dtype: dtype.__name__)
@by_dtype
@both_paths
def test_a_network_of_another_dtype(source: Any, dtype: Any) -> None:
    network, x, _ = used_network(source, 50)
    other = network.astype(dtype)

    assert other.dtype == other.parameters.dtype == other.predict(x.astype(dtype)).dtype == dtype
    assert other.parameters.tolist() == network.parameters.astype(dtype).tolist()
    mean = [layer.running_mean for layer in (network.layers[1], other.layers[1])]
    assert mean[1].tolist() == mean[0].astype(dtype).tolist()
    assert mean[0].any()
    assert [repr(layer) for layer in other.layers] == [repr(layer) for layer in network.layers]
    assert other.history == network.history
    assert not np.shares_memory(other.parameters, network.parameters)
    np.testing.assert_allclose(
        other.predict(x.astype(dtype)), network.predict(x).astype(dtype), rtol=1e-3, atol=1e-5
    )


def test_parameters_beyond_the_dtype_are_refused() -> None:
    network = network_of(CASE)
    network.layers[1].W[1, 2] = 1e300
    before = network.parameters.tobytes()

    with pytest.raises(
        DataError, match=r"layer 1, .*: W holds 1e\+300, which is beyond what float32 can hold"
    ):
        network.astype(np.float32)
    with pytest.raises(ArrayTypeError, match=r"np\.float32 or np\.float64"):
        network.astype(np.float16)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
    assert network.parameters.tobytes() == before


# One rule for the layers.


@by_dtype
@both_paths
def test_free_layers_belong_to_the_network(dtype: Any) -> None:
    """For float32 they were copied, and `layers[1].trainable = False` froze nothing."""
    layers: list[Any] = layers_of(CASE)
    network = new_network(layers, dtype)

    assert network.layers == tuple(layers)
    assert np.shares_memory(layers[1].W, network.parameters)
    assert layers[1].W.dtype == dtype
    layers[1].trainable = False
    before = [layers[1].W.copy(), layers[2].W.copy()]
    network.fit(CASE.x.astype(dtype), CASE.t.astype(dtype), epochs=1)
    assert layers[1].W.tolist() == before[0].tolist()
    assert layers[2].W.tolist() != before[1].tolist()


@pytest.mark.parametrize("old_dtype", DTYPES, ids=lambda dtype: dtype.__name__)
@by_dtype
@both_paths
def test_layers_of_another_network_are_copied(old_dtype: Any, dtype: Any) -> None:
    old, _, _ = used_network(old_dtype, 50)
    before = old.parameters.tobytes()

    head = OutputLayer(5, "softmax", "crossentropy")
    network = new_network([*old.layers[:-1], head], dtype, 1)

    assert network.layers[-1] is head
    for name in ("W", "Bias", "Gain", "running_mean", "running_variance"):
        mine, theirs = getattr(network.layers[1], name), getattr(old.layers[1], name)
        assert mine.tolist() == theirs.astype(dtype).tolist()
        assert not np.shares_memory(mine, theirs)
    assert network.layers[1].dropout == 0.1
    assert network.layers[1] is not old.layers[1]
    network.layers[1].trainable = False
    network.fit(np.ones((8, 20), dtype), np.arange(8) % 5, epochs=2)
    assert old.layers[1].trainable
    assert old.parameters.tobytes() == before
    assert network.layers[1].W.tolist() == old.layers[1].W.astype(dtype).tolist()


def test_weights_that_do_not_fit_are_refused() -> None:
    old = network_of(CASE)
    layers: list[Any] = [InputLayer(5), *old.layers[1:]]

    with pytest.raises(
        WiringError, match=r"layer 1, HiddenLayer\(4, 'tanh'\), has weights for 3 inputs, .* 5 units"
    ):
        Network(layers)
    with pytest.raises(WiringError, match=r"has weights for 3 inputs, InputLayer\(5, 'none'\) has 5 units"):
        old.layers[1].copy().attach_after(layers[0])
    assert layers[0].next is None
    assert network_of(CASE).parameters.tobytes() == old.parameters.tobytes()


# Copies of layers.


@pytest.mark.parametrize("duplicate", [None, *COPIES])
@by_dtype
@both_paths
def test_a_copy_of_a_layer_has_its_parameters(duplicate: Any, dtype: Any) -> None:
    network, x, t = used_network(dtype, 50)

    copies = [layer.copy() for layer in network.layers]
    if duplicate is not None:
        copies = duplicate(copies)
    assert [(each.previous, each.next) for each in copies] == [(None, None)] * 3
    assert [repr(each) for each in copies] == [repr(each) for each in network.layers]
    for each, layer in zip(copies[1:], network.layers[1:], strict=True):
        assert each.W.tolist() == layer.W.tolist()
        assert each.Bias.tolist() == layer.Bias.tolist()
        assert not np.shares_memory(each.W, layer.W)
        with pytest.raises(NotReadyError, match=r"is attached to no layer; call attach_after"):
            each.forward()
        for use in (lambda each=each: each.dLdW, each.backward):
            with pytest.raises(NotReadyError):
                use()
    copies[1].W[0, 0] = 7
    copies[2].attach_after(copies[1])
    copies[1].attach_after(copies[0])
    assert copies[1].W[0, 0] == 7
    copies[1].W[0, 0] = network.layers[1].W[0, 0]
    both_ways(copies, x, t)
    assert_close(copies[2].output().T, network.predict(x), 32)


def test_copies_of_a_float32_layer_follow_layers_of_their_dtype() -> None:
    network = network_of(problem((3, 4, 2), ("none", "tanh", "none"), "MSE", 7, np.float32))

    with pytest.raises(ArrayTypeError, match=r"is of float32, InputLayer\(3, 'none'\) of float64; Network\("):
        network.layers[1].copy().attach_after(InputLayer(3))


def test_a_shallow_copy_of_a_list_shares_the_layers() -> None:
    network = network_of(CASE)
    assert copy.copy(list(network.layers)) == list(network.layers)


@pytest.mark.parametrize("width", [4, 10])
def test_pickles_of_deep_networks_are_small(width: int) -> None:
    hidden = [HiddenLayer(width, "relu") for _ in range(1000)]
    network = Network([InputLayer(width), *hidden, OutputLayer(1)], seed=0)
    pickled = pickle.dumps(network)
    twin = pickle.loads(pickled)

    assert len(pickled) <= 1.2 * network.parameters.nbytes + 16_000
    assert repr(twin) == repr(network)
    assert twin.parameters.tobytes() == network.parameters.tobytes()
    assert [layer.previous for layer in twin.layers[1:]] == list(twin.layers[:-1])


def test_pickles_have_the_settings_that_are_not_the_defaults() -> None:
    layer = HiddenLayer(
        3, "relu", normalization="batch", dropout=0.25, weights="he", biases="constant", l1=0.5
    )
    network = Network([InputLayer(2), layer, OutputLayer(1, l2=0.125)], seed=0)
    network.layers[1].trainable = False

    for twin in (pickle.loads(pickle.dumps(network)), network.copy()):
        assert repr(twin) == repr(network)
        assert [each.trainable for each in twin.layers[1:]] == [False, True]
    lone = pickle.loads(pickle.dumps(HiddenLayer(3, "tanh", l2=0.5)))
    assert repr(lone) == "HiddenLayer(3, 'tanh', l2=0.5)"

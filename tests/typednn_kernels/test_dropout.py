"""Which units are dropped: the same on both paths, and as if at random."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from typednn_kernels import dropout
from typednn_kernels.layout import (
    DROPOUT,
    layout_of,
    parameter_count,
    unit_count,
    vector_size,
    workspace_size,
)
from typednn_kernels.operands import Epoch, Workspace

from tests.conftest import PATHS, kernels_of
from tests.typednn_kernels.updating import descent

KEYS = [0, 1, 2**32 - 1, 2**32, 123456789123456789, 2**62 + 5]
N = 1 << 16

by_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda dtype: dtype.__name__)


def kept(kernels: Any, key: int, layer: int = 1, rate: float = 0.5, n: int = N) -> NDArray[np.bool]:
    """Which of n numbers a path keeps."""
    h = np.ones((1, n), np.float32)
    kernels.apply_dropout(key, layer, dropout.threshold(rate), h)
    keeping: NDArray[np.bool] = h[0] != 0
    return keeping


def correlation(x: NDArray[np.bool], y: NDArray[np.bool]) -> float:
    """In standard deviations of what independent draws of one half would have."""
    return float(((x - 0.5) * (y - 0.5)).sum() * 4 / np.sqrt(len(x)))


def lowbias32(word: int) -> int:
    """The permutation as published, in whole numbers."""
    word ^= word >> 16
    word = word * 0x7FEB352D % 2**32
    word ^= word >> 15
    word = word * 0x846CA68B % 2**32
    return word ^ (word >> 16)


def test_words_are_mixed_as_published() -> None:
    words = np.random.default_rng(0).integers(0, 2**32, 200, np.uint32)

    assert dropout.mixed(words).tolist() == [lowbias32(int(word)) for word in words]


def test_every_bit_depends_on_every_bit() -> None:
    words = np.random.default_rng(0).integers(0, 2**32, 1 << 14, np.uint32)
    for bit in range(32):
        changed = dropout.mixed(words) ^ dropout.mixed(words ^ np.uint32(1 << bit))
        shares = [((changed >> np.uint32(place)) & np.uint32(1)).mean() for place in range(32)]
        assert abs(np.array(shares) - 0.5).max() < 0.025  # 6 standard deviations


@pytest.mark.skipif("numba" not in PATHS, reason="one path only")
@by_dtype
@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("rate", [0.1, 0.2, 0.5, 0.999])
def test_both_paths_drop_the_same_to_the_bit(key: int, rate: float, dtype: Any) -> None:
    for layer, shape in product((1, 7), ((1, 1), (1, 3), (5, 13), (64, 129))):
        h = np.random.default_rng(0).normal(size=shape).astype(dtype)
        reference, computed = h.copy(), h.copy()
        kernels_of("numpy").apply_dropout(key, layer, dropout.threshold(rate), reference)
        kernels_of("numba").apply_dropout(key, layer, dropout.threshold(rate), computed)
        assert computed.tobytes() == reference.tobytes()


@pytest.mark.parametrize("rate", [0.001, 0.2, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("key", KEYS)
def test_the_dropped_fraction_is_the_rate(key: int, rate: float) -> None:
    share = 1 - kept(kernels_of("numpy"), key, rate=rate).mean()

    assert abs(share - rate) < 5 * np.sqrt(rate * (1 - rate) / N)


@pytest.mark.parametrize("key", KEYS)
def test_neighbours_steps_and_layers_are_independent(key: int) -> None:
    run = kernels_of("numpy")
    here = kept(run, key)

    for distance in (1, 2, 3, 64, 100, 1024):
        assert abs(correlation(here[distance:], here[:-distance])) < 5
    for other in (key + 1, key + 2, key ^ 2**32, key ^ 2**40):
        assert abs(correlation(here, kept(run, other))) < 5
    for layer in (2, 3, 10):
        assert abs(correlation(here, kept(run, key, layer))) < 5
    assert abs(correlation(here, kept(run, key + 1, 2))) < 5


def test_over_many_steps_each_unit_is_dropped_as_often() -> None:
    steps = np.array([kept(kernels_of("numpy"), key, n=256) for key in range(10**9, 10**9 + 2048)])

    counts = (steps.sum(axis=0) - 1024) / np.sqrt(512)
    assert abs(counts).max() < 5
    assert 0.85 < counts.std() < 1.15


@by_dtype
def test_what_is_kept_makes_up_for_the_rest(kernels: Any, dtype: Any) -> None:
    h = np.random.default_rng(0).normal(size=(40, 50)).astype(dtype)
    after = h.copy()

    kernels.apply_dropout(3, 1, dropout.threshold(0.2), after)

    keeping = after != 0
    rounding = 2**-31 + 4 * np.finfo(dtype).eps  # of the share, and of the numbers
    np.testing.assert_allclose(after[keeping], h[keeping] / dtype(0.8), rtol=rounding)
    assert 0.15 < 1 - keeping.mean() < 0.25


def test_infinity_that_is_dropped_is_0(kernels: Any) -> None:
    h = np.full((1, 1000), np.inf)
    kernels.apply_dropout(0, 1, dropout.threshold(0.5), h)
    assert set(h.reshape(-1).tolist()) == {0.0, np.inf}


def test_thresholds() -> None:
    assert dropout.threshold(0) == 0
    assert dropout.threshold(0.5) == 2**31
    assert dropout.threshold(1 - 2**-50) == 2**32 - 1
    assert layout_of([1, 1], [0, 0], None, [0, 2**32 - 1])[1, DROPOUT] == 2**32 - 1


# Whole networks.

LENGTHS, ACTIVATIONS = (5, 70, 9, 12, 3), (0, 2, 3, 1, 4)
NETWORKS = [
    ((0, 1, 2, 0, 0), (0, 0, 0, 0, 0)),
    ((0, 2, 1, 1, 0), (0, 0, 0, 0, 0)),
    ((0, 0, 0, 0, 0), (0, 0.5, 0.2, 0.1, 0)),
    ((0, 1, 1, 2, 0), (0, 0.3, 0, 0.5, 0)),
]


class Net:
    """A network with normalisation and dropout, and its data."""

    def __init__(self, normalizations: Any, rates: Any, dtype: Any) -> None:
        rng = np.random.default_rng(1)
        self.layout = layout_of(
            LENGTHS, ACTIVATIONS, normalizations, [dropout.threshold(rate) for rate in rates]
        )
        self.parameters = (rng.normal(size=vector_size(self.layout)) / 2).astype(dtype)
        count = parameter_count(self.layout)
        self.parameters[count:] = abs(self.parameters[count:])
        self.x = rng.normal(size=(23, 5)).astype(dtype)
        self.t = np.eye(3, dtype=dtype)[rng.integers(0, 3, 23)]
        self.order, self.unweighted = rng.integers(0, 23, 41), np.empty(0, dtype)
        for each in (self.x, self.t, self.order, self.unweighted):
            each.setflags(write=False)

    def work(self, samples: int) -> Workspace[Any]:
        """A workspace; what is not written stays NaN."""
        units = samples * unit_count(self.layout)
        whole = workspace_size(self.layout, samples)
        return Workspace(*(np.full(size, np.nan, self.x.dtype) for size in (whole, units, units, whole)))


@by_dtype
@pytest.mark.parametrize("batch_size", [1, 2, 8, 41])
@pytest.mark.parametrize(("normalizations", "rates"), NETWORKS)
@pytest.mark.skipif("numba" not in PATHS, reason="one path only")
def test_both_paths_train_alike(normalizations: Any, rates: Any, batch_size: int, dtype: Any) -> None:
    net, key = Net(normalizations, rates, dtype), 2**40 + 17
    found: list[list[NDArray[Any]]] = []
    for path in ("numpy", "numba"):
        parameters, losses = net.parameters.copy(), np.full(41, np.nan, dtype)
        gradient = np.full(parameter_count(net.layout), np.nan, dtype)
        epoch = Epoch(net.x, net.t, net.unweighted, net.order, batch_size, losses)
        rest = (epoch, descent(0.05, len(net.order), gradient), net.work(batch_size), gradient)
        kernels_of(path).train_batches(parameters, net.layout, key, 2, *rest)
        found.append([parameters, losses])

    for reference, computed in zip(*found, strict=True):
        np.testing.assert_allclose(
            computed, reference, rtol=0, atol=4096 * np.finfo(dtype).eps * abs(reference).max()
        )


@by_dtype
@pytest.mark.parametrize(("normalizations", "rates"), NETWORKS)
def test_a_batch_is_a_forward_a_backward_pass_and_an_update(
    kernels: Any, normalizations: Any, rates: Any, dtype: Any
) -> None:
    net, key, rate = Net(normalizations, rates, dtype), 5, dtype(0.05)
    count, samples = parameter_count(net.layout), np.arange(23)
    samples.setflags(write=False)
    reference, gradient, work = net.parameters.copy(), np.empty(count, dtype), net.work(23)
    kernels.forward(reference, net.layout, key, net.x, work)
    kernels.backward(reference, net.layout, key, 2, net.t, work, gradient)
    reference[:count] -= rate * gradient

    computed, losses = net.parameters.copy(), np.empty(23, dtype)
    epoch = Epoch(net.x, net.t, net.unweighted, samples, 23, losses)
    rest = (epoch, descent(float(rate), 1, gradient), net.work(23), gradient)
    kernels.train_batches(computed, net.layout, key, 2, *rest)

    np.testing.assert_allclose(
        computed, reference, rtol=0, atol=8 * np.finfo(dtype).eps * abs(reference).max()
    )
    assert (computed[count:] != net.parameters[count:]).all()


def test_predictions_change_no_moving_average(kernels: Any) -> None:
    net = Net(*NETWORKS[3], np.float64)
    parameters = net.parameters.copy()

    kernels.forward(parameters, net.layout, dropout.INFERENCE, net.x, net.work(23))

    assert parameters.tobytes() == net.parameters.tobytes()

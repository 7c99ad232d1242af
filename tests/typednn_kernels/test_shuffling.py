"""The order of samples: both paths draw the same, every permutation is as likely as another."""

from __future__ import annotations

from math import factorial
from typing import Any

import numpy as np
import pytest
from typednn_kernels import shuffling

from tests.conftest import kernels_of

MASK = 2**64 - 1


def splitmix64(word: int) -> int:
    """The output function as published, in Python integers."""
    word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    word = (word ^ (word >> 27)) * 0x94D049BB133111EB & MASK
    return word ^ (word >> 31)


def permutation(key: int, step: int, length: int) -> list[int]:
    """What a path is to draw, in Python integers."""
    seed = splitmix64((splitmix64(key) + step) & MASK)
    samples = list(range(length))
    for i in range(length - 1, 0, -1):
        j = splitmix64((seed + i * 0x9E3779B97F4A7C15) & MASK) * (i + 1) >> 64
        samples[i], samples[j] = samples[j], samples[i]
    return samples


def drawn(kernels: Any, key: int, first: int, increment: int, length: int, epochs: int) -> list[list[int]]:
    order = np.empty(epochs * length, np.int64)
    # The test's wrapper chooses by the dtype of a float array, of which there is none here.
    function = kernels.shuffle
    if kernels is not kernels_of("numpy"):
        from typednn_kernels.compiled.entry_points import kernels_for

        function = kernels_for(np.dtype(np.float64)).shuffle
    function(key, first, increment, length, order)
    rows: list[list[int]] = order.reshape(epochs, length).tolist()
    return rows


def test_the_first_words_are_those_of_the_published_generator() -> None:
    """Those of SplitMix64 with the seed 1234567."""
    counters = np.arange(1, 4, dtype=np.uint64)
    with np.errstate(over="ignore"):
        words = shuffling.mixed(np.uint64(1234567) + counters * shuffling.GOLDEN_RATIO)

    assert words.tolist() == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@pytest.mark.parametrize("length", [1, 2, 4, 31, 1000])
@pytest.mark.parametrize("key", [0, 1, 2**62 - 1, 123456789123456789])
def test_orders_are_drawn_as_described(kernels: Any, key: int, length: int) -> None:
    reference = [permutation(key, 5 + 7 * epoch, length) for epoch in range(3)]

    assert drawn(kernels, key, 5, 7, length, 3) == reference
    assert drawn(kernels, key, 12, 7, length, 1) == reference[1:2]


def test_bounds_are_those_of_whole_numbers() -> None:
    words = np.array([0, 1, 2**63, 2**64 - 1, 0x9E3779B97F4A7C15], np.uint64)
    for bound in (1, 2, 3, 1000, 2**31 + 1, 2**32):
        expected = [int(word) * bound >> 64 for word in words.tolist()]
        assert shuffling.below(words, np.full(5, bound, np.uint64)).tolist() == expected


@pytest.mark.parametrize("key", [0, 7, 2**61])
def test_every_permutation_is_as_likely(kernels: Any, key: int) -> None:
    """Chi-squared with 23 degrees of freedom: above 49.7 with probability 0.001."""
    count = 24_000
    rows = np.array(drawn(kernels, key, 0, 4, 4, count))

    _, counts = np.unique(rows @ [1000, 100, 10, 1], return_counts=True)

    expected = count / factorial(4)
    assert len(counts) == factorial(4)
    assert ((counts - expected) ** 2 / expected).sum() < 49.7


def test_a_sample_goes_everywhere(kernels: Any) -> None:
    """Each of 50 samples to each of 50 places; chi-squared with 49² degrees of freedom, five sigma."""
    length, count = 50, 5000
    rows = np.array(drawn(kernels, 3, 0, 50, length, count))
    table = np.zeros((length, length))
    np.add.at(table, (np.tile(np.arange(length), count), rows.reshape(-1)), 1)

    expected = count / length
    statistic = ((table - expected) ** 2 / expected).sum()
    freedom = (length - 1) ** 2
    assert abs(statistic - freedom) < 5 * np.sqrt(2 * freedom)

"""Shuffling: the order in which an epoch trains the samples.

The order follows from the key of the training and the number of the epoch's first step alone, so that it
does not depend on what was drawn before. Both give the epoch a seed, `mixed(mixed(key) + step)`. The shuffle
is that of Fisher & Yates; the swap of place i takes the word `mixed(seed + i * GOLDEN_RATIO)`, as SplitMix64
does. Both paths shuffle alike.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

W = TypeVar("W", NDArray[np.uint64], np.uint64)
"""Words of 64 bits, or one."""

GOLDEN_RATIO = np.uint64(0x9E3779B97F4A7C15)
"""The odd number nearest to 2**64 divided by the golden ratio, by which the counter of SplitMix64 grows."""


def mixed(word: W) -> W:
    """Permutes the words such that every bit of the result depends on every bit of the word.

    It is the output function of SplitMix64. Source: Steele, Lea & Flood (2014), Fast splittable pseudorandom
    number generators, OOPSLA, figure 16; multipliers and shifts are the variant 13 of Stafford.
    """
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return word ^ (word >> np.uint64(31))


def below(word: W, bound: W) -> W:
    """Maps a random word to an integer below a bound of at most 2**32.

    It is the upper half of word * bound, in 96 bits: no integer is likelier than another by more than
    bound / 2**64 (Lemire 2019, Fast random integer generation in an interval, without its rejection).
    """
    half = np.uint64(32)
    low = ((word & np.uint64(0xFFFFFFFF)) * bound) >> half
    return ((word >> half) * bound + low) >> half

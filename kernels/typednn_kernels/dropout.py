"""Dropout: which units a training step drops (Srivastava et al. 2014, JMLR 15).

Nothing is stored: whether the number at an index of a layer is dropped follows from the key of the step, the
layer and the index, by a hash that is computed again where it is needed, in words of 32 bits. NumPy and the
compiled path draw the same units.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from typednn_kernels.arrays import Values
from typednn_kernels.elementary import where

Words: TypeAlias = NDArray[np.uint32] | np.uint32

PREDICTING = -1
"""The key of a pass that trains nothing: it drops nothing, and normalises by moving means and variances.

Other keys are whole numbers below 2**63. Those of a training are consecutive, from one that is drawn.
"""

ALL = 2**32


def threshold(rate: float) -> int:
    """A share of units as layouts have it: words below this are dropped."""
    return min(round(rate * ALL), ALL - 1)


def scale(threshold: int) -> float:
    """What is kept is multiplied by this, so that the mean stays."""
    return 1 / (1 - threshold / ALL)


def mixed(word: Words) -> Words:
    """A permutation of the words in which every bit depends on every bit.

    It is lowbias32, whose shifts and multipliers were searched for little bias: a bit of the result changes
    with a bit of the word in half the cases, to 0.17 % (Wellons 2018, https://nullprogram.com/blog/2018/07/31).
    """
    word = (word ^ (word >> 16)) * 0x7FEB352D
    word = (word ^ (word >> 15)) * 0x846CA68B
    return word ^ (word >> 16)


def random_words(index: Words, low: Words, high: Words, layer: Words) -> Words:
    """The words of the indices, by the halves of the key and the place of the layer."""
    first = mixed(mixed(mixed(low + layer) + high) + 0x9E3779B9)  # 2**32 / golden ratio: 0 stays not 0
    second = mixed(first ^ mixed(high + 0x85EBCA6B) ^ low)
    return mixed(mixed(index + first) ^ second)


def dropped(
    index: Words, low: Words, high: Words, layer: Words, threshold: Words, scale: float, h: Values
) -> Values:
    """What becomes of h: 0 where its word is below the threshold."""
    return where(random_words(index, low, high, layer) < threshold, 0, h * scale)

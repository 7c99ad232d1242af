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
from typednn_kernels.primitives import where

Words: TypeAlias = NDArray[np.uint32]

INFERENCE = -1
"""The key of a pass that trains nothing: it drops nothing, and normalises by moving means and variances.

Other keys are whole numbers below 2**63. Those of a training are consecutive, from one that is drawn.
"""

ALL = 2**32


def threshold(rate: float) -> int:
    """A share of units as layouts have it: words below this are dropped."""
    return min(round(rate * ALL), ALL - 1)


def mixed(word: Words) -> Words:
    """A permutation of the words in which every bit depends on every bit.

    It is lowbias32, whose shifts and multipliers were searched for little bias: a bit of the result changes
    with a bit of the word in half the cases, to 0.17 % (Wellons 2018, https://nullprogram.com/blog/2018/07/31).
    """
    word = _folded(word, 16) * np.uint32(0x7FEB352D)
    word = _folded(word, 15) * np.uint32(0x846CA68B)
    return _folded(word, 16)


def _folded(word: Words, bits: int) -> Words:
    return word ^ (word >> np.uint32(bits))


def random_words(index: Words, low: Words, high: Words, layer: Words) -> Words:
    """The words of the indices, by the halves of the key and the place of the layer."""
    other = np.uint32(0x9E3779B9)  # the golden ratio: 0 alone would remain 0
    first = mixed(mixed(mixed(low + layer) + high) + other)
    second = mixed(mixed(high + other) ^ first ^ low)
    return mixed(mixed(index + first) ^ second)


def dropped(
    index: Words, low: Words, high: Words, layer: Words, threshold: Words, kept: np.floating, h: Values
) -> Values:
    """What becomes of h: 0 where its word is below the threshold, else more, so that the mean stays.

    `kept` is the share of the units that the threshold leaves, as the threshold is that of the others.
    """
    return where(random_words(index, low, high, layer) < threshold, 0, h * (ALL / kept))

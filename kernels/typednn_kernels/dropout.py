"""Dropout: decides which units a training step drops (Srivastava et al. 2014, JMLR 15).

No mask is stored: a hash of the key of the step, the layer and the index of the element says whether it is
dropped, and is computed again where it is needed, in words of 32 bits. Both paths drop the same units.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from typednn_kernels.arrays import Values
from typednn_kernels.primitives import where

Words: TypeAlias = NDArray[np.uint32]

INFERENCE = -1
"""The key of inference: nothing is dropped, and batches are normalised by running means and variances.

Other keys are integers from 0 to 2**63 - 1: those of the steps of a training follow a random one.
"""

ALL = 2**32
"""How many words there are: a threshold is a fraction of it."""


def threshold(rate: float) -> int:
    """Returns a rate as layouts store it: elements whose word is below it are dropped."""
    return min(round(rate * ALL), ALL - 1)


def mixed(word: Words) -> Words:
    """Permutes the words such that every bit of the result depends on every bit of the word: lowbias32.

    A bit of the result flips with a bit of the word with probability 1/2, up to 0.17 %. Source: Wellons
    (2018), Prospecting for hash functions, https://nullprogram.com/blog/2018/07/31.
    """
    word = _xor_shift(word, 16) * np.uint32(0x7FEB352D)
    word = _xor_shift(word, 15) * np.uint32(0x846CA68B)
    return _xor_shift(word, 16)


def _xor_shift(word: Words, bits: int) -> Words:
    return word ^ (word >> np.uint32(bits))


def random_words(index: Words, low: Words, high: Words, layer: Words) -> Words:
    """Hashes indices with the two halves of a key and the number of a layer."""
    golden_ratio = np.uint32(0x9E3779B9)  # added, since 0 is mixed to 0
    first = mixed(mixed(mixed(low + layer) + high) + golden_ratio)
    second = mixed(mixed(high + golden_ratio) ^ first ^ low)
    return mixed(mixed(index + first) ^ second)


def dropped(
    index: Words, low: Words, high: Words, layer: Words, threshold: Words, kept: np.floating, h: Values
) -> Values:
    """Computes h after dropout: 0 where the word is below the threshold, else h / (kept / ALL).

    `kept` is `ALL` minus the threshold: the division keeps the expected value of h.
    """
    return where(random_words(index, low, high, layer) < threshold, 0, h * (ALL / kept))

"""Draws the order of the samples of some epochs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from typednn_kernels import shuffling
from typednn_kernels.arrays import Order
from typednn_kernels.compiled._codegen.jit import exported, inline
from typednn_kernels.shuffling import GOLDEN_RATIO

mixed: Callable[[np.uint64], np.uint64] = inline(shuffling.mixed)
below: Callable[[np.uint64, np.uint64], np.uint64] = inline(shuffling.below)


@inline
def draw_orders(key: int, first: int, increment: int, length: int, order: Order) -> None:
    """Draws the order of the samples of some epochs."""
    base = mixed(np.uint64(key))
    for epoch in range(order.size // length):
        seed, start = mixed(base + np.uint64(first + epoch * increment)), epoch * length
        for i in range(length):
            order[start + i] = i
        for i in range(length - 1, 0, -1):
            word = mixed(seed + np.uint64(i) * GOLDEN_RATIO)
            j = start + np.int64(below(word, np.uint64(i + 1)))
            order[start + i], order[j] = order[j], order[start + i]


@exported
def shuffle(key: int, first: int, increment: int, length: int, order: Order) -> None:
    """Draws the order of the samples of some epochs; see `Kernels.shuffle`."""
    draw_orders(key, first, increment, length, order)

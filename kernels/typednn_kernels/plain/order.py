"""Draws the order of the samples of some epochs."""

from __future__ import annotations

import numpy as np

from typednn_kernels.arrays import Order
from typednn_kernels.shuffling import GOLDEN_RATIO, below, mixed


def shuffle(key: int, first: int, increment: int, length: int, order: Order) -> None:
    """Draws the order of the samples of some epochs; see `Kernels.shuffle`."""
    with np.errstate(over="ignore"):
        steps = first + increment * np.arange(len(order) // length, dtype=np.int64)
        seeds = mixed(mixed(np.uint64(key)) + steps.astype(np.uint64)).reshape(-1, 1)
        places = np.arange(1, length, dtype=np.uint64)
        chosen = below(mixed(seeds + places * GOLDEN_RATIO), places + np.uint64(1))
    for epoch, row in enumerate(chosen):
        partners: list[int] = row.tolist()
        samples = list(range(length))
        for i in range(length - 1, 0, -1):
            j = partners[i - 1]
            samples[i], samples[j] = samples[j], samples[i]
        order[epoch * length : (epoch + 1) * length] = samples

"""Kernels in NumPy, tuned by hand: formulas in blocks that stay in cache, and softmax.

These are what the compiled kernels have to beat, beside the library's own plain kernels. Each function
returns a call without arguments that is ready to be timed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import fsum
from typing import Any

import numpy as np

from benchmarks.networks import Array
from benchmarks.peers.numpy_formulas import BLOCK


def elementwise(formula: Callable[..., None], *arrays: Array) -> Callable[[], object]:
    """Applies a formula to arrays of any size."""
    flat = [array.reshape(-1) for array in arrays]
    blocks = _blocks(flat)
    return partial(formula, *flat) if len(blocks) == 1 else partial(_each, formula, blocks)


def total(formula: Callable[..., Any], divisor: int, *arrays: Array) -> Callable[[], object]:
    """Sums a formula over all but the last array, divides the sum and stores it in the last array."""
    *arguments, losses = arrays
    return partial(_sum, formula, _blocks([array.reshape(-1) for array in arguments]), losses, divisor)


def softmax(a: Array, y: Array) -> Callable[[], object]:
    """Computes softmax of each row."""
    if len(a) == 1 and a.size > BLOCK:
        return partial(_long_softmax, _blocks([a.reshape(-1), y.reshape(-1)]), a, y)
    return _rows(_softmax, a, y)


def softmax_backward(y: Array, g: Array, dLda: Array) -> Callable[[], object]:
    """Computes dLda = y (g - <g, y>) of each row, the product with the Jacobian of softmax."""
    if len(y) == 1 and y.size > BLOCK:
        return partial(_long_softmax_backward, _blocks([y.reshape(-1), g.reshape(-1), dLda.reshape(-1)]))
    return _rows(_softmax_backward, y, g, dLda)


def cross_entropy_of_logits(a: Array, t: Array, losses: Array) -> Callable[[], object]:
    """Computes the cross-entropy of softmax of each row."""
    return partial(_cross_entropy_of_logits, np.empty_like(a), a, t, losses)


def _softmax(a: Array, y: Array) -> None:
    np.subtract(a, np.maximum.reduce(a, axis=1, keepdims=True), out=y)
    np.exp(y, out=y)
    np.divide(y, np.add.reduce(y, axis=1, keepdims=True), out=y)


def _long_softmax(blocks: list[tuple[Array, ...]], a: Array, y: Array) -> None:
    largest, total = np.maximum.reduce(a, axis=1), 0
    for a_block, y_block in blocks:
        np.subtract(a_block, largest, out=y_block)
        np.exp(y_block, out=y_block)
        total += np.add.reduce(y_block)
    np.divide(y, total, out=y)


def _softmax_backward(y: Array, g: Array, dLda: Array) -> None:
    np.subtract(g, np.vecdot(g, y)[:, None], out=dLda)
    np.multiply(dLda, y, out=dLda)


def _long_softmax_backward(blocks: list[tuple[Array, ...]]) -> None:
    inner = sum(np.dot(g, y) for y, g, _ in blocks)
    for y, g, dLda in blocks:
        np.subtract(g, inner, out=dLda)
        np.multiply(dLda, y, out=dLda)


def _cross_entropy_of_logits(u: Array, a: Array, t: Array, losses: Array) -> None:
    largest = np.maximum.reduce(a, axis=1)
    np.subtract(a, largest[:, None], out=u)
    np.exp(u, out=u)
    np.add.reduce(u, axis=1, out=losses)
    np.log(losses, out=losses)
    losses += largest
    losses *= np.add.reduce(t, axis=1)
    losses -= np.vecdot(a, t)


def _rows(formula: Callable[..., None], *arrays: Array) -> Callable[[], object]:
    """Applies a formula to as many rows at a time as a block holds."""
    rows = max(1, BLOCK // arrays[0].shape[1])
    blocks = [
        tuple(array[start : start + rows] for array in arrays) for start in range(0, len(arrays[0]), rows)
    ]
    return partial(formula, *arrays) if len(blocks) == 1 else partial(_each, formula, blocks)


def _blocks(arrays: list[Array]) -> list[tuple[Array, ...]]:
    starts = range(0, arrays[0].size, BLOCK)
    return [tuple(array[start : start + BLOCK] for array in arrays) for start in starts]


def _each(formula: Callable[..., None], blocks: list[tuple[Array, ...]]) -> None:
    for block in blocks:
        formula(*block)


def _sum(formula: Callable[..., Any], blocks: list[tuple[Array, ...]], losses: Array, divisor: int) -> None:
    losses[0] = fsum(formula(*block) for block in blocks) / divisor

"""Kernels of the linear part of a layer, one row each, for one sample and square weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from benchmarks.cases.kernel_comparison import TUNED, Call, KernelComparison, library_runs
from benchmarks.networks import Array

SIDES = (1, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)


@dataclass(frozen=True, slots=True)
class DenseCase:
    """A kernel of that name, and a function that returns the tuned NumPy call."""

    name: str
    tuned: Callable[..., Call]


def _outer(dLda: Array, h: Array, result: Array) -> Call:
    return partial(np.outer, dLda[0], h[0], out=result)


def _affine(x: Array, W: Array, bias: Array, result: Array) -> Call:
    def run() -> None:
        np.dot(W, x[0], out=result[0])
        np.add(result, bias, out=result)

    return run


def _backpropagate(dLda: Array, W: Array, result: Array) -> Call:
    return partial(np.dot, dLda[0], W, out=result[0])


DENSE = (
    DenseCase("outer", _outer),
    DenseCase("affine", _affine),
    DenseCase("backpropagate", _backpropagate),
)
"""All work of a sample but activations and loss."""


def dense_comparison(case: DenseCase, dtype: str, side: int) -> KernelComparison:
    """Returns the comparison with weights (side, side)."""
    rng = np.random.default_rng(side)
    x, delta, bias = (rng.normal(0, 1, (1, side)).astype(dtype) for _ in range(3))
    matrix: Array = rng.normal(0, 1, (side, side)).astype(dtype)
    vector: Array = np.empty((1, side), dtype)
    arguments, terms = {
        "outer": ((delta, x, np.empty_like(matrix)), None),
        "affine": ((x, matrix, bias[0], vector), abs(x) @ abs(matrix).T + abs(bias)),
        "backpropagate": ((delta, matrix, vector), abs(delta) @ abs(matrix)),
    }[case.name]
    runs = library_runs(case.name, *arguments)
    runs[TUNED] = case.tuned(*arguments)
    return KernelComparison(runs, arguments[-1], side * side, terms)

"""The kernels of the linear part, a row each, for one sample and square weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from benchmarks.cases.kernel_comparisons import TUNED, Call, KernelContest, library_runs
from benchmarks.cases.networks import Array

SIDES = (1, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)


@dataclass(frozen=True, slots=True)
class DenseCase:
    """A kernel, and NumPy's best answer, ready to be called."""

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
"""What a sample costs beside its activations."""


def dense_contest(case: DenseCase, dtype: str, side: int) -> KernelContest:
    """The contest with weights (side, side)."""
    rng = np.random.default_rng(side)
    x, error, bias = (rng.normal(0, 1, (1, side)).astype(dtype) for _ in range(3))
    matrix: Array = rng.normal(0, 1, (side, side)).astype(dtype)
    vector: Array = np.empty((1, side), dtype)
    arguments, terms = {
        "outer": ((error, x, np.empty_like(matrix)), None),
        "affine": ((x, matrix, bias[0], vector), abs(x) @ abs(matrix).T + abs(bias)),
        "backpropagate": ((error, matrix, vector), abs(error) @ abs(matrix)),
    }[case.name]
    runs = library_runs(case.name, *arguments)
    runs[TUNED] = case.tuned(*arguments)
    return KernelContest(runs, arguments[-1], side * side, terms)

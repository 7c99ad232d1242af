"""Each kernel, dtype and size: NumPy beside numba."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import pytest

from benchmarks.cases.dense import DENSE, SIDES, DenseCase, dense_contest
from benchmarks.cases.kernel_comparisons import OURS, PLAIN, TUNED, KernelContest
from benchmarks.cases.kernels import ELEMENTWISE, SIZES, Case, elementwise_contest
from benchmarks.cases.networks import DTYPES

SHORT_SIZES, SHORT_SIDES = (1, 1000), (1, 64)

by_dtype = pytest.mark.parametrize("dtype", DTYPES)
by_contestant = pytest.mark.parametrize("contestant", [OURS, PLAIN, TUNED])


def sized(sizes: tuple[int, ...], short: tuple[int, ...]) -> list[Any]:
    """The sizes as parameters, some of them marked short."""
    return [pytest.param(size, marks=pytest.mark.short if size in short else ()) for size in sizes]


@by_contestant
@pytest.mark.parametrize("size", sized(SIZES, SHORT_SIZES))
@by_dtype
@pytest.mark.parametrize("case", ELEMENTWISE, ids=lambda case: case.name)
def test_elementwise(benchmark: Any, case: Case, dtype: str, size: int, contestant: str) -> None:
    run(benchmark, checked_elementwise(case, dtype, size), contestant)


@by_contestant
@pytest.mark.parametrize("side", sized(SIDES, SHORT_SIDES))
@by_dtype
@pytest.mark.parametrize("case", DENSE, ids=lambda case: case.name)
def test_dense(benchmark: Any, case: DenseCase, dtype: str, side: int, contestant: str) -> None:
    run(benchmark, checked_dense(case, dtype, side), contestant)


@lru_cache(maxsize=1)
def checked_elementwise(case: Case, dtype: str, size: int) -> KernelContest:
    """The contest, whose contestants compute the same."""
    contest = elementwise_contest(case, dtype, size)
    contest.check()
    return contest


@lru_cache(maxsize=1)
def checked_dense(case: DenseCase, dtype: str, side: int) -> KernelContest:
    """The contest, whose contestants compute the same."""
    contest = dense_contest(case, dtype, side)
    contest.check()
    return contest


def run(benchmark: Any, contest: KernelContest, contestant: str) -> None:
    """Times one of them."""
    if contestant not in contest.runs:
        pytest.skip(f"there is no {contestant} here")
    benchmark(contest.runs[contestant])

"""Kernels by dtype and size: compiled, plain NumPy and tuned NumPy."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import pytest

from benchmarks.cases.dense import DENSE, SIDES, DenseCase, dense_comparison
from benchmarks.cases.elementwise import ELEMENTWISE, SIZES, Case, elementwise_comparison
from benchmarks.cases.kernel_comparison import OURS, PLAIN, TUNED, KernelComparison
from benchmarks.networks import DTYPES

SHORT_SIZES, SHORT_SIDES = (1, 1000), (1, 64)

by_dtype = pytest.mark.parametrize("dtype", DTYPES)
by_candidate = pytest.mark.parametrize("candidate", [OURS, PLAIN, TUNED])


def sized(sizes: tuple[int, ...], short: tuple[int, ...]) -> list[Any]:
    """Returns the sizes as parameters, those in `short` with the marker."""
    return [pytest.param(size, marks=pytest.mark.short if size in short else ()) for size in sizes]


@by_candidate
@pytest.mark.parametrize("size", sized(SIZES, SHORT_SIZES))
@by_dtype
@pytest.mark.parametrize("case", ELEMENTWISE, ids=lambda case: case.name)
def test_elementwise(benchmark: Any, case: Case, dtype: str, size: int, candidate: str) -> None:
    run(benchmark, checked_elementwise(case, dtype, size), candidate)


@by_candidate
@pytest.mark.parametrize("side", sized(SIDES, SHORT_SIDES))
@by_dtype
@pytest.mark.parametrize("case", DENSE, ids=lambda case: case.name)
def test_dense(benchmark: Any, case: DenseCase, dtype: str, side: int, candidate: str) -> None:
    run(benchmark, checked_dense(case, dtype, side), candidate)


@lru_cache(maxsize=1)
def checked_elementwise(case: Case, dtype: str, size: int) -> KernelComparison:
    """Returns the comparison after its check."""
    comparison = elementwise_comparison(case, dtype, size)
    comparison.check()
    return comparison


@lru_cache(maxsize=1)
def checked_dense(case: DenseCase, dtype: str, side: int) -> KernelComparison:
    """Returns the comparison after its check."""
    comparison = dense_comparison(case, dtype, side)
    comparison.check()
    return comparison


def run(benchmark: Any, comparison: KernelComparison, candidate: str) -> None:
    """Times one candidate."""
    if candidate not in comparison.runs:
        pytest.skip(f"{candidate} is not available")
    benchmark(comparison.runs[candidate])

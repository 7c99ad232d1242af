"""Calls of users: small trainings, predictions, gradients, single steps, and the NumPy path."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from benchmarks.cases.calls import COMPARISONS
from benchmarks.networks import DTYPES
from benchmarks.suites.bench_online import STEPWISE_SECONDS
from typednn import use_threads

by_work = pytest.mark.parametrize("work", COMPARISONS)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Lets each candidate use one thread."""
    with use_threads(1):
        yield


@pytest.mark.short
@pytest.mark.parametrize("dtype", DTYPES)
@by_work
def test_all_compute_the_same(work: str, dtype: str) -> None:
    COMPARISONS[work](dtype).check()


@by_work
def test_call(benchmark: Any, work: str) -> None:
    """Times typednn's first call of the comparison."""
    comparison = COMPARISONS[work]("float32")
    comparison.check()
    candidate = comparison.candidates(STEPWISE_SECONDS)[0]
    benchmark.extra_info["steps per round"] = candidate.operations
    if candidate.prepare is None:
        benchmark(candidate.run)
    else:
        benchmark.pedantic(candidate.run, setup=candidate.prepare, rounds=7, warmup_rounds=1)

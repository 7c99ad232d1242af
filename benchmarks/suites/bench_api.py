"""What users call: the hand-written loop, the prediction of one sample, and the cold start."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks import cold_start
from benchmarks.cases import comparisons as contests
from benchmarks.cases.networks import DTYPES, HAND_WRITTEN, PREDICTED, Architecture
from benchmarks.peers.peers import CLASSIC_PEERS, PREDICTORS
from benchmarks.suites.bench_online import time_training

by_dtype = pytest.mark.parametrize("dtype", DTYPES)


@pytest.mark.short
@by_dtype
@pytest.mark.parametrize("architecture", HAND_WRITTEN, ids=lambda architecture: architecture.name)
@pytest.mark.parametrize("peer", [peer.name for peer in CLASSIC_PEERS])
def test_hand_written_loop(benchmark: Any, architecture: Architecture, dtype: str, peer: str) -> None:
    time_training(benchmark, contests.hand_written(architecture, dtype, contests.CHECKED_SAMPLES), peer)


@pytest.mark.short
@by_dtype
@pytest.mark.parametrize("architecture", PREDICTED, ids=lambda architecture: architecture.name)
@pytest.mark.parametrize("peer", [peer.name for peer in PREDICTORS])
def test_one_sample(benchmark: Any, architecture: Architecture, dtype: str, peer: str) -> None:
    contest = contests.PredictionContest(architecture, dtype)
    if peer in contest.absent:
        pytest.skip(contest.absent[peer])
    contest.check()
    benchmark(contest.predictors[peer])


@pytest.mark.parametrize("name", ["typednn", "numpy"])
def test_import(benchmark: Any, name: str) -> None:
    benchmark.pedantic(cold_start.seconds, (cold_start.IMPORT.format(name=name),), rounds=5)


@by_dtype
def test_first_step(benchmark: Any, dtype: str) -> None:
    benchmark.pedantic(
        cold_start.seconds, (cold_start.FIRST_STEP.format(dtype=dtype),), rounds=3, warmup_rounds=1
    )

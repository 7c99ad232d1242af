"""Calls of users: the hand-written loop, the prediction of one sample, and the cold start."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks import cold_start
from benchmarks.cases import training
from benchmarks.cases.prediction import PredictionComparison
from benchmarks.networks import DTYPES, HAND_WRITTEN, PREDICTED, Architecture
from benchmarks.peers.registry import CLASSIC_PEERS, PREDICTORS
from benchmarks.suites.bench_online import time_training

by_dtype = pytest.mark.parametrize("dtype", DTYPES)


@pytest.mark.short
@by_dtype
@pytest.mark.parametrize("architecture", HAND_WRITTEN, ids=lambda architecture: architecture.name)
@pytest.mark.parametrize("peer", [peer.name for peer in CLASSIC_PEERS])
def test_hand_written_loop(benchmark: Any, architecture: Architecture, dtype: str, peer: str) -> None:
    time_training(benchmark, training.hand_written(architecture, dtype, training.CHECKED_SAMPLES), peer)


@pytest.mark.short
@by_dtype
@pytest.mark.parametrize("architecture", PREDICTED, ids=lambda architecture: architecture.name)
@pytest.mark.parametrize("peer", [peer.name for peer in PREDICTORS])
def test_one_sample(benchmark: Any, architecture: Architecture, dtype: str, peer: str) -> None:
    comparison = PredictionComparison(architecture, dtype)
    if peer in comparison.absent:
        pytest.skip(comparison.absent[peer])
    comparison.check()
    benchmark(comparison.predictors[peer])


@pytest.mark.parametrize("name", ["typednn", "numpy"])
def test_import(benchmark: Any, name: str) -> None:
    benchmark.pedantic(cold_start.seconds, (cold_start.IMPORT.format(name=name),), rounds=5)


@by_dtype
def test_first_step(benchmark: Any, dtype: str) -> None:
    benchmark.pedantic(
        cold_start.seconds, (cold_start.FIRST_STEP.format(dtype=dtype),), rounds=3, warmup_rounds=1
    )

"""Online SGD, one step per sample: typednn, C, JAX, PyTorch, scikit-learn and the textbook layers."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.cases import training
from benchmarks.networks import DTYPES, ONLINE, Architecture
from benchmarks.peers.registry import ONLINE_PEERS

STEPWISE_SECONDS = 0.02
"""Seconds of one run of candidates that run Python code at each step."""


@pytest.mark.short
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("architecture", ONLINE, ids=lambda architecture: architecture.name)
def test_all_train_alike(architecture: Architecture, dtype: str) -> None:
    training.online(architecture, dtype, training.CHECKED_SAMPLES).check()


@pytest.mark.parametrize("peer", [peer.name for peer in ONLINE_PEERS])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("architecture", ONLINE, ids=lambda architecture: architecture.name)
def test_online(benchmark: Any, architecture: Architecture, dtype: str, peer: str) -> None:
    time_training(benchmark, training.online(architecture, dtype), peer)


def time_training(benchmark: Any, comparison: training.TrainingComparison, peer: str) -> None:
    """Checks that all candidates agree, then times one; each round starts from the initial parameters."""
    if peer in comparison.absent:
        pytest.skip(comparison.absent[peer])
    comparison.check()
    candidate = next(each for each in comparison.candidates(STEPWISE_SECONDS) if each.name == peer)
    benchmark.extra_info["steps per round"] = candidate.operations
    benchmark.pedantic(candidate.run, setup=candidate.prepare, rounds=7, warmup_rounds=1)

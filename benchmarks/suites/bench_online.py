"""Online SGD: a step for each sample, ours beside C, JAX, PyTorch, scikit-learn and the textbook."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.cases import comparisons as contests
from benchmarks.cases.networks import DTYPES, ONLINE, Architecture
from benchmarks.peers.peers import ONLINE_PEERS

LONGEST = 0.02
"""Contestants that run Python at each step train for so many seconds."""


@pytest.mark.short
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("architecture", ONLINE, ids=lambda architecture: architecture.name)
def test_all_train_alike(architecture: Architecture, dtype: str) -> None:
    contests.online(architecture, dtype, contests.CHECKED_SAMPLES).check()


@pytest.mark.parametrize("peer", [peer.name for peer in ONLINE_PEERS])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("architecture", ONLINE, ids=lambda architecture: architecture.name)
def test_online(benchmark: Any, architecture: Architecture, dtype: str, peer: str) -> None:
    time_training(benchmark, contests.online(architecture, dtype), peer)


def time_training(benchmark: Any, contest: contests.TrainingContest, peer: str) -> None:
    """Checks that all train alike, then times one of them; each round begins with the first parameters."""
    if peer in contest.absent:
        pytest.skip(contest.absent[peer])
    contest.check()
    contestant = next(each for each in contest.contestants(LONGEST) if each.name == peer)
    benchmark.extra_info["steps per round"] = contestant.operations
    benchmark.pedantic(contestant.run, setup=contestant.prepare, rounds=7, warmup_rounds=1)

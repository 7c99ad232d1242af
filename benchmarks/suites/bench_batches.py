"""Training with mini-batches, by SGD and Adam: typednn, JAX, PyTorch and scikit-learn."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.cases import training
from benchmarks.networks import BATCHES, DTYPES, LEARNING_RATES, Architecture, OptimizerName
from benchmarks.peers.registry import BATCH_PEERS
from benchmarks.suites.bench_online import time_training

by_optimizer = pytest.mark.parametrize("optimizer", LEARNING_RATES)


@pytest.mark.short
@by_optimizer
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("architecture", BATCHES[:2], ids=lambda architecture: architecture.name)
def test_all_train_alike(architecture: Architecture, dtype: str, optimizer: OptimizerName) -> None:
    training.batches(architecture, dtype, 2 * architecture.batch_size, optimizer).check()


@by_optimizer
@pytest.mark.parametrize("peer", [peer.name for peer in BATCH_PEERS])
@pytest.mark.parametrize("architecture", BATCHES, ids=lambda architecture: architecture.name)
def test_batches(benchmark: Any, architecture: Architecture, peer: str, optimizer: OptimizerName) -> None:
    time_training(benchmark, training.batches(architecture, "float32", optimizer=optimizer), peer)

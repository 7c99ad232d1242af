"""PyTorch on several processes: `DistributedDataParallel`, which averages gradients by gloo."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.installed import package
from benchmarks.networks import Task
from benchmarks.peers.torch import TorchTrainer, torch


class DDPTrainer(TorchTrainer):
    """Trains with an equal part of each batch on each process.

    Args:
        task: all samples.
        rank: the number of this process.
        size: the number of processes.
        store: a file that all processes open to find each other, absent or that of a group with them.
    """

    def __init__(self, task: Task, rank: int, size: int, store: Path) -> None:
        super().__init__(task)
        torch.set_num_threads(1)
        distributed = package("torch.distributed")
        if not distributed.is_initialized():
            distributed.init_process_group("gloo", init_method=store.as_uri(), rank=rank, world_size=size)
        self._model = torch.nn.parallel.DistributedDataParallel(self._model)
        self._optimizer = self._new_optimizer()
        x: list[Any] = list(self._x)
        t: list[Any] = list(self._t)
        self._x: list[Any] = [each.tensor_split(size)[rank] for each in x]
        self._t: list[Any] = [each.tensor_split(size)[rank] for each in t]

"""Rows of a memory map in random order: blocks of `shuffled_blocks`, and PyTorch's DataLoader."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time
from typing import Any

import numpy as np

from benchmarks.installed import package
from benchmarks.networks import Array
from benchmarks.report.targets import number
from typednn.data.blocks import mapped, shuffled_blocks

FEATURES, BATCH = 256, 256
REPEATS = 3


def reading(rows: int) -> list[list[str]]:
    """Measures passes over a memory map by each reader: microseconds of CPU time per row."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "x.npy"
        x = np.lib.format.open_memmap(path, "w+", np.float32, (rows, FEATURES))
        x[:] = np.arange(rows, dtype=np.float32).reshape(-1, 1)
        x.flush()
        y = np.arange(rows)
        readers: dict[str, Iterable[tuple[Any, Any]]] = {"shuffled_blocks": Blocks(mapped(path), y)}
        if find_spec("torch") is not None:
            readers |= loaders(mapped(path), y)
        times = {
            name: min(pass_over(reader, rows) for _ in range(REPEATS)) for name, reader in readers.items()
        }
    best = times["shuffled_blocks"]
    return [[name, number(time), f"{time / best:.1f}"] for name, time in times.items()]


def pass_over(reader: Iterable[tuple[Any, Any]], rows: int) -> float:
    """Reads all batches, and checks that each row comes once."""
    seen, began = 0, process_time()
    for x, y in reader:
        assert int(x[0][0]) == int(y[0])
        seen += len(x)
    assert seen == rows
    return (process_time() - began) / rows * 1e6


class Blocks:
    """Batches of blocks."""

    def __init__(self, x: Array, y: Array) -> None:
        self.blocks = shuffled_blocks((x, y), block=8192, seed=0)

    def __iter__(self) -> Iterator[tuple[Array, Array]]:
        for x, y in self.blocks:
            for k in range(0, len(x), BATCH):
                yield x[k : k + BATCH], y[k : k + BATCH]


def same(batch: Any) -> Any:
    """Returns a batch that is one already."""
    return batch


def loaders(x: Array, y: Array) -> dict[str, Iterable[tuple[Any, Any]]]:
    """Returns PyTorch's readers: of a row at a time, as usual, and of all rows of a batch at once."""
    data = package("torch.utils.data")
    torch = package("torch")

    class RowByRow:
        def __len__(self) -> int:
            return len(x)

        def __getitem__(self, k: int) -> tuple[Any, int]:
            return torch.from_numpy(np.array(x[k])), int(y[k])

    class WholeBatches(RowByRow):
        def __getitems__(self, places: list[int]) -> tuple[Any, Any]:
            return torch.from_numpy(x[places]), torch.from_numpy(y[places])

    return {
        "DataLoader": data.DataLoader(RowByRow(), BATCH, shuffle=True),
        "DataLoader, `__getitems__`": data.DataLoader(WholeBatches(), BATCH, shuffle=True, collate_fn=same),
    }

"""How batches are divided: every unit and every sample is some thread's."""

from __future__ import annotations

from importlib import import_module

import pytest
from typednn_kernels.operands import Thread

numba = pytest.importorskip("numba", reason="numba does not work here", exc_type=ImportError)
partition = import_module("typednn_kernels.compiled.network.partition")

by_threads = pytest.mark.parametrize("num_threads", [1, 2, 3, 8, 64])
by_count = pytest.mark.parametrize("n", [1, 10, 47, 48, 200, 256, 500, 2048])


def ranges(n: int, num_threads: int) -> list[tuple[int, int]]:
    divide = getattr(partition.thread_range, "py_func", partition.thread_range)
    return [divide(n, Thread(each, num_threads, 0)) for each in range(num_threads)]


@by_threads
@by_count
def test_each_unit_is_of_one_thread(n: int, num_threads: int) -> None:
    found = [first + i for first, count in ranges(n, num_threads) for i in range(count)]
    assert found == list(range(n))


@by_threads
@by_count
def test_threads_have_equal_parts(n: int, num_threads: int) -> None:
    sizes = [count for _, count in ranges(n, num_threads)]
    assert max(sizes) - min(sizes) <= 1

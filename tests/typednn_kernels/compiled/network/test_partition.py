"""How batches are divided: every unit has one piece, and every thread some of its own."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pytest
from typednn_kernels.activations import CODES
from typednn_kernels.arrays import Layout, Order
from typednn_kernels.layout import layout_of

pytest.importorskip("numba", reason="numba does not work here", exc_type=ImportError)
tuning = import_module("typednn_kernels.compiled._codegen.tuning")
jit = import_module("typednn_kernels.compiled._codegen.jit")
products = import_module("typednn_kernels.compiled.linalg.gemm")
shares = import_module("typednn_kernels.compiled.network.partition")

SAMPLES = 64


def all_pieces(layout: Layout, samples: int, parts: int, room: Order, counts: Order) -> None:
    """Writes how many pieces there are, and the first unit of each and how many it has."""
    counts[0] = shares.pieces_of(layout, 1, samples, parts)
    for i in range(counts[0]):
        room[2 * i], room[2 * i + 1] = shares.units_of(layout, 1, samples, parts, i)


with pytest.MonkeyPatch.context() as patch:
    patch.setattr(jit, "CACHE", None)  # which knows the sources of the kernels, not this
    all_pieces = jit.exported(all_pieces)


def pieces(n: int, parts: int, n_inputs: int) -> list[tuple[int, int]]:
    layout = layout_of((n_inputs, n, 3), [CODES["none"]] * 3)
    room, counts = np.zeros((3 * parts, 2), np.int64), np.zeros(1, np.int64)
    all_pieces(layout, SAMPLES, parts, room.reshape(-1), counts)
    return [(int(first), int(size)) for first, size in room[: counts[0]]]


def large(n: int) -> int:
    """Inputs that make a layer of n units large."""
    least: int = shares.LARGE
    return -(-least // (SAMPLES * n))


by_parts = pytest.mark.parametrize("parts", [1, 2, 3, 8, 64])
by_units = pytest.mark.parametrize("n", [1, 10, 47, 48, 200, 256, 500, 2048])


@by_parts
@by_units
@pytest.mark.parametrize("fewer", [0, 1], ids=["large", "small"])
def test_each_unit_is_of_one_piece(fewer: int, n: int, parts: int) -> None:
    found = [first + i for first, count in pieces(n, parts, large(n) - fewer) for i in range(count)]
    assert sorted(found) == list(range(n))


@by_parts
@by_units
def test_small_layers_have_equal_pieces_one_for_each_thread(n: int, parts: int) -> None:
    sizes = [count for _, count in pieces(n, parts, large(n) - 1)]
    assert len(sizes) == parts
    assert max(sizes) - min(sizes) <= 1


@by_parts
@by_units
def test_large_layers_leave_whole_tiles_for_who_is_free(n: int, parts: int) -> None:
    sizes = [count for _, count in pieces(n, parts, large(n))]
    if parts == 1:
        assert sizes == [n]
        return
    own, left, edge = sizes[:parts], sizes[parts:], tuning.THREAD_TILE_ROWS
    assert len(set(own)) == 1
    assert sum(left) >= n / shares.LEFT
    assert sum(left) < n / shares.LEFT + parts * edge
    assert all(size % edge == 0 for size in (*own, *left[:-1]))
    assert 1 <= len(left) <= 2 * parts

"""How a batch is divided between threads: by its samples, or by the units of each layer."""

from __future__ import annotations

from typednn_kernels.activations import SOFTMAX
from typednn_kernels.arrays import Layout
from typednn_kernels.compiled._codegen.jit import inline
from typednn_kernels.compiled._codegen.tuning import (
    BATCH_MIN_CALL_FMAS,
    BATCH_MIN_STEP_FMAS,
    BATCH_MIN_THREAD_SAMPLES,
    THREAD_TILE_ROWS,
)
from typednn_kernels.compiled.network.passes import BATCH, part_of, unit_count
from typednn_kernels.layout import ACTIVATION, LENGTH, NORMALIZATION, PREVIOUS
from typednn_kernels.normalizations import LAYER

LEFT, LARGE = 4, 1 << 26
"""One in so many units is left to who is free first, where a layer takes so many multiplications."""


@inline
def needs_whole(layout: Layout) -> tuple[bool, bool]:
    """Whether a hidden layer needs all samples of a unit, and whether one needs all units of a sample."""
    all_samples = all_units = False
    for k in range(1, layout.shape[0] - 1):
        all_samples |= layout[k, NORMALIZATION] == BATCH
        all_units |= layout[k, NORMALIZATION] == LAYER or layout[k, ACTIVATION] == SOFTMAX
    return all_samples, all_units


@inline
def threads_worth(layout: Layout, parameters: int, batch_size: int, samples: int) -> int:
    """How many threads pay. Where some layers need all samples and others all units, nothing is divided."""
    all_samples, all_units = needs_whole(layout)
    count = batch_size // BATCH_MIN_THREAD_SAMPLES
    if (
        batch_size * parameters < BATCH_MIN_STEP_FMAS
        or samples * parameters < BATCH_MIN_CALL_FMAS
        or (all_samples and all_units)
    ):
        count = 1
    return count


@inline
def is_divided_by_units(layout: Layout, parameters: int, batch_size: int) -> bool:
    """Whether hidden layers are divided by units, and not by samples."""
    all_samples, all_units = needs_whole(layout)
    divided: bool = all_samples or (not all_units and batch_size * unit_count(layout) < parameters)
    return divided


@inline
def is_left_in_part(layout: Layout, k: int, samples: int, parts: int) -> bool:
    """Whether some units of a layer are no thread's own: cores that are not equally fast are worth it."""
    large: bool = parts > 1 and layout[k, LENGTH] * layout[k, PREVIOUS] * samples >= LARGE
    return large


@inline
def pieces_of(layout: Layout, k: int, samples: int, parts: int) -> int:
    """In how many pieces the units of a layer are divided: the first are those of each thread."""
    n, pieces = layout[k, LENGTH], parts
    if is_left_in_part(layout, k, samples, parts):
        left = n - own_units(n, parts) * parts
        pieces += (left + piece_size(left, parts) - 1) // piece_size(left, parts)
    return pieces


@inline
def own_units(n: int, parts: int) -> int:
    """How many units are a thread's own if some are left: whole tiles."""
    return n * (LEFT - 1) // (LEFT * parts * THREAD_TILE_ROWS) * THREAD_TILE_ROWS


@inline
def piece_size(left: int, parts: int) -> int:
    """How many units a piece of those that are left has: two pieces for each thread, of whole tiles."""
    return (left + 2 * parts * THREAD_TILE_ROWS - 1) // (2 * parts * THREAD_TILE_ROWS) * THREAD_TILE_ROWS


@inline
def units_of(layout: Layout, k: int, samples: int, parts: int, i: int) -> tuple[int, int]:
    """The first unit of piece i, and how many it has."""
    n = layout[k, LENGTH]
    first, count = part_of(n, i, parts)
    if is_left_in_part(layout, k, samples, parts):
        own = own_units(n, parts)
        first, count = i * own, own
        if i >= parts:
            size = piece_size(n - own * parts, parts)
            first = own * parts + (i - parts) * size
            count = min(size, n - first)
    return first, count

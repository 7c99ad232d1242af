"""Divides a batch between threads: by its samples, or by the units of each layer."""

from __future__ import annotations

from typednn_kernels.arrays import Layout
from typednn_kernels.compiled._codegen.jit import inline
from typednn_kernels.compiled._codegen.tuning import (
    BATCH_MIN_CALL_FMAS,
    BATCH_MIN_STEP_FMAS,
    BATCH_MIN_THREAD_SAMPLES,
)
from typednn_kernels.compiled.network.passes import unit_count
from typednn_kernels.compiled.ops.activation import couples
from typednn_kernels.layout import ACTIVATION, NORMALIZATION
from typednn_kernels.normalizations import BATCH, LAYER
from typednn_kernels.operands import Rows, Thread


@inline
def thread_range(n: int, thread: Thread) -> tuple[int, int]:
    """Returns start and size of a thread's part of n; the parts of all threads differ by at most 1."""
    first = n * thread.thread_num // thread.num_threads
    return first, n * (thread.thread_num + 1) // thread.num_threads - first


@inline
def thread_rows(samples: int, thread: Thread) -> Rows:
    """Returns the samples of a batch that a thread computes; the first computes all of a small batch."""
    first, count = thread_range(samples, thread)
    if not is_shared(samples, thread):
        first, count = 0, samples if thread.thread_num == 0 else 0
    return Rows(samples, first, count)


@inline
def is_shared(samples: int, thread: Thread) -> bool:
    """Says whether a batch is large enough for several threads, and there are several."""
    return thread.num_threads > 1 and samples >= BATCH_MIN_THREAD_SAMPLES * thread.num_threads


@inline
def needs_whole(layout: Layout) -> tuple[bool, bool]:
    """Says whether a hidden layer needs all samples of a unit, and whether one needs all units at once."""
    all_samples = all_units = False
    for k in range(1, layout.shape[0] - 1):
        all_samples |= layout[k, NORMALIZATION] == BATCH
        all_units |= layout[k, NORMALIZATION] == LAYER or couples(layout[k, ACTIVATION])
    return all_samples, all_units


@inline
def batch_num_threads(layout: Layout, parameters: int, batch_size: int, samples: int) -> int:
    """Returns how many threads pay, each of which has the work of half a step that two threads divide.

    It is one, if some layers need all samples and others all units.
    """
    all_samples, all_units = needs_whole(layout)
    count = min(batch_size // BATCH_MIN_THREAD_SAMPLES, 2 * batch_size * parameters // BATCH_MIN_STEP_FMAS)
    if (
        batch_size * parameters < BATCH_MIN_STEP_FMAS
        or samples * parameters < BATCH_MIN_CALL_FMAS
        or (all_samples and all_units)
    ):
        count = 1
    return count


@inline
def is_divided_by_units(layout: Layout, parameters: int, batch_size: int) -> bool:
    """Says whether hidden layers are divided by units, and not by samples."""
    all_samples, all_units = needs_whole(layout)
    divided: bool = all_samples or (not all_units and batch_size * unit_count(layout) < parameters)
    return divided

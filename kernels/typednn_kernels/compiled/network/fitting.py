"""Compares the arrays of a call with the layout of its network, before any of them is read or written."""

from __future__ import annotations

from typednn_kernels import normalizations
from typednn_kernels.arrays import F, Layout, Vector
from typednn_kernels.compiled._codegen.jit import inline, noinline
from typednn_kernels.layout import (
    BIASES,
    COLUMNS,
    FAN_IN,
    GAINS,
    INNER_BIASES,
    LENGTH,
    NORMALIZATION,
    NORMALIZED,
    PREVIOUS,
    RUNNING,
    UNITS,
    WEIGHTS,
)
from typednn_kernels.operands import Epoch, OptimizerSteps, Workspace
from typednn_kernels.update_rules import COEFFICIENTS

UNNORMALIZED, BATCH = normalizations.NONE, normalizations.BATCH
MAX_SIZE = 1 << 31
"""A length below which no product of two lengths overflows."""


@noinline
def network_fits(parameters: Vector[F], layout: Layout, samples: int, workspace: Workspace[F]) -> bool:
    """Says whether all that a layout describes lies within the parameters, and within the workspace."""
    size, last = parameters.size, layout.shape[0] - 1
    fits = layout.shape[1] == COLUMNS and last >= 1 and 0 <= samples < MAX_SIZE
    n_units = before = 0
    if fits:
        n_units = layout[last, UNITS] + layout[last, LENGTH]
        size_of_all = min(workspace.a.size, workspace.h.size, workspace.dLdh.size, workspace.dLda.size)
        fits = 0 <= n_units < MAX_SIZE and samples * n_units <= size_of_all
    for k in range(last + 1 if fits else 0):
        n, m, columns = layout[k, LENGTH], layout[k, PREVIOUS], layout[k, FAN_IN]
        is_normalized = layout[k, NORMALIZATION] != UNNORMALIZED
        fits &= 0 < n < MAX_SIZE and m == before
        fits &= columns == m or (columns == 0 and n == m and is_normalized)
        fits &= 0 <= layout[k, UNITS] <= n_units - n
        fits &= 0 <= layout[k, WEIGHTS] <= size - n * columns or k == 0
        fits &= 0 <= layout[k, BIASES] <= size - n or k == 0
        if is_normalized:
            fits &= 0 <= layout[k, GAINS] <= size - n
            fits &= 0 <= layout[k, INNER_BIASES] <= size - n
            end = samples * n_units + (samples + 1) * (layout[k, NORMALIZED] + n + 1)
            fits &= 0 <= layout[k, NORMALIZED] < MAX_SIZE
            fits &= end <= workspace.a.size and end <= workspace.dLda.size
        if layout[k, NORMALIZATION] == BATCH:
            fits &= 0 <= layout[k, RUNNING] <= size - 2 * n
        before = n
    return fits


@inline
def has_all_weights(layout: Layout) -> bool:
    """Says whether each layer but the input layer has weights."""
    count = 0
    for k in range(1, layout.shape[0]):
        count += layout[k, FAN_IN] == 0
    return count == 0


@noinline
def gradient_fits(parameters: Vector[F], layout: Layout, gradient: Vector[F]) -> bool:
    """Says whether a gradient has an element for each trained parameter, and the parameters for each."""
    last = layout.shape[0] - 1
    n = layout[last, LENGTH] if layout[last, NORMALIZATION] != UNNORMALIZED else 0
    n += layout[last, LENGTH] if layout[last, INNER_BIASES] > 0 else 0
    fits: bool = layout[last, GAINS] + n == gradient.size <= parameters.size
    return fits


@noinline
def epoch_fits(layout: Layout, epoch: Epoch[F]) -> bool:
    """Says whether samples, targets, weights, losses and order of an epoch fit each other and the layout."""
    (count, inputs), last, order = epoch.x.shape, layout.shape[0] - 1, epoch.order
    fits = inputs == layout[0, LENGTH] and epoch.t.shape[1] == layout[last, LENGTH]
    fits &= epoch.t.shape[0] == count and epoch.losses.size >= order.size
    fits &= epoch.sample_weights.size == 0 or epoch.sample_weights.size >= count
    fits &= 0 < epoch.batch_size < MAX_SIZE
    outside = 0
    for i in range(order.size):
        outside += order[i] < 0 or order[i] >= count
    return fits and outside == 0


@noinline
def optimizer_fits(gradient: Vector[F], epoch: Epoch[F], optimizer: OptimizerSteps[F]) -> bool:
    """Says whether there is a row of coefficients for each step, and whether ranges and states fit."""
    steps = (epoch.order.size + epoch.batch_size - 1) // epoch.batch_size
    coefficients, ranges = optimizer.coefficients, optimizer.ranges
    fits = coefficients.shape[0] >= steps and coefficients.shape[1] == COEFFICIENTS
    fits &= ranges.shape[1] == 2 and optimizer.penalties.shape[1] == 2
    fits &= ranges.shape[0] == optimizer.penalties.shape[0]
    fits &= optimizer.states.shape[0] == 0 or optimizer.states.shape[1] == gradient.size
    for i in range(ranges.shape[0] if fits else 0):
        fits &= 0 <= ranges[i, 0] <= ranges[i, 1] <= gradient.size
    return fits

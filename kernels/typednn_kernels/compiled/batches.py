"""Epochs of mini-batches in one call, by as many threads as pays.

A batch is divided twice: its samples, for activations and error signals, and then the units of each layer,
for gradients, and the parameters, for the update. So every number is computed as by one thread, to the bit.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite, nan, sqrt

import numpy as np

from typednn_kernels.arrays import F, Layout, Matrix, Order, Segments, Vector
from typednn_kernels.compiled.dense import copies
from typednn_kernels.compiled.elementwise import total
from typednn_kernels.compiled.jit import entry, kernel, routine
from typednn_kernels.compiled.network import (
    UNNORMALIZED,
    error_from_targets,
    forward_from_inputs,
    gradient_from_signals,
    inputs,
    signals_from_error,
    some_units,
    squares_of_gradient,
)
from typednn_kernels.compiled.output import some_losses
from typednn_kernels.compiled.products import HUGE
from typednn_kernels.compiled.teams import meet, team
from typednn_kernels.compiled.updates import norm_scale, update
from typednn_kernels.compiled.views import piece, scratch
from typednn_kernels.layout import ACTIVATION, DROPOUT, LENGTH, NORMALIZATION, PREVIOUS
from typednn_kernels.updates import CLIP_NORM, FIRST

STEP, CALL = 1 << 23, 1 << 26
"""A step, and all steps of a call, take so many multiplications for each pass if a second thread pays."""
FEWEST = 2
"""So many samples at least for each thread."""


@kernel
def gather(x: Vector[F], order: Order, first: int, n: int, chosen: Vector[F]) -> None:
    """Copies the rows of n numbers that `order` names from `first` on, until `chosen` is full."""
    for i in range(chosen.size // n):
        copies(0, n, piece(x, order[first + i] * n, n), piece(chosen, i * n, n))


@kernel
def weigh(values: Vector[F], sample_weights: Vector[F], order: Order, first: int, n: int) -> None:
    """Multiplies the n numbers of each sample with its weight."""
    for i in range(values.size // n):
        weight = sample_weights[order[first + i]]
        for j in range(i * n, (i + 1) * n):
            values[j] *= weight


@kernel
def threads_worth(layout: Layout, parameters: int, batch_size: int, samples: int) -> int:
    """How many threads pay. Layers that look at a whole batch are not divided, and BLAS divides by itself."""
    count = batch_size // FEWEST
    if batch_size * parameters < STEP or samples * parameters < CALL:
        count = 1
    for k in range(layout.shape[0]):
        if layout[k, NORMALIZATION] != UNNORMALIZED or layout[k, DROPOUT] > 0:
            count = 1
        if batch_size * layout[k, LENGTH] * layout[k, PREVIOUS] >= HUGE:
            count = 1
    return count


@routine
def train_share(
    part: int,
    parts: int,
    meeting: int,
    parameters: Vector[F],
    layout: Layout,
    key: int,
    loss: int,
    x: Matrix[F],
    t: Matrix[F],
    sample_weights: Vector[F],
    order: Order,
    batch_size: int,
    rule: int,
    coefficients: Matrix[F],
    segments: Segments,
    penalties: Matrix[F],
    a: Vector[F],
    h: Vector[F],
    dLdh: Vector[F],
    dLda: Vector[F],
    gradient: Vector[F],
    states: Matrix[F],
    losses: Vector[F],
    sums: Vector[F],
) -> None:
    """The part of one thread in all steps."""
    last, weighted = layout.shape[0] - 1, sample_weights.size > 0
    n, activation = layout[last, LENGTH], layout[last, ACTIVATION]
    one = parameters.dtype.type(1)
    # A step that is not made leaves the averages, too, as they were.
    count = parameters.size - gradient.size
    trainable, averages = piece(parameters, 0, gradient.size), piece(parameters, gradient.size, count)
    kept = piece(dLda, dLda.size - count, count)
    for first in range(0, order.size, batch_size):
        samples = min(batch_size, order.size - first)
        # Of a few samples that are left over the first thread takes all.
        place, places = part, parts
        if samples < FEWEST * parts:
            place, places = min(part, 1), 1
        low, high = samples * place // places, min(samples, samples * (place + 1) // places)
        own = high - low
        own_losses = piece(losses, first + low, own)
        if own > 0:
            copies(0, count, averages, kept)
            gather(
                piece(x, 0, x.size),
                order,
                first + low,
                layout[0, LENGTH],
                inputs(layout, a, h, samples, low, own),
            )
            forward_from_inputs(parameters, layout, key, a, h, samples, low, own)
            # The error of the output layer is written where its targets are read, number by number.
            targets = some_units(dLda, layout, last, samples, low, own)
            gather(piece(t, 0, t.size), order, first + low, n, targets)
            some_losses(
                0,
                0,
                own,
                loss,
                activation,
                some_units(a, layout, last, samples, low, own),
                some_units(h, layout, last, samples, low, own),
                targets,
                own_losses,
                n,
            )
            error_from_targets(layout, loss, targets, a, h, dLdh, dLda, samples, low, own)
            if weighted:
                weigh(own_losses, sample_weights, order, first + low, 1)
                weigh(
                    some_units(dLdh, layout, last, samples, low, own), sample_weights, order, first + low, n
                )
                weigh(targets, sample_weights, order, first + low, n)
            signals_from_error(parameters, layout, key, a, h, dLdh, dLda, gradient, samples, low, own)
        meet(meeting)
        gradient_from_signals(layout, h, dLda, gradient, samples, part, parts)
        nothing = parameters.dtype.type(0) * total(0, own, own_losses)  # or NaN
        sums[part] = nothing + squares_of_gradient(layout, gradient, part, parts)
        meet(meeting)
        step = first // batch_size
        farthest = max(coefficients[step, FIRST], one)
        length = farthest * sqrt(total(0, parts, sums))
        if not isfinite(length + total(0, count, averages)):
            if part == 0:
                for i in range(first, order.size):
                    losses[i] = nan
                copies(0, count, kept, averages)
            break
        scale = one
        if coefficients[step, CLIP_NORM] < np.inf:
            scale = norm_scale(trainable, gradient, segments, penalties, coefficients[step, CLIP_NORM])
            meet(meeting)
        update(trainable, gradient, states, rule, segments, penalties, coefficients, step, scale, part, parts)
        meet(meeting)
        key += 1


all_shares: Callable[..., None] = team(train_share)


@entry
def train_batches(
    parameters: Vector[F],
    layout: Layout,
    key: int,
    loss: int,
    x: Matrix[F],
    t: Matrix[F],
    sample_weights: Vector[F],
    order: Order,
    batch_size: int,
    rule: int,
    coefficients: Matrix[F],
    segments: Segments,
    penalties: Matrix[F],
    a: Vector[F],
    h: Vector[F],
    dLdh: Vector[F],
    dLda: Vector[F],
    gradient: Vector[F],
    states: Matrix[F],
    losses: Vector[F],
) -> None:
    """A step for each `batch_size` samples of `order`; see `Kernels.train_batches`."""
    all_shares(
        threads_worth(layout, gradient.size, batch_size, order.size),
        parameters,
        layout,
        key,
        loss,
        x,
        t,
        sample_weights,
        order,
        batch_size,
        rule,
        coefficients,
        segments,
        penalties,
        a,
        h,
        dLdh,
        dLda,
        gradient,
        states,
        losses,
        scratch(gradient),
    )

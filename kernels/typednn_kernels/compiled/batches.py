"""Epochs of mini-batches in one call, by as many threads as pays.

A batch is divided twice: its samples, for activations and error signals, and then the units of each layer,
for gradients and the update. Where there are more weights than activations, hidden layers are divided by
units from the beginning: each thread then has its weights in the cache of its core, and the others never need
them. In either way every number is computed as by one thread, to the bit.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite, nan, sqrt

import numpy as np

from typednn_kernels.activations import NONE, SOFTMAX
from typednn_kernels.arrays import F, Layout, Matrix, Order, Segments, Vector
from typednn_kernels.compiled.dense import copies
from typednn_kernels.compiled.elementwise import total
from typednn_kernels.compiled.jit import entry, kernel, routine
from typednn_kernels.compiled.network import (
    BATCH,
    UNNORMALIZED,
    ascend_layer,
    descend_layer,
    error_from_targets,
    gradient_from_signals,
    inputs,
    rectangle,
    share_of,
    some_units,
    squares_of_inputs,
    squares_of_signals,
    unit_count,
)
from typednn_kernels.compiled.output import some_losses
from typednn_kernels.compiled.teams import meet, team
from typednn_kernels.compiled.updates import is_plain_throughout, norm_scale, update
from typednn_kernels.compiled.views import piece, scratch
from typednn_kernels.layout import ACTIVATION, BIASES, GAINS, LENGTH, NORMALIZATION, PREVIOUS, WEIGHTS
from typednn_kernels.normalizations import LAYER
from typednn_kernels.updates import CLIP_NORM, FIRST

STEP, CALL = 1 << 22, 1 << 27
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
def needs(layout: Layout) -> tuple[bool, bool]:
    """Whether a hidden layer needs all samples of a unit, and whether one needs all units of a sample."""
    all_samples = all_units = False
    for k in range(1, layout.shape[0] - 1):
        all_samples |= layout[k, NORMALIZATION] == BATCH
        all_units |= layout[k, NORMALIZATION] == LAYER or layout[k, ACTIVATION] == SOFTMAX
    return all_samples, all_units


@kernel
def threads_worth(layout: Layout, parameters: int, batch_size: int, samples: int) -> int:
    """How many threads pay. Where some layers need all samples and others all units, nothing is divided."""
    all_samples, all_units = needs(layout)
    count = batch_size // FEWEST
    if batch_size * parameters < STEP or samples * parameters < CALL or (all_samples and all_units):
        count = 1
    return count


@kernel
def is_divided_by_units(layout: Layout, parameters: int, batch_size: int) -> bool:
    """Whether hidden layers are divided by units, and not by samples."""
    all_samples, all_units = needs(layout)
    divided: bool = all_samples or (not all_units and batch_size * unit_count(layout) < parameters)
    return divided


@kernel
def update_share(
    parameters: Vector[F],
    gradient: Vector[F],
    states: Matrix[F],
    layout: Layout,
    rule: int,
    segments: Segments,
    penalties: Matrix[F],
    coefficients: Matrix[F],
    step: int,
    scale: F,
    part: int,
    parts: int,
    weights_too: bool,
) -> None:
    """The update of the units whose gradients a thread has computed: their weights, biases and gains."""
    at_once = parts == 1 and weights_too
    for i in range(1 if at_once else 3 * (layout.shape[0] - 1)):
        start, size = 0, parameters.size
        if not at_once:
            k, m = 1 + i // 3, layout[1 + i // 3, PREVIOUS]
            first, count = share_of(layout[k, LENGTH], part, parts)
            start, size = layout[k, WEIGHTS] + first * m, count * m if weights_too else 0
            if i % 3 == 1:
                start, size = layout[k, BIASES] + first, count
            elif i % 3 == 2:
                start, size = (
                    layout[k, GAINS] + first,
                    count if layout[k, NORMALIZATION] != UNNORMALIZED else 0,
                )
        update(
            parameters,
            gradient,
            states,
            rule,
            segments,
            penalties,
            coefficients,
            step,
            scale,
            start,
            start + size,
        )


@kernel
def ascend_share(
    part: int,
    parts: int,
    meeting: int,
    parameters: Vector[F],
    layout: Layout,
    key: int,
    a: Vector[F],
    h: Vector[F],
    samples: int,
    low: int,
    own: int,
    by_units: bool,
) -> None:
    """The part of one thread in the activations of a batch: of its own samples, or, within, of its units."""
    last = layout.shape[0] - 1
    for k in range(last + 1):
        if by_units and k > 0:
            meet(meeting)
        first, count, unit, width = rectangle(layout, k, samples, low, own, part, parts, by_units)
        if count > 0 and (k > 0 or layout[0, ACTIVATION] != NONE):
            ascend_layer(parameters, layout, key, k, a, h, samples, first, count, unit, width, False)


@kernel
def error_share(
    layout: Layout,
    loss: int,
    t: Matrix[F],
    sample_weights: Vector[F],
    order: Order,
    first: int,
    a: Vector[F],
    h: Vector[F],
    dLdh: Vector[F],
    dLda: Vector[F],
    losses: Vector[F],
    samples: int,
    low: int,
    own: int,
) -> None:
    """The losses of a thread's own samples, and the error signals of the output layer."""
    last = layout.shape[0] - 1
    n = layout[last, LENGTH]
    # The error is written where its targets are read, number by number.
    targets = some_units(dLda, layout, last, samples, low, own)
    gather(piece(t, 0, t.size), order, first + low, n, targets)
    some_losses(
        0,
        0,
        own,
        loss,
        layout[last, ACTIVATION],
        some_units(a, layout, last, samples, low, own),
        some_units(h, layout, last, samples, low, own),
        targets,
        losses,
        n,
    )
    error_from_targets(layout, loss, targets, a, h, dLdh, dLda, samples, low, own)
    if sample_weights.size > 0:
        weigh(losses, sample_weights, order, first + low, 1)
        weigh(some_units(dLdh, layout, last, samples, low, own), sample_weights, order, first + low, n)
        weigh(targets, sample_weights, order, first + low, n)


@kernel
def descend_share(
    part: int,
    parts: int,
    meeting: int,
    parameters: Vector[F],
    layout: Layout,
    key: int,
    a: Vector[F],
    h: Vector[F],
    dLdh: Vector[F],
    dLda: Vector[F],
    gradient: Vector[F],
    samples: int,
    low: int,
    own: int,
    by_units: bool,
) -> None:
    """The part of one thread in the error signals below."""
    for k in range(layout.shape[0] - 2, 0, -1):
        if by_units:
            meet(meeting)
        first, count, unit, width = rectangle(layout, k, samples, low, own, part, parts, by_units)
        if count > 0:
            descend_layer(
                parameters,
                layout,
                key,
                k,
                a,
                h,
                dLdh,
                dLda,
                gradient,
                samples,
                first,
                count,
                unit,
                width,
                False,
            )


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
    inputs_of: Vector[F],
    signals_of: Vector[F],
) -> None:
    """The part of one thread in all steps."""
    several = parts > 1 and is_divided_by_units(layout, gradient.size, batch_size)
    one = parameters.dtype.type(1)
    trainable = piece(parameters, 0, gradient.size)
    # A step that is not made leaves the averages, too, as they were; the first thread sees to it.
    count = parameters.size - gradient.size if part == 0 else 0
    averages, kept = piece(parameters, gradient.size, count), piece(dLda, dLda.size - count, count)
    for first in range(0, order.size, batch_size):
        samples = min(batch_size, order.size - first)
        low, own = share_of(samples, part, parts)
        by_units = several
        if samples < FEWEST * parts:  # the first thread takes all
            low, own, by_units = 0, samples if part == 0 else 0, False
        own_losses = piece(losses, first + low, own)
        copies(0, count, averages, kept)
        if own > 0:
            gather(
                piece(x, 0, x.size),
                order,
                first + low,
                layout[0, LENGTH],
                inputs(layout, a, h, samples, low, own),
            )
        ascend_share(part, parts, meeting, parameters, layout, key, a, h, samples, low, own, by_units)
        if own > 0:
            error_share(
                layout, loss, t, sample_weights, order, first, a, h, dLdh, dLda, own_losses, samples, low, own
            )
        descend_share(
            part,
            parts,
            meeting,
            parameters,
            layout,
            key,
            a,
            h,
            dLdh,
            dLda,
            gradient,
            samples,
            low,
            own,
            by_units,
        )
        nothing = parameters.dtype.type(0) * (total(0, own, own_losses) + total(0, count, averages))  # or NaN
        inputs_of[part] = squares_of_inputs(layout, h, samples, low, own, part, parts, by_units)
        signals_of[part] = nothing + squares_of_signals(
            layout, dLda, samples, low, own, part, parts, by_units
        )
        meet(meeting)
        step = first // batch_size
        farthest = max(coefficients[step, FIRST], one)
        # What the length of the gradient does not exceed: see Schwarz's inequality.
        ones = parameters.dtype.type(samples * unit_count(layout))
        longest = farthest * (sqrt(total(0, parts, signals_of)) * sqrt(ones + total(0, parts, inputs_of)))
        if not isfinite(longest):
            if part == 0:
                for i in range(first, order.size):
                    losses[i] = nan
            copies(0, count, kept, averages)
            break
        direct = is_plain_throughout(gradient.size, rule, segments, penalties, coefficients, step)
        factor, by_weights = (-coefficients[step, FIRST], trainable) if direct else (one, gradient)
        gradient_from_signals(
            layout, a, h, dLda, gradient, factor, direct, by_weights, samples, part, parts, False
        )
        scale = one
        if coefficients[step, CLIP_NORM] < np.inf:
            meet(meeting)
            scale = norm_scale(trainable, gradient, segments, penalties, coefficients[step, CLIP_NORM])
            meet(meeting)
        update_share(
            trainable,
            gradient,
            states,
            layout,
            rule,
            segments,
            penalties,
            coefficients,
            step,
            scale,
            part,
            parts,
            not direct,
        )
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
        scratch(gradient),
    )

"""Epochs of mini-batches in one call, by as many threads as pays.

A batch is divided twice: its samples, for activations and error signals, and then the units of each layer,
for gradients and the update. Where there are more weights than activations, hidden layers are divided by
units from the beginning: each thread then has its weights in the cache of its core, and the others never need
them. Cores are seldom equally fast: a quarter of the units of a large layer is taken piece by piece by who is
free. However a batch is divided, every number is computed as by one thread, to the bit.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite, nan, sqrt

import numpy as np

from typednn_kernels.arrays import F, Layout, Matrix, Order, Ranges, Vector
from typednn_kernels.compiled._codegen.array_views import scratch, slice_of
from typednn_kernels.compiled._codegen.jit import exported, noinline
from typednn_kernels.compiled._codegen.tuning import BATCH_MIN_THREAD_SAMPLES
from typednn_kernels.compiled.linalg.dense import copy
from typednn_kernels.compiled.network.minibatch_step import (
    backward_thread,
    forward_thread,
    gather,
    gradient_thread,
    output_delta_thread,
)
from typednn_kernels.compiled.network.partition import is_divided_by_units, threads_worth
from typednn_kernels.compiled.network.passes import inputs, part_of, unit_count
from typednn_kernels.compiled.ops.activation import total
from typednn_kernels.compiled.ops.optimizer_step import apply_update, clip_norm_scale, is_constant_sgd
from typednn_kernels.compiled.parallel.team import barrier, parallel_region
from typednn_kernels.layout import LENGTH
from typednn_kernels.update_rules import CLIP_NORM, FIRST


@noinline
def train_thread(
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
    segments: Ranges,
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
    trainable = slice_of(parameters, 0, gradient.size)
    # A step that is not made leaves the averages, too, as they were; the first thread sees to it.
    count = parameters.size - gradient.size if part == 0 else 0
    averages, kept = slice_of(parameters, gradient.size, count), slice_of(dLda, dLda.size - count, count)
    for first in range(0, order.size, batch_size):
        samples = min(batch_size, order.size - first)
        low, own = part_of(samples, part, parts)
        by_units = several
        if samples < BATCH_MIN_THREAD_SAMPLES * parts:  # the first thread takes all
            low, own, by_units = 0, samples if part == 0 else 0, False
        own_losses = slice_of(losses, first + low, own)
        copy(0, count, averages, kept)
        if own > 0:
            gather(
                slice_of(x, 0, x.size),
                order,
                first + low,
                layout[0, LENGTH],
                inputs(layout, a, h, samples, low, own),
            )
        inputs_of[part] = forward_thread(
            part, parts, meeting, parameters, layout, key, a, h, samples, low, own, by_units
        )
        if own > 0:
            output_delta_thread(
                layout, loss, t, sample_weights, order, first, a, h, dLdh, dLda, own_losses, samples, low, own
            )
        nothing = parameters.dtype.type(0) * (total(0, own, own_losses) + total(0, count, averages))  # or NaN
        signals_of[part] = nothing + backward_thread(
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
        barrier(meeting)
        step = first // batch_size
        farthest = max(coefficients[step, FIRST], one)
        # What the length of the gradient does not exceed: see Schwarz's inequality.
        ones = parameters.dtype.type(samples * unit_count(layout))
        longest = farthest * (sqrt(total(0, parts, signals_of)) * sqrt(ones + total(0, parts, inputs_of)))
        if not isfinite(longest):
            if part == 0:
                for i in range(first, order.size):
                    losses[i] = nan
            copy(0, count, kept, averages)
            break
        direct = is_constant_sgd(gradient.size, rule, segments, penalties, coefficients, step)
        clipped = coefficients[step, CLIP_NORM] < np.inf
        updates = direct or (parts > 1 and not clipped)
        gradient_thread(
            part,
            parts,
            meeting,
            trainable,
            layout,
            a,
            h,
            dLda,
            gradient,
            states,
            rule,
            segments,
            penalties,
            coefficients,
            step,
            samples,
            direct,
            updates,
        )
        scale = one
        if clipped:
            barrier(meeting)
            scale = clip_norm_scale(trainable, gradient, segments, penalties, coefficients[step, CLIP_NORM])
            barrier(meeting)
        if not updates:
            low, own = part_of(gradient.size, part, parts)
            apply_update(
                trainable,
                gradient,
                states,
                rule,
                segments,
                penalties,
                coefficients,
                step,
                scale,
                low,
                low + own,
            )
        barrier(meeting)
        key += 1


parallel_train: Callable[..., None] = parallel_region(train_thread)


@exported
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
    segments: Ranges,
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
    parallel_train(
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

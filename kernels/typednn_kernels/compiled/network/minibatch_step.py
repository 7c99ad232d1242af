"""What one thread does of a step with a batch."""

from __future__ import annotations

from typednn_kernels.activations import NONE
from typednn_kernels.arrays import F, Layout, Matrix, Order, Ranges, Vector
from typednn_kernels.compiled._codegen.array_views import slice_of
from typednn_kernels.compiled._codegen.jit import inline, noinline
from typednn_kernels.compiled.linalg.dense import copy
from typednn_kernels.compiled.network.partition import pieces_of, units_of
from typednn_kernels.compiled.network.passes import (
    UNNORMALIZED,
    add_squares_of_activations,
    add_squares_of_deltas,
    backward_block,
    forward_block,
    gradient_block,
    output_delta_block,
    samples_range,
)
from typednn_kernels.compiled.ops.loss import Outputs, loss_range
from typednn_kernels.compiled.ops.optimizer_step import apply_update
from typednn_kernels.compiled.parallel.team import barrier, next_chunk
from typednn_kernels.layout import ACTIVATION, BIASES, GAINS, LENGTH, NORMALIZATION, PREVIOUS, WEIGHTS
from typednn_kernels.update_rules import FIRST


@inline
def gather(x: Vector[F], order: Order, first: int, n: int, chosen: Vector[F]) -> None:
    """Copies the rows of n numbers that `order` names from `first` on, until `chosen` is full."""
    for i in range(chosen.size // n):
        copy(0, n, slice_of(x, order[first + i] * n, n), slice_of(chosen, i * n, n))


@inline
def weigh(values: Vector[F], sample_weights: Vector[F], order: Order, first: int, n: int) -> None:
    """Multiplies the n numbers of each sample with its weight."""
    for i in range(values.size // n):
        weight = sample_weights[order[first + i]]
        for j in range(i * n, (i + 1) * n):
            values[j] *= weight


@inline
def forward_part(
    total: F,
    parameters: Vector[F],
    layout: Layout,
    key: int,
    k: int,
    a: Vector[F],
    h: Vector[F],
    samples: int,
    first: int,
    count: int,
    unit: int,
    width: int,
) -> F:
    """The activations of layer k for some samples and units; a total plus the squares of what layers take."""
    if count > 0 and width > 0:
        if k > 0 or layout[0, ACTIVATION] != NONE:
            forward_block(parameters, layout, key, k, a, h, samples, first, count, unit, width, False)
        if k < layout.shape[0] - 1:
            total = add_squares_of_activations(total, layout, k, h, samples, first, count, unit, width)
    return total


@noinline
def forward_thread(
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
) -> F:
    """What one thread does of the activations of a batch: of its own samples, or, within, of some units."""
    total, last = h.dtype.type(0), layout.shape[0] - 1
    for k in range(last + 1):
        if by_units and k > 0:
            barrier(meeting)
        if by_units and 0 < k < last:
            i, pieces = part, pieces_of(layout, k, samples, parts)
            while i < pieces:
                unit, width = units_of(layout, k, samples, parts, i)
                total = forward_part(
                    total, parameters, layout, key, k, a, h, samples, 0, samples, unit, width
                )
                i = parts + next_chunk(meeting)
        else:
            n = layout[k, LENGTH]
            total = forward_part(total, parameters, layout, key, k, a, h, samples, low, own, 0, n)
    return total


@noinline
def output_delta_thread(
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
    targets = samples_range(dLda, layout, last, samples, low, own)
    gather(slice_of(t, 0, t.size), order, first + low, n, targets)
    loss_range(
        0,
        0,
        own,
        loss,
        layout[last, ACTIVATION],
        Outputs(
            samples_range(a, layout, last, samples, low, own),
            samples_range(h, layout, last, samples, low, own),
            targets,
        ),
        losses,
        n,
    )
    output_delta_block(layout, loss, targets, a, h, dLdh, dLda, samples, low, own)
    if sample_weights.size > 0:
        weigh(losses, sample_weights, order, first + low, 1)
        weigh(samples_range(dLdh, layout, last, samples, low, own), sample_weights, order, first + low, n)
        weigh(targets, sample_weights, order, first + low, n)


@inline
def backward_part(
    total: F,
    parameters: Vector[F],
    layout: Layout,
    key: int,
    k: int,
    a: Vector[F],
    h: Vector[F],
    dLdh: Vector[F],
    dLda: Vector[F],
    gradient: Vector[F],
    samples: int,
    first: int,
    count: int,
    unit: int,
    width: int,
) -> F:
    """The error signals of layer k, below the output, for some samples and units; a total plus squares."""
    if count > 0 and width > 0:
        if k < layout.shape[0] - 1:
            backward_block(
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
        total = add_squares_of_deltas(total, layout, k, dLda, samples, first, count, unit, width)
    return total


@noinline
def backward_thread(
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
) -> F:
    """What one thread does of the error signals below those of the output layer, as in `ascend_share`."""
    total, last = h.dtype.type(0), layout.shape[0] - 1
    for k in range(last, 0, -1):
        if by_units and k < last:
            barrier(meeting)
            i, pieces = part, pieces_of(layout, k, samples, parts)
            while i < pieces:
                unit, width = units_of(layout, k, samples, parts, i)
                total = backward_part(
                    total,
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
                    0,
                    samples,
                    unit,
                    width,
                )
                i = parts + next_chunk(meeting)
        else:
            n = layout[k, LENGTH]
            total = backward_part(
                total, parameters, layout, key, k, a, h, dLdh, dLda, gradient, samples, low, own, 0, n
            )
    return total


@inline
def update_units(
    parameters: Vector[F],
    gradient: Vector[F],
    states: Matrix[F],
    layout: Layout,
    k: int,
    rule: int,
    segments: Ranges,
    penalties: Matrix[F],
    coefficients: Matrix[F],
    step: int,
    scale: F,
    first: int,
    count: int,
    weights_too: bool,
) -> None:
    """The update of some units of a layer: their biases, gains, and weights."""
    m = layout[k, PREVIOUS]
    for i in range(3):
        start, size = layout[k, BIASES] + first, count
        if i == 1:
            start, size = layout[k, GAINS] + first, count if layout[k, NORMALIZATION] != UNNORMALIZED else 0
        elif i == 2:
            start, size = layout[k, WEIGHTS] + first * m, count * m if weights_too else 0
        if size > 0:
            apply_update(
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


@inline
def gradient_part(
    parameters: Vector[F],
    layout: Layout,
    k: int,
    a: Vector[F],
    h: Vector[F],
    dLda: Vector[F],
    gradient: Vector[F],
    states: Matrix[F],
    rule: int,
    segments: Ranges,
    penalties: Matrix[F],
    coefficients: Matrix[F],
    step: int,
    samples: int,
    first: int,
    count: int,
    direct: bool,
    updates: bool,
) -> None:
    """The gradient by the parameters of some units, of which it then also makes `updates`.

    Where the update is a multiple of the gradient by weights it is `direct`.
    """
    one = gradient.dtype.type(1)
    factor, by_weights = (-coefficients[step, FIRST], parameters) if direct else (one, gradient)
    if count > 0:
        gradient_block(
            layout, k, a, h, dLda, gradient, factor, direct, by_weights, samples, first, count, False
        )
        if updates:
            update_units(
                parameters,
                gradient,
                states,
                layout,
                k,
                rule,
                segments,
                penalties,
                coefficients,
                step,
                one,
                first,
                count,
                not direct,
            )


@noinline
def gradient_thread(
    part: int,
    parts: int,
    meeting: int,
    parameters: Vector[F],
    layout: Layout,
    a: Vector[F],
    h: Vector[F],
    dLda: Vector[F],
    gradient: Vector[F],
    states: Matrix[F],
    rule: int,
    segments: Ranges,
    penalties: Matrix[F],
    coefficients: Matrix[F],
    step: int,
    samples: int,
    direct: bool,
    updates: bool,
) -> None:
    """What one thread does of the gradient: its own units of all layers, and then what is left."""
    for left in range(2 if parts > 1 else 1):
        before, i = 0, next_chunk(meeting) if left else 0
        for k in range(layout.shape[0] - 1, 0, -1):
            following = before + (pieces_of(layout, k, samples, parts) - parts if left else 1)
            while i < following:
                place = parts + i - before if left else part
                unit, width = units_of(layout, k, samples, parts, place)
                gradient_part(
                    parameters,
                    layout,
                    k,
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
                    unit,
                    width,
                    direct,
                    updates,
                )
                i = next_chunk(meeting) if left else i + 1
            before = following

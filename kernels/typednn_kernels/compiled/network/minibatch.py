"""Trains epochs of mini-batches in one call, with as many threads as pays.

A batch is divided twice: its samples, for activations and deltas, and then the units of each layer, for
gradients and the update. Where there are more weights than activations, hidden layers are divided by units
from the beginning: each thread then has its weights in the cache of its core, and the others never need them.
However a batch is divided, every element is computed as by one thread, to the bit.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite, nan, sqrt

import numpy as np

from typednn_kernels.arrays import F, Layout, Vector
from typednn_kernels.compiled._codegen.array_views import scratch, slice_of
from typednn_kernels.compiled._codegen.jit import exported, inline, noinline, on_demand, require
from typednn_kernels.compiled._codegen.tuning import GRAIN_ELEMENTS
from typednn_kernels.compiled.linalg.dense import copy, dot, scale_of_squares
from typednn_kernels.compiled.network.evaluation import sum_of_losses
from typednn_kernels.compiled.network.fitting import (
    epoch_fits,
    gradient_fits,
    network_fits,
    optimizer_fits,
)
from typednn_kernels.compiled.network.minibatch_step import (
    backward_thread,
    forward_thread,
    gather,
    gradient_thread,
    output_delta_thread,
)
from typednn_kernels.compiled.network.order import draw_orders
from typednn_kernels.compiled.network.partition import (
    batch_num_threads,
    is_divided_by_units,
    is_shared,
    thread_range,
    thread_rows,
)
from typednn_kernels.compiled.network.passes import (
    add_scaled_squares,
    gradient_norm_bound,
    inputs,
    unit_count,
)
from typednn_kernels.compiled.ops.activation import total
from typednn_kernels.compiled.ops.optimizer_step import (
    apply_update,
    clip_norm_scale,
    norm_parts,
    squares_of_parts,
    updates_by_unit,
)
from typednn_kernels.compiled.parallel.subnormals import flush_subnormals, restore_subnormals
from typednn_kernels.compiled.parallel.team import barrier, parallel_region
from typednn_kernels.compiled.parallel.thread_pool import parallel_for
from typednn_kernels.layout import LENGTH
from typednn_kernels.losses import MAX_SUMMED
from typednn_kernels.operands import Epoch, OptimizerSteps, Thread, Workspace
from typednn_kernels.update_rules import CLIP_NORM, FIRST


@noinline
def batch_train_thread(
    thread: Thread,
    parameters: Vector[F],
    layout: Layout,
    key: int,
    loss: int,
    epoch: Epoch[F],
    optimizer: OptimizerSteps[F],
    workspace: Workspace[F],
    gradient: Vector[F],
    squares: Vector[F],
) -> None:
    """Runs one thread's part of all steps.

    `squares` has room for two elements per thread: the sums of squares of its activations and of its deltas.
    """
    divided_by_units = is_divided_by_units(layout, gradient.size, epoch.batch_size)
    one, size = parameters.dtype.type(1), epoch.order.size
    activation_squares = slice_of(squares, 0, thread.num_threads)
    delta_squares = slice_of(squares, thread.num_threads, thread.num_threads)
    # A step that is not made leaves the running moments, too, as they were; the first thread sees to it.
    count = parameters.size - gradient.size if thread.thread_num == 0 else 0
    running = slice_of(parameters, gradient.size, count)
    saved = slice_of(workspace.dLda, workspace.dLda.size - count, count)
    step, start, stop = 0, 0, min(epoch.length, size)
    control = flush_subnormals()  # penalties make some weights smaller and smaller, and moments fade
    while start < size:
        samples = min(epoch.batch_size, stop - start)
        rows, by_units = thread_rows(samples, thread), divided_by_units and is_shared(samples, thread)
        losses = slice_of(epoch.losses, start + rows.first, rows.height)
        copy(0, count, running, saved)
        if rows.height > 0:
            x, chosen = slice_of(epoch.x, 0, epoch.x.size), inputs(layout, workspace, rows)
            gather(x, epoch.order, start + rows.first, layout[0, LENGTH], chosen)
        activation_squares[thread.thread_num] = forward_thread(
            thread, parameters, layout, key, workspace, rows, by_units
        )
        if rows.height > 0:
            output_delta_thread(layout, loss, epoch, start, workspace, rows)
        zero = parameters.dtype.type(0) * (total(0, rows.height, losses) + total(0, count, running))  # or NaN
        delta_squares[thread.thread_num] = zero + backward_thread(
            thread, parameters, layout, key, workspace, gradient, rows, by_units
        )
        barrier(thread.team)
        ones = parameters.dtype.type(samples * unit_count(layout))
        bound = max(optimizer.coefficients[step, FIRST], one) * gradient_norm_bound(
            layout,
            workspace,
            samples,
            parameters.dtype.type(sqrt(total(0, thread.num_threads, delta_squares))),
            parameters.dtype.type(sqrt(ones + total(0, thread.num_threads, activation_squares))),
        )
        if not isfinite(bound):
            if thread.thread_num == 0:
                for i in range(start, size):
                    epoch.losses[i] = nan
            copy(0, count, saved, running)
            break
        gradient_thread(thread, parameters, layout, workspace, gradient, optimizer, step, samples)
        scale = one
        if optimizer.coefficients[step, CLIP_NORM] < np.inf:
            barrier(thread.team)
            parts, _ = norm_parts(gradient.size)
            first, n = thread_range(parts, thread)
            squares_of_parts(0, first, first + n, parameters, gradient, optimizer, step, squares)
            barrier(thread.team)
            scale = clip_norm_scale(parameters, gradient, optimizer, step, slice_of(squares, 0, parts))
            barrier(thread.team)
        if not updates_by_unit(optimizer, step, gradient.size, thread):
            first, n = thread_range(gradient.size, thread)
            apply_update(parameters, gradient, optimizer, step, scale, first, n)
        barrier(thread.team)
        key, step, start = key + 1, step + 1, start + samples
        if start == stop:
            stop = min(stop + epoch.length, size)
    restore_subnormals(control)


parallel_batch_train: Callable[..., None] = parallel_region(batch_train_thread)


@inline
def make_steps(
    parameters: Vector[F],
    layout: Layout,
    key: int,
    loss: int,
    epoch: Epoch[F],
    optimizer: OptimizerSteps[F],
    workspace: Workspace[F],
    gradient: Vector[F],
) -> None:
    """Makes a step for each batch of the epoch, by all threads."""
    require(
        network_fits(parameters, layout, min(epoch.batch_size, epoch.order.size), workspace)
        and gradient_fits(parameters, layout, gradient)
        and epoch_fits(layout, epoch)
        and optimizer_fits(gradient, epoch, optimizer)
    )
    num_threads = batch_num_threads(layout, gradient.size, epoch.batch_size, epoch.order.size)
    squares = scratch(gradient)
    parallel_batch_train(
        num_threads, parameters, layout, key, loss, epoch, optimizer, workspace, gradient, squares
    )


@exported
def train_batches(
    parameters: Vector[F],
    layout: Layout,
    key: int,
    loss: int,
    epoch: Epoch[F],
    optimizer: OptimizerSteps[F],
    workspace: Workspace[F],
    gradient: Vector[F],
) -> None:
    """Makes a step for each batch of the epoch; see `Kernels.train_batches`."""
    make_steps(parameters, layout, key, loss, epoch, optimizer, workspace, gradient)


@exported
def train_epoch(
    parameters: Vector[F],
    layout: Layout,
    order_key: int,
    step: int,
    key: int,
    loss: int,
    epoch: Epoch[F],
    optimizer: OptimizerSteps[F],
    workspace: Workspace[F],
    gradient: Vector[F],
) -> float:
    """Trains an epoch in an order of its own; see `Kernels.train_epoch`."""
    count = epoch.order.size
    require(0 < count == epoch.losses.size)
    if order_key >= 0:
        draw_orders(order_key, step, 0, count, epoch.order)
    for i in range(count):
        epoch.losses[i] = nan
    make_steps(parameters, layout, key, loss, epoch, optimizer, workspace, gradient)
    return sum_of_losses(epoch.losses) if count <= MAX_SUMMED else nan


@on_demand
def squares_of_gradient(part: int, start: int, stop: int, gradient: Vector[F], sums: Vector[F]) -> None:
    """Computes for each part of a range of them the sum of squares of the gradient."""
    length = norm_parts(gradient.size)[1]
    for k in range(start, stop):
        n = min(length, gradient.size - k * length)
        g = slice_of(gradient, k * length, n)
        sums[k] = dot(g, g, n)


@on_demand
def update_range(
    part: int,
    start: int,
    stop: int,
    parameters: Vector[F],
    gradient: Vector[F],
    optimizer: OptimizerSteps[F],
    scale: F,
) -> None:
    """Updates a range of parameters."""
    control = flush_subnormals()
    apply_update(parameters, gradient, optimizer, 0, scale, start, stop - start)
    restore_subnormals(control)


parallel_squares_of_gradient: Callable[..., int] = parallel_for(squares_of_gradient)
parallel_squares_of_parts: Callable[..., int] = parallel_for(squares_of_parts)
parallel_update: Callable[..., int] = parallel_for(update_range)


@exported
def apply_gradient(parameters: Vector[F], gradient: Vector[F], optimizer: OptimizerSteps[F]) -> bool:
    """Makes one step with a gradient, unless it is not finite; see `Kernels.apply_gradient`."""
    zero, one, coefficients = parameters.dtype.type(0), parameters.dtype.type(1), optimizer.coefficients
    parts, _ = norm_parts(gradient.size)
    sums = slice_of(scratch(gradient), 0, parts)
    parallel_squares_of_gradient(parts, 1, gradient, sums)
    norm = parameters.dtype.type(sqrt(total(0, parts, sums)))
    if not isfinite(norm):
        scale = parameters.dtype.type(scale_of_squares(gradient.itemsize))
        norm = parameters.dtype.type(sqrt(add_scaled_squares(zero, gradient, scale)) / scale)
    if not isfinite(max(coefficients[0, FIRST], one) * norm):
        return False
    scale = one
    if coefficients[0, CLIP_NORM] < np.inf:
        parallel_squares_of_parts(parts, 1, parameters, gradient, optimizer, 0, sums)
        scale = clip_norm_scale(parameters, gradient, optimizer, 0, sums)
    parallel_update(gradient.size, GRAIN_ELEMENTS, parameters, gradient, optimizer, scale)
    return True

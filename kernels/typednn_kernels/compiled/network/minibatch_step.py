"""Computes one thread's part of a step with a batch."""

from __future__ import annotations

from typednn_kernels.activations import NONE
from typednn_kernels.arrays import F, Layout, Order, Vector
from typednn_kernels.compiled._codegen.array_views import slice_of
from typednn_kernels.compiled._codegen.jit import inline, noinline
from typednn_kernels.compiled.linalg.dense import copy
from typednn_kernels.compiled.network.partition import thread_range
from typednn_kernels.compiled.network.passes import (
    UNNORMALIZED,
    add_squares_of_activations,
    add_squares_of_deltas,
    all_rows,
    backward_block,
    bias_gradient_block,
    forward_block,
    output_delta_rows,
    rows_range,
    weight_gradient_block,
)
from typednn_kernels.compiled.ops.loss import Outputs, loss_range
from typednn_kernels.compiled.ops.optimizer_step import apply_update, updates_by_gemm, updates_by_unit
from typednn_kernels.compiled.parallel.team import barrier
from typednn_kernels.layout import (
    ACTIVATION,
    BIASES,
    FAN_IN,
    GAINS,
    INNER_BIASES,
    LENGTH,
    NORMALIZATION,
    WEIGHTS,
)
from typednn_kernels.operands import Block, Epoch, OptimizerSteps, Rows, Thread, Workspace
from typednn_kernels.update_rules import FIRST


@inline
def gather(x: Vector[F], order: Order, first: int, n: int, result: Vector[F]) -> None:
    """Copies to the result the rows of n elements of x that `order` lists from `first` on."""
    count, out_of_place = result.size // n, 0
    for i in range(count):
        out_of_place += order[first + i] != order[first] + i
    if out_of_place == 0:
        copy(0, result.size, slice_of(x, order[first] * n, result.size), result)
        return
    for i in range(count):
        copy(0, n, slice_of(x, order[first + i] * n, n), slice_of(result, i * n, n))


@inline
def weigh(values: Vector[F], sample_weights: Vector[F], order: Order, first: int, n: int) -> None:
    """Multiplies the n elements of each sample by its weight."""
    for i in range(values.size // n):
        weight = sample_weights[order[first + i]]
        for j in range(i * n, (i + 1) * n):
            values[j] *= weight


@noinline
def forward_thread(
    thread: Thread,
    parameters: Vector[F],
    layout: Layout,
    key: int,
    workspace: Workspace[F],
    rows: Rows,
    by_units: bool,
) -> F:
    """Computes a thread's activations of a batch, and returns their sum of squares without the output layer.

    A thread computes its rows or, if hidden layers are divided `by_units`, a range of their units.
    """
    total, last = workspace.h.dtype.type(0), layout.shape[0] - 1
    for k in range(last + 1):
        if by_units and k > 0:
            barrier(thread.team)
        if by_units and 0 < k < last:
            unit, width = thread_range(layout[k, LENGTH], thread)
            block = Block(all_rows(rows.samples), unit, width)
        else:
            block = Block(rows, 0, layout[k, LENGTH])
        if block.rows.height > 0 and block.width > 0:
            if k > 0 or layout[0, ACTIVATION] != NONE:
                forward_block(parameters, layout, key, k, workspace, block, False)
            if k < last:
                total = add_squares_of_activations(total, layout, k, workspace.h, block)
    return total


@noinline
def output_delta_thread(
    layout: Layout, loss: int, epoch: Epoch[F], start: int, workspace: Workspace[F], rows: Rows
) -> None:
    """Computes the losses of a thread's rows of the batch that starts at `start`, and their dLdy and dLda."""
    last, first = layout.shape[0] - 1, start + rows.first
    n, losses = layout[last, LENGTH], slice_of(epoch.losses, first, rows.height)
    dLdy, dLda = (
        rows_range(workspace.dLdh, layout, last, rows),
        rows_range(workspace.dLda, layout, last, rows),
    )
    targets = dLda  # until the deltas are written over them, each where its target was read
    gather(slice_of(epoch.t, 0, epoch.t.size), epoch.order, first, n, targets)
    loss_range(
        0,
        0,
        rows.height,
        loss,
        layout[last, ACTIVATION],
        Outputs(
            rows_range(workspace.a, layout, last, rows),
            rows_range(workspace.h, layout, last, rows),
            targets,
        ),
        losses,
        n,
    )
    output_delta_rows(layout, loss, targets, workspace, rows)
    if epoch.sample_weights.size > 0:
        weigh(losses, epoch.sample_weights, epoch.order, first, 1)
        weigh(dLdy, epoch.sample_weights, epoch.order, first, n)
        weigh(dLda, epoch.sample_weights, epoch.order, first, n)


@noinline
def backward_thread(
    thread: Thread,
    parameters: Vector[F],
    layout: Layout,
    key: int,
    workspace: Workspace[F],
    gradient: Vector[F],
    rows: Rows,
    by_units: bool,
) -> F:
    """Computes a thread's deltas of hidden layers, divided as in `forward_thread`.

    Returns the sum of squares of its deltas, including the output layer.
    """
    total, last = workspace.h.dtype.type(0), layout.shape[0] - 1
    for k in range(last, 0, -1):
        if by_units and k < last:
            barrier(thread.team)
            unit, width = thread_range(layout[k, LENGTH], thread)
            block = Block(all_rows(rows.samples), unit, width)
        else:
            block = Block(rows, 0, layout[k, LENGTH])
        if block.rows.height > 0 and block.width > 0:
            if k < last:
                backward_block(parameters, layout, key, k, workspace, gradient, block, False)
            total = add_squares_of_deltas(total, layout, k, workspace.dLda, block)
    return total


@inline
def batch_update_units(
    parameters: Vector[F],
    layout: Layout,
    k: int,
    gradient: Vector[F],
    optimizer: OptimizerSteps[F],
    step: int,
    block: Block,
    weights_too: bool,
) -> None:
    """Updates the biases, gains, inner biases and, if wanted, weights of the units of a block of layer k."""
    m = layout[k, FAN_IN]
    for i in range(4):
        start, size = layout[k, BIASES] + block.unit, block.width
        if i == 1:
            start = layout[k, GAINS] + block.unit
            size = block.width if layout[k, NORMALIZATION] != UNNORMALIZED else 0
        elif i == 2:
            start = layout[k, INNER_BIASES] + block.unit
            size = block.width if layout[k, INNER_BIASES] > 0 else 0
        elif i == 3:
            start = layout[k, WEIGHTS] + block.unit * m
            size = block.width * m if weights_too else 0
        if size > 0:
            apply_update(parameters, gradient, optimizer, step, gradient.dtype.type(1), start, size)


@noinline
def gradient_thread(
    thread: Thread,
    parameters: Vector[F],
    layout: Layout,
    workspace: Workspace[F],
    gradient: Vector[F],
    optimizer: OptimizerSteps[F],
    step: int,
    samples: int,
) -> None:
    """Computes the gradients of a thread's units of all layers, and updates them if `updates_by_unit`.

    If `updates_by_gemm`, the product is added to the weights at once, and dLdW is not stored.
    """
    alpha, result = gradient.dtype.type(1), gradient
    by_gemm = updates_by_gemm(optimizer, step, gradient.size)
    if by_gemm:
        alpha, result = -optimizer.coefficients[step, FIRST], parameters
    for k in range(layout.shape[0] - 1, 0, -1):
        unit, width = thread_range(layout[k, LENGTH], thread)
        block = Block(all_rows(samples), unit, width)
        if width > 0:
            bias_gradient_block(layout, k, workspace, gradient, block)
            weight_gradient_block(layout, k, workspace, result, alpha, by_gemm, block, False)
            if updates_by_unit(optimizer, step, gradient.size, thread):
                batch_update_units(parameters, layout, k, gradient, optimizer, step, block, not by_gemm)

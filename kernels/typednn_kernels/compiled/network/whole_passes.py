"""Computes a whole pass in one call, with the checks of what users pass in.

For one sample, an array that Python makes takes longer than the arithmetic of a small network.
"""

from __future__ import annotations

from typednn_kernels.activations import NONE
from typednn_kernels.arrays import F, Layout, Matrix, Vector
from typednn_kernels.compiled._codegen.array_views import slice_of
from typednn_kernels.compiled._codegen.jit import exported, inline, noinline, reassociate, require
from typednn_kernels.compiled.linalg.dense import copy
from typednn_kernels.compiled.network.fitting import gradient_fits, network_fits
from typednn_kernels.compiled.network.passes import (
    activate_block,
    affine_block,
    all_rows,
    backward_block,
    bias_gradient_block,
    block_matrix,
    forward_block,
    inputs,
    output_delta_rows,
    unit_count,
    units,
    weight_gradient_block,
)
from typednn_kernels.compiled.network.single_layer import count_outside
from typednn_kernels.compiled.ops.activation import activation_backward_range
from typednn_kernels.compiled.ops.loss import sample_losses_of
from typednn_kernels.dropout import INFERENCE
from typednn_kernels.layout import ACTIVATION, LENGTH, ROUNDED_ELEMENTS
from typednn_kernels.operands import Block, Workspace


@reassociate
def are_finite(x: Vector[F]) -> bool:
    """Says whether all elements are finite: 0 times another one is NaN."""
    zero = x.dtype.type(0)
    total = zero
    for i in range(x.size):
        total += zero * x[i]
    finite: bool = total == zero
    return finite


@inline
def are_samples(layout: Layout, x: Matrix[F]) -> bool:
    """Says whether x holds samples of the network, all of them finite."""
    samples, n = x.shape
    fit: bool = samples > 0 and n == layout[0, LENGTH] and are_finite(slice_of(x, 0, x.size))
    return fit


@noinline
def forward_layers(
    parameters: Vector[F], layout: Layout, key: int, x: Matrix[F], workspace: Workspace[F], keep: bool
) -> None:
    """Computes all activations of a network for the samples x (B, n_inputs).

    The first layer reads x itself: a copy that one core has just written takes long to reach the others. The
    workspace has a copy if the input layer has an activation, or if it is to `keep` one.
    """
    rows, first = all_rows(x.shape[0]), 1
    if keep or layout[0, ACTIVATION] != NONE:
        copy(0, x.size, x, inputs(layout, workspace, rows))
    if layout[0, ACTIVATION] == NONE:
        block = Block(rows, 0, layout[1, LENGTH])
        affine_block(parameters, layout, key, 1, x, workspace.a, block, True)
        activate_block(layout, key, 1, workspace, block)
        first = 2
    else:
        forward_block(parameters, layout, key, 0, workspace, Block(rows, 0, layout[0, LENGTH]), True)
    for k in range(first, layout.shape[0]):
        forward_block(parameters, layout, key, k, workspace, Block(rows, 0, layout[k, LENGTH]), True)


@noinline
def backward_layers(
    parameters: Vector[F],
    layout: Layout,
    key: int,
    samples: int,
    workspace: Workspace[F],
    gradient: Vector[F],
) -> None:
    """Computes all deltas from those of the output layer, and the gradient with respect to parameters."""
    rows, last, one = all_rows(samples), layout.shape[0] - 1, gradient.dtype.type(1)
    for k in range(last - 1, 0, -1):
        block = Block(rows, 0, layout[k, LENGTH])
        backward_block(parameters, layout, key, k, workspace, gradient, block, True)
    for k in range(last, 0, -1):
        block = Block(rows, 0, layout[k, LENGTH])
        bias_gradient_block(layout, k, workspace, gradient, block)
        weight_gradient_block(layout, k, workspace, gradient, one, False, block, True)


@inline
def weigh_rows(values: Vector[F], sample_weights: Vector[F], n: int) -> None:
    """Multiplies the n elements of each sample by its weight."""
    for i in range(sample_weights.size):
        weight = sample_weights[i]
        for j in range(i * n, (i + 1) * n):
            values[j] *= weight


@exported
def forward(parameters: Vector[F], layout: Layout, key: int, x: Matrix[F], workspace: Workspace[F]) -> bool:
    """Computes all activations of a network for the samples x (B, n_inputs); returns whether x fits."""
    require(network_fits(parameters, layout, x.shape[0], workspace))
    fit = are_samples(layout, x)
    if fit:
        forward_layers(parameters, layout, key, x, workspace, True)
    return fit


@exported
def predict(
    parameters: Vector[F], layout: Layout, x: Matrix[F], memory: Vector[F], outputs: Matrix[F]
) -> bool:
    """Computes the outputs (B, n_outputs) of the samples x (B, n_inputs); returns whether x fits."""
    fit = are_samples(layout, x)
    if fit:
        samples, last = x.shape[0], layout.shape[0] - 1
        size = samples * unit_count(layout)
        start = (size + ROUNDED_ELEMENTS - 1) // ROUNDED_ELEMENTS * ROUNDED_ELEMENTS
        require(
            layout[0, LENGTH] > 0
            and 0 < size <= memory.size
            and start <= memory.size
            and outputs.shape[0] == samples
            and outputs.shape[1] == layout[last, LENGTH]
        )
        a, h = slice_of(memory, start, memory.size - start), slice_of(memory, 0, size)
        workspace = Workspace(a, h, h, a)  # predictions have no deltas
        require(network_fits(parameters, layout, samples, workspace))
        forward_layers(parameters, layout, INFERENCE, x, workspace, False)
        copy(0, outputs.size, units(workspace.h, layout, last, samples), slice_of(outputs, 0, outputs.size))
    return fit


@exported
def backward(
    parameters: Vector[F],
    layout: Layout,
    key: int,
    loss: int,
    t: Matrix[F],
    workspace: Workspace[F],
    gradient: Vector[F],
) -> None:
    """Computes all deltas, and the gradient of the batch's mean loss with respect to the parameters."""
    samples = t.shape[0]
    require(
        network_fits(parameters, layout, samples, workspace)
        and gradient_fits(parameters, layout, gradient)
        and t.shape[1] == layout[layout.shape[0] - 1, LENGTH]
    )
    output_delta_rows(layout, loss, slice_of(t, 0, t.size), workspace, all_rows(samples))
    backward_layers(parameters, layout, key, samples, workspace, gradient)


@exported
def loss_and_gradient(
    parameters: Vector[F],
    layout: Layout,
    key: int,
    loss: int,
    t: Matrix[F],
    limits: Vector[F],
    sample_weights: Vector[F],
    workspace: Workspace[F],
    losses: Vector[F],
    gradient: Vector[F],
) -> bool:
    """Computes losses, deltas and the gradient if the targets t (B, n_outputs) fit; returns whether."""
    samples, n = t.shape
    last, flat = layout.shape[0] - 1, slice_of(t, 0, t.size)
    fit = (
        samples == losses.size
        and n == layout[last, LENGTH]
        and count_outside(flat, limits[0], limits[1]) == 0
    )
    if fit:
        require(
            network_fits(parameters, layout, samples, workspace)
            and gradient_fits(parameters, layout, gradient)
            and sample_weights.size in (0, samples)
        )
        sample_losses_of(
            loss,
            layout[last, ACTIVATION],
            block_matrix(workspace.a, layout, last, samples),
            block_matrix(workspace.h, layout, last, samples),
            t,
            losses,
        )
        output_delta_rows(layout, loss, flat, workspace, all_rows(samples))
        if sample_weights.size > 0:
            weigh_rows(losses, sample_weights, 1)
            weigh_rows(units(workspace.dLdh, layout, last, samples), sample_weights, n)
            weigh_rows(units(workspace.dLda, layout, last, samples), sample_weights, n)
        backward_layers(parameters, layout, key, samples, workspace, gradient)
    return fit


@exported
def gradient_from_outputs(
    parameters: Vector[F],
    layout: Layout,
    key: int,
    dLdy: Matrix[F],
    workspace: Workspace[F],
    gradient: Vector[F],
) -> None:
    """Computes all deltas and the gradient from dLdy (B, n_outputs)."""
    samples, n = dLdy.shape
    last = layout.shape[0] - 1
    require(
        network_fits(parameters, layout, samples, workspace)
        and gradient_fits(parameters, layout, gradient)
        and n == layout[last, LENGTH]
    )
    upstream = units(workspace.dLdh, layout, last, samples)
    copy(0, upstream.size, dLdy, upstream)
    activation_backward_range(
        0,
        0,
        samples,
        layout[last, ACTIVATION],
        units(workspace.a, layout, last, samples),
        units(workspace.h, layout, last, samples),
        upstream,
        units(workspace.dLda, layout, last, samples),
        n,
    )
    backward_layers(parameters, layout, key, samples, workspace, gradient)

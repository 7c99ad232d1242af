"""Computes the losses of samples, as in inference, and their sum: what follows an epoch that is watched."""

from __future__ import annotations

import numpy as np

from typednn_kernels.arrays import F, Layout, Matrix, Vector
from typednn_kernels.compiled._codegen.jit import exported, inline, require
from typednn_kernels.compiled.network.fitting import network_fits
from typednn_kernels.compiled.network.passes import block_matrix
from typednn_kernels.compiled.network.whole_passes import forward_layers, weigh_rows
from typednn_kernels.compiled.ops.loss import sample_losses_of
from typednn_kernels.dropout import INFERENCE
from typednn_kernels.layout import ACTIVATION, LENGTH
from typednn_kernels.losses import MAX_SUMMED
from typednn_kernels.operands import Workspace


@inline
def double(x: Vector[F], i: int) -> float:
    """Returns an element in double precision."""
    number: float = np.float64(x[i])
    return number


@exported
def evaluate(
    parameters: Vector[F],
    layout: Layout,
    loss: int,
    x: Matrix[F],
    t: Matrix[F],
    sample_weights: Vector[F],
    workspace: Workspace[F],
    losses: Vector[F],
) -> None:
    """Computes the loss of each sample, (B,), from samples x (B, n_inputs) and targets t (B, n_outputs)."""
    samples, last = x.shape[0], layout.shape[0] - 1
    require(
        network_fits(parameters, layout, samples, workspace)
        and 0 < samples == t.shape[0] == losses.size
        and x.shape[1] == layout[0, LENGTH]
        and t.shape[1] == layout[last, LENGTH]
        and sample_weights.size in (0, samples)
    )
    forward_layers(parameters, layout, INFERENCE, x, workspace, False)
    sample_losses_of(
        loss,
        layout[last, ACTIVATION],
        block_matrix(workspace.a, layout, last, samples),
        block_matrix(workspace.h, layout, last, samples),
        t,
        losses,
    )
    weigh_rows(losses, sample_weights, 1)


@inline
def sum_of_losses(losses: Vector[F]) -> float:
    """Computes the sum of at most `MAX_SUMMED` losses as NumPy does, which adds eight sums up."""
    n = losses.size
    whole, total = n - n % 8, 0.0
    if n >= 8:
        s0, s1, s2, s3 = double(losses, 0), double(losses, 1), double(losses, 2), double(losses, 3)
        s4, s5, s6, s7 = double(losses, 4), double(losses, 5), double(losses, 6), double(losses, 7)
        for i in range(8, whole, 8):
            s0 += double(losses, i)
            s1 += double(losses, i + 1)
            s2 += double(losses, i + 2)
            s3 += double(losses, i + 3)
            s4 += double(losses, i + 4)
            s5 += double(losses, i + 5)
            s6 += double(losses, i + 6)
            s7 += double(losses, i + 7)
        total = ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7))
    for i in range(whole, n):
        total += double(losses, i)
    return total


@exported
def sum_losses(losses: Vector[F]) -> float:
    """Computes the sum of at most `MAX_SUMMED` losses; see `Kernels.sum_losses`."""
    require(losses.size <= MAX_SUMMED)
    return sum_of_losses(losses)

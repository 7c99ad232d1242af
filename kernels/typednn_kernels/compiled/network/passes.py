"""Computes the parts of forward and backward passes: a layer, for all or some samples and units."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false
# Formulas written as lambdas have no types.

from __future__ import annotations

from math import isinf, sqrt

import numpy as np

from typednn_kernels import normalizations
from typednn_kernels.activations import NONE
from typednn_kernels.arrays import F, Layout, Matrix, Vector
from typednn_kernels.compiled._codegen.array_views import (
    MatrixView,
    VectorView,
    matrix_view,
    slice_of,
    vector_view,
)
from typednn_kernels.compiled._codegen.jit import inline, noinline, on_demand
from typednn_kernels.compiled.linalg.dense import (
    affine_rows,
    backpropagate_rows,
    copy_columns,
    outer_rows,
    scale_of_squares,
    sum_rows,
)
from typednn_kernels.compiled.ops.activation import activate_range, activation_backward_range, inner
from typednn_kernels.compiled.ops.loss import Outputs, loss_gradient_range, mean_divisor, output_delta_range
from typednn_kernels.compiled.ops.normalization import (
    NormalizedUnits,
    dropout_flat,
    gain_and_bias_gradients,
    normalization_backward_rows,
    normalize_rows,
)
from typednn_kernels.dropout import INFERENCE
from typednn_kernels.layout import (
    ACTIVATION,
    BIASES,
    DROPOUT,
    EPSILON,
    FAN_IN,
    FROZEN,
    GAINS,
    INNER_BIASES,
    LENGTH,
    MOMENTUM,
    NORMALIZATION,
    RUNNING,
    UNBIASED,
    UNITS,
    WEIGHTS,
    normalized_start,
)
from typednn_kernels.operands import Block, Rows, Workspace
from typednn_kernels.primitives import where

UNNORMALIZED, BATCH = normalizations.NONE, normalizations.BATCH


weights: MatrixView = matrix_view(lambda row: (row[WEIGHTS], row[LENGTH], row[FAN_IN]))
flat_weights: VectorView = vector_view(lambda row: (row[WEIGHTS], row[LENGTH] * row[FAN_IN]))
biases: VectorView = vector_view(lambda row: (row[BIASES], row[LENGTH]))
gains: VectorView = vector_view(lambda row: (row[GAINS], row[LENGTH]))
inner_biases: VectorView = vector_view(
    lambda row: (row[INNER_BIASES], where(row[INNER_BIASES] == 0, 0, row[LENGTH]))
)
weights_range: MatrixView = matrix_view(
    lambda row, unit, width: (row[WEIGHTS] + unit * row[FAN_IN], width, row[FAN_IN])
)
biases_range: VectorView = vector_view(lambda row, unit, width: (row[BIASES] + unit, width))
gains_range: VectorView = vector_view(lambda row, unit, width: (row[GAINS] + unit, width))
inner_biases_range: VectorView = vector_view(
    lambda row, unit, width: (row[INNER_BIASES] + unit, where(row[INNER_BIASES] == 0, 0, width))
)
running_mean_range: VectorView = vector_view(lambda row, unit, width: (row[RUNNING] + unit, width))
running_variance_range: VectorView = vector_view(
    lambda row, unit, width: (row[RUNNING] + row[LENGTH] + unit, width)
)
"""Views of a layer in a vector of parameters or gradients; a `_range` is of `width` units from `unit` on."""

units: VectorView = vector_view(lambda row, samples: (samples * row[UNITS], samples * row[LENGTH]))
block_matrix: MatrixView = matrix_view(lambda row, samples: (samples * row[UNITS], samples, row[LENGTH]))
rows_range: VectorView = vector_view(
    lambda row, rows: (rows.samples * row[UNITS] + rows.first * row[LENGTH], rows.height * row[LENGTH])
)
rows_matrix: MatrixView = matrix_view(
    lambda row, rows: (rows.samples * row[UNITS] + rows.first * row[LENGTH], rows.height, row[LENGTH])
)
block_range: VectorView = vector_view(
    lambda row, block: (
        block.rows.samples * row[UNITS] + block.rows.first * row[LENGTH] + block.unit,
        block.rows.height * row[LENGTH] - block.unit,
    )
)
"""Views of a layer in a workspace: all samples, some rows, or from the first element of a block on."""

normalized: MatrixView = matrix_view(
    lambda row, samples, n_units: (normalized_start(row, samples, n_units), samples, row[LENGTH])
)
normalized_rows: MatrixView = matrix_view(
    lambda row, n_units, rows: (
        normalized_start(row, rows.samples, n_units) + rows.first * row[LENGTH],
        rows.height,
        row[LENGTH],
    )
)
flat_normalized: VectorView = vector_view(
    lambda row, samples, n_units: (normalized_start(row, samples, n_units), samples * row[LENGTH])
)
normalized_range: VectorView = vector_view(
    lambda row, n_units, block: (
        normalized_start(row, block.rows.samples, n_units) + block.rows.first * row[LENGTH] + block.unit,
        block.rows.height * row[LENGTH] - block.unit,
    )
)
inv_std_range: VectorView = vector_view(
    lambda row, n_units, block: (
        normalized_start(row, block.rows.samples, n_units)
        + block.rows.samples * row[LENGTH]
        + where(row[NORMALIZATION] == BATCH, block.unit, block.rows.first),
        where(row[NORMALIZATION] == BATCH, block.width, block.rows.height),
    )
)
"""Views of z in `a`, or of dLdz in `dLda`, and of the inv_std behind z, in a network of `n_units` units."""


@inline
def unit_count(layout: Layout) -> int:
    """Counts the units of the network."""
    last = layout.shape[0] - 1
    count: int = layout[last, UNITS] + layout[last, LENGTH]
    return count


@inline
def all_rows(samples: int) -> Rows:
    """Returns Rows covering the batch."""
    return Rows(samples, 0, samples)


@inline
def is_training(layout: Layout, k: int, key: int) -> bool:
    """Says whether layer k is normalised as in training."""
    training: bool = key != INFERENCE and layout[k, FROZEN] == 0
    return training


@inline
def settings_of(layout: Layout, k: int) -> normalizations.Settings:
    """Returns the normalisation of layer k with its settings."""
    return normalizations.Settings(
        layout[k, NORMALIZATION],
        np.int64(layout[k, EPSILON]).view(np.float64),
        np.int64(layout[k, MOMENTUM]).view(np.float64),
        layout[k, UNBIASED] != 0,
        layout[k, INNER_BIASES] != 0,
        True,
        True,
    )


@inline
def dropout_threshold(layout: Layout, k: int, key: int) -> int:
    """Returns the fraction of the units of layer k that a pass drops, in units of 2**-32."""
    threshold: int = 0 if key == INFERENCE else layout[k, DROPOUT]
    return threshold


@on_demand
def normalized_block(
    parameters: Vector[F],
    layout: Layout,
    key: int,
    k: int,
    below: Matrix[F],
    a: Vector[F],
    block: Block,
    parallel: bool,
) -> None:
    """Computes what `affine_block` does, in a normalised layer."""
    n, n_units = layout[k, LENGTH], unit_count(layout)
    z = normalized_range(a, layout, k, n_units, block)
    if layout[k, FAN_IN] > 0:
        W = weights_range(parameters, layout, k, block.unit, block.width)
        inner_bias = inner_biases_range(parameters, layout, k, block.unit, block.width)
        affine_rows(below, W, inner_bias, z, n, parallel)
    else:
        activations = slice_of(below, block.unit, below.size - block.unit)
        copy_columns(activations, n, block.width, z)
    units = NormalizedUnits(
        gains_range(parameters, layout, k, block.unit, block.width),
        biases_range(parameters, layout, k, block.unit, block.width),
        running_mean_range(parameters, layout, k, block.unit, block.width),
        running_variance_range(parameters, layout, k, block.unit, block.width),
    )
    settings, training = settings_of(layout, k), is_training(layout, k, key)
    inv_std = inv_std_range(a, layout, k, n_units, block)
    normalize_rows(settings, training, z, n, units, inv_std, block_range(a, layout, k, block))


@noinline
def affine_block(
    parameters: Vector[F],
    layout: Layout,
    key: int,
    k: int,
    below: Matrix[F],
    a: Vector[F],
    block: Block,
    parallel: bool,
) -> None:
    """Computes the pre-activations of layer k for a block, from the activations of its rows below.

    The block has all samples if the batch is normalised, all units if each sample is.
    """
    if layout[k, NORMALIZATION] == UNNORMALIZED:
        W = weights_range(parameters, layout, k, block.unit, block.width)
        bias = biases_range(parameters, layout, k, block.unit, block.width)
        affine_rows(below, W, bias, block_range(a, layout, k, block), layout[k, LENGTH], parallel)
    else:
        normalized_block(parameters, layout, key, k, below, a, block, parallel)


@noinline
def activate_block(layout: Layout, key: int, k: int, workspace: Workspace[F], block: Block) -> None:
    """Computes the activations of layer k for a block of pre-activations; all units, with softmax."""
    n, threshold = layout[k, LENGTH], dropout_threshold(layout, k, key)
    pre_activations = block_range(workspace.a, layout, k, block)
    activations = block_range(workspace.h, layout, k, block)
    size, step = contiguous(n, block)
    for start in range(0, block.rows.height * n, step):
        a_part, h_part = slice_of(pre_activations, start, size), slice_of(activations, start, size)
        activate_range(0, 0, size // block.width, layout[k, ACTIVATION], a_part, h_part, block.width)
        if threshold > 0:
            dropout_flat(key, k, threshold, h_part, block.rows.first * n + block.unit + start)


@noinline
def forward_block(
    parameters: Vector[F],
    layout: Layout,
    key: int,
    k: int,
    workspace: Workspace[F],
    block: Block,
    parallel: bool,
) -> None:
    """Computes the activations of layer k for a block, as `affine_block` and `activate_block`."""
    if k > 0:
        below = rows_matrix(workspace.h, layout, k - 1, block.rows)
        affine_block(parameters, layout, key, k, below, workspace.a, block, parallel)
    if k > 0 or layout[k, ACTIVATION] != NONE:
        activate_block(layout, key, k, workspace, block)


@inline
def contiguous(n: int, block: Block) -> tuple[int, int]:
    """Returns the length of each contiguous run of a block, and the stride between runs."""
    whole, size = block.width == n, block.rows.height * n
    return size if whole else block.width, size if whole else n


@inline
def inputs(layout: Layout, workspace: Workspace[F], rows: Rows) -> Vector[F]:
    """Returns the rows of the workspace that receive the samples."""
    return rows_range(workspace.h if layout[0, ACTIVATION] == NONE else workspace.a, layout, 0, rows)


@noinline
def output_delta_rows(layout: Layout, loss: int, t: Vector[F], workspace: Workspace[F], rows: Rows) -> None:
    """Computes dLdy and dLda of the output layer for some samples, from their targets (count * n,).

    The targets may lie where dLda is written.
    """
    last = layout.shape[0] - 1
    n, y = layout[last, LENGTH], rows_range(workspace.h, layout, last, rows)
    dLdy = rows_range(workspace.dLdh, layout, last, rows)
    divisor = y.dtype.type(mean_divisor(loss, n * rows.samples, rows.samples))
    activation, outputs = layout[last, ACTIVATION], Outputs(rows_range(workspace.a, layout, last, rows), y, t)
    loss_gradient_range(0, 0, n * rows.height, loss, activation, outputs, divisor, dLdy)
    output_delta_range(
        0,
        0,
        rows.height,
        loss,
        activation,
        outputs,
        dLdy,
        rows_range(workspace.dLda, layout, last, rows),
        n,
        rows.samples,
    )


@noinline
def backward_block(
    parameters: Vector[F],
    layout: Layout,
    key: int,
    k: int,
    workspace: Workspace[F],
    gradient: Vector[F],
    block: Block,
    parallel: bool,
) -> None:
    """Computes dLdh, dLda and, if it is normalised, dLdz of hidden layer k for a block as in `forward_block`.

    With batch normalisation it also computes dLdBias and dLdGain, which dLdz depends on.
    """
    n, n_units = layout[k, LENGTH], unit_count(layout)
    backpropagate_rows(
        normalized_rows(workspace.dLda, layout, k + 1, n_units, block.rows),
        weights(parameters, layout, k + 1),
        rows_range(workspace.dLdh, layout, k, block.rows),
        block.unit,
        block.width,
        parallel,
    )
    pre_activations = block_range(workspace.a, layout, k, block)
    activations = block_range(workspace.h, layout, k, block)
    upstream_gradients = block_range(workspace.dLdh, layout, k, block)
    deltas = block_range(workspace.dLda, layout, k, block)
    activation, threshold = layout[k, ACTIVATION], dropout_threshold(layout, k, key)
    size, step = contiguous(n, block)
    for start in range(0, block.rows.height * n, step):
        a_part, h_part = slice_of(pre_activations, start, size), slice_of(activations, start, size)
        dLdh_part, dLda_part = slice_of(upstream_gradients, start, size), slice_of(deltas, start, size)
        count = size // block.width
        if threshold > 0:  # the derivative is that at the activations before dropout
            activate_range(0, 0, count, activation, a_part, dLda_part, block.width)
            h_part = dLda_part
        activation_backward_range(0, 0, count, activation, a_part, h_part, dLdh_part, dLda_part, block.width)
        if threshold > 0:
            dropout_flat(key, k, threshold, dLda_part, block.rows.first * n + block.unit + start)
    if layout[k, NORMALIZATION] != UNNORMALIZED:
        normalization_backward_block(parameters, layout, key, k, workspace, gradient, block)


@on_demand
def normalization_backward_block(
    parameters: Vector[F],
    layout: Layout,
    key: int,
    k: int,
    workspace: Workspace[F],
    gradient: Vector[F],
    block: Block,
) -> None:
    """Computes dLdz of a block of normalised layer k; with batch normalisation also dLdBias and dLdGain."""
    normalization, n_units = layout[k, NORMALIZATION], unit_count(layout)
    if normalization == BATCH:
        gain_gradient_block(layout, k, workspace, gradient, block)
    normalization_backward_rows(
        normalization,
        is_training(layout, k, key),
        normalized_range(workspace.a, layout, k, n_units, block),
        layout[k, LENGTH],
        gains_range(parameters, layout, k, block.unit, block.width),
        inv_std_range(workspace.a, layout, k, n_units, block),
        block_range(workspace.dLda, layout, k, block),
        biases_range(gradient, layout, k, block.unit, block.width),
        gains_range(gradient, layout, k, block.unit, block.width),
        normalized_range(workspace.dLda, layout, k, n_units, block),
    )


@inline
def gain_gradient_block(
    layout: Layout, k: int, workspace: Workspace[F], gradient: Vector[F], block: Block
) -> None:
    """Computes dLdBias and dLdGain of the units of a block, over all samples of the batch."""
    samples = block.rows.samples
    gain_and_bias_gradients(
        units(workspace.dLda, layout, k, samples),
        flat_normalized(workspace.a, layout, k, samples, unit_count(layout)),
        biases(gradient, layout, k),
        gains(gradient, layout, k),
        block.unit,
        block.width,
    )


@noinline
def bias_gradient_block(
    layout: Layout, k: int, workspace: Workspace[F], gradient: Vector[F], block: Block
) -> None:
    """Computes dLdInnerBias of a block, and dLdBias and dLdGain unless batch normalisation already has."""
    if layout[k, INNER_BIASES] > 0:
        dLdz = flat_normalized(workspace.dLda, layout, k, block.rows.samples, unit_count(layout))
        sum_rows(dLdz, inner_biases(gradient, layout, k), block.unit, block.width)
    if layout[k, NORMALIZATION] == UNNORMALIZED:
        deltas = units(workspace.dLda, layout, k, block.rows.samples)
        sum_rows(deltas, biases(gradient, layout, k), block.unit, block.width)
    elif layout[k, NORMALIZATION] != BATCH:
        gain_gradient_block(layout, k, workspace, gradient, block)


@noinline
def weight_gradient_block(
    layout: Layout,
    k: int,
    workspace: Workspace[F],
    result: Vector[F],
    alpha: F,
    accumulate: bool,
    block: Block,
    parallel: bool,
) -> None:
    """Computes alpha dLdW of the units of a block in layer k of `result`, or adds it there (`accumulate`)."""
    samples = block.rows.samples
    if layout[k, FAN_IN] > 0:
        outer_rows(
            normalized(workspace.dLda, layout, k, samples, unit_count(layout)),
            block_matrix(workspace.h, layout, k - 1, samples),
            alpha,
            accumulate,
            weights(result, layout, k),
            block.unit,
            block.width,
            parallel,
        )


@inline
def add_squares_of_block(total: F, x: Vector[F], n: int, block: Block) -> F:
    """Adds the squares of a block to a total; x begins with the block and has rows of n elements."""
    size, step = contiguous(n, block)
    for start in range(0, block.rows.height * n, step):
        part = slice_of(x, start, size)
        total += inner(0, size, part, part)
    return total


@noinline
def add_squares_of_activations(total: F, layout: Layout, k: int, h: Vector[F], block: Block) -> F:
    """Adds the squares of the activations of a block of layer k to a total."""
    return add_squares_of_block(total, block_range(h, layout, k, block), layout[k, LENGTH], block)


@noinline
def add_squares_of_deltas(total: F, layout: Layout, k: int, dLda: Vector[F], block: Block) -> F:
    """Adds the squares of dLda of a block of layer k, and of dLdz if it is normalised, to a total."""
    n = layout[k, LENGTH]
    total = add_squares_of_block(total, block_range(dLda, layout, k, block), n, block)
    if layout[k, NORMALIZATION] != UNNORMALIZED:
        dLdz = normalized_range(dLda, layout, k, unit_count(layout), block)
        total = add_squares_of_block(total, dLdz, n, block)
    return total


@inline
def add_scaled_squares(total: F, x: Vector[F], scale: F) -> F:
    """Adds the squares of scaled elements to a total."""
    for i in range(x.size):
        scaled = scale * x[i]
        total += scaled * scaled
    return total


@on_demand
def norm_of_activations(layout: Layout, h: Vector[F], samples: int) -> F:
    """Computes the norm of all activations, output excepted, where their squares overflow."""
    total, scale = h.dtype.type(0), h.dtype.type(scale_of_squares(h.itemsize))
    for k in range(layout.shape[0] - 1):
        total = add_scaled_squares(total, units(h, layout, k, samples), scale)
    return h.dtype.type(sqrt(total) / scale)


@on_demand
def norm_of_deltas(layout: Layout, dLda: Vector[F], samples: int) -> F:
    """Computes the norm of dLda of all layers, and dLdz of normalised ones, where their squares overflow."""
    total, scale = dLda.dtype.type(0), dLda.dtype.type(scale_of_squares(dLda.itemsize))
    for k in range(1, layout.shape[0]):
        total = add_scaled_squares(total, units(dLda, layout, k, samples), scale)
        if layout[k, NORMALIZATION] != UNNORMALIZED:
            dLdz = flat_normalized(dLda, layout, k, samples, unit_count(layout))
            total = add_scaled_squares(total, dLdz, scale)
    return dLda.dtype.type(sqrt(total) / scale)


@inline
def gradient_norm_bound(
    layout: Layout, workspace: Workspace[F], samples: int, delta_norm: F, input_norm: F
) -> F:
    """Computes a bound of the gradient's norm by Schwarz's inequality: all deltas times all inputs.

    A norm that is infinite is computed again, without squares that overflow.
    """
    if isinf(delta_norm):
        delta_norm = norm_of_deltas(layout, workspace.dLda, samples)
    if isinf(input_norm):
        input_norm = norm_of_activations(layout, workspace.h, samples)
    return workspace.h.dtype.type(delta_norm * input_norm)

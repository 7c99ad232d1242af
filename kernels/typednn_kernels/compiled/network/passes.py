"""A forward and a backward pass, in one call each."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# Places written as lambdas have no types.

from __future__ import annotations

from collections.abc import Sequence

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
from typednn_kernels.compiled._codegen.ir_values import Number
from typednn_kernels.compiled._codegen.jit import exported, inline, noinline
from typednn_kernels.compiled.linalg.dense import (
    affine_rows,
    backpropagate_rows,
    copy,
    outer_rows,
    sum_rows,
)
from typednn_kernels.compiled.ops.activation import activate_range, activation_backward_range, inner
from typednn_kernels.compiled.ops.loss import Outputs, loss_derivative_range, mean_divisor, output_delta_range
from typednn_kernels.compiled.ops.normalization import (
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
    FROZEN,
    GAINS,
    LENGTH,
    NORMALIZATION,
    NORMALIZED,
    PREVIOUS,
    RUNNING,
    UNITS,
    WEIGHTS,
)
from typednn_kernels.primitives import where

UNNORMALIZED, BATCH = normalizations.NONE, normalizations.BATCH


def _start_of_normalized(row: Sequence[Number], samples: int, n_units: int) -> Number:
    """Where z begins in `a`, and dLdz in `dLda`: with the block of the layer if it is not normalised."""
    apart = samples * n_units + (samples + 1) * row[NORMALIZED]
    return where(row[NORMALIZATION] == UNNORMALIZED, samples * row[UNITS], apart)


weights: MatrixView = matrix_view(lambda row: (row[WEIGHTS], row[LENGTH], row[PREVIOUS]))
flat_weights: VectorView = vector_view(lambda row: (row[WEIGHTS], row[LENGTH] * row[PREVIOUS]))
biases: VectorView = vector_view(lambda row: (row[BIASES], row[LENGTH]))
gains: VectorView = vector_view(lambda row: (row[GAINS], row[LENGTH]))
weights_range: MatrixView = matrix_view(
    lambda row, first, count: (row[WEIGHTS] + first * row[PREVIOUS], count, row[PREVIOUS])
)
biases_range: VectorView = vector_view(lambda row, first, count: (row[BIASES] + first, count))
gains_range: VectorView = vector_view(lambda row, first, count: (row[GAINS] + first, count))
running_mean_range: VectorView = vector_view(lambda row, first, count: (row[RUNNING] + first, count))
running_variance_range: VectorView = vector_view(
    lambda row, first, count: (row[RUNNING] + row[LENGTH] + first, count)
)
"""Of a vector of parameters or gradients, or `count` units of it."""

units: VectorView = vector_view(lambda row, samples: (samples * row[UNITS], samples * row[LENGTH]))
block: MatrixView = matrix_view(lambda row, samples: (samples * row[UNITS], samples, row[LENGTH]))
samples_range: VectorView = vector_view(
    lambda row, samples, first, count: (
        samples * row[UNITS] + first * row[LENGTH],
        count * row[LENGTH],
    )
)
samples_matrix: MatrixView = matrix_view(
    lambda row, samples, first, count: (samples * row[UNITS] + first * row[LENGTH], count, row[LENGTH])
)
units_range: VectorView = vector_view(
    lambda row, samples, first, count, unit: (
        samples * row[UNITS] + first * row[LENGTH] + unit,
        count * row[LENGTH] - unit,
    )
)
"""The block of a layer in a workspace, or `count` samples of it, or the same from a unit of the first on."""

normalized: MatrixView = matrix_view(
    lambda row, samples, n_units: (_start_of_normalized(row, samples, n_units), samples, row[LENGTH])
)
normalized_samples: MatrixView = matrix_view(
    lambda row, samples, n_units, first, count: (
        _start_of_normalized(row, samples, n_units) + first * row[LENGTH],
        count,
        row[LENGTH],
    )
)
flat_normalized: VectorView = vector_view(
    lambda row, samples, n_units: (_start_of_normalized(row, samples, n_units), samples * row[LENGTH])
)
normalized_units_range: VectorView = vector_view(
    lambda row, samples, n_units, first, count, unit: (
        _start_of_normalized(row, samples, n_units) + first * row[LENGTH] + unit,
        count * row[LENGTH] - unit,
    )
)
inv_std_range: VectorView = vector_view(
    lambda row, samples, n_units, first, count, unit, width: (
        _start_of_normalized(row, samples, n_units)
        + samples * row[LENGTH]
        + where(row[NORMALIZATION] == BATCH, unit, first),
        where(row[NORMALIZATION] == BATCH, width, count),
    )
)
"""z or dLdz, and the factors of z, in the workspaces of a network of so many units, or some of them."""


@inline
def part_of(n: int, part: int, parts: int) -> tuple[int, int]:
    """Where one of so many equal parts of n begins, and its size."""
    first = n * part // parts
    return first, n * (part + 1) // parts - first


@inline
def unit_count(layout: Layout) -> int:
    """How many units the network has."""
    last = layout.shape[0] - 1
    count: int = layout[last, UNITS] + layout[last, LENGTH]
    return count


@inline
def is_training(layout: Layout, k: int, key: int) -> bool:
    """Whether layer k is normalised as in training."""
    training: bool = key != INFERENCE and layout[k, FROZEN] == 0
    return training


@inline
def dropped(layout: Layout, k: int, key: int) -> int:
    """What share of the units of layer k a pass drops."""
    share: int = 0 if key == INFERENCE else layout[k, DROPOUT]
    return share


@noinline
def forward_block(
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
    together: bool,
) -> None:
    """The activations of layer k for `count` samples of a batch and `width` of its units.

    All samples with batch normalisation, all units with that of layers or softmax.
    """
    n, normalization = layout[k, LENGTH], layout[k, NORMALIZATION]
    if k > 0:
        n_units, below = unit_count(layout), samples_matrix(h, layout, k - 1, samples, first, count)
        W, bias = (
            weights_range(parameters, layout, k, unit, width),
            biases_range(parameters, layout, k, unit, width),
        )
        if normalization == UNNORMALIZED:
            affine_rows(below, W, bias, units_range(a, layout, k, samples, first, count, unit), n, together)
        else:
            z = normalized_units_range(a, layout, k, samples, n_units, first, count, unit)
            affine_rows(below, W, slice_of(bias, 0, 0), z, n, together)
            normalize_rows(
                normalization,
                is_training(layout, k, key),
                z,
                n,
                gains_range(parameters, layout, k, unit, width),
                bias,
                running_mean_range(parameters, layout, k, unit, width),
                running_variance_range(parameters, layout, k, unit, width),
                inv_std_range(a, layout, k, samples, n_units, first, count, unit, width),
                units_range(a, layout, k, samples, first, count, unit),
            )
    if k > 0 or layout[k, ACTIVATION] != NONE:
        pre_activations = units_range(a, layout, k, samples, first, count, unit)
        activations = units_range(h, layout, k, samples, first, count, unit)
        size, step = extent(n, count, width)
        for start in range(0, count * n, step):
            result = slice_of(activations, start, size)
            activate_range(
                0,
                0,
                size // width,
                layout[k, ACTIVATION],
                slice_of(pre_activations, start, size),
                result,
                width,
            )
            if dropped(layout, k, key) > 0:
                dropout_flat(key, k, dropped(layout, k, key), result, first * n + unit + start)


@inline
def extent(n: int, count: int, width: int) -> tuple[int, int]:
    """How many numbers of `count` rows of n, of each of which `width` are wanted, lie side by side.

    And after how many the next are.
    """
    whole = width == n
    return count * n if whole else width, count * n if whole else n


@inline
def inputs(layout: Layout, a: Vector[F], h: Vector[F], samples: int, first: int, count: int) -> Vector[F]:
    """Where the samples are put from which a pass begins."""
    workspace = h if layout[0, ACTIVATION] == NONE else a
    return samples_range(workspace, layout, 0, samples, first, count)


@noinline
def output_delta_block(
    layout: Layout,
    loss: int,
    t: Vector[F],
    a: Vector[F],
    h: Vector[F],
    dLdh: Vector[F],
    dLda: Vector[F],
    samples: int,
    first: int,
    count: int,
) -> None:
    """The error signals of the output layer for `count` samples of a batch, whose targets are flat."""
    last = layout.shape[0] - 1
    n, outputs = layout[last, LENGTH], samples_range(h, layout, last, samples, first, count)
    signal = samples_range(dLdh, layout, last, samples, first, count)
    terms = h.dtype.type(mean_divisor(loss, n * samples, samples))
    loss_derivative_range(0, 0, n * count, loss, outputs, t, terms, signal)
    output_delta_range(
        0,
        0,
        count,
        loss,
        layout[last, ACTIVATION],
        Outputs(samples_range(a, layout, last, samples, first, count), outputs, t),
        signal,
        samples_range(dLda, layout, last, samples, first, count),
        n,
        samples,
    )


@noinline
def backward_block(
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
    together: bool,
) -> None:
    """The error signals of hidden layer k for a part of a batch, as in `ascend_layer`.

    With batch normalisation the gradients by its gains and biases, too, which they follow from.
    """
    n, n_units, normalization = layout[k, LENGTH], unit_count(layout), layout[k, NORMALIZATION]
    backpropagate_rows(
        normalized_samples(dLda, layout, k + 1, samples, n_units, first, count),
        weights(parameters, layout, k + 1),
        samples_range(dLdh, layout, k, samples, first, count),
        unit,
        width,
        together,
    )
    pre_activations = units_range(a, layout, k, samples, first, count, unit)
    activations = units_range(h, layout, k, samples, first, count, unit)
    signals = units_range(dLdh, layout, k, samples, first, count, unit)
    errors = units_range(dLda, layout, k, samples, first, count, unit)
    size, step = extent(n, count, width)
    for start in range(0, count * n, step):
        below, above, error = (
            slice_of(pre_activations, start, size),
            slice_of(activations, start, size),
            slice_of(errors, start, size),
        )
        if dropped(layout, k, key) > 0:  # the slope is that at the activations before
            activate_range(0, 0, size // width, layout[k, ACTIVATION], below, error, width)
            above = error
        activation_backward_range(
            0,
            0,
            size // width,
            layout[k, ACTIVATION],
            below,
            above,
            slice_of(signals, start, size),
            error,
            width,
        )
        if dropped(layout, k, key) > 0:
            dropout_flat(key, k, dropped(layout, k, key), error, first * n + unit + start)
    if normalization == BATCH:
        gain_gradients_block(layout, k, a, dLda, gradient, samples, unit, width)
    if normalization != UNNORMALIZED:
        normalization_backward_rows(
            normalization,
            is_training(layout, k, key),
            normalized_units_range(a, layout, k, samples, n_units, first, count, unit),
            n,
            gains_range(parameters, layout, k, unit, width),
            inv_std_range(a, layout, k, samples, n_units, first, count, unit, width),
            errors,
            biases_range(gradient, layout, k, unit, width),
            gains_range(gradient, layout, k, unit, width),
            normalized_units_range(dLda, layout, k, samples, n_units, first, count, unit),
        )


@inline
def gain_gradients_block(
    layout: Layout,
    k: int,
    a: Vector[F],
    dLda: Vector[F],
    gradient: Vector[F],
    samples: int,
    unit: int,
    width: int,
) -> None:
    """The gradients by gains and biases of some units of a normalised layer."""
    gain_and_bias_gradients(
        units(dLda, layout, k, samples),
        flat_normalized(a, layout, k, samples, unit_count(layout)),
        biases(gradient, layout, k),
        gains(gradient, layout, k),
        unit,
        width,
    )


@noinline
def gradient_block(
    layout: Layout,
    k: int,
    a: Vector[F],
    h: Vector[F],
    dLda: Vector[F],
    gradient: Vector[F],
    factor: F,
    added: bool,
    by_weights: Vector[F],
    samples: int,
    first: int,
    count: int,
    together: bool,
) -> None:
    """The gradients of `count` units of layer k that `descend_layer` leaves.

    Those by weights go to a vector of their own, times a factor, and may be `added` to what is there.
    """
    if layout[k, NORMALIZATION] == UNNORMALIZED:
        sum_rows(units(dLda, layout, k, samples), biases(gradient, layout, k), first, count)
    elif layout[k, NORMALIZATION] != BATCH:
        gain_gradients_block(layout, k, a, dLda, gradient, samples, first, count)
    outer_rows(
        normalized(dLda, layout, k, samples, unit_count(layout)),
        block(h, layout, k - 1, samples),
        factor,
        added,
        weights(by_weights, layout, k),
        first,
        count,
        together,
    )


@inline
def add_squares(total: F, x: Vector[F], n: int, count: int, width: int) -> F:
    """A total plus the sum of squares of `width` numbers of each of `count` rows of n."""
    size, step = extent(n, count, width)
    for start in range(0, count * n, step):
        numbers = slice_of(x, start, size)
        total += inner(0, size, numbers, numbers)
    return total


@noinline
def add_squares_of_activations(
    total: F,
    layout: Layout,
    k: int,
    h: Vector[F],
    samples: int,
    first: int,
    count: int,
    unit: int,
    width: int,
) -> F:
    """A total plus the sum of squares of the activations of layer k, of `count` samples and `width` units."""
    activations = units_range(h, layout, k, samples, first, count, unit)
    return add_squares(total, activations, layout[k, LENGTH], count, width)


@noinline
def add_squares_of_deltas(
    total: F,
    layout: Layout,
    k: int,
    dLda: Vector[F],
    samples: int,
    first: int,
    count: int,
    unit: int,
    width: int,
) -> F:
    """The same of its error signals, by z, too, if it is normalised."""
    n = layout[k, LENGTH]
    total = add_squares(total, units_range(dLda, layout, k, samples, first, count, unit), n, count, width)
    if layout[k, NORMALIZATION] != UNNORMALIZED:
        by_z = normalized_units_range(dLda, layout, k, samples, unit_count(layout), first, count, unit)
        total = add_squares(total, by_z, n, count, width)
    return total


@exported
def forward(
    parameters: Vector[F], layout: Layout, key: int, x: Matrix[F], a: Vector[F], h: Vector[F]
) -> None:
    """All activations of a network for the samples x (B, n_inputs)."""
    samples = x.shape[0]
    copy(0, x.size, x, inputs(layout, a, h, samples, 0, samples))
    for k in range(layout.shape[0]):
        forward_block(parameters, layout, key, k, a, h, samples, 0, samples, 0, layout[k, LENGTH], True)


@exported
def backward(
    parameters: Vector[F],
    layout: Layout,
    key: int,
    loss: int,
    t: Matrix[F],
    a: Vector[F],
    h: Vector[F],
    dLdh: Vector[F],
    dLda: Vector[F],
    gradient: Vector[F],
) -> None:
    """All error signals, and the gradient of the mean loss in the layout of the parameters."""
    targets, samples = slice_of(t, 0, t.size), t.shape[0]
    last = layout.shape[0] - 1
    output_delta_block(layout, loss, targets, a, h, dLdh, dLda, samples, 0, samples)
    for k in range(last - 1, 0, -1):
        n = layout[k, LENGTH]
        backward_block(
            parameters, layout, key, k, a, h, dLdh, dLda, gradient, samples, 0, samples, 0, n, True
        )
    one = gradient.dtype.type(1)
    for k in range(last, 0, -1):
        n = layout[k, LENGTH]
        gradient_block(layout, k, a, h, dLda, gradient, one, False, gradient, samples, 0, n, True)

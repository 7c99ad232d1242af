"""A forward and a backward pass, in one call each."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# Places written as lambdas have no types.

from __future__ import annotations

from collections.abc import Sequence

from typednn_kernels import normalizations
from typednn_kernels.activations import NONE
from typednn_kernels.arrays import F, Layout, Matrix, Vector
from typednn_kernels.compiled._codegen.array_views import FlatView, RowsView, by_rows, flat, piece
from typednn_kernels.compiled._codegen.ir_values import Number
from typednn_kernels.compiled._codegen.jit import entry, kernel, routine
from typednn_kernels.compiled.linalg.dense import (
    affine_rows,
    backpropagate_rows,
    copies,
    outer_rows,
    sum_rows,
)
from typednn_kernels.compiled.ops.activation import inner, some_products, some_values
from typednn_kernels.compiled.ops.loss import some_errors, some_slopes, terms_of_mean
from typednn_kernels.compiled.ops.normalization import (
    drop_units,
    gradients_by_gain,
    normalized_error,
    normalized_rows,
)
from typednn_kernels.dropout import PREDICTING
from typednn_kernels.layout import (
    ACTIVATION,
    BIASES,
    DROPOUT,
    FROZEN,
    GAINS,
    LENGTH,
    MOVING,
    NORMALIZATION,
    NORMALIZED,
    PREVIOUS,
    UNITS,
    WEIGHTS,
)
from typednn_kernels.primitives import where

UNNORMALIZED, BATCH = normalizations.NONE, normalizations.BATCH


def _start_of_normalized(row: Sequence[Number], samples: int, n_units: int) -> Number:
    """Where z begins in `a`, and dLdz in `dLda`: with the block of the layer if it is not normalised."""
    apart = samples * n_units + (samples + 1) * row[NORMALIZED]
    return where(row[NORMALIZATION] == UNNORMALIZED, samples * row[UNITS], apart)


weights: RowsView = by_rows(lambda row: (row[WEIGHTS], row[LENGTH], row[PREVIOUS]))
flat_weights: FlatView = flat(lambda row: (row[WEIGHTS], row[LENGTH] * row[PREVIOUS]))
biases: FlatView = flat(lambda row: (row[BIASES], row[LENGTH]))
gains: FlatView = flat(lambda row: (row[GAINS], row[LENGTH]))
some_weights: RowsView = by_rows(
    lambda row, first, count: (row[WEIGHTS] + first * row[PREVIOUS], count, row[PREVIOUS])
)
some_biases: FlatView = flat(lambda row, first, count: (row[BIASES] + first, count))
some_gains: FlatView = flat(lambda row, first, count: (row[GAINS] + first, count))
some_means: FlatView = flat(lambda row, first, count: (row[MOVING] + first, count))
some_variances: FlatView = flat(lambda row, first, count: (row[MOVING] + row[LENGTH] + first, count))
"""Of a vector of parameters or gradients, or `count` units of it."""

units: FlatView = flat(lambda row, samples: (samples * row[UNITS], samples * row[LENGTH]))
block: RowsView = by_rows(lambda row, samples: (samples * row[UNITS], samples, row[LENGTH]))
some_units: FlatView = flat(
    lambda row, samples, first, count: (
        samples * row[UNITS] + first * row[LENGTH],
        count * row[LENGTH],
    )
)
some_rows: RowsView = by_rows(
    lambda row, samples, first, count: (samples * row[UNITS] + first * row[LENGTH], count, row[LENGTH])
)
from_unit: FlatView = flat(
    lambda row, samples, first, count, unit: (
        samples * row[UNITS] + first * row[LENGTH] + unit,
        count * row[LENGTH] - unit,
    )
)
"""The block of a layer in a workspace, or `count` samples of it, or the same from a unit of the first on."""

normalized: RowsView = by_rows(
    lambda row, samples, n_units: (_start_of_normalized(row, samples, n_units), samples, row[LENGTH])
)
some_normalized: RowsView = by_rows(
    lambda row, samples, n_units, first, count: (
        _start_of_normalized(row, samples, n_units) + first * row[LENGTH],
        count,
        row[LENGTH],
    )
)
flat_normalized: FlatView = flat(
    lambda row, samples, n_units: (_start_of_normalized(row, samples, n_units), samples * row[LENGTH])
)
normalized_from_unit: FlatView = flat(
    lambda row, samples, n_units, first, count, unit: (
        _start_of_normalized(row, samples, n_units) + first * row[LENGTH] + unit,
        count * row[LENGTH] - unit,
    )
)
some_factors: FlatView = flat(
    lambda row, samples, n_units, first, count, unit, width: (
        _start_of_normalized(row, samples, n_units)
        + samples * row[LENGTH]
        + where(row[NORMALIZATION] == BATCH, unit, first),
        where(row[NORMALIZATION] == BATCH, width, count),
    )
)
"""z or dLdz, and the factors of z, in the workspaces of a network of so many units, or some of them."""


@kernel
def share_of(n: int, part: int, parts: int) -> tuple[int, int]:
    """Where one of so many equal parts of n begins, and its size."""
    first = n * part // parts
    return first, n * (part + 1) // parts - first


@kernel
def unit_count(layout: Layout) -> int:
    """How many units the network has."""
    last = layout.shape[0] - 1
    count: int = layout[last, UNITS] + layout[last, LENGTH]
    return count


@kernel
def is_training(layout: Layout, k: int, key: int) -> bool:
    """Whether layer k is normalised as in training."""
    training: bool = key != PREDICTING and layout[k, FROZEN] == 0
    return training


@kernel
def dropped(layout: Layout, k: int, key: int) -> int:
    """What share of the units of layer k a pass drops."""
    share: int = 0 if key == PREDICTING else layout[k, DROPOUT]
    return share


@routine
def ascend_layer(
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
        n_units, below = unit_count(layout), some_rows(h, layout, k - 1, samples, first, count)
        W, bias = (
            some_weights(parameters, layout, k, unit, width),
            some_biases(parameters, layout, k, unit, width),
        )
        if normalization == UNNORMALIZED:
            affine_rows(below, W, bias, from_unit(a, layout, k, samples, first, count, unit), n, together)
        else:
            z = normalized_from_unit(a, layout, k, samples, n_units, first, count, unit)
            affine_rows(below, W, piece(bias, 0, 0), z, n, together)
            normalized_rows(
                normalization,
                is_training(layout, k, key),
                z,
                n,
                some_gains(parameters, layout, k, unit, width),
                bias,
                some_means(parameters, layout, k, unit, width),
                some_variances(parameters, layout, k, unit, width),
                some_factors(a, layout, k, samples, n_units, first, count, unit, width),
                from_unit(a, layout, k, samples, first, count, unit),
            )
    if k > 0 or layout[k, ACTIVATION] != NONE:
        pre_activations = from_unit(a, layout, k, samples, first, count, unit)
        activations = from_unit(h, layout, k, samples, first, count, unit)
        size, step = extent(n, count, width)
        for start in range(0, count * n, step):
            result = piece(activations, start, size)
            some_values(
                0, 0, size // width, layout[k, ACTIVATION], piece(pre_activations, start, size), result, width
            )
            if dropped(layout, k, key) > 0:
                drop_units(key, k, dropped(layout, k, key), result, first * n + unit + start)


@kernel
def extent(n: int, count: int, width: int) -> tuple[int, int]:
    """How many numbers of `count` rows of n, of each of which `width` are wanted, lie side by side.

    And after how many the next are.
    """
    whole = width == n
    return count * n if whole else width, count * n if whole else n


@kernel
def inputs(layout: Layout, a: Vector[F], h: Vector[F], samples: int, first: int, count: int) -> Vector[F]:
    """Where the samples are put from which a pass begins."""
    workspace = h if layout[0, ACTIVATION] == NONE else a
    return some_units(workspace, layout, 0, samples, first, count)


@routine
def error_from_targets(
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
    n, outputs = layout[last, LENGTH], some_units(h, layout, last, samples, first, count)
    signal = some_units(dLdh, layout, last, samples, first, count)
    terms = h.dtype.type(terms_of_mean(loss, n * samples, samples))
    some_slopes(0, 0, n * count, loss, outputs, t, terms, signal)
    some_errors(
        0,
        0,
        count,
        loss,
        layout[last, ACTIVATION],
        some_units(a, layout, last, samples, first, count),
        outputs,
        t,
        signal,
        some_units(dLda, layout, last, samples, first, count),
        n,
        samples,
    )


@routine
def descend_layer(
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
        some_normalized(dLda, layout, k + 1, samples, n_units, first, count),
        weights(parameters, layout, k + 1),
        some_units(dLdh, layout, k, samples, first, count),
        unit,
        width,
        together,
    )
    pre_activations = from_unit(a, layout, k, samples, first, count, unit)
    activations = from_unit(h, layout, k, samples, first, count, unit)
    signals = from_unit(dLdh, layout, k, samples, first, count, unit)
    errors = from_unit(dLda, layout, k, samples, first, count, unit)
    size, step = extent(n, count, width)
    for start in range(0, count * n, step):
        below, above, error = (
            piece(pre_activations, start, size),
            piece(activations, start, size),
            piece(errors, start, size),
        )
        if dropped(layout, k, key) > 0:  # the slope is that at the activations before
            some_values(0, 0, size // width, layout[k, ACTIVATION], below, error, width)
            above = error
        some_products(
            0,
            0,
            size // width,
            layout[k, ACTIVATION],
            below,
            above,
            piece(signals, start, size),
            error,
            width,
        )
        if dropped(layout, k, key) > 0:
            drop_units(key, k, dropped(layout, k, key), error, first * n + unit + start)
    if normalization == BATCH:
        by_gain(layout, k, a, dLda, gradient, samples, unit, width)
    if normalization != UNNORMALIZED:
        normalized_error(
            normalization,
            is_training(layout, k, key),
            normalized_from_unit(a, layout, k, samples, n_units, first, count, unit),
            n,
            some_gains(parameters, layout, k, unit, width),
            some_factors(a, layout, k, samples, n_units, first, count, unit, width),
            errors,
            some_biases(gradient, layout, k, unit, width),
            some_gains(gradient, layout, k, unit, width),
            normalized_from_unit(dLda, layout, k, samples, n_units, first, count, unit),
        )


@kernel
def by_gain(
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
    gradients_by_gain(
        units(dLda, layout, k, samples),
        flat_normalized(a, layout, k, samples, unit_count(layout)),
        biases(gradient, layout, k),
        gains(gradient, layout, k),
        unit,
        width,
    )


@routine
def gradient_from_signals(
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
        by_gain(layout, k, a, dLda, gradient, samples, first, count)
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


@kernel
def with_squares(total: F, x: Vector[F], n: int, count: int, width: int) -> F:
    """A total plus the sum of squares of `width` numbers of each of `count` rows of n."""
    size, step = extent(n, count, width)
    for start in range(0, count * n, step):
        numbers = piece(x, start, size)
        total += inner(0, size, numbers, numbers)
    return total


@routine
def with_squares_of_activations(
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
    activations = from_unit(h, layout, k, samples, first, count, unit)
    return with_squares(total, activations, layout[k, LENGTH], count, width)


@routine
def with_squares_of_signals(
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
    total = with_squares(total, from_unit(dLda, layout, k, samples, first, count, unit), n, count, width)
    if layout[k, NORMALIZATION] != UNNORMALIZED:
        by_z = normalized_from_unit(dLda, layout, k, samples, unit_count(layout), first, count, unit)
        total = with_squares(total, by_z, n, count, width)
    return total


@entry
def forward(
    parameters: Vector[F], layout: Layout, key: int, x: Matrix[F], a: Vector[F], h: Vector[F]
) -> None:
    """All activations of a network for the samples x (B, n_inputs)."""
    samples = x.shape[0]
    copies(0, x.size, x, inputs(layout, a, h, samples, 0, samples))
    for k in range(layout.shape[0]):
        ascend_layer(parameters, layout, key, k, a, h, samples, 0, samples, 0, layout[k, LENGTH], True)


@entry
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
    targets, samples = piece(t, 0, t.size), t.shape[0]
    last = layout.shape[0] - 1
    error_from_targets(layout, loss, targets, a, h, dLdh, dLda, samples, 0, samples)
    for k in range(last - 1, 0, -1):
        n = layout[k, LENGTH]
        descend_layer(parameters, layout, key, k, a, h, dLdh, dLda, gradient, samples, 0, samples, 0, n, True)
    one = gradient.dtype.type(1)
    for k in range(last, 0, -1):
        n = layout[k, LENGTH]
        gradient_from_signals(layout, k, a, h, dLda, gradient, one, False, gradient, samples, 0, n, True)

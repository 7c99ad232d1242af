"""Normalisation of a layer, its backward step, and dropout; `normalizations` has the formulas and sources."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# Formulas written as lambdas have no types.

from __future__ import annotations

from math import isfinite
from typing import Generic, NamedTuple

import numpy as np

from typednn_kernels import dropout, normalizations
from typednn_kernels.arrays import F, Matrix, Vector
from typednn_kernels.compiled._codegen.array_views import slice_of
from typednn_kernels.compiled._codegen.ir_loops import (
    Formula,
    Loop,
    elementwise,
    scalar_function,
    sum_reduction,
)
from typednn_kernels.compiled._codegen.jit import exported, inline, on_demand, require
from typednn_kernels.compiled.linalg.dense import (
    DIFFERENCES,
    PRODUCTS,
    copy,
    scal,
    scale_of_squares,
    sum_rows,
    sum_terms_of_rows,
)
from typednn_kernels.compiled.ops.activation import inner, total
from typednn_kernels.normalizations import BATCH, Settings

subtract: Loop = elementwise(lambda x, y: x - y)
multiply: Loop = elementwise(lambda x, y: x * y)
sum_differences: Formula = sum_reduction(lambda z, first: z - first)
mean_loop: Loop = elementwise(
    lambda first, total, inv_count: normalizations.mean_of(first, total * inv_count)
)
inv_std_loop: Loop = elementwise(normalizations.inverse_std)
inv_std_of: Formula = scalar_function(normalizations.inverse_std)
scale_and_shift: Loop = elementwise(normalizations.scaled_and_shifted)
update_running: Loop = elementwise(normalizations.updated_running)
layer_backward: Loop = elementwise(normalizations.derivative_of_z)
batch_backward: Loop = elementwise(
    lambda dLda, z, gain, dLdBias, dLdGain, inv_count, inv_std: normalizations.derivative_of_z(
        dLda, z, dLdBias * inv_count, dLdGain * inv_count, gain * inv_std
    )
)
dropout_loop: Loop = elementwise(
    lambda index, low, high, layer, threshold, kept, start, h: dropout.dropped(
        index + start, low, high, layer, threshold, kept, h
    ),
    indexed=True,
)


class NormalizedUnits(NamedTuple, Generic[F]):
    """Gains, biases, and running means and variances of some units, (units,) each."""

    gain: Vector[F]
    bias: Vector[F]
    mean: Vector[F]
    variance: Vector[F]


@inline
def subtract_mean(row: Vector[F], epsilon: F) -> F:
    """Subtracts the mean of a row from it; returns inv_std, also where the variance is beyond the dtype."""
    n, one, small = row.size, row.dtype.type(1), row.dtype.type(scale_of_squares(row.itemsize))
    inv_count, scale = one / row.dtype.type(n), one
    difference = sum_differences(0, n, row, row[0])
    if not isfinite(difference):
        scale = small
        scal(0, n, row, scale, row)
        difference = sum_differences(0, n, row, row[0])
    subtract(0, n, row, row[0] + inv_count * difference, row)
    variance = inv_count * inner(0, n, row, row)
    if not isfinite(variance) and scale == one:
        scale = small
        scal(0, n, row, scale, row)
        variance = inv_count * inner(0, n, row, row)
    if scale != one:
        scal(0, n, row, one / scale, row)
    inv_std: F = inv_std_of(variance, epsilon * scale * scale) * scale
    return inv_std


@on_demand
def normalize_rows(
    settings: Settings,
    training: bool,
    z: Vector[F],
    n: int,
    units: NormalizedUnits[F],
    inv_std: Vector[F],
    a: Vector[F],
) -> None:
    """Normalises z in place, and computes inv_std and a = gain z + bias, for some units or some samples.

    With batch normalisation for the units and all samples, with layer normalisation for all n units and some
    samples. z and a are flat, from the first element on, with rows n elements apart; inv_std is (units,) for
    a batch, else (samples,).
    """
    gain, mean, variance = units.gain, units.mean, units.variance
    width, samples = gain.size, (z.size + n - 1) // n
    normalization, epsilon = settings.code, z.dtype.type(settings.epsilon)
    if normalization == BATCH:
        if training:
            kept, moved = z.dtype.type(settings.momentum), 1 - settings.momentum
            divisor = max(samples - 1, 1) if settings.unbiased else samples
            moved_variance = z.dtype.type(moved * (samples / divisor))
            inv_count = z.dtype.type(1) / z.dtype.type(samples)
            sum_terms_of_rows(DIFFERENCES, z, z, n, 0, slice_of(inv_std, 0, width))
            mean_loop(0, width, z, inv_std, inv_count, inv_std)
            update_running(0, width, mean, inv_std, kept, z.dtype.type(moved), mean)
            for start in range(0, z.size, n):
                row = slice_of(z, start, width)
                subtract(0, width, row, inv_std, row)
            sum_terms_of_rows(PRODUCTS, z, z, n, 0, slice_of(inv_std, 0, width))
            scal(0, width, inv_std, inv_count, inv_std)
            update_running(0, width, variance, inv_std, kept, moved_variance, variance)
        else:
            for start in range(0, z.size, n):
                row = slice_of(z, start, width)
                subtract(0, width, row, mean, row)
            copy(0, width, variance, inv_std)
        inv_std_loop(0, width, inv_std, epsilon, inv_std)
    else:
        for s in range(samples):
            inv_std[s] = subtract_mean(slice_of(z, s * n, n), epsilon)
    for s in range(samples):
        row = slice_of(z, s * n, width)
        if normalization == BATCH:
            multiply(0, width, row, inv_std, row)
        else:
            scal(0, width, row, inv_std[s], row)
        scale_and_shift(0, width, row, gain, units.bias, slice_of(a, s * n, width))


@on_demand
def gain_and_bias_gradients(
    dLda: Vector[F], z: Vector[F], dLdBias: Vector[F], dLdGain: Vector[F], first: int, count: int
) -> None:
    """Computes dLdBias and dLdGain of `count` units from `first` on, from flat dLda and z of all samples."""
    sum_rows(dLda, dLdBias, first, count)
    sum_terms_of_rows(PRODUCTS, dLda, z, dLdGain.size, first, slice_of(dLdGain, first, count))


@on_demand
def normalization_backward_rows(
    normalization: int,
    training: bool,
    z: Vector[F],
    n: int,
    gain: Vector[F],
    inv_std: Vector[F],
    dLda: Vector[F],
    dLdBias: Vector[F],
    dLdGain: Vector[F],
    dLdz: Vector[F],
) -> None:
    """Computes dLdz for some units or some samples, as in `normalize_rows`.

    Batch normalisation needs dLdBias and dLdGain of the units first.
    """
    width, samples = gain.size, (z.size + n - 1) // n
    if normalization == BATCH:
        inv_count = z.dtype.type(1 if training else 0) / z.dtype.type(samples)
        for start in range(0, z.size, n):
            batch_backward(
                0,
                width,
                slice_of(dLda, start, width),
                slice_of(z, start, width),
                gain,
                dLdBias,
                dLdGain,
                inv_count,
                inv_std,
                slice_of(dLdz, start, width),
            )
    else:
        inv_count = z.dtype.type(1) / z.dtype.type(n)
        for s in range(samples):
            row, g = slice_of(z, s * n, n), slice_of(dLdz, s * n, n)
            multiply(0, n, slice_of(dLda, s * n, n), gain, g)
            mean, mean_product = inv_count * total(0, n, g), inv_count * inner(0, n, g, row)
            layer_backward(0, n, g, row, mean, mean_product, inv_std[s], g)


@on_demand
def dropout_flat(key: int, layer: int, threshold: int, h: Vector[F], start: int) -> None:
    """Sets dropped elements of h to 0, in place, and divides the others by the fraction that is kept.

    h begins at the index `start` of the flat activations (B * n,) of the layer.
    """
    low, high = np.uint32(key & 0xFFFFFFFF), np.uint32(key >> 32)
    kept = h.dtype.type(dropout.ALL - threshold)
    dropout_loop(0, h.size, low, high, np.uint32(layer), np.uint32(threshold), kept, np.uint32(start), h, h)


@exported
def normalize(
    settings: Settings,
    training: bool,
    z: Matrix[F],
    gain: Vector[F],
    bias: Vector[F],
    running: Matrix[F],
    inv_std: Vector[F],
    a: Matrix[F],
) -> None:
    """Normalises z (B, n) in place, and computes inv_std and a = gain z + bias.

    inv_std is (n,) for a batch, (B,) for layers. In training running mean and variance, (2, n), are updated.
    """
    size, n = z.size, gain.size
    by_batch = settings.code == BATCH
    require(z.shape == a.shape and z.shape[1] == n == bias.size)
    require(inv_std.size == (n if by_batch else z.shape[0]) and (running.size == 2 * n or not by_batch))
    normalize_rows(
        settings,
        training,
        slice_of(z, 0, size),
        n,
        NormalizedUnits(gain, bias, slice_of(running, 0, n), slice_of(running, n, n)),
        inv_std,
        slice_of(a, 0, size),
    )


@exported
def normalization_backward(
    normalization: int,
    training: bool,
    z: Matrix[F],
    gain: Vector[F],
    inv_std: Vector[F],
    dLda: Matrix[F],
    dLdBias: Vector[F],
    dLdGain: Vector[F],
    dLdz: Matrix[F],
) -> None:
    """Computes dLdz (B, n), dLdBias and dLdGain (n,) from dLda and what `normalize` left."""
    size, n = z.size, gain.size
    require(z.shape == dLda.shape == dLdz.shape and z.shape[1] == n == dLdBias.size == dLdGain.size)
    require(inv_std.size == (n if normalization == BATCH else z.shape[0]))
    gain_and_bias_gradients(slice_of(dLda, 0, size), slice_of(z, 0, size), dLdBias, dLdGain, 0, n)
    normalization_backward_rows(
        normalization,
        training,
        slice_of(z, 0, size),
        n,
        gain,
        inv_std,
        slice_of(dLda, 0, size),
        dLdBias,
        dLdGain,
        slice_of(dLdz, 0, size),
    )


@exported
def apply_dropout(key: int, layer: int, threshold: int, h: Matrix[F]) -> None:
    """Sets dropped elements of h (B, n) to 0, and divides the others by the fraction that is kept."""
    dropout_flat(key, layer, threshold, slice_of(h, 0, h.size), 0)

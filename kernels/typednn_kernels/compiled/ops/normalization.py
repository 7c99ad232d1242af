"""The normalisation of a layer, and dropout."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# Formulas written as lambdas have no types.

from __future__ import annotations

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
from typednn_kernels.compiled._codegen.jit import exported, noinline
from typednn_kernels.compiled.linalg.dense import axpy, copy, scal, sum_rows
from typednn_kernels.compiled.ops.activation import inner, total
from typednn_kernels.normalizations import BATCH

differences: Loop = elementwise(lambda z, mean: z - mean)
sum_of_differences: Formula = sum_reduction(lambda z, first: z - first)
added_differences: Loop = elementwise(lambda total, z, first: total + (z - first))
added_squares: Loop = elementwise(lambda total, z: total + z * z)
means: Loop = elementwise(lambda first, total, share: normalizations.mean_of(first, total * share))
factors_of: Loop = elementwise(normalizations.inverse_std)
factor_of: Formula = scalar_function(normalizations.inverse_std)
scaled_and_shifted: Loop = elementwise(normalizations.scaled_and_shifted)
moved: Loop = elementwise(normalizations.updated_running)
derivatives: Loop = elementwise(normalizations.derivative_of_z)
batch_derivatives: Loop = elementwise(
    lambda dLda, z, gain, dLdBias, dLdGain, share, factor: normalizations.derivative_of_z(
        dLda, z, dLdBias * share, dLdGain * share, gain * factor
    )
)
drops: Loop = elementwise(
    lambda index, low, high, layer, threshold, kept, start, h: dropout.dropped(
        index + start, low, high, layer, threshold, kept, h
    ),
    indexed=True,
)


@noinline
def normalize_rows(
    normalization: int,
    training: bool,
    z: Vector[F],
    n: int,
    gain: Vector[F],
    bias: Vector[F],
    mean: Vector[F],
    variance: Vector[F],
    inv_std: Vector[F],
    a: Vector[F],
) -> None:
    """z and the inv_std, in place, and the pre-activations, of a part of a layer of n units.

    z and a are flat, from the first number of the part on; gain, bias, mean and variance are those of its
    units. They are some units of all samples with batch normalisation, else all of some.
    """
    width, samples = gain.size, (z.size + n - 1) // n
    if normalization == BATCH:
        if training:
            share = z.dtype.type(1) / z.dtype.type(samples)
            differences(0, width, z, z, inv_std)
            for start in range(n, z.size, n):
                added_differences(0, width, inv_std, slice_of(z, start, width), z, inv_std)
            means(0, width, z, inv_std, share, inv_std)
            moved(0, width, mean, inv_std, mean)
            for start in range(0, z.size, n):
                row = slice_of(z, start, width)
                differences(0, width, row, inv_std, row)
            row = slice_of(z, 0, width)
            scal(0, width, row, row, inv_std)
            for start in range(n, z.size, n):
                added_squares(0, width, inv_std, slice_of(z, start, width), inv_std)
            scal(0, width, inv_std, share, inv_std)
            moved(0, width, variance, inv_std, variance)
        else:
            for start in range(0, z.size, n):
                row = slice_of(z, start, width)
                differences(0, width, row, mean, row)
            copy(0, width, variance, inv_std)
        factors_of(0, width, inv_std, inv_std)
    else:
        share = z.dtype.type(1) / z.dtype.type(n)
        for s in range(samples):
            row = slice_of(z, s * n, n)
            first = row[0]
            differences(0, n, row, first + share * sum_of_differences(0, n, row, first), row)
            inv_std[s] = factor_of(share * inner(0, n, row, row))
    for s in range(samples):
        row = slice_of(z, s * n, width)
        if normalization == BATCH:
            scal(0, width, row, inv_std, row)
        else:
            scal(0, width, row, inv_std[s], row)
        scaled_and_shifted(0, width, row, gain, bias, slice_of(a, s * n, width))


@noinline
def gain_and_bias_gradients(
    dLda: Vector[F], z: Vector[F], dLdBias: Vector[F], dLdGain: Vector[F], first: int, count: int
) -> None:
    """The gradients by bias and gain, of `count` units from `first` on; dLda and z flat, of all samples."""
    sum_rows(dLda, dLdBias, first, count)
    by_gain = slice_of(dLdGain, first, count)
    scal(0, count, slice_of(dLda, first, count), slice_of(z, first, count), by_gain)
    for start in range(dLdGain.size + first, z.size, dLdGain.size):
        axpy(0, count, by_gain, slice_of(dLda, start, count), slice_of(z, start, count), by_gain)


@noinline
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
    """dLdz of a part of a layer, as in `normalized_rows`; of a batch, from the gradients by bias and gain."""
    width, samples = gain.size, (z.size + n - 1) // n
    if normalization == BATCH:
        share = z.dtype.type(1 if training else 0) / z.dtype.type(samples)
        for start in range(0, z.size, n):
            batch_derivatives(
                0,
                width,
                slice_of(dLda, start, width),
                slice_of(z, start, width),
                gain,
                dLdBias,
                dLdGain,
                share,
                inv_std,
                slice_of(dLdz, start, width),
            )
    else:
        share = z.dtype.type(1) / z.dtype.type(n)
        for s in range(samples):
            row, g = slice_of(z, s * n, n), slice_of(dLdz, s * n, n)
            scal(0, n, slice_of(dLda, s * n, n), gain, g)
            mean, mean_product = share * total(0, n, g), share * inner(0, n, g, row)
            derivatives(0, n, g, row, mean, mean_product, inv_std[s], g)


@noinline
def dropout_flat(key: int, layer: int, threshold: int, h: Vector[F], start: int) -> None:
    """h, in place, from an index of the flat block of a layer on: 0 where the step drops a unit.

    What is kept is divided by the share that is.
    """
    low, high = np.uint32(key & 0xFFFFFFFF), np.uint32(key >> 32)
    kept = h.dtype.type(dropout.ALL - threshold)
    drops(0, h.size, low, high, np.uint32(layer), np.uint32(threshold), kept, np.uint32(start), h, h)


@exported
def normalize(
    normalization: int,
    training: bool,
    z: Matrix[F],
    gain: Vector[F],
    bias: Vector[F],
    running: Matrix[F],
    inv_std: Vector[F],
    a: Matrix[F],
) -> None:
    """z and the inv_std, in place, and a = gain z + bias; with training, running mean and variance."""
    size, n = z.size, gain.size
    normalize_rows(
        normalization,
        training,
        slice_of(z, 0, size),
        n,
        gain,
        bias,
        slice_of(running, 0, n),
        slice_of(running, n, n),
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
    """dLdz (B, n), and the gradients (n,) by bias and gain, from dLda and what `normalize` left."""
    size, n = z.size, gain.size
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
    """h (B, n), in place: 0 where the step drops a unit, else divided by the share that is kept."""
    dropout_flat(key, layer, threshold, slice_of(h, 0, h.size), 0)

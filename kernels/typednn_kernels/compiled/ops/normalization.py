"""The normalisation of a layer, and dropout."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# Formulas written as lambdas have no types.

from __future__ import annotations

import numpy as np

from typednn_kernels import dropout, normalizations
from typednn_kernels.arrays import F, Matrix, Vector
from typednn_kernels.compiled._codegen.array_views import piece
from typednn_kernels.compiled._codegen.ir_loops import Formula, Loop, elementwise, formula, sums
from typednn_kernels.compiled._codegen.jit import entry, routine
from typednn_kernels.compiled.linalg.dense import copies, scaled, sum_rows, weighted
from typednn_kernels.compiled.ops.activation import inner, total
from typednn_kernels.normalizations import BATCH

differences: Loop = elementwise(lambda z, mean: z - mean)
sum_of_differences: Formula = sums(lambda z, first: z - first)
added_differences: Loop = elementwise(lambda total, z, first: total + (z - first))
added_squares: Loop = elementwise(lambda total, z: total + z * z)
means: Loop = elementwise(lambda first, total, share: normalizations.mean_of(first, total * share))
factors_of: Loop = elementwise(normalizations.factor)
factor_of: Formula = formula(normalizations.factor)
scaled_and_shifted: Loop = elementwise(normalizations.scaled_and_shifted)
moved: Loop = elementwise(normalizations.moved)
slopes: Loop = elementwise(normalizations.slope_by_z)
batch_slopes: Loop = elementwise(
    lambda dLda, z, gain, dLdBias, dLdGain, share, factor: normalizations.slope_by_z(
        dLda, z, dLdBias * share, dLdGain * share, gain * factor
    )
)
drops: Loop = elementwise(
    lambda index, low, high, layer, threshold, kept, start, h: dropout.dropped(
        index + start, low, high, layer, threshold, kept, h
    ),
    indexed=True,
)


@routine
def normalized_rows(
    normalization: int,
    training: bool,
    z: Vector[F],
    n: int,
    gain: Vector[F],
    bias: Vector[F],
    mean: Vector[F],
    variance: Vector[F],
    factors: Vector[F],
    a: Vector[F],
) -> None:
    """z and the factors, in place, and the pre-activations, of a part of a layer of n units.

    z and a are flat, from the first number of the part on; gain, bias, mean and variance are those of its
    units. They are some units of all samples with batch normalisation, else all of some.
    """
    width, samples = gain.size, (z.size + n - 1) // n
    if normalization == BATCH:
        if training:
            share = z.dtype.type(1) / z.dtype.type(samples)
            differences(0, width, z, z, factors)
            for start in range(n, z.size, n):
                added_differences(0, width, factors, piece(z, start, width), z, factors)
            means(0, width, z, factors, share, factors)
            moved(0, width, mean, factors, mean)
            for start in range(0, z.size, n):
                row = piece(z, start, width)
                differences(0, width, row, factors, row)
            row = piece(z, 0, width)
            scaled(0, width, row, row, factors)
            for start in range(n, z.size, n):
                added_squares(0, width, factors, piece(z, start, width), factors)
            scaled(0, width, factors, share, factors)
            moved(0, width, variance, factors, variance)
        else:
            for start in range(0, z.size, n):
                row = piece(z, start, width)
                differences(0, width, row, mean, row)
            copies(0, width, variance, factors)
        factors_of(0, width, factors, factors)
    else:
        share = z.dtype.type(1) / z.dtype.type(n)
        for s in range(samples):
            row = piece(z, s * n, n)
            first = row[0]
            differences(0, n, row, first + share * sum_of_differences(0, n, row, first), row)
            factors[s] = factor_of(share * inner(0, n, row, row))
    for s in range(samples):
        row = piece(z, s * n, width)
        if normalization == BATCH:
            scaled(0, width, row, factors, row)
        else:
            scaled(0, width, row, factors[s], row)
        scaled_and_shifted(0, width, row, gain, bias, piece(a, s * n, width))


@routine
def gradients_by_gain(
    dLda: Vector[F], z: Vector[F], dLdBias: Vector[F], dLdGain: Vector[F], first: int, count: int
) -> None:
    """The gradients by bias and gain, of `count` units from `first` on; dLda and z flat, of all samples."""
    sum_rows(dLda, dLdBias, first, count)
    by_gain = piece(dLdGain, first, count)
    scaled(0, count, piece(dLda, first, count), piece(z, first, count), by_gain)
    for start in range(dLdGain.size + first, z.size, dLdGain.size):
        weighted(0, count, by_gain, piece(dLda, start, count), piece(z, start, count), by_gain)


@routine
def normalized_error(
    normalization: int,
    training: bool,
    z: Vector[F],
    n: int,
    gain: Vector[F],
    factors: Vector[F],
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
            batch_slopes(
                0,
                width,
                piece(dLda, start, width),
                piece(z, start, width),
                gain,
                dLdBias,
                dLdGain,
                share,
                factors,
                piece(dLdz, start, width),
            )
    else:
        share = z.dtype.type(1) / z.dtype.type(n)
        for s in range(samples):
            row, g = piece(z, s * n, n), piece(dLdz, s * n, n)
            scaled(0, n, piece(dLda, s * n, n), gain, g)
            mean, mean_product = share * total(0, n, g), share * inner(0, n, g, row)
            slopes(0, n, g, row, mean, mean_product, factors[s], g)


@routine
def drop_units(key: int, layer: int, threshold: int, h: Vector[F], start: int) -> None:
    """h, in place, from an index of the flat block of a layer on: 0 where the step drops a unit.

    What is kept is divided by the share that is.
    """
    low, high = np.uint32(key & 0xFFFFFFFF), np.uint32(key >> 32)
    kept = h.dtype.type(dropout.ALL - threshold)
    drops(0, h.size, low, high, np.uint32(layer), np.uint32(threshold), kept, np.uint32(start), h, h)


@entry
def normalize(
    normalization: int,
    training: bool,
    z: Matrix[F],
    gain: Vector[F],
    bias: Vector[F],
    moving: Matrix[F],
    factors: Vector[F],
    a: Matrix[F],
) -> None:
    """z and the factors, in place, and a = gain z + bias; with training, moving mean and variance."""
    size, n = z.size, gain.size
    normalized_rows(
        normalization,
        training,
        piece(z, 0, size),
        n,
        gain,
        bias,
        piece(moving, 0, n),
        piece(moving, n, n),
        factors,
        piece(a, 0, size),
    )


@entry
def normalization_error(
    normalization: int,
    training: bool,
    z: Matrix[F],
    gain: Vector[F],
    factors: Vector[F],
    dLda: Matrix[F],
    dLdBias: Vector[F],
    dLdGain: Vector[F],
    dLdz: Matrix[F],
) -> None:
    """dLdz (B, n), and the gradients (n,) by bias and gain, from dLda and what `normalize` left."""
    size, n = z.size, gain.size
    gradients_by_gain(piece(dLda, 0, size), piece(z, 0, size), dLdBias, dLdGain, 0, n)
    normalized_error(
        normalization,
        training,
        piece(z, 0, size),
        n,
        gain,
        factors,
        piece(dLda, 0, size),
        dLdBias,
        dLdGain,
        piece(dLdz, 0, size),
    )


@entry
def drop(key: int, layer: int, threshold: int, h: Matrix[F]) -> None:
    """h (B, n), in place: 0 where the step drops a unit, else divided by the share that is kept."""
    drop_units(key, layer, threshold, piece(h, 0, h.size), 0)

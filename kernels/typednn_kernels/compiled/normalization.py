"""The normalisation of a layer, and dropout."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# Formulas written as lambdas have no types.

from __future__ import annotations

import numpy as np

from typednn_kernels import dropout, normalizations
from typednn_kernels.arrays import F, Matrix, Vector
from typednn_kernels.compiled.dense import copies, scaled, sum_rows, weighted
from typednn_kernels.compiled.elementwise import inner, total
from typednn_kernels.compiled.jit import entry, routine
from typednn_kernels.compiled.loops import Formula, Loop, elementwise, formula, sums
from typednn_kernels.compiled.views import piece
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
drops: Loop = elementwise(dropout.dropped, indexed=True)


@routine
def normalized_rows(
    normalization: int,
    training: bool,
    z: Vector[F],
    gain: Vector[F],
    bias: Vector[F],
    moving: Vector[F],
    factors: Vector[F],
    a: Vector[F],
) -> None:
    """z and the factors, in place, and the pre-activations; all but gain, bias and factors flat."""
    n, samples = gain.size, z.size // gain.size
    if normalization == BATCH:
        mean, variance = piece(moving, 0, n), piece(moving, n, n)
        if training:
            share = z.dtype.type(1) / z.dtype.type(samples)
            differences(0, n, z, z, factors)
            for start in range(n, z.size, n):
                added_differences(0, n, factors, piece(z, start, n), z, factors)
            means(0, n, z, factors, share, factors)
            moved(0, n, mean, factors, mean)
            for start in range(0, z.size, n):
                row = piece(z, start, n)
                differences(0, n, row, factors, row)
            scaled(0, n, z, z, factors)
            for start in range(n, z.size, n):
                added_squares(0, n, factors, piece(z, start, n), factors)
            scaled(0, n, factors, share, factors)
            moved(0, n, variance, factors, variance)
        else:
            for start in range(0, z.size, n):
                row = piece(z, start, n)
                differences(0, n, row, mean, row)
            copies(0, n, variance, factors)
        factors_of(0, n, factors, factors)
    else:
        share = z.dtype.type(1) / z.dtype.type(n)
        for s in range(samples):
            row = piece(z, s * n, n)
            first = row[0]
            differences(0, n, row, first + share * sum_of_differences(0, n, row, first), row)
            factors[s] = factor_of(share * inner(0, n, row, row))
    for s in range(samples):
        row = piece(z, s * n, n)
        if normalization == BATCH:
            scaled(0, n, row, factors, row)
        else:
            scaled(0, n, row, factors[s], row)
        scaled_and_shifted(0, n, row, gain, bias, piece(a, s * n, n))


@routine
def normalized_error(
    normalization: int,
    training: bool,
    z: Vector[F],
    gain: Vector[F],
    factors: Vector[F],
    dLda: Vector[F],
    dLdBias: Vector[F],
    dLdGain: Vector[F],
    dLdz: Vector[F],
) -> None:
    """dLdz, and the gradients by bias and gain; z, dLda and dLdz flat."""
    n = gain.size
    sum_rows(dLda, dLdBias, 0, dLdBias.size)
    scaled(0, n, dLda, z, dLdGain)
    for start in range(n, z.size, n):
        weighted(0, n, dLdGain, piece(dLda, start, n), piece(z, start, n), dLdGain)
    if normalization == BATCH:
        share = z.dtype.type(1 if training else 0) / z.dtype.type(z.size // n)
        for start in range(0, z.size, n):
            batch_slopes(
                0,
                n,
                piece(dLda, start, n),
                piece(z, start, n),
                gain,
                dLdBias,
                dLdGain,
                share,
                factors,
                piece(dLdz, start, n),
            )
    else:
        share = z.dtype.type(1) / z.dtype.type(n)
        for s in range(factors.size):
            row, g = piece(z, s * n, n), piece(dLdz, s * n, n)
            scaled(0, n, piece(dLda, s * n, n), gain, g)
            mean, mean_product = share * total(0, n, g), share * inner(0, n, g, row)
            slopes(0, n, g, row, mean, mean_product, factors[s], g)


@routine
def drop_units(key: int, layer: int, threshold: int, h: Vector[F]) -> None:
    """h, flat, in place: 0 where the step drops a unit, else divided by the share that is kept."""
    low, high = np.uint32(key & 0xFFFFFFFF), np.uint32(key >> 32)
    kept = h.dtype.type(dropout.ALL - threshold)
    drops(0, h.size, low, high, np.uint32(layer), np.uint32(threshold), kept, h, h)


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
    size = z.size
    statistics = piece(moving, 0, moving.size)
    normalized_rows(
        normalization, training, piece(z, 0, size), gain, bias, statistics, factors, piece(a, 0, size)
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
    size = z.size
    normalized_error(
        normalization,
        training,
        piece(z, 0, size),
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
    drop_units(key, layer, threshold, piece(h, 0, h.size))

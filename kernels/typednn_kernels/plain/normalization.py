"""Normalisation of a layer, its backward step, and dropout; `normalizations` has the formulas and sources."""

from __future__ import annotations

import numpy as np

from typednn_kernels import dropout
from typednn_kernels.arrays import F, Matrix, Vector
from typednn_kernels.layout import square_scale
from typednn_kernels.normalizations import (
    BATCH,
    NORMALIZATIONS,
    Settings,
    derivative_of_z,
    inverse_std,
    mean_of,
    scaled_and_shifted,
    updated_running,
)
from typednn_kernels.plain.dense import sum_samples


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
    normalization, epsilon, momentum, unbiased = settings[:4]
    axis = NORMALIZATIONS[normalization].axis
    if normalization == BATCH and not training:
        deviations = z - running[0]
        inv_std[...] = inverse_std(running[1], epsilon)
    else:
        mean = _mean_along(z, axis)
        deviations = z - mean
        variance = _mean(deviations * deviations, axis)
        inv_std[...] = inverse_std(variance, epsilon).reshape(-1)
        if normalization == BATCH:
            moved, samples = 1 - momentum, len(z)
            running[0] = updated_running(running[0], mean[0], momentum, moved)
            moved *= samples / (max(samples - 1, 1) if unbiased else samples)
            running[1] = updated_running(running[1], variance[0], momentum, moved)
        elif not np.isfinite(variance).all():
            large = np.flatnonzero(~np.isfinite(variance))
            deviations[large], inv_std[large] = _scaled(z[large], epsilon)
    np.multiply(deviations, np.expand_dims(inv_std, axis or 0), out=z)
    a[...] = scaled_and_shifted(z, gain, bias)


def _scaled(z: Matrix[F], epsilon: float) -> tuple[Matrix[F], Vector[F]]:
    """Computes deviations and inv_std of rows whose variance is beyond the dtype."""
    scale = z.dtype.type(square_scale(z.itemsize))
    small: Matrix[F] = np.multiply(z, scale)
    small -= _mean_along(small, 1)
    inv_std = np.empty(len(z), z.dtype)
    inv_std[...] = inverse_std(_mean(small * small, 1)[:, 0], float(epsilon * scale * scale))
    small /= scale
    inv_std *= scale
    return small, inv_std


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
    axis = NORMALIZATIONS[normalization].axis
    sum_samples(dLda, dLdBias)
    sum_samples(dLda * z, dLdGain)
    g = gain * dLda
    if normalization == BATCH and not training:
        np.multiply(g, inv_std, out=dLdz)
    else:
        mean, mean_product = _mean(g, axis), _mean(g * z, axis)
        dLdz[...] = derivative_of_z(g, z, mean, mean_product, np.expand_dims(inv_std, axis or 0))


def _mean_along(z: Matrix[F], axis: int | None) -> Matrix[F]:
    """Computes the mean over an axis, which it keeps, from the deviations from the first element."""
    first = z[:1] if axis == 0 else z[:, :1]
    deviations: Matrix[F] = np.subtract(z, first)
    mean = _mean(deviations, axis)
    mean[...] = mean_of(first, mean)
    return mean


def _mean(x: Matrix[F], axis: int | None) -> Matrix[F]:
    """Computes the mean over an axis, which it keeps; NumPy sums pairwise over the last alone."""
    if axis == 1:
        mean: Matrix[F] = x.mean(axis=1, keepdims=True)
    else:
        mean = np.empty((1, x.shape[1]), x.dtype)
        sum_samples(x, mean[0])
        mean /= x.dtype.type(len(x))
    return mean


def apply_dropout(key: int, layer: int, threshold: int, h: Matrix[F]) -> None:
    """Sets dropped elements of h (B, n) to 0, and divides the others by the fraction that is kept."""
    index: dropout.Words = np.arange(h.size, dtype=np.uint32).reshape(h.shape)
    low, high, place, limit = np.array([[key & 0xFFFFFFFF], [key >> 32], [layer], [threshold]], np.uint32)
    kept = h.dtype.type(dropout.ALL - threshold)
    h[...] = dropout.dropped(index, low, high, place, limit, kept, h)

"""Computes where the elements of each layer lie in the flat vectors of a network.

A network is described by one `int64` matrix with a row per layer, the input layer first. All parameters lie
in one vector: layer by layer the weights `(n, n_prev)` in C order, then the biases `(n,)`, then the gains
`(n,)` if the layer is normalised, and its inner biases `(n,)` if it has some. A layer that only normalises
has no weights: W is `(n, 0)`, and z is h of the layer before. The running means `(n,)` and
variances `(n,)` of layers with batch normalisation follow. There is no gradient with
respect to these: a vector of gradients ends where they begin.

Activations and deltas of `B` samples lie in vectors of `B * units` elements: the block of a layer starts at
`B * row[UNITS]` and is a C-ordered `(B, n)` matrix. In `a` and `dLda` follow, for each normalised layer,
`(B + 1) * (n + 1)` elements: z `(B, n)` in `a` or dLdz in `dLda`, then in `a` the inv_std, `n` or `B`, that z
was multiplied by; and at the end as many elements as there are running means and variances.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from typednn_kernels.arrays import F, Layout, Matrix, Values, Vector
from typednn_kernels.normalizations import BATCH, NONE, Settings
from typednn_kernels.primitives import where

(
    LENGTH,
    PREVIOUS,
    ACTIVATION,
    WEIGHTS,
    BIASES,
    UNITS,
    NORMALIZATION,
    GAINS,
    RUNNING,
    NORMALIZED,
    DROPOUT,
    FROZEN,
    INNER_BIASES,
    EPSILON,
    MOMENTUM,
    UNBIASED,
    FAN_IN,
) = range(17)
"""Columns: `n`, `n_prev`, activation code, offset of the weights, of the biases, of the units; normalisation
code, offset of the gains, of the running mean, of z, for which each normalised layer before has `n + 1`; the
fraction of units that is dropped, in units of 2**-32; whether the layer is frozen, so that in training, too,
batch normalisation uses its running mean and variance and does not update them; offset of the inner biases,
or 0; the settings of the normalisation, of which epsilon and momentum are the bits of a float64; the number
of columns of W: `n_prev`, or 0 in a layer without weights."""
COLUMNS = FAN_IN + 1

ROUNDED_ELEMENTS = 16
"""The number of elements to which vectors that lie in one memory are rounded up; 64 bytes at least."""


def layout_of(
    lengths: Sequence[int],
    activations: Sequence[int],
    normalizations: Sequence[int | Settings] | None = None,
    dropouts: Sequence[int] | None = None,
    fan_in: int = 0,
    weighted: Sequence[bool] | None = None,
) -> Layout:
    """Computes the layout of attached layers, none of them frozen.

    The first layer has parameters only if it has inputs, whose number is `fan_in`. Normalisations are codes,
    or settings. Layers have weights unless `weighted` says otherwise.

    >>> layout_of([2, 3, 1], [0, 1, 1], [0, 1, 0])[:, :INNER_BIASES]
    array([[ 2,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0],
           [ 3,  2,  1,  0,  6,  2,  1,  9, 16,  0,  0,  0],
           [ 1,  3,  1, 12, 15,  5,  0, 16,  0,  4,  0,  0]])
    """
    layout = np.zeros((len(lengths), COLUMNS), np.int64)
    zeros = [0] * len(lengths)
    columns = zip(
        lengths,
        activations,
        normalizations or zeros,
        dropouts or zeros,
        weighted or [True] * len(lengths),
        strict=True,
    )
    parameters = units = normalized = 0
    previous = fan_in
    for row, (n, activation, normalization, dropout, has_weights) in zip(layout, columns, strict=True):
        chosen = normalization if isinstance(normalization, Settings) else Settings(normalization)
        is_normalized = chosen.code != NONE
        columns_of_W = previous if has_weights else 0
        biases = parameters + n * columns_of_W
        gains = biases + n
        inner_biases = gains + n
        row[:] = (
            n,
            previous,
            activation,
            parameters,
            biases,
            units,
            chosen.code,
            gains,
            0,
            normalized,
            dropout,
            0,
            inner_biases if chosen.inner_bias and previous else 0,
            _bits(chosen.epsilon),
            _bits(chosen.momentum),
            chosen.unbiased,
            columns_of_W,
        )
        parameters = gains + n * (is_normalized + chosen.inner_bias) if previous else 0
        units += n
        normalized += (n + 1) * is_normalized
        previous = n
    if not fan_in:
        layout[0, [BIASES, GAINS]] = 0
    for row in layout:
        if row[NORMALIZATION] == BATCH:
            row[RUNNING] = parameters
            parameters += 2 * row[LENGTH]
    return layout


def _bits(number: float) -> int:
    return int(np.float64(number).view(np.int64))


def normalization_settings(layout: Layout, k: int) -> Settings:
    """Returns the normalisation of layer k with its settings."""
    epsilon, momentum = layout[k, EPSILON : MOMENTUM + 1].view(np.float64).tolist()
    code, unbiased, inner_bias = (int(layout[k, each]) for each in (NORMALIZATION, UNBIASED, INNER_BIASES))
    return Settings(code, epsilon, momentum, bool(unbiased), bool(inner_bias))


def parameter_count(layout: Layout) -> int:
    """Counts the weights, biases, gains and inner biases of the network."""
    last = len(layout) - 1
    count = gain_count(layout, last) + inner_bias_count(layout, last)
    return int(layout[-1, GAINS]) + count if layout[-1, PREVIOUS] else 0


def vector_size(layout: Layout) -> int:
    """Counts the elements of the vector of parameters, running means and variances included."""
    return parameter_count(layout) + running_count(layout)


def running_count(layout: Layout) -> int:
    """Counts the running means and variances of the network."""
    return 2 * int(layout[layout[:, NORMALIZATION] == BATCH, LENGTH].sum())


def gain_count(layout: Layout, k: int) -> int:
    """Counts the gains of layer k: `n`, or 0."""
    return int(layout[k, LENGTH]) if layout[k, NORMALIZATION] != NONE else 0


def inner_bias_count(layout: Layout, k: int) -> int:
    """Counts the inner biases of layer k: `n`, or 0."""
    return int(layout[k, LENGTH]) if layout[k, INNER_BIASES] else 0


def workspace_size(layout: Layout, samples: int) -> int:
    """Counts the elements of `a` and of `dLda`."""
    lengths = layout[layout[:, NORMALIZATION] != NONE, LENGTH]
    normalized = (samples + 1) * int((lengths + 1).sum())
    return samples * unit_count(layout) + normalized + running_count(layout)


def prediction_size(layout: Layout, samples: int) -> int:
    """Counts the elements of the memory of `Kernels.predict`: `h`, rounded up, and `a`."""
    return workspace_size(layout, samples) + samples * unit_count(layout) + ROUNDED_ELEMENTS


def unit_count(layout: Layout) -> int:
    """Counts the units of the network, those of the input layer included."""
    return int(layout[-1, UNITS] + layout[-1, LENGTH])


def weights(vector: Vector[F], layout: Layout, k: int) -> Matrix[F]:
    """Returns the weights `(n, n_prev)` or `(n, 0)` of layer k in a vector of parameters or gradients."""
    start, n, columns = int(layout[k, WEIGHTS]), int(layout[k, LENGTH]), int(layout[k, FAN_IN])
    return vector[start : start + n * columns].reshape(n, columns)


def biases(vector: Vector[F], layout: Layout, k: int) -> Vector[F]:
    """Returns the biases `(n,)` of layer k in a vector of parameters or gradients."""
    start, n = int(layout[k, BIASES]), int(layout[k, LENGTH])
    return vector[start : start + n]


def gains(vector: Vector[F], layout: Layout, k: int) -> Vector[F]:
    """Returns the gains `(n,)` or `(0,)` of layer k in a vector of parameters or gradients."""
    start = int(layout[k, GAINS])
    return vector[start : start + gain_count(layout, k)]


def inner_biases(vector: Vector[F], layout: Layout, k: int) -> Vector[F]:
    """Returns the inner biases `(n,)` or `(0,)` of layer k in a vector of parameters or gradients."""
    start = int(layout[k, INNER_BIASES])
    return vector[start : start + inner_bias_count(layout, k)]


def running_moments(vector: Vector[F], layout: Layout, k: int) -> Matrix[F]:
    """Returns running mean and variance of layer k: `(2, n)`, or `(2, 0)` if it has none."""
    start, n = int(layout[k, RUNNING]), int(layout[k, LENGTH]) if layout[k, NORMALIZATION] == BATCH else 0
    return vector[start : start + 2 * n].reshape(2, n)


def block(workspace: Vector[F], layout: Layout, k: int, samples: int) -> Matrix[F]:
    """Returns the block `(B, n)` of layer k in a workspace."""
    start, n = samples * int(layout[k, UNITS]), int(layout[k, LENGTH])
    return workspace[start : start + samples * n].reshape(samples, n)


def normalized(workspace: Vector[F], layout: Layout, k: int, samples: int) -> Matrix[F]:
    """Returns z `(B, n)` of layer k in `a`, or dLdz in `dLda`."""
    start, n = int(normalized_start(layout[k], samples, unit_count(layout))), int(layout[k, LENGTH])
    return workspace[start : start + samples * n].reshape(samples, n)


def inv_std(workspace: Vector[F], layout: Layout, k: int, samples: int) -> Vector[F]:
    """Returns the inv_std of layer k in `a`: `(n,)` of units, or `(B,)` of samples."""
    n, code = int(layout[k, LENGTH]), int(layout[k, NORMALIZATION])
    start = int(normalized_start(layout[k], samples, unit_count(layout))) + samples * n
    return workspace[start : start + (0 if code == NONE else n if code == BATCH else samples)]


def normalized_start(row: Any, samples: int, n_units: int) -> Values:
    """Computes where z begins in `a`, and dLdz in `dLda`: the block itself if the layer is not normalised.

    A formula of integers, for NumPy and for compiled kernels, from the row of the layer in the layout.
    """
    apart = samples * n_units + (samples + 1) * row[NORMALIZED]
    return where(row[NORMALIZATION] == NONE, samples * row[UNITS], apart)


def square_scale(itemsize: int) -> float:
    """Returns a power of two that makes the squares of all finite floats of a size finite.

    It is for sums of squares that overflow otherwise, in which the squares of small elements are nothing.
    """
    return 2.0**-80 if itemsize == 4 else 2.0**-640

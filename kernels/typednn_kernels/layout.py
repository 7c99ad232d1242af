"""Where each layer's numbers lie in the flat vectors of a network.

A network is one `int64` matrix with a row per layer, the input layer first. All parameters lie in one
vector: layer by layer the weights `(n, n_prev)` in C order, then the biases `(n,)`, then the gains `(n,)` if
the layer is normalised. Behind them lie the moving means `(n,)` and variances `(n,)` of layers with batch
normalisation. No gradient is taken by these: a vector of gradients ends where they begin.

Activations and error signals of `B` samples lie in vectors of `B * units` numbers: the block of a layer
starts at `B * row[UNITS]` and is a C-ordered `(B, n)` matrix. In `a` and `dLda` follow, for each normalised
layer, `(B + 1) * (n + 1)` numbers: z `(B, n)` in `a` or dLdz in `dLda`, then in `a` the inv_std, `n` or `B`,
that z was multiplied by; and at the end as many numbers as there are moving means and variances.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from typednn_kernels.arrays import F, Layout, Matrix, Vector
from typednn_kernels.normalizations import BATCH, NONE

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
) = range(12)
"""Columns: `n`, `n_prev`, activation code, offset of the weights, of the biases, of the units; normalisation
code, offset of the gains, of the moving mean, of z, where each normalised layer before has `n + 1` places;
which share of the units is dropped, in units of 2**-32; whether the layer is frozen, so that batch
normalisation takes its moving averages, and keeps them, in training too."""


def layout_of(
    lengths: Sequence[int],
    activations: Sequence[int],
    normalizations: Sequence[int] | None = None,
    dropouts: Sequence[int] | None = None,
) -> Layout:
    """The layout of a chain of layers, none of them frozen.

    >>> layout_of([2, 3, 1], [0, 1, 1], [0, 1, 0])
    array([[ 2,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0],
           [ 3,  2,  1,  0,  6,  2,  1,  9, 16,  0,  0,  0],
           [ 1,  3,  1, 12, 15,  5,  0, 16,  0,  4,  0,  0]])
    """
    layout = np.zeros((len(lengths), FROZEN + 1), np.int64)
    nothing = [0] * len(lengths)
    settings = zip(lengths, activations, normalizations or nothing, dropouts or nothing, strict=True)
    parameters = units = normalized = previous = 0
    for row, (n, activation, normalization, dropout) in zip(layout, settings, strict=True):
        is_normalized = normalization != NONE
        biases = parameters + n * previous
        gains = biases + n
        row[:] = (
            n,
            previous,
            activation,
            parameters,
            biases,
            units,
            normalization,
            gains,
            0,
            normalized,
            dropout,
            0,
        )
        parameters = gains + n * is_normalized if previous else 0
        units += n
        normalized += (n + 1) * is_normalized
        previous = n
    layout[0, [BIASES, GAINS]] = 0
    for row in layout:
        if row[NORMALIZATION] == BATCH:
            row[RUNNING] = parameters
            parameters += 2 * row[LENGTH]
    return layout


def parameter_count(layout: Layout) -> int:
    """How many weights, biases and gains the network has."""
    return int(layout[-1, GAINS] + gain_count(layout, len(layout) - 1)) if len(layout) > 1 else 0


def vector_size(layout: Layout) -> int:
    """How many numbers the vector of parameters has, moving means and variances included."""
    return parameter_count(layout) + average_count(layout)


def average_count(layout: Layout) -> int:
    """How many moving means and variances the network has."""
    return 2 * int(layout[layout[:, NORMALIZATION] == BATCH, LENGTH].sum())


def gain_count(layout: Layout, k: int) -> int:
    """How many gains layer k has: `n`, or none."""
    return int(layout[k, LENGTH]) if layout[k, NORMALIZATION] != NONE else 0


def workspace_size(layout: Layout, samples: int) -> int:
    """How many numbers `a` and `dLda` hold."""
    lengths = layout[layout[:, NORMALIZATION] != NONE, LENGTH]
    normalized = (samples + 1) * int((lengths + 1).sum())
    return samples * unit_count(layout) + normalized + average_count(layout)


def unit_count(layout: Layout) -> int:
    """How many units the network has, those of the input layer included."""
    return int(layout[-1, UNITS] + layout[-1, LENGTH])


def weights(vector: Vector[F], layout: Layout, k: int) -> Matrix[F]:
    """The weights `(n, n_prev)` of layer k in a vector of parameters or gradients."""
    start, n, n_prev = int(layout[k, WEIGHTS]), int(layout[k, LENGTH]), int(layout[k, PREVIOUS])
    return vector[start : start + n * n_prev].reshape(n, n_prev)


def biases(vector: Vector[F], layout: Layout, k: int) -> Vector[F]:
    """The biases `(n,)` of layer k in a vector of parameters or gradients."""
    start, n = int(layout[k, BIASES]), int(layout[k, LENGTH])
    return vector[start : start + n]


def gains(vector: Vector[F], layout: Layout, k: int) -> Vector[F]:
    """The gains of layer k in a vector of parameters or gradients: `(n,)`, or `(0,)` if there are none."""
    start = int(layout[k, GAINS])
    return vector[start : start + gain_count(layout, k)]


def running_moments(vector: Vector[F], layout: Layout, k: int) -> Matrix[F]:
    """Moving mean and variance of layer k: `(2, n)`, or `(2, 0)` if it has none."""
    start, n = int(layout[k, RUNNING]), int(layout[k, LENGTH]) if layout[k, NORMALIZATION] == BATCH else 0
    return vector[start : start + 2 * n].reshape(2, n)


def block(workspace: Vector[F], layout: Layout, k: int, samples: int) -> Matrix[F]:
    """The block `(B, n)` of layer k in a workspace."""
    start, n = samples * int(layout[k, UNITS]), int(layout[k, LENGTH])
    return workspace[start : start + samples * n].reshape(samples, n)


def normalized(workspace: Vector[F], layout: Layout, k: int, samples: int) -> Matrix[F]:
    """z `(B, n)` of layer k in `a`, or dLdz in `dLda`: the block itself if the layer is not normalised."""
    if layout[k, NORMALIZATION] == NONE:
        return block(workspace, layout, k, samples)
    start, n = _start_of_normalized(layout, k, samples), int(layout[k, LENGTH])
    return workspace[start : start + samples * n].reshape(samples, n)


def inv_std(workspace: Vector[F], layout: Layout, k: int, samples: int) -> Vector[F]:
    """The inv_std of layer k in `a`: `(n,)` of units, or `(B,)` of samples."""
    n, code = int(layout[k, LENGTH]), int(layout[k, NORMALIZATION])
    start = _start_of_normalized(layout, k, samples) + samples * n
    return workspace[start : start + (0 if code == NONE else n if code == BATCH else samples)]


def _start_of_normalized(layout: Layout, k: int, samples: int) -> int:
    return samples * unit_count(layout) + (samples + 1) * int(layout[k, NORMALIZED])

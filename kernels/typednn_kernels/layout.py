"""Where each layer's numbers lie in the flat vectors of a network.

A network is one `int64` matrix with a row per layer, the input layer first. All parameters lie in one
vector: layer by layer the weights `(n, n_prev)` in C order, then the biases `(n,)`. Activations and error
signals of `B` samples lie in vectors of `B * units` numbers: the block of a layer starts at
`B * row[UNITS]` and is a C-ordered `(B, n)` matrix.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from typednn_kernels.arrays import F, Layout, Matrix, Vector

LENGTH, PREVIOUS, ACTIVATION, WEIGHTS, BIASES, UNITS = range(6)
"""Columns: `n`, `n_prev`, activation code, offset of the weights, of the biases, of the units."""


def layout_of(lengths: Sequence[int], activations: Sequence[int]) -> Layout:
    """The layout of a chain of layers.

    >>> layout_of([2, 3, 1], [0, 1, 1])
    array([[ 2,  0,  0,  0,  0,  0],
           [ 3,  2,  1,  0,  6,  2],
           [ 1,  3,  1,  9, 12,  5]])
    """
    layout = np.zeros((len(lengths), 6), np.int64)
    parameters = units = previous = 0
    for row, length, activation in zip(layout, lengths, activations, strict=True):
        biases = parameters + length * previous
        row[:] = length, previous, activation, parameters, biases, units
        parameters = biases + length if previous else 0
        units += length
        previous = length
    layout[0, BIASES] = 0
    return layout


def parameter_count(layout: Layout) -> int:
    """How many weights and biases the network has."""
    return int(layout[-1, BIASES] + layout[-1, LENGTH]) if len(layout) > 1 else 0


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


def block(workspace: Vector[F], layout: Layout, k: int, samples: int) -> Matrix[F]:
    """The block `(B, n)` of layer k in a workspace."""
    start, n = samples * int(layout[k, UNITS]), int(layout[k, LENGTH])
    return workspace[start : start + samples * n].reshape(samples, n)

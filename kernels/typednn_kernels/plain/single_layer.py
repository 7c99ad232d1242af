"""Computes a whole layer in one call."""

from __future__ import annotations

from math import inf, isfinite

import numpy as np

from typednn_kernels.arrays import F, Matrix, Strided, Vector
from typednn_kernels.plain.activation import activation_backward, activation_value
from typednn_kernels.plain.dense import affine, backpropagate, outer
from typednn_kernels.plain.loss import output_delta


def try_copy_sample(values: Strided[F], lowest: float, highest: float, sample: Matrix[F]) -> bool:
    """Copies values (n,), which need not be contiguous, to a sample (1, n) if they fit; returns whether."""
    if sample.shape != (1, values.size):
        return False
    fit = isfinite(values.dot(values))  # of large values it is not, and is found out elsewhere
    if fit and (lowest > -inf or highest < inf):
        fit = bool(lowest <= np.minimum.reduce(values) and np.maximum.reduce(values) <= highest)
    if fit:
        sample[0] = values
    return fit


def layer_forward(
    activation: int, x: Matrix[F], W: Matrix[F], bias: Vector[F], a: Matrix[F], h: Matrix[F]
) -> None:
    """Computes a = x W^T + bias and h = f(a)."""
    affine(x, W, bias, a)
    activation_value(activation, a, h)


def hidden_layer_backward(
    activation: int,
    dLda_next: Matrix[F],
    W_next: Matrix[F],
    a: Matrix[F],
    h: Matrix[F],
    h_prev: Matrix[F],
    dLdh: Matrix[F],
    dLda: Matrix[F],
    dLdW: Matrix[F],
) -> None:
    """Computes dLdh, dLda and dLdW of a hidden layer."""
    backpropagate(dLda_next, W_next, dLdh)
    activation_backward(activation, a, h, dLdh, dLda)
    outer(dLda, h_prev, dLdW)


def output_layer_backward(
    loss: int,
    activation: int,
    a: Matrix[F],
    y: Matrix[F],
    t: Matrix[F],
    h_prev: Matrix[F],
    dLdy: Matrix[F],
    dLda: Matrix[F],
    dLdW: Matrix[F],
) -> None:
    """Computes dLdy, dLda and dLdW of the output layer."""
    output_delta(loss, activation, a, y, t, dLdy, dLda)
    outer(dLda, h_prev, dLdW)

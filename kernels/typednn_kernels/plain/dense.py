"""The linear part of a layer. Overflow is no error here: the border and the training loop look for it."""

from __future__ import annotations

import numpy as np

from typednn_kernels.arrays import F, Matrix, Vector


def affine(x: Matrix[F], W: Matrix[F], bias: Vector[F], a: Matrix[F]) -> None:
    """a = x W^T + bias, from (B, n_prev), (n, n_prev), (n,) to (B, n)."""
    with np.errstate(all="ignore"):
        np.dot(x, W.T, out=a)
        a += bias


def outer(dLda: Matrix[F], h_prev: Matrix[F], dLdW: Matrix[F]) -> None:
    """dLdW = dLda^T h_prev, from (B, n) and (B, n_prev) to (n, n_prev): the outer product for B = 1."""
    with np.errstate(all="ignore"):
        if len(dLda) == 1:
            np.multiply(dLda.T, h_prev, out=dLdW)
        else:
            np.dot(dLda.T, h_prev, out=dLdW)


def sum_samples(dLda: Matrix[F], dLdBias: Vector[F]) -> None:
    """dLdBias = the sum over samples, from (B, n) to (n,)."""
    with np.errstate(all="ignore"):
        np.sum(dLda, axis=0, out=dLdBias)


def backpropagate(dLda: Matrix[F], W: Matrix[F], dLdh: Matrix[F]) -> None:
    """dLdh = dLda W: the signal (B, n_prev) to the layer below, from (B, n) and (n, n_prev)."""
    with np.errstate(all="ignore"):
        np.dot(dLda, W, out=dLdh)

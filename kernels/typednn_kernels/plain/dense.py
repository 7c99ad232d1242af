"""The affine map of a layer and its gradients.

Overflow raises nothing here: input validation and the training loop look for results that are not finite.
"""

from __future__ import annotations

import numpy as np

from typednn_kernels.arrays import F, Matrix, Vector


def affine(x: Matrix[F], W: Matrix[F], bias: Vector[F], a: Matrix[F]) -> None:
    """Computes a = x W^T + bias, (B, n), from x (B, n_prev), W (n, n_prev) and bias (n,)."""
    with np.errstate(all="ignore"):
        np.dot(x, W.T, out=a)
        a += bias


def outer(dLda: Matrix[F], h_prev: Matrix[F], dLdW: Matrix[F]) -> None:
    """Computes dLdW = dLda^T h_prev, (n, n_prev), from dLda (B, n) and h_prev (B, n_prev)."""
    with np.errstate(all="ignore"):
        if len(dLda) == 1:
            np.multiply(dLda.T, h_prev, out=dLdW)
        else:
            _sum_products(dLda, h_prev, dLdW)


SUMMED_PRODUCTS = 1024
"""Number of samples whose products a matrix product sums; sums of more are pairwise, for precision."""


def _sum_products(dLda: Matrix[F], h_prev: Matrix[F], dLdW: Matrix[F]) -> None:
    if len(dLda) <= SUMMED_PRODUCTS:
        np.dot(dLda.T, h_prev, out=dLdW)
        return
    half, other = len(dLda) // 2, np.empty_like(dLdW)
    _sum_products(dLda[:half], h_prev[:half], dLdW)
    _sum_products(dLda[half:], h_prev[half:], other)
    np.add(dLdW, other, out=dLdW)


SUMMED_ROWS = 32
"""Number of rows that are summed one after another; sums of more are pairwise, for precision."""


def sum_samples(dLda: Matrix[F], dLdBias: Vector[F]) -> None:
    """Computes dLdBias, the sum of dLda (B, n) over samples, (n,)."""
    rows = dLda
    with np.errstate(all="ignore"):
        if len(rows) > SUMMED_ROWS:
            while len(rows) > 1:
                half = (len(rows) + 1) // 2
                folded = rows[:half].copy()
                folded[: len(rows) - half] += rows[half:]
                rows = folded
        np.sum(rows, axis=0, out=dLdBias)


def backpropagate(dLda: Matrix[F], W: Matrix[F], dLdh: Matrix[F]) -> None:
    """Computes dLdh = dLda W, (B, n_prev), for the layer below from dLda (B, n) and W (n, n_prev)."""
    with np.errstate(all="ignore"):
        np.dot(dLda, W, out=dLdh)

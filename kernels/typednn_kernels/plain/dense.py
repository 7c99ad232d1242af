"""The affine map of a layer and its gradients.

NumPy takes longer to broadcast small arrays than to add or copy them: one sample has lines of its own.
"""

from __future__ import annotations

import numpy as np

from typednn_kernels.arrays import F, Matrix, Vector

SUMMED_PRODUCTS = 1024
"""Number of samples whose products a matrix product sums; sums of more are pairwise, for precision."""

SUMMED_ROWS = 64
"""Number of rows that are summed one after another; sums of more are pairwise, for precision."""

_ONES = {np.dtype(each): np.ones(SUMMED_PRODUCTS, each) for each in (np.float32, np.float64)}
"""By dtype: what sums are products with, which take NumPy a third of the time of a reduction."""


def affine(x: Matrix[F], W: Matrix[F], bias: Vector[F], a: Matrix[F]) -> None:
    """Computes a = x W^T + bias, (B, n), from x (B, n_prev), W (n, n_prev) and bias (n,); see `Kernels`."""
    if W.shape[1]:
        x.dot(W.T, a)
    else:
        a[...] = x
    if len(a) == 1:
        a = a[0]
    a += bias


def outer(dLda: Matrix[F], h_prev: Matrix[F], dLdW: Matrix[F]) -> None:
    """Computes dLdW = dLda^T h_prev, (n, n_prev), from dLda (B, n) and h_prev (B, n_prev)."""
    if not dLdW.size:
        return
    if len(dLda) <= SUMMED_PRODUCTS:
        dLda.T.dot(h_prev, dLdW)
    else:
        half, other = len(dLda) // 2, np.empty_like(dLdW)
        outer(dLda[:half], h_prev[:half], dLdW)
        outer(dLda[half:], h_prev[half:], other)
        np.add(dLdW, other, out=dLdW)


def sum_samples(dLda: Matrix[F], dLdBias: Vector[F]) -> None:
    """Computes dLdBias, the sum of dLda (B, n) over samples, (n,)."""
    if len(dLda) == 1:
        dLdBias[...] = dLda[0]
        return
    rows = dLda
    while len(rows) > SUMMED_ROWS:
        half = (len(rows) + 1) // 2
        folded = rows[:half].copy()
        folded[: len(rows) - half] += rows[half:]
        rows = folded
    _ONES[rows.dtype][: len(rows)].dot(rows, dLdBias)


def sum_units(x: Matrix[F], sums: Vector[F] | None = None) -> Vector[F]:
    """Computes the sum of x (B, n) over units, (B,), into `sums` if it is given, and returns it."""
    n = x.shape[1]
    result: Vector[F] = (
        x.dot(_ONES[x.dtype][:n], sums) if n <= SUMMED_PRODUCTS else np.add.reduce(x, axis=1, out=sums)
    )
    return result


def backpropagate(dLda: Matrix[F], W: Matrix[F], dLdh: Matrix[F]) -> None:
    """Computes dLdh = dLda W, (B, n_prev), for the layer below from dLda (B, n) and W (n, n_prev)."""
    if W.shape[1]:
        dLda.dot(W, dLdh)
    else:
        dLdh[...] = dLda

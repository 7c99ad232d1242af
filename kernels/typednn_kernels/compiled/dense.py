"""The linear part of a layer: loops for one sample, BLAS for more."""

from __future__ import annotations

import numpy as np

from typednn_kernels.arrays import F, Matrix, Vector
from typednn_kernels.compiled.jit import entry, kernel, reduction


@reduction
def dot(x: Vector[F], y: Vector[F]) -> F:
    """The sum of the products."""
    total = x[0] * y[0]
    for i in range(1, x.size):
        total += x[i] * y[i]
    return total


@kernel
def affine_one(x: Vector[F], W: Matrix[F], bias: Vector[F], a: Vector[F]) -> None:
    """a = W x + bias for one sample."""
    for i in range(a.size):
        a[i] = dot(W[i], x) + bias[i]


@kernel
def affine_many(x: Matrix[F], W: Matrix[F], bias: Vector[F], a: Matrix[F]) -> None:
    """a = x W^T + bias for a batch."""
    np.dot(x, W.T, a)
    for s in range(a.shape[0]):
        for i in range(a.shape[1]):
            a[s, i] += bias[i]


@kernel
def outer_one(dLda: Vector[F], h_prev: Vector[F], dLdW: Matrix[F]) -> None:
    """The outer product of one sample."""
    for i in range(dLda.size):
        for j in range(h_prev.size):
            dLdW[i, j] = dLda[i] * h_prev[j]


@kernel
def backpropagate_one(dLda: Vector[F], W: Matrix[F], dLdh: Vector[F]) -> None:
    """dLdh = W^T dLda for one sample."""
    for j in range(dLdh.size):
        dLdh[j] = dLda[0] * W[0, j]
    for i in range(1, dLda.size):
        for j in range(dLdh.size):
            dLdh[j] += dLda[i] * W[i, j]


@kernel
def sum_rows(dLda: Matrix[F], dLdBias: Vector[F]) -> None:
    """The sum over samples."""
    for i in range(dLdBias.size):
        dLdBias[i] = dLda[0, i]
    for s in range(1, dLda.shape[0]):
        for i in range(dLdBias.size):
            dLdBias[i] += dLda[s, i]


@entry
def affine(x: Matrix[F], W: Matrix[F], bias: Vector[F], a: Matrix[F]) -> None:
    """a = x W^T + bias, from (B, n_prev), (n, n_prev), (n,) to (B, n)."""
    if x.shape[0] == 1:
        affine_one(x[0], W, bias, a[0])
    else:
        affine_many(x, W, bias, a)


@entry
def outer(dLda: Matrix[F], h_prev: Matrix[F], dLdW: Matrix[F]) -> None:
    """dLdW = dLda^T h_prev, from (B, n) and (B, n_prev) to (n, n_prev): the outer product for B = 1."""
    if dLda.shape[0] == 1:
        outer_one(dLda[0], h_prev[0], dLdW)
    else:
        np.dot(dLda.T, h_prev, dLdW)


@entry
def sum_samples(dLda: Matrix[F], dLdBias: Vector[F]) -> None:
    """dLdBias = the sum over samples, from (B, n) to (n,)."""
    sum_rows(dLda, dLdBias)


@entry
def backpropagate(dLda: Matrix[F], W: Matrix[F], dLdh: Matrix[F]) -> None:
    """dLdh = dLda W: the signal (B, n_prev) to the layer below, from (B, n) and (n, n_prev)."""
    if dLda.shape[0] == 1:
        backpropagate_one(dLda[0], W, dLdh[0])
    else:
        np.dot(dLda, W, dLdh)

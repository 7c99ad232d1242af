"""The linear part of a layer: loops for one sample, BLAS for more."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false
# Formulas written as lambdas have no types.

from __future__ import annotations

from typednn_kernels.arrays import F, Matrix, Vector
from typednn_kernels.compiled.jit import entry, kernel, reduction
from typednn_kernels.compiled.loops import Loop, elementwise, piece, product

FORWARD_LOOPS, BACKWARD_LOOPS = 1 << 18, 1 << 12
"""One sample is multiplied by fewer weights than this in loops: BLAS costs more to call, and wins later."""

scaled: Loop = elementwise(lambda x, factor: x * factor)
added: Loop = elementwise(lambda x, y: x + y)
weighted: Loop = elementwise(lambda total, x, weight: total + weight * x)
descended: Loop = elementwise(lambda row, slope, rate: row - rate * slope)
"""A row times a number, plus a row, plus or minus a multiple of a row."""


@reduction
def dot(x: Vector[F], y: Vector[F], n: int) -> F:
    """The sum of n products."""
    total = x.dtype.type(0)
    for j in range(n):
        total += x[j] * y[j]
    return total


@reduction
def four_dots(
    w0: Vector[F], w1: Vector[F], w2: Vector[F], w3: Vector[F], x: Vector[F], n: int
) -> tuple[F, F, F, F]:
    """Four rows times one vector, each element of which is loaded once."""
    d0 = d1 = d2 = d3 = x.dtype.type(0)
    for j in range(n):
        d0 += w0[j] * x[j]
        d1 += w1[j] * x[j]
        d2 += w2[j] * x[j]
        d3 += w3[j] * x[j]
    return d0, d1, d2, d3


@kernel
def affine_one(x: Vector[F], W: Vector[F], bias: Vector[F], a: Vector[F]) -> None:
    """a = W x + bias for one sample; W is flat."""
    n, m = a.size, x.size
    blocks = n - n % 4
    for i in range(0, blocks, 4):
        first = i * m
        d0, d1, d2, d3 = four_dots(
            piece(W, first, m),
            piece(W, first + m, m),
            piece(W, first + 2 * m, m),
            piece(W, first + 3 * m, m),
            x,
            m,
        )
        a[i] = bias[i] + d0
        a[i + 1] = bias[i + 1] + d1
        a[i + 2] = bias[i + 2] + d2
        a[i + 3] = bias[i + 3] + d3
    for i in range(blocks, n):
        a[i] = bias[i] + dot(piece(W, i * m, m), x, m)


@kernel
def affine_rows(x: Matrix[F], W: Matrix[F], bias: Vector[F], a: Matrix[F]) -> None:
    """a = x W^T + bias."""
    n = bias.size
    if x.shape[0] > 1:
        product(x, W.T, a)
    elif W.size < FORWARD_LOOPS:
        affine_one(piece(x, 0, x.size), piece(W, 0, W.size), bias, piece(a, 0, n))
        return
    else:
        product(W, piece(x, 0, x.size), piece(a, 0, n))
    for s in range(a.shape[0]):
        row = piece(a, s * n, n)
        added(0, n, row, bias, row)


@kernel
def outer_one(dLda: Vector[F], h_prev: Vector[F], dLdW: Vector[F]) -> None:
    """The outer product of one sample, into a flat matrix."""
    m = h_prev.size
    for i in range(dLda.size):
        scaled(0, m, h_prev, dLda[i], piece(dLdW, i * m, m))


@kernel
def backpropagate_rows(dLda: Matrix[F], W: Matrix[F], dLdh: Matrix[F]) -> None:
    """dLdh = dLda W."""
    if dLda.shape[0] > 1:
        product(dLda, W, dLdh)
    elif W.size < BACKWARD_LOOPS:
        m, signal = dLdh.size, piece(dLdh, 0, dLdh.size)
        scaled(0, m, W, dLda[0, 0], signal)
        for i in range(1, dLda.size):
            weighted(0, m, signal, piece(W, i * m, m), dLda[0, i], signal)
    else:
        product(W.T, piece(dLda, 0, dLda.size), piece(dLdh, 0, dLdh.size))


@kernel
def outer_rows(dLda: Matrix[F], h_prev: Matrix[F], dLdW: Matrix[F]) -> None:
    """dLdW = dLda^T h_prev."""
    if dLda.shape[0] > 1:
        product(dLda.T, h_prev, dLdW)
    else:
        outer_one(piece(dLda, 0, dLda.size), piece(h_prev, 0, h_prev.size), piece(dLdW, 0, dLdW.size))


@kernel
def sum_rows(dLda: Vector[F], dLdBias: Vector[F]) -> None:
    """The sum over samples, whose numbers lie in a flat array."""
    n = dLdBias.size
    scaled(0, n, dLda, dLda.dtype.type(1), dLdBias)
    for start in range(n, dLda.size, n):
        added(0, n, dLdBias, piece(dLda, start, n), dLdBias)


@entry
def affine(x: Matrix[F], W: Matrix[F], bias: Vector[F], a: Matrix[F]) -> None:
    """a = x W^T + bias, from (B, n_prev), (n, n_prev), (n,) to (B, n)."""
    affine_rows(x, W, bias, a)


@entry
def outer(dLda: Matrix[F], h_prev: Matrix[F], dLdW: Matrix[F]) -> None:
    """dLdW = dLda^T h_prev, from (B, n) and (B, n_prev) to (n, n_prev): the outer product for B = 1."""
    outer_rows(dLda, h_prev, dLdW)


@entry
def sum_samples(dLda: Matrix[F], dLdBias: Vector[F]) -> None:
    """dLdBias = the sum over samples, from (B, n) to (n,)."""
    sum_rows(piece(dLda, 0, dLda.size), dLdBias)


@entry
def backpropagate(dLda: Matrix[F], W: Matrix[F], dLdh: Matrix[F]) -> None:
    """dLdh = dLda W: the signal (B, n_prev) to the layer below, from (B, n) and (n, n_prev)."""
    backpropagate_rows(dLda, W, dLdh)

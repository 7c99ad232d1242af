"""What a layer does in one call: for one sample, a call costs more than the arithmetic of a small layer."""

from __future__ import annotations

from typednn_kernels.activations import INFINITY
from typednn_kernels.arrays import F, Matrix, Strided, Vector
from typednn_kernels.compiled._codegen.array_views import piece
from typednn_kernels.compiled._codegen.jit import entry, kernel, reduction
from typednn_kernels.compiled.linalg.dense import (
    affine_rows,
    backpropagate_rows,
    blocks_of,
    outer_rows,
    some_pre_activations,
    some_signals,
    some_weight_gradients,
)
from typednn_kernels.compiled.ops.activation import product_rows, some_products, some_values, value_rows
from typednn_kernels.compiled.ops.loss import error_rows, some_errors, some_slopes, terms_of_mean
from typednn_kernels.compiled.parallel.thread_pool import LEAST


@reduction
def number_outside(given: Strided[F], lowest: F, highest: F) -> int:
    """How many numbers are not finite, or not within the limits."""
    count, infinity = 0, given.dtype.type(INFINITY)
    for j in range(given.size):
        count += not (abs(given[j]) < infinity and lowest <= given[j] <= highest)
    return count


@kernel
def copied_if_within(given: Strided[F], lowest: F, highest: F, sample: Vector[F]) -> bool:
    """Copies a sample if all is finite and within the limits; whether it is."""
    within = number_outside(given, lowest, highest) == 0
    if within:
        for j in range(given.size):
            sample[j] = given[j]
    return within


@kernel
def is_small(samples: int, weights: Matrix[F]) -> bool:
    """Whether it is one sample, and not enough work for a second thread."""
    return samples == 1 and weights.size < LEAST


@entry
def take_sample(given: Strided[F], lowest: F, highest: F, sample: Matrix[F]) -> bool:
    """Copies numbers (n,), which need not be contiguous, to a sample (1, n), if they fit; whether they do."""
    n = given.size
    if sample.shape[0] != 1 or sample.shape[1] != n:
        fit = False
    elif given.strides[0] == given.itemsize:
        fit = copied_if_within(piece(given, 0, n), lowest, highest, piece(sample, 0, n))
    else:
        fit = copied_if_within(given, lowest, highest, piece(sample, 0, n))
    return fit


@entry
def ascend(activation: int, x: Matrix[F], W: Matrix[F], bias: Vector[F], a: Matrix[F], h: Matrix[F]) -> None:
    """a = x W^T + bias and h = f(a)."""
    n, m = W.shape
    if is_small(x.shape[0], W):
        pre_activations = piece(a, 0, n)
        W_flat = piece(W, 0, n * m)
        some_pre_activations(0, 0, blocks_of(n), piece(x, 0, m), W_flat, bias, pre_activations)
        some_values(0, 0, 1, activation, pre_activations, piece(h, 0, n), n)
    else:
        affine_rows(x, W, bias, piece(a, 0, a.size), n, True)
        value_rows(activation, a, h)


@entry
def descend(
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
    """dLdh, dLda and dLdW of a layer below another."""
    n, m = dLdW.shape
    if is_small(a.shape[0], W_next) and is_small(a.shape[0], dLdW):
        signal, error = piece(dLdh, 0, n), piece(dLda, 0, n)
        above, W_flat = piece(dLda_next, 0, dLda_next.size), piece(W_next, 0, W_next.size)
        some_signals(0, 0, n, above, W_flat, signal, piece(W_next, 0, 0), n)
        some_products(0, 0, 1, activation, piece(a, 0, n), piece(h, 0, n), signal, error, n)
        some_weight_gradients(0, 0, n, error, piece(h_prev, 0, m), piece(dLdW, 0, n * m))
    else:
        backpropagate_rows(dLda_next, W_next, piece(dLdh, 0, dLdh.size), 0, n, True)
        product_rows(activation, a, h, dLdh, dLda)
        outer_rows(dLda, h_prev, a.dtype.type(1), False, dLdW, 0, n, True)


@entry
def descend_from_targets(
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
    """dLdy, dLda and dLdW of the output layer."""
    n, m = dLdW.shape
    if is_small(a.shape[0], dLdW):
        outputs, targets, signal, error = piece(y, 0, n), piece(t, 0, n), piece(dLdy, 0, n), piece(dLda, 0, n)
        some_slopes(0, 0, n, loss, outputs, targets, a.dtype.type(terms_of_mean(loss, n, 1)), signal)
        some_errors(0, 0, 1, loss, activation, piece(a, 0, n), outputs, targets, signal, error, n, 1)
        some_weight_gradients(0, 0, n, error, piece(h_prev, 0, m), piece(dLdW, 0, n * m))
    else:
        error_rows(loss, activation, a, y, t, dLdy, dLda)
        outer_rows(dLda, h_prev, a.dtype.type(1), False, dLdW, 0, n, True)

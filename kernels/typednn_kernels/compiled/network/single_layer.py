"""Computes a whole layer in one call: for one sample, a call costs more than a small layer's arithmetic."""

from __future__ import annotations

from typednn_kernels.activations import INFINITY
from typednn_kernels.arrays import F, Matrix, Strided, Vector
from typednn_kernels.compiled._codegen.array_views import slice_of
from typednn_kernels.compiled._codegen.jit import exported, inline, reassociate, require
from typednn_kernels.compiled._codegen.tuning import GRAIN_ELEMENTS
from typednn_kernels.compiled.linalg.dense import (
    affine_range,
    affine_rows,
    backpropagate_range,
    backpropagate_rows,
    outer_range,
    outer_rows,
    row_blocks,
)
from typednn_kernels.compiled.ops.activation import (
    activate_range,
    activate_rows,
    activation_backward_range,
    activation_backward_rows,
)
from typednn_kernels.compiled.ops.loss import (
    Outputs,
    loss_gradient_range,
    mean_divisor,
    output_delta_range,
    output_delta_rows,
)


@reassociate
def count_outside(values: Strided[F], lowest: F, highest: F) -> int:
    """Counts the values that are not finite, or not within the limits."""
    count, infinity = 0, values.dtype.type(INFINITY)
    for j in range(values.size):
        count += not (abs(values[j]) < infinity and lowest <= values[j] <= highest)
    return count


@inline
def copy_if_within(values: Strided[F], lowest: F, highest: F, sample: Vector[F]) -> bool:
    """Copies values to a sample if all are finite and within the limits; returns whether."""
    within = count_outside(values, lowest, highest) == 0
    if within:
        for j in range(values.size):
            sample[j] = values[j]
    return within


@inline
def is_small(samples: int, weights: Matrix[F]) -> bool:
    """Says whether there is one sample, and too little work for a second thread."""
    return samples == 1 and weights.size < GRAIN_ELEMENTS


@exported
def try_copy_sample(values: Strided[F], lowest: F, highest: F, sample: Matrix[F]) -> bool:
    """Copies values (n,), which need not be contiguous, to a sample (1, n) if they fit; returns whether."""
    n = values.size
    if sample.shape[0] != 1 or sample.shape[1] != n:
        fit = False
    elif values.strides[0] == values.itemsize:
        fit = copy_if_within(slice_of(values, 0, n), lowest, highest, slice_of(sample, 0, n))
    else:
        fit = copy_if_within(values, lowest, highest, slice_of(sample, 0, n))
    return fit


@exported
def layer_forward(
    activation: int, x: Matrix[F], W: Matrix[F], bias: Vector[F], a: Matrix[F], h: Matrix[F]
) -> None:
    """Computes a = x W^T + bias and h = f(a)."""
    n, m = W.shape
    require(x.shape[1] == m and bias.size == n and a.shape == h.shape == (x.shape[0], n))
    if is_small(x.shape[0], W):
        a_flat, W_flat = slice_of(a, 0, n), slice_of(W, 0, n * m)
        affine_range(0, 0, row_blocks(n), slice_of(x, 0, m), W_flat, bias, a_flat)
        activate_range(0, 0, 1, activation, a_flat, slice_of(h, 0, n), n)
    else:
        affine_rows(x, W, bias, slice_of(a, 0, a.size), n, True)
        activate_rows(activation, a, h)


@exported
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
    n, m = dLdW.shape
    samples = a.shape[0]
    require(h_prev.shape == (samples, m) and dLda_next.shape == (samples, W_next.shape[0]))
    require(W_next.shape[1] == n and a.shape == h.shape == dLdh.shape == dLda.shape == (samples, n))
    if is_small(a.shape[0], W_next) and is_small(a.shape[0], dLdW):
        upstream, delta = slice_of(dLdh, 0, n), slice_of(dLda, 0, n)
        delta_next, W_flat = slice_of(dLda_next, 0, dLda_next.size), slice_of(W_next, 0, W_next.size)
        backpropagate_range(0, 0, n, delta_next, W_flat, upstream, slice_of(W_next, 0, 0), n)
        activation_backward_range(
            0, 0, 1, activation, slice_of(a, 0, n), slice_of(h, 0, n), upstream, delta, n
        )
        outer_range(0, 0, n, delta, slice_of(h_prev, 0, m), slice_of(dLdW, 0, n * m))
    else:
        backpropagate_rows(dLda_next, W_next, slice_of(dLdh, 0, dLdh.size), 0, n, True)
        activation_backward_rows(activation, a, h, dLdh, dLda)
        outer_rows(dLda, h_prev, a.dtype.type(1), False, dLdW, 0, n, True)


@exported
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
    n, m = dLdW.shape
    samples = a.shape[0]
    require(h_prev.shape == (samples, m) and a.shape == y.shape == t.shape == (samples, n))
    require(dLdy.shape == dLda.shape == (samples, n))
    if is_small(a.shape[0], dLdW):
        outputs = Outputs(slice_of(a, 0, n), slice_of(y, 0, n), slice_of(t, 0, n))
        upstream, delta = slice_of(dLdy, 0, n), slice_of(dLda, 0, n)
        divisor = a.dtype.type(mean_divisor(loss, n, 1))
        loss_gradient_range(0, 0, n, loss, activation, outputs, divisor, upstream)
        output_delta_range(0, 0, 1, loss, activation, outputs, upstream, delta, n, 1)
        outer_range(0, 0, n, delta, slice_of(h_prev, 0, m), slice_of(dLdW, 0, n * m))
    else:
        output_delta_rows(loss, activation, a, y, t, dLdy, dLda)
        outer_rows(dLda, h_prev, a.dtype.type(1), False, dLdW, 0, n, True)

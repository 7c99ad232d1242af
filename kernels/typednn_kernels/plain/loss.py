"""The output layer: losses, their slopes, and the first error signal."""

from __future__ import annotations

import numpy as np

from typednn_kernels.activations import SOFTMAX
from typednn_kernels.arrays import F, Matrix, Vector
from typednn_kernels.losses import LOSSES, canonical, is_mean
from typednn_kernels.plain.activation import activation_backward, apply


def loss_value(
    loss: int, activation: int, a: Matrix[F], y: Matrix[F], t: Matrix[F], losses: Vector[F]
) -> None:
    """The loss of each sample (B,), given output activation, pre-activations, outputs and targets (B, n)."""
    row = LOSSES[loss]
    terms = np.empty_like(y)
    with np.errstate(all="ignore"):
        if activation != canonical(loss):
            apply(row.value, y, t, terms)
        elif activation == SOFTMAX:
            shifted = a - a.max(axis=1, keepdims=True)
            shifted -= np.log(np.exp(shifted).sum(axis=1, keepdims=True))
            apply(row.stable_value, shifted, t, terms)
        else:
            apply(row.stable_value, a, t, terms)
        np.sum(terms, axis=1, out=losses)
        if is_mean(loss):
            losses /= y.shape[1]


def loss_derivative(loss: int, y: Matrix[F], t: Matrix[F], dLdy: Matrix[F]) -> None:
    """The slope (B, n) of the mean loss of the batch by the outputs."""
    with np.errstate(all="ignore"):
        apply(LOSSES[loss].derivative, y, t, dLdy)
        dLdy /= terms_of_mean(loss, y)


def output_delta(
    loss: int,
    activation: int,
    a: Matrix[F],
    y: Matrix[F],
    t: Matrix[F],
    dLdy: Matrix[F],
    dLda: Matrix[F],
) -> None:
    """dLdy, and dLda of the output layer, all (B, n), in the stable form where the pair has one."""
    loss_derivative(loss, y, t, dLdy)
    if activation != canonical(loss):
        activation_backward(activation, a, y, dLdy, dLda)
        return
    with np.errstate(all="ignore"):
        weight = t.sum(axis=1, keepdims=True) if activation == SOFTMAX else 1
        np.multiply(y, weight, out=dLda)
        dLda -= t
        dLda /= terms_of_mean(loss, y)


def terms_of_mean(loss: int, y: Matrix[F]) -> int:
    """How many terms the mean loss of a batch is divided by."""
    return y.size if is_mean(loss) else len(y)

"""Losses of samples, their derivatives dLdy, and dLda of the output layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, cast

import numpy as np

from typednn_kernels.activations import ACTIVATIONS, NONE, SOFTMAX, couples_units
from typednn_kernels.arrays import F, Matrix, Values, Vector
from typednn_kernels.losses import (
    BUILT_IN,
    COUPLED,
    LOSSES,
    is_mean,
    is_stable,
    pair_delta,
    pair_derivative,
    pair_of,
    pair_value,
    softmax_rows,
)
from typednn_kernels.plain.activation import activation_backward, apply, largest_unit
from typednn_kernels.plain.dense import sum_units


class Rows:
    """The reductions of the rows of a matrix (B, n), to (B, 1)."""

    def largest(self, x: Values) -> Values:
        """Returns the maximum of each row."""
        result: Values = x.max(axis=1, keepdims=True)
        return result

    def total(self, x: Values) -> Values:
        """Returns the sum of each row."""
        result: Values = x.sum(axis=1, keepdims=True, dtype=x.dtype)
        return result


def loss_value(
    loss: int, activation: int, a: Matrix[F], y: Matrix[F], t: Matrix[F], losses: Vector[F]
) -> None:
    """Computes the loss of each sample, (B,), from pre-activations, outputs and targets (B, n)."""
    row, pair = LOSSES[loss], pair_of(loss, activation)
    terms = np.empty_like(y)
    if softmax_rows.has_rows(loss, activation, y.shape[1]):
        sums = softmax_rows.row_sums(loss, Rows(), a, y, t)
        terms[...] = softmax_rows.value(loss)(a, y, t, *sums)
    elif not is_stable(loss, activation):
        if pair >= COUPLED:
            apply(pair_value(pair), a, t, terms)
        else:
            apply(row.value, y, t, terms)
    elif activation == SOFTMAX:
        shifted = a - largest_unit(a)
        shifted -= np.log(sum_units(np.exp(shifted)).reshape(-1, 1))
        apply(row.stable_value, shifted, t, terms)
    else:
        apply(row.stable_value, a, t, terms)
    sum_units(terms, losses)
    if is_mean(loss):
        losses /= y.shape[1]


def has_short_step(loss: int, activation: int, n: int) -> bool:
    """Says whether `ShortStep` computes a loss, one of the library's, of an activation of n units."""
    if loss >= BUILT_IN or softmax_rows.has_rows(loss, activation, n):
        return False
    elementwise = not couples_units(activation) and pair_of(loss, activation) < 0
    return elementwise or is_stable(loss, activation)


def is_one_hot(t: Matrix[F]) -> bool:
    """Says whether each row of targets (B, n) has a single 1, and else 0."""
    return bool(((t == 0) | (t == 1)).all() and (sum_units(t) == 1).all())


class ShortStep(Generic[F]):
    """Computes losses and dLda as `loss_value` and `output_delta` do, to the bit, with less around it.

    What all batches of a size have in common is looked up once.
    """

    def __init__(self, loss: int, activation: int, y: Matrix[F], one_hot: bool) -> None:
        row, stable = LOSSES[loss], is_stable(loss, activation)
        self.value: Callable[[Values, Values], Values] = row.stable_value if stable else row.value
        self.derivative: Callable[[Values, Values], Values] | None = None if stable else row.derivative
        self.of_activation: Callable[[Values, Values], Values | float] | None = None
        if not stable and activation != NONE:
            self.of_activation = ACTIVATIONS[activation].derivative
        self.is_softmax: bool = activation == SOFTMAX
        self.has_weights: bool = self.is_softmax and not one_hot
        self.outputs: int = y.shape[1] if is_mean(loss) else 1
        self.divisor: Values = np.array(mean_divisor(loss, y), y.dtype)

    def compute(
        self,
        a: Matrix[F],
        y: Matrix[F],
        t: Matrix[F],
        dLda: Matrix[F],
        losses: Vector[F],
        exponentials: tuple[Matrix[F], Matrix[F]] | None,
    ) -> None:
        """Writes losses (B,) and dLda (B, n); `exponentials` is what `softmax` returned for a."""
        if self.derivative is not None:
            terms, delta = self.value(y, t), self.derivative(y, t)
        else:
            logits: Values = a
            if self.is_softmax:
                assert exponentials is not None
                logits = a - exponentials[0]
                logits -= np.log(exponentials[1])
            terms = self.value(logits, t)
            delta = y * sum_units(t).reshape(-1, 1) - t if self.has_weights else y - t
        sum_units(cast("Matrix[F]", terms), losses)
        if self.outputs > 1:
            losses /= self.outputs
        np.divide(delta, self.divisor, out=dLda)
        if self.of_activation is not None:
            np.multiply(self.of_activation(a, y), dLda, out=dLda)


def loss_derivative(loss: int, y: Matrix[F], t: Matrix[F], dLdy: Matrix[F]) -> None:
    """Computes dLdy, the gradient (B, n) of the batch's mean loss with respect to the outputs."""
    apply(LOSSES[loss].derivative, y, t, dLdy)
    dLdy /= mean_divisor(loss, y)


def output_delta(
    loss: int,
    activation: int,
    a: Matrix[F],
    y: Matrix[F],
    t: Matrix[F],
    dLdy: Matrix[F],
    dLda: Matrix[F],
) -> None:
    """Computes dLdy and dLda of the output layer, (B, n), dLda by the stable formula of canonical pairs."""
    output_delta_if_shown(loss, activation, a, y, t, dLdy, dLda, True)


def output_delta_if_shown(
    loss: int,
    activation: int,
    a: Matrix[F],
    y: Matrix[F],
    t: Matrix[F],
    dLdy: Matrix[F],
    dLda: Matrix[F],
    shown: bool,
) -> None:
    """Computes dLdy and dLda of the output layer, (B, n), dLda by the stable formula of canonical pairs.

    Where dLda does not depend on dLdy, this is computed only if it will be `shown`.
    """
    if softmax_rows.has_rows(loss, activation, y.shape[1]):
        sums = softmax_rows.row_sums(loss, Rows(), a, y, t)
        divisor = mean_divisor(loss, y)
        np.divide(softmax_rows.derivative(loss)(a, y, t, *sums), divisor, out=dLdy)
        np.divide(softmax_rows.delta(loss)(a, y, t, *sums), divisor, out=dLda)
        return
    pair = pair_of(loss, activation)
    if shown or not (is_stable(loss, activation) or pair >= COUPLED):
        if pair < 0:
            loss_derivative(loss, y, t, dLdy)
        else:
            apply(pair_derivative(pair), a, y, t, dLdy)
            dLdy /= mean_divisor(loss, y)
    if not is_stable(loss, activation):
        if pair >= COUPLED:
            apply(pair_delta(pair), a, t, dLda)
            dLda /= mean_divisor(loss, y)
        else:
            activation_backward(activation, a, y, dLdy, dLda)
        return
    weight = sum_units(t).reshape(-1, 1) if activation == SOFTMAX else 1
    np.multiply(y, weight, out=dLda)
    dLda -= t
    dLda /= mean_divisor(loss, y)


def mean_divisor(loss: int, y: Matrix[F]) -> int:
    """Returns what derivatives of the batch's mean loss are divided by."""
    return y.size if is_mean(loss) else len(y)

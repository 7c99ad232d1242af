"""Losses of samples, their derivatives dLdy, and dLda of the output layer."""

from __future__ import annotations

from functools import cache
from typing import Generic

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
from typednn_kernels.plain.activation import activation_backward, apply, largest_unit, times_derivative
from typednn_kernels.plain.array_formula import ArrayFormula, array_formula
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
            apply(pair_value(pair), terms, a, t)
        else:
            apply(row.value, terms, y, t)
    elif activation == SOFTMAX:
        shifted = a - largest_unit(a)
        shifted -= np.log(sum_units(np.exp(shifted)).reshape(-1, 1))
        apply(row.stable_value, terms, shifted, t)
    else:
        apply(row.stable_value, terms, a, t)
    sum_units(terms, losses)
    if is_mean(loss):
        losses /= y.shape[1]


def sum_losses(losses: Vector[F]) -> float:
    """Computes the sum of some losses."""
    return float(np.add.reduce(losses, dtype=np.float64))


def has_short_step(loss: int, activation: int, n: int) -> bool:
    """Says whether `ShortStep` computes a loss, one of the library's, of an activation of n units."""
    if loss >= BUILT_IN or softmax_rows.has_rows(loss, activation, n):
        return False
    elementwise = not couples_units(activation) and pair_of(loss, activation) < 0
    return elementwise or is_stable(loss, activation)


def is_one_hot(t: Matrix[F]) -> bool:
    """Says whether each row of targets (B, n) has a single 1, and else 0."""
    return bool((t * t == t).all() and (sum_units(t) == 1).all())


class ShortStep(Generic[F]):
    """Computes losses and dLda as `loss_value` and `output_delta` do, to the bit, with less around it.

    What all batches of a size have in common is looked up once.
    """

    loss: int
    activation: int

    def __init__(self, loss: int, activation: int, y: Matrix[F], one_hot: bool) -> None:
        row, stable = LOSSES[loss], is_stable(loss, activation)
        self.loss, self.activation = loss, activation
        self.value: ArrayFormula = array_formula(row.stable_value if stable else row.value, 2, y.dtype)
        self.derivative: ArrayFormula | None = None
        self.of_activation: ArrayFormula | None = None
        if not stable:
            self.derivative = array_formula(row.derivative, 2, y.dtype)
            derivative = ACTIVATIONS[activation].derivative
            if activation != NONE and derivative is not None:
                self.of_activation = array_formula(times_derivative(derivative), 3, y.dtype)
        self.is_softmax: bool = activation == SOFTMAX
        self.has_weights: bool = self.is_softmax and not one_hot
        self.outputs: int = y.shape[1] if is_mean(loss) else 1
        divisor = mean_divisor(loss, y)
        self.divisor: Values | None = np.array(divisor, y.dtype) if divisor > 1 else None

    def compute(
        self,
        a: Matrix[F],
        y: Matrix[F],
        t: Matrix[F],
        dLdy: Matrix[F] | None,
        dLda: Matrix[F],
        losses: Vector[F],
        exponentials: tuple[Matrix[F], Matrix[F]] | None,
    ) -> None:
        """Writes losses (B,), dLda (B, n) and any dLdy; `exponentials` is what `softmax` returned for a."""
        if dLdy is not None:
            derivative_of_outputs(self.loss, self.activation, a, y, t, dLdy)
        terms = np.empty_like(y)
        if self.derivative is not None:
            self.value(terms, y, t)
            self.derivative(dLda, y, t)
        else:
            logits: Values = a
            if self.is_softmax:
                assert exponentials is not None
                logits = exponentials[0] - np.log(exponentials[1])
            self.value(terms, logits, t)
            weighted = y * sum_units(t).reshape(-1, 1) if self.has_weights else y
            np.subtract(weighted, t, out=dLda)
        sum_units(terms, losses)
        if self.outputs > 1:
            losses /= self.outputs
        if self.divisor is not None:
            dLda /= self.divisor
        if self.of_activation is not None:
            self.of_activation(dLda, a, y, dLda)


def loss_derivative(loss: int, y: Matrix[F], t: Matrix[F], dLdy: Matrix[F]) -> None:
    """Computes dLdy, the gradient (B, n) of the batch's mean loss with respect to the outputs."""
    apply(LOSSES[loss].derivative, dLdy, y, t)
    divide_by_count(loss, dLdy)


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
        dLdy[...] = softmax_rows.derivative(loss)(a, y, t, *sums)
        dLda[...] = softmax_rows.delta(loss)(a, y, t, *sums)
        divide_by_count(loss, dLdy)
        divide_by_count(loss, dLda)
        return
    pair, stable = _pair_of(loss, activation), _is_stable(loss, activation)
    if shown or not (stable or pair >= COUPLED):
        derivative_of_outputs(loss, activation, a, y, t, dLdy)
    if not stable and pair < COUPLED:
        activation_backward(activation, a, y, dLdy, dLda)
        return
    if stable:
        np.subtract(y * sum_units(t).reshape(-1, 1) if activation == SOFTMAX else y, t, out=dLda)
    else:
        apply(pair_delta(pair), dLda, a, t)
    divide_by_count(loss, dLda)


def derivative_of_outputs(
    loss: int, activation: int, a: Matrix[F], y: Matrix[F], t: Matrix[F], dLdy: Matrix[F]
) -> None:
    """Computes dLdy (B, n) of a loss that has no reductions of rows."""
    pair = _pair_of(loss, activation)
    if pair < 0:
        loss_derivative(loss, y, t, dLdy)
    else:
        apply(pair_derivative(pair), dLdy, a, y, t)
        divide_by_count(loss, dLdy)


_pair_of, _is_stable = cache(pair_of), cache(is_stable)
"""Found without a search at each step of one sample."""


def divide_by_count(loss: int, gradients: Matrix[F]) -> None:
    """Makes gradients (B, n) of the samples' losses those of the batch's mean loss."""
    divisor = mean_divisor(loss, gradients)
    if divisor > 1:
        gradients /= divisor


def mean_divisor(loss: int, y: Matrix[F]) -> int:
    """Returns what derivatives of the batch's mean loss are divided by."""
    return y.size if is_mean(loss) else len(y)

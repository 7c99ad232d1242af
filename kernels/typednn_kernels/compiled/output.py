"""The output layer: losses, their slopes, and the first error signal."""

from __future__ import annotations

from collections.abc import Callable

from typednn_kernels.activations import SIGMOID, SOFTMAX
from typednn_kernels.arrays import F, Matrix, Values, Vector
from typednn_kernels.compiled.elementwise import products, switch
from typednn_kernels.compiled.jit import entry, formula, kernel, reduction
from typednn_kernels.elementary import exp, log
from typednn_kernels.losses import CANONICAL, LOSSES, MEAN_OVER_OUTPUTS, Loss


def _sum_of_terms(term: Callable[[Values, Values], Values]) -> Callable[..., None]:
    scalar = formula(term)

    @reduction
    def rows(z: Vector[F], t: Vector[F], losses: Vector[F]) -> None:
        n = z.size // losses.size
        for s in range(losses.size):
            total = scalar(z[s * n], t[s * n])
            for i in range(s * n + 1, s * n + n):
                total += scalar(z[i], t[i])
            losses[s] = total

    return rows


def _sum_of_stable_terms(row: Loss) -> Callable[..., None]:
    if row.canonical != "softmax":
        return _sum_of_terms(row.stable_value)
    scalar = formula(row.stable_value)

    @reduction
    def rows(z: Vector[F], t: Vector[F], losses: Vector[F]) -> None:
        n = z.size // losses.size
        for s in range(losses.size):
            first, stop = s * n, s * n + n
            largest = z[first]
            for i in range(first + 1, stop):
                largest = max(largest, z[i])
            total = exp(z[first] - largest)
            for i in range(first + 1, stop):
                total += exp(z[i] - largest)
            shift = log(total)
            result = scalar(z[first] - largest - shift, t[first])
            for i in range(first + 1, stop):
                result += scalar(z[i] - largest - shift, t[i])
            losses[s] = result

    return rows


def _slope_loop(row: Loss) -> Callable[..., None]:
    slope = formula(row.slope)

    @kernel
    def loop(y: Vector[F], t: Vector[F], terms: F, dLdy: Vector[F]) -> None:
        for i in range(y.size):
            dLdy[i] = slope(y[i], t[i]) / terms

    return loop


_sums = switch([_sum_of_terms(row.value) for row in LOSSES])
_stable_sums = switch([_sum_of_stable_terms(row) for row in LOSSES])
_slopes = switch([_slope_loop(row) for row in LOSSES])


@kernel
def sample_losses(
    loss: int, activation: int, a: Vector[F], y: Vector[F], t: Vector[F], losses: Vector[F]
) -> None:
    """The loss of each sample (B,) from flat (B, n) arrays."""
    if activation == CANONICAL[loss]:
        _stable_sums(loss, a, t, losses)
    else:
        _sums(loss, y, t, losses)
    if MEAN_OVER_OUTPUTS[loss]:
        n = losses.dtype.type(y.size // losses.size)
        for s in range(losses.size):
            losses[s] /= n


@kernel
def output_signals(
    loss: int,
    activation: int,
    a: Vector[F],
    y: Vector[F],
    t: Vector[F],
    dLdy: Vector[F],
    dLda: Vector[F],
    samples: int,
) -> None:
    """dLdy and dLda from flat (B, n) arrays."""
    n = y.size // samples
    terms = y.dtype.type(y.size if MEAN_OVER_OUTPUTS[loss] else samples)
    _slopes(loss, y, t, terms, dLdy)
    if activation != CANONICAL[loss]:
        products(activation, a, y, dLdy, dLda, n)
    elif activation == SIGMOID:
        for i in range(y.size):
            dLda[i] = (y[i] - t[i]) / terms
    else:
        for first in range(0, y.size, n):
            total = t[first]
            for i in range(first + 1, first + n):
                total += t[i]
            for i in range(first, first + n):
                dLda[i] = (y[i] * total - t[i]) / terms


@entry
def loss_value(
    loss: int, activation: int, a: Matrix[F], y: Matrix[F], t: Matrix[F], losses: Vector[F]
) -> None:
    """The loss of each sample (B,), given output activation, pre-activations, outputs and targets (B, n)."""
    sample_losses(loss, activation, a.reshape(a.size), y.reshape(a.size), t.reshape(a.size), losses)


@entry
def loss_slope(loss: int, y: Matrix[F], t: Matrix[F], dLdy: Matrix[F]) -> None:
    """The slope (B, n) of the mean loss of the batch by the outputs."""
    terms = y.dtype.type(y.size if MEAN_OVER_OUTPUTS[loss] else y.shape[0])
    _slopes(loss, y.reshape(y.size), t.reshape(y.size), terms, dLdy.reshape(y.size))


@entry
def output_error(
    loss: int,
    activation: int,
    a: Matrix[F],
    y: Matrix[F],
    t: Matrix[F],
    dLdy: Matrix[F],
    dLda: Matrix[F],
) -> None:
    """dLdy, and dLda of the output layer, all (B, n), in the stable form where the pair has one."""
    size = y.size
    output_signals(
        loss,
        activation,
        a.reshape(size),
        y.reshape(size),
        t.reshape(size),
        dLdy.reshape(size),
        dLda.reshape(size),
        y.shape[0],
    )

"""The output layer: losses, their slopes, and the first error signal."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false
# Formulas written as lambdas have no types.

from __future__ import annotations

from collections.abc import Callable

from typednn_kernels.activations import SOFTMAX
from typednn_kernels.arrays import F, Matrix, Values, Vector
from typednn_kernels.compiled.elementwise import largest, products, total
from typednn_kernels.compiled.jit import entry, kernel
from typednn_kernels.compiled.loops import Formula, Loop, elementwise, piece, sums
from typednn_kernels.elementary import exp, log
from typednn_kernels.losses import CANONICAL, LOSSES, MEAN_OVER_OUTPUTS


def _shifted(term: Callable[[Values, Values], Values]) -> Callable[..., Values]:
    return lambda a, t, shift: term(a - shift, t)


def _divided(slope: Callable[[Values, Values], Values]) -> Callable[..., Values]:
    return lambda y, t, terms: slope(y, t) / terms


sum_of_terms: Formula = sums(*(row.value for row in LOSSES))
sum_of_stable_terms: Formula = sums(*(row.canonical and _shifted(row.stable_value) for row in LOSSES))
slope_of: Loop = elementwise(*(_divided(row.slope) for row in LOSSES))
"""By loss code: the loss from (y, t), and from (a, t, what to subtract from a); dLdy from (y, t, terms)."""

sum_of_exponentials: Formula = sums(lambda a, shift: exp(a - shift))
canonical_error: Loop = elementwise(lambda y, t, weight, terms: (y * weight - t) / terms)


@kernel
def sample_loss(loss: int, activation: int, a: Vector[F], y: Vector[F], t: Vector[F], n: int) -> F:
    """The loss of a sample of n outputs."""
    if activation != CANONICAL[loss]:
        result = sum_of_terms(loss, n, y, t)
    elif activation == SOFTMAX:
        shift = largest(0, n, a)
        shift += log(sum_of_exponentials(0, n, a, shift))
        result = sum_of_stable_terms(loss, n, a, t, shift)
    else:
        result = sum_of_stable_terms(loss, n, a, t, a.dtype.type(0))
    mean: F = result / a.dtype.type(n) if MEAN_OVER_OUTPUTS[loss] else result
    return mean


@kernel
def loss_signal(loss: int, y: Vector[F], t: Vector[F], dLdy: Vector[F], samples: int) -> None:
    """dLdy, all flat (B, n)."""
    slope_of(loss, y.size, y, t, y.dtype.type(y.size if MEAN_OVER_OUTPUTS[loss] else samples), dLdy)


@kernel
def stable_error(
    loss: int, activation: int, y: Vector[F], t: Vector[F], dLda: Vector[F], samples: int
) -> bool:
    """dLda of the output layer, all flat (B, n), if the pair has a stable form; whether it has."""
    stable = activation == CANONICAL[loss]
    if stable:
        n = y.size // samples
        terms = y.dtype.type(y.size if MEAN_OVER_OUTPUTS[loss] else samples)
        for s in range(samples):
            t_row = piece(t, s * n, n)
            weight = y.dtype.type(1)
            if activation == SOFTMAX:
                weight = total(0, n, t_row)
            canonical_error(0, n, piece(y, s * n, n), t_row, weight, terms, piece(dLda, s * n, n))
    return stable


@kernel
def sample_losses(
    loss: int, activation: int, a: Vector[F], y: Vector[F], t: Vector[F], losses: Vector[F]
) -> None:
    """The losses of samples, from flat (B, n)."""
    n = y.size // losses.size
    for s in range(losses.size):
        losses[s] = sample_loss(
            loss, activation, piece(a, s * n, n), piece(y, s * n, n), piece(t, s * n, n), n
        )


@entry
def loss_value(
    loss: int, activation: int, a: Matrix[F], y: Matrix[F], t: Matrix[F], losses: Vector[F]
) -> None:
    """The loss of each sample (B,), given output activation, pre-activations, outputs and targets (B, n)."""
    size = a.size
    sample_losses(loss, activation, piece(a, 0, size), piece(y, 0, size), piece(t, 0, size), losses)


@entry
def loss_slope(loss: int, y: Matrix[F], t: Matrix[F], dLdy: Matrix[F]) -> None:
    """The slope (B, n) of the mean loss of the batch by the outputs."""
    size = y.size
    loss_signal(loss, piece(y, 0, size), piece(t, 0, size), piece(dLdy, 0, size), y.shape[0])


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
    outputs, targets, signal, error = (
        piece(y, 0, size),
        piece(t, 0, size),
        piece(dLdy, 0, size),
        piece(dLda, 0, size),
    )
    loss_signal(loss, outputs, targets, signal, y.shape[0])
    if not stable_error(loss, activation, outputs, targets, error, y.shape[0]):
        products(activation, piece(a, 0, size), outputs, signal, error, y.shape[0])

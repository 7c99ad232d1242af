"""The output layer: losses, their slopes, and the first error signal."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# Formulas written as lambdas have no types.

from __future__ import annotations

from collections.abc import Callable

from typednn_kernels.activations import SOFTMAX
from typednn_kernels.arrays import F, Matrix, Values, Vector
from typednn_kernels.compiled._codegen.array_views import scratch, slice_of
from typednn_kernels.compiled._codegen.function_tables import FunctionTable
from typednn_kernels.compiled._codegen.ir_loops import (
    Formula,
    Loop,
    elementwise,
    scalar_function,
    sum_reduction,
)
from typednn_kernels.compiled._codegen.ir_values import Number
from typednn_kernels.compiled._codegen.jit import exported, inline, noinline
from typednn_kernels.compiled._codegen.short_rows import (
    Row,
    by_short_row,
    by_short_vector,
    is_short_row,
    is_short_vector,
)
from typednn_kernels.compiled.ops.activation import (
    LONG,
    activation_backward_flat,
    row_max,
    row_max_and_sum_exp,
    total,
)
from typednn_kernels.compiled.parallel.thread_pool import GRAIN_ELEMENTS, parallel_for
from typednn_kernels.losses import BUILT_IN, CODES, LOSSES, canonical, is_mean
from typednn_kernels.primitives import log


def _shifted(term: Callable[[Values, Values], Values]) -> Callable[..., Values]:
    return lambda a, t, shift: term(a - shift, t)


def _divided(derivative: Callable[[Values, Values], Values]) -> Callable[..., Values]:
    return lambda y, t, terms: derivative(y, t) / terms


def _canonical_error(y: Values, t: Values, weight: Values, terms: Values) -> Values:
    return (y * weight - t) / terms


WITHIN = 3
OTHERS = range(WITHIN, BUILT_IN)
"""MSE and the cross-entropies stand in the kernels; the other losses are called by address."""
CROSS_ENTROPY: int = CODES["crossentropy"]
STABLE = [loss for loss in OTHERS if LOSSES[loss].canonical]

TERMS = [row.value for row in LOSSES[:WITHIN]]
STABLE_TERMS = [row.canonical and _shifted(row.stable_value) for row in LOSSES[:WITHIN]]
SLOPES = [_divided(row.derivative) for row in LOSSES[:WITHIN]]
OTHER_TERMS = FunctionTable("loss", "vv", lambda loss: LOSSES[loss].value, OTHERS, sums=True)
OTHER_STABLE_TERMS = FunctionTable(
    "stable_loss", "vvn", lambda loss: LOSSES[loss].stable_value, STABLE, _shifted, sums=True
)
OTHER_SLOPES = FunctionTable(
    "loss_derivative", "vvnv", lambda loss: LOSSES[loss].derivative, OTHERS, _divided
)
"""By loss code: a term from (y, t), and from (a, t, what to subtract from a); dLdy from (y, t, terms)."""

sum_of_terms: Formula = sum_reduction(*TERMS, default_case=OTHER_TERMS)
sum_of_stable_terms: Formula = sum_reduction(*STABLE_TERMS, default_case=OTHER_STABLE_TERMS)
slope_of: Loop = elementwise(*SLOPES, default_case=OTHER_SLOPES)

canonical_of: Callable[[int], int] = inline(canonical)
mean_over_outputs: Callable[[int], bool] = inline(is_mean)
logarithms: Loop = elementwise(log)
log_of_mass: Formula = scalar_function(lambda peak, mass: peak + log(mass))
canonical_delta_loop: Loop = elementwise(_canonical_error)


def row_terms(loss: int, activation: int) -> Callable[[Row, Number, Number, Number], Number]:
    """A scalar_function for the terms of the loss of a row, from (row, a, y, t)."""
    value, stable_value = LOSSES[loss].value, LOSSES[loss].stable_value

    def terms(row: Row, a: Number, y: Number, t: Number) -> Number:
        if activation != canonical(loss):
            return value(y, t)
        if activation != SOFTMAX:
            return stable_value(a, t)
        # As in `sample_loss`.
        return stable_value(a - (row.largest(a) - log(row.largest(y))), t)

    return terms


def _cross_entropy(row: Row, a: Number, y: Number, t: Number) -> Number:
    return row.total(row_terms(CROSS_ENTROPY, SOFTMAX)(row, a, y, t))


def softmax_delta(row: Row, y: Number, t: Number, terms: Number) -> Number:
    """dLda of a row by its canonical loss."""
    return _canonical_error(y, t, row.total(t), terms)


short_sum_of_terms: Callable[..., None] = by_short_vector("terms", TERMS, sums=True)
short_sum_of_stable_terms: Callable[..., None] = by_short_vector("stable_terms", STABLE_TERMS, sums=True)
cross_entropies: Callable[..., None] = by_short_row("cross_entropy", _cross_entropy, numbers=True)
softmax_errors: Callable[..., None] = by_short_row("softmax_error", softmax_delta)


@inline
def mean_of(loss: int, total: Number, n: F) -> F:
    """The loss of a sample of n outputs, given the sum of its terms."""
    mean: F = total / n if mean_over_outputs(loss) else total
    return mean


@inline
def sample_loss(loss: int, activation: int, a: Vector[F], y: Vector[F], t: Vector[F], n: int) -> F:
    """The loss of a sample of n outputs."""
    short, only = loss < WITHIN and is_short_vector(n, a), scratch(a)
    if short and activation != canonical_of(loss):
        short_sum_of_terms(loss, n, y, t, only)
        result = only[0]
    elif short and activation != SOFTMAX:
        short_sum_of_stable_terms(loss, n, a, t, a.dtype.type(0), only)
        result = only[0]
    elif activation != canonical_of(loss):
        result = sum_of_terms(loss, n, y, t)
    elif activation == SOFTMAX:
        # The largest y is exp of the largest a, divided by the sum that softmax has formed.
        result = sum_of_stable_terms(loss, n, a, t, row_max(0, n, a) - log(row_max(0, n, y)))
    else:
        result = sum_of_stable_terms(loss, n, a, t, a.dtype.type(0))
    mean: F = mean_of(loss, result, a.dtype.type(n))
    return mean


@inline
def mean_divisor(loss: int, size: int, samples: int) -> int:
    """How many terms the mean loss of a batch is divided by, `size` being all its outputs."""
    return size if mean_over_outputs(loss) else samples


@inline
def loss_gradient(loss: int, y: Vector[F], t: Vector[F], dLdy: Vector[F], count: int, samples: int) -> None:
    """dLdy of `count` samples of a batch, all flat (count, n)."""
    terms = mean_divisor(loss, y.size // count * samples, samples)
    slope_of(loss, y.size, y, t, y.dtype.type(terms), dLdy)


@inline
def canonical_delta(
    loss: int, activation: int, y: Vector[F], t: Vector[F], dLda: Vector[F], count: int, samples: int
) -> bool:
    """dLda of `count` samples of a batch, flat (count, n), if the pair has a stable form; whether it has."""
    stable = activation == canonical_of(loss)
    n = y.size // count
    terms = y.dtype.type(mean_divisor(loss, n * samples, samples))
    if stable and activation == SOFTMAX and is_short_row(n, y):
        softmax_errors(count, n, y, t, terms, dLda)
    elif stable:
        for s in range(count):
            t_row = slice_of(t, s * n, n)
            weight = y.dtype.type(1)
            if activation == SOFTMAX:
                weight = total(0, n, t_row)
            canonical_delta_loop(0, n, slice_of(y, s * n, n), t_row, weight, terms, slice_of(dLda, s * n, n))
    return stable


@inline
def sample_losses(
    loss: int, activation: int, a: Vector[F], y: Vector[F], t: Vector[F], losses: Vector[F]
) -> None:
    """The losses of samples, from flat (B, n)."""
    samples, n = losses.size, y.size // losses.size
    if loss == CROSS_ENTROPY and activation == SOFTMAX and is_short_row(n, a):
        cross_entropies(samples, n, a, y, t, losses)
        return
    if activation == SOFTMAX and activation == canonical_of(loss):
        for s in range(samples):
            losses[s] = row_max(0, n, slice_of(y, s * n, n))
        logarithms(0, samples, losses, losses)
        for s in range(samples):
            a_row = slice_of(a, s * n, n)
            shift = row_max(0, n, a_row) - losses[s]
            terms = sum_of_stable_terms(loss, n, a_row, slice_of(t, s * n, n), shift)
            losses[s] = mean_of(loss, terms, a.dtype.type(n))
        return
    for s in range(samples):
        losses[s] = sample_loss(
            loss, activation, slice_of(a, s * n, n), slice_of(y, s * n, n), slice_of(t, s * n, n), n
        )


@noinline
def loss_terms_range(
    part: int, start: int, stop: int, loss: int, y: Vector[F], t: Vector[F], sums: Vector[F]
) -> None:
    """The sum of the terms of some outputs of a sample."""
    n = stop - start
    sums[part] = sum_of_terms(loss, n, slice_of(y, start, n), slice_of(t, start, n))


@noinline
def stable_loss_terms_range(
    part: int, start: int, stop: int, loss: int, a: Vector[F], t: Vector[F], shift: F, sums: Vector[F]
) -> None:
    """The same from pre-activations."""
    n = stop - start
    sums[part] = sum_of_stable_terms(loss, n, slice_of(a, start, n), slice_of(t, start, n), shift)


@noinline
def loss_derivative_range(
    part: int, start: int, stop: int, loss: int, y: Vector[F], t: Vector[F], terms: F, dLdy: Vector[F]
) -> None:
    """dLdy of some outputs, of a mean of so many terms."""
    n = stop - start
    slope_of(loss, n, slice_of(y, start, n), slice_of(t, start, n), terms, slice_of(dLdy, start, n))


@noinline
def loss_range(
    part: int,
    start: int,
    stop: int,
    loss: int,
    activation: int,
    a: Vector[F],
    y: Vector[F],
    t: Vector[F],
    losses: Vector[F],
    n: int,
) -> None:
    """The losses of some samples."""
    first, size, count = start * n, (stop - start) * n, stop - start
    sample_losses(
        loss,
        activation,
        slice_of(a, first, size),
        slice_of(y, first, size),
        slice_of(t, first, size),
        slice_of(losses, start, count),
    )


@noinline
def output_delta_range(
    part: int,
    start: int,
    stop: int,
    loss: int,
    activation: int,
    a: Vector[F],
    y: Vector[F],
    t: Vector[F],
    dLdy: Vector[F],
    dLda: Vector[F],
    n: int,
    samples: int,
) -> None:
    """The error signal of some samples of a batch, whose dLdy is known."""
    first, size, count = start * n, (stop - start) * n, stop - start
    outputs, error = slice_of(y, first, size), slice_of(dLda, first, size)
    if not canonical_delta(loss, activation, outputs, slice_of(t, first, size), error, count, samples):
        activation_backward_flat(
            activation, slice_of(a, first, size), outputs, slice_of(dLdy, first, size), error, count
        )


all_terms: Callable[..., int] = parallel_for(loss_terms_range)
all_stable_terms: Callable[..., int] = parallel_for(stable_loss_terms_range)
all_derivatives: Callable[..., int] = parallel_for(loss_derivative_range)
all_losses: Callable[..., int] = parallel_for(loss_range)
all_errors: Callable[..., int] = parallel_for(output_delta_range)


@inline
def long_sample_loss(loss: int, activation: int, a: Vector[F], y: Vector[F], t: Vector[F], n: int) -> F:
    """The loss of a sample of many outputs."""
    sums = scratch(a)
    if activation != canonical_of(loss):
        parts = all_terms(n, GRAIN_ELEMENTS, loss, y, t, sums)
    else:
        shift = a.dtype.type(0)
        if activation == SOFTMAX:
            peak, mass = row_max_and_sum_exp(a)
            shift = log_of_mass(peak, mass)
        parts = all_stable_terms(n, GRAIN_ELEMENTS, loss, a, t, shift, sums)
    mean: F = mean_of(loss, total(0, parts, sums), a.dtype.type(n))
    return mean


@exported
def loss_value(
    loss: int, activation: int, a: Matrix[F], y: Matrix[F], t: Matrix[F], losses: Vector[F]
) -> None:
    """The loss of each sample (B,), given output activation, pre-activations, outputs and targets (B, n)."""
    size, n = a.size, a.shape[1]
    if n < LONG:
        all_losses(
            losses.size,
            GRAIN_ELEMENTS // n,
            loss,
            activation,
            slice_of(a, 0, size),
            slice_of(y, 0, size),
            slice_of(t, 0, size),
            losses,
            n,
        )
    else:
        for s in range(losses.size):
            start = s * n
            losses[s] = long_sample_loss(
                loss, activation, slice_of(a, start, n), slice_of(y, start, n), slice_of(t, start, n), n
            )


@exported
def loss_derivative(loss: int, y: Matrix[F], t: Matrix[F], dLdy: Matrix[F]) -> None:
    """The slope (B, n) of the mean loss of the batch by the outputs."""
    size = y.size
    terms = y.dtype.type(mean_divisor(loss, size, y.shape[0]))
    all_derivatives(
        size, GRAIN_ELEMENTS, loss, slice_of(y, 0, size), slice_of(t, 0, size), terms, slice_of(dLdy, 0, size)
    )


@noinline
def output_delta_rows(
    loss: int,
    activation: int,
    a: Matrix[F],
    y: Matrix[F],
    t: Matrix[F],
    dLdy: Matrix[F],
    dLda: Matrix[F],
) -> None:
    """dLdy, and dLda of the output layer."""
    size, (samples, n) = y.size, y.shape
    outputs, targets, signal = slice_of(y, 0, size), slice_of(t, 0, size), slice_of(dLdy, 0, size)
    terms = y.dtype.type(mean_divisor(loss, size, samples))
    all_derivatives(size, GRAIN_ELEMENTS, loss, outputs, targets, terms, signal)
    all_errors(
        samples,
        max(1, GRAIN_ELEMENTS // n),
        loss,
        activation,
        slice_of(a, 0, size),
        outputs,
        targets,
        signal,
        slice_of(dLda, 0, size),
        n,
        samples,
    )


@exported
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
    output_delta_rows(loss, activation, a, y, t, dLdy, dLda)

"""Losses of samples, their derivatives dLdy, and dLda of the output layer.

Functions are named as in `ops.activation`. The loss of a batch is the mean over its samples; the loss of a
sample is a sum of terms, one for each output, or their mean. So derivatives are divided by `mean_divisor`.
"""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# Formulas written as lambdas have no types.

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, NamedTuple

from typednn_kernels.activations import SOFTMAX
from typednn_kernels.arrays import F, Matrix, Values, Vector
from typednn_kernels.compiled._codegen.array_views import scratch, slice_of
from typednn_kernels.compiled._codegen.function_tables import FunctionTable
from typednn_kernels.compiled._codegen.ir_loops import (
    Formula,
    Loop,
    elementwise,
    max_reduction,
    scalar_function,
    sum_reduction,
)
from typednn_kernels.compiled._codegen.ir_values import Number
from typednn_kernels.compiled._codegen.jit import exported, inline, noinline, on_demand, require
from typednn_kernels.compiled._codegen.short_rows import (
    Row,
    by_short_row,
    by_short_vector,
    is_short_row,
    is_short_vector,
)
from typednn_kernels.compiled._codegen.tuning import GRAIN_ELEMENTS, LONG_ROW_ELEMENTS
from typednn_kernels.compiled.ops.activation import (
    activation_backward_range,
    row_max,
    row_max_and_sum_exp,
    total,
)
from typednn_kernels.compiled.parallel.thread_pool import parallel_for
from typednn_kernels.losses import (
    BUILT_IN,
    CODES,
    COUPLED,
    LOSSES,
    PAIRS,
    is_mean,
    is_stable,
    pair_delta,
    pair_derivative,
    pair_of,
    pair_value,
    softmax_rows,
)
from typednn_kernels.primitives import log


def _shifted(term: Callable[[Values, Values], Values]) -> Callable[..., Values]:
    return lambda a, t, largest, log_sum: term((a - largest) - log_sum, t)


def _divided(derivative: Callable[[Values, Values], Values]) -> Callable[..., Values]:
    return lambda y, t, divisor: derivative(y, t) / divisor


def _pair_divided(formula: Callable[..., Values]) -> Callable[..., Values]:
    return lambda *arguments: formula(*arguments[:-1]) / arguments[-1]


def _canonical_delta(y: Values, t: Values, weight: Values, divisor: Values) -> Values:
    return (y * weight - t) / divisor


class Outputs(NamedTuple, Generic[F]):
    """Pre-activations, outputs and targets of the output layer for some samples, flat (B * n,)."""

    a: Vector[F]
    y: Vector[F]
    t: Vector[F]


INLINED = 3
"""MSE and the cross-entropies: their code for short vectors is compiled into the kernels."""
CALLED = range(BUILT_IN)
"""The loops of all losses are called by address, and compiled when they are first called."""
CROSS_ENTROPY: int = CODES["crossentropy"]

TERMS = [row.value for row in LOSSES[:INLINED]]
STABLE_TERMS = [row.canonical and _shifted(row.stable_value) for row in LOSSES[:INLINED]]
CALLED_TERMS = FunctionTable("loss", "vv", lambda loss: LOSSES[loss].value, CALLED, sums=True)
CALLED_STABLE_TERMS = FunctionTable(
    "stable_loss",
    "vvnn",
    lambda loss: LOSSES[loss].stable_value,
    [loss for loss in CALLED if LOSSES[loss].canonical],
    _shifted,
    sums=True,
)
CALLED_DERIVATIVES = FunctionTable(
    "loss_derivative", "vvnv", lambda loss: LOSSES[loss].derivative, CALLED, _divided
)
"""By loss code: a term of (y, t), a stable term of (a, t, largest, log_sum) at a - largest - log_sum, dLdy of
(y, t, divisor)."""
ELEMENTWISE = range(COUPLED, len(PAIRS))
PAIR_TERMS = FunctionTable("pair_loss", "vv", pair_value, ELEMENTWISE, sums=True)
PAIR_DELTAS = FunctionTable("pair_delta", "vvnv", pair_delta, ELEMENTWISE, _pair_divided)
PAIR_DERIVATIVES = FunctionTable(
    "pair_derivative", "vvvnv", pair_derivative, range(len(PAIRS)), _pair_divided
)
"""By place of the pair: a term of (a, t), dLda of (a, t, divisor), dLdy of (a, y, t, divisor)."""

SINGLE_TERMS = FunctionTable("term", "vvv", lambda loss: LOSSES[loss].value, CALLED)
SINGLE_STABLE_TERMS = FunctionTable(
    "stable_term", "vvnnv", CALLED_STABLE_TERMS.source, CALLED_STABLE_TERMS.codes, _shifted
)
SINGLE_PAIR_TERMS = FunctionTable("pair_term", "vvv", pair_value, ELEMENTWISE)
"""The same terms, one for each element, for samples of one output."""

SOFTMAX_SUMS = FunctionTable("softmax_loss", "vvvnnnn", softmax_rows.summand, softmax_rows.CODES, sums=True)
SOFTMAX_DERIVATIVES = FunctionTable(
    "softmax_loss_derivative", "vvvnnnnv", softmax_rows.derivative, softmax_rows.CODES, _pair_divided
)
SOFTMAX_DELTAS = FunctionTable(
    "softmax_loss_delta", "vvvnnnnnnnnv", softmax_rows.delta, softmax_rows.CODES, _pair_divided
)
"""By loss code: a summand of (a, y, t, largest, second, rest, place), dLdy of the same without a place, and
dLda of (a, y, t, *RowSums); the last two are divided by their last argument."""

sum_terms: Formula = sum_reduction(default_case=CALLED_TERMS)
sum_stable_terms: Formula = sum_reduction(default_case=CALLED_STABLE_TERMS)
term_loop: Loop = elementwise(default_case=SINGLE_TERMS)
stable_term_loop: Loop = elementwise(default_case=SINGLE_STABLE_TERMS)
pair_term_loop: Loop = elementwise(default_case=SINGLE_PAIR_TERMS)
derivative_loop: Loop = elementwise(default_case=CALLED_DERIVATIVES)
sum_pair_terms: Formula = sum_reduction(default_case=PAIR_TERMS)
pair_delta_loop: Loop = elementwise(default_case=PAIR_DELTAS)
pair_derivative_loop: Loop = elementwise(default_case=PAIR_DERIVATIVES)

largest_of_rest: Formula = max_reduction(softmax_rows.of_rest)
sum_exp_of_rest: Formula = sum_reduction(softmax_rows.exp_of_rest)
softmax_sum: Formula = sum_reduction(default_case=SOFTMAX_SUMS)
softmax_derivative_loop: Loop = elementwise(default_case=SOFTMAX_DERIVATIVES)
softmax_delta_loop: Loop = elementwise(default_case=SOFTMAX_DELTAS)

stable: Callable[[int, int], bool] = inline(is_stable)
has_rows: Callable[[int, int, int], bool] = inline(softmax_rows.has_rows)
place_of_pair: Callable[[int, int], int] = inline(pair_of)
is_mean_loss: Callable[[int], bool] = inline(is_mean)
log_loop: Loop = elementwise(log)
log_of: Formula = scalar_function(log)
canonical_delta_loop: Loop = elementwise(_canonical_delta)


def row_terms(loss: int, activation: int) -> Callable[[Row, Number, Number, Number], Number]:
    """Returns a formula of (row, a, y, t) for the terms of the loss of a sample."""
    value, stable_value, pair = LOSSES[loss].value, LOSSES[loss].stable_value, pair_of(loss, activation)

    def terms(row: Row, a: Number, y: Number, t: Number) -> Number:
        if not is_stable(loss, activation):
            return pair_value(pair)(a, t) if pair >= COUPLED else value(y, t)
        if activation != SOFTMAX:
            return stable_value(a, t)
        # The largest y is 1 / sum(exp(a - max(a))).
        return stable_value((a - row.largest(a)) + log(row.largest(y)), t)

    return terms


def _cross_entropy(row: Row, a: Number, y: Number, t: Number) -> Number:
    return row.total(row_terms(CROSS_ENTROPY, SOFTMAX)(row, a, y, t))


def softmax_delta(row: Row, y: Number, t: Number, divisor: Number) -> Number:
    """Computes dLda of a sample with softmax and its canonical loss."""
    return _canonical_delta(y, t, row.total(t), divisor)


short_sum_terms: Callable[..., None] = by_short_vector("terms", TERMS, sums=True)
short_sum_stable_terms: Callable[..., None] = by_short_vector("stable_terms", STABLE_TERMS, sums=True)
cross_entropies: Callable[..., None] = by_short_row("cross_entropy", _cross_entropy, numbers=True)
softmax_deltas: Callable[..., None] = by_short_row("softmax_delta", softmax_delta)


@inline
def mean_of(loss: int, total: Number, n: F) -> F:
    """Computes the loss of a sample of n outputs from the sum of its terms."""
    mean: F = total / n if is_mean_loss(loss) else total
    return mean


@on_demand
def softmax_row_loss(loss: int, a: Vector[F], y: Vector[F], t: Vector[F], n: int) -> F:
    """Computes the loss of a sample of n outputs; see `softmax_rows`."""
    largest, second = row_max(0, n, a), largest_of_rest(0, n, a, y)
    rest = sum_exp_of_rest(0, n, a, y, second)
    total: F = softmax_sum(loss, n, a, y, t, largest, second, rest, a.dtype.type(0))
    return total


@on_demand
def softmax_row_gradients(
    loss: int, a: Vector[F], y: Vector[F], t: Vector[F], divisor: F, dLdy: Vector[F], dLda: Vector[F]
) -> None:
    """Computes dLdy and dLda of a sample; see `softmax_rows`. The targets may lie where dLda is written."""
    n, real = a.size, a.dtype.type
    largest, second = row_max(0, n, a), largest_of_rest(0, n, a, y)
    rest = sum_exp_of_rest(0, n, a, y, second)
    by_logarithms = softmax_sum(loss, n, a, y, t, largest, second, rest, real(1))
    top_by_logarithm = softmax_sum(loss, n, a, y, t, largest, second, rest, real(2))
    by_complements = softmax_sum(loss, n, a, y, t, largest, second, rest, real(3))
    top_by_complement = softmax_sum(loss, n, a, y, t, largest, second, rest, real(4))
    softmax_derivative_loop(loss, n, a, y, t, largest, second, rest, divisor, dLdy)
    softmax_delta_loop(
        loss,
        n,
        a,
        y,
        t,
        largest,
        second,
        rest,
        by_logarithms,
        top_by_logarithm,
        by_complements,
        top_by_complement,
        divisor,
        dLda,
    )


@inline
def sample_loss(loss: int, activation: int, a: Vector[F], y: Vector[F], t: Vector[F], n: int) -> F:
    """Computes the loss of a sample of n outputs."""
    short, only, zero = loss < INLINED and is_short_vector(n, a), scratch(a), a.dtype.type(0)
    is_stable_pair, pair = stable(loss, activation), place_of_pair(loss, activation)
    if not is_stable_pair and pair >= COUPLED:
        result = sum_pair_terms(pair, n, a, t)
    elif has_rows(loss, activation, n):
        result = softmax_row_loss(loss, a, y, t, n)
    elif short and not is_stable_pair:
        short_sum_terms(loss, n, y, t, only)
        result = only[0]
    elif short and activation != SOFTMAX:
        short_sum_stable_terms(loss, n, a, t, zero, zero, only)
        result = only[0]
    elif not is_stable_pair:
        result = sum_terms(loss, n, y, t)
    elif activation == SOFTMAX:
        # The largest y is 1 / sum(exp(a - max(a))).
        result = sum_stable_terms(loss, n, a, t, row_max(0, n, a), -log(row_max(0, n, y)))
    else:
        result = sum_stable_terms(loss, n, a, t, zero, zero)
    mean: F = mean_of(loss, result, a.dtype.type(n))
    return mean


@inline
def mean_divisor(loss: int, size: int, samples: int) -> int:
    """Returns what derivatives of the batch's mean loss are divided by; the batch has `size` outputs."""
    return size if is_mean_loss(loss) else samples


@inline
def loss_gradient(
    loss: int, activation: int, outputs: Outputs[F], dLdy: Vector[F], count: int, samples: int
) -> None:
    """Computes dLdy of `count` of the `samples` of a batch, flat (count * n,)."""
    size = outputs.y.size
    divisor = outputs.y.dtype.type(mean_divisor(loss, size // count * samples, samples))
    gradient_loop(loss, activation, size, outputs, divisor, dLdy)


@inline
def gradient_loop(
    loss: int, activation: int, n: int, outputs: Outputs[F], divisor: F, dLdy: Vector[F]
) -> None:
    """Computes dLdy of n outputs: from pre-activations where these have stable logarithms."""
    pair = place_of_pair(loss, activation)
    if pair >= 0:
        pair_derivative_loop(pair, n, outputs.a, outputs.y, outputs.t, divisor, dLdy)
    else:
        derivative_loop(loss, n, outputs.y, outputs.t, divisor, dLdy)


@inline
def canonical_delta(
    loss: int,
    activation: int,
    outputs: Outputs[F],
    dLdy: Vector[F],
    dLda: Vector[F],
    count: int,
    samples: int,
) -> bool:
    """Computes dLda of `count` of the `samples` of a batch, flat (count * n,), without dLdy.

    With the losses of `softmax_rows` it computes dLdy, too, which depends on whole rows. Returns whether
    the pair of loss and activation has a formula for it; otherwise nothing is written.
    """
    a, y, t = outputs.a, outputs.y, outputs.t
    is_stable_pair, pair = stable(loss, activation), place_of_pair(loss, activation)
    n = y.size // count
    divisor = y.dtype.type(mean_divisor(loss, n * samples, samples))
    if is_stable_pair and activation == SOFTMAX and is_short_row(n, y):
        softmax_deltas(count, n, y, t, divisor, dLda)
    elif is_stable_pair:
        for s in range(count):
            t_row = slice_of(t, s * n, n)
            weight = y.dtype.type(1)
            if activation == SOFTMAX:
                weight = total(0, n, t_row)
            canonical_delta_loop(
                0, n, slice_of(y, s * n, n), t_row, weight, divisor, slice_of(dLda, s * n, n)
            )
    elif pair >= COUPLED:
        pair_delta_loop(pair, y.size, a, t, divisor, dLda)
    in_rows = has_rows(loss, activation, n)
    if in_rows:
        for s in range(count):
            softmax_row_gradients(
                loss,
                slice_of(a, s * n, n),
                slice_of(y, s * n, n),
                slice_of(t, s * n, n),
                divisor,
                slice_of(dLdy, s * n, n),
                slice_of(dLda, s * n, n),
            )
    return is_stable_pair or pair >= COUPLED or in_rows


@inline
def sample_losses(loss: int, activation: int, outputs: Outputs[F], losses: Vector[F]) -> None:
    """Computes the loss of each sample, (B,)."""
    a, y, t = outputs.a, outputs.y, outputs.t
    samples, n = losses.size, y.size // losses.size
    if loss == CROSS_ENTROPY and activation == SOFTMAX and is_short_row(n, a):
        cross_entropies(samples, n, a, y, t, losses)
        return
    if activation == SOFTMAX and stable(loss, activation):
        softmax_losses(loss, outputs, losses)
    elif n == 1:
        single_output_losses(loss, activation, outputs, losses)
    else:
        sample_losses_one_by_one(loss, activation, outputs, losses)


@on_demand
def softmax_losses(loss: int, outputs: Outputs[F], losses: Vector[F]) -> None:
    """Computes the loss of each sample, (B,), from softmax of rows that are not short."""
    a, y, t = outputs.a, outputs.y, outputs.t
    samples, n = losses.size, y.size // losses.size
    for s in range(samples):
        losses[s] = row_max(0, n, slice_of(y, s * n, n))
    log_loop(0, samples, losses, losses)
    for s in range(samples):
        a_row = slice_of(a, s * n, n)
        terms = sum_stable_terms(loss, n, a_row, slice_of(t, s * n, n), row_max(0, n, a_row), -losses[s])
        losses[s] = mean_of(loss, terms, a.dtype.type(n))


@on_demand
def single_output_losses(loss: int, activation: int, outputs: Outputs[F], losses: Vector[F]) -> None:
    """Computes the loss of each sample of one output, (B,): its only term."""
    a, y, t = outputs.a, outputs.y, outputs.t
    n, zero, pair = losses.size, a.dtype.type(0), place_of_pair(loss, activation)
    if stable(loss, activation):
        stable_term_loop(loss, n, a, t, zero, zero, losses)
    elif pair >= COUPLED:
        pair_term_loop(pair, n, a, t, losses)
    else:
        term_loop(loss, n, y, t, losses)


@on_demand
def sample_losses_one_by_one(loss: int, activation: int, outputs: Outputs[F], losses: Vector[F]) -> None:
    """Computes the loss of each sample, (B,), as online training does."""
    n = outputs.y.size // losses.size
    for s in range(losses.size):
        a, y, t = outputs_range(outputs, s * n, n)
        losses[s] = sample_loss(loss, activation, a, y, t, n)


@inline
def outputs_range(outputs: Outputs[F], first: int, size: int) -> Outputs[F]:
    """Returns `size` elements of each array from `first` on."""
    a, y, t = outputs.a, outputs.y, outputs.t
    return Outputs(slice_of(a, first, size), slice_of(y, first, size), slice_of(t, first, size))


@noinline
def sum_terms_range(
    thread: int, start: int, stop: int, loss: int, y: Vector[F], t: Vector[F], sums: Vector[F]
) -> None:
    """Computes the sum of the terms of a sample over a range of outputs."""
    n = stop - start
    sums[thread] = sum_terms(loss, n, slice_of(y, start, n), slice_of(t, start, n))


@noinline
def sum_stable_terms_range(
    thread: int,
    start: int,
    stop: int,
    loss: int,
    a: Vector[F],
    t: Vector[F],
    largest: F,
    log_sum: F,
    sums: Vector[F],
) -> None:
    """Computes the sum of the terms of a - largest - log_sum over a range of outputs."""
    n = stop - start
    sums[thread] = sum_stable_terms(loss, n, slice_of(a, start, n), slice_of(t, start, n), largest, log_sum)


@noinline
def sum_pair_terms_range(
    thread: int, start: int, stop: int, pair: int, a: Vector[F], t: Vector[F], sums: Vector[F]
) -> None:
    """Computes the sum of the terms of an elementwise pair over a range of outputs."""
    n = stop - start
    sums[thread] = sum_pair_terms(pair, n, slice_of(a, start, n), slice_of(t, start, n))


@noinline
def loss_derivative_range(
    thread: int, start: int, stop: int, loss: int, y: Vector[F], t: Vector[F], divisor: F, dLdy: Vector[F]
) -> None:
    """Computes dLdy over a range of outputs, from these alone."""
    n = stop - start
    derivative_loop(loss, n, slice_of(y, start, n), slice_of(t, start, n), divisor, slice_of(dLdy, start, n))


@noinline
def loss_gradient_range(
    thread: int,
    start: int,
    stop: int,
    loss: int,
    activation: int,
    outputs: Outputs[F],
    divisor: F,
    dLdy: Vector[F],
) -> None:
    """Computes dLdy over a range of outputs, from pre-activations where that is exact."""
    n = stop - start
    part = outputs_range(outputs, start, n)
    gradient_loop(loss, activation, n, part, divisor, slice_of(dLdy, start, n))


@noinline
def loss_range(
    thread: int,
    start: int,
    stop: int,
    loss: int,
    activation: int,
    outputs: Outputs[F],
    losses: Vector[F],
    n: int,
) -> None:
    """Computes the losses of a range of samples of n outputs."""
    count = stop - start
    sample_losses(
        loss, activation, outputs_range(outputs, start * n, count * n), slice_of(losses, start, count)
    )


@noinline
def output_delta_range(
    thread: int,
    start: int,
    stop: int,
    loss: int,
    activation: int,
    outputs: Outputs[F],
    dLdy: Vector[F],
    dLda: Vector[F],
    n: int,
    samples: int,
) -> None:
    """Computes dLda of a range of the `samples` of a batch, whose dLdy is known."""
    first, size, count = start * n, (stop - start) * n, stop - start
    part = outputs_range(outputs, first, size)
    upstream, delta = slice_of(dLdy, first, size), slice_of(dLda, first, size)
    if not canonical_delta(loss, activation, part, upstream, delta, count, samples):
        activation_backward_range(0, 0, count, activation, part.a, part.y, upstream, delta, n)


parallel_sum_terms: Callable[..., int] = parallel_for(sum_terms_range)
parallel_sum_stable_terms: Callable[..., int] = parallel_for(sum_stable_terms_range)
parallel_sum_pair_terms: Callable[..., int] = parallel_for(sum_pair_terms_range)
parallel_loss_gradient: Callable[..., int] = parallel_for(loss_gradient_range)
parallel_loss_derivative: Callable[..., int] = parallel_for(loss_derivative_range)
parallel_loss: Callable[..., int] = parallel_for(loss_range)
parallel_output_delta: Callable[..., int] = parallel_for(output_delta_range)


@inline
def long_sample_loss(loss: int, activation: int, a: Vector[F], y: Vector[F], t: Vector[F]) -> F:
    """Computes the loss of a sample of many outputs, which threads share."""
    n, sums = a.size, scratch(a)
    is_stable_pair, pair = stable(loss, activation), place_of_pair(loss, activation)
    if not is_stable_pair and pair >= COUPLED:
        num_threads = parallel_sum_pair_terms(n, GRAIN_ELEMENTS, pair, a, t, sums)
    elif has_rows(loss, activation, n):
        num_threads, sums[0] = 1, softmax_row_loss(loss, a, y, t, n)
    elif not is_stable_pair:
        num_threads = parallel_sum_terms(n, GRAIN_ELEMENTS, loss, y, t, sums)
    else:
        largest, log_sum = a.dtype.type(0), a.dtype.type(0)
        if activation == SOFTMAX:
            largest, sum_exp = row_max_and_sum_exp(a)
            log_sum = log_of(sum_exp)
        num_threads = parallel_sum_stable_terms(n, GRAIN_ELEMENTS, loss, a, t, largest, log_sum, sums)
    mean: F = mean_of(loss, total(0, num_threads, sums), a.dtype.type(n))
    return mean


@noinline
def sample_losses_of(
    loss: int, activation: int, a: Matrix[F], y: Matrix[F], t: Matrix[F], losses: Vector[F]
) -> None:
    """Computes the loss of each sample, (B,), from matrices (B, n); threads share much work."""
    size, n = a.size, a.shape[1]
    if n < LONG_ROW_ELEMENTS:
        outputs = Outputs(slice_of(a, 0, size), slice_of(y, 0, size), slice_of(t, 0, size))
        parallel_loss(losses.size, GRAIN_ELEMENTS // n, loss, activation, outputs, losses, n)
    else:
        for s in range(losses.size):
            start = s * n
            losses[s] = long_sample_loss(
                loss, activation, slice_of(a, start, n), slice_of(y, start, n), slice_of(t, start, n)
            )


@exported
def loss_value(
    loss: int, activation: int, a: Matrix[F], y: Matrix[F], t: Matrix[F], losses: Vector[F]
) -> None:
    """Computes the loss of each sample, (B,), from pre-activations, outputs and targets (B, n)."""
    require(a.shape == y.shape == t.shape and losses.size == a.shape[0])
    sample_losses_of(loss, activation, a, y, t, losses)


@exported
def loss_derivative(loss: int, y: Matrix[F], t: Matrix[F], dLdy: Matrix[F]) -> None:
    """Computes dLdy, the gradient (B, n) of the batch's mean loss with respect to the outputs."""
    require(y.shape == t.shape == dLdy.shape)
    size = y.size
    divisor = y.dtype.type(mean_divisor(loss, size, y.shape[0]))
    y_flat, t_flat, out = slice_of(y, 0, size), slice_of(t, 0, size), slice_of(dLdy, 0, size)
    parallel_loss_derivative(size, GRAIN_ELEMENTS, loss, y_flat, t_flat, divisor, out)


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
    """Computes dLdy and dLda of the output layer, (B, n), dLda by the stable formula of canonical pairs."""
    size, (samples, n) = y.size, y.shape
    outputs = Outputs(slice_of(a, 0, size), slice_of(y, 0, size), slice_of(t, 0, size))
    gradient, delta = slice_of(dLdy, 0, size), slice_of(dLda, 0, size)
    divisor = y.dtype.type(mean_divisor(loss, size, samples))
    parallel_loss_gradient(size, GRAIN_ELEMENTS, loss, activation, outputs, divisor, gradient)
    grain = max(1, GRAIN_ELEMENTS // n)
    parallel_output_delta(samples, grain, loss, activation, outputs, gradient, delta, n, samples)


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
    """Computes dLdy and dLda of the output layer, (B, n), dLda by the stable formula of canonical pairs."""
    require(a.shape == y.shape == t.shape == dLdy.shape == dLda.shape)
    output_delta_rows(loss, activation, a, y, t, dLdy, dLda)

"""Losses of samples, their derivatives dLdy, and dLda of the output layer.

Functions are named as in `ops.activation`. The loss of a batch is the mean over its samples; the loss of a
sample is a sum of terms, one for each output, or their mean. So derivatives are divided by `mean_divisor`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, NamedTuple

from typednn_kernels.activations import SOFTMAX
from typednn_kernels.arrays import F, Matrix, Vector
from typednn_kernels.compiled._codegen.array_views import scratch, slice_of
from typednn_kernels.compiled._codegen.ir_values import Number
from typednn_kernels.compiled._codegen.jit import exported, inline, noinline, on_demand, require
from typednn_kernels.compiled._codegen.short_rows import is_short_row, is_short_vector
from typednn_kernels.compiled._codegen.tuning import GRAIN_ELEMENTS, LONG_ROW_ELEMENTS
from typednn_kernels.compiled.ops.activation import (
    activation_backward_range,
    row_max,
    row_max_and_sum_exp,
    total,
)
from typednn_kernels.compiled.ops.loss_loops import (
    CROSS_ENTROPY,
    INLINED,
    canonical_delta_loop,
    cross_entropies,
    derivative_loop,
    has_rows,
    is_mean_loss,
    largest_of_rest,
    log_loop,
    log_of,
    pair_delta_loop,
    pair_derivative_loop,
    pair_term_loop,
    place_of_pair,
    short_sum_stable_terms,
    short_sum_terms,
    softmax_delta_loop,
    softmax_deltas,
    softmax_derivative_loop,
    softmax_sum,
    stable,
    stable_term_loop,
    sum_exp_of_rest,
    sum_pair_terms,
    sum_stable_terms,
    sum_terms,
    term_loop,
)
from typednn_kernels.compiled.parallel.thread_pool import parallel_for
from typednn_kernels.losses import COUPLED
from typednn_kernels.primitives import log


class Outputs(NamedTuple, Generic[F]):
    """Pre-activations, outputs and targets of the output layer for some samples, flat (B * n,)."""

    a: Vector[F]
    y: Vector[F]
    t: Vector[F]


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

"""Online gradient descent: an epoch of single samples in one call, by as many threads as pays.

In one pass over its rows the first layer is updated with one sample and computes the next. Threads share its
units, and those of other wide layers: each unit is computed as by one thread, to the bit.
"""

from __future__ import annotations

from collections.abc import Callable

from typednn_kernels.activations import NONE, SOFTMAX
from typednn_kernels.arrays import F, Layout, Matrix, Order, Vector
from typednn_kernels.compiled._codegen.array_views import SCRATCH_ROW_ELEMENTS, scratch_row, slice_of
from typednn_kernels.compiled._codegen.jit import exported, inline, noinline, reassociate
from typednn_kernels.compiled.linalg.dense import (
    GEMV_ROWS,
    add,
    axpy,
    copy,
    dot,
    gemv_bias,
    gemv_t_and_update_2,
    row_blocks,
    scal,
    subtract_scaled,
)
from typednn_kernels.compiled.linalg.short_gemv import (
    has_short_rows,
    short_backward_and_update,
    short_update_and_gemv,
)
from typednn_kernels.compiled.network.passes import (
    biases,
    biases_range,
    flat_weights,
    part_of,
    units,
    weights_range,
)
from typednn_kernels.compiled.ops.activation import activate, activate_range, activation_backward_flat
from typednn_kernels.compiled.ops.loss import canonical_delta, loss_gradient, sample_loss
from typednn_kernels.compiled.parallel.team import barrier, parallel_region
from typednn_kernels.layout import ACTIVATION, LENGTH, PREVIOUS

GRAIN_WEIGHTS, MIN_CALL_WEIGHTS = 1 << 15, 1 << 24
"""So many weights of a layer at least for each thread, and of the largest times the samples of a call."""
SPINS_BEFORE_SLEEP = 20000
"""Of who waits: a step takes some µs."""


@inline
def backward_and_update(
    W: Vector[F], bias: Vector[F], error: Vector[F], below: Vector[F], rate: F, signal: Vector[F]
) -> None:
    """The signal to the layer below, and the update of a layer, in one pass over the rows with an error.

    Short rows are all taken: a branch for each would cost more.
    """
    m, zero, waiting = below.size, W.dtype.type(0), 0
    if has_short_rows(m, W):
        short_backward_and_update(error.size, m, W, bias, error, below, rate, signal)
        return
    # The first row sets the signal: a loop that sets it to 0 would become a call of memset.
    scal(0, m, W, error[0], signal)
    subtract_scaled(0, m, W, below, rate * error[0], W)
    bias[0] -= rate * error[0]
    for i in range(1, error.size):
        if error[i] != zero:
            bias[i] -= rate * error[i]
            if waiting == 0:
                waiting = i
            else:
                row, other = slice_of(W, waiting * m, m), slice_of(W, i * m, m)
                e, d = error[waiting], error[i]
                gemv_t_and_update_2(0, m, signal, row, other, below, e, d, rate, signal, row, other)
                waiting = 0
    if waiting > 0:
        row = slice_of(W, waiting * m, m)
        axpy(0, m, signal, row, error[waiting], signal)
        subtract_scaled(0, m, row, below, rate * error[waiting], row)


@reassociate
def update_and_dot(w: Vector[F], step: F, now: Vector[F], following: Vector[F], m: int) -> F:
    """OptimizerState a row with the inputs of one sample; returns its product with those of the next."""
    total = w.dtype.type(0)
    for j in range(m):
        w[j] -= step * now[j]
        total += w[j] * following[j]
    return total


@inline
def update_and_forward(
    W: Vector[F],
    bias: Vector[F],
    error: Vector[F],
    rate: F,
    now: Vector[F],
    following: Vector[F],
    a: Vector[F],
) -> None:
    """OptimizerState the first layer with the inputs of one sample, and computes its `a` for the next sample.

    One pass over the weights does both: for wide layers a step is bound by memory traffic. Rows without
    error, those of units whose ReLU is off, are only read, if they are not short.
    """
    m, zero = now.size, W.dtype.type(0)
    if has_short_rows(m, W):
        short_update_and_gemv(error.size, m, W, bias, error, rate, now, following, a)
        return
    for i in range(error.size):
        row = slice_of(W, i * m, m)
        if error[i] == zero:
            a[i] = bias[i] + dot(row, following, m)
        else:
            step = rate * error[i]
            bias[i] -= step
            a[i] = bias[i] + update_and_dot(row, step, now, following, m)


@inline
def forward_units(W: Vector[F], bias: Vector[F], below: Vector[F], a: Vector[F]) -> None:
    """Computes a layer, each unit by itself, unlike `affine_one`."""
    m = below.size
    for i in range(a.size):
        a[i] = bias[i] + dot(slice_of(W, i * m, m), below, m)


@inline
def update_units(W: Vector[F], bias: Vector[F], error: Vector[F], rate: F, below: Vector[F]) -> None:
    """OptimizerState a layer."""
    m = below.size
    for i in range(error.size):
        step, row = rate * error[i], slice_of(W, i * m, m)
        bias[i] -= step
        subtract_scaled(0, m, row, below, step, row)


@inline
def is_wide(layout: Layout, k: int) -> bool:
    """Whether threads share layer k, above the first; two at most its rows in `descend_others`."""
    n, m = layout[k, LENGTH], layout[k, PREVIOUS]
    wide: bool = k > 1 and n * m >= 2 * GRAIN_WEIGHTS and m <= SCRATCH_ROW_ELEMENTS
    return wide


@inline
def threads_worth(layout: Layout, samples: int) -> int:
    """How many threads pay; for a first layer that takes samples as they are, and each unit by itself."""
    weights, count = layout[1, LENGTH] * layout[1, PREVIOUS], 1
    for k in range(2, layout.shape[0]):
        if is_wide(layout, k):
            weights = max(weights, layout[k, LENGTH] * layout[k, PREVIOUS])
    if (
        layout[0, ACTIVATION] == NONE
        and layout[1, ACTIVATION] != SOFTMAX
        and samples * weights >= MIN_CALL_WEIGHTS
    ):
        count = min(layout[1, LENGTH], weights // GRAIN_WEIGHTS)
    return count


@inline
def forward_upper_layers(
    part: int, parts: int, meeting: int, parameters: Vector[F], layout: Layout, a: Vector[F], h: Vector[F]
) -> None:
    """The activations of all layers above the first, of which each thread has computed its own units."""
    for k in range(2, layout.shape[0]):
        wide, n, m = is_wide(layout, k), layout[k, LENGTH], layout[k, PREVIOUS]
        if k == 2 or wide or is_wide(layout, k - 1):
            barrier(meeting)
        low, own = 0, n
        if wide:  # whole blocks of rows: the bits of a unit depend on its place in one
            first, count = part_of(row_blocks(n), part, parts)
            low, own = GEMV_ROWS * first, min(GEMV_ROWS * count, n - GEMV_ROWS * first)
        if wide or part == 0:
            W, bias = flat_weights(parameters, layout, k), biases(parameters, layout, k)
            pre_activations = slice_of(units(a, layout, k, 1), low, own)
            gemv_bias(
                units(h, layout, k - 1, 1),
                slice_of(W, low * m, own * m),
                slice_of(bias, low, own),
                pre_activations,
            )
            if layout[k, ACTIVATION] != SOFTMAX or not wide:
                activate(
                    layout[k, ACTIVATION], pre_activations, slice_of(units(h, layout, k, 1), low, own), 1
                )
        if layout[k, ACTIVATION] == SOFTMAX and wide:
            barrier(meeting)
            if part == 0:
                activate_range(0, 0, 1, SOFTMAX, units(a, layout, k, 1), units(h, layout, k, 1), n)
    if layout.shape[0] == 2 or is_wide(layout, layout.shape[0] - 1):
        barrier(meeting)


@inline
def backward_and_update_layer(
    part: int,
    parts: int,
    meeting: int,
    parameters: Vector[F],
    layout: Layout,
    k: int,
    learning_rate: F,
    h: Vector[F],
    dLdh: Vector[F],
    dLda: Vector[F],
    second: Vector[F],
) -> None:
    """The update of layer k, and the signal to the layer below; of a wide one in two halves, to be added."""
    wide, n, m = is_wide(layout, k), layout[k, LENGTH], layout[k, PREVIOUS]
    if wide:
        barrier(meeting)
    for half in range(part, 2 if wide else 1, parts):
        first, count = 0, n
        if wide:
            first, count = half * (n // 2), n // 2 + half * (n % 2)
        backward_and_update(
            slice_of(flat_weights(parameters, layout, k), first * m, count * m),
            slice_of(biases(parameters, layout, k), first, count),
            slice_of(units(dLda, layout, k, 1), first, count),
            units(h, layout, k - 1, 1),
            learning_rate,
            slice_of(units(dLdh, layout, k - 1, 1) if half == 0 else second, 0, m),
        )
    if wide:
        barrier(meeting)


@inline
def backward_upper_layers(
    part: int,
    parts: int,
    meeting: int,
    parameters: Vector[F],
    layout: Layout,
    loss: int,
    t: Vector[F],
    learning_rate: F,
    a: Vector[F],
    h: Vector[F],
    dLdh: Vector[F],
    dLda: Vector[F],
    second: Vector[F],
) -> None:
    """The errors of all layers, of the first at least a thread's own, and the updates of those above it."""
    last = layout.shape[0] - 1
    for k in range(last, 0, -1):
        n, activation = layout[k, LENGTH], layout[k, ACTIVATION]
        signal, error = units(dLdh, layout, k, 1), units(dLda, layout, k, 1)
        pre_activations, activations = units(a, layout, k, 1), units(h, layout, k, 1)
        low, own = 0, n if part == 0 else 0
        if k < last:
            backward_and_update_layer(
                part, parts, meeting, parameters, layout, k + 1, learning_rate, h, dLdh, dLda, second
            )
            if is_wide(layout, k + 1):
                if activation != SOFTMAX and (k == 1 or is_wide(layout, k)):
                    low, own = part_of(n, part, parts)
                total = slice_of(signal, low, own)
                add(0, own, total, slice_of(second, low, own), total)
        elif part == 0:
            loss_gradient(loss, activations, t, signal, 1, 1)
            if canonical_delta(loss, activation, activations, t, error, 1, 1):
                own = 0
        if own > 0:
            activation_backward_flat(
                activation,
                slice_of(pre_activations, low, own),
                slice_of(activations, low, own),
                slice_of(signal, low, own),
                slice_of(error, low, own),
                1,
            )
    if last == 1 or not is_wide(layout, 2):
        barrier(meeting)


@noinline
def train_thread(
    part: int,
    parts: int,
    meeting: int,
    parameters: Vector[F],
    layout: Layout,
    loss: int,
    x: Matrix[F],
    t: Matrix[F],
    order: Order,
    learning_rate: F,
    a: Vector[F],
    h: Vector[F],
    dLdh: Vector[F],
    dLda: Vector[F],
    losses: Vector[F],
    second: Vector[F],
) -> None:
    """The part of one thread in all steps: some units of wide layers; the first has all others."""
    activation, m, n, last = layout[0, ACTIVATION], layout[0, LENGTH], t.shape[1], layout.shape[0] - 1
    first, count = part_of(layout[1, LENGTH], part, parts)
    W = weights_range(parameters, layout, 1, first, count)
    W1, bias1 = slice_of(W, 0, W.size), biases_range(parameters, layout, 1, first, count)
    a1, h1, error1 = (
        slice_of(units(a, layout, 1, 1), first, count),
        slice_of(units(h, layout, 1, 1), first, count),
        slice_of(units(dLda, layout, 1, 1), first, count),
    )
    # The inputs of the last sample and of this one: the input layer has no error, whose place is the second.
    previous, inputs = units(h, layout, 0, 1), units(dLda, layout, 0, 1)
    for step in range(order.size):
        previous, inputs = inputs, previous
        sample = slice_of(x, order[step] * m, m)
        if activation == NONE:
            inputs = sample
        else:
            activate_range(0, 0, 1, activation, sample, inputs, m)
        if step == 0:
            forward_units(W1, bias1, inputs, a1)
        else:
            update_and_forward(W1, bias1, error1, learning_rate, previous, inputs, a1)
        activate(layout[1, ACTIVATION], a1, h1, 1)
        forward_upper_layers(part, parts, meeting, parameters, layout, a, h)
        target = slice_of(t, order[step] * n, n)
        if part == 0:
            outputs, above = units(h, layout, last, 1), units(a, layout, last, 1)
            losses[step] = sample_loss(loss, layout[last, ACTIVATION], above, outputs, target, n)
        backward_upper_layers(
            part, parts, meeting, parameters, layout, loss, target, learning_rate, a, h, dLdh, dLda, second
        )
    if order.size > 0:
        update_units(W1, bias1, error1, learning_rate, inputs)
        if part == 0:
            copy(0, m, inputs, h)
            if activation != NONE:
                copy(0, m, slice_of(x, order[order.size - 1] * m, m), a)


parallel_train: Callable[..., None] = parallel_region(train_thread, spins_before_sleep=SPINS_BEFORE_SLEEP)


@exported
def train_online(
    parameters: Vector[F],
    layout: Layout,
    loss: int,
    x: Matrix[F],
    t: Matrix[F],
    order: Order,
    learning_rate: F,
    a: Vector[F],
    h: Vector[F],
    dLdh: Vector[F],
    dLda: Vector[F],
    losses: Vector[F],
) -> None:
    """A step of gradient descent for each sample of `order`; the loss of each before its step."""
    parallel_train(
        threads_worth(layout, order.size),
        parameters,
        layout,
        loss,
        x,
        t,
        order,
        learning_rate,
        a,
        h,
        dLdh,
        dLda,
        losses,
        scratch_row(dLdh),
    )

"""Online gradient descent: an epoch of single samples in one call, by as many threads as pays.

In one pass over its rows the first layer is updated with one sample and computes the next. Threads share its
units, and those of other wide layers: each unit is computed as by one thread, to the bit.
"""

from __future__ import annotations

from collections.abc import Callable

from typednn_kernels.activations import NONE, SOFTMAX
from typednn_kernels.arrays import F, Layout, Matrix, Order, Vector
from typednn_kernels.compiled._codegen.array_views import BROADEST, piece, scratch_row
from typednn_kernels.compiled._codegen.jit import entry, kernel, reduction, routine
from typednn_kernels.compiled.linalg.dense import (
    ROWS,
    added,
    affine_one,
    blocks_of,
    copies,
    descended,
    dot,
    scaled,
    two_descended,
    weighted,
)
from typednn_kernels.compiled.linalg.short_gemv import has_short_rows, small_descend, small_descend_and_ascend
from typednn_kernels.compiled.network.passes import (
    biases,
    flat_weights,
    share_of,
    some_biases,
    some_weights,
    units,
)
from typednn_kernels.compiled.ops.activation import products, some_values, values
from typednn_kernels.compiled.ops.loss import loss_signal, sample_loss, stable_error
from typednn_kernels.compiled.parallel.team import meet, team
from typednn_kernels.layout import ACTIVATION, LENGTH, PREVIOUS

LEAST, CALL = 1 << 15, 1 << 24
"""So many weights of a layer at least for each thread, and of the largest times the samples of a call."""
PATIENCE = 20000
"""Of who waits: a step takes some µs."""


@kernel
def descend(
    W: Vector[F], bias: Vector[F], error: Vector[F], below: Vector[F], rate: F, signal: Vector[F]
) -> None:
    """The signal to the layer below, and the update of a layer, in one pass over the rows with an error.

    Short rows are all taken: a branch for each would cost more.
    """
    m, zero, waiting = below.size, W.dtype.type(0), 0
    if has_short_rows(m, W):
        small_descend(error.size, m, W, bias, error, below, rate, signal)
        return
    # The first row sets the signal: a loop that sets it to 0 would become a call of memset.
    scaled(0, m, W, error[0], signal)
    descended(0, m, W, below, rate * error[0], W)
    bias[0] -= rate * error[0]
    for i in range(1, error.size):
        if error[i] != zero:
            bias[i] -= rate * error[i]
            if waiting == 0:
                waiting = i
            else:
                row, other = piece(W, waiting * m, m), piece(W, i * m, m)
                e, d = error[waiting], error[i]
                two_descended(0, m, signal, row, other, below, e, d, rate, signal, row, other)
                waiting = 0
    if waiting > 0:
        row = piece(W, waiting * m, m)
        weighted(0, m, signal, row, error[waiting], signal)
        descended(0, m, row, below, rate * error[waiting], row)


@reduction
def update_and_dot(w: Vector[F], step: F, now: Vector[F], following: Vector[F], m: int) -> F:
    """Updates a row with the inputs of one sample; returns its product with those of the next."""
    total = w.dtype.type(0)
    for j in range(m):
        w[j] -= step * now[j]
        total += w[j] * following[j]
    return total


@kernel
def descend_and_ascend(
    W: Vector[F],
    bias: Vector[F],
    error: Vector[F],
    rate: F,
    now: Vector[F],
    following: Vector[F],
    a: Vector[F],
) -> None:
    """Updates the first layer with the inputs of one sample, and computes its `a` for the next sample.

    One pass over the weights does both: for wide layers a step is bound by memory traffic. Rows without
    error, those of units whose ReLU is off, are only read, if they are not short.
    """
    m, zero = now.size, W.dtype.type(0)
    if has_short_rows(m, W):
        small_descend_and_ascend(error.size, m, W, bias, error, rate, now, following, a)
        return
    for i in range(error.size):
        row = piece(W, i * m, m)
        if error[i] == zero:
            a[i] = bias[i] + dot(row, following, m)
        else:
            step = rate * error[i]
            bias[i] -= step
            a[i] = bias[i] + update_and_dot(row, step, now, following, m)


@kernel
def ascend_only(W: Vector[F], bias: Vector[F], below: Vector[F], a: Vector[F]) -> None:
    """Computes a layer, each unit by itself, unlike `affine_one`."""
    m = below.size
    for i in range(a.size):
        a[i] = bias[i] + dot(piece(W, i * m, m), below, m)


@kernel
def descend_only(W: Vector[F], bias: Vector[F], error: Vector[F], rate: F, below: Vector[F]) -> None:
    """Updates a layer."""
    m = below.size
    for i in range(error.size):
        step, row = rate * error[i], piece(W, i * m, m)
        bias[i] -= step
        descended(0, m, row, below, step, row)


@kernel
def is_wide(layout: Layout, k: int) -> bool:
    """Whether threads share layer k, above the first; two at most its rows in `descend_others`."""
    n, m = layout[k, LENGTH], layout[k, PREVIOUS]
    wide: bool = k > 1 and n * m >= 2 * LEAST and m <= BROADEST
    return wide


@kernel
def threads_worth(layout: Layout, samples: int) -> int:
    """How many threads pay; for a first layer that takes samples as they are, and each unit by itself."""
    weights, count = layout[1, LENGTH] * layout[1, PREVIOUS], 1
    for k in range(2, layout.shape[0]):
        if is_wide(layout, k):
            weights = max(weights, layout[k, LENGTH] * layout[k, PREVIOUS])
    if layout[0, ACTIVATION] == NONE and layout[1, ACTIVATION] != SOFTMAX and samples * weights >= CALL:
        count = min(layout[1, LENGTH], weights // LEAST)
    return count


@kernel
def ascend_others(
    part: int, parts: int, meeting: int, parameters: Vector[F], layout: Layout, a: Vector[F], h: Vector[F]
) -> None:
    """The activations of all layers above the first, of which each thread has computed its own units."""
    for k in range(2, layout.shape[0]):
        wide, n, m = is_wide(layout, k), layout[k, LENGTH], layout[k, PREVIOUS]
        if k == 2 or wide or is_wide(layout, k - 1):
            meet(meeting)
        low, own = 0, n
        if wide:  # whole blocks of rows: the bits of a unit depend on its place in one
            first, count = share_of(blocks_of(n), part, parts)
            low, own = ROWS * first, min(ROWS * count, n - ROWS * first)
        if wide or part == 0:
            W, bias = flat_weights(parameters, layout, k), biases(parameters, layout, k)
            pre_activations = piece(units(a, layout, k, 1), low, own)
            affine_one(
                units(h, layout, k - 1, 1), piece(W, low * m, own * m), piece(bias, low, own), pre_activations
            )
            if layout[k, ACTIVATION] != SOFTMAX or not wide:
                values(layout[k, ACTIVATION], pre_activations, piece(units(h, layout, k, 1), low, own), 1)
        if layout[k, ACTIVATION] == SOFTMAX and wide:
            meet(meeting)
            if part == 0:
                some_values(0, 0, 1, SOFTMAX, units(a, layout, k, 1), units(h, layout, k, 1), n)
    if layout.shape[0] == 2 or is_wide(layout, layout.shape[0] - 1):
        meet(meeting)


@kernel
def descend_through(
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
        meet(meeting)
    for half in range(part, 2 if wide else 1, parts):
        first, count = 0, n
        if wide:
            first, count = half * (n // 2), n // 2 + half * (n % 2)
        descend(
            piece(flat_weights(parameters, layout, k), first * m, count * m),
            piece(biases(parameters, layout, k), first, count),
            piece(units(dLda, layout, k, 1), first, count),
            units(h, layout, k - 1, 1),
            learning_rate,
            piece(units(dLdh, layout, k - 1, 1) if half == 0 else second, 0, m),
        )
    if wide:
        meet(meeting)


@kernel
def descend_others(
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
            descend_through(
                part, parts, meeting, parameters, layout, k + 1, learning_rate, h, dLdh, dLda, second
            )
            if is_wide(layout, k + 1):
                if activation != SOFTMAX and (k == 1 or is_wide(layout, k)):
                    low, own = share_of(n, part, parts)
                total = piece(signal, low, own)
                added(0, own, total, piece(second, low, own), total)
        elif part == 0:
            loss_signal(loss, activations, t, signal, 1, 1)
            if stable_error(loss, activation, activations, t, error, 1, 1):
                own = 0
        if own > 0:
            products(
                activation,
                piece(pre_activations, low, own),
                piece(activations, low, own),
                piece(signal, low, own),
                piece(error, low, own),
                1,
            )
    if last == 1 or not is_wide(layout, 2):
        meet(meeting)


@routine
def online_share(
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
    first, count = share_of(layout[1, LENGTH], part, parts)
    W = some_weights(parameters, layout, 1, first, count)
    W1, bias1 = piece(W, 0, W.size), some_biases(parameters, layout, 1, first, count)
    a1, h1, error1 = (
        piece(units(a, layout, 1, 1), first, count),
        piece(units(h, layout, 1, 1), first, count),
        piece(units(dLda, layout, 1, 1), first, count),
    )
    # The inputs of the last sample and of this one: the input layer has no error, whose place is the second.
    previous, inputs = units(h, layout, 0, 1), units(dLda, layout, 0, 1)
    for step in range(order.size):
        previous, inputs = inputs, previous
        sample = piece(x, order[step] * m, m)
        if activation == NONE:
            inputs = sample
        else:
            some_values(0, 0, 1, activation, sample, inputs, m)
        if step == 0:
            ascend_only(W1, bias1, inputs, a1)
        else:
            descend_and_ascend(W1, bias1, error1, learning_rate, previous, inputs, a1)
        values(layout[1, ACTIVATION], a1, h1, 1)
        ascend_others(part, parts, meeting, parameters, layout, a, h)
        target = piece(t, order[step] * n, n)
        if part == 0:
            outputs, above = units(h, layout, last, 1), units(a, layout, last, 1)
            losses[step] = sample_loss(loss, layout[last, ACTIVATION], above, outputs, target, n)
        descend_others(
            part, parts, meeting, parameters, layout, loss, target, learning_rate, a, h, dLdh, dLda, second
        )
    if order.size > 0:
        descend_only(W1, bias1, error1, learning_rate, inputs)
        if part == 0:
            copies(0, m, inputs, h)
            if activation != NONE:
                copies(0, m, piece(x, order[order.size - 1] * m, m), a)


all_shares: Callable[..., None] = team(online_share, patience=PATIENCE)


@entry
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
    all_shares(
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

"""Online gradient descent: an epoch of single samples in one call, by as many threads as pays.

In one pass over its rows the first layer is updated with one sample and computes the next. Threads share its
units, each of which is computed as by one thread, to the bit.
"""

from __future__ import annotations

from collections.abc import Callable

from typednn_kernels.activations import NONE, SOFTMAX
from typednn_kernels.arrays import F, Layout, Matrix, Order, Vector
from typednn_kernels.compiled.dense import affine_one, copies, descended, dot, scaled, two_descended, weighted
from typednn_kernels.compiled.elementwise import products, values
from typednn_kernels.compiled.jit import entry, kernel, reduction, routine
from typednn_kernels.compiled.network import biases, flat_weights, share_of, some_biases, some_weights, units
from typednn_kernels.compiled.output import loss_signal, sample_loss, stable_error
from typednn_kernels.compiled.small_layers import has_short_rows, small_descend, small_descend_and_ascend
from typednn_kernels.compiled.teams import meet, team
from typednn_kernels.compiled.views import piece
from typednn_kernels.layout import ACTIVATION, LENGTH, PREVIOUS

LEAST, CALL = 1 << 15, 1 << 24
"""So many weights of the first layer at least for each thread, and times the samples of a call."""
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
def threads_worth(layout: Layout, samples: int) -> int:
    """How many threads pay; for a first layer that takes samples as they are, and each unit by itself."""
    weights, count = layout[1, LENGTH] * layout[1, PREVIOUS], 1
    if layout[0, ACTIVATION] == NONE and layout[1, ACTIVATION] != SOFTMAX and samples * weights >= CALL:
        count = min(layout[1, LENGTH], weights // LEAST)
    return count


@kernel
def train_others(
    parameters: Vector[F],
    layout: Layout,
    loss: int,
    t: Vector[F],
    learning_rate: F,
    a: Vector[F],
    h: Vector[F],
    dLdh: Vector[F],
    dLda: Vector[F],
) -> F:
    """A step of all layers above the first, whose error signal it leaves; the loss before it."""
    last = layout.shape[0] - 1
    n, activation = layout[last, LENGTH], layout[last, ACTIVATION]
    for k in range(2, last + 1):
        below, pre_activations = units(h, layout, k - 1, 1), units(a, layout, k, 1)
        affine_one(below, flat_weights(parameters, layout, k), biases(parameters, layout, k), pre_activations)
        values(layout[k, ACTIVATION], pre_activations, units(h, layout, k, 1), 1)
    outputs = units(h, layout, last, 1)
    result: F = sample_loss(loss, activation, units(a, layout, last, 1), outputs, t, n)
    for k in range(last, 0, -1):
        signal, error = units(dLdh, layout, k, 1), units(dLda, layout, k, 1)
        done = False
        if k == last:
            loss_signal(loss, outputs, t, signal, 1, 1)
            done = stable_error(loss, activation, outputs, t, error, 1, 1)
        else:
            descend(
                flat_weights(parameters, layout, k + 1),
                biases(parameters, layout, k + 1),
                units(dLda, layout, k + 1, 1),
                units(h, layout, k, 1),
                learning_rate,
                signal,
            )
        if not done:
            products(layout[k, ACTIVATION], units(a, layout, k, 1), units(h, layout, k, 1), signal, error, 1)
    return result


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
) -> None:
    """The part of one thread in all steps: some units of the first layer; the first has all others."""
    activation, m, n = layout[0, ACTIVATION], layout[0, LENGTH], t.shape[1]
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
            values(activation, sample, inputs, 1)
        if step == 0:
            ascend_only(W1, bias1, inputs, a1)
        else:
            descend_and_ascend(W1, bias1, error1, learning_rate, previous, inputs, a1)
        values(layout[1, ACTIVATION], a1, h1, 1)
        meet(meeting)
        if part == 0:
            target = piece(t, order[step] * n, n)
            losses[step] = train_others(parameters, layout, loss, target, learning_rate, a, h, dLdh, dLda)
        meet(meeting)
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
    )

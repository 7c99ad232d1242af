"""Online gradient descent: an epoch of single samples in one call."""

from __future__ import annotations

from typednn_kernels.activations import NONE
from typednn_kernels.arrays import F, Layout, Matrix, Order, Vector
from typednn_kernels.compiled.dense import affine_one, copies, descended, dot, scaled
from typednn_kernels.compiled.elementwise import products, values
from typednn_kernels.compiled.jit import entry, kernel, reduction
from typednn_kernels.compiled.network import biases, flat_weights, units
from typednn_kernels.compiled.output import loss_signal, sample_loss, stable_error
from typednn_kernels.compiled.views import piece
from typednn_kernels.layout import ACTIVATION, LENGTH


@kernel
def descend(
    W: Vector[F], bias: Vector[F], error: Vector[F], below: Vector[F], rate: F, signal: Vector[F]
) -> None:
    """The signal to the layer below, and the update of a layer, in one pass over its weights."""
    m, zero = below.size, W.dtype.type(0)
    # The first row sets the signal: a loop that sets it to 0 would become a call of memset.
    scaled(0, m, W, error[0], signal)
    descended(0, m, W, below, rate * error[0], W)
    bias[0] -= rate * error[0]
    for i in range(1, error.size):
        if error[i] != zero:
            step = rate * error[i]
            bias[i] -= step
            descend_row(piece(W, i * m, m), error[i], step, below, signal, m)


@kernel
def descend_row(w: Vector[F], error: F, step: F, below: Vector[F], signal: Vector[F], m: int) -> None:
    """The signal and the update of one unit."""
    for j in range(m):
        signal[j] += error * w[j]
        w[j] -= step * below[j]


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
    error, those of units whose ReLU is off, are only read.
    """
    m, zero = now.size, W.dtype.type(0)
    for i in range(error.size):
        row = piece(W, i * m, m)
        if error[i] == zero:
            a[i] = bias[i] + dot(row, following, m)
        else:
            step = rate * error[i]
            bias[i] -= step
            a[i] = bias[i] + update_and_dot(row, step, now, following, m)


@kernel
def descend_only(W: Vector[F], bias: Vector[F], error: Vector[F], rate: F, below: Vector[F]) -> None:
    """Updates a layer."""
    m = below.size
    for i in range(error.size):
        step, row = rate * error[i], piece(W, i * m, m)
        bias[i] -= step
        descended(0, m, row, below, step, row)


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
    last = layout.shape[0] - 1
    n, activation = layout[last, LENGTH], layout[last, ACTIVATION]
    # The inputs of the last sample and of this one: the input layer has no error, whose place is the second.
    previous, inputs = units(h, layout, 0, 1), units(dLda, layout, 0, 1)
    m = inputs.size
    W1, bias1, error1 = (
        flat_weights(parameters, layout, 1),
        biases(parameters, layout, 1),
        units(dLda, layout, 1, 1),
    )
    for step in range(order.size):
        previous, inputs = inputs, previous
        sample = piece(x, order[step] * m, m)
        for k in range(last + 1):
            pre_activations, activations = units(a, layout, k, 1), units(h, layout, k, 1)
            if k == 0:
                pre_activations, activations = sample, inputs
            elif k == 1 and step > 0:
                descend_and_ascend(W1, bias1, error1, learning_rate, previous, inputs, pre_activations)
            else:
                below = inputs if k == 1 else units(h, layout, k - 1, 1)
                affine_one(
                    below, flat_weights(parameters, layout, k), biases(parameters, layout, k), pre_activations
                )
            values(layout[k, ACTIVATION], pre_activations, activations, 1)
        outputs, target = units(h, layout, last, 1), piece(t, order[step] * n, n)
        losses[step] = sample_loss(loss, activation, units(a, layout, last, 1), outputs, target, n)
        for k in range(last, 0, -1):
            signal, error = units(dLdh, layout, k, 1), units(dLda, layout, k, 1)
            done = False
            if k == last:
                loss_signal(loss, outputs, target, signal, 1, 1)
                done = stable_error(loss, activation, outputs, target, error, 1, 1)
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
                products(
                    layout[k, ACTIVATION], units(a, layout, k, 1), units(h, layout, k, 1), signal, error, 1
                )
    if order.size > 0:
        descend_only(W1, bias1, error1, learning_rate, inputs)
        copies(0, m, inputs, h)
        if layout[0, ACTIVATION] != NONE:
            copies(0, m, piece(x, order[order.size - 1] * m, m), a)

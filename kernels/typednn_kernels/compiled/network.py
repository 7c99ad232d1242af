"""Whole training steps and whole epochs in one call."""

from __future__ import annotations

from typednn_kernels import layout as views
from typednn_kernels.activations import NONE
from typednn_kernels.arrays import F, Layout, Matrix, Order, Vector
from typednn_kernels.compiled.dense import affine_many, affine_one, dot, outer_one, sum_rows
from typednn_kernels.compiled.dense import backpropagate_one
from typednn_kernels.compiled.elementwise import products, values
from typednn_kernels.compiled.jit import entry, kernel
from typednn_kernels.compiled.output import output_signals, sample_losses
from typednn_kernels.layout import ACTIVATION, BIASES, LENGTH, PREVIOUS, UNITS, WEIGHTS

import numpy as np

weights, biases, block = kernel(views.weights), kernel(views.biases), kernel(views.block)


@kernel
def load(layout: Layout, x: Matrix[F], row: int, a: Vector[F], h: Vector[F], start: int) -> None:
    """Copies a sample to a place in the input layer's block, and applies that layer's activation."""
    n = layout[0, LENGTH]
    inputs = h[start : start + n]
    if layout[0, ACTIVATION] == NONE:
        for i in range(n):
            inputs[i] = x[row, i]
    else:
        pre_activations = a[start : start + n]
        for i in range(n):
            pre_activations[i] = x[row, i]
        values(layout[0, ACTIVATION], pre_activations, inputs, n)


@kernel
def forward_from_inputs(
    parameters: Vector[F], layout: Layout, a: Vector[F], h: Vector[F], samples: int
) -> None:
    """The activations of all layers above the input layer."""
    for k in range(1, layout.shape[0]):
        n = layout[k, LENGTH]
        below = block(h, layout, k - 1, samples)
        pre_activations = block(a, layout, k, samples)
        W, bias = weights(parameters, layout, k), biases(parameters, layout, k)
        if samples == 1:
            affine_one(below[0], W, bias, pre_activations[0])
        else:
            affine_many(below, W, bias, pre_activations)
        start, stop = samples * layout[k, UNITS], samples * (layout[k, UNITS] + n)
        values(layout[k, ACTIVATION], a[start:stop], h[start:stop], n)


@kernel
def backward_from_targets(
    parameters: Vector[F],
    layout: Layout,
    loss: int,
    t: Matrix[F],
    a: Vector[F],
    h: Vector[F],
    dLdh: Vector[F],
    dLda: Vector[F],
    gradient: Vector[F],
) -> None:
    """All error signals and gradients."""
    samples, last = t.shape[0], layout.shape[0] - 1
    for k in range(last, 0, -1):
        n, activation = layout[k, LENGTH], layout[k, ACTIVATION]
        start, stop = samples * layout[k, UNITS], samples * (layout[k, UNITS] + n)
        if k == last:
            output_signals(
                loss,
                activation,
                a[start:stop],
                h[start:stop],
                t.reshape(t.size),
                dLdh[start:stop],
                dLda[start:stop],
                samples,
            )
        else:
            above, W = block(dLda, layout, k + 1, samples), weights(parameters, layout, k + 1)
            if samples == 1:
                backpropagate_one(above[0], W, dLdh[start:stop])
            else:
                np.dot(above, W, block(dLdh, layout, k, samples))
            products(activation, a[start:stop], h[start:stop], dLdh[start:stop], dLda[start:stop], n)
        error, below = block(dLda, layout, k, samples), block(h, layout, k - 1, samples)
        if samples == 1:
            outer_one(error[0], below[0], weights(gradient, layout, k))
        else:
            np.dot(error.T, below, weights(gradient, layout, k))
        sum_rows(error, biases(gradient, layout, k))


@entry
def forward(parameters: Vector[F], layout: Layout, x: Matrix[F], a: Vector[F], h: Vector[F]) -> None:
    """All activations of a network for the samples x (B, n_inputs)."""
    samples, n = x.shape
    for s in range(samples):
        load(layout, x, s, a, h, s * n)
    forward_from_inputs(parameters, layout, a, h, samples)


@entry
def backward(
    parameters: Vector[F],
    layout: Layout,
    loss: int,
    t: Matrix[F],
    a: Vector[F],
    h: Vector[F],
    dLdh: Vector[F],
    dLda: Vector[F],
    gradient: Vector[F],
) -> None:
    """All error signals, and the gradient of the mean loss in the layout of the parameters."""
    backward_from_targets(parameters, layout, loss, t, a, h, dLdh, dLda, gradient)


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
    first_output, stop_output = layout[last, UNITS], layout[last, UNITS] + layout[last, LENGTH]
    output_activation = layout[last, ACTIVATION]
    for step in range(order.size):
        s = order[step]
        load(layout, x, s, a, h, 0)
        forward_from_inputs(parameters, layout, a, h, 1)
        pre_activations, outputs = a[first_output:stop_output], h[first_output:stop_output]
        sample_losses(loss, output_activation, pre_activations, outputs, t[s], losses[step : step + 1])
        output_signals(
            loss,
            output_activation,
            pre_activations,
            outputs,
            t[s],
            dLdh[first_output:stop_output],
            dLda[first_output:stop_output],
            1,
        )
        for k in range(last, 0, -1):
            descend(parameters, layout, k, learning_rate, h, dLdh, dLda)
            if k > 1:
                start, stop = layout[k - 1, UNITS], layout[k - 1, UNITS] + layout[k - 1, LENGTH]
                products(
                    layout[k - 1, ACTIVATION],
                    a[start:stop],
                    h[start:stop],
                    dLdh[start:stop],
                    dLda[start:stop],
                    layout[k - 1, LENGTH],
                )


@kernel
def descend(
    parameters: Vector[F],
    layout: Layout,
    k: int,
    learning_rate: F,
    h: Vector[F],
    dLdh: Vector[F],
    dLda: Vector[F],
) -> None:
    """The signal to the layer below layer k, and the update of layer k, in one pass over its weights."""
    n_prev, start = layout[k, PREVIOUS], layout[k - 1, UNITS]
    below, signal = h[start : start + n_prev], dLdh[start : start + n_prev]
    for j in range(n_prev):
        signal[j] = 0
    for i in range(layout[k, LENGTH]):
        error = dLda[layout[k, UNITS] + i]
        at = layout[k, WEIGHTS] + i * n_prev
        row = parameters[at : at + n_prev]
        step = learning_rate * error
        for j in range(n_prev):
            signal[j] += error * row[j]
            row[j] -= step * below[j]
        parameters[layout[k, BIASES] + i] -= step


@entry
def train_batches(
    parameters: Vector[F],
    layout: Layout,
    loss: int,
    x: Matrix[F],
    t: Matrix[F],
    order: Order,
    batch_size: int,
    learning_rate: F,
    a: Vector[F],
    h: Vector[F],
    dLdh: Vector[F],
    dLda: Vector[F],
    gradient: Vector[F],
    losses: Vector[F],
) -> None:
    """A step for each `batch_size` samples of `order`, the last batch being what is left."""
    last = layout.shape[0] - 1
    n_inputs, n_outputs = layout[0, LENGTH], layout[last, LENGTH]
    targets = np.empty((batch_size, n_outputs), t.dtype)
    for first in range(0, order.size, batch_size):
        samples = min(batch_size, order.size - first)
        for i in range(samples):
            s = order[first + i]
            load(layout, x, s, a, h, i * n_inputs)
            for j in range(n_outputs):
                targets[i, j] = t[s, j]
        forward_from_inputs(parameters, layout, a, h, samples)
        start, stop = samples * layout[last, UNITS], samples * (layout[last, UNITS] + n_outputs)
        sample_losses(
            loss,
            layout[last, ACTIVATION],
            a[start:stop],
            h[start:stop],
            targets[:samples].reshape(samples * n_outputs),
            losses[first : first + samples],
        )
        backward_from_targets(parameters, layout, loss, targets[:samples], a, h, dLdh, dLda, gradient)
        for i in range(parameters.size):
            parameters[i] -= learning_rate * gradient[i]

"""One training step, to be read: forward, backward, update."""

from __future__ import annotations

import numpy as np

from typednn_kernels import normalizations
from typednn_kernels.activations import NONE
from typednn_kernels.arrays import F, Layout, Matrix, Order, Vector
from typednn_kernels.dropout import PREDICTING
from typednn_kernels.layout import (
    ACTIVATION,
    DROPOUT,
    NORMALIZATION,
    biases,
    block,
    factors,
    gains,
    moving,
    normalized,
    parameter_count,
    weights,
)
from typednn_kernels.plain.dense import affine, backpropagate, outer, sum_samples
from typednn_kernels.plain.elementwise import activation_value, slope_product
from typednn_kernels.plain.normalization import drop, normalization_error, normalize
from typednn_kernels.plain.output import loss_value, output_error


def forward(
    parameters: Vector[F], layout: Layout, key: int, x: Matrix[F], a: Vector[F], h: Vector[F]
) -> None:
    """All activations of a network for the samples x (B, n_inputs)."""
    samples = len(x)
    below = block(h, layout, 0, samples)
    below[...] = x
    if layout[0, ACTIVATION] != NONE:
        inputs = block(a, layout, 0, samples)
        inputs[...] = x
        activation_value(int(layout[0, ACTIVATION]), inputs, below)
    for k in range(1, len(layout)):
        pre_activations, activations = block(a, layout, k, samples), block(h, layout, k, samples)
        W, bias = weights(parameters, layout, k), biases(parameters, layout, k)
        normalization, dropped = int(layout[k, NORMALIZATION]), int(layout[k, DROPOUT])
        if normalization == normalizations.NONE:
            affine(below, W, bias, pre_activations)
        else:
            z, gain = normalized(a, layout, k, samples), gains(parameters, layout, k)
            affine(below, W, np.zeros_like(bias), z)
            normalize(
                normalization,
                key != PREDICTING,
                z,
                gain,
                bias,
                moving(parameters, layout, k),
                factors(a, layout, k, samples),
                pre_activations,
            )
        activation_value(int(layout[k, ACTIVATION]), pre_activations, activations)
        if dropped and key != PREDICTING:
            drop(key, k, dropped, activations)
        below = activations


def backward(
    parameters: Vector[F],
    layout: Layout,
    key: int,
    loss: int,
    t: Matrix[F],
    a: Vector[F],
    h: Vector[F],
    dLdh: Vector[F],
    dLda: Vector[F],
    gradient: Vector[F],
) -> None:
    """All error signals, and the gradient of the mean loss in the layout of the parameters."""
    samples, last = len(t), len(layout) - 1
    for k in range(last, 0, -1):
        activation = int(layout[k, ACTIVATION])
        pre_activations, activations = block(a, layout, k, samples), block(h, layout, k, samples)
        signal, error = block(dLdh, layout, k, samples), block(dLda, layout, k, samples)
        if k == last:
            output_error(loss, activation, pre_activations, activations, t, signal, error)
        else:
            backpropagate(
                normalized(dLda, layout, k + 1, samples), weights(parameters, layout, k + 1), signal
            )
            dropped = int(layout[k, DROPOUT]) if key != PREDICTING else 0
            if dropped:  # the slope is that at the activations before
                activation_value(activation, pre_activations, error)
                slope_product(activation, pre_activations, error.copy(), signal, error)
                drop(key, k, dropped, error)
            else:
                slope_product(activation, pre_activations, activations, signal, error)
        normalization, bias = int(layout[k, NORMALIZATION]), biases(gradient, layout, k)
        if normalization == normalizations.NONE:
            sum_samples(error, bias)
        else:
            normalization_error(
                normalization,
                key != PREDICTING,
                normalized(a, layout, k, samples),
                gains(parameters, layout, k),
                factors(a, layout, k, samples),
                error,
                bias,
                gains(gradient, layout, k),
                normalized(dLda, layout, k, samples),
            )
        outer(
            normalized(dLda, layout, k, samples),
            block(h, layout, k - 1, samples),
            weights(gradient, layout, k),
        )


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
    gradient = np.empty_like(parameters)
    train_batches(
        parameters, layout, 0, loss, x, t, order, 1, learning_rate, a, h, dLdh, dLda, gradient, losses
    )


def train_batches(
    parameters: Vector[F],
    layout: Layout,
    key: int,
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
    last = len(layout) - 1
    activation = int(layout[last, ACTIVATION])
    trained = parameters[: parameter_count(layout)]
    with np.errstate(all="ignore"):
        for step, start in enumerate(range(0, len(order), batch_size)):
            chosen = order[start : start + batch_size]
            samples, targets = x[chosen], t[chosen]
            forward(parameters, layout, key + step, samples, a, h)
            loss_value(
                loss,
                activation,
                block(a, layout, last, len(chosen)),
                block(h, layout, last, len(chosen)),
                targets,
                losses[start : start + batch_size],
            )
            backward(parameters, layout, key + step, loss, targets, a, h, dLdh, dLda, gradient)
            gradient *= learning_rate
            trained -= gradient

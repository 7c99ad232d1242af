"""One training step, to be read: forward, backward, update."""

from __future__ import annotations

import numpy as np

from typednn_kernels import normalizations
from typednn_kernels.activations import NONE
from typednn_kernels.arrays import F, Layout, Matrix, Order, Ranges, Vector
from typednn_kernels.dropout import INFERENCE
from typednn_kernels.layout import (
    ACTIVATION,
    DROPOUT,
    FROZEN,
    LENGTH,
    NORMALIZATION,
    biases,
    block,
    gains,
    inv_std,
    normalized,
    running_moments,
    weights,
)
from typednn_kernels.plain.activation import activation_backward, activation_value
from typednn_kernels.plain.dense import affine, backpropagate, outer, sum_samples
from typednn_kernels.plain.loss import loss_value, output_delta
from typednn_kernels.plain.normalization import apply_dropout, normalization_backward, normalize
from typednn_kernels.plain.optimizer_step import update
from typednn_kernels.update_rules import FIRST, SGD, coefficient_rows


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
                is_training(layout, k, key),
                z,
                gain,
                bias,
                running_moments(parameters, layout, k),
                inv_std(a, layout, k, samples),
                pre_activations,
            )
        activation_value(int(layout[k, ACTIVATION]), pre_activations, activations)
        if dropped and key != INFERENCE:
            apply_dropout(key, k, dropped, activations)
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
    error_from_targets(layout, loss, t, a, h, dLdh, dLda)
    backward_from_error(parameters, layout, key, a, h, dLdh, dLda, gradient, len(t))


def error_from_targets(
    layout: Layout,
    loss: int,
    t: Matrix[F],
    a: Vector[F],
    h: Vector[F],
    dLdh: Vector[F],
    dLda: Vector[F],
) -> None:
    """The error signals of the output layer."""
    last = len(layout) - 1
    y, pre_activations = block(h, layout, last, len(t)), block(a, layout, last, len(t))
    signal, error = block(dLdh, layout, last, len(t)), block(dLda, layout, last, len(t))
    output_delta(loss, int(layout[last, ACTIVATION]), pre_activations, y, t, signal, error)


def backward_from_error(
    parameters: Vector[F],
    layout: Layout,
    key: int,
    a: Vector[F],
    h: Vector[F],
    dLdh: Vector[F],
    dLda: Vector[F],
    gradient: Vector[F],
    samples: int,
) -> None:
    """All other error signals, and the gradients."""
    last = len(layout) - 1
    for k in range(last, 0, -1):
        error = block(dLda, layout, k, samples)
        if k < last:
            pre_activations, activations = block(a, layout, k, samples), block(h, layout, k, samples)
            activation, signal = int(layout[k, ACTIVATION]), block(dLdh, layout, k, samples)
            backpropagate(
                normalized(dLda, layout, k + 1, samples), weights(parameters, layout, k + 1), signal
            )
            dropped = int(layout[k, DROPOUT]) if key != INFERENCE else 0
            if dropped:  # the slope is that at the activations before
                activation_value(activation, pre_activations, error)
                activation_backward(activation, pre_activations, error.copy(), signal, error)
                apply_dropout(key, k, dropped, error)
            else:
                activation_backward(activation, pre_activations, activations, signal, error)
        normalization, bias = int(layout[k, NORMALIZATION]), biases(gradient, layout, k)
        if normalization == normalizations.NONE:
            sum_samples(error, bias)
        else:
            normalization_backward(
                normalization,
                is_training(layout, k, key),
                normalized(a, layout, k, samples),
                gains(parameters, layout, k),
                inv_std(a, layout, k, samples),
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


def longest_gradient(layout: Layout, h: Vector[F], dLda: Vector[F], samples: int) -> np.floating:
    """What the length of the gradient does not exceed: see Schwarz's inequality."""
    kind = dLda.dtype.type
    signals: np.floating = kind(0)
    inputs: np.floating = kind(samples * layout[:, LENGTH].sum())
    for k in range(1, len(layout)):
        below, error, by_z = (
            block(h, layout, k - 1, samples),
            block(dLda, layout, k, samples),
            normalized(dLda, layout, k, samples),
        )
        inputs += np.vdot(below, below)
        signals += np.vdot(error, error) + np.vdot(by_z, by_z)
    longest: np.floating = np.sqrt(signals) * np.sqrt(inputs)
    return longest


def is_training(layout: Layout, k: int, key: int) -> bool:
    """Whether layer k is normalised as in training."""
    return key != INFERENCE and not layout[k, FROZEN]


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
    train_batches(
        parameters,
        layout,
        0,
        loss,
        x,
        t,
        np.empty(0, parameters.dtype),
        order,
        1,
        SGD,
        coefficient_rows(np.full((len(order), 1), learning_rate, np.float64), parameters.dtype),
        np.array([[0, len(parameters)]]),
        np.zeros((1, 2), parameters.dtype),
        a,
        h,
        dLdh,
        dLda,
        np.empty_like(parameters),
        np.empty((0, len(parameters)), parameters.dtype),
        losses,
    )


def train_batches(
    parameters: Vector[F],
    layout: Layout,
    key: int,
    loss: int,
    x: Matrix[F],
    t: Matrix[F],
    sample_weights: Vector[F],
    order: Order,
    batch_size: int,
    rule: int,
    coefficients: Matrix[F],
    segments: Ranges,
    penalties: Matrix[F],
    a: Vector[F],
    h: Vector[F],
    dLdh: Vector[F],
    dLda: Vector[F],
    gradient: Vector[F],
    states: Matrix[F],
    losses: Vector[F],
) -> None:
    """A step for each `batch_size` samples of `order`; see `Kernels.train_batches`."""
    last = len(layout) - 1
    activation = int(layout[last, ACTIVATION])
    trainable, averages = parameters[: len(gradient)], parameters[len(gradient) :]
    kept = dLda[len(dLda) - len(averages) :]
    with np.errstate(all="ignore"):
        for step, start in enumerate(range(0, len(order), batch_size)):
            chosen = order[start : start + batch_size]
            samples, targets = x[chosen], t[chosen]
            batch_losses = losses[start : start + batch_size]
            kept[...] = averages
            forward(parameters, layout, key + step, samples, a, h)
            outputs = block(h, layout, last, len(chosen))
            loss_value(loss, activation, block(a, layout, last, len(chosen)), outputs, targets, batch_losses)
            error_from_targets(layout, loss, targets, a, h, dLdh, dLda)
            if len(sample_weights):
                weight = sample_weights[chosen]
                batch_losses *= weight
                for signal in (dLdh, dLda):
                    weighed = block(signal, layout, last, len(chosen))
                    weighed *= weight.reshape(-1, 1)
            backward_from_error(parameters, layout, key + step, a, h, dLdh, dLda, gradient, len(chosen))
            farthest = max(coefficients[step, FIRST], parameters.dtype.type(1))
            longest = farthest * longest_gradient(layout, h, dLda, len(chosen))
            if not np.isfinite(batch_losses.sum() + longest + averages.sum()):
                losses[start:] = np.nan
                averages[...] = kept
                break
            update(trainable, gradient, states, rule, segments, penalties, coefficients[step])

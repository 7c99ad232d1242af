"""Computes one training step, written to be read: forward, backward, update."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from typednn_kernels import normalizations
from typednn_kernels.activations import NONE
from typednn_kernels.arrays import F, Layout, Matrix, Vector
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
    square_scale,
    unit_count,
    weights,
)
from typednn_kernels.operands import Epoch, OptimizerSteps, Workspace
from typednn_kernels.plain.activation import activation_backward, activation_value
from typednn_kernels.plain.dense import affine, backpropagate, outer, sum_samples
from typednn_kernels.plain.loss import loss_value, output_delta
from typednn_kernels.plain.normalization import apply_dropout, normalization_backward, normalize
from typednn_kernels.plain.optimizer_step import apply_update
from typednn_kernels.update_rules import FIRST, SGD, coefficient_rows


def forward(parameters: Vector[F], layout: Layout, key: int, x: Matrix[F], workspace: Workspace[F]) -> bool:
    """Computes all activations of a network for the samples x (B, n_inputs); returns whether x fits."""
    samples, a, h = len(x), workspace.a, workspace.h
    if samples == 0 or x.shape[1] != layout[0, LENGTH] or not np.isfinite(x).all():
        return False
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
    return True


def predict(
    parameters: Vector[F], layout: Layout, x: Matrix[F], memory: Vector[F], outputs: Matrix[F]
) -> bool:
    """Computes the outputs (B, n_outputs) of the samples x (B, n_inputs); returns whether x fits."""
    size = len(x) * unit_count(layout)
    workspace = Workspace(memory[size:], memory[:size], memory[:0], memory[:0])
    fit = forward(parameters, layout, INFERENCE, x, workspace)
    if fit:
        outputs[...] = block(workspace.h, layout, len(layout) - 1, len(x))
    return fit


def backward(
    parameters: Vector[F],
    layout: Layout,
    key: int,
    loss: int,
    t: Matrix[F],
    workspace: Workspace[F],
    gradient: Vector[F],
) -> None:
    """Computes all deltas, and the gradient of the batch's mean loss with respect to the parameters."""
    backward_output(layout, loss, t, workspace)
    backward_from_output(parameters, layout, key, workspace, gradient, len(t))


def loss_and_gradient(
    parameters: Vector[F],
    layout: Layout,
    key: int,
    loss: int,
    t: Matrix[F],
    lowest: float,
    highest: float,
    sample_weights: Vector[F],
    workspace: Workspace[F],
    losses: Vector[F],
    gradient: Vector[F],
) -> bool:
    """Computes losses, deltas and the gradient if the targets t (B, n_outputs) fit; returns whether."""
    last, samples = len(layout) - 1, len(t)
    if t.shape != (len(losses), layout[last, LENGTH]) or not np.isfinite(t).all():
        return False
    if not lowest <= t.min() <= t.max() <= highest:
        return False
    a, y, dLdy, dLda = (block(each, layout, last, samples) for each in workspace)
    loss_value(loss, int(layout[last, ACTIVATION]), a, y, t, losses)
    backward_output(layout, loss, t, workspace)
    if len(sample_weights):
        with np.errstate(all="ignore"):
            losses *= sample_weights
            for weighted in (dLdy, dLda):
                weighted *= sample_weights.reshape(-1, 1)
    backward_from_output(parameters, layout, key, workspace, gradient, samples)
    return True


def gradient_from_outputs(
    parameters: Vector[F],
    layout: Layout,
    key: int,
    dLdy: Matrix[F],
    workspace: Workspace[F],
    gradient: Vector[F],
) -> None:
    """Computes all deltas and the gradient from dLdy (B, n_outputs)."""
    last, samples = len(layout) - 1, len(dLdy)
    a, y, upstream, dLda = (block(each, layout, last, samples) for each in workspace)
    upstream[...] = dLdy
    activation_backward(int(layout[last, ACTIVATION]), a, y, upstream, dLda)
    backward_from_output(parameters, layout, key, workspace, gradient, samples)


def backward_output(layout: Layout, loss: int, t: Matrix[F], workspace: Workspace[F]) -> None:
    """Computes dLdy and dLda of the output layer, in their blocks of `dLdh` and `dLda`."""
    last = len(layout) - 1
    a, y, dLdy, dLda = (block(each, layout, last, len(t)) for each in workspace)
    output_delta(loss, int(layout[last, ACTIVATION]), a, y, t, dLdy, dLda)


def backward_from_output(
    parameters: Vector[F],
    layout: Layout,
    key: int,
    workspace: Workspace[F],
    gradient: Vector[F],
    samples: int,
) -> None:
    """Computes all other deltas from those of the output layer, and the gradient."""
    last, (a, h, dLdh, dLda) = len(layout) - 1, workspace
    for k in range(last, 0, -1):
        delta = block(dLda, layout, k, samples)
        if k < last:
            pre_activations, activations = block(a, layout, k, samples), block(h, layout, k, samples)
            activation, upstream = int(layout[k, ACTIVATION]), block(dLdh, layout, k, samples)
            backpropagate(
                normalized(dLda, layout, k + 1, samples), weights(parameters, layout, k + 1), upstream
            )
            dropped = int(layout[k, DROPOUT]) if key != INFERENCE else 0
            if dropped:  # the derivative is that at the activations before dropout
                activation_value(activation, pre_activations, delta)
                activation_backward(activation, pre_activations, delta.copy(), upstream, delta)
                apply_dropout(key, k, dropped, delta)
            else:
                activation_backward(activation, pre_activations, activations, upstream, delta)
        normalization, bias = int(layout[k, NORMALIZATION]), biases(gradient, layout, k)
        if normalization == normalizations.NONE:
            sum_samples(delta, bias)
        else:
            normalization_backward(
                normalization,
                is_training(layout, k, key),
                normalized(a, layout, k, samples),
                gains(parameters, layout, k),
                inv_std(a, layout, k, samples),
                delta,
                bias,
                gains(gradient, layout, k),
                normalized(dLda, layout, k, samples),
            )
        outer(
            normalized(dLda, layout, k, samples),
            block(h, layout, k - 1, samples),
            weights(gradient, layout, k),
        )


def gradient_norm_bound(layout: Layout, h: Vector[F], dLda: Vector[F], samples: int) -> np.floating:
    """Computes a bound of the gradient's norm by Schwarz's inequality."""
    above, ones = range(1, len(layout)), samples * layout[:, LENGTH].sum()
    inputs = [block(h, layout, k - 1, samples) for k in above]
    deltas = [each(dLda, layout, k, samples) for k in above for each in (block, normalized)]
    return _norm(deltas, 0) * _norm(inputs, ones)


def _norm(arrays: Sequence[Matrix[F]], ones: int) -> np.floating:
    """Computes the norm of all elements of some arrays, and of a number of ones.

    Where the squares overflow, they are those of scaled elements.
    """
    kind = arrays[0].dtype.type
    squares: np.floating = sum((np.vdot(each, each) for each in arrays), kind(ones))
    if np.isinf(squares):
        scale = kind(square_scale(arrays[0].itemsize))
        squares = sum((np.vdot(each, each) for each in (array * scale for array in arrays)), kind(0))
        norm: np.floating = np.sqrt(squares) / scale
    else:
        norm = np.sqrt(squares)
    return norm


def is_training(layout: Layout, k: int, key: int) -> bool:
    """Says whether layer k is normalised as in training."""
    return key != INFERENCE and not layout[k, FROZEN]


def train_online(
    parameters: Vector[F],
    layout: Layout,
    loss: int,
    epoch: Epoch[F],
    learning_rate: F,
    workspace: Workspace[F],
) -> None:
    """Makes a step of gradient descent for each sample of the epoch; see `Kernels.train_online`."""
    n, dtype = len(parameters), parameters.dtype
    optimizer = OptimizerSteps(
        SGD,
        coefficient_rows(np.full((len(epoch.order), 1), learning_rate, np.float64), dtype),
        np.array([[0, n]]),
        np.zeros((1, 2), dtype),
        np.empty((0, n), dtype),
    )
    train_batches(parameters, layout, 0, loss, epoch, optimizer, workspace, np.empty_like(parameters))


def train_batches(
    parameters: Vector[F],
    layout: Layout,
    key: int,
    loss: int,
    epoch: Epoch[F],
    optimizer: OptimizerSteps[F],
    workspace: Workspace[F],
    gradient: Vector[F],
) -> None:
    """Makes a step for each batch of the epoch; see `Kernels.train_batches`."""
    last, (a, h, dLdh, dLda) = len(layout) - 1, workspace
    activation = int(layout[last, ACTIVATION])
    trainable, running = parameters[: len(gradient)], parameters[len(gradient) :]
    saved = dLda[len(dLda) - len(running) :]
    with np.errstate(all="ignore"):
        for step, start in enumerate(range(0, len(epoch.order), epoch.batch_size)):
            batch = slice(start, start + epoch.batch_size)
            chosen, losses = epoch.order[batch], epoch.losses[batch]
            samples, x, t = len(chosen), epoch.x[chosen], epoch.t[chosen]
            saved[...] = running
            forward(parameters, layout, key + step, x, workspace)
            y = block(h, layout, last, samples)
            loss_value(loss, activation, block(a, layout, last, samples), y, t, losses)
            backward_output(layout, loss, t, workspace)
            if len(epoch.sample_weights):
                factors = epoch.sample_weights[chosen]
                losses *= factors
                for gradients in (dLdh, dLda):
                    weighted = block(gradients, layout, last, samples)
                    weighted *= factors.reshape(-1, 1)
            backward_from_output(parameters, layout, key + step, workspace, gradient, samples)
            largest_rate = max(optimizer.coefficients[step, FIRST], parameters.dtype.type(1))
            bound = largest_rate * gradient_norm_bound(layout, h, dLda, samples)
            if not np.isfinite(losses.sum() + bound + running.sum()):
                epoch.losses[start:] = np.nan
                running[...] = saved
                break
            apply_update(trainable, gradient, optimizer, step)

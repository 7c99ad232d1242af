"""Computes whole passes and trainings: predictions, losses with their gradients, and steps."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf, isfinite, nan

import numpy as np

from typednn_kernels.arrays import F, Layout, Matrix, Vector
from typednn_kernels.dropout import INFERENCE
from typednn_kernels.layout import LENGTH, block, unit_count
from typednn_kernels.losses import MAX_SUMMED
from typednn_kernels.operands import Epoch, OptimizerSteps, Workspace
from typednn_kernels.plain.activation import CACHE_CHUNK_ELEMENTS, activation_backward
from typednn_kernels.plain.loss import (
    ShortStep,
    has_short_step,
    is_one_hot,
    loss_value,
    output_delta,
    output_delta_if_shown,
    sum_losses,
)
from typednn_kernels.plain.network_pass import Backward, Pass
from typednn_kernels.plain.optimizer_step import Update
from typednn_kernels.plain.order import shuffle
from typednn_kernels.update_rules import FIRST, SGD, coefficient_rows


def forward(parameters: Vector[F], layout: Layout, key: int, x: Matrix[F], workspace: Workspace[F]) -> bool:
    """Computes all activations of a network for the samples x (B, n_inputs); returns whether x fits."""
    fit = len(x) > 0 and x.shape[1] == layout[0, LENGTH] and bool(np.isfinite(x).all())
    if fit:
        Pass(parameters, layout, workspace, len(x)).forward(key, x)
    return fit


def predict(
    parameters: Vector[F], layout: Layout, x: Matrix[F], memory: Vector[F], outputs: Matrix[F]
) -> bool:
    """Computes the outputs (B, n_outputs) of the samples x (B, n_inputs); returns whether x fits."""
    size, none = len(x) * unit_count(layout), memory[:0]
    workspace = Workspace(memory[size:], memory[:size], none, none)
    fit = forward(parameters, layout, INFERENCE, x, workspace)
    if fit:
        outputs[...] = block(workspace.h, layout, len(layout) - 1, len(x))
    return fit


def evaluate(
    parameters: Vector[F],
    layout: Layout,
    loss: int,
    x: Matrix[F],
    t: Matrix[F],
    sample_weights: Vector[F],
    workspace: Workspace[F],
    losses: Vector[F],
) -> None:
    """Computes the loss of each sample, (B,), from samples x (B, n_inputs) and targets t (B, n_outputs)."""
    views = Pass(parameters, layout, workspace, len(x))
    views.forward(INFERENCE, x)
    output = views.layers[-1]
    loss_value(loss, output.activation, output.a, output.h, t, losses)
    if len(sample_weights):
        losses *= sample_weights


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
    views = Pass(parameters, layout, workspace, len(t)).with_gradient(gradient)
    here, back = views.layers[-1], views.backward_views[-1]
    output_delta(loss, here.activation, here.a, here.h, t, back.dLdh, back.dLda)
    views.backward(key)


def loss_and_gradient(
    parameters: Vector[F],
    layout: Layout,
    key: int,
    loss: int,
    t: Matrix[F],
    limits: Vector[F],
    sample_weights: Vector[F],
    workspace: Workspace[F],
    losses: Vector[F],
    gradient: Vector[F],
) -> bool:
    """Computes losses, deltas and the gradient if the targets t (B, n_outputs) fit; returns whether."""
    if t.shape != (len(losses), layout[-1, LENGTH]) or not np.isfinite(t).all():
        return False
    if not limits[0] <= t.min() <= t.max() <= limits[1]:
        return False
    views = Pass(parameters, layout, workspace, len(t)).with_gradient(gradient)
    here, back = views.layers[-1], views.backward_views[-1]
    loss_value(loss, here.activation, here.a, here.h, t, losses)
    output_delta(loss, here.activation, here.a, here.h, t, back.dLdh, back.dLda)
    if len(sample_weights):
        losses *= sample_weights
        weigh(back, sample_weights)
    views.backward(key)
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
    views = Pass(parameters, layout, workspace, len(dLdy)).with_gradient(gradient)
    here, back = views.layers[-1], views.backward_views[-1]
    back.dLdh[...] = dLdy
    activation_backward(here.activation, here.a, here.h, back.dLdh, back.dLda)
    views.backward(key)


def weigh(output: Backward[F], sample_weights: Vector[F]) -> None:
    """Multiplies dLdy and dLda of the output layer by the weight of each sample."""
    for gradients in (output.dLdh, output.dLda):
        gradients *= sample_weights.reshape(-1, 1)


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


def _batches(epoch: Epoch[F]) -> Iterator[tuple[int, int]]:
    """Yields where each batch starts and stops: it is full, or ends with its epoch."""
    count = len(epoch.order)
    for first in range(0, count, epoch.length):
        last = min(first + epoch.length, count)
        for start in range(first, last, epoch.batch_size):
            yield start, min(start + epoch.batch_size, last)


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
    trainable, running = parameters[: len(gradient)], parameters[len(gradient) :]
    saved = workspace.dLda[len(workspace.dLda) - len(running) :]
    if len(epoch.order) and not 0 <= epoch.order.min() <= epoch.order.max() < len(epoch.x):
        raise IndexError("the order of an epoch has an index beyond the samples")
    batches, largest = list(_batches(epoch)), float(np.finfo(parameters.dtype).max)
    largest_rates: list[float] = np.maximum(optimizer.coefficients[:, FIRST], 1).tolist()
    targets, update = epoch.t.take(epoch.order, 0), Update(trainable, gradient, optimizer)
    views = Pass(parameters, layout, workspace, epoch.batch_size).with_gradient(gradient)
    last, one_hot = views.layers[-1], len(batches) > 1 and is_one_hot(targets)
    is_short = has_short_step(loss, last.activation, last.a.shape[1]) and not len(epoch.sample_weights)
    short_step = ShortStep(loss, last.activation, last.a, one_hot) if is_short else None
    for step, (start, stop) in enumerate(batches):
        chosen, losses, t = epoch.order[start:stop], epoch.losses[start:stop], targets[start:stop]
        samples, shown = stop - start, step + 1 == len(batches)
        if samples != views.samples:
            views = Pass(parameters, layout, workspace, samples).with_gradient(gradient)
            short_step = short_step and ShortStep(loss, last.activation, views.layers[-1].a, one_hot)
        here, back = views.layers[-1], views.backward_views[-1]
        if len(running):
            saved[...] = running
        epoch.x.take(chosen, 0, views.layers[0].h, "clip")  # which writes to it without a copy in between
        views.forward_inputs(key + step)
        if short_step and here.a.size <= CACHE_CHUNK_ELEMENTS:
            dLdy = back.dLdh if shown else None
            short_step.compute(here.a, here.h, t, dLdy, back.dLda, losses, views.exponentials)
        else:
            loss_value(loss, here.activation, here.a, here.h, t, losses)
            output_delta_if_shown(loss, here.activation, here.a, here.h, t, back.dLdh, back.dLda, shown)
        factors = epoch.sample_weights[chosen] if len(epoch.sample_weights) else None
        if factors is not None:
            losses *= factors
            weigh(back, factors)
        views.backward(key + step)
        bound = largest_rates[step] * views.gradient_norm_bound()
        total = float(losses[0] if samples == 1 else np.add.reduce(losses))
        total += bound if bound <= largest else inf
        if len(running):
            total += float(np.add.reduce(running))
        if not isfinite(total):
            output_delta(loss, here.activation, here.a, here.h, t, back.dLdh, back.dLda)
            if factors is not None:
                weigh(back, factors)
            epoch.losses[start:] = np.nan
            running[...] = saved
            break
        update.apply(step)


def train_epoch(
    parameters: Vector[F],
    layout: Layout,
    order_key: int,
    step: int,
    key: int,
    loss: int,
    epoch: Epoch[F],
    optimizer: OptimizerSteps[F],
    workspace: Workspace[F],
    gradient: Vector[F],
) -> float:
    """Trains an epoch in an order of its own; see `Kernels.train_epoch`."""
    if order_key >= 0:
        shuffle(order_key, step, 0, len(epoch.order), epoch.order)
    epoch.losses.fill(nan)
    train_batches(parameters, layout, key, loss, epoch, optimizer, workspace, gradient)
    return sum_losses(epoch.losses) if len(epoch.losses) <= MAX_SUMMED else nan

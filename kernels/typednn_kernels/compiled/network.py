"""A forward and a backward pass, and epochs of mini-batches, in one call each."""

from __future__ import annotations

from math import isfinite, nan, sqrt

from typednn_kernels.activations import NONE
from typednn_kernels.arrays import F, Layout, Matrix, Order, Segments, Vector
from typednn_kernels.compiled.dense import affine_rows, backpropagate_rows, outer_rows, sum_rows
from typednn_kernels.compiled.elementwise import copies, inner, products, total, values
from typednn_kernels.compiled.jit import entry, kernel
from typednn_kernels.compiled.output import loss_signal, sample_losses, stable_error
from typednn_kernels.compiled.updates import update
from typednn_kernels.compiled.views import piece, rows
from typednn_kernels.layout import ACTIVATION, BIASES, LENGTH, PREVIOUS, UNITS, WEIGHTS
from typednn_kernels.updates import FIRST


@kernel
def units(workspace: Vector[F], layout: Layout, k: int, samples: int) -> Vector[F]:
    """The block of layer k in a workspace, flat: `(B * n,)`."""
    return piece(workspace, samples * layout[k, UNITS], samples * layout[k, LENGTH])


@kernel
def block(workspace: Vector[F], layout: Layout, k: int, samples: int) -> Matrix[F]:
    """The block of layer k in a workspace: `(B, n)`."""
    return rows(workspace, samples * layout[k, UNITS], samples, layout[k, LENGTH])


@kernel
def weights(vector: Vector[F], layout: Layout, k: int) -> Matrix[F]:
    """The weights of layer k: `(n, n_prev)`."""
    return rows(vector, layout[k, WEIGHTS], layout[k, LENGTH], layout[k, PREVIOUS])


@kernel
def flat_weights(vector: Vector[F], layout: Layout, k: int) -> Vector[F]:
    """The weights of layer k: `(n * n_prev,)`."""
    return piece(vector, layout[k, WEIGHTS], layout[k, LENGTH] * layout[k, PREVIOUS])


@kernel
def biases(vector: Vector[F], layout: Layout, k: int) -> Vector[F]:
    """The biases of layer k: `(n,)`."""
    return piece(vector, layout[k, BIASES], layout[k, LENGTH])


@kernel
def ascend(parameters: Vector[F], layout: Layout, k: int, a: Vector[F], h: Vector[F], samples: int) -> None:
    """The pre-activations of layer k."""
    affine_rows(
        block(h, layout, k - 1, samples),
        weights(parameters, layout, k),
        biases(parameters, layout, k),
        block(a, layout, k, samples),
    )


@kernel
def forward_from_inputs(
    parameters: Vector[F], layout: Layout, a: Vector[F], h: Vector[F], samples: int
) -> None:
    """All activations, of the samples at `inputs`."""
    for k in range(layout.shape[0]):
        if k > 0:
            ascend(parameters, layout, k, a, h, samples)
        if k > 0 or layout[k, ACTIVATION] != NONE:
            values(layout[k, ACTIVATION], units(a, layout, k, samples), units(h, layout, k, samples), samples)


@kernel
def inputs(layout: Layout, a: Vector[F], h: Vector[F], samples: int) -> Vector[F]:
    """Where `forward_from_inputs` expects the samples."""
    return units(h, layout, 0, samples) if layout[0, ACTIVATION] == NONE else units(a, layout, 0, samples)


@kernel
def error_from_targets(
    layout: Layout,
    loss: int,
    t: Vector[F],
    a: Vector[F],
    h: Vector[F],
    dLdh: Vector[F],
    dLda: Vector[F],
    samples: int,
) -> None:
    """The error signals of the output layer; the targets are flat."""
    last = layout.shape[0] - 1
    activation, outputs = layout[last, ACTIVATION], units(h, layout, last, samples)
    signal, error = units(dLdh, layout, last, samples), units(dLda, layout, last, samples)
    loss_signal(loss, outputs, t, signal, samples)
    if not stable_error(loss, activation, outputs, t, error, samples, samples):
        products(activation, units(a, layout, last, samples), outputs, signal, error, samples)


@kernel
def backward_from_error(
    parameters: Vector[F],
    layout: Layout,
    a: Vector[F],
    h: Vector[F],
    dLdh: Vector[F],
    dLda: Vector[F],
    gradient: Vector[F],
    samples: int,
) -> None:
    """All other error signals, and the gradients."""
    last = layout.shape[0] - 1
    for k in range(last, 0, -1):
        error = units(dLda, layout, k, samples)
        if k < last:
            backpropagate_rows(
                block(dLda, layout, k + 1, samples),
                weights(parameters, layout, k + 1),
                block(dLdh, layout, k, samples),
            )
            products(
                layout[k, ACTIVATION],
                units(a, layout, k, samples),
                units(h, layout, k, samples),
                units(dLdh, layout, k, samples),
                error,
                samples,
            )
        outer_rows(
            block(dLda, layout, k, samples), block(h, layout, k - 1, samples), weights(gradient, layout, k)
        )
        sum_rows(error, biases(gradient, layout, k))


@entry
def forward(parameters: Vector[F], layout: Layout, x: Matrix[F], a: Vector[F], h: Vector[F]) -> None:
    """All activations of a network for the samples x (B, n_inputs)."""
    copies(0, x.size, x, inputs(layout, a, h, x.shape[0]))
    forward_from_inputs(parameters, layout, a, h, x.shape[0])


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
    targets = piece(t, 0, t.size)
    error_from_targets(layout, loss, targets, a, h, dLdh, dLda, t.shape[0])
    backward_from_error(parameters, layout, a, h, dLdh, dLda, gradient, t.shape[0])


@kernel
def gather(x: Vector[F], order: Order, first: int, n: int, chosen: Vector[F]) -> None:
    """Copies the rows of n numbers that `order` names from `first` on, until `chosen` is full."""
    for i in range(chosen.size // n):
        copies(0, n, piece(x, order[first + i] * n, n), piece(chosen, i * n, n))


@kernel
def weigh(values: Vector[F], sample_weights: Vector[F], order: Order, first: int, n: int) -> None:
    """Multiplies the n numbers of each sample with its weight."""
    for i in range(values.size // n):
        weight = sample_weights[order[first + i]]
        for j in range(i * n, (i + 1) * n):
            values[j] *= weight


@entry
def train_batches(
    parameters: Vector[F],
    layout: Layout,
    loss: int,
    x: Matrix[F],
    t: Matrix[F],
    sample_weights: Vector[F],
    order: Order,
    batch_size: int,
    rule: int,
    coefficients: Matrix[F],
    segments: Segments,
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
    last, weighted = layout.shape[0] - 1, sample_weights.size > 0
    n, activation = layout[last, LENGTH], layout[last, ACTIVATION]
    for first in range(0, order.size, batch_size):
        samples = min(batch_size, order.size - first)
        gather(piece(x, 0, x.size), order, first, layout[0, LENGTH], inputs(layout, a, h, samples))
        forward_from_inputs(parameters, layout, a, h, samples)
        # The error of the output layer is written where its targets are read, number by number.
        targets = units(dLda, layout, last, samples)
        gather(piece(t, 0, t.size), order, first, n, targets)
        batch_losses = piece(losses, first, samples)
        sample_losses(
            loss,
            activation,
            units(a, layout, last, samples),
            units(h, layout, last, samples),
            targets,
            batch_losses,
        )
        error_from_targets(layout, loss, targets, a, h, dLdh, dLda, samples)
        if weighted:
            weigh(batch_losses, sample_weights, order, first, 1)
            weigh(units(dLdh, layout, last, samples), sample_weights, order, first, n)
            weigh(units(dLda, layout, last, samples), sample_weights, order, first, n)
        backward_from_error(parameters, layout, a, h, dLdh, dLda, gradient, samples)
        step = first // batch_size
        farthest = max(coefficients[step, FIRST], parameters.dtype.type(1))
        length = farthest * sqrt(inner(0, gradient.size, gradient, gradient))
        if not isfinite(total(0, samples, batch_losses) + length):
            for i in range(first, order.size):
                losses[i] = nan
            break
        update(parameters, gradient, states, rule, segments, penalties, coefficients, step)

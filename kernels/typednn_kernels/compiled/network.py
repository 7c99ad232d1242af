"""A forward and a backward pass, and epochs of mini-batches, in one call each."""

from __future__ import annotations

from math import isfinite, nan, sqrt

from typednn_kernels import normalizations
from typednn_kernels.activations import NONE
from typednn_kernels.arrays import F, Layout, Matrix, Order, Segments, Vector
from typednn_kernels.compiled.dense import affine_rows, backpropagate_rows, outer_rows, sum_rows
from typednn_kernels.compiled.elementwise import copies, inner, products, total, values
from typednn_kernels.compiled.jit import entry, kernel, routine
from typednn_kernels.compiled.normalization import drop_units, normalized_error, normalized_rows
from typednn_kernels.compiled.output import loss_signal, sample_losses, stable_error
from typednn_kernels.compiled.updates import update
from typednn_kernels.compiled.views import piece, rows
from typednn_kernels.dropout import PREDICTING
from typednn_kernels.layout import (
    ACTIVATION,
    BIASES,
    DROPOUT,
    FROZEN,
    GAINS,
    LENGTH,
    MOVING,
    NORMALIZATION,
    NORMALIZED,
    PREVIOUS,
    UNITS,
    WEIGHTS,
)
from typednn_kernels.updates import FIRST

UNNORMALIZED = normalizations.NONE


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
def gains(vector: Vector[F], layout: Layout, k: int) -> Vector[F]:
    """The gains of layer k, if it is normalised: `(n,)`."""
    return piece(vector, layout[k, GAINS], layout[k, LENGTH])


@kernel
def moving(vector: Vector[F], layout: Layout, k: int) -> Vector[F]:
    """Moving mean and variance of layer k, if it has them: `(2 * n,)`."""
    return piece(vector, layout[k, MOVING], 2 * layout[k, LENGTH])


@kernel
def start_of_normalized(layout: Layout, k: int, samples: int) -> int:
    """Where z of layer k begins in `a`, and dLdz in `dLda`: with the block if it is not normalised."""
    if layout[k, NORMALIZATION] == UNNORMALIZED:
        start: int = samples * layout[k, UNITS]
    else:
        last = layout.shape[0] - 1
        n_units = layout[last, UNITS] + layout[last, LENGTH]
        start = samples * n_units + (samples + 1) * layout[k, NORMALIZED]
    return start


@kernel
def normalized(workspace: Vector[F], layout: Layout, k: int, samples: int) -> Matrix[F]:
    """z or dLdz of layer k: `(B, n)`."""
    return rows(workspace, start_of_normalized(layout, k, samples), samples, layout[k, LENGTH])


@kernel
def flat_normalized(workspace: Vector[F], layout: Layout, k: int, samples: int) -> Vector[F]:
    """z or dLdz of layer k: `(B * n,)`."""
    return piece(workspace, start_of_normalized(layout, k, samples), samples * layout[k, LENGTH])


@kernel
def factors(a: Vector[F], layout: Layout, k: int, samples: int, count: int) -> Vector[F]:
    """The first of the factors of layer k, if it is normalised: `n` of units, or `B` of samples."""
    return piece(a, start_of_normalized(layout, k, samples) + samples * layout[k, LENGTH], count)


@kernel
def factor_count(layout: Layout, k: int, samples: int) -> int:
    """How many factors z of layer k is divided by."""
    count: int = layout[k, LENGTH] if layout[k, NORMALIZATION] == normalizations.BATCH else samples
    return count


@kernel
def is_training(layout: Layout, k: int, key: int) -> bool:
    """Whether layer k is normalised as in training."""
    training: bool = key != PREDICTING and layout[k, FROZEN] == 0
    return training


@routine
def ascend_normalized(
    parameters: Vector[F], layout: Layout, key: int, k: int, a: Vector[F], h: Vector[F], samples: int
) -> None:
    """z and the pre-activations of a normalised layer."""
    z, nothing = normalized(a, layout, k, samples), factors(a, layout, k, samples, layout[k, LENGTH])
    for i in range(nothing.size):
        nothing[i] = 0
    affine_rows(block(h, layout, k - 1, samples), weights(parameters, layout, k), nothing, z)
    normalized_rows(
        layout[k, NORMALIZATION],
        is_training(layout, k, key),
        piece(z, 0, z.size),
        gains(parameters, layout, k),
        biases(parameters, layout, k),
        moving(parameters, layout, k),
        factors(a, layout, k, samples, factor_count(layout, k, samples)),
        units(a, layout, k, samples),
    )


@routine
def descend_normalized(
    parameters: Vector[F],
    layout: Layout,
    key: int,
    k: int,
    a: Vector[F],
    dLda: Vector[F],
    gradient: Vector[F],
    samples: int,
) -> None:
    """dLdz, and the gradients by bias and gain, of a normalised layer."""
    normalized_error(
        layout[k, NORMALIZATION],
        is_training(layout, k, key),
        flat_normalized(a, layout, k, samples),
        gains(parameters, layout, k),
        factors(a, layout, k, samples, factor_count(layout, k, samples)),
        units(dLda, layout, k, samples),
        biases(gradient, layout, k),
        gains(gradient, layout, k),
        flat_normalized(dLda, layout, k, samples),
    )


@routine
def dropped_products(
    layout: Layout, key: int, k: int, a: Vector[F], dLdh: Vector[F], dLda: Vector[F], samples: int
) -> None:
    """dLda of a layer with dropout; the slope is that at the activations before."""
    pre_activations, error = units(a, layout, k, samples), units(dLda, layout, k, samples)
    values(layout[k, ACTIVATION], pre_activations, error, samples)
    products(layout[k, ACTIVATION], pre_activations, error, units(dLdh, layout, k, samples), error, samples)
    drop_units(key, k, layout[k, DROPOUT], error)


@kernel
def ascend(
    parameters: Vector[F], layout: Layout, key: int, k: int, a: Vector[F], h: Vector[F], samples: int
) -> None:
    """The pre-activations of layer k."""
    if layout[k, NORMALIZATION] == UNNORMALIZED:
        affine_rows(
            block(h, layout, k - 1, samples),
            weights(parameters, layout, k),
            biases(parameters, layout, k),
            block(a, layout, k, samples),
        )
    else:
        ascend_normalized(parameters, layout, key, k, a, h, samples)


@kernel
def dropped(layout: Layout, k: int, key: int) -> int:
    """What share of the units of layer k a pass drops."""
    share: int = 0 if key == PREDICTING else layout[k, DROPOUT]
    return share


@kernel
def forward_from_inputs(
    parameters: Vector[F], layout: Layout, key: int, a: Vector[F], h: Vector[F], samples: int
) -> None:
    """All activations, of the samples at `inputs`."""
    for k in range(layout.shape[0]):
        if k > 0:
            ascend(parameters, layout, key, k, a, h, samples)
        if k > 0 or layout[k, ACTIVATION] != NONE:
            values(layout[k, ACTIVATION], units(a, layout, k, samples), units(h, layout, k, samples), samples)
        if dropped(layout, k, key) > 0:
            drop_units(key, k, layout[k, DROPOUT], units(h, layout, k, samples))


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
    key: int,
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
                normalized(dLda, layout, k + 1, samples),
                weights(parameters, layout, k + 1),
                block(dLdh, layout, k, samples),
            )
            if dropped(layout, k, key) > 0:
                dropped_products(layout, key, k, a, dLdh, dLda, samples)
            else:
                products(
                    layout[k, ACTIVATION],
                    units(a, layout, k, samples),
                    units(h, layout, k, samples),
                    units(dLdh, layout, k, samples),
                    error,
                    samples,
                )
        if layout[k, NORMALIZATION] == UNNORMALIZED:
            sum_rows(error, biases(gradient, layout, k))
        else:
            descend_normalized(parameters, layout, key, k, a, dLda, gradient, samples)
        outer_rows(
            normalized(dLda, layout, k, samples),
            block(h, layout, k - 1, samples),
            weights(gradient, layout, k),
        )


@entry
def forward(
    parameters: Vector[F], layout: Layout, key: int, x: Matrix[F], a: Vector[F], h: Vector[F]
) -> None:
    """All activations of a network for the samples x (B, n_inputs)."""
    copies(0, x.size, x, inputs(layout, a, h, x.shape[0]))
    forward_from_inputs(parameters, layout, key, a, h, x.shape[0])


@entry
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
    targets = piece(t, 0, t.size)
    error_from_targets(layout, loss, targets, a, h, dLdh, dLda, t.shape[0])
    backward_from_error(parameters, layout, key, a, h, dLdh, dLda, gradient, t.shape[0])


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
    key: int,
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
    # A step that is not made leaves the averages, too, as they were.
    count = parameters.size - gradient.size
    trainable, averages = piece(parameters, 0, gradient.size), piece(parameters, gradient.size, count)
    kept = piece(dLda, dLda.size - count, count)
    for first in range(0, order.size, batch_size):
        samples = min(batch_size, order.size - first)
        copies(0, count, averages, kept)
        gather(piece(x, 0, x.size), order, first, layout[0, LENGTH], inputs(layout, a, h, samples))
        forward_from_inputs(parameters, layout, key, a, h, samples)
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
        backward_from_error(parameters, layout, key, a, h, dLdh, dLda, gradient, samples)
        step = first // batch_size
        farthest = max(coefficients[step, FIRST], parameters.dtype.type(1))
        length = farthest * sqrt(inner(0, gradient.size, gradient, gradient))
        if not isfinite(total(0, samples, batch_losses) + length + total(0, count, averages)):
            for i in range(first, order.size):
                losses[i] = nan
            copies(0, count, kept, averages)
            break
        update(trainable, gradient, states, rule, segments, penalties, coefficients, step)
        key += 1

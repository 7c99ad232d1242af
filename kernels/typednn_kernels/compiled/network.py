"""A forward and a backward pass, in one call each."""

from __future__ import annotations

from typednn_kernels import normalizations
from typednn_kernels.activations import NONE
from typednn_kernels.arrays import F, Layout, Matrix, Vector
from typednn_kernels.compiled.dense import affine_rows, backpropagate_rows, outer_rows, sum_rows
from typednn_kernels.compiled.elementwise import copies, inner, products, values
from typednn_kernels.compiled.jit import entry, kernel, routine
from typednn_kernels.compiled.normalization import drop_units, normalized_error, normalized_rows
from typednn_kernels.compiled.output import loss_signal, stable_error
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
def some_units(
    workspace: Vector[F], layout: Layout, k: int, samples: int, first: int, count: int
) -> Vector[F]:
    """The rows of some samples in the block of layer k, flat: `(count * n,)`."""
    n = layout[k, LENGTH]
    return piece(workspace, samples * layout[k, UNITS] + first * n, count * n)


@kernel
def some_rows(
    workspace: Vector[F], layout: Layout, k: int, samples: int, first: int, count: int
) -> Matrix[F]:
    """The rows of some samples in the block of layer k: `(count, n)`."""
    n = layout[k, LENGTH]
    return rows(workspace, samples * layout[k, UNITS] + first * n, count, n)


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
def some_normalized(
    workspace: Vector[F], layout: Layout, k: int, samples: int, first: int, count: int
) -> Matrix[F]:
    """The rows of some samples of z or dLdz of layer k: `(count, n)`."""
    n = layout[k, LENGTH]
    return rows(workspace, start_of_normalized(layout, k, samples) + first * n, count, n)


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
def dropped(layout: Layout, k: int, key: int) -> int:
    """What share of the units of layer k a pass drops."""
    share: int = 0 if key == PREDICTING else layout[k, DROPOUT]
    return share


@kernel
def forward_from_inputs(
    parameters: Vector[F],
    layout: Layout,
    key: int,
    a: Vector[F],
    h: Vector[F],
    samples: int,
    first: int,
    count: int,
) -> None:
    """All activations of `count` samples of a batch; of all where layers are normalised or drop units."""
    for k in range(layout.shape[0]):
        if k > 0:
            if layout[k, NORMALIZATION] == UNNORMALIZED:
                affine_rows(
                    some_rows(h, layout, k - 1, samples, first, count),
                    weights(parameters, layout, k),
                    biases(parameters, layout, k),
                    some_rows(a, layout, k, samples, first, count),
                )
            else:
                ascend_normalized(parameters, layout, key, k, a, h, samples)
        if k > 0 or layout[k, ACTIVATION] != NONE:
            values(
                layout[k, ACTIVATION],
                some_units(a, layout, k, samples, first, count),
                some_units(h, layout, k, samples, first, count),
                count,
            )
        if dropped(layout, k, key) > 0:
            drop_units(key, k, layout[k, DROPOUT], units(h, layout, k, samples))


@kernel
def inputs(layout: Layout, a: Vector[F], h: Vector[F], samples: int, first: int, count: int) -> Vector[F]:
    """Where `forward_from_inputs` expects the samples."""
    workspace = h if layout[0, ACTIVATION] == NONE else a
    return some_units(workspace, layout, 0, samples, first, count)


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
    first: int,
    count: int,
) -> None:
    """The error signals of the output layer for `count` samples of a batch, whose targets are flat."""
    last = layout.shape[0] - 1
    activation, outputs = layout[last, ACTIVATION], some_units(h, layout, last, samples, first, count)
    signal = some_units(dLdh, layout, last, samples, first, count)
    error = some_units(dLda, layout, last, samples, first, count)
    loss_signal(loss, outputs, t, signal, count, samples)
    if not stable_error(loss, activation, outputs, t, error, count, samples):
        products(
            activation,
            some_units(a, layout, last, samples, first, count),
            outputs,
            signal,
            error,
            count,
        )


@kernel
def signals_from_error(
    parameters: Vector[F],
    layout: Layout,
    key: int,
    a: Vector[F],
    h: Vector[F],
    dLdh: Vector[F],
    dLda: Vector[F],
    gradient: Vector[F],
    samples: int,
    first: int,
    count: int,
) -> None:
    """All other error signals of `count` samples of a batch, and the gradients by gains and their biases."""
    last = layout.shape[0] - 1
    for k in range(last, 0, -1):
        if k < last:
            backpropagate_rows(
                some_normalized(dLda, layout, k + 1, samples, first, count),
                weights(parameters, layout, k + 1),
                some_rows(dLdh, layout, k, samples, first, count),
            )
            if dropped(layout, k, key) > 0:
                dropped_products(layout, key, k, a, dLdh, dLda, samples)
            else:
                products(
                    layout[k, ACTIVATION],
                    some_units(a, layout, k, samples, first, count),
                    some_units(h, layout, k, samples, first, count),
                    some_units(dLdh, layout, k, samples, first, count),
                    some_units(dLda, layout, k, samples, first, count),
                    count,
                )
        if layout[k, NORMALIZATION] != UNNORMALIZED:
            descend_normalized(parameters, layout, key, k, a, dLda, gradient, samples)


@kernel
def gradient_from_signals(
    layout: Layout,
    h: Vector[F],
    dLda: Vector[F],
    gradient: Vector[F],
    samples: int,
    part: int,
    parts: int,
) -> None:
    """The gradients by weights, and by biases without gains, for one of the equal parts of each layer."""
    for k in range(layout.shape[0] - 1, 0, -1):
        n = layout[k, LENGTH]
        first = n * part // parts
        count = n * (part + 1) // parts - first
        if count > 0:
            if layout[k, NORMALIZATION] == UNNORMALIZED:
                sum_rows(units(dLda, layout, k, samples), biases(gradient, layout, k), first, count)
            outer_rows(
                normalized(dLda, layout, k, samples),
                block(h, layout, k - 1, samples),
                weights(gradient, layout, k),
                first,
                count,
            )


@kernel
def squares_of_gradient(layout: Layout, gradient: Vector[F], part: int, parts: int) -> F:
    """The sum of squares of what `gradient_from_signals` gives, and of that by gains, for its part."""
    result = gradient.dtype.type(0)
    for k in range(1, layout.shape[0]):
        n, m = layout[k, LENGTH], layout[k, PREVIOUS]
        first = n * part // parts
        count = n * (part + 1) // parts - first
        by_weights = piece(gradient, layout[k, WEIGHTS] + first * m, count * m)
        by_biases = piece(gradient, layout[k, BIASES] + first, count)
        result += inner(0, count * m, by_weights, by_weights) + inner(0, count, by_biases, by_biases)
        if layout[k, NORMALIZATION] != UNNORMALIZED:
            by_gains = gains(gradient, layout, k)
            result += inner(0, n, by_gains, by_gains)
    return result


@entry
def forward(
    parameters: Vector[F], layout: Layout, key: int, x: Matrix[F], a: Vector[F], h: Vector[F]
) -> None:
    """All activations of a network for the samples x (B, n_inputs)."""
    samples = x.shape[0]
    copies(0, x.size, x, inputs(layout, a, h, samples, 0, samples))
    forward_from_inputs(parameters, layout, key, a, h, samples, 0, samples)


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
    targets, samples = piece(t, 0, t.size), t.shape[0]
    error_from_targets(layout, loss, targets, a, h, dLdh, dLda, samples, 0, samples)
    signals_from_error(parameters, layout, key, a, h, dLdh, dLda, gradient, samples, 0, samples)
    gradient_from_signals(layout, h, dLda, gradient, samples, 0, 1)

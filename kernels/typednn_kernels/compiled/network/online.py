"""Trains an epoch of single samples by gradient descent in one call, with as many threads as pays.

In one pass over its rows the first layer is updated with one sample and computes the next. Threads share its
units, and those of other wide layers: each unit is computed as by one thread, to the bit.
"""

from __future__ import annotations

from collections.abc import Callable

from typednn_kernels.activations import NONE
from typednn_kernels.arrays import F, Layout, Vector
from typednn_kernels.compiled._codegen.array_views import slice_of
from typednn_kernels.compiled._codegen.jit import exported, inline, noinline, reassociate, require
from typednn_kernels.compiled._codegen.small_stacks import free_row, heap_row
from typednn_kernels.compiled._codegen.tuning import (
    GEMV_ROWS,
    ONLINE_GRAIN_WEIGHTS,
    ONLINE_MIN_CALL_WEIGHTS,
    ONLINE_SPINS_BEFORE_SLEEP,
    SCRATCH_ROW_ELEMENTS,
)
from typednn_kernels.compiled.linalg.dense import (
    add,
    axpy,
    copy,
    dot,
    gemv_bias,
    gemv_t_and_update_2,
    row_blocks,
    scal,
    subtract_scaled,
)
from typednn_kernels.compiled.linalg.short_gemv import (
    has_short_rows,
    short_backward_and_update,
    short_update_and_gemv,
)
from typednn_kernels.compiled.network.fitting import epoch_fits, has_all_weights, network_fits
from typednn_kernels.compiled.network.partition import thread_range
from typednn_kernels.compiled.network.passes import biases, flat_weights, units
from typednn_kernels.compiled.ops.activation import (
    activate,
    activate_range,
    activation_backward_flat,
    couples,
)
from typednn_kernels.compiled.ops.loss import (
    Outputs,
    canonical_delta,
    loss_gradient,
    sample_loss,
)
from typednn_kernels.compiled.ops.loss_loops import has_rows
from typednn_kernels.compiled.parallel.team import barrier, parallel_region
from typednn_kernels.layout import ACTIVATION, LENGTH, PREVIOUS
from typednn_kernels.operands import Epoch, Thread, Workspace


@inline
def backward_and_update(
    W: Vector[F], bias: Vector[F], dLda: Vector[F], h_prev: Vector[F], rate: F, dLdh: Vector[F]
) -> None:
    """Computes dLdh (m,) and updates the layer, in one pass over the rows whose delta is not 0.

    Short rows are not skipped: a branch for each would cost more.
    """
    m, zero, waiting = h_prev.size, W.dtype.type(0), 0
    if has_short_rows(m, W):
        short_backward_and_update(dLda.size, m, W, bias, dLda, h_prev, rate, dLdh)
        return
    # The first row sets dLdh: a loop that sets it to 0 would become a call of memset.
    scal(0, m, W, dLda[0], dLdh)
    subtract_scaled(0, m, W, h_prev, rate * dLda[0], W)
    bias[0] -= rate * dLda[0]
    for i in range(1, dLda.size):
        if dLda[i] != zero:
            bias[i] -= rate * dLda[i]
            if waiting == 0:
                waiting = i
            else:
                row, other = slice_of(W, waiting * m, m), slice_of(W, i * m, m)
                e, d = dLda[waiting], dLda[i]
                gemv_t_and_update_2(0, m, dLdh, row, other, h_prev, e, d, rate, dLdh, row, other)
                waiting = 0
    if waiting > 0:
        row = slice_of(W, waiting * m, m)
        axpy(0, m, dLdh, row, dLda[waiting], dLdh)
        subtract_scaled(0, m, row, h_prev, rate * dLda[waiting], row)


@reassociate
def update_and_dot(w: Vector[F], step: F, x: Vector[F], next_x: Vector[F], m: int) -> F:
    """Updates a row with the inputs of one sample, and computes its product with those of the next."""
    total = w.dtype.type(0)
    for j in range(m):
        w[j] -= step * x[j]
        total += w[j] * next_x[j]
    return total


@inline
def update_and_forward(
    W: Vector[F],
    bias: Vector[F],
    dLda: Vector[F],
    rate: F,
    x: Vector[F],
    next_x: Vector[F],
    a: Vector[F],
) -> None:
    """Updates the first layer with the inputs of one sample, and computes its `a` for the next sample.

    One pass over the weights does both: for wide layers a step is bound by memory traffic. Rows whose delta
    is 0, those of units whose ReLU is off, are only read, if they are not short.
    """
    m, zero = x.size, W.dtype.type(0)
    if has_short_rows(m, W):
        short_update_and_gemv(dLda.size, m, W, bias, dLda, rate, x, next_x, a)
        return
    for i in range(dLda.size):
        row = slice_of(W, i * m, m)
        if dLda[i] == zero:
            a[i] = bias[i] + dot(row, next_x, m)
        else:
            step = rate * dLda[i]
            bias[i] -= step
            a[i] = bias[i] + update_and_dot(row, step, x, next_x, m)


@inline
def forward_units(W: Vector[F], bias: Vector[F], x: Vector[F], a: Vector[F]) -> None:
    """Computes a = W x + bias one unit at a time: its bits do not depend on the range, unlike `gemv_bias`."""
    m = x.size
    for i in range(a.size):
        a[i] = bias[i] + dot(slice_of(W, i * m, m), x, m)


@inline
def online_update_units(W: Vector[F], bias: Vector[F], dLda: Vector[F], rate: F, x: Vector[F]) -> None:
    """Updates a layer by a gradient step with one sample."""
    m = x.size
    for i in range(dLda.size):
        step, row = rate * dLda[i], slice_of(W, i * m, m)
        bias[i] -= step
        subtract_scaled(0, m, row, x, step, row)


@inline
def is_wide(layout: Layout, k: int) -> bool:
    """Says whether threads share layer k, above the first; its backward pass is shared by two at most."""
    n, m = layout[k, LENGTH], layout[k, PREVIOUS]
    wide: bool = k > 1 and n * m >= 2 * ONLINE_GRAIN_WEIGHTS and m <= SCRATCH_ROW_ELEMENTS
    return wide


@inline
def online_num_threads(layout: Layout, samples: int) -> int:
    """Returns how many threads pay.

    More than one share layer 1, which must take samples as they are and have an elementwise activation.
    """
    weights, count = layout[1, LENGTH] * layout[1, PREVIOUS], 1
    for k in range(2, layout.shape[0]):
        if is_wide(layout, k):
            weights = max(weights, layout[k, LENGTH] * layout[k, PREVIOUS])
    if (
        layout[0, ACTIVATION] == NONE
        and not couples(layout[1, ACTIVATION])
        and samples * weights >= ONLINE_MIN_CALL_WEIGHTS
    ):
        count = min(layout[1, LENGTH], weights // ONLINE_GRAIN_WEIGHTS)
    return count


@inline
def forward_upper_layers(
    thread: Thread, parameters: Vector[F], layout: Layout, workspace: Workspace[F]
) -> None:
    """Computes the activations of layers 2 and above; each thread has computed its units of layer 1."""
    for k in range(2, layout.shape[0]):
        wide, n, m = is_wide(layout, k), layout[k, LENGTH], layout[k, PREVIOUS]
        a, h = units(workspace.a, layout, k, 1), units(workspace.h, layout, k, 1)
        if k == 2 or wide or is_wide(layout, k - 1):
            barrier(thread.team)
        first, count = 0, n
        if wide:  # whole blocks of rows: the bits of a unit depend on its place in one
            block, blocks = thread_range(row_blocks(n), thread)
            first = GEMV_ROWS * block
            count = min(GEMV_ROWS * blocks, n - first)
        if wide or thread.thread_num == 0:
            W = slice_of(flat_weights(parameters, layout, k), first * m, count * m)
            bias = slice_of(biases(parameters, layout, k), first, count)
            pre_activations = slice_of(a, first, count)
            gemv_bias(units(workspace.h, layout, k - 1, 1), W, bias, pre_activations)
            if not couples(layout[k, ACTIVATION]) or not wide:
                activate(layout[k, ACTIVATION], pre_activations, slice_of(h, first, count), 1)
        if couples(layout[k, ACTIVATION]) and wide:
            barrier(thread.team)
            if thread.thread_num == 0:
                activate_range(0, 0, 1, layout[k, ACTIVATION], a, h, n)
    if layout.shape[0] == 2 or is_wide(layout, layout.shape[0] - 1):
        barrier(thread.team)


@inline
def backward_and_update_layer(
    thread: Thread,
    parameters: Vector[F],
    layout: Layout,
    k: int,
    learning_rate: F,
    workspace: Workspace[F],
    second: Vector[F],
) -> None:
    """Updates layer k and computes dLdh of the layer below.

    With a wide layer dLdh gets the sum over the first half of the units, and `second` that over the others.
    """
    wide, n, m = is_wide(layout, k), layout[k, LENGTH], layout[k, PREVIOUS]
    if wide:
        barrier(thread.team)
    for half in range(thread.thread_num, 2 if wide else 1, thread.num_threads):
        first, count = 0, n
        if wide:
            first, count = half * (n // 2), n // 2 + half * (n % 2)
        backward_and_update(
            slice_of(flat_weights(parameters, layout, k), first * m, count * m),
            slice_of(biases(parameters, layout, k), first, count),
            slice_of(units(workspace.dLda, layout, k, 1), first, count),
            units(workspace.h, layout, k - 1, 1),
            learning_rate,
            slice_of(units(workspace.dLdh, layout, k - 1, 1) if half == 0 else second, 0, m),
        )
    if wide:
        barrier(thread.team)


@inline
def backward_upper_layers(
    thread: Thread,
    parameters: Vector[F],
    layout: Layout,
    loss: int,
    t: Vector[F],
    learning_rate: F,
    workspace: Workspace[F],
    second: Vector[F],
    shown: bool,
) -> None:
    """Computes all deltas (of layer 1 at least this thread's units) and updates layers 2 and above.

    Where dLda of the output layer does not depend on dLdy, this is computed only if it will be `shown`.
    """
    last = layout.shape[0] - 1
    for k in range(last, 0, -1):
        n, activation = layout[k, LENGTH], layout[k, ACTIVATION]
        a, h = units(workspace.a, layout, k, 1), units(workspace.h, layout, k, 1)
        dLdh, dLda = units(workspace.dLdh, layout, k, 1), units(workspace.dLda, layout, k, 1)
        first, count = 0, n if thread.thread_num == 0 else 0
        if k < last:
            backward_and_update_layer(thread, parameters, layout, k + 1, learning_rate, workspace, second)
            if is_wide(layout, k + 1):
                if not couples(activation) and (k == 1 or is_wide(layout, k)):
                    first, count = thread_range(n, thread)
                total = slice_of(dLdh, first, count)
                add(0, count, total, slice_of(second, first, count), total)
        elif thread.thread_num == 0:
            outputs = Outputs(a, h, t)
            if canonical_delta(loss, activation, outputs, dLdh, dLda, 1, 1):
                count = 0
            if (shown or count > 0) and not has_rows(loss, activation, n):
                loss_gradient(loss, activation, outputs, dLdh, 1, 1)
        if count > 0:
            activation_backward_flat(
                activation,
                slice_of(a, first, count),
                slice_of(h, first, count),
                slice_of(dLdh, first, count),
                slice_of(dLda, first, count),
                1,
            )
    if last == 1 or not is_wide(layout, 2):
        barrier(thread.team)


@noinline
def online_train_thread(
    thread: Thread,
    parameters: Vector[F],
    layout: Layout,
    loss: int,
    epoch: Epoch[F],
    learning_rate: F,
    workspace: Workspace[F],
    second: Vector[F],
) -> None:
    """Runs a thread's part of all steps: a range of units of wide layers; the first thread has all others."""
    activation, m, n = layout[0, ACTIVATION], layout[0, LENGTH], epoch.t.shape[1]
    order, last = epoch.order, layout.shape[0] - 1
    first, count = thread_range(layout[1, LENGTH], thread)
    W1 = slice_of(flat_weights(parameters, layout, 1), first * m, count * m)
    bias1 = slice_of(biases(parameters, layout, 1), first, count)
    a1 = slice_of(units(workspace.a, layout, 1, 1), first, count)
    h1 = slice_of(units(workspace.h, layout, 1, 1), first, count)
    dLda1 = slice_of(units(workspace.dLda, layout, 1, 1), first, count)
    # The inputs of the last sample and of this one: the input layer has no delta, whose place is the second.
    previous_x, x = units(workspace.h, layout, 0, 1), units(workspace.dLda, layout, 0, 1)
    for step in range(order.size):
        previous_x, x = x, previous_x
        sample = slice_of(epoch.x, order[step] * m, m)
        if activation == NONE:
            x = sample
        else:
            activate_range(0, 0, 1, activation, sample, x, m)
        if step == 0:
            forward_units(W1, bias1, x, a1)
        else:
            update_and_forward(W1, bias1, dLda1, learning_rate, previous_x, x, a1)
        activate(layout[1, ACTIVATION], a1, h1, 1)
        forward_upper_layers(thread, parameters, layout, workspace)
        t = slice_of(epoch.t, order[step] * n, n)
        if thread.thread_num == 0:
            a, y = units(workspace.a, layout, last, 1), units(workspace.h, layout, last, 1)
            epoch.losses[step] = sample_loss(loss, layout[last, ACTIVATION], a, y, t, n)
        shown = step == order.size - 1
        backward_upper_layers(thread, parameters, layout, loss, t, learning_rate, workspace, second, shown)
    if order.size > 0:
        online_update_units(W1, bias1, dLda1, learning_rate, x)
        if thread.thread_num == 0:
            copy(0, m, x, workspace.h)
            if activation != NONE:
                copy(0, m, slice_of(epoch.x, order[order.size - 1] * m, m), workspace.a)


parallel_online_train: Callable[..., None] = parallel_region(
    online_train_thread, spins_before_sleep=ONLINE_SPINS_BEFORE_SLEEP
)


@exported
def train_online(
    parameters: Vector[F],
    layout: Layout,
    loss: int,
    epoch: Epoch[F],
    learning_rate: F,
    workspace: Workspace[F],
) -> None:
    """Makes a step of gradient descent for each sample of the epoch; see `Kernels.train_online`.

    Raises:
        MemoryError: there is no memory for half of an upstream gradient.
    """
    require(network_fits(parameters, layout, 1, workspace) and epoch_fits(layout, epoch))
    require(has_all_weights(layout))
    num_threads, second = (
        online_num_threads(layout, epoch.order.size),
        heap_row(SCRATCH_ROW_ELEMENTS, parameters),
    )
    if second.size == 0:
        raise MemoryError("a training step needs 64 KiB")
    parallel_online_train(num_threads, parameters, layout, loss, epoch, learning_rate, workspace, second)
    free_row(second)

"""Training steps in compiled calls, and the search for the layer where a step was not finite.

A call to the kernels trains a chunk of an epoch that takes about `CHUNK_SECONDS`. Ctrl-C takes effect between
chunks and leaves the network as it was after the last one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import isfinite
from time import perf_counter
from typing import Generic

import numpy as np
from numpy.typing import NDArray
from typednn_kernels.activations import CODES
from typednn_kernels.arrays import F, Layout, Matrix, Order, Vector
from typednn_kernels.layout import DROPOUT, NORMALIZATION, running_moments, weights
from typednn_kernels.operands import Epoch, OptimizerSteps

from typednn.backends import kernels
from typednn.errors import DivergenceError
from typednn.layers.storage import Storage, Workspace
from typednn.parallel import check_interrupt
from typednn.training.batches import CheckedSamples
from typednn.training.optimizer_state import OptimizerState
from typednn.training.optimizers import Optimizer
from typednn.validation.arrays import read_only

BATCH_SIZE = 32
"""The default number of samples per step."""

CHUNK_SECONDS = 0.05


class NonFiniteStepError(Exception):
    """A step that is not finite and was therefore not made.

    Attributes:
        sample: the number of samples trained before it.
        layer: the index of the layer where the first infinity or NaN arose.
        what: the quantity in which it arose, such as "activations".
    """

    sample: int
    layer: int
    what: str

    def __init__(self, sample: int, layer: int, what: str) -> None:
        super().__init__(sample, layer, what)
        self.sample, self.layer, self.what = sample, layer, what

    def divergence(self, storage: Storage[F], epoch: int, step: int) -> DivergenceError:
        """Returns the error for the user, with `epoch` and `step` counted from 1."""
        state = "the network is as it was before this step. A smaller learning rate helps"
        if not _all_finite(storage.parameters):
            state = (
                f"parameters are not finite since an earlier step, whose squared gradients {storage.dtype} "
                "cannot hold. clip_norm of the optimiser helps, or features scaled to about -1 … 1"
            )
        return DivergenceError(
            f"training diverged at step {step} of epoch {epoch}: {storage.layers[self.layer].name}, has "
            f"{self.what} that are not finite; {state}",
            epoch,
            step,
            self.layer,
        )


class Trainer(Generic[F]):
    """Makes the steps of an optimiser, chunk by chunk.

    Raises:
        SettingError: the dtype cannot hold a setting of the optimiser.
    """

    storage: Storage[F]
    loss: int
    layout: Layout
    batch_size: int
    optimizer_state: OptimizerState[F]
    workspace: Workspace[F]
    gradient: Vector[F]
    chunk: int

    def __init__(self, storage: Storage[F], loss: int, batch_size: int, optimizer: Optimizer) -> None:
        self.storage, self.loss = storage, loss
        self.batch_size = batch_size
        self.optimizer_state = OptimizerState(storage, optimizer)
        self.workspace = storage.new_workspace(batch_size)
        self._take_settings()
        self.gradient = storage.gradient  # layers compute theirs again when it is read
        storage.has_gradient = [False] * len(storage.layers)
        self.chunk = max(1, int(2e6 / (storage.parameters.size + 1000)))

    def _take_settings(self) -> None:
        """Takes up what layers are set to: dropout, penalties, and whether they are trainable."""
        self.layout = self.workspace.layout = self.storage.layout
        self.optimizer_state.take_settings(self.storage)
        self._only_dense = not self.layout[:, [NORMALIZATION, DROPOUT]].any()

    def resize(self, batch_size: int) -> None:
        """Sets the number of samples per step."""
        if batch_size > self.batch_size:
            self.workspace = self.storage.new_workspace(batch_size)
        self.batch_size = batch_size

    def run(
        self, samples: CheckedSamples[F], order: Order, losses: Vector[F], max_steps: int | None = None
    ) -> Iterator[int]:
        """Trains with samples in a given order.

        Args:
            samples: the samples.
            order: their indices, `(n,)`.
            losses: receives the loss of each sample before the step that uses it, times its weight, `(n,)`.
            max_steps: the largest number of steps in a chunk.

        Yields:
            The number of samples trained so far, after each chunk.

        Raises:
            NonFiniteStepError: a step is not finite; the network is as it was before this step.
            WiringError: a layer drops units and has no generator to draw from.
        """
        start, key = 0, self.storage.new_key()
        while start < len(order):
            steps = -(-min(self.chunk, samples.max_chunk) // self.batch_size)
            if max_steps is not None:
                steps = min(steps, max_steps)
            chunk = slice(start, min(start + steps * self.batch_size, len(order)))
            began = perf_counter()
            self._train(samples, order[chunk], losses[chunk], start, key + start // self.batch_size)
            elapsed = perf_counter() - began
            if chunk.stop - start >= self.chunk:
                self.chunk = max(1, int((chunk.stop - start) * min(8.0, CHUNK_SECONDS / max(elapsed, 1e-9))))
            start = chunk.stop
            yield start
            check_interrupt()

    def show(self) -> None:
        """Makes the layers' attributes show the last step."""
        self.workspace.complete_forward()
        self.workspace.complete_backward()
        self.storage.set_workspace(self.workspace)

    def _train(
        self, samples: CheckedSamples[F], order: Order, losses: Vector[F], before: int, key: int
    ) -> None:
        """Trains one chunk, given the number of samples trained `before` and the key of its first step."""
        if self.layout is not self.storage.layout:  # a callback has changed a setting
            self._take_settings()
        self.workspace.resize_batch((len(order) - 1) % self.batch_size + 1)
        self.workspace.key = key + (len(order) - 1) // self.batch_size
        x, t, sample_weights, indices = samples.take(order)
        epoch = Epoch(x, t, sample_weights, read_only(indices), self.batch_size, losses)
        online = self.batch_size == 1 and self._only_dense and not len(sample_weights)
        online_rate = self.optimizer_state.constant_sgd_rate if online else None
        if online_rate is not None:
            done = self._train_online(epoch, online_rate)
        elif self.optimizer_state.may_divide_by_zero:
            done = self._train_checked(epoch, key)
        else:
            done = self._train_batches(epoch, key)
        self.optimizer_state.step += -(-done // self.batch_size)
        if done < len(losses):
            step = done - done % self.batch_size
            batch = indices[step : step + self.batch_size]
            self.workspace.key = key + step // self.batch_size
            raise NonFiniteStepError(before + step, *self._locate_nonfinite(x[batch], t[batch]))

    def _train_online(self, epoch: Epoch[F], learning_rate: F) -> int:
        """Trains sample by sample; returns the number of steps before the first that is not finite.

        The kernel updates upper layers before it knows the deltas of lower ones and cannot undo a step.
        Therefore a chunk with a step that is not finite is trained again, in halves, up to the last good
        step.
        """
        parameters, saved = self.storage.parameters, self.gradient

        def good(first: int, last: int) -> bool:
            saved[...] = parameters
            part = epoch._replace(order=epoch.order[first:last], losses=epoch.losses[first:last])
            kernels(self.storage.dtype).train_online(
                parameters, self.layout, self.loss, part, learning_rate, self.workspace.vectors
            )
            if _all_finite(part.losses) and _all_finite(parameters):
                return True
            parameters[...] = saved
            return False

        return _count_good(good, len(epoch.order))

    def _train_checked(self, epoch: Epoch[F], key: int) -> int:
        """Trains as `_train_batches` with an optimiser that may divide by 0.

        The kernel finds that a loss or gradient is not finite before it makes a step, but not that the step
        itself is not. Therefore a chunk after which a parameter is not finite is trained again, in halves, up
        to the last good step.
        """
        parameters, state, size = self.storage.parameters, self.optimizer_state, self.batch_size
        before = state.step

        def good(first: int, last: int) -> bool:
            saved = parameters.copy(), state.states.copy()
            rows = slice(first * size, last * size)
            part = epoch._replace(order=epoch.order[rows], losses=epoch.losses[rows])
            state.step = before + first
            if self._train_batches(part, key + first) == len(part.order) and _all_finite(parameters):
                return True
            parameters[...], state.states[...] = saved
            return False

        done = _count_good(good, -(-len(epoch.order) // size))
        state.step = before
        return min(done * size, len(epoch.order))

    def _train_batches(self, epoch: Epoch[F], key: int) -> int:
        """Trains batch by batch; returns the number of samples before the first whose loss is not finite."""
        storage, state = self.storage, self.optimizer_state
        optimizer = OptimizerSteps(
            state.rule,
            state.coefficients(-(-len(epoch.order) // self.batch_size)),
            state.trainable_ranges,
            state.penalties,
            state.states,
        )
        kernels(storage.dtype).train_batches(
            storage.parameters,
            self.layout,
            key,
            self.loss,
            epoch,
            optimizer,
            self.workspace.vectors,
            self.gradient,
        )
        return _count_finite(epoch.losses)

    def _locate_nonfinite(self, x: Matrix[F], t: Matrix[F]) -> tuple[int, str]:
        """Repeats a step that is not finite; returns the layer and the quantity where that begins.

        The layers' attributes show the step.
        """
        storage, work, run = self.storage, self.workspace, kernels(self.storage.dtype)
        layers, gradient = storage.layers, self.gradient
        parameters = storage.parameters.copy()  # a forward pass changes running moments
        losses: Vector[F] = np.empty(len(x), storage.dtype)
        work.resize_batch(len(x))
        blocks, last = work.blocks, len(layers) - 1
        with np.errstate(all="ignore"):
            run.forward(parameters, self.layout, work.key, x, work.vectors)
            output = blocks[last]
            run.loss_value(self.loss, CODES[layers[last].actname], output.a, output.h, t, losses)
            run.backward(parameters, self.layout, work.key, self.loss, t, work.vectors, gradient)
            self.show()
            squares = [
                float(np.dot(g, g))
                for g in (weights(gradient, self.layout, k).reshape(-1) for k in range(last + 1))
            ]
        moments = [running_moments(parameters, self.layout, k) for k in range(last + 1)]
        upwards, downwards = range(last + 1), range(last, 0, -1)
        suspects = [
            *((k, "activations", _all_finite(blocks[k].h)) for k in upwards),
            *((k, "running means and variances", _all_finite(moments[k])) for k in upwards),
            (last, "losses", _all_finite(losses)),
            *((k, "deltas", _all_finite(blocks[k].dLda)) for k in downwards),
            *((k, "gradients", isfinite(squares[k])) for k in downwards),
            (squares.index(max(squares)), "steps", False),
        ]
        return next((k, what) for k, what, finite in suspects if not finite)


def _count_good(good: Callable[[int, int], bool], count: int) -> int:
    """Counts the steps before the first that is not finite.

    `good(first, last)` makes the steps from `first` to below `last`, or none; it returns whether it did.
    """
    if good(0, count):
        return count
    done, bad = 0, count
    while done + 1 < bad:
        middle = (done + bad) // 2
        if good(done, middle):
            done = middle
        else:
            bad = middle
    return done


def _count_finite(losses: Vector[F]) -> int:
    """Counts the losses before the first that is not finite."""
    if _all_finite(losses):
        return len(losses)
    return int(np.isfinite(losses).argmin())


def _all_finite(array: NDArray[F]) -> bool:
    return bool(np.isfinite(array).all())

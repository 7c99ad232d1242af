"""Training steps in compiled calls, and the search for the layer where a step was not finite.

A call to the kernels trains a chunk of an epoch that takes about `CHUNK_SECONDS`. Ctrl-C takes effect between
chunks and leaves the network as it was after the last one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import inf, isfinite, nan
from time import perf_counter
from typing import Generic

import numpy as np
from numpy.typing import NDArray
from typednn_kernels.activations import CODES
from typednn_kernels.arrays import F, Layout, Matrix, Order, Vector
from typednn_kernels.layout import running_moments, unit_count, weights
from typednn_kernels.operands import Epoch, OptimizerSteps

from typednn.backends import kernels
from typednn.errors import DivergenceError
from typednn.layers.storage import Storage
from typednn.layers.workspace import Workspace
from typednn.parallel import check_interrupt
from typednn.training.optimizer_state import OptimizerState
from typednn.training.optimizers import Optimizer
from typednn.training.samples import CheckedSamples

BATCH_SIZE = 32
"""The default number of samples per step."""

CHUNK_SECONDS = 0.05

MAX_SAMPLES_AT_ONCE = 1 << 16
"""Several epochs are trained in one call up to this number of samples, whose order and losses take memory."""


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

    def divergence(self, storage: Storage[F], epoch: int | None, step: int) -> DivergenceError:
        """Returns the error for the user, with `step` and, if there are epochs, `epoch` counted from 1."""
        place = f"step {step}" if epoch is None else f"step {step} of epoch {epoch}"
        larger = ", or a larger epsilon of the optimizer," if self.what == "steps" else ""
        state = f"the network is as it was before this step. A smaller learning rate{larger} helps"
        if not _all_finite(storage.parameters):
            state = (
                f"parameters are not finite since an earlier step, which {storage.dtype} cannot hold. "
                "clip_norm of the optimiser helps, or features scaled to about -1 … 1"
            )
        return DivergenceError(
            f"training diverged at {place}: {storage.layers[self.layer].name}, has "
            f"{self.what} that are not finite; {state}",
            epoch,
            step,
            self.layer,
        )


class Trainer(Generic[F]):
    """Makes the steps of an optimiser, chunk by chunk.

    Attributes:
        batch_size: the samples per step.
        workspace: has room for at least as many.
        chunk: the number of samples of a compiled call.
        done: the number of samples that the last `run` has trained.
        last_batch: the number of samples of the last step.

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
    done: int
    last_batch: int

    def __init__(self, storage: Storage[F], loss: int, batch_size: int, optimizer: Optimizer) -> None:
        self.storage, self.loss = storage, loss
        self.batch_size = self.last_batch = batch_size
        self.optimizer_state = OptimizerState(storage, optimizer)
        self.workspace = storage.new_workspace(batch_size)
        self._take_layout()
        self.gradient = storage.gradient
        self._order: Order = np.empty(0, np.int64)
        self._ordered = 0
        self.chunk, self.done = max(1, int(8e7 / (storage.parameters.size + 40_000))), 0  # 50 ms on NumPy

    def take_settings(self) -> None:
        """Takes up changed settings of layers: dropout, penalties, and whether they are trainable."""
        if self.layout is not self.storage.layout:
            self.optimizer_state.take_settings(self.storage)
            self._take_layout()

    def _take_layout(self) -> None:
        self.layout = self.workspace.layout = self.storage.layout
        self.drops: bool = self.storage.drops
        self._only_dense = self.storage.only_dense

    @property
    def key(self) -> int:
        """The random key that dropout and orders follow from, drawn when it is first needed.

        Raises:
            WiringError: a layer drops units, and no network gives the layers a generator.
        """
        state, random = self.optimizer_state, self.storage.random
        if state.key is None:
            state.key = self.storage.new_key() if random is None else int(random.integers(1 << 62))
        return state.key

    def resize(self, batch_size: int) -> None:
        """Sets the number of samples per step."""
        if batch_size > self.batch_size and batch_size > self._room:
            self.workspace = self.storage.new_workspace(batch_size)
        self.batch_size = batch_size

    @property
    def _room(self) -> int:
        """The number of samples that the workspace has memory for."""
        return self.workspace.h.size // unit_count(self.storage.layout)

    def epochs_at_once(self, samples: CheckedSamples[F]) -> int:
        """Returns how many epochs one call can train, at least 1."""
        if self.optimizer_state.may_divide_by_zero:
            return 1
        return max(1, min(self.chunk, samples.max_chunk, MAX_SAMPLES_AT_ONCE) // len(samples))

    def order(self, samples: int, epochs: int, shuffled: bool) -> Order:
        """Returns the order of the samples in the next epochs, `(epochs * samples,)`, until the next call."""
        count = epochs * samples
        if shuffled:
            if len(self._order) < count or self._ordered:
                self._order, self._ordered = np.empty(count, np.int64), 0
            order = self._order[:count]
            self._shuffle(samples, order)
            return order
        if len(self._order) < count or self._ordered != samples:
            self._order, self._ordered = np.tile(np.arange(samples), epochs), samples
        return self._order[:count]

    def _shuffle(self, samples: int, order: Order) -> None:
        """Draws the order of the samples in the next epochs."""
        key, step, steps_of_epoch = self.key, self.optimizer_state.step, -(-samples // self.batch_size)
        self.storage.running.kernels.shuffle(key, step, steps_of_epoch, samples, order)

    def run(
        self,
        samples: CheckedSamples[F],
        order: Order,
        losses: Vector[F],
        max_steps: int | None = None,
    ) -> Iterator[int]:
        """Trains with samples in a given order: that of one epoch, or of several that one call can train.

        Args:
            samples: the samples.
            order: their indices, `(n,)`.
            losses: receives the loss of each sample before the step that uses it, times its weight, `(n,)`.
            max_steps: the largest number of steps in a chunk of one epoch.

        Yields:
            The number of samples trained so far, after each chunk.

        Raises:
            NonFiniteStepError: a step is not finite; the network is as it was before this step.
            WiringError: a layer drops units and has no generator to draw from.
        """
        start, size, self.done, count = 0, self.batch_size, 0, len(order)
        self.storage.has_gradient = [False] * len(self.storage.layers)  # computed again when they are read
        while start < count:
            steps = -(-min(self.chunk, samples.max_chunk) // size)
            if max_steps is not None:
                steps = min(steps, max_steps)
            stop = count if count > len(samples) else min(start + steps * size, count)
            began = perf_counter()
            if stop - start == count:
                self._train(samples, order, losses, 0)
            else:
                self._train(samples, order[start:stop], losses[start:stop], start)
            elapsed = perf_counter() - began
            if 2 * (stop - start) >= self.chunk:
                self.chunk = max(1, int((stop - start) * min(8.0, CHUNK_SECONDS / max(elapsed, 1e-9))))
            start = stop
            yield start
            check_interrupt()

    def train(self, samples: CheckedSamples[F], losses: Vector[F]) -> None:
        """Makes one step with all samples, and shows it; otherwise as `run`.

        Raises:
            NonFiniteStepError, WiringError: as `run`.
        """
        for _ in self.run(samples, self.order(len(samples), 1, False), losses, 1):
            pass
        self.show()

    def try_step(self, batch: Epoch[F]) -> bool:
        """Makes one step with a checked batch, and shows it; returns whether it is finite, and so was made.

        It is `train` with less around it. A step that is not finite is to be repeated by `train`, which finds
        out why; so is each of an optimiser that may divide by 0.
        """
        state, size = self.optimizer_state, batch.batch_size
        self.take_settings()
        self.resize(size)
        made, key = False, self.key + state.step if self.drops else 0
        rate = self._online_rate(batch)
        if rate is not None:
            made = self._makes_online(batch, rate)
        elif not state.may_divide_by_zero:
            made = self._train_batches(batch, key, 1) == size
        if made:
            workspace = self.workspace
            state.step += 1
            self.last_batch, workspace.key = size, key
            self.show()
        return made

    def apply(self, gradient: Vector[F]) -> bool:
        """Makes the step of a gradient `(n_parameters,)`, unless it is not finite; returns whether it did."""
        self.take_settings()
        parameters, state = self.storage.parameters, self.optimizer_state
        checked = state.may_divide_by_zero
        saved = (parameters.copy(), state.states.copy()) if checked else None
        made = kernels(self.storage.dtype).apply_gradient(parameters, gradient, self.next_steps(1))
        if saved is not None and made and not _all_finite(parameters):
            parameters[...], state.states[...] = saved
            made = False
        state.step += made
        return made

    def show(self) -> None:
        """Makes the layers' attributes show the last step."""
        workspace = self.workspace
        if workspace.samples != self.last_batch:
            workspace.resize_batch(self.last_batch)
        workspace.complete_forward()
        workspace.complete_backward()
        self.storage.set_workspace(workspace)

    def _train(self, samples: CheckedSamples[F], order: Order, losses: Vector[F], before: int) -> None:
        """Trains one chunk, given the number of samples trained `before`."""
        x, t, sample_weights, indices = samples.take(order)
        self.make_steps(Epoch(x, t, sample_weights, indices, self.batch_size, losses, len(samples)), before)

    def make_steps(self, epoch: Epoch[F], before: int) -> None:
        """Makes the steps of one call, given the number of samples trained `before`."""
        self.take_settings()
        state, count, n, size = self.optimizer_state, len(epoch.order), epoch.length, epoch.batch_size
        key = self.key + state.step if self.drops else 0
        steps = count_steps(count, n, size)
        self.last_batch = (count - 1) % n % size + 1
        self.workspace.key = key + steps - 1
        online_rate = self._online_rate(epoch)
        first_step, done = state.step, 0
        epoch.losses.fill(nan)
        try:
            if online_rate is not None:
                done = self._train_online(epoch, online_rate)
            elif state.may_divide_by_zero:
                done = self._train_checked(epoch, key)
            else:
                done = self._train_batches(epoch, key, steps)
        except KeyboardInterrupt:  # which compiled code lets wait until it has ended
            done = count_finite(epoch.losses)
            raise
        finally:
            steps, self.done = steps if done == count else count_steps(done, n, size), before + done
            state.step = first_step + steps
        if done < count:
            raise self.nonfinite_step(epoch, before, done, key + steps)

    def nonfinite_step(self, epoch: Epoch[F], before: int, done: int, key: int) -> NonFiniteStepError:
        """Returns the error for the step after `done` samples of a call, given its key."""
        n = epoch.length
        batch = epoch.order[done : min(done + epoch.batch_size, done - done % n + n)]
        self.workspace.key = key
        return NonFiniteStepError(before + done, *self._locate_nonfinite(epoch.x[batch], epoch.t[batch]))

    def takes_batches(self, epoch: Epoch[F]) -> bool:
        """Says whether the kernel `train_batches` makes the steps, and finds those that are not finite."""
        return not self.optimizer_state.may_divide_by_zero and self._online_rate(epoch) is None

    def _online_rate(self, epoch: Epoch[F]) -> F | None:
        """Returns the learning rate of plain gradient descent with single samples, if that is to be done."""
        if epoch.batch_size != 1 or not self._only_dense or len(epoch.sample_weights):
            return None
        return self.optimizer_state.constant_sgd_rate

    def _train_online(self, epoch: Epoch[F], learning_rate: F) -> int:
        """Trains sample by sample; returns the number of steps before the first that is not finite.

        A chunk with a step that is not finite is trained again, in halves, up to the last good step.
        """
        count = len(epoch.order)
        if self._makes_online(epoch, learning_rate):
            return count

        def good(first: int, last: int) -> bool:
            part = epoch._replace(order=epoch.order[first:last], losses=epoch.losses[first:last])
            return self._makes_online(part, learning_rate)

        return _count_good(good, count)

    def _makes_online(self, epoch: Epoch[F], learning_rate: F) -> bool:
        """Makes the steps with single samples if all are finite; returns whether.

        The kernel updates upper layers before it knows the deltas of lower ones and cannot undo a step.
        """
        parameters, saved, run = self.storage.parameters, self.gradient, self.storage.running.kernels
        saved[...] = parameters
        run.train_online(parameters, self.layout, self.loss, epoch, learning_rate, self.workspace.vectors)
        losses = epoch.losses
        made = isfinite(losses[-1]) and self._is_finite(parameters)
        made = made and (len(losses) == 1 or self._is_finite(losses))
        if not made:
            parameters[...] = saved
        return made

    def _is_finite(self, vector: Vector[F]) -> bool:
        """Says whether a vector is finite, by a kernel that copies it, to itself, if it is."""
        copied = self.storage.running.kernels.try_copy_sample(vector, -inf, inf, vector.reshape(1, -1))
        return copied or _all_finite(vector)

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
            steps = count_steps(len(part.order), part.length, size)
            if self._train_batches(part, key + first, steps) == len(part.order) and _all_finite(parameters):
                return True
            parameters[...], state.states[...] = saved
            return False

        count = -(-len(epoch.order) // size)
        done = count if good(0, count) else _count_good(good, count)
        state.step = before
        return min(done * size, len(epoch.order))

    def _train_batches(self, epoch: Epoch[F], key: int, steps: int) -> int:
        """Trains batch by batch; returns the number of samples before the first whose loss is not finite."""
        storage = self.storage
        storage.running.kernels.train_batches(
            storage.parameters,
            self.layout,
            key,
            self.loss,
            epoch,
            self.next_steps(steps),
            self.workspace.vectors,
            self.gradient,
        )
        return len(epoch.order) if isfinite(epoch.losses[-1]) else count_finite(epoch.losses)

    def next_steps(self, steps: int) -> OptimizerSteps[F]:
        """Returns what the kernels need for the next steps."""
        return self.optimizer_state.next_steps(steps)

    def _locate_nonfinite(self, x: Matrix[F], t: Matrix[F]) -> tuple[int, str]:
        """Repeats a step that is not finite; returns the layer and the quantity where that begins.

        The layers' attributes show the step.
        """
        storage, work, run = self.storage, self.workspace, kernels(self.storage.dtype)
        layers, gradient = storage.layers, self.gradient
        parameters = storage.parameters.copy()  # a forward pass changes running moments
        losses: Vector[F] = np.empty(len(x), storage.dtype)
        self.last_batch = len(x)
        work.resize_batch(len(x))
        blocks, last = work.blocks, len(layers) - 1
        with np.errstate(all="ignore"):
            run.forward(parameters, self.layout, work.key, x, work.vectors)
            output = blocks[last]
            run.loss_value(self.loss, CODES[layers[last].actname], output.a, output.h, t, losses)
            run.backward(parameters, self.layout, work.key, self.loss, t, work.vectors, gradient)
            self.show()
            largest = [float(abs(weights(gradient, self.layout, k)).max(initial=0)) for k in range(last + 1)]
        moments = [running_moments(parameters, self.layout, k) for k in range(last + 1)]
        upwards, downwards = range(last + 1), range(last, 0, -1)
        suspects = [
            *((k, "activations", _all_finite(blocks[k].h)) for k in upwards),
            *((k, "running means and variances", _all_finite(moments[k])) for k in upwards),
            (last, "losses", _all_finite(losses)),
            *((k, "deltas", _all_finite(blocks[k].dLda)) for k in downwards),
            *((k, "gradients", isfinite(largest[k])) for k in downwards),
            (max(downwards, key=lambda k: largest[k]), "steps", False),
        ]
        return next((k, what) for k, what, finite in suspects if not finite)


def count_steps(samples: int, length: int, batch_size: int) -> int:
    """Counts the steps with some samples, of epochs of a length."""
    epochs, rest = divmod(samples, length)
    return epochs * -(-length // batch_size) + -(-rest // batch_size)


def _count_good(good: Callable[[int, int], bool], count: int) -> int:
    """Counts the steps before the first that is not finite, of some that are not all good.

    `good(first, last)` makes the steps from `first` to below `last`, or none; it returns whether it did.
    """
    done, bad = 0, count
    while done + 1 < bad:
        middle = (done + bad) // 2
        if good(done, middle):
            done = middle
        else:
            bad = middle
    return done


def count_finite(losses: Vector[F]) -> int:
    """Counts the losses before the first that is not finite."""
    if _all_finite(losses):
        return len(losses)
    return int(np.isfinite(losses).argmin())


def _all_finite(array: NDArray[F]) -> bool:
    return bool(np.isfinite(array).all())

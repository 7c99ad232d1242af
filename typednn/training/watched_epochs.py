"""What an epoch consists of that something watches, prepared once: its steps, and the evaluation of samples.

Little Python surrounds the calls to the kernels then.
"""

from __future__ import annotations

from math import isfinite, nan
from typing import Generic, TypeAlias

import numpy as np
from typednn_kernels.arrays import F, Matrix, Vector
from typednn_kernels.layout import block
from typednn_kernels.operands import Epoch, Workspace

from typednn.layers import OutputLayer
from typednn.parallel import check_interrupt
from typednn.training.samples import CheckedSamples
from typednn.training.trainer import Trainer, count_finite, count_steps

EVALUATION_CHUNK = 1024
"""The number of samples that are evaluated at a time, so that activations take little memory."""

Operands: TypeAlias = tuple[Matrix[F], Matrix[F], Vector[F], Workspace[F], Vector[F]]
"""The last operands of `Kernels.evaluate`: samples, targets, weights, workspace, losses."""


class ShortEpoch(Generic[F]):
    """Trains one epoch after another, each with one call to the kernels.

    Attributes:
        length: the number of samples.
        batch_size: the samples per step.
        step_losses: the loss of each sample of the last step, `(n_samples,)`.
    """

    length: int
    batch_size: int
    step_losses: Vector[F]

    def __init__(self, trainer: Trainer[F], epoch: Epoch[F], shuffled: bool) -> None:
        self._trainer, self._epoch, self._shuffled = trainer, epoch, shuffled
        self.length, self.batch_size = n, size = epoch.length, epoch.batch_size
        self._steps, self._last_batch = count_steps(n, n, size), (n - 1) % size + 1
        self.step_losses = epoch.losses[n - self._last_batch :]
        self._look_at_settings()

    def _look_at_settings(self) -> None:
        """Notes what decides how the steps are made, which a callback may change."""
        trainer = self._trainer
        trainer.take_settings()
        self._layout, self._optimizer = trainer.layout, trainer.optimizer_state.optimizer
        self._takes_batches, self._drops = trainer.takes_batches(self._epoch), trainer.drops

    def train(self) -> float:
        """Trains an epoch, in an order of its own if it is shuffled, and shows it.

        Returns:
            The sum of the losses of all samples.

        Raises:
            NonFiniteStepError, WiringError: as `Trainer.run`.
        """
        trainer, epoch = self._trainer, self._epoch
        storage, state = trainer.storage, trainer.optimizer_state
        run = storage.running.kernels
        if self._shuffled:
            run.shuffle(trainer.key, state.step, self._steps, self.length, epoch.order)
        if storage.layout is not self._layout or state.optimizer is not self._optimizer:
            self._look_at_settings()
        if self._takes_batches:
            total = self._train_batches()
        else:
            trainer.make_steps(epoch, 0)
            total = storage.total_loss(epoch.losses)
        trainer.show()
        check_interrupt()
        return total

    def _train_batches(self) -> float:
        """Makes steps as `Trainer.make_steps` does with batches, and returns the sum of the losses."""
        trainer, epoch, steps, total = self._trainer, self._epoch, self._steps, nan
        storage, state, workspace = trainer.storage, trainer.optimizer_state, trainer.workspace
        run, losses, first = storage.running.kernels, epoch.losses, state.step
        key = trainer.key + first if self._drops else 0
        trainer.last_batch, workspace.key = self._last_batch, key + steps - 1
        losses.fill(nan)
        try:
            run.train_batches(
                storage.parameters,
                self._layout,
                key,
                trainer.loss,
                epoch,
                trainer.next_steps(steps),
                workspace.vectors,
                trainer.gradient,
            )
            total = storage.total_loss(losses)
        finally:
            done = self.length if isfinite(total) else count_finite(losses)  # the sum may overflow
            if done < self.length:
                steps = count_steps(done, self.length, self.batch_size)
            state.step = first + steps
        if done < self.length:
            raise trainer.nonfinite_step(epoch, 0, done, key + steps)
        return total


def short_epoch(trainer: Trainer[F], samples: CheckedSamples[F], shuffled: bool) -> ShortEpoch[F] | None:
    """Returns what trains another epoch of samples after one that `Trainer.run` has trained.

    It is None where an epoch takes half a chunk or more: it might not end in one call.
    """
    n = len(samples)
    if 2 * n >= min(trainer.chunk, samples.max_chunk) or samples.unchecked:
        return None
    x, t, sample_weights, order = samples.take(trainer._order[:n])
    losses: Vector[F] = np.empty(n, trainer.storage.dtype)
    return ShortEpoch(trainer, Epoch(x, t, sample_weights, order, trainer.batch_size, losses, n), shuffled)


class Evaluation(Generic[F]):
    """Evaluates samples as often as asked, in memory that is allocated once.

    Args:
        output: the output layer of the network.
        samples: the samples.

    Attributes:
        count: the number of samples.
    """

    samples: CheckedSamples[F]
    count: int

    def __init__(self, output: OutputLayer[F], samples: CheckedSamples[F]) -> None:
        self._output, self._storage, self.samples, self.count = output, output._storage, samples, len(samples)
        workspace = self._storage.new_workspace(min(self.count, EVALUATION_CHUNK))
        a, h, x, t = workspace.a, workspace.h, samples.x.whole, samples.t.whole
        self._workspace = Workspace(a, h, h, a)  # an evaluation does not look at the last two
        self._losses: Vector[F] = np.empty(self.count, self._storage.dtype)
        self._whole: Operands[F] | None = None
        if 0 < self.count <= EVALUATION_CHUNK and x is not None and t is not None and not samples.unchecked:
            self._whole = x, t, samples.weights, self._workspace, self._losses

    def total_loss(self) -> float:
        """Computes the sum of the losses of all samples, each times its weight."""
        whole, storage = self._whole, self._storage
        if whole is None:
            self._evaluate(None)
        else:
            evaluate, loss = storage.running.kernels.evaluate, self._output._loss_code
            evaluate(storage.parameters, storage.layout, loss, *whole)
        return storage.total_loss(self._losses)

    def losses_and_outputs(self) -> tuple[Vector[F], Matrix[F]]:
        """Computes the loss of each sample, times its weight, and the outputs, both new arrays."""
        outputs: Matrix[F] = np.empty((self.count, self._output.length), self._storage.dtype)
        self._evaluate(outputs)
        return self._losses.copy(), outputs

    def _evaluate(self, outputs: Matrix[F] | None) -> None:
        """Evaluates samples chunk by chunk."""
        samples, storage, loss, workspace = (
            self.samples,
            self._storage,
            self._output._loss_code,
            self._workspace,
        )
        run, parameters, layout, weights = (
            storage.running.kernels,
            storage.parameters,
            storage.layout,
            samples.weights,
        )
        for x, t, chunk in samples.chunks(EVALUATION_CHUNK) if self.count else ():
            run.evaluate(parameters, layout, loss, x, t, weights[chunk], workspace, self._losses[chunk])
            if outputs is not None:
                outputs[chunk] = block(workspace.h, layout, len(layout) - 1, len(t))

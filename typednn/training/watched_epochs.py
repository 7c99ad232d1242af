"""What an epoch consists of that something watches, prepared once: its steps, and the evaluation of samples.

Little Python surrounds the calls to the kernels then.
"""

from __future__ import annotations

from math import isfinite, nan
from typing import Generic, TypeAlias

import numpy as np
from typednn_kernels.arrays import F, Matrix, Vector
from typednn_kernels.layout import block
from typednn_kernels.losses import MAX_SUMMED
from typednn_kernels.operands import Epoch, Workspace

from typednn.layers import OutputLayer
from typednn.layers.storage import total_of
from typednn.parallel import check_interrupt
from typednn.training.metrics import Measure
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
        self._trainer, self._epoch, self._storage = trainer, epoch, trainer.storage
        self._state, self._workspace = trainer.optimizer_state, trainer.workspace
        self._order_key = trainer.key if shuffled else -1
        self.length, self.batch_size = n, size = epoch.length, epoch.batch_size
        self._steps, self._last_batch = count_steps(n, n, size), (n - 1) % size + 1
        self.step_losses = epoch.losses[n - self._last_batch :]
        self._look_at_settings()

    def _look_at_settings(self) -> None:
        """Notes what decides how the steps are made, which a callback may change."""
        trainer = self._trainer
        trainer.take_settings()
        self._layout, self._optimizer = trainer.layout, self._state.optimizer
        self._takes_batches, self._drops = trainer.takes_batches(self._epoch), trainer.drops

    def train(self) -> float:
        """Trains an epoch, in an order of its own if it is shuffled, and shows it.

        Returns:
            The sum of the losses of all samples.

        Raises:
            NonFiniteStepError, WiringError: as `Trainer.run`.
        """
        trainer, epoch, storage, state = self._trainer, self._epoch, self._storage, self._state
        if storage.layout is not self._layout or state.optimizer is not self._optimizer:
            self._look_at_settings()
        if self._takes_batches:
            total = self._train_batches()
        else:
            if self._order_key >= 0:
                run = storage.running.kernels
                run.shuffle(self._order_key, state.step, self._steps, self.length, epoch.order)
            trainer.make_steps(epoch, 0)
            total = storage.total_loss(epoch.losses)
        trainer.show()
        check_interrupt()
        return total

    def _train_batches(self) -> float:
        """Makes steps as `Trainer.make_steps` does with batches, and returns the sum of the losses."""
        trainer, epoch, storage, state = self._trainer, self._epoch, self._storage, self._state
        workspace, losses, steps, first, total = self._workspace, epoch.losses, self._steps, state.step, nan
        key = trainer.key + first if self._drops else 0
        trainer.last_batch, workspace.key = self._last_batch, key + steps - 1
        losses[0] = nan  # which says that no step has been made
        try:
            total = storage.running.kernels.train_epoch(
                storage.parameters,
                self._layout,
                self._order_key,
                first,
                key,
                trainer.loss,
                epoch,
                state.next_steps(steps),
                workspace.vectors,
                trainer.gradient,
            )
            if self.length > MAX_SUMMED:
                total = total_of(losses)
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
        measure: computes the metrics.

    Attributes:
        count: the number of samples.
        losses: the loss of each sample, times its weight, `(n_samples,)`, of the last evaluation.
    """

    samples: CheckedSamples[F]
    count: int
    losses: Vector[F]

    def __init__(self, output: OutputLayer[F], samples: CheckedSamples[F], measure: Measure) -> None:
        self._output, self._storage, self.samples, self.count = output, output._storage, samples, len(samples)
        workspace = self._storage.new_workspace(min(self.count, EVALUATION_CHUNK))
        a, h, x, t = workspace.a, workspace.h, samples.x.whole, samples.t.whole
        self._workspace = Workspace(a, h, h, a)  # an evaluation does not look at the last two
        self.losses = np.empty(self.count, self._storage.dtype)
        self._whole: Operands[F] | None = None
        self._outputs: Matrix[F] | None = None
        if 0 < self.count <= EVALUATION_CHUNK and x is not None and t is not None and not samples.unchecked:
            self._whole = x, t, samples.weights, self._workspace, self.losses
            self._outputs = workspace.output
        self._measured = measure.of(samples.y, samples.weights) if measure.names else None
        self._copies = bool(measure.functions)

    def loss_and_metrics(self) -> tuple[float, dict[str, float]]:
        """Computes the mean loss of all samples, each times its weight, and the metrics."""
        if self._measured is None:
            return self.total_loss() / self.count, {}
        outputs = self.outputs()
        metrics = self._measured(outputs.copy() if self._copies else outputs)  # which users may keep
        return self._storage.total_loss(self.losses) / self.count, metrics

    def total_loss(self) -> float:
        """Computes the sum of the losses of all samples, each times its weight."""
        self._evaluate(None)
        return self._storage.total_loss(self.losses)

    def outputs(self) -> Matrix[F]:
        """Computes losses and outputs, `(n_samples, n_outputs)`, which the next evaluation overwrites."""
        if self._outputs is None:
            self._outputs = np.empty((self.count, self._output.length), self._storage.dtype)
        self._evaluate(self._outputs)
        return self._outputs

    def _evaluate(self, outputs: Matrix[F] | None) -> None:
        """Evaluates all samples by one call to the kernels, or chunk by chunk."""
        storage, loss = self._storage, self._output._loss_code
        evaluate, parameters, layout = storage.running.kernels.evaluate, storage.parameters, storage.layout
        if self._whole is not None:
            evaluate(parameters, layout, loss, *self._whole)
            return
        samples, workspace = self.samples, self._workspace
        for x, t, chunk in samples.chunks(EVALUATION_CHUNK) if self.count else ():
            evaluate(parameters, layout, loss, x, t, samples.weights[chunk], workspace, self.losses[chunk])
            if outputs is not None:
                outputs[chunk] = block(workspace.h, layout, len(layout) - 1, len(t))

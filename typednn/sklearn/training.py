"""A training whose epochs are scikit-learn's passes over the samples."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from typednn_kernels.arrays import Vector

from typednn.sklearn.passes import Passes
from typednn.training.fit import Fit
from typednn.training.progress import Bar
from typednn.training.trainer import NonFiniteStepError

Real: TypeAlias = np.float32 | np.float64


class Training(Fit[Real]):
    """Trains with the parts of each epoch that `Passes` yields.

    Attributes:
        passes: the passes.
    """

    passes: Passes
    losses: Vector[Real]
    step: int
    total: float
    count: int
    step_losses: Vector[Real]

    def run(self, bar: Bar) -> None:
        """Trains; an exception leaves layers and history as after the last step and epoch that ended."""
        epoch, first_step = self.epoch, self.global_step
        self.losses = np.empty(self.passes.count, self.storage.dtype)
        try:
            while epoch < self.epochs and not self.stopped:
                self._make_pass(epoch)
                self._record()
                epoch = self.epoch
                self._call_after_epoch(bar)
            for callback in self.callbacks:
                callback.on_end(self)
        except BaseException as error:
            self.history._truncate(epoch)
            if self.global_step > first_step:
                self.trainer.show()
            for callback in self.callbacks:
                callback.on_exception(self, error)
            raise

    def _make_pass(self, epoch: int) -> None:
        passes, trainer, size = self.passes, self.trainer, self.passes.batch_size
        max_steps = 1 if self.each_step else None
        trainer.resize(size)
        self.step, self.total, self.count = 0, 0.0, 0
        for first, last in passes.parts():
            losses: Vector[Real] = self.losses[first:last]
            before, done = self.step, 0
            try:
                for done in trainer.run(passes.samples, passes.order[first:last], losses, max_steps):
                    self.step = before - (-done // size)
                    self.step_losses = losses[done - (done - 1) % size - 1 : done]
                    for callback in self.each_step:
                        trainer.show()
                        callback.on_batch(self)
                    if self.stopped:
                        break
            except NonFiniteStepError as bad:
                raise bad.divergence(self.storage, epoch + 1, before + bad.sample // size + 1) from None
            self.total += float(losses[:done].sum(dtype=np.float64))
            self.count += done
            if self.stopped:
                break
        trainer.show()

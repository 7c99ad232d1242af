"""A training whose epochs are scikit-learn's passes over the samples."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from typednn_kernels.arrays import Vector

from typednn.plotting.progress import Bar
from typednn.sklearn.passes import Passes
from typednn.sklearn.penalty import Penalty
from typednn.sklearn.stopping import Stopping
from typednn.training.fit import Fit
from typednn.training.trainer import NonFiniteStepError

Real: TypeAlias = np.float32 | np.float64


class Training(Fit[Real]):
    """Trains the epochs of `Passes`, several in one call where nothing can happen between them.

    Attributes:
        passes: the passes.
        stopping: what looks at each epoch, after the call that trained it.
        penalty: the penalty of the weights, or None.
    """

    __slots__ = ("passes", "penalty", "stopping")

    passes: Passes
    stopping: Stopping
    penalty: Penalty | None
    ended: int
    _step: int
    step_losses: Vector[Real]
    total: float
    count: int

    def begin(self) -> None:
        """Calls the callbacks before the first step, without a warning of large features."""
        for callback in self.callbacks:
            callback.on_begin(self)

    def run(self, bar: Bar) -> None:
        """Trains; an exception leaves layers and history as after the last step and epoch that ended."""
        self.ended, first_step = self.epoch, self.global_step
        try:
            while self.ended < self._epochs and not self.stopped:
                self._train_epochs(self._epochs_at_once(), bar)
            for callback in self.callbacks:
                callback.on_end(self)
        except BaseException as error:
            self._history._truncate(self.ended)
            if self.global_step > first_step:
                self.trainer.show()
            for callback in self.callbacks:
                callback.on_exception(self, error)
            raise

    @property
    def is_watched(self) -> bool:
        """Whether something besides `stopping` happens between epochs."""
        looks = self.each_epoch != [self.stopping] or bool(self.each_step) or self.trained is not None
        return looks or self.trainer.optimizer_state.observes or not self.passes.may_be_joined

    def _epochs_at_once(self) -> int:
        count = min(self._epochs - self.ended, self.stopping.epochs_to_come)
        if count <= 1 or self.is_watched:
            return 1
        if self.penalty is not None:
            count = min(count, self.penalty.joint_steps // len(self.passes.counts))
        return max(1, int(min(count, self.trainer.epochs_at_once(self.passes.samples))))

    def _train_epochs(self, epochs: int, bar: Bar) -> None:
        passes, trainer, penalty, size = self.passes, self.trainer, self.penalty, self.passes.batch_size
        order = passes.draw(epochs)
        losses: Vector[Real] = np.empty(len(order), self.storage.dtype)
        squares: list[Vector[np.float64]] = []
        max_steps = 1 if self.each_step else None
        trainer.resize(size)
        if penalty is not None:
            penalty.set_totals(passes.totals, epochs)
        self._step = done = first = 0
        try:
            while first < len(order):
                stop, began = len(order), self.global_step
                if penalty is not None and epochs == 1:
                    stop = min(stop, first + penalty.stride * size)
                try:
                    for part in trainer.run(passes.samples, order[first:stop], losses[first:stop], max_steps):
                        self._call_after_steps(losses[: first + part])
                        if self.stopped:
                            break
                finally:
                    done, first = first + trainer.done, stop
                    if penalty is not None:
                        squares.append(penalty.before_steps(self.global_step - began))
                if self.stopped:
                    break
        except NonFiniteStepError as bad:
            self._end_epochs(losses[:done], squares)
            step = done % passes.count // size + 1
            raise bad.divergence(self.storage, self.ended + 1, step) from None
        except KeyboardInterrupt:
            self._end_epochs(losses[:done], squares)
            raise
        self._end_epochs(losses[:done], squares)

    def _call_after_steps(self, losses: Vector[Real]) -> None:
        size, in_epoch = self.passes.batch_size, (len(losses) - 1) % self.passes.count + 1
        self._step = -(-in_epoch // size)
        self.step_losses = losses[len(losses) - (in_epoch - 1) % size - 1 :]
        for callback in self.each_step:
            self.trainer.show()
            callback.on_batch(self)

    def _end_epochs(self, losses: Vector[Real], squares: list[Vector[np.float64]]) -> None:
        """Records the epochs that have ended, or the part of one after which a callback stops the training.

        Args:
            losses: of the samples that were trained.
            squares: alpha / 2 · ΣW² before the steps.
        """
        passes, n = self.passes, min(self.passes.count, len(losses))
        ended = 1 if self.stopped else len(losses) // passes.count
        if ended == 0:
            return
        self.trainer.show()
        totals: list[float] = losses[: ended * n].reshape(ended, n).sum(axis=1, dtype=np.float64).tolist()
        penalties = [0.0] * ended
        if self.penalty is not None:
            penalties = self.penalty.means(np.concatenate(squares), ended, passes.counts)
        self.count = n
        for self.total, passes.penalty in zip(totals, penalties, strict=True):
            self._record()
            self.ended = self.epoch
            for callback in self.each_epoch:
                callback.on_epoch(self)

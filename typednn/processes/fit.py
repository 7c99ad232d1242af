"""The loop of `fit` on several ranks: as that of one, but that sums are those of all ranks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Generic

import numpy as np
from typednn_kernels.arrays import F, Order, Vector

from typednn.errors import DataError, DivergenceError
from typednn.layers import OutputLayer
from typednn.names import MetricName
from typednn.parallel import check_interrupt
from typednn.plotting.progress import Bar
from typednn.processes.batch_gradient import BatchGradient
from typednn.processes.batch_parts import MOVED_PARAMETERS, BatchPart, Moves, moves_of
from typednn.processes.ranks import Part, Ranks, digest
from typednn.training.batches import ArraySource, BatchSource
from typednn.training.callbacks import CallbackLike
from typednn.training.fit import Fit
from typednn.training.history import History
from typednn.training.metrics import MetricFunction
from typednn.training.samples import CheckedSamples
from typednn.training.trainer import Trainer
from typednn.training.watched_epochs import Evaluation


class SharedFit(Fit[F], Generic[F]):
    """A training of which each rank has some samples.

    Attributes:
        ranks: the ranks.
        part: this rank's part of the training samples of an epoch; None for batches of an iterable.
        held_part: this rank's part of the validation samples.
        weighted: whether training and validation samples have weights.
        settings: what must be the same on all ranks, by name.
    """

    __slots__ = ("gradient", "held_part", "part", "ranks", "settings", "weighted")

    ranks: Ranks
    part: Part | None
    held_part: Part
    weighted: tuple[bool, bool]
    settings: dict[str, object]
    gradient: BatchGradient[F]
    stopped: bool
    _step: int
    total: float
    count: int
    step_losses: Vector[F]
    first_loss: float | None

    def __init__(
        self,
        output: OutputLayer[F],
        source: ArraySource[F] | BatchSource[F],
        batch_size: int | None,
        trained: CheckedSamples[F] | None,
        held_out: CheckedSamples[F] | None,
        metrics: Sequence[MetricName | MetricFunction],
        epochs: int,
        trainer: Trainer[F],
        callbacks: Sequence[CallbackLike],
        on_epoch: Callable[[History], None] | None,
        *,
        ranks: Ranks,
        part: Part | None,
        held_part: Part,
        weighted: tuple[bool, bool],
        settings: dict[str, object],
    ) -> None:
        super().__init__(
            *(output, source, batch_size, trained, held_out, metrics, epochs, trainer, callbacks, on_epoch)
        )
        self.ranks, self.part, self.held_part, self.settings = ranks, part, held_part, settings
        self.weighted = weighted
        self.gradient = BatchGradient(output, trainer, ranks, part is None)

    @property
    def rank(self) -> int:
        """The number of this process."""
        return self.ranks.rank

    @property
    def is_watched(self) -> bool:
        """True: each epoch is a call of its own."""
        return True

    def begin(self) -> None:
        """Calls the callbacks; then checks that all ranks begin in the same way.

        Raises:
            SettingError: they do not.
        """
        super().begin()
        self.stopped = self.ranks.agree(self.stopped)
        keeps_last = self.ranks.agree(bool(self.each_step)) or self.part is None
        self.ranks.check_same({**self.settings, **self._state()})
        self.gradient.allocate(keeps_last)

    def _state(self) -> dict[str, object]:
        """Returns what the training has come to, by name."""
        storage, state = self.storage, self.trainer.optimizer_state
        names = (layer.name for layer in storage.layers)
        return {
            "the network": [*names, storage.dtype.name, storage.layout.tolist(), self.output.lossfnname],
            "the optimizer": state.optimizer,
            "the learning rate": state.learning_rate,
            "the seed of the network, or its generator's state,": repr(
                self.random.bit_generator.state
            ).encode(),
            "the initial parameters, or the checkpoint,": storage.parameters,
            "the state of the optimizer, or the checkpoint,": repr(
                (state.step, state.schedule_state, state.key, digest(state.states))
            ).encode(),
            "the number of epochs that have ended": self.epoch,
        }

    def run(self, bar: Bar) -> None:
        """Trains; at the end all ranks have the same parameters, and none has failed."""
        super().run(bar)
        self._agree()

    def _agree(self) -> None:
        """Makes the ranks stop together, and checks that they have the same parameters."""
        self.stopped = self.ranks.agree(self.stopped)
        self.ranks.check_same(
            {
                "the parameters, which callbacks of one rank alone must not change,": self.storage.parameters,
                "the learning rate": self.learning_rate,
            }
        )

    def _train_epochs(self, epochs: int, bar: Bar) -> None:
        """Trains an epoch."""
        self._step, self.total, self.count = 0, 0.0, 0
        own = 0.0
        parts = self._parts()
        self.gradient.prepare()
        for part in parts:
            if not self.gradient.compute(part, self.stopped):
                break
            if part.is_last:
                self.ranks.expect(1, np.dtype(np.float64))
            self._make_step()
            own += self.gradient.losses.sum(dtype=np.float64)
            bar.show(self.ended, self.count)
            for callback in self.each_step:
                self.gradient.show()
                callback.on_batch(self)
            check_interrupt()
        total = self.ranks.expect(1, np.dtype(np.float64))
        total[...] = own
        self.ranks.add_up()
        self.total = float(total[0])
        if not self.count:
            raise DataError("Network: no rank has batches")
        self.gradient.show()

    def _make_step(self) -> None:
        gradient = self.gradient
        if not gradient.apply():
            raise DivergenceError(
                f"training diverged at step {self._step + 1} of epoch {self.ended + 1}: losses, running "
                "moments or gradients of the whole batch are not finite; the network is as it was before "
                "this step. A smaller learning rate helps",
                self.ended + 1,
                self._step + 1,
            )
        self._step += 1
        self.count += gradient.count
        self.step_losses = np.full(1, gradient.loss / gradient.count, self.storage.dtype)
        if self.first_loss is None:
            self.first_loss = gradient.loss / gradient.count

    def _parts(self) -> Iterator[BatchPart[F]]:
        """Returns this rank's parts of the batches of an epoch; says how many samples are moved at most."""
        if isinstance(self.source, BatchSource):
            assert self.part is None
            return self._parts_of_batches(self.source)
        part, size, trainer, count = self.part, self.batch_size, self.trainer, self.ranks.size
        assert size is not None
        assert part is not None
        trainer.batch_size = size
        order = trainer.order(part.total, 1, self.source.shuffled)
        batches = -(-part.total // size)
        moves: Sequence[Moves | None] = [None] * batches
        if count > 1 and self.storage.gradient.size >= MOVED_PARAMETERS:
            owners = np.searchsorted(part.firsts, order, "right") - 1
            owners += np.arange(part.total) // size * count
            counts = np.bincount(owners, minlength=batches * count).reshape(batches, count)
            moved, moves = moves_of(counts, self.rank)
            few = moved * self.gradient.moved_width <= self.storage.gradient.size
            self.gradient.moved = moved if few else 0
        return self._parts_of_order(self.source.samples, order - part.first, moves)

    def _parts_of_order(
        self, samples: CheckedSamples[F], local: Order, moves: Sequence[Moves | None]
    ) -> Iterator[BatchPart[F]]:
        """Yields the parts of batches in an order of all samples, counted from the first of this rank."""
        part, size = self.part, self.batch_size
        assert size is not None
        assert part is not None
        mine = np.flatnonzero((local >= 0) & (local < part.size))
        starts = np.arange(0, part.total, size)
        bounds = [*np.searchsorted(mine, starts).tolist(), len(mine)]
        for k, start in enumerate(starts.tolist()):
            places = mine[bounds[k] : bounds[k + 1]]
            x, t, weights, rows = samples.take(local[places])
            yield BatchPart(
                x.take(rows, 0),
                t.take(rows, 0),
                weights.take(rows) if len(weights) else weights,
                places - start,
                min(size, part.total - start),
                start + size >= part.total,
                moves[k],
            )

    def _parts_of_batches(self, source: BatchSource[F]) -> Iterator[BatchPart[F]]:
        """Yields the batches of an iterable, and then empty ones: the epoch ends when no rank has any."""
        source.may_be_empty = source.consumed == 0
        for samples in source.epoch(self.ended):
            rows = slice(len(samples))
            weights = samples.weights
            is_last = self._step + 1 == source.steps
            yield BatchPart(samples.x.take(rows), samples.t.take(rows), weights, None, None, is_last)
        lengths, dtype = (source.format.inputs, source.format.outputs), self.storage.dtype
        x, t = (np.empty((0, n), dtype) for n in lengths)
        while source.steps is None or self._step < source.steps:
            yield BatchPart(x, t, self.storage.no_weights, None, None, self._step + 1 == source.steps)

    def _call_after_epoch(self, bar: Bar) -> None:
        super()._call_after_epoch(bar)
        if self.ended < self._epochs:  # else `run` does it, after the last callbacks
            self._agree()

    def _evaluate(self, evaluation: Evaluation[F]) -> tuple[float, dict[str, float]]:
        """Computes the mean loss and the metrics of the samples of all ranks."""
        samples = evaluation.samples
        part = self.held_part if samples is self.held_out else self.part
        assert part is not None
        weighted, y, dtype = self.weighted[samples is self.held_out], samples.y, self.storage.dtype
        width, columns = self.output.length, y.shape[1] if y.ndim == 2 else 1
        if not self.measure.names:
            total = self.ranks.expect(1, np.dtype(np.float64))
            total[...] = evaluation.total_loss()
            self.ranks.add_up()
            return float(total[0]) / part.total, {}
        rows, mine = self.ranks.expect_rows(part, 1 + width + columns + weighted)
        mine[:, 1 : 1 + width], mine[:, 0] = evaluation.outputs(), evaluation.losses
        mine[:, 1 + width : 1 + width + columns] = y.reshape(-1, columns)
        if weighted:
            mine[:, -1] = samples.weights
        self.ranks.add_up()
        targets = rows[:, 1 + width : 1 + width + columns].astype(y.dtype).reshape(-1, *y.shape[1:])
        weights = rows[:, 1 + width + columns :].astype(dtype).reshape(-1)
        metrics = self.measure(targets, rows[:, 1 : 1 + width].astype(dtype), weights)
        return float(rows[:, 0].mean()), metrics


class AveragedFit(SharedFit[F]):
    """A training in which each rank makes steps of its own, and all are averaged after each epoch."""

    __slots__ = ()

    _step: int
    total: float
    count: int

    def _train_epochs(self, epochs: int, bar: Bar) -> None:
        """Trains an epoch of this rank's samples, and averages."""
        state, parameters = self.trainer.optimizer_state, self.storage.parameters
        before = state.step
        self._step, self.total, self.count = 0, 0.0, 0
        size = parameters.size + state.states.size
        vector = self.ranks.expect(size + 3, np.dtype(np.float64))
        if isinstance(self.source, BatchSource):
            self.source.may_be_empty = self.source.consumed == 0
        if self.part is None or self.part.size:
            super(SharedFit, self)._train_epochs(1, bar)  # as one process does
        vector[: parameters.size] = parameters
        vector[parameters.size : size] = state.states.reshape(-1)
        vector *= self.count
        vector[size:] = self.count, self.total, self._step
        self.ranks.add_up()
        self.count, self.total = int(vector[size]), float(vector[size + 1])
        vector[:size] /= self.count
        parameters[...] = vector[: parameters.size]
        state.states[...] = vector[parameters.size : size].reshape(state.states.shape)
        state.step = before + round(vector[size + 2] / self.ranks.size)

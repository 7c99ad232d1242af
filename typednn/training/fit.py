"""The loop of `Network.fit`: epochs, validation, metrics, callbacks and the progress bar."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from math import nan
from typing import Generic, cast

import numpy as np
from numpy.typing import NDArray
from typednn_kernels.arrays import F, Vector
from typednn_kernels.losses import LOSSES
from typednn_kernels.normalizations import BATCH, settings_of

from typednn.errors import DataError, SettingError
from typednn.layers import AnyLayer, NormalizationLayer, OutputLayer
from typednn.layers.storage import Storage, total_of
from typednn.names import MetricName
from typednn.plotting.progress import Bar
from typednn.training.batches import ArraySource, BatchSource
from typednn.training.callbacks import Arrays, Callback, CallbackLike, Run, RunState, check_state
from typednn.training.history import VALIDATION, History
from typednn.training.metrics import Measure, MetricFunction
from typednn.training.optimizer_state import ASSIGNED_RATE, OPTIONAL
from typednn.training.samples import CheckedSamples
from typednn.training.trainer import NonFiniteStepError, Trainer
from typednn.training.watched_epochs import Evaluation, ShortEpoch, short_epoch
from typednn.validation.settings import check_count, check_sequence

LARGE_FEATURE = 1e4
"""Features of this size or more earn a warning: gradients grow with them, and steps overshoot."""

SEEN_FEATURES = 1 << 18
"""Number of features, at most, that are looked at for that; in fewer none is left out."""

GROWN_LOSS = 1e6
"""A loss of this many times that of the first step earns a warning."""


class Fit(Run, Generic[F]):
    """A training, from its first step to its last.

    Attributes:
        trainer: what makes the steps.
        batch_size: the samples per step, or None where each batch of the source is a step.
        trained: the training samples, where metrics of them may be computed.
        held_out: the validation samples.
        evaluations: what evaluates training and validation samples after an epoch, where it is done.
        callbacks: the callbacks in the order of their calls, those with `comes_last` after the others.
        on_epoch: a function that is called with the history before the callbacks.
        looks_at_losses: whether something is to be computed of the losses or outputs after each epoch.
        ended: the number of epochs that have ended, with all that follows an epoch.
        short_epoch: what trains one more epoch, if that is a single, short call.
    """

    __slots__ = (
        *("batch_size", "callbacks", "count", "each_epoch", "each_step", "ended", "evaluations"),
        *("first_loss", "held_out", "looks_at_losses", "losses", "measure", "on_epoch", "output"),
        *("short_epoch", "source", "step_losses", "stopped", "storage", "total", "trained", "trainer"),
    )

    output: OutputLayer[F]
    storage: Storage[F]
    trainer: Trainer[F]
    source: ArraySource[F] | BatchSource[F]
    batch_size: int | None
    trained: CheckedSamples[F] | None
    held_out: CheckedSamples[F] | None
    measure: Measure
    callbacks: list[Callback]
    on_epoch: Callable[[History], None] | None
    each_step: list[Callback]
    each_epoch: list[Callback]
    ended: int
    step_losses: Vector[F]
    stopped: bool
    total: float
    count: int

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
    ) -> None:
        check_count("epochs", epochs, 1)
        check_sequence("metrics", metrics)
        check_sequence("callbacks", callbacks)
        if on_epoch is not None and not callable(on_epoch):
            raise SettingError(f"on_epoch must be a function that takes the history, not {on_epoch!r}")
        storage, loss = output._storage, output._loss_code
        self.output, self.storage, self.source, self.batch_size = output, storage, source, batch_size
        self.trained, self.held_out, self._epochs = trained, held_out, int(epochs)
        self.trainer = trainer
        self.measure = Measure(metrics, output.actname, LOSSES[loss], output.length)
        for samples in (trained, held_out):
            if samples:
                self.measure.check(samples.y)
        self.callbacks = sorted(_checked(callbacks), key=lambda callback: callback.comes_last)
        self.on_epoch, self._history = on_epoch, History()
        self.each_step = [one for one in self.callbacks if type(one).on_batch is not Callback.on_batch]
        self.each_epoch = [one for one in self.callbacks if type(one).on_epoch is not Callback.on_epoch]
        names = ("loss", *self.measure.names)
        self._curves = (*(names if trained is not None else names[:1]),)
        if held_out is not None:
            self._curves += tuple(f"{VALIDATION}{name}" for name in names)
        self.evaluations: tuple[Evaluation[F] | None, Evaluation[F] | None] = (
            Evaluation(output, trained, self.measure) if trained is not None and self.measure.names else None,
            Evaluation(output, held_out, self.measure) if held_out is not None else None,
        )
        self.looks_at_losses: bool = self.evaluations != (None, None) or trainer.optimizer_state.observes
        self._step = 0
        self.stopped, self.ended = False, 0
        self.losses: Vector[F] = np.empty(0, storage.dtype)
        self.step_losses = self.losses
        self.total, self.count = 0.0, 0
        self.first_loss: float | None = None
        self.short_epoch: ShortEpoch[F] | None = None

    @property
    def random(self) -> np.random.Generator:
        """The generator of the network, whose state a checkpoint stores."""
        assert self.storage.random is not None
        return self.storage.random

    @property
    def layers(self) -> tuple[AnyLayer[np.float32] | AnyLayer[np.float64], ...]:
        """The layers, whose attributes show the last step."""
        return cast("tuple[AnyLayer[np.float32] | AnyLayer[np.float64], ...]", tuple(self.output._attached))

    @property
    def parameters(self) -> Vector[np.float32 | np.float64]:
        """All parameters, then running means and variances; the memory, not a copy."""
        return self.storage.parameters.view()

    @property
    def global_step(self) -> int:
        """The number of steps made since the beginning."""
        return self.trainer.optimizer_state.step

    @property
    def step_loss(self) -> float:
        """The mean loss of the samples of the last step."""
        return self._mean(self.step_losses) if len(self.step_losses) else nan

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next step."""
        return self.trainer.optimizer_state.learning_rate

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self.trainer.optimizer_state.learning_rate = value

    def stop(self) -> None:
        """Ends the training after this epoch or step."""
        self.stopped = True

    def begin(self) -> None:
        """Warns of large features, and calls the callbacks before the first step."""
        if self.trained:
            _warn_of_large_features(self.trained, _largest_feature(self.storage))
        for callback in self.callbacks:
            callback.on_begin(self)

    def run(self, bar: Bar) -> None:
        """Trains; an exception leaves layers and history as after the last step and epoch that ended."""
        self.ended, first_step, watched = self.epoch, self.global_step, self.is_watched
        try:
            while self.ended < self._epochs and not self.stopped:
                epochs = 1 if watched else self._epochs_at_once()
                self._train_epochs(epochs, bar)
                if epochs == 1:
                    self._record()
                self.ended = self.epoch
                self._call_after_epoch(bar)
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
        """Whether something happens between epochs, so that each is a call of its own."""
        looks = self.looks_at_losses or self.on_epoch is not None
        return looks or bool(self.each_epoch or self.each_step)

    def _epochs_at_once(self) -> int:
        if isinstance(self.source, BatchSource):
            return 1
        return min(self.trainer.epochs_at_once(self.source.samples), self._epochs - self.ended)

    def _train_epochs(self, epochs: int, bar: Bar) -> None:
        """Trains some epochs; of several, the losses are recorded at once."""
        if self.short_epoch is not None:
            self._train_short_epoch(self.short_epoch, bar)
            return
        self._train_in_chunks(epochs, bar)
        if isinstance(self.source, ArraySource) and self.is_watched and not self.each_step:
            self.short_epoch = short_epoch(self.trainer, self.source.samples, self.source.shuffled)

    def _train_in_chunks(self, epochs: int, bar: Bar) -> None:
        self._step, self.total, self.count = 0, 0.0, 0
        trainer, max_steps = self.trainer, 1 if self.each_step else None
        for samples in self.source.epoch(self.ended):
            n = len(samples)
            size, before, done = min(self.batch_size or n, n), self._step, 0
            trainer.resize(size)
            order = trainer.order(n, epochs, self.source.shuffled)
            if len(self.losses) < len(order):
                self.losses = np.empty(len(order), self.storage.dtype)
            losses = self.losses[: len(order)]
            try:
                for done in trainer.run(samples, order, losses, max_steps):
                    if self.first_loss is None:
                        self.first_loss = self._mean(losses[: min(size, done)])
                    in_epoch = (done - 1) % n + 1
                    self._step = before - (-in_epoch // size)
                    self.step_losses = losses[done - (in_epoch - 1) % size - 1 : done]
                    bar.show(self.ended + (done - 1) // n, self.count + in_epoch)
                    for callback in self.each_step:
                        trainer.show()
                        callback.on_batch(self)
                    if self.stopped:
                        break
            except NonFiniteStepError as bad:
                self._record_losses(losses[: bad.sample], n, epochs)
                step = before + bad.sample % n // size + 1
                raise bad.divergence(self.storage, self.ended + 1, step) from None
            except KeyboardInterrupt:
                self._record_losses(losses[: trainer.done], n, epochs)
                raise
            self._record_losses(losses, n, epochs)
            self.total += total_of(losses[:done])
            self.count += done
            if self.stopped:
                break
        trainer.show()

    def _train_short_epoch(self, epoch: ShortEpoch[F], bar: Bar) -> None:
        """Trains an epoch of a single call, as all but the first are then."""
        try:
            self.total = epoch.train()
        except NonFiniteStepError as bad:
            step = bad.sample // epoch.batch_size + 1
            raise bad.divergence(self.storage, self.ended + 1, step) from None
        self.step_losses, self.count = epoch.step_losses, epoch.length
        if bar.may_appear:
            bar.show(self.epoch, self.count)

    def _record_losses(self, losses: Vector[F], n: int, epochs: int) -> None:
        """Appends the losses of the epochs that ended to the history, if there was more than one to train."""
        ended = len(losses) // n
        if epochs > 1 and ended:
            means = losses[: ended * n].reshape(ended, n).sum(axis=1, dtype=np.float64) / n
            self._history.loss.extend(means.tolist())
            self.ended = self.epoch
            if self.first_loss is None:
                self.first_loss = self._mean(losses[: min(self.batch_size or n, n)])
            self._warn_of_growth(float(means[(means > max(GROWN_LOSS * self.first_loss, 1)).argmax()]), 8)

    def _record(self) -> None:
        loss = self.total / self.count
        if loss > 1:
            self._warn_of_growth(loss)
        if not self.looks_at_losses:
            self._history.loss.append(loss)
            return
        trained, held_out = self.evaluations
        metrics: dict[str, float] = {}
        held_metrics: dict[str, float] = {}
        held_loss = None
        if trained is not None:
            _, metrics = self._evaluate(trained)
        if held_out is not None:
            held_loss, held_metrics = self._evaluate(held_out)
        self.trainer.optimizer_state.observe(loss if held_loss is None else held_loss)
        self._history._append(loss, held_loss, metrics, held_metrics)

    def _warn_of_growth(self, loss: float, stacklevel: int = 6) -> None:
        """Warns once where the loss of an epoch is a million times that of the first step, and above 1.

        Below it a network that was trained before may have begun with a loss of nearly 0.
        """
        if self.first_loss is not None and 0 < GROWN_LOSS * self.first_loss < loss and loss > 1:
            warnings.warn(
                f"the loss has grown from {self.first_loss:.3g} to {loss:.3g}: training diverges; a smaller "
                "learning rate helps, or clip_norm of the optimiser, or features scaled to about -1 … 1",
                stacklevel=stacklevel,
            )
            self.first_loss = 0.0

    def _call_after_epoch(self, bar: Bar) -> None:
        if bar.may_appear:
            bar.show_epoch(self.epoch, self._history.last)
        if self.on_epoch is not None:
            self.on_epoch(self._history)
        for callback in self.each_epoch:
            callback.on_epoch(self)

    def _evaluate(self, evaluation: Evaluation[F]) -> tuple[float, dict[str, float]]:
        """Computes the mean loss and the metrics of some samples."""
        return evaluation.loss_and_metrics()

    def _mean(self, losses: Vector[F]) -> float:
        return total_of(losses) / len(losses)

    def state(self) -> RunState:
        """Returns copies of the state of the training."""
        from typednn.training.rng_state import state_as_json

        arrays: dict[str, NDArray[np.generic]] = {"parameters": self.storage.parameters.copy()}
        arrays |= _under(OPTIMIZER, self.trainer.optimizer_state.state())
        arrays |= _under("history", {name: np.array(curve) for name, curve in self._history.curves().items()})
        for name, callback in self._named_callbacks():
            arrays |= _under(name, {each: array.copy() for each, array in callback.state().items()})
        return RunState(arrays, state_as_json(self.random))

    def restore(self, state: RunState) -> None:
        """Continues from a state.

        Raises:
            DataError: the state is that of another training; nothing is changed.
        """
        from typednn.training.rng_state import state_from_json

        saved = state.arrays
        check_state(state)
        mine = {
            "parameters": self.storage.parameters,
            **_under(OPTIMIZER, self.trainer.optimizer_state.state()),
        }
        theirs = {name for name in saved if name == "parameters" or name.startswith(f"{OPTIMIZER}.")}
        for name in sorted((mine.keys() | theirs) - {f"{OPTIMIZER}.{name}" for name in OPTIONAL}):
            expected, found = _kind(mine.get(name)), _kind(saved.get(name))
            if expected != found:
                raise DataError(f"expected {name} to be {expected}, found {found}")
        curves = _below("history", saved)
        for name, array in curves.items():
            if array.ndim != 1 or array.dtype != np.float64:
                raise DataError(f"expected history.{name} to be float64 (n_epochs,), found {_kind(array)}")
        rate = saved.get(f"{OPTIMIZER}.{ASSIGNED_RATE}")
        if rate is not None and (rate.shape or rate.dtype != np.float64):
            raise DataError(f"expected {OPTIMIZER}.{ASSIGNED_RATE} to be float64 (), found {_kind(rate)}")
        history = History.of({name: array.tolist() for name, array in curves.items()}, self.measure.functions)
        random = state_from_json(self.random, state.random)
        before = History.of(self._history.curves())
        self._history._assign(history)
        changed: list[tuple[Callback, dict[str, object]]] = []
        try:
            for name, callback in self._named_callbacks():
                if arrays := _below(name, saved):
                    changed.append((callback, dict(vars(callback))))
                    callback.restore({each: array.copy() for each, array in arrays.items()}, self)
            self.trainer.optimizer_state.restore(_below(OPTIMIZER, saved))
        except Exception as error:  # noqa: BLE001 (whatever a callback raises)
            self._history._assign(before)
            self.stopped = False
            for callback, attributes in changed:
                vars(callback).clear()
                vars(callback).update(attributes)
            raise DataError(f"the training cannot go on from it: {error!r}") from None
        self.random.bit_generator.state = random
        self.storage.parameters[...] = saved["parameters"]

    def _named_callbacks(self) -> list[tuple[str, Callback]]:
        """Returns the callbacks with names made of their class and their number within it."""
        kinds = [type(callback).__name__ for callback in self.callbacks]
        return [
            (f"callbacks.{kind}.{kinds[:k].count(kind)}", callback)
            for k, (kind, callback) in enumerate(zip(kinds, self.callbacks, strict=True))
        ]


def _largest_feature(storage: Storage[F]) -> float:
    """Returns what features must not reach: more where the first layer divides them by their deviations."""
    first = storage.layers[1]
    by_batch = settings_of(first.normalization).code == BATCH
    if isinstance(first, NormalizationLayer) and (first.trainable or not by_batch):
        return float(np.sqrt(np.finfo(storage.dtype).max / first.length)) / 4
    return LARGE_FEATURE


def _warn_of_large_features(samples: CheckedSamples[F], limit: float) -> None:
    """Warns where a feature of some rows is large, from all over x: all may be more than memory holds."""
    if 2 * samples.norm < limit:  # a bound, but for rounding
        return
    x = samples.x.array
    seen = x[:: 1 + x.size // SEEN_FEATURES]
    largest = (
        max(seen.max(), -seen.min())
        if seen.dtype.kind == "f"
        else float(np.abs(seen.astype(np.float64)).max())
    )
    if largest >= limit:
        warnings.warn(
            f"x holds features of {largest:.3g}: gradients grow with them, and training may diverge; scale "
            "them, as (x - x.mean(axis=0)) / x.std(axis=0) does",
            stacklevel=5,
        )


class _Adapted(Callback):
    """An object that has the methods of a callback but is not of the class."""

    callback: CallbackLike

    def __init__(self, callback: CallbackLike) -> None:
        self.callback = callback

    def on_begin(self, run: Run) -> None:
        self.callback.on_begin(run)

    def on_batch(self, run: Run) -> None:
        self.callback.on_batch(run)

    def on_epoch(self, run: Run) -> None:
        self.callback.on_epoch(run)

    def on_end(self, run: Run) -> None:
        self.callback.on_end(run)


METHODS = ("on_begin", "on_batch", "on_epoch", "on_end")


def _checked(callbacks: Sequence[CallbackLike]) -> Iterator[Callback]:
    for callback in callbacks:
        if isinstance(callback, Callback):
            yield callback
        elif isinstance(callback, type) or not all(
            callable(getattr(callback, each, None)) for each in METHODS
        ):
            raise SettingError(
                f"callbacks must be objects of Callback, not {callback!r}, or have its methods "
                f"{', '.join(METHODS)}"
            )
        else:
            yield _Adapted(callback)


OPTIMIZER = "optimizer"


def _under(name: str, arrays: Arrays) -> dict[str, NDArray[np.generic]]:
    return {f"{name}.{each}": array for each, array in arrays.items()}


def _below(name: str, arrays: Arrays) -> dict[str, NDArray[np.generic]]:
    return {
        each.removeprefix(f"{name}."): array for each, array in arrays.items() if each.startswith(f"{name}.")
    }


def _kind(array: NDArray[np.generic] | None) -> str:
    return "absent" if array is None else f"{array.dtype} {array.shape}"

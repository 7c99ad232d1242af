"""Trains a model with a table: chooses features, holds samples out, trains, and measures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import log2

import numpy as np
from numpy.typing import NDArray
from typednn_kernels.arrays import Matrix
from typednn_kernels.losses import LOSSES

from typednn.cli.measures import Measures, measure_classes, measure_numbers
from typednn.cli.settings import Settings
from typednn.data.blocks import shuffled_blocks
from typednn.data.inspection import choose_features
from typednn.data.large_tables import Whole
from typednn.data.model import Model
from typednn.data.preprocessing import Preprocessing, held_out_split, others
from typednn.data.reading import Data
from typednn.data.table import listed
from typednn.data.targets import Classes, Scale, Task, classes_of, numbers_of, scale_of, task_of
from typednn.errors import DataError, SettingError
from typednn.layers import HiddenLayer, InputLayer, Layer, OutputLayer
from typednn.network.network import Network
from typednn.training.callbacks import CallbackLike, EarlyStopping
from typednn.training.history import History
from typednn.training.optimizers import OPTIMIZERS
from typednn.training.schedules import CosineDecay, OneCycle, ReduceOnPlateau, Schedule
from typednn.validation.arrays import Labels

Inputs = Matrix[np.float32 | np.float64]
OnEpoch = Callable[[History], None]

STOPPING = 0.15
"""The fraction of the training samples whose loss ends the training."""

MIN_GAIN = 1e-3
"""The least fall of the loss, of classes or of standardised numbers, that counts as progress."""

MIN_STOPPING = 8
"""The number of samples that this fraction needs; with fewer, all epochs are trained."""

REFIT_BELOW = 3_000
"""The number of samples below which a network is trained again with all of them, for as many epochs."""

MAX_EPOCHS_UNWATCHED = 100
"""The number of epochs, if no loss ends the training."""

EPOCH_ROWS = 2**20
"""The number of rows of a table larger than memory that are called an epoch, at most a pass."""

BLOCK_BYTES, MIN_BLOCK_ROWS = 2**24, 2048
"""The size of the blocks that are read of its features."""

L2 = 1e-4
RATES: dict[str, float] = {"sgd": 0.05, "lion": 3e-4, "adam": 2e-3, "adamw": 2e-3, "nadam": 2e-3}
"""Learning rates for standardised data where they differ from the optimiser's default."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """Data that are ready for a training.

    Attributes:
        data: the table and its targets.
        task: the task.
        labels: the labels `(n_samples,)` of a classification, else None.
        classes: the classes, else None.
        numbers: the targets `(n_samples, n_outputs)` of a regression, else None.
        columns: the columns that may be features.
        explicit: those of them that the user asked for.
    """

    data: Data
    task: Task
    labels: Labels | None
    classes: Classes | None
    numbers: Matrix[np.float64] | None
    columns: tuple[str, ...]
    explicit: tuple[str, ...]

    def __len__(self) -> int:
        """Returns the number of samples."""
        return len(self.data.table)

    def measure(self, model: Model, rows: NDArray[np.int64]) -> Measures:
        """Measures a model on some rows."""
        predicted = model.predict(self.data.table.rows(rows))
        return self.measure_outputs(predicted, rows)

    def measure_outputs(self, predicted: Matrix[np.float64], rows: NDArray[np.int64]) -> Measures:
        """Measures predictions of some rows."""
        if self.labels is not None and self.classes is not None:
            return measure_classes(self.classes.names, self.labels[rows], predicted)
        assert self.numbers is not None
        return measure_numbers(self.data.targets, self.numbers[rows], predicted)

    def baseline(self, training: NDArray[np.int64], rows: NDArray[np.int64]) -> Measures:
        """Measures, on some rows, predictions of the class frequencies or the mean of the training rows."""
        if self.labels is not None and self.classes is not None:
            counts = np.bincount(self.labels[training], minlength=len(self.classes.names))
            usual: NDArray[np.float64] = counts / len(training)
        else:
            assert self.numbers is not None
            usual = self.numbers[training].mean(axis=0)
        return self.measure_outputs(np.tile(usual, (len(rows), 1)), rows)


@dataclass(frozen=True, slots=True)
class Training:
    """The result of a training.

    Attributes:
        model: the network and its preprocessing.
        prepared: the data.
        training, held_out: the indices of the training and held-out samples.
        measures, baseline: the measures of the held-out samples, and those of the frequencies or the mean.
        notes: what was decided by rule, as sentences.
    """

    model: Model
    prepared: Prepared
    training: NDArray[np.int64]
    held_out: NDArray[np.int64]
    measures: Measures
    baseline: Measures
    notes: tuple[str, ...]


def prepare(data: Data, settings: Settings) -> Prepared:
    """Finds the task, the targets and the columns that may be features.

    Raises:
        DataError, SettingError, UnknownNameError: the data or settings do not allow training.
    """
    table = data.table
    targets = [table[name] for name in data.targets]
    dropped = [table.names[table.index(each)] for each in settings.drop]
    explicit = tuple(table.names[table.index(each)] for each in settings.features or ())
    both = [name for name in (*dropped, *data.targets) if name in explicit]
    if both:
        raise SettingError(f"{listed(both)}: a column of --features cannot be a target or left out, too")
    out = {*dropped, *data.targets}
    columns = explicit or tuple(name for name in table.names if name not in out)
    task = settings.task or task_of(targets, labels=data.labels)
    if task == "classification":
        if len(targets) > 1:
            raise DataError(f"classes need one target column, not {len(targets)}")
        classes, labels = classes_of(targets[0], data.targets[0], table.place)
        return Prepared(data, task, labels, classes, None, columns, explicit)
    numbers = numbers_of(targets, data.targets, table.place)
    return Prepared(data, task, None, None, numbers, columns, explicit)


def train(data: Data, settings: Settings, on_epoch: OnEpoch | None = None) -> Training:
    """Holds samples out, trains a float32 network with the others, and measures it.

    Raises:
        DataError, SettingError, UnknownNameError: the data or settings do not allow training.
        DivergenceError: a step is not finite; the learning rate is too large.
    """
    prepared = prepare(data, settings)
    part, held = held_out_split(len(prepared), settings.held_out, settings.seed, prepared.labels)
    if prepared.task == "regression" and len(held) < 2:
        raise SettingError("R2 needs two held-out samples or more: take a larger --held-out, or more data")
    model, notes = fit(prepared, settings, part, on_epoch, whole=data.whole)
    measures, baseline = prepared.measure(model, held), prepared.baseline(part, held)
    return Training(model, prepared, part, held, measures, baseline, notes)


def fit(
    prepared: Prepared,
    settings: Settings,
    rows: NDArray[np.int64],
    on_epoch: OnEpoch | None = None,
    *,
    whole: Whole | None = None,
) -> tuple[Model, tuple[str, ...]]:
    """Fits the preprocessing and a network to some rows; returns the model, and what was decided by rule.

    Part of the rows, stratified by class, tells when the training ends. Where there are few rows, a network
    is then trained with all of them for as many epochs.

    Args:
        prepared: the data.
        settings: the settings.
        rows: the indices of the training samples.
        on_epoch: is called after each epoch.
        whole: the file, if the data are a sample of its rows: the network is trained with all of the file but
            the other samples.

    Raises:
        DataError, SettingError, DivergenceError: as `train`.
    """
    table = prepared.data.table
    choice = choose_features(table, prepared.columns, rows, explicit=prepared.explicit)
    if prepared.classes is not None and prepared.labels is not None:
        target: Classes | Scale = prepared.classes
        y: Labels | Matrix[np.float32] = prepared.labels[rows]
        if len(np.unique(y)) < 2:
            raise DataError("the training samples are of one class: take more data, or a smaller --held-out")
    else:
        assert prepared.numbers is not None
        target = scale = scale_of(prepared.numbers[rows], prepared.data.targets)
        y = scale.standardize(prepared.numbers[rows], np.dtype(np.float32))
    preprocessing = Preprocessing(choice.transforms, target, prepared.data.targets, table.names, table.named)
    x = preprocessing.apply(table, np.dtype(np.float32), rows)
    labels = None if prepared.labels is None else prepared.labels[rows]
    stopping = round(len(rows) * STOPPING)
    watched = settings.patience > 0 and stopping >= MIN_STOPPING
    network = new_network(x, y, preprocessing, settings)
    if not watched:
        epochs = settings.epochs if settings.patience == 0 else min(settings.epochs, MAX_EPOCHS_UNWATCHED)
        history = _run(network, x, y, epochs, settings, on_epoch=on_epoch)
        best = epochs
    else:
        own, watch = held_out_split(len(rows), STOPPING, settings.seed + 1, labels)
        stop = EarlyStopping(patience=settings.patience, min_delta=MIN_GAIN)
        held = x[watch], y[watch]
        if whole is None:
            history = _run(network, x[own], y[own], settings.epochs, settings, held, [stop], on_epoch)
        else:
            with whole.features(preprocessing, others(len(prepared), np.sort(rows[own]))) as features:
                network = new_network(*features, preprocessing, settings)
                history = _run_blocks(network, *features, settings, held, stop, on_epoch)
        best = stop.best_epoch
        if len(rows) < REFIT_BELOW and best and whole is None:
            network = new_network(x, y, preprocessing, settings)
            _run(network, x, y, best, settings)
    network._history = history
    samples = len(rows) if whole is None else whole.count - len(prepared) + len(rows)
    record: dict[str, object] = {"samples": samples, "epochs": best, "history": history.curves()}
    return Model(network, preprocessing, record), (*prepared.data.table.notes, *choice.notes)


def new_network(
    x: Inputs, y: Labels | Inputs, preprocessing: Preprocessing, settings: Settings
) -> Network[np.float32]:
    """Builds the network of a training with inputs x and targets y."""
    l2 = L2 if settings.l2 is None else settings.l2
    lengths = default_lengths(len(x), x.shape[1]) if settings.hidden is None else settings.hidden
    hidden = [
        HiddenLayer(
            length, settings.activation, normalization=settings.normalization, dropout=settings.dropout, l2=l2
        )
        for length in lengths
    ]
    target = preprocessing.target
    losses = {row.name: row.targets for row in LOSSES}
    if isinstance(target, Classes):
        loss = settings.loss or "crossentropy"
        if losses[loss] != "classes":
            raise SettingError(f"--loss {loss} is not for classes: take {_losses('classes')}")
        output = OutputLayer(len(target.names), "softmax", loss, l2=l2)
    else:
        loss = settings.loss or "MSE"
        if losses[loss] != "numbers":
            raise SettingError(f"--loss {loss} is not for numbers: take {_losses('numbers')}")
        output = OutputLayer(len(target.mean), "none", loss, l2=l2)
    layers: list[Layer] = [InputLayer(x.shape[1]), *hidden, output]
    return Network(layers, np.float32, settings.seed)


def _losses(kind: str) -> str:
    return ", ".join(row.name for row in LOSSES if row.targets == kind)


def default_lengths(samples: int, inputs: int) -> tuple[int, ...]:
    """Returns the lengths of hidden layers for some data: one layer where samples are few, else two."""
    width = 64 if samples < 10_000 and inputs < 200 else 128
    return (width,) if samples < 1_000 else (width, width // 2)


def default_batch_size(samples: int) -> int:
    """Returns the number of samples per step: 16 to 256, about a fiftieth of all, a power of 2."""
    return int(2 ** min(8, max(4, round(log2(max(1, samples) / 50)))))


def _schedule(rate: float, name: str, epochs: int, steps: int) -> float | Schedule:
    if name == "cosine":
        return CosineDecay(rate, epochs * steps)
    if name == "one_cycle":
        return OneCycle(rate, epochs * steps)
    return ReduceOnPlateau(rate) if name == "plateau" else rate


def _run(
    network: Network[np.float32],
    x: Matrix[np.float32],
    y: Labels | Matrix[np.float32],
    epochs: int,
    settings: Settings,
    validation: tuple[Matrix[np.float32], Labels | Matrix[np.float32]] | None = None,
    callbacks: list[CallbackLike] | None = None,
    on_epoch: OnEpoch | None = None,
) -> History:
    size, rate = _steps(len(x), epochs, settings)
    return network.fit(
        x,
        y,
        epochs=epochs,
        batch_size=size,
        optimizer=settings.optimizer,
        learning_rate=rate,
        validation_data=validation,
        metrics=settings.metrics,
        class_weight="balanced" if settings.class_weight == "balanced" else None,
        callbacks=callbacks or [],
        on_epoch=on_epoch,
        progress=False,
    )


def _run_blocks(
    network: Network[np.float32],
    x: Matrix[np.float32],
    y: Labels | Matrix[np.float32],
    settings: Settings,
    validation: tuple[Matrix[np.float32], Labels | Matrix[np.float32]],
    stop: EarlyStopping,
    on_epoch: OnEpoch | None,
) -> History:
    """Trains with memory maps, of which blocks are read in random order."""
    block = min(len(x), max(MIN_BLOCK_ROWS, BLOCK_BYTES // x.itemsize // x.shape[1]))
    epoch = max(1, EPOCH_ROWS // block) if len(x) > EPOCH_ROWS else None
    size, rate = _steps(min(len(x), EPOCH_ROWS), settings.epochs, settings)
    weights: dict[int, float] | None = None
    if settings.class_weight == "balanced":
        counts: NDArray[np.int64] = np.bincount(y, minlength=network.layers[-1].length)
        each: list[float] = (len(y) / len(counts) / np.maximum(counts, 1)).tolist()
        weights = dict(enumerate(each))
    return network.fit_batches(
        shuffled_blocks((x, y), block=block, seed=settings.seed),
        epochs=settings.epochs,
        steps_per_epoch=epoch,
        batch_size=size,
        optimizer=settings.optimizer,
        learning_rate=rate,
        validation_data=validation,
        metrics=settings.metrics,
        class_weight=weights,
        callbacks=[stop],
        on_epoch=on_epoch,
        progress=False,
    )


def _steps(samples: int, epochs: int, settings: Settings) -> tuple[int, float | Schedule | None]:
    """Returns the number of samples per step, and the learning rate."""
    size = min(settings.batch_size or default_batch_size(samples), samples)
    rate = (
        settings.learning_rate
        or RATES.get(settings.optimizer)
        or OPTIMIZERS[settings.optimizer].learning_rate
    )
    if isinstance(rate, float):
        return size, _schedule(rate, settings.schedule, epochs, -(-samples // size))
    return size, rate

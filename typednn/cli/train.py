"""Trains a model that predicts from raw data with a data file, and measures it on held-out samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray
from typednn_kernels.activations import ActivationName
from typednn_kernels.arrays import Matrix

from typednn.data.datasets import Dataset
from typednn.data.preprocessing import (
    Classes,
    Numbers,
    Preprocessing,
    Scale,
    Task,
    classes_of,
    held_out_split,
    numbers_of,
    scale_of,
    task_of,
)
from typednn.errors import MissingExtraError, SettingError
from typednn.files.models import Model
from typednn.layers import HiddenLayer, InputLayer, Layer, OutputLayer
from typednn.network.network import Network
from typednn.training.history import History
from typednn.validation.arrays import Labels

EPOCHS = 100
RATES: dict[Task, float] = {"classification": 0.05, "regression": 0.01}
"""The default learning rate of each task."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a training.

    Attributes:
        task: the task; None derives it from the target.
        hidden: the lengths of the hidden layers.
        activation: the activation of the hidden layers.
        epochs: the number of passes over the samples.
        batch_size: samples per step; None means the default of `Network.fit`.
        learning_rate: the learning rate; None means that of the task in `RATES`.
        seed: the seed of the split, the weights and the order of samples.
        held_out: the fraction of samples that is held out.
    """

    task: Task | None = None
    hidden: tuple[int, ...] = (64,)
    activation: ActivationName = "relu"
    epochs: int = EPOCHS
    batch_size: int | None = None
    learning_rate: float | None = None
    seed: int = 0
    held_out: float = 0.2


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric of the held-out predictions, and that of a baseline that ignores the features.

    Attributes:
        name: `accuracy`, `loss`, `R2` or `MAE`, as scikit-learn defines them; MAE in units of the target.
        value: the metric of the model.
        baseline: the metric of predicting the class frequencies, or the mean, of the training samples.
    """

    name: str
    value: float
    baseline: float


@dataclass(frozen=True, slots=True)
class Training:
    """The result of a training.

    Attributes:
        model: the network and its preprocessing.
        samples: the number of training samples.
        held_out: the number of held-out samples.
        metrics: the metrics of the held-out samples.
    """

    model: Model[np.float32]
    samples: int
    held_out: int
    metrics: tuple[Metric, ...]

    @property
    def task(self) -> Task:
        """The task of the model."""
        preprocessing = self.model.preprocessing
        classes = preprocessing and isinstance(preprocessing.target, Classes)
        return "classification" if classes else "regression"


def train(
    dataset: Dataset, settings: Settings, on_epoch: Callable[[History], None] | None = None
) -> Training:
    """Splits and standardises the data, trains a float32 network and measures it on the held-out samples.

    Raises:
        DataError, SettingError: the data or settings do not allow training.
        DivergenceError: a step is not finite; the learning rate is too large.
        MissingExtraError: scikit-learn is not installed.
    """
    if find_spec("sklearn") is None:
        raise MissingExtraError("scikit-learn", "training, for its metrics,", "cli")
    if (settings.task or task_of(dataset.y)) == "classification":
        return _train_classes(dataset, settings, on_epoch)
    return _train_numbers(dataset, settings, on_epoch)


def predictions(model: Model[np.float32] | Model[np.float64], x: Numbers) -> Iterator[list[str]]:
    """Yields the rows of a table of predictions: the header, then one row for each sample of x.

    A predicted class has its probability beside it. Raises what `Model.outputs` raises.
    """
    preprocessing = model.preprocessing
    outputs: NDArray[np.floating] = model.outputs(x)
    name = (preprocessing and preprocessing.target_name) or "prediction"
    target = preprocessing and preprocessing.target
    if isinstance(target, Scale):
        restored = target.restore(outputs)
    elif model.network.layers[-1].actname == "softmax":
        best = outputs.argmax(axis=1)
        yield [name, "probability"]
        for row, k in zip(outputs, best, strict=True):
            yield [target.names[k] if target else str(k), f"{row[k]:.4f}"]
        return
    else:
        restored = outputs.astype(np.float64)
    count = restored.shape[1]
    yield [name] if count == 1 else [f"{name} {k}" for k in range(1, count + 1)]
    for numbers in restored.tolist():
        yield [f"{number:.7g}" for number in numbers]


def _train_classes(
    dataset: Dataset, settings: Settings, on_epoch: Callable[[History], None] | None
) -> Training:
    from sklearn.metrics import accuracy_score, log_loss

    classes, labels = classes_of(dataset.y)
    count = len(classes.names)
    part, held = held_out_split(len(labels), settings.held_out, settings.seed, labels)
    model = _model(dataset, part, classes, OutputLayer(count, "softmax", "crossentropy"), settings)
    _fit(model, dataset, labels, part, held, settings, on_epoch)
    truth, outputs = labels[held], model.outputs(dataset.x[held])
    frequencies = np.bincount(labels[part], minlength=count) / len(part)
    baseline = np.full(len(held), frequencies.argmax())
    metrics = (
        Metric(
            "accuracy",
            float(accuracy_score(truth, outputs.argmax(axis=1))),
            float(accuracy_score(truth, baseline)),
        ),
        Metric(
            "loss",
            float(log_loss(truth, outputs, labels=range(count))),
            float(log_loss(truth, np.tile(frequencies, (len(held), 1)), labels=range(count))),
        ),
    )
    return Training(model, len(part), len(held), metrics)


def _train_numbers(
    dataset: Dataset, settings: Settings, on_epoch: Callable[[History], None] | None
) -> Training:
    from sklearn.metrics import mean_absolute_error, r2_score

    numbers = numbers_of(dataset.y)
    part, held = held_out_split(len(numbers), settings.held_out, settings.seed)
    if len(held) < 2:
        raise SettingError("R2 needs two held-out samples or more: take a larger --held-out, or more data")
    scale = scale_of(numbers[part])
    model = _model(dataset, part, scale, OutputLayer(numbers.shape[1]), settings)
    _fit(model, dataset, scale.standardize(numbers, np.dtype(np.float32)), part, held, settings, on_epoch)
    truth, restored = numbers[held], scale.restore(model.outputs(dataset.x[held]))
    baseline = np.broadcast_to(scale.mean, truth.shape)
    metrics = tuple(
        Metric(name, float(measure(truth, restored)), float(measure(truth, baseline)))
        for name, measure in (("R2", r2_score), ("MAE", mean_absolute_error))
    )
    return Training(model, len(part), len(held), metrics)


def _model(
    dataset: Dataset, part: NDArray[np.int64], target: Classes | Scale, output: Layer, settings: Settings
) -> Model[np.float32]:
    features = scale_of(dataset.x[part], as_one=dataset.pixels)
    hidden = [HiddenLayer(length, settings.activation) for length in settings.hidden]
    layers = [InputLayer(dataset.x.shape[1]), *hidden, output]
    preprocessing = Preprocessing(features, target, dataset.feature_names, dataset.target_name)
    return Model(Network(layers, np.float32, settings.seed), preprocessing)


def _fit(
    model: Model[np.float32],
    dataset: Dataset,
    targets: Labels | Matrix[np.float32],
    part: NDArray[np.int64],
    held: NDArray[np.int64],
    settings: Settings,
    on_epoch: Callable[[History], None] | None,
) -> None:
    task: Task = "classification" if targets.ndim == 1 else "regression"
    model.network.fit(
        model.standardized(dataset.x[part]),
        targets[part],
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate or RATES[task],
        validation_data=(model.standardized(dataset.x[held]), targets[held]),
        on_epoch=on_epoch,
    )

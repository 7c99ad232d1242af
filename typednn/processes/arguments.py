"""Checks what each rank passes to `fit` and `fit_batches`, and makes the training of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typednn_kernels.arrays import F

from typednn.backends import backend
from typednn.errors import DataError, SettingError
from typednn.layers import OutputLayer
from typednn.names import MetricName
from typednn.processes.fit import AveragedFit, SharedFit
from typednn.processes.groups import Averaged, Processes
from typednn.processes.ranks import Part, Ranks
from typednn.training.batches import ArraySource, BatchSource
from typednn.training.callbacks import CallbackLike
from typednn.training.history import History
from typednn.training.metrics import MetricFunction
from typednn.training.samples import (
    Batch,
    CheckedSamples,
    ClassWeights,
    Rows,
    SampleFormat,
    ValidationData,
    format_of,
    split_index,
)
from typednn.training.schedules import Schedule
from typednn.training.steps import OptimizerLike, trainer_of
from typednn.training.trainer import BATCH_SIZE
from typednn.validation.arrays import Given, Samples, Targets, Weights, as_ndarray
from typednn.validation.settings import check_bool, check_count, check_sequence


def fit_arrays(
    ranks: Ranks,
    processes: Processes,
    output: OutputLayer[F],
    x: Samples[F],
    y: Targets[F, Any],
    *,
    epochs: int,
    batch_size: int | None,
    learning_rate: float | Schedule | None,
    optimizer: OptimizerLike[F, Any],
    shuffle: bool,
    validation_data: ValidationData[F, Any] | None,
    validation_split: float,
    metrics: Sequence[MetricName | MetricFunction],
    sample_weight: Weights | None,
    class_weight: ClassWeights | None,
    label_smoothing: float,
    callbacks: Sequence[CallbackLike],
    on_epoch: Callable[[History], None] | None,
) -> SharedFit[F]:
    """Makes the training of `Network.fit` with `processes`, which raises the same exceptions.

    Raises:
        DataError: no rank has samples.
        SettingError: class weights need the labels of all ranks.
    """
    if batch_size is not None:
        check_count("batch_size", batch_size, 1)
    check_bool("shuffle", shuffle)
    if isinstance(class_weight, str) and class_weight == "balanced":
        raise SettingError(
            'Network: class_weight="balanced" needs all labels, and each rank has a part of them; give a '
            "mapping from labels to weights"
        )
    sample_format = format_of(output, label_smoothing)
    samples = _samples(sample_format, x, y, sample_weight, class_weight)
    held = None if validation_data is None else _validation(sample_format, validation_data)
    part, held_part = ranks.parts(len(samples), 0 if held is None else len(held))
    if not part.total:
        raise DataError("Network: no rank has samples")
    weighted = sample_weight is not None or class_weight is not None
    weighted_too = weighted if validation_data is None else len(validation_data) == 3
    if validation_split:
        if validation_data is not None:
            raise SettingError("give validation_data or validation_split, not both")
        split = split_index(part.total, validation_split)
        own = min(max(split - part.first, 0), part.size)
        after = tuple(max(each - split, 0) for each in part.firsts)
        before = tuple(min(each, split) for each in part.firsts)
        held_part = Part(after[ranks.rank], part.size - own, part.total - split, after)
        part = Part(before[ranks.rank], own, split, before)
        samples, held = samples.split(own)
    average = isinstance(processes, Averaged)
    size = BATCH_SIZE if batch_size is None else int(batch_size)
    size = min(size, max(1, part.size) if average else part.total)
    settings = {
        **_settings(processes, epochs, metrics, label_smoothing, class_weight),
        "batch_size": batch_size,
        "shuffle": shuffle,
        "validation_split": validation_split,
        "whether there are validation data": held is not None,
        "whether samples have weights": (weighted, weighted_too),
        "the number of dimensions of y": samples.y.ndim,
    }
    kind: type[SharedFit[F]] = AveragedFit[F] if average else SharedFit[F]
    return kind(
        *(output, ArraySource(samples, bool(shuffle)), size, samples, held, metrics, epochs),
        *(trainer_of(output, size if average else 1, optimizer, learning_rate), callbacks, on_epoch),
        ranks=ranks,
        part=part,
        held_part=held_part,
        weighted=(weighted, weighted_too),
        settings=settings,
    )


def fit_stream(
    ranks: Ranks,
    processes: Processes,
    output: OutputLayer[F],
    batches: Iterable[Batch[F, Any]],
    *,
    epochs: int,
    steps_per_epoch: int | None,
    batch_size: int | None,
    learning_rate: float | Schedule | None,
    optimizer: OptimizerLike[F, Any],
    validation_data: ValidationData[F, Any] | None,
    metrics: Sequence[MetricName | MetricFunction],
    class_weight: ClassWeights | None,
    label_smoothing: float,
    callbacks: Sequence[CallbackLike],
    on_epoch: Callable[[History], None] | None,
) -> SharedFit[F]:
    """Makes the training of `Network.fit_batches` with `processes`, which raises the same exceptions.

    Raises:
        SettingError: `batch_size` is given, but the batches of all ranks are one step.
    """
    average = isinstance(processes, Averaged)
    if steps_per_epoch is not None:
        check_count("steps_per_epoch", steps_per_epoch, 1)
    if batch_size is not None:
        check_count("batch_size", batch_size, 1)
        if not average:
            raise SettingError("with processes the batches of all ranks are one step: leave batch_size out")
    check_sequence("metrics", metrics)
    metrics = tuple(metrics)
    if metrics and validation_data is None:
        raise SettingError("metrics of batches need validation_data, of which they are measured")
    sample_format = format_of(output, label_smoothing)
    steps = None if steps_per_epoch is None else int(steps_per_epoch)
    source = BatchSource(batches, steps, sample_format, class_weight)
    held = None if validation_data is None else _validation(sample_format, validation_data)
    _, held_part = ranks.parts(0, 0 if held is None else len(held))
    weighted = validation_data is not None and len(validation_data) == 3
    settings = {
        **_settings(processes, epochs, metrics, label_smoothing, class_weight),
        "steps_per_epoch": steps,
        "batch_size": batch_size,
        "whether there are validation data": held is not None,
        "whether validation samples have weights": weighted,
        "the number of dimensions of y": None if held is None else held.y.ndim,
        "fit or fit_batches": "fit_batches",
    }
    kind: type[SharedFit[F]] = AveragedFit[F] if average else SharedFit[F]
    return kind(
        *(output, source, batch_size, None, held, metrics, epochs),
        *(trainer_of(output, batch_size or 1, optimizer, learning_rate), callbacks, on_epoch),
        ranks=ranks,
        part=None,
        held_part=held_part,
        weighted=(False, weighted),
        settings=settings,
    )


def _settings(
    processes: Processes,
    epochs: int,
    metrics: Sequence[MetricName | MetricFunction],
    label_smoothing: float,
    class_weight: ClassWeights | None,
) -> dict[str, object]:
    given = class_weight.tolist() if isinstance(class_weight, np.ndarray) else class_weight
    return {
        "what processes does, one step together or averages,": type(processes).__name__,
        "epochs": epochs,
        "metrics": [each if isinstance(each, str) else getattr(each, "__name__", "") for each in metrics],
        "label_smoothing": label_smoothing,
        "class_weight": given,
        "the backend": backend(),
    }


def _samples(
    sample_format: SampleFormat[F],
    x: Given,
    y: Given,
    sample_weight: Weights | None,
    class_weight: ClassWeights | None,
    owner: str = "Network",
) -> CheckedSamples[F]:
    """Checks the samples of a rank, of which there may be none."""
    features, targets = as_ndarray(x, "x", owner), as_ndarray(y, "y", owner)
    if not (_is_empty(features) and _is_empty(targets)):
        return sample_format.samples(x, y, sample_weight, class_weight, owner, large_later=True)
    inputs, outputs, dtype = sample_format.inputs, sample_format.outputs, sample_format.dtype
    if targets.ndim == 1 and not sample_format.classes:
        targets = targets.reshape(0, 1)
    one = [np.zeros((1, *array.shape[1:]), array.dtype) for array in (features, targets)]
    sample_format.samples(one[0], one[1], owner=owner)  # raises what is wrong with shapes and dtypes
    rows = Rows(targets, outputs, dtype, sample_format._target_rows(targets.ndim == 1))
    return CheckedSamples(Rows(features, inputs, dtype), rows, np.empty(0, dtype))


def _is_empty(array: NDArray[np.generic]) -> bool:
    return array.ndim > 0 and len(array) == 0


def _validation(sample_format: SampleFormat[F], data: ValidationData[F, Any]) -> CheckedSamples[F]:
    owner = "validation_data"
    if isinstance(data, tuple) and len(data) in {2, 3} and _is_empty(as_ndarray(data[0], "x", owner)):
        return _samples(sample_format, data[0], data[1], None, None, owner)
    return sample_format.validation(data)

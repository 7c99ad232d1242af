"""Where training takes its samples from: arrays, also larger than memory, and iterables of batches.

Arrays are checked once, piece by piece. One that the kernels can read as it is, is never copied; of another
one, of another dtype, say, or labels, a copy is made: of all rows, or where that takes more than
`LARGEST_COPY` bytes, of those of a piece of an epoch when they are trained.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from math import isfinite
from typing import Generic, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from typednn_kernels.arrays import F, Matrix, Order, Vector
from typednn_kernels.losses import CODES as LOSS_CODES
from typednn_kernels.losses import LOSSES, Loss, TargetKind

from typednn.errors import ArrayTypeError, DataError, SettingError, ShapeError
from typednn.layers import OutputLayer
from typednn.layers.storage import Storage
from typednn.validation.arrays import (
    Samples,
    Targets,
    Weights,
    Y_co,
    check_finite,
    check_range,
    check_same_length,
    checked_matrix,
    checked_targets,
    converted,
    one_hot,
    read_only,
)

LARGEST_COPY = 2**26
LARGEST_PIECE = 2**24
"""Bytes of a copy of all rows of an array, and of a piece of it."""

SMOOTHED: tuple[TargetKind, ...] = ("classes", "probabilities")
"""The targets that can be smoothed."""

Batch: TypeAlias = tuple[Samples[F], Targets[F, Y_co]] | tuple[Samples[F], Targets[F, Y_co], Weights]
"""Samples, targets and, if need be, weights."""

ValidationData: TypeAlias = Batch[F, Y_co]
"""Held-out samples and targets, and weights if need be."""

Index: TypeAlias = Order | slice


class Rows(Generic[F]):
    """The rows of a checked array, as the kernels read them.

    Args:
        array: `(n, …)`.
        width: of the rows that are made of it.
        dtype: of these rows.
        make: makes them of some of the array; None where the array is what the kernels read.
    """

    array: NDArray[np.generic]
    row_bytes: int
    make: Callable[[NDArray[np.generic]], Matrix[F]]

    def __init__(
        self,
        array: NDArray[np.generic],
        width: int,
        dtype: np.dtype[F],
        make: Callable[[NDArray[np.generic]], Matrix[F]] | None = None,
    ) -> None:
        self.array, self.row_bytes = array, width * dtype.itemsize
        self.make = make or partial(converted, dtype=dtype)
        flags = array.flags
        as_it_is = make is None and array.dtype == dtype and flags.c_contiguous and flags.aligned
        small = len(array) * self.row_bytes <= LARGEST_COPY
        self.whole: Matrix[F] | None = self.make(array) if as_it_is or small else None

    def take(self, index: Index) -> Matrix[F]:
        """Some of the rows, `(n, width)`."""
        return self.make(self.array[index]) if self.whole is None else read_only(self.whole[index])


class CheckedSamples(Generic[F]):
    """Samples, targets and weights that fit together.

    Attributes:
        x, t: the rows of samples and of targets.
        y: the targets as they came.
        weights: `(n_samples,)`, or `(0,)` where all weigh the same.
        at_once: so many of them may be taken at a time.
    """

    x: Rows[F]
    t: Rows[F]
    weights: Vector[F]
    y: NDArray[np.generic]
    at_once: int

    def __init__(self, x: Rows[F], t: Rows[F], weights: Vector[F]) -> None:
        self.x, self.t, self.weights = x, t, weights
        self.y = t.array
        self.at_once = len(x.array)
        self._places: Order = read_only(np.arange(0))
        if x.whole is None or t.whole is None:
            self.at_once = max(1, LARGEST_PIECE // (x.row_bytes + t.row_bytes))

    def __len__(self) -> int:
        """The number of samples."""
        return len(self.x.array)

    def take(self, order: Order) -> tuple[Matrix[F], Matrix[F], Vector[F], Order]:
        """Samples, targets, weights, and the order in which they are to be trained."""
        if self.x.whole is not None and self.t.whole is not None:
            return self.x.whole, self.t.whole, self.weights, order
        if len(order) > len(self._places):
            self._places = read_only(np.arange(len(order)))
        weights = read_only(self.weights[order]) if len(self.weights) else self.weights
        return self.x.take(order), self.t.take(order), weights, self._places[: len(order)]

    def chunks(self, size: int) -> Iterator[tuple[Matrix[F], Matrix[F], slice]]:
        """All samples and targets in their own order, so many at a time, and where they are."""
        for start in range(0, len(self), size):
            chunk = slice(start, min(start + size, len(self)))
            yield self.x.take(chunk), self.t.take(chunk), chunk


class SampleFormat(NamedTuple, Generic[F]):
    """What a network takes, and what is made of it.

    Attributes:
        inputs, outputs: the numbers of features and of outputs.
        dtype: of the network.
        loss: what its targets are for.
        label_smoothing: a target t of n classes becomes t (1 - s) + s / n; of separate probabilities
            n is 2.
    """

    inputs: int
    outputs: int
    dtype: np.dtype[F]
    loss: Loss
    label_smoothing: float = 0.0

    def samples(
        self,
        x: NDArray[np.generic],
        y: NDArray[np.generic],
        sample_weight: Weights | None = None,
        class_weight: Mapping[int, float] | None = None,
        owner: str = "Network",
    ) -> CheckedSamples[F]:
        """Checked samples.

        Raises:
            ShapeError, ArrayTypeError, DataError: data that do not fit.
            SettingError: classes to weigh in a network that has none.
        """
        features = checked_matrix(x, self.inputs, self.dtype, "x", owner)
        targets = checked_targets(y, self.outputs, self.dtype, self.classes, owner)
        if targets.ndim == 2:
            check_range(targets, self.loss.target_minimum, self.loss.target_maximum, "y", owner)
        check_same_length(features, targets, owner)
        weights = self._weights(targets, sample_weight, class_weight, owner)
        rows = Rows(targets, self.outputs, self.dtype, self._target_rows(targets.ndim == 1))
        return CheckedSamples(Rows(features, self.inputs, self.dtype), rows, weights)

    def validation(self, data: ValidationData[F]) -> CheckedSamples[F]:
        """Checked held-out samples.

        Raises:
            ArrayTypeError: something else than a tuple of two or three arrays.
            ShapeError, ArrayTypeError, DataError: data that do not fit.
        """
        if not isinstance(data, tuple) or len(data) not in {2, 3}:
            raise ArrayTypeError("validation_data must be a tuple (x, y) or (x, y, sample_weight)")
        return self.samples(data[0], data[1], _weights_of(data), owner="validation_data")

    @property
    def classes(self) -> bool:
        """Whether targets may be labels."""
        return self.loss.targets == "classes"

    def _target_rows(self, labels: bool) -> Callable[[NDArray[np.generic]], Matrix[F]] | None:
        smoothing, width, dtype = self.label_smoothing, self.outputs, self.dtype
        if not labels and not smoothing:
            return None
        share = dtype.type(smoothing / (width if self.classes else 2))

        def make(array: NDArray[np.generic]) -> Matrix[F]:
            rows = one_hot(array, width, dtype) if labels else converted(array, dtype)
            if smoothing:
                rows = np.multiply(rows, dtype.type(1 - smoothing))
                rows += share
            return read_only(rows)

        return make

    def _weights(
        self,
        targets: NDArray[np.generic],
        sample_weight: Weights | None,
        class_weight: Mapping[int, float] | None,
        owner: str,
    ) -> Vector[F]:
        weights: Vector[F] = np.empty(0, self.dtype)
        if sample_weight is not None:
            weights = _checked_weights(sample_weight, len(targets), self.dtype, owner)
        if class_weight is not None:
            factors = self._class_factors(targets, class_weight, owner)
            if len(weights):
                factors *= weights
            weights = factors
        return read_only(weights)

    def _class_factors(
        self, targets: NDArray[np.generic], class_weight: Mapping[int, float], owner: str
    ) -> Vector[F]:
        binary = self.outputs == 1 and self.loss.targets in {"signs", "probabilities"}
        count = self.outputs if self.classes else 2
        if not binary and not self.classes:
            raise SettingError(
                f"{owner}: class_weight needs classes, but the loss is {self.loss.name}"
                + " of several outputs" * (self.loss.targets != "numbers")
            )
        factors: Vector[F] = np.ones(count, self.dtype)
        for label, weight in class_weight.items():
            if isinstance(label, bool) or not isinstance(label, int | np.integer) or not 0 <= label < count:
                raise SettingError(f"{owner}: class_weight must have keys of 0 … {count - 1}, not {label!r}")
            if not _is_weight(weight):
                raise SettingError(
                    f"{owner}: class_weight[{label}] must be a finite number of 0 or more, not {weight!r}"
                )
            factors[label] = weight
        return factors[classes_in(targets, self.loss.boundary)]


def format_of(chain: Storage[F], label_smoothing: float = 0.0) -> SampleFormat[F]:
    """What the network of these layers takes.

    Raises:
        SettingError: labels cannot be smoothed so, or with this loss.
    """
    first, last = chain.layers[0], chain.layers[-1]
    loss = LOSSES[last._loss_code if isinstance(last, OutputLayer) else LOSS_CODES["MSE"]]
    if not _is_weight(label_smoothing) or label_smoothing > 1:
        raise SettingError(f"label_smoothing must be a number from 0 to 1, not {label_smoothing!r}")
    if label_smoothing and loss.targets not in SMOOTHED:
        names = [row.name for row in LOSSES if row.targets in SMOOTHED]
        raise SettingError(f"label_smoothing is for {', '.join(names)}, not for {loss.name}")
    return SampleFormat(first.length, last.length, chain.dtype, loss, label_smoothing)


def classes_in(targets: NDArray[np.generic], boundary: float) -> NDArray[np.intp]:
    """The class `(n_samples,)` of each: the label, or the column of the largest; of one column, 0 or 1."""
    if targets.ndim == 1:
        return targets.astype(np.intp)
    if targets.shape[1] == 1:
        return sides_in(targets, boundary)[:, 0]
    largest: NDArray[np.intp] = targets.argmax(axis=1)
    return largest


def sides_in(targets: NDArray[np.generic], boundary: float) -> NDArray[np.intp]:
    """1 above the boundary, else 0, as scikit-learn reads scores and probabilities."""
    above: NDArray[np.bool_] = np.greater(targets, boundary)
    return above.astype(np.intp)


def split_at(count: int, share: float) -> int:
    """How many samples come before the share that is held out.

    Raises:
        SettingError: the share leaves nothing to train with, or nothing to hold out.
    """
    number = isinstance(share, float | np.floating) and 0 < share < 1
    part = int(count * (1 - share)) if number else 0
    if not 0 < part < count:
        raise SettingError(
            f"validation_split must be between 0 and 1, and divide {count} samples in two, not {share!r}"
        )
    return part


class ArraySource(Generic[F]):
    """All samples in each epoch; `random` draws the order."""

    samples: CheckedSamples[F]
    random: np.random.Generator | None

    def __init__(self, samples: CheckedSamples[F], random: np.random.Generator | None) -> None:
        self.samples, self.random = samples, random
        self.length: int | None = len(samples)
        self.order: Order = np.arange(len(samples))

    def epoch(self, number: int) -> Iterator[tuple[CheckedSamples[F], Order]]:
        """The samples, in an order that the state of the generator alone decides."""
        if self.random is not None:
            self.order[0], self.order[1:] = 0, 1
            np.cumsum(self.order, out=self.order)  # 0, 1, 2 and so on: nothing is allocated, nor sorted
            self.random.shuffle(self.order)
        yield self.samples, self.order


class BatchSource(Generic[F]):
    """Batches as an iterable gives them.

    Without `steps` an epoch is all that the iterable gives, from the beginning. With it, an epoch is so many
    batches, the next goes on with what follows, and a training that is resumed passes over those it has had.
    """

    batches: Iterable[Batch[F]]
    steps: int | None
    format: SampleFormat[F]
    class_weight: Mapping[int, float] | None
    passed: int

    def __init__(
        self,
        batches: Iterable[Batch[F]],
        steps: int | None,
        sample_format: SampleFormat[F],
        class_weight: Mapping[int, float] | None,
    ) -> None:
        if not isinstance(batches, Iterable):
            raise ArrayTypeError(
                f"Network: batches must be an iterable of batches, not {type(batches).__name__}"
            )
        self.batches, self.steps = batches, steps
        self.format, self.class_weight = sample_format, class_weight
        self.length: int | None = None
        self.iterator: Iterator[Batch[F]] | None = None
        self.passed = 0

    def epoch(self, number: int) -> Iterator[tuple[CheckedSamples[F], Order]]:
        """The batches of an epoch.

        Raises:
            ShapeError, ArrayTypeError, DataError: a batch that does not fit, or too few of them.
        """
        if self.steps is None:
            self.iterator = iter(self.batches)
        else:
            while self.passed < number * self.steps:
                self._next(number, 0)
        step = 0
        while self.steps is None or step < self.steps:
            batch = self._next(number, step)
            if batch is None:
                break
            step += 1
            yield self._samples(batch, f"batch {step} of epoch {number + 1}")

    def _next(self, number: int, step: int) -> Batch[F] | None:
        """The next batch; None at the end of an epoch of all batches."""
        for _ in range(2):
            if self.iterator is None:
                self.iterator = iter(self.batches)
            for batch in self.iterator:
                self.passed += 1
                return batch
            again = self.iterator is not self.batches and self.steps is not None and self.passed > 0
            if not again:
                break
            self.iterator = None
        if self.steps is not None:
            raise DataError(
                f"Network: the batches ended after {step} of the {self.steps} steps of epoch {number + 1}"
            )
        if step == 0:
            hint = "; an iterator gives its batches once, a list or a class with __iter__ again and again"
            raise DataError(f"Network: there are no batches in epoch {number + 1}" + hint * (number > 0))
        return None

    def _samples(self, batch: Batch[F], owner: str) -> tuple[CheckedSamples[F], Order]:
        if not isinstance(batch, tuple) or len(batch) not in {2, 3}:
            raise ArrayTypeError(
                f"{owner}: must be a tuple (x, y) or (x, y, sample_weight), not {type(batch).__name__}"
                + (f" of {len(batch)}" if isinstance(batch, tuple) else "")
            )
        samples = self.format.samples(batch[0], batch[1], _weights_of(batch), self.class_weight, owner)
        return samples, np.arange(len(samples))


def _weights_of(batch: Batch[F]) -> Weights | None:
    return batch[2] if len(batch) == 3 else None


def _checked_weights(values: Weights, count: int, dtype: np.dtype[F], owner: str) -> Vector[F]:
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiu":
        raise ArrayTypeError(f"{owner}: sample_weight must be a numpy.ndarray of real numbers")
    if values.shape != (count,):
        raise ShapeError(f"{owner}: sample_weight must have the shape ({count},), not {values.shape}")
    check_finite(values, "sample_weight", owner)
    if values.min() < 0:
        raise DataError(f"{owner}: sample_weight must be 0 or more, but holds {values.min():g}")
    weights: Vector[F] = values.astype(dtype)
    return weights


def _is_weight(value: float) -> bool:
    number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    return number and isfinite(value) and value >= 0

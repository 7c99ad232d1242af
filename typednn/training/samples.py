"""The samples of a training: checked arrays, which may be larger than memory, with targets and weights.

An array that the kernels can read is never copied. Others, such as labels or arrays of another dtype, are
converted: all rows at once, or, where that takes more than `MAX_COPY_BYTES`, the rows of each chunk of an
epoch when it is trained. A memory map that is larger than `MAX_COPY_BYTES` is checked in the same way, so
that the file is read once an epoch.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from functools import partial
from typing import Generic, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from typednn_kernels.arrays import F, Matrix, Order, Vector
from typednn_kernels.losses import LOSSES, Loss, TargetKind

from typednn.errors import ArrayTypeError, DataError, SettingError, ShapeError
from typednn.layers import OutputLayer
from typednn.validation.arrays import (
    Given,
    Samples,
    Targets,
    Weights,
    Y_co,
    as_ndarray,
    check_finite,
    check_range,
    check_same_length,
    checked_targets,
    class_indices,
    converted,
    matrix_of_numbers,
    one_hot,
    read_only,
    refuse_masked,
)
from typednn.validation.settings import is_number

MAX_COPY_BYTES = 2**26
"""The largest copy of all rows of an array."""

MAX_CHUNK_BYTES = 2**24
"""The largest copy of the rows of a chunk, samples and targets together."""

CLASS_WEIGHT = 'class_weight must be "balanced", a mapping from labels to weights or a weight for each class'

SMOOTHED: tuple[TargetKind, ...] = ("classes", "probabilities")
"""The kinds of targets that label smoothing applies to."""

Batch: TypeAlias = tuple[Samples[F], Targets[F, Y_co]] | tuple[Samples[F], Targets[F, Y_co], Weights]
"""Samples, targets and optional sample weights."""

ValidationData: TypeAlias = Batch[F, Y_co]
"""Held-out samples, targets and optional sample weights."""

ClassWeights: TypeAlias = Literal["balanced"] | Mapping[int, float] | Sequence[float] | Weights
"""Weights of classes by label: a mapping, in which labels that are missing have 1; one number for each class;
or "balanced", n_samples / (classes that occur · samples of the class), as in scikit-learn.
"""

Index: TypeAlias = Order | slice

NO_INDICES: Order = read_only(np.arange(0))


class Rows(Generic[F]):
    """The rows of a checked array, converted to what the kernels read.

    Args:
        array: the array, `(n, …)`.
        width: the length of a converted row.
        dtype: the dtype of a converted row.
        make: converts some rows; None where at most the dtype or the memory layout differs.
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
        small = len(array) * self.row_bytes <= MAX_COPY_BYTES
        self.whole: Matrix[F] | None = self.make(array) if as_it_is or small else None

    def take(self, index: Index) -> Matrix[F]:
        """Returns some of the rows, `(n, width)`."""
        return self.make(self.array[index]) if self.whole is None else read_only(self.whole[index])

    def part(self, rows: slice) -> Rows[F]:
        """Returns a slice of the rows, without a copy."""
        part = copy(self)
        part.array = self.array[rows]
        part.whole = None if self.whole is None else read_only(self.whole[rows])
        return part


class CheckedSamples(Generic[F]):
    """Samples, targets and weights that have been checked to fit together.

    Attributes:
        x, t: the rows of samples and of targets.
        y: the targets that the user gave.
        weights: the sample weights `(n_samples,)`, or `(0,)` without weights.
        max_chunk: the number of samples that `take` may be asked for; those of several epochs where all rows
            are converted.
        unchecked: the number of samples that are checked when they are first taken, in the first pass.
        owner, first: what the user gave the samples to, and the index there of the first, for messages.
    """

    x: Rows[F]
    t: Rows[F]
    weights: Vector[F]
    y: NDArray[np.generic]
    max_chunk: int
    unchecked: int
    owner: str
    first: int = 0

    def __init__(
        self, x: Rows[F], t: Rows[F], weights: Vector[F], unchecked: int = 0, owner: str = "Network"
    ) -> None:
        self.x, self.t, self.weights, self.unchecked = x, t, weights, unchecked
        self.y, self.owner = t.array, owner
        self.max_chunk = sys.maxsize
        self._indices: Order = NO_INDICES
        if x.whole is None or t.whole is None:
            self.max_chunk = max(1, MAX_CHUNK_BYTES // (x.row_bytes + t.row_bytes))

    def __len__(self) -> int:
        """Returns the number of samples."""
        return len(self.t.array)

    def take(self, order: Order) -> tuple[Matrix[F], Matrix[F], Vector[F], Order]:
        """Returns samples, targets and weights, and the indices in them of the samples in `order`.

        Raises:
            DataError: features that are checked now are not finite.
        """
        if self.unchecked:
            self._check(order)
        if self.x.whole is not None and self.t.whole is not None:
            return self.x.whole, self.t.whole, self.weights, order
        if len(order) > len(self._indices):
            self._indices = read_only(np.arange(len(order)))
        weights = read_only(self.weights[order]) if len(self.weights) else self.weights
        return self.x.take(order), self.t.take(order), weights, self._indices[: len(order)]

    def split(self, index: int) -> tuple[CheckedSamples[F], CheckedSamples[F]]:
        """Returns the samples before an index and those from it on, with their weights."""
        parts = [
            CheckedSamples(self.x.part(rows), self.t.part(rows), self.weights[rows])
            for rows in (slice(index), slice(index, None))
        ]
        if self.unchecked:
            for each in parts:
                each.unchecked = len(each)
        parts[1].first = self.first + index
        return parts[0], parts[1]

    def chunks(self, size: int) -> Iterator[tuple[Matrix[F], Matrix[F], slice]]:
        """Yields all samples and targets, `size` at a time, and the slice that they come from."""
        for start in range(0, len(self), size):
            chunk = slice(start, min(start + size, len(self)))
            if self.unchecked:
                self._check(np.arange(chunk.start, chunk.stop))
            yield self.x.take(chunk), self.t.take(chunk), chunk

    def _check(self, order: Order) -> None:
        """Checks the features of some samples, each of which is looked at once in a pass."""
        step = max(1, MAX_CHUNK_BYTES // self.x.row_bytes)
        for start in range(0, len(order), step):
            places = order[start : start + step]
            wrong = ~np.isfinite(self.x.array[places]).all(axis=1)
            if wrong.any():
                row = self.first + places[wrong.argmax()]
                raise DataError(
                    f"{self.owner}: row {row} of x, a memory map that is checked as it is read, holds "
                    "numbers that are not finite; the network is as after the last step"
                )
        self.unchecked = max(0, self.unchecked - len(order))


class SampleFormat(NamedTuple, Generic[F]):
    """The form of the samples and targets of a network.

    Attributes:
        inputs, outputs: the numbers of features and of outputs.
        dtype: the dtype of the network.
        loss: the loss of the network.
        label_smoothing: s in t (1 - s) + s / n, which replaces a target t; n is the number of classes, or 2
            for independent probabilities (Szegedy et al. 2016, arXiv:1512.00567, section 7).
    """

    inputs: int
    outputs: int
    dtype: np.dtype[F]
    loss: Loss
    label_smoothing: float = 0.0

    def samples(
        self,
        x: Given,
        y: Given,
        sample_weight: Weights | None = None,
        class_weight: ClassWeights | None = None,
        owner: str = "Network",
        *,
        large_later: bool = False,
    ) -> CheckedSamples[F]:
        """Checks samples `(n_samples, inputs)`, targets `(n_samples, outputs)` or labels, and weights.

        With `large_later` the features of a large memory map are checked when they are first taken.

        Raises:
            ShapeError, ArrayTypeError, DataError: the data do not fit the network.
            SettingError: class weights are invalid, or the network does not predict classes.
        """
        features = matrix_of_numbers(x, self.inputs, self.dtype, "x", owner)
        later = large_later and isinstance(features, np.memmap) and features.nbytes > MAX_COPY_BYTES
        if not later:
            check_finite(features, "x", owner)
        targets = checked_targets(y, self.outputs, self.dtype, self.classes, owner)
        if targets.ndim == 2:
            check_range(targets, self.loss.target_minimum, self.loss.target_maximum, "y", owner)
        check_same_length(features, targets, owner)
        weights = self.weights(targets, sample_weight, class_weight, owner)
        rows = Rows(targets, self.outputs, self.dtype, self._target_rows(targets.ndim == 1))
        return CheckedSamples(
            Rows(features, self.inputs, self.dtype),
            rows,
            weights,
            len(features) * later * (features.dtype.kind == "f"),
            owner,
        )

    def validation(self, data: ValidationData[F]) -> CheckedSamples[F]:
        """Checks held-out samples.

        Raises:
            ArrayTypeError: the data are not a tuple of two or three arrays.
            ShapeError, ArrayTypeError, DataError: the data do not fit the network.
        """
        if not isinstance(data, tuple) or len(data) not in {2, 3}:
            raise ArrayTypeError("validation_data must be a tuple (x, y) or (x, y, sample_weight)")
        return self.samples(data[0], data[1], weights_of(data), owner="validation_data", large_later=True)

    @property
    def classes(self) -> bool:
        """Whether targets may be integer labels."""
        return self.loss.targets == "classes"

    def _target_rows(self, labels: bool) -> Callable[[NDArray[np.generic]], Matrix[F]] | None:
        smoothing, width, dtype = self.label_smoothing, self.outputs, self.dtype
        if not labels and not smoothing:
            return None
        floor = dtype.type(smoothing / (width if self.classes else 2))

        def make(array: NDArray[np.generic]) -> Matrix[F]:
            rows = one_hot(array, width, dtype) if labels else converted(array, dtype)
            if smoothing:
                rows = np.multiply(rows, dtype.type(1 - smoothing))
                rows += floor
            return read_only(rows)

        return make

    def weights(
        self,
        targets: NDArray[np.generic],
        sample_weight: Weights | None,
        class_weight: ClassWeights | None,
        owner: str = "Network",
    ) -> Vector[F]:
        """Checks weights for checked targets; returns their product `(n_samples,)`, or `(0,)` without any.

        Raises:
            ShapeError, ArrayTypeError, DataError: the sample weights do not fit the targets.
            SettingError: class weights are invalid, or the network does not predict classes.
        """
        weights: Vector[F] = np.empty(0, self.dtype)
        if sample_weight is not None:
            weights = _checked_weights(sample_weight, len(targets), self.dtype, owner)
        if class_weight is not None:
            labels = class_indices(targets, self.loss.boundary)
            factors: Vector[F] = self.class_factors(class_weight, labels, owner).astype(self.dtype)[labels]
            if len(weights):
                factors *= weights
            weights = factors
        return read_only(weights)

    def class_factors(
        self, class_weight: ClassWeights, labels: NDArray[np.intp], owner: str = "Network"
    ) -> Vector[np.float64]:
        """Computes the weight of each class `(n_classes,)`, given the labels of all samples.

        Raises:
            SettingError: the weights are invalid, or the network does not predict classes.
        """
        binary = self.outputs == 1 and self.loss.targets in {"signs", "probabilities"}
        count = self.outputs if self.classes else 2
        if not binary and not self.classes:
            raise SettingError(
                f"{owner}: class_weight needs classes, but the loss is {self.loss.name}"
                + " of several outputs" * (self.loss.targets != "numbers")
            )
        factors: Vector[np.float64] = np.ones(count)
        if isinstance(class_weight, str):
            if class_weight != "balanced":
                raise SettingError(f"{owner}: {CLASS_WEIGHT}, not {class_weight!r}")
            counts = np.bincount(labels, minlength=count)
            present = counts > 0
            factors[present] = len(labels) / (present.sum() * counts[present])
            return factors
        for label, weight in _by_label(class_weight, count, owner).items():
            if isinstance(label, bool) or not isinstance(label, int | np.integer) or not 0 <= label < count:
                raise SettingError(f"{owner}: class_weight must have keys of 0 … {count - 1}, not {label!r}")
            if not is_number(weight) or weight < 0:
                raise SettingError(
                    f"{owner}: class_weight[{label}] must be a finite number of 0 or more, not {weight!r}"
                )
            factors[label] = weight
        return factors


def format_of(output: OutputLayer[F], label_smoothing: float = 0.0) -> SampleFormat[F]:
    """Returns the form of the samples of the network with this output layer.

    Raises:
        SettingError: the label smoothing is outside its range, or the loss does not allow it.
    """
    storage, loss = output._storage, LOSSES[output._loss_code]
    if not is_number(label_smoothing) or not 0 <= label_smoothing <= 1:
        raise SettingError(f"label_smoothing must be a number from 0 to 1, not {label_smoothing!r}")
    if label_smoothing and loss.targets not in SMOOTHED:
        names = [row.name for row in LOSSES if row.targets in SMOOTHED]
        raise SettingError(f"label_smoothing is for {', '.join(names)}, not for {loss.name}")
    return SampleFormat(storage.layers[0].length, output.length, storage.dtype, loss, label_smoothing)


def split_index(count: int, fraction: float) -> int:
    """Returns the index of the first sample that `validation_split` holds out, of `count` samples.

    Raises:
        SettingError: the fraction leaves no samples to train with, or none to hold out.
    """
    valid = isinstance(fraction, float | np.floating) and 0 < fraction < 1
    index = int(count * (1 - fraction)) if valid else 0
    if not 0 < index < count:
        raise SettingError(
            f"validation_split must be between 0 and 1, and divide {count} samples in two, not {fraction!r}"
        )
    return index


def _by_label(
    class_weight: Mapping[int, float] | Sequence[float] | Weights, count: int, owner: str
) -> Mapping[int, float]:
    """Returns the weights of `count` classes by label."""
    if isinstance(class_weight, Mapping):
        return class_weight
    if isinstance(class_weight, np.ndarray):
        class_weight = class_weight.tolist()
    if not isinstance(class_weight, Sequence):
        raise SettingError(f"{owner}: {CLASS_WEIGHT}, not {class_weight!r}")
    if len(class_weight) != count:
        raise SettingError(
            f"{owner}: class_weight must have a weight for each of {count} classes, "
            f"not {len(class_weight)} weights; a mapping can leave classes out"
        )
    return dict(enumerate(class_weight))


def weights_of(batch: Batch[F]) -> Weights | None:
    """Returns the sample weights of a batch; None without any."""
    return batch[2] if len(batch) == 3 else None


def _checked_weights(values: Weights, count: int, dtype: np.dtype[F], owner: str) -> Vector[F]:
    given = as_ndarray(values, "sample_weight", owner)
    if not isinstance(given, np.ndarray) or given.dtype.kind not in "fiu":
        raise ArrayTypeError(f"{owner}: sample_weight must be a numpy.ndarray of real numbers")
    refuse_masked(given, "sample_weight", owner)
    checked = given.copy()  # what is checked is what is used
    if checked.shape != (count,):
        raise ShapeError(f"{owner}: sample_weight must have the shape ({count},), not {checked.shape}")
    check_finite(checked, "sample_weight", owner)
    if checked.min() < 0:
        raise DataError(f"{owner}: sample_weight must be 0 or more, but holds {checked.min():g}")
    weights: Vector[F] = checked.astype(dtype)
    return weights

"""Dense and sparse samples in the form that a training reads, and what a network computes for them."""

from __future__ import annotations

from functools import partial
from typing import Protocol, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray
from typednn_kernels.arrays import Matrix, Order, Vector
from typednn_kernels.losses import LOSSES

from typednn.network.network import AnyNetwork
from typednn.training.samples import CheckedSamples, Index, Rows
from typednn.training.watched_epochs import EVALUATION_CHUNK
from typednn.validation.arrays import check_range, one_hot, read_only

Real: TypeAlias = np.float32 | np.float64


class Sparse(Protocol):
    """A checked sparse matrix by rows."""

    shape: tuple[int, int]
    dtype: np.dtype[np.generic]

    def __getitem__(self, index: Index) -> Sparse: ...
    def toarray(self) -> NDArray[np.generic]:
        """Returns the matrix with its zeros."""
        ...


Features: TypeAlias = Matrix[Real] | Sparse
"""Checked samples `(n_samples, n_features)`."""


class SparseRows(Rows[Real]):
    """The rows of a sparse matrix, of which only those that are asked for are made dense."""

    matrix: Sparse
    dtype: np.dtype[Real]
    whole: Matrix[Real] | None
    row_bytes: int

    def __init__(self, matrix: Sparse, dtype: np.dtype[Real]) -> None:
        self.matrix, self.dtype, self.whole = matrix, dtype, None
        self.row_bytes = matrix.shape[1] * dtype.itemsize

    def take(self, index: Index) -> Matrix[Real]:
        rows: Matrix[Real] = self.matrix[index].toarray().astype(self.dtype, copy=False)
        return read_only(rows)


def is_float32(x: object) -> bool:
    """Tells whether all columns of a DataFrame of polars are float32, which scikit-learn makes float64."""
    columns: object = getattr(x, "dtypes", None)
    return isinstance(columns, list) and {str(each) for each in cast("list[object]", columns)} == {"Float32"}


def samples_of(
    network: AnyNetwork,
    x: Features,
    targets: NDArray[np.generic],
    factors: Vector[np.float64] | None = None,
) -> CheckedSamples[Real]:
    """Returns samples for a training; labels `(n_samples,)` become one-hot rows.

    Raises:
        DataError: a target is outside the range for which the loss is defined.
    """
    outputs, dtype, loss = network.layers[-1].length, network.dtype, LOSSES[network._loss]
    make = None
    if targets.ndim == 1:
        make = partial(one_hot, width=outputs, dtype=dtype)
    else:
        check_range(targets, loss.target_minimum, loss.target_maximum, "y", "Network")
    rows = Rows(x, x.shape[1], dtype) if isinstance(x, np.ndarray) else SparseRows(x, dtype)
    return CheckedSamples(rows, Rows(targets, outputs, dtype, make), as_weights(factors, dtype))


def some_of(
    samples: CheckedSamples[Real], index: Order, factors: Vector[np.float64] | None
) -> CheckedSamples[Real]:
    """Returns copies of some samples, with factors of their losses; sparse ones stay sparse."""
    t = samples.t.take(index)
    rows = samples.x
    if isinstance(rows, SparseRows):
        x: Rows[Real] = SparseRows(rows.matrix[index], rows.dtype)
    else:
        dense = rows.take(index)
        x = Rows(dense, dense.shape[1], dense.dtype)
    return CheckedSamples(x, Rows(t, t.shape[1], t.dtype), as_weights(factors, t.dtype))


def as_weights(factors: Vector[np.float64] | None, dtype: np.dtype[Real]) -> Vector[Real]:
    """Returns factors in the form of the weights of checked samples."""
    weights: Vector[Real] = np.zeros(0, dtype) if factors is None else factors.astype(dtype)
    return read_only(weights)


def outputs_of(network: AnyNetwork, x: Features) -> Matrix[Real]:
    """Computes the outputs `(n_samples, n_outputs)` for checked samples, of sparse ones a chunk at a time."""
    if isinstance(x, np.ndarray):
        return network.predict(x)
    outputs: Matrix[Real] = np.empty((x.shape[0], network.layers[-1].length), network.dtype)
    rows = SparseRows(x, network.dtype)
    for first in range(0, len(outputs), EVALUATION_CHUNK):
        chunk = slice(first, first + EVALUATION_CHUNK)
        outputs[chunk] = network.predict(rows.take(chunk))
    return outputs


def outputs_and_targets(
    network: AnyNetwork, samples: CheckedSamples[Real]
) -> tuple[Matrix[Real], Matrix[Real]]:
    """Computes the outputs for checked samples, a chunk at a time; returns them and the targets."""
    outputs: Matrix[Real] = np.empty((len(samples), network.layers[-1].length), network.dtype)
    targets: Matrix[Real] = np.empty_like(outputs)
    for x, t, chunk in samples.chunks(EVALUATION_CHUNK):
        targets[chunk], outputs[chunk] = t, network.predict(x)
    return outputs, targets

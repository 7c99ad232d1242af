"""The part of a rank in each batch, and how samples are moved so that all parts are of one size.

Batches are those of the order of all samples, of which a rank has more or fewer. Those that it has too many
of go to ranks with too few, by an exchange before the step: of a table in which each sample that is moved has
a row.
"""

from __future__ import annotations

from typing import Generic, NamedTuple

import numpy as np
from numpy.typing import NDArray
from typednn_kernels.arrays import F, Matrix, Order, Vector

MOVED_PARAMETERS = 1 << 20
"""Parameters from which on samples are moved: one sample then takes longer than the exchange of some."""

COLUMNS = 2
"""The columns of a moved sample after features and targets: its weight, and its place in the batch."""


class Moves(NamedTuple):
    """The rows of samples that are moved before a step: this rank's last ones, and those that it takes."""

    given: slice
    taken: slice


class BatchPart(NamedTuple, Generic[F]):
    """The samples of a batch that a rank has.

    Attributes:
        x, t, sample_weights: samples, targets and weights, as the kernels take them; weights may be `(0,)`.
        places: the place of each sample in the batch, `(n,)`; None where all follow those of lower ranks.
        size: the number of samples of all ranks; None where it is not known yet.
        is_last: whether all ranks know that the epoch ends with this batch.
        moves: how samples are moved before the step; None where they are not.
    """

    x: Matrix[F]
    t: Matrix[F]
    sample_weights: Vector[F]
    places: Order | None
    size: int | None
    is_last: bool
    moves: Moves | None = None

    def give(self, moves: Moves, table: Matrix[np.float64]) -> None:
        """Writes the samples that this rank gives to their rows of a table of zeros."""
        assert self.places is not None
        rows = table[moves.given]
        kept = slice(len(self.x) - len(rows), None)
        rows[:, : self.x.shape[1]] = self.x[kept]
        rows[:, self.x.shape[1] : -COLUMNS] = self.t[kept]
        rows[:, -COLUMNS] = self._weights[kept]
        rows[:, -1] = self.places[kept]

    def balanced(self, moves: Moves, table: Matrix[np.float64]) -> BatchPart[F]:
        """Returns the part without the samples that this rank gives, and with those that it takes."""
        assert self.places is not None
        kept, rows, inputs = len(self.x) - len(table[moves.given]), table[moves.taken], self.x.shape[1]
        dtype = self.x.dtype
        return self._replace(
            x=np.concatenate([self.x[:kept], rows[:, :inputs].astype(dtype)]),
            t=np.concatenate([self.t[:kept], rows[:, inputs:-COLUMNS].astype(dtype)]),
            sample_weights=np.concatenate([self._weights[:kept], rows[:, -COLUMNS].astype(dtype)]),
            places=np.concatenate([self.places[:kept], rows[:, -1].astype(np.int64)]),
            moves=None,
        )

    @property
    def _weights(self) -> Vector[F]:
        return self.sample_weights if len(self.sample_weights) else np.ones(len(self.x), self.x.dtype)


def moves_of(counts: NDArray[np.int64], rank: int) -> tuple[int, list[Moves]]:
    """Returns the largest number of samples that are moved before a step, and a rank's moves by batch.

    Args:
        counts: the number of samples that ranks have of batches, `(n_batches, n_ranks)`.
        rank: the rank.
    """
    ranks = counts.shape[1]
    sizes: NDArray[np.int64] = counts.sum(axis=1, keepdims=True)
    products: NDArray[np.int64] = np.multiply(sizes, list(range(ranks + 1)))
    ends: NDArray[np.int64] = np.floor_divide(products, ranks)
    equal: NDArray[np.int64] = np.subtract(ends[:, 1:], ends[:, :-1])
    surplus: NDArray[np.int64] = np.subtract(counts, equal)
    stops = [np.maximum(each, 0).cumsum(axis=1) for each in (surplus, -surplus)]
    starts = [each - np.maximum(sign * surplus, 0) for each, sign in zip(stops, (1, -1), strict=True)]
    bounds = np.stack([each[:, rank] for pair in zip(starts, stops, strict=True) for each in pair], axis=1)
    moves = [Moves(slice(a, b), slice(c, d)) for a, b, c, d in bounds.tolist()]
    return int(stops[0].max(initial=0)), moves

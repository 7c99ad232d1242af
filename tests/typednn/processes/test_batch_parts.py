"""Samples are moved so that all ranks have equally many of a batch, and none is lost."""

from __future__ import annotations

import numpy as np
import pytest

from tests.typednn.building import DTYPES, Dtype
from typednn.processes.batch_parts import COLUMNS, BatchPart, Moves, moves_of

WIDTH, OUTPUTS = 3, 2


@pytest.mark.parametrize("ranks", [1, 2, 3, 8])
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)
def test_each_rank_has_equally_many_samples_and_each_sample_is_somewhere(ranks: int, dtype: Dtype) -> None:
    rng = np.random.default_rng(ranks)
    counts = rng.integers(0, 40, (20, ranks)) * rng.integers(0, 2, (20, ranks))
    largest = 0
    by_rank: list[list[Moves]] = []
    for rank in range(ranks):
        largest, moves = moves_of(counts, rank)
        by_rank.append(moves)

    for batch, of_ranks in enumerate(counts.tolist()):
        total = sum(of_ranks)
        places = np.array_split(rng.permutation(total), np.cumsum(of_ranks)[:-1])
        x = rng.normal(size=(total, WIDTH)).astype(dtype)
        t, weights = x[:, :OUTPUTS] + 1, rng.uniform(size=total).astype(dtype)
        parts = [
            BatchPart(x[mine], t[mine], weights[mine] if batch % 2 else weights[:0], mine, total, False)
            for mine in places
        ]
        table = np.zeros((largest, WIDTH + OUTPUTS + COLUMNS))
        for rank, part in enumerate(parts):
            part.give(by_rank[rank][batch], table)
        balanced = [part.balanced(by_rank[rank][batch], table) for rank, part in enumerate(parts)]

        assert {len(part.x) for part in balanced} <= {total // ranks, -(-total // ranks)}
        found = np.concatenate([part.places for part in balanced if part.places is not None])
        assert sorted(found.tolist()) == list(range(total))
        for part in balanced:
            assert {each.dtype for each in (part.x, part.t, part.sample_weights)} == {np.dtype(dtype)}
            np.testing.assert_array_equal(part.x, x[part.places])
            np.testing.assert_array_equal(part.t, t[part.places])
            expected = weights[part.places] if batch % 2 else np.ones(len(part.x))
            np.testing.assert_array_equal(part.sample_weights, expected)

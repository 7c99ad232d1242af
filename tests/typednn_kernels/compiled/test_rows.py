"""Formulas of short rows: each asked of rows of every length, beside NumPy in float64."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import pytest
from typednn_kernels.arrays import F, Vector
from typednn_kernels.elementary import exp

numba = pytest.importorskip("numba", reason="numba does not work here", exc_type=ImportError)
jit = import_module("typednn_kernels.compiled.jit")
rows = import_module("typednn_kernels.compiled.rows")
if not rows.LONGEST:
    pytest.skip("no row is short here", allow_module_level=True)

SAMPLES, BEYOND = 5, -7.0
by_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda dtype: dtype.__name__)


def distances(row: Any, x: Any, scale: Any) -> Any:
    return scale * (x - row.largest(x)) + row.total(exp(x))


def greatest(row: Any, x: Any, y: Any) -> Any:
    return row.largest(x * y)


all_distances = rows.of_rows("test_distances", distances)
all_greatest = rows.of_rows("test_greatest", greatest, numbers=True)


def distances_of(samples: int, n: int, x: Vector[F], scale: F, out: Vector[F]) -> None:
    all_distances(samples, n, x, scale, out)


def greatest_of(samples: int, n: int, x: Vector[F], y: Vector[F], out: Vector[F]) -> None:
    all_greatest(samples, n, x, y, out)


def sums_of(samples: int, n: int, x: Vector[F], out: Vector[F]) -> None:
    rows.sums_of_rows(samples, n, x, out)


with pytest.MonkeyPatch.context() as patch:
    patch.setattr(jit, "CACHE", None)  # which knows the sources of the kernels, not this
    distances_of, greatest_of, sums_of = map(jit.entry, (distances_of, greatest_of, sums_of))


def lengths(dtype: Any) -> range:
    """Those of short rows."""
    return range(1, rows.LONGEST // np.dtype(dtype).itemsize + 1)


def numbers(n: int, dtype: Any) -> Any:
    """Rows of negative numbers, so that none is larger than what may stand beyond their end."""
    return -np.random.default_rng(n).uniform(1, 2, (SAMPLES, n)).astype(dtype)


@by_dtype
def test_what_is_short(dtype: Any) -> None:
    like, (*_, longest) = np.empty(0, dtype), lengths(dtype)
    is_short = getattr(rows.is_short, "py_func", rows.is_short)
    assert [is_short(n, like) for n in (1, longest, longest + 1)] == [True, True, False]


@by_dtype
def test_rows_of_every_length(dtype: Any) -> None:
    for n in lengths(dtype):
        x, room = numbers(n, dtype), np.full(SAMPLES * n + 2, BEYOND, dtype)
        distances_of(SAMPLES, n, x.reshape(-1), dtype(3), room[1:-1])
        precise = x.astype(np.float64)
        expected = 3 * (precise - precise.max(1, keepdims=True)) + np.exp(precise).sum(1, keepdims=True)
        units = 8 * np.finfo(dtype).eps * (3 + np.exp(precise).sum(1, keepdims=True))
        assert (abs(room[1:-1].reshape(SAMPLES, n) - expected) < units).all(), n
        assert (room[[0, -1]] == BEYOND).all()


@by_dtype
def test_one_number_for_each_row(dtype: Any) -> None:
    for n in lengths(dtype):
        x, y, room = numbers(n, dtype), -numbers(n + 1, dtype)[:, 1:], np.full(SAMPLES + 2, BEYOND, dtype)
        greatest_of(SAMPLES, n, x.reshape(-1), y.copy().reshape(-1), room[1:-1])
        np.testing.assert_array_equal(room[1:-1], (x * y).max(1), err_msg=f"{n=}")
        assert (room[[0, -1]] == BEYOND).all()


@by_dtype
@pytest.mark.parametrize("samples", [1, 2, SAMPLES])
def test_the_sum_of_rows_one_after_another(samples: int, dtype: Any) -> None:
    for n in lengths(dtype):
        x, room = numbers(n, dtype)[:samples], np.full(n + 2, BEYOND, dtype)
        sums_of(samples, n, x.reshape(-1), room[1:-1])
        expected = x[0].copy()
        for row in x[1:]:
            expected += row
        np.testing.assert_array_equal(room[1:-1], expected, err_msg=f"{n=}")
        assert (room[[0, -1]] == BEYOND).all()


@by_dtype
def test_a_result_in_the_place_of_an_argument(dtype: Any) -> None:
    for n in lengths(dtype):
        x, result = numbers(n, dtype), np.empty((SAMPLES, n), dtype)
        distances_of(SAMPLES, n, x.reshape(-1), dtype(3), result.reshape(-1))
        distances_of(SAMPLES, n, x.reshape(-1), dtype(3), x.reshape(-1))
        np.testing.assert_array_equal(x, result, err_msg=f"{n=}")


@by_dtype
def test_a_row_does_not_depend_on_the_others(dtype: Any) -> None:
    for n in lengths(dtype):
        x, together, alone = numbers(n, dtype), np.empty((SAMPLES, n), dtype), np.empty((SAMPLES, n), dtype)
        x[1] = np.nan
        distances_of(SAMPLES, n, x.reshape(-1), dtype(3), together.reshape(-1))
        for s in range(SAMPLES):
            distances_of(1, n, x[s], dtype(3), alone[s])
        np.testing.assert_array_equal(together, alone, err_msg=f"{n=}")
        assert np.isnan(together[1]).all()
        assert np.isfinite(together[[0, 2]]).all()

"""Formulas of short rows: each asked of rows of every length, beside NumPy in float64."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import pytest
from typednn_kernels.activations import SOFTMAX
from typednn_kernels.arrays import F, Vector
from typednn_kernels.primitives import exp

from tests.conftest import ENTRY_POINTS

numba = pytest.importorskip("numba", reason="numba does not work here", exc_type=ImportError)
tuning = import_module("typednn_kernels.compiled._codegen.tuning")
jit = import_module("typednn_kernels.compiled._codegen.jit")
rows = import_module("typednn_kernels.compiled._codegen.short_rows")
vectors = import_module("typednn_kernels.compiled._codegen.simd")
if not rows.MAX_ROW_BYTES:
    pytest.skip("no row is short here", allow_module_level=True)

SAMPLES, BEYOND = 19, -7.0
"""Enough samples for blocks of narrow rows, blocks of others, and rows that are left."""
by_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda dtype: dtype.__name__)


def distances(row: Any, x: Any, scale: Any) -> Any:
    return scale * (x - row.largest(x)) + row.total(exp(x))


def greatest(row: Any, x: Any, y: Any) -> Any:
    return row.largest(x * y)


all_distances = rows.by_short_row("test_distances", distances)
all_greatest = rows.by_short_row("test_greatest", greatest, numbers=True)


def distances_of(samples: int, n: int, x: Vector[F], scale: F, out: Vector[F]) -> None:
    all_distances(samples, n, x, scale, out)


def greatest_of(samples: int, n: int, x: Vector[F], y: Vector[F], out: Vector[F]) -> None:
    all_greatest(samples, n, x, y, out)


def sums_of(samples: int, n: int, stride: int, x: Vector[F], out: Vector[F]) -> None:
    rows.sum_short_rows(samples, n, stride, x, out)


def square(x: Any, scale: Any) -> Any:
    return scale * x * x


def exponential(x: Any, scale: Any) -> Any:
    return scale * exp(x)


few = rows.by_short_vector("test_few", [None, square, exponential])
sum_of_few = rows.by_short_vector("test_sum_of_few", [None, square, exponential], sums=True)


def few_of(code: int, n: int, x: Vector[F], scale: F, out: Vector[F], total: Vector[F]) -> None:
    few(code, n, x, scale, out)
    sum_of_few(code, n, x, scale, total)


with pytest.MonkeyPatch.context() as patch:
    patch.setattr(jit, "CACHE", None)  # which knows the sources of the kernels, not this
    distances_of, greatest_of, sums_of, few_of = map(
        jit.exported, (distances_of, greatest_of, sums_of, few_of)
    )


def lengths(dtype: Any) -> range:
    """Those of short rows."""
    return range(1, rows.MAX_ROW_BYTES // np.dtype(dtype).itemsize + 1)


def numbers(n: int, dtype: Any) -> Any:
    """Rows of negative numbers, so that none is larger than what may stand beyond their end."""
    return -np.random.default_rng(n).uniform(1, 2, (SAMPLES, n)).astype(dtype)


@by_dtype
def test_what_is_short(dtype: Any) -> None:
    like, (*_, longest) = np.empty(0, dtype), lengths(dtype)
    is_short = getattr(rows.is_short_row, "py_func", rows.is_short_row)
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
@pytest.mark.parametrize("samples", [1, 2, 5])
@pytest.mark.parametrize("beside", [0, 3], ids=["all columns", "some columns"])
def test_the_sum_of_rows_one_after_another(samples: int, beside: int, dtype: Any) -> None:
    for n in lengths(dtype):
        x, room = numbers(n + beside, dtype)[:samples], np.full(n + 2, BEYOND, dtype)
        sums_of(samples, n, n + beside, x.reshape(-1)[beside:], room[1:-1])
        expected = x[0, beside:].copy()
        for row in x[1:, beside:]:
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


def few_lengths(dtype: Any) -> range:
    return range(
        tuning.SHORT_VECTOR_SCALAR_ELEMENTS + 1,
        tuning.SHORT_VECTOR_REGISTERS * vectors.VECTOR_BYTES // np.dtype(dtype).itemsize + 1,
    )


@by_dtype
def test_what_is_few(dtype: Any) -> None:
    like, (first, *_, last) = np.empty(0, dtype), few_lengths(dtype)
    are_few = getattr(rows.is_short_vector, "py_func", rows.is_short_vector)
    found = [are_few(n, like) for n in (first - 1, first, last, last + 1)]
    assert found == [False, True, True, False]


@by_dtype
@pytest.mark.parametrize("code", [0, 1, 2])
def test_formulas_of_few_numbers_and_their_sums(code: int, dtype: Any) -> None:
    for n in few_lengths(dtype):
        x, room, total = numbers(n, dtype)[0], np.full(n + 2, BEYOND, dtype), np.full(2, BEYOND, dtype)
        few_of(code, n, x, dtype(3), room[1:-1], total)
        precise = x.astype(np.float64)
        expected = [np.full(n, BEYOND), 3 * precise**2, 3 * np.exp(precise)][code]
        np.testing.assert_allclose(room[1:-1], expected, 8 * np.finfo(dtype).eps)
        np.testing.assert_allclose(total[0], expected.sum() if code else BEYOND, 8 * np.finfo(dtype).eps)
        assert (room[[0, -1]] == BEYOND).all()
        assert total[1] == BEYOND


@by_dtype
@pytest.mark.parametrize("activation", [code for code in range(5) if code != SOFTMAX])
def test_few_numbers_give_the_bits_of_many(activation: int, dtype: Any) -> None:
    kernels = ENTRY_POINTS
    many = np.random.default_rng(0).normal(scale=3, size=(1, 1000)).astype(dtype)
    values, products = np.empty_like(many), np.empty_like(many)
    kernels.activation_value(activation, many, values)
    kernels.activation_backward(activation, many, values, many, products)
    for n in few_lengths(dtype):
        few, y, product = many[:, :n].copy(), np.empty((1, n), dtype), np.empty((1, n), dtype)
        kernels.activation_value(activation, few, y)
        kernels.activation_backward(activation, few, y, few, product)
        np.testing.assert_array_equal(y, values[:, :n], err_msg=f"{n=}")
        np.testing.assert_array_equal(product, products[:, :n], err_msg=f"{n=}")

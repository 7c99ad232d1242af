"""Matrix products on ranges of larger arrays, against products in extended precision."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.oracles.agreement import assert_agrees

numba = pytest.importorskip("numba", reason="numba does not work here", exc_type=ImportError)
tuning = import_module("typednn_kernels.compiled._codegen.tuning")
jit = import_module("typednn_kernels.compiled._codegen.jit")
gemm = import_module("typednn_kernels.compiled.linalg.gemm")
vectors = import_module("typednn_kernels.compiled._codegen.simd")
views = import_module("typednn_kernels.compiled._codegen.array_views")

Array = NDArray[Any]
slice_of = views.slice_of
compiled_only = pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="nothing is compiled")
by_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda dtype: dtype.__name__)
by_name = pytest.mark.parametrize("name", ["rows_by_rows", "rows_by_columns", "columns_by_columns", "added"])
FACTOR = {"added": -0.3}

START, GAP, GUARD = 3, 5, 7.0
"""Numbers before a matrix, and between two of its rows; what they are in a result."""


@dataclass
class Range:
    """A matrix within a larger flat array; all around it is NaN, or another guard."""

    array: Array
    shape: tuple[int, int]

    @classmethod
    def around(cls, matrix: Array, guard: float = np.nan) -> Range:
        rows, columns = matrix.shape
        array = np.empty(2 * START + rows * (columns + GAP), matrix.dtype)
        array[...] = guard
        whole = cls(array, (rows, columns))
        whole.matrix[...] = matrix
        return whole

    @property
    def row(self) -> int:
        return self.shape[1] + GAP

    @property
    def matrix(self) -> Array:
        rows, columns = self.shape
        return self.array[START : START + rows * self.row].reshape(rows, self.row)[:, :columns]

    def assert_guarded(self, guard: float) -> None:
        outside = self.array.copy()
        rows, columns = self.shape
        outside[START : START + rows * self.row].reshape(rows, self.row)[:, :columns] = guard
        assert (outside == guard).all()


def kernels() -> dict[str, Callable[..., None]]:
    """The products of ranges, compiled again."""
    gemm_serial, Gemm, MatrixOperand = gemm.gemm_serial, gemm.Gemm, gemm.MatrixOperand

    def rows_by_rows(
        m: int, n: int, k: int, x: Array, xr: int, y: Array, yr: int, bias: Array, out: Array, outr: int
    ) -> None:
        A, B = (
            MatrixOperand(slice_of(x, START, m * xr), xr, False),
            MatrixOperand(slice_of(y, START, n * yr), yr, True),
        )
        C, one = slice_of(out, START, m * outr), x.dtype.type(1)
        gemm_serial(Gemm(m, n, k, A, B, bias, one, False, C, outr))

    def rows_by_columns(
        m: int, n: int, k: int, x: Array, xr: int, y: Array, yr: int, bias: Array, out: Array, outr: int
    ) -> None:
        A, B = (
            MatrixOperand(slice_of(x, START, m * xr), xr, False),
            MatrixOperand(slice_of(y, START, k * yr), yr, False),
        )
        C, one, empty = slice_of(out, START, m * outr), x.dtype.type(1), slice_of(bias, 0, 0)
        gemm_serial(Gemm(m, n, k, A, B, empty, one, False, C, outr))

    def columns_by_columns(
        m: int, n: int, k: int, x: Array, xr: int, y: Array, yr: int, bias: Array, out: Array, outr: int
    ) -> None:
        A, B = (
            MatrixOperand(slice_of(x, START, k * xr), xr, True),
            MatrixOperand(slice_of(y, START, k * yr), yr, False),
        )
        C, one, empty = slice_of(out, START, m * outr), x.dtype.type(1), slice_of(bias, 0, 0)
        gemm_serial(Gemm(m, n, k, A, B, empty, one, False, C, outr))

    factor = FACTOR["added"]

    def added(
        m: int, n: int, k: int, x: Array, xr: int, y: Array, yr: int, bias: Array, out: Array, outr: int
    ) -> None:
        A, B = (
            MatrixOperand(slice_of(x, START, k * xr), xr, True),
            MatrixOperand(slice_of(y, START, k * yr), yr, False),
        )
        C, alpha, empty = slice_of(out, START, m * outr), x.dtype.type(factor), slice_of(bias, 0, 0)
        gemm_serial(Gemm(m, n, k, A, B, empty, alpha, True, C, outr))

    functions: tuple[Callable[..., None], ...] = (rows_by_rows, rows_by_columns, columns_by_columns, added)
    return {each.__name__: jit.inline(each) for each in functions}


KERNELS = kernels()


def computed(kernel: Callable[..., None], name: str, x: Array, y: Array, bias: Array) -> Array:
    """x (m, k) times y (k, n), plus the bias; nothing may be written elsewhere."""
    (m, k), n = x.shape, y.shape[1]
    left = Range.around(x.T if name in {"columns_by_columns", "added"} else x)
    right = Range.around(y.T if name == "rows_by_rows" else y)
    before = bias if name == "added" else np.full(n, np.nan, x.dtype)
    out = Range.around(np.tile(before, (m, 1)), GUARD)
    kernel(m, n, k, left.array, left.row, right.array, right.row, bias, out.array, out.row)
    out.assert_guarded(GUARD)
    return out.matrix.copy()


def operands(name: str, m: int, n: int, k: int, dtype: Any) -> tuple[Array, Array, Array]:
    generator = np.random.default_rng([m, n, k])
    x, y, bias = (generator.normal(0, 1, shape) for shape in ((m, k), (k, n), n))
    bias *= name in {"rows_by_rows", "added"}
    return x.astype(dtype), y.astype(dtype), bias.astype(dtype)


def assert_product(kernel: Callable[..., None], name: str, m: int, n: int, k: int, dtype: Any) -> None:
    x, y, bias = operands(name, m, n, k, dtype)

    reference = dtype(FACTOR.get(name, 1)) * (x.astype(np.longdouble) @ y.astype(np.longdouble)) + bias
    result = computed(kernel, name, x, y, bias)

    terms = abs(x.astype(np.longdouble)) @ abs(y.astype(np.longdouble)) + abs(bias)
    assert_agrees(result, reference, 4, terms, f"{name} of {m} x {n}, {k} terms")


def sizes() -> Iterator[tuple[int, int, int]]:
    """Every tail, from one to two tiles and one more; what is copied; several blocks."""
    tile, panel, depth, rest = 16, tuning.GEMM_NR_VECTORS * 16, gemm.KC, gemm.REST
    yield from ((m, n, 5) for m in range(1, 2 * tile + 2) for n in (2, 19))
    yield from ((9, n, 7) for n in range(1, 2 * panel + 2))
    yield from ((3, 17, k) for k in (*range(1, 2 * 16 + 2), depth - 1, depth, depth + 1, 2 * depth + 5))
    yield from ((3, 17, k) for k in (depth + rest, depth + rest + 1, 2 * depth + rest, 2 * depth + rest + 1))
    yield from [(1, 1, 1), (67, 131, 75), (130, 64, 128), (66, 200, 2 * depth + 1)]
    yield from [
        (61, tuning.GEMM_PACK_A_MIN_COLUMNS, 140),
        (tuning.GEMM_A_BLOCK_BYTES // (8 * depth) + 5, tuning.GEMM_PACK_A_MIN_COLUMNS + 3, depth + 9),
        (tuning.GEMM_A_BLOCK_BYTES // (4 * depth) + 5, tuning.GEMM_PACK_A_MIN_COLUMNS + 3, depth + rest),
        (67, tuning.GEMM_PACK_A_MIN_COLUMNS, depth + rest + 1),
    ]


@by_dtype
@by_name
def test_products(name: str, dtype: Any) -> None:
    for m, n, k in sizes():
        assert_product(KERNELS[name], name, m, n, k, dtype)


@compiled_only
@pytest.mark.once_per("name", "width")
@by_dtype
@by_name
@pytest.mark.parametrize(
    ("width", "heights"),
    [(32, {1: (8, 2), 2: (4, 1), 3: (4, 1)}), (16, {1: (16, 4), 2: (8, 2), 3: (8, 2)})],
    ids=["16 registers", "32 registers"],
)
def test_products_on_other_processors(
    name: str, dtype: Any, width: int, heights: dict[int, tuple[int, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (vectors, gemm):
        monkeypatch.setattr(module, "VECTOR_BYTES", width)
    monkeypatch.setattr(gemm, "HAS_MASKED_VECTORS", False)
    monkeypatch.setattr(gemm, "MR", heights)
    kernel = kernels()[name]

    for m, n, k in sizes():
        assert_product(kernel, name, m, n, k, dtype)


@by_dtype
@by_name
def test_large_products(name: str, dtype: Any) -> None:
    m, n, k = 530, 525, 1025
    x, y, bias = operands(name, m, n, k, dtype)
    factor = dtype(FACTOR.get(name, 1))
    some = np.array([0, 1, 255, m - 1])

    reference = factor * (x[some].astype(np.longdouble) @ y.astype(np.longdouble)) + bias
    result = computed(KERNELS[name], name, x, y, bias)

    terms = abs(x[some]).astype(np.longdouble) @ abs(y) + abs(bias)
    assert_agrees(result[some], reference, 4, terms)
    assert np.allclose(result, factor * (x @ y) + bias, rtol=0, atol=2e3 * np.finfo(dtype).eps)


@by_dtype
@by_name
def test_a_range_has_the_bits_of_the_whole(name: str, dtype: Any) -> None:
    x, y, bias = operands(name, 61, tuning.GEMM_PACK_A_MIN_COLUMNS + 45, gemm.KC + gemm.REST + 6, dtype)

    whole = computed(KERNELS[name], name, x, y, bias)
    above = computed(KERNELS[name], name, x[:13], y, bias)
    below = computed(KERNELS[name], name, x[13:], y, bias)
    left = computed(KERNELS[name], name, x, y[:, :50].copy(), bias[:50].copy())
    right = computed(KERNELS[name], name, x, y[:, 50:].copy(), bias[50:].copy())

    if not numba.config.DISABLE_JIT:
        assert np.array_equal(whole, np.concatenate([above, below]))
        assert np.array_equal(whole, np.concatenate([left, right], axis=1))
    assert np.allclose(whole, np.concatenate([above, below]))


@by_dtype
@by_name
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_infinity_stay_in_their_row_or_column(name: str, bad: float, dtype: Any) -> None:
    x, y, bias = operands(name, 19, 53, 21, dtype)
    finite = computed(KERNELS[name], name, x, y, bias)

    spoilt = x.copy()
    spoilt[17, 20] = bad
    rows = computed(KERNELS[name], name, spoilt, y, bias)
    spoilt = y.copy()
    spoilt[20, 50] = bad
    columns = computed(KERNELS[name], name, x, spoilt, bias)

    assert not np.isfinite(rows[17]).any()
    assert np.array_equal(np.delete(rows, 17, 0), np.delete(finite, 17, 0))
    assert not np.isfinite(columns[:, 50]).any()
    assert np.array_equal(np.delete(columns, 50, 1), np.delete(finite, 50, 1))


@by_dtype
@by_name
def test_infinity_times_zero_is_nan(name: str, dtype: Any) -> None:
    x, y, bias = operands(name, 2, 3, 4, dtype)
    x[0, 1], y[1, 2] = np.inf, 0

    result = computed(KERNELS[name], name, x, y, bias)

    assert np.isnan(result[0, 2])
    assert np.isfinite(result[1]).all()


@compiled_only
@by_name
def test_float32_stays_float32(name: str) -> None:
    x, y, bias = operands(name, 2, 3, 4, np.float32)
    computed(KERNELS[name], name, x, y, bias)
    kernel: Any = KERNELS[name]

    codes = [str(code) for code in kernel.inspect_llvm().values() if "gemm.double" not in code]

    assert any(re.search(r"x float>", code) for code in codes)
    assert not any(re.search(r"\bdouble\b|x double>", code) for code in codes)

"""gemv of layers of few inputs, for every number of them, beside NumPy in float64."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import pytest
from typednn_kernels.arrays import F, Vector

numba = pytest.importorskip("numba", reason="numba does not work here", exc_type=ImportError)
tuning = import_module("typednn_kernels.compiled._codegen.tuning")
jit = import_module("typednn_kernels.compiled._codegen.jit")
rows = import_module("typednn_kernels.compiled._codegen.short_rows")
short_gemv = import_module("typednn_kernels.compiled.linalg.short_gemv")
vectors = import_module("typednn_kernels.compiled._codegen.simd")
if not rows.MAX_ROW_BYTES:
    pytest.skip("no row is short here", allow_module_level=True)

BEYOND = -7.0
by_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda dtype: dtype.__name__)
compiled_only = pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="nothing is compiled")
by_units = pytest.mark.parametrize("n", [1, 2, 5])


def gemv_bias(n: int, m: int, x: Vector[F], W: Vector[F], bias: Vector[F], a: Vector[F]) -> None:
    short_gemv.short_gemv_bias(n, m, x, W, bias, a)


def backward_and_update(
    n: int,
    m: int,
    W: Vector[F],
    bias: Vector[F],
    dLda: Vector[F],
    h_prev: Vector[F],
    rate: F,
    dLdh: Vector[F],
) -> None:
    short_gemv.short_backward_and_update(n, m, W, bias, dLda, h_prev, rate, dLdh)


def update_and_gemv(
    n: int,
    m: int,
    W: Vector[F],
    bias: Vector[F],
    dLda: Vector[F],
    rate: F,
    x: Vector[F],
    x_next: Vector[F],
    a: Vector[F],
) -> None:
    short_gemv.short_update_and_gemv(n, m, W, bias, dLda, rate, x, x_next, a)


with pytest.MonkeyPatch.context() as patch:
    patch.setattr(jit, "CACHE", None)  # which knows the sources of the kernels, not this
    gemv_bias, backward_and_update, update_and_gemv = map(
        jit.exported, (gemv_bias, backward_and_update, update_and_gemv)
    )


def lengths(dtype: Any) -> range:
    """All numbers of inputs that fit, those that are too few to pay, too."""
    return range(1, tuning.SHORT_GEMV_REGISTERS * vectors.VECTOR_BYTES // np.dtype(dtype).itemsize + 1)


class Case:
    """A layer of n units and m inputs, whose arrays lie between numbers that nobody may write."""

    def __init__(self, n: int, m: int, dtype: Any) -> None:
        rng = np.random.default_rng(m)
        self.rooms = [np.full(size + 2, BEYOND, dtype) for size in (n * m, n, n, m, m, n, m)]
        self.W, self.bias, self.dLda, self.x, self.x_next, self.a, self.dLdh = (
            room[1:-1] for room in self.rooms
        )
        for each in (self.W, self.bias, self.dLda, self.x, self.x_next):
            each[...] = rng.normal(size=each.size)
        self.rate = dtype(0.25)
        precise = [each.astype(np.float64) for each in (self.bias, self.dLda, self.x, self.x_next)]
        self.precise_W, (self.precise_bias, *self.others) = self.W.reshape(n, m).astype(np.float64), precise
        self.bound = 16 * np.finfo(dtype).eps * (n + m)

    def updated(self) -> tuple[Any, Any]:
        """The weights and biases after a step."""
        dLda, x, _ = self.others
        return self.precise_W - 0.25 * np.outer(dLda, x), self.precise_bias - 0.25 * dLda

    def assert_close(self, computed: Any, expected: Any) -> None:
        np.testing.assert_allclose(computed, expected.reshape(-1), rtol=0, atol=self.bound)

    def assert_nothing_else_is_written(self) -> None:
        assert all((room[[0, -1]] == BEYOND).all() for room in self.rooms)


@by_dtype
def test_which_rows_are_short(dtype: Any) -> None:
    like, (*_, longest) = np.empty(0, dtype), lengths(dtype)
    least = vectors.VECTOR_BYTES // np.dtype(dtype).itemsize // 2 + 2
    has_short_rows = getattr(short_gemv.has_short_rows, "py_func", short_gemv.has_short_rows)
    found = [bool(has_short_rows(m, like)) for m in (least - 1, least, longest, longest + 1)]
    assert found == [False, True, True, False]


@by_dtype
@by_units
def test_pre_activations(n: int, dtype: Any) -> None:
    for m in lengths(dtype):
        case = Case(n, m, dtype)
        _, x, _ = case.others
        gemv_bias(n, m, case.x, case.W, case.bias, case.a)
        case.assert_close(case.a, case.precise_W @ x + case.precise_bias)
        case.assert_close(case.W, case.precise_W)
        case.assert_nothing_else_is_written()


@by_dtype
@by_units
def test_gradient_below_and_update(n: int, dtype: Any) -> None:
    for m in lengths(dtype):
        case = Case(n, m, dtype)
        dLda, _, _ = case.others
        backward_and_update(n, m, case.W, case.bias, case.dLda, case.x, case.rate, case.dLdh)
        for computed, expected in zip((case.W, case.bias), case.updated(), strict=True):
            case.assert_close(computed, expected)
        case.assert_close(case.dLdh, dLda @ case.precise_W)
        case.assert_nothing_else_is_written()


@by_dtype
@by_units
def test_update_and_next_pre_activations(n: int, dtype: Any) -> None:
    for m in lengths(dtype):
        case = Case(n, m, dtype)
        _, _, x_next = case.others
        update_and_gemv(n, m, case.W, case.bias, case.dLda, case.rate, case.x, case.x_next, case.a)
        W, bias = case.updated()
        case.assert_close(case.W, W)
        case.assert_close(case.bias, bias)
        case.assert_close(case.a, W @ x_next + bias)
        case.assert_nothing_else_is_written()


@compiled_only
@by_dtype
def test_a_unit_has_the_same_bits_beside_others_and_alone(dtype: Any) -> None:
    n = 5
    for m in lengths(dtype):
        beside, alone = Case(n, m, dtype), Case(n, m, dtype)
        update_and_gemv(
            *(n, m, beside.W, beside.bias, beside.dLda, beside.rate),
            *(beside.x, beside.x_next, beside.a),
        )
        for i in range(n):
            place = slice(i, i + 1)
            update_and_gemv(
                *(1, m, alone.W[i * m : (i + 1) * m], alone.bias[place], alone.dLda[place], alone.rate),
                *(alone.x, alone.x_next, alone.a[place]),
            )
        np.testing.assert_array_equal(beside.W, alone.W, err_msg=f"{m=}")
        np.testing.assert_array_equal(beside.a, alone.a, err_msg=f"{m=}")

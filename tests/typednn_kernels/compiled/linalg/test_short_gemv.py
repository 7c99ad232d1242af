"""Layers of few inputs, of every number of them, beside NumPy in float64."""

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
small_layers = import_module("typednn_kernels.compiled.linalg.short_gemv")
vectors = import_module("typednn_kernels.compiled._codegen.simd")
if not rows.MAX_ROW_BYTES:
    pytest.skip("no row is short here", allow_module_level=True)

BEYOND = -7.0
by_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda dtype: dtype.__name__)
compiled_only = pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="nothing is compiled")
by_units = pytest.mark.parametrize("n", [1, 2, 5])


def affine_of(n: int, m: int, x: Vector[F], W: Vector[F], bias: Vector[F], a: Vector[F]) -> None:
    small_layers.short_gemv_bias(n, m, x, W, bias, a)


def descend_of(
    n: int,
    m: int,
    W: Vector[F],
    bias: Vector[F],
    error: Vector[F],
    below: Vector[F],
    rate: F,
    signal: Vector[F],
) -> None:
    small_layers.short_backward_and_update(n, m, W, bias, error, below, rate, signal)


def both_of(
    n: int,
    m: int,
    W: Vector[F],
    bias: Vector[F],
    error: Vector[F],
    rate: F,
    now: Vector[F],
    following: Vector[F],
    a: Vector[F],
) -> None:
    small_layers.short_update_and_gemv(n, m, W, bias, error, rate, now, following, a)


with pytest.MonkeyPatch.context() as patch:
    patch.setattr(jit, "CACHE", None)  # which knows the sources of the kernels, not this
    affine_of, descend_of, both_of = map(jit.exported, (affine_of, descend_of, both_of))


def lengths(dtype: Any) -> range:
    """All numbers of inputs that fit, those that are too few to pay, too."""
    return range(1, tuning.SHORT_GEMV_REGISTERS * vectors.VECTOR_BYTES // np.dtype(dtype).itemsize + 1)


class Case:
    """A layer of n units and m inputs, whose arrays lie between numbers that nobody may write."""

    def __init__(self, n: int, m: int, dtype: Any) -> None:
        rng = np.random.default_rng(m)
        self.rooms = [np.full(size + 2, BEYOND, dtype) for size in (n * m, n, n, m, m, n, m)]
        self.W, self.bias, self.error, self.now, self.following, self.a, self.signal = (
            room[1:-1] for room in self.rooms
        )
        for each in (self.W, self.bias, self.error, self.now, self.following):
            each[...] = rng.normal(size=each.size)
        self.rate = dtype(0.25)
        precise = [each.astype(np.float64) for each in (self.bias, self.error, self.now, self.following)]
        self.precise_W, (self.precise_bias, *self.others) = self.W.reshape(n, m).astype(np.float64), precise
        self.bound = 16 * np.finfo(dtype).eps * (n + m)

    def descended(self) -> tuple[Any, Any]:
        """The weights and biases after a step."""
        error, now, _ = self.others
        return self.precise_W - 0.25 * np.outer(error, now), self.precise_bias - 0.25 * error

    def assert_close(self, computed: Any, expected: Any) -> None:
        np.testing.assert_allclose(computed, expected.reshape(-1), rtol=0, atol=self.bound)

    def assert_nothing_else_is_written(self) -> None:
        assert all((room[[0, -1]] == BEYOND).all() for room in self.rooms)


@by_dtype
def test_which_rows_are_short(dtype: Any) -> None:
    like, (*_, longest) = np.empty(0, dtype), lengths(dtype)
    least = vectors.VECTOR_BYTES // np.dtype(dtype).itemsize // 2 + 2
    has_short_rows = getattr(small_layers.has_short_rows, "py_func", small_layers.has_short_rows)
    found = [bool(has_short_rows(m, like)) for m in (least - 1, least, longest, longest + 1)]
    assert found == [False, True, True, False]


@by_dtype
@by_units
def test_pre_activations(n: int, dtype: Any) -> None:
    for m in lengths(dtype):
        case = Case(n, m, dtype)
        _, now, _ = case.others
        affine_of(n, m, case.now, case.W, case.bias, case.a)
        case.assert_close(case.a, case.precise_W @ now + case.precise_bias)
        case.assert_close(case.W, case.precise_W)
        case.assert_nothing_else_is_written()


@by_dtype
@by_units
def test_the_signal_and_the_update(n: int, dtype: Any) -> None:
    for m in lengths(dtype):
        case = Case(n, m, dtype)
        error, _, _ = case.others
        descend_of(n, m, case.W, case.bias, case.error, case.now, case.rate, case.signal)
        for computed, expected in zip((case.W, case.bias), case.descended(), strict=True):
            case.assert_close(computed, expected)
        case.assert_close(case.signal, error @ case.precise_W)
        case.assert_nothing_else_is_written()


@by_dtype
@by_units
def test_the_update_and_what_follows(n: int, dtype: Any) -> None:
    for m in lengths(dtype):
        case = Case(n, m, dtype)
        _, _, following = case.others
        both_of(n, m, case.W, case.bias, case.error, case.rate, case.now, case.following, case.a)
        W, bias = case.descended()
        case.assert_close(case.W, W)
        case.assert_close(case.bias, bias)
        case.assert_close(case.a, W @ following + bias)
        case.assert_nothing_else_is_written()


@compiled_only
@by_dtype
def test_a_unit_has_the_same_bits_beside_others_and_alone(dtype: Any) -> None:
    n = 5
    for m in lengths(dtype):
        together, alone = Case(n, m, dtype), Case(n, m, dtype)
        both_of(
            *(n, m, together.W, together.bias, together.error, together.rate),
            *(together.now, together.following, together.a),
        )
        for i in range(n):
            place = slice(i, i + 1)
            both_of(
                *(1, m, alone.W[i * m : (i + 1) * m], alone.bias[place], alone.error[place], alone.rate),
                *(alone.now, alone.following, alone.a[place]),
            )
        np.testing.assert_array_equal(together.W, alone.W, err_msg=f"{m=}")
        np.testing.assert_array_equal(together.a, alone.a, err_msg=f"{m=}")

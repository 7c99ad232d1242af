"""Large work divided between threads: the same numbers as of one thread, in any process."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from typednn_kernels import plain
from typednn_kernels.activations import ACTIVATIONS, CODES, SOFTMAX
from typednn_kernels.cores import THREADS
from typednn_kernels.losses import CODES as LOSS_CODES
from typednn_kernels.losses import LOSSES

from tests.conftest import ENTRY_POINTS

numba = pytest.importorskip("numba", reason="numba does not work here", exc_type=ImportError)
if numba.config.DISABLE_JIT:
    pytest.skip("Python makes no threads", allow_module_level=True)
compiled = ENTRY_POINTS
threads = import_module("typednn_kernels.compiled.threads")

LARGE = 2 * threads.LEAST + 12345
"""So many numbers are shared by two threads, three times as many by more."""

by_size = pytest.mark.parametrize(("n", "m"), [(1100, 1000), (3, LARGE // 3), (LARGE // 3, 3)])
by_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda dtype: dtype.__name__)


@pytest.fixture(params=[1, 2, 3], autouse=True)
def workers(request: pytest.FixtureRequest) -> Iterator[int]:
    """So many threads."""
    before = THREADS.value
    THREADS.value = request.param
    yield request.param
    THREADS.value = before


def numbers(shape: tuple[int, ...], dtype: Any, seed: int = 0) -> Any:
    return np.random.default_rng(seed).uniform(0.05, 0.95, shape).astype(dtype)


def agree(computed: Any, reference: Any, units: float = 16, terms: Any = 0) -> None:
    """Equal up to rounding, of the results or of the terms that they are differences of."""
    unit = units * np.finfo(reference.dtype).eps
    largest = max(np.max(abs(reference)), np.max(abs(terms)))
    np.testing.assert_allclose(computed, reference, rtol=unit, atol=unit * largest)


@by_dtype
@pytest.mark.parametrize("activation", range(len(ACTIVATIONS)), ids=[row.name for row in ACTIVATIONS])
@pytest.mark.parametrize("shape", [(1, LARGE), (LARGE // 10, 10)], ids=["row", "rows"])
def test_activations(activation: int, shape: tuple[int, int], dtype: Any) -> None:
    a, signal = numbers(shape, dtype), numbers(shape, dtype, 1)
    reference, computed = np.empty_like(a), np.empty_like(a)
    plain.activation_value(activation, a, reference)
    compiled.activation_value(activation, a, computed)
    agree(computed, reference)
    y = reference.copy()
    if activation != SOFTMAX:
        plain.activation_slope(activation, a, y, reference)
        compiled.activation_slope(activation, a, y, computed)
        agree(computed, reference)
    plain.slope_product(activation, a, y, signal, reference)
    compiled.slope_product(activation, a, y, signal, computed)
    agree(computed, reference, 64)


@by_dtype
@pytest.mark.parametrize("loss", [row.name for row in LOSSES])
@pytest.mark.parametrize("activation", [0, SOFTMAX])
@pytest.mark.parametrize("shape", [(1, LARGE), (LARGE // 10, 10)], ids=["row", "rows"])
def test_losses(loss: Any, activation: int, shape: tuple[int, int], dtype: Any) -> None:
    code = LOSS_CODES[loss]
    a, t = numbers(shape, dtype), numbers(shape, dtype, 1)
    y = np.empty_like(a)
    plain.activation_value(activation, a, y)
    reference, computed = np.empty(shape[0], dtype), np.empty(shape[0], dtype)
    losses = np.empty(shape[0])
    plain.loss_value(
        code, activation, a.astype(np.float64), y.astype(np.float64), t.astype(np.float64), losses
    )
    compiled.loss_value(code, activation, a, y, t, computed)
    agree(computed, losses.astype(dtype), 64)
    reference, computed = np.empty_like(a), np.empty_like(a)
    error, computed_error = np.empty_like(a), np.empty_like(a)
    plain.output_error(code, activation, a, y, t, reference, error)
    compiled.output_error(code, activation, a, y, t, computed, computed_error)
    agree(computed, reference, 64)
    agree(computed_error, error, 256, y * reference)


@by_dtype
@by_size
def test_one_sample(n: int, m: int, dtype: Any) -> None:
    W, bias, x, error = (
        numbers((n, m), dtype),
        numbers((n,), dtype),
        numbers((1, m), dtype),
        numbers((1, n), dtype),
    )
    a, signal, gradient = np.empty((1, n), dtype), np.empty((1, m), dtype), np.empty((n, m), dtype)
    compiled.affine(x, W, bias, a)
    agree(a, (x.astype(np.float64) @ W.T + bias).astype(dtype), 64)
    compiled.backpropagate(error, W, signal)
    agree(signal, (error.astype(np.float64) @ W).astype(dtype), 64)
    compiled.outer(error, x, gradient)
    np.testing.assert_array_equal(gradient, error.T * x)


@by_dtype
@by_size
def test_a_layer_in_one_call(n: int, m: int, dtype: Any) -> None:
    W, W_next, bias = numbers((n, m), dtype), numbers((2, n), dtype), numbers((n,), dtype)
    x, t, error = numbers((1, m), dtype), numbers((1, n), dtype), numbers((1, 2), dtype)
    parts, whole = ([np.full((1, n), np.nan, dtype) for _ in range(4)] for _ in range(2))
    gradient, whole_gradient = np.empty((n, m), dtype), np.empty((n, m), dtype)
    code = CODES["tanh"]
    a, h, signal, dLda = parts
    compiled.affine(x, W, bias, a)
    compiled.activation_value(code, a, h)
    compiled.output_error(0, code, a, h, t, signal, dLda)
    compiled.outer(dLda, x, gradient)
    compiled.ascend(code, x, W, bias, *whole[:2])
    compiled.descend_from_targets(0, code, *parts[:2], t, x, *whole[2:], whole_gradient)
    for computed, reference in zip([*whole, whole_gradient], [*parts, gradient], strict=True):
        agree(computed, reference, 64)
    compiled.backpropagate(error, W_next, signal)
    compiled.slope_product(code, a, h, signal, dLda)
    compiled.outer(dLda, x, gradient)
    compiled.descend(code, error, W_next, *parts[:2], x, *whole[2:], whole_gradient)
    for computed, reference in zip([*whole, whole_gradient], [*parts, gradient], strict=True):
        agree(computed, reference, 64)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_forked_child(workers: int) -> None:
    a = numbers((1, LARGE), np.float64)
    y, again = np.empty_like(a), np.empty_like(a)
    compiled.activation_value(3, a, y)
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # of forks beside threads
        child = os.fork()
    if child == 0:
        compiled.activation_value(3, a, again)
        os._exit(int(not np.array_equal(y, again)))
    assert os.waitpid(child, 0)[1] == 0


def test_callers_in_threads(workers: int) -> None:
    a = numbers((1, LARGE), np.float32)
    results = [np.empty_like(a) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        for y in results:
            pool.submit(compiled.activation_value, 1, a, y)
    for y in results[1:]:
        np.testing.assert_array_equal(y, results[0])

"""Inlined functions are right wherever they are copied to, and LLVM vectorises what it optimises once."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
import pytest

numba = pytest.importorskip("numba", reason="numba does not work here", exc_type=ImportError)
if numba.config.DISABLE_JIT:
    pytest.skip("nothing is compiled", allow_module_level=True)
jit = import_module("typednn_kernels.compiled._codegen.jit")
pipeline = import_module("typednn_kernels.compiled._codegen.numba_pipeline")
compiler_machinery = import_module("numba.core.compiler_machinery")
inline_closurecall = import_module("numba.core.inline_closurecall")

Decorator = Callable[[Callable[..., Any]], Any]
inline: Decorator = jit.inline
reduction: Decorator = jit.reassociate
compiled: Decorator = jit.compiled
"""As `jit.exported`, but nothing is kept on disk."""


@inline
def power(x: Any, n: int) -> Any:
    result = x.dtype.type(1)
    while n > 0:
        result *= x[0]
        n -= 1
    return result


@inline
def larger(x: Any, y: Any) -> Any:
    chosen = y
    if x[0] > y[0]:
        chosen = x
    return chosen


@inline
def power_of_larger(x: Any, y: Any, n: int) -> Any:
    return power(larger(x, y), n)


@reduction
def total(x: Any) -> Any:
    result = x.dtype.type(0)
    for i in range(x.size):
        result += x[i]
    return result


def arrays(*numbers: float) -> list[Any]:
    return [np.array([number]) for number in numbers]


def test_each_call_of_an_inlined_function_has_its_own_arguments_and_variables() -> None:
    @compiled
    def function(x: Any, y: Any) -> Any:
        n = 2
        result = power(x, n) + 10 * power(y, n + 1)
        return result + 1000 * n

    assert function(*arrays(2, 3)) == 4 + 270 + 2000


def test_an_inlined_function_within_others_and_loops() -> None:
    @compiled
    def function(x: Any, y: Any, z: Any) -> Any:
        result = power_of_larger(x, y, 2)
        for i in range(3):
            result += power_of_larger(larger(y, z), power_of_arrays(x, i), i)
        return result

    @inline
    def power_of_arrays(x: Any, n: int) -> Any:
        x[0] = power(x, n)
        return x

    # x: 2, 2^0, 1^1, 1^2; the larger of 3 and 4 wins.
    assert function(*arrays(2, 3, 4)) == 9 + 1 + 4 + 16


def test_two_functions_that_inline_the_same() -> None:
    results: list[object] = []
    for dtype in (np.float32, np.float64):
        for n in (2, 3):

            @compiled
            def function(x: Any, n: int = n) -> Any:
                return power(x, n) - n

            results.append(function(np.array([3], dtype), n))

    assert results == [7, 24, 7, 24]


def test_an_inlined_function_is_translated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    translated: list[object] = []
    original = inline_closurecall.InlineWorker.run_untyped_passes

    def counted(worker: Any, function: Any, *options: Any) -> Any:
        translated.append(function)
        return original(worker, function, *options)

    monkeypatch.setattr(inline_closurecall.InlineWorker, "run_untyped_passes", counted)

    @inline
    def negative(x: Any) -> Any:
        return -x[0]

    @compiled
    def function(x: Any, y: Any) -> Any:
        return negative(x) * negative(y)

    assert function(*arrays(2, 3)) == 6
    assert function(np.array([2], np.float32), np.array([3], np.float32)) == 6
    assert translated == [negative.py_func]


def test_loops_and_sums_are_vectorised() -> None:
    @compiled
    def scaled(x: Any, factor: Any, y: Any) -> None:
        for i in range(x.size):
            y[i] = factor * x[i]

    @compiled
    def mean(x: Any) -> Any:
        return total(x) / x.dtype.type(x.size)

    x = np.arange(100, dtype=np.float32)
    y = np.empty_like(x)
    scaled(x, np.float32(3), y)

    np.testing.assert_array_equal(y, 3 * x)
    assert mean(x) == np.float32(49.5)
    for function, operation in (scaled, "fmul"), (mean, "fadd"):
        (code,) = function.inspect_llvm().values()
        assert re.search(rf"{operation}.* <\d+ x float>", code), code
        assert "total" not in re.findall(r"call .*@(\w+)", code)


def test_the_library_is_ours() -> None:
    @compiled
    def function(x: Any) -> Any:
        return total(x)

    function(np.ones(3))

    for dispatcher in (function, total):
        assert all(isinstance(each.library, pipeline.Library) for each in dispatcher.overloads.values())


def test_what_is_left_out_exists() -> None:
    passes = {each.name() for each in compiler_machinery._pass_registry._registry}

    assert passes >= pipeline.UNUSED

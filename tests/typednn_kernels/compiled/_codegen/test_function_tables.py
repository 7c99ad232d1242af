"""Loops that are called by address: compiled when first called, right even where that fails."""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import time
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from typednn_kernels import plain
from typednn_kernels.activations import CODES
from typednn_kernels.losses import CODES as LOSS_CODES

numba = pytest.importorskip("numba", reason="numba does not work here", exc_type=ImportError)
if numba.config.DISABLE_JIT:
    pytest.skip("nothing is compiled", allow_module_level=True)
compiled = import_module("typednn_kernels.compiled")
addresses = import_module("typednn_kernels.compiled._codegen.function_tables")

by_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda dtype: dtype.__name__)
TABLES = {table.name: table for table in addresses.TABLES}


def forget(name: str, code: int, dtype: Any) -> int:
    """Puts the function that compiles back in its place."""
    table = TABLES[name].addresses[np.dtype(dtype)]
    table[code] = table[-1]
    return int(table[-1])


@by_dtype
def test_the_first_call_puts_the_address_of_the_loop_in_place(dtype: Any) -> None:
    code, table = CODES["mish"], TABLES["value"].addresses[np.dtype(dtype)]
    first = forget("value", code, dtype)
    a = np.linspace(-5, 5, 12).reshape(3, 4).astype(dtype)
    results = [np.zeros_like(a) for _ in range(3)]

    compiled.activation_value(code, a, results[0])
    loop = table[code]
    compiled.activation_value(code, a, results[1])
    plain.activation_value(code, a, results[2])

    assert loop != first
    assert table[code] == loop
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_allclose(results[1], results[2], rtol=8 * np.finfo(dtype).eps)


def failing(error: type[BaseException]) -> Any:
    def compile_nothing(*_: Any) -> int:
        raise error

    return compile_nothing


@by_dtype
def test_a_failing_compiler_costs_time_only(dtype: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses.FunctionTable, "compile", failing(RuntimeError))
    activation, loss = CODES["gelu"], LOSS_CODES["huber"]
    for name, code in (
        ("value", activation),
        ("backward", activation),
        ("loss", loss),
        ("loss_derivative", loss),
    ):
        forget(name, code, dtype)
    a = np.linspace(-5, 5, 12).reshape(3, 4).astype(dtype)
    t = np.zeros_like(a)
    t.setflags(write=False)

    ours: list[Any] = []
    reference: list[Any] = []
    for path, results in ((compiled, ours), (plain, reference)):
        y, product, losses, derivative = (
            np.zeros_like(a),
            np.zeros_like(a),
            np.zeros(3, dtype),
            np.zeros_like(a),
        )
        path.activation_value(activation, a, y)
        path.activation_backward(activation, a, y, a, product)
        path.loss_value(loss, CODES["none"], a, a, t, losses)
        path.loss_derivative(loss, a, t, derivative)
        results += [y, product, losses, derivative]

    for computed, expected in zip(ours, reference, strict=True):
        np.testing.assert_allclose(computed, expected, rtol=8 * np.finfo(dtype).eps)


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("threads", ["a thread", "no thread"])
def test_an_interrupt_while_a_loop_is_compiled_is_not_lost(
    threads: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor the result: ctypes drops what is raised in a function that machine code calls."""
    code, table = CODES["mish"], TABLES["value"]
    forget("value", code, float)
    if threads == "no thread":
        python = dict(zip(table.addresses, table.kept, strict=True))[np.dtype(float)]
        table.addresses[np.dtype(float)][code] = ctypes.cast(python, ctypes.c_void_p).value
    compile_loop, asked = table.compile, list[str]()

    def interrupted(*arguments: Any) -> Any:
        asked.append(threading.current_thread().name)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)
        return compile_loop(*arguments)

    monkeypatch.setattr(table, "compile", interrupted)
    a = np.linspace(-5, 5, 12).reshape(3, 4)
    y, reference = np.zeros_like(a), np.zeros_like(a)

    def run() -> None:
        compiled.activation_value(code, a, y)
        time.sleep(10)

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run()

    assert time.monotonic() - began < 5
    assert (asked == [threading.main_thread().name]) == (threads == "no thread")
    plain.activation_value(code, a, reference)
    np.testing.assert_allclose(y, reference, rtol=1e-14)


@by_dtype
def test_all_loops_of_the_library_are_compiled_ahead_of_time(dtype: Any) -> None:
    addresses.compile_tables(np.dtype(dtype))

    for table in TABLES.values():
        places = table.addresses[np.dtype(dtype)]
        assert table.codes
        assert (places[list(table.codes)] != places[-1]).all()


@by_dtype
def test_threads_of_the_system_may_be_the_first_to_call(dtype: Any) -> None:
    """Python knows nothing of the threads that share large work, and they call it to compile."""
    code = CODES["softplus"]
    forget("value", code, dtype)
    a = np.linspace(-5, 5, 1 << 20).reshape(4, -1).astype(dtype)
    y, reference = np.zeros_like(a), np.zeros_like(a)

    compiled.activation_value(code, a, y)
    plain.activation_value(code, a, reference)

    np.testing.assert_allclose(y, reference, rtol=8 * np.finfo(dtype).eps)


def test_threads_of_python_may_be_the_first_to_call_at_once() -> None:
    code = CODES["silu"]
    a = np.linspace(-5, 5, 4096).reshape(1, -1)
    outputs = [np.zeros_like(a) for _ in range(8)]
    reference = np.zeros_like(a)
    plain.activation_value(code, a, reference)
    compiled.activation_value(CODES["tanh"], a, outputs[0])
    forget("value", code, np.float64)

    threads = [
        threading.Thread(target=compiled.activation_value, args=(code, a, output)) for output in outputs
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    for output in outputs:
        np.testing.assert_allclose(output, reference, rtol=1e-15)

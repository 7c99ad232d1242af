"""Functions that are compiled when machine code first calls them: when, and what Ctrl-C does meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from typednn_kernels import plain

numba = pytest.importorskip("numba", reason="numba does not work here", exc_type=ImportError)
if numba.config.DISABLE_JIT:
    pytest.skip("nothing is compiled", allow_module_level=True)
compiled = import_module("typednn_kernels.compiled")
kernels_for = import_module("typednn_kernels.compiled.entry_points").kernels_for
noinline = import_module("typednn_kernels.compiled._codegen.noinline")
private_parts = import_module("typednn_kernels.compiled._codegen.private_parts")

by_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda dtype: dtype.__name__)
NAME = "typednn_kernels.compiled.ops.normalization.dropout_flat"
KEY, LAYER, HALF = 5, 1, 1 << 31


@pytest.fixture
def missing(dtype: Any) -> Any:
    """The address of the function that drops units, which is not there."""
    found = next(
        each for each in noinline.ON_DEMAND.values() if each.symbol == f"typednn_{NAME}_{np.dtype(dtype)}"
    )
    assert kernels_for(np.dtype(dtype)).apply_dropout
    found.address[0] = 0
    return found


def dropped(kernels: Any, dtype: Any) -> Any:
    h = np.ones((3, 5), dtype)
    kernels.apply_dropout(KEY, LAYER, HALF, h)
    return h


@by_dtype
def test_the_first_call_compiles(dtype: Any, missing: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []
    monkeypatch.setattr(private_parts, "on_compiled", names)
    monkeypatch.setattr(noinline, "on_compiled", [names.append])

    first, second = (dropped(kernels_for(np.dtype(dtype)), dtype) for _ in range(2))

    np.testing.assert_array_equal(first, dropped(plain, dtype))
    np.testing.assert_array_equal(second, first)
    assert names == [NAME]
    assert missing.address[0]


@by_dtype
def test_another_thread_may_be_the_first_to_call(dtype: Any, missing: Any) -> None:
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(dropped(kernels_for(np.dtype(dtype)), dtype)))
    thread.start()
    thread.join()

    np.testing.assert_array_equal(results[0], dropped(plain, dtype))
    assert missing.address[0]


@pytest.mark.skipif(sys.platform == "win32", reason="os.kill ends the process there")
@by_dtype
def test_an_interrupt_comes_after_the_kernel(
    dtype: Any, missing: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    compile_it = missing.compiled

    def interrupted() -> int:
        os.kill(os.getpid(), signal.SIGINT)
        address: int = compile_it()
        return address

    monkeypatch.setattr(missing, "compiled", interrupted)
    h = np.ones((3, 5), dtype)

    def run() -> None:
        kernels_for(np.dtype(dtype)).apply_dropout(KEY, LAYER, HALF, h)
        for _ in range(1000):
            pass

    with pytest.raises(KeyboardInterrupt):
        run()

    np.testing.assert_array_equal(h, dropped(plain, dtype))


def test_kernels_do_not_wait_for_what_they_need_on_demand() -> None:
    names = {
        each.dispatcher.__name__ for each in noinline.noinline_functions_of(compiled.apply_dropout.py_func)
    }

    assert names == set()


def test_python_runs_what_cannot_be_compiled() -> None:
    program = (
        "import numpy as np\n"
        "from typednn_kernels import plain\n"
        "from typednn_kernels.compiled._codegen import noinline\n"
        "from typednn_kernels.compiled.entry_points import kernels_for\n"
        "def failing(*_):\n"
        "    raise RuntimeError('no compiler')\n"
        "for each in noinline.ON_DEMAND.values():\n"
        "    each.compiled = failing\n"
        "for kernels in kernels_for(np.dtype('f4')), plain:\n"
        "    h = np.ones((2, 3), np.float32)\n"
        "    kernels.apply_dropout(5, 1, 1 << 31, h)\n"
        "    print(h.tolist())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )

    computed, reference = done.stdout.splitlines()
    assert computed == reference
    assert "no compiler" in done.stderr

"""What cannot be compiled when machine code calls it: the kernel ends with the right results all the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import import_module
from typing import Any

import numpy as np
import pytest

from tests.typednn_kernels.compiled._codegen.in_python import failing

numba = pytest.importorskip("numba", reason="numba does not work here", exc_type=ImportError)
if numba.config.DISABLE_JIT:
    pytest.skip("nothing is compiled", allow_module_level=True)
import_module("typednn_kernels.compiled")
noinline = import_module("typednn_kernels.compiled._codegen.noinline")

UNASKED = {
    *("backpropagate_without_memory", "norm_of_deltas", "run_parts", "softmax_row_loss"),
    *("normalize_rows", "normalization_backward_rows"),
}
"""Functions that a training asks for only where memory is missing, with several threads or in other kernels;
and those that here only functions call that Python runs."""


@pytest.fixture(scope="module")
def done() -> Any:
    environment = {name: value for name, value in os.environ.items() if name != "TYPEDNN_BACKEND"}
    process = subprocess.run(
        [sys.executable, failing.__file__],
        env=environment | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert not process.returncode, process.stderr
    return json.loads(process.stdout)


@pytest.mark.parametrize("name", failing.CASES)
def test_a_network_is_trained_to_the_end_and_numpy_follows(name: str, done: Any) -> None:
    outcome = done["results"][name]

    np.testing.assert_allclose(outcome["numbers"], outcome["expected"], rtol=2e-4, atol=1e-6)
    (message,) = outcome["said"]
    assert "typednn runs on NumPy alone, because numba does not work: no compiler" in message
    assert outcome["backend"] == "numpy"


def test_these_networks_ask_for_all_functions(done: Any) -> None:
    names = {each.name.rpartition(".")[2] for each in noinline.ON_DEMAND.values()}

    assert set(done["asked"]) >= names - UNASKED

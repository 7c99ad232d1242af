"""Processes that help to compile: they leave the right machine code, and are started where they pay."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

numba = pytest.importorskip("numba", reason="numba does not work here", exc_type=ImportError)
if numba.config.DISABLE_JIT:
    pytest.skip("nothing is compiled", allow_module_level=True)
compiled = import_module("typednn_kernels.compiled")
folder = import_module("typednn_kernels.compiled._codegen.cache.folder")
helpers = import_module("typednn_kernels.compiled._codegen.helpers")

FLOAT32 = np.dtype(np.float32)
HELP = """
import sys
from typednn_kernels.compiled._codegen import helpers
import numpy as np
helpers.help_compile("activation_value", np.dtype(np.float32))
"""
USE = """
import numpy as np
from typednn_kernels.compiled._codegen.cache import files
from typednn_kernels.compiled.entry_points import kernels_for
names = []
files.on_compile.append(names.append)
a = np.array([[-1, 0, 2]], np.float32)
y = np.empty_like(a)
kernels_for(a.dtype).activation_value(2, a, y)
assert (y == [[0, 0, 2]]).all()
print(names)
"""


def run(program: str, cache: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "TYPEDNN_CACHE_DIR": str(cache), "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.returncode, done.stderr
    return done.stdout.strip()


def test_what_a_helper_has_compiled_is_read_and_right(tmp_path: Path) -> None:
    run(HELP, tmp_path)

    on_demand = ["activate_short"]
    assert run(USE, tmp_path) == str(on_demand)


def test_callers_come_first() -> None:
    names = [each.__name__ for each in helpers.dispatchers_of(compiled.forward)]

    assert names[0] == "forward"
    assert len(names) == len(set(names))
    order = ["forward_block", "affine_block", "affine_rows", "gemm_range"]
    assert [each for each in names if each in order] == order


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What is started instead of processes, with an empty cache and four cores."""
    commands: list[Any] = []

    class Process:
        def __init__(self, command: list[str], **_: Any) -> None:
            commands.append(command)

        def terminate(self) -> None:
            commands.append("terminated")

        def wait(self) -> None:
            commands.append("waited for")

    monkeypatch.setattr(helpers, "CACHE", tmp_path)
    monkeypatch.setattr(helpers, "available_cores", lambda: 4)
    monkeypatch.setattr(helpers.subprocess, "Popen", Process)
    monkeypatch.setattr(helpers, "MIN_FUNCTIONS", 0)
    monkeypatch.setattr(folder, "LOCKS", {})
    return commands


def test_other_cores_help_and_are_waited_for(started: list[Any], tmp_path: Path) -> None:
    with helpers.helped(compiled.forward, FLOAT32):
        assert len(started) == 3

    module = "typednn_kernels.compiled._codegen.helpers"
    assert started[0] == [sys.executable, "-P", "-m", module, "forward", "float32", str(tmp_path)]
    assert started[3:] == ["terminated", "waited for"] * 3


@pytest.mark.parametrize("why", ["one core", "little to compile", "no cache", "not Python", "frozen"])
def test_where_helpers_do_not_pay(why: str, started: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    if why == "one core":
        monkeypatch.setattr(helpers, "available_cores", lambda: 1)
    elif why == "little to compile":
        monkeypatch.setattr(helpers, "MIN_FUNCTIONS", 1000)
    elif why == "no cache":
        monkeypatch.setattr(helpers, "CACHE", None)
    elif why == "not Python":
        monkeypatch.setattr(sys, "executable", "/usr/bin/uwsgi")
    else:
        monkeypatch.setattr(sys, "frozen", True, raising=False)

    with helpers.helped(compiled.forward, FLOAT32):
        pass

    assert started == []


def test_a_system_that_starts_no_processes(started: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(helpers.subprocess, "Popen", refused)
    done: list[bool] = []
    with helpers.helped(compiled.forward, FLOAT32):
        done.append(True)

    assert done
    assert started == []

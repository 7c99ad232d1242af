"""Compiling everything ahead of time: how the work is divided among processes."""

from __future__ import annotations

import subprocess
from importlib import import_module
from typing import Any

import pytest

numba = pytest.importorskip("numba", reason="numba does not work here", exc_type=ImportError)
import_module("typednn_kernels.compiled")
warmup = import_module("typednn_kernels.compiled.warmup")

BOTH = ("float32", "float64")


@pytest.mark.parametrize("processes", [1, 2, 3, 4, 64])
@pytest.mark.parametrize("dtypes", [BOTH, BOTH[:1]])
def test_each_part_is_compiled_by_one_process(processes: int, dtypes: tuple[str, ...]) -> None:
    divided_parts = warmup.divided(dtypes, processes)

    parts = [part for some in divided_parts for part in some]
    assert sorted(parts) == sorted((name, dtype) for name in warmup.PARTS for dtype in dtypes)
    assert 1 <= len(divided_parts) <= processes
    assert all(divided_parts)


def test_two_processes_have_a_dtype_each() -> None:
    assert [{dtype for _, dtype in some} for some in warmup.divided(BOTH, 2)] == [
        {"float32"},
        {"float64"},
    ]


@pytest.mark.parametrize("status", [0, 1, -9])
@pytest.mark.parametrize("cores", [1, 4])
def test_one_core_starts_no_process_and_what_a_process_leaves_is_compiled(
    cores: int, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[str] = []
    started: list[list[str]] = []

    def note(dtype: object) -> None:
        compiled.append(str(dtype))

    class Process:
        def __init__(self, arguments: list[str], **_: Any) -> None:
            self.args = arguments
            started.append(arguments[3:])

        def wait(self) -> int:
            return status

        def terminate(self) -> None:
            pass

    monkeypatch.setattr(subprocess, "Popen", Process)
    monkeypatch.setattr(warmup, "available_cores", lambda: cores)
    monkeypatch.setattr(warmup, "PARTS", dict.fromkeys(warmup.PARTS, note))

    warmup.warm_up()

    assert len(started) == cores - 1
    assert len(compiled) + (sum(map(len, started)) if status == 0 else 0) == 4


def test_ctrl_c_ends_the_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[bool] = []

    class Process:
        def __init__(self, *_: Any, **__: Any) -> None:
            pass

        def wait(self) -> int:
            return 0

        def terminate(self) -> None:
            ended.append(True)

    def interrupted(_dtype: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "Popen", Process)
    monkeypatch.setattr(warmup, "available_cores", lambda: 4)
    monkeypatch.setattr(warmup, "PARTS", dict.fromkeys(warmup.PARTS, interrupted))

    with pytest.raises(KeyboardInterrupt):
        warmup.warm_up()

    assert len(ended) == 3

"""Compiles everything ahead of time: `python -m typednn_kernels.compiled.warmup float32 float64`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from typednn_kernels.compiled._codegen.function_tables import compile_tables
from typednn_kernels.compiled._codegen.noinline import prepare_all
from typednn_kernels.compiled.entry_points import prepare_kernels
from typednn_kernels.thread_limit import available_cores

Part: TypeAlias = "tuple[str, str]"
"""What is compiled, and for which dtype."""


def _rest(dtype: np.dtype[np.floating]) -> None:
    compile_tables(dtype)
    prepare_all(dtype)


PARTS: dict[str, Callable[[np.dtype[np.floating]], None]] = {"kernels": prepare_kernels, "rest": _rest}
"""Two halves of the work for a dtype; what both need is compiled by one, for which the other waits."""


def divided(dtypes: tuple[str, ...], processes: int) -> list[list[Part]]:
    """Divides the parts for some dtypes among at most as many processes."""
    parts = [(name, dtype) for name in PARTS for dtype in dtypes]
    return [parts[i::processes] for i in range(min(processes, len(parts)))]


def warm_up(*dtypes: str) -> None:
    """Compiles everything for the dtypes, by default both, in a process for each core, four at most.

    What a process has not compiled, because it was killed or failed, is compiled here.
    """
    first, *others = divided(dtypes or ("float32", "float64"), available_cores())
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    program = [sys.executable, "-m", "typednn_kernels.compiled.warmup"]
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for chosen in others:
            arguments = [f"{name}:{dtype}" for name, dtype in chosen]
            processes.append(subprocess.Popen([*program, *arguments], env=environment))  # noqa: S603 (no input)
        _compile(first)
        for chosen, process in zip(others, processes, strict=True):
            if process.wait():
                _compile(chosen)
    finally:
        for process in processes:  # after Ctrl-C, or where one has failed
            process.terminate()
            process.wait()


def _compile(chosen: list[Part]) -> None:
    for name, dtype in chosen:
        PARTS[name](np.dtype(dtype))


def _main(arguments: list[str]) -> None:
    given = [each.partition(":") for each in arguments]
    if any(colon for _, colon, _ in given):
        _compile([(name, dtype) for name, _, dtype in given])
    else:
        warm_up(*arguments)


if __name__ == "__main__":
    _main(sys.argv[1:])

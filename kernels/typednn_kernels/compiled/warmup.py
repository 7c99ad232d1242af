"""Compiles everything ahead of time: `python -m typednn_kernels.compiled.warmup float32 float64`."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np

from typednn_kernels.compiled._codegen.function_tables import compile_tables
from typednn_kernels.compiled.entry_points import prepare


def warm_up(*dtypes: str) -> None:
    """Compiles everything for the dtypes, by default both, all but the first in a process of its own.

    Raises:
        CalledProcessError: one of the processes failed.
    """
    first, *others = dtypes or ("float32", "float64")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    program = [sys.executable, "-m", "typednn_kernels.compiled.warmup"]
    processes = [subprocess.Popen([*program, each], env=environment) for each in others]  # noqa: S603 (no input)
    prepare(np.dtype(first))
    compile_tables(np.dtype(first))
    for process in processes:
        if process.wait():
            raise subprocess.CalledProcessError(process.returncode, process.args)


if __name__ == "__main__":
    warm_up(*sys.argv[1:])

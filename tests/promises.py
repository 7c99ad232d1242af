"""`python -m tests.promises [--scale 1.0]`: tries what docs/promises.md promises, and prints the figures.

At scale 1 it takes some twenty minutes. The exit status is 1 if a promise is broken.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator

SECONDS = 60
"""The time of each target of the fuzz tests at scale 1."""


def commands(scale: float) -> Iterator[tuple[str, list[str], dict[str, str]]]:
    """Yields what is tried, the arguments of Python, and variables of the environment."""
    seconds = str(SECONDS * scale)
    for target in ("models", "checkpoints", "csv", "idx", "npz", "tables", "onnx", "calls"):
        yield f"fuzz {target}", ["-m", "tests.fuzz", target, "--seconds", seconds, "--seed", "1"], {}
    fences = ["-m", "tests.typednn_kernels.compiled.fences", str(int(500 * scale)), "1"]
    yield "forbidden pages", fences, {}
    for backend in ("numba", "numpy"):
        endurance = ["-m", "tests.faults.endurance", str(scale)]
        yield f"long runs, {backend}", endurance, {"TYPEDNN_BACKEND": backend}
    for name, test in {
        "kills while saving": "tests/typednn/formats/test_atomic.py::test_kills_at_random_moments",
        "kills while training, and at each call of a writer": "tests/faults/test_kills.py",
        "interrupts, busy neighbours": "tests/faults/test_interrupts.py",
        "allocations, writes, threads": "tests/faults/test_resources.py",
        "forks": "tests/typednn_kernels/compiled/parallel/test_thread_pool.py",
        "small stacks, no memory": "tests/typednn_kernels/compiled/_codegen/test_small_stacks.py",
        "hostile files": "tests/typednn/files/test_hostile_files.py",
        "arrays that do not fit": "tests/typednn_kernels/compiled/network/test_fitting.py",
        "regressions": "tests/regressions",
    }.items():
        yield name, ["-m", "pytest", "-q", "--full", test], {}


def main() -> int:
    """Runs all and prints a line for each."""
    parser = argparse.ArgumentParser(prog="python -m tests.promises", description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0)
    scale = parser.parse_args().scale
    print(f"{dt.datetime.now(tz=dt.UTC):%Y-%m-%d}, {platform.platform()}, Python", end=" ")
    print(platform.python_version(), flush=True)
    broken = 0
    for name, arguments, environment in commands(scale):
        began = time.monotonic()
        run = subprocess.run(
            [sys.executable, *arguments],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        lines = run.stdout.strip().splitlines()
        says = next((each for each in reversed(lines) if "--full" not in each and "make" not in each), "")
        verdict = "" if run.returncode == 0 else f"BROKEN ({run.returncode}): "
        print(f"{name}: {verdict}{says} [{time.monotonic() - began:.0f} s]", flush=True)
        broken += run.returncode != 0
    return int(broken > 0)


if __name__ == "__main__":
    sys.exit(main())

"""The machine that runs the benchmarks, and its limits: bandwidth of memory, speed of matrix products."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.installed import AbsentError, package, versions
from benchmarks.networks import Array
from benchmarks.timing import Budget, Candidate, compare
from typednn import backend

LARGE = 10_000_000
SIDE, SGEMM = 2048, "sgemm"


@dataclass(frozen=True, slots=True)
class Limits:
    """Upper limits of the speed of any program, in 1e9 per second.

    Attributes:
        copy: bytes read and written by a copy of 1e7 float32 elements.
        write: bytes written by filling as many elements with a constant.
        sgemm: floating-point operations of a large float32 matrix product, by number of cores.
    """

    copy: float
    write: float
    sgemm: dict[int, float]

    def rows(self) -> list[tuple[str, str]]:
        """Returns a name and a text for each limit."""
        cores = [
            (f"sgemm on {n} core{'s' * (n > 1)}", f"{peak:.0f} GFLOP/s") for n, peak in self.sgemm.items()
        ]
        return [
            ("copy of 1e7 float32", f"{self.copy:.1f} GB/s read and written"),
            ("fill of 1e7 float32", f"{self.write:.1f} GB/s written"),
            *cores,
        ]


def description() -> list[tuple[str, str]]:
    """Returns processor, cores, system, and versions of all packages as rows of a table."""
    rows = [
        ("processor", _processor()),
        ("cores", str(cores())),
        ("system", f"{platform.system()} {platform.machine()}"),
        ("Python", platform.python_version()),
        ("C compiler", _compiler()),
        ("typednn runs on", backend()),
    ]
    return [*rows, *versions().items()]


def cores() -> int:
    """Returns the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def limits(budget: Budget) -> Limits:
    """Measures the limits; `budget` holds for each of them."""
    source: Array = np.ones(LARGE, np.float32)
    target: Array = np.empty_like(source)
    memory = compare(
        [
            Candidate("copy", partial(np.copyto, target, source)),
            Candidate("write", partial(target.fill, 1)),
        ],
        budget,
    )
    return Limits(
        2e-9 * source.nbytes / memory.median("copy"),
        1e-9 * source.nbytes / memory.median("write"),
        _sgemm(budget),
    )


def large_product(flops: float) -> Candidate:
    """Returns a large float32 matrix product on all cores, timed per `flops` floating-point operations."""
    matrix: Array = np.ones((SIDE, SIDE), np.float32)
    multiply = partial(np.dot, matrix, matrix, out=np.empty_like(matrix))
    return Candidate(SGEMM, multiply, 2 * SIDE**3 / flops)


def _sgemm(budget: Budget) -> dict[int, float]:
    product = large_product(1e9)
    peaks: dict[int, float] = {}
    try:
        threads: Any = package("threadpoolctl").threadpool_limits
    except AbsentError:
        return {cores(): 1 / compare([product], budget).median(SGEMM)}
    for count in sorted({1, cores()}):
        with threads(count):
            peaks[count] = 1 / compare([product], budget).median(SGEMM)
    return peaks


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    flags = next((line for line in lines if line.startswith("flags")), "")
    widest = next((name for name in ("avx512f", "avx2", "avx", "sse2") if name in flags.split()), "")
    return f"{names[0] if names else platform.machine()} {widest}".strip()


def _compiler() -> str:
    compiler = shutil.which("gcc")
    if compiler is None:
        return "absent"
    answer = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=False)
    return answer.stdout.partition("\n")[0] or "gcc"

"""Comparison of one kernel: compiled, plain NumPy, and NumPy tuned by hand."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from typednn_kernels import plain

from benchmarks.installed import AbsentError, package
from benchmarks.networks import Array

TOLERANCE_EPS = 16
"""Maximum difference of results, in eps of the magnitude of the added terms, or of the result."""

OURS, PLAIN, TUNED = "numba", "plain NumPy", "tuned NumPy"

Call: TypeAlias = Callable[[], object]


@dataclass(frozen=True, slots=True)
class KernelComparison:
    """Calls that compute the same and write to the same array.

    Attributes:
        runs: calls by name of the candidate.
        result: array that all of them write to.
        elements: number of elements that the kernel works on.
        magnitude: magnitude of the terms that a result is the sum of; None: that of the result, at least 1/8.
    """

    runs: dict[str, Call]
    result: Array
    elements: int
    magnitude: Array | None = None

    def check(self) -> None:
        """Raises AssertionError unless all results agree within `TOLERANCE_EPS` eps of the magnitude."""
        results: dict[str, Array] = {}
        for name, run in self.runs.items():
            self.result.fill(np.nan)
            run()
            results[name] = self.result.copy()
        best = TUNED if TUNED in results else PLAIN
        reference = results[best]
        magnitude = np.maximum(abs(reference), 0.125) if self.magnitude is None else self.magnitude
        unit = np.finfo(reference.dtype).eps * magnitude + np.finfo(reference.dtype).tiny
        for name, computed in results.items():
            off = float((abs(computed - reference) / unit).max())
            assert off <= TOLERANCE_EPS, f"{name} and {best} differ by {off:.3g} eps"


def library_runs(kernel: str, *arguments: Any) -> dict[str, Call]:
    """Returns calls of the compiled and the plain kernel of that name; without numba, of the plain one."""
    kernels: dict[str, Any] = {PLAIN: plain}
    *_, result = arguments
    with suppress(AbsentError):
        kernels = {
            OURS: package("typednn_kernels.compiled.entry_points").kernels_for(result.dtype),
            **kernels,
        }
    return {name: partial(getattr(module, kernel), *arguments) for name, module in kernels.items()}

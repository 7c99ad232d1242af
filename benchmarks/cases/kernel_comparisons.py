"""The same work by our compiled kernel, our plain one, and NumPy tuned by hand."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from typednn_kernels import plain

from benchmarks.cases.networks import Array
from benchmarks.peers.peers import AbsentError, package

UNITS = 16
"""Results agree within so many eps of the magnitude of the terms that are added, or of the result."""

OURS, PLAIN, TUNED = "numba", "plain NumPy", "tuned NumPy"

Call: TypeAlias = Callable[[], object]


@dataclass(frozen=True, slots=True)
class KernelContest:
    """Calls that write into the same array.

    Attributes:
        elements: how many numbers the kernel works on.
        magnitude: of the terms that a result is the sum of; None: of the result, but at least 1/8.
    """

    runs: dict[str, Call]
    result: Array
    elements: int
    magnitude: Array | None = None

    def check(self) -> None:
        """Raises AssertionError unless all give the same result, within `UNITS` eps of the magnitude."""
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
            assert off <= UNITS, f"{name} and {best} differ by {off:.3g} units"


def library_runs(kernel: str, *arguments: Any) -> dict[str, Call]:
    """The calls of our two kernels of that name, as the library calls them; without numba, of one."""
    kernels: dict[str, Any] = {PLAIN: plain}
    *_, result = arguments
    with suppress(AbsentError):
        kernels = {
            OURS: package("typednn_kernels.compiled.entry_points").kernels_for(result.dtype),
            **kernels,
        }
    return {name: partial(getattr(module, kernel), *arguments) for name, module in kernels.items()}

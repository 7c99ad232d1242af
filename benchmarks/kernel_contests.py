"""The same work by our compiled kernel, our plain one, and NumPy tuned by hand."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from typednn_kernels import plain

from benchmarks.networks import Array
from benchmarks.peers import AbsentError, package

OURS, PLAIN, TUNED = "numba", "plain NumPy", "tuned NumPy"

Call: TypeAlias = Callable[[], object]


@dataclass(frozen=True, slots=True)
class KernelContest:
    """Calls that write into the same array.

    Attributes:
        elements: how many numbers the kernel works on.
        units: results agree within so many eps times the magnitude.
        magnitude: of the terms that a result is the sum of; None: of the result, but at least 1/8.
    """

    runs: dict[str, Call]
    result: Array
    elements: int
    units: float
    magnitude: Array | None = None

    def check(self) -> None:
        """Raises AssertionError unless all give the same result."""
        results: dict[str, Array] = {}
        for name, run in self.runs.items():
            self.result.fill(np.nan)
            run()
            results[name] = self.result.copy()
        reference = results[TUNED]
        magnitude = np.maximum(abs(reference), 0.125) if self.magnitude is None else self.magnitude
        allowed = self.units * np.finfo(reference.dtype).eps * magnitude
        for name, computed in results.items():
            off = abs(computed - reference) / (allowed + np.finfo(reference.dtype).tiny)
            assert off.max() <= 1, f"{name} and {TUNED} differ: {float(off.max() * self.units):.3g} units"


def library_runs(kernel: str, *arguments: Any) -> dict[str, Call]:
    """The calls of our two kernels of that name; without numba, of one."""
    kernels = {PLAIN: plain}
    with suppress(AbsentError):
        kernels = {OURS: package("typednn_kernels.compiled"), **kernels}
    return {name: partial(getattr(module, kernel), *arguments) for name, module in kernels.items()}

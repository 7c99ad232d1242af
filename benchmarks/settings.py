"""How much a report measures: sizes, dtypes and seconds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from benchmarks.networks import DTYPES
from benchmarks.timing import Budget

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of one run.

    Attributes:
        quick: whether to measure few sizes, float32 only and for a short time.
        output: folder of the report and its plots.
    """

    quick: bool
    output: Path

    def budget(self, seconds: float, *, wait_for_idle: bool = False) -> Budget:
        """Returns the time budget of one comparison: `seconds`, or an eighth of it if `quick`."""
        if self.quick:
            return Budget(seconds / 8, 3, 3e-4, wait_for_idle)
        return Budget(seconds, wait_for_idle=wait_for_idle)

    def subset(self, rows: tuple[T, ...], chosen: tuple[int, ...]) -> tuple[T, ...]:
        """Returns all rows, or those at the indices `chosen` if `quick`."""
        return tuple(rows[i] for i in chosen) if self.quick else rows

    @property
    def dtypes(self) -> tuple[str, ...]:
        """Dtypes to measure: both, or float32 if `quick`."""
        return self.subset(DTYPES, (0,))

    @property
    def stepwise_seconds(self) -> float:
        """Seconds that one run of a candidate takes if it runs Python code at each step."""
        return 0.01 if self.quick else 0.05

"""How much is measured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from benchmarks.cases.networks import DTYPES
from benchmarks.timing import Budget

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Settings:
    """Whether it is to be quick, and where the report and its pictures go."""

    quick: bool
    output: Path

    def budget(self, seconds: float, *, rested: bool = False) -> Budget:
        """So many seconds for a comparison, or fewer."""
        return Budget(seconds / 8, 3, 3e-4, rested) if self.quick else Budget(seconds, rested=rested)

    def some(self, rows: tuple[T, ...], chosen: tuple[int, ...]) -> tuple[T, ...]:
        """All rows, or the chosen ones."""
        return tuple(rows[i] for i in chosen) if self.quick else rows

    @property
    def dtypes(self) -> tuple[str, ...]:
        """Both, or float32 alone."""
        return self.some(DTYPES, (0,))

    @property
    def longest(self) -> float:
        """Contestants that run Python at each step train for so many seconds a round."""
        return 0.01 if self.quick else 0.05

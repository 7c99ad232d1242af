"""What is to be reached: how many times longer a peer takes than typednn, at least."""

from __future__ import annotations

from dataclasses import dataclass

NOISE = 0.95
"""Nowhere slower means not below this."""

GEOMETRIC_MEAN = 2.0
BANDWIDTH = 0.8
"""Of the kernels: over all sizes against NumPy; of what a copy, or a fill, moves at the largest size."""

SGEMM = 0.9
"""Of the peak of the machine, on the largest network in batches."""

IMPORT = 1.3
FIRST_STEP = 0.7
FIRST_EVER = 15.0
"""Of the cold start, at most: times `import numpy`; seconds; seconds."""

ONLINE: dict[str, dict[str, float]] = {
    "2-2-1": {"C": 1.0, "JAX": 10, "PyTorch": 1000, "textbook": 100},
    "5-3-5": {"C": 1.0, "JAX": 10},
    "784-10-10-10": {"C": 1.0, "JAX": 1.3},
    "784-128-10": {"C": 1.25, "JAX": 1.3, "PyTorch": 20},
    "784-512-10": {"C": 1.25, "JAX": 1.3},
    "400-400-400": {"C": 1.0, "JAX": 1.3},
}
"""By network and peer, in float32; in float64 those of C."""

HAND_WRITTEN: dict[str, dict[str, float]] = {"2-2-1": {"textbook": 4}}

PREDICTED: dict[str, dict[str, float]] = {"2-2-1": {"ONNX Runtime": 4}, "784-128-10": {"ONNX Runtime": 1.5}}

BATCHES: dict[str, dict[str, float]] = {
    "64-32-10 × 32": {"JAX": 3, "PyTorch": 40, "scikit-learn": 12},
    "784-128-10 × 64": {"JAX": 1.3, "PyTorch": 2.5, "scikit-learn": 2.5},
    "784-512-256-10 × 128": {"JAX": 1.1, "PyTorch": 1.5, "scikit-learn": 2},
    "2048-2048-2048-10 × 256": {"JAX": 1.0, "PyTorch": 1.1, "scikit-learn": 1.6},
}

IN_PARALLEL: dict[str, float] = {"64-32-10 × 32": 1.8}
"""On two cores: how many times longer networks take one after another than in one call."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A number beside its target; `most`: the target is the largest, not the smallest, that is good."""

    what: str
    value: float
    target: float
    most: bool = False

    @property
    def met(self) -> bool:
        """Whether the target is reached."""
        return self.value <= self.target if self.most else self.value >= self.target

    @property
    def mark(self) -> str:
        """✓ or ✗."""
        return "✓" if self.met else "✗"

    def __str__(self) -> str:
        """Such as `1.31 (≥ 1.25 ✓)`."""
        return f"{number(self.value)} ({'≤' if self.most else '≥'} {self.target:g} {self.mark})"


def number(value: float) -> str:
    """With three significant digits, or as an integer."""
    return f"{value:,.0f}" if value >= 99.5 else f"{value:.3g}"

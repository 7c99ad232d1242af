"""Targets: the ratios of a peer's time to that of typednn that are to be reached."""

from __future__ import annotations

from dataclasses import dataclass

NOISE = 0.95
"""Lowest ratio that counts as not slower."""

GEOMETRIC_MEAN = 2.0
BANDWIDTH = 0.8
"""Kernels: mean ratio over all sizes against NumPy; fraction of the bandwidth of a copy, or a fill."""

SGEMM = 0.9
"""Fraction of the speed of large matrix products, on the largest network with mini-batches."""

IMPORT = 1.3
FIRST_STEP = 0.5
FIRST_FIT, FIRST_PREDICT, FIRST_WARM = 5.0, 1.5, 0.5
WARM_UP = 20.0
"""Cold start, maxima: ratio to `import numpy`; seconds of the first step; of the first `fit` and `predict`
with an empty cache, and with a warm one; of `typednn warmup`."""

ONLINE: dict[str, dict[str, float]] = {
    "2-2-1": {"C": 1.0, "JAX": 10, "PyTorch": 1000, "textbook": 100},
    "5-3-5": {"C": 1.0, "JAX": 10},
    "784-10-10-10": {"C": 1.0, "JAX": 1.3},
    "784-128-10": {"C": 1.25, "JAX": 1.3, "PyTorch": 20},
    "784-512-10": {"C": 1.25, "JAX": 1.3},
    "400-400-400": {"C": 1.0, "JAX": 1.3},
}
"""Ratios by network and peer, in float32; in float64 those of C."""

HAND_WRITTEN: dict[str, dict[str, float]] = {"2-2-1": {"textbook": 2.5}, "5-3-5": {"textbook": 2.5}}

PREDICTED: dict[str, dict[str, float]] = {"2-2-1": {"ONNX Runtime": 4}, "784-128-10": {"ONNX Runtime": 1.5}}

BATCHES: dict[str, dict[str, float]] = {
    "64-32-10 × 32": {"JAX": 3, "PyTorch": 40, "scikit-learn": 12},
    "784-128-10 × 64": {"JAX": 1.3, "PyTorch": 2.5, "scikit-learn": 2.5},
    "784-512-256-10 × 128": {"JAX": 1.1, "PyTorch": 1.5, "scikit-learn": 2},
    "2048-2048-2048-10 × 256": {"JAX": 1.0, "PyTorch": 1.1, "scikit-learn": 1.6},
}

ESTIMATORS: dict[str, float] = {"fit": 4, "batch_size=1": 10, "row": 5, "search": 4}
"""Ratios of scikit-learn's estimators to those of `typednn.sklearn`."""

TWO_THREADS = 1.0
"""Ratio of a fit on one thread to one on two."""
SAME_SCORES = 0.05
"""The least p of a paired t test that held-out scores are equal."""

CALLS: dict[tuple[str, str], dict[str, float]] = {
    ("epochs of 4 samples, a step for each", "fit"): {"C": 0.67},
    ("epochs of 4 samples, a step for each", "fit, shuffled"): {"C": 0.3},
    ("epochs of 4 samples, a step for each", "gradient_descent_epoch"): {"C": 0.67},
    ("epochs of 4 samples, a step for each", "gradient_descent_threshold"): {"C": 0.67},
    ("epochs of 4 samples, a step for all", "fit"): {"JAX": 2},
    ("epochs of 150 samples, a step for all", "fit"): {"JAX": 2},
    ("1 row, outputs", "predict"): {"ONNX Runtime": 1.5, "PyTorch": 3},
    ("32 rows, outputs", "predict"): {"ONNX Runtime": 1.5, "PyTorch": 1.5},
    ("1 row, gradient", "forward(x).backward(y)"): {"PyTorch": 3},
    ("32 rows, gradient", "forward(x).backward(y)"): {"PyTorch": 2},
    ("2-2-1, 32 rows, a step by Adam", "Steps.train"): {"PyTorch": 5},
    ("64-32-10, 32 rows, a step by Adam", "Steps.train"): {"PyTorch": 5},
    ("a step on NumPy", "fit on NumPy"): {"textbook": 1},
}
"""Ratios by work, with the network or for all of them, call and peer, in float32."""

IN_PARALLEL: dict[str, float] = {"64-32-10 × 32": 1.8}
"""Ratio of training one network after another to one call of `in_parallel`, on two cores."""


@dataclass(frozen=True, slots=True)
class TargetResult:
    """A value and its target, which is a maximum if `most`, else a minimum."""

    what: str
    value: float
    target: float
    most: bool = False

    @property
    def met(self) -> bool:
        """Whether the target is met."""
        return self.value <= self.target if self.most else self.value >= self.target

    @property
    def mark(self) -> str:
        """✓ or ✗."""
        return "✓" if self.met else "✗"

    def __str__(self) -> str:
        """Such as `1.31 (≥ 1.25 ✓)`."""
        return f"{number(self.value)} ({'≤' if self.most else '≥'} {self.target:g} {self.mark})"


def number(value: float) -> str:
    """Formats a value with three significant digits, or as an integer from 100 on."""
    return f"{value:,.0f}" if value >= 99.5 else f"{value:.3g}"

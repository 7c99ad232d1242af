"""`python -m tests.accuracy`: prints the tables of rounding errors of docs/inside/numerics.md.

Errors of elementary functions and of activations are in units in the last place of the exact result. Those of
derivatives are in units of eps times the derivative, or of eps where that is below 1. References are in
extended precision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typednn_kernels import plain
from typednn_kernels.activations import ACTIVATIONS, BUILT_IN, CODES
from typednn_kernels.compiled.entry_points import kernels_for
from typednn_kernels.interface import Kernels

from tests.oracles import loops
from tests.typednn_kernels.compiled.math.test_functions import FUNCTIONS, worst

PATHS: dict[str, Callable[[np.dtype[Any]], Kernels]] = {"NumPy": lambda _: plain, "compiled": kernels_for}
DTYPES = (np.float32, np.float64)
ARGUMENTS = np.linspace(-10, 10, 2003)


def activation_errors(name: str, kernels: Kernels, dtype: Any) -> tuple[float, float]:
    """The largest errors of value and derivative for pre-activations from -10 to 10."""
    a: NDArray[Any] = ARGUMENTS.astype(dtype).reshape(-1, 1)
    y, dyda = np.empty_like(a), np.empty_like(a)
    kernels.activation_value(CODES[name], a, y)
    kernels.activation_derivative(CODES[name], a, y, dyda)
    value = loops.activation(name, loops.exact(a[:, 0]))
    derivative = loops.exact([loops.derivative(name, each) for each in loops.exact(a[:, 0])])
    unit = np.spacing(abs(value).astype(dtype)).astype(np.longdouble)
    off = abs(y[:, 0] - value) / unit, abs(dyda[:, 0] - derivative) / np.maximum(abs(derivative), 1)
    return float(off[0].max()), float(off[1].max() / np.finfo(dtype).eps)


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    """Prints a table in Markdown."""
    cells = [list(head), *map(list, rows)]
    cells.insert(1, ["---"] * len(cells[0]))
    for row in cells:
        print("| " + " | ".join(row) + " |")
    print()


def main() -> None:
    """Prints both tables."""
    wider = {np.float32: np.float64, np.float64: np.longdouble}
    table(
        ("function", "float32", "float64"),
        (
            (f"`{name}`", *(f"{worst(name, function, dtype, wider[dtype])[0]:.2f}" for dtype in DTYPES))
            for name, function in FUNCTIONS.items()
        ),
    )
    rows: list[list[str]] = []
    for row in ACTIVATIONS[:BUILT_IN]:
        if row.value is None:
            continue
        cells = [f"`{row.name}`"]
        for dtype in DTYPES:
            for path in PATHS.values():
                value, derivative = activation_errors(row.name, path(np.dtype(dtype)), dtype)
                cells.append(f"{value:.1f}, {derivative:.1f}")
        rows.append(cells)
    columns = (f"{dtype.__name__}, {path}" for dtype in DTYPES for path in PATHS)
    table(("activation", *columns), rows)


if __name__ == "__main__":
    main()

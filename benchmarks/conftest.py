"""The marker `short`, and floating-point warnings of NumPy turned off, as in the kernels."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

collect_ignore = ["peers"]
"""Modules that hold no tests, and that cannot be imported where their package is not installed."""


def pytest_configure(config: pytest.Config) -> None:
    """Registers the marker `short`."""
    config.addinivalue_line("markers", "short: small enough for the parity check in CI")


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Turns off warnings: overflow and underflow are part of the formulas."""
    with np.errstate(all="ignore"):
        yield

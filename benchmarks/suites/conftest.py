"""The marker of the short mode, and NumPy that computes without warnings, as the kernels do."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Registers the marker."""
    config.addinivalue_line("markers", "short: small enough for the parity check in CI")


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Overflow and underflow are part of the formulas."""
    with np.errstate(all="ignore"):
        yield

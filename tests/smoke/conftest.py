"""The tour runs on NumPy, where nothing is compiled; `test_both_paths.py` compiles one small loop."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from typednn_kernels.arrays import Matrix

from typednn import use_backend


@pytest.fixture(autouse=True)
def on_numpy() -> Iterator[None]:
    """Nothing is compiled."""
    with use_backend("numpy"):
        yield


@pytest.fixture
def x() -> Matrix[np.float64]:
    """The four samples of XOR."""
    return np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])


@pytest.fixture
def t() -> Matrix[np.float64]:
    """What XOR makes of each sample."""
    return np.array([[0.0], [1.0], [1.0], [0.0]])

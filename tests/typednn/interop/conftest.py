"""Models are compared with NumPy's path: what is under test is the files."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from typednn import use_backend


@pytest.fixture
def numpy_alone() -> Iterator[None]:
    """Uses the NumPy path."""
    with use_backend("numpy"):
        yield

"""One thread for these tests: small products in several threads wait for each other on a busy machine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from typednn import use_threads


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Limits the threads of the kernels and of BLAS."""
    with use_threads(1):
        yield

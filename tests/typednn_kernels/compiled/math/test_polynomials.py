"""The polynomials of the elementary functions, beside those that Remez's algorithm finds again."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import pytest

from tests.oracles.polynomials import derived, fits, largest_error

pytest.importorskip("numba", reason="numba does not work here", exc_type=ImportError)
polynomials = import_module("typednn_kernels.compiled.math.polynomials")


@pytest.mark.parametrize("name", fits(np.float32))
@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda dtype: dtype.__name__)
def test_tables_are_as_good_as_what_is_derived(name: str, dtype: Any) -> None:
    table = getattr(polynomials.FORMATS[dtype], name)

    reference = largest_error(dtype, name, derived(dtype, name))
    computed = largest_error(dtype, name, table)

    assert len(table) == fits(dtype)[name].length
    assert reference / 1.001 <= computed <= reference * 1.001

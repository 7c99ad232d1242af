"""Functions for formulas, in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from typednn_kernels.primitives import MANY_CHOICES, unless_nan, where

SIZES = [1, MANY_CHOICES - 1, MANY_CHOICES, 2 * MANY_CHOICES]
by_size = pytest.mark.parametrize("size", SIZES)
by_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda dtype: dtype.__name__)


def numbers(size: int, dtype: Any) -> Any:
    rng = np.random.default_rng(size)
    special = np.array([0.0, -0.0, np.nan, np.inf, -np.inf, 1e-40, 1e30])
    return np.where(rng.random(size) < 0.2, rng.choice(special, size), rng.normal(size=size)).astype(dtype)


@by_size
@by_dtype
@pytest.mark.parametrize(
    "kinds", [("array", "array"), ("array", 0.5), (1, "array"), (np.float32(2), "array")]
)
def test_each_element_is_one_of_two_to_the_bit(kinds: tuple[Any, Any], dtype: Any, size: int) -> None:
    a, b = numbers(size, dtype), numbers(size, dtype)[::-1]
    x, y = (each if kind == "array" else kind for each, kind in zip((a, b), kinds, strict=True))
    condition = np.random.default_rng(1).random(size) < 0.5

    reference = [
        (x if kinds[0] != "array" else x[i]) if condition[i] else (y if kinds[1] != "array" else y[i])
        for i in range(size)
    ]

    computed = where(condition, x, y)

    assert computed.dtype == dtype
    assert computed.tobytes() == np.array(reference, dtype).tobytes()


@by_size
@by_dtype
def test_nan_stays_in_parts_that_do_not_depend_on_it(dtype: Any, size: int) -> None:
    x = numbers(size, dtype)

    computed = unless_nan(x, 0.25)

    assert np.isnan(computed).tolist() == np.isnan(x).tolist()
    assert set(computed[~np.isnan(x)].tolist()) <= {0.25}

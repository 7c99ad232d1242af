"""Named tuples of arrays in compiled functions: given by Python, handed on, and made by a kernel."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Generic, NamedTuple

import numpy as np
import pytest
from typednn_kernels.arrays import F, Matrix, Vector

numba = pytest.importorskip("numba", reason="numba does not work here", exc_type=ImportError)
if numba.config.DISABLE_JIT:
    pytest.skip("nothing is compiled", allow_module_level=True)
jit = import_module("typednn_kernels.compiled._codegen.jit")
noinline = import_module("typednn_kernels.compiled._codegen.noinline")


class Pair(NamedTuple):
    """Two integers."""

    first: int
    second: int


class Mixed(NamedTuple, Generic[F]):
    """Arrays and scalars of different types."""

    x: Vector[F]
    i: int
    W: Matrix[F]
    wanted: bool
    scale: F


class Uniform(NamedTuple, Generic[F]):
    """Arrays of one type."""

    x: Vector[F]
    y: Vector[F]


def add(pair: Pair, mixed: Mixed[F], uniform: Uniform[F]) -> None:
    """Adds the product of some elements and the scale to others, if wanted."""
    if mixed.wanted:
        uniform.y[pair.second] += mixed.scale * mixed.x[mixed.i] * mixed.W[pair.first, pair.second]
        uniform.x[pair.first] += mixed.W.shape[1]


def add_twice(mixed: Mixed[F], uniform: Uniform[F]) -> None:
    """Hands on what it is given, and then what it makes of it."""
    adding(Pair(1, 2), mixed, uniform)
    swapped = Uniform(uniform.y, uniform.x)
    adding(Pair(0, 1), Mixed(mixed.W[1], mixed.i, mixed.W, True, mixed.scale), swapped)


with pytest.MonkeyPatch.context() as patch:
    patch.setattr(jit, "CACHE", None)  # which knows the sources of the kernels, not this
    adding = jit.noinline(add)
    entry = jit.exported(add_twice)


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize("wanted", [True, False])
def test_fields_are_read_and_arrays_are_written(wanted: bool, dtype: Any) -> None:
    call = noinline.compiled_for(entry, np.dtype(dtype))
    W = np.arange(6, dtype=dtype).reshape(2, 3)
    mixed = Mixed(np.array([2, 3, 5], dtype), 2, W, wanted, dtype(0.5))
    uniform = Uniform(np.zeros(3, dtype), np.zeros(3, dtype))

    call(mixed, uniform)

    x, y = np.zeros(3, dtype), np.zeros(3, dtype)
    if wanted:
        y[2] += 0.5 * 5 * W[1, 2]
        x[1] += 3
    x[1] += 0.5 * W[1, 2] * W[0, 1]
    y[0] += 3
    assert uniform.x.tolist() == x.tolist()
    assert uniform.y.tolist() == y.tolist()

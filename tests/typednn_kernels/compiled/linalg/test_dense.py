"""The affine map of few rows, which packs them in place of the weights: the bits of many rows."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import pytest

from typednn import HiddenLayer, InputLayer, Network, OutputLayer, use_backend, use_threads

numba = pytest.importorskip("numba", reason="numba does not work here", exc_type=ImportError)
dense = import_module("typednn_kernels.compiled.linalg.dense")
vectors = import_module("typednn_kernels.compiled._codegen.simd")

INPUTS, UNITS, MANY = 300, 208, 97
packs_rows = getattr(dense.few_rows_fill_vectors, "py_func", dense.few_rows_fill_vectors)


def few(dtype: Any) -> list[int]:
    """The numbers of samples that are packed in place of the weights."""
    W = np.empty(UNITS * INPUTS, dtype)
    return [samples for samples in range(1, MANY + 1) if packs_rows(samples, UNITS, W)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda dtype: dtype.__name__)
def test_which_rows_are_few(dtype: Any) -> None:
    lanes = vectors.VECTOR_BYTES // np.dtype(dtype).itemsize

    assert few(dtype) == [lanes, 2 * lanes, 3 * lanes]
    assert not packs_rows(lanes, UNITS + 1, np.empty((UNITS + 1) * INPUTS, dtype))
    assert not packs_rows(lanes, 4 * lanes, np.empty(4 * lanes, dtype))


@pytest.mark.parametrize("normalization", ["none", "batch"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda dtype: dtype.__name__)
def test_few_rows_have_the_bits_of_many(dtype: Any, normalization: Any) -> None:
    hidden = HiddenLayer(UNITS, "tanh", normalization=normalization)
    network = Network([InputLayer(INPUTS), hidden, OutputLayer(3)], dtype=dtype, seed=0)
    hidden.Bias = np.random.default_rng(1).normal(size=(1, UNITS)).astype(dtype)
    x = np.random.default_rng(0).normal(size=(MANY, INPUTS)).astype(dtype)

    with use_backend("numba"), use_threads(1):
        reference = network.predict(x)
        for samples in few(dtype):
            np.testing.assert_array_equal(network.predict(x[:samples]), reference[:samples])
            np.testing.assert_array_equal(network.forward(x[:samples]).output, reference[:samples])

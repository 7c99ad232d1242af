"""What the elementary functions mean in compiled code (first version: numba's own)."""

from __future__ import annotations

import numpy as np

from typednn_kernels import elementary
from typednn_kernels.compiled.jit import means


@means(elementary.exp)
def _exp(x):
    return lambda x: np.exp(x)


@means(elementary.log)
def _log(x):
    return lambda x: np.log(x)


@means(elementary.log1p)
def _log1p(x):
    return lambda x: np.log1p(x)


@means(elementary.tanh)
def _tanh(x):
    return lambda x: np.tanh(x)


@means(elementary.maximum)
def _maximum(x, y):
    return lambda x, y: y if x < y else x


@means(elementary.minimum)
def _minimum(x, y):
    return lambda x, y: y if x > y else x


@means(elementary.where)
def _where(condition, x, y):
    return lambda condition, x, y: x if condition else y

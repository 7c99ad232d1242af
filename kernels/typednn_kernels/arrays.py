"""Names the array types of the kernels: `B` samples are rows, `n` units are columns."""

from __future__ import annotations

import sys
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

if sys.version_info >= (3, 13):
    from typing import TypeVar
else:
    from typing_extensions import TypeVar

F = TypeVar("F", bound=np.float32 | np.float64, default=np.float64)
"""The dtype of a network, float32 or float64: that of every array of a call."""

Vector: TypeAlias = np.ndarray[tuple[int], np.dtype[F]]
Matrix: TypeAlias = np.ndarray[tuple[int, int], np.dtype[F]]
Cube: TypeAlias = np.ndarray[tuple[int, int, int], np.dtype[F]]

Strided: TypeAlias = np.ndarray[tuple[int], np.dtype[F]]
"""A vector that need not be contiguous: what users pass in."""

Order: TypeAlias = np.ndarray[tuple[int], np.dtype[np.int64]]
"""Sample indices `(n_samples,)`, in the order in which they are trained."""

Layout: TypeAlias = np.ndarray[tuple[int, int], np.dtype[np.int64]]
"""Where the elements of each layer lie: see `typednn_kernels.layout`."""

Ranges: TypeAlias = np.ndarray[tuple[int, int], np.dtype[np.int64]]
"""Ranges of a vector of parameters, `(n, 2)`: where each starts and stops."""

Values: TypeAlias = NDArray[np.floating]
"""Operands and result of a formula: elementwise, any shape, float32 or float64."""

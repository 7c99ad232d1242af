"""What `train_batches` takes of an update rule."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from typednn_kernels.update_rules import SGD, coefficient_rows


def descent(rate: float, steps: int, parameters: NDArray[Any]) -> tuple[int, Any, Any, Any]:
    """Rule, coefficients, segments and penalties of gradient descent."""
    coefficients = coefficient_rows(np.full((steps, 1), rate), parameters.dtype)
    return SGD, coefficients, np.array([[0, len(parameters)]]), np.zeros((1, 2), parameters.dtype)


def no_states(parameters: NDArray[Any]) -> Any:
    """What gradient descent remembers."""
    return np.zeros((0, len(parameters)), parameters.dtype)

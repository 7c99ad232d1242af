"""Makes what `train_batches` is given."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from typednn_kernels.operands import OptimizerSteps
from typednn_kernels.update_rules import SGD, coefficient_rows


def descent(rate: float, steps: int, parameters: NDArray[Any]) -> OptimizerSteps[Any]:
    """Gradient descent on all parameters."""
    n, dtype = len(parameters), parameters.dtype
    coefficients = coefficient_rows(np.full((steps, 1), rate), dtype)
    states: NDArray[Any] = np.zeros((0, n), dtype)
    return OptimizerSteps(SGD, coefficients, np.array([[0, n]]), np.zeros((1, 2), dtype), states)

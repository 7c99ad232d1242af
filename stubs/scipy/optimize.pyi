from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

class OptimizeResult(dict[str, int]):
    success: bool
    message: str
    x: NDArray[np.float64]

def minimize(
    fun: Callable[[NDArray[np.float64]], object],
    x0: NDArray[np.float64],
    *,
    method: str,
    jac: bool | None,
    tol: float | None,
    options: Mapping[str, object],
) -> OptimizeResult: ...

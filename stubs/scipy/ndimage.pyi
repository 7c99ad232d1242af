from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

F = TypeVar("F", np.float32, np.float64)

def rotate(
    input: NDArray[F], angle: float, axes: tuple[int, int], *, reshape: bool, order: int
) -> NDArray[F]: ...

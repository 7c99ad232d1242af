from typing import Any

import numpy as np
from numpy.typing import NDArray

def compute_sample_weight(
    class_weight: object, y: NDArray[Any]
) -> np.ndarray[tuple[int], np.dtype[np.float64]]: ...

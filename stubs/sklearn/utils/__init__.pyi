from typing import Any

import numpy as np
from numpy.typing import NDArray

def check_random_state(seed: int | np.random.RandomState | None) -> np.random.RandomState: ...
def column_or_1d(y: NDArray[Any], *, warn: bool = ...) -> NDArray[Any]: ...

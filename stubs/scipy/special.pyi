from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

X = TypeVar("X", bound=NDArray[np.floating])

def erf(x: X) -> X: ...
def erfc(x: X, out: X | None = None) -> X: ...
def xlogy(x: X, y: X) -> X: ...

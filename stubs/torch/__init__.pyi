import numpy as np
from numpy.typing import NDArray

from torch import nn as nn

class Tensor:
    dtype: dtype
    requires_grad: bool

class dtype: ...

float32: dtype
float64: dtype

def from_numpy(array: NDArray[np.generic]) -> Tensor: ...

import numpy as np
from numba.types import Type

def as_dtype(nbtype: Type) -> np.dtype[np.floating]: ...

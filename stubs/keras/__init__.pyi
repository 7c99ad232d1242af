from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras import activations as activations
from keras import layers as layers
from keras import regularizers as regularizers

class Sequential:
    layers: list[Any]
    built: bool
    def __init__(self, layers: Sequence[Any]) -> None: ...
    def get_weights(self) -> list[NDArray[np.floating]]: ...

def Input(shape: tuple[int, ...], *, dtype: str) -> Any: ...

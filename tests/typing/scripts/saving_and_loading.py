"""A network in a file: of a dtype that is known, and of one that the file decides."""

from pathlib import Path
from typing import assert_type

import numpy as np

from typednn import FileFormatError, HiddenLayer, InputLayer, Network, OutputLayer, load, save

path = Path("network.safetensors")
save(Network([InputLayer(2), HiddenLayer(3), OutputLayer(1)], dtype=np.float32, seed=0), path)

network = load(path, np.float32)
assert_type(network, Network[np.float32])
assert_type(network.predict(np.zeros((1, 2), np.float32)), np.ndarray[tuple[int, int], np.dtype[np.float32]])

either = load(path)
assert_type(either, Network[np.float32] | Network[np.float64])
try:
    load(path, np.float64)
except FileFormatError as error:
    print(error)

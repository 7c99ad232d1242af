"""A network in a file: of a dtype that is known, and of one that the file decides."""

from pathlib import Path
from typing import assert_type

import numpy as np

from typednn import (
    AnyNetwork,
    FileFormatError,
    HiddenLayer,
    InputLayer,
    Network,
    OutputLayer,
    gradcheck,
    load,
    minimize,
    save,
)

path = Path("network.safetensors")
save(Network([InputLayer(2), HiddenLayer(3), OutputLayer(1)], dtype=np.float32, seed=0), path)

network = load(path, np.float32)
assert_type(network, Network[np.float32])
assert_type(network.predict(np.zeros((1, 2), np.float32)), np.ndarray[tuple[int, int], np.dtype[np.float32]])

either = load(path)
assert_type(either, AnyNetwork)
x, y = np.zeros((4, 2), np.float32), np.ones((4, 1), np.float32)
assert gradcheck(either, x, y).passed
print(minimize(either, x, y, max_iterations=2).loss, either.predict(x), either.fit(x, y, epochs=1).loss)
save(either, path)


def describe(network: AnyNetwork) -> str:
    """Describes a network of either dtype."""
    save(network, path)
    return network.summary()


print(describe(either), describe(network), describe(load(path)))
try:
    load(path, np.float64)
except FileFormatError as error:
    print(error)

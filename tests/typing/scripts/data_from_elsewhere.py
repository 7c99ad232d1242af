"""Arrays as they come: computed, loaded, of unknown rank. None of this is a mistake."""

import numpy as np
from numpy.typing import NDArray

from typednn import HiddenLayer, InputLayer, Network, OutputLayer

layers = [InputLayer(2), HiddenLayer(3, "tanh"), OutputLayer(2, "softmax", "crossentropy")]
network = Network(layers, dtype=np.float32, seed=0)


def standardized(x: NDArray[np.float32]) -> NDArray[np.float32]:
    centred: NDArray[np.float32] = x - x.mean(axis=0)
    return centred


def evaluated(network: Network[np.float32], x: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    return network.evaluate(x, labels).loss


def built() -> Network[np.float32]:
    return Network([InputLayer(2), OutputLayer(1)], dtype=np.float32, seed=0)


x = np.zeros((4, 2), np.float32)
w = np.ones((2, 2), np.float32)
labels = np.array([0, 1, 1, 0])
np.save("x.npy", x)

network.predict(x @ w)
network.predict(x - x.mean(axis=0))
network.predict(standardized(x))
network.predict(np.load("x.npy"))
network.predict(np.array([[0, 1], [1, 1]]))
network.predict(np.array([[0.0, 1.0]], np.float32))
network.predict(x[::2])
network.predict(x[[0, 1]])
network.predict(x * 2)
network.predict(x / np.float32(255))
network.predict(x.astype(np.uint8))
network.predict(x > 0.5)
network.predict(np.stack([x[0], x[1]]))
network.predict(np.concatenate([x, x]))
network.predict(np.asarray([[1.0, 2.0]], dtype=np.float32))
network.fit(x, labels, epochs=1, batch_size=2)
network.fit(x, labels.astype(np.uint8), epochs=1, batch_size=2)
network.fit(x, x.argmax(axis=1), epochs=1, batch_size=2)
network.fit(x, np.random.default_rng(0).integers(0, 2, 4), epochs=1, batch_size=2)
network.fit(x, np.eye(2, dtype=np.float32)[labels], epochs=1, batch_size=2)
evaluated(network, x, labels)
built().fit(x, x[:, :1], epochs=1, batch_size=2)

"""Training by hand through the typed door: gradient descent with momentum on the vector of parameters."""

from typing import assert_type

import numpy as np

from typednn import HiddenLayer, InputLayer, Network, OutputLayer

x, y = np.eye(4, dtype=np.float32), np.ones((4, 1), np.float32)
network = Network([InputLayer(4), HiddenLayer(3, "sigmoid"), OutputLayer(1, "tanh")], np.float32, seed=0)
velocity = np.zeros_like(network.parameters)

losses: list[float] = []
for _ in range(3):
    gradients = network.forward(x).backward(y)
    velocity *= 0.9
    velocity -= np.float32(0.1) * gradients.vector
    network.parameters[...] += velocity
    losses.append(gradients.loss)

assert_type(network.parameters, np.ndarray[tuple[int], np.dtype[np.float32]])
assert_type(network.dtype, np.dtype[np.float32])
assert losses[2] < losses[0]

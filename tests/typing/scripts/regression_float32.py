"""Regression through the typed door, in float32: predictions, and every gradient."""

from typing import Annotated, assert_type

import numpy as np

from typednn import (
    ForwardPass,
    Gradients,
    HiddenLayer,
    InputLayer,
    LayerGradients,
    Network,
    OutputLayer,
    gradcheck,
)
from typednn.validation.arrays import Truths

MatrixOf32 = np.ndarray[tuple[int, int], np.dtype[np.float32]]
Gradient = Annotated[MatrixOf32, "read-only"]
VectorOf32 = np.ndarray[tuple[int], np.dtype[np.float32]]

generator = np.random.default_rng(0)
x = generator.normal(size=(8, 3)).astype(np.float32)
y = np.zeros((8, 2), np.float32)

network = Network([InputLayer(3), HiddenLayer(5, "tanh"), OutputLayer(2)], dtype=np.float32, seed=0)
assert_type(network, Network[np.float32, Truths])
network.fit(x, y, epochs=3, on_epoch=lambda history: print(history.loss[-1]))
assert_type(network.predict(x), MatrixOf32)
assert_type(network.evaluate(x, y).r2, float | None)

forward = network.forward(x)
assert_type(forward, ForwardPass[np.float32, Truths])
assert_type(forward.output, MatrixOf32)
assert_type(forward.loss(y), float)

gradients = forward.backward(y)
assert_type(gradients, Gradients[np.float32])
assert_type(gradients.vector, VectorOf32)
assert_type(gradients.loss, float)
for layer in network.layers[1:]:
    assert_type(gradients[layer], LayerGradients[np.float32])
    assert_type(gradients[layer].dLda, Gradient)
    assert_type(gradients[layer].dLdW, Gradient)
    assert_type(gradients[layer].dLdBias, Gradient)
assert_type(gradcheck(network, x, y).passed, bool)

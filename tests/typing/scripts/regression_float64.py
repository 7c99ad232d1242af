"""Regression through the typed door, in float64: predictions, and every gradient."""

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

MatrixOf64 = np.ndarray[tuple[int, int], np.dtype[np.float64]]
Gradient = Annotated[MatrixOf64, "read-only"]
VectorOf64 = np.ndarray[tuple[int], np.dtype[np.float64]]

generator = np.random.default_rng(0)
x = generator.normal(size=(8, 3)).astype(np.float64)
y = np.zeros((8, 2), np.float64)

network = Network([InputLayer(3), HiddenLayer(5, "tanh"), OutputLayer(2)], dtype=np.float64, seed=0)
assert_type(network, Network[np.float64, Truths])
network.fit(x, y, epochs=3, on_epoch=lambda history: print(history.loss[-1]))
assert_type(network.predict(x), MatrixOf64)
assert_type(network.evaluate(x, y).r2, float | None)

forward = network.forward(x)
assert_type(forward, ForwardPass[np.float64, Truths])
assert_type(forward.output, MatrixOf64)
assert_type(forward.loss(y), float)

gradients = forward.backward(y)
assert_type(gradients, Gradients[np.float64])
assert_type(gradients.vector, VectorOf64)
assert_type(gradients.loss, float)
for layer in network.layers[1:]:
    assert_type(gradients[layer], LayerGradients[np.float64])
    assert_type(gradients[layer].dLda, Gradient)
    assert_type(gradients[layer].dLdW, Gradient)
    assert_type(gradients[layer].dLdBias, Gradient)
assert_type(gradcheck(network, x, y).passed, bool)

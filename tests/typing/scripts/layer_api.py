"""The classic door: a plain list of layers, the loop by hand, and whole epochs."""

from itertools import pairwise
from typing import Annotated, assert_type

import numpy as np

from typednn import HiddenLayer, InputLayer, OutputLayer, gradient_descent_epoch, gradient_descent_threshold

Matrix64 = np.ndarray[tuple[int, int], np.dtype[np.float64]]
Gradient = Annotated[Matrix64, "read-only"]

x, y = np.eye(2), np.ones((2, 1))
ann = [InputLayer(2), HiddenLayer(4, "tanh"), OutputLayer(1, "sigmoid", "bincrossentropy")]
for before, layer in pairwise(ann):
    layer.attach_after(before)
    layer.set_weights("xavier", seed=0)
    layer.set_biases("constant")

eta = 0.5
for k in range(len(x)):
    ann[0].put_values(x[k : k + 1])
    ann[-1].set_actual(y[k : k + 1])
    for layer in ann:
        layer.forward()
    for layer in ann[:0:-1]:
        layer.backward()
    for layer in ann[1:]:
        assert_type(layer.dLda, Gradient)
        assert_type(layer.dLdW, Gradient)
        assert_type(layer.dLdBias, Gradient)
        layer.W -= eta * layer.dLdW
        layer.Bias -= eta * layer.dLda.reshape(1, -1)

hidden, output = ann[1], ann[2]
assert_type(hidden.W, Matrix64)
assert_type(hidden.Bias, Matrix64)
assert_type(hidden.dLdh, Gradient)
assert_type(hidden.dhda, Gradient)
assert_type(hidden.activations, Matrix64)
assert_type(hidden.pre_activations, Matrix64)
assert_type(output.dLdy, Gradient)
assert_type(output.dyda, Annotated[np.ndarray[tuple[int, ...], np.dtype[np.float64]], "read-only"])
assert_type(output.output(), Matrix64)
assert_type(output.loss(), float)

ann, losses = gradient_descent_epoch(ann, x, y, eta=0.5, epochs=2)
assert_type(losses, list[float])
ann, losses = gradient_descent_threshold(ann, [[0, 1]], [[1]], eta=0.5, thresh=0.1, max_epochs=2)
assert_type(losses, list[float])

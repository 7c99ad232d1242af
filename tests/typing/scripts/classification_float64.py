"""Classification through the typed door, in float64."""

from typing import assert_type

import numpy as np

from typednn import Evaluation, HiddenLayer, History, InputLayer, Network, OutputLayer
from typednn.validation.arrays import ClassTargets

MatrixOf64 = np.ndarray[tuple[int, int], np.dtype[np.float64]]
VectorOf64 = np.ndarray[tuple[int], np.dtype[np.float64]]

x = np.zeros((6, 4), np.float64)
labels = np.arange(6) % 3

layers = [InputLayer(4), HiddenLayer(8, "relu"), OutputLayer(3, "softmax", "crossentropy")]
network = Network(layers, dtype=np.float64, seed=0)
assert_type(network, Network[np.float64, ClassTargets])

history = network.fit(
    x, labels, epochs=2, batch_size=2, learning_rate=0.1, validation_data=(x[:2], labels[:2])
)
assert_type(history, History)
assert_type(history.loss, list[float])
assert_type(history.validation_loss, list[float])

probabilities = network.predict(x)
assert_type(probabilities, MatrixOf64)
assert_type(network.predictor()(x.reshape(-1)[:4]), VectorOf64)
assert_type(network.evaluate(x, labels), Evaluation)
assert_type(network.evaluate(x, labels).accuracy, float | None)
assert_type(network.loss(x, labels), float)
assert_type(network.loss(x, np.eye(6, 3, dtype=np.float64)), float)
print(f"{network.evaluate(x, labels).accuracy:.0%}", network.summary())

for layer in network.layers[1:]:
    assert_type(layer.W, MatrixOf64)
    assert_type(layer.Bias, MatrixOf64)

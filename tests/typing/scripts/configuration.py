"""Names that come from configuration: checked, and then known to the type checker."""

from typing import assert_type

import numpy as np
from typednn_kernels.activations import ActivationName, CustomActivation

from typednn import (
    HiddenLayer,
    InputLayer,
    Network,
    OutputLayer,
    UnknownNameError,
    minimize,
    names,
    use_backend,
)

settings = {"hidden": "tanh", "output": "softmax", "loss": "crossentropy", "weights": "he"}

hidden = names.hidden_activation(settings["hidden"])
assert_type(hidden, ActivationName | CustomActivation)
layers = [
    InputLayer(2, names.activation("none")),
    HiddenLayer(
        3,
        hidden,
        weights=names.weight_initializer(settings["weights"]),
        biases=names.bias_initializer("zeros"),
    ),
    OutputLayer(2, names.output_activation(settings["output"]), names.loss(settings["loss"])),
]
network = Network(layers, seed=0)
x, labels = np.zeros((4, 2)), np.array([0, 1, 0, 1])
history = network.fit(
    x, labels, optimizer=names.optimizer("adam"), learning_rate=0.01, metrics=[names.metric("accuracy")]
)
print(history.curve("accuracy")[-1])
print(minimize(network, x, labels, names.minimizer("BFGS"), max_iterations=2).message)
with use_backend(names.backend("numpy")):
    print(network.summary(), list(names.loss))

try:
    names.loss("mse")
except UnknownNameError as error:
    print(error)

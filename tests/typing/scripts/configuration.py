"""Names that come from configuration: checked, and then known to the type checker."""

from typing import Literal, assert_type

from typednn import HiddenLayer, InputLayer, Network, OutputLayer, UnknownNameError, names, use_backend

settings = {"hidden": "tanh", "output": "softmax", "loss": "crossentropy", "weights": "he"}

hidden = names.hidden_activation(settings["hidden"])
assert_type(hidden, Literal["none", "sigmoid", "relu", "tanh"])
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
with use_backend(names.backend("numpy")):
    print(network.summary(), list(names.loss))

try:
    names.loss("mse")
except UnknownNameError as error:
    print(error)

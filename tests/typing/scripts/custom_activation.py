"""An activation and a loss of one's own, in a network, on both doors."""

from typing import assert_type

import numpy as np

from typednn import (
    FormulaError,
    HiddenLayer,
    InputLayer,
    Network,
    OutputLayer,
    gradcheck,
    names,
    register_activation,
    register_loss,
)
from typednn.formulas import Values, exp, where

Matrix32 = np.ndarray[tuple[int, int], np.dtype[np.float32]]
Matrix64 = np.ndarray[tuple[int, int], np.dtype[np.float64]]


def swish(a: Values) -> Values:
    """a sigmoid(1.5 a)."""
    return a / (1 + exp(-1.5 * a))


def swish_derivative(a: Values, y: Values) -> Values:
    """Its slope."""
    share = 1 / (1 + exp(-1.5 * a))
    return share + 1.5 * y * (1 - share)


def pinball(y: Values, t: Values) -> Values:
    """The loss of a quantile, here of 0.9."""
    return where(y < t, 0.9 * (t - y), 0.1 * (y - t))


def pinball_derivative(y: Values, t: Values) -> Values:
    """Its slope."""
    return where(y < t, -0.9, 0.1)


mine = register_activation("swish", swish, swish_derivative)
bent = register_activation("bent", lambda a: where(a > 0, a, 0.3 * a), lambda a, y: where(a > 0, 1, 0.3))
quantile = register_loss("pinball", pinball, pinball_derivative)

layers = [InputLayer(3), HiddenLayer(8, mine), HiddenLayer(8, bent), OutputLayer(1, "none", quantile)]
network = Network(layers, dtype=np.float32, seed=0)
x = np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32)
y = x @ x.T[:, :1]
print(network.fit(x, y, epochs=2, learning_rate=0.01).loss)
assert_type(network.predict(x), Matrix32)
assert gradcheck(network, x, y).passed

hidden = HiddenLayer(2, names.hidden_activation("swish"))
hidden.attach_after(InputLayer(3))
hidden.set_weights("he", seed=0)
assert_type(hidden.W, Matrix64)

try:
    register_activation("steep", lambda a: a * a, lambda a, y: a)
except FormulaError as error:
    print(error)

"""
Quantile regression
===================

A loss of one's own: the pinball loss, whose minimum is a quantile and not the mean. Three networks learn the
median and the bounds between which nine of ten values lie.
"""

import matplotlib.pyplot as plt
import numpy as np

from typednn import (
    Adam,
    CosineDecay,
    CustomLoss,
    HiddenLayer,
    InputLayer,
    Network,
    OutputLayer,
    register_loss,
)
from typednn.formulas import Values, maximum, where

random = np.random.default_rng(0)
x = random.uniform(-3, 3, size=(1500, 1))
t = np.sin(x) + random.normal(size=x.shape) * (0.08 + 0.12 * (x + 3))


def pinball(q: float) -> CustomLoss:
    """Registers the loss whose minimum is the quantile q: Koenker & Bassett (1978), Regression Quantiles."""

    def value(y: Values, t: Values) -> Values:
        return maximum(q * (t - y), (q - 1) * (t - y))

    def derivative(y: Values, t: Values) -> Values:
        return where(t > y, -q, 1 - q)

    return register_loss(f"pinball {q}", value, derivative)


grid = np.linspace(-3, 3, 200).reshape(-1, 1)
curves: list[np.ndarray[tuple[int, int], np.dtype[np.float64]]] = []
for q in (0.05, 0.5, 0.95):
    network = Network([InputLayer(1), HiddenLayer(24, "tanh"), OutputLayer(1, "none", pinball(q))], seed=0)
    network.fit(x, t, epochs=200, batch_size=128, optimizer=Adam(CosineDecay(0.01, 2400)))
    print(f"{q}: {(t < network.predict(x)).mean():.3f} of the values lie below")
    curves.append(network.predict(grid))

figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
axes.scatter(x, t, s=4, color="#b9c2ca")
axes.fill_between(grid[:, 0], curves[0][:, 0], curves[2][:, 0], alpha=0.2)
axes.plot(grid, curves[1])
axes.set(xlabel="x", ylabel="y")
plt.show()

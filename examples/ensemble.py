"""
An ensemble
===========

Eight networks from eight seeds, trained side by side on all cores. Where they have seen data they agree;
where they have not, they do not: Lakshminarayanan, Pritzel & Blundell (2017), arXiv:1612.01474.
"""

from functools import partial

import matplotlib.pyplot as plt
import numpy as np

from typednn import Adam, HiddenLayer, InputLayer, Network, OutputLayer, in_parallel

random = np.random.default_rng(0)
x = np.concatenate([random.uniform(-4, -1, size=(120, 1)), random.uniform(1.5, 4, size=(120, 1))])
t = np.sin(2 * x) + 0.1 * random.normal(size=x.shape)


def train(seed: int) -> Network[np.float64]:
    """Trains one network."""
    layers = [InputLayer(1), HiddenLayer(40, "tanh"), HiddenLayer(40, "tanh"), OutputLayer(1, "none", "MSE")]
    network = Network(layers, seed=seed)
    network.fit(x, t, epochs=300, batch_size=32, optimizer=Adam(3e-3))
    return network


networks = in_parallel(partial(train, seed) for seed in range(8))
grid = np.linspace(-6, 6, 300).reshape(-1, 1)
predictions = np.array([network.predict(grid)[:, 0] for network in networks])
mean, spread = predictions.mean(axis=0), predictions.std(axis=0)

figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
axes.plot(grid, predictions.T, color="#b9c2ca", linewidth=0.7)
axes.fill_between(grid[:, 0], mean - 2 * spread, mean + 2 * spread, alpha=0.25)
axes.plot(grid, mean)
axes.scatter(x, t, s=6, color="black")
axes.set(ylim=(-3, 3), xlabel="x", ylabel="y")
plt.show()

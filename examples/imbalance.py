"""
Rare classes
============

Two per cent of the samples are of the class that matters. Unweighted, the network hardly ever says so;
weights for the classes make it weigh a missed case as much as fifty false alarms.
"""

import matplotlib.pyplot as plt
import numpy as np

from typednn import Adam, HiddenLayer, InputLayer, Network, OutputLayer

random = np.random.default_rng(0)


def sample(
    count: int,
) -> tuple[np.ndarray[tuple[int, int], np.dtype[np.float64]], np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """Draws points in the plane; the rare class is a cloud beside the others."""
    labels = (random.uniform(size=count) < 0.02).astype(np.int64)
    x = random.normal(size=(count, 2))
    x[labels == 1] = 0.6 * x[labels == 1] + [1.6, 1.2]
    return x, labels


x, labels = sample(6000)
x_test, labels_test = sample(20000)
grid = np.linspace(-3.5, 3.5, 150)
plane = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2)

figure, panels = plt.subplots(1, 2, figsize=(9, 4.2), layout="constrained", sharey=True)
for axes, weights in zip(panels, (None, "balanced"), strict=True):
    layers = [InputLayer(2), HiddenLayer(16, "tanh"), OutputLayer(2, "softmax", "crossentropy")]
    network = Network(layers, seed=0)
    if weights is None:
        network.fit(x, labels, epochs=30, batch_size=64, optimizer=Adam(5e-3))
    else:
        network.fit(x, labels, epochs=30, batch_size=64, optimizer=Adam(5e-3), class_weight="balanced")
    said = network.predict(x_test).argmax(axis=1)
    found = (said[labels_test == 1] == 1).mean()
    alarms = (said[labels_test == 0] == 1).mean()
    axes.contourf(
        grid, grid, network.predict(plane)[:, 1].reshape(150, 150), levels=20, cmap="RdBu_r", vmin=0, vmax=1
    )
    axes.scatter(*x[labels == 1].T, s=6, color="black")
    axes.set_title(f"class_weight={weights!r}: {found:.0%} found, {alarms:.1%} false alarms", fontsize=10)
plt.show()

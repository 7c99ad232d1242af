"""
Two spirals
===========

A classification that no straight line comes near: two arms, twisted around each other. The colours show the
probability that the network gives to each point of the plane.
"""

import matplotlib.pyplot as plt
import numpy as np

from typednn import Adam, HiddenLayer, InputLayer, Network, OutputLayer

random = np.random.default_rng(0)
angle = np.sqrt(random.uniform(0.02, 1, size=400)) * 3 * np.pi
labels = np.arange(400) % 2
x = np.stack([angle * np.cos(angle), angle * np.sin(angle)], axis=1) / 3
x[labels == 1] *= -1
x += random.normal(scale=0.06, size=x.shape)

# %%
# Two hidden layers of tanh are enough to bend the plane.

layers = [
    InputLayer(2),
    HiddenLayer(48, "tanh"),
    HiddenLayer(48, "tanh"),
    OutputLayer(2, "softmax", "crossentropy"),
]
network = Network(layers, seed=0)
history = network.fit(x, labels, epochs=500, batch_size=64, optimizer=Adam(0.01))
print(history.last(), network.evaluate(x, labels).accuracy)

# %%
# The probability of the second arm.

grid = np.linspace(-3.7, 3.7, 200)
plane = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2)
probability = network.predict(plane)[:, 1].reshape(200, 200)

figure, axes = plt.subplots(figsize=(5, 5), layout="constrained")
axes.contourf(grid, grid, probability, levels=20, cmap="RdBu", alpha=0.7)
axes.scatter(x[:, 0], x[:, 1], c=labels, cmap="RdBu", edgecolors="white", linewidths=0.6, s=24)
axes.set_aspect("equal")
axes.set_axis_off()
plt.show()

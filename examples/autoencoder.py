"""
An autoencoder
==============

A network that learns to give its inputs back through a layer of two units, which therefore hold a map of the
digits. The activations of that layer are an attribute: nothing needs to be hooked.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from typednn import Adam, HiddenLayer, InputLayer, Network, OutputLayer

images, labels = load_digits(return_X_y=True)
x = (images / 16).astype(np.float32)

layers = [
    InputLayer(64),
    HiddenLayer(48, "elu"),
    HiddenLayer(2, "none"),
    HiddenLayer(48, "elu"),
    OutputLayer(64, "sigmoid", "bincrossentropy"),
]
network = Network(layers, dtype=np.float32, seed=0)
history = network.fit(x, x, epochs=150, batch_size=64, optimizer=Adam(3e-3))
print(history.last())

# %%
# Where the two units place each digit.

network.forward(x)
first, second = network.layers[2].activations
figure, axes = plt.subplots(figsize=(6, 5), layout="constrained")
points = axes.scatter(first, second, c=labels, cmap="tab10", s=9)
figure.colorbar(points, ticks=range(10), label="digit")
axes.set_axis_off()
plt.show()

# %%
# Above, images; below, what the network makes of them from two numbers.

figure, panels = plt.subplots(2, 8, figsize=(8, 2.2), layout="constrained")
for k in range(8):
    for row, image in enumerate((x[k], network.predict(x[k : k + 1])[0])):
        panels[row, k].imshow(image.reshape(8, 8), cmap="Greys")
        panels[row, k].set_axis_off()
plt.show()

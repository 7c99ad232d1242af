"""
Adversarial digits
==================

The gradient with respect to the *inputs* says how to change an image so that the network is wrong: a step of
the gradient's sign, hardly visible, is enough (Goodfellow, Shlens & Szegedy 2015, arXiv:1412.6572).
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from typednn import Adam, HiddenLayer, InputLayer, Network, OutputLayer

images, labels = load_digits(return_X_y=True)
x = (images / 16).astype(np.float32)
layers = [InputLayer(64), HiddenLayer(64, "relu"), OutputLayer(10, "softmax", "crossentropy")]
network = Network(layers, dtype=np.float32, seed=0)
network.fit(x[:1400], labels[:1400], epochs=30, batch_size=32, optimizer=Adam(2e-3))
x_test, labels_test = x[1400:], labels[1400:]

# %%
# ``inputs=True`` asks for dLdx as well.

dLdx = network.forward(x_test).backward(labels_test, inputs=True).dLdx
for size in (0.0, 0.05, 0.1, 0.2):
    attacked = np.clip(x_test + size * np.sign(dLdx), 0, 1).astype(np.float32)
    print(f"changed by {size}: accuracy {network.evaluate(attacked, labels_test).accuracy:.3f}")

# %%
# Images, how the loss changes with each pixel, and changed images with what the network takes them for.

attacked = np.clip(x_test + 0.2 * np.sign(dLdx), 0, 1).astype(np.float32)
taken_for = network.predict(attacked).argmax(axis=1)
figure, panels = plt.subplots(3, 6, figsize=(8, 4.2), layout="constrained")
for k in range(6):
    panels[0, k].imshow(x_test[k].reshape(8, 8), cmap="Greys")
    panels[1, k].imshow(
        dLdx[k].reshape(8, 8), cmap="RdBu_r", vmin=-abs(dLdx[k]).max(), vmax=abs(dLdx[k]).max()
    )
    panels[2, k].imshow(attacked[k].reshape(8, 8), cmap="Greys")
    panels[2, k].set_title(f"{labels_test[k]}, taken for {taken_for[k]}", fontsize=9)
for axes in panels.flat:
    axes.set_axis_off()
plt.show()

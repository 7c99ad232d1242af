"""
Digits
======

The scanned digits that ship with scikit-learn: 1,797 images of 8 × 8 pixels. Training stops when the held-out
loss has not improved for 15 epochs, and goes back to the best weights.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from typednn import Adam, EarlyStopping, HiddenLayer, InputLayer, Network, OutputLayer

images, labels = load_digits(return_X_y=True)
x = (images / 16).astype(np.float32)
order = np.random.default_rng(0).permutation(len(x))
train, test = order[:1400], order[1400:]

layers = [InputLayer(64), HiddenLayer(64, "relu", dropout=0.2), OutputLayer(10, "softmax", "crossentropy")]
network = Network(layers, dtype=np.float32, seed=0)
history = network.fit(
    x[train],
    labels[train],
    epochs=200,
    batch_size=32,
    optimizer=Adam(2e-3),
    validation_split=0.15,
    metrics=["accuracy"],
    callbacks=[EarlyStopping(patience=15, restore_best_weights=True)],
)
print(f"{len(history.loss)} epochs, accuracy {network.evaluate(x[test], labels[test]).accuracy:.3f}")

# %%
# The images of which the network is least certain, with its answer and the truth.

probabilities = network.predict(x[test])
uncertain = probabilities.max(axis=1).argsort()[:10]
figure, panels = plt.subplots(2, 5, figsize=(8, 3.6), layout="constrained")
for axes, k in zip(panels.flat, uncertain, strict=True):
    axes.imshow(x[test][k].reshape(8, 8), cmap="Greys")
    axes.set_title(f"{probabilities[k].argmax()}, is {labels[test][k]}", fontsize=10)
    axes.set_axis_off()
plt.show()

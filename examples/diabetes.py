"""
Diabetes
========

A regression with few samples: 442 patients, ten measurements, and how far the disease went within a year.
With so little data a small network, penalties and SciPy's quasi-Newton method do better than many epochs.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes

from typednn import HiddenLayer, InputLayer, Network, OutputLayer, minimize

x, progression = load_diabetes(return_X_y=True)
x /= x.std(axis=0)
mean, deviation = progression.mean(), progression.std()
t = ((progression - mean) / deviation).reshape(-1, 1)
order = np.random.default_rng(1).permutation(len(x))
train, test = order[:330], order[330:]

layers = [InputLayer(10), HiddenLayer(8, "tanh", l2=0.01), OutputLayer(1, "none", "MSE", l2=0.01)]
network = Network(layers, seed=0)
found = minimize(network, x[train], t[train], method="L-BFGS-B", max_iterations=300)
evaluation = network.evaluate(x[test], t[test])
print(f"loss {found.loss:.3f} after {found.iterations} iterations; R² held out {evaluation.r2:.2f}")

# %%
# Predictions of the held-out patients, in the units of the data.

predicted = network.predict(x[test])[:, 0] * deviation + mean
figure, axes = plt.subplots(figsize=(5, 5), layout="constrained")
axes.scatter(progression[test], predicted, s=18, alpha=0.7)
axes.axline((150, 150), slope=1, color="grey", linewidth=1)
axes.set(xlabel="measured progression", ylabel="predicted")
axes.set_aspect("equal")
plt.show()

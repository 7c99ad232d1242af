"""
Learning online
===============

A stream whose law changes half-way. ``Steps.train`` makes one step for each sample, in microseconds, and
keeps the optimiser's state in between: the network is back within a few hundred samples.
"""

import matplotlib.pyplot as plt
import numpy as np

from typednn import SGD, HiddenLayer, InputLayer, Network, OutputLayer, Steps

random = np.random.default_rng(0)
network = Network([InputLayer(5), HiddenLayer(16, "tanh"), OutputLayer(1, "none", "MSE")], seed=0)
steps = Steps(network, SGD(0.02, momentum=0.5))

losses: list[float] = []
law = random.normal(size=(2, 5))
for k in range(8000):
    x = random.normal(size=5)
    t = np.tanh(law[int(k >= 4000)] @ x) + 0.05 * random.normal()
    losses.append(steps.train(x, float(t)))  # the loss before the step: the network has not seen the sample

print(f"{steps.count} steps; mean loss of the last 1,000: {np.mean(losses[-1000:]):.4f}")

# %%
# The mean loss of 100 samples at a time.

figure, axes = plt.subplots(figsize=(7, 3.4), layout="constrained")
axes.plot(np.arange(80) * 100, np.reshape(losses, (80, 100)).mean(axis=1))
axes.axvline(4000, color="grey", linewidth=1, linestyle=":")
axes.set(xlabel="sample", ylabel="mean squared error", yscale="log")
plt.show()

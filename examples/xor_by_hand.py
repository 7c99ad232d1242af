"""
XOR by hand
===========

The smallest problem that needs a hidden layer, with a loop over layers of one's own. After ``backward`` each
layer shows its gradients; the loop subtracts them.
"""

import matplotlib.pyplot as plt
import numpy as np

from typednn import HiddenLayer, InputLayer, OutputLayer

x = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
t = np.array([[0.0], [1.0], [1.0], [0.0]])

inputs, hidden = InputLayer(2), HiddenLayer(4, "tanh")
output = OutputLayer(1, "sigmoid", "bincrossentropy")
hidden.attach_after(inputs)
output.attach_after(hidden)
for layer in (hidden, output):
    layer.set_weights("xavier", seed=0)

# %%
# One step for each sample: forward from the first layer to the last, backward from the last to the first.

losses: list[float] = []
for _ in range(400):
    for sample, target in zip(x, t, strict=True):
        inputs.put_values(sample)
        output.set_actual(target)
        inputs.forward()
        hidden.forward()
        output.forward()
        losses.append(output.loss())
        output.backward()
        hidden.backward()
        for layer in (hidden, output):
            layer.W -= 0.5 * layer.dLdW
            layer.Bias -= 0.5 * layer.dLdBias

# %%
# What it has learnt, and how the loss of each sample fell.

for sample in x:
    inputs.put_values(sample)
    for each in (inputs, hidden, output):
        each.forward()
    print(sample, output.output().round(3).ravel())

figure, axes = plt.subplots(figsize=(7, 3.4), layout="constrained")
for k in range(4):
    axes.plot(losses[k::4], label=f"{x[k, 0]:.0f} xor {x[k, 1]:.0f}")
axes.set(xlabel="epoch", ylabel="loss", yscale="log")
axes.legend()
plt.show()

"""
Beside PyTorch, layer by layer
==============================

The same weights in both libraries, one pass, and the gradients of every layer side by side. ``from_torch``
brings a model here whose gradients can then be looked at as attributes. Needs PyTorch.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch

from typednn.interop import from_torch

torch.manual_seed(0)
model = torch.nn.Sequential(
    torch.nn.Linear(8, 16), torch.nn.Tanh(), torch.nn.Linear(16, 12), torch.nn.ReLU(), torch.nn.Linear(12, 3)
).double()
x, t = np.random.default_rng(0).normal(size=(20, 8)), np.zeros((20, 3))

# %%
# PyTorch: gradients are left in ``parameter.grad``.

torch.nn.functional.mse_loss(model(torch.from_numpy(x)), torch.from_numpy(t)).backward()
theirs = [module.weight.grad.numpy() for module in model if isinstance(module, torch.nn.Linear)]

# %%
# Here: a list of layers with dLdh, dhda, dLda and dLdW.

network = from_torch(model)
network.forward(x).backward(t)
figure, panels = plt.subplots(1, 3, figsize=(9, 3.2), layout="constrained")
for axes, layer, reference in zip(panels, network.layers[1:], theirs, strict=True):
    print(f"{layer}: largest difference {abs(layer.dLdW - reference).max():.1e}")
    largest = abs(layer.dLdW).max()
    axes.imshow(layer.dLdW, cmap="RdBu_r", vmin=-largest, vmax=largest, aspect="auto")
    axes.set_title(f"dLdW of {layer}", fontsize=9)
plt.show()

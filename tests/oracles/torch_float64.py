"""The same network in PyTorch, differentiated by its autograd in float64."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray


@dataclass
class Gradients:
    """The mean loss and its gradients, lists by layer after the input layer, samples rows."""

    loss: float
    dLdy: NDArray[np.float64]
    dLda: list[NDArray[np.float64]]
    dLdW: list[NDArray[np.float64]]
    dLdBias: list[NDArray[np.float64]]


def pytorch() -> Any:
    """The module `torch`; without it the test is skipped."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'typednn[torch]'")


def gradients(
    activations: Sequence[str],
    weights: Sequence[ArrayLike],
    biases: Sequence[ArrayLike],
    loss: str,
    x: ArrayLike,
    t: ArrayLike,
) -> Gradients:
    """A forward and a backward pass; `activations` names one for each layer, the input layer first."""
    torch = pytorch()

    def tensor(values: ArrayLike, wanted: bool = False) -> Any:
        return torch.tensor(np.array(values, np.float64), dtype=torch.float64, requires_grad=wanted)

    W, b = [tensor(each, True) for each in weights], [tensor(each, True) for each in biases]
    targets, h = tensor(t), _activation(torch, activations[0], tensor(x))
    a: list[Any] = []
    for name, weight, bias in zip(activations[1:], W, b, strict=True):
        a.append(torch.nn.functional.linear(h, weight, bias))
        a[-1].retain_grad()
        h = _activation(torch, name, a[-1])
    h.retain_grad()
    mean_loss = _loss(torch, activations[-1], loss, a[-1], h, targets)
    mean_loss.backward()

    def numbers(value: Any) -> NDArray[np.float64]:
        return np.array(value.grad.numpy())

    dLdy = numbers(h) if h.grad is not None else np.full(tuple(h.shape), np.nan)
    return Gradients(
        float(mean_loss.item()),
        dLdy,
        [numbers(each) for each in a],
        [numbers(each) for each in W],
        [numbers(each) for each in b],
    )


def _activation(torch: Any, name: str, a: Any) -> Any:
    if name == "none":
        return a * 1.0
    if name == "softmax":
        return torch.softmax(a, dim=1)
    return {"sigmoid": torch.sigmoid, "relu": torch.relu, "tanh": torch.tanh}[name](a)


def _loss(torch: Any, activation: str, loss: str, a: Any, y: Any, t: Any) -> Any:
    functional = torch.nn.functional
    if loss == "MSE":
        return functional.mse_loss(y, t)
    if loss == "bincrossentropy":
        if activation == "sigmoid":
            return functional.binary_cross_entropy_with_logits(a, t)
        return functional.binary_cross_entropy(torch.clamp(y, 1e-7, 1 - 1e-7), t)
    if activation == "softmax":
        return -(t * torch.log_softmax(a, dim=1)).sum(dim=1).mean()
    return -(t * torch.log(torch.clamp(y, 1e-7, 1 - 1e-7))).sum(dim=1).mean()

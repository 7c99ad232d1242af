"""The same network in PyTorch, differentiated by its autograd in float64."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
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
    if name == "log_softmax":
        return torch.log_softmax(a, dim=1)
    functional = torch.nn.functional
    if name == "leaky_relu":
        return functional.leaky_relu(a, 0.2)
    if name == "hard_sigmoid":
        return functional.relu6(a + 3) / 6  # the slope of torch's own is 1/6 in float32
    if name == "gelu_tanh":
        return functional.gelu(a, approximate="tanh")
    other_names = {
        "hard_tanh": functional.hardtanh,
        "exponential": torch.exp,
        "hard_swish": functional.hardswish,
    }
    return other_names[name](a) if name in other_names else getattr(functional, name)(a)


def _loss(torch: Any, activation: str, loss: str, a: Any, y: Any, t: Any) -> Any:
    if (activation, loss) in OF_LOGITS:
        return OF_LOGITS[activation, loss](torch, a, t)
    if activation == "exponential" and loss in {"bincrossentropy", "focal"}:
        pytest.skip("1 - y of outputs that PyTorch clips to 1 - 1e-7 has nine digits")
    lowest, highest = 1e-7, 1 - 1e-7
    if activation in {"exponential", "softplus"}:  # their logarithm is exact; 1 - y has none above 1
        lowest, highest = 0.0, float("inf") if loss in {"crossentropy", "kl_divergence"} else highest
    return LOSSES[loss](torch, torch.nn.functional, y, torch.clamp(y, lowest, highest), t)


def train(
    activations: Sequence[str],
    weights: Sequence[ArrayLike],
    biases: Sequence[ArrayLike],
    loss: str,
    x: ArrayLike,
    t: ArrayLike,
    batches: Sequence[Sequence[int]],
    optimizer: str,
    settings: dict[str, Any],
) -> tuple[NDArray[np.float64], list[float]]:
    """Steps of a `torch.optim` optimiser: all parameters, by layer weights and biases, and the losses."""
    torch = pytorch()
    parameters = [
        torch.tensor(np.array(each, np.float64), dtype=torch.float64, requires_grad=True)
        for pair in zip(weights, biases, strict=True)
        for each in pair
    ]
    samples, targets = (torch.tensor(np.array(each, np.float64)) for each in (x, t))
    stepper = getattr(torch.optim, optimizer)(parameters, **settings)
    losses: list[float] = []
    for batch in batches:
        h = _activation(torch, activations[0], samples[list(batch)])
        a = h
        for name, weight, bias in zip(activations[1:], parameters[::2], parameters[1::2], strict=True):
            a = torch.nn.functional.linear(h, weight, bias)
            h = _activation(torch, name, a)
        stepper.zero_grad()
        mean_loss = _loss(torch, activations[-1], loss, a, h, targets[list(batch)])
        mean_loss.backward()
        stepper.step()
        losses.append(float(mean_loss.item()))
    return np.concatenate([each.detach().numpy().reshape(-1) for each in parameters]), losses


OF_LOGITS: dict[tuple[str, str], Callable[[Any, Any, Any], Any]] = {
    ("sigmoid", "bincrossentropy"): lambda torch, a, t: torch.nn.functional.binary_cross_entropy_with_logits(
        a, t
    ),
    ("exponential", "poisson"): lambda torch, a, t: torch.nn.functional.poisson_nll_loss(a, t),
    ("softmax", "crossentropy"): lambda torch, a, t: -(t * torch.log_softmax(a, dim=1)).sum(dim=1).mean(),
    ("softmax", "kl_divergence"): lambda torch, a, t: torch.nn.functional.kl_div(
        torch.log_softmax(a, dim=1), t, reduction="batchmean"
    ),
}
LOSSES: dict[str, Callable[[Any, Any, Any, Any, Any], Any]] = {
    "MSE": lambda torch, functional, y, p, t: functional.mse_loss(y, t),
    "mae": lambda torch, functional, y, p, t: functional.l1_loss(y, t),
    "huber": lambda torch, functional, y, p, t: functional.huber_loss(y, t),
    "log_cosh": lambda torch, functional, y, p, t: torch.log(torch.cosh(y - t)).mean(),
    "poisson": lambda torch, functional, y, p, t: (y - t * torch.log(torch.clamp(y, min=1e-7))).mean(),
    "hinge": lambda torch, functional, y, p, t: torch.relu(1 - torch.where(t == 0, -1.0, t) * y).mean(),
    "focal": lambda torch, functional, y, p, t: (
        (1 - (t * p + (1 - t) * (1 - p))) ** 2 * functional.binary_cross_entropy(p, t, reduction="none")
    ).mean(),
    "bincrossentropy": lambda torch, functional, y, p, t: functional.binary_cross_entropy(p, t),
    "crossentropy": lambda torch, functional, y, p, t: -(t * torch.log(p)).sum(dim=1).mean(),
    "nll": lambda torch, functional, y, p, t: -(t * y).sum(dim=1).mean(),
    "kl_divergence": lambda torch, functional, y, p, t: functional.kl_div(
        torch.log(p), t, reduction="batchmean"
    ),
}
"""By our outputs and pre-activations, and by y, y clipped, and t."""

"""Small networks with data, on which gradients can be compared: deterministic, and away from kinks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import count, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.oracles import loops

ELEMENTWISE = (
    *("none", "sigmoid", "relu", "tanh", "leaky_relu", "elu", "selu", "gelu", "silu", "softplus", "softsign"),
    *("mish", "hard_sigmoid", "hard_tanh", "exponential", "relu6", "hard_swish", "gelu_tanh"),
)
OUTPUTS = (*ELEMENTWISE, "softmax", "log_softmax")
LOSSES = (
    *("MSE", "bincrossentropy", "crossentropy", "mae", "huber", "log_cosh", "poisson", "hinge"),
    *("kl_divergence", "focal", "nll"),
)
PAIRS = [
    *((output, "MSE") for output in OUTPUTS),
    *((output, loss) for loss in LOSSES[1:] for output in ("none", "sigmoid", "exponential", "softmax")),
    ("log_softmax", "nll"),
]
"""Every output activation, and every loss; of losses, with those that some loss treats on its own."""

MARGIN = 1e-3
"""So far from a kink is every argument of an activation or a loss; steps of differences are far smaller."""

KINKS = {
    "relu": (0,),
    "leaky_relu": (0,),
    "elu": (0,),
    "selu": (0,),
    "hard_sigmoid": (-3, 3),
    "hard_tanh": (-1, 1),
    "relu6": (0, 6),
    "hard_swish": (-3, 3),
}
"""Where slopes, or those of slopes, jump."""

OF_LOGARITHMS = ("bincrossentropy", "crossentropy", "kl_divergence", "focal", "poisson")

PROBABILITY_MARGIN = 0.02
"""So far from 0 and 1 are probabilities whose logarithm is taken: closer, 1 / y magnifies every rounding."""


@dataclass(frozen=True)
class Problem:
    """A network, samples (B, n_inputs) and targets (B, n_outputs), all of one dtype."""

    lengths: tuple[int, ...]
    activations: tuple[str, ...]
    loss: str
    weights: tuple[NDArray[Any], ...]
    biases: tuple[NDArray[Any], ...]
    x: NDArray[Any]
    t: NDArray[Any]

    @property
    def net(self) -> loops.Net:
        """The network as the triple loops take it."""
        return loops.Net(
            self.activations,
            [loops.exact(W) for W in self.weights],
            [loops.exact(bias) for bias in self.biases],
            self.loss,
            self.x.dtype,
        )

    @property
    def vector(self) -> NDArray[Any]:
        """All parameters: layer by layer the weights by rows, then the biases."""
        parts = zip(self.weights, self.biases, strict=True)
        return np.concatenate([part for W, bias in parts for part in (W.reshape(-1), bias)])

    @property
    def trace(self) -> loops.Trace:
        """What the triple loops compute."""
        return _trace(self.lengths, self.activations, self.loss, len(self.x), self.x.dtype.name)


def problem(
    lengths: Sequence[int], activations: Sequence[str], loss: str, samples: int = 1, dtype: Any = np.float64
) -> Problem:
    """The network of these layers, and so many samples; `activations` names one for each layer."""
    return _problem(tuple(lengths), tuple(activations), loss, samples, np.dtype(dtype).name)


@cache
def _problem(
    lengths: tuple[int, ...], activations: tuple[str, ...], loss: str, samples: int, dtype: str
) -> Problem:
    for seed in count():
        candidate = _drawn(lengths, activations, loss, samples, dtype, seed)
        if _has_margin(candidate):
            return candidate
    raise AssertionError


@cache
def _trace(
    lengths: tuple[int, ...], activations: tuple[str, ...], loss: str, samples: int, dtype: str
) -> loops.Trace:
    chosen = _problem(lengths, activations, loss, samples, dtype)
    return chosen.net.trace(chosen.x, chosen.t)


def _drawn(
    lengths: tuple[int, ...], activations: tuple[str, ...], loss: str, samples: int, dtype: str, seed: int
) -> Problem:
    rng = np.random.default_rng([seed, len(lengths), samples])
    pairs = list(pairwise(lengths))
    weights = [rng.normal(0, 1, (n, n_prev)) / np.sqrt(n_prev) for n_prev, n in pairs]
    biases = [rng.normal(0, 0.3, n) for _, n in pairs]
    biases[-1] += 0.5  # outputs without an activation lie around the middle of the probabilities
    x = rng.normal(0, 1, (samples, lengths[0]))
    t = rng.uniform(0, 1, (samples, lengths[-1]))
    t[:, 0] = seed % 2  # a certainty among the targets
    if loss in {"MSE", "mae", "huber", "log_cosh"}:
        t = rng.normal(0, 1, t.shape)
    if loss == "hinge":
        t[:, -1] = -1
    return Problem(
        lengths,
        activations,
        loss,
        tuple(each.astype(dtype) for each in weights),
        tuple(each.astype(dtype) for each in biases),
        x.astype(dtype),
        t.astype(dtype),
    )


def _has_margin(candidate: Problem) -> bool:
    net = candidate.net
    a, h = net.forward(loops.exact(candidate.x))
    for name, arguments in zip(net.activations, a, strict=True):
        if any(abs(arguments - kink).min() < MARGIN for kink in KINKS.get(name, ())):
            return False
    y, t, output = h[-1], loops.exact(candidate.t), net.activations[-1]
    if net.loss in {"mae", "huber"}:
        d = abs(y - t)
        if output == "softmax" and (np.sign(y - t) == np.sign(y - t)[:, :1]).all(axis=1).any():
            return False  # equal slopes cancel: moving all outputs of softmax alike does nothing
        return bool((abs(d - (net.loss == "huber")) > MARGIN).all())
    if net.loss == "hinge":
        return bool((abs(np.where(t == 0, -1, t) * y - 1) > MARGIN).all())
    if net.loss not in OF_LOGARITHMS or loops.is_stable(output, net.loss, y.shape[1]):
        return True
    inside = (y > 1e-7) & (y < 1 - 1e-7)
    near = (abs(y) < PROBABILITY_MARGIN) | (abs(1 - y) < PROBABILITY_MARGIN)
    if output in {"relu", "hard_sigmoid"}:
        near &= y > 0  # 0 for all arguments around, which is clipped
    return bool(inside.any(axis=1).all() and not near.any())

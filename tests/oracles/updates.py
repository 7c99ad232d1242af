"""Optimisers from their papers: one number at a time, in extended precision.

Slow and obvious on purpose, and knowing nothing of the library. Settings come by the names of Keras. A step
is, in this order: the gradient of the penalties, the clipping of the norm of all, the clipping of each
number, weight decay, and the rule.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tests.oracles.loops import Net, Number, Numbers, exact

Settings: TypeAlias = Mapping[str, Any]
Memory: TypeAlias = dict[str, Number]
"""What a rule remembers of one parameter, by the name of the paper."""


def root(x: Number) -> Number:
    """The square root."""
    return Number(np.sqrt(x))


def sign(x: Number) -> Number:
    """1, -1 or 0."""
    return Number((x > 0) - int(x < 0))


def sgd(w: Number, g: Number, memory: Memory, t: int, rate: Number, s: Settings) -> Number:
    """Sutskever et al. 2013, equations 1 to 4, with Nesterov's look ahead moved into the update."""
    momentum = Number(s.get("momentum", 0))
    v = memory["v"] = momentum * memory.get("v", Number(0)) - rate * g
    return w + momentum * v - rate * g if s.get("nesterov") else w + v


def rmsprop(w: Number, g: Number, memory: Memory, t: int, rate: Number, s: Settings) -> Number:
    """Graves 2013, equations 38 to 41, without the mean unless centred; the momentum on the steps."""
    rho, epsilon = Number(s.get("rho", 0.9)), Number(s.get("epsilon", 1e-7))
    n = memory["n"] = rho * memory.get("n", Number(0)) + (1 - rho) * g**2
    mean = memory["mean"] = rho * memory.get("mean", Number(0)) + (1 - rho) * g
    variance = n - mean**2 if s.get("centered") else n
    step = rate * g / root(variance + epsilon)
    u = memory["u"] = Number(s.get("momentum", 0)) * memory.get("u", Number(0)) + step
    return w - u


def adagrad(w: Number, g: Number, memory: Memory, t: int, rate: Number, s: Settings) -> Number:
    """Duchi et al. 2011, figure 1, with a start above 0."""
    first = Number(s.get("initial_accumulator_value", 0.1))
    total = memory["total"] = memory.get("total", first) + g**2
    return w - rate * g / root(total + Number(s.get("epsilon", 1e-7)))


def adam(w: Number, g: Number, memory: Memory, t: int, rate: Number, s: Settings) -> Number:
    """Kingma & Ba 2015, algorithm 1."""
    beta_1, beta_2, epsilon = _adam_settings(s)
    m, v = _moments(memory, g, beta_1, beta_2)
    corrected_m, corrected_v = m / (1 - beta_1**t), v / (1 - beta_2**t)
    return w - rate * corrected_m / (root(corrected_v) + epsilon)


def nadam(w: Number, g: Number, memory: Memory, t: int, rate: Number, s: Settings) -> Number:
    """Dozat 2016, algorithm 2, with momentum beta_1 (1 - 0.96**t / 2) at step t."""
    beta_1, beta_2, epsilon = _adam_settings(s)
    m, v = _moments(memory, g, beta_1, beta_2)

    def mu(i: int) -> Number:
        return beta_1 * (1 - Number(0.5) * Number(0.96) ** i)

    product = Number(1)
    for i in range(1, t + 1):
        product *= mu(i)
    corrected_m = mu(t + 1) * m / (1 - product * mu(t + 1)) + (1 - mu(t)) * g / (1 - product)
    return w - rate * corrected_m / (root(v / (1 - beta_2**t)) + epsilon)


def rprop(w: Number, g: Number, memory: Memory, t: int, rate: Number, s: Settings) -> Number:
    """Igel & Hüsken 2003, the variant iRprop-: after a change of sign a parameter waits."""
    decrease, increase = s.get("etas", (0.5, 1.2))
    smallest, largest = s.get("step_sizes", (1e-6, 50.0))
    step, before = memory.get("step", rate), memory.get("g", Number(0))
    if g * before > 0:
        step = min(step * Number(increase), Number(largest))
    elif g * before < 0:
        step = max(step * Number(decrease), Number(smallest))
        g = Number(0)
    memory["step"], memory["g"] = step, g
    return w - sign(g) * step


def lion(w: Number, g: Number, memory: Memory, t: int, rate: Number, s: Settings) -> Number:
    """Chen et al. 2023, program 1."""
    beta_1, beta_2 = Number(s.get("beta_1", 0.9)), Number(s.get("beta_2", 0.99))
    m = memory.get("m", Number(0))
    memory["m"] = beta_2 * m + (1 - beta_2) * g
    return w - rate * sign(beta_1 * m + (1 - beta_1) * g)


def _adam_settings(s: Settings) -> tuple[Number, Number, Number]:
    return Number(s.get("beta_1", 0.9)), Number(s.get("beta_2", 0.999)), Number(s.get("epsilon", 1e-8))


def _moments(memory: Memory, g: Number, beta_1: Number, beta_2: Number) -> tuple[Number, Number]:
    m = memory["m"] = beta_1 * memory.get("m", Number(0)) + (1 - beta_1) * g
    v = memory["v"] = beta_2 * memory.get("v", Number(0)) + (1 - beta_2) * g**2
    return m, v


RULES: dict[str, Callable[[Number, Number, Memory, int, Number, Settings], Number]] = {
    "SGD": sgd,
    "RMSprop": rmsprop,
    "Adagrad": adagrad,
    "Adam": adam,
    "AdamW": adam,
    "Nadam": nadam,
    "Rprop": rprop,
    "Lion": lion,
}


@dataclass
class Optimizer:
    """One of the rules with its settings; `rates` gives the learning rate of step 0, 1, …

    `l1` and `l2` are by parameter, and `trainable` says which parameters change.
    """

    name: str
    settings: Settings
    rates: Callable[[int], float]
    l1: NDArray[Any]
    l2: NDArray[Any]
    trainable: NDArray[np.bool]
    steps: int = 0
    memories: dict[int, Memory] = field(default_factory=dict[int, Memory])

    def step(self, vector: Numbers, gradient: Numbers) -> Numbers:
        """The parameters after a step."""
        g, result = exact(gradient), exact(vector)
        chosen = [i for i in range(len(g)) if self.trainable[i]]
        for i in chosen:
            g[i] += Number(self.l1[i]) * sign(vector[i]) + 2 * Number(self.l2[i]) * vector[i]
        norm = root(sum((g[i] ** 2 for i in chosen), Number(0)))
        longest, bound = self.settings.get("clip_norm"), self.settings.get("clip_value")
        rate = Number(self.rates(self.steps))
        self.steps += 1
        for i in chosen:
            if longest is not None and norm > longest:
                g[i] *= Number(longest) / norm
            if bound is not None:
                g[i] = min(max(g[i], -Number(bound)), Number(bound))
            default = 0.004 if self.name == "AdamW" else 0
            w = vector[i] * (1 - rate * Number(self.settings.get("weight_decay", default)))
            memory = self.memories.setdefault(i, {})
            result[i] = RULES[self.name](w, g[i], memory, self.steps, rate, self.settings)
        return result


def train(
    net: Net, x: ArrayLike, t: ArrayLike, batches: Sequence[Sequence[int]], optimizer: Optimizer
) -> tuple[Net, Numbers]:
    """Steps with batches of samples, and the losses of the samples before each."""
    samples, targets = exact(x), exact(t)
    losses: list[Number] = []
    for batch in batches:
        trace = net.trace(samples[list(batch)], targets[list(batch)])
        losses += list(trace.losses)
        net = net.with_vector(optimizer.step(net.vector, trace.vector))
    return net, exact(losses)

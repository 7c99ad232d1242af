"""Backpropagation from its textbook definitions: one number at a time, in extended precision.

Slow and obvious on purpose, and knowing nothing of the library: activations, losses and initial numbers come
in by name and value. Samples are rows. Every activation is differentiated through its full Jacobian, the
diagonal ones too, and the loss of a batch is the mean over its samples:

- MSE: the mean over outputs of (y - t)^2;
- bincrossentropy: the mean over outputs of -(t log y + (1 - t) log(1 - y));
- crossentropy: the sum over classes of -t log y;
- mae: the mean over outputs of |y - t|;
- huber: the mean over outputs of d^2 / 2 for d = |y - t| up to 1, d - 1/2 beyond;
- log_cosh: the mean over outputs of log cosh(y - t);
- poisson: the mean over outputs of y - t log y;
- hinge: the mean over outputs of max(1 - t y, 0), where a target 0 stands for -1;
- kl_divergence: the sum over classes of t log(t / y);
- nll: the sum over classes of -t y;
- focal: the mean over outputs of (1 - p)^2 times bincrossentropy, p = t y + (1 - t)(1 - y).

Logarithms are taken of y clipped to [1e-7, 1 - 1e-7], for poisson of y from 1e-7 on; the slope of what is
clipped is 0. But the stable pairs are functions of the pre-activations, without clipping; only for
bincrossentropy and focal, outputs of exponential and softplus above 1 - 1e-7 are clipped to it. Where a loss
has a kink its slope is 0 there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tests.oracles.error_function import erfc

Numbers: TypeAlias = NDArray[np.longdouble]
Number: TypeAlias = np.longdouble

LOGARITHMIC = ("bincrossentropy", "crossentropy", "kl_divergence", "focal", "poisson")
STABLE_PAIRS = {
    *((output, loss) for output in ("sigmoid", "exponential", "softplus") for loss in LOGARITHMIC),
    *(("softmax", loss) for loss in LOGARITHMIC),
}
BINARY = ("bincrossentropy", "focal")
USUAL = {
    "bincrossentropy": "sigmoid",
    "crossentropy": "softmax",
    "kl_divergence": "softmax",
    "poisson": "exponential",
}
"""The output activation that a loss of logits has, unless another is named."""


def exact(values: ArrayLike) -> Numbers:
    """The same numbers in extended precision."""
    return np.array(values, np.longdouble)


# Activations, of the pre-activations of one sample.


def activation(name: str, a: Numbers) -> Numbers:
    """y = f(a)."""
    y = np.zeros_like(a)
    for i in range(len(a)):
        if name == "none":
            y[i] = a[i]
        elif name == "relu":
            y[i] = max(a[i], Number(0))
        elif name == "tanh":
            y[i] = np.tanh(a[i])
        elif name == "sigmoid":
            y[i] = 1 / (1 + np.exp(-a[i])) if a[i] > 0 else np.exp(a[i]) / (np.exp(a[i]) + 1)
        elif name == "softmax":
            y[i] = np.exp(log_softmax(a)[i])
        elif name == "log_softmax":
            y[i] = log_softmax(a)[i]
        else:
            y[i] = single_activation(name, a[i])
    return y


SELU_SCALE, SELU_ALPHA = Number("1.05070098735548049342"), Number("1.67326324235437728482")


def single_activation(name: str, a: Number) -> Number:
    """The activations of one number that need more than a line; infinite numbers go to their limits."""
    if name == "leaky_relu":
        return Number(a if a > 0 else a / 5)
    if name == "elu":
        return Number(a if a > 0 else np.expm1(a))
    if name == "selu":
        return Number(SELU_SCALE * (a if a > 0 else SELU_ALPHA * np.expm1(a)))
    if name in {"gelu", "silu", "mish", "gelu_tanh"} and a == -np.inf:
        return Number(0)
    if name == "gelu":
        return Number(a * normal_distribution(a))
    if name == "silu":
        return Number(a * activation("sigmoid", exact([a]))[0])
    if name == "softplus":
        return Number(softplus(a))
    if name == "softsign":
        return Number(a / (1 + abs(a)) if np.isfinite(a) else np.sign(a))
    if name == "mish":
        return Number(a * np.tanh(softplus(a)))
    if name == "hard_sigmoid":
        return Number(min(max((a + 3) / 6, Number(0)), Number(1)))
    if name == "hard_tanh":
        return Number(min(max(a, Number(-1)), Number(1)))
    if name == "exponential":
        return Number(np.exp(a))
    if name == "relu6":
        return Number(min(max(a, Number(0)), Number(6)))
    if name == "hard_swish":
        return Number(a * single_activation("hard_sigmoid", a) if a > -3 else 0)
    if name == "gelu_tanh":
        return Number(a * gelu_weight(a))
    raise ValueError(name)


def gelu_weight(a: Number) -> Number:
    """(1 + tanh(sqrt(2 / pi) (a + 0.044715 a^3))) / 2, of which 1 + tanh(u) = 2 / (1 + exp(-2 u))."""
    u = np.sqrt(1 / np.arccos(Number(0))) * (a + Number("0.044715") * a**3)
    return Number(activation("sigmoid", exact([2 * u]))[0])


def normal_distribution(a: Number) -> Number:
    """The probability that a normal number is at most a."""
    return Number(erfc(-a / np.sqrt(Number(2))) / 2)


def log_softmax(a: Numbers) -> Numbers:
    """The logarithms of exp(a_i) / sum_j exp(a_j)."""
    top, others = int(np.argmax(a)), Number(0)
    for i in range(len(a)):
        if i != top:
            others += np.exp(a[i] - a[top])
    result = np.zeros_like(a)
    for i in range(len(a)):
        result[i] = a[i] - a[top] - np.log1p(others)  # the sum is 1 + others, which would lose digits
    return result


def log_complements(a: Numbers) -> Numbers:
    """The logarithms of 1 - exp(a_i) / sum_j exp(a_j): of the sum of all others."""
    result = np.zeros_like(a)
    for i in range(len(a)):
        others = exact([a[j] for j in range(len(a)) if j != i])
        result[i] = log_sum_exp(others) - log_sum_exp(a)
    return result


def log_sum_exp(a: Numbers) -> Number:
    """The logarithm of the sum of exp(a_i)."""
    total = Number(0)
    for i in range(len(a)):
        total += np.exp(a[i] - max(a))
    return Number(max(a) + np.log(total))


def jacobian(name: str, a: Numbers) -> Numbers:
    """dy_i / da_j."""
    n, y = len(a), activation(name, a)
    J = np.zeros((n, n), np.longdouble)
    for i in range(n):
        for j in range(n):
            if name == "softmax":
                J[i, j] = y[i] * ((1 if i == j else 0) - y[j])
            elif name == "log_softmax":
                J[i, j] = (1 if i == j else 0) - np.exp(y[j])
            elif i == j:
                J[i, j] = derivative(name, a[i])
    return J


def derivative(name: str, a: Number) -> Number:
    """dy/da of an activation without coupling; that of relu at 0 is 0."""
    if name == "none":
        return Number(1)
    if name == "relu":
        return Number(1 if a > 0 else 0)
    if name == "tanh":
        return Number(4 * np.exp(-2 * abs(a)) / (1 + np.exp(-2 * abs(a))) ** 2)
    if name == "sigmoid":
        return Number(np.exp(-abs(a)) / (1 + np.exp(-abs(a))) ** 2)
    if name in {"leaky_relu", "elu", "selu"}:
        return Number(single_activation(name, Number(1)) if a > 0 else slope_below_0(name, a))
    if name in {"gelu", "silu", "mish", "gelu_tanh"} and abs(a) > 1e5:
        return Number(1 if a > 0 else 0)
    if name == "gelu":
        return Number(normal_distribution(a) + a * np.exp(-a * a / 2) / np.sqrt(4 * np.arccos(Number(0))))
    s = 1 / (1 + np.exp(-a)) if a > 0 else np.exp(a) / (np.exp(a) + 1)
    if name == "silu":
        return Number(s + a * derivative("sigmoid", a))
    if name == "softplus":
        return Number(s)
    if name == "softsign":
        return Number(1 / (1 + abs(a)) ** 2)
    if name == "mish":
        return Number(np.tanh(softplus(a)) + a * derivative("tanh", softplus(a)) * s)
    if name == "hard_sigmoid":
        return Number(1) / 6 if abs(a) < 3 else Number(0)
    if name == "hard_tanh":
        return Number(1 if abs(a) < 1 else 0)
    if name == "exponential":
        return Number(np.exp(a))
    if name == "relu6":
        return Number(1 if 0 < a < 6 else 0)
    if name == "hard_swish":
        return Number((2 * a + 3) / 6 if abs(a) < 3 else 1 if a > 0 else 0)
    if name == "gelu_tanh":
        slope = np.sqrt(4 / np.arccos(Number(0))) * (1 + 3 * Number("0.044715") * a * a)
        u = np.sqrt(4 / np.arccos(Number(0))) * (a + Number("0.044715") * a**3)
        return Number(gelu_weight(a) + a * slope * derivative("sigmoid", u))
    raise ValueError(name)


def slope_below_0(name: str, a: Number) -> Number:
    """dy/da of the activations that are linear above 0; at 0, too."""
    if name == "leaky_relu":
        return Number(1) / 5
    return Number((SELU_SCALE * SELU_ALPHA if name == "selu" else 1) * np.exp(a))


# Losses, of the outputs of one sample.


def clip_limits(dtype: Any) -> tuple[Number, Number]:
    """1e-7 and 1 - 1e-7 as the dtype has them."""
    one = np.dtype(dtype).type(1)
    return Number(type(one)(1e-7)), Number(type(one)(1 - 1e-7))


def sample_loss(name: str, y: Numbers, t: Numbers, dtype: Any = np.float64) -> Number:
    """The loss by the outputs."""
    n, total = len(y), Number(0)
    low, high = clip_limits(dtype)
    for i in range(n):
        p = min(max(y[i], low), high)
        if name == "MSE":
            total += (y[i] - t[i]) ** 2 / n
        elif name == "bincrossentropy":
            total += -(t[i] * np.log(p) + (1 - t[i]) * np.log1p(-p)) / n
        elif name == "crossentropy":
            total += -t[i] * np.log(p)
        elif name == "nll":
            total += -t[i] * y[i]
        elif name == "mae":
            total += abs(y[i] - t[i]) / n
        elif name == "huber":
            d = abs(y[i] - t[i])
            total += (d * d / 2 if d <= 1 else d - Number(0.5)) / n
        elif name == "log_cosh":
            d = abs(y[i] - t[i])
            total += (
                np.log1p(2 * np.sinh(d / 2) ** 2) if d < 1 else d + np.log1p(np.exp(-2 * d)) - LOG_2
            ) / n
        elif name == "poisson":
            total += (y[i] - t[i] * np.log(max(y[i], low))) / n
        elif name == "hinge":
            total += max(1 - sign_of(t[i]) * y[i], Number(0)) / n
        elif name == "kl_divergence":
            total += t[i] * np.log(t[i] / p) if t[i] > 0 else 0
        elif name == "focal":
            total += missed(p, t[i]) ** 2 * -(t[i] * np.log(p) + (1 - t[i]) * np.log1p(-p)) / n
        else:
            raise ValueError(name)
    return total


LOG_2 = np.log(Number(2))


def sign_of(t: Number) -> Number:
    """What a target of hinge stands for."""
    return Number(-1) if t == 0 else t


def missed(p: Number, t: Number) -> Number:
    """How far a probability is from certainty in its target."""
    return t * (1 - p) + (1 - t) * p


def sample_loss_derivative(name: str, y: Numbers, t: Numbers, dtype: Any = np.float64) -> Numbers:
    """The slope of the loss by the outputs."""
    n = len(y)
    low, high = clip_limits(dtype)
    g = np.zeros_like(y)
    for i in range(n):
        inside = low <= y[i] <= high
        if name == "MSE":
            g[i] = 2 * (y[i] - t[i]) / n
        elif name == "bincrossentropy" and inside:
            g[i] = (y[i] - t[i]) / (y[i] * (1 - y[i])) / n  # as a sum, its terms would cancel
        elif name in {"crossentropy", "kl_divergence"} and inside:
            g[i] = -t[i] / y[i]
        elif name == "nll":
            g[i] = -t[i]
        elif name == "mae":
            g[i] = np.sign(y[i] - t[i]) / n
        elif name == "huber":
            g[i] = min(max(y[i] - t[i], Number(-1)), Number(1)) / n
        elif name == "log_cosh":
            g[i] = np.tanh(y[i] - t[i]) / n
        elif name == "poisson":
            g[i] = (1 - t[i] / y[i] if y[i] >= low else Number(1)) / n
        elif name == "hinge":
            g[i] = (-sign_of(t[i]) if sign_of(t[i]) * y[i] < 1 else Number(0)) / n
        elif name == "focal" and inside:
            q, b = missed(y[i], t[i]), -(t[i] * np.log(y[i]) + (1 - t[i]) * np.log1p(-y[i]))
            g[i] = (2 * q * (1 - 2 * t[i]) * b + q * q * (-t[i] / y[i] + (1 - t[i]) / (1 - y[i]))) / n
    return g


def magnitude_of_derivative(name: str, y: Numbers, t: Numbers) -> Numbers:
    """Of the terms of `sample_loss_slope` where they cancel; otherwise of itself."""
    if name == "poisson":
        return exact((1 + t / np.maximum(y, Number(1e-7))) / len(y))
    if name == "focal":
        p, certain = np.clip(y, Number(1e-7), 1 - Number(1e-7)), exact([0, 1])
        parts = [
            abs(sample_loss_derivative(name, p[i : i + 1], certain[k : k + 1]))
            for i in range(len(y))
            for k in (0, 1)
        ]
        return exact(4 * exact(parts).reshape(len(y), 2).max(axis=1) / len(y))
    return exact(abs(sample_loss_derivative(name, y, t)))


def sample_loss_of_logits(name: str, a: Numbers, t: Numbers, output: str = "") -> Number:
    """The loss of a stable pair by the pre-activations."""
    n, total, output = len(a), Number(0), output or USUAL[name]
    for i in range(n):
        if (output, name) == ("sigmoid", "bincrossentropy"):
            total += (t[i] * softplus(-a[i]) + (1 - t[i]) * softplus(a[i])) / n
        elif (output, name) == ("exponential", "poisson"):
            total += (np.exp(a[i]) - t[i] * a[i]) / n
        elif output == "softmax" and name == "poisson":
            total += (np.exp(log_softmax(a)[i]) - t[i] * log_softmax(a)[i]) / n
        elif output == "softmax" and name in BINARY:
            total += terms_by_logarithms(name, log_softmax(a)[i], log_complements(a)[i], t[i])[0] / n
        elif output == "softmax":
            if t[i] != 0:
                total += -t[i] * log_softmax(a)[i] + (t[i] * np.log(t[i]) if name == "kl_divergence" else 0)
        else:
            y, z = output_and_complement(name, output, a[i])
            total += term_of_logarithms(name, y, z, t[i]) / (1 if name in SUMS else n)
    return total


SUMS = ("crossentropy", "kl_divergence", "nll")


def is_stable(output: str, name: str, n: int) -> bool:
    """Whether a loss of n outputs is computed from the pre-activations; one output of softmax is always 1."""
    return (output, name) in STABLE_PAIRS and not (output == "softmax" and name in BINARY and n == 1)


def terms_by_logarithms(name: str, log_y: Number, log_z: Number, t: Number) -> tuple[Number, Number, Number]:
    """A term of a loss of probabilities, and its slopes by log(y) and, as if it were free, by log(1 - y)."""
    y, z = np.exp(log_y), np.exp(log_z)
    binary = -(t * log_y + (1 - t) * log_z)
    if name == "bincrossentropy":
        return Number(binary), Number(-t), Number(t - 1)
    miss = t * z + (1 - t) * y
    by_log_y = 2 * miss * (1 - 2 * t) * binary * y - miss**2 * t
    return Number(miss**2 * binary), Number(by_log_y), Number(miss**2 * (t - 1))


def output_and_complement(name: str, output: str, a: Number) -> tuple[Number, Number]:
    """y and 1 - y, neither of them rounded to 0 or 1."""
    y = activation(output, exact([a]))[0]
    if output == "sigmoid":
        return y, activation(output, exact([-a]))[0]
    if name in {"bincrossentropy", "focal"}:
        y = min(y, 1 - Number(1e-7))
    return y, 1 - y


def term_of_logarithms(name: str, y: Number, z: Number, t: Number) -> Number:
    """The term of a loss for an output y and its complement."""
    if name == "poisson":
        return Number(y - t * np.log(y))
    if name in SUMS:
        return Number(-t * np.log(y) + (t * np.log(t) if name == "kl_divergence" and t > 0 else 0))
    binary = -(t * np.log(y) + (1 - t) * np.log(z))
    return Number((t * z + (1 - t) * y) ** 2 * binary if name == "focal" else binary)


def sample_derivative_of_logits(name: str, a: Numbers, t: Numbers, output: str) -> Numbers:
    """The slope of the loss of a stable pair by the outputs, at outputs that are not rounded."""
    n, g = len(a), np.zeros_like(a)
    for i in range(n):
        if output == "softmax":
            y = np.exp(max(log_softmax(a)[i], Number(-11000)))  # no float at all is as small
            z = np.exp(max(log_complements(a)[i], Number(-11000))) if n > 1 and name in BINARY else 1 - y
        else:
            y, z = output_and_complement(name, output, a[i])
        if name in SUMS:
            g[i] = -t[i] / y
        elif name == "poisson":
            g[i] = (1 - t[i] / y) / n
        elif output in {"sigmoid", "softmax"} or y < 1 - Number(1e-7):
            g[i] = (-t[i] / y + (1 - t[i]) / z) / n
            if name == "focal":
                q, b = t[i] * z + (1 - t[i]) * y, -(t[i] * np.log(y) + (1 - t[i]) * np.log(z))
                g[i] = 2 * q * (1 - 2 * t[i]) * b / n + q * q * g[i]
    return g


def softplus(z: Number) -> Number:
    """log(1 + exp(z)), which is -log(sigmoid(-z))."""
    return Number(max(z, Number(0)) + np.log1p(np.exp(-abs(z))))


def sample_error_of_logits(name: str, a: Numbers, t: Numbers, output: str = "") -> Numbers:
    """The slope of a stable pair by the pre-activations."""
    n, output = len(a), output or USUAL[name]
    error = np.zeros_like(a)
    y, g = activation(output, a), sample_derivative_of_logits(name, a, t, output)
    for i in range(n):
        if (output, name) == ("sigmoid", "bincrossentropy"):
            error[i] = (-t[i] * (1 - y[i]) + (1 - t[i]) * y[i]) / n
        elif (output, name) == ("exponential", "poisson"):
            error[i] = (y[i] - t[i]) / n
        elif output == "softmax" and name in BINARY:
            error[i] = slope_of_softmax(name, a, t, i) / n
        elif output == "softmax":
            for j in range(n):
                error[i] += -t[j] * ((1 if i == j else 0) - y[i]) / (n if name == "poisson" else 1)
        else:
            error[i] = g[i] * derivative(output, a[i])
    return error


def slope_of_softmax(name: str, a: Numbers, t: Numbers, i: int) -> Number:
    """The slope by a_i of the sum of the terms of a loss of probabilities after softmax."""
    log_y, log_z, total = log_softmax(a), log_complements(a), Number(0)
    for j in range(len(a)):
        _, by_log_y, by_log_z = terms_by_logarithms(name, log_y[j], log_z[j], t[j])
        if i == j:
            total += by_log_y * np.exp(log_z[j]) - by_log_z * np.exp(log_y[j])
        else:
            total += by_log_z * np.exp(log_y[i] + log_y[j] - log_z[j]) - by_log_y * np.exp(log_y[i])
    return total


# The linear part.


def affine(x: Numbers, W: Numbers, bias: Numbers) -> Numbers:
    """a[s, i] = sum_j W[i, j] x[s, j] + bias[i]."""
    a = np.zeros((len(x), len(W)), np.longdouble)
    for s in range(len(x)):
        for i in range(len(W)):
            a[s, i] = bias[i]
            for j in range(x.shape[1]):
                a[s, i] += W[i, j] * x[s, j]
    return a


def outer(dLda: Numbers, h_prev: Numbers) -> Numbers:
    """dLdW[i, j] = sum_s dLda[s, i] h_prev[s, j]."""
    dLdW = np.zeros((dLda.shape[1], h_prev.shape[1]), np.longdouble)
    for s in range(len(dLda)):
        for i in range(dLda.shape[1]):
            for j in range(h_prev.shape[1]):
                dLdW[i, j] += dLda[s, i] * h_prev[s, j]
    return dLdW


def sum_samples(dLda: Numbers) -> Numbers:
    """dLdBias[i] = sum_s dLda[s, i]."""
    total = np.zeros(dLda.shape[1], np.longdouble)
    for s in range(len(dLda)):
        for i in range(dLda.shape[1]):
            total[i] += dLda[s, i]
    return total


def backpropagate(dLda: Numbers, W: Numbers) -> Numbers:
    """dLdh[s, j] = sum_i dLda[s, i] W[i, j]."""
    dLdh = np.zeros((len(dLda), W.shape[1]), np.longdouble)
    for s in range(len(dLda)):
        for i in range(W.shape[0]):
            for j in range(W.shape[1]):
                dLdh[s, j] += dLda[s, i] * W[i, j]
    return dLdh


def jacobian_product(g: Numbers, J: Numbers) -> Numbers:
    """dL/da_j = sum_i dL/dy_i dy_i/da_j, of one sample."""
    product = np.zeros_like(g)
    for j in range(len(g)):
        for i in range(len(g)):
            product[j] += g[i] * J[i, j]
    return product


# Networks.


@dataclass
class Trace:
    """All that a forward and a backward pass computes; lists by layer, the input layer first, samples rows.

    `dLdh` of the last layer is dLdy. The input layer has no error signal and no gradients: its places are
    empty arrays.
    """

    a: list[Numbers]
    h: list[Numbers]
    losses: Numbers
    loss: Number
    dLdh: list[Numbers]
    jacobians: list[Numbers]
    dLda: list[Numbers]
    dLdW: list[Numbers]
    dLdBias: list[Numbers]

    @property
    def vector(self) -> Numbers:
        """All gradients: layer by layer the weights by rows, then the biases."""
        parts = zip(self.dLdW[1:], self.dLdBias[1:], strict=True)
        return np.concatenate([part for W, bias in parts for part in (W.reshape(-1), bias)])


@dataclass
class Net:
    """A network: a name of an activation for each layer, weights and biases for each after the input."""

    activations: Sequence[str]
    weights: Sequence[Numbers]
    biases: Sequence[Numbers]
    loss: str
    dtype: Any = np.float64

    def trace(self, x: ArrayLike, t: ArrayLike) -> Trace:
        """The forward and the backward pass for samples x (B, n_inputs) and targets t (B, n_outputs)."""
        samples, targets = exact(x), exact(t)
        a, h = self.forward(samples)
        output = self.activations[-1]
        stable = is_stable(output, self.loss, targets.shape[1])
        B, last = len(samples), len(self.activations) - 1
        nothing = np.zeros((0, 0), np.longdouble)
        dLdh, dLda, dLdW, jacobians = ([nothing] * (last + 1) for _ in range(4))
        dLdBias = [nothing[0:0].reshape(0)] * (last + 1)
        losses = np.zeros(B, np.longdouble)
        for s in range(B):
            losses[s] = (
                sample_loss_of_logits(self.loss, a[last][s], targets[s], output)
                if stable
                else sample_loss(self.loss, h[last][s], targets[s], self.dtype)
            )
        for k in range(last, 0, -1):
            jacobians[k] = np.array([jacobian(self.activations[k], a[k][s]) for s in range(B)])
            if k == last:
                dLdh[k] = exact(
                    [
                        sample_derivative_of_logits(self.loss, a[k][s], targets[s], output) / B
                        if stable
                        else sample_loss_derivative(self.loss, h[k][s], targets[s], self.dtype) / B
                        for s in range(B)
                    ]
                )
            else:
                dLdh[k] = backpropagate(dLda[k + 1], self.weights[k])
            dLda[k] = exact([jacobian_product(dLdh[k][s], jacobians[k][s]) for s in range(B)])
            if k == last and stable:
                dLda[k] = exact(
                    [sample_error_of_logits(self.loss, a[k][s], targets[s], output) / B for s in range(B)]
                )
            dLdW[k] = outer(dLda[k], h[k - 1])
            dLdBias[k] = sum_samples(dLda[k])
        return Trace(a, h, losses, Number(sum(losses) / B), dLdh, jacobians, dLda, dLdW, dLdBias)

    def forward(self, x: Numbers) -> tuple[list[Numbers], list[Numbers]]:
        """Pre-activations and activations of all layers."""
        a = [x]
        h = [np.array([activation(self.activations[0], sample) for sample in x])]
        for name, W, bias in zip(self.activations[1:], self.weights, self.biases, strict=True):
            a.append(affine(h[-1], W, bias))
            h.append(np.array([activation(name, sample) for sample in a[-1]]))
        return a, h

    def mean_loss(self, x: ArrayLike, t: ArrayLike) -> Number:
        """The mean loss of some samples."""
        return self.trace(x, t).loss

    @property
    def vector(self) -> Numbers:
        """All parameters: layer by layer the weights by rows, then the biases."""
        parts = zip(self.weights, self.biases, strict=True)
        return np.concatenate([part for W, bias in parts for part in (W.reshape(-1), bias)])

    def with_vector(self, vector: ArrayLike) -> Net:
        """The same network with other parameters."""
        numbers, start = exact(vector), 0
        weights: list[Numbers] = []
        biases: list[Numbers] = []
        for W, bias in zip(self.weights, self.biases, strict=True):
            weights.append(numbers[start : start + W.size].reshape(W.shape))
            biases.append(numbers[start + W.size : start + W.size + bias.size])
            start += W.size + bias.size
        return Net(self.activations, weights, biases, self.loss, self.dtype)

    def descend(
        self, x: ArrayLike, t: ArrayLike, order: Sequence[int], batch_size: int, eta: float
    ) -> tuple[Net, Numbers]:
        """Gradient descent over samples in an order; the network after it, and each loss before its step."""
        samples, targets, net = exact(x), exact(t), self
        losses = np.zeros(len(order), np.longdouble)
        start = 0
        while start < len(order):
            stop = min(start + batch_size, len(order))
            chosen = [order[i] for i in range(start, stop)]
            trace = net.trace(samples[chosen], targets[chosen])
            losses[start:stop] = trace.losses
            net = net.with_vector(net.vector - Number(eta) * trace.vector)
            start = stop
        return net, losses

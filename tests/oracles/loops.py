"""Backpropagation from its textbook definitions: one number at a time, in extended precision.

Slow and obvious on purpose, and knowing nothing of the library: activations, losses and initial numbers come
in by name and value. Samples are rows. Every activation is differentiated through its full Jacobian, the
diagonal ones too, and the loss of a batch is the mean over its samples:

- MSE: the mean over outputs of (y - t)^2;
- bincrossentropy: the mean over outputs of -(t log y + (1 - t) log(1 - y));
- crossentropy: the sum over classes of -t log y.

Logarithms are taken of y clipped to [1e-7, 1 - 1e-7], whose slope outside is 0, except that sigmoid with
bincrossentropy and softmax with crossentropy are functions of the pre-activations, without clipping.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Numbers: TypeAlias = NDArray[np.longdouble]
Number: TypeAlias = np.longdouble

STABLE_PAIRS = {("sigmoid", "bincrossentropy"), ("softmax", "crossentropy")}


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
        else:
            raise ValueError(name)
    return y


def log_softmax(a: Numbers) -> Numbers:
    """The logarithms of exp(a_i) / sum_j exp(a_j)."""
    largest, total = max(a), Number(0)
    for i in range(len(a)):
        total += np.exp(a[i] - largest)
    result = np.zeros_like(a)
    for i in range(len(a)):
        result[i] = a[i] - largest - np.log(total)
    return result


def jacobian(name: str, a: Numbers) -> Numbers:
    """dy_i / da_j."""
    n, y = len(a), activation(name, a)
    J = np.zeros((n, n), np.longdouble)
    for i in range(n):
        for j in range(n):
            if name == "softmax":
                J[i, j] = y[i] * ((1 if i == j else 0) - y[j])
            elif i == j:
                J[i, j] = slope(name, a[i])
    return J


def slope(name: str, a: Number) -> Number:
    """dy/da of an activation without coupling; that of relu at 0 is 0."""
    if name == "none":
        return Number(1)
    if name == "relu":
        return Number(1 if a > 0 else 0)
    if name == "tanh":
        return Number(4 * np.exp(-2 * abs(a)) / (1 + np.exp(-2 * abs(a))) ** 2)
    if name == "sigmoid":
        return Number(np.exp(-abs(a)) / (1 + np.exp(-abs(a))) ** 2)
    raise ValueError(name)


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
        else:
            raise ValueError(name)
    return total


def sample_loss_slope(name: str, y: Numbers, t: Numbers, dtype: Any = np.float64) -> Numbers:
    """The slope of the loss by the outputs."""
    n = len(y)
    low, high = clip_limits(dtype)
    g = np.zeros_like(y)
    for i in range(n):
        inside = low <= y[i] <= high
        if name == "MSE":
            g[i] = 2 * (y[i] - t[i]) / n
        elif name == "bincrossentropy" and inside:
            g[i] = (-t[i] / y[i] + (1 - t[i]) / (1 - y[i])) / n
        elif name == "crossentropy" and inside:
            g[i] = -t[i] / y[i]
    return g


def sample_loss_of_logits(name: str, a: Numbers, t: Numbers) -> Number:
    """The loss of a stable pair by the pre-activations."""
    n, total = len(a), Number(0)
    for i in range(n):
        if name == "bincrossentropy":
            total += (t[i] * softplus(-a[i]) + (1 - t[i]) * softplus(a[i])) / n
        else:
            total += -t[i] * log_softmax(a)[i] if t[i] != 0 else 0
    return total


def softplus(z: Number) -> Number:
    """log(1 + exp(z)), which is -log(sigmoid(-z))."""
    return Number(max(z, Number(0)) + np.log1p(np.exp(-abs(z))))


def sample_error_of_logits(name: str, a: Numbers, t: Numbers) -> Numbers:
    """The slope of a stable pair by the pre-activations."""
    n = len(a)
    error = np.zeros_like(a)
    y = activation("sigmoid" if name == "bincrossentropy" else "softmax", a)
    for i in range(n):
        if name == "bincrossentropy":
            error[i] = (-t[i] * (1 - y[i]) + (1 - t[i]) * y[i]) / n
        else:
            for j in range(n):
                error[i] += -t[j] * ((1 if i == j else 0) - y[i])
    return error


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
        stable = (self.activations[-1], self.loss) in STABLE_PAIRS
        B, last = len(samples), len(self.activations) - 1
        nothing = np.zeros((0, 0), np.longdouble)
        dLdh, dLda, dLdW, jacobians = ([nothing] * (last + 1) for _ in range(4))
        dLdBias = [nothing[0:0].reshape(0)] * (last + 1)
        losses = np.zeros(B, np.longdouble)
        for s in range(B):
            losses[s] = (
                sample_loss_of_logits(self.loss, a[last][s], targets[s])
                if stable
                else sample_loss(self.loss, h[last][s], targets[s], self.dtype)
            )
        for k in range(last, 0, -1):
            jacobians[k] = np.array([jacobian(self.activations[k], a[k][s]) for s in range(B)])
            if k == last:
                dLdh[k] = exact(
                    [sample_loss_slope(self.loss, h[k][s], targets[s], self.dtype) / B for s in range(B)]
                )
            else:
                dLdh[k] = backpropagate(dLda[k + 1], self.weights[k])
            dLda[k] = exact([jacobian_product(dLdh[k][s], jacobians[k][s]) for s in range(B)])
            if k == last and stable:
                dLda[k] = exact(
                    [sample_error_of_logits(self.loss, a[k][s], targets[s]) / B for s in range(B)]
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

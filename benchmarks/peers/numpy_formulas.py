"""Elementwise formulas in NumPy, tuned by hand: `out=` everywhere, no temporary arrays.

Scratch arrays and constants are made once; as zero-dimensional arrays, constants cost half as much as Python
numbers. All arrays are flat.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import erfc
from typednn_kernels.activations import EPSILON

from benchmarks.networks import Array

BLOCK = 20_000
"""Elements of a block: few enough for the second-level cache, enough to hide the cost of calls."""


class Formulas:
    """Formulas of activations and losses for arrays of up to `BLOCK` elements of one dtype."""

    def __init__(self, dtype: np.dtype[Any], size: int) -> None:
        block = min(size, BLOCK)
        self.size = size
        self.u: Array = np.empty(block, dtype)
        self.v: Array = np.empty(block, dtype)
        self.w: Array = np.empty(block, dtype)
        self.x: Array = np.empty(block, dtype)
        self.mask = np.empty(block, np.bool_)
        self.zero, self.one, self.low, self.high, self.scale, self.terms = (
            np.array(value, dtype) for value in (0, 1, EPSILON, 1 - EPSILON, 2 / size, size)
        )
        self.two, self.three, self.four, self.twenty = (np.array(value, dtype) for value in (2, 3, 4, 20))
        self.half, self.fifth, self.sixth, self.log_2 = (
            np.array(value, dtype) for value in (0.5, 0.2, 1 / 6, np.log(2))
        )
        self.selu_scale, self.selu_depth = (
            np.array(value, dtype) for value in (1.0507009873554805, 1.7580993408473766)
        )
        self.root, self.density = (np.array(value, dtype) for value in (-(0.5**0.5), (2 * np.pi) ** -0.5))

    # Activations: y = f(a).

    def none(self, a: Array, y: Array) -> None:
        y[...] = a

    def sigmoid(self, a: Array, y: Array) -> None:
        np.negative(a, out=y)
        np.exp(y, out=y)
        np.add(y, self.one, out=y)
        np.divide(self.one, y, out=y)

    def relu(self, a: Array, y: Array) -> None:
        np.maximum(a, self.zero, out=y)

    def tanh(self, a: Array, y: Array) -> None:
        np.tanh(a, out=y)

    def leaky_relu(self, a: Array, y: Array) -> None:
        np.multiply(a, self.fifth, out=y)
        np.maximum(a, y, out=y)

    def elu(self, a: Array, y: Array) -> None:
        np.minimum(a, self.zero, out=self.u)
        np.expm1(self.u, out=self.u)
        np.maximum(a, self.zero, out=y)
        np.add(y, self.u, out=y)

    def selu(self, a: Array, y: Array) -> None:
        np.minimum(a, self.zero, out=self.u)
        np.expm1(self.u, out=self.u)
        np.multiply(self.u, self.selu_depth, out=self.u)
        np.maximum(a, self.zero, out=y)
        np.multiply(y, self.selu_scale, out=y)
        np.add(y, self.u, out=y)

    def normal_distribution(self, a: Array, y: Array) -> None:
        np.multiply(a, self.root, out=y)
        erfc(y, out=y)
        np.multiply(y, self.half, out=y)

    def gelu(self, a: Array, y: Array) -> None:
        self.normal_distribution(a, y)
        np.multiply(y, a, out=y)

    def silu(self, a: Array, y: Array) -> None:
        np.negative(a, out=y)
        np.exp(y, out=y)
        np.add(y, self.one, out=y)
        np.divide(a, y, out=y)

    def softplus(self, a: Array, y: Array) -> None:
        np.abs(a, out=self.u)
        np.negative(self.u, out=self.u)
        np.exp(self.u, out=self.u)
        np.log1p(self.u, out=self.u)
        np.maximum(a, self.zero, out=y)
        np.add(y, self.u, out=y)

    def softsign(self, a: Array, y: Array) -> None:
        np.abs(a, out=y)
        np.add(y, self.one, out=y)
        np.divide(a, y, out=y)

    def mish(self, a: Array, y: Array) -> None:
        self.mish_parts(a)
        np.add(self.v, self.two, out=y)
        np.divide(self.v, y, out=y)
        np.multiply(y, a, out=y)

    def mish_parts(self, a: Array) -> None:
        """Writes e = exp(a) to u and e (e + 2) to v; the tanh of softplus is v / (v + 2)."""
        np.minimum(a, self.twenty, out=self.u)
        np.exp(self.u, out=self.u)
        np.add(self.u, self.two, out=self.v)
        np.multiply(self.v, self.u, out=self.v)

    def hard_sigmoid(self, a: Array, y: Array) -> None:
        np.multiply(a, self.sixth, out=y)
        np.add(y, self.half, out=y)
        np.clip(y, self.zero, self.one, out=y)

    def hard_tanh(self, a: Array, y: Array) -> None:
        np.clip(a, -self.one, self.one, out=y)

    def exponential(self, a: Array, y: Array) -> None:
        np.exp(a, out=y)

    # Derivatives of activations, from a and y.

    def none_derivative(self, _a: Array, _y: Array, derivative: Array) -> None:
        derivative.fill(1)

    def sigmoid_derivative(self, _a: Array, y: Array, derivative: Array) -> None:
        np.subtract(self.one, y, out=derivative)
        np.multiply(derivative, y, out=derivative)

    def relu_derivative(self, a: Array, y: Array, derivative: Array) -> None:
        if a.size < 500:
            np.sign(y, out=derivative)
        else:
            np.greater(a, self.zero, out=self.mask)
            derivative[...] = self.mask

    def tanh_derivative(self, _a: Array, y: Array, derivative: Array) -> None:
        np.multiply(y, y, out=derivative)
        np.subtract(self.one, derivative, out=derivative)

    def leaky_relu_derivative(self, a: Array, _y: Array, derivative: Array) -> None:
        np.greater(a, self.zero, out=self.mask)
        np.maximum(self.mask, self.fifth, out=derivative)

    def elu_derivative(self, _a: Array, y: Array, derivative: Array) -> None:
        np.minimum(y, self.zero, out=derivative)
        np.add(derivative, self.one, out=derivative)

    def selu_derivative(self, a: Array, y: Array, derivative: Array) -> None:
        np.add(y, self.selu_depth, out=derivative)
        np.greater(a, self.zero, out=self.mask)
        np.copyto(derivative, self.selu_scale, where=self.mask)

    def gelu_derivative(self, a: Array, _y: Array, derivative: Array) -> None:
        np.multiply(a, a, out=self.u)
        np.multiply(self.u, -self.half, out=self.u)
        np.exp(self.u, out=self.u)
        np.multiply(self.u, a, out=self.u)
        np.multiply(self.u, self.density, out=self.u)
        self.normal_distribution(a, derivative)
        np.add(derivative, self.u, out=derivative)

    def silu_derivative(self, a: Array, y: Array, derivative: Array) -> None:
        self.sigmoid(a, derivative)
        np.subtract(self.one, derivative, out=self.u)
        np.multiply(self.u, y, out=self.u)
        np.add(derivative, self.u, out=derivative)

    def softplus_derivative(self, a: Array, _y: Array, derivative: Array) -> None:
        self.sigmoid(a, derivative)

    def softsign_derivative(self, a: Array, _y: Array, derivative: Array) -> None:
        np.abs(a, out=derivative)
        np.add(derivative, self.one, out=derivative)
        np.multiply(derivative, derivative, out=derivative)
        np.divide(self.one, derivative, out=derivative)

    def mish_derivative(self, a: Array, _y: Array, derivative: Array) -> None:
        u, v, w = self.u, self.v, self.w
        self.mish_parts(a)
        np.add(u, self.one, out=w)
        np.multiply(w, u, out=w)
        np.multiply(w, a, out=w)
        np.multiply(w, self.four, out=w)
        np.add(v, self.two, out=u)
        np.divide(w, u, out=w)
        np.add(w, v, out=w)
        np.divide(w, u, out=derivative)

    def hard_sigmoid_derivative(self, a: Array, _y: Array, derivative: Array) -> None:
        np.abs(a, out=derivative)
        np.less(derivative, self.three, out=self.mask)
        np.multiply(self.mask, self.sixth, out=derivative)

    def hard_tanh_derivative(self, a: Array, _y: Array, derivative: Array) -> None:
        np.abs(a, out=derivative)
        np.less(derivative, self.one, out=self.mask)
        derivative[...] = self.mask

    def exponential_derivative(self, _a: Array, y: Array, derivative: Array) -> None:
        derivative[...] = y

    # Derivative times upstream gradient g.

    def backward(self, derivative: Callable[..., None], a: Array, y: Array, g: Array, dLda: Array) -> None:
        derivative(a, y, dLda)
        np.multiply(dLda, g, out=dLda)

    def none_backward(self, _a: Array, _y: Array, g: Array, dLda: Array) -> None:
        dLda[...] = g

    def exponential_backward(self, _a: Array, y: Array, g: Array, dLda: Array) -> None:
        np.multiply(y, g, out=dLda)

    def clip(self, y: Array) -> None:
        """Writes y, clipped away from 0 and 1, to u."""
        np.maximum(y, self.low, out=self.u)
        np.minimum(self.u, self.high, out=self.u)

    # Losses: sums over a block, from outputs y, or pre-activations a, and targets t.

    def squared_error(self, y: Array, t: Array) -> Any:
        np.subtract(y, t, out=self.u)
        return np.dot(self.u, self.u)

    def binary_cross_entropy(self, y: Array, t: Array) -> Any:
        u, v = self.u, self.v
        self.clip(y)
        np.subtract(self.one, u, out=v)
        np.log(u, out=u)
        np.log(v, out=v)
        np.subtract(v, u, out=u)
        return np.dot(u, t) - np.add.reduce(v)

    def cross_entropy(self, y: Array, t: Array) -> Any:
        self.clip(y)
        np.log(self.u, out=self.u)
        return -np.dot(self.u, t)

    def binary_cross_entropy_of_logits(self, a: Array, t: Array) -> Any:
        u, v = self.u, self.v
        np.abs(a, out=u)
        np.negative(u, out=u)
        np.exp(u, out=u)
        np.log1p(u, out=u)
        np.maximum(a, self.zero, out=v)
        np.add(u, v, out=u)
        return np.add.reduce(u) - np.dot(a, t)

    def absolute_error(self, y: Array, t: Array) -> Any:
        np.subtract(y, t, out=self.u)
        np.abs(self.u, out=self.u)
        return np.add.reduce(self.u)

    def huber(self, y: Array, t: Array) -> Any:
        u, v = self.u, self.v
        np.subtract(y, t, out=u)
        np.abs(u, out=u)
        np.minimum(u, self.one, out=v)
        return np.dot(u, v) - np.dot(v, v) * self.half

    def log_cosh(self, y: Array, t: Array) -> Any:
        u, v = self.u, self.v
        np.subtract(y, t, out=u)
        np.abs(u, out=u)
        np.multiply(u, -self.two, out=v)
        np.exp(v, out=v)
        np.log1p(v, out=v)
        np.add(u, v, out=u)
        return np.add.reduce(u) - y.size * self.log_2

    def poisson(self, y: Array, t: Array) -> Any:
        np.maximum(y, self.low, out=self.u)
        np.log(self.u, out=self.u)
        return np.add.reduce(y) - np.dot(self.u, t)

    def signs(self, t: Array) -> None:
        """Writes the targets of hinge, -1 or 1, to v."""
        np.equal(t, self.zero, out=self.mask)
        np.subtract(t, self.mask, out=self.v)

    def hinge(self, y: Array, t: Array) -> Any:
        self.signs(t)
        np.multiply(self.v, y, out=self.u)
        np.subtract(self.one, self.u, out=self.u)
        np.maximum(self.u, self.zero, out=self.u)
        return np.add.reduce(self.u)

    def kl_divergence(self, y: Array, t: Array) -> Any:
        self.clip(y)
        np.maximum(t, np.finfo(t.dtype).tiny, out=self.v)
        np.divide(self.v, self.u, out=self.u)
        np.log(self.u, out=self.u)
        return np.dot(self.u, t)

    def missed(self, t: Array) -> None:
        """Writes 1 - p of focal to v, from clipped outputs in u."""
        np.multiply(self.u, t, out=self.v)
        np.multiply(self.v, -self.two, out=self.v)
        np.add(self.v, self.u, out=self.v)
        np.add(self.v, t, out=self.v)

    def entropies(self, t: Array, result: Array) -> None:
        """Writes binary cross-entropies to `result`, from clipped outputs in u."""
        w = self.w
        np.log(self.u, out=result)
        np.multiply(result, t, out=result)
        np.negative(self.u, out=w)
        np.log1p(w, out=w)
        np.add(result, w, out=result)
        np.multiply(w, t, out=w)
        np.subtract(w, result, out=result)

    def focal(self, y: Array, t: Array) -> Any:
        self.clip(y)
        self.missed(t)
        self.entropies(t, self.x)
        np.multiply(self.v, self.v, out=self.v)
        return np.dot(self.v, self.x)

    # Gradients of losses with respect to y: of the mean over all elements, or of the sum.

    def squared_error_derivative(self, y: Array, t: Array, dLdy: Array) -> None:
        np.subtract(y, t, out=dLdy)
        np.multiply(dLdy, self.scale, out=dLdy)

    def binary_cross_entropy_derivative(self, y: Array, t: Array, dLdy: Array) -> None:
        u, v = self.u, self.v
        self.clip(y)
        np.subtract(self.one, u, out=v)
        np.multiply(v, u, out=v)
        np.multiply(v, self.terms, out=v)
        np.subtract(u, t, out=dLdy)
        np.divide(dLdy, v, out=dLdy)
        np.not_equal(u, y, out=self.mask)
        np.copyto(dLdy, self.zero, where=self.mask)

    def cross_entropy_derivative(self, y: Array, t: Array, dLdy: Array) -> None:
        self.clip(y)
        np.divide(t, self.u, out=dLdy)
        np.negative(dLdy, out=dLdy)
        np.not_equal(self.u, y, out=self.mask)
        np.copyto(dLdy, self.zero, where=self.mask)

    def absolute_error_derivative(self, y: Array, t: Array, dLdy: Array) -> None:
        np.subtract(y, t, out=dLdy)
        np.sign(dLdy, out=dLdy)
        np.divide(dLdy, self.terms, out=dLdy)

    def huber_derivative(self, y: Array, t: Array, dLdy: Array) -> None:
        np.subtract(y, t, out=dLdy)
        np.clip(dLdy, -self.one, self.one, out=dLdy)
        np.divide(dLdy, self.terms, out=dLdy)

    def log_cosh_derivative(self, y: Array, t: Array, dLdy: Array) -> None:
        np.subtract(y, t, out=dLdy)
        np.tanh(dLdy, out=dLdy)
        np.divide(dLdy, self.terms, out=dLdy)

    def poisson_derivative(self, y: Array, t: Array, dLdy: Array) -> None:
        np.divide(t, y, out=dLdy)
        np.less(y, self.low, out=self.mask)
        np.copyto(dLdy, self.zero, where=self.mask)
        np.subtract(self.one, dLdy, out=dLdy)
        np.divide(dLdy, self.terms, out=dLdy)

    def hinge_derivative(self, y: Array, t: Array, dLdy: Array) -> None:
        self.signs(t)
        np.multiply(self.v, y, out=self.u)
        np.less(self.u, self.one, out=self.mask)
        np.multiply(self.v, self.mask, out=dLdy)
        np.divide(dLdy, -self.terms, out=dLdy)

    def kl_divergence_derivative(self, y: Array, t: Array, dLdy: Array) -> None:
        self.cross_entropy_derivative(y, t, dLdy)

    def focal_derivative(self, y: Array, t: Array, dLdy: Array) -> None:
        u, v, w = self.u, self.v, self.w
        self.clip(y)
        self.missed(t)
        self.entropies(t, self.x)
        np.multiply(t, -self.two, out=w)
        np.add(w, self.one, out=w)
        np.multiply(w, self.x, out=w)
        np.multiply(w, self.two, out=w)
        np.subtract(self.one, u, out=dLdy)
        np.multiply(dLdy, u, out=dLdy)
        np.subtract(u, t, out=self.x)
        np.divide(self.x, dLdy, out=dLdy)
        np.multiply(dLdy, v, out=dLdy)
        np.add(dLdy, w, out=dLdy)
        np.multiply(dLdy, v, out=dLdy)
        np.divide(dLdy, self.terms, out=dLdy)
        np.not_equal(u, y, out=self.mask)
        np.copyto(dLdy, self.zero, where=self.mask)

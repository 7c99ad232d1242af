"""Elementwise kernels in NumPy, tuned by hand: `out=` everywhere, no temporary, blocks that stay in cache.

What the compiled kernels have to beat, beside the library's own plain ones. Scratch and constants are made
beforehand: as zero-dimensional arrays, constants cost half of what a Python number costs. Arrays are flat.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import fsum
from typing import Any

import numpy as np
from scipy.special import erfc
from typednn_kernels.losses import EPSILON

from benchmarks.cases.networks import Array

BLOCK = 20_000
"""Numbers at a time: few enough for the second-level cache, enough to forget the calls."""


class Tuned:
    """The formulas for blocks of up to `BLOCK` numbers of one dtype."""

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
        """e = exp(a) into u, e (e + 2) into v; the tanh of softplus is v / (v + 2)."""
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

    # Their slopes, of a and y.

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

    # The slope times the signal g.

    def product(self, derivative: Callable[..., None], a: Array, y: Array, g: Array, dLda: Array) -> None:
        derivative(a, y, dLda)
        np.multiply(dLda, g, out=dLda)

    def none_product(self, _a: Array, _y: Array, g: Array, dLda: Array) -> None:
        dLda[...] = g

    def exponential_product(self, _a: Array, y: Array, g: Array, dLda: Array) -> None:
        np.multiply(y, g, out=dLda)

    def clip(self, y: Array) -> None:
        """Probabilities away from 0 and 1, into u."""
        np.maximum(y, self.low, out=self.u)
        np.minimum(self.u, self.high, out=self.u)

    # Losses: the sum over the block of the loss of outputs y, or pre-activations a, given targets t.

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
        """Targets of hinge, into v."""
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
        """1 - p of focal, into v, of clipped outputs in u."""
        np.multiply(self.u, t, out=self.v)
        np.multiply(self.v, -self.two, out=self.v)
        np.add(self.v, self.u, out=self.v)
        np.add(self.v, t, out=self.v)

    def entropies(self, t: Array, result: Array) -> None:
        """The binary cross-entropies of clipped outputs in u."""
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

    # Slopes of losses: of the mean over all numbers, or of the sum.

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


def elementwise(formula: Callable[..., None], *arrays: Array) -> Callable[[], object]:
    """The formula over arrays of any size, ready to be called."""
    flat = [array.reshape(-1) for array in arrays]
    blocks = _blocks(flat)
    return partial(formula, *flat) if len(blocks) == 1 else partial(_each, formula, blocks)


def total(formula: Callable[..., Any], divisor: int, *arrays: Array) -> Callable[[], object]:
    """The sum of the formula over all but the last array, divided, into the last; ready to be called."""
    *arguments, losses = arrays
    return partial(_sum, formula, _blocks([array.reshape(-1) for array in arguments]), losses, divisor)


def softmax(a: Array, y: Array) -> Callable[[], object]:
    """Softmax of each row, ready to be called."""
    if len(a) == 1 and a.size > BLOCK:
        return partial(_long_softmax, _blocks([a.reshape(-1), y.reshape(-1)]), a, y)
    return _rows(_softmax, a, y)


def softmax_product(y: Array, g: Array, dLda: Array) -> Callable[[], object]:
    """y (g - <g, y>) of each row, ready to be called."""
    if len(y) == 1 and y.size > BLOCK:
        return partial(_long_softmax_product, _blocks([y.reshape(-1), g.reshape(-1), dLda.reshape(-1)]))
    return _rows(_softmax_product, y, g, dLda)


def cross_entropy_of_logits(a: Array, t: Array, losses: Array) -> Callable[[], object]:
    """The loss of softmax of each row, ready to be called."""
    return partial(_cross_entropy_of_logits, np.empty_like(a), a, t, losses)


def _softmax(a: Array, y: Array) -> None:
    np.subtract(a, np.maximum.reduce(a, axis=1, keepdims=True), out=y)
    np.exp(y, out=y)
    np.divide(y, np.add.reduce(y, axis=1, keepdims=True), out=y)


def _long_softmax(blocks: list[tuple[Array, ...]], a: Array, y: Array) -> None:
    largest, total = np.maximum.reduce(a, axis=1), 0
    for a_block, y_block in blocks:
        np.subtract(a_block, largest, out=y_block)
        np.exp(y_block, out=y_block)
        total += np.add.reduce(y_block)
    np.divide(y, total, out=y)


def _softmax_product(y: Array, g: Array, dLda: Array) -> None:
    np.subtract(g, np.vecdot(g, y)[:, None], out=dLda)
    np.multiply(dLda, y, out=dLda)


def _long_softmax_product(blocks: list[tuple[Array, ...]]) -> None:
    inner = sum(np.dot(g, y) for y, g, _ in blocks)
    for y, g, dLda in blocks:
        np.subtract(g, inner, out=dLda)
        np.multiply(dLda, y, out=dLda)


def _cross_entropy_of_logits(u: Array, a: Array, t: Array, losses: Array) -> None:
    largest = np.maximum.reduce(a, axis=1)
    np.subtract(a, largest[:, None], out=u)
    np.exp(u, out=u)
    np.add.reduce(u, axis=1, out=losses)
    np.log(losses, out=losses)
    losses += largest
    losses *= np.add.reduce(t, axis=1)
    losses -= np.vecdot(a, t)


def _rows(formula: Callable[..., None], *arrays: Array) -> Callable[[], object]:
    """The formula over as many rows at a time as a block holds."""
    rows = max(1, BLOCK // arrays[0].shape[1])
    blocks = [
        tuple(array[start : start + rows] for array in arrays) for start in range(0, len(arrays[0]), rows)
    ]
    return partial(formula, *arrays) if len(blocks) == 1 else partial(_each, formula, blocks)


def _blocks(arrays: list[Array]) -> list[tuple[Array, ...]]:
    starts = range(0, arrays[0].size, BLOCK)
    return [tuple(array[start : start + BLOCK] for array in arrays) for start in starts]


def _each(formula: Callable[..., None], blocks: list[tuple[Array, ...]]) -> None:
    for block in blocks:
        formula(*block)


def _sum(formula: Callable[..., Any], blocks: list[tuple[Array, ...]], losses: Array, divisor: int) -> None:
    losses[0] = fsum(formula(*block) for block in blocks) / divisor

"""Computes the passes of a network, written to be read: a layer after the other, forward, and backward."""

from __future__ import annotations

from math import isinf, sqrt
from typing import Generic, NamedTuple, Self

import numpy as np

from typednn_kernels.activations import NONE
from typednn_kernels.arrays import F, Layout, Matrix, Vector
from typednn_kernels.dropout import INFERENCE
from typednn_kernels.layout import (
    ACTIVATION,
    BIASES,
    DROPOUT,
    FROZEN,
    INNER_BIASES,
    LENGTH,
    NORMALIZATION,
    PREVIOUS,
    UNITS,
    WEIGHTS,
    biases,
    block,
    constants,
    gains,
    inner_biases,
    inv_std,
    normalized,
    running_moments,
    square_scale,
    unit_count,
    weights,
)
from typednn_kernels.normalizations import NONE as UNNORMALIZED
from typednn_kernels.operands import Workspace
from typednn_kernels.plain.activation import activation_backward, activation_value
from typednn_kernels.plain.dense import affine, backpropagate, outer, sum_samples
from typednn_kernels.plain.normalization import apply_dropout, normalization_backward, normalize


class Forward(NamedTuple, Generic[F]):
    """The views of one layer that a forward pass needs; those of normalised layers are looked up."""

    activation: int
    normalization: int
    dropped: int
    W: Matrix[F]
    bias: Vector[F]
    a: Matrix[F]
    h: Matrix[F]


class Backward(NamedTuple, Generic[F]):
    """The views of one layer that a backward pass needs besides."""

    dLdh: Matrix[F]
    dLda: Matrix[F]
    dLdz: Matrix[F]
    dLdW: Matrix[F]
    dLdBias: Vector[F]


class Pass(Generic[F]):
    """The views of a network that passes over a number of samples need, made once for many passes."""

    parameters: Vector[F]
    layout: Layout
    workspace: Workspace[F]
    samples: int
    ones: int

    def __init__(self, parameters: Vector[F], layout: Layout, workspace: Workspace[F], samples: int) -> None:
        self.parameters, self.layout, self.workspace, self.samples = parameters, layout, workspace, samples
        self.rows: list[list[int]] = layout.tolist()
        self.layers: list[Forward[F]] = []
        for row in self.rows:
            n, n_prev, start, units = row[LENGTH], row[PREVIOUS], row[WEIGHTS], samples * row[UNITS]
            size, end, first_bias = samples * n, start + n * n_prev, row[BIASES]
            self.layers.append(
                Forward(
                    row[ACTIVATION],
                    row[NORMALIZATION],
                    row[DROPOUT],
                    parameters[start:end].reshape(n, n_prev),
                    parameters[first_bias : first_bias + n],
                    workspace.a[units : units + size].reshape(samples, n),
                    workspace.h[units : units + size].reshape(samples, n),
                )
            )

    def with_gradient(self, gradient: Vector[F]) -> Self:
        """Makes the views of a backward pass."""
        layout, samples, dLda = self.layout, self.samples, self.workspace.dLda
        self.gradient = gradient
        self.backward_views: list[Backward[F]] = []
        for k, here in enumerate(self.layers):
            deltas = block(dLda, layout, k, samples)
            self.backward_views.append(
                Backward(
                    block(self.workspace.dLdh, layout, k, samples),
                    deltas,
                    deltas if here.normalization == UNNORMALIZED else normalized(dLda, layout, k, samples),
                    weights(gradient, layout, k),
                    biases(gradient, layout, k),
                )
            )
        units, last = samples * layout[:, UNITS], len(layout) - 1
        self.inputs: Vector[F] = self.workspace.h[: units[last]]
        self.deltas: list[Vector[F]] = [dLda[units[1] : samples * unit_count(layout)]]
        for here, back in zip(self.layers, self.backward_views, strict=True):
            if here.normalization != UNNORMALIZED:
                self.deltas.append(back.dLdz.reshape(-1))
        self.ones = samples * int(layout[:, LENGTH].sum())
        return self

    def forward(self, key: int, x: Matrix[F]) -> None:
        """Computes all activations for some samples."""
        first = self.layers[0]
        below = first.h
        below[...] = x
        if first.activation != NONE:
            first.a[...] = x
            activation_value(first.activation, first.a, below)
        for k in range(1, len(self.layers)):
            activation, normalization, dropped, W, bias, a, h = self.layers[k]
            if normalization == UNNORMALIZED:
                affine(below, W, bias, a)
            else:
                self._normalize(k, key, below)
            activation_value(activation, a, h)
            if dropped and key != INFERENCE:
                apply_dropout(key, k, dropped, h)
            below = h

    def _normalize(self, k: int, key: int, below: Matrix[F]) -> None:
        here, layout, parameters, a = self.layers[k], self.layout, self.parameters, self.workspace.a
        z = normalized(a, layout, k, self.samples)
        inner = inner_biases(parameters, layout, k)
        affine(below, here.W, inner if len(inner) else np.zeros_like(here.bias), z)
        normalize(
            here.normalization,
            self._is_training(k, key),
            constants(layout, k),
            z,
            gains(parameters, layout, k),
            here.bias,
            running_moments(parameters, layout, k),
            inv_std(a, layout, k, self.samples),
            here.a,
        )

    def _is_training(self, k: int, key: int) -> bool:
        """Says whether layer k is normalised as in training."""
        return key != INFERENCE and not self.layout[k, FROZEN]

    def backward(self, key: int) -> None:
        """Computes all deltas from those of the output layer, and the gradient."""
        last = len(self.layers) - 1
        for k in range(last, 0, -1):
            activation, normalization, dropped, _, _, a, h = self.layers[k]
            dLdh, dLda, dLdz, dLdW, dLdBias = self.backward_views[k]
            if k < last:
                backpropagate(self.backward_views[k + 1].dLdz, self.layers[k + 1].W, dLdh)
                if dropped and key != INFERENCE:  # the derivative is that at the activations before dropout
                    activation_value(activation, a, dLda)
                    activation_backward(activation, a, dLda.copy(), dLdh, dLda)
                    apply_dropout(key, k, dropped, dLda)
                else:
                    activation_backward(activation, a, h, dLdh, dLda)
            if normalization == UNNORMALIZED:
                sum_samples(dLda, dLdBias)
            else:
                normalization_backward(
                    normalization,
                    self._is_training(k, key),
                    normalized(self.workspace.a, self.layout, k, self.samples),
                    gains(self.parameters, self.layout, k),
                    inv_std(self.workspace.a, self.layout, k, self.samples),
                    dLda,
                    dLdBias,
                    gains(self.gradient, self.layout, k),
                    dLdz,
                )
                if self.layout[k, INNER_BIASES]:
                    sum_samples(dLdz, inner_biases(self.gradient, self.layout, k))
            outer(dLdz, self.layers[k - 1].h, dLdW)

    def gradient_norm_bound(self) -> float:
        """Computes a bound of the gradient's norm by Schwarz's inequality: all deltas times all inputs."""
        return _norm(self.deltas, 0) * _norm([self.inputs], self.ones)


def _norm(vectors: list[Vector[F]], ones: int) -> float:
    """Computes the norm of all elements of some vectors, and of a number of ones.

    Where the squares overflow, they are those of scaled elements.
    """
    squares = float(ones) + sum(float(each.dot(each)) for each in vectors)
    if not isinf(squares):
        return sqrt(squares)
    scale = square_scale(vectors[0].itemsize)
    scaled = [each * each.dtype.type(scale) for each in vectors]
    return sqrt(sum(float(each.dot(each)) for each in scaled)) / scale

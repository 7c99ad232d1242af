"""Computes the passes of a network, written to be read: a layer after the other, forward, and backward."""

from __future__ import annotations

from math import inf, sqrt
from typing import Generic, NamedTuple, Self

import numpy as np

from typednn_kernels.activations import ACTIVATIONS, NONE, SOFTMAX
from typednn_kernels.arrays import F, Layout, Matrix, Vector
from typednn_kernels.dropout import INFERENCE
from typednn_kernels.layout import (
    ACTIVATION,
    BIASES,
    DROPOUT,
    FAN_IN,
    FROZEN,
    INNER_BIASES,
    LENGTH,
    NORMALIZATION,
    UNITS,
    WEIGHTS,
    gains,
    inner_biases,
    inv_std,
    normalization_settings,
    normalized,
    running_moments,
    square_scale,
)
from typednn_kernels.normalizations import NONE as UNNORMALIZED
from typednn_kernels.operands import Workspace
from typednn_kernels.plain.activation import (
    CACHE_CHUNK_ELEMENTS,
    activation_backward,
    activation_value,
    softmax,
    times_derivative,
)
from typednn_kernels.plain.array_formula import ArrayFormula, array_formula
from typednn_kernels.plain.dense import SUMMED_PRODUCTS, affine, backpropagate, outer, sum_samples
from typednn_kernels.plain.normalization import apply_dropout, normalization_backward, normalize


class Forward(NamedTuple, Generic[F]):
    """The views of one layer that a forward pass needs; those of normalised layers are looked up.

    `sums` is a, or its row where there is one sample. Of layers with few units, the formulas of value and
    derivative are at hand as well.
    """

    activation: int
    normalization: int
    dropped: int
    W: Matrix[F]
    bias: Vector[F]
    a: Matrix[F]
    h: Matrix[F]
    W_T: Matrix[F]
    sums: Matrix[F] | Vector[F]
    formula: ArrayFormula | None
    derivative: ArrayFormula | None


class Backward(NamedTuple, Generic[F]):
    """The views of one layer that a backward pass needs besides."""

    dLdh: Matrix[F]
    dLda: Matrix[F]
    dLdz: Matrix[F]
    dLdz_T: Matrix[F]
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
        self.exponentials: tuple[Matrix[F], Matrix[F]] | None = None
        self.has_short_sums: bool = samples <= SUMMED_PRODUCTS
        self.rows: list[list[int]] = layout.tolist()
        self.layers: list[Forward[F]] = []
        for row in self.rows:
            is_small = samples * row[LENGTH] <= CACHE_CHUNK_ELEMENTS
            formulas = _formulas(row[ACTIVATION], parameters.dtype) if is_small else (None, None)
            W, a = _weights(parameters, row), _block(workspace.a, row, samples)
            self.layers.append(
                Forward(
                    row[ACTIVATION],
                    row[NORMALIZATION],
                    row[DROPOUT],
                    W,
                    _biases(parameters, row),
                    a,
                    _block(workspace.h, row, samples),
                    W.T,
                    a[0] if samples == 1 else a,
                    *formulas,
                )
            )

    def with_gradient(self, gradient: Vector[F]) -> Self:
        """Makes the views of a backward pass."""
        layout, samples, (_, h, dLdh, dLda) = self.layout, self.samples, self.workspace
        self.gradient = gradient
        self.backward_views: list[Backward[F]] = []
        for k, row in enumerate(self.rows):
            deltas = below = _block(dLda, row, samples)
            if row[NORMALIZATION] != UNNORMALIZED:
                below = normalized(dLda, layout, k, samples)
            self.backward_views.append(
                Backward(
                    _block(dLdh, row, samples),
                    deltas,
                    below,
                    below.T,
                    _weights(gradient, row),
                    _biases(gradient, row),
                )
            )
        first, last = self.rows[1], self.rows[-1]
        self.inputs: Vector[F] = h[: samples * last[UNITS]]
        self.deltas: list[Vector[F]] = [dLda[samples * first[UNITS] : samples * (last[UNITS] + last[LENGTH])]]
        for here, back in zip(self.layers, self.backward_views, strict=True):
            if here.normalization != UNNORMALIZED:
                self.deltas.append(back.dLdz.reshape(-1))
        self.ones = samples * (last[UNITS] + last[LENGTH])
        return self

    def forward(self, key: int, x: Matrix[F]) -> None:
        """Computes all activations for some samples."""
        self.layers[0].h[...] = x
        self.forward_inputs(key)

    def forward_inputs(self, key: int) -> None:
        """Computes all activations for the samples in the activations of the input layer."""
        first = self.layers[0]
        below = first.h
        if first.activation != NONE:
            first.a[...] = below
            activation_value(first.activation, first.a, below)
        for k in range(1, len(self.layers)):
            activation, normalization, dropped, _, bias, a, h, W_T, sums, formula, _ = self.layers[k]
            if normalization == UNNORMALIZED:  # as `affine` does
                below.dot(W_T, a)
                np.add(sums, bias, out=sums)
            else:
                self._normalize(k, key, below)
            if formula is not None:
                formula(h, a)
            elif activation == SOFTMAX:
                self.exponentials = softmax(a, h)
            else:
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
            normalization_settings(layout, k),
            self._is_training(k, key),
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
            activation, normalization, dropped, _, _, a, h, _, _, _, derivative = self.layers[k]
            dLdh, dLda, dLdz, dLdz_T, dLdW, dLdBias = self.backward_views[k]
            if k < last:
                backpropagate(self.backward_views[k + 1].dLdz, self.layers[k + 1].W, dLdh)
                if dropped and key != INFERENCE:  # the derivative is that at the activations before dropout
                    activation_value(activation, a, dLda)
                    activation_backward(activation, a, dLda.copy(), dLdh, dLda)
                    apply_dropout(key, k, dropped, dLda)
                elif derivative is not None:
                    derivative(dLda, a, h, dLdh)
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
            if self.has_short_sums and dLdW.size:  # as `outer` does
                dLdz_T.dot(self.layers[k - 1].h, dLdW)
            else:
                outer(dLdz, self.layers[k - 1].h, dLdW)

    def gradient_norm_bound(self) -> float:
        """Computes a bound of the gradient's norm by Schwarz's inequality: all deltas times all inputs."""
        of_inputs, of_deltas = self.ones + float(self.inputs.dot(self.inputs)), 0.0
        for each in self.deltas:
            of_deltas += float(each.dot(each))
        bound = sqrt(of_inputs) * sqrt(of_deltas)
        if bound < inf:
            return bound
        return _norm(self.deltas, 0) * _norm([self.inputs], self.ones)


def _formulas(activation: int, dtype: np.dtype[F]) -> tuple[ArrayFormula | None, ArrayFormula | None]:
    """Returns the formula of an activation, and that of dLda; softmax has none, and "none" no dLda."""
    row = ACTIVATIONS[activation]
    value = row.value and array_formula(row.value, 1, dtype)
    if row.derivative is None or activation == NONE:
        return value, None
    return value, array_formula(times_derivative(row.derivative), 3, dtype)


def _block(vector: Vector[F], row: list[int], samples: int) -> Matrix[F]:
    """Returns what `layout.block` does, from a row of the layout as a list, whose elements cost less."""
    start, n = samples * row[UNITS], row[LENGTH]
    return vector[start : start + samples * n].reshape(samples, n)


def _weights(vector: Vector[F], row: list[int]) -> Matrix[F]:
    start, n, fan_in = row[WEIGHTS], row[LENGTH], row[FAN_IN]
    return vector[start : start + n * fan_in].reshape(n, fan_in)


def _biases(vector: Vector[F], row: list[int]) -> Vector[F]:
    start = row[BIASES]
    return vector[start : start + row[LENGTH]]


def _norm(vectors: list[Vector[F]], ones: int) -> float:
    """Computes the norm of all elements of some vectors, and of a number of ones.

    The squares, some of which overflow, are those of scaled elements.
    """
    scale = square_scale(vectors[0].itemsize)
    scaled = [each * each.dtype.type(scale) for each in vectors]
    return sqrt(sum(float(each.dot(each)) for each in scaled)) / scale

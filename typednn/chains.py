"""The memory of a network: one vector of parameters, one of gradients, one workspace.

A chain is a sequence of attached layers. Its layers own nothing: weights, biases, activations and
gradients are views of these vectors, made when they are asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Generic

import numpy as np
from typednn_kernels.activations import CODES
from typednn_kernels.arrays import F, Matrix, Vector
from typednn_kernels.layout import biases, block, layout_of, parameter_count, unit_count, weights

if TYPE_CHECKING:
    from typednn.layers import Layer


class Workspace(Generic[F]):
    """What a forward and a backward pass over `B` samples leave behind, in blocks of `(B, n)` per layer.

    `forwarded` layers are up to date with the samples, counted from the input; `reached` have been at
    some time. `returned` and `signalled` are the same for the error signals, counted down from the number
    of layers: the lowest layer that `backward` has reached.
    """

    def __init__(self, units: int, layers: int, samples: int, dtype: np.dtype[F]) -> None:
        self.samples = samples
        self.a: Vector[F] = np.zeros(samples * units, dtype)
        self.h: Vector[F] = np.zeros(samples * units, dtype)
        self.dLdh: Vector[F] = np.zeros(samples * units, dtype)
        self.dLda: Vector[F] = np.zeros(samples * units, dtype)
        self.forwarded = self.reached = 0
        self.returned = self.signalled = layers
        self.kept = False
        self.loaded = False

    def complete(self, layers: int) -> None:
        """Notes that all layers have run forward and backward."""
        self.loaded = True
        self.forwarded = self.reached = layers
        self.returned = self.signalled = 1


class Chain(Generic[F]):
    """A sequence of attached layers and the memory they share."""

    def __init__(self, layers: Sequence[Layer[F]], dtype: np.dtype[F]) -> None:
        self.layers = list(layers)
        self.dtype = dtype
        self.layout = layout_of([each.length for each in layers], [CODES[each.actname] for each in layers])
        self.parameters: Vector[F] = np.zeros(parameter_count(self.layout), dtype)
        self.gradient: Vector[F] = np.zeros(parameter_count(self.layout), dtype)
        self.has_weights = [False] * len(self.layers)
        self.has_gradient = [False] * len(self.layers)
        self.targets: Matrix[F] | None = None
        self.closed = False
        self.workspace = self.new_workspace(1)

    def new_workspace(self, samples: int) -> Workspace[F]:
        """A workspace for so many samples."""
        return Workspace(unit_count(self.layout), len(self.layers), samples, self.dtype)

    def show(self, workspace: Workspace[F]) -> None:
        """Lets the layers show this workspace; their weight gradients are formed when asked for."""
        self.workspace = workspace
        self.has_gradient = [False] * len(self.layers)

    def weights(self, k: int) -> Matrix[F]:
        """The weights `(n, n_prev)` of layer k."""
        return weights(self.parameters, self.layout, k)

    def biases(self, k: int) -> Vector[F]:
        """The biases `(n,)` of layer k."""
        return biases(self.parameters, self.layout, k)

    def weight_gradient(self, k: int) -> Matrix[F]:
        """The gradient `(n, n_prev)` by the weights of layer k."""
        return weights(self.gradient, self.layout, k)

    def bias_gradient(self, k: int) -> Vector[F]:
        """The gradient `(n,)` by the biases of layer k."""
        return biases(self.gradient, self.layout, k)

    def block(self, vector: Vector[F], k: int) -> Matrix[F]:
        """The block `(B, n)` of layer k in a vector of the workspace."""
        return block(vector, self.layout, k, self.workspace.samples)

"""A forward pass through a network, and the gradients of the backward pass that follows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic

import numpy as np
from typednn_kernels.arrays import F, Matrix, Vector
from typednn_kernels.layout import biases, gains, weights
from typednn_kernels.losses import LOSSES

from typednn.errors import ShapeError, WiringError
from typednn.layers import Layer, OutputLayer
from typednn.layers.base import transposed
from typednn.layers.output import mean_loss
from typednn.layers.storage import Storage, Workspace
from typednn.validation.arrays import Targets, Y_co, is_plain, read_only


@dataclass(frozen=True, slots=True)
class LayerGradients(Generic[F]):
    """Gradients of the batch's mean loss with respect to one layer of `n` units, `n_prev` before it.

    Attributes:
        dLda: with respect to the pre-activations, `(n, B)`.
        dLdW: with respect to the weights, `(n, n_prev)`.
        dLdBias: with respect to the biases, `(1, n)`.
        dLdGain: with respect to the gains, `(1, n)`; `(1, 0)` where the layer is not normalised.
    """

    dLda: Matrix[F]
    dLdW: Matrix[F]
    dLdBias: Matrix[F]
    dLdGain: Matrix[F]


class Gradients(Generic[F]):
    """The gradients of the mean loss of some samples; `gradients[layer]` returns those of one layer.

    Attributes:
        vector: the gradient with respect to `Network.parameters`, in the same layout, `(n_parameters,)`; it
            is the caller's to change.
    """

    def __init__(
        self, storage: Storage[F], workspace: Workspace[F], vector: Vector[F], losses: Vector[F]
    ) -> None:
        self._storage = storage
        self._workspace = workspace
        self._losses = losses
        self.vector = vector

    @property
    def loss(self) -> float:
        """The mean loss."""
        return mean_loss(self._losses)

    def __getitem__(self, layer: Layer[F]) -> LayerGradients[F]:
        """Returns read-only views of the gradients of a layer that is not the input layer.

        Raises:
            WiringError: the layer belongs to another network, or is the input layer.
        """
        storage, k = self._storage, layer._index
        if layer._storage is not storage or k == 0:
            raise WiringError(f"{layer!r} is not a layer with gradients in this network")
        return LayerGradients(
            transposed(self._workspace.blocks[k].dLda),
            read_only(weights(self.vector, storage.layout, k)),
            read_only(biases(self.vector, storage.layout, k).reshape(1, -1)),
            read_only(gains(self.vector, storage.layout, k).reshape(1, -1)),
        )


class ForwardPass(Generic[F, Y_co]):
    """The activations of a network for some samples; `Network.forward` returns it."""

    def __init__(self, output: OutputLayer[F], workspace: Workspace[F]) -> None:
        self._output = output
        self._workspace = workspace

    @property
    def output(self) -> Matrix[F]:
        """The outputs, `(n_samples, n_outputs)`."""
        return self._workspace.output

    def loss(self, y: Targets[F, Y_co]) -> float:
        """Computes the mean loss, given targets `(n_samples, n_outputs)` or labels `(n_samples,)`.

        Raises:
            ShapeError, ArrayTypeError, DataError: the targets do not fit.
        """
        return self._output._mean_loss(self._workspace, self._targets(y))

    def backward(self, y: Targets[F, Y_co]) -> Gradients[F]:
        """Computes the gradients of the mean loss, with the weights as they are now.

        After `Network.forward(x, training=True)` the gradients are those of the training step: with the units
        that it dropped, and through the mean and variance of the batch.

        Args:
            y: targets `(n_samples, n_outputs)`, or integer labels `(n_samples,)` for losses of classes.

        Raises:
            ShapeError, ArrayTypeError, DataError: the targets do not fit.
        """
        storage, workspace, code = self._output._storage, self._workspace, self._output._loss_code
        row = LOSSES[code]
        t = y if is_plain(y, storage.dtype) else self._targets(y)
        workspace = workspace.with_new_deltas()
        losses: Vector[F] = np.empty(workspace.samples, storage.dtype)
        vector: Vector[F] = np.empty(storage.trainable.size, storage.dtype)
        fit = storage.running.kernels.loss_and_gradient(
            storage.parameters,
            workspace.layout,
            workspace.key,
            code,
            t,
            row.target_minimum,
            row.target_maximum,
            storage.no_weights,
            workspace.vectors,
            losses,
            vector,
        )
        if not fit:
            self._targets(y)
        workspace.complete_backward()
        storage.set_workspace(workspace)
        return Gradients(storage, workspace, vector, losses)

    def _targets(self, y: Targets[F, Y_co]) -> Matrix[F]:
        t = self._output._as_targets(y, "Network")
        if len(t) != self._workspace.samples:
            raise ShapeError(
                f"Network: the forward pass had {self._workspace.samples} samples, y has {len(t)}"
            )
        return t

"""A forward pass through a network, and the gradients of the backward pass that follows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic

import numpy as np
from typednn_kernels.arrays import F, Matrix, Vector
from typednn_kernels.layout import biases, gains, weights

from typednn.backends import kernels
from typednn.errors import ShapeError, WiringError
from typednn.layers import Layer
from typednn.layers.storage import Storage, Workspace
from typednn.validation.arrays import Targets, Y_co

if TYPE_CHECKING:
    from typednn.network.network import Network


@dataclass(frozen=True, slots=True)
class LayerGradients(Generic[F]):
    """The gradients of the mean loss by what belongs to one layer of `n` units, `n_prev` below.

    Attributes:
        dLda: by the pre-activations, `(n, B)`.
        dLdW: by the weights, `(n, n_prev)`.
        dLdBias: by the biases, `(1, n)`.
        dLdGain: by the gains, `(1, n)`; `(1, 0)` where the layer is not normalised.
    """

    dLda: Matrix[F]
    dLdW: Matrix[F]
    dLdBias: Matrix[F]
    dLdGain: Matrix[F]


class Gradients(Generic[F]):
    """The gradients of the mean loss of some samples; `gradients[layer]` has those of a layer.

    Attributes:
        vector: all of them `(n_parameters,)`, in the layout of `Network.parameters`.
        loss: the mean loss.
    """

    def __init__(self, chain: Storage[F], workspace: Workspace[F], vector: Vector[F], loss: float) -> None:
        self._chain = chain
        self._workspace = workspace
        self.vector = vector
        self.loss = loss

    def __getitem__(self, layer: Layer[F]) -> LayerGradients[F]:
        """The gradients of one layer of the network, other than the input layer.

        Raises:
            WiringError: the layer is another network's, or the input layer.
        """
        chain, k = self._chain, layer._index
        if layer._chain is not chain or k == 0:
            raise WiringError(f"{layer!r} is not a layer with gradients in this network")
        return LayerGradients(
            self._workspace.blocks[k].dLda.T,
            weights(self.vector, chain.layout, k),
            biases(self.vector, chain.layout, k).reshape(1, -1),
            gains(self.vector, chain.layout, k).reshape(1, -1),
        )


class ForwardPass(Generic[F, Y_co]):
    """The activations of a network for some samples; made by `Network.forward`."""

    def __init__(self, network: Network[F, Y_co], workspace: Workspace[F]) -> None:
        self._network = network
        self._workspace = workspace

    @property
    def output(self) -> Matrix[F]:
        """The outputs `(n_samples, n_outputs)`."""
        return self._workspace.output

    def loss(self, y: Targets[F, Y_co]) -> float:
        """The mean loss, given the targets `(n_samples, n_outputs)` or labels `(n_samples,)`."""
        return self._mean_loss(self._targets(y))

    def backward(self, y: Targets[F, Y_co]) -> Gradients[F]:
        """The gradients of the mean loss, with the weights as they are now.

        Those of a forward pass with `training` take in what it dropped, and how mean and variance of a batch
        depend on the weights.

        Args:
            y: targets `(n_samples, n_outputs)`, or integer labels `(n_samples,)` with a loss of classes.

        Raises:
            ShapeError, ArrayTypeError, DataError: targets that do not fit.
        """
        t = self._targets(y)
        network, chain = self._network, self._network._chain
        workspace = self._workspace.with_new_errors()
        loss = self._mean_loss(t)
        vector: Vector[F] = np.empty_like(chain.trainable)
        kernels(chain.dtype).backward(
            chain.parameters,
            chain.layout,
            workspace.key,
            network._loss,
            t,
            workspace.vectors,
            vector,
        )
        workspace.complete_backward()
        chain.show(workspace)
        return Gradients(chain, workspace, vector, loss)

    def _mean_loss(self, t: Matrix[F]) -> float:
        losses = np.empty(len(t), t.dtype)
        self._network._sample_losses(self._workspace, t, losses)
        return float(losses.mean(dtype=np.float64))

    def _targets(self, y: Targets[F, Y_co]) -> Matrix[F]:
        t = self._network._as_targets(y)
        if len(t) != self._workspace.samples:
            raise ShapeError(
                f"Network: the forward pass had {self._workspace.samples} samples, y has {len(t)}"
            )
        return t

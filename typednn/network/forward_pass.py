"""A forward pass through a network, and the gradients of the backward pass that follows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic

import numpy as np
from typednn_kernels.arrays import F, Matrix, Vector
from typednn_kernels.layout import biases, gains, weights

from typednn.backends import kernels
from typednn.errors import ShapeError, WiringError
from typednn.formats.atomic import PathLike
from typednn.layers import Layer, OutputLayer
from typednn.layers.base import transposed
from typednn.layers.storage import Storage, Workspace
from typednn.validation.arrays import Targets, Y_co, read_only


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
        loss: the mean loss.
    """

    def __init__(self, storage: Storage[F], workspace: Workspace[F], vector: Vector[F], loss: float) -> None:
        self._storage = storage
        self._workspace = workspace
        self.vector = vector
        self.loss = loss

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

    def plot(self, path: PathLike) -> None:
        """Draws the layers, and how the gradient flows back through them, to a file.

        Units are coloured by their deltas, connections by the gradients of their weights; with several
        samples, activations and deltas are means over them.

        Args:
            path: the file; its suffix is the format: `.png`, `.svg` or `.pdf`.

        Raises:
            SettingError: there is no such format.
            MissingExtraError: matplotlib is not installed.
            OSError: the file cannot be written.
        """
        from typednn.plotting.gradient_flow import LayerPicture, draw_gradient_flow
        from typednn.plotting.style import new_figure, write_figure

        pictures: list[LayerPicture] = []
        for k, layer in enumerate(self._storage.layers):
            block = self._workspace.blocks[k]
            title = f"{type(layer).__name__}\n{layer.actname}"
            delta = gradient = None
            if k > 0:
                delta, gradient = block.dLda.mean(axis=0), weights(self.vector, self._storage.layout, k)
            pictures.append(LayerPicture(title, block.h.mean(axis=0), delta, gradient))
        with new_figure(2.2 + 2.6 * (len(pictures) - 1), 4.4) as figure:
            draw_gradient_flow(figure.add_subplot(), pictures)
            write_figure(figure, path)


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
        t = self._targets(y)
        storage = self._output._storage
        workspace = self._workspace.with_new_deltas()
        loss = self._output._mean_loss(workspace, t)
        vector: Vector[F] = np.empty_like(storage.trainable)
        kernels(storage.dtype).backward(
            storage.parameters,
            workspace.layout,
            workspace.key,
            self._output._loss_code,
            t,
            workspace.vectors,
            vector,
        )
        workspace.complete_backward()
        storage.set_workspace(workspace)
        return Gradients(storage, workspace, vector, loss)

    def _targets(self, y: Targets[F, Y_co]) -> Matrix[F]:
        t = self._output._as_targets(y, "Network")
        if len(t) != self._workspace.samples:
            raise ShapeError(
                f"Network: the forward pass had {self._workspace.samples} samples, y has {len(t)}"
            )
        return t

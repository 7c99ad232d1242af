"""A forward pass through a network, and the gradients of the backward pass that follows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Literal, NoReturn, overload

import numpy as np
from typednn_kernels.arrays import F, Matrix, Vector
from typednn_kernels.layout import biases, gains, inner_biases, weights

from typednn.errors import NotReadyError, SettingError, ShapeError, WiringError
from typednn.formats.atomic import PathLike
from typednn.layers import Layer, OutputLayer
from typednn.layers.base import transposed
from typednn.layers.storage import Storage
from typednn.layers.workspace import Workspace
from typednn.training.samples import format_of
from typednn.validation.arrays import Targets, Weights, Y_co, as_matrix, is_plain, read_only

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class LayerGradients(Generic[F]):
    """Gradients of the batch's mean loss with respect to one layer of `n` units, `n_prev` before it.

    Attributes:
        dLda: with respect to the pre-activations, `(n, B)`.
        dLdW: with respect to the weights, `(n, n_prev)`.
        dLdBias: with respect to the biases, `(1, n)`.
        dLdGain: with respect to the gains, `(1, n)`; `(1, 0)` where the layer is not normalised.
        dLdInnerBias: with respect to the inner biases, `(1, n)`; `(1, 0)` where the layer has none.

    >>> import numpy as np
    >>> from typednn import HiddenLayer, InputLayer, Network, OutputLayer
    >>> network = Network([InputLayer(2), HiddenLayer(3, "tanh"), OutputLayer(1)], seed=0)
    >>> gradients = network.forward(np.ones((4, 2))).backward(np.zeros((4, 1)))
    >>> found = gradients[network.layers[1]]
    >>> found.dLda.shape, found.dLdW.shape, found.dLdBias.shape, found.dLdGain.shape
    ((3, 4), (3, 2), (1, 3), (1, 0))
    """

    dLda: Matrix[F]
    dLdW: Matrix[F]
    dLdBias: Matrix[F]
    dLdGain: Matrix[F]
    dLdInnerBias: Matrix[F]


class Gradients(Generic[F]):
    """The gradients of the mean loss of some samples; `gradients[layer]` returns those of one layer.

    Attributes:
        vector: the gradient with respect to `Network.parameters`, in the same layout, `(n_parameters,)`; it
            is the caller's to change.

    >>> import numpy as np
    >>> from typednn import HiddenLayer, InputLayer, Network, OutputLayer
    >>> network = Network([InputLayer(2), HiddenLayer(3, "tanh"), OutputLayer(1)], seed=0)
    >>> gradients = network.forward(np.ones((4, 2))).backward(np.zeros((4, 1)))
    >>> gradients[network.layers[1]].dLdW.shape, gradients.vector.shape
    ((3, 2), (13,))
    """

    __slots__ = ("__weakref__", "_losses", "_storage", "_workspace", "vector")

    vector: Vector[F]

    def __init__(
        self, storage: Storage[F], workspace: Workspace[F], vector: Vector[F], losses: Vector[F]
    ) -> None:
        self._storage = storage
        self._workspace = workspace
        self._losses = losses
        self.vector = vector

    @property
    def loss(self) -> float:
        """The mean loss; of samples with weights, each loss is multiplied by its weight.

        Raises:
            NotReadyError: the backward pass was given dLdy, and knows no loss.
        """
        if not len(self._losses):
            raise NotReadyError("Gradients: backward(dLdy=...) knows no loss; backward(y) does")
        return self._storage.total_loss(self._losses) / len(self._losses)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> NoReturn:
            """Says how `dLdx` is computed; type checkers know that only `InputGradients` have it."""
            raise AttributeError(
                "these gradients have no dLdx; backward(..., inputs=True) computes it"
                if name == "dLdx"
                else f"{type(self).__name__!r} object has no attribute {name!r}"
            )

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
            read_only(inner_biases(self.vector, storage.layout, k).reshape(1, -1)),
        )

    def plot(self, path: PathLike | None = None, *, ax: Axes | None = None) -> Axes:
        """Draws the layers, and how the gradient flows back through them.

        Units are coloured by their deltas, connections by the gradients of their weights; with several
        samples, activations and deltas are means over them.

        Args:
            path: the file to write; its suffix is the format: `.png`, `.svg` or `.pdf`.
            ax: the axes into which is drawn; by default those of a new figure.

        Returns:
            The axes.

        Raises:
            SettingError: there is no such format.
            MissingExtraError: matplotlib is not installed.
            OSError: the file cannot be written.
        """
        from typednn.plotting.gradient_flow import LayerPicture, draw_gradient_flow
        from typednn.plotting.style import new_figure, written

        pictures: list[LayerPicture] = []
        for k, layer in enumerate(self._storage.layers):
            block = self._workspace.blocks[k]
            title = f"{type(layer).__name__}\n{layer.actname}"
            delta = gradient = None
            if k > 0:
                delta, gradient = block.dLda.mean(axis=0), weights(self.vector, self._storage.layout, k)
            pictures.append(LayerPicture(title, block.h.mean(axis=0), delta, gradient))
        if ax is not None:
            draw_gradient_flow(ax, pictures)
            return written(ax, path)
        with new_figure(2.2 + 2.6 * (len(pictures) - 1), 4.4) as figure:
            axes = figure.add_subplot()
            draw_gradient_flow(axes, pictures)
            return written(axes, path)


class InputGradients(Gradients[F]):
    """Gradients with respect to the samples as well; `backward(..., inputs=True)` returns them.

    >>> import numpy as np
    >>> from typednn import HiddenLayer, InputLayer, Network, OutputLayer
    >>> network = Network([InputLayer(2), HiddenLayer(3, "tanh"), OutputLayer(1)], seed=0)
    >>> network.forward(np.ones((4, 2))).backward(np.zeros((4, 1)), inputs=True).dLdx.shape
    (4, 2)
    """

    __slots__ = ()

    @property
    def dLdx(self) -> Matrix[F]:
        """The gradient with respect to the samples x, `(n_samples, n_features)`; a read-only view."""
        return read_only(self._workspace.dLdx)


class ForwardPass(Generic[F, Y_co]):
    """The activations of a network for some samples; `Network.forward` returns it."""

    __slots__ = ("__weakref__", "_output", "_workspace")

    def __init__(self, output: OutputLayer[F], workspace: Workspace[F]) -> None:
        self._output = output
        self._workspace = workspace

    @property
    def output(self) -> Matrix[F]:
        """The outputs, `(n_samples, n_outputs)`."""
        return self._workspace.output.view()

    def loss(self, y: Targets[F, Y_co]) -> float:
        """Computes the mean loss, given targets `(n_samples, n_outputs)` or labels `(n_samples,)`.

        Raises:
            ShapeError, ArrayTypeError, DataError: the targets do not fit.
        """
        return self._output._mean_loss(self._workspace, self._targets(y))

    @overload
    def backward(
        self, y: Targets[F, Y_co], *, sample_weight: Weights | None = ..., inputs: Literal[False] = ...
    ) -> Gradients[F]: ...
    @overload
    def backward(
        self, y: Targets[F, Y_co], *, sample_weight: Weights | None = ..., inputs: Literal[True]
    ) -> InputGradients[F]: ...
    @overload
    def backward(self, *, dLdy: Matrix[F], inputs: Literal[False] = ...) -> Gradients[F]: ...
    @overload
    def backward(self, *, dLdy: Matrix[F], inputs: Literal[True]) -> InputGradients[F]: ...
    def backward(
        self,
        y: Targets[F, Y_co] | None = None,
        *,
        dLdy: Matrix[F] | None = None,
        sample_weight: Weights | None = None,
        inputs: bool = False,
    ) -> Gradients[F]:
        """Computes the gradients of the mean loss, with the weights as they are now.

        After `Network.forward(x, training=True)` the gradients are those of the training step: with the units
        that it dropped, and through the mean and variance of the batch.

        >>> import numpy as np
        >>> from typednn import InputLayer, Network, OutputLayer
        >>> network = Network([InputLayer(2), OutputLayer(1)], seed=0)
        >>> network.layers[1].W = np.array([[3.0, 4.0]])
        >>> forward = network.forward(np.array([[1.0, 1.0]]))
        >>> forward.backward(dLdy=np.array([[1.0]]), inputs=True).dLdx
        array([[3., 4.]])

        Args:
            y: targets `(n_samples, n_outputs)`, or integer labels `(n_samples,)` for losses of classes.
            dLdy: in place of targets, the gradient of a loss of your own with respect to the outputs,
                `(n_samples, n_outputs)`. All gradients are those of this loss.
            sample_weight: weights `(n_samples,)`; the loss is the mean of the samples' losses, each
                multiplied by its weight.
            inputs: whether to compute dLdx, the gradient with respect to the samples, as well.

        Raises:
            ShapeError, ArrayTypeError, DataError: targets, dLdy or weights do not fit.
            SettingError: there are both targets and dLdy, or neither, or weights for dLdy.
        """
        storage, workspace = self._output._storage, self._workspace.with_new_deltas()
        vector: Vector[F] = np.empty(storage.trainable.size, storage.dtype)
        if dLdy is not None and y is None and sample_weight is None:
            losses = storage.no_weights
            storage.running.kernels.gradient_from_outputs(
                storage.parameters,
                workspace.layout,
                workspace.key,
                self._upstream_gradient(dLdy),
                workspace.vectors,
                vector,
            )
        elif y is not None and dLdy is None:
            losses = self._loss_and_gradient(y, sample_weight, workspace, vector)
        else:
            raise SettingError(
                "backward: needs targets y, with or without sample_weight, or dLdy=..., and not both"
            )
        workspace.complete_backward()
        if inputs:
            storage.backward_to_inputs(workspace)
            workspace.backward_valid = workspace.backward_reached = 0
        storage.set_workspace(workspace)
        return (InputGradients if inputs else Gradients)(storage, workspace, vector, losses)

    def _loss_and_gradient(
        self,
        y: Targets[F, Y_co],
        sample_weight: Weights | None,
        workspace: Workspace[F],
        vector: Vector[F],
    ) -> Vector[F]:
        """Computes deltas and the gradient; returns the losses."""
        output, storage = self._output, self._output._storage
        losses: Vector[F] = np.empty(workspace.samples, storage.dtype)
        t = y if is_plain(y, storage.dtype) else self._targets(y)
        factors = storage.no_weights
        if sample_weight is not None:
            t = self._targets(y)
            factors = format_of(output).weights(t, sample_weight, None)
        code, limits = storage.loss or output._look_up_loss()
        fit = storage.running.kernels.loss_and_gradient(
            storage.parameters,
            workspace.layout,
            workspace.key,
            code,
            t,
            limits,
            factors,
            workspace.vectors,
            losses,
            vector,
        )
        if not fit:
            self._targets(y)
        return losses

    def _upstream_gradient(self, dLdy: Matrix[F]) -> Matrix[F]:
        g = as_matrix(dLdy, self._output.length, self._output._storage.dtype, "dLdy", "Network")
        if len(g) != self._workspace.samples:
            raise ShapeError(
                f"Network: the forward pass had {self._workspace.samples} samples, dLdy has {len(g)}"
            )
        return g

    def _targets(self, y: Targets[F, Y_co]) -> Matrix[F]:
        t = self._output._as_targets(y, "Network")
        if len(t) != self._workspace.samples:
            raise ShapeError(
                f"Network: the forward pass had {self._workspace.samples} samples, y has {len(t)}"
            )
        return t

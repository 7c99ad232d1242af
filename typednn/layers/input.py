"""The input layer, which holds the samples."""

from __future__ import annotations

from typing import Never

import numpy as np
from numpy.typing import ArrayLike
from typednn_kernels.activations import INFINITY, NONE, ActivationName, CustomActivation
from typednn_kernels.arrays import F, Matrix
from typednn_kernels.dropout import INFERENCE

from typednn import names
from typednn.errors import NotReadyError
from typednn.layers.base import Layer, transposed
from typednn.validation.arrays import as_sample


class InputLayer(Layer[F, Never]):
    """The layer that holds the samples.

    Args:
        length: the number of features.
        actfn: the activation applied to the features: a name of `ActivationName`, or a name that
            `register_activation` returned.

    Raises:
        SettingError: the length is not a positive integer.
        UnknownNameError: there is no such activation.

    >>> layer = InputLayer(2)
    >>> layer.put_values([[1, 2], [3, 4], [5, 6]])
    >>> layer.forward()
    >>> layer.activations  # units are rows, samples are columns
    array([[1., 3., 5.],
           [2., 4., 6.]])
    """

    def __init__(
        self: InputLayer[np.float64], length: int, actfn: ActivationName | CustomActivation = "none"
    ) -> None:
        super().__init__(length, names.activation(actfn))
        self._allocate()

    def put_values(self, values: ArrayLike) -> None:
        """Copies one sample `(n,)`, or a batch of samples `(B, n)`, into the network.

        Raises:
            ShapeError: the samples have another number of features.
            ArrayTypeError: the values are not numbers.
            DataError: a value is NaN or infinite.
        """
        storage = self._storage
        workspace = storage.workspace
        if workspace.in_forward_pass or not storage.try_copy_sample(
            values, workspace.inputs, -INFINITY, INFINITY
        ):
            samples = as_sample(values, self.length, storage.dtype, "values", self.name)
            if workspace.in_forward_pass or workspace.samples != len(samples):
                workspace = storage.new_workspace(len(samples))
                storage.set_workspace(workspace)
            workspace.inputs[...] = samples
        workspace.has_samples = True
        workspace.forward_valid = 0
        workspace.backward_valid = len(storage.layers)

    def backward(self) -> None:
        """Computes dLdx from the deltas of the next layer.

        Raises:
            NotReadyError: called before `backward` of the next layer.
        """
        storage = self._storage
        workspace = storage.workspace
        if len(storage.layers) == 1 or workspace.backward_valid > 1:
            raise NotReadyError(f"{self.name}: call backward() of the layer after it first")
        storage.backward_to_inputs(workspace)
        workspace.backward_valid = workspace.backward_reached = 0

    @property
    def dLdx(self) -> Matrix[F]:
        """The gradient of the batch's mean loss with respect to the values put in, `(n, B)`.

        Raises:
            NotReadyError: read before the first `backward` of this layer.
        """
        workspace = self._storage.workspace
        if workspace.backward_reached > 0:
            raise NotReadyError(f"{self.name}: call backward() first")
        return transposed(workspace.dLdx)

    def forward(self) -> None:
        """Computes the activations from the values put in.

        Raises:
            NotReadyError: called before `put_values`.
            WiringError: in training, a layer drops units and has no generator to draw from.
        """
        storage = self._storage
        workspace = storage.workspace
        if not workspace.has_samples:
            raise NotReadyError(f"{self.name}: call put_values(...) before forward()")
        workspace.key = storage.new_key() if storage.training else INFERENCE
        workspace.layout = storage.layout
        if storage.activations[0] != NONE:
            here = workspace.blocks[0]
            storage.running.kernels.activation_value(storage.activations[0], here.a, here.h)
        workspace.forward_valid = 1
        workspace.backward_valid = len(storage.layers)
        if workspace.forward_reached == 0:
            workspace.forward_reached = 1

    @property
    def pre_activations(self) -> Matrix[F]:
        """The values put in, `(n, B)`; a view.

        Raises:
            NotReadyError: read before `put_values`.
        """
        if not self._storage.workspace.has_samples:
            raise NotReadyError(f"{self.name}: call put_values(...) first")
        return self._storage.workspace.inputs.T

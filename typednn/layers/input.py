"""The input layer."""

from __future__ import annotations

from typing import Never

import numpy as np
from numpy.typing import ArrayLike
from typednn_kernels.activations import INFINITY, NONE, ActivationName, CustomActivation
from typednn_kernels.arrays import F, Matrix
from typednn_kernels.dropout import INFERENCE

from typednn import names
from typednn.errors import NotReadyError
from typednn.layers.base import Layer
from typednn.validation.arrays import as_sample


class InputLayer(Layer[F, Never]):
    """Holds the samples.

    Args:
        length: the number of features.
        actfn: a name of `ActivationName`, or what `register_activation` returned; applied to the features.

    Raises:
        SettingError: the length is not a positive integer.
        UnknownNameError: no such activation.
    """

    def __init__(
        self: InputLayer[np.float64], length: int, actfn: ActivationName | CustomActivation = "none"
    ) -> None:
        super().__init__(length, names.activation(actfn))
        self._alone()

    def put_values(self, values: ArrayLike) -> None:
        """Takes one sample `(n,)`, or a batch `(B, n)`; the numbers are copied.

        Raises:
            ShapeError: another length.
            ArrayTypeError: not numbers.
            DataError: NaN or infinity.
        """
        chain = self._chain
        workspace = chain.workspace
        if workspace.kept or not chain.takes(values, workspace.inputs, -INFINITY, INFINITY):
            samples = as_sample(values, self.length, chain.dtype, "values", self.name)
            if workspace.kept or workspace.samples != len(samples):
                workspace = chain.new_workspace(len(samples))
                chain.show(workspace)
            workspace.inputs[...] = samples
        workspace.loaded = True
        workspace.forwarded = 0
        workspace.returned = len(chain.layers)

    def forward(self) -> None:
        """Applies the activation to the values.

        Raises:
            NotReadyError: before `put_values`.
            WiringError: dropout has no generator to draw from.
        """
        chain = self._chain
        workspace = chain.workspace
        if not workspace.loaded:
            raise NotReadyError(f"{self.name}: call put_values(...) before forward()")
        workspace.key = chain.new_key() if chain.training else INFERENCE
        if chain.activations[0] != NONE:
            here = workspace.blocks[0]
            chain.running.kernels.activation_value(chain.activations[0], here.a, here.h)
        workspace.forwarded = 1
        workspace.returned = len(chain.layers)
        if workspace.reached == 0:
            workspace.reached = 1

    @property
    def pre_activations(self) -> Matrix[F]:
        """The values put in, `(n, B)`.

        Raises:
            NotReadyError: before `put_values`.
        """
        if not self._chain.workspace.loaded:
            raise NotReadyError(f"{self.name}: call put_values(...) first")
        return self._chain.workspace.inputs.T

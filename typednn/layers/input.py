"""The input layer."""

from __future__ import annotations

from typing import get_args

from numpy.typing import ArrayLike
from typednn_kernels.activations import CODES, ActivationName
from typednn_kernels.arrays import F, Matrix, Vector

from typednn.arrays import as_sample
from typednn.backends import kernels
from typednn.errors import NotReadyError
from typednn.layers.layer import Layer, checked_name


class InputLayer(Layer[F]):
    """Holds the samples.

    Args:
        length: the number of features.
        actfn: `"none"`, `"sigmoid"`, `"relu"` or `"tanh"`, applied to the features.

    Raises:
        SettingError: the length is not a positive integer.
        UnknownNameError: no such activation.
    """

    def __init__(self, length: int, actfn: ActivationName = "none") -> None:
        super().__init__(length)
        self.actname = checked_name("activation", actfn, get_args(ActivationName))
        self._alone()

    def put_values(self, values: ArrayLike) -> None:
        """Takes one sample `(n,)`, or a batch `(B, n)`; the numbers are copied.

        Raises:
            ShapeError: another length.
            ArrayTypeError: not numbers.
            DataError: NaN or infinity.
        """
        chain = self._chain
        samples = as_sample(values, self.length, chain.dtype, "values", self.name)
        if chain.workspace.kept or chain.workspace.samples != len(samples):
            chain.show(chain.new_workspace(len(samples)))
        workspace = chain.workspace
        chain.block(self._values, 0)[...] = samples
        workspace.loaded = True
        workspace.forwarded = 0
        workspace.returned = len(chain.layers)

    def forward(self) -> None:
        """Applies the activation to the values.

        Raises:
            NotReadyError: before `put_values`.
        """
        workspace = self._chain.workspace
        if not workspace.loaded:
            raise NotReadyError(f"{self.name}: call put_values(...) before forward()")
        if self.actname != "none":
            a, h = self._chain.block(workspace.a, 0), self._chain.block(workspace.h, 0)
            kernels().activation_value(CODES[self.actname], a, h)
        workspace.forwarded = 1
        workspace.reached = max(workspace.reached, 1)

    @property
    def pre_activations(self) -> Matrix[F]:
        """The values put in, `(n, B)`.

        Raises:
            NotReadyError: before `put_values`.
        """
        if not self._chain.workspace.loaded:
            raise NotReadyError(f"{self.name}: call put_values(...) first")
        return self._chain.block(self._values, 0).T

    @property
    def _values(self) -> Vector[F]:
        workspace = self._chain.workspace
        return workspace.h if self.actname == "none" else workspace.a

"""The fast way to predict one sample at a time."""

from __future__ import annotations

from typing import Generic, Self

import numpy as np
from typednn_kernels.arrays import F, Matrix, Vector
from typednn_kernels.dropout import INFERENCE

from typednn.backends import kernels
from typednn.errors import ShapeError
from typednn.layers.storage import Storage
from typednn.validation.arrays import read_only


class Predictor(Generic[F]):
    """Predicts one sample at a time, without making an array; made by `Network.predictor`.

    It uses the network's weights as they are at each call, on the backend that was active when it was made.
    NaN or infinity in a sample are not looked for. One predictor serves one thread.

    >>> from typednn import InputLayer, Network, OutputLayer
    >>> network = Network([InputLayer(2), OutputLayer(1)], seed=0)
    >>> predict = network.predictor()
    >>> sample = np.array([1.0, 2.0])
    >>> bool(predict(sample)[0] == network.predict(sample.reshape(1, -1))[0, 0])
    True
    """

    def __init__(self, chain: Storage[F]) -> None:
        workspace = chain.new_workspace(1)
        self._chain, self._parameters, self._layout = chain, chain.parameters, chain.layout
        self._vectors = workspace.vectors
        self._sample: Matrix[F] = np.zeros((1, chain.layers[0].length), chain.dtype)
        self._row: Vector[F] = self._sample[0]
        self._x = read_only(self._sample)
        self._output: Vector[F] = workspace.output[0]
        self._shape = self._row.shape
        self._forward = kernels(chain.dtype).forward

    def __reduce__(self) -> tuple[type[Self], tuple[Storage[F]]]:
        """A copy is a new predictor, for the copied network."""
        return type(self), (self._chain,)

    def __call__(self, sample: Vector[F]) -> Vector[F]:
        """The outputs `(n_outputs,)` for one sample `(n_features,)`: the same array at each call.

        Raises:
            ShapeError: another shape.
            TypeError: numbers that numpy does not cast to the network's dtype.
        """
        if sample.shape != self._shape:
            raise ShapeError(f"Predictor: the sample must have the shape {self._shape}, not {sample.shape}")
        self._row[:] = sample
        self._forward(self._parameters, self._layout, INFERENCE, self._x, self._vectors)
        return self._output

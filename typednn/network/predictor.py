"""Prediction of one sample at a time, with little overhead."""

from __future__ import annotations

from collections.abc import Callable
from math import nan
from typing import Generic, Self

import numpy as np
from typednn_kernels.arrays import F, Matrix, Vector
from typednn_kernels.dropout import INFERENCE
from typednn_kernels.layout import prediction_size

from typednn.attributes import KnownAttributes
from typednn.backends import kernels, require_numba
from typednn.errors import ArrayTypeError, ShapeError, WiringError
from typednn.layers.storage import Storage
from typednn.validation.arrays import read_only, refuse_masked


def compiled_predictor(storage: Storage[F]) -> Callable[[Vector[F]], Vector[F]]:
    """Returns what `Network.compiled_predictor` documents."""
    require_numba()
    from typednn_kernels.compiled.entry_points import predictor_of

    return predictor_of(storage.parameters, storage.layout, prediction_size(storage.layout, 1))


class Predictor(KnownAttributes, Generic[F]):
    """Predicts one sample at a time with little overhead; `Network.predictor` returns it.

    Each call uses the present weights of the network, on the backend that was active when the predictor was
    made. The outputs for a sample that holds NaN or infinity are NaN. Each thread needs a predictor of its
    own. `Network.compiled_predictor` returns one that compiled code of your own can call.

    >>> from typednn import InputLayer, Network, OutputLayer
    >>> network = Network([InputLayer(2), OutputLayer(1)], seed=0)
    >>> predict = network.predictor()
    >>> sample = np.array([1.0, 2.0])
    >>> bool(predict(sample)[0] == network.predict(sample.reshape(1, -1))[0, 0])
    True
    """

    def __init__(self, storage: Storage[F]) -> None:
        if not isinstance(storage, Storage):
            raise WiringError(
                f"Predictor: network.predictor() returns one; its argument is a Storage, "
                f"not {type(storage).__name__}"
            )
        workspace = storage.new_workspace(1)
        self._storage, self._parameters, self._layout = storage, storage.parameters, storage.layout
        self._vectors = workspace.vectors
        self._sample: Matrix[F] = np.zeros((1, storage.layers[0].length), storage.dtype)
        self._row: Vector[F] = self._sample[0]
        self._x = read_only(self._sample)
        self._output: Vector[F] = workspace.output[0]
        self._shape = self._row.shape
        self._forward = kernels(storage.dtype).forward

    def __reduce__(self) -> tuple[type[Self], tuple[Storage[F]]]:
        """Makes copies and pickles new predictors of the copied network."""
        return type(self), (self._storage,)

    def __call__(self, sample: Vector[F], out: Vector[F] | None = None) -> Vector[F]:
        """Computes the outputs for one sample `(n_features,)`.

        Args:
            sample: the sample.
            out: an array `(n_outputs,)` of the network's dtype for the outputs, so that none is allocated.

        Returns:
            The outputs `(n_outputs,)`: `out`, or a new array.

        Raises:
            ShapeError: the sample or `out` has another shape.
            ArrayTypeError: the sample is a masked array, or `out` has another dtype.
            TypeError: NumPy does not cast the sample to the network's dtype.
        """
        if type(sample) is not np.ndarray:
            refuse_masked(sample, "sample", "Predictor")
            if not isinstance(sample, np.ndarray):
                raise ArrayTypeError(
                    f"Predictor: the sample must be a numpy.ndarray, not {type(sample).__name__}"
                )
        if sample.shape != self._shape:
            raise ShapeError(f"Predictor: the sample must have the shape {self._shape}, not {sample.shape}")
        if out is not None:
            self._check_out(out)
        self._row[:] = sample
        if not self._forward(self._parameters, self._layout, INFERENCE, self._x, self._vectors):
            self._output.fill(nan)
        if out is None:
            return self._output.copy()
        out[:] = self._output
        return out

    def _check_out(self, out: Vector[F]) -> None:
        if not isinstance(out, np.ndarray):
            raise ArrayTypeError(f"Predictor: out must be a numpy.ndarray, not {type(out).__name__}")
        if out.shape != self._output.shape:
            raise ShapeError(f"Predictor: out must have the shape {self._output.shape}, not {out.shape}")
        if out.dtype != self._output.dtype:
            raise ArrayTypeError(f"Predictor: out must be of {self._output.dtype}, not {out.dtype}")

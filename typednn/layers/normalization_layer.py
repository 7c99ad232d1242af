"""The layer that only normalises: the features after an input layer, or the activations of a hidden layer."""

from __future__ import annotations

import numpy as np
from typednn_kernels.activations import ActivationName, CustomActivation
from typednn_kernels.arrays import F, Matrix
from typednn_kernels.normalizations import NormalizationName, NormalizationWithSettings, settings_of

from typednn.errors import SettingError
from typednn.initializers import WEIGHT_INITIALIZERS, Seed, WeightInitializerName, generator, initializer
from typednn.layers.hidden import HiddenLayer
from typednn.layers.storage import Storage


class NormalizationLayer(HiddenLayer[F]):
    """A layer without weights: it normalises the units of the layer before, then activates and drops.

    a = Gain · (h_prev - mean) / sqrt(variance + epsilon) + Bias, with mean and variance as in a normalised
    `HiddenLayer`. After the input layer it normalises the features, as PyTorch's `BatchNorm1d` and Keras'
    `BatchNormalization` do as first layer: the training data need not be scaled beforehand.

    W and dLdW have the shape `(n, 0)`, so that loops over layers need no exception.

    >>> from typednn import InputLayer, Network, OutputLayer
    >>> network = Network([InputLayer(2), NormalizationLayer(2), OutputLayer(1)], seed=0)
    >>> history = network.fit(np.array([[0.0, 500.0], [1.0, 700.0]]), np.array([[0.0], [1.0]]))
    >>> network.layers[1].dLdGain.shape
    (1, 2)

    Args:
        length: the number of units, that of the layer before.
        normalization: `"batch"` or `"layer"`, or `BatchNorm(...)` or `LayerNorm(...)`.
        actfn: the activation, applied to what is normalised.
        dropout: the fraction of units that a training step drops.

    Raises:
        SettingError: the length is not a positive integer, the dropout is out of its range, or the
            normalisation is `"none"` or has inner biases.
        UnknownNameError: there is no such activation or normalisation.
    """

    _weighted = False

    def __init__(
        self: NormalizationLayer[np.float64],
        length: int,
        normalization: NormalizationName | NormalizationWithSettings = "batch",
        actfn: ActivationName | CustomActivation = "none",
        *,
        dropout: float = 0.0,
    ) -> None:
        HiddenLayer.__init__(self, length, actfn, normalization=normalization, dropout=dropout)
        if self._normalization == "none" or settings_of(self._normalization).inner_bias:
            raise SettingError(
                "NormalizationLayer: normalization must be 'batch' or 'layer', or one with settings but "
                f"without inner biases, not {normalization!r}"
            )

    def _allocate(self: HiddenLayer[np.float64]) -> None:
        self._storage = Storage([self], np.dtype(np.float64), self.length)

    @property
    def _arguments(self) -> list[str]:
        named = {"actfn": (self._actname, "none"), "dropout": (self._dropout, 0.0)}
        told = [f"{name}={value!r}" for name, (value, usual) in named.items() if value != usual]
        return [str(self._length), repr(self._normalization), *told]

    def set_weights(self, method: WeightInitializerName = "normal_random", seed: Seed = None) -> None:
        """Draws nothing, for the layer has no weights, but checks the arguments as other layers do.

        Raises:
            UnknownNameError: there is no such initialiser.
        """
        initializer(WEIGHT_INITIALIZERS, "weight initialiser", method)
        generator(seed)

    @property
    def _tensors(self) -> dict[str, Matrix[F]]:
        return {name: tensor for name, tensor in super()._tensors.items() if name != "W"}

    @property
    def _fitting(self) -> str:
        return f"normalises {self._length} units"

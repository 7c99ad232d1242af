"""Defines the layers: what `forward()` and `backward()` compute, and which attributes show it.

In shapes, `n` is the length of the layer, `n_prev` the length of the layer before, and `B` the number of
samples in the batch. Attributes are views of the network's memory: the next pass overwrites them, and `W` and
`Bias` can be changed in place.

>>> import numpy as np
>>> ANN = [InputLayer(2), HiddenLayer(2, "sigmoid"), OutputLayer(1, "none", "MSE")]
>>> for before, layer in zip(ANN, ANN[1:]):
...     layer.attach_after(before)
...     layer.set_weights("one")
>>> ANN[0].put_values(np.array([0.5, -0.5]))
>>> ANN[2].set_actual(np.array([0.0]))
>>> for layer in ANN:
...     layer.forward()
>>> ANN[2].output()
array([[1.]])
>>> for layer in ANN[:0:-1]:
...     layer.backward()
>>> ANN[1].dLdW
array([[ 0.25, -0.25],
       [ 0.25, -0.25]])
"""

from typing import TypeAlias

from typednn_kernels.arrays import F

from typednn.layers.base import Layer
from typednn.layers.hidden import HiddenLayer
from typednn.layers.input import InputLayer
from typednn.layers.normalization_layer import NormalizationLayer
from typednn.layers.normalizations import BatchNorm, LayerNorm, NormalizationWithSettings
from typednn.layers.output import OutputLayer
from typednn.layers.trainable import TrainableLayer
from typednn.validation.arrays import Y_co

AnyLayer: TypeAlias = InputLayer[F] | HiddenLayer[F] | OutputLayer[F, Y_co]
"""A layer of one of the three kinds, among which `isinstance` tells."""

__all__ = [
    "AnyLayer",
    "BatchNorm",
    "HiddenLayer",
    "InputLayer",
    "Layer",
    "LayerNorm",
    "NormalizationLayer",
    "NormalizationWithSettings",
    "OutputLayer",
    "TrainableLayer",
]

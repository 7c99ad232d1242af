"""What all layers have in common, and what a type checker may expect of any layer in a list."""

from __future__ import annotations

from typing import ClassVar, Generic

import numpy as np
from numpy.typing import ArrayLike
from typednn_kernels.activations import CustomActivation, OutputActivationName
from typednn_kernels.arrays import F, Matrix
from typednn_kernels.normalizations import NormalizationName

from typednn.errors import NotReadyError, SettingError, WiringError
from typednn.initializers import BiasInitializerName, Seed, WeightInitializerName
from typednn.layers.storage import Restored, Storage
from typednn.validation.arrays import Y_co


class Layer(Restored, Generic[F, Y_co]):
    """What all layers have: a length, an activation, neighbours, and the results of a forward pass.

    A network is a plain list of layers, and a type checker cannot know of which kind `ANN[i]` is. So every
    layer has every name; what a kind does not have raises WiringError.

    Attributes:
        length: the number of units, `n`.
        actname: the name of the activation.
        normalization: the name of the normalisation; `"none"` but on hidden layers.
        dropout: the share of the units that a training step drops; 0 but on hidden layers.
        previous, next: the neighbours, or None.
    """

    length: int
    actname: OutputActivationName | CustomActivation
    normalization: NormalizationName = "none"
    dropout: float = 0.0
    previous: Layer[F] | None
    next: Layer[F] | None
    last: ClassVar[bool] = False
    """Whether no layer can come after it."""

    _chain: Storage[F]

    def __init__(self, length: int, actname: OutputActivationName | CustomActivation) -> None:
        if isinstance(length, bool) or not isinstance(length, int | np.integer) or length < 1:
            raise SettingError(f"{type(self).__name__}: length must be a positive integer, not {length!r}")
        self.length = int(length)
        self.actname = actname
        self.previous = self.next = None
        self._index = 0
        self._trainable = True

    def _follow(self, layer: Layer[F]) -> None:
        layer.next, self.previous = self, layer

    def _alone(self: Layer[np.float64]) -> None:
        self._chain = Storage([self], np.dtype(np.float64))

    def __repr__(self) -> str:
        """As it was constructed."""
        return f"{type(self).__name__}({self.length}, {self.actname!r})"

    @property
    def name(self) -> str:
        """How messages call the layer: its place and its kind."""
        return f"layer {self._index}, {self!r}"

    @property
    def training(self) -> bool:
        """Whether `forward()` is part of a training step: one switch for all layers attached to each other.

        If so, batch normalisation takes mean and variance of the samples, and updates its moving ones; and
        units are dropped, by a draw at `forward()` of the input layer. If not, the network predicts.
        """
        return self._chain.training

    @training.setter
    def training(self, wanted: bool) -> None:
        self._chain.training = bool(wanted)

    @property
    def pre_activations(self) -> Matrix[F]:
        """a = W·h_prev + b, or normalised, `(n, B)`; of the input layer: the values put in.

        Raises:
            NotReadyError: before the first `forward`.
        """
        self._require_forward()
        return self._chain.workspace.blocks[self._index].a.T

    @property
    def activations(self) -> Matrix[F]:
        """h = f(a), with zeros for what dropout drops, `(n, B)`.

        Raises:
            NotReadyError: before the first `forward`.
        """
        self._require_forward()
        return self._chain.workspace.blocks[self._index].h.T

    def forward(self) -> None:
        """Computes the activations from those of the layer before."""
        raise NotImplementedError

    def backward(self) -> None:
        """Computes the error signal and the gradients."""
        raise self._has_no("backward pass")

    def put_values(self, values: ArrayLike) -> None:
        """Takes samples; see `InputLayer`."""
        raise self._has_no("values of its own")

    def set_actual(self, actual: ArrayLike) -> None:
        """Takes targets; see `OutputLayer`."""
        raise self._has_no("targets")

    def output(self) -> Matrix[F]:
        """The outputs; see `OutputLayer`."""
        raise self._has_no("output")

    def loss(self) -> float:
        """The mean loss; see `OutputLayer`."""
        raise self._has_no("loss")

    def attach_after(self, layer: Layer[F]) -> None:
        """Makes `layer` the one before this; see `TrainableLayer`."""
        raise self._has_no("layer before it")

    def set_weights(self, method: WeightInitializerName = "normal_random", seed: Seed = None) -> None:
        """Draws the weights; see `TrainableLayer`."""
        raise self._has_no("weights")

    def set_biases(self, method: BiasInitializerName = "zeros", seed: Seed = None) -> None:
        """Draws the biases; see `TrainableLayer`."""
        raise self._has_no("biases")

    @property
    def W(self) -> Matrix[F]:
        """The weights; see `TrainableLayer`."""
        raise self._has_no("weights")

    @W.setter
    def W(self, values: Matrix[F]) -> None:
        raise self._has_no("weights")

    @property
    def Bias(self) -> Matrix[F]:
        """The biases; see `TrainableLayer`."""
        raise self._has_no("biases")

    @Bias.setter
    def Bias(self, values: Matrix[F]) -> None:
        raise self._has_no("biases")

    @property
    def trainable(self) -> bool:
        """Whether training changes the parameters; see `TrainableLayer`."""
        raise self._has_no("parameters")

    @trainable.setter
    def trainable(self, value: bool) -> None:
        raise self._has_no("parameters")

    @property
    def Gain(self) -> Matrix[F]:
        """The gains of a normalised layer; see `HiddenLayer`."""
        raise self._has_no("gains")

    @Gain.setter
    def Gain(self, values: Matrix[F]) -> None:
        raise self._has_no("gains")

    @property
    def dLda(self) -> Matrix[F]:
        """The error signal; see `TrainableLayer`."""
        raise self._has_no("gradients")

    @property
    def dLdy(self) -> Matrix[F]:
        """The mean loss by the outputs; see `OutputLayer`."""
        raise self._has_no("loss")

    @property
    def dyda(self) -> np.ndarray[tuple[int, ...], np.dtype[F]]:
        """The slope of the output activation; see `OutputLayer`."""
        raise self._has_no("outputs")

    @property
    def dLdh(self) -> Matrix[F]:
        """The signal from the next layer; see `HiddenLayer`."""
        raise self._has_no("signal from a next layer")

    @property
    def dhda(self) -> Matrix[F]:
        """The slope of the activation; see `HiddenLayer`."""
        raise self._has_no("slope")

    @property
    def dLdW(self) -> Matrix[F]:
        """The gradient by the weights; see `TrainableLayer`."""
        raise self._has_no("gradients")

    @property
    def dLdBias(self) -> Matrix[F]:
        """The gradient by the biases; see `TrainableLayer`."""
        raise self._has_no("gradients")

    @property
    def dLdGain(self) -> Matrix[F]:
        """The gradient by the gains; see `HiddenLayer`."""
        raise self._has_no("gains")

    def _has_no(self, what: str) -> WiringError:
        return WiringError(f"{self.name}: has no {what}")

    def _require_forward(self) -> None:
        if self._index >= self._chain.workspace.reached:
            raise NotReadyError(f"{self.name}: call forward() first")

    def _derivative(self, y: Matrix[F]) -> Matrix[F]:
        """dy/da `(B, n)`, of the activations y."""
        derivative: Matrix[F] = np.empty_like(y)
        a = self._chain.workspace.blocks[self._index].a
        self._chain.running.kernels.activation_derivative(
            self._chain.activations[self._index], a, y, derivative
        )
        return derivative


def rebuild(layers: list[Layer[F]], dtype: np.dtype[F]) -> Storage[F]:
    """Gives these layers, attached in this order, one memory; values that are set are kept."""
    chain = Storage(layers, dtype)
    chain.training = any(layer.training for layer in layers)
    for k, layer in enumerate(layers):
        old, place = layer._chain, layer._index
        if place > 0:
            chain.weights[k][...] = old.weights[place]
            chain.biases[k][...] = old.biases[place]
            chain.gains[k][...] = old.gains[place]
            chain.moving[k][...] = old.moving[place]
            chain.has_weights[k] = old.has_weights[place]
        if layer.last and old.has_targets:
            chain.take_targets(old.targets.astype(dtype))
    for k, layer in enumerate(layers):
        layer._chain, layer._index = chain, k
    return chain

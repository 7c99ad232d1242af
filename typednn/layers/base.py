"""The base class of all layers, with every name that a type checker may expect of a layer in a list."""

from __future__ import annotations

from typing import ClassVar, Generic, cast

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
    """A layer: a length, an activation, neighbours, and the results of a forward pass.

    In the layer API a network is a plain list, and a type checker cannot know which kind of layer `ANN[i]`
    is. Therefore every layer has every name, and one that its kind does not support raises WiringError.

    Attributes:
        length: the number of units, `n`.
        actname: the name of the activation.
        normalization: the name of the normalisation; only hidden layers can have another than `"none"`.
        dropout: the fraction of the units that a training step drops; only hidden layers drop units.
        previous, next: the neighbouring layers, or None.
    """

    length: int
    actname: OutputActivationName | CustomActivation
    normalization: NormalizationName = "none"
    dropout: float = 0.0
    previous: Layer[F] | None
    next: Layer[F] | None
    last: ClassVar[bool] = False
    """Whether no layer can be attached after it."""

    _storage: Storage[F]

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

    def _allocate(self: Layer[np.float64]) -> None:
        self._storage = Storage([self], np.dtype(np.float64))

    def __repr__(self) -> str:
        """Returns the expression that constructs the layer."""
        return f"{type(self).__name__}({self.length}, {self.actname!r})"

    @property
    def name(self) -> str:
        """The position and kind of the layer, as error messages show them."""
        return f"layer {self._index}, {self!r}"

    @property
    def training(self) -> bool:
        """Whether `forward()` is part of a training step; shared by all layers attached to each other.

        In training, batch normalisation uses the mean and variance of the batch and updates its running ones,
        and `forward()` of the input layer draws which units are dropped. Otherwise the network predicts.
        """
        return self._storage.training

    @training.setter
    def training(self, wanted: bool) -> None:
        self._storage.training = bool(wanted)

    @property
    def pre_activations(self) -> Matrix[F]:
        """The pre-activations a = W·h_prev + Bias, normalised if the layer is, `(n, B)`; a view.

        Raises:
            NotReadyError: before the first `forward`.
        """
        self._require_forward()
        return self._storage.workspace.blocks[self._index].a.T

    @property
    def activations(self) -> Matrix[F]:
        """The activations h = f(a), 0 for units that dropout drops, `(n, B)`; a view.

        Raises:
            NotReadyError: before the first `forward`.
        """
        self._require_forward()
        return self._storage.workspace.blocks[self._index].h.T

    def forward(self) -> None:
        """Computes the activations from the activations of the layer before."""
        raise NotImplementedError

    def backward(self) -> None:
        """Computes the deltas and the gradients."""
        raise self._has_no("backward pass")

    def put_values(self, values: ArrayLike) -> None:
        """Copies samples into the network; see `InputLayer`."""
        raise self._has_no("values of its own")

    def set_actual(self, actual: ArrayLike) -> None:
        """Copies targets into the network; see `OutputLayer`."""
        raise self._has_no("targets")

    def output(self) -> Matrix[F]:
        """Returns a copy of the outputs; see `OutputLayer`."""
        raise self._has_no("output")

    def loss(self) -> float:
        """Returns the mean loss of the batch; see `OutputLayer`."""
        raise self._has_no("loss")

    def attach_after(self, layer: Layer[F]) -> None:
        """Attaches this layer after `layer`; see `TrainableLayer`."""
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
        """The delta, the gradient with respect to the pre-activations; see `TrainableLayer`."""
        raise self._has_no("gradients")

    @property
    def dLdy(self) -> Matrix[F]:
        """The gradient with respect to the outputs; see `OutputLayer`."""
        raise self._has_no("loss")

    @property
    def dyda(self) -> np.ndarray[tuple[int, ...], np.dtype[F]]:
        """The derivative of the output activation; see `OutputLayer`."""
        raise self._has_no("outputs")

    @property
    def dLdh(self) -> Matrix[F]:
        """The upstream gradient, with respect to the activations; see `HiddenLayer`."""
        raise self._has_no("gradient from a next layer")

    @property
    def dhda(self) -> Matrix[F]:
        """The derivative of the activation; see `HiddenLayer`."""
        raise self._has_no("derivative of a hidden activation")

    @property
    def dLdW(self) -> Matrix[F]:
        """The gradient with respect to the weights; see `TrainableLayer`."""
        raise self._has_no("gradients")

    @property
    def dLdBias(self) -> Matrix[F]:
        """The gradient with respect to the biases; see `TrainableLayer`."""
        raise self._has_no("gradients")

    @property
    def dLdGain(self) -> Matrix[F]:
        """The gradient with respect to the gains; see `HiddenLayer`."""
        raise self._has_no("gains")

    @property
    def _attached(self) -> list[Layer[F]]:
        """All layers attached to each other, the input layer first."""
        return cast("list[Layer[F]]", self._storage.layers)

    @property
    def _penalties(self) -> tuple[float, float]:
        """The coefficients of the L1 and the L2 penalty on the weights."""
        return 0.0, 0.0

    def _has_no(self, what: str) -> WiringError:
        return WiringError(f"{self.name}: has no {what}")

    def _require_forward(self) -> None:
        if self._index >= self._storage.workspace.forward_reached:
            raise NotReadyError(f"{self.name}: call forward() first")

    def _derivative(self, y: Matrix[F]) -> Matrix[F]:
        """Computes the derivative dy/da `(B, n)`, given the activations y."""
        derivative: Matrix[F] = np.empty_like(y)
        a = self._storage.workspace.blocks[self._index].a
        self._storage.running.kernels.activation_derivative(
            self._storage.activations[self._index], a, y, derivative
        )
        return derivative


def rebuild(layers: list[Layer[F]], dtype: np.dtype[F]) -> Storage[F]:
    """Moves layers, attached in this order, to one new storage; their parameters and targets are copied."""
    storage = Storage(layers, dtype)
    storage.training = any(layer.training for layer in layers)
    for k, layer in enumerate(layers):
        old, place = layer._storage, layer._index
        if place > 0:
            storage.weights[k][...] = old.weights[place]
            storage.biases[k][...] = old.biases[place]
            storage.gains[k][...] = old.gains[place]
            storage.running_moments[k][...] = old.running_moments[place]
            storage.has_weights[k] = old.has_weights[place]
        if layer.last and old.has_targets:
            storage.set_targets(old.targets.astype(dtype))
    for k, layer in enumerate(layers):
        layer._storage, layer._index = storage, k
    return storage

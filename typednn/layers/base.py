"""The base class of all layers, with every name that a type checker may expect of a layer in a list."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy as shallow_copy
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, cast

import numpy as np
from numpy.typing import ArrayLike
from typednn_kernels.activations import CustomActivation, OutputActivationName
from typednn_kernels.arrays import F, Matrix
from typednn_kernels.layout import PREVIOUS
from typednn_kernels.losses import CustomLoss, LossName
from typednn_kernels.normalizations import NormalizationName, NormalizationWithSettings

from typednn.attributes import KnownAttributes
from typednn.errors import DataError, NotReadyError, SettingError, WiringError
from typednn.initializers import BiasInitializerName, Seed, WeightInitializerName
from typednn.layers.storage import Storage
from typednn.layers.workspace import Restored
from typednn.plotting.display import Display, TableBlock
from typednn.validation.arrays import Y_co
from typednn.validation.settings import check_bool

MAX_LENGTH = (1 << 31) - 1
"""The largest number of units, so that no number of weights of a layer is beyond 64 bits."""

if TYPE_CHECKING:
    fixed = property
else:

    class fixed(property):
        """A read-only property whose error says what to do instead."""

        def __set__(self, layer: Layer, value: object) -> None:
            name = self.fget.__name__
            raise AttributeError(
                f"{layer.name}: {name} is read-only, for it says what the layer computes; "
                f"a new layer can have {name}={value!r}"
            )


class Layer(KnownAttributes, Restored, Display, Generic[F, Y_co]):
    """A layer: a length, an activation, neighbours, and the results of a forward pass.

    In the layer API a network is a plain list, and a type checker cannot know which kind of layer `ANN[i]`
    is. Therefore every layer has every name, and one that its kind does not support raises WiringError.

    What is computed is chosen when a layer is made: `length`, `actname` and `normalization` are read-only.
    """

    last: ClassVar[bool] = False
    """Whether no layer can be attached after it."""

    _weighted: bool = True
    """Whether it has weights, if it is no input layer."""

    _storage: Storage[F]
    _index: int
    _trainable: bool = True

    def __init__(self, length: int, actname: OutputActivationName | CustomActivation) -> None:
        if isinstance(length, bool) or not isinstance(length, int | np.integer) or length < 1:
            raise SettingError(f"{type(self).__name__}: length must be a positive integer, not {length!r}")
        if length > MAX_LENGTH:
            raise SettingError(f"{type(self).__name__}: length must be {MAX_LENGTH} or less, not {length!r}")
        self._length = int(length)
        self._index = 0
        self._actname: OutputActivationName | CustomActivation = actname

    def _allocate(self: Layer[np.float64]) -> None:
        self._storage = Storage([self], np.dtype(np.float64))

    def __getstate__(self) -> dict[str, object]:
        """Returns the attributes that differ from those of the class; the storage knows the index."""
        kind, missing = type(self), object()
        return {
            name: value
            for name, value in self.__dict__.items()
            if name != "_index" and getattr(kind, name, missing) != value
        }

    def _blocks(self) -> Iterator[TableBlock]:
        yield TableBlock(repr(self), ("units", "activation"), [(f"{self._length:,}", self._actname)])

    def __repr__(self) -> str:
        """Returns the expression that constructs the layer."""
        return f"{type(self).__name__}({', '.join(self._arguments)})"

    @property
    def _arguments(self) -> list[str]:
        """The arguments that construct the layer, as they are written."""
        return [str(self._length), repr(self._actname)]

    @fixed
    def length(self) -> int:
        """The number of units, `n`."""
        return self._length

    @fixed
    def actname(self) -> OutputActivationName | CustomActivation:
        """The name of the activation."""
        return self._actname

    @fixed
    def normalization(self) -> NormalizationName | NormalizationWithSettings:
        """The name of the normalisation; only hidden layers can have another than `"none"`."""
        return "none"

    @property
    def lossfnname(self) -> LossName | CustomLoss:
        """The name of the loss; see `OutputLayer`."""
        raise self._has_no("loss")

    @property
    def dropout(self) -> float:
        """The fraction of the units that a training step drops; see `HiddenLayer`."""
        return 0.0

    @dropout.setter
    def dropout(self, value: float) -> None:
        raise self._has_no("dropout; hidden layers have")

    @property
    def l1(self) -> float:
        """The coefficient of the penalty l1·Σ|W|; see `TrainableLayer`."""
        return 0.0

    @l1.setter
    def l1(self, value: float) -> None:
        raise self._has_no("weights, which l1 is a penalty on")

    @property
    def l2(self) -> float:
        """The coefficient of the penalty l2·ΣW²; see `TrainableLayer`."""
        return 0.0

    @l2.setter
    def l2(self, value: float) -> None:
        raise self._has_no("weights, which l2 is a penalty on")

    @property
    def previous(self) -> Layer[F] | None:
        """The layer before, or None."""
        return self._attached[self._index - 1] if self._index else None

    @property
    def next(self) -> Layer[F] | None:
        """The layer after, or None."""
        layers = self._attached
        return layers[self._index + 1] if self._index + 1 < len(layers) else None

    def copy(self) -> Self:
        """Returns a layer of its own with the same settings and parameters, attached to no other.

        >>> from typednn import HiddenLayer, InputLayer, Network, OutputLayer
        >>> network = Network([InputLayer(2), HiddenLayer(3), OutputLayer(1)], seed=0)
        >>> layer = network.layers[1].copy()
        >>> bool((layer.W == network.layers[1].W).all()), layer.previous
        (True, None)
        """
        twin = shallow_copy(self)
        twin._index = self._index
        storage = rebuild([cast("Layer[F]", twin)], self._storage.dtype)
        storage.has_targets, storage.training = False, False
        return twin

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
        check_bool(f"{self.name}: training", wanted)
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
    def InnerBias(self) -> Matrix[F]:
        """The biases below a layer normalisation; see `HiddenLayer`."""
        raise self._has_no("inner biases")

    @InnerBias.setter
    def InnerBias(self, values: Matrix[F]) -> None:
        raise self._has_no("inner biases")

    @property
    def running_mean(self) -> Matrix[F]:
        """The mean that batch normalisation predicts with; see `HiddenLayer`."""
        raise self._has_no("running mean")

    @property
    def running_variance(self) -> Matrix[F]:
        """The variance that batch normalisation predicts with; see `HiddenLayer`."""
        raise self._has_no("running variance")

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
    def dLdx(self) -> Matrix[F]:
        """The gradient with respect to the samples; see `InputLayer`."""
        raise self._has_no("samples")

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
    def dLdInnerBias(self) -> Matrix[F]:
        """The gradient with respect to the inner biases; see `HiddenLayer`."""
        raise self._has_no("inner biases")

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

    @property
    def _inputs(self) -> int:
        """The number of inputs of each unit; 0 where it is not known yet."""
        return int(self._storage.layout[self._index, PREVIOUS])

    @property
    def _fitting(self) -> str:
        """What layers can be before this one, as error messages say it."""
        return f"has weights for {self._inputs} inputs"

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
    """Attaches layers in this order, in one new storage; their parameters and targets are copied.

    Raises:
        DataError: a parameter or target is beyond the dtype; nothing is changed.
    """
    storage = Storage(layers, dtype, layers[0]._inputs)
    storage.training = any(layer.training for layer in layers)
    for k, layer in enumerate(layers):
        old, place, where = layer._storage, layer._index, f"layer {k}, {layer!r}"
        if layer._inputs:
            _cast(old.weights[place], storage.weights[k], where, "W")
            _cast(old.biases[place], storage.biases[k], where, "Bias")
            _cast(old.gains[place], storage.gains[k], where, "Gain")
            _cast(old.inner_biases[place], storage.inner_biases[k], where, "InnerBias")
            _cast(old.running_moments[place], storage.running_moments[k], where, "running moments")
            storage.has_weights[k] = old.has_weights[place]
        if layer.last and old.has_targets:
            targets = np.empty(old.targets.shape, dtype)
            _cast(old.targets, targets, where, "targets")
            storage.set_targets(targets)
    for k, layer in enumerate(layers):
        layer._storage, layer._index = storage, k
    return storage


def transposed(matrix: Matrix[F]) -> Matrix[F]:
    """Returns a read-only view `(n, B)` of a matrix `(B, n)`, as the layers show gradients."""
    view = matrix.T
    view.setflags(write=False)
    return view


def _cast(
    source: np.ndarray[Any, np.dtype[F]], target: np.ndarray[Any, np.dtype[F]], where: str, name: str
) -> None:
    """Copies elements to an array that may be of another dtype."""
    with np.errstate(over="ignore"):
        target[...] = source
    if target.dtype != source.dtype and (np.isfinite(source) & ~np.isfinite(target)).any():
        largest = abs(source[np.isfinite(source)]).max()
        raise DataError(f"{where}: {name} holds {largest:g}, which is beyond what {target.dtype} can hold")

"""The layers: `forward()`, `backward()`, and the gradients as attributes.

`n` is the length of the layer, `n_prev` that of the layer before, `B` the number of samples that
`put_values` was given. Attributes are views of the network's memory: the next pass overwrites them, and
`W` and `Bias` can be changed in place.

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

from __future__ import annotations

from typing import Generic, TypeVar, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from typednn_kernels.activations import CODES, ActivationName, OutputActivationName
from typednn_kernels.arrays import F, Matrix
from typednn_kernels.losses import CODES as LOSS_CODES
from typednn_kernels.losses import LOSSES, LossName

from typednn.arrays import as_sample, check_range, read_only
from typednn.backends import kernels
from typednn.chains import Chain
from typednn.errors import NotReadyError, SettingError, ShapeError, UnknownNameError, WiringError
from typednn.initializers import (
    BIAS_INITIALIZERS,
    DEFAULT_WEIGHTS,
    WEIGHT_INITIALIZERS,
    BiasInitializerName,
    Seed,
    WeightInitializerName,
    generator,
    initializer,
)

FLOAT64 = np.dtype(np.float64)


class Layer(Generic[F]):
    """What all layers have: a length, an activation, neighbours, and the results of a forward pass.

    Attributes:
        length: the number of units, `n`.
        actname: the name of the activation.
        previous, next: the neighbours, or None.
    """

    actname: OutputActivationName

    def __init__(self, length: int) -> None:
        if isinstance(length, bool) or not isinstance(length, int | np.integer) or length < 1:
            raise SettingError(f"{type(self).__name__}: length must be a positive integer, not {length!r}")
        self.length = int(length)
        self.previous: Layer[F] | None = None
        self.next: Layer[F] | None = None
        self._index = 0

    def _alone(self) -> None:
        self._chain: Chain[F] = Chain([self], FLOAT64)

    def __repr__(self) -> str:
        """As it was constructed."""
        return f"{type(self).__name__}({self.length}, {self.actname!r})"

    @property
    def name(self) -> str:
        """How messages call the layer: its place and its kind."""
        return f"layer {self._index}, {self!r}"

    @property
    def pre_activations(self) -> Matrix[F]:
        """a = W·h_prev + b, `(n, B)`; of the input layer: the values put in.

        Raises:
            NotReadyError: before the first `forward`.
        """
        self._require_forward()
        return self._chain.block(self._chain.workspace.a, self._index).T

    @property
    def activations(self) -> Matrix[F]:
        """h = f(a), `(n, B)`.

        Raises:
            NotReadyError: before the first `forward`.
        """
        self._require_forward()
        return self._chain.block(self._chain.workspace.h, self._index).T

    def forward(self) -> None:
        """Computes the activations from those of the layer before."""
        raise NotImplementedError

    def _require_forward(self) -> None:
        if self._index >= self._chain.workspace.reached:
            raise NotReadyError(f"{self.name}: call forward() first")

    def _slope(self) -> Matrix[F]:
        workspace = self._chain.workspace
        a, y = self._chain.block(workspace.a, self._index), self._chain.block(workspace.h, self._index)
        slope: Matrix[F] = np.empty_like(y)
        kernels().activation_slope(CODES[self.actname], a, y, slope)
        return slope.T


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
        self.actname = _checked_name("activation", actfn, get_args(ActivationName))
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
    def _values(self) -> np.ndarray[tuple[int], np.dtype[F]]:
        workspace = self._chain.workspace
        return workspace.h if self.actname == "none" else workspace.a


class TrainableLayer(Layer[F]):
    """A layer with weights and biases."""

    def __init__(
        self, length: int, weights: WeightInitializerName | None, biases: BiasInitializerName | None
    ) -> None:
        super().__init__(length)
        for table, kind, name in (
            (WEIGHT_INITIALIZERS, "weight initialiser", weights),
            (BIAS_INITIALIZERS, "bias initialiser", biases),
        ):
            if name is not None:
                initializer(table, kind, name)
        self._weights_named, self._biases_named = weights, biases

    def attach_after(self, layer: Layer[F]) -> None:
        """Makes `layer` the one before this. Weights whose shape stays the same are kept.

        Raises:
            WiringError: after an output layer or itself, or when either belongs to a `Network`, or is
                attached elsewhere.
        """
        if not isinstance(layer, Layer):
            raise WiringError(f"{self!r}: can be attached after a layer, not after {type(layer).__name__}")
        if self.previous is layer:
            return
        if isinstance(layer, OutputLayer):
            raise WiringError(f"{self!r}: cannot come after {layer!r}; an output layer is the last")
        if layer._chain is self._chain:
            raise WiringError(f"{self!r}: cannot be attached after itself")
        if self._chain.closed or layer._chain.closed:
            raise WiringError(f"{self!r}: layers of a Network cannot be attached anew")
        if self.previous is not None:
            raise WiringError(f"{self!r}: is attached after {self.previous!r} already")
        if layer.next is not None:
            raise WiringError(f"{layer!r}: is followed by {layer.next!r} already")
        layer.next, self.previous = self, layer
        rebuild([*layer._chain.layers, *self._chain.layers], self._chain.dtype)

    def set_weights(
        self, method: WeightInitializerName = "normal_random", seed: Seed = None
    ) -> None:
        """Draws the weights.

        Args:
            method: a row of the table in `typednn.initializers`.
            seed: a seed, or the generator to draw from.

        Raises:
            UnknownNameError: no such initialiser.
            NotReadyError: before `attach_after`.
        """
        row = initializer(WEIGHT_INITIALIZERS, "weight initialiser", method)
        fan_in = self._fan_in("set_weights")
        values = row.draw(generator(seed), (self.length, fan_in), fan_in, self.length)
        self._chain.weights(self._index)[...] = values
        self._chain.has_weights[self._index] = True

    def set_biases(self, method: BiasInitializerName = "zeros", seed: Seed = None) -> None:
        """Draws the biases; until then they are 0.

        Args:
            method: a row of the table in `typednn.initializers`.
            seed: a seed, or the generator to draw from.

        Raises:
            UnknownNameError: no such initialiser.
            NotReadyError: before `attach_after`.
        """
        row = initializer(BIAS_INITIALIZERS, "bias initialiser", method)
        fan_in = self._fan_in("set_biases")
        self._chain.biases(self._index)[...] = row.draw(
            generator(seed), (1, self.length), fan_in, self.length
        )[0]

    @property
    def W(self) -> Matrix[F]:
        """The weights `(n, n_prev)`, a view; setting copies into it.

        Raises:
            NotReadyError: before `attach_after` and `set_weights`.
            ShapeError: set to another shape.
        """
        if not self._chain.has_weights[self._index]:
            self._require_weights()
        return self._chain.weights(self._index)

    @W.setter
    def W(self, values: NDArray[np.floating | np.integer]) -> None:
        fan_in = self._fan_in("W")
        if np.shape(values) != (self.length, fan_in):
            raise ShapeError(f"{self.name}: W has the shape {(self.length, fan_in)}, not {np.shape(values)}")
        self._chain.weights(self._index)[...] = values
        self._chain.has_weights[self._index] = True

    @property
    def Bias(self) -> Matrix[F]:
        """The biases `(1, n)`, a view; setting copies into it.

        Raises:
            NotReadyError: before `attach_after`.
            ShapeError: set to another shape.
        """
        self._fan_in("Bias")
        return self._chain.biases(self._index).reshape(1, self.length)

    @Bias.setter
    def Bias(self, values: NDArray[np.floating | np.integer]) -> None:
        self._fan_in("Bias")
        if np.shape(values) not in {(1, self.length), (self.length,)}:
            raise ShapeError(f"{self.name}: Bias has the shape {(1, self.length)}, not {np.shape(values)}")
        self._chain.biases(self._index)[...] = np.reshape(values, self.length)

    @property
    def dLda(self) -> Matrix[F]:
        """The error signal `(n, B)`: the mean loss of the batch by the pre-activations.

        Raises:
            NotReadyError: before the first `backward`.
        """
        self._require_backward()
        return self._chain.block(self._chain.workspace.dLda, self._index).T

    @property
    def dLdW(self) -> Matrix[F]:
        """dLda · h_prevᵀ, `(n, n_prev)`: the mean loss of the batch by the weights.

        Raises:
            NotReadyError: before the first `backward`.
        """
        self._form_gradient()
        return self._chain.weight_gradient(self._index)

    @property
    def dLdBias(self) -> Matrix[F]:
        """dLda summed over samples, `(1, n)`: the mean loss of the batch by the biases.

        Raises:
            NotReadyError: before the first `backward`.
        """
        self._form_gradient()
        return self._chain.bias_gradient(self._index).reshape(1, self.length)

    def forward(self) -> None:
        """Computes the activations from those of the layer before.

        Raises:
            NotReadyError: before `attach_after`, `set_weights`, or `forward` of the layer before.
        """
        chain, k = self._chain, self._index
        workspace = chain.workspace
        if workspace.forwarded < k or not chain.has_weights[k]:
            self._require_weights()
            raise NotReadyError(f"{self.name}: call forward() of layer {workspace.forwarded} first")
        run = kernels()
        a, h = chain.block(workspace.a, k), chain.block(workspace.h, k)
        run.affine(chain.block(workspace.h, k - 1), chain.weights(k), chain.biases(k), a)
        run.activation_value(CODES[self.actname], a, h)
        workspace.forwarded = k + 1
        workspace.reached = max(workspace.reached, k + 1)

    def backward(self) -> None:
        """Computes the error signal and the gradients, from the layer after or the loss."""
        raise NotImplementedError

    def _gradients_from_error(self) -> None:
        chain, k = self._chain, self._index
        run = kernels()
        error = chain.block(chain.workspace.dLda, k)
        run.outer(error, chain.block(chain.workspace.h, k - 1), chain.weight_gradient(k))
        run.sum_samples(error, chain.bias_gradient(k))
        chain.has_gradient[k] = True

    def _form_gradient(self) -> None:
        self._require_backward()
        if not self._chain.has_gradient[self._index]:
            self._gradients_from_error()

    def _note_backward(self) -> None:
        workspace = self._chain.workspace
        workspace.returned = self._index
        workspace.signalled = min(workspace.signalled, self._index)

    def _require_backward(self) -> None:
        if self._index == 0 or self._index < self._chain.workspace.signalled:
            raise NotReadyError(f"{self.name}: call backward() first")

    def _require_weights(self) -> None:
        self._fan_in("forward")
        if not self._chain.has_weights[self._index]:
            raise NotReadyError(f"{self.name}: has no weights yet; call set_weights(...) first")

    def _fan_in(self, wanted: str) -> int:
        if self.previous is None:
            raise NotReadyError(f"{self!r}: {wanted} needs the layer before; call attach_after(...) first")
        return self.previous.length


class HiddenLayer(TrainableLayer[F]):
    """A layer between input and output.

    Args:
        length: the number of units.
        actfn: `"none"`, `"sigmoid"`, `"relu"` or `"tanh"`.
        weights, biases: how a `Network` draws them; by default, weights by activation and biases 0.

    Raises:
        SettingError: the length is not a positive integer.
        UnknownNameError: no such activation or initialiser.
    """

    def __init__(
        self,
        length: int,
        actfn: ActivationName = "none",
        *,
        weights: WeightInitializerName | None = None,
        biases: BiasInitializerName | None = None,
    ) -> None:
        super().__init__(length, weights, biases)
        self.actname = _checked_name("hidden activation", actfn, get_args(ActivationName))
        self._alone()

    @property
    def dhda(self) -> Matrix[F]:
        """The slope of the activation `(n, B)` at the last forward pass; formed when asked for.

        Raises:
            NotReadyError: before the first `forward`.
        """
        self._require_forward()
        return self._slope()

    @property
    def dLdh(self) -> Matrix[F]:
        """The signal from the next layer, W_nextᵀ · dLda_next, `(n, B)`.

        Raises:
            NotReadyError: before the first `backward`.
        """
        self._require_backward()
        return self._chain.block(self._chain.workspace.dLdh, self._index).T

    def backward(self) -> None:
        """dLdh, dLda, dLdW and dLdBias, from dLda and the weights of the next layer.

        Raises:
            NotReadyError: before `backward` of the next layer.
        """
        chain, k = self._chain, self._index
        workspace = chain.workspace
        if self.next is None or workspace.returned > k + 1:
            raise NotReadyError(f"{self.name}: call backward() of the layer after it first")
        run = kernels()
        signal = chain.block(workspace.dLdh, k)
        run.backpropagate(chain.block(workspace.dLda, k + 1), chain.weights(k + 1), signal)
        run.slope_product(
            CODES[self.actname],
            chain.block(workspace.a, k),
            chain.block(workspace.h, k),
            signal,
            chain.block(workspace.dLda, k),
        )
        self._gradients_from_error()
        self._note_backward()


class OutputLayer(TrainableLayer[F]):
    """The last layer, with the loss.

    Args:
        length: the number of outputs.
        outputfn: `"none"`, `"sigmoid"`, `"relu"`, `"tanh"` or `"softmax"`.
        lossfn: `"MSE"`, `"bincrossentropy"` or `"crossentropy"`.
        weights, biases: how a `Network` draws them; by default, weights by activation and biases 0.

    Attributes:
        lossfnname: the name of the loss.

    Raises:
        SettingError: the length is not a positive integer.
        UnknownNameError: no such activation, loss or initialiser.
    """

    def __init__(
        self,
        length: int,
        outputfn: OutputActivationName = "none",
        lossfn: LossName = "MSE",
        *,
        weights: WeightInitializerName | None = None,
        biases: BiasInitializerName | None = None,
    ) -> None:
        super().__init__(length, weights, biases)
        self.actname = _checked_name("output activation", outputfn, get_args(OutputActivationName))
        self.lossfnname: LossName = _checked_name("loss", lossfn, get_args(LossName))
        self._alone()

    def __repr__(self) -> str:
        """As it was constructed."""
        return f"OutputLayer({self.length}, {self.actname!r}, {self.lossfnname!r})"

    def set_actual(self, actual: ArrayLike) -> None:
        """Takes the targets: `(n,)` of one sample, or `(B, n)` of a batch; the numbers are copied.

        Raises:
            ShapeError: another length.
            ArrayTypeError: not numbers.
            DataError: NaN, infinity, or targets that the loss is not defined for.
        """
        targets = as_sample(actual, self.length, self._chain.dtype, "actual", self.name)
        row = LOSSES[LOSS_CODES[self.lossfnname]]
        check_range(targets, row.target_minimum, row.target_maximum, "actual", self.name)
        self._chain.targets = read_only(targets.copy())

    def output(self) -> Matrix[F]:
        """A copy of the activations, `(n, B)`.

        Raises:
            NotReadyError: before the first `forward`.
        """
        return self.activations.copy()

    def loss(self) -> float:
        """The mean loss of the samples.

        Raises:
            NotReadyError: before `forward` or `set_actual`.
        """
        chain, k = self._chain, self._index
        t = self._targets("loss()")
        losses = np.empty(chain.workspace.samples, chain.dtype)
        kernels().loss_value(
            LOSS_CODES[self.lossfnname],
            CODES[self.actname],
            chain.block(chain.workspace.a, k),
            chain.block(chain.workspace.h, k),
            t,
            losses,
        )
        return float(losses.mean(dtype=np.float64))

    @property
    def dLdy(self) -> Matrix[F]:
        """The mean loss of the batch by the outputs, `(n, B)`.

        Raises:
            NotReadyError: before the first `backward`.
        """
        self._require_backward()
        return self._chain.block(self._chain.workspace.dLdh, self._index).T

    @property
    def dyda(self) -> np.ndarray[tuple[int, ...], np.dtype[F]]:
        """The slope of the activation `(n, B)` at the last forward pass; formed when asked for.

        For softmax the Jacobians `(B, n, n)`, or `(n, n)` for one sample.

        Raises:
            NotReadyError: before the first `forward`.
        """
        self._require_forward()
        if self.actname != "softmax":
            return self._slope()
        y = self._chain.block(self._chain.workspace.h, self._index)
        jacobians = np.empty((len(y), self.length, self.length), self._chain.dtype)
        kernels().softmax_jacobian(y, jacobians)
        return jacobians[0] if len(y) == 1 else jacobians

    def backward(self) -> None:
        """dLdy, dLda, dLdW and dLdBias, from the loss.

        Raises:
            NotReadyError: before `forward` or `set_actual`.
        """
        chain, k = self._chain, self._index
        workspace = chain.workspace
        t = self._targets("backward()")
        kernels().output_error(
            LOSS_CODES[self.lossfnname],
            CODES[self.actname],
            chain.block(workspace.a, k),
            chain.block(workspace.h, k),
            t,
            chain.block(workspace.dLdh, k),
            chain.block(workspace.dLda, k),
        )
        self._gradients_from_error()
        self._note_backward()

    def _targets(self, wanted: str) -> Matrix[F]:
        workspace, t = self._chain.workspace, self._chain.targets
        if workspace.forwarded <= self._index:
            raise NotReadyError(f"{self.name}: call forward() of every layer before {wanted}")
        if t is None:
            raise NotReadyError(f"{self.name}: call set_actual(...) before {wanted}")
        if len(t) != workspace.samples:
            raise ShapeError(
                f"{self.name}: set_actual was given {len(t)} samples, put_values {workspace.samples}"
            )
        return t


def rebuild(layers: list[Layer[F]], dtype: np.dtype[F]) -> Chain[F]:
    """Gives these layers, attached in this order, one memory; values that are set are kept."""
    chain = Chain(layers, dtype)
    for k, layer in enumerate(layers):
        old, place = layer._chain, layer._index
        if place > 0:
            chain.weights(k)[...] = old.weights(place)
            chain.biases(k)[...] = old.biases(place)
            chain.has_weights[k] = old.has_weights[place]
        if isinstance(layer, OutputLayer) and old.targets is not None:
            chain.targets = read_only(old.targets.astype(dtype))
    for k, layer in enumerate(layers):
        layer._chain, layer._index = chain, k
    return chain


def initialize(layer: TrainableLayer[F], random: np.random.Generator) -> None:
    """Draws weights that are not set yet, as the layer names it, or by activation; biases with them."""
    if not layer._chain.has_weights[layer._index]:
        layer.set_weights(layer._weights_named or DEFAULT_WEIGHTS[layer.actname], random)
        if layer._biases_named is not None:
            layer.set_biases(layer._biases_named, random)


N = TypeVar("N", bound=str)


def _checked_name(kind: str, name: N, known: tuple[str, ...]) -> N:
    if name not in known:
        raise UnknownNameError(kind, name, known)
    return name

"""What layers with weights have in common."""

from __future__ import annotations

import numpy as np
from typednn_kernels.activations import CustomActivation, OutputActivationName
from typednn_kernels.arrays import F, Matrix
from typednn_kernels.layout import FROZEN

from typednn.errors import NotReadyError, ShapeError, WiringError
from typednn.initializers import (
    BIAS_INITIALIZERS,
    DEFAULT_WEIGHTS,
    WEIGHT_INITIALIZERS,
    BiasInitializerName,
    Initializer,
    Seed,
    WeightInitializerName,
    generator,
    initializer,
)
from typednn.layers.base import Layer, rebuild
from typednn.layers.storage import Blocks
from typednn.validation.arrays import Y_co, as_numbers
from typednn.validation.settings import check_bool, check_nonnegative


class TrainableLayer(Layer[F, Y_co]):
    """A layer with weights and biases.

    Attributes:
        l1, l2: training lowers the loss plus l1 times the sum of |W| plus l2 times the sum of W².
    """

    l1: float
    l2: float

    _dense: bool = True
    """Whether it is affine and activation, without normalisation and dropout."""

    def __init__(
        self,
        length: int,
        actname: OutputActivationName | CustomActivation,
        weights: WeightInitializerName | None,
        biases: BiasInitializerName | None,
        l1: float,
        l2: float,
    ) -> None:
        super().__init__(length, actname)
        for penalty, amount in (("l1", l1), ("l2", l2)):
            check_nonnegative(f"{type(self).__name__}: {penalty}", amount)
        self.l1, self.l2 = float(l1), float(l2)
        for table, kind, name in (
            (WEIGHT_INITIALIZERS, "weight initialiser", weights),
            (BIAS_INITIALIZERS, "bias initialiser", biases),
        ):
            if name is not None:
                initializer(table, kind, name)
        self._weights_named: WeightInitializerName | None = weights
        self._biases_named: BiasInitializerName | None = biases

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
        if layer.last:
            raise WiringError(f"{self!r}: cannot come after {layer!r}; an output layer is the last")
        if layer._chain is self._chain:
            raise WiringError(f"{self!r}: cannot be attached after itself")
        if self._chain.closed or layer._chain.closed:
            raise WiringError(f"{self!r}: layers of a Network cannot be attached anew")
        if self.previous is not None:
            raise WiringError(f"{self!r}: is attached after {self.previous!r} already")
        if layer.next is not None:
            raise WiringError(f"{layer!r}: is followed by {layer.next!r} already")
        self._follow(layer)
        rebuild([*layer._chain.layers, *self._chain.layers], self._chain.dtype)

    def set_weights(self, method: WeightInitializerName = "normal_random", seed: Seed = None) -> None:
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
        self._draw(row, seed, fan_in, self._chain.weights[self._index])
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
        self._draw(row, seed, fan_in, self._chain.bias_rows[self._index])

    @property
    def W(self) -> Matrix[F]:
        """The weights `(n, n_prev)`, a view; setting copies into it.

        Raises:
            NotReadyError: before `attach_after` and `set_weights`.
            ShapeError: set to another shape.
        """
        if not self._chain.has_weights[self._index]:
            self._require_weights()
        return self._chain.weights[self._index]

    @W.setter
    def W(self, values: Matrix[F]) -> None:
        if values is self._chain.weights[self._index]:
            return
        shape = (self.length, self._fan_in("W"))
        numbers = as_numbers(values, "W", self.name)
        if numbers.shape != shape:
            raise ShapeError(f"{self.name}: W has the shape {shape}, not {numbers.shape}")
        self._chain.weights[self._index][...] = numbers
        self._chain.has_weights[self._index] = True

    @property
    def Bias(self) -> Matrix[F]:
        """The biases `(1, n)`, a view; setting copies into it.

        Raises:
            NotReadyError: before `attach_after`.
            ShapeError: set to another shape.
        """
        if self.previous is None:
            self._fan_in("Bias")
        return self._chain.bias_rows[self._index]

    @Bias.setter
    def Bias(self, values: Matrix[F]) -> None:
        if values is self._chain.bias_rows[self._index]:
            return
        self._fan_in("Bias")
        numbers = as_numbers(values, "Bias", self.name)
        if numbers.shape not in {(1, self.length), (self.length,)}:
            raise ShapeError(f"{self.name}: Bias has the shape {(1, self.length)}, not {numbers.shape}")
        self._chain.biases[self._index][...] = numbers.reshape(self.length)

    @property
    def trainable(self) -> bool:
        """Whether training changes the parameters; True until it is set, from the next training on.

        If not, batch normalisation takes its moving averages in training too, and keeps them, as in Keras.

        Raises:
            SettingError: set to something else than True or False.
        """
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        check_bool(f"{self.name}: trainable", value)
        self._trainable = bool(value)
        self._chain.layout[self._index, FROZEN] = not value

    @property
    def dLda(self) -> Matrix[F]:
        """The error signal `(n, B)`: the mean loss of the batch by the pre-activations.

        Raises:
            NotReadyError: before the first `backward`.
        """
        workspace, k = self._chain.workspace, self._index
        if k < workspace.signalled:
            self._require_backward()
        return workspace.blocks[k].dLda.T

    @property
    def dLdW(self) -> Matrix[F]:
        """dLda · h_prevᵀ, `(n, n_prev)`: the mean loss of the batch by the weights.

        Of a normalised layer, dLdz · h_prevᵀ.

        Raises:
            NotReadyError: before the first `backward`.
        """
        chain, k = self._chain, self._index
        if k < chain.workspace.signalled:
            self._require_backward()
        if not chain.has_gradient[k]:
            self._form_weight_gradient()
        return chain.weight_gradients[k]

    @property
    def dLdBias(self) -> Matrix[F]:
        """dLda summed over samples, `(1, n)`: the mean loss of the batch by the biases.

        Raises:
            NotReadyError: before the first `backward`.
        """
        self._require_backward()
        sums = self._chain.bias_gradients[self._index]
        self._chain.running.kernels.sum_samples(self._chain.workspace.blocks[self._index].dLda, sums)
        return sums.reshape(1, self.length)

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
        below, here = workspace.blocks[k - 1].h, workspace.blocks[k]
        if self._dense:
            chain.running.kernels.layer_forward(
                chain.activations[k], below, chain.weights[k], chain.biases[k], here.a, here.h
            )
        else:
            self._activate(below, here)
        workspace.forwarded = k + 1
        workspace.returned = len(chain.layers)
        if workspace.reached == k:
            workspace.reached = k + 1

    def _activate(self, below: Matrix[F], here: Blocks[F]) -> None:
        """The forward pass of a layer that is not dense alone."""
        raise NotImplementedError

    @property
    def _tensors(self) -> dict[str, Matrix[F]]:
        """All that a file keeps of the layer, by name; views."""
        return {"W": self.W, "Bias": self.Bias}

    def _draw(self, row: Initializer, seed: Seed, fan_in: int, parameters: Matrix[F]) -> None:
        parameters[...] = row.draw(generator(seed), parameters.shape, fan_in, self.length)

    def _form_weight_gradient(self) -> None:
        chain, k = self._chain, self._index
        blocks = chain.workspace.blocks
        chain.running.kernels.outer(blocks[k].dLdz, blocks[k - 1].h, chain.weight_gradients[k])
        chain.has_gradient[k] = True

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


def initialize(layer: TrainableLayer[F], random: np.random.Generator) -> None:
    """Draws weights that are not set yet, as the layer names it, or by activation; biases with them."""
    if not layer._chain.has_weights[layer._index]:
        layer.set_weights(layer._weights_named or DEFAULT_WEIGHTS.get(layer.actname, "xavier"), random)
        if layer._biases_named is not None:
            layer.set_biases(layer._biases_named, random)

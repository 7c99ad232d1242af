"""The base class of layers with weights: attaching, initialising, and the gradients."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from typednn_kernels.activations import CustomActivation, OutputActivationName
from typednn_kernels.arrays import F, Matrix
from typednn_kernels.layout import FROZEN

from typednn.errors import ArrayTypeError, NotReadyError, ShapeError, WiringError
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
from typednn.layers.workspace import Blocks
from typednn.plotting.display import TableBlock
from typednn.validation.arrays import Y_co, as_numbers
from typednn.validation.settings import check_bool, check_nonnegative


class TrainableLayer(Layer[F, Y_co]):
    """A layer with weights and biases."""

    _dense: bool
    """Whether the layer has neither normalisation nor dropout."""

    _l1: float = 0.0
    _l2: float = 0.0
    _weights_named: WeightInitializerName | None = None
    _biases_named: BiasInitializerName | None = None

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
        self._l1, self._l2 = float(l1), float(l2)
        for table, kind, name in (
            (WEIGHT_INITIALIZERS, "weight initialiser", weights),
            (BIAS_INITIALIZERS, "bias initialiser", biases),
        ):
            if name is not None:
                initializer(table, kind, name)
        self._weights_named = weights
        self._biases_named = biases
        self._dense = True

    def attach_after(self, layer: Layer[F]) -> None:
        """Attaches this layer after `layer`; parameters that have been set are kept.

        Raises:
            WiringError: `layer` is an output layer or this layer, or one of the two belongs to a `Network` or
                is attached to another layer, or this is a copy with weights for another number of inputs.
            ArrayTypeError: this is a copy of another dtype.
        """
        if not isinstance(layer, Layer):
            raise WiringError(f"{self!r}: can be attached after a layer, not after {type(layer).__name__}")
        if self.previous is layer:
            return
        if layer.last:
            raise WiringError(f"{self!r}: cannot come after {layer!r}; an output layer is the last")
        if layer._storage is self._storage:
            raise WiringError(f"{self!r}: cannot be attached after itself")
        if self._storage.closed or layer._storage.closed:
            raise WiringError(
                f"{self!r}: layers of a Network cannot be attached again; layer.copy() returns one that can"
            )
        if self.previous is not None:
            raise WiringError(f"{self!r}: is attached after {self.previous!r} already")
        if layer.next is not None:
            raise WiringError(f"{layer!r}: is followed by {layer.next!r} already")
        if self._inputs not in (0, layer.length):
            raise WiringError(
                f"{self!r}: {self._fitting}, {layer!r} has {layer.length} units"
                f"{'; a new layer gets weights that fit' * self._weighted}"
            )
        dtype = self._storage.dtype
        if layer._storage.dtype != dtype:
            raise ArrayTypeError(
                f"{self!r}: is of {dtype}, {layer!r} of {layer._storage.dtype}; "
                f"Network(layers, dtype=np.{dtype}) makes all layers {dtype}"
            )
        rebuild([*layer._attached, *self._attached], dtype)

    def set_weights(self, method: WeightInitializerName = "normal_random", seed: Seed = None) -> None:
        """Draws new weights.

        Args:
            method: the name of a row of `typednn.initializers.WEIGHT_INITIALIZERS`.
            seed: a seed, or the generator to draw from.

        Raises:
            UnknownNameError: there is no such initialiser.
            NotReadyError: called before `attach_after`.
        """
        row = initializer(WEIGHT_INITIALIZERS, "weight initialiser", method)
        fan_in = self._fan_in("set_weights")
        self._draw(row, seed, fan_in, self._storage.weights[self._index])
        self._storage.has_weights[self._index] = True

    def set_biases(self, method: BiasInitializerName = "zeros", seed: Seed = None) -> None:
        """Draws new biases; until it is called they are 0.

        Args:
            method: the name of a row of `typednn.initializers.BIAS_INITIALIZERS`.
            seed: a seed, or the generator to draw from.

        Raises:
            UnknownNameError: there is no such initialiser.
            NotReadyError: called before `attach_after`.
        """
        row = initializer(BIAS_INITIALIZERS, "bias initialiser", method)
        fan_in = self._fan_in("set_biases")
        self._draw(row, seed, fan_in, self._storage.bias_rows[self._index])

    @property
    def W(self) -> Matrix[F]:
        """The weights, shape `(n, n_prev)`; a view, and assignment copies into it.

        Raises:
            NotReadyError: read before `attach_after` and `set_weights`.
            ShapeError: assigned an array of another shape.
        """
        if not self._storage.has_weights[self._index]:
            self._require_weights()
        return self._storage.W[self._index]

    @W.setter
    def W(self, values: Matrix[F]) -> None:
        if values is self._storage.W[self._index]:
            return
        self._fan_in("W")
        shape = self._storage.weights[self._index].shape
        numbers = as_numbers(values, "W", self.name)
        if numbers.shape != shape:
            raise ShapeError(f"{self.name}: W has the shape {shape}, not {numbers.shape}")
        self._storage.weights[self._index][...] = numbers
        self._storage.has_weights[self._index] = True

    @property
    def Bias(self) -> Matrix[F]:
        """The biases, shape `(1, n)`; a view, and assignment copies into it.

        Raises:
            NotReadyError: read before `attach_after`.
            ShapeError: assigned an array of another shape.
        """
        if self._index == 0:
            self._fan_in("Bias")
        return self._storage.bias_rows[self._index]

    @Bias.setter
    def Bias(self, values: Matrix[F]) -> None:
        row = self._storage.bias_rows[self._index]
        if values is row and self._index > 0:  # as after an augmented assignment
            return
        self._fan_in("Bias")
        self._assign_row("Bias", values, row)

    @property
    def trainable(self) -> bool:
        """Whether training changes the parameters; an assignment takes effect at the next step.

        Where it is False, batch normalisation uses its running mean and variance in training too, and does
        not change them, as in Keras.

        Raises:
            SettingError: assigned something other than True or False.
        """
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        check_bool(f"{self.name}: trainable", value)
        self._trainable = bool(value)
        self._storage.change_layout(self._index, FROZEN, not value)

    @property
    def l1(self) -> float:
        """The coefficient of the penalty l1·Σ|W|; an assignment takes effect at the next step.

        Raises:
            SettingError: assigned something other than a finite number of 0 or more.
            WiringError: assigned to a layer without weights.
        """
        return self._l1

    @l1.setter
    def l1(self, value: float) -> None:
        self._require_weighted("l1")
        check_nonnegative(f"{self.name}: l1", value)
        self._l1 = float(value)
        self._announce_penalty()

    @property
    def l2(self) -> float:
        """The coefficient of the penalty l2·ΣW²; an assignment takes effect at the next step.

        Raises:
            SettingError: assigned something other than a finite number of 0 or more.
            WiringError: assigned to a layer without weights.
        """
        return self._l2

    @l2.setter
    def l2(self, value: float) -> None:
        self._require_weighted("l2")
        check_nonnegative(f"{self.name}: l2", value)
        self._l2 = float(value)
        self._announce_penalty()

    def _require_weighted(self, penalty: str) -> None:
        if not self._weighted:
            raise self._has_no(f"weights, which {penalty} is a penalty on")

    def _announce_penalty(self) -> None:
        """Makes a training look at the settings again, which it knows by the layout."""
        self._storage.change_layout(self._index, FROZEN, not self._trainable)

    @property
    def dLda(self) -> Matrix[F]:
        """The delta, the gradient of the batch's mean loss with respect to the pre-activations, `(n, B)`.

        Read-only, as all gradients are.

        Raises:
            NotReadyError: read before the first `backward`.
        """
        workspace, k = self._storage.workspace, self._index
        if k < workspace.backward_reached:
            self._require_backward()
        return (workspace.arguments or self._storage.arguments(workspace)).dLda[k]

    @property
    def dLdW(self) -> Matrix[F]:
        """The gradient of the batch's mean loss with respect to W, `(n, n_prev)`.

        It is dLda · h_prevᵀ, in a normalised layer dLdz · h_prevᵀ. Read-only, as all gradients are.

        Raises:
            NotReadyError: read before the first `backward`.
        """
        storage, k = self._storage, self._index
        if k < storage.workspace.backward_reached:
            self._require_backward()
        if not storage.has_gradient[k]:
            self._form_weight_gradient()
        return storage.dLdW[k]

    @property
    def dLdBias(self) -> Matrix[F]:
        """The gradient of the batch's mean loss with respect to Bias, `(1, n)`: dLda summed over samples.

        Read-only, as all gradients are.

        Raises:
            NotReadyError: read before the first `backward`.
        """
        self._require_backward()
        storage, k = self._storage, self._index
        storage.running.kernels.sum_samples(storage.workspace.blocks[k].dLda, storage.bias_gradients[k])
        return storage.dLdBias[k]

    def forward(self) -> None:
        """Computes the pre-activations and activations from the activations of the layer before.

        Raises:
            NotReadyError: called before `attach_after`, `set_weights`, or `forward` of the layer before.
        """
        storage, k = self._storage, self._index
        workspace = storage.workspace
        if not (0 < k <= workspace.forward_valid and storage.has_weights[k]):
            self._require_weights()
            if k == 0:
                raise NotReadyError(f"{self!r}: is attached to no layer; call attach_after(...) first")
            raise NotReadyError(f"{self.name}: call forward() of layer {workspace.forward_valid} first")
        if self._dense:
            arguments = workspace.arguments or storage.arguments(workspace)
            storage.running.kernels.layer_forward(*arguments.forward[k])
        else:
            self._activate(workspace.blocks[k - 1].h, workspace.blocks[k])
        workspace.forward_valid = k + 1
        workspace.backward_valid = len(storage.layers)
        if workspace.forward_reached == k:
            workspace.forward_reached = k + 1

    def _activate(self, below: Matrix[F], here: Blocks[F]) -> None:
        """Computes the forward pass of a layer with normalisation or dropout."""
        raise NotImplementedError

    def _blocks(self) -> Iterator[TableBlock]:
        yield from super()._blocks()
        if self.previous is not None:
            rows = [
                (name, " × ".join(map(str, each.shape)), f"{each.mean():.3g}", f"{each.std():.3g}")
                for name, each in self._tensors.items()
            ]
            yield TableBlock("", ("tensor", "shape", "mean", "deviation"), rows)

    @property
    def _tensors(self) -> dict[str, Matrix[F]]:
        """Views of the arrays that a model file stores, by their names there."""
        return {"W": self.W, "Bias": self.Bias}

    @property
    def _arguments(self) -> list[str]:
        keywords = {
            "weights": self._weights_named,
            "biases": self._biases_named,
            "l1": self._l1,
            "l2": self._l2,
        }
        return [*super()._arguments, *(f"{name}={value!r}" for name, value in keywords.items() if value)]

    @property
    def _penalties(self) -> tuple[float, float]:
        return self._l1, self._l2

    def _draw(self, row: Initializer, seed: Seed, fan_in: int, parameters: Matrix[F]) -> None:
        parameters[...] = row.draw(generator(seed), parameters.shape, fan_in, self.length)

    def _assign_row(self, name: str, values: Matrix[F], row: Matrix[F]) -> None:
        """Copies `(1, n)` or `(n,)` values to a row of parameters; an augmented assignment did so already."""
        if values is row:
            return
        numbers = as_numbers(values, name, self.name)
        if numbers.shape not in {(1, self.length), (self.length,)}:
            raise ShapeError(f"{self.name}: {name} has the shape {(1, self.length)}, not {numbers.shape}")
        row[...] = numbers.reshape(1, self.length)

    def _form_weight_gradient(self) -> None:
        storage, k = self._storage, self._index
        blocks = storage.workspace.blocks
        storage.running.kernels.outer(blocks[k].dLdz, blocks[k - 1].h, storage.weight_gradients[k])
        storage.has_gradient[k] = True

    def _require_backward(self) -> None:
        if self._index == 0 or self._index < self._storage.workspace.backward_reached:
            raise NotReadyError(f"{self.name}: call backward() first")

    def _require_weights(self) -> None:
        self._fan_in("forward")
        if not self._storage.has_weights[self._index]:
            raise NotReadyError(f"{self.name}: has no weights yet; call set_weights(...) first")

    def _fan_in(self, wanted: str) -> int:
        if not self._inputs:
            raise NotReadyError(f"{self!r}: {wanted} needs the layer before; call attach_after(...) first")
        return self._inputs


def initialize(layer: TrainableLayer[F], random: np.random.Generator) -> None:
    """Draws weights that are not set yet, and with them biases for which the layer names an initialiser."""
    if not layer._storage.has_weights[layer._index]:
        layer.set_weights(
            layer._weights_named or DEFAULT_WEIGHTS.get(layer.actname.partition("(")[0], "xavier"), random
        )
        if layer._biases_named is not None:
            layer.set_biases(layer._biases_named, random)

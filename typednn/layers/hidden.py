"""The hidden layer: affine map, normalisation, activation and dropout, with their backward pass."""

from __future__ import annotations

from typing import Never

import numpy as np
from typednn_kernels.activations import ActivationName, CustomActivation
from typednn_kernels.arrays import F, Matrix
from typednn_kernels.dropout import INFERENCE, threshold
from typednn_kernels.layout import DROPOUT, NORMALIZATION
from typednn_kernels.normalizations import (
    BATCH,
    NONE,
    NormalizationName,
    NormalizationWithSettings,
    settings_of,
)

from typednn import names
from typednn.errors import NotReadyError, WiringError
from typednn.initializers import BiasInitializerName, WeightInitializerName
from typednn.layers.base import fixed, transposed
from typednn.layers.trainable import TrainableLayer
from typednn.layers.workspace import Blocks
from typednn.validation.settings import check_nonnegative


class HiddenLayer(TrainableLayer[F, Never]):
    """A layer between the input and the output layer.

    A normalised layer turns z = W·h_prev into a = Gain · (z - mean) / sqrt(variance + 1e-3) + Bias. Mean and
    variance are those of each unit over the batch (`"batch"`), or of each sample over the units (`"layer"`).
    Gains start at 1. `BatchNorm` and `LayerNorm` have other constants, and biases below the normalisation.

    Batch normalisation trains with the mean and variance of the batch and predicts with running ones, which
    each training step moves by a hundredth of the way to those of the batch. A batch of one sample, as
    the last of an epoch may be, has variance 0: its pre-activations are the biases, the layers below learn
    nothing from it, and the running variance shrinks. Batches should have some tens of samples.

    Dropout sets a random fraction of the activations to 0 in each training step and divides the others by
    1 - `dropout`. The network's generator draws them.

    Args:
        length: the number of units.
        actfn: a name of `ActivationName`, or a name that `register_activation` returned.
        normalization: `"none"`, `"batch"` (Ioffe & Szegedy 2015, arXiv:1502.03167, algorithm 1) or `"layer"`
            (Ba, Kiros & Hinton 2016, arXiv:1607.06450, equation 4), with the constants of Keras; or
            `BatchNorm(...)` or `LayerNorm(...)`, with yours.
        dropout: the fraction of units that a training step drops, at least 0 and below 1 (Srivastava et al.
            2014, JMLR 15, section 4).
        weights: the initialiser of the weights that a `Network` uses; by default the activation decides.
        biases: the initialiser of the biases; by default they are 0.
        l1: the coefficient of the penalty l1·Σ|W|, which training adds to the loss, as Keras'
            kernel_regularizer does. Reported losses do not include it.
        l2: the coefficient of the penalty l2·ΣW², likewise.

    Raises:
        SettingError: the length is not a positive integer, the dropout is out of its range, or a penalty is
            negative or not finite.
        UnknownNameError: there is no such activation, normalisation or initialiser.

    >>> HiddenLayer(64, "relu", normalization="batch", dropout=0.2)
    HiddenLayer(64, 'relu', normalization='batch', dropout=0.2)
    """

    _normalization: NormalizationName | NormalizationWithSettings = "none"
    _dropout: float = 0.0

    def __init__(
        self: HiddenLayer[np.float64],
        length: int,
        actfn: ActivationName | CustomActivation = "none",
        *,
        normalization: NormalizationName | NormalizationWithSettings = "none",
        dropout: float = 0.0,
        weights: WeightInitializerName | None = None,
        biases: BiasInitializerName | None = None,
        l1: float = 0.0,
        l2: float = 0.0,
    ) -> None:
        super().__init__(length, names.hidden_activation(actfn), weights, biases, l1, l2)
        self._normalization = names.normalization(normalization)
        check_nonnegative(f"{type(self).__name__}: dropout", dropout, 1)
        self._dropout = float(dropout)
        self._dense = self._normalization == "none" and not self._dropout
        self._allocate()

    @property
    def _arguments(self) -> list[str]:
        length, actname, *others = super()._arguments
        normalization = [f"normalization={self._normalization!r}"] * (self._normalization != "none")
        return [
            length,
            actname,
            *normalization,
            *[f"dropout={self._dropout!r}"] * (self._dropout > 0),
            *others,
        ]

    @fixed
    def normalization(self) -> NormalizationName | NormalizationWithSettings:
        """The name of the normalisation, with its settings where they are not the default."""
        return self._normalization

    @property
    def dropout(self) -> float:
        """The fraction of the units that a training step drops; an assignment takes effect at the next step.

        Raises:
            SettingError: assigned something other than a number from 0 to below 1.
        """
        return self._dropout

    @dropout.setter
    def dropout(self, value: float) -> None:
        check_nonnegative(f"{self.name}: dropout", value, 1)
        self._dropout = float(value)
        self._dense = self._normalization == "none" and not self._dropout
        self._storage.change_layout(self._index, DROPOUT, threshold(self._dropout))

    @property
    def Gain(self) -> Matrix[F]:
        """The gains of a normalised layer, shape `(1, n)`; a view, and assignment copies into it.

        Raises:
            NotReadyError: read before `attach_after`.
            WiringError: the layer is not normalised.
            ShapeError: assigned an array of another shape.
        """
        self._require_normalization("Gain")
        return self._storage.gain_rows[self._index]

    @Gain.setter
    def Gain(self, values: Matrix[F]) -> None:
        self._assign_row("Gain", values, self.Gain)

    @property
    def InnerBias(self) -> Matrix[F]:
        """The biases below a layer normalisation, shape `(1, n)`; a view, and assignment copies into it.

        Raises:
            NotReadyError: read before `attach_after`.
            WiringError: the layer has no inner biases.
            ShapeError: assigned an array of another shape.
        """
        self._require_inner_bias("InnerBias")
        return self._storage.inner_bias_rows[self._index]

    @InnerBias.setter
    def InnerBias(self, values: Matrix[F]) -> None:
        self._assign_row("InnerBias", values, self.InnerBias)

    @property
    def running_mean(self) -> Matrix[F]:
        """The mean that batch normalisation predicts with, shape `(1, n)`; a view.

        Raises:
            NotReadyError: read before `attach_after`.
            WiringError: the layer is not batch-normalised.
        """
        return self._running_moments("running_mean")[:1]

    @property
    def running_variance(self) -> Matrix[F]:
        """The variance that batch normalisation predicts with, shape `(1, n)`; a view.

        Raises:
            NotReadyError: read before `attach_after`.
            WiringError: the layer is not batch-normalised.
        """
        return self._running_moments("running_variance")[1:]

    @property
    def dhda(self) -> Matrix[F]:
        """The derivative of the activation at the last forward pass, `(n, B)`; computed when it is read.

        With dropout it is 0 for units that were dropped, and scaled by 1 / (1 - `dropout`) for the others.

        Raises:
            NotReadyError: read before the first `forward`.
        """
        self._require_forward()
        here = self._storage.workspace.blocks[self._index]
        if not self._storage.workspace.layout[self._index, DROPOUT]:
            return transposed(self._derivative(here.h))
        derivative = self._derivative(self._value_before_dropout(here))
        self._drop(derivative)
        return transposed(derivative)

    @property
    def dLdh(self) -> Matrix[F]:
        """The upstream gradient, of the batch's mean loss with respect to the activations, `(n, B)`.

        It is W_nextᵀ · dLda_next, or W_nextᵀ · dLdz_next where the next layer is normalised.

        Raises:
            NotReadyError: read before the first `backward`.
        """
        self._require_backward()
        return transposed(self._storage.workspace.blocks[self._index].dLdh)

    @property
    def dLdGain(self) -> Matrix[F]:
        """The gradient of the batch's mean loss with respect to Gain, `(1, n)`.

        It is dLda times the normalised z, summed over samples.

        Raises:
            NotReadyError: read before the first `backward`.
            WiringError: the layer is not normalised.
        """
        self._require_normalization("dLdGain")
        self._require_backward()
        here, sums = self._storage.workspace.blocks[self._index], self._storage.gain_gradients[self._index]
        terms: Matrix[F] = np.empty_like(here.dLda)
        with np.errstate(all="ignore"):
            np.multiply(here.dLda, here.z, out=terms)
        self._storage.running.kernels.sum_samples(terms, sums)
        return self._storage.dLdGain[self._index]

    @property
    def dLdInnerBias(self) -> Matrix[F]:
        """The gradient of the batch's mean loss with respect to InnerBias, `(1, n)`: dLdz, summed.

        Raises:
            NotReadyError: read before the first `backward`.
            WiringError: the layer has no inner biases.
        """
        self._require_inner_bias("dLdInnerBias")
        self._require_backward()
        storage, k = self._storage, self._index
        storage.running.kernels.sum_samples(storage.workspace.blocks[k].dLdz, storage.inner_bias_gradients[k])
        return storage.dLdInnerBias[k]

    def backward(self) -> None:
        """Computes dLdh, dLda, dLdW, dLdBias, and if normalised dLdGain, from the next layer's deltas.

        Raises:
            NotReadyError: called before `backward` of the next layer.
        """
        storage, k = self._storage, self._index
        workspace = storage.workspace
        if k + 1 == len(storage.layers) or workspace.backward_valid > k + 1:
            raise NotReadyError(f"{self.name}: call backward() of the layer after it first")
        run = storage.running.kernels
        arguments = workspace.arguments or storage.arguments(workspace)
        fused = arguments.hidden_backward.get(k) if self._dense else None
        if fused is not None:
            run.hidden_layer_backward(*fused)
        else:
            blocks, activation = workspace.blocks, storage.activations[k]
            here, dLdz_next, W_next = blocks[k], blocks[k + 1].dLdz, storage.weights[k + 1]
            run.backpropagate(dLdz_next, W_next, here.dLdh)
            y = self._value_before_dropout(here) if self._dropout else here.h
            run.activation_backward(activation, here.a, y, here.dLdh, here.dLda)
            if self._dropout:
                self._drop(here.dLda)
            if self._normalization != "none":
                run.normalization_backward(
                    int(storage.layout[k, NORMALIZATION]),
                    self._is_training,
                    here.z,
                    storage.gains[k],
                    here.inv_std,
                    here.dLda,
                    storage.bias_gradients[k],
                    storage.gain_gradients[k],
                    here.dLdz,
                )
            self._form_weight_gradient()
        workspace.backward_valid = k
        if workspace.backward_reached == k + 1:
            workspace.backward_reached = k
        storage.has_gradient[k] = True

    def _activate(self, below: Matrix[F], here: Blocks[F]) -> None:
        storage, k = self._storage, self._index
        run = storage.running.kernels
        if self._normalization == "none":
            run.affine(below, storage.weights[k], storage.biases[k], here.a)
        else:
            inner = storage.inner_biases[k]
            run.affine(
                below, storage.weights[k], inner if len(inner) else np.zeros_like(storage.biases[k]), here.z
            )
            run.normalize(
                storage.normalizations[k],
                self._is_training,
                here.z,
                storage.gains[k],
                storage.biases[k],
                storage.running_moments[k],
                here.inv_std,
                here.a,
            )
            if self._is_training:
                storage.warn_of_moments([k], stacklevel=4)
        run.activation_value(storage.activations[k], here.a, here.h)
        if self._dropout:
            self._drop(here.h)

    @property
    def _tensors(self) -> dict[str, Matrix[F]]:
        tensors = super()._tensors
        settings = settings_of(self._normalization)
        if settings.code != NONE:
            tensors["Gain"] = self.Gain
        if settings.inner_bias:
            tensors["InnerBias"] = self.InnerBias
        if settings.code == BATCH:
            tensors |= {"moving_mean": self.running_mean, "moving_variance": self.running_variance}
        return tensors

    @property
    def _is_training(self) -> bool:
        """Whether the last forward pass normalised by the statistics of its batch."""
        return self._trainable and self._storage.workspace.key != INFERENCE

    def _drop(self, numbers: Matrix[F]) -> None:
        """Applies the dropout of the last forward pass to `(B, n)` values; none if it was a prediction."""
        storage, k = self._storage, self._index
        if storage.workspace.key != INFERENCE:
            storage.running.kernels.apply_dropout(
                storage.workspace.key, k, int(storage.workspace.layout[k, DROPOUT]), numbers
            )

    def _value_before_dropout(self, here: Blocks[F]) -> Matrix[F]:
        value: Matrix[F] = np.empty_like(here.h)
        storage = self._storage
        storage.running.kernels.activation_value(storage.activations[self._index], here.a, value)
        return value

    def _running_moments(self, wanted: str) -> Matrix[F]:
        self._require_normalization(wanted)
        if settings_of(self._normalization).code != BATCH:
            raise WiringError(f'{self.name}: has no {wanted}; normalization="batch" has')
        return self._storage.running_moments[self._index]

    def _require_normalization(self, wanted: str) -> None:
        if self._normalization == "none":
            raise WiringError(f'{self.name}: has no {wanted}; normalization="batch" or "layer" has')
        if self._index == 0:
            self._fan_in(wanted)

    def _require_inner_bias(self, wanted: str) -> None:
        self._require_normalization(wanted)
        if not settings_of(self._normalization).inner_bias:
            raise WiringError(f"{self.name}: has no {wanted}; normalization=LayerNorm(inner_bias=True) has")

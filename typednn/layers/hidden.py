"""A layer between input and output."""

from __future__ import annotations

from typing import Never

import numpy as np
from typednn_kernels import normalizations
from typednn_kernels.activations import ActivationName, CustomActivation
from typednn_kernels.arrays import F, Matrix
from typednn_kernels.dropout import INFERENCE
from typednn_kernels.layout import DROPOUT
from typednn_kernels.normalizations import NormalizationName

from typednn import names
from typednn.errors import NotReadyError, SettingError, ShapeError, WiringError
from typednn.initializers import BiasInitializerName, WeightInitializerName
from typednn.layers.storage import Blocks
from typednn.layers.trainable import TrainableLayer
from typednn.validation.arrays import as_numbers


class HiddenLayer(TrainableLayer[F, Never]):
    """A layer between input and output.

    Normalised, z = W·h_prev becomes a = Gain · (z - mean) / sqrt(variance + 1e-3) + Bias, with mean and
    variance of each unit over the samples (`"batch"`), or of each sample over the units (`"layer"`). Gains
    are 1 at first.

    Batch normalisation trains with mean and variance of the batch, and predicts with their moving averages:
    0.99 times that of before plus 0.01 times that of the batch. In a batch of one sample, and be it the rest
    at the end of an epoch, the variance is 0 and the pre-activations are the biases: nothing below learns
    from it, and the moving variance shrinks. It is made for batches of some tens of samples.

    Dropout sets a share of the activations to 0 in training, and divides the others by 1 - `dropout`. Which
    ones is drawn from the network's generator.

    Args:
        length: the number of units.
        actfn: a name of `ActivationName`, or what `register_activation` returned.
        normalization: `"none"`, `"batch"` (Ioffe and Szegedy 2015, arXiv:1502.03167) or `"layer"` (Ba, Kiros
            and Hinton 2016, arXiv:1607.06450), with the constants of Keras.
        dropout: the share of the units that each training step drops, from 0 up to but not 1 (Srivastava et
            al. 2014, JMLR 15).
        weights, biases: how a `Network` draws them; by default, weights by activation and biases 0.
        l1, l2: penalties on the weights while training, as Keras' kernel_regularizer: l1 times the sum of
            |W| plus l2 times the sum of W². The losses that are reported are without them.

    Raises:
        SettingError: the length is not a positive integer, the dropout out of its range, or a penalty
            negative or not finite.
        UnknownNameError: no such activation, normalisation or initialiser.
    """

    normalization: NormalizationName
    dropout: float

    def __init__(
        self: HiddenLayer[np.float64],
        length: int,
        actfn: ActivationName | CustomActivation = "none",
        *,
        normalization: NormalizationName = "none",
        dropout: float = 0.0,
        weights: WeightInitializerName | None = None,
        biases: BiasInitializerName | None = None,
        l1: float = 0.0,
        l2: float = 0.0,
    ) -> None:
        super().__init__(length, names.hidden_activation(actfn), weights, biases, l1, l2)
        self.normalization = names.normalization(normalization)
        number = isinstance(dropout, int | float | np.integer | np.floating) and not isinstance(dropout, bool)
        if not number or not 0 <= dropout < 1:
            raise SettingError(f"HiddenLayer: dropout must be from 0 up to but not 1, not {dropout!r}")
        self.dropout = float(dropout)
        self._dense = self.normalization == "none" and not self.dropout
        self._alone()

    def __repr__(self) -> str:
        """As it was constructed."""
        normalization = "" if self.normalization == "none" else f", normalization={self.normalization!r}"
        dropout = f", dropout={self.dropout!r}" if self.dropout else ""
        return f"HiddenLayer({self.length}, {self.actname!r}{normalization}{dropout})"

    @property
    def Gain(self) -> Matrix[F]:
        """The gains `(1, n)` of a normalised layer, a view; setting copies into it.

        Raises:
            NotReadyError: before `attach_after`.
            WiringError: the layer is not normalised.
            ShapeError: set to another shape.
        """
        self._require_normalization("Gain")
        return self._chain.gain_rows[self._index]

    @Gain.setter
    def Gain(self, values: Matrix[F]) -> None:
        if values is self.Gain:
            return
        numbers = as_numbers(values, "Gain", self.name)
        if numbers.shape not in {(1, self.length), (self.length,)}:
            raise ShapeError(f"{self.name}: Gain has the shape {(1, self.length)}, not {numbers.shape}")
        self._chain.gains[self._index][...] = numbers.reshape(self.length)

    @property
    def running_mean(self) -> Matrix[F]:
        """What batch normalisation takes for the mean when it predicts, `(1, n)`; a view.

        Raises:
            NotReadyError: before `attach_after`.
            WiringError: the layer has another normalisation, or none.
        """
        return self._moving("moving_mean")[:1]

    @property
    def running_variance(self) -> Matrix[F]:
        """What batch normalisation takes for the variance when it predicts, `(1, n)`; a view.

        Raises:
            NotReadyError: before `attach_after`.
            WiringError: the layer has another normalisation, or none.
        """
        return self._moving("moving_variance")[1:]

    @property
    def dhda(self) -> Matrix[F]:
        """The slope of the activation `(n, B)` at the last forward pass; formed when asked for.

        With dropout it includes what that pass did: 0 where a unit was dropped, and a factor elsewhere.

        Raises:
            NotReadyError: before the first `forward`.
        """
        self._require_forward()
        here = self._chain.workspace.blocks[self._index]
        if not self.dropout:
            return self._derivative(here.h).T
        derivative = self._derivative(self._value_before_dropout(here))
        self._drop(derivative)
        return derivative.T

    @property
    def dLdh(self) -> Matrix[F]:
        """The signal from the next layer, W_nextᵀ · dLda_next, `(n, B)`; from a normalised one, with dLdz.

        Raises:
            NotReadyError: before the first `backward`.
        """
        self._require_backward()
        return self._chain.workspace.blocks[self._index].dLdh.T

    @property
    def dLdGain(self) -> Matrix[F]:
        """dLda times normalised z, summed over samples, `(1, n)`: the mean loss of the batch by the gains.

        Raises:
            NotReadyError: before the first `backward`.
            WiringError: the layer is not normalised.
        """
        self._require_normalization("dLdGain")
        self._require_backward()
        here, sums = self._chain.workspace.blocks[self._index], self._chain.gain_gradients[self._index]
        with np.errstate(all="ignore"):
            np.sum(here.dLda * here.z, axis=0, out=sums)
        return sums.reshape(1, self.length)

    def backward(self) -> None:
        """dLdh, dLda, dLdW and dLdBias, from dLda and the weights of the next layer; dLdGain, if normalised.

        Raises:
            NotReadyError: before `backward` of the next layer.
        """
        chain, k = self._chain, self._index
        workspace = chain.workspace
        if self.next is None or workspace.returned > k + 1:
            raise NotReadyError(f"{self.name}: call backward() of the layer after it first")
        blocks, run, activation = workspace.blocks, chain.running.kernels, chain.activations[k]
        here, signal, W_next = blocks[k], blocks[k + 1].dLdz, chain.weights[k + 1]
        if self._dense:
            run.hidden_layer_backward(
                activation,
                signal,
                W_next,
                here.a,
                here.h,
                blocks[k - 1].h,
                here.dLdh,
                here.dLda,
                chain.weight_gradients[k],
            )
        else:
            run.backpropagate(signal, W_next, here.dLdh)
            y = self._value_before_dropout(here) if self.dropout else here.h
            run.activation_backward(activation, here.a, y, here.dLdh, here.dLda)
            if self.dropout:
                self._drop(here.dLda)
            if self.normalization != "none":
                run.normalization_backward(
                    normalizations.CODES[self.normalization],
                    self._is_training,
                    here.z,
                    chain.gains[k],
                    here.inv_std,
                    here.dLda,
                    chain.bias_gradients[k],
                    chain.gain_gradients[k],
                    here.dLdz,
                )
            self._form_weight_gradient()
        workspace.returned = k
        if workspace.signalled == k + 1:
            workspace.signalled = k
        chain.has_gradient[k] = True

    def _activate(self, below: Matrix[F], here: Blocks[F]) -> None:
        chain, k = self._chain, self._index
        run = chain.running.kernels
        if self.normalization == "none":
            run.affine(below, chain.weights[k], chain.biases[k], here.a)
        else:
            run.affine(below, chain.weights[k], np.zeros_like(chain.biases[k]), here.z)
            run.normalize(
                normalizations.CODES[self.normalization],
                self._is_training,
                here.z,
                chain.gains[k],
                chain.biases[k],
                chain.moving[k],
                here.inv_std,
                here.a,
            )
        run.activation_value(chain.activations[k], here.a, here.h)
        if self.dropout:
            self._drop(here.h)

    @property
    def _tensors(self) -> dict[str, Matrix[F]]:
        tensors = super()._tensors
        if self.normalization != "none":
            tensors["Gain"] = self.Gain
        if self.normalization == "batch":
            tensors |= {"moving_mean": self.running_mean, "moving_variance": self.running_variance}
        return tensors

    @property
    def _is_training(self) -> bool:
        """Whether the last forward pass normalised as in training."""
        return self._trainable and self._chain.workspace.key != INFERENCE

    def _drop(self, numbers: Matrix[F]) -> None:
        """Does what the last forward pass did to activations `(B, n)`, if it dropped some."""
        chain, k = self._chain, self._index
        if chain.workspace.key != INFERENCE:
            chain.running.kernels.apply_dropout(
                chain.workspace.key, k, int(chain.layout[k, DROPOUT]), numbers
            )

    def _value_before_dropout(self, here: Blocks[F]) -> Matrix[F]:
        value: Matrix[F] = np.empty_like(here.h)
        chain = self._chain
        chain.running.kernels.activation_value(chain.activations[self._index], here.a, value)
        return value

    def _moving(self, wanted: str) -> Matrix[F]:
        self._require_normalization(wanted)
        if self.normalization != "batch":
            raise WiringError(f'{self.name}: has no {wanted}; normalization="batch" has')
        return self._chain.moving[self._index]

    def _require_normalization(self, wanted: str) -> None:
        if self.normalization == "none":
            raise WiringError(f'{self.name}: has no {wanted}; normalization="batch" or "layer" has')
        if self.previous is None:
            self._fan_in(wanted)

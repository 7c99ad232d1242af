"""The last layer, with the loss."""

from __future__ import annotations

from typing import overload

import numpy as np
from numpy.typing import ArrayLike
from typednn_kernels.activations import CustomActivation, OutputActivationName
from typednn_kernels.arrays import F, Matrix
from typednn_kernels.losses import CODES as LOSS_CODES
from typednn_kernels.losses import LOSSES, CustomLoss, LossName, RegressionLossName

from typednn import names
from typednn.errors import NotReadyError, ShapeError
from typednn.initializers import BiasInitializerName, WeightInitializerName
from typednn.layers.trainable import TrainableLayer
from typednn.validation.arrays import ClassTargets, Truths, Y_co, as_sample, check_range


class OutputLayer(TrainableLayer[F, Y_co]):
    """The last layer, with the loss.

    Args:
        length: the number of outputs.
        outputfn: a name of `OutputActivationName`, or what `register_activation` returned.
        lossfn: a name of `LossName`, or what `register_loss` returned.
        weights, biases: how a `Network` draws them; by default, weights by activation and biases 0.
        l1, l2: penalties on the weights while training, as Keras' kernel_regularizer: l1 times the sum of
            |W| plus l2 times the sum of W². The losses that are reported are without them.

    Attributes:
        lossfnname: the name of the loss.

    Raises:
        SettingError: the length is not a positive integer, or a penalty is negative or not finite.
        UnknownNameError: no such activation, loss or initialiser.
    """

    last = True

    @overload
    def __init__(
        self: OutputLayer[np.float64, Truths],
        length: int,
        outputfn: OutputActivationName | CustomActivation = ...,
        lossfn: RegressionLossName | CustomLoss = ...,
        *,
        weights: WeightInitializerName | None = ...,
        biases: BiasInitializerName | None = ...,
        l1: float = ...,
        l2: float = ...,
    ) -> None: ...
    @overload
    def __init__(
        self: OutputLayer[np.float64, ClassTargets],
        length: int,
        outputfn: OutputActivationName | CustomActivation = ...,
        lossfn: LossName | CustomLoss = ...,
        *,
        weights: WeightInitializerName | None = ...,
        biases: BiasInitializerName | None = ...,
        l1: float = ...,
        l2: float = ...,
    ) -> None: ...
    def __init__(
        self: OutputLayer[np.float64, ClassTargets],
        length: int,
        outputfn: OutputActivationName | CustomActivation = "none",
        lossfn: LossName | CustomLoss = "MSE",
        *,
        weights: WeightInitializerName | None = None,
        biases: BiasInitializerName | None = None,
        l1: float = 0.0,
        l2: float = 0.0,
    ) -> None:
        super().__init__(length, names.output_activation(outputfn), weights, biases, l1, l2)
        self.lossfnname: LossName | CustomLoss = names.loss(lossfn)
        self._alone()

    def __repr__(self) -> str:
        """As it was constructed."""
        return f"OutputLayer({self.length}, {self.actname!r}, {self.lossfnname!r})"

    @property
    def _loss_code(self) -> int:
        """What the loss is to the kernels.

        Raises:
            NotReadyError: a user's loss that is not registered in this process.
        """
        name = self.lossfnname
        code = LOSS_CODES.get(name)
        if code is None:
            raise NotReadyError(f"the loss {name!r} is unknown here: call register_loss({name!r}, ...) first")
        return code

    def set_actual(self, actual: ArrayLike) -> None:
        """Takes the targets: `(n,)` of one sample, or `(B, n)` of a batch; the numbers are copied.

        Raises:
            ShapeError: another length.
            ArrayTypeError: not numbers.
            DataError: NaN, infinity, or targets that the loss is not defined for.
        """
        chain = self._chain
        row = LOSSES[self._loss_code]
        lowest, highest = row.target_minimum, row.target_maximum
        if not chain.takes(actual, chain.targets, lowest, highest):
            targets = as_sample(actual, self.length, chain.dtype, "actual", self.name)
            check_range(targets, lowest, highest, "actual", self.name)
            chain.take_targets(targets)
        chain.has_targets = True

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
        t = self._targets("loss()")
        here = self._chain.workspace.blocks[self._index]
        losses = np.empty(len(t), t.dtype)
        activation = self._chain.activations[self._index]
        self._chain.running.kernels.loss_value(self._loss_code, activation, here.a, here.h, t, losses)
        return float(losses.mean(dtype=np.float64))

    @property
    def dLdy(self) -> Matrix[F]:
        """The mean loss of the batch by the outputs, `(n, B)`.

        Raises:
            NotReadyError: before the first `backward`.
        """
        self._require_backward()
        return self._chain.workspace.blocks[self._index].dLdh.T

    @property
    def dyda(self) -> np.ndarray[tuple[int, ...], np.dtype[F]]:
        """The slope of the activation `(n, B)` at the last forward pass; formed when asked for.

        For softmax the Jacobians `(B, n, n)`, or `(n, n)` for one sample.

        Raises:
            NotReadyError: before the first `forward`.
        """
        self._require_forward()
        if self.actname != "softmax":
            return self._derivative(self._chain.workspace.blocks[self._index].h).T
        y = self._chain.workspace.blocks[self._index].h
        jacobians = np.empty((len(y), self.length, self.length), self._chain.dtype)
        self._chain.running.kernels.softmax_jacobian(y, jacobians)
        return jacobians[0] if len(y) == 1 else jacobians

    def backward(self) -> None:
        """dLdy, dLda, dLdW and dLdBias, from the loss.

        Raises:
            NotReadyError: before `forward` or `set_actual`.
        """
        t = self._targets("backward()")
        chain, k = self._chain, self._index
        workspace = chain.workspace
        here = workspace.blocks[k]
        chain.running.kernels.output_layer_backward(
            self._loss_code,
            chain.activations[k],
            here.a,
            here.h,
            t,
            workspace.blocks[k - 1].h,
            here.dLdh,
            here.dLda,
            chain.weight_gradients[k],
        )
        workspace.returned = k
        if workspace.signalled == k + 1:
            workspace.signalled = k
        chain.has_gradient[k] = True

    def _targets(self, wanted: str) -> Matrix[F]:
        workspace, t = self._chain.workspace, self._chain.given
        if workspace.forwarded <= self._index:
            raise NotReadyError(f"{self.name}: call forward() of every layer before {wanted}")
        if not self._chain.has_targets:
            raise NotReadyError(f"{self.name}: call set_actual(...) before {wanted}")
        if len(t) != workspace.samples:
            raise ShapeError(
                f"{self.name}: set_actual was given {len(t)} samples, put_values {workspace.samples}"
            )
        return t

"""The output layer: affine map and activation, the loss, and where the backward pass starts."""

from __future__ import annotations

import sys
import warnings
from typing import Literal, Never, overload

import numpy as np
from numpy.typing import ArrayLike
from typednn_kernels.activations import (
    ACTIVATIONS,
    BUILT_IN,
    ActivationName,
    CustomActivation,
    OutputActivationName,
)
from typednn_kernels.activations import CODES as ACTIVATION_CODES
from typednn_kernels.arrays import F, Matrix, Vector
from typednn_kernels.losses import CODES as LOSS_CODES
from typednn_kernels.losses import (
    LOSSES,
    BinaryLossName,
    ClassLossName,
    CustomLoss,
    LossName,
    RegressionLossName,
)

from typednn import names
from typednn.errors import NotReadyError, SettingError, ShapeError
from typednn.initializers import BiasInitializerName, WeightInitializerName
from typednn.layers.base import fixed, transposed
from typednn.layers.trainable import TrainableLayer
from typednn.layers.workspace import Workspace
from typednn.validation.arrays import (
    AnyTargets,
    ClassTargets,
    Given,
    Truths,
    Y_co,
    as_sample,
    as_targets,
    check_range,
)

if sys.version_info >= (3, 13):
    from warnings import deprecated
else:
    from typing_extensions import deprecated


class OutputLayer(TrainableLayer[F, Y_co]):
    """The last layer of a network, which computes the loss.

    >>> from typednn import InputLayer
    >>> ANN = [InputLayer(2), OutputLayer(1, "none", "MSE")]
    >>> ANN[1].attach_after(ANN[0])
    >>> ANN[1].W, ANN[1].Bias = np.array([[1.0, 2.0]]), np.array([[0.5]])
    >>> ANN[0].put_values([1, 1]); ANN[1].set_actual([3])
    >>> for layer in ANN: layer.forward()
    >>> ANN[1].backward()
    >>> ANN[1].output(), ANN[1].loss(), ANN[1].dLdW  # dLdy is 2 (3.5 - 3)
    (array([[3.5]]), 0.25, array([[1., 1.]]))

    Args:
        length: the number of outputs.
        outputfn: a name of `OutputActivationName`, or a name that `register_activation` returned.
        lossfn: a name of `LossName`, or a name that `register_loss` returned.
        weights: the initialiser of the weights that a `Network` uses; by default the activation decides.
        biases: the initialiser of the biases; by default they are 0.
        l1: the coefficient of the penalty l1·Σ|W|, which training adds to the loss, as Keras'
            kernel_regularizer does. Reported losses do not include it.
        l2: the coefficient of the penalty l2·ΣW², likewise.

    Raises:
        SettingError: the length is not a positive integer, or 1 for a loss of classes (crossentropy,
            kl_divergence, nll), or a penalty is negative or not finite.
        UnknownNameError: there is no such activation, loss or initialiser.

    Warns:
        UserWarning: the loss is of classes, and the activation is not softmax, or log_softmax for nll; or the
            loss is of independent probabilities, or of rates (poisson), and the outputs may be no such.
    """

    last = True

    @overload
    def __init__(
        self: OutputLayer[np.float64, AnyTargets],
        length: Literal[1],
        outputfn: OutputActivationName | CustomActivation = ...,
        lossfn: RegressionLossName | BinaryLossName | CustomLoss = ...,
        *,
        weights: WeightInitializerName | None = ...,
        biases: BiasInitializerName | None = ...,
        l1: float = ...,
        l2: float = ...,
    ) -> None: ...
    @overload
    @deprecated("A loss of classes needs two outputs or more; for one, use sigmoid with bincrossentropy")
    def __init__(
        self: OutputLayer[np.float64, Never],
        length: Literal[1],
        outputfn: OutputActivationName | CustomActivation = ...,
        lossfn: ClassLossName = ...,
        *,
        weights: WeightInitializerName | None = ...,
        biases: BiasInitializerName | None = ...,
        l1: float = ...,
        l2: float = ...,
    ) -> None: ...
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
    @deprecated("A loss of classes needs softmax; other outputs do not sum to 1")
    def __init__(
        self: OutputLayer[np.float64, ClassTargets],
        length: int,
        outputfn: ActivationName = ...,
        lossfn: ClassLossName = ...,
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
        self._lossfnname: LossName | CustomLoss = names.loss(lossfn)
        if LOSSES[LOSS_CODES[self.lossfnname]].targets == "classes":
            self._check_classes()
        else:
            self._check_range()
        self._allocate()

    @property
    def _arguments(self) -> list[str]:
        length, actname, *others = super()._arguments
        return [length, actname, repr(self._lossfnname), *others]

    @fixed
    def lossfnname(self) -> LossName | CustomLoss:
        """The name of the loss."""
        return self._lossfnname

    def _check_classes(self) -> None:
        """Refuses a single output for a loss of classes, and warns where the outputs do not sum to 1."""
        if self.length == 1:
            raise SettingError(
                f"OutputLayer: {self.lossfnname!r} compares the probabilities of classes and needs a length "
                "of 2 or more, not 1; for one output that is 0 or 1, use OutputLayer(1, 'sigmoid', "
                "'bincrossentropy')"
            )
        wanted = "log_softmax" if self.lossfnname == "nll" else "softmax"
        if self.actname == wanted:
            return
        if wanted == "log_softmax":
            why = (
                "nll is of logarithms of probabilities; use 'log_softmax', or 'softmax' with 'crossentropy', "
                "the same loss"
            )
        elif self.actname == "log_softmax":
            why = f"{self.lossfnname} is of probabilities of classes; use 'softmax', or 'nll' of logarithms"
        else:
            why = (
                f"{self.lossfnname} is of probabilities of classes, and outputs of {self.actname!r} do not "
                "sum to 1; use 'softmax', also where other libraries have logits, or 'sigmoid' with "
                "'bincrossentropy' for classes that occur together"
            )
        warnings.warn(f"{self!r} cannot tell classes apart: {why}", stacklevel=3)

    def _check_range(self) -> None:
        """Warns where outputs may lie outside of the range for which the loss is defined.

        That of outputs whose activation has parameters, or is registered by a user, is not known.
        """
        code = ACTIVATION_CODES.get(self.actname)
        if code is None or code >= BUILT_IN:
            return
        activation, loss = ACTIVATIONS[code], LOSSES[LOSS_CODES[self.lossfnname]]
        if loss.targets == "probabilities" and not 0 <= activation.minimum <= activation.maximum <= 1:
            why = (
                f"{loss.name} is of probabilities, and outputs of {self.actname!r} below 0 or above 1 are "
                "clipped, with a gradient of 0; use 'sigmoid', also where other libraries have logits"
            )
        elif loss.name == "poisson" and activation.minimum < 0:
            why = (
                f"poisson is of rates, and falls without end where outputs of {self.actname!r} do; use "
                "'exponential', also where other libraries have logarithms of rates"
            )
        else:
            return
        warnings.warn(f"{self!r} has outputs that its loss is not defined for: {why}", stacklevel=3)

    @property
    def _loss_code(self) -> int:
        """The index of the loss in the table `LOSSES`, by which the kernels know it.

        Raises:
            NotReadyError: the loss was registered in another process, but not in this one.
        """
        name = self._lossfnname
        code = LOSS_CODES.get(name)
        if code is None:
            raise NotReadyError(f"the loss {name!r} is unknown here: call register_loss({name!r}, ...) first")
        return code

    def _look_up_loss(self) -> tuple[int, Vector[F]]:
        """Returns the code of the loss and the limits of its targets, and keeps them in the storage."""
        code, storage = self._loss_code, self._storage
        limits = np.array([LOSSES[code].target_minimum, LOSSES[code].target_maximum], storage.dtype)
        storage.loss = code, limits
        return code, limits

    def set_actual(self, actual: ArrayLike) -> None:
        """Copies the targets of one sample `(n,)`, or of a batch `(B, n)`, into the network.

        Raises:
            ShapeError: the targets have another number of outputs.
            ArrayTypeError: the targets are not numbers.
            DataError: a target is NaN, infinite, or outside the range for which the loss is defined.
        """
        storage = self._storage
        lowest, highest = (storage.loss or self._look_up_loss())[1].tolist()
        if not storage.try_copy_sample(actual, storage.targets, lowest, highest):
            targets = as_sample(actual, self.length, storage.dtype, "actual", self.name)
            check_range(targets, lowest, highest, "actual", self.name)
            storage.set_targets(targets)
        storage.has_targets = True

    def output(self) -> Matrix[F]:
        """Returns a copy of the activations, `(n, B)`.

        Raises:
            NotReadyError: called before the first `forward`.
        """
        return self.activations.copy()

    def loss(self) -> float:
        """Computes the mean loss of the batch.

        Raises:
            NotReadyError: called before `forward` or `set_actual`.
        """
        return self._mean_loss(self._storage.workspace, self._targets("loss()"))

    def _mean_loss(self, workspace: Workspace[F], t: Matrix[F]) -> float:
        """Computes the mean loss of the samples in a workspace, given their targets `(B, n)`."""
        losses: Vector[F] = np.empty(len(t), t.dtype)
        self._sample_losses(workspace, t, losses)
        return self._storage.total_loss(losses) / len(losses)

    def _sample_losses(self, workspace: Workspace[F], t: Matrix[F], losses: Vector[F]) -> None:
        """Computes the loss of each sample in a workspace, given their targets `(B, n)`."""
        here = workspace.blocks[self._index]
        activation = self._storage.activations[self._index]
        self._storage.running.kernels.loss_value(self._loss_code, activation, here.a, here.h, t, losses)

    def _as_targets(self, y: Given, owner: str) -> Matrix[F]:
        """Checks targets `(n_samples, n)` or labels `(n_samples,)`; returns them as rows for the kernels.

        Raises:
            ShapeError, ArrayTypeError, DataError: they do not fit the layer or its loss.
        """
        loss = LOSSES[self._loss_code]
        t = as_targets(y, self.length, self._storage.dtype, loss.targets == "classes", owner)
        check_range(t, loss.target_minimum, loss.target_maximum, "y", owner)
        return t

    @property
    def dLdy(self) -> Matrix[F]:
        """The gradient of the batch's mean loss with respect to the outputs, `(n, B)`.

        Raises:
            NotReadyError: read before the first `backward`.
        """
        self._require_backward()
        return transposed(self._storage.workspace.blocks[self._index].dLdh)

    @property
    def dyda(self) -> np.ndarray[tuple[int, ...], np.dtype[F]]:
        """The derivative of the activation at the last forward pass, `(n, B)`; computed when it is read.

        For softmax and log_softmax it is the Jacobian of each sample, `(B, n, n)`, or `(n, n)` for one.

        Raises:
            NotReadyError: read before the first `forward`.
        """
        self._require_forward()
        y = self._storage.workspace.blocks[self._index].h
        if self.actname not in {"softmax", "log_softmax"}:
            return transposed(self._derivative(y))
        jacobians = np.empty((len(y), self.length, self.length), self._storage.dtype)
        if self.actname == "softmax":
            self._storage.running.kernels.softmax_jacobian(y, jacobians)
        else:
            jacobians[...] = np.eye(self.length) - np.exp(y)[:, None]
        jacobians.setflags(write=False)
        return jacobians[0] if len(y) == 1 else jacobians

    def backward(self) -> None:
        """Computes dLdy, dLda, dLdW and dLdBias from the outputs and targets.

        Raises:
            NotReadyError: called before `forward` or `set_actual`.
            ShapeError: there are not as many targets as samples.
        """
        storage, k = self._storage, self._index
        workspace, t = storage.workspace, storage.targets_view
        if workspace.forward_valid <= k or not storage.has_targets or len(t) != workspace.samples:
            self._targets("backward()")
        arguments = workspace.arguments or storage.arguments(workspace)
        before, after = arguments.output_backward
        code, _ = storage.loss or self._look_up_loss()
        storage.running.kernels.output_layer_backward(code, *before, t, *after)
        workspace.backward_valid = k
        if workspace.backward_reached == k + 1:
            workspace.backward_reached = k
        storage.has_gradient[k] = True

    def _targets(self, wanted: str) -> Matrix[F]:
        workspace, t = self._storage.workspace, self._storage.targets_view
        if workspace.forward_valid <= self._index:
            raise NotReadyError(f"{self.name}: call forward() of every layer before {wanted}")
        if not self._storage.has_targets:
            raise NotReadyError(f"{self.name}: call set_actual(...) before {wanted}")
        if len(t) != workspace.samples:
            raise ShapeError(
                f"{self.name}: set_actual was given {len(t)} samples, put_values {workspace.samples}"
            )
        return t

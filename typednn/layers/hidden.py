"""A layer between input and output."""

from __future__ import annotations

from typing import Never

import numpy as np
from typednn_kernels.activations import CODES, ActivationName, CustomActivation
from typednn_kernels.arrays import F, Matrix

from typednn import names
from typednn.backends import kernels
from typednn.errors import NotReadyError
from typednn.initializers import BiasInitializerName, WeightInitializerName
from typednn.layers.trainable import TrainableLayer


class HiddenLayer(TrainableLayer[F, Never]):
    """A layer between input and output.

    Args:
        length: the number of units.
        actfn: a name of `ActivationName`, or what `register_activation` returned.
        weights, biases: how a `Network` draws them; by default, weights by activation and biases 0.
        l1, l2: penalties on the weights while training, as Keras' kernel_regularizer: l1 times the sum of
            |W| plus l2 times the sum of W². The losses that are reported are without them.

    Raises:
        SettingError: the length is not a positive integer, or a penalty is negative or not finite.
        UnknownNameError: no such activation or initialiser.
    """

    def __init__(
        self: HiddenLayer[np.float64],
        length: int,
        actfn: ActivationName | CustomActivation = "none",
        *,
        weights: WeightInitializerName | None = None,
        biases: BiasInitializerName | None = None,
        l1: float = 0.0,
        l2: float = 0.0,
    ) -> None:
        super().__init__(length, names.hidden_activation(actfn), weights, biases, l1, l2)
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
        return self._chain.workspace.blocks[self._index].dLdh.T

    def backward(self) -> None:
        """dLdh, dLda, dLdW and dLdBias, from dLda and the weights of the next layer.

        Raises:
            NotReadyError: before `backward` of the next layer.
        """
        chain, k = self._chain, self._index
        workspace = chain.workspace
        if self.next is None or workspace.returned > k + 1:
            raise NotReadyError(f"{self.name}: call backward() of the layer after it first")
        run = kernels(chain.dtype)
        here, after = workspace.blocks[k], workspace.blocks[k + 1]
        run.backpropagate(after.dLda, chain.weights[k + 1], here.dLdh)
        run.slope_product(CODES[self.actname], here.a, here.h, here.dLdh, here.dLda)
        self._form_weight_gradient()
        self._note_backward()

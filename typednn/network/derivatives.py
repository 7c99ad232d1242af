"""Derivatives of each sample by itself: gradients of their losses, and Jacobians of their outputs.

>>> import numpy as np
>>> from typednn import HiddenLayer, InputLayer, Network, OutputLayer
>>> network = Network([InputLayer(3), HiddenLayer(4, "tanh"), OutputLayer(2)], seed=0)
>>> x, y = np.ones((5, 3)), np.zeros((5, 2))
>>> jacobian(network, x).shape
(5, 2, 3)
>>> each = sample_gradients(network, x, y)
>>> bool(np.allclose(each.mean(axis=0), network.forward(x).backward(y).vector))
True
"""

from __future__ import annotations

import numpy as np
from typednn_kernels.arrays import Cube, Matrix
from typednn_kernels.layout import biases, gains, inner_biases, weights

from typednn.network.network import Network, check_network
from typednn.validation.arrays import F_co, Samples, Targets, Y_co


def jacobian(network: Network[F_co, Y_co], x: Samples[F_co]) -> Cube[F_co]:
    """Computes the derivatives of the outputs with respect to the samples.

    Args:
        network: the network, as it predicts.
        x: samples `(n_samples, n_features)`.

    Returns:
        The Jacobian of each sample, `(n_samples, n_outputs, n_features)`.

    Raises:
        WiringError: it is not a network.
        ShapeError, ArrayTypeError, DataError: the samples do not fit.
    """
    check_network(network, "jacobian")
    forward = network.forward(x)
    samples, n = forward.output.shape
    result: Cube[F_co] = np.empty((samples, n, network.layers[0].length), network.dtype)
    for k in range(n):
        dLdy: Matrix[F_co] = np.zeros((samples, n), network.dtype)
        dLdy[:, k] = 1
        result[:, k] = forward.backward(dLdy=dLdy, inputs=True).dLdx
    return result


def sample_gradients(network: Network[F_co, Y_co], x: Samples[F_co], y: Targets[F_co, Y_co]) -> Matrix[F_co]:
    """Computes the gradient of the loss of each sample with respect to the parameters.

    Their mean over samples is the gradient of the mean loss.

    Args:
        network: the network, as it predicts.
        x: samples `(n_samples, n_features)`.
        y: targets, in the forms that `Network.fit` accepts.

    Returns:
        The gradients, `(n_samples, n_parameters)`, each in the layout of `Network.parameters`.

    Raises:
        ShapeError, ArrayTypeError, DataError: the data do not fit.
    """
    check_network(network, "sample_gradients")
    gradients = network.forward(x).backward(y)
    blocks, layout = gradients._workspace.blocks, network._storage.layout
    samples = len(blocks[0].h)
    result: Matrix[F_co] = np.empty((samples, network.parameters.size), network.dtype)
    for k in range(1, len(blocks)):
        here, h_prev = blocks[k], blocks[k - 1].h
        for s, row in enumerate(result):
            if (products := weights(row, layout, k)).size:
                np.multiply.outer(here.dLdz[s], h_prev[s], out=products)
            biases(row, layout, k)[...] = here.dLda[s]
            if gains(row, layout, k).size:
                np.multiply(here.dLda[s], here.z[s], out=gains(row, layout, k))
            if (sums := inner_biases(row, layout, k)).size:
                sums[...] = here.dLdz[s]
    result *= samples  # the deltas are those of the mean over samples
    return result

"""NumPy and compiled code make the same steps; here with a loop that is compiled for this small network."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import pytest
from typednn_kernels.arrays import Matrix

from typednn import HiddenLayer, InputLayer, OutputLayer, gradient_descent_epoch, use_backend
from typednn.names import BackendName

Numbers: TypeAlias = Matrix[np.float64]


def trained(path: BackendName, x: Numbers, t: Numbers) -> tuple[list[float], Matrix[np.float64]]:
    """The losses of 20 epochs, and the weights of the hidden layer."""
    inputs, hidden, output = InputLayer(2), HiddenLayer(2, "sigmoid"), OutputLayer(1, "none", "MSE")
    hidden.attach_after(inputs)
    hidden.set_weights("xavier", seed=1)
    output.attach_after(hidden)
    output.set_weights("xavier", seed=2)
    with use_backend(path):
        _, losses = gradient_descent_epoch([inputs, hidden, output], x, t, eta=0.1, epochs=20)
    return losses, hidden.W


def test_both_paths_train_alike(x: Numbers, t: Numbers) -> None:
    pytest.importorskip("numba", reason="numba does not work here", exc_type=ImportError)
    reference = trained("numpy", x, t)

    computed = trained("numba", x, t)

    np.testing.assert_allclose(computed[0], reference[0], rtol=1e-12)
    np.testing.assert_allclose(computed[1], reference[1], rtol=1e-12)

"""A step of an optimiser leaves no subnormal numbers, and the CPU as it was."""

from __future__ import annotations

import platform
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.conftest import compiling_only
from typednn import (
    SGD,
    Adam,
    HiddenLayer,
    InputLayer,
    Network,
    OutputLayer,
    Steps,
    register_activation,
    use_threads,
)

pytestmark = [
    compiling_only,
    pytest.mark.skipif(platform.machine() not in {"x86_64", "AMD64"}, reason="other CPUs are as they are"),
]
by_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@by_dtype
def test_weights_that_a_penalty_makes_smaller_stay_normal(dtype: Any) -> None:
    network: Network[Any] = Network([InputLayer(2), HiddenLayer(3, l2=0.2), OutputLayer(1)], dtype=dtype)
    layer = network.layers[1]
    tiny = np.finfo(dtype).tiny
    layer.W = np.array([[8 * tiny, 1]] * 3, dtype)
    steps = Steps(network, SGD(0.5))

    for _ in range(60):
        steps.step(np.zeros(13, dtype))

    assert ((layer.W[:, 0] >= tiny) & (layer.W[:, 0] < 4 * tiny)).all()
    assert np.allclose(layer.W[:, 1], 0.8**60, rtol=1e-4)
    x: NDArray[Any] = np.zeros((2, 2), dtype)
    steps.train(x, x[:, :1])
    assert (layer.W[:, 0] >= tiny).all()


@by_dtype
def test_moments_of_weights_without_gradients_become_zero(dtype: Any) -> None:
    network: Network[Any] = Network([InputLayer(3), OutputLayer(1)], dtype=dtype)
    steps, first = Steps(network, Adam()), np.ones(4, dtype)

    for k in range(7500):
        steps.step(first if k == 0 else 0 * first)

    assert (steps.state()["states"][0] == 0).all()


@pytest.mark.parametrize("threads", [1, 2])
def test_the_rest_of_the_program_has_subnormal_numbers(threads: int) -> None:
    network: Network[Any] = Network([InputLayer(200), HiddenLayer(300, l2=0.1), OutputLayer(1)], seed=0)
    x = np.random.default_rng(0).random((256, 200))

    with use_threads(threads):
        network.fit(x, x[:, :1], epochs=2, optimizer=Adam(1e-3), progress=False)

    assert (np.full(9, np.finfo(np.float64).tiny) / 2 > 0).all()


def test_a_formula_that_is_compiled_in_the_middle_of_a_training_has_its_subnormal_constants() -> None:
    small, large = 5.1e-39, 1e38
    activation = register_activation(
        "with a subnormal constant",
        lambda x: x * small * large + x,
        lambda x, _: 0 * x + (1 + small * large),
    )
    layers = [InputLayer(4), HiddenLayer(8, activation), OutputLayer(1)]
    network: Network[np.float32] = Network(layers, np.float32, seed=0)
    x = np.random.default_rng(0).random((64, 4)).astype(np.float32)
    network.fit(x, x[:, :1], epochs=1, batch_size=16, learning_rate=1e-30, progress=False)

    network.forward(x)

    layer = network.layers[1]
    np.testing.assert_allclose(layer.activations, 1.51 * layer.pre_activations, rtol=1e-4)

"""Every optimiser over 50 steps: beside its paper, beside PyTorch, on both paths and in both dtypes."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import typednn
from tests.conftest import kernels_of
from tests.oracles import differences, loops, torch_float64, updates
from tests.oracles.agreement import assert_close
from tests.oracles.problems import Problem, problem
from tests.typednn.building import DTYPES, network_of
from typednn import (
    SGD,
    Adagrad,
    Adam,
    CosineDecay,
    DivergenceError,
    InputLayer,
    Nadam,
    Network,
    Optimizer,
    OutputLayer,
    RMSprop,
    SettingError,
    names,
)
from typednn.training.optimizer_state import OptimizerState
from typednn.training.samples import format_of
from typednn.training.trainer import Trainer

by_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)
both_paths = pytest.mark.usefixtures("path")

EPOCHS, BATCH_SIZE = 10, 3
BATCHES = [range(start, min(start + BATCH_SIZE, 13)) for start in range(0, 13, BATCH_SIZE)] * EPOCHS
"""50 steps; the last batch of an epoch has one sample."""

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "SGD": ("SGD", {"learning_rate": 0.2}),
    "momentum": ("SGD", {"learning_rate": 0.05, "momentum": 0.9}),
    "Nesterov": ("SGD", {"learning_rate": 0.05, "momentum": 0.9, "nesterov": True}),
    "RMSprop": ("RMSprop", {"learning_rate": 0.01}),
    "RMSprop, momentum": ("RMSprop", {"learning_rate": 0.01, "rho": 0.8, "momentum": 0.7, "epsilon": 1e-3}),
    "RMSprop, centred": ("RMSprop", {"learning_rate": 0.01, "centered": True, "epsilon": 1e-3}),
    "Adagrad": ("Adagrad", {"learning_rate": 0.05}),
    "Adam": ("Adam", {"learning_rate": 0.01}),
    "Adam, epsilon": ("Adam", {"learning_rate": 0.01, "beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-2}),
    "AdamW": ("AdamW", {"learning_rate": 0.01, "weight_decay": 0.5}),
    "AdamW, default": ("AdamW", {"learning_rate": 0.01}),
    "Nadam": ("Nadam", {"learning_rate": 0.01}),
    "Rprop": ("Rprop", {"learning_rate": 0.01}),
    "Rprop, limits": ("Rprop", {"learning_rate": 0.01, "etas": (0.3, 1.5), "step_sizes": (4e-3, 2e-2)}),
    "Lion": ("Lion", {"learning_rate": 0.003}),
    "weight decay": ("SGD", {"learning_rate": 0.1, "momentum": 0.5, "weight_decay": 0.3}),
    "norm": ("SGD", {"learning_rate": 0.2, "clip_norm": 0.3}),
    "value": ("SGD", {"learning_rate": 0.2, "clip_value": 0.05}),
    "all at once": (
        "Adam",
        {"learning_rate": 0.01, "clip_norm": 0.4, "clip_value": 0.1, "weight_decay": 0.1, "epsilon": 1e-3},
    ),
}
by_case = pytest.mark.parametrize("name", CASES)


def made(name: str, **changed: Any) -> Optimizer:
    kind, settings = CASES[name]
    optimizer: Optimizer = getattr(typednn, kind)(**{**settings, **changed})
    return optimizer


def case_of(dtype: Any) -> Problem:
    return problem((3, 5, 4, 2), ("none", "tanh", "sigmoid", "none"), "MSE", 13, dtype)


@cache
def by_paper(name: str, dtype: Any, penalized: bool = False) -> tuple[loops.Numbers, loops.Numbers]:
    """The parameters after 50 steps, and the mean losses of the epochs."""
    kind, settings = CASES[name]
    case = case_of(dtype)
    oracle = updates.Optimizer(
        kind, settings, lambda step: settings["learning_rate"], *penalties(case, penalized)
    )
    net, losses = updates.train(case.net, case.x, case.t, BATCHES, oracle)
    return net.vector, losses.reshape(EPOCHS, -1).mean(axis=1)


def penalties(case: Problem, penalized: bool) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.bool]]:
    """L1, L2 and whether it is trained, by parameter: none and all, or as `penalize` says."""
    l1, l2, trainable = (np.zeros(len(case.vector)) for _ in range(3))
    trainable[:] = 1
    if penalized:
        first, second = case.weights[0].size, case.biases[0].size
        l1[:first], l2[:first] = 0.02, 0.03
        trainable[first + second : first + second + case.weights[1].size + case.biases[1].size] = 0
    return l1, l2, trainable.astype(bool)


def penalize(network: Network[Any]) -> None:
    """L1 and L2 on the first layer; the second is frozen."""
    layers: Any = network.layers
    layers[1].l1, layers[1].l2 = 0.02, 0.03
    layers[2].trainable = False


def fit(network: Network[Any], dtype: Any, optimizer: Optimizer, batch_size: int = BATCH_SIZE) -> list[float]:
    case = case_of(dtype)
    settings: dict[str, Any] = {"epochs": EPOCHS, "batch_size": batch_size, "shuffle": False}
    return network.fit(case.x, case.t, optimizer=optimizer, **settings).loss


@by_case
@by_dtype
@both_paths
def test_fifty_steps_as_in_the_paper(name: str, dtype: Any) -> None:
    network = network_of(case_of(dtype))

    vector, losses = by_paper(name, dtype)
    computed = fit(network, dtype, made(name))

    assert network.parameters.dtype == dtype
    assert_close(network.parameters, vector, 4096)
    assert_close(np.array(computed, dtype), losses, 4096)


@pytest.mark.parametrize("name", ["SGD", "momentum", "Adam", "AdamW", "norm", "all at once"])
@by_dtype
@both_paths
def test_penalties_and_frozen_layers(name: str, dtype: Any) -> None:
    network = network_of(case_of(dtype))
    penalize(network)
    before = network.layers[2].W.copy()

    vector, losses = by_paper(name, dtype, penalized=True)
    computed = fit(network, dtype, made(name))

    assert_close(network.parameters, vector, 4096)
    assert_close(np.array(computed, dtype), losses, 4096)
    assert (before == network.layers[2].W).all()


PYTORCH: dict[str, tuple[str, dict[str, Any]]] = {
    "SGD": ("SGD", {"lr": 0.2}),
    "momentum": ("SGD", {"lr": 0.05, "momentum": 0.9}),
    "Nesterov": ("SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True}),
    "RMSprop": ("RMSprop", {"lr": 0.01, "alpha": 0.9, "eps": 0}),
    "RMSprop, momentum": ("RMSprop", {"lr": 0.01, "alpha": 0.8, "momentum": 0.7, "eps": 0}),
    "RMSprop, centred": ("RMSprop", {"lr": 0.01, "alpha": 0.9, "centered": True, "eps": 0}),
    "Adagrad": ("Adagrad", {"lr": 0.05, "initial_accumulator_value": 0.1, "eps": 0}),
    "Adam": ("Adam", {"lr": 0.01}),
    "Adam, epsilon": ("Adam", {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-2}),
    "AdamW": ("AdamW", {"lr": 0.01, "weight_decay": 0.5}),
    "Nadam": ("NAdam", {"lr": 0.01, "momentum_decay": 1}),  # has a product of its momenta in float32
    "Rprop": ("Rprop", {"lr": 0.01}),
    "Rprop, limits": ("Rprop", {"lr": 0.01, "etas": (0.3, 1.5), "step_sizes": (4e-3, 2e-2)}),
}


@pytest.mark.parametrize("name", PYTORCH)
@both_paths
def test_fifty_steps_as_in_pytorch(name: str) -> None:
    """epsilon is 0 where PyTorch adds it at another place than Keras."""
    case, (kind, settings) = case_of(np.float64), PYTORCH[name]
    network = network_of(case)
    changed = {"epsilon": 0.0} if settings.get("eps") == 0 else {}

    vector, losses = torch_float64.train(
        case.activations, case.weights, case.biases, case.loss, case.x, case.t, BATCHES, kind, settings
    )
    computed = fit(network, np.float64, made(name, **changed))

    tolerance = 1e-8 if kind == "NAdam" else 1e-12
    np.testing.assert_allclose(network.parameters, vector, rtol=0, atol=tolerance)
    shares = np.array([len(batch) / 13 for batch in BATCHES]).reshape(EPOCHS, -1)
    expected = (np.array(losses).reshape(EPOCHS, -1) * shares).sum(axis=1)
    np.testing.assert_allclose(computed, expected, rtol=tolerance)


# The two paths, on layers that are worked on block by block.


@pytest.mark.parametrize("name", CASES)
@by_dtype
def test_paths_agree(name: str, dtype: Any) -> None:
    kernels_of("numba")
    case = problem((9, 130, 3), ("none", "tanh", "softmax"), "crossentropy", 8, dtype)
    results: list[NDArray[Any]] = []
    for path in names.backend:
        with typednn.use_backend(path):
            network = network_of(case)
            network.fit(case.x, case.t, optimizer=made(name), epochs=2, batch_size=4, shuffle=False)
            results.append(network.parameters)

    # A gradient that is almost 0 has few right digits, of which a rule that divides by it sees nothing else.
    off = abs(results[0] - results[1])
    assert np.quantile(off, 0.99) <= 512 * np.finfo(dtype).eps


@by_case
@both_paths
def test_a_sample_a_step(name: str) -> None:
    """Single samples go through the same rules as batches; the compiled epoch of plain descent does, too."""
    case = case_of(np.float64)
    kind, settings = CASES[name]
    network = network_of(case)
    oracle = updates.Optimizer(
        kind, settings, lambda step: settings["learning_rate"], *penalties(case, penalized=False)
    )

    net, _ = updates.train(case.net, case.x, case.t, [[k] for k in range(13)], oracle)
    network.fit(case.x, case.t, optimizer=made(name), epochs=1, batch_size=1, shuffle=False)

    assert_close(network.parameters, net.vector, 4096)


@both_paths
def test_a_step_goes_down_the_gradient_of_loss_and_penalties() -> None:
    case = case_of(np.float64)
    network = network_of(case)
    penalize(network)
    first = case.weights[0].size

    def objective(vector: NDArray[np.float64]) -> float:
        W = vector[:first]
        loss = float(case.net.with_vector(vector).mean_loss(case.x, case.t))
        return loss + float(0.02 * abs(W).sum() + 0.03 * (W**2).sum())

    reference = differences.gradient(objective, case.vector)
    layout = network._storage.layout
    reference[layout[2, 3] : layout[3, 3]] = 0
    network.fit(case.x, case.t, learning_rate=0.5, epochs=1, batch_size=13)

    np.testing.assert_allclose((case.vector - network.parameters) / 0.5, reference, rtol=1e-8, atol=1e-9)


# Schedules, and going on.


@both_paths
def test_a_schedule_gives_each_step_its_rate() -> None:
    case, schedule = case_of(np.float64), CosineDecay(0.02, 40, warmup_target=0.1, warmup_steps=7)
    network = network_of(case)
    oracle = updates.Optimizer("Adam", {}, schedule, *penalties(case, penalized=False))

    net, _ = updates.train(case.net, case.x, case.t, BATCHES, oracle)
    fit(network, np.float64, Adam(schedule))

    assert_close(network.parameters, net.vector, 4096)


@by_case
@by_dtype
@both_paths
def test_a_restored_training_gives_the_same_bits(name: str, dtype: Any) -> None:
    case, order, losses = case_of(dtype), np.arange(13), np.empty(13, dtype)

    def begin() -> tuple[NDArray[Any], Trainer[Any]]:
        network = network_of(case)
        return network.parameters, Trainer(network._storage, network._loss, BATCH_SIZE, made(name))

    samples = format_of(network_of(case)._output).samples(case.x, case.t)

    def run(trainer: Trainer[Any]) -> None:
        for _ in range(2):
            assert list(trainer.run(samples, order, losses)) == [len(order)]

    reference, uninterrupted = begin()
    run(uninterrupted)
    saved, state = reference.copy(), uninterrupted.optimizer_state.state()
    run(uninterrupted)
    computed, resumed = begin()
    computed[...] = saved
    resumed.optimizer_state.restore(state)
    run(resumed)

    assert computed.tobytes() == reference.tobytes()
    for key, array in uninterrupted.optimizer_state.state().items():
        assert resumed.optimizer_state.state()[key].tobytes() == array.tobytes()


def test_a_state_of_something_else_is_refused() -> None:
    case = case_of(np.float64)
    network = network_of(case)
    adam, sgd = (OptimizerState(network._storage, made(name)) for name in ("Adam", "SGD"))
    before = adam.state()

    with pytest.raises(typednn.ShapeError, match=r"Adam\(.*'states'.*another network or optimizer"):
        adam.restore(sgd.state())
    with pytest.raises(typednn.ShapeError, match="'step'"):
        adam.restore({})
    assert all((adam.state()[key] == before[key]).all() for key in before)


def test_step_two_compiles_nothing() -> None:
    kernels_of("numba")
    train_batches: Any = import_module("typednn_kernels.compiled").train_batches
    with typednn.use_backend("numba"):
        fit(network_of(case_of(np.float64)), np.float64, SGD())
        reference = len(train_batches.signatures)
        for name in CASES:
            fit(network_of(case_of(np.float64)), np.float64, made(name))

    assert len(train_batches.signatures) == reference


# Settings.

REFUSED: list[tuple[str, dict[str, Any]]] = [
    *(("SGD", {"learning_rate": value}) for value in (0, -1, np.nan, np.inf, "0.1", True, None)),
    *(("SGD", {"weight_decay": value}) for value in (-0.1, np.nan, np.inf, None)),
    *(("Adam", {"clip_norm": value}) for value in (0, -1.0, np.nan, np.inf)),
    *(("Adam", {"clip_value": value}) for value in (0, -1.0, np.nan, "1")),
    *(("SGD", {"momentum": value}) for value in (-0.1, 1, np.nan)),
    ("SGD", {"nesterov": 1}),
    *(("RMSprop", {name: -1}) for name in ("rho", "momentum", "epsilon")),
    ("RMSprop", {"centered": "yes"}),
    ("Adagrad", {"initial_accumulator_value": -1}),
    *(("Adam", {name: value}) for name in ("beta_1", "beta_2") for value in (-0.1, 1.0, np.nan)),
    *((name, {"epsilon": np.inf}) for name in ("Adam", "AdamW", "Nadam", "Adagrad")),
    ("Rprop", {"etas": (1.2, 0.5)}),
    ("Rprop", {"step_sizes": (1, 0.1)}),
    ("Rprop", {"learning_rate": CosineDecay(0.1, 10)}),
    ("Lion", {"beta_2": 1}),
]


@pytest.mark.parametrize(("kind", "settings"), REFUSED, ids=str)
def test_settings_outside_their_range(kind: str, settings: dict[str, Any]) -> None:
    with pytest.raises(SettingError, match="must"):
        getattr(typednn, kind)(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"optimizer": 0.1}, "optimizer must be one of typednn's, such as Adam"),
        (
            {"optimizer": Adam(), "learning_rate": 0.1},
            r"beside the name .* Adam\(learning_rate=0.1\) holds both",
        ),
        ({"optimizer": SGD(0.5, weight_decay=2.0)}, "learning_rate × weight_decay is 1 and must be below 1"),
        ({"learning_rate": 1e300}, "beyond what float32 can hold"),
        ({"learning_rate": 1e-60}, "beyond what float32 can hold"),
    ],
    ids=str,
)
def test_what_fit_refuses(settings: dict[str, Any], message: str) -> None:
    case = case_of(np.float32)
    network = network_of(case)

    with pytest.raises(SettingError, match=message):
        network.fit(case.x, case.t, **settings)
    assert network.parameters.tobytes() == case.vector.tobytes()


def test_penalties_and_switches_outside_their_range() -> None:
    hidden: Any = typednn.HiddenLayer
    for settings in ({"l1": -1.0}, {"l2": np.nan}, {"l2": "1"}):
        with pytest.raises(SettingError, match=r"HiddenLayer: l[12] must be"):
            hidden(3, **settings)
    layer = hidden(3)
    with pytest.raises(SettingError, match="trainable must be True or False, not 0"):
        layer.trainable = 0
    assert layer.trainable
    with pytest.raises(typednn.WiringError, match="has no parameters"):
        typednn.InputLayer(3).trainable = False


def test_a_network_that_is_frozen_learns_nothing() -> None:
    case = case_of(np.float64)
    network = network_of(case)
    network.trainable = False

    losses = fit(network, np.float64, Adam())

    assert network.parameters.tobytes() == case.vector.tobytes()
    assert all(before == after for before, after in pairwise(losses))
    assert not network.trainable


ZERO_DIVISORS: dict[str, tuple[Any, Any]] = {
    "Adam, 0": (Adam(epsilon=0.0), np.float64),
    "Adam, 0 in float32": (Adam(epsilon=0.0), np.float32),
    "Adam, less than float32 has": (Adam(epsilon=1e-50), np.float32),
    "Nadam": (Nadam(epsilon=0.0), np.float32),
    "RMSprop": (RMSprop(epsilon=1e-50), np.float32),
    "RMSprop with momentum": (RMSprop(epsilon=0.0, momentum=0.5), np.float64),
    "Adagrad": (Adagrad(epsilon=0.0, initial_accumulator_value=0.0), np.float32),
}


@pytest.mark.parametrize("batch_size", [1, 2, 8])
@pytest.mark.parametrize("name", ZERO_DIVISORS)
@both_paths
def test_a_step_of_0_by_0_is_not_made(name: str, batch_size: int) -> None:
    """The gradient of the first weight is 0, and its step 0 / 0."""
    optimizer, dtype = ZERO_DIVISORS[name]
    network: Any = Network([InputLayer(2), OutputLayer(1)], dtype=dtype, seed=0)
    x = np.ones((8, 2), dtype)
    x[:, 0] = 0

    message = (
        "layer 1, .* steps that are not finite; the network is as .* or a larger epsilon of the optimizer"
    )
    for bias in (True, False):  # without it all gradients are 0, and the input layer was named
        x[:, 1] = bias
        network.layers[1].Bias = [0 if bias else 3]
        before = network.parameters.copy()
        with pytest.raises(DivergenceError, match=message) as caught:
            network.fit(x, np.full((8, 1), 3, dtype), optimizer=optimizer, batch_size=batch_size, epochs=2)

        assert (caught.value.epoch, caught.value.step, caught.value.layer) == (1, 1, 1)
        assert network.parameters.tobytes() == before.tobytes()


@pytest.mark.parametrize("batch_size", [1, 2])
@both_paths
def test_steps_before_one_of_0_by_0_are_made(batch_size: int) -> None:
    """From the fifth sample on the gradient of the weight is 0; RMSprop forgets all of the past."""
    optimizer = RMSprop(learning_rate=0.01, rho=0.0, epsilon=0.0)
    x, y = np.ones((8, 1)), np.linspace(3, 4, 8).reshape(-1, 1)
    x[4:] = 0
    network, reference = (Network([InputLayer(1), OutputLayer(1)], seed=0) for _ in range(2))
    settings: dict[str, Any] = {"optimizer": optimizer, "batch_size": batch_size, "shuffle": False}
    reference.fit(x[:4], y[:4], epochs=1, **settings)

    with pytest.raises(DivergenceError) as caught:
        network.fit(x, y, epochs=1, **settings)

    assert caught.value.step == 4 // batch_size + 1
    assert network.parameters.tobytes() == reference.parameters.tobytes()


@both_paths
def test_divergence_is_noticed() -> None:
    case = case_of(np.float64)
    network = network_of(case)

    with pytest.raises(DivergenceError):
        fit(network, np.float64, SGD(1e5, momentum=0.99))
    assert np.isfinite(network.parameters).all()


def test_optimizers_show_what_they_were_made_with() -> None:
    assert repr(Adam(0.01)) == "Adam(learning_rate=0.01, beta_1=0.9, beta_2=0.999, epsilon=1e-08)"
    assert (
        repr(SGD(weight_decay=0.1))
        == "SGD(learning_rate=0.01, momentum=0.0, nesterov=False, weight_decay=0.1)"
    )
    assert made("Rprop, limits") == eval(repr(made("Rprop, limits")), dict(vars(typednn)))


@both_paths
@pytest.mark.parametrize(
    "optimizer",
    [
        Adam(0.1),
        Nadam(0.1),
        RMSprop(0.1),
        RMSprop(0.1, momentum=0.5, centered=True),
        Adagrad(0.1),
        Adam(0.1, clip_value=1e30),
    ],
    ids=repr,
)
def test_squared_gradients_beyond_float32_stop_no_parameter(optimizer: Optimizer) -> None:
    """A step does not depend on the scale of all gradients: that of float64, where nothing overflows."""
    results: list[NDArray[Any]] = []
    for dtype in DTYPES:
        network: Any = Network([InputLayer(1), OutputLayer(1, "none", "mae")], dtype=dtype)
        network.parameters[...] = 0
        x, y = np.ones((3, 1), dtype), np.full((3, 1), 50, dtype)
        history = network.fit(x, y, epochs=20, sample_weight=np.full(3, 1e30), optimizer=optimizer)
        assert np.isfinite(history.loss).all()
        results.append(network.parameters.copy())

    assert (results[0] > 0.3).all()
    np.testing.assert_allclose(results[0], results[1], rtol=1e-4)

"""`Steps`: one step at a time is the training that `fit` makes, to the bit, and what it refuses."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.oracles import updates
from tests.oracles.agreement import assert_close
from tests.oracles.loops import exact
from tests.oracles.problems import problem
from tests.typednn.building import COPIES, DTYPES, network_of
from typednn import (
    SGD,
    Adagrad,
    Adam,
    AdamW,
    ArrayTypeError,
    CosineDecay,
    DataError,
    DivergenceError,
    HiddenLayer,
    InputLayer,
    Lion,
    Nadam,
    Network,
    Optimizer,
    OutputLayer,
    ReduceOnPlateau,
    RMSprop,
    Rprop,
    SettingError,
    ShapeError,
    Steps,
)

by_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)
both_paths = pytest.mark.usefixtures("path")

OPTIMIZERS: tuple[Optimizer, ...] = (
    SGD(0.05),
    SGD(0.05, momentum=0.9, nesterov=True),
    SGD(CosineDecay(0.1, 20), clip_norm=0.1),
    RMSprop(centered=True),
    Adagrad(),
    Adam(clip_value=0.01),
    Adam(epsilon=1e-30),
    AdamW(CosineDecay(0.1, 20)),
    Nadam(),
    Rprop(),
    Lion(),
)
KINDS: dict[str, tuple[dict[str, Any], bool]] = {
    "plain": ({}, False),
    "batch": ({"normalization": "batch"}, False),
    "dropout": ({"normalization": "layer", "dropout": 0.3}, False),
    "weights": ({"dropout": 0.3}, True),
    "penalties": ({"l1": 1e-3, "l2": 1e-2}, False),
}
"""The settings of a hidden layer, and whether samples have weights."""


def network(dtype: Any = np.float64, **settings: Any) -> Network[Any, Any]:
    hidden: list[Any] = [HiddenLayer(5, "tanh", **settings), HiddenLayer(4, "relu")]
    output: Any = OutputLayer(2, "softmax", "crossentropy")
    return Network([InputLayer(3), *hidden, output], dtype=dtype, seed=1)


def data(count: int, dtype: Any = np.float64) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    random = np.random.default_rng(0)
    x, labels = random.normal(size=(count, 3)).astype(dtype), random.integers(0, 2, count)
    return x, labels, random.uniform(0.5, 2, count)


def everything(net: Network[Any, Any]) -> bytes:
    """All parameters, running means and variances."""
    return bytes(net._storage.parameters.tobytes())


@pytest.mark.once_per("optimizer", "kind")
@by_dtype
@pytest.mark.parametrize("batch_size", [1, 7])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
@both_paths
def test_the_bits_are_those_of_fit(optimizer: Optimizer, kind: str, batch_size: int, dtype: Any) -> None:
    settings, weighted = KINDS[kind]
    x, labels, weights = data(3 * batch_size, dtype)
    fitted, stepped, mixed = (network(dtype, **settings) for _ in range(3))
    chosen: Any = {"batch_size": batch_size, "shuffle": False}
    if weighted:
        chosen["sample_weight"] = weights

    history = fitted.fit(x, labels, epochs=2, optimizer=optimizer, **chosen)
    steps, losses = Steps(stepped, optimizer), list[float]()
    for _ in range(2):
        for start in range(0, len(x), batch_size):
            rows = slice(start, start + batch_size)
            losses.append(steps.train(x[rows], labels[rows], weights[rows] if weighted else None))
    both = Steps(mixed, optimizer)
    first = mixed.fit(x, labels, epochs=1, optimizer=both, **chosen)
    for start in range(0, len(x), batch_size):
        rows = slice(start, start + batch_size)
        both.train(x[rows], labels[rows], weights[rows] if weighted else None)

    assert everything(stepped) == everything(mixed) == everything(fitted)
    assert (steps.count, both.count) == (6, 6)
    np.testing.assert_allclose(np.reshape(losses, (2, 3)).mean(axis=1), history.loss, rtol=1e-6)
    assert first.loss == history.loss[:1]
    for layer, other in zip(stepped.layers, fitted.layers, strict=True):
        assert layer.activations.tobytes() == other.activations.tobytes()


@by_dtype
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
@both_paths
def test_steps_with_gradients(optimizer: Optimizer, dtype: Any) -> None:
    x, labels, _ = data(14, dtype)
    fitted, stepped = (network(dtype, normalization="batch", l1=1e-3, l2=1e-2) for _ in range(2))
    for each in (fitted, stepped):
        each.layers[2].trainable = False
    fitted.fit(x, labels, epochs=1, batch_size=7, optimizer=optimizer, shuffle=False)
    steps = Steps(stepped, optimizer)
    steps.step(stepped.forward(x[:7], training=True).backward(labels[:7]))
    steps.step(stepped.forward(x[7:], training=True).backward(labels[7:]).vector)

    assert_close(stepped._storage.parameters, fitted._storage.parameters, 64)
    assert steps.count == 2


def test_a_step_with_a_gradient_follows_the_paper() -> None:
    case = problem((3, 4, 2), ("none", "tanh", "none"), "MSE", 5)
    net, gradient = network_of(case), np.linspace(-1, 1, case.vector.size)
    size = case.vector.size
    rule = updates.Optimizer(
        "Adam",
        {"clip_norm": 0.5},
        lambda _: 0.001,
        np.zeros(size),
        np.zeros(size),
        np.ones(size, np.bool),
    )

    steps = Steps(net, Adam(clip_norm=0.5))
    reference: Any = case.vector
    for _ in range(3):
        reference = rule.step(reference, exact(gradient))
        steps.step(gradient)

    assert_close(net.parameters, reference, 64)


@both_paths
def test_one_sample_is_a_batch_of_one() -> None:
    x, labels, weights = data(3)
    one, batch = network(), network()
    steps, others = Steps(one, "adam"), Steps(batch, "adam")
    for k in range(3):
        loss = steps.train(x[k], int(labels[k]), float(weights[k]))
        assert loss == others.train(x[k : k + 1], labels[k : k + 1], weights[k : k + 1])
    assert everything(one) == everything(batch)

    regressor, other = (Network([InputLayer(3), OutputLayer(1)], np.float32, seed=0) for _ in range(2))
    sample = x[0].astype(np.float32)
    first = Steps(regressor, SGD(0.1)).train(sample, 0.25)
    assert first == Steps(other, SGD(0.1)).train(sample.reshape(1, 3), np.full((1, 1), 0.25, np.float32))
    assert regressor.parameters.tobytes() == other.parameters.tobytes()


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@both_paths
def test_a_restored_state_gives_the_same_bits(dropout: float) -> None:
    x, labels, _ = data(12)
    through, resumed = network(dropout=dropout), network(dropout=dropout)
    steps = Steps(through, AdamW(CosineDecay(0.1, 20)))
    steps.train(x, labels)
    state, parameters = steps.state(), through.parameters.copy()
    steps.learning_rate = 0.5
    steps.train(x, labels)
    steps.restore(state)
    through.parameters[...] = parameters
    steps.train(x, labels)

    again = Steps(resumed, AdamW(CosineDecay(0.1, 20)))
    again.restore(state)
    resumed.parameters[...] = parameters
    again.train(x, labels)

    assert everything(through) == everything(resumed)
    assert steps.learning_rate == again.learning_rate == CosineDecay(0.1, 20)(2)


@pytest.mark.parametrize("copied", COPIES)
def test_copies_go_on_with_their_own_network(copied: Any) -> None:
    x, labels, _ = data(12)
    net = network(dropout=0.3)
    steps = Steps(net, Adam(0.01))
    steps.train(x, labels)

    twin, other = copied((net, steps))
    assert other.train(x, labels) == steps.train(x, labels)
    assert everything(twin) == everything(net)
    assert other.count == steps.count == 2
    assert "2 made" in repr(other)


def test_a_pickle_has_no_data() -> None:
    steps = Steps(network(), Adam())
    steps.train(np.full((3, 3), 0.123456789), np.array([0, 1, 1]))

    assert np.float64(0.123456789).tobytes() not in pickle.dumps(steps)


@both_paths
def test_changed_settings_take_effect() -> None:
    x, labels, _ = data(7)
    net = network()
    steps = Steps(net, SGD(0.1))
    steps.train(x, labels)
    net.trainable = False
    before = everything(net)
    steps.train(x, labels)
    steps.step(np.ones_like(net.parameters))
    assert everything(net) == before

    net.trainable = True
    steps.learning_rate = 0.25
    steps.step(np.ones_like(net.parameters))
    assert net.parameters.tobytes() == (np.frombuffer(before) - 0.25).tobytes()
    assert steps.optimizer == SGD(0.25)


REFUSED: dict[str, tuple[Callable[[Any, Any, Any], object], type[Exception], str]] = {
    "features": (lambda s, x, y: s.train(x[:, :2], y), ShapeError, "Steps: x must have the shape"),
    "one sample": (lambda s, x, y: s.train(x[0], y), ShapeError, "Steps: y must have the shape"),
    "a number": (
        lambda s, x, y: s.train(x[0], 0.5),
        ShapeError,
        r"shape \(2,\), or an integer label, not be",
    ),
    "label": (lambda s, x, y: s.train(x[0], 2), DataError, "Steps: labels must be 0 … 1"),
    "text": (lambda s, x, y: s.train(x[0], "1"), ArrayTypeError, "must be a number or an array, not str"),
    "rows": (lambda s, x, y: s.train(x[0], np.eye(2)), ShapeError, "y of one sample must have the shape"),
    "list": (
        lambda s, x, y: s.train(x, [0, 1]),
        ArrayTypeError,
        "Steps: y must be a numpy.ndarray, not list",
    ),
    "count": (lambda s, x, y: s.train(x, y[1:]), ShapeError, "x has 4 samples, y has 3"),
    "NaN": (
        lambda s, x, y: s.train(x * np.nan, y),
        DataError,
        "Steps: x holds 12 numbers that are not finite",
    ),
    "weight": (lambda s, x, y: s.train(x, y, -np.ones(4)), DataError, "sample_weight must be 0 or more"),
    "one weight": (
        lambda s, x, y: s.train(x, y, 2.0),
        ArrayTypeError,
        "sample_weight must be a numpy.ndarray",
    ),
    "gradient": (
        lambda s, x, y: s.step(np.ones(3)),
        ShapeError,
        "Steps: gradients must have the shape of Netw",
    ),
    "no array": (
        lambda s, x, y: s.step([1.0]),
        ArrayTypeError,
        "must be what backward returns, or a numpy.nda",
    ),
    "dtype": (
        lambda s, x, y: s.step(np.ones(54, np.float32)),
        ArrayTypeError,
        "must be float64, as the network",
    ),
    "infinite": (
        lambda s, x, y: s.step(np.full(54, np.inf)),
        DataError,
        "gradients holds 54 numbers that are",
    ),
    "overflow": (
        lambda s, x, y: s.step(np.full(54, 1e308)),
        DivergenceError,
        "diverged at step 2: the step with",
    ),
    "state": (lambda s, x, y: s.restore({**s.state(), "m": x}), DataError, "Steps: a state has no 'm'"),
    "other state": (lambda s, x, y: s.restore({}), ShapeError, "this one has nothing"),
    "rate": (
        lambda s, x, y: setattr(s, "learning_rate", -1),
        SettingError,
        "learning_rate must be a positive",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
@both_paths
def test_what_is_refused_changes_nothing(name: str) -> None:
    call, error, message = REFUSED[name]
    x, labels, _ = data(4)
    net = network()
    steps = Steps(net, Adam(0.1))
    steps.train(x, labels)
    before, state = everything(net), steps.state()

    with pytest.raises(error, match=message):
        call(steps, x, labels)

    assert everything(net) == before
    assert {name: each.tobytes() for name, each in steps.state().items()} == {
        name: each.tobytes() for name, each in state.items()
    }


@pytest.mark.parametrize("optimizer", [SGD(0.1), Adam()], ids=repr)
@pytest.mark.parametrize("batch_size", [1, 3])
@both_paths
def test_a_step_that_is_not_finite_is_not_made(batch_size: int, optimizer: Optimizer) -> None:
    net = Network([InputLayer(3), HiddenLayer(4), OutputLayer(1)], seed=0)
    steps = Steps(net, optimizer)
    x = np.ones((batch_size, 3))
    steps.train(x, np.zeros((batch_size, 1)))
    before = everything(net)

    with pytest.raises(DivergenceError, match=r"step 2: layer 2, Output.* has losses") as caught:
        steps.train(x, np.full((batch_size, 1), 1e300))

    assert everything(net) == before
    assert (caught.value.epoch, caught.value.step, caught.value.layer, steps.count) == (None, 2, 2, 1)


@by_dtype
@both_paths
def test_gradients_whose_squares_overflow(dtype: Any) -> None:
    large = dtype(2.0 ** (np.finfo(dtype).maxexp * 3 // 4))
    net = network(dtype)
    before = net.parameters.copy()

    Steps(net, SGD(1 / float(large))).step(np.full_like(before, large))

    assert net.parameters.tobytes() == (before - 1).tobytes()


def test_fit_takes_steps_of_its_network_alone() -> None:
    x, labels, _ = data(4)
    net = network()
    steps = Steps(net, SGD(ReduceOnPlateau(0.1)))
    wrong: Any = {"optimizer": steps, "learning_rate": 0.1}

    with pytest.raises(SettingError, match="Steps of another"):
        network().fit(x, labels, optimizer=steps)
    with pytest.raises(SettingError, match=r"assign steps\.learning_rate"):
        net.fit(x, labels, **wrong)
    net.fit_batches([(x, labels), (x, labels)], epochs=3, optimizer=steps)

    assert steps.count == 6

"""Activations with parameters: definitions, both paths, both dtypes, files, copies, mistakes."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typednn_kernels import activations
from typednn_kernels.activation_families import FAMILIES

from tests.conftest import PATHS
from tests.oracles import differences
from tests.typednn.building import DTYPES
from tests.typednn.test_custom import forget
from typednn import (
    CELU,
    ELU,
    CustomActivation,
    FormulaError,
    HardSigmoid,
    HardTanh,
    HiddenLayer,
    InputLayer,
    LeakyReLU,
    Network,
    NotReadyError,
    OutputLayer,
    ParametricActivation,
    SettingError,
    Softplus,
    UnknownNameError,
    gradcheck,
    load,
    names,
    register_activation_family,
    save,
    use_backend,
)
from typednn.formulas import Values, exp

NAMES = [
    LeakyReLU(),
    LeakyReLU(0.3),
    LeakyReLU(-0.5),
    ELU(0.4),
    CELU(0.7),
    Softplus(3),
    HardTanh(-0.2, 1.5),
    HardSigmoid(),
    HardSigmoid(-0.4, 0.3),
]
DEFINITIONS: dict[str, Callable[..., float]] = {
    "leaky_relu": lambda a, alpha: a if a > 0 else alpha * a,
    "elu": lambda a, alpha: a if a > 0 else alpha * (np.exp(a) - 1),
    "celu": lambda a, alpha: max(0, a) + min(0, alpha * (np.exp(a / alpha) - 1)),
    "softplus": lambda a, beta: np.log(1 + np.exp(beta * a)) / beta,
    "hard_tanh": lambda a, lowest, highest: min(max(a, lowest), highest),
    "hard_sigmoid": lambda a, alpha, beta: max(0, min(1, alpha * a + beta)),
}
POINTS = np.array([-3.1, -1.7, -0.9, -0.13, 0.21, 0.55, 1.2, 2.9])
by_name = pytest.mark.parametrize("name", NAMES, ids=repr)
by_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)


@pytest.fixture(autouse=True)
def tables() -> Iterator[None]:
    """The tables as they were before."""
    counts, families = (len(activations.ACTIVATIONS), 10**6), set(FAMILIES)
    yield
    forget(*counts)
    for name in FAMILIES.keys() - families:
        del FAMILIES[name]


def network_with(*names: Any, dtype: Any = np.float64) -> Network[Any]:
    layers = [InputLayer(1), *(HiddenLayer(1, name) for name in names), OutputLayer(1)]
    network = Network(layers, dtype, 0)
    network.parameters[...] = np.tile([1.0, 0.0], len(layers) - 1)
    return network


@pytest.mark.parametrize("path", PATHS)
@by_dtype
@by_name
def test_value_and_derivative(name: ParametricActivation, dtype: Any, path: Any) -> None:
    definition = DEFINITIONS[name._family]
    expected = [definition(a, *name.parameters.values()) for a in POINTS]
    derivatives = [
        np.ravel(
            differences.gradient(lambda v: definition(float(v[0]), *name.parameters.values()), np.array([a]))
        )[0]
        for a in POINTS
    ]
    with use_backend(path):
        network = network_with(name, dtype=dtype)
        network.forward(POINTS.astype(dtype).reshape(-1, 1)).backward(np.zeros((len(POINTS), 1), dtype))

    layer, eps = network.layers[1], np.finfo(dtype).eps
    assert isinstance(layer, HiddenLayer)
    np.testing.assert_allclose(layer.activations[0], expected, rtol=8 * eps, atol=2 * eps)
    np.testing.assert_allclose(layer.dhda[0], derivatives, rtol=max(8 * eps, 1e-8), atol=max(2 * eps, 1e-9))


@by_name
def test_nan_and_infinity(name: ParametricActivation) -> None:
    row = activations.ACTIVATIONS[network_with(name).layers[1]._storage.activations[1]]
    assert row.value is not None
    assert row.derivative is not None

    a = np.array([np.nan, np.inf, -np.inf])
    with np.errstate(all="ignore"):
        y = row.value(a)
        derivative = np.asarray(row.derivative(a, y))

    assert np.isnan([y[0], derivative[0]]).all()
    assert not np.isnan([y[1:], derivative[1:]]).any()
    assert row.minimum <= y[1:].min()
    assert y[1:].max() <= row.maximum


@by_dtype
def test_training_on_both_paths(dtype: Any) -> None:
    x, t = np.random.default_rng(0).normal(size=(40, 1)).astype(dtype), np.zeros((40, 1), dtype)
    trained: list[Any] = []
    for path in PATHS:
        with use_backend(names.backend(path)):
            network = Network(
                [InputLayer(1), *(HiddenLayer(5, name) for name in NAMES), OutputLayer(1)], dtype, 0
            )
            assert gradcheck(network, x[:5], t[:5]).passed
            network.fit(x, t, epochs=2, batch_size=8)
            trained.append(network.parameters.copy())
    np.testing.assert_allclose(trained[0], trained[-1], rtol=0, atol=200 * np.finfo(dtype).eps)


def test_names_say_what_they_are() -> None:
    layer = HiddenLayer(3, LeakyReLU(0.01))

    assert layer.actname == "leaky_relu(0.01)"
    assert repr(layer) == "HiddenLayer(3, LeakyReLU(0.01))"
    assert eval(repr(layer)).actname == layer.actname
    assert names.hidden_activation("leaky_relu(0.010)") == layer.actname
    assert isinstance(names.output_activation("hard_tanh(-1,2)"), HardTanh)
    assert HardTanh(-1, 2).parameters == {"lowest": -1.0, "highest": 2.0}


@by_name
def test_files_and_copies(name: ParametricActivation, tmp_path: Path) -> None:
    before = len(activations.ACTIVATIONS)
    network = network_with(name)
    expected = network.predict(POINTS.reshape(-1, 1))
    save(network, tmp_path / "model")
    forget(before, 10**6)

    for twin in (load(tmp_path / "model"), pickle.loads(pickle.dumps(network)), network.copy()):
        assert repr(twin.layers[1]) == repr(network.layers[1])
        assert type(twin.layers[1].actname) is type(name)
        np.testing.assert_array_equal(twin.predict(POINTS.reshape(-1, 1)), expected)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LeakyReLU(float("nan")), "LeakyReLU: alpha must be a finite number, not nan"),
        (lambda: ELU("1"), "ELU: alpha must be a finite number, not '1'"),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        (lambda: CELU(0), "CELU: needs a positive alpha, not alpha=0"),
        (lambda: Softplus(-1), "Softplus: needs a positive beta, not beta=-1"),
        (lambda: HardTanh(2, 1), "HardTanh: needs lowest below highest, not lowest=2, highest=1"),
    ],
)
def test_wrong_parameters(make: Callable[[], object], message: str) -> None:
    with pytest.raises(SettingError) as raised:
        make()

    assert str(raised.value) == message


@pytest.mark.parametrize(
    "name", ["leaky_relu(x)", "leaky_relu()", "leaky_relu(1, 2)", "relu(1)", "celu(-1)", "elu(inf)"]
)
def test_names_that_say_nothing(name: str) -> None:
    with pytest.raises(UnknownNameError):
        names.activation(name)


def test_there_is_room_for_a_thousand() -> None:
    for k in range(activations.MAX_ROWS - len(activations.ACTIVATIONS)):
        HiddenLayer(1, LeakyReLU(k))

    with pytest.raises(SettingError, match="one more than the 1000"):
        HiddenLayer(1, LeakyReLU(-1))


def swish(a: Values, beta: float) -> Values:
    return a / (1 + exp(-beta * a))


def swish_derivative(a: Values, y: Values, beta: float) -> Values:
    return (1 + beta * (a - y)) / (1 + exp(-beta * a))


def test_a_family_of_ones_own(tmp_path: Path) -> None:
    before = len(activations.ACTIVATIONS)
    family = register_activation_family("swish", swish, swish_derivative, parameters=["beta"])
    network = network_with(family(1.5), family(beta=-0.5))
    save(network, tmp_path / "model")

    assert repr(network.layers[1]) == "HiddenLayer(1, 'swish(1.5)')"
    assert (
        register_activation_family("swish", swish, swish_derivative, parameters=["beta"])(2) == "swish(2.0)"
    )
    assert gradcheck(network, POINTS.reshape(-1, 1), np.zeros((len(POINTS), 1))).passed
    np.testing.assert_array_equal(
        load(tmp_path / "model").predict(POINTS.reshape(-1, 1)), network.predict(POINTS.reshape(-1, 1))
    )
    kept = pickle.dumps(network)
    del FAMILIES["swish"]
    forget(before, 10**6)
    with pytest.raises(NotReadyError, match=r"call register_activation_family\('swish', ...\) first"):
        pickle.loads(kept)


def test_mistakes_with_families() -> None:
    family = register_activation_family("swish", swish, swish_derivative, parameters=["beta"])
    with pytest.raises(SettingError, match="its parameters are beta"):
        family(1, 2)
    with pytest.raises(SettingError, match="beta must be a finite number"):
        family(float("inf"))
    with pytest.raises(SettingError, match="taken by other formulas"):
        register_activation_family("swish", swish, lambda a, y, beta: a, parameters=["beta"])
    with pytest.raises(SettingError, match="taken by other formulas"):
        register_activation_family("elu", swish, swish_derivative, parameters=["alpha"])
    with pytest.raises(SettingError, match="is that of an activation"):
        register_activation_family("relu", swish, swish_derivative, parameters=["beta"])
    with pytest.raises(SettingError, match="brackets"):
        register_activation_family("swish(1)", swish, swish_derivative, parameters=["beta"])
    wrong = register_activation_family("wrong", swish, lambda a, y, beta: beta * a, parameters=["beta"])
    with pytest.raises(FormulaError, match=r"wrong\(1.0\): the derivative is wrong"):
        wrong(1)


def test_a_registered_name_remains_a_string() -> None:
    assert isinstance(LeakyReLU(0.1), CustomActivation)
    assert f"{LeakyReLU(0.1)}" == "leaky_relu(0.1)"

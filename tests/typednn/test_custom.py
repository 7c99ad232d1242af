"""Activations and losses of users: both paths, both dtypes, copies, files, other processes, mistakes."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typednn_kernels import activations, losses

from tests.conftest import PATHS, kernels_of
from tests.typednn.building import COPIES, DTYPES, Dtype
from typednn import (
    FileFormatError,
    FormulaError,
    HiddenLayer,
    InputLayer,
    Network,
    NotReadyError,
    OutputLayer,
    SettingError,
    UnknownNameError,
    gradcheck,
    load,
    register_activation,
    register_loss,
    save,
    use_backend,
)
from typednn.formulas import Values, exp, log, maximum, minimum, sqrt, tanh, where

by_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)


@pytest.fixture(autouse=True)
def tables() -> Iterator[None]:
    """The tables as they were before, the addresses of compiled loops included."""
    counts = len(activations.ACTIVATIONS), len(losses.LOSSES)
    yield
    forget(*counts)


def forget(activation_count: int, loss_count: int) -> None:
    for table, count in ((activations, activation_count), (losses, loss_count)):
        rows: list[Any] = getattr(table, "ACTIVATIONS" if table is activations else "LOSSES")
        for row in rows[count:]:
            del table.CODES[row.name]
        del rows[count:]
    if "numba" in PATHS and "typednn_kernels.compiled._codegen.function_tables" in sys.modules:
        for table in import_module("typednn_kernels.compiled._codegen.function_tables").TABLES:
            for addresses in table.addresses.values():
                addresses[min(activation_count, loss_count) :] = addresses[-1]


def swish(a: Values) -> Values:
    return a / (1 + exp(-a))


def swish_derivative(a: Values, y: Values) -> Values:
    s = 1 / (1 + exp(-a))
    return s + a * (s * (1 - s))


def scaling(factor: float) -> str:
    return register_activation("mine", lambda a: factor * a, lambda a, y: factor)


def logarithmic(y: Values, t: Values) -> Values:
    return -t * log(y) - (1 - t) * log(1 - y)


def logarithmic_derivative(y: Values, t: Values) -> Values:
    return (y - t) / (y * (1 - y))


def network_of_our_own(dtype: Dtype) -> Network[Any]:
    mine = register_activation("swish of mine", swish, swish_derivative)
    bent = register_activation("bent", lambda a: where(a > 0, a, 0.3 * a), lambda a, y: where(a > 0, 1, 0.3))
    loss = register_loss("logarithmic", logarithmic, logarithmic_derivative, outputs=(0, 1), targets=(0, 1))
    layers = [InputLayer(3), HiddenLayer(5, mine), HiddenLayer(70, bent), OutputLayer(2, "sigmoid", loss)]
    return Network(layers, dtype, 0)


def like(dtype: Dtype) -> Network[Any]:
    """The same network of the library's functions."""
    layers = [
        InputLayer(3),
        HiddenLayer(5, "silu", weights="xavier"),
        HiddenLayer(70, "tanh"),
        OutputLayer(2, "sigmoid", "bincrossentropy"),
    ]
    return Network(layers, dtype, 0)


def data(dtype: Any, samples: int = 7) -> tuple[Any, Any]:
    random = np.random.default_rng(0)
    return random.normal(size=(samples, 3)).astype(dtype), random.uniform(size=(samples, 2)).astype(dtype)


@by_dtype
def test_gradients(dtype: Any) -> None:
    report = gradcheck(network_of_our_own(dtype), *data(dtype))

    assert report.passed, report


def network_that_drops(dtype: Dtype) -> Network[Any]:
    """Slopes by values that dropout overwrites: of a user, called by address, and within the kernels."""
    mine = register_activation("tanh of mine", tanh, lambda a, y: (1 - y) * (1 + y))
    layers = [
        InputLayer(3),
        HiddenLayer(40, mine, dropout=0.4),
        HiddenLayer(30, "elu", dropout=0.3, normalization="layer"),
        HiddenLayer(20, "gelu", dropout=0.3),
        HiddenLayer(9, "sigmoid", dropout=0.2),
        OutputLayer(2),
    ]
    return Network(layers, dtype, 0)


@by_dtype
def test_dropout_takes_derivatives_at_the_activations_before(dtype: Dtype) -> None:
    report = gradcheck(network_that_drops(dtype), *data(dtype), training=True)

    assert report.passed, report


@by_dtype
@pytest.mark.usefixtures("path")
def test_layers_that_drop_have_the_gradients_of_the_network(dtype: Dtype) -> None:
    network = network_that_drops(dtype)
    x, y = data(dtype)

    reference = network.forward(x, training=True).backward(y)
    network.layers[-1].set_actual(y)
    for layer in network.layers[:0:-1]:
        layer.backward()
        np.testing.assert_allclose(
            layer.dLdW, reference[layer].dLdW, rtol=0, atol=4 * float(np.finfo(dtype).eps)
        )
    assert any((layer.activations == 0).any() for layer in network.layers[1:-1])


@by_dtype
@pytest.mark.skipif("numba" not in PATHS, reason="one path only")
def test_both_paths_train_alike_with_dropout(dtype: Dtype) -> None:
    trained: list[Any] = []
    for path in PATHS:
        kernels_of(path)
        with use_backend("numba" if path == "numba" else "numpy"):
            network = network_that_drops(dtype)
            network.fit(*data(dtype), epochs=3, batch_size=3, learning_rate=0.1, progress=False)
            trained.append(network.parameters)

    reference, computed = trained
    np.testing.assert_allclose(computed, reference, rtol=0, atol=256 * float(np.finfo(dtype).eps))


@by_dtype
@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.usefixtures("path")
def test_an_activation_of_ones_own_trains_as_the_librarys(batch_size: int, dtype: Dtype) -> None:
    x, y = data(dtype)
    mine = register_activation("mine", swish, swish_derivative)
    tanh_of_mine = register_activation("tanh of mine", tanh, lambda a, y: (1 - y) * (1 + y))
    layers = [
        InputLayer(3),
        HiddenLayer(5, mine),
        HiddenLayer(70, tanh_of_mine),
        OutputLayer(2, "sigmoid", "bincrossentropy"),
    ]
    network: Network[Any] = Network(layers, dtype, 0)

    reference = like(dtype).fit(x, y, epochs=5, batch_size=batch_size).loss
    computed = network.fit(x, y, epochs=5, batch_size=batch_size).loss

    np.testing.assert_allclose(computed, reference, rtol=256 * float(np.finfo(dtype).eps))


@by_dtype
@pytest.mark.usefixtures("path")
def test_a_loss_of_ones_own_trains_as_the_librarys(dtype: Any) -> None:
    x, y = data(dtype)
    square = register_loss("square", lambda y, t: (y - t) * (y - t), lambda y, t: 2 * (y - t))

    settings: dict[str, Any] = {"epochs": 5, "batch_size": 2, "sample_weight": np.arange(7)}
    histories = [
        Network([InputLayer(3), OutputLayer(2, "tanh", loss)], dtype, 0).fit(x, y, **settings)
        for loss in ("MSE", square)
    ]

    np.testing.assert_allclose(histories[1].loss, histories[0].loss, rtol=64 * np.finfo(dtype).eps)


def test_targets_of_a_loss_of_ones_own_are_numbers() -> None:
    network, (x, y) = network_of_our_own(np.float64), data(np.float64)

    with pytest.raises(SettingError, match=r"label_smoothing is for .*, not for logarithmic"):
        network.fit(x, y, label_smoothing=0.1)
    with pytest.raises(SettingError, match="class_weight needs classes, but the loss is logarithmic"):
        network.fit(x, y, class_weight={0: 2})
    assert network.evaluate(x, y).accuracy is None


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("copied", COPIES)
def test_copies(copied: Any) -> None:
    network, (x, y) = network_of_our_own(np.float64), data(np.float64)

    other = copied(network)

    assert other.fit(x, y, epochs=2).loss == network.fit(x, y, epochs=2).loss


def test_a_file(tmp_path: Path) -> None:
    counts = len(activations.ACTIVATIONS), len(losses.LOSSES)
    network, (x, _) = network_of_our_own(np.float64), data(np.float64)
    save(network, tmp_path / "model.safetensors")

    assert (
        load(tmp_path / "model.safetensors", np.float64).predict(x).tobytes() == network.predict(x).tobytes()
    )

    forget(*counts)
    with pytest.raises(
        FileFormatError, match="one that register_activation has added, found 'swish of mine'"
    ):
        load(tmp_path / "model.safetensors", np.float64)


def test_a_pickle_where_codes_differ() -> None:
    counts = len(activations.ACTIVATIONS), len(losses.LOSSES)
    network, (x, y) = network_of_our_own(np.float64), data(np.float64)
    expected, stored = network.loss(x, y), pickle.dumps(network)

    forget(*counts)
    with pytest.raises(NotReadyError, match=r"call register_activation\('swish of mine', \.\.\.\) first"):
        pickle.loads(stored)
    register_activation("bent", lambda a: where(a > 0, a, 0.3 * a), lambda a, y: where(a > 0, 1, 0.3))
    register_activation("swish of mine", swish, swish_derivative)
    other = pickle.loads(stored)
    with pytest.raises(NotReadyError, match=r"call register_loss\('logarithmic', \.\.\.\) first"):
        other.loss(x, y)
    with pytest.raises(NotReadyError, match=r"call register_loss\('logarithmic', \.\.\.\) first"):
        other.fit(x, y)
    register_loss("another", logarithmic, logarithmic_derivative, outputs=(0, 1), targets=(0, 1))
    register_loss("logarithmic", logarithmic, logarithmic_derivative, outputs=(0, 1), targets=(0, 1))

    assert other.loss(x, y) == expected


def test_the_same_again_is_the_same() -> None:
    first = register_activation("mine", swish, swish_derivative)
    count = len(activations.ACTIVATIONS)

    assert register_activation("mine", swish, swish_derivative) == first == "mine"
    assert len(activations.ACTIVATIONS) == count


def test_targets_are_those_of_the_loss() -> None:
    with pytest.raises(ValueError, match=r"y must lie in \[0, 1\]"):
        network_of_our_own(np.float64).fit(np.ones((2, 3)), np.full((2, 2), 1.5))


MISTAKES: dict[str, tuple[Any, type[Exception], str]] = {
    "wrong slope": (
        lambda: register_activation("bad", lambda a: a * a, lambda a, y: 2.1 * a),
        FormulaError,
        "wrong at .* points, most at a = -?1000: it is -?2100, but by differences .* -?2000, so .* 100",
    ),
    "wrong above 2": (
        lambda: register_activation("bad", lambda a: a, lambda a, y: where(a > 2, 1.01, 1)),
        FormulaError,
        "the derivative is wrong at 8[0-9][0-9][0-9] of 22231 points",
    ),
    "slope of the other sign": (
        lambda: register_loss("bad", lambda y, t: (y - t) * (y - t), lambda y, t: 2 * (t - y)),
        FormulaError,
        "most at y = .*, t = ",
    ),
    "NaN far away": (
        lambda: register_activation("bad", swish, lambda a, y: (1 + y * exp(-a)) / (1 + exp(-a))),
        FormulaError,
        "at 1 of 22231 points, most at a = -1000: it is nan",
    ),
    "nowhere finite": (
        lambda: register_activation("bad", lambda a: log(-1 - a * a), lambda a, y: a),
        FormulaError,
        "nowhere finite",
    ),
    "if": (
        lambda: register_activation("bad", lambda a: a if a > 0 else -a, lambda a, y: a),
        FormulaError,
        "the value cannot be used: it asks whether",
    ),
    "taken by another": (
        lambda: [scaling(1), scaling(2)],
        SettingError,
        "has other formulas",
    ),
    "taken by the library": (
        lambda: register_activation("relu", lambda a: maximum(a, 0), lambda a, y: where(a > 0, 1, 0)),
        SettingError,
        "the library's own",
    ),
    "loss of the library": (
        lambda: register_loss("mae", lambda y, t: abs(y - t), lambda y, t: where(y > t, 1, -1)),
        SettingError,
        "the library's own",
    ),
    "no name": (lambda: register_activation(" ", swish, swish_derivative), SettingError, "printable text"),
    "empty range": (
        lambda: register_loss("bad", logarithmic, logarithmic_derivative, targets=(1, 0)),
        SettingError,
        r"targets must be a range \(lowest, highest\), not \(1, 0\)",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes(mistake: str) -> None:
    action, error, message = MISTAKES[mistake]

    with pytest.raises(error, match=message):
        action()

    assert "bad" not in activations.CODES
    assert "bad" not in losses.CODES


def test_unknown_names_are_refused_with_those_that_were_registered() -> None:
    register_activation("mine", swish, swish_derivative)
    name: Any = "mime"

    with pytest.raises(UnknownNameError, match="did you mean 'mine'"):
        HiddenLayer(3, name)


PROGRAM = """
import sys
sys.path[:0] = {paths!r}
import numpy as np
from typednn import HiddenLayer, InputLayer, Network, OutputLayer, register_activation
factor = {factor}
mine = register_activation("mine", lambda a: factor * a, lambda a, y: factor)
network = Network([InputLayer(1), HiddenLayer(1, mine), OutputLayer(1)], seed=0)
for layer in network.layers[1:]:
    layer.W = np.ones((1, 1))
print(network.predict(np.ones((1, 1)))[0, 0])
"""


@pytest.mark.skipif("numba" not in PATHS, reason="nothing is compiled")
def test_machine_code_is_kept_and_never_stale(tmp_path: Path) -> None:
    pytest.importorskip("numba", reason="numba does not work here", exc_type=ImportError)
    root = Path(__file__).parents[2]
    environment = {**os.environ, "TYPEDNN_CACHE_DIR": str(tmp_path), "TYPEDNN_BACKEND": "numba"}
    printed: list[str] = []
    counts: list[int] = []
    for factor in (2.0, 2.0, 3.0):
        code = PROGRAM.format(factor=factor, paths=[str(root), str(root / "kernels")])
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
        )
        printed.append(done.stdout.strip())
        counts.append(len(list(tmp_path.rglob("value-*"))))

    assert printed == ["2.0", "2.0", "3.0"]
    assert counts == [2, 2, 3]  # one is of the identity, the activation of the output layer


WRONG_WITHIN = [-9.9995, -7.3, -3.0005, -0.5, 0.0163, 0.0304, 1.0, 2.71828, 6.1803, 9.9985]
"""Where intervals of 0.001 begin in which a derivative is wrong."""


@pytest.mark.parametrize("start", WRONG_WITHIN)
def test_a_derivative_that_is_wrong_on_an_interval_of_a_thousandth_is_found(start: float) -> None:
    def within(a: Any, value: Any, other: Any) -> Any:
        return where(a > start, where(a < start + 0.001, other, value), value)

    with pytest.raises(FormulaError, match=r"register_activation.*the derivative is wrong at [12] of"):
        register_activation("bad", lambda a: a * a, lambda a, y: within(a, 2 * a, 0 * a))
    with pytest.raises(FormulaError, match=r"the derivative is wrong at [12] of"):
        register_activation("bad", swish, lambda a, y: within(a, 1, 1 + 1e-6) * swish_derivative(a, y))
    with pytest.raises(FormulaError, match=r"register_loss.*the derivative is wrong at [12] of"):
        register_loss("bad", lambda y, t: (y - t) * (y - t), lambda y, t: within(y, 2, 2.01) * (y - t))
    assert "bad" not in activations.CODES
    assert "bad" not in losses.CODES


RIGHT: dict[str, tuple[Callable[[Values], Values], Callable[[Values, Values], Values | float]]] = {
    "kinks": (lambda a: maximum(a, 0.01 * a), lambda a, y: where(a > 0, 1, 0.01)),
    "steep": (lambda a: tanh(30 * a), lambda a, y: 30 * (1 - y * y)),
    "small": (lambda a: 1e-6 * tanh(a), lambda a, y: 1e-6 * (1 - tanh(a) * tanh(a))),
    "large": (lambda a: 1e6 * a * a, lambda a, y: 2e6 * a),
    "softplus": (lambda a: log(1 + exp(a)), lambda a, y: 1 / (1 + exp(-a))),
    "bell": (lambda a: exp(-50 * a * a), lambda a, y: -100 * a * y),
    "root": (lambda a: sqrt(1 + a * a) - 1, lambda a, y: a / sqrt(1 + a * a)),
    "clipped": (lambda a: minimum(maximum(a, -1), 1), lambda a, y: where(abs(a) < 1, 1, 0)),
}


@pytest.mark.parametrize("name", RIGHT)
def test_right_derivatives_raise_no_alarm(name: str) -> None:
    value, derivative = RIGHT[name]

    assert register_activation(f"right, {name}", value, derivative) == f"right, {name}"

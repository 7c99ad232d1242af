"""Each initialiser against its definition in the literature.

`i` is fan_in and `o` fan_out of the layer. A normal sample of N numbers has a mean within 5 sd / sqrt(N) of 0
and a variance within 5 sqrt(2 / N) of its own, relative, but for one seed in two million; a uniform one is
narrower still. The seed is fixed.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from math import inf, sqrt
from typing import Any, TypeAlias, get_args

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.oracles.agreement import assert_close, assert_near
from typednn import (
    ArrayTypeError,
    HiddenLayer,
    InputLayer,
    Network,
    NotReadyError,
    OutputLayer,
    SettingError,
    UnknownNameError,
)
from typednn.initializers import (
    BIAS_INITIALIZERS,
    DEFAULT_WEIGHTS,
    WEIGHT_INITIALIZERS,
    BiasInitializerName,
    WeightInitializerName,
)

FAN_IN, FAN_OUT = 300, 200

Of: TypeAlias = Callable[[float, float], float]

DEFINITIONS: dict[str, tuple[Of, Of]] = {
    "normal_random": (lambda i, o: 1, lambda i, o: inf),
    "uniform_random": (lambda i, o: 1 / 3, lambda i, o: 1),
    "xavier": (lambda i, o: 2 / (i + o), lambda i, o: inf),  # Glorot & Bengio 2010, the variance of eq. 16
    "he": (lambda i, o: 2 / i, lambda i, o: inf),  # He et al. 2015, eq. 10
    "lecun": (lambda i, o: 1 / i, lambda i, o: inf),  # LeCun et al. 1998, eq. 16
    "glorot_uniform": (lambda i, o: 2 / (i + o), lambda i, o: sqrt(6) / sqrt(i + o)),  # eq. 16
    "he_uniform": (lambda i, o: 2 / i, lambda i, o: sqrt(6 / i)),
    "lecun_uniform": (lambda i, o: 1 / i, lambda i, o: sqrt(3 / i)),
}
"""Variance and bound."""


def layer_of(fan_in: int, fan_out: int) -> Any:
    layer = HiddenLayer(fan_out)
    layer.attach_after(InputLayer(fan_in))
    return layer


def weights(method: Any, seed: Any = 0, shape: tuple[int, int] = (FAN_OUT, FAN_IN)) -> NDArray[np.float64]:
    layer = layer_of(shape[1], shape[0])
    layer.set_weights(method, seed)
    return np.array(layer.W)


def biases(method: Any, seed: Any = 0, shape: tuple[int, int] = (FAN_OUT, FAN_IN)) -> NDArray[np.float64]:
    layer = layer_of(shape[1], shape[0])
    layer.set_biases(method, seed)
    return np.array(layer.Bias)


@pytest.mark.parametrize("name", DEFINITIONS)
@pytest.mark.parametrize(("draw", "shape"), [(weights, (FAN_OUT, FAN_IN)), (biases, (20_000, 3))])
def test_distribution(name: str, draw: Any, shape: tuple[int, int]) -> None:
    variance_of, bound_of = DEFINITIONS[name]
    variance, bound = variance_of(shape[1], shape[0]), bound_of(shape[1], shape[0])

    computed = draw(name, 0, shape)

    assert abs(computed.mean()) < 5 * sqrt(variance / computed.size)
    assert_near(computed.var(), variance, 5 * sqrt(2 / computed.size), "the variance")
    if np.isfinite(bound):
        assert 0.999 * bound < abs(computed).max() <= bound
        kurtosis = 9 / 5
    else:
        assert abs(computed).max() > 3.5 * sqrt(variance)
        kurtosis = 3
    assert_near((computed**4).mean() / computed.var() ** 2, kurtosis, 0.1, "the kurtosis")


@pytest.mark.parametrize(
    ("draw", "name", "value"), [(weights, "one", 1), (weights, "zeros", 0), (biases, "zeros", 0)]
)
def test_constants(draw: Any, name: str, value: float) -> None:
    assert (draw(name) == value).all()


def test_constant_biases() -> None:
    assert (biases("constant") == 0.1).all()


@pytest.mark.parametrize("shape", [(5, 9), (9, 5), (7, 7), (1, 4), (4, 1), (1, 1)])
def test_orthogonal(shape: tuple[int, int]) -> None:
    computed = weights("orthogonal", 3, shape)

    gram = computed @ computed.T if shape[0] <= shape[1] else computed.T @ computed
    assert computed.shape == shape
    assert_close(gram, np.eye(min(shape)), 16)


def test_orthogonal_matrices_point_everywhere() -> None:
    """Uniformly distributed ones have signs that do not depend on the decomposition: entries have mean 0."""
    rng = np.random.default_rng(0)

    drawn = np.array([weights("orthogonal", rng, (3, 3)) for _ in range(400)])

    assert abs(drawn.mean(axis=0)).max() < 5 * sqrt(1 / 3 / 400)
    assert abs(drawn.var(axis=0) - 1 / 3).max() < 5 * sqrt(2 / 400) / 3


@pytest.mark.parametrize(
    ("table", "names"),
    [(WEIGHT_INITIALIZERS, WeightInitializerName), (BIAS_INITIALIZERS, BiasInitializerName)],
)
def test_names_are_those_of_the_types(table: Any, names: Any) -> None:
    assert sorted(row.name for row in table) == sorted(get_args(names))
    assert all(row.description for row in table)


def test_names_of_the_issue() -> None:
    assert {row.name for row in WEIGHT_INITIALIZERS} == {
        *("normal_random", "uniform_random", "xavier", "one", "he", "lecun"),
        *("zeros", "glorot_uniform", "he_uniform", "lecun_uniform", "orthogonal"),
    }
    assert {row.name for row in BIAS_INITIALIZERS} >= {
        *("normal_random", "uniform_random", "zeros", "constant", "xavier", "he", "lecun")
    }


@pytest.mark.parametrize("draw", [weights, biases])
def test_a_seed_or_a_generator(draw: Any) -> None:
    reference = draw("normal_random", 7)
    rng = np.random.default_rng(7)

    assert draw("normal_random", np.int32(7)).tobytes() == reference.tobytes()
    assert draw("normal_random", rng).tobytes() == reference.tobytes()
    assert draw("normal_random", rng).tobytes() != reference.tobytes()  # the generator went on
    assert draw("normal_random", 8).tobytes() != reference.tobytes()
    assert draw("normal_random", None).tobytes() != draw("normal_random", None).tobytes()


SEEDS: dict[str, Callable[[], Any]] = {
    "int": lambda: 7,
    "large": lambda: 2**100,
    "integer": lambda: np.uint64(2**63),
    "list": lambda: [7, 2**70],
    "tuple": lambda: (7, np.int8(3)),
    "range": lambda: range(3),
    "array": lambda: np.array([7, 8]),
    "SeedSequence": lambda: np.random.SeedSequence(7),
    "BitGenerator": lambda: np.random.Philox(7),
    "Generator": lambda: np.random.default_rng(7),
    "RandomState": lambda: np.random.RandomState(7),
}


@pytest.mark.parametrize("kind", SEEDS)
@pytest.mark.parametrize("draw", [weights, biases])
def test_seeds_of_numpy(draw: Any, kind: str) -> None:
    seed, shape = SEEDS[kind], (FAN_OUT, FAN_IN) if draw is weights else (1, FAN_OUT)
    reference = np.random.default_rng(seed()).normal(size=shape)

    assert draw("normal_random", seed()).tobytes() == reference.tobytes()
    network = Network([InputLayer(2), OutputLayer(3)], seed=seed())
    assert (
        network.layers[1].W.tobytes()
        == Network([InputLayer(2), OutputLayer(3)], seed=seed()).layers[1].W.tobytes()
    )


def test_a_random_state_goes_on() -> None:
    state = np.random.RandomState(7)
    rng = np.random.Generator(np.random.RandomState(7)._bit_generator)

    for _ in range(2):
        assert weights("normal_random", state).tobytes() == rng.normal(size=(FAN_OUT, FAN_IN)).tobytes()


@pytest.mark.parametrize("seed", [-1, [3, -1], np.array([-1])])
def test_negative_seeds_are_refused(seed: Any) -> None:
    with pytest.raises(SettingError, match="seed must not be negative"):
        weights("he", seed)


def test_a_random_state_trains_a_network() -> None:
    def trained(seed: Any) -> bytes:
        layers: list[Any] = [InputLayer(2), HiddenLayer(4, "tanh", dropout=0.5), OutputLayer(1)]
        network: Network[Any] = Network(layers, seed=seed)
        network.fit(np.eye(2), np.ones((2, 1)), epochs=2, batch_size=1)
        parameters: bytes = pickle.loads(pickle.dumps(network)).parameters.tobytes()
        return parameters

    assert trained(np.random.RandomState(7)) == trained(np.random.RandomState(7))
    assert trained(np.random.RandomState(7)) != trained(np.random.RandomState(8))


@pytest.mark.parametrize("seed", ["7", 7.0, [7.0], ["7"], [], [[7]], np.array([7.0]), {7}])
def test_other_seeds_are_refused(seed: Any) -> None:
    layer = layer_of(2, 3)
    layer.set_weights("one")

    with pytest.raises(ArrayTypeError, match=r"seed must be an int, a .* or None, not"):
        layer.set_weights("he", seed)
    assert (layer.W == 1).all()


@pytest.mark.parametrize(
    ("method", "name", "nearest"),
    [
        ("set_weights", "xavir", "xavier"),
        ("set_weights", "orthogonl", "orthogonal"),
        ("set_weights", "constant", None),
        ("set_biases", "zero", "zeros"),
        ("set_biases", "orthogonal", None),
        ("set_biases", "Constant", "constant"),
        ("set_weights", None, "one"),
        ("set_weights", 3, None),
    ],
)
def test_unknown_names(method: str, name: Any, nearest: str | None) -> None:
    layer = layer_of(2, 3)
    layer.set_weights("one")
    kind, table = ("weight", WEIGHT_INITIALIZERS) if method == "set_weights" else ("bias", BIAS_INITIALIZERS)

    with pytest.raises(UnknownNameError) as caught:
        getattr(layer, method)(name)

    message = str(caught.value)
    assert message.startswith(f"unknown {kind} initialiser {name!r}: ")
    assert message.endswith("valid names are " + ", ".join(row.name for row in table))
    assert ("did you mean" in message) == (nearest is not None)
    assert nearest is None or f"did you mean {nearest!r}?" in message
    assert (layer.W == 1).all()
    assert not layer.Bias.any()


@pytest.mark.parametrize("method", ["set_weights", "set_biases"])
def test_a_layer_that_is_not_attached_has_no_fan_in(method: str) -> None:
    with pytest.raises(NotReadyError, match=rf"HiddenLayer\(2, 'none'\): {method} needs the layer before"):
        getattr(HiddenLayer(2), method)("he")


def test_defaults() -> None:
    """He for relu, Glorot for all others; of the classic door, the plain normal distribution."""
    names = ("relu", "leaky_relu", "elu", "gelu", "silu", "mish", "celu", "relu6", "hard_swish", "gelu_tanh")
    like_relu = dict.fromkeys(names, "he")
    assert like_relu | {"selu": "lecun"} == DEFAULT_WEIGHTS
    layer = layer_of(FAN_IN, FAN_OUT)
    layer.set_weights(seed=0)
    assert layer.W.tobytes() == weights("normal_random").tobytes()

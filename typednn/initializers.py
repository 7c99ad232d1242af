"""The initial values of weights and biases: one row each.

`fan_in` is the number of inputs of a unit, `n_prev`; `fan_out` the number of units, `n`.

- Glorot & Bengio (2010), Understanding the difficulty of training deep feedforward neural networks,
  AISTATS 9: eq. 16 gives the uniform form, the normal one has the same variance.
- He, Zhang, Ren & Sun (2015), Delving deep into rectifiers, ICCV, arXiv:1502.01852, eq. 10.
- LeCun, Bottou, Orr & Müller (1998), Efficient BackProp, in: Neural Networks: Tricks of the Trade, eq. 16.
- Saxe, McClelland & Ganguli (2014), Exact solutions to the nonlinear dynamics of learning in deep linear
  neural networks, ICLR, arXiv:1312.6120, section 3.
"""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from typednn.errors import ArrayTypeError, SettingError, UnknownNameError

WeightInitializerName: TypeAlias = Literal[
    "normal_random",
    "uniform_random",
    "xavier",
    "he",
    "lecun",
    "glorot_uniform",
    "he_uniform",
    "lecun_uniform",
    "one",
    "zeros",
    "orthogonal",
]
BiasInitializerName: TypeAlias = Literal[
    "normal_random",
    "uniform_random",
    "zeros",
    "constant",
    "xavier",
    "he",
    "lecun",
    "glorot_uniform",
    "he_uniform",
    "lecun_uniform",
]

Draw: TypeAlias = "Callable[[np.random.Generator, tuple[int, int], int, int], NDArray[np.float64]]"
"""(generator, shape, fan_in, fan_out) -> values."""

Seed: TypeAlias = "int | np.random.Generator | None"
"""A seed, a generator that is drawn from, or None: a new one from the system's entropy."""


class Initializer(NamedTuple):
    """A distribution of initial values; `draw` is in float64, so that a seed means the same in any dtype."""

    name: WeightInitializerName | BiasInitializerName
    draw: Draw
    description: str


def _normal(deviation: Callable[[int, int], float]) -> Draw:
    return lambda rng, shape, fan_in, fan_out: rng.normal(0.0, deviation(fan_in, fan_out), shape)


def _uniform(limit: Callable[[int, int], float]) -> Draw:
    def draw(
        rng: np.random.Generator, shape: tuple[int, int], fan_in: int, fan_out: int
    ) -> NDArray[np.float64]:
        bound = limit(fan_in, fan_out)
        return rng.uniform(-bound, bound, shape)

    return draw


def _full(value: float) -> Draw:
    return lambda rng, shape, fan_in, fan_out: np.full(shape, value)


def _orthogonal(
    rng: np.random.Generator, shape: tuple[int, int], _fan_in: int, _fan_out: int
) -> NDArray[np.float64]:
    rows, columns = shape
    q, r = np.linalg.qr(rng.normal(size=(max(shape), min(shape))))
    q *= np.where(np.diagonal(r) < 0, -1.0, 1.0)
    return q if rows >= columns else q.T


_NORMAL = Initializer("normal_random", _normal(lambda i, o: 1.0), "normal, standard deviation 1")
_UNIFORM = Initializer("uniform_random", _uniform(lambda i, o: 1.0), "uniform in [-1, 1)")
_ZEROS = Initializer("zeros", _full(0.0), "all 0")
_SCALED = (
    Initializer(
        "xavier", _normal(lambda i, o: sqrt(2 / (i + o))), "normal, variance 2 / (fan_in + fan_out) (Glorot)"
    ),
    Initializer("he", _normal(lambda i, o: sqrt(2 / i)), "normal, variance 2 / fan_in (He)"),
    Initializer("lecun", _normal(lambda i, o: sqrt(1 / i)), "normal, variance 1 / fan_in (LeCun)"),
    Initializer(
        "glorot_uniform", _uniform(lambda i, o: sqrt(6 / (i + o))), "uniform, variance 2 / (fan_in + fan_out)"
    ),
    Initializer("he_uniform", _uniform(lambda i, o: sqrt(6 / i)), "uniform, variance 2 / fan_in"),
    Initializer("lecun_uniform", _uniform(lambda i, o: sqrt(3 / i)), "uniform, variance 1 / fan_in"),
)

WEIGHT_INITIALIZERS = (
    _NORMAL,
    _UNIFORM,
    *_SCALED,
    Initializer("one", _full(1.0), "all 1"),
    _ZEROS,
    Initializer("orthogonal", _orthogonal, "rows or columns orthonormal (Saxe et al.)"),
)
BIAS_INITIALIZERS = (_NORMAL, _UNIFORM, _ZEROS, Initializer("constant", _full(0.1), "all 0.1"), *_SCALED)
"""The tables."""

DEFAULT_WEIGHTS: dict[str, WeightInitializerName] = {
    "relu": "he",
    "leaky_relu": "he",
    "elu": "he",
    "gelu": "he",
    "silu": "he",
    "mish": "he",
    "selu": "lecun",
}
"""What a `Network` draws the weights of a layer from, by the layer's activation; xavier for all others."""


def initializer(table: tuple[Initializer, ...], kind: str, name: str) -> Initializer:
    """The row of a table.

    Raises:
        UnknownNameError: with the names there are.
    """
    for row in table:
        if row.name == name:
            return row
    raise UnknownNameError(kind, name, (row.name for row in table))


def generator(seed: Seed) -> np.random.Generator:
    """The generator to draw from; one that is given is used as it is."""
    if isinstance(seed, int | np.integer) and seed < 0:
        raise SettingError(f"seed must not be negative: {seed}")
    if seed is None or isinstance(seed, int | np.integer | np.random.Generator):
        return np.random.default_rng(seed)
    raise ArrayTypeError(f"seed must be an int, a numpy.random.Generator or None, not {type(seed).__name__}")

"""Initialisers: the distributions from which weights and biases are drawn, one table row each.

`fan_in` is the number of inputs of a unit, `n_prev`; `fan_out` is the number of units, `n`. All draws are
float64, so that a seed gives the same values for every dtype.

- Glorot & Bengio 2010, "Understanding the difficulty of training deep feedforward neural networks", equation
  16: the uniform form; the normal form has the same variance.
- He, Zhang, Ren & Sun 2015, "Delving deep into rectifiers", arXiv:1502.01852, equation 10.
- LeCun, Bottou, Orr & Müller 1998, "Efficient BackProp", equation 16.
- Saxe, McClelland & Ganguli 2014, "Exact solutions to the nonlinear dynamics of learning in deep linear
  neural networks", arXiv:1312.6120, section 3.

>>> he = initializer(WEIGHT_INITIALIZERS, "weight initialiser", "he")
>>> W = he.draw(np.random.default_rng(0), (1000, 50), 50, 1000)
>>> round(float(W.var()), 3)  # 2 / fan_in
0.04
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from math import sqrt
from operator import index
from typing import Literal, NamedTuple, SupportsIndex, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from typednn.errors import ArrayTypeError, SettingError, UnknownNameError

ScaledName: TypeAlias = Literal["xavier", "he", "lecun", "glorot_uniform", "he_uniform", "lecun_uniform"]
WeightInitializerName: TypeAlias = Literal[
    "normal_random", "uniform_random", ScaledName, "one", "zeros", "orthogonal"
]
BiasInitializerName: TypeAlias = Literal["normal_random", "uniform_random", "zeros", "constant", ScaledName]

Draw: TypeAlias = "Callable[[np.random.Generator, tuple[int, int], int, int], NDArray[np.float64]]"
"""Draws an array, given a generator, its shape, fan_in and fan_out."""

_Integers: TypeAlias = int | np.integer | Sequence[int] | NDArray[np.integer]
_Source: TypeAlias = "np.random.BitGenerator | np.random.Generator | np.random.RandomState"

Seed: TypeAlias = "_Integers | np.random.SeedSequence | _Source | None"
"""A seed as NumPy takes it, a generator to draw from, or None for a seed from the operating system.

It is a text, for `numpy.random` takes a tenth of the import and is not needed before something is drawn."""


class Initializer(NamedTuple):
    """A row of the table: a name, the function that draws, and a description for people."""

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


DEFAULT_WEIGHTS: dict[str, WeightInitializerName] = {
    "relu": "he",
    "leaky_relu": "he",
    "elu": "he",
    "gelu": "he",
    "silu": "he",
    "mish": "he",
    "celu": "he",
    "relu6": "he",
    "hard_swish": "he",
    "gelu_tanh": "he",
    "selu": "lecun",
}
"""The initialiser of a layer's weights in a `Network`, by the activation or its family; xavier for others."""


def initializer(table: tuple[Initializer, ...], kind: str, name: str) -> Initializer:
    """Returns the row of a name in a table.

    Raises:
        UnknownNameError: there is no such row.
    """
    for row in table:
        if isinstance(name, str) and row.name == name:
            return row
    raise UnknownNameError(kind, name, (row.name for row in table))


def generator(seed: Seed) -> np.random.Generator:
    """Returns a generator to draw from.

    A `numpy.random.Generator` is returned as it is, a `RandomState` or a `BitGenerator` goes on with what is
    drawn, and integers give what `numpy.random.default_rng` gives.

    Bit generators and `RandomState` go on as it draws.

    Raises:
        SettingError: the seed is negative.
        ArrayTypeError: the seed is of another type.
    """
    random = np.random
    generators = (random.SeedSequence, random.BitGenerator, random.Generator, random.RandomState)
    if seed is None or isinstance(seed, generators):
        return random.default_rng(seed)
    whole: object = seed.tolist() if isinstance(seed, np.ndarray) else seed
    entropy = cast("Sequence[object]", whole) if isinstance(whole, Sequence) else [whole]
    integers = list[int]()
    with suppress(TypeError):  # types, and arrays of more than one element, only look like integers
        integers = [index(each) for each in entropy if isinstance(each, SupportsIndex)]
    if not integers or len(integers) < len(entropy):
        raise ArrayTypeError(
            "seed must be an int, a sequence of ints, a generator of numpy.random or None, "
            f"not {type(seed).__name__}"
        )
    if min(integers) < 0:
        raise SettingError(f"seed must not be negative: {seed}")
    return np.random.default_rng(integers)

"""Finds layers in a graph: what lies between two affine maps must be a normalisation and an activation.

A segment is the part of a graph between two matrix products: operations on rows `(B, n)`, starting with its
basis. Exporters write the same activation in many ways, so it is identified by its values: the operations
that every path from basis to result passes (the dominators) divide a segment into links, and links that are
not linear are evaluated and compared with the formulas of `typednn_kernels.activations`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from typednn_kernels.activation_families import FAMILIES, ParametricActivation, named
from typednn_kernels.activations import (
    ACTIVATIONS,
    CODES,
    CustomActivation,
    OutputActivationName,
    elementwise_names,
)

from typednn.onnx.functions import Array, Function

MAX_OPERATIONS = 1000
"""The largest number of operations between two matrix products."""
TOLERANCE = 8
"""The largest difference between an activation and an operation that counts as one, in eps (1 + |value|)."""
SAMPLE_WIDTH = 64
"""The largest number of units of the rows by which a normalisation is identified."""

Vector: TypeAlias = NDArray[np.float64]
Identify: TypeAlias = (
    "Callable[[Vector, float, np.dtype[np.floating]], OutputActivationName | CustomActivation | None]"
)


class Linear(NamedTuple):
    """The map s·x + t of each unit, s and t numbers or `(n,)`."""

    s: Vector | float = 1.0
    t: Vector | float = 0.0

    def after(self, first: Linear) -> Linear:
        """Returns the map that does `first`, then this."""
        with np.errstate(all="ignore"):
            return Linear(self.s * first.s, self.s * first.t + self.t)

    @property
    def is_uniform(self) -> bool:
        """Whether it is the same for all units."""
        return np.ndim(self.s) == 0 and np.ndim(self.t) == 0

    @property
    def is_identity(self) -> bool:
        """Whether it changes nothing."""
        return bool(np.all(self.s == 1) and np.all(self.t == 0))


class Normalized(NamedTuple):
    """A layer normalisation that is an operator: its constants."""

    scale: Linear
    epsilon: float


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation on rows; its operands are earlier operations of the segment, by index, or constants."""

    where: str
    function: Function
    operands: tuple[int | Array, ...]
    parent: int
    """The dominator: the last operation before it that every path to it passes."""
    depth: int
    is_column: bool
    """Whether it has one column, such as a mean, instead of one for each unit."""
    couples: bool
    """Whether a unit of the result depends on other units."""
    linear: Linear | None = None
    normalized: Normalized | None = None


class Layered(NamedTuple):
    """A segment as what a layer does: scale, normalise, activate; and what scales the result."""

    before: Linear
    normalized: Normalized | None
    activation: OutputActivationName | CustomActivation
    after: Linear
    where: str
    """The operation that is the activation."""


class UnknownOperationError(Exception):
    """A segment does what no layer does; the message says where and what."""


@dataclass(eq=False, slots=True)
class Segment:
    """A part of a graph between two matrix products.

    Attributes:
        where: the matrix product before it.
        width: the number of units; 0 where it is not known yet.
        W, bias: of the matrix product, `(n, n_prev)` and `(n,)`; None at the input.
        below: the segment and the operation that the matrix product is applied to; None at the input.
        is_flat: whether its values are rows; images, for example, become rows when they are flattened.
    """

    where: str
    width: int
    W: Array | None = None
    bias: Array | None = None
    below: tuple[Segment, int] | None = None
    is_flat: bool = True
    operations: list[Operation] = field(default_factory=list[Operation])

    def __post_init__(self) -> None:
        """Begins with the basis."""
        self.operations.append(Operation(self.where, np.positive, (), 0, 0, is_column=False, couples=False))

    def append(
        self,
        where: str,
        function: Function,
        operands: tuple[int | Array, ...],
        *,
        to_column: bool = False,
        couples: bool = False,
        linear: Linear | None = None,
        normalized: Normalized | None = None,
    ) -> int:
        """Appends an operation and returns its index.

        Raises:
            UnknownOperationError: there are too many.
        """
        if len(self.operations) >= MAX_OPERATIONS:
            raise UnknownOperationError(
                f"{where}: more than {MAX_OPERATIONS} operations between two products"
            )
        rows = [each for each in operands if isinstance(each, int)]
        parent = rows[0]
        for each in rows[1:]:
            parent = self._common_dominator(parent, each)
        is_column = to_column or all(self.operations[each].is_column for each in rows)
        if np.ndim(linear.s if linear else 0) or np.ndim(linear.t if linear else 0):
            is_column = False
        depth = self.operations[parent].depth + 1
        self.operations.append(
            Operation(where, function, operands, parent, depth, is_column, couples, linear, normalized)
        )
        return len(self.operations) - 1

    def layered(self, result: int, dtype: np.dtype[np.floating]) -> Layered:
        """Finds the layer that computes the result of an operation.

        Raises:
            UnknownOperationError: no layer does this.
        """
        path = self._dominators(result)
        maps = [Linear()]
        at = 0
        at = self._extend(path, at, maps)
        normalized, start = None, 0
        before = maps[-1]
        if at + 1 < len(path) and self._couples(path[at], path[at + 1]):
            found = self._normalization(path, at, dtype)
            if found is not None:
                normalized, at = found
                start = at
                maps = [*([Linear()] * at), normalized.scale]
                at = self._extend(path, at, maps)
        last = len(path) - 1
        core = last
        while core > at and self.operations[path[core]].linear is not None:
            core -= 1
        if core == at:
            name, begin, end = _NONE, at, at
        else:
            name, begin, end = self._activation(path, at, core, start, dtype)
        after = Linear()
        for each in path[end + 1 :]:
            link = self.operations[each].linear
            assert link is not None
            after = link.after(after)
        if normalized is None:
            before = maps[begin]
        else:
            normalized = normalized._replace(scale=maps[begin])
        return Layered(before, normalized, name, after, self.operations[path[end]].where)

    def _extend(self, path: list[int], at: int, maps: list[Linear]) -> int:
        """Follows linear links from a position on; appends the maps so far, and returns where they end."""
        while at + 1 < len(path):
            link = self.operations[path[at + 1]].linear
            if link is None:
                break
            maps.append(link.after(maps[-1]))
            at += 1
        return at

    def _activation(
        self, path: list[int], at: int, core: int, start: int, dtype: np.dtype[np.floating]
    ) -> tuple[OutputActivationName | CustomActivation, int, int]:
        """Finds the activation of the links from `at` to `core`; uniform linear links beside may be part."""
        begins = list(self._while_uniform(path, range(at, start - 1, -1)))
        ends = list(self._while_uniform(path, range(core, len(path))))
        named = [(begin, end, _activation_named) for begin in begins for end in ends]
        of_family = [(begin, end, _activation_of_family) for begin in begins[::-1] for end in ends]
        for begin, end, identify in (*named, *of_family):
            name = self._identified(path[begin], path[end], dtype, identify)
            if name is not None:
                return name, begin, end
        unknown = self.operations[path[core]]
        raise UnknownOperationError(f"{unknown.where}: computes no activation that layers here have")

    def _while_uniform(self, path: list[int], positions: range) -> Iterator[int]:
        """Yields positions as long as the links between them are linear, and the same for all units."""
        step = positions.step
        for position in positions:
            if position != positions[0]:
                link = self.operations[path[position if step > 0 else position + 1]].linear
                if link is None or not link.is_uniform:
                    return
            yield position

    def _identified(
        self, first: int, last: int, dtype: np.dtype[np.floating], identify: Identify
    ) -> OutputActivationName | CustomActivation | None:
        tolerance = TOLERANCE * float(np.finfo(dtype).eps)
        if self._couples(first, last):
            rows = _sample_rows(self._sample_width)
            e = np.exp(rows - rows.max(axis=1, keepdims=True))
            values = self._evaluate(first, last, rows)
            softmax = e / e.sum(axis=1, keepdims=True)
            if values is None:
                return None
            if _agree(values, softmax, tolerance):
                return "softmax"
            return "log_softmax" if _agree(values, np.log(softmax), tolerance) else None
        values = self._evaluate(first, last, GRID)
        return None if values is None else identify(values, tolerance, dtype)

    def _normalization(
        self, path: list[int], at: int, dtype: np.dtype[np.floating]
    ) -> tuple[Normalized, int] | None:
        """Finds a layer normalisation that begins at a position; returns it and where it ends."""
        operator = self.operations[path[at + 1]].normalized
        if operator is not None:
            return operator, at + 1
        rows = _sample_rows(self._sample_width) / 8
        deviation = rows - rows.mean(axis=1, keepdims=True)
        variance = np.square(deviation).mean(axis=1, keepdims=True)
        for end in range(at + 1, len(path)):
            values = self._evaluate(path[at], path[end], rows)
            if values is None:
                return None
            with np.errstate(all="ignore"):
                epsilon = float(np.median(np.square(deviation / values) - variance))
                wanted = deviation / np.sqrt(variance + epsilon)
            if epsilon >= 0 and _agree(values, wanted, TOLERANCE * float(np.finfo(dtype).eps)):
                return Normalized(Linear(), known_epsilon(epsilon, dtype)), end
        return None

    @property
    def _sample_width(self) -> int:
        return min(self.width, SAMPLE_WIDTH)

    def _dominators(self, index: int) -> list[int]:
        path = [index]
        while path[-1]:
            path.append(self.operations[path[-1]].parent)
        return path[::-1]

    def _common_dominator(self, one: int, other: int) -> int:
        while one != other:
            if self.operations[one].depth < self.operations[other].depth:
                one, other = other, one
            one = self.operations[one].parent
        return one

    def _region(self, first: int, last: int) -> list[int]:
        """The operations on all paths from one to another that it dominates, in order."""
        found, waiting = set[int](), [last]
        while waiting:
            index = waiting.pop()
            if index != first and index not in found:
                found.add(index)
                waiting += [each for each in self.operations[index].operands if isinstance(each, int)]
        return sorted(found)

    def _couples(self, first: int, last: int) -> bool:
        return any(self.operations[each].couples for each in self._region(first, last))

    def _evaluate(self, first: int, last: int, values: Vector) -> Vector | None:
        """Evaluates operations; None where constants differ between units, or the result is no number."""
        results: dict[int, Array] = {first: values}
        for index in self._region(first, last):
            operation = self.operations[index]
            operands: list[Array] = []
            for each in operation.operands:
                if not isinstance(each, int) and each.size != 1:
                    return None
                operands.append(results[each] if isinstance(each, int) else each.reshape(()))
            if operation.normalized is not None:
                return None
            with np.errstate(all="ignore"):
                results[index] = operation.function(*operands)
        result = results[last]
        return result.astype(np.float64) if result.shape == values.shape else None


_NONE: OutputActivationName | CustomActivation = "none"


def known_epsilon(epsilon: float, dtype: np.dtype[np.floating]) -> float:
    """Returns the number of few digits that an epsilon is in a dtype, such as 1e-5; else the epsilon."""
    rounded = float(f"{epsilon:.6g}")
    tolerance = max(TOLERANCE * float(np.finfo(dtype).eps), 1e-9) * rounded
    return rounded if abs(epsilon - rounded) <= tolerance else epsilon


def _agree(values: Vector, wanted: Vector, tolerance: float) -> bool:
    with np.errstate(all="ignore"):
        return bool((abs(values - wanted) <= tolerance * (1 + abs(wanted))).all())


NEAR: Vector = np.linspace(-8, 8, 257)
FAR: Vector = np.geomspace(8, 80, 20)
GRID: Vector = np.concatenate([NEAR, NEAR / 64, FAR, -FAR])
"""Where activations are compared: densely near 0, where they bend, and far from it."""
LOWEST, HIGHEST, ZERO, STEP, MINUS_1 = (
    int(np.argmin(abs(GRID - point))) for point in (-80, 80, 0, 1 / 8, -1)
)
"""The positions of some points in it."""

ESTIMATES: dict[str, Callable[[Vector], tuple[float, ...]]] = {
    "leaky_relu": lambda y: (-y[MINUS_1],),
    "elu": lambda y: (-y[LOWEST],),
    "celu": lambda y: (-y[LOWEST],),
    "softplus": lambda y: (np.log(2) / y[ZERO],),
    "hard_tanh": lambda y: (y[LOWEST], y[HIGHEST]),
    "hard_sigmoid": lambda y: ((y[STEP] - y[ZERO]) / GRID[STEP], y[ZERO]),
}
"""By the family of activations: its parameters, by the values y on `GRID` that an activation of it has."""


def _activation_named(
    values: Vector, tolerance: float, _dtype: np.dtype[np.floating]
) -> OutputActivationName | CustomActivation | None:
    """Returns the activation without parameters that has these values on `GRID`, or None."""
    for name in elementwise_names():
        if not isinstance(name, ParametricActivation) and _agree(values, _on_grid(name), tolerance):
            return name
    return None


def _activation_of_family(
    values: Vector, tolerance: float, dtype: np.dtype[np.floating]
) -> CustomActivation | None:
    """Returns the activation with parameters that has these values on `GRID`, or None.

    Parameters are numbers with few digits where these agree as well: 0.01 for what is 0.01 in float32.
    """
    precision = int(np.finfo(dtype).precision)
    for family, estimate in ESTIMATES.items():
        with np.errstate(all="ignore"):
            estimated = estimate(values)
        for digits in (precision, precision + 3):
            numbers = tuple(float(f"{number:.{digits}g}") for number in estimated)
            if FAMILIES[family].accepts(numbers):
                with np.errstate(all="ignore"):
                    wanted = np.asarray(FAMILIES[family].value(GRID, *numbers), np.float64)
                if _agree(values, wanted, tolerance):
                    return named(FAMILIES[family], numbers)
    return None


def _on_grid(name: OutputActivationName | CustomActivation) -> Vector:
    value = ACTIVATIONS[CODES[name]].value
    assert value is not None
    with np.errstate(all="ignore"):
        return np.asarray(value(GRID), np.float64)


@cache
def _sample_rows(width: int) -> Vector:
    return np.random.default_rng(0).normal(size=(5, width)) * 2

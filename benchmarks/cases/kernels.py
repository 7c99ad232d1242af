"""The elementwise kernels, a row each: what they are given, and NumPy's best answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from typednn_kernels import activations, losses, plain

from benchmarks.cases.kernel_comparisons import PLAIN, TUNED, Call, KernelContest, library_runs
from benchmarks.cases.networks import Array
from benchmarks.peers import numpy_tuned
from benchmarks.peers.numpy_tuned import Tuned

SIZES = (1, 8, 64, 1000, 10_000, 100_000, 1_000_000, 10_000_000)
TEN_CLASSES = 10
DRAWN = 100_000

Draw: TypeAlias = Callable[[np.random.Generator, tuple[int, int]], list[Array]]


@dataclass(frozen=True, slots=True)
class Case:
    """A kernel with its codes.

    Attributes:
        draw: its inputs, in float64.
        tuned: NumPy's best answer, ready to be called, given the inputs and the array for the result; None
            where nobody has written one, and the plain kernel is all there is.
        traffic: so many arrays of the full size have to be read or written.
        columns: the row length, where it is not the whole size.
        drawn: larger inputs repeat so many numbers.
        samples: whether the result is a number for each row.
        sums: whether results are sums, and agree in terms of the largest of them.
    """

    name: str
    kernel: str
    codes: tuple[int, ...]
    draw: Draw
    tuned: Callable[..., Call] | None
    traffic: int
    columns: int | None = None
    drawn: int = DRAWN
    samples: bool = False
    sums: bool = False

    def shape(self, size: int) -> tuple[int, int]:
        """Rows and columns for so many elements."""
        return (1, size) if self.columns is None else (max(1, size // self.columns), self.columns)


def elementwise_contest(case: Case, dtype: str, size: int) -> KernelContest:
    """The contest over so many elements, without the compiled kernel where there is no numba."""
    shape = case.shape(size)
    drawn = case.draw(np.random.default_rng(size), case.shape(min(size, case.drawn)))
    inputs: list[Array] = [np.resize(each.astype(dtype), shape) for each in drawn]
    result: Array = np.empty(shape[0] if case.samples else shape, dtype)
    runs = library_runs(case.kernel, *case.codes, *inputs, result)
    if case.tuned is not None:
        runs[TUNED] = case.tuned(*inputs, result)
    runs[PLAIN]()
    largest = abs(result).max() if case.sums else None
    return KernelContest(runs, result, shape[0] * shape[1], largest)


def _activation_cases() -> list[Case]:
    cases: list[Case] = []
    for code, row in enumerate(activations.ACTIVATIONS):
        if row.value is None:
            continue
        name, draw = row.name, partial(_pre_activations, row.value)
        derivative, product = _tuned(f"{name}_slope"), _tuned_product(name)
        unused = 1 if name == "none" else 0
        cases += [
            Case(f"{name} value", "activation_value", (code,), partial(draw, 1), _tuned(name), 2),
            Case(f"{name} slope", "activation_derivative", (code,), partial(draw, 2), derivative, 2 - unused),
            Case(
                f"{name} slope · signal",
                "activation_backward",
                (code,),
                partial(draw, 3),
                product,
                3 - unused,
            ),
        ]
    return cases


def _pre_activations(
    value: Callable[[Any], Any], count: int, rng: np.random.Generator, shape: tuple[int, int]
) -> list[Array]:
    """The first of: pre-activations, activations, signals."""
    a = rng.normal(0, 3, shape)
    return [a, np.asarray(value(a)), rng.normal(0, 1, shape)][:count]


def _tuned(method: str) -> Callable[..., Call] | None:
    def build(*arrays: Array) -> Call:
        tuned = Tuned(arrays[-1].dtype, arrays[-1].size)
        return numpy_tuned.elementwise(getattr(tuned, method), *arrays)

    return build if hasattr(Tuned, method) else None


def _tuned_product(name: str) -> Callable[..., Call] | None:
    """The slope times the signal: by a formula of its own, or first the slope."""
    if hasattr(Tuned, f"{name}_product") or not hasattr(Tuned, f"{name}_slope"):
        return _tuned(f"{name}_product")

    def build(*arrays: Array) -> Call:
        tuned = Tuned(arrays[-1].dtype, arrays[-1].size)
        formula = partial(tuned.product, getattr(tuned, f"{name}_slope"))
        return numpy_tuned.elementwise(formula, *arrays)

    return build


def _tuned_total(method: str, *, mean: bool, first: int) -> Callable[..., Call] | None:
    """A sum over the arrays from the `first` on: pre-activations, outputs, targets, losses."""

    def build(*arrays: Array) -> Call:
        y, t, result = arrays[first], arrays[2], arrays[3]
        tuned = Tuned(y.dtype, y.size)
        return numpy_tuned.total(getattr(tuned, method), y.size if mean else 1, y, t, result)

    return build if hasattr(Tuned, method) else None


def _softmax_inputs(count: int, rng: np.random.Generator, shape: tuple[int, int]) -> list[Array]:
    """The first of: pre-activations, probabilities, signals."""
    a = rng.normal(0, 3, shape)
    y = np.empty_like(a)
    plain.activation_value(activations.SOFTMAX, a, y)
    return [a, y, rng.normal(0, 1, shape)][:count]


def _logits(rng: np.random.Generator, shape: tuple[int, int]) -> list[Array]:
    t = np.zeros(shape)
    t[np.arange(shape[0]), rng.integers(0, shape[1], shape[0])] = 1
    return [*_softmax_inputs(2, rng, shape), t]


def _outputs_and_targets(rng: np.random.Generator, shape: tuple[int, int]) -> list[Array]:
    return [rng.uniform(0.01, 0.99, shape), rng.uniform(0, 1, shape)]


def _loss_inputs(rng: np.random.Generator, shape: tuple[int, int]) -> list[Array]:
    return [rng.normal(0, 3, shape), *_outputs_and_targets(rng, shape)]


def _softmax_cases() -> list[Case]:
    code, loss, product = (activations.SOFTMAX,), losses.CODES["crossentropy"], _softmax_product
    a, a_y_signal = partial(_softmax_inputs, 1), partial(_softmax_inputs, 3)
    cases: list[Case] = []
    for name, columns in (("softmax", None), ("softmax of tens", TEN_CLASSES)):
        again = 1 if columns is None else 0  # a long row does not stay in cache, and is read again
        row = partial(Case, columns=columns, drawn=SIZES[-1] if columns is None else DRAWN, sums=True)
        loss_row = partial(row, samples=True)
        cases += [
            row(f"{name} value", "activation_value", code, a, numpy_tuned.softmax, 2 + again),
            row(f"{name} slope · signal", "activation_backward", code, a_y_signal, product, 3 + 2 * again),
            loss_row(f"crossentropy of {name}", "loss_value", (loss, *code), _logits, _cross_entropy, 2),
        ]
    return cases


def _softmax_product(_a: Array, y: Array, g: Array, result: Array) -> Call:
    return numpy_tuned.softmax_product(y, g, result)


def _cross_entropy(a: Array, _y: Array, t: Array, result: Array) -> Call:
    return numpy_tuned.cross_entropy_of_logits(a, t, result)


TUNED_LOSSES = {
    "MSE": "squared_error",
    "bincrossentropy": "binary_cross_entropy",
    "crossentropy": "cross_entropy",
    "mae": "absolute_error",
}


def _loss_cases() -> list[Case]:
    value = partial(Case, kernel="loss_value", draw=_loss_inputs, traffic=2, samples=True, sums=True)
    cases: list[Case] = []
    for code, row in enumerate(losses.LOSSES):
        name, formula, mean = row.name, TUNED_LOSSES.get(row.name, row.name), losses.MEAN_OVER_OUTPUTS[code]
        tuned, derivative = _tuned_total(formula, mean=mean, first=1), _tuned(f"{formula}_slope")
        cases += [
            value(f"{name} value", codes=(code, activations.NONE), tuned=tuned),
            Case(f"{name} slope", "loss_derivative", (code,), _outputs_and_targets, derivative, 3),
        ]
    stable = _tuned_total("binary_cross_entropy_of_logits", mean=True, first=0)
    codes = losses.CODES["bincrossentropy"], activations.SIGMOID
    return [*cases, value("bincrossentropy of sigmoid", codes=codes, tuned=stable)]


ELEMENTWISE = (*_activation_cases(), *_softmax_cases(), *_loss_cases())
"""Value, slope and slope times signal of each activation; each loss and its slope."""

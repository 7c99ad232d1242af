"""Elementwise kernels, one row each: codes, inputs, and the tuned NumPy call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from typednn_kernels import activations, losses, plain

from benchmarks.cases.kernel_comparison import PLAIN, TUNED, Call, KernelComparison, library_runs
from benchmarks.networks import Array
from benchmarks.peers import numpy_tuned
from benchmarks.peers.numpy_formulas import Formulas

SIZES = (1, 8, 64, 1000, 10_000, 100_000, 1_000_000, 10_000_000)
TEN_CLASSES = 10
DRAWN = 100_000

Draw: TypeAlias = Callable[[np.random.Generator, tuple[int, int]], list[Array]]


@dataclass(frozen=True, slots=True)
class Case:
    """A kernel with its codes.

    Attributes:
        name: name in reports.
        kernel: name of the kernel.
        codes: its first arguments.
        draw: draws its inputs, in float64.
        tuned: returns the tuned NumPy call, given the inputs and the array of the result; None where none is
            written and the plain kernel is the only competitor.
        traffic: number of arrays of the full size that have to be read or written.
        columns: row length; None: one row of the full size.
        drawn: number of elements drawn; larger inputs repeat them.
        samples: whether the result has one element per row.
        sums: whether results are sums; the tolerance is then relative to the largest of them.
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
        """Returns rows and columns of an array of `size` elements."""
        return (1, size) if self.columns is None else (max(1, size // self.columns), self.columns)


def elementwise_comparison(case: Case, dtype: str, size: int) -> KernelComparison:
    """Returns the comparison on `size` elements, without the compiled kernel if numba is not installed."""
    shape = case.shape(size)
    drawn = case.draw(np.random.default_rng(size), case.shape(min(size, case.drawn)))
    inputs: list[Array] = [np.resize(each.astype(dtype), shape) for each in drawn]
    result: Array = np.empty(shape[0] if case.samples else shape, dtype)
    runs = library_runs(case.kernel, *case.codes, *inputs, result)
    if case.tuned is not None:
        runs[TUNED] = case.tuned(*inputs, result)
    runs[PLAIN]()
    largest = abs(result).max() if case.sums else None
    return KernelComparison(runs, result, shape[0] * shape[1], largest)


def _activation_cases() -> list[Case]:
    cases: list[Case] = []
    for code, row in enumerate(activations.ACTIVATIONS[: activations.BUILT_IN]):
        if row.value is None:
            continue
        name, draw = row.name, partial(_pre_activations, row.value)
        derivative, backward = _tuned(f"{name}_derivative"), _tuned_backward(name)
        unused = 1 if name == "none" else 0
        cases += [
            Case(f"{name} value", "activation_value", (code,), partial(draw, 1), _tuned(name), 2),
            Case(
                f"{name} derivative",
                "activation_derivative",
                (code,),
                partial(draw, 2),
                derivative,
                2 - unused,
            ),
            Case(
                f"{name} backward",
                "activation_backward",
                (code,),
                partial(draw, 3),
                backward,
                3 - unused,
            ),
        ]
    return cases


def _pre_activations(
    value: Callable[[Any], Any], count: int, rng: np.random.Generator, shape: tuple[int, int]
) -> list[Array]:
    """Draws the first `count` of: pre-activations, activations, upstream gradients."""
    a = rng.normal(0, 3, shape)
    return [a, np.asarray(value(a)), rng.normal(0, 1, shape)][:count]


def _tuned(method: str) -> Callable[..., Call] | None:
    def build(*arrays: Array) -> Call:
        formulas = Formulas(arrays[-1].dtype, arrays[-1].size)
        return numpy_tuned.elementwise(getattr(formulas, method), *arrays)

    return build if hasattr(Formulas, method) else None


def _tuned_backward(name: str) -> Callable[..., Call] | None:
    """Derivative times upstream gradient: by a formula for both, or by the derivative and a product."""
    if hasattr(Formulas, f"{name}_backward") or not hasattr(Formulas, f"{name}_derivative"):
        return _tuned(f"{name}_backward")

    def build(*arrays: Array) -> Call:
        formulas = Formulas(arrays[-1].dtype, arrays[-1].size)
        formula = partial(formulas.backward, getattr(formulas, f"{name}_derivative"))
        return numpy_tuned.elementwise(formula, *arrays)

    return build


def _tuned_total(method: str, *, mean: bool, first: int) -> Callable[..., Call] | None:
    """Sum over arrays `first` and 2, into array 3, of: pre-activations, outputs, targets, losses."""

    def build(*arrays: Array) -> Call:
        y, t, result = arrays[first], arrays[2], arrays[3]
        formulas = Formulas(y.dtype, y.size)
        return numpy_tuned.total(getattr(formulas, method), y.size if mean else 1, y, t, result)

    return build if hasattr(Formulas, method) else None


def _softmax_inputs(count: int, rng: np.random.Generator, shape: tuple[int, int]) -> list[Array]:
    """Draws the first `count` of: pre-activations, probabilities, upstream gradients."""
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
    code, loss, backward = (activations.SOFTMAX,), losses.CODES["crossentropy"], _softmax_backward
    a, a_y_g = partial(_softmax_inputs, 1), partial(_softmax_inputs, 3)
    cases: list[Case] = []
    for name, columns in (("softmax", None), ("softmax of tens", TEN_CLASSES)):
        again = 1 if columns is None else 0  # a long row does not stay in cache, and is read again
        row = partial(Case, columns=columns, drawn=SIZES[-1] if columns is None else DRAWN, sums=True)
        loss_row = partial(row, samples=True)
        cases += [
            row(f"{name} value", "activation_value", code, a, numpy_tuned.softmax, 2 + again),
            row(f"{name} backward", "activation_backward", code, a_y_g, backward, 3 + 2 * again),
            loss_row(f"crossentropy of {name}", "loss_value", (loss, *code), _logits, _cross_entropy, 2),
        ]
    return cases


def _softmax_backward(_a: Array, y: Array, g: Array, result: Array) -> Call:
    return numpy_tuned.softmax_backward(y, g, result)


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
    for code, row in enumerate(losses.LOSSES[: losses.BUILT_IN]):
        name, formula, mean = row.name, TUNED_LOSSES.get(row.name, row.name), losses.MEAN_OVER_OUTPUTS[code]
        tuned, derivative = _tuned_total(formula, mean=mean, first=1), _tuned(f"{formula}_derivative")
        cases += [
            value(f"{name} value", codes=(code, activations.NONE), tuned=tuned),
            Case(f"{name} derivative", "loss_derivative", (code,), _outputs_and_targets, derivative, 3),
        ]
    stable = _tuned_total("binary_cross_entropy_of_logits", mean=True, first=0)
    codes = losses.CODES["bincrossentropy"], activations.SIGMOID
    return [*cases, value("bincrossentropy of sigmoid", codes=codes, tuned=stable)]


ELEMENTWISE = (*_activation_cases(), *_softmax_cases(), *_loss_cases())
"""Value, derivative and backward pass of each activation; value and derivative of each loss."""

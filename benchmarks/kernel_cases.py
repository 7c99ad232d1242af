"""The elementwise kernels, a row each: what they are given, and NumPy's best answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from typednn_kernels import activations, losses, plain

from benchmarks import numpy_tuned
from benchmarks.kernel_contests import TUNED, Call, KernelContest, library_runs
from benchmarks.networks import Array
from benchmarks.numpy_tuned import Tuned

SIZES = (1, 8, 64, 1000, 10_000, 100_000, 1_000_000, 10_000_000)
TEN_CLASSES = 10
DRAWN = 100_000
"""Larger inputs repeat so many numbers."""

Draw: TypeAlias = Callable[[np.random.Generator, tuple[int, int]], list[Array]]


@dataclass(frozen=True, slots=True)
class Case:
    """A kernel with its codes.

    Attributes:
        draw: its inputs, in float64.
        tuned: NumPy's best answer, ready to be called, given the inputs and the array for the result.
        traffic: so many arrays of the full size have to be read or written.
        columns: the row length, where it is not the whole size.
        samples: whether the result is a number for each row.
        sums: whether numbers are summed, which costs digits with their number.
    """

    name: str
    kernel: str
    codes: tuple[int, ...]
    draw: Draw
    tuned: Callable[..., Call]
    traffic: int
    columns: int | None = None
    samples: bool = False
    sums: bool = False

    def shape(self, size: int) -> tuple[int, int]:
        """Rows and columns for so many elements."""
        return (1, size) if self.columns is None else (max(1, size // self.columns), self.columns)


def elementwise_contest(case: Case, dtype: str, size: int) -> KernelContest:
    """The contest over so many elements, without the compiled kernel where there is no numba."""
    shape = case.shape(size)
    drawn = case.draw(np.random.default_rng(size), case.shape(min(size, DRAWN)))
    inputs: list[Array] = [np.resize(each.astype(dtype), shape) for each in drawn]
    result: Array = np.empty(shape[0] if case.samples else shape, dtype)
    runs = library_runs(case.kernel, *case.codes, *inputs, result)
    runs[TUNED] = case.tuned(*inputs, result)
    if not case.sums:
        return KernelContest(runs, result, shape[0] * shape[1], 16)
    runs[TUNED]()
    return KernelContest(runs, result, shape[0] * shape[1], 16, abs(result).max())


def _activation_cases() -> list[Case]:
    cases: list[Case] = []
    for code, row in enumerate(activations.ACTIVATIONS):
        if row.value is None or row.slope is None:
            continue
        name = row.name
        drawn = partial(_pre_activations, row.value)
        cases += [
            Case(f"{name} value", "activation_value", (code,), partial(drawn, 1), _tuned(name), 2),
            Case(
                f"{name} slope",
                "activation_slope",
                (code,),
                partial(drawn, 2),
                _tuned(f"{name}_slope"),
                1 if name == "none" else 2,
            ),
            Case(
                f"{name} slope · signal",
                "slope_product",
                (code,),
                partial(drawn, 3),
                _tuned(f"{name}_product"),
                2 if name == "none" else 3,
            ),
        ]
    return cases


def _pre_activations(
    value: Callable[[Any], Any], count: int, rng: np.random.Generator, shape: tuple[int, int]
) -> list[Array]:
    """The first of: pre-activations, activations, signals."""
    a = rng.normal(0, 3, shape)
    return [a, np.asarray(value(a)), rng.normal(0, 1, shape)][:count]


def _tuned(method: str) -> Callable[..., Call]:
    def build(*arrays: Array) -> Call:
        tuned = Tuned(arrays[-1].dtype, arrays[-1].size)
        return numpy_tuned.elementwise(getattr(tuned, method), *arrays)

    return build


def _tuned_total(method: str, *, mean: bool, first: int) -> Callable[..., Call]:
    """A sum over the arrays from the `first` on: pre-activations, outputs, targets, losses."""

    def build(*arrays: Array) -> Call:
        y, t, result = arrays[first], arrays[2], arrays[3]
        tuned = Tuned(y.dtype, y.size)
        return numpy_tuned.total(getattr(tuned, method), y.size if mean else 1, y, t, result)

    return build


def _softmax_inputs(count: int, rng: np.random.Generator, shape: tuple[int, int]) -> list[Array]:
    """The first of: pre-activations, probabilities, signals."""
    a = rng.normal(0, 3, shape)
    y = np.empty_like(a)
    plain.activation_value(activations.SOFTMAX, a, y)
    return [a, y, rng.normal(0, 1, shape)][:count]


def _logits_and_classes(rng: np.random.Generator, shape: tuple[int, int]) -> list[Array]:
    t = np.zeros(shape)
    t[np.arange(shape[0]), rng.integers(0, shape[1], shape[0])] = 1
    return [*_softmax_inputs(2, rng, shape), t]


def _outputs_and_targets(rng: np.random.Generator, shape: tuple[int, int]) -> list[Array]:
    return [rng.uniform(0.01, 0.99, shape), rng.uniform(0, 1, shape)]


def _loss_inputs(rng: np.random.Generator, shape: tuple[int, int]) -> list[Array]:
    return [rng.normal(0, 3, shape), *_outputs_and_targets(rng, shape)]


def _softmax_cases() -> list[Case]:
    cases: list[Case] = []
    code, loss = (activations.SOFTMAX,), losses.CODES["crossentropy"]
    for name, columns in (("softmax", None), ("softmax of tens", TEN_CLASSES)):
        alone = columns is None
        inputs = partial(_softmax_inputs, 1), partial(_softmax_inputs, 3)
        product = _softmax_product
        cases += [
            Case(
                f"{name} value",
                "activation_value",
                code,
                inputs[0],
                numpy_tuned.softmax,
                3 if alone else 2,
                columns,
                sums=True,
            ),
            Case(
                f"{name} slope · signal",
                "slope_product",
                code,
                inputs[1],
                product,
                5 if alone else 3,
                columns,
                sums=True,
            ),
            Case(
                f"crossentropy of {name}",
                "loss_value",
                (loss, *code),
                _logits_and_classes,
                _cross_entropy_of_logits,
                2,
                columns,
                samples=True,
                sums=True,
            ),
        ]
    return cases


def _softmax_product(_a: Array, y: Array, g: Array, result: Array) -> Call:
    return numpy_tuned.softmax_product(y, g, result)


def _cross_entropy_of_logits(a: Array, _y: Array, t: Array, result: Array) -> Call:
    return numpy_tuned.cross_entropy_of_logits(a, t, result)


def _loss_cases() -> list[Case]:
    none, sigmoid = activations.NONE, activations.SIGMOID
    cases: list[Case] = []
    for name, formula in (
        ("MSE", "squared_error"),
        ("bincrossentropy", "binary_cross_entropy"),
        ("crossentropy", "cross_entropy"),
    ):
        code = losses.CODES[name]  # type: ignore[index]
        value = _tuned_total(formula, mean=losses.MEAN_OVER_OUTPUTS[code], first=1)
        cases += [
            Case(
                f"{name} value", "loss_value", (code, none), _loss_inputs, value, 2, samples=True, sums=True
            ),
            Case(f"{name} slope", "loss_slope", (code,), _outputs_and_targets, _tuned(f"{formula}_slope"), 3),
        ]
    stable = _tuned_total("binary_cross_entropy_of_logits", mean=True, first=0)
    code = losses.CODES["bincrossentropy"]
    cases.append(
        Case(
            "bincrossentropy of sigmoid",
            "loss_value",
            (code, sigmoid),
            _loss_inputs,
            stable,
            2,
            samples=True,
            sums=True,
        )
    )
    return cases


ELEMENTWISE = (*_activation_cases(), *_softmax_cases(), *_loss_cases())
"""Value, slope and slope times signal of each activation; each loss and its slope."""

"""Checks the gradients of each path against central differences, and those of both paths with each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from typednn_kernels import plain
from typednn_kernels.arrays import F, Layout, Vector
from typednn_kernels.dropout import INFERENCE
from typednn_kernels.layout import BIASES, GAINS, WEIGHTS, gain_count, inner_bias_count

from typednn.backends import implementations
from typednn.gradient_checking.numerical import Problem, Reference
from typednn.gradient_checking.steps import gradients_of_layers, gradients_of_steps
from typednn.names import BackendName
from typednn.network.network import Network, check_network
from typednn.plotting.display import Display, TableBlock
from typednn.records import Record
from typednn.tables import aligned
from typednn.validation.arrays import Samples, Targets, Y_co
from typednn.validation.settings import check_bool

MAX_CHECKED = 64
"""The largest number of elements of a weight matrix or bias vector that are checked; others are sampled."""

DIFFERENCES = 1e-9
"""The further tolerance of a central difference, relative to the largest element and to the loss. Its own
error, estimated from two step sizes, is added."""

OTHERS_SAY_MORE = "so that this says little: other samples or weights say more"


class GradientCheck(Record):
    """The largest deviations of the gradient of a layer's W, Bias or Gain, in units of the tolerance.

    Attributes:
        layer: the position and kind of the layer.
        parameter: `"W"`, `"Bias"` or `"Gain"`.
        checked: the number of elements that were compared with differences.
        numpy: the deviation of the NumPy path from central differences.
        numba: the deviation of the compiled path from central differences; None where numba does not work.
        paths: the deviation of the paths from each other, over all elements; None where numba does not work.
        steps: the largest deviation of the gradients that layers show, and that steps of training apply, of
            all samples and of one, on each path; None where training computes something else.
        at_kink: the number of compared elements for which the loss has a kink at the parameter.
        undecided: whether rounding errors are as large as the gradient, so that the check says little.
    """

    layer: str
    parameter: str
    checked: int
    numpy: float
    numba: float | None
    paths: float | None
    steps: float | None = None
    at_kink: int = 0
    undecided: bool = False

    @property
    def passed(self) -> bool:
        """Whether every deviation is at most 1; NaN is not."""
        return all(each is None or each <= 1 for each in (self.numpy, self.numba, self.paths, self.steps))


class GradientReport(Record, Display):
    """The result of `gradcheck`, which prints as a table.

    Attributes:
        checks: one check for W, Bias and, if it is normalised, Gain of each layer.
        dtype: the dtype of the network.
        all_zero: whether all gradients are 0, as where no unit of a relu layer is active.
        beyond_dtype: whether pre-activations, gradients or running moments are NaN or infinite in the dtype,
            or a training step is refused because its changes might be.

    >>> from typednn import InputLayer, Network, OutputLayer
    >>> network = Network([InputLayer(1), OutputLayer(1)], seed=0)
    >>> report = gradcheck(network, np.ones((2, 1)), np.zeros((2, 1)))
    >>> report.passed, report.dtype
    (True, 'float64')
    """

    checks: tuple[GradientCheck, ...]
    dtype: str
    all_zero: bool = False
    beyond_dtype: bool = False

    @property
    def passed(self) -> bool:
        """Whether every deviation is within the tolerance."""
        return all(check.passed for check in self.checks)

    def __str__(self) -> str:
        """Returns the table, and a line that explains it."""
        return "\n".join([*aligned(self._rows(), 2), self._explanation(), *self.remarks])

    def _rows(self) -> list[tuple[str, ...]]:
        heads = ("layer", "parameter", "checked", "numpy", "numba", "numpy ~ numba", "steps", "")
        rows: list[tuple[str, ...]] = [heads]
        for check in self.checks:
            deviations = map(_deviation, (check.numpy, check.numba, check.paths, check.steps))
            verdict = "ok" if check.passed else "WRONG"
            rows.append((check.layer, check.parameter, str(check.checked), *deviations, verdict))
        return rows

    def _explanation(self) -> str:
        verdict = "all gradients agree" if self.passed else "GRADIENTS DISAGREE"
        return (
            f"{verdict} ({self.dtype}): largest deviation of each path from central differences, of the "
            "paths from each other, and of layers and training steps; 1 is the tolerance"
        )

    def _blocks(self) -> Iterator[TableBlock]:
        heads, *rows = self._rows()
        yield TableBlock(" ".join([self._explanation(), *self.remarks]), heads, rows)

    @property
    def remarks(self) -> list[str]:
        """What limits the result, such as gradients that are all 0, kinks of the loss, rounding errors."""
        remarks = [f"all gradients are 0, {OTHERS_SAY_MORE}"] if self.all_zero else []
        if self.beyond_dtype:
            remarks.append(
                f"values are beyond {self.dtype}, so that no step can be made: scale samples or weights"
                f"{', or take float64' * (self.dtype == 'float32')}"
            )
        if kinks := sum(check.at_kink for check in self.checks):
            remarks.append(
                f"the loss has a kink at {kinks} of the parameters that were compared, where any value "
                "between the one-sided derivatives counts as correct"
            )
        undecided = [f"{check.parameter} of {check.layer}" for check in self.checks if check.undecided]
        if undecided and not self.all_zero:
            remarks.append(
                f"{self.dtype} cannot decide on {'; '.join(undecided)}: rounding errors are as large as the "
                f"gradient, {OTHERS_SAY_MORE}"
            )
        return remarks


@np.errstate(over="ignore", invalid="ignore")
def gradcheck(
    network: Network[F, Y_co], x: Samples[F], y: Targets[F, Y_co], *, training: bool = False
) -> GradientReport:
    """Compares the gradients of the mean loss with central differences in float64.

    Then it compares the gradients that users train with: those that `forward` and `backward` of the layers
    show, and those recovered from a step of gradient descent, of all samples and of one, on each path. The
    first check of a tiny network compiles its training loop.

    At a kink, such as relu at 0, any value between the one-sided derivatives counts as correct. Where
    several units have kinks within the steps of the differences or within rounding errors, such as units
    without input whose biases are 0, each may have the derivative of either side: what this changes at most
    is added to the tolerance.

    Args:
        network: a network of any dtype; it is not changed.
        x: samples `(n_samples, n_features)`; a few are enough.
        y: targets `(n_samples, n_outputs)`, or integer labels `(n_samples,)` for losses of classes.
        training: whether the loss is that of a training step, with the mean and variance of these samples in
            batch normalisation, and with the same units dropped in each pass.

    Raises:
        ShapeError, ArrayTypeError, DataError: the data do not fit.

    >>> from typednn import HiddenLayer, InputLayer, Network, OutputLayer
    >>> layers = [InputLayer(2), HiddenLayer(3, "tanh"), OutputLayer(2, "softmax", "crossentropy")]
    >>> gradcheck(Network(layers, seed=0), np.eye(2), np.array([0, 1])).passed
    True
    """
    check_network(network, "gradcheck")
    check_bool("training", training)
    samples, targets = network._as_data(x, y)
    storage = network._storage
    problem = Problem(storage.layout, network._loss, samples, targets, 0 if training else INFERENCE)
    gradients: dict[BackendName, Vector[F]] = {}
    beyond_dtype = False
    for name, run in implementations(storage.dtype).items():
        parameters = storage.parameters.copy()  # of which a step of training changes the running moments
        gradients[name] = problem.gradient(run, parameters)
        beyond_dtype |= not (np.isfinite(gradients[name]).all() and np.isfinite(parameters).all())
    reference = Reference(problem, storage.parameters)
    beyond_dtype |= not (np.isfinite(reference.low).all() and np.isfinite(reference.high).all())
    steps, refused = _deviations_of_steps(network, problem, reference, gradients["numpy"])
    beyond_dtype |= refused
    random = np.random.default_rng(0)
    checks: list[GradientCheck] = []
    for k, layer in enumerate(storage.layers[1:], start=1):
        for parameter, part in _parts(storage.layout, k).items():
            checked = np.arange(int(part.start), int(part.stop))
            if len(checked) > MAX_CHECKED:
                checked = np.sort(random.choice(checked, MAX_CHECKED, replace=False))
            check = _check(layer.name, parameter, gradients, part, checked, reference)
            apart = [deviation for each in steps if (deviation := _largest(each[part])) is not None]
            checks.append(replace(check, steps=float(np.max(apart)) if apart else None))
    all_zero = not any(gradient.any() for gradient in gradients.values())
    return GradientReport(tuple(checks), str(network.dtype), all_zero, beyond_dtype)


def _check(
    layer: str,
    parameter: str,
    gradients: dict[BackendName, Vector[F]],
    part: slice,
    checked: np.ndarray[tuple[int], np.dtype[np.int64]],
    reference: Reference,
) -> GradientCheck:
    plain_gradient = gradients["numpy"][part].astype(np.float64)
    largest = float(np.abs(plain_gradient).max())
    rounding = reference.rounding(part, largest)
    differences = DIFFERENCES * (largest + max(1.0, abs(reference.value)))
    tolerances = rounding[checked - int(part.start)] + differences
    derivatives = [reference.derivative(int(index)) for index in checked]

    def deviation(name: BackendName) -> float:
        deviations: list[float] = []
        for index, derivative, tolerance in zip(checked, derivatives, tolerances, strict=True):
            entry = float(gradients[name][index])
            found = derivative.deviation(entry, tolerance)
            if found > 1:
                finer = reference.derivative(int(index), reference.finer_step(int(index)))
                found = min(found, finer.deviation(entry, tolerance))
            if found > 1:
                found = derivative.deviation(entry, tolerance + reference.kinks_within_steps(int(index)))
            deviations.append(found)
        return float(np.max(deviations))

    numba = paths = None
    if "numba" in gradients:
        numba = deviation("numba")
        apart = np.abs(gradients["numba"][part].astype(np.float64) - plain_gradient)
        paths = float((apart / rounding).max())
    return GradientCheck(
        layer,
        parameter,
        len(checked),
        deviation("numpy"),
        numba,
        paths,
        at_kink=sum(derivative.certain_kink for derivative in derivatives),
        undecided=bool((largest <= rounding).all()),
    )


def _deviations_of_steps(
    network: Network[F, Y_co], problem: Problem[F], reference: Reference, gradient: Vector[F]
) -> tuple[list[Vector[np.float64]], bool]:
    """Computes how far each gradient that users train with is off, in units of the tolerance.

    Says whether a step was refused, too.
    """
    storage, x, t, key = network._storage, problem.x, problem.t, problem.key
    made = [*gradients_of_layers(network, x, t, key)]
    for run in implementations(storage.dtype).values():
        made += gradients_of_steps(run, storage, problem.loss, x, t, key, float(np.abs(gradient).max()))
    expected: dict[tuple[int, int], tuple[Vector[np.float64], Vector[np.float64]]] = {}
    result: list[Vector[np.float64]] = []
    for step in (step for step in made if step.made):
        first, last, _ = step.samples.indices(len(x))
        if (first, last) not in expected:
            one = Problem(problem.layout, problem.loss, x[first:last], t[first:last], key)
            of_one = reference if last - first == len(x) else Reference(one, storage.parameters)
            right = one.gradient(plain, storage.parameters.copy()).astype(np.float64)
            expected[first, last] = right, _tolerances(of_one, problem.layout, right)
        right, tolerances = expected[first, last]
        result.append(np.abs(step.gradient - right) / (tolerances + step.rounding))
    return result, not all(step.made for step in made)


def _tolerances(reference: Reference, layout: Layout, gradient: Vector[np.float64]) -> Vector[np.float64]:
    """Computes the tolerance of rounding errors for each element of a gradient, by layer and parameter."""
    result = np.empty_like(gradient)
    for k in range(1, len(layout)):
        for part in _parts(layout, k).values():
            result[part] = reference.rounding(part, float(np.abs(gradient[part]).max()))
    return result


def _parts(layout: Layout, k: int) -> dict[str, slice]:
    """Returns where the parameters of layer k are in the flat vector, by name."""
    first, middle, last = (int(layout[k, column]) for column in (WEIGHTS, BIASES, GAINS))
    end = last + gain_count(layout, k)
    parts = {
        "W": slice(first, middle),
        "Bias": slice(middle, last),
        "Gain": slice(last, end),
        "InnerBias": slice(end, end + inner_bias_count(layout, k)),
    }
    return {name: part for name, part in parts.items() if part.start < part.stop}


def _largest(deviations: Vector[np.float64]) -> float | None:
    """Returns the largest deviation; None where a step changes no parameter."""
    return None if np.isnan(deviations).all() else float(deviations.max())


def _deviation(value: float | None) -> str:
    return "-" if value is None else f"{value:.2g}"

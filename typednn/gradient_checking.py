"""Checks the gradients of each path against central differences, and those of both paths with each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Generic

import numpy as np
from typednn_kernels import plain
from typednn_kernels.arrays import F, Layout, Matrix, Vector
from typednn_kernels.dropout import INFERENCE
from typednn_kernels.interface import Kernels
from typednn_kernels.layout import (
    ACTIVATION,
    BIASES,
    DROPOUT,
    FROZEN,
    GAINS,
    NORMALIZATION,
    WEIGHTS,
    biases,
    block,
    gain_count,
    gains,
    inner_bias_count,
    inner_biases,
    inv_std,
    normalization_settings,
    normalized,
    parameter_count,
    running_moments,
    weights,
)
from typednn_kernels.normalizations import BATCH, NONE

from typednn.backends import implementations
from typednn.layers.workspace import new_workspace
from typednn.names import BackendName
from typednn.network.network import Network, check_network
from typednn.plotting.display import Display, TableBlock
from typednn.step_gradients import gradients_of_layers, gradients_of_steps
from typednn.tables import aligned
from typednn.validation.arrays import Samples, Targets, Y_co
from typednn.validation.settings import check_bool

STEP = 2.0**-17
"""The step of the differences, times max(1, |parameter|); near the cube root of float64's precision."""

MAX_CHECKED = 64
"""The largest number of elements of a weight matrix or bias vector that are checked; others are sampled."""

ROUNDING = 16
"""The tolerance for rounding: a multiple of how much the gradient changes when parameters and activations
change by a relative eps, and of eps times the largest element. To it comes eps times the sum of the absolute
values of the terms of an element, the largest of these sums."""

DIFFERENCES = 1e-9
"""The further tolerance of a central difference, relative to the largest element and to the loss. Its own
error, estimated from two step sizes, is added."""

CERTAIN = 64
"""The ratio of a second difference to the rounding error of the loss, above which a kink is reported."""

KINK = 0.75
"""The ratio of the second difference at one step to half of that at two steps, above which there is a kink.
The ratio is 1/2 for a smooth loss and 1 at a kink."""

ASIDE = 3
"""The error of a central difference, relative to the change from one step to two. Without kinks 1/3 would
do; where a kink lies k steps aside, it is abs(2 - 7/3 k) / k, below 2.7 where KINK does not see the kink."""


OTHERS_SAY_MORE = "so that this says little: other samples or weights say more"


@dataclass(frozen=True, slots=True)
class GradientCheck:
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


@dataclass(frozen=True, slots=True)
class GradientReport(Display):
    """The result of `gradcheck`, which prints as a table.

    Attributes:
        checks: one check for W, Bias and, if it is normalised, Gain of each layer.
        dtype: the dtype of the network.
        all_zero: whether all gradients are 0, as where no unit of a relu layer is active.

    >>> from typednn import InputLayer, Network, OutputLayer
    >>> network = Network([InputLayer(1), OutputLayer(1)], seed=0)
    >>> report = gradcheck(network, np.ones((2, 1)), np.zeros((2, 1)))
    >>> report.passed, report.dtype
    (True, 'float64')
    """

    checks: tuple[GradientCheck, ...]
    dtype: str
    all_zero: bool = False

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


def gradcheck(
    network: Network[F, Y_co], x: Samples[F], y: Targets[F, Y_co], *, training: bool = False
) -> GradientReport:
    """Compares the gradients of the mean loss with central differences in float64.

    Then it compares the gradients that users train with: those that `forward` and `backward` of the layers
    show, and those recovered from a step of gradient descent, of all samples and of one, on each path. The
    first check of a tiny network compiles its training loop.

    At a kink, such as relu at 0, any value between the one-sided derivatives counts as correct. Where
    several units have their kinks at the same value of a parameter, such as units without input whose biases
    are 0, a correct gradient may lie outside of them: move the parameters a little and check again.

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
    problem = _Problem(storage.layout, network._loss, samples, targets, 0 if training else INFERENCE)
    gradients: dict[BackendName, Vector[F]] = {
        name: problem.gradient(run, storage.parameters.copy())
        for name, run in implementations(storage.dtype).items()
    }
    reference = _Reference(problem, storage.parameters)
    steps = _deviations_of_steps(network, problem, reference, gradients["numpy"])
    random = np.random.default_rng(0)
    checks: list[GradientCheck] = []
    for k, layer in enumerate(storage.layers[1:], start=1):
        for parameter, part in _parts(storage.layout, k).items():
            checked = np.arange(int(part.start), int(part.stop))
            if len(checked) > MAX_CHECKED:
                checked = np.sort(random.choice(checked, MAX_CHECKED, replace=False))
            check = _check(layer.name, parameter, gradients, part, checked, reference)
            apart = [deviation for each in steps if (deviation := _largest(each[part])) is not None]
            checks.append(replace(check, steps=max(apart, default=None)))
    all_zero = not any(gradient.any() for gradient in gradients.values())
    return GradientReport(tuple(checks), str(network.dtype), all_zero)


class _Problem(Generic[F]):
    """The mean loss of some samples as a function of the parameters."""

    def __init__(self, layout: Layout, loss: int, x: Matrix[F], t: Matrix[F], key: int) -> None:
        self.layout, self.loss, self.x, self.t, self.key = layout, loss, x, t, key
        self.workspace = new_workspace(layout, len(x), x.dtype)

    def mean_loss(self, parameters: Vector[F]) -> float:
        """Computes the mean loss on the NumPy path."""
        self.forward(plain, parameters)
        return self.loss_of_activations()

    def loss_of_activations(self) -> float:
        """Computes the mean loss from the activations in the workspace."""
        last, losses = self.workspace.blocks[-1], np.empty(len(self.x), self.x.dtype)
        plain.loss_value(self.loss, int(self.layout[-1, ACTIVATION]), last.a, last.h, self.t, losses)
        return float(losses.mean(dtype=np.float64))

    def shake(self, random: np.random.Generator, eps: float) -> None:
        """Changes all activations in the workspace by a relative eps, up or down."""
        for numbers in (self.workspace.a, self.workspace.h):
            numbers *= 1 + eps * random.choice([-1.0, 1.0], numbers.shape)

    def rounded_forward(self, parameters: Vector[F], random: np.random.Generator, eps: float) -> None:
        """Computes the activations in the workspace, each layer with the rounding errors of those below."""
        layout, samples, work = self.layout, len(self.x), self.workspace
        self.forward(plain, parameters)
        for k in range(1, len(layout)):
            below, here = work.blocks[k - 1], work.blocks[k]
            below.h[...] *= 1 + eps * random.choice([-1.0, 1.0], below.h.shape)
            W, bias = weights(parameters, layout, k), biases(parameters, layout, k)
            normalization, dropped = int(layout[k, NORMALIZATION]), int(layout[k, DROPOUT])
            inner = bias if normalization == NONE else inner_biases(parameters, layout, k)
            plain.affine(below.h, W, inner if len(inner) else np.zeros_like(bias), here.z)
            here.z[...] *= 1 + eps * random.choice([-1.0, 1.0], (samples, len(W)))
            if normalization != NONE:
                training = self.key != INFERENCE and not layout[k, FROZEN]
                moments = running_moments(parameters, layout, k).copy()
                gain, axis = gains(parameters, layout, k), 0 if normalization == BATCH else 1
                mean = here.z.mean(axis=axis, keepdims=True)  # its rounding moves all that it is taken from
                settings = normalization_settings(layout, k)
                plain.normalize(settings, training, here.z, gain, bias, moments, here.inv_std, here.a)
                moved = eps * mean * random.choice([-1.0, 1.0], mean.shape)
                here.z[...] += moved * np.expand_dims(here.inv_std, axis)
                here.a[...] = gain * here.z + bias
            plain.activation_value(int(layout[k, ACTIVATION]), here.a, here.h)
            if dropped and self.key != INFERENCE:
                plain.apply_dropout(self.key, k, dropped, here.h)

    def gradient(self, run: Kernels, parameters: Vector[F]) -> Vector[F]:
        """Computes the gradient on one of the paths."""
        self.forward(run, parameters)
        return self.backward(run, parameters)

    def forward(self, run: Kernels, parameters: Vector[F]) -> None:
        """Computes the activations in the workspace."""
        run.forward(parameters, self.layout, self.key, self.x, self.workspace.vectors)

    def backward(self, run: Kernels, parameters: Vector[F]) -> Vector[F]:
        """Computes the gradient from the activations in the workspace."""
        work, result = self.workspace, np.empty(parameter_count(self.layout), parameters.dtype)
        run.backward(
            parameters,
            self.layout,
            self.key,
            self.loss,
            self.t,
            work.vectors,
            result,
        )
        return result


class _Reference:
    """Numerical derivatives of the loss, by forward passes in float64."""

    def __init__(self, problem: _Problem[F], parameters: Vector[F]) -> None:
        self.problem = _Problem(
            problem.layout,
            problem.loss,
            problem.x.astype(np.float64),
            problem.t.astype(np.float64),
            problem.key,
        )
        self.parameters: Vector[np.float64] = parameters.astype(np.float64)
        self.value = self.problem.mean_loss(self.parameters)
        self.eps, self.tiny = (float(getattr(np.finfo(parameters.dtype), name)) for name in ("eps", "tiny"))
        self.noise = self._noise()
        self.sensitivity = self._sensitivity()
        self.magnitudes = self._magnitudes()

    def _noise(self) -> float:
        """Estimates the rounding error of the loss in float64."""
        random = np.random.default_rng(0)
        noise = 0.0
        for _ in range(4):
            self.problem.forward(plain, self.parameters)
            self.problem.shake(random, float(np.finfo(np.float64).eps))
            noise = max(noise, abs(self.problem.loss_of_activations() - self.value))
        return noise

    def _sensitivity(self) -> Vector[np.float64]:
        """Estimates how much each element of the gradient changes when its operands change by eps."""
        random = np.random.default_rng(0)
        problem = self.problem
        gradient = problem.gradient(plain, self.parameters)
        change: Vector[np.float64] = np.zeros_like(gradient)
        for _ in range(4):
            parameters = self.parameters * (1 + self.eps * random.choice([-1.0, 1.0], self.parameters.shape))
            problem.rounded_forward(parameters, random, self.eps)
            problem.shake(random, self.eps)
            np.maximum(change, np.abs(problem.backward(plain, parameters) - gradient), out=change)
        return change

    def _magnitudes(self) -> Vector[np.float64]:
        """Computes the sum of the absolute values of the terms of each element of the gradient.

        Terms may cancel, and what is left of their rounding is not small beside a gradient that is almost 0.
        Absolute values are passed back through the layers as deltas are.
        """
        problem, layout, samples = self.problem, self.problem.layout, len(self.problem.x)
        result: Vector[np.float64] = np.zeros_like(problem.gradient(plain, self.parameters))
        a, h, _, dLda = problem.workspace.vectors
        last = len(layout) - 1
        terms: Matrix[np.float64] = np.abs(block(dLda, layout, last, samples))
        for k in range(last, 0, -1):
            biases(result, layout, k)[...] = terms.sum(axis=0)
            normalization = int(layout[k, NORMALIZATION])
            if normalization != NONE:
                z = np.abs(normalized(a, layout, k, samples))
                gains(result, layout, k)[...] = (terms * z).sum(axis=0)
                terms = terms * np.abs(gains(self.parameters, layout, k))
                axis = 0 if normalization == BATCH else 1
                if normalization != BATCH or (problem.key != INFERENCE and not layout[k, FROZEN]):
                    means = terms.mean(axis=axis, keepdims=True), (terms * z).mean(axis=axis, keepdims=True)
                    terms = terms + means[0] + z * means[1]
                terms = terms * np.expand_dims(inv_std(a, layout, k, samples), axis)
                if (sums := inner_biases(result, layout, k)).size:
                    sums[...] = terms.sum(axis=0)
            W = np.abs(weights(self.parameters, layout, k))
            if W.size:
                weights(result, layout, k)[...] = terms.T @ np.abs(block(h, layout, k - 1, samples))
            if k > 1:
                terms = terms @ W if W.size else terms
                terms = terms * np.abs(self._activation_derivative(k - 1))
        return result

    def rounding(self, part: slice, largest: float) -> float:
        """Computes the tolerance of rounding errors for a part of the gradient with this largest element."""
        shaken = float(self.sensitivity[part].max())
        terms = self.eps * float(self.magnitudes[part].max())
        return ROUNDING * (shaken + self.eps * largest) + terms + self.tiny

    def _activation_derivative(self, k: int) -> Matrix[np.float64]:
        """Computes dh/da of layer k, 0 where a unit is dropped."""
        problem, layout, samples = self.problem, self.problem.layout, len(self.problem.x)
        activation, dropped = int(layout[k, ACTIVATION]), int(layout[k, DROPOUT])
        a = block(problem.workspace.a, layout, k, samples)
        y, derivative = np.empty_like(a), np.empty_like(a)
        plain.activation_value(activation, a, y)
        plain.activation_derivative(activation, a, y, derivative)
        if dropped and problem.key != INFERENCE:
            plain.apply_dropout(problem.key, k, dropped, derivative)
        return derivative

    def derivative(self, index: int) -> _Derivative:
        """Computes the derivative with respect to one parameter, from one and two steps to either side."""
        here = float(self.parameters[index])
        step = STEP * max(1.0, abs(here))
        losses: list[float] = []
        for distance in (-2, -1, 1, 2):
            self.parameters[index] = here + distance * step
            losses.append(self.problem.mean_loss(self.parameters))
        self.parameters[index] = here
        far_left, left, right, far_right = losses
        near, far = (right - left) / (2 * step), (far_right - far_left) / (4 * step)
        gap, far_gap = left + right - 2 * self.value, (far_left + far_right - 2 * self.value) / 2
        return _Derivative(
            central=(4 * near - far) / 3,
            error=ASIDE * abs(near - far) + 2 * self.noise / step,
            left=(3 * self.value - 4 * left + far_left) / (2 * step),
            right=(4 * right - far_right - 3 * self.value) / (2 * step),
            kink=abs(gap) > KINK * abs(far_gap),
            certain_kink=abs(gap) > max(KINK * abs(far_gap), CERTAIN * self.noise),
        )


@dataclass(frozen=True, slots=True)
class _Derivative:
    """A numerical derivative: extrapolated to step 0, its error, and the one-sided derivatives."""

    central: float
    error: float
    left: float
    right: float
    kink: bool
    certain_kink: bool

    def deviation(self, gradient: float, tolerance: float) -> float:
        """Computes how far an element of a gradient is off, in units of the tolerance."""
        if self.kink:
            low, high = sorted((self.left, self.right))
            return max(0.0, low - gradient, gradient - high) / (tolerance + self.error)
        return abs(gradient - self.central) / (tolerance + self.error)


def _check(
    layer: str,
    parameter: str,
    gradients: dict[BackendName, Vector[F]],
    part: slice,
    checked: np.ndarray[tuple[int], np.dtype[np.int64]],
    reference: _Reference,
) -> GradientCheck:
    plain_gradient = gradients["numpy"][part].astype(np.float64)
    largest = float(np.abs(plain_gradient).max())
    rounding = reference.rounding(part, largest)
    tolerance = rounding + DIFFERENCES * (largest + max(1.0, abs(reference.value)))
    derivatives = [reference.derivative(int(index)) for index in checked]

    def deviation(name: BackendName) -> float:
        entries = gradients[name][checked].astype(np.float64)
        return max(
            derivative.deviation(float(entry), tolerance)
            for entry, derivative in zip(entries, derivatives, strict=True)
        )

    numba = paths = None
    if "numba" in gradients:
        numba = deviation("numba")
        paths = float(np.abs(gradients["numba"][part].astype(np.float64) - plain_gradient).max()) / rounding
    return GradientCheck(
        layer,
        parameter,
        len(checked),
        deviation("numpy"),
        numba,
        paths,
        at_kink=sum(derivative.certain_kink for derivative in derivatives),
        undecided=largest <= rounding,
    )


def _deviations_of_steps(
    network: Network[F, Y_co], problem: _Problem[F], reference: _Reference, gradient: Vector[F]
) -> list[Vector[np.float64]]:
    """Computes how far each gradient that users train with is off, in units of the tolerance."""
    storage, x, t, key = network._storage, problem.x, problem.t, problem.key
    made = [*gradients_of_layers(network, x, t, key)]
    for run in implementations(storage.dtype).values():
        made += gradients_of_steps(run, storage, problem.loss, x, t, key, float(np.abs(gradient).max()))
    expected: dict[tuple[int, int], tuple[Vector[np.float64], Vector[np.float64]]] = {}
    result: list[Vector[np.float64]] = []
    for step in made:
        first, last, _ = step.samples.indices(len(x))
        if (first, last) not in expected:
            one = _Problem(problem.layout, problem.loss, x[first:last], t[first:last], key)
            of_one = reference if last - first == len(x) else _Reference(one, storage.parameters)
            right = one.gradient(plain, storage.parameters.copy()).astype(np.float64)
            expected[first, last] = right, _tolerances(of_one, problem.layout, right)
        right, tolerances = expected[first, last]
        result.append(np.abs(step.gradient - right) / (tolerances + step.rounding))
    return result


def _tolerances(reference: _Reference, layout: Layout, gradient: Vector[np.float64]) -> Vector[np.float64]:
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

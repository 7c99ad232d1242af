"""Are the gradients right? Each path against central differences, and against the other path."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from typednn_kernels import plain
from typednn_kernels.arrays import F, Matrix, Vector
from typednn_kernels.interface import Kernels
from typednn_kernels.layout import ACTIVATION, BIASES, WEIGHTS, block

from typednn.arrays import Targets
from typednn.backends import BackendName, implementations
from typednn.chains import Chain
from typednn.networks import Network

STEP = 2.0**-17
"""The step of the differences, times max(1, |parameter|); near the cube root of float64's precision."""

AT_MOST = 64
"""So many entries of a weight matrix or bias vector are checked; larger ones by a sample."""

ROUNDING = 1024
"""Tolerance of a gradient by rounding, in units of eps times the largest entry of its array, or times 1:
outputs and targets of that size cancel in it."""

DIFFERENCES = 1e-9
"""Tolerance of a difference beside that, relative to the largest entry and to the loss; its own error,
estimated from two step widths, is added."""

KINK = 1e-3
"""Where the one-sided differences are this far apart, relative to the gradient, the loss has a kink."""


@dataclass(frozen=True, slots=True)
class GradientCheck:
    """The largest deviations for the weights or the biases of a layer; 1 is the tolerance.

    Attributes:
        layer: the layer's place and kind.
        parameter: `"W"` or `"Bias"`.
        checked: how many entries were compared with differences.
        numpy: of the NumPy path from central differences.
        numba: of the compiled path from central differences; None where numba does not work.
        paths: of the paths from each other, over all entries; None where numba does not work.
    """

    layer: str
    parameter: str
    checked: int
    numpy: float
    numba: float | None
    paths: float | None

    @property
    def passed(self) -> bool:
        """Whether every deviation is within the tolerance; NaN is not."""
        return all(each is None or each <= 1 for each in (self.numpy, self.numba, self.paths))


@dataclass(frozen=True, slots=True)
class GradientReport:
    """What `gradcheck` found; printed, a table.

    Attributes:
        checks: one for the weights and one for the biases of each layer.
        dtype: the network's.
    """

    checks: tuple[GradientCheck, ...]
    dtype: str

    @property
    def passed(self) -> bool:
        """Whether every deviation is within the tolerance."""
        return all(check.passed for check in self.checks)

    def __str__(self) -> str:
        """The table, and a line that says what it means."""
        header = ("layer", "parameter", "checked", "numpy", "numba", "numpy ~ numba", "")
        rows = [header] + [
            (
                check.layer,
                check.parameter,
                str(check.checked),
                _deviation(check.numpy),
                _deviation(check.numba),
                _deviation(check.paths),
                "ok" if check.passed else "WRONG",
            )
            for check in self.checks
        ]
        widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
        lines = [
            "  ".join(
                cell.ljust(width) if column < 2 else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        ]
        verdict = "all gradients agree" if self.passed else "GRADIENTS DISAGREE"
        explanation = (
            f"{verdict} ({self.dtype}): largest deviation of each path from central differences, and of the "
            "paths from each other; 1 is the tolerance"
        )
        return "\n".join([*lines, explanation])


def gradcheck(network: Network[F], x: Matrix[F], y: Targets[F]) -> GradientReport:
    """Compares the gradients of the mean loss with central differences in float64.

    At a kink (relu at 0, a clipped probability) a gradient is right anywhere between the slopes of the
    two sides.

    Args:
        network: of any dtype; it is not changed.
        x: samples `(n_samples, n_features)`; a few are enough.
        y: targets `(n_samples, n_outputs)`, or with crossentropy integer labels `(n_samples,)`.

    Raises:
        ShapeError, ArrayTypeError, DataError: data that do not fit.

    >>> from typednn import HiddenLayer, InputLayer, Network, OutputLayer
    >>> layers = [InputLayer(2), HiddenLayer(3, "tanh"), OutputLayer(2, "softmax", "crossentropy")]
    >>> gradcheck(Network(layers, seed=0), np.eye(2), np.array([0, 1])).passed
    True
    """
    samples, targets = network._as_data(x, y)
    chain, loss = network._chain, network._loss
    gradients: dict[BackendName, Vector[F]] = {
        name: _gradient(run, chain, loss, samples, targets) for name, run in implementations().items()
    }
    differences = _Differences(chain, loss, samples, targets)
    random = np.random.default_rng(0)
    checks: list[GradientCheck] = []
    for k, layer in enumerate(chain.layers[1:], start=1):
        weights, biases = int(chain.layout[k, WEIGHTS]), int(chain.layout[k, BIASES])
        for parameter, start, stop in (("W", weights, biases), ("Bias", biases, biases + layer.length)):
            checked = np.arange(start, stop)
            if len(checked) > AT_MOST:
                checked = np.sort(random.choice(checked, AT_MOST, replace=False))
            checks.append(_check(layer.name, parameter, gradients, slice(start, stop), checked, differences))
    return GradientReport(tuple(checks), str(network.dtype))


@dataclass(frozen=True, slots=True)
class _Slope:
    """A slope by differences: extrapolated to step 0, its error, and the slopes of the two sides."""

    central: float
    error: float
    left: float
    right: float

    def deviation(self, entry: float, tolerance: float, largest: float) -> float:
        """How far a gradient is off, in terms of the tolerance."""
        if abs(self.right - self.left) > KINK * max(largest, abs(self.left), abs(self.right)):
            low, high = sorted((self.left, self.right))
            return max(0.0, low - entry, entry - high) / (tolerance + self.error)
        return abs(entry - self.central) / (tolerance + self.error)


class _Differences:
    """The slopes of the loss by single parameters, in float64 and by forward passes alone."""

    def __init__(self, chain: Chain[F], loss: int, x: Matrix[F], t: Matrix[F]) -> None:
        self.layout, self.loss = chain.layout, loss
        self.x, self.t = x.astype(np.float64), t.astype(np.float64)
        self.parameters: Vector[np.float64] = chain.parameters.astype(np.float64)
        units = chain.new_workspace(len(x)).a.size
        self.a, self.h, self.losses = np.empty(units), np.empty(units), np.empty(len(x))
        self.value = self.mean_loss()

    def mean_loss(self) -> float:
        last = len(self.layout) - 1
        plain.forward(self.parameters, self.layout, self.x, self.a, self.h)
        plain.loss_value(
            self.loss,
            int(self.layout[last, ACTIVATION]),
            block(self.a, self.layout, last, len(self.x)),
            block(self.h, self.layout, last, len(self.x)),
            self.t,
            self.losses,
        )
        return float(self.losses.mean())

    def at(self, index: int) -> _Slope:
        """The slope by one parameter, from points one and two steps to either side."""
        here = float(self.parameters[index])
        step = STEP * max(1.0, abs(here))
        far_left, left, right, far_right = (
            self._loss_at(index, here + distance * step) for distance in (-2, -1, 1, 2)
        )
        self.parameters[index] = here
        near, far = (right - left) / (2 * step), (far_right - far_left) / (4 * step)
        return _Slope(
            (4 * near - far) / 3, abs(near - far), (self.value - left) / step, (right - self.value) / step
        )

    def _loss_at(self, index: int, value: float) -> float:
        self.parameters[index] = value
        return self.mean_loss()


def _gradient(run: Kernels, chain: Chain[F], loss: int, x: Matrix[F], t: Matrix[F]) -> Vector[F]:
    workspace = chain.new_workspace(len(x))
    gradient: Vector[F] = np.empty_like(chain.parameters)
    run.forward(chain.parameters, chain.layout, x, workspace.a, workspace.h)
    run.backward(
        chain.parameters,
        chain.layout,
        loss,
        t,
        workspace.a,
        workspace.h,
        workspace.dLdh,
        workspace.dLda,
        gradient,
    )
    return gradient


def _check(
    layer: str,
    parameter: str,
    gradients: dict[BackendName, Vector[F]],
    part: slice,
    checked: np.ndarray[tuple[int], np.dtype[np.int64]],
    differences: _Differences,
) -> GradientCheck:
    reference = gradients["numpy"][part].astype(np.float64)
    eps = float(np.finfo(gradients["numpy"].dtype).eps)
    largest = float(np.abs(reference).max())
    rounding = ROUNDING * eps * max(largest, 1.0)
    tolerance = rounding + DIFFERENCES * (largest + max(1.0, abs(differences.value)))
    slopes = [differences.at(int(index)) for index in checked]

    def deviation(name: BackendName) -> float:
        entries = gradients[name][checked].astype(np.float64)
        return max(
            slope.deviation(float(entry), tolerance, largest)
            for entry, slope in zip(entries, slopes, strict=True)
        )

    if "numba" not in gradients:
        return GradientCheck(layer, parameter, len(checked), deviation("numpy"), None, None)
    apart = float(np.abs(gradients["numba"][part].astype(np.float64) - reference).max())
    return GradientCheck(
        layer, parameter, len(checked), deviation("numpy"), deviation("numba"), apart / rounding
    )


def _deviation(value: float | None) -> str:
    return "-" if value is None else f"{value:.2g}"

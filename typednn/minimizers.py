"""Trains networks with SciPy's minimisers, such as L-BFGS, on all samples at once.

>>> import numpy as np
>>> from typednn import HiddenLayer, InputLayer, Network, OutputLayer
>>> network = Network([InputLayer(1), HiddenLayer(5, "tanh"), OutputLayer(1)], seed=0)
>>> x = np.linspace(-2, 2, 20).reshape(-1, 1)
>>> minimum = minimize(network, x, np.sin(x))
>>> minimum.success, minimum.loss < 1e-4
(True, True)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import inf, isfinite
from typing import Generic, get_args

import numpy as np
from typednn_kernels.arrays import F, Vector
from typednn_kernels.dropout import INFERENCE
from typednn_kernels.layout import NORMALIZATION, biases, gains, inner_biases, weights
from typednn_kernels.normalizations import NONE

from typednn import names
from typednn.backends import kernels
from typednn.errors import DivergenceError, SettingError
from typednn.layers.workspace import Workspace
from typednn.names import GradientMethodName, MinimizerName
from typednn.network.network import Network, check_network
from typednn.parallel import check_interrupt
from typednn.records import Record
from typednn.training.optimizer_state import trainable_ranges
from typednn.training.samples import CheckedSamples, ClassWeights, format_of
from typednn.training.watched_epochs import EVALUATION_CHUNK
from typednn.validation.arrays import Samples, Targets, Weights, Y_co
from typednn.validation.settings import check_count, check_positive

GRADIENT_METHODS: tuple[str, ...] = get_args(GradientMethodName)


class Minimum(Record):
    """The result of a minimisation; the network has the parameters of the minimum.

    Attributes:
        loss: the mean loss of the samples.
        objective: the minimised value, the mean loss plus the layers' penalties.
        iterations: the number of iterations of the minimiser.
        evaluations: the number of evaluations of the loss, each with its gradient if the method uses it.
        success: whether the minimiser converged; otherwise it stopped early, such as at `max_iterations`.
        message: the minimiser's message.
    """

    loss: float
    objective: float
    iterations: int
    evaluations: int
    success: bool
    message: str


def minimize(
    network: Network[F, Y_co],
    x: Samples[F],
    y: Targets[F, Y_co],
    method: MinimizerName = "L-BFGS-B",
    *,
    max_iterations: int = 1000,
    tolerance: float | None = None,
    options: Mapping[str, object] | None = None,
    sample_weight: Weights | None = None,
    class_weight: ClassWeights | None = None,
) -> Minimum:
    """Trains a network with `scipy.optimize.minimize`, on all samples at once.

    It minimises the mean loss plus the layers' L1 and L2 penalties, over the parameters of the layers that
    are `trainable`. The network computes as in predictions: it drops no units, and batch normalisation uses
    its running mean and variance, which do not change. SciPy works in float64, the network in its own dtype.
    Ctrl-C leaves the network with the best parameters so far, an error with those it had before.

    Args:
        network: the network, which starts from its present parameters and receives those of the minimum.
        x: samples `(n_samples, n_features)` of the network's dtype.
        y: targets `(n_samples, n_outputs)`, or integer labels `(n_samples,)` for losses of classes.
        method: the name of the method of `scipy.optimize.minimize`.
        max_iterations: the largest number of iterations.
        tolerance: the tolerance for convergence; its meaning and default depend on the method.
        options: further options of the method, such as `{"maxcor": 30}`.
        sample_weight: weights `(n_samples,)`, by which the samples' losses are multiplied, as in `fit`.
        class_weight: weights by label, as in `fit`.

    Raises:
        ShapeError, ArrayTypeError, DataError: the data do not fit.
        UnknownNameError: there is no such method.
        SettingError: a setting is outside its range, or no layer is trainable.
        DivergenceError: no finite loss was found; the network is as it was before.
    """
    check_network(network, "minimize")
    method = names.minimizer(method)
    if options is not None and not isinstance(options, Mapping):
        raise SettingError(f"options must be a mapping, not {type(options).__name__}")
    check_count("max_iterations", max_iterations, 1)
    if tolerance is not None:
        check_positive("tolerance", tolerance)
    samples = format_of(network._output).samples(x, y, sample_weight, class_weight)
    return minimize_samples(network, samples, method, max_iterations, tolerance, options or {})


def minimize_samples(
    network: Network[F, Y_co],
    samples: CheckedSamples[F],
    method: MinimizerName,
    max_iterations: int,
    tolerance: float | None,
    options: Mapping[str, object],
) -> Minimum:
    """Trains a network as `minimize`, with checked samples and settings.

    Raises:
        SettingError: no layer is trainable.
        DivergenceError: no finite loss was found; the network is as it was before.
    """
    objective = Objective(network, samples)
    start = objective.vector
    if not start.size:
        raise SettingError("minimize: no layer of the network is trainable, so there is nothing to change")
    from scipy.optimize import minimize as scipy_minimize

    derivatives = method in GRADIENT_METHODS
    limit = "maxfun" if method == "TNC" else "maxiter"
    try:
        with np.errstate(all="ignore"):
            result = scipy_minimize(
                objective.value_and_gradient if derivatives else objective.value,
                start,
                method=method,
                jac=True if derivatives else None,
                tol=tolerance,
                options={limit: max_iterations, **options},
            )
    except BaseException as error:
        objective.vector = objective.best if isinstance(error, KeyboardInterrupt) else start
        raise
    objective.vector = objective.best
    if objective.lowest == inf:
        raise DivergenceError("minimize: the loss is nowhere finite; the network is as it was before")
    return Minimum(
        objective.lowest - objective.penalty(),
        objective.lowest,
        int(result.get("nit", 0)),
        objective.evaluations,
        bool(result.success),
        str(result.message),
    )


class Objective(Generic[F]):
    """The mean loss of some samples plus penalties, as a function of the trainable parameters.

    Attributes:
        evaluations: the number of evaluations so far.
        best, lowest: the parameters with the lowest value so far, and that value.
    """

    evaluations: int
    best: Vector[np.float64]
    lowest: float

    def __init__(self, network: Network[F, Y_co], samples: CheckedSamples[F]) -> None:
        self._network, self._storage, self._samples = network, network._storage, samples
        self._ranges, self._penalties = trainable_ranges(self._storage)
        self._gradient: Vector[F] = np.empty_like(self._storage.gradient)
        self.evaluations = 0
        self.best, self.lowest = self.vector, inf

    @property
    def vector(self) -> Vector[np.float64]:
        """A float64 copy of the trainable parameters; assignment changes them."""
        parameters = self._storage.parameters.astype(np.float64)
        return np.concatenate([np.empty(0), *(parameters[part] for part in self._parts())])

    @vector.setter
    def vector(self, numbers: Vector[np.float64]) -> None:
        first = 0
        for part in self._parts():
            last = first + part.stop - part.start
            self._storage.parameters[part] = numbers[first:last]
            first = last

    def value(self, vector: Vector[np.float64]) -> float:
        """Computes the loss plus penalties."""
        self.vector = vector
        return self._record(vector, sum(self._losses(None)) / len(self._samples))

    def value_and_gradient(self, vector: Vector[np.float64]) -> tuple[float, Vector[np.float64]]:
        """Computes the loss plus penalties, and its gradient."""
        self.vector = vector
        total: Vector[np.float64] = np.zeros(len(self._gradient))
        value = self._record(vector, sum(self._losses(total)) / len(self._samples))
        for part, (l1, l2) in zip(self._parts(), self._penalties, strict=True):
            w = self._storage.parameters[part]
            total[part] += l1 * np.sign(w) + 2 * l2 * w
        return value, np.concatenate([total[part] for part in self._parts()])

    def penalty(self) -> float:
        """Computes the penalties of the present parameters."""
        total = 0.0
        for part, (l1, l2) in zip(self._parts(), self._penalties.tolist(), strict=True):
            w = self._storage.parameters[part]
            if l1 or l2:
                total += l1 * float(abs(w).sum(dtype=np.float64)) + l2 * float((w * w).sum(dtype=np.float64))
        return total

    def _record(self, vector: Vector[np.float64], loss: float) -> float:
        check_interrupt()
        value = loss + self.penalty()
        self.evaluations += 1
        if value < self.lowest:
            self.best, self.lowest = vector.copy(), value
        return value if isfinite(value) else inf

    def _parts(self) -> list[slice]:
        return [slice(start, stop) for start, stop in self._ranges.tolist()]

    def _losses(self, total: Vector[np.float64] | None) -> Iterator[float]:
        """Yields the sum of losses of each chunk of samples, and adds its gradient to `total`."""
        network, storage, samples = self._network, self._storage, self._samples
        for x, targets, chunk in samples.chunks(EVALUATION_CHUNK):
            factors = samples.weights[chunk] if len(samples.weights) else None
            for part, workspace in network._chunks(x):
                t = targets[part]
                losses: Vector[F] = np.empty(len(t), storage.dtype)
                network._output._sample_losses(workspace, t, losses)
                if factors is not None:
                    losses *= factors[part]
                if total is not None:
                    kernels(storage.dtype).backward(
                        storage.parameters,
                        storage.layout,
                        INFERENCE,
                        network._loss,
                        t,
                        workspace.vectors,
                        self._gradient,
                    )
                    if factors is not None:
                        self._weigh(workspace, factors[part])
                    total += self._gradient * (len(t) / len(samples))
                yield float(losses.sum(dtype=np.float64))

    def _weigh(self, workspace: Workspace[F], factors: Vector[F]) -> None:
        """Computes the gradient again, from the deltas of each sample times its weight.

        In a pass as for predictions the deltas of a sample depend on no other sample, and are proportional to
        those of its output.
        """
        run, storage, layout, gradient = (
            kernels(self._storage.dtype),
            self._storage,
            self._storage.layout,
            self._gradient,
        )
        for k in range(1, len(layout)):
            here, bias, code = workspace.blocks[k], biases(gradient, layout, k), int(layout[k, NORMALIZATION])
            here.dLda[...] *= factors.reshape(-1, 1)
            if code == NONE:  # dLdz is dLda
                run.sum_samples(here.dLda, bias)
            else:
                run.normalization_backward(
                    code,
                    False,
                    here.z,
                    storage.gains[k],
                    here.inv_std,
                    here.dLda,
                    bias,
                    gains(gradient, layout, k),
                    here.dLdz,
                )
                if (sums := inner_biases(gradient, layout, k)).size:
                    run.sum_samples(here.dLdz, sums)
            run.outer(here.dLdz, workspace.blocks[k - 1].h, weights(gradient, layout, k))

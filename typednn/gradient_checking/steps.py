"""The gradients that users train with: those that layers show, and those that steps of training apply."""

from __future__ import annotations

from collections.abc import Iterator
from math import frexp
from typing import Generic, NamedTuple

import numpy as np
from typednn_kernels.arrays import F, Layout, Matrix, Ranges, Vector
from typednn_kernels.dropout import INFERENCE
from typednn_kernels.interface import Kernels
from typednn_kernels.layout import DROPOUT, NORMALIZATION, biases, gains, inner_biases, weights
from typednn_kernels.operands import Epoch, OptimizerSteps

from typednn.layers.storage import Storage
from typednn.layers.workspace import new_workspace
from typednn.network.network import Network
from typednn.training.optimizer_state import OptimizerState
from typednn.training.optimizers import SGD
from typednn.validation.arrays import Y_co, read_only

RATE_EXPONENT = 6
"""Steps are about 2 ** 6 times as large as the parameters, so that differences of parameters are accurate."""

ONLINE_SAMPLES = 3
"""The number of samples of which steps of one sample are checked."""


class StepGradient(NamedTuple):
    """A gradient that was recovered from what users train with.

    Attributes:
        samples: the samples whose mean loss it belongs to.
        gradient: the gradient; NaN where the step does not change a parameter.
        rounding: what the recovery adds to the rounding errors.
        made: whether the step was made; it is not where the loss, or the bound of the step, is not finite.
    """

    samples: slice
    gradient: Vector[np.float64]
    rounding: float
    made: bool = True


def gradients_of_layers(
    network: Network[F, Y_co], x: Matrix[F], t: Matrix[F], key: int
) -> Iterator[StepGradient]:
    """Computes the gradient by `forward` and `backward` of a copy's layers, on the active backend.

    Yields none where a step would draw which units are dropped.
    """
    layout = network._storage.layout
    if key != INFERENCE and layout[:, DROPOUT].any():
        return
    layers = network.copy().layers
    layers[0].training = key != INFERENCE
    layers[0].put_values(x)
    layers[-1].set_actual(t)
    for layer in layers:
        layer.forward()
    for layer in layers[:0:-1]:
        layer.backward()
    result: Vector[np.float64] = np.empty(len(network.parameters))
    for k, layer in enumerate(layers[1:], start=1):
        weights(result, layout, k)[...] = layer.dLdW
        biases(result, layout, k)[...] = layer.dLdBias[0]
        if layer.normalization != "none":
            gains(result, layout, k)[...] = layer.dLdGain[0]
        if (sums := inner_biases(result, layout, k)).size:
            sums[...] = layer.dLdInnerBias[0]
    yield StepGradient(slice(None), result, 0.0)


def gradients_of_steps(
    run: Kernels, storage: Storage[F], loss: int, x: Matrix[F], t: Matrix[F], key: int, largest: float
) -> Iterator[StepGradient]:
    """Recovers gradients from steps of plain gradient descent: one of all samples, some of one sample each.

    Yields none for predictions of networks whose steps compute something else, with batch normalisation or
    dropout. Steps of one sample are those of plain networks alone.

    Args:
        run: the kernels that make the steps.
        storage: the parameters, which are not changed.
        loss: the code of the loss.
        x: the samples.
        t: the targets.
        key: the dropout key of the step, or `INFERENCE`.
        largest: the largest absolute value of the gradient's elements.
    """
    layout = storage.layout
    plain = not layout[:, [NORMALIZATION, DROPOUT]].any()
    if key == INFERENCE and not plain:
        return
    step = _Step(run, storage, loss, max(0, key), largest)
    yield step.of_batch(x, t)
    if plain and step.all_trained:
        for k in range(min(ONLINE_SAMPLES, len(x))):
            yield step.of_sample(x, t, k)


class _Step(Generic[F]):
    """Makes a step from the same parameters each time."""

    def __init__(self, run: Kernels, storage: Storage[F], loss: int, key: int, largest: float) -> None:
        self.run, self.storage, self.loss, self.key = run, storage, loss, key
        magnitude = max(1.0, float(np.abs(storage.trainable).max()))
        _, exponent = frexp(magnitude / largest if largest else 1.0)
        self.rate = 2.0 ** max(-60, min(60, exponent + RATE_EXPONENT))
        eps = float(np.finfo(storage.dtype).eps)
        self.rounding = 2 * eps * (magnitude / self.rate + largest)
        self.state = OptimizerState(storage, SGD(learning_rate=self.rate))
        trained: Ranges = self.state.trainable_ranges
        self.all_trained = trained.tolist() == [[0, len(storage.trainable)]]

    def of_batch(self, x: Matrix[F], t: Matrix[F]) -> StepGradient:
        """Recovers the gradient of the mean loss of all samples."""
        state, parameters = self.state, self.storage.parameters.copy()
        epoch = self._epoch(x, t, np.arange(len(x)), len(x))
        penalties = np.zeros_like(state.penalties)
        optimizer = OptimizerSteps(
            state.rule, state.coefficients(1), state.trainable_ranges, penalties, state.states.copy()
        )
        work = new_workspace(self.storage.layout, len(x), x.dtype)
        gradient = np.zeros_like(self.storage.trainable)
        layout: Layout = self.storage.layout
        self.run.train_batches(
            parameters, layout, self.key, self.loss, epoch, optimizer, work.vectors, gradient
        )
        return self._recovered(slice(None), parameters, epoch)

    def of_sample(self, x: Matrix[F], t: Matrix[F], k: int) -> StepGradient:
        """Recovers the gradient of the loss of sample k, of which the kernel makes a step."""
        parameters, layout = self.storage.parameters.copy(), self.storage.layout
        epoch = self._epoch(x, t, np.array([k]), 1)
        work = new_workspace(layout, 1, x.dtype)
        rate = x.dtype.type(self.rate)
        self.run.train_online(parameters, layout, self.loss, epoch, rate, work.vectors)
        return self._recovered(slice(k, k + 1), parameters, epoch)

    def _epoch(
        self, x: Matrix[F], t: Matrix[F], order: np.ndarray[tuple[int], np.dtype[np.int64]], size: int
    ) -> Epoch[F]:
        none = read_only(np.empty(0, x.dtype))
        return Epoch(x, t, none, read_only(order), size, np.empty(len(order), x.dtype))

    def _recovered(self, samples: slice, parameters: Vector[F], epoch: Epoch[F]) -> StepGradient:
        before = self.storage.trainable
        result: Vector[np.float64] = np.full(len(before), np.nan)
        for start, stop in self.state.trainable_ranges:
            change = before[start:stop].astype(np.float64) - parameters[start:stop]
            result[start:stop] = np.nan_to_num(change / self.rate, nan=np.inf)
        return StepGradient(samples, result, self.rounding, made=bool(np.isfinite(epoch.losses).all()))

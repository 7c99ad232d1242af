"""Numerical derivatives of the loss, in float64, and how far rounding and kinks may move a gradient."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic

import numpy as np
from typednn_kernels import plain
from typednn_kernels.activations import SOFTMAX
from typednn_kernels.arrays import F, Layout, Matrix, Vector
from typednn_kernels.dropout import INFERENCE
from typednn_kernels.interface import Kernels
from typednn_kernels.layout import (
    ACTIVATION,
    DROPOUT,
    FROZEN,
    NORMALIZATION,
    biases,
    block,
    gains,
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
from typednn.layers.workspace import Workspace, new_workspace

STEP = 2.0**-17
"""The step of the differences, times max(1, |parameter|); near the cube root of float64's precision."""

FINER = 2.0**-4
"""The steps of a second opinion, relative to the first: kinks of second derivatives that several units have
within the steps, on both sides, are unlikely within both."""

MOVED = 2.0**-10
"""The largest change of a pre-activation by a finer step, relative to max(1, |pre-activation|)."""

ROUNDING = 16
"""The tolerance for rounding: a multiple of how much the gradient changes when parameters and activations
change by a relative eps, and of eps times the largest element. To it comes eps times the sum of the absolute
values of the terms of an element, the largest of these sums."""

CERTAIN = 64
"""The ratio of a second difference to the rounding error of the loss, above which a kink is reported."""

KINK = 0.75
"""The ratio of the second difference at one step to half of that at two steps, above which there is a kink.
The ratio is 1/2 for a smooth loss and 1 at a kink."""

ROOT_EPS = 2.0**-26
"""The square root of float64's precision: the step of a derivative that needs no more than its magnitude."""

CURVATURE = 4
"""The largest second derivative of an activation, relative to max(1, |first|), that is no kink."""

ASIDE = 3
"""The error of a central difference, relative to the change from one step to two. Without kinks 1/3 would
do; where a kink lies k steps aside, it is abs(2 - 7/3 k) / k, below 2.7 where KINK does not see the kink."""


class Problem(Generic[F]):
    """The mean loss of some samples as a function of the parameters."""

    def __init__(self, layout: Layout, loss: int, x: Matrix[F], t: Matrix[F], key: int) -> None:
        self.layout: Layout = layout
        self.loss: int = loss
        self.x: Matrix[F] = x
        self.t: Matrix[F] = t
        self.key: int = key
        self.workspace: Workspace[F] = new_workspace(layout, len(x), x.dtype)

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
        """Changes all activations in the workspace by a relative eps, up or down.

        No second output of softmax becomes larger than 1/2: they add up to 1.
        """
        outputs = self.workspace.blocks[-1].h
        most = np.where(outputs > 0.5, np.inf, 0.5) if self.layout[-1, ACTIVATION] == SOFTMAX else np.inf
        for numbers in (self.workspace.a, self.workspace.h):
            numbers *= 1 + eps * random.choice([-1.0, 1.0], numbers.shape)
        np.minimum(outputs, most, out=outputs)

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


class Reference:
    """Numerical derivatives of the loss, by forward passes in float64."""

    def __init__(self, problem: Problem[F], parameters: Vector[F]) -> None:
        self.problem: Problem[np.float64] = Problem(
            problem.layout,
            problem.loss,
            problem.x.astype(np.float64),
            problem.t.astype(np.float64),
            problem.key,
        )
        self.parameters: Vector[np.float64] = parameters.astype(np.float64)
        self.value: float = self.problem.mean_loss(self.parameters)
        limits = np.finfo(parameters.dtype)
        self.eps: float = float(limits.eps)
        self.tiny: float = float(limits.tiny)
        self.noise: float = self._noise()
        self.low: Vector[np.float64]
        self.high: Vector[np.float64]
        self.low, self.high = self._rounded_range(problem, parameters)
        self.sensitivity: Vector[np.float64] = self._sensitivity()
        self.magnitudes: Vector[np.float64] = self._magnitudes()
        self.kinks: Vector[np.float64] = self._kinks(self.low, self.high)

    def _noise(self) -> float:
        """Estimates the rounding error of the loss in float64."""
        random = np.random.default_rng(0)
        noise = 0.0
        for _ in range(4):
            self.problem.forward(plain, self.parameters)
            self.problem.shake(random, float(np.finfo(np.float64).eps))
            noise = max(noise, abs(self.problem.loss_of_activations() - self.value))
        return noise

    def _rounded_range(
        self, problem: Problem[F], parameters: Vector[F]
    ) -> tuple[Vector[np.float64], Vector[np.float64]]:
        """Computes the least and largest pre-activations of the paths, and of float64.

        Training counts subnormal numbers as 0, where an activation may have a kink.
        """
        exact = self._pre_activations()
        made = [exact]
        for run in implementations(parameters.dtype).values():
            problem.forward(run, parameters.copy())
            made.append(problem.workspace.a.astype(np.float64))
        return np.minimum.reduce(made) - self.tiny, np.maximum.reduce(made) + self.tiny

    def _pre_activations(self) -> Vector[np.float64]:
        self.problem.forward(plain, self.parameters)
        return self.problem.workspace.a.copy()

    def _sensitivity(self) -> Vector[np.float64]:
        """Estimates how much each element of the gradient changes when its operands change by eps.

        It is infinite where a value is beyond float64 then.
        """
        random = np.random.default_rng(0)
        problem = self.problem
        gradient = problem.gradient(plain, self.parameters)
        change: Vector[np.float64] = np.zeros_like(gradient)
        for _ in range(4):
            parameters = self.parameters * (1 + self.eps * random.choice([-1.0, 1.0], self.parameters.shape))
            problem.rounded_forward(parameters, random, self.eps)
            problem.shake(random, self.eps)
            changed = np.abs(problem.backward(plain, parameters) - gradient)
            np.maximum(change, np.nan_to_num(changed, nan=np.inf, posinf=np.inf), out=change)
        return change

    def _magnitudes(self) -> Vector[np.float64]:
        """Computes the sum of the absolute values of the terms of each element of the gradient.

        Terms may cancel, and what is left of their rounding is not small beside a gradient that is almost 0.
        So may those of a derivative, such as y (1 - y) of sigmoid: to it comes its change with a relative y.
        """
        terms = self._output_terms()
        problem = self.problem
        problem.forward(plain, self.parameters)

        def passed_back(k: int, terms: Matrix[np.float64]) -> Matrix[np.float64]:
            derivative = self._activation_derivative(k, problem.workspace.a)
            changed = self._activation_derivative(k, problem.workspace.a, ROOT_EPS)
            return terms * (np.abs(derivative) + np.abs(changed - derivative) / ROOT_EPS)

        return self._sums(terms, passed_back)

    def _output_terms(self) -> Matrix[np.float64]:
        """Computes the sum of the absolute values of the terms of dLda of the output layer, (B, n).

        They are dLda and, without kinks, its change with a relative y: those of y - t and y (1 - y) cancel.
        """
        problem = self.problem
        problem.gradient(plain, self.parameters)
        here = problem.workspace.blocks[-1]
        deltas, dLdy, y = here.dLda.copy(), np.abs(here.dLdh), here.h.copy()
        here.h[...] *= 1 + ROOT_EPS
        problem.backward(plain, self.parameters)
        change: Matrix[np.float64] = np.abs(here.dLda - deltas) / ROOT_EPS
        smooth = change <= CURVATURE * np.maximum(1.0, np.abs(y)) * np.maximum(1.0, dLdy)
        change[~smooth] = 0.0  # NaN as well
        return np.abs(deltas) + change

    def _kinks(self, low: Vector[np.float64], high: Vector[np.float64]) -> Vector[np.float64]:
        """Computes how much each element of the gradient may change at kinks between two pre-activations.

        A unit with a kink there may have the derivative of either side, whichever side other units are on.
        """
        problem, layout, last = self.problem, self.problem.layout, len(self.problem.layout) - 1
        a, samples = problem.workspace.a, len(problem.x)
        deltas = [self._output_deltas(each) for each in (low, high)]
        problem.gradient(plain, self.parameters)
        deltas.append(block(problem.workspace.dLda, layout, last, samples).copy())

        def jump(k: int, values: list[Matrix[np.float64]]) -> Matrix[np.float64]:
            apart = block(high, layout, k, samples) - block(low, layout, k, samples)
            largest = np.maximum.reduce([np.abs(each) for each in values])
            change: Matrix[np.float64] = np.maximum.reduce(values) - np.minimum.reduce(values)
            change[~(change > CURVATURE * apart * np.maximum(1.0, largest))] = 0.0  # NaN as well
            return change

        def passed_back(k: int, terms: Matrix[np.float64]) -> Matrix[np.float64]:
            sides = [self._activation_derivative(k, each) for each in (low, a, high)]
            dLdh = np.abs(block(problem.workspace.dLdh, layout, k, samples))
            largest: Matrix[np.float64] = np.maximum.reduce([np.abs(side) for side in sides])
            return terms * largest + (dLdh + terms) * jump(k, sides)

        return self._sums(jump(last, deltas), passed_back)

    def _output_deltas(self, a: Vector[np.float64]) -> Matrix[np.float64]:
        """Computes dLda of the output layer where its pre-activations are among these."""
        problem, layout, last = self.problem, self.problem.layout, len(self.problem.layout) - 1
        problem.forward(plain, self.parameters)
        here = problem.workspace.blocks[last]
        here.a[...] = block(a, layout, last, len(problem.x))
        plain.activation_value(int(layout[last, ACTIVATION]), here.a, here.h)
        problem.backward(plain, self.parameters)
        return here.dLda.copy()

    def _sums(
        self,
        terms: Matrix[np.float64],
        passed_back: Callable[[int, Matrix[np.float64]], Matrix[np.float64]],
    ) -> Vector[np.float64]:
        """Computes what terms dLda of the output layer add up to in each element of the gradient.

        The terms are absolute values, and are passed back through the layers as deltas are, but by the
        absolute values of weights; through an activation by `passed_back`.
        """
        problem, layout, samples = self.problem, self.problem.layout, len(self.problem.x)
        a, h = problem.workspace.a, problem.workspace.h
        result: Vector[np.float64] = np.zeros(parameter_count(layout))
        for k in range(len(layout) - 1, 0, -1):
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
                terms = passed_back(k - 1, terms @ W if W.size else terms)
        return result

    def rounding(self, part: slice, largest: float) -> Vector[np.float64]:
        """Computes the tolerance of rounding errors for a part of the gradient with this largest element."""
        shaken = float(self.sensitivity[part].max())
        terms = self.eps * float(self.magnitudes[part].max())
        return ROUNDING * (shaken + self.eps * largest) + terms + self.tiny + self.kinks[part]

    def _activation_derivative(
        self, k: int, pre_activations: Vector[np.float64], change: float = 0.0
    ) -> Matrix[np.float64]:
        """Computes dh/da of layer k, 0 where a unit is dropped, from y = f(a) with a relative change."""
        problem, layout, samples = self.problem, self.problem.layout, len(self.problem.x)
        activation, dropped = int(layout[k, ACTIVATION]), int(layout[k, DROPOUT])
        a = block(pre_activations, layout, k, samples)
        y, derivative = np.empty_like(a), np.empty_like(a)
        plain.activation_value(activation, a, y)
        y *= 1 + change
        plain.activation_backward(activation, a, y, np.ones_like(a), derivative)
        if dropped and problem.key != INFERENCE:
            plain.apply_dropout(problem.key, k, dropped, derivative)
        return derivative

    def derivative(self, index: int, step: float | None = None) -> Derivative:
        """Computes the derivative with respect to one parameter, from one and two steps to either side."""
        step = step or self._step(index)
        far_left, left, right, far_right = (
            self.problem.loss_of_activations() for _ in self._displaced(index, step)
        )
        near, far = (right - left) / (2 * step), (far_right - far_left) / (4 * step)
        gap, far_gap = left + right - 2 * self.value, (far_left + far_right - 2 * self.value) / 2
        grown = max(map(abs, (far_left, left, right, far_right))) - abs(self.value)
        noise = self.noise + 4 * float(np.finfo(np.float64).eps) * max(0.0, grown)
        return Derivative(
            central=(4 * near - far) / 3,
            error=ASIDE * abs(near - far) + 2 * noise / step,
            left=(3 * self.value - 4 * left + far_left) / (2 * step),
            right=(4 * right - far_right - 3 * self.value) / (2 * step),
            kink=abs(gap) > KINK * abs(far_gap),
            certain_kink=abs(gap) > max(KINK * abs(far_gap), CERTAIN * noise),
        )

    def kinks_within_steps(self, index: int) -> float:
        """Computes how much an element of the gradient may change at kinks within the steps to its sides."""
        low, high = self.low, self.high
        for _ in self._displaced(index, self._step(index)):
            a = self.problem.workspace.a
            low, high = np.minimum(low, a), np.maximum(high, a)
        return float(self._kinks(low, high)[index])

    def _step(self, index: int) -> float:
        return STEP * max(1.0, abs(float(self.parameters[index])))

    def finer_step(self, index: int) -> float:
        """Computes a step by which no pre-activation changes much, as it may where inputs are very large."""
        here, step = self._pre_activations(), FINER * self._step(index)
        moved = 0.0
        for _ in self._displaced(index, step):
            apart = np.abs(self.problem.workspace.a - here) / np.maximum(1.0, np.abs(here))
            moved = max(moved, float(apart.max()))
        least = ROOT_EPS * FINER * abs(float(self.parameters[index]))  # so that rounding errors stay small
        return max(least, step * min(1.0, MOVED / moved)) if 0 < moved < np.inf else step

    def _displaced(self, index: int, step: float) -> Iterator[None]:
        """Computes the activations two and one steps left of a parameter, then one and two steps right."""
        here = float(self.parameters[index])
        for distance in (-2, -1, 1, 2):
            self.parameters[index] = here + distance * step
            self.problem.forward(plain, self.parameters)
            self.parameters[index] = here
            yield


@dataclass(frozen=True, slots=True)
class Derivative:
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

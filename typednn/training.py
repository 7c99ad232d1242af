"""Training steps in compiled calls, none of which lasts long, and where one went wrong.

A call to the kernels trains a piece of an epoch, of about `PIECE` seconds, so that Ctrl-C is answered
between pieces, with the network as it was after the last of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite
from time import perf_counter
from typing import Generic

import numpy as np
from numpy.typing import NDArray
from typednn_kernels.activations import CODES
from typednn_kernels.arrays import F, Matrix, Order, Vector
from typednn_kernels.layout import weights

from typednn.arrays import read_only
from typednn.backends import kernels
from typednn.batches import Samples
from typednn.chains import Chain
from typednn.errors import DivergenceError, SettingError

BATCH_SIZE = 32
"""Samples per step where the user says nothing."""

PIECE = 0.05


class BadStepError(Exception):
    """A step that is not finite, and was not made.

    Attributes:
        sample: how many samples had been trained before it.
        layer: the place of the layer where the first number that is not finite arose.
        what: what kind of number that is.
    """

    def __init__(self, sample: int, layer: int, what: str) -> None:
        super().__init__(sample, layer, what)
        self.sample, self.layer, self.what = sample, layer, what

    def divergence(self, chain: Chain[F], epoch: int, step: int) -> DivergenceError:
        """The error for the user, who counts from 1."""
        return DivergenceError(epoch, step, self.layer, chain.layers[self.layer].name, self.what)


class Trainer(Generic[F]):
    """Makes steps of gradient descent, piece by piece."""

    def __init__(self, chain: Chain[F], loss: int, batch_size: int, learning_rate: float) -> None:
        self.chain, self.loss = chain, loss
        self.batch_size = batch_size
        self.learning_rate: F = chain.dtype.type(learning_rate)
        self.workspace = chain.new_workspace(batch_size)
        self.gradient: Vector[F] = np.empty_like(chain.parameters)
        self.piece = max(1, int(2e6 / (chain.parameters.size + 1000)))

    def state(self) -> dict[str, NDArray[np.generic]]:
        """All that steps change beside the parameters, by name; gradient descent itself has none."""
        return {}

    def restore(self, state: dict[str, NDArray[np.generic]]) -> None:
        """Takes back what `state` gave: the same names, shapes and dtypes."""

    def resize(self, batch_size: int) -> None:
        """Makes steps of so many samples from now on."""
        if batch_size > self.batch_size:
            self.workspace = self.chain.new_workspace(batch_size)
        self.batch_size = batch_size

    def run(
        self, samples: Samples[F], order: Order, losses: Vector[F], at_once: int | None = None
    ) -> Iterator[int]:
        """Trains with the samples of `order`; the loss of each goes to `losses`.

        Args:
            samples: where the order takes them from.
            order: the indices of samples, `(n,)`.
            losses: `(n,)`, each before the step that it is part of, times its weight.
            at_once: at most so many steps in a piece.

        Yields:
            How many samples have been trained, after each piece; the layers can then be shown.

        Raises:
            BadStepError: a step that is not finite; the network is as it was before this step.
        """
        start = 0
        while start < len(order):
            steps = -(-min(self.piece, samples.at_once) // self.batch_size)
            if at_once is not None:
                steps = min(steps, at_once)
            piece = slice(start, min(start + steps * self.batch_size, len(order)))
            began = perf_counter()
            self._train(samples, order[piece], losses[piece], start)
            elapsed = perf_counter() - began
            if piece.stop - start >= self.piece:
                self.piece = max(1, int((piece.stop - start) * min(8.0, PIECE / max(elapsed, 1e-9))))
            start = piece.stop
            yield start

    def show(self) -> None:
        """Lets the layers show the last step."""
        self.workspace.complete_forward()
        self.workspace.complete_backward()
        self.chain.show(self.workspace)

    def _train(self, samples: Samples[F], order: Order, losses: Vector[F], before: int) -> None:
        """A piece, `before` which so many samples have been trained."""
        self.workspace.hold((len(order) - 1) % self.batch_size + 1)
        x, t, sample_weights, places = samples.take(order)
        if self.batch_size == 1 and not len(sample_weights):
            done = self._train_online(x, t, places, losses)
        else:
            self._call(x, t, sample_weights, places, losses)
            done = _count_finite(losses)
        if done < len(losses):
            step = done - done % self.batch_size
            batch = places[step : step + self.batch_size]
            raise BadStepError(before + step, *self._origin(x[batch], t[batch]))

    def _train_online(self, x: Matrix[F], t: Matrix[F], order: Order, losses: Vector[F]) -> int:
        """How many steps were good; the network is as it was after the last of them.

        The kernel changes upper layers before it knows the errors of lower ones, and cannot take a step
        back. So a piece with a bad step is made again, in halves, up to the last good one.
        """
        parameters, unweighted, saved = self.chain.parameters, _no_weights(x), self.gradient

        def good(first: int, last: int) -> bool:
            saved[...] = parameters
            self._call(x, t, unweighted, order[first:last], losses[first:last])
            if _all_finite(losses[first:last]) and _all_finite(parameters):
                return True
            parameters[...] = saved
            return False

        if good(0, len(order)):
            return len(order)
        done, bad = 0, len(order)
        while done + 1 < bad:
            middle = (done + bad) // 2
            if good(done, middle):
                done = middle
            else:
                bad = middle
        return done

    def _call(
        self, x: Matrix[F], t: Matrix[F], sample_weights: Vector[F], order: Order, losses: Vector[F]
    ) -> None:
        chain, work, order = self.chain, self.workspace, read_only(order)
        if self.batch_size == 1 and not len(sample_weights):
            kernels().train_online(
                chain.parameters,
                chain.layout,
                self.loss,
                x,
                t,
                order,
                self.learning_rate,
                work.a,
                work.h,
                work.dLdh,
                work.dLda,
                losses,
            )
        else:
            kernels().train_batches(
                chain.parameters,
                chain.layout,
                self.loss,
                x,
                t,
                sample_weights,
                order,
                self.batch_size,
                self.learning_rate,
                work.a,
                work.h,
                work.dLdh,
                work.dLda,
                self.gradient,
                losses,
            )

    def _origin(self, x: Matrix[F], t: Matrix[F]) -> tuple[int, str]:
        """The first layer where a step with these samples is not finite, and what; the layers show it."""
        chain, work, run = self.chain, self.workspace, kernels()
        layers, gradient = chain.layers, self.gradient
        vectors = work.a, work.h, work.dLdh, work.dLda
        losses: Vector[F] = np.empty(len(x), chain.dtype)
        work.hold(len(x))
        blocks, last = work.blocks, len(layers) - 1
        with np.errstate(all="ignore"):
            run.forward(chain.parameters, chain.layout, x, work.a, work.h)
            output = blocks[last]
            run.loss_value(self.loss, CODES[layers[last].actname], output.a, output.h, t, losses)
            run.backward(chain.parameters, chain.layout, self.loss, t, *vectors, gradient)
            self.show()
            squares = [
                float(np.dot(g, g))
                for g in (weights(gradient, chain.layout, k).reshape(-1) for k in range(last + 1))
            ]
        upwards, downwards = range(last + 1), range(last, 0, -1)
        suspects = [
            *((k, "activations", _all_finite(blocks[k].h)) for k in upwards),
            (last, "losses", _all_finite(losses)),
            *((k, "error signals", _all_finite(blocks[k].dLda)) for k in downwards),
            *((k, "squared gradients", isfinite(squares[k])) for k in downwards),
            (squares.index(max(squares)), "steps", False),
        ]
        return next((k, what) for k, what, finite in suspects if not finite)


def _no_weights(x: Matrix[F]) -> Vector[F]:
    none: Vector[F] = np.empty(0, x.dtype)
    return read_only(none)


def _count_finite(losses: Vector[F]) -> int:
    """How many come before the first that is not finite."""
    if _all_finite(losses):
        return len(losses)
    return int(np.isfinite(losses).argmin())


def _all_finite(array: NDArray[F]) -> bool:
    return bool(np.isfinite(array).all())


def check_count(name: str, value: int, lowest: int, highest: int | None = None) -> None:
    """Raises SettingError where a number of things is none, or outside its range."""
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or value < lowest or (highest is not None and value > highest):
        limit = f"of {lowest} or more" if highest is None else f"from {lowest} to {highest}, the samples"
        raise SettingError(f"{name} must be an integer {limit}, not {value!r}")


def check_rate(name: str, value: float) -> None:
    """Raises SettingError where a learning rate is not a positive finite number."""
    number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not number or not isfinite(value) or value <= 0:
        raise SettingError(f"{name} must be a positive finite number, not {value!r}")

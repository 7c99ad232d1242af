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
from typednn_kernels.arrays import F, Layout, Matrix, Order, Vector
from typednn_kernels.layout import DROPOUT, NORMALIZATION, running_moments, weights
from typednn_kernels.operands import Epoch, OptimizerSteps

from typednn.backends import kernels
from typednn.errors import DivergenceError
from typednn.layers.storage import Storage, Workspace
from typednn.parallel import check_interrupt
from typednn.training.batches import CheckedSamples
from typednn.training.optimizer_state import OptimizerState
from typednn.training.optimizers import Optimizer
from typednn.validation.arrays import read_only

BATCH_SIZE = 32
"""Samples per step where the user says nothing."""

PIECE = 0.05


class NonFiniteStepError(Exception):
    """A step that is not finite, and was not made.

    Attributes:
        sample: how many samples had been trained before it.
        layer: the place of the layer where the first number that is not finite arose.
        what: what kind of number that is.
    """

    sample: int
    layer: int
    what: str

    def __init__(self, sample: int, layer: int, what: str) -> None:
        super().__init__(sample, layer, what)
        self.sample, self.layer, self.what = sample, layer, what

    def divergence(self, chain: Storage[F], epoch: int, step: int) -> DivergenceError:
        """The error for the user, who counts from 1."""
        return DivergenceError(
            f"training diverged at step {step} of epoch {epoch}: {chain.layers[self.layer].name}, has "
            f"{self.what} that are not finite; the network is as it was before this step. "
            "A smaller learning rate helps",
            epoch,
            step,
            self.layer,
        )


class Trainer(Generic[F]):
    """Makes the steps of an optimiser, piece by piece.

    Raises:
        SettingError: a setting of the optimiser that the dtype cannot hold.
    """

    chain: Storage[F]
    loss: int
    layout: Layout
    batch_size: int
    updates: OptimizerState[F]
    online_rate: F | None
    workspace: Workspace[F]
    gradient: Vector[F]
    piece: int

    def __init__(self, chain: Storage[F], loss: int, batch_size: int, optimizer: Optimizer) -> None:
        self.chain, self.loss, self.layout = chain, loss, chain.layout.copy()
        self.batch_size = batch_size
        self.updates = OptimizerState(chain, optimizer)
        only_dense = not self.layout[:, [NORMALIZATION, DROPOUT]].any()
        self.online_rate = self.updates.plain_rate if only_dense else None
        self.workspace = chain.new_workspace(batch_size)
        self.gradient = chain.gradient  # layers form theirs anew when asked
        chain.has_gradient = [False] * len(chain.layers)
        self.piece = max(1, int(2e6 / (chain.parameters.size + 1000)))

    def resize(self, batch_size: int) -> None:
        """Makes steps of so many samples from now on."""
        if batch_size > self.batch_size:
            self.workspace = self.chain.new_workspace(batch_size)
        self.batch_size = batch_size

    def run(
        self, samples: CheckedSamples[F], order: Order, losses: Vector[F], at_once: int | None = None
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
            NonFiniteStepError: a step that is not finite; the network is as it was before this step.
            WiringError: dropout has no generator to draw from.
        """
        start, key = 0, self.chain.new_key()
        while start < len(order):
            steps = -(-min(self.piece, samples.at_once) // self.batch_size)
            if at_once is not None:
                steps = min(steps, at_once)
            piece = slice(start, min(start + steps * self.batch_size, len(order)))
            began = perf_counter()
            self._train(samples, order[piece], losses[piece], start, key + start // self.batch_size)
            elapsed = perf_counter() - began
            if piece.stop - start >= self.piece:
                self.piece = max(1, int((piece.stop - start) * min(8.0, PIECE / max(elapsed, 1e-9))))
            start = piece.stop
            yield start
            check_interrupt()

    def show(self) -> None:
        """Lets the layers show the last step."""
        self.workspace.complete_forward()
        self.workspace.complete_backward()
        self.chain.show(self.workspace)

    def _train(
        self, samples: CheckedSamples[F], order: Order, losses: Vector[F], before: int, key: int
    ) -> None:
        """A piece, `before` which so many samples have been trained; the key is that of its first step."""
        self.workspace.hold((len(order) - 1) % self.batch_size + 1)
        self.workspace.key = key + (len(order) - 1) // self.batch_size
        x, t, sample_weights, places = samples.take(order)
        epoch = Epoch(x, t, sample_weights, read_only(places), self.batch_size, losses)
        if self.batch_size == 1 and self.online_rate is not None and not len(sample_weights):
            done = self._train_online(epoch, self.online_rate)
        else:
            done = self._train_batches(epoch, key)
        self.updates.step += -(-done // self.batch_size)
        if done < len(losses):
            step = done - done % self.batch_size
            batch = places[step : step + self.batch_size]
            self.workspace.key = key + step // self.batch_size
            raise NonFiniteStepError(before + step, *self._origin(x[batch], t[batch]))

    def _train_online(self, epoch: Epoch[F], learning_rate: F) -> int:
        """How many steps were good; the network is as it was after the last of them.

        The kernel changes upper layers before it knows the errors of lower ones, and cannot take a step
        back. So a piece with a bad step is made again, in halves, up to the last good one.
        """
        parameters, saved = self.chain.parameters, self.gradient

        def good(first: int, last: int) -> bool:
            saved[...] = parameters
            part = epoch._replace(order=epoch.order[first:last], losses=epoch.losses[first:last])
            kernels(self.chain.dtype).train_online(
                parameters, self.layout, self.loss, part, learning_rate, self.workspace.vectors
            )
            if _all_finite(part.losses) and _all_finite(parameters):
                return True
            parameters[...] = saved
            return False

        if good(0, len(epoch.order)):
            return len(epoch.order)
        done, bad = 0, len(epoch.order)
        while done + 1 < bad:
            middle = (done + bad) // 2
            if good(done, middle):
                done = middle
            else:
                bad = middle
        return done

    def _train_batches(self, epoch: Epoch[F], key: int) -> int:
        """How many samples were trained in good steps."""
        chain, updates = self.chain, self.updates
        optimizer = OptimizerSteps(
            updates.rule,
            updates.coefficients(-(-len(epoch.order) // self.batch_size)),
            updates.segments,
            updates.penalties,
            updates.states,
        )
        kernels(chain.dtype).train_batches(
            chain.parameters,
            self.layout,
            key,
            self.loss,
            epoch,
            optimizer,
            self.workspace.vectors,
            self.gradient,
        )
        return _count_finite(epoch.losses)

    def observe(self, loss: float) -> None:
        """Takes the loss of an epoch, of the validation data where there are some, for the schedule."""
        self.updates.observe(loss)

    def state(self) -> dict[str, NDArray[np.generic]]:
        """All that an exact continuation needs beside the parameters and the order of samples; copies."""
        return self.updates.state()

    def restore(self, state: dict[str, NDArray[np.generic]]) -> None:
        """Goes on where a training of the same network with the same optimiser was.

        Raises:
            ShapeError: it was another network, optimiser or schedule; nothing is changed.
        """
        self.updates.restore(state)

    def _origin(self, x: Matrix[F], t: Matrix[F]) -> tuple[int, str]:
        """The first layer where a step with these samples is not finite, and what; the layers show it."""
        chain, work, run = self.chain, self.workspace, kernels(self.chain.dtype)
        layers, gradient = chain.layers, self.gradient
        parameters = chain.parameters.copy()  # a forward pass moves averages
        losses: Vector[F] = np.empty(len(x), chain.dtype)
        work.hold(len(x))
        blocks, last = work.blocks, len(layers) - 1
        with np.errstate(all="ignore"):
            run.forward(parameters, self.layout, work.key, x, work.vectors)
            output = blocks[last]
            run.loss_value(self.loss, CODES[layers[last].actname], output.a, output.h, t, losses)
            run.backward(parameters, self.layout, work.key, self.loss, t, work.vectors, gradient)
            self.show()
            squares = [
                float(np.dot(g, g))
                for g in (weights(gradient, self.layout, k).reshape(-1) for k in range(last + 1))
            ]
        averages = [running_moments(parameters, self.layout, k) for k in range(last + 1)]
        upwards, downwards = range(last + 1), range(last, 0, -1)
        suspects = [
            *((k, "activations", _all_finite(blocks[k].h)) for k in upwards),
            *((k, "moving averages", _all_finite(averages[k])) for k in upwards),
            (last, "losses", _all_finite(losses)),
            *((k, "error signals", _all_finite(blocks[k].dLda)) for k in downwards),
            *((k, "gradients", isfinite(squares[k])) for k in downwards),
            (squares.index(max(squares)), "steps", False),
        ]
        return next((k, what) for k, what, finite in suspects if not finite)


def _count_finite(losses: Vector[F]) -> int:
    """How many come before the first that is not finite."""
    if _all_finite(losses):
        return len(losses)
    return int(np.isfinite(losses).argmin())


def _all_finite(array: NDArray[F]) -> bool:
    return bool(np.isfinite(array).all())

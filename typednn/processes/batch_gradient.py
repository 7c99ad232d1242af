"""The gradient of a batch of which each rank has some samples.

Without batch normalisation it is a sum over the ranks, computed by the same kernels as elsewhere. Mean and
variance of a batch, and what flows back through them, are sums over all ranks in the middle of a pass, which
is therefore made here, layer by layer. Which units are dropped depends on the place of a sample in the batch.
"""

from __future__ import annotations

from math import isfinite
from typing import Any, Generic

import numpy as np
from typednn_kernels.activations import NONE
from typednn_kernels.arrays import F, Layout, Matrix, Vector
from typednn_kernels.layout import (
    ACTIVATION,
    DROPOUT,
    FROZEN,
    INNER_BIASES,
    LENGTH,
    NORMALIZATION,
    biases,
    gains,
    inner_biases,
    normalization_settings,
    running_moments,
    weights,
)
from typednn_kernels.normalizations import BATCH, derivative_of_z, updated_running
from typednn_kernels.normalizations import NONE as UNNORMALIZED

from typednn.backends import kernels
from typednn.layers import OutputLayer
from typednn.layers.storage import TOTALS
from typednn.layers.workspace import new_vector
from typednn.processes.batch_parts import COLUMNS, BatchPart
from typednn.processes.ranks import FLAGS, Ranks
from typednn.training.trainer import Trainer


class BatchGradient(Generic[F]):
    """Computes gradients of batches of which each rank has some samples.

    The kernels write the gradient to the vector that the ranks add up, and the step reads it there. It is
    that of the layers, or one that processes lend, whose last gradient is copied to that of the layers.
    Where the gradient of a step is needed while the next, which may not be made, is computed, two vectors
    take turns.

    Attributes:
        moved: the largest number of samples that are moved before a step of the epoch.
        gradient: that of the last step, `(n_parameters,)`.
        losses: the losses of the samples of this rank, each times its weight.
        loss: the sum of the losses of all ranks.
        count: the number of samples of all ranks.
    """

    moved: int
    gradient: Vector[F]
    losses: Vector[F]
    loss: float
    count: int

    def __init__(self, output: OutputLayer[F], trainer: Trainer[F], ranks: Ranks, streams: bool) -> None:
        self._output, self._storage, self._trainer = output, output._storage, trainer
        self._ranks, self._streams = ranks, streams
        self._layout: Layout | None = None
        self.moved, self._planned = 0, 0
        self.losses, self.loss, self.count = output._storage.no_weights, 0.0, 0
        self._running: list[tuple[Matrix[F], Matrix[F]]] = []
        self._vectors: list[Vector[F]] = []

    def allocate(self, keeps_last: bool) -> None:
        """Allocates what is added up; all ranks call it directly after another exchange.

        Args:
            keeps_last: whether the last gradient is needed: where a rank may stop after a step, or batches
                may end.
        """
        summed = self._storage.summed
        vectors = [summed, *([new_vector(len(summed), summed.dtype)] if keeps_last else [])]
        self._vectors = [self._ranks.lent(each) for each in vectors]
        self.gradient = self._vectors[-1][:-TOTALS]

    def prepare(self) -> None:
        """Plans the exchanges of a step, with the settings that layers have now; the first is expected."""
        trainer, ranks = self._trainer, self._ranks
        trainer.take_settings()
        if self._layout is not trainer.layout or self._planned != self.moved:
            self._layout, self._planned = trainer.layout, self.moved
            layout = trainer.layout
            batch_layers = np.flatnonzero((layout[:, NORMALIZATION] == BATCH) & (layout[:, FROZEN] == 0))
            self._drops = bool(layout[:, DROPOUT].any())
            self._by_layers = self._drops or len(batch_layers) > 0
            lengths = layout[batch_layers, LENGTH].tolist()
            self._plan: list[int] = [ranks.size] if self._streams and self._by_layers else []
            if self.moved:
                self._plan.append(self.moved * self.moved_width)
            self._plan += [ranks.size * (1 + 2 * n) for n in lengths] + [2 * n for n in reversed(lengths)]
        self._expect(0)

    @property
    def moved_width(self) -> int:
        """The number of elements of a sample that is moved."""
        layout = self._storage.layout
        return int(layout[0, LENGTH] + layout[-1, LENGTH]) + COLUMNS

    def _expect(self, place: int) -> None:
        """Says that the next exchange is that at a place of the plan, after which comes the gradient."""
        self._place = place
        self._values: Vector[Any] = (
            self._ranks.expect(self._plan[place], np.dtype(np.float64))
            if place < len(self._plan)
            else self._ranks.expect_vector(self._vectors[0])
        )

    def compute(self, part: BatchPart[F], stop: bool) -> bool:
        """Computes the gradient of the batch's mean loss; the first exchange of the next step is expected.

        Returns:
            Whether there was a batch: not where no rank has samples, or one wants to stop.

        Raises:
            ProcessError: another rank has failed.
        """
        self.prepare()
        storage, trainer = self._storage, self._trainer
        self._stop = stop
        key = trainer.key + trainer.optimizer_state.step if self._drops else 0
        balanced = self._balanced(part)
        if balanced is None:
            return False
        part = balanced
        n, dtype = len(part.x), storage.dtype
        if n > trainer._room:
            trainer.workspace = storage.new_workspace(n)
        trainer.workspace.resize_batch(n)
        trainer.workspace.key, trainer.last_batch = key, n
        self.losses, self._running = np.empty(n, dtype), []
        gradient, totals = self._vectors[0][:-TOTALS], self._vectors[0][-TOTALS:-FLAGS]
        storage.has_gradient = [False] * len(storage.layers)  # computed again if the step is not made
        if self._by_layers:
            if not self._forward(part, key):
                return False
            self._output_delta(part)
            self._backward(gradient)
        elif n:
            self._compute_at_once(part, key, gradient)
        else:
            gradient.fill(0)
        totals[...] = self.losses.sum(dtype=np.float64), n
        goes_on = self._add_up()
        self.loss, self.count = float(totals[0]), int(totals[1])
        if not goes_on or not self.count:
            return False
        if not part.size:
            gradient /= dtype.type(self.count)
        self.gradient = gradient
        self._vectors.reverse()
        self._expect(0)
        return True

    def _balanced(self, part: BatchPart[F]) -> BatchPart[F] | None:
        """Makes the exchange before a pass: samples that are moved, or the sizes of the parts of a stream.

        Returns:
            The part that this rank computes with; None where no rank has samples, or one wants to stop.
        """
        rank, values = self._ranks.rank, self._values
        if part.moves is not None and self.moved:
            table: Matrix[np.float64] = values.reshape(self.moved, -1)
            part.give(part.moves, table)
            return part.balanced(part.moves, table) if self._add_up() else None
        if not (self._streams and self._by_layers):
            return part
        n = values[rank] = len(part.x)
        if not self._add_up() or not values.any():
            return None
        before = int(values[:rank].sum())
        return part._replace(places=np.arange(before, before + n), size=int(values.sum()))

    def apply(self) -> bool:
        """Makes the step of the gradient, unless it is not finite; returns whether it did."""
        finite = isfinite(self.loss) and all(np.isfinite(new).all() for _, new in self._running)
        if not finite or not self._trainer.apply(self.gradient):
            return False
        for old, new in self._running:
            old[...] = new
        return True

    def show(self) -> None:
        """Makes the layers show this rank's part of the last step, and the gradients of the batch."""
        self._trainer.show()
        if self._vectors[-1] is not self._storage.summed:
            self._storage.gradient[...] = self.gradient
        self._storage.has_gradient = [True] * len(self._storage.layers)

    def _add_up(self) -> bool:
        """Makes the expected exchange, and expects that after it; returns whether no rank stops."""
        self._ranks.add_up(self._stop and not self._place)
        if self._ranks.stop:
            return False
        if self._place < len(self._plan):
            self._expect(self._place + 1)
        return True

    def _compute_at_once(self, part: BatchPart[F], key: int, gradient: Vector[F]) -> None:
        """Computes losses, and the part in the gradient of this rank's samples, which have weights."""
        storage, work = self._storage, self._trainer.workspace
        run, layout, n = kernels(storage.dtype), self._trainer.layout, len(part.x)
        code, limits = storage.loss or self._output._look_up_loss()
        factor = n / part.size if part.size else float(n)  # of the mean of n samples
        sample_weights = part.sample_weights
        if factor != 1:
            sample_weights = np.full(n, factor, storage.dtype)
            if len(part.sample_weights):
                sample_weights *= part.sample_weights
        run.forward(storage.parameters, layout, key, part.x, work.vectors)
        run.loss_and_gradient(
            *(storage.parameters, layout, key, code, part.t, limits, sample_weights),
            *(work.vectors, self.losses, gradient),
        )
        self.losses /= storage.dtype.type(factor)

    def _forward(self, part: BatchPart[F], key: int) -> bool:
        """Computes the activations; returns whether no rank wanted to stop."""
        storage, layout, run = self._storage, self._trainer.layout, kernels(self._storage.dtype)
        work, parameters, n = self._trainer.workspace, self._storage.parameters, len(part.x)
        blocks = work.blocks
        work.inputs[...] = part.x
        if layout[0, ACTIVATION] != NONE and n:
            run.activation_value(int(layout[0, ACTIVATION]), blocks[0].a, blocks[0].h)
        places, self._size, self._masks = part.places, part.size or 0, dict[int, Matrix[F]]()
        assert places is not None
        for k in range(1, len(layout)):
            here, below, row = blocks[k], blocks[k - 1].h, layout[k]
            W, bias = weights(parameters, layout, k), biases(parameters, layout, k)
            code = int(row[NORMALIZATION])
            if n:
                inner = inner_biases(parameters, layout, k)
                added = inner if len(inner) else np.zeros_like(bias)
                run.affine(below, W, bias if code == UNNORMALIZED else added, here.z)
            moments = running_moments(parameters, layout, k)
            if code == BATCH and not row[FROZEN]:
                whole = self._moments(k, here.z, moments)
                if whole is None:
                    return False
                moments = whole
            if n:
                if code != UNNORMALIZED:
                    gain = gains(parameters, layout, k)
                    settings = normalization_settings(layout, k)
                    run.normalize(
                        *(settings, code != BATCH, here.z, gain, bias, moments, here.inv_std, here.a)
                    )
                run.activation_value(int(row[ACTIVATION]), here.a, here.h)
            if n and row[DROPOUT]:
                kept = np.ones((int(places.max()) + 1, len(bias)), storage.dtype)
                run.apply_dropout(key, k, int(row[DROPOUT]), kept)
                self._masks[k] = kept.take(places, 0)
                here.h[...] *= self._masks[k]
        return True

    def _moments(self, k: int, z: Matrix[F], running: Matrix[F]) -> Matrix[F] | None:
        """Computes mean and variance of z in the whole batch, `(2, n)`, or None where a rank wants to stop.

        Each rank has a row of the exchange: the number of its samples, their mean, and the sum of the squared
        deviations from it. All combine the rows in the same way (Chan, Golub and LeVeque 1983, "Algorithms
        for computing the sample variance", equation 2.1).
        """
        n, rows = z.shape[1], self._values.reshape(self._ranks.size, -1)
        mine = rows[self._ranks.rank]
        mine[0] = len(z)
        if len(z):
            mean = mine[1 : 1 + n]
            mean[...] = z.mean(axis=0, dtype=np.float64)
            deviations = z - mean
            np.add.reduce(deviations * deviations, axis=0, out=mine[1 + n :])
        if not self._add_up():
            return None
        counts, means, squares = rows[:, :1], rows[:, 1 : 1 + n], rows[:, 1 + n :]
        whole = (counts * means).sum(axis=0) / counts.sum()
        variance = (squares + counts * (means - whole) ** 2).sum(axis=0) / counts.sum()
        moments: Matrix[F] = np.stack([whole, variance]).astype(running.dtype)
        settings = normalization_settings(self._trainer.layout, k)
        momentum, samples = settings.momentum, float(counts.sum())
        moved = 1 - momentum
        new: Matrix[F] = np.empty_like(running)
        new[0] = updated_running(running[0], moments[0], momentum, moved)
        moved *= samples / (max(samples - 1, 1) if settings.unbiased else samples)
        new[1] = updated_running(running[1], moments[1], momentum, moved)
        self._running.append((running, new))
        return moments

    def _output_delta(self, part: BatchPart[F]) -> None:
        """Computes losses, and the deltas of the output layer for the mean loss of the whole batch."""
        n, layout, run = len(part.x), self._trainer.layout, kernels(self._storage.dtype)
        if not n or part.size is None:
            return
        code, _ = self._storage.loss or self._output._look_up_loss()
        here, activation = self._trainer.workspace.blocks[-1], int(layout[-1, ACTIVATION])
        run.loss_value(code, activation, here.a, here.h, part.t, self.losses)
        run.output_delta(code, activation, here.a, here.h, part.t, here.dLdh, here.dLda)
        factors = np.full((n, 1), n / part.size, self._storage.dtype)
        if len(part.sample_weights):
            self.losses *= part.sample_weights
            factors *= part.sample_weights.reshape(-1, 1)
        for deltas in (here.dLdh, here.dLda):
            deltas *= factors

    def _backward(self, gradient: Vector[F]) -> None:
        """Computes deltas, and the part of this rank's samples in the gradient."""
        storage, layout, run = self._storage, self._trainer.layout, kernels(self._storage.dtype)
        work, parameters = self._trainer.workspace, storage.parameters
        blocks, n = work.blocks, work.samples
        gradient.fill(0)
        for k in range(len(layout) - 1, 0, -1):
            here, row = blocks[k], layout[k]
            if n and k < len(layout) - 1:
                run.backpropagate(blocks[k + 1].dLdz, weights(parameters, layout, k + 1), here.dLdh)
                self._activation_backward(k)
            bias, gain = biases(gradient, layout, k), gains(gradient, layout, k)
            if row[NORMALIZATION] == UNNORMALIZED:
                if n:
                    run.sum_samples(here.dLda, bias)
            else:
                code, factors = int(row[NORMALIZATION]), gains(parameters, layout, k)
                if n:
                    run.normalization_backward(
                        *(code, code != BATCH, here.z, factors, here.inv_std),
                        *(here.dLda, bias, gain, here.dLdz),
                    )
                if n and row[INNER_BIASES]:
                    run.sum_samples(here.dLdz, inner_biases(gradient, layout, k))
                if code == BATCH and not row[FROZEN]:
                    self._through_moments(here.z, here.dLda, here.dLdz, here.inv_std, factors, bias, gain)
            if n:
                run.outer(here.dLdz, blocks[k - 1].h, weights(gradient, layout, k))

    def _activation_backward(self, k: int) -> None:
        here, run = self._trainer.workspace.blocks[k], kernels(self._storage.dtype)
        activation = int(self._trainer.layout[k, ACTIVATION])
        if k not in self._masks:
            run.activation_backward(activation, here.a, here.h, here.dLdh, here.dLda)
            return
        before = np.empty_like(here.h)  # the derivative is that at the activations before dropout
        run.activation_value(activation, here.a, before)
        run.activation_backward(activation, here.a, before, here.dLdh, here.dLda)
        here.dLda[...] *= self._masks[k]

    def _through_moments(
        self,
        z: Matrix[F],
        dLda: Matrix[F],
        dLdz: Matrix[F],
        inv_std: Vector[F],
        gain: Vector[F],
        dLdBias: Vector[F],
        dLdGain: Vector[F],
    ) -> None:
        """Computes dLdz through the batch's mean and variance, with the sums over samples of all ranks."""
        sums = self._values.reshape(2, -1)
        sums[...] = dLdBias, dLdGain
        self._add_up()
        if len(z):
            means: Matrix[F] = (gain * sums / self._size).astype(z.dtype)
            dLdz[...] = derivative_of_z(gain * dLda, z, means[0], means[1], inv_std)

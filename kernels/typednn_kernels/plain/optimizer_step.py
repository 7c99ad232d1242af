"""Updates all parameters by any row of the table of optimisers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic

import numpy as np

from typednn_kernels.arrays import F, Matrix, Values, Vector
from typednn_kernels.layout import square_scale
from typednn_kernels.operands import OptimizerSteps
from typednn_kernels.plain.activation import CACHE_CHUNK_ELEMENTS
from typednn_kernels.update_rules import (
    CLIP_NORM,
    CLIP_VALUE,
    DECAY,
    FIRST,
    PENALTY,
    RULES,
    SGD,
    clipped,
    penalized,
)


class Update(Generic[F]):
    """Updates the parameters that are trained, block by block; views of the blocks are made once.

    What a step leaves out, such as penalties of 0, is not computed.
    """

    def __init__(self, parameters: Vector[F], gradient: Vector[F], optimizer: OptimizerSteps[F]) -> None:
        rule = RULES[optimizer.rule]
        self.formula: Callable[..., tuple[Values, ...]] = rule.formula
        self.one: np.floating = parameters.dtype.type(1)
        self.rows: Matrix[F] = optimizer.coefficients
        self.is_plain_sgd: bool = (
            optimizer.rule == SGD
            and not np.count_nonzero(optimizer.penalties)
            and not np.count_nonzero(self.rows[:, DECAY])
            and not np.count_nonzero(self.rows[:, CLIP_VALUE : CLIP_NORM + 1] < np.inf)
        )
        product: Vector[F] = np.empty(CACHE_CHUNK_ELEMENTS, parameters.dtype)
        self._own = slice(FIRST, FIRST + rule.coefficients)
        self.blocks: list[tuple[Vector[F], Vector[F], Vector[F], list[Vector[F]], Values, Values]] = []
        for (first, stop), (l1, l2) in zip(optimizer.ranges.tolist(), optimizer.penalties, strict=True):
            for start in range(first, stop, CACHE_CHUNK_ELEMENTS):
                block = slice(start, min(start + CACHE_CHUNK_ELEMENTS, stop))
                w, states = parameters[block], [each[block] for each in optimizer.states]
                self.blocks.append((w, gradient[block], product[: len(w)], states, l1, l2))

    def apply(self, step: int) -> None:
        """Makes a step with its coefficients."""
        if self.is_plain_sgd:
            rate = self.rows[step, FIRST, ...]
            for w, gradient, product, _, _, _ in self.blocks:  # the formula of sgd, without new arrays
                np.multiply(gradient, rate, product)
                np.subtract(w, product, w)
            return
        coefficients = self.rows[step]
        bound, decay, rule = coefficients[CLIP_VALUE], coefficients[DECAY], coefficients[self._own]
        penalty = coefficients[PENALTY]
        scale = self._scale(coefficients[CLIP_NORM], penalty)
        for w, gradient, _, states, l1, l2 in self.blocks:
            g: Values = penalized(w, gradient, penalty * l1, penalty * l2) if l1 or l2 else gradient
            if scale is not self.one:
                g = scale * g
            if bound < np.inf:
                g = clipped(g, bound)
            w[...], *new = self.formula(w - decay * w if decay else w, g, *states, *rule)
            for old, values in zip(states, new, strict=True):
                old[...] = values

    def _sum_of_squares(self, penalty: np.floating, factor: np.floating) -> np.floating:
        """Computes the sum of the squares of a factor times the gradient with its penalties."""
        total = self.one - self.one
        for w, gradient, _, _, l1, l2 in self.blocks:
            g = penalized(w, gradient, penalty * l1, penalty * l2)
            if factor is not self.one:
                g = factor * g
            total += np.dot(g, g)
        return total

    def _scale(self, clip_norm: np.floating, penalty: np.floating) -> np.floating:
        """Returns the factor that limits the norm of the gradient."""
        if clip_norm == np.inf:
            return self.one
        norm = np.sqrt(self._sum_of_squares(penalty, self.one))
        if not np.isfinite(norm):
            factor = self.rows.dtype.type(square_scale(self.rows.itemsize))
            norm = np.sqrt(self._sum_of_squares(penalty, factor)) / factor
        return clip_norm / norm if norm > clip_norm else self.one


def apply_gradient(parameters: Vector[F], gradient: Vector[F], optimizer: OptimizerSteps[F]) -> bool:
    """Makes one step with a gradient, unless it is not finite; see `Kernels.apply_gradient`."""
    norm = np.sqrt(np.vdot(gradient, gradient))
    if not np.isfinite(norm):
        scale = gradient.dtype.type(square_scale(gradient.itemsize))
        scaled = gradient * scale
        norm = np.sqrt(np.vdot(scaled, scaled)) / scale
    if not np.isfinite(norm * max(optimizer.coefficients[0, FIRST], gradient.dtype.type(1))):
        return False
    Update(parameters[: len(gradient)], gradient, optimizer).apply(0)
    return True

"""The update of all parameters."""

from __future__ import annotations

import numpy as np

from typednn_kernels.arrays import F, Matrix, Ranges, Vector
from typednn_kernels.plain.activation import CHUNK_ELEMENTS
from typednn_kernels.update_rules import CLIP_NORM, CLIP_VALUE, DECAY, FIRST, RULES, penalized, whole_update


def update(
    parameters: Vector[F],
    gradient: Vector[F],
    states: Matrix[F],
    rule: int,
    segments: Ranges,
    penalties: Matrix[F],
    coefficients: Vector[F],
) -> None:
    """A step with the coefficients of one row, block by block."""
    row = RULES[rule]
    formula, own = whole_update(row), coefficients[FIRST : FIRST + row.coefficients]
    pieces = [
        (slice(block, min(block + CHUNK_ELEMENTS, stop)), *penalty)
        for (start, stop), penalty in zip(segments.tolist(), penalties, strict=True)
        for block in range(start, stop, CHUNK_ELEMENTS)
    ]
    scale, most = parameters.dtype.type(1), coefficients[CLIP_NORM]
    if most < np.inf:
        total = parameters.dtype.type(0)
        for here, l1, l2 in pieces:
            g = penalized(parameters[here], gradient[here], l1, l2)
            total += np.dot(g, g)
        norm = np.sqrt(total)
        scale = most / norm if norm > most else scale
    for here, l1, l2 in pieces:
        old = states[:, here]
        parameters[here], *new = formula(
            parameters[here],
            gradient[here],
            l1,
            l2,
            scale,
            coefficients[CLIP_VALUE],
            coefficients[DECAY],
            *old,
            *own,
        )
        for state, numbers in zip(old, new, strict=True):
            state[...] = numbers

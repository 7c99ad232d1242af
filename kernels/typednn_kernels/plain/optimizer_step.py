"""Updates all parameters."""

from __future__ import annotations

import numpy as np

from typednn_kernels.arrays import F, Vector
from typednn_kernels.layout import square_scale
from typednn_kernels.operands import OptimizerSteps
from typednn_kernels.plain.activation import CACHE_CHUNK_ELEMENTS
from typednn_kernels.update_rules import CLIP_NORM, CLIP_VALUE, DECAY, FIRST, RULES, penalized, whole_update


def apply_update(parameters: Vector[F], gradient: Vector[F], optimizer: OptimizerSteps[F], step: int) -> None:
    """Updates the parameters that are trained with the coefficients of a step, block by block."""
    rule, coefficients, states = RULES[optimizer.rule], optimizer.coefficients[step], optimizer.states
    formula, rule_coefficients = whole_update(rule), coefficients[FIRST : FIRST + rule.coefficients]
    bound, decay, clip_norm = coefficients[CLIP_VALUE], coefficients[DECAY], coefficients[CLIP_NORM]
    blocks = [
        (slice(start, min(start + CACHE_CHUNK_ELEMENTS, stop)), *penalty)
        for (first, stop), penalty in zip(optimizer.ranges.tolist(), optimizer.penalties, strict=True)
        for start in range(first, stop, CACHE_CHUNK_ELEMENTS)
    ]
    scale = parameters.dtype.type(1)
    if clip_norm < np.inf:
        total = parameters.dtype.type(0)
        for block, l1, l2 in blocks:
            g = penalized(parameters[block], gradient[block], l1, l2)
            total += np.dot(g, g)
        norm = np.sqrt(total)
        scale = clip_norm / norm if norm > clip_norm else scale
    for block, l1, l2 in blocks:
        w, g, state = parameters[block], gradient[block], states[:, block]
        w[...], *new = formula(w, g, l1, l2, scale, bound, decay, *state, *rule_coefficients)
        for old, values in zip(state, new, strict=True):
            old[...] = values


def apply_gradient(parameters: Vector[F], gradient: Vector[F], optimizer: OptimizerSteps[F]) -> bool:
    """Makes one step with a gradient, unless it is not finite; see `Kernels.apply_gradient`."""
    with np.errstate(all="ignore"):
        norm = np.sqrt(np.vdot(gradient, gradient))
        if not np.isfinite(norm):
            scale = gradient.dtype.type(square_scale(gradient.itemsize))
            scaled = gradient * scale
            norm = np.sqrt(np.vdot(scaled, scaled)) / scale
        if not np.isfinite(norm * max(optimizer.coefficients[0, FIRST], gradient.dtype.type(1))):
            return False
        apply_update(parameters[: len(gradient)], gradient, optimizer, 0)
    return True

"""The update of all parameters, in one pass over them."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# Formulas written as lambdas have no types.

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from typednn_kernels.arrays import F, Matrix, Ranges, Values, Vector
from typednn_kernels.compiled._codegen.array_views import slice_of
from typednn_kernels.compiled._codegen.ir_loops import Formula, Loop, elementwise, sum_reduction
from typednn_kernels.compiled._codegen.jit import inline, noinline
from typednn_kernels.compiled.linalg.dense import subtract_scaled
from typednn_kernels.update_rules import (
    CLIP_NORM,
    CLIP_VALUE,
    DECAY,
    FIRST,
    L1,
    L2,
    MOST_STATES,
    RULES,
    SGD,
    START,
    STOP,
    UpdateRule,
    penalized,
    whole_update,
)


def _of_all_operands(row: UpdateRule) -> Callable[..., tuple[Values, ...]]:
    """A rule that is given as many states and coefficients as any rule has, and uses its own."""
    update = whole_update(row)
    return lambda w, g, l1, l2, scale, bound, decay, *rest: update(
        w, g, l1, l2, scale, bound, decay, *rest[: row.states], *rest[MOST_STATES:][: row.coefficients]
    )


update_by: Loop = elementwise(*map(_of_all_operands, RULES), outs=1 + MOST_STATES)
"""By rule: the new parameters and states from w, g, l1, l2, scale, bound, decay, states and coefficients."""

squares: Formula = sum_reduction(lambda w, g, l1, l2: penalized(w, g, l1, l2) * penalized(w, g, l1, l2))


@inline
def is_constant_sgd_range(
    rule: int, penalties: Matrix[F], i: int, coefficients: Matrix[F], step: int
) -> bool:
    """Whether all that a step takes from the parameters of segment i is a multiple of the gradient."""
    plain: bool = rule == SGD and penalties[i, L1] == 0 and penalties[i, L2] == 0
    return plain and coefficients[step, CLIP_VALUE] == np.inf and coefficients[step, DECAY] == 0


@inline
def is_constant_sgd(
    size: int, rule: int, segments: Ranges, penalties: Matrix[F], coefficients: Matrix[F], step: int
) -> bool:
    """Whether it is so of all of so many parameters, whatever the norm of the gradient is."""
    plain: bool = segments.shape[0] == 1 and segments[0, STOP] - segments[0, START] == size
    plain = plain and coefficients[step, CLIP_NORM] == np.inf
    return plain and is_constant_sgd_range(rule, penalties, 0, coefficients, step)


@noinline
def clip_norm_scale(
    parameters: Vector[F], gradient: Vector[F], segments: Ranges, penalties: Matrix[F], most: F
) -> F:
    """What the gradient is multiplied by so that its norm is `most`, where it is more."""
    total = parameters.dtype.type(0)
    for i in range(segments.shape[0]):
        start, n = segments[i, START], segments[i, STOP] - segments[i, START]
        total += squares(
            0,
            n,
            slice_of(parameters, start, n),
            slice_of(gradient, start, n),
            penalties[i, L1],
            penalties[i, L2],
        )
    norm = np.sqrt(total)
    scale: F = most / norm if norm > most else parameters.dtype.type(1)
    return scale


@noinline
def apply_update(
    parameters: Vector[F],
    gradient: Vector[F],
    states: Matrix[F],
    rule: int,
    segments: Ranges,
    penalties: Matrix[F],
    coefficients: Matrix[F],
    step: int,
    scale: F,
    first: int,
    last: int,
) -> None:
    """A step with the coefficients of one row, for the parameters of segments from first on, below last."""
    one = parameters.dtype.type(1)
    size, bound, decay = parameters.size, coefficients[step, CLIP_VALUE], coefficients[step, DECAY]
    for i in range(segments.shape[0]):
        start = max(first, segments[i, START])
        n = max(0, min(last, segments[i, STOP]) - start)
        l1, l2 = penalties[i, L1], penalties[i, L2]
        w, g = slice_of(parameters, start, n), slice_of(gradient, start, n)
        if scale == one and is_constant_sgd_range(rule, penalties, i, coefficients, step):
            subtract_scaled(0, n, w, g, coefficients[step, FIRST], w)
            continue
        # Beyond the states that the rule has, nothing is touched.
        state_0, state_1, state_2 = (
            slice_of(states, start, n),
            slice_of(states, size + start, n),
            slice_of(states, 2 * size + start, n),
        )
        update_by(
            rule,
            n,
            w,
            g,
            l1,
            l2,
            scale,
            bound,
            decay,
            state_0,
            state_1,
            state_2,
            coefficients[step, FIRST],
            coefficients[step, FIRST + 1],
            coefficients[step, FIRST + 2],
            coefficients[step, FIRST + 3],
            coefficients[step, FIRST + 4],
            w,
            state_0,
            state_1,
            state_2,
        )

"""The update of all parameters, in one pass over them."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# Formulas written as lambdas have no types.

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from typednn_kernels.arrays import F, Matrix, Segments, Values, Vector
from typednn_kernels.compiled._codegen.array_views import piece
from typednn_kernels.compiled._codegen.ir_loops import Formula, Loop, elementwise, sums
from typednn_kernels.compiled._codegen.jit import kernel, routine
from typednn_kernels.compiled.linalg.dense import descended
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

squares: Formula = sums(lambda w, g, l1, l2: penalized(w, g, l1, l2) * penalized(w, g, l1, l2))


@kernel
def is_plain(rule: int, penalties: Matrix[F], i: int, coefficients: Matrix[F], step: int) -> bool:
    """Whether all that a step takes from the parameters of segment i is a multiple of the gradient."""
    plain: bool = rule == SGD and penalties[i, L1] == 0 and penalties[i, L2] == 0
    return plain and coefficients[step, CLIP_VALUE] == np.inf and coefficients[step, DECAY] == 0


@kernel
def is_plain_throughout(
    size: int, rule: int, segments: Segments, penalties: Matrix[F], coefficients: Matrix[F], step: int
) -> bool:
    """Whether it is so of all of so many parameters, whatever the norm of the gradient is."""
    plain: bool = segments.shape[0] == 1 and segments[0, STOP] - segments[0, START] == size
    plain = plain and coefficients[step, CLIP_NORM] == np.inf
    return plain and is_plain(rule, penalties, 0, coefficients, step)


@routine
def norm_scale(
    parameters: Vector[F], gradient: Vector[F], segments: Segments, penalties: Matrix[F], most: F
) -> F:
    """What the gradient is multiplied by so that its norm is `most`, where it is more."""
    total = parameters.dtype.type(0)
    for i in range(segments.shape[0]):
        start, n = segments[i, START], segments[i, STOP] - segments[i, START]
        total += squares(
            0, n, piece(parameters, start, n), piece(gradient, start, n), penalties[i, L1], penalties[i, L2]
        )
    norm = np.sqrt(total)
    scale: F = most / norm if norm > most else parameters.dtype.type(1)
    return scale


@routine
def update(
    parameters: Vector[F],
    gradient: Vector[F],
    states: Matrix[F],
    rule: int,
    segments: Segments,
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
        w, g = piece(parameters, start, n), piece(gradient, start, n)
        if scale == one and is_plain(rule, penalties, i, coefficients, step):
            descended(0, n, w, g, coefficients[step, FIRST], w)
            continue
        # Beyond the states that the rule has, nothing is touched.
        state_0, state_1, state_2 = (
            piece(states, start, n),
            piece(states, size + start, n),
            piece(states, 2 * size + start, n),
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

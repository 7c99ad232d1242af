"""Updates all parameters, in one pass over them, by any row of the table of optimisers."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# Formulas written as lambdas have no types.

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isfinite
from typing import ClassVar

import numpy as np

from typednn_kernels.arrays import F, Matrix, Values, Vector
from typednn_kernels.compiled._codegen.array_views import THREAD_SLOTS, slice_of
from typednn_kernels.compiled._codegen.ir_loops import Formula, Loop, elementwise, sum_reduction
from typednn_kernels.compiled._codegen.ir_values import (
    INSTRUCTIONS,
    IRValue,
    Number,
    is_float32,
)
from typednn_kernels.compiled._codegen.jit import inline, noinline, on_demand
from typednn_kernels.compiled._codegen.simd import VECTOR_BYTES
from typednn_kernels.compiled.linalg.dense import scale_of_squares, subtract_scaled
from typednn_kernels.compiled.math.functions import newton_sqrt
from typednn_kernels.compiled.ops.activation import total
from typednn_kernels.operands import OptimizerSteps, Thread
from typednn_kernels.update_rules import (
    CLIP_NORM,
    CLIP_VALUE,
    COEFFICIENTS,
    DECAY,
    FIRST,
    L1,
    L2,
    MOST_STATES,
    PENALTY,
    RULES,
    SGD,
    START,
    STOP,
    UpdateRule,
    penalized,
    whole_update,
)


def _of_all_operands(row: UpdateRule) -> Callable[..., tuple[Values, ...]]:
    """Wraps a rule to accept MOST_STATES states and all coefficient columns; it ignores the surplus."""
    update = whole_update(row)
    return lambda w, g, l1, l2, scale, bound, decay, *rest: update(
        w, g, l1, l2, scale, bound, decay, *rest[: row.states], *rest[MOST_STATES:][: row.coefficients]
    )


def _sqrt(x: IRValue) -> Number:
    """Writes the root of a state: by multiplications where they take less time, with float64 and AVX-512.

    That is on x86, where training flushes subnormal states.
    """
    by_multiplications = VECTOR_BYTES == 64 and not is_float32(x)
    return (newton_sqrt if by_multiplications else INSTRUCTIONS["sqrt"])(x)


class RuleValue(IRValue):
    """A value of an update rule, whose roots are of means and sums of squares, and finite."""

    replaced: ClassVar[Mapping[str, Callable[..., Number]]] = {"sqrt": _sqrt}


update_by: Loop = elementwise(*map(_of_all_operands, RULES), outs=1 + MOST_STATES, real=RuleValue)
"""By rule: the new parameters and states from w, g, l1, l2, scale, bound, decay, states and coefficients."""

NORM_PART_ELEMENTS = 1 << 16
"""Elements of a gradient, minimum of a part in which the squares of its norm are summed. Another value
changes the last bits of clipped steps. Not measured."""

MAX_NORM_PARTS = THREAD_SLOTS
"""The largest number of parts: each has an element of `scratch`."""

squares: Formula = sum_reduction(
    lambda w, g, l1, l2, factor: (factor * penalized(w, g, l1, l2)) * (factor * penalized(w, g, l1, l2))
)


@inline
def is_multiple_of_gradient(optimizer: OptimizerSteps[F], step: int, i: int) -> bool:
    """Says whether a step adds a multiple of the gradient to range i, unless the norm is clipped."""
    penalties, coefficients = optimizer.penalties, optimizer.coefficients
    bare: bool = optimizer.rule == SGD and penalties[i, L1] == 0 and penalties[i, L2] == 0
    return bare and coefficients[step, CLIP_VALUE] == np.inf and coefficients[step, DECAY] == 0


@inline
def updates_by_gemm(optimizer: OptimizerSteps[F], step: int, size: int) -> bool:
    """Says whether the gemm that computes dLdW can update the weights of a network of `size` parameters."""
    ranges = optimizer.ranges
    bare: bool = ranges.shape[0] == 1 and ranges[0, STOP] - ranges[0, START] == size
    bare = bare and optimizer.coefficients[step, CLIP_NORM] == np.inf
    return bare and is_multiple_of_gradient(optimizer, step, 0)


@inline
def updates_by_unit(optimizer: OptimizerSteps[F], step: int, size: int, thread: Thread) -> bool:
    """Says whether each thread updates its units as soon as it has their gradients."""
    clipped: bool = optimizer.coefficients[step, CLIP_NORM] < np.inf
    return (thread.num_threads > 1 and not clipped) or updates_by_gemm(optimizer, step, size)


@inline
def norm_parts(size: int) -> tuple[int, int]:
    """Returns into how many parts a gradient is divided to sum its squares, and the elements of each.

    Both follow from its size: the sum has the same bits for any number of threads that sum the parts.
    """
    length = max(NORM_PART_ELEMENTS, (size + MAX_NORM_PARTS - 1) // MAX_NORM_PARTS)
    return (size + length - 1) // length, length


@on_demand
def squares_of_parts(
    part: int,
    start: int,
    stop: int,
    parameters: Vector[F],
    gradient: Vector[F],
    optimizer: OptimizerSteps[F],
    step: int,
    sums: Vector[F],
) -> None:
    """Computes for each part of a range of them the sum of squares of the gradient that is clipped."""
    penalty, length = optimizer.coefficients[step, PENALTY], norm_parts(gradient.size)[1]
    for k in range(start, stop):
        sums[k] = 0
        for i in range(optimizer.ranges.shape[0]):
            first = max(k * length, optimizer.ranges[i, START])
            n = max(0, min((k + 1) * length, optimizer.ranges[i, STOP]) - first)
            w, g = slice_of(parameters, first, n), slice_of(gradient, first, n)
            l1, l2 = penalty * optimizer.penalties[i, L1], penalty * optimizer.penalties[i, L2]
            sums[k] += squares(0, n, w, g, l1, l2, gradient.dtype.type(1))


@inline
def sum_of_squares(
    parameters: Vector[F], gradient: Vector[F], optimizer: OptimizerSteps[F], penalty: F, factor: F
) -> F:
    """Computes the sum of the squares of a factor times the gradient with its penalties."""
    result = parameters.dtype.type(0)
    for i in range(optimizer.ranges.shape[0]):
        start = optimizer.ranges[i, START]
        n = optimizer.ranges[i, STOP] - start
        w, g = slice_of(parameters, start, n), slice_of(gradient, start, n)
        l1, l2 = penalty * optimizer.penalties[i, L1], penalty * optimizer.penalties[i, L2]
        result += squares(0, n, w, g, l1, l2, factor)
    return result


@on_demand
def clip_norm_scale(
    parameters: Vector[F], gradient: Vector[F], optimizer: OptimizerSteps[F], step: int, sums: Vector[F]
) -> F:
    """Computes the factor by which the norm of a step's gradient becomes its bound, or 1 where it is less.

    `sums` are the sums of squares of its parts.
    """
    clip_norm, penalty = optimizer.coefficients[step, CLIP_NORM], optimizer.coefficients[step, PENALTY]
    one = parameters.dtype.type(1)
    norm = np.sqrt(total(0, sums.size, sums))
    if not isfinite(norm):
        factor = parameters.dtype.type(scale_of_squares(parameters.itemsize))
        norm = np.sqrt(sum_of_squares(parameters, gradient, optimizer, penalty, factor)) / factor
    scale: F = clip_norm / norm if norm > clip_norm else one
    return scale


@inline
def states_range(states: Matrix[F], start: int, n: int) -> tuple[Vector[F], Vector[F], Vector[F]]:
    """Returns n elements of MOST_STATES rows of states; rows beyond the rule's states are never accessed."""
    size = states.shape[1]
    return (
        slice_of(states, start, n),
        slice_of(states, size + start, n),
        slice_of(states, 2 * size + start, n),
    )


@inline
def rule_coefficients(coefficients: Matrix[F], step: int) -> tuple[F, F, F, F, F]:
    """Returns all coefficient columns of a step; the rule ignores the surplus."""
    row = slice_of(coefficients, step * COEFFICIENTS + FIRST, COEFFICIENTS - FIRST)
    return row[0], row[1], row[2], row[3], row[4]


@noinline
def apply_update(
    parameters: Vector[F],
    gradient: Vector[F],
    optimizer: OptimizerSteps[F],
    step: int,
    scale: F,
    first: int,
    count: int,
) -> None:
    """Updates the trained ones of `count` parameters from `first` on, with the coefficients of a step."""
    one, coefficients = parameters.dtype.type(1), optimizer.coefficients
    penalty = coefficients[step, PENALTY]
    for i in range(optimizer.ranges.shape[0]):
        start = max(first, optimizer.ranges[i, START])
        n = max(0, min(first + count, optimizer.ranges[i, STOP]) - start)
        l1, l2 = penalty * optimizer.penalties[i, L1], penalty * optimizer.penalties[i, L2]
        w, g = slice_of(parameters, start, n), slice_of(gradient, start, n)
        if scale == one and is_multiple_of_gradient(optimizer, step, i):
            subtract_scaled(0, n, w, g, coefficients[step, FIRST], w)
            continue
        states = states_range(optimizer.states, start, n)
        scalars = (l1, l2, scale, coefficients[step, CLIP_VALUE], coefficients[step, DECAY])
        update_by(optimizer.rule, n, w, g, scalars, states, rule_coefficients(coefficients, step), w, states)

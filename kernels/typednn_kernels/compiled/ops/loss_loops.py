"""The loops and formulas of losses in machine code: terms, derivatives dLdy and deltas dLda.

They come from the tables of losses. The kernels contain the loops of the first losses and call the others by
address.
"""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# Formulas written as lambdas have no types.

from __future__ import annotations

from collections.abc import Callable

from typednn_kernels.activations import SOFTMAX
from typednn_kernels.arrays import Values
from typednn_kernels.compiled._codegen.function_tables import FunctionTable
from typednn_kernels.compiled._codegen.ir_loops import (
    Formula,
    Loop,
    elementwise,
    max_reduction,
    scalar_function,
    sum_reduction,
)
from typednn_kernels.compiled._codegen.ir_values import Number
from typednn_kernels.compiled._codegen.jit import inline
from typednn_kernels.compiled._codegen.short_rows import Row, by_short_row, by_short_vector
from typednn_kernels.losses import (
    BUILT_IN,
    CODES,
    COUPLED,
    LOSSES,
    PAIRS,
    is_mean,
    is_stable,
    pair_delta,
    pair_derivative,
    pair_of,
    pair_value,
    softmax_rows,
)
from typednn_kernels.primitives import log


def _shifted(term: Callable[[Values, Values], Values]) -> Callable[..., Values]:
    return lambda a, t, largest, log_sum: term((a - largest) - log_sum, t)


def _divided(derivative: Callable[[Values, Values], Values]) -> Callable[..., Values]:
    return lambda y, t, divisor: derivative(y, t) * (1 / divisor)


def _pair_divided(formula: Callable[..., Values]) -> Callable[..., Values]:
    return lambda *arguments: formula(*arguments[:-1]) * (1 / arguments[-1])


def _canonical_delta(y: Values, t: Values, weight: Values, divisor: Values) -> Values:
    return (y * weight - t) * (1 / divisor)


INLINED = 3
"""MSE and the cross-entropies: their code for short vectors is compiled into the kernels."""
CALLED = range(BUILT_IN)
"""The loops of all losses are called by address, and compiled when they are first called."""
CROSS_ENTROPY: int = CODES["crossentropy"]

TERMS = [row.value for row in LOSSES[:INLINED]]
STABLE_TERMS = [row.canonical and _shifted(row.stable_value) for row in LOSSES[:INLINED]]
CALLED_TERMS = FunctionTable("loss", "vv", lambda loss: LOSSES[loss].value, CALLED, sums=True)
CALLED_STABLE_TERMS = FunctionTable(
    "stable_loss",
    "vvnn",
    lambda loss: LOSSES[loss].stable_value,
    [loss for loss in CALLED if LOSSES[loss].canonical],
    _shifted,
    sums=True,
)
CALLED_DERIVATIVES = FunctionTable(
    "loss_derivative", "vvnv", lambda loss: LOSSES[loss].derivative, CALLED, _divided
)
"""By loss code: a term of (y, t), a stable term of (a, t, largest, log_sum) at a - largest - log_sum, dLdy of
(y, t, divisor)."""
ELEMENTWISE = range(COUPLED, len(PAIRS))
PAIR_TERMS = FunctionTable("pair_loss", "vv", pair_value, ELEMENTWISE, sums=True)
PAIR_DELTAS = FunctionTable("pair_delta", "vvnv", pair_delta, ELEMENTWISE, _pair_divided)
PAIR_DERIVATIVES = FunctionTable(
    "pair_derivative", "vvvnv", pair_derivative, range(len(PAIRS)), _pair_divided
)
"""By place of the pair: a term of (a, t), dLda of (a, t, divisor), dLdy of (a, y, t, divisor)."""

SINGLE_TERMS = FunctionTable("term", "vvv", lambda loss: LOSSES[loss].value, CALLED)
SINGLE_STABLE_TERMS = FunctionTable(
    "stable_term", "vvnnv", CALLED_STABLE_TERMS.source, CALLED_STABLE_TERMS.codes, _shifted
)
SINGLE_PAIR_TERMS = FunctionTable("pair_term", "vvv", pair_value, ELEMENTWISE)
"""The same terms, one for each element, for samples of one output."""

SOFTMAX_SUMS = FunctionTable("softmax_loss", "vvvnnnn", softmax_rows.summand, softmax_rows.CODES, sums=True)
SOFTMAX_DERIVATIVES = FunctionTable(
    "softmax_loss_derivative", "vvvnnnnv", softmax_rows.derivative, softmax_rows.CODES, _pair_divided
)
SOFTMAX_DELTAS = FunctionTable(
    "softmax_loss_delta", "vvvnnnnnnnnv", softmax_rows.delta, softmax_rows.CODES, _pair_divided
)
"""By loss code: a summand of (a, y, t, largest, second, rest, place), dLdy of the same without a place, and
dLda of (a, y, t, *RowSums); the last two are divided by their last argument."""

sum_terms: Formula = sum_reduction(default_case=CALLED_TERMS)
sum_stable_terms: Formula = sum_reduction(default_case=CALLED_STABLE_TERMS)
term_loop: Loop = elementwise(default_case=SINGLE_TERMS)
stable_term_loop: Loop = elementwise(default_case=SINGLE_STABLE_TERMS)
pair_term_loop: Loop = elementwise(default_case=SINGLE_PAIR_TERMS)
derivative_loop: Loop = elementwise(default_case=CALLED_DERIVATIVES)
sum_pair_terms: Formula = sum_reduction(default_case=PAIR_TERMS)
pair_delta_loop: Loop = elementwise(default_case=PAIR_DELTAS)
pair_derivative_loop: Loop = elementwise(default_case=PAIR_DERIVATIVES)

largest_of_rest: Formula = max_reduction(softmax_rows.of_rest)
sum_exp_of_rest: Formula = sum_reduction(softmax_rows.exp_of_rest)
softmax_sum: Formula = sum_reduction(default_case=SOFTMAX_SUMS)
softmax_derivative_loop: Loop = elementwise(default_case=SOFTMAX_DERIVATIVES)
softmax_delta_loop: Loop = elementwise(default_case=SOFTMAX_DELTAS)

stable: Callable[[int, int], bool] = inline(is_stable)
has_rows: Callable[[int, int, int], bool] = inline(softmax_rows.has_rows)
place_of_pair: Callable[[int, int], int] = inline(pair_of)
is_mean_loss: Callable[[int], bool] = inline(is_mean)
log_loop: Loop = elementwise(log)
log_of: Formula = scalar_function(log)
canonical_delta_loop: Loop = elementwise(_canonical_delta)


def row_terms(loss: int, activation: int) -> Callable[[Row, Number, Number, Number], Number]:
    """Returns a formula of (row, a, y, t) for the terms of the loss of a sample."""
    value, stable_value, pair = LOSSES[loss].value, LOSSES[loss].stable_value, pair_of(loss, activation)

    def terms(row: Row, a: Number, y: Number, t: Number) -> Number:
        if not is_stable(loss, activation):
            return pair_value(pair)(a, t) if pair >= COUPLED else value(y, t)
        if activation != SOFTMAX:
            return stable_value(a, t)
        # The largest y is 1 / sum(exp(a - max(a))).
        return stable_value((a - row.largest(a)) + log(row.largest(y)), t)

    return terms


def _cross_entropy(row: Row, a: Number, y: Number, t: Number) -> Number:
    return row.total(row_terms(CROSS_ENTROPY, SOFTMAX)(row, a, y, t))


def softmax_delta(row: Row, y: Number, t: Number, divisor: Number) -> Number:
    """Computes dLda of a sample with softmax and its canonical loss."""
    return _canonical_delta(y, t, row.total(t), divisor)


short_sum_terms: Callable[..., None] = by_short_vector("terms", TERMS, sums=True)
short_sum_stable_terms: Callable[..., None] = by_short_vector("stable_terms", STABLE_TERMS, sums=True)
cross_entropies: Callable[..., None] = by_short_row("cross_entropy", _cross_entropy, numbers=True)
softmax_deltas: Callable[..., None] = by_short_row("softmax_delta", softmax_delta, in_place=True)

"""Losses of independent probabilities after softmax: those that need 1 - y, the sum of all other outputs.

Rounding leaves nothing of 1 - y where y is near 1, which at most one output of a row is. It comes from the
others: with s the largest of their pre-activations, and S the sum of exp(a_j - s) over them,

    log(1 - y) = s + log(S) - log(sum over all j of exp(a_j)).

A formula gets a, y and t of an element, and what its row has in common (`RowSums`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from typednn_kernels.activations import INFINITY, SOFTMAX, Logarithms
from typednn_kernels.arrays import Values
from typednn_kernels.losses import BUILT_IN, LOSSES, OfLogarithms
from typednn_kernels.primitives import exp, log, log1p, maximum, minimum, where

IN_ROWS: tuple[bool, ...] = tuple(row.targets == "probabilities" for row in LOSSES[:BUILT_IN])
"""By code of the library's losses: whether this module has it."""
CODES: tuple[int, ...] = tuple(code for code, included in enumerate(IN_ROWS) if included)
LOWEST = -3e38
"""About the lowest number of float32: differences of finite pre-activations are not infinite."""


class Row(Protocol):
    """The reductions of a row that a formula may use; their result is in all elements."""

    def largest(self, x: Values) -> Values:
        """Returns the maximum; where an element is NaN, any element or NaN."""
        ...

    def total(self, x: Values) -> Values:
        """Returns the sum."""
        ...


class RowSums(NamedTuple):
    """What the elements of a row have in common.

    An output above 1/2 is the top of its row; the rest are all others.
    """

    largest: Values
    """The largest a."""
    second: Values
    """The largest a of the rest."""
    rest: Values
    """The sum of exp(a - second) over the rest."""
    by_logarithms: Values
    """The sum of `Terms.by_logarithm` over the rest."""
    top_by_logarithm: Values
    by_complements: Values
    """The sum of `Terms.passed_on`."""
    top_by_complement: Values


class Terms(NamedTuple):
    """An element's term of the loss, and its derivatives.

    `by_logarithm` is the derivative with respect to log(y), also through y itself, and `by_complement` that
    with respect to log(1 - y).
    """

    value: Values
    by_logarithm: Values
    by_complement: Values
    passed_on: Values
    """by_complement * y / (1 - y) of the rest, 0 at the top."""
    z: Values


def has_rows(loss: int, activation: int, n: int) -> bool:
    """Says whether this module has the loss of n outputs; one output of softmax is 1 and has no others."""
    return activation == SOFTMAX and n > 1 and loss < BUILT_IN and IN_ROWS[loss]


def of_rest(a: Values, y: Values) -> Values:
    """Returns a where the output belongs to the rest; its maximum is `RowSums.second`."""
    return where(y > 0.5, -INFINITY, a)


def exp_of_rest(a: Values, y: Values, second: Values) -> Values:
    """Returns what `RowSums.rest` is the sum of."""
    return where(y > 0.5, 0, exp(_difference(a, second)))


def _difference(x: Values, y: Values) -> Values:
    return maximum(x - y, LOWEST)


def _logarithms(a: Values, y: Values, largest: Values, second: Values, rest: Values) -> Logarithms:
    # If exp of the largest is 1, `ratio` is the sum over the rest, which is all if the row has no top.
    log_rest = log(rest)
    ratio = rest * exp(_difference(second, largest))
    log_sum = where(second < largest, log1p(ratio), log_rest)
    log_z = where(y > 0.5, _difference(second, largest) + (log_rest - log_sum), log1p(-y))
    z = where(y > 0.5, ratio / (1 + ratio), 1 - y)
    return Logarithms(y, z, _difference(a, largest) - log_sum, log_z, z, -y)


def terms(loss: int, a: Values, y: Values, t: Values, *row: Values) -> Terms:
    """Returns the terms of an element, given `largest`, `second` and `rest` of its row."""
    p, formulas = _logarithms(a, y, *row[:3]), _formulas(loss)
    by_y, by_log_y, by_log_z = formulas.partials(p, t)
    passed_on = where(y > 0.5, 0, by_log_z * y / maximum(p.z, 0.25))
    return Terms(formulas.value(p, t), by_y * y + by_log_y, by_log_z, passed_on, p.z)


def summed(term: Terms, y: Values) -> tuple[Values, Values, Values, Values, Values]:
    """Returns what is summed over a row: the loss, and the last four of `RowSums`."""
    is_top = y > 0.5
    return (
        term.value,
        where(is_top, 0, term.by_logarithm),
        where(is_top, term.by_logarithm, 0),
        term.passed_on,
        where(is_top, term.by_complement, 0),
    )


def _formulas(loss: int) -> OfLogarithms:
    formulas = LOSSES[loss].of_logarithms
    assert formulas is not None
    return formulas


def value(loss: int) -> Callable[..., Values]:
    """Returns the formula of a term of the loss."""

    def formula(a: Values, y: Values, t: Values, *row: Values) -> Values:
        return terms(loss, a, y, t, *row).value

    return formula


def derivative(loss: int) -> Callable[..., Values]:
    """Returns the formula of dL/dy, infinite only where it is beyond the dtype."""

    def formula(a: Values, y: Values, t: Values, *row: Values) -> Values:
        p = _logarithms(a, y, *row[:3])
        by_y, by_log_y, by_log_z = _formulas(loss).partials(p, t)
        over_z = where(by_log_z == 0, by_log_z, by_log_z / p.z)
        return by_y + where(by_log_y == 0, by_log_y, by_log_y / y) - over_z

    return formula


def summand(loss: int) -> Callable[..., Values]:
    """Returns the formula of an element of `summed`, whose place is the last argument."""

    def formula(a: Values, y: Values, t: Values, *row: Values) -> Values:
        *sums, place = row
        result, *others = summed(terms(loss, a, y, t, *sums), y)
        for i, other in enumerate(others, 1):
            result = where(place == i, other, result)
        return result

    return formula


def delta(loss: int) -> Callable[..., Values]:
    """Returns the formula of dL/da, given all `RowSums`.

    log(1 - y_j) has the derivative y_i y_j / (1 - y_j) with respect to a_i, i ≠ j, and -y_j with respect to
    a_j. No sum over others is the difference of two sums that are equal but for rounding.
    """

    def formula(a: Values, y: Values, t: Values, *row: Values) -> Values:
        sums, is_top = RowSums(*row), y > 0.5
        term = terms(loss, a, y, t, *row)
        others = where(
            is_top, sums.by_logarithms, (sums.by_logarithms - term.by_logarithm) + sums.top_by_logarithm
        )
        complements = sums.by_complements - term.passed_on
        # y_i y_j / (1 - y_j) for the top y_j: 1 - y_j may be 0, but y_i / (1 - y_j) is softmax of the rest
        ratio = sums.rest * exp(_difference(sums.second, sums.largest))
        top = minimum(exp(_difference(a, sums.second)) / sums.rest, 1) / (1 + ratio)
        from_top = where(is_top, 0, top * sums.top_by_complement)
        return term.z * term.by_logarithm - y * (others + term.by_complement) + (y * complements + from_top)

    return formula


def row_sums(loss: int, row: Row, a: Values, y: Values, t: Values) -> RowSums:
    """Computes what the elements of a row have in common."""
    largest, second = row.largest(a), row.largest(of_rest(a, y))
    rest = row.total(exp_of_rest(a, y, second))
    _, *parts = summed(terms(loss, a, y, t, largest, second, rest), y)
    return RowSums(largest, second, rest, *(row.total(part) for part in parts))

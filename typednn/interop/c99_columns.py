"""The preprocessing of a model as statements of C: numbers in, one for each column.

A number is itself, NaN where it is missing; a boolean is 0 or 1; a category is its index among the words that
the file lists, and any other number an unknown one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from typednn.data.columns import BooleanColumn, CategoryColumn, ColumnTransform, DateColumn, NumberColumn
from typednn.errors import SettingError


def column_statements(columns: tuple[ColumnTransform, ...]) -> list[str]:
    """Returns the statements that fill the samples `x` from `features`.

    Raises:
        SettingError: a column holds dates.
    """
    statements: list[str] = []
    at = 0
    for place, column in enumerate(columns):
        statements += STATEMENTS[column.kind](column, place, at)
        if getattr(column, "indicator", False):
            last = at + len(column.features) - 1
            statements.append(f"x[{last}] = isnan(features[{place}]) ? 1.0f : 0.0f;")
        at += len(column.features)
    return statements


def _number(column: NumberColumn, place: int, at: int) -> list[str]:
    value = f"(isnan(features[{place}]) ? {_signed(column.fill)} : features[{place}])"
    return [f"x[{at}] = (float)(({value} - {_signed(column.mean)}) / {column.deviation!r});"]


def _category(column: CategoryColumn, place: int, at: int) -> list[str]:
    count = len(column.categories)
    lines = [
        f"value = isnan(features[{place}]) ? {column.fill}.0 : features[{place}];",
        f"for (u = 0; u < {count}; u++) x[{at} + u] = value == u ? 1.0f : 0.0f;",
    ]
    if column.other:
        known = f"value >= 0.0 && value < {count}.0 && value == floor(value)"
        lines.append(f"x[{at + count}] = {known} ? 0.0f : 1.0f;")
    return lines


def _boolean(column: BooleanColumn, place: int, at: int) -> list[str]:
    value = f"(isnan(features[{place}]) ? {int(column.fill)}.0 : features[{place}])"
    return [f"x[{at}] = {value} != 0.0 ? 1.0f : -1.0f;"]


def _date(column: DateColumn, _place: int, _at: int) -> list[str]:
    raise SettingError(f"the column {column.name!r} holds dates, which are not written in C; leave it out")


STATEMENTS: dict[str, Callable[[Any, int, int], list[str]]] = {
    "number": _number,
    "category": _category,
    "boolean": _boolean,
    "date": _date,
}
"""By the kind of a column: the statements that fill its features, from the first one on."""


def _signed(number: float) -> str:
    return repr(number) if number >= 0 else f"({number!r})"

"""What commands print: text for people, or JSON for scripts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from typednn.cli.measures import QUANTILES, ClassMeasures, Measures
from typednn.data.columns import BooleanColumn, CategoryColumn, ColumnTransform, DateColumn
from typednn.data.model import Model
from typednn.data.targets import Classes
from typednn.tables import aligned

MAX_CLASSES = 12
"""The number of classes whose confusion matrix is printed."""

MAX_NAMES = 10
MAX_COLUMNS = 40
"""The number of columns that are listed."""


def say(*lines: str) -> None:
    """Prints lines."""
    print("\n".join(lines), flush=True)


def say_json(value: Mapping[str, object]) -> None:
    """Prints JSON in one line."""
    print(json.dumps(value, ensure_ascii=False), flush=True)


def some(names: Sequence[str]) -> str:
    """Returns the first names, separated by commas, and `…` where there are more."""
    return ", ".join(names[:MAX_NAMES]) + (", …" if len(names) > MAX_NAMES else "")


def described_columns(transforms: Sequence[ColumnTransform]) -> list[str]:
    """Returns a table of columns and their transforms."""
    rows = [("column", "kind", "inputs", "")]
    rows += [
        (each.name, each.kind, str(len(each.features)), _detail(each)) for each in transforms[:MAX_COLUMNS]
    ]
    if len(transforms) > MAX_COLUMNS:
        rows.append((f"… and {len(transforms) - MAX_COLUMNS} more", "", "", ""))
    return [line.rstrip() for line in aligned(rows, 4)]


def _detail(column: ColumnTransform) -> str:
    missing = "; missing ones are marked" * column.indicator
    if isinstance(column, CategoryColumn):
        return some(column.categories) + ", and others" * column.other + missing
    if isinstance(column, BooleanColumn):
        return f"{column.words[0]}, {column.words[1]}{missing}"
    unit = "days since 1970, " if isinstance(column, DateColumn) else ""
    return f"{unit}mean {figures(column.mean)}, deviation {figures(column.deviation)}{missing}"


def described_target(model: Model) -> str:
    """Returns what the model predicts, in one line."""
    preprocessing = model.preprocessing
    names = some(preprocessing.target_names) if preprocessing.named else ""
    of = f" of {names}" if names else ""
    target = preprocessing.target
    if isinstance(target, Classes):
        return f"classification{of}, {len(target.names)} classes: {some(target.names)}"
    return f"regression{of}, numbers"


def compared(measures: Measures, baseline: Measures, heading: str) -> list[str]:
    """Returns a table of the main measures of a model, and of predicting the frequencies or the mean."""
    usual = "frequencies" if isinstance(measures, ClassMeasures) else "mean"
    rows = [(heading, "network", usual)]
    mine, theirs = headline(measures), headline(baseline)
    rows += [(name, shown(name, mine[name]), shown(name, theirs[name])) for name in mine]
    return aligned(rows)


def headline(measures: Measures) -> dict[str, float]:
    """Returns the main measures by name."""
    if isinstance(measures, ClassMeasures):
        return {"accuracy": measures.accuracy, "loss": measures.loss}
    return {"R2": float(measures.r2.mean()), "MAE": float(measures.mae.mean())}


def shown(name: str, value: float) -> str:
    """Returns a measure as text."""
    return f"{100 * value:.1f} %" if name == "accuracy" else figures(value)


def figures(value: float) -> str:
    """Returns a number in four figures, a large one without an exponent.

    >>> [figures(value) for value in (0.123456, 1234.5, 45837.6, -1234567.0, 1e20)]
    ['0.1235', '1234', '45,840', '-1,235,000', '1e+20']
    """
    short = f"{value:.4g}"
    return f"{float(short):,.0f}" if 1e4 <= abs(value) < 1e15 else short


def detailed(measures: Measures) -> list[str]:
    """Returns all measures as tables."""
    if isinstance(measures, ClassMeasures):
        return _classes(measures)
    rows: list[tuple[str, ...]] = [("target", "R2", "MAE", "RMSE", *(f"{100 * q:g} %" for q in QUANTILES))]
    for k, name in enumerate(measures.names):
        values = [measures.r2[k], measures.mae[k], measures.rmse[k], *measures.quantiles[:, k]]
        rows.append((name, *map(figures, values)))
    return [*aligned(rows), "Percentages: quantiles of prediction minus truth."]


def _classes(measures: ClassMeasures) -> list[str]:
    rows: list[tuple[str, ...]] = [("class", "precision", "recall", "F1", "samples")]
    for k, name in enumerate(measures.names):
        values = (measures.precision[k], measures.recall[k], measures.f1[k])
        rows.append((name, *(f"{value:.3f}" for value in values), f"{measures.confusion[k].sum():,}"))
    lines = [f"accuracy {100 * measures.accuracy:.1f} %, loss {measures.loss:.4g}", "", *aligned(rows)]
    if len(measures.names) <= MAX_CLASSES:
        matrix: list[tuple[str, ...]] = [("true \\ predicted", *measures.names)]
        matrix += [
            (name, *(f"{count:,}" for count in row))
            for name, row in zip(measures.names, measures.confusion.tolist(), strict=True)
        ]
        lines += ["", *aligned(matrix)]
    calibration = [("probability", "right", "samples")]
    calibration += [(f"{p:.3f}", f"{f:.3f}", f"{n:,}") for p, f, n in measures.calibration]
    return [*lines, "", *aligned(calibration, 0), f"calibration error {measures.calibration_error:.3f}"]

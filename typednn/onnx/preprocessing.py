"""The preprocessing of a model as operators of ONNX: raw columns in, labels or numbers out.

Each kind of column and of target is one function in a table. A model whose columns are all numbers has one
input, `features` `(batch, n_columns)`; others have one `(batch, 1)` for each column, by its name: numbers in
float64 with NaN for what is missing, and text for categories and booleans.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np

from typednn.data.columns import (
    MISSING_TEXT,
    BooleanColumn,
    CategoryColumn,
    ColumnTransform,
    DateColumn,
    NumberColumn,
)
from typednn.data.preprocessing import Preprocessing
from typednn.data.targets import Classes, Scale
from typednn.errors import SettingError
from typednn.onnx.graph import GraphBuilder

FLOAT64, TEXT = np.dtype(np.float64), np.dtype(object)
ML = "ai.onnx.ml"


def write_features(graph: GraphBuilder, preprocessing: Preprocessing) -> str:
    """Declares the inputs, and appends what makes samples of them; returns the name of the samples.

    Raises:
        SettingError: a column holds dates.
    """
    columns = preprocessing.features
    numbers = [each for each in columns if isinstance(each, NumberColumn)]
    if len(numbers) == len(columns) and not any(each.indicator for each in numbers):
        samples = _numbers(graph, numbers)
    else:
        parts = [FEATURES[each.kind](graph, each) for each in columns]
        samples = graph.node("Concat", *parts, axis=1)
    return graph.cast(samples, graph.dtype) if graph.dtype != FLOAT64 else samples


def write_target(graph: GraphBuilder, preprocessing: Preprocessing, y: str) -> None:
    """Appends what makes predictions of the network's outputs, and declares them."""
    TARGETS[type(preprocessing.target)](graph, preprocessing.target, y)


def _numbers(graph: GraphBuilder, columns: Sequence[NumberColumn]) -> str:
    """Writes columns of numbers, all at once."""
    features = graph.add_input("features", FLOAT64, len(columns))
    fill, mean, deviation = (
        graph.constant(f"features.{name}", np.array([getattr(each, name) for each in columns]))
        for name in ("fill", "mean", "deviation")
    )
    filled = graph.node("Where", graph.node("IsNaN", features), fill, features)
    return graph.node("Div", graph.node("Sub", filled, mean), deviation)


def _input_name(column: ColumnTransform) -> str:
    """Returns the name of a column, changed where an output has it."""
    return f"{column.name}_column" if column.name in {"label", "probabilities", "prediction"} else column.name


def _number(graph: GraphBuilder, column: NumberColumn) -> str:
    values = graph.add_input(_input_name(column), FLOAT64, 1)
    fill, mean, deviation = (
        graph.constant(f"{column.name}.{name}", np.array(getattr(column, name)))
        for name in ("fill", "mean", "deviation")
    )
    missing = graph.node("IsNaN", values)
    filled = graph.node("Where", missing, fill, values)
    scaled = graph.node("Div", graph.node("Sub", filled, mean), deviation)
    return graph.node("Concat", scaled, graph.cast(missing, FLOAT64), axis=1) if column.indicator else scaled


def _category(graph: GraphBuilder, column: CategoryColumn) -> str:
    values = graph.add_input(_input_name(column), TEXT, 1)
    count = len(column.categories)
    codes = dict.fromkeys(_spellings(MISSING_TEXT), float(column.fill))
    codes |= {word: float(k) for k, word in enumerate(column.categories)}
    index = _encoded(graph, values, codes, float(count if column.other else -1))
    places = graph.constant(f"{column.name}.places", np.arange(count + column.other, dtype=np.float32))
    return _with_indicator(graph, column, values, graph.cast(graph.node("Equal", index, places), FLOAT64))


def _boolean(graph: GraphBuilder, column: BooleanColumn) -> str:
    values = graph.add_input(_input_name(column), TEXT, 1)
    sides = {"false": -1.0, "true": 1.0, "0": -1.0, "1": 1.0, column.words[0]: -1.0, column.words[1]: 1.0}
    codes = dict.fromkeys(_spellings(MISSING_TEXT), 1.0 if column.fill else -1.0)
    codes |= {spelling: side for word, side in sides.items() for spelling in _spellings([word])}
    side = graph.cast(_encoded(graph, values, codes, float("nan")), FLOAT64)
    return _with_indicator(graph, column, values, side)


def _date(_graph: GraphBuilder, column: DateColumn) -> str:
    raise SettingError(
        f"the column {column.name!r} holds dates, which ONNX has no operators for; leave it out, or make "
        "numbers of it before"
    )


FEATURES: dict[str, Callable[[GraphBuilder, Any], str]] = {
    "number": _number,
    "category": _category,
    "boolean": _boolean,
    "date": _date,
}
"""By the kind of a column: declares its input, and writes its features `(batch, n)` in float64."""


def _with_indicator(
    graph: GraphBuilder, column: CategoryColumn | BooleanColumn, values: str, features: str
) -> str:
    if not column.indicator:
        return features
    missing = _encoded(graph, values, dict.fromkeys(_spellings(MISSING_TEXT), 1.0), 0.0)
    return graph.node("Concat", features, graph.cast(missing, FLOAT64), axis=1)


def _encoded(graph: GraphBuilder, values: str, codes: dict[str, float], default: float) -> str:
    """Writes the number of each word, in float32; what is no word of `codes` gets the default."""
    settings: dict[str, Any] = {
        "keys_strings": list(codes),
        "values_floats": list(codes.values()),
        "default_float": default,
    }
    return graph.node("LabelEncoder", values, attributes=settings, domain=ML)


def _spellings(words: Sequence[str] | frozenset[str]) -> Iterator[str]:
    """Yields words in every mixture of upper and lower case."""
    for word in sorted(words):
        yield from sorted({"".join(letters) for letters in product(*({c.lower(), c.upper()} for c in word))})


def _restore(graph: GraphBuilder, scale: Scale, y: str) -> None:
    numbers = graph.cast(y, FLOAT64) if graph.dtype != FLOAT64 else y
    spread = graph.node("Mul", numbers, graph.constant("target.deviation", scale.deviation))
    graph.node("Add", spread, graph.constant("target.mean", scale.mean), output="prediction")
    graph.add_output("prediction", FLOAT64, len(scale.mean))


def _label(graph: GraphBuilder, classes: Classes, y: str) -> None:
    best = graph.node("ArgMax", y, axis=1, keepdims=0)
    names = graph.constant("target.classes", np.array(classes.names, object))
    graph.node("Gather", names, best, output="label")
    graph.node("Identity", y, output="probabilities")
    graph.add_output("label", TEXT, None)
    graph.add_output("probabilities", graph.dtype, len(classes.names))


TARGETS: dict[type, Callable[[GraphBuilder, Any, str], None]] = {Scale: _restore, Classes: _label}
"""By the kind of target: writes what makes predictions of the network's outputs, and declares them."""

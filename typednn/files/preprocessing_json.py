"""The fitted preprocessing as JSON, one object for each column; checked when it is read."""

from __future__ import annotations

from dataclasses import asdict
from typing import get_args

import numpy as np

from typednn.data.columns import (
    BooleanColumn,
    CategoryColumn,
    ColumnKind,
    ColumnTransform,
    DateColumn,
    NumberColumn,
)
from typednn.data.preprocessing import Preprocessing
from typednn.data.targets import Classes, Scale
from typednn.formats.json_values import JsonValue

KINDS: tuple[ColumnKind, ...] = get_args(ColumnKind)


def preprocessing_json(preprocessing: Preprocessing) -> dict[str, object]:
    """Returns the description of a preprocessing, for `json.dumps`."""
    target = preprocessing.target
    classes = target.names if isinstance(target, Classes) else None
    scale = {} if isinstance(target, Classes) else _scale_json(target)
    return {
        "features": [{"kind": each.kind, **asdict(each)} for each in preprocessing.features],
        "target": {"names": preprocessing.target_names, "classes": classes, **scale},
        "columns": preprocessing.columns,
        "named": preprocessing.named,
    }


def read_preprocessing(entry: JsonValue, inputs: int, outputs: int) -> Preprocessing:
    """Reads the description of a preprocessing.

    Args:
        entry: the JSON.
        inputs: the length of the input layer.
        outputs: the length of the output layer.

    Raises:
        FileFormatError: a value is invalid, or the features are not those of the input layer.
    """
    features = tuple(map(_column, entry["features"].as_list()))
    found = sum(len(each.features) for each in features)
    if found != inputs:
        raise entry["features"].error(f"columns with {inputs} features together, as the input layer has")
    target = entry["target"]
    names = target["names"].as_list()
    return Preprocessing(
        features,
        _target(target, outputs),
        tuple(each.as_str() for each in names),
        tuple(each.as_str() for each in entry["columns"].as_list()),
        entry["named"].as_bool(),
    )


def read_old_preprocessing(entry: JsonValue, inputs: int, outputs: int) -> Preprocessing:
    """Reads the preprocessing of versions 1 and 2, in which all columns were numbers.

    Raises:
        FileFormatError: a value is invalid.
    """
    features, target = entry["features"], entry["target"]
    scale = _scale(features, inputs)
    known = None if features["names"].value is None else features["names"].as_strings(inputs)
    names = known or tuple(f"column {k}" for k in range(1, inputs + 1))
    name = None if target["name"].value is None else target["name"].as_str()
    columns = tuple(
        NumberColumn(each, float(mean), float(deviation), float(mean))
        for each, mean, deviation in zip(names, scale.mean, scale.deviation, strict=True)
    )
    targets = () if name is None else (name,)
    return Preprocessing(columns, _target(target, outputs), targets, (*names, *targets), known is not None)


def _column(entry: JsonValue) -> ColumnTransform:
    kind, name = entry["kind"].as_one_of(KINDS), entry["name"].as_str()
    indicator = entry["indicator"].as_bool()
    if kind == "category":
        words = tuple(each.as_str() for each in entry["categories"].as_list())
        if not words and not entry["other"].value:
            raise entry["categories"].error("one category or more")
        fill = entry["fill"].as_int(0)
        if fill >= max(1, len(words)):
            raise entry["fill"].error("the index of a category")
        return CategoryColumn(name, words, entry["other"].as_bool(), fill, indicator)
    if kind == "boolean":
        no, yes = entry["words"].as_strings(2)
        return BooleanColumn(name, (no, yes), entry["fill"].as_bool(), indicator)
    mean, deviation, fill_value = (_number(entry[key]) for key in ("mean", "deviation", "fill"))
    if deviation <= 0:
        raise entry["deviation"].error("a positive number")
    if kind == "date":
        return DateColumn(name, mean, deviation, fill_value, entry["times"].as_bool(), indicator)
    return NumberColumn(name, mean, deviation, fill_value, indicator)


def _number(entry: JsonValue) -> float:
    return float(JsonValue([entry.value], entry.place, entry.path).as_vector(1)[0])


def _target(target: JsonValue, outputs: int) -> Classes | Scale:
    if target["classes"].value is None:
        return _scale(target, outputs)
    return Classes(target["classes"].as_strings(outputs))


def _scale(entry: JsonValue, count: int) -> Scale:
    mean, deviation = entry["mean"].as_vector(count), entry["deviation"].as_vector(count)
    if (deviation <= 0).any():
        raise entry["deviation"].error("positive numbers")
    return Scale(mean, deviation)


def _scale_json(scale: Scale) -> dict[str, list[float]]:
    return {"mean": np.asarray(scale.mean).tolist(), "deviation": np.asarray(scale.deviation).tolist()}

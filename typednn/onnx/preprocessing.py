"""The preprocessing of a model as operators of ONNX: raw features in, labels or numbers out.

Both tables have one row for each kind of step. Features and numbers are standardised in float64, as
`data.preprocessing` does it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from typednn.data.preprocessing import Classes, Scale
from typednn.onnx.graph import GraphBuilder

FLOAT64, TEXT = np.dtype(np.float64), np.dtype(object)


def _standardize(graph: GraphBuilder, scale: Scale, width: int) -> str:
    features = graph.add_input("features", FLOAT64, width)
    centered = graph.node("Sub", features, graph.constant("features.mean", scale.mean))
    scaled = graph.node("Div", centered, graph.constant("features.deviation", scale.deviation))
    return graph.cast(scaled, graph.dtype) if graph.dtype != FLOAT64 else scaled


def _restore(graph: GraphBuilder, scale: Scale, y: str, width: int) -> None:
    numbers = graph.cast(y, FLOAT64) if graph.dtype != FLOAT64 else y
    spread = graph.node("Mul", numbers, graph.constant("target.deviation", scale.deviation))
    graph.node("Add", spread, graph.constant("target.mean", scale.mean), output="prediction")
    graph.add_output("prediction", FLOAT64, width)


def _label(graph: GraphBuilder, classes: Classes, y: str, width: int) -> None:
    best = graph.node("ArgMax", y, axis=1, keepdims=0)
    names = graph.constant("target.classes", np.array(classes.names, object))
    graph.node("Gather", names, best, output="label")
    graph.node("Identity", y, output="probabilities")
    graph.add_output("label", TEXT, None)
    graph.add_output("probabilities", graph.dtype, width)


FEATURES: dict[type, Callable[[GraphBuilder, Any, int], str]] = {Scale: _standardize}
"""By the kind of step: declares the input and writes what makes samples of it; returns their name."""

TARGETS: dict[type, Callable[[GraphBuilder, Any, str, int], None]] = {Scale: _restore, Classes: _label}
"""By the kind of step: writes what makes predictions of the network's outputs, and declares them."""

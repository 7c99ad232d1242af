"""What notebooks and rich show: the numbers of the objects, as well-formed HTML and SVG."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from typednn import Evaluation, HiddenLayer, History, InputLayer, Network, OutputLayer, gradcheck, use_backend
from typednn.data.columns import CategoryColumn, NumberColumn
from typednn.data.model import Model
from typednn.data.preprocessing import Preprocessing
from typednn.data.targets import Classes
from typednn.plotting.curves import draw_curves, draw_gradient_norms
from typednn.plotting.svg import bar_chart, line_chart, matrix_chart, scatter_chart


def objects() -> Mapping[str, tuple[Any, tuple[str, ...]]]:
    """Objects, and what must be seen of each."""
    with use_backend("numpy"):
        network = Network(
            [InputLayer(3), HiddenLayer(4, "tanh"), OutputLayer(2, "softmax", "crossentropy")], seed=0
        )
        report = gradcheck(network, np.eye(3), np.array([0, 1, 1]))
    columns = (NumberColumn("<size>", 0, 1), CategoryColumn("kind", ("a", "b")))
    model = Model(network, Preprocessing(columns, Classes(("yes & no", "01")), ("what",)))
    return {
        "network": (network, ("HiddenLayer", "tanh", "26 parameters")),
        "layer": (network.layers[1], ("HiddenLayer(4, 'tanh')", "4 × 3")),
        "input layer": (network.layers[0], ("InputLayer(3", "units")),
        "history": (History([0.5, 0.25], [0.75, 0.5]), ("0.75", "validation loss")),
        "no history": (History(), ("epoch",)),
        "evaluation": (Evaluation(0.125, None, 0.5, {"mae": 0.25}), ("0.125", "R²", "mae")),
        "gradients": (report, ("all gradients agree", "Bias", "ok")),
        "model": (model, ("<size>", "kind = b", "yes & no, 01", "HiddenLayer")),
    }


@pytest.mark.parametrize("name", objects())
def test_notebooks_show_html(name: str) -> None:
    shown, parts = objects()[name]

    html = shown._repr_html_()

    text = "".join(ET.fromstring(f"<div>{html}</div>").itertext())
    for part in parts:
        assert part in text
    assert "<script" not in html


@pytest.mark.parametrize("name", objects())
def test_rich_shows_tables(name: str) -> None:
    console = pytest.importorskip("rich.console", reason="rich is not installed").Console(
        width=200, record=True
    )
    shown, parts = objects()[name]

    with console.capture() as captured:
        console.print(shown)

    text = re.sub(r"\s+", " ", captured.get())
    for part in parts:
        assert part in text


def test_curves_are_drawn_to_scale() -> None:
    svg = ET.fromstring(line_chart("loss", {"training": [4.0, 2.0, float("nan"), 1.0]}))

    path = next(each.attrib["d"] for each in svg.iter() if each.attrib.get("stroke-width") == "2")
    points = [tuple(map(float, point.split(","))) for point in re.split("[ML]", path)[1:]]
    assert path.count("M") == 2  # a gap where the loss is NaN
    (x1, y1), (x2, y2), (x4, y4) = points
    assert (x4 - x1) == pytest.approx(3 * (x2 - x1), abs=0.2)
    assert (y4 - y1) == pytest.approx(1.5 * (y2 - y1), abs=0.2)


@pytest.mark.parametrize(
    "svg",
    [
        line_chart("a & b", {"<x>": [], "y": [1.0]}),
        line_chart("constant", {"x": [2.0, 2.0]}),
        scatter_chart("s", "x", "y", [(0.0, 1.0), (2.0, -1.0)], level=0.0),
        bar_chart("b", {"a name that is far too long for a label": 0.5, "none": -0.1}),
        matrix_chart("m", ["a", "<b>"], [[3, 1], [0, 0]]),
        matrix_chart("many", [str(k) for k in range(30)], [[1] * 30] * 30),
    ],
)
def test_charts_are_well_formed(svg: str) -> None:
    root = ET.fromstring(svg)

    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert not re.search(r"nan|inf", svg)


def test_axes_are_returned_and_taken() -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    from matplotlib.figure import Figure

    history = History([0.5, 0.25], [0.75, 0.5], {"accuracy": [0.1, 0.2]})
    axes: Any = Figure().add_subplot()

    assert history.plot(ax=axes) is axes
    lines: Any = axes.lines[:2]
    assert [line.get_ydata().tolist() for line in lines] == [[0.5, 0.25], [0.75, 0.5]]
    made: Any = history.plot()
    assert len(made.figure.axes) == 2


def test_plots_are_shown_in_jupyter(monkeypatch: pytest.MonkeyPatch) -> None:
    """pyplot shows the figures that it has made; elsewhere it has none of the library's."""
    plt: Any = pytest.importorskip("matplotlib.pyplot")
    plt.switch_backend("agg")
    curves = {"loss": [2.0, 1.0]}
    draw_curves(curves, None, "validation_")
    assert plt.get_fignums() == []

    monkeypatch.setitem(sys.modules, "ipykernel", ModuleType("ipykernel"))
    axes = draw_curves(curves, None, "validation_")

    assert [plt.figure(number) for number in plt.get_fignums()] == [axes.get_figure()]
    draw_gradient_norms([[1.0], [2.0]], None, axes)
    assert len(plt.get_fignums()) == 1
    plt.close("all")

"""Draws a backward pass: units coloured by deltas, connections by the gradients of their weights."""

# matplotlib does not annotate its keyword arguments:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from typednn.plotting.style import FAINT, INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_UNITS = 12
"""Of a larger layer, the first units are drawn, and the number of all is written."""
MAX_LABELLED = 4
"""The largest layer whose numbers are written beside the units."""
RADIUS, MIN_DISTANCE, ASPECT = 0.3, 3.2, 0.6
"""Radius of a unit, the least distance from layer to layer, and that distance by the height of the highest
layer, in units of the distance between units."""
LABEL_PLACES = (0.3, 0.5, 0.2, 0.4, 0.6, 0.7, 0.8)
"""Where the number of a connection may be written, as fractions of its length: the first that is free."""
LABEL_SIZE = (0.85, 0.26)
"""Width and height of a number, in units of the distance between units."""
NEGATIVE, POSITIVE = "#2a6db0", "#c8342b"
"""Colours of gradients."""


@dataclass(frozen=True, slots=True)
class LayerPicture:
    """What is drawn of a layer.

    Attributes:
        title: two lines above it.
        activations: the mean activation of each unit, `(n,)`.
        delta: the mean of dLda over the samples, `(n,)`, or None for the input layer.
        weight_gradient: dLdW, `(n, n_prev)`, or None for the input layer; `(n, 0)` where each unit is
            connected to the unit beside it, without weights.
    """

    title: str
    activations: NDArray[np.floating]
    delta: NDArray[np.floating] | None
    weight_gradient: NDArray[np.floating] | None


def draw_gradient_flow(axes: Axes, layers: Sequence[LayerPicture]) -> None:
    """Draws layers from left to right, and how the gradient flows back from right to left."""
    counts = [min(len(layer.activations), MAX_UNITS) for layer in layers]
    columns = [_Column(k, count, max(counts)) for k, count in enumerate(counts)]
    labelled = max(len(layer.activations) for layer in layers) <= MAX_LABELLED
    for before, here, layer in zip(columns, columns[1:], layers[1:], strict=False):
        _draw_connections(axes, layer, before, here, labelled=labelled)
    for column, layer in zip(columns, layers, strict=True):
        _draw_units(axes, layer, column, labelled=labelled)
    bottom, right = -1.3, columns[-1].x
    axes.annotate(
        "",
        (0, bottom),
        (right, bottom),
        arrowprops={"arrowstyle": "->", "color": FAINT, "linewidth": 1.4},
    )
    axes.text(
        right / 2,
        bottom - 0.12,
        "backward: dLda of a layer and W give dLdh of the layer before",
        ha="center",
        va="top",
        color=FAINT,
        fontsize=10,
    )
    axes.set_xlim(-1.5, right + 1.5)
    axes.set_ylim(bottom - 0.8, max(counts) + 0.9)
    axes.set_aspect("equal")
    axes.set_axis_off()


class _Column:
    """Where the units of a layer are drawn."""

    def __init__(self, k: int, count: int, largest: int) -> None:
        self.x = k * max(MIN_DISTANCE, ASPECT * largest)
        self.heights = [(largest + count) / 2 - 1 - j for j in range(count)]


def _draw_connections(
    axes: Axes, layer: LayerPicture, before: _Column, here: _Column, *, labelled: bool
) -> None:
    from matplotlib.collections import LineCollection

    assert layer.weight_gradient is not None
    if not layer.weight_gradient.size:
        beside = [[(before.x + RADIUS, y), (here.x - RADIUS, y)] for y in here.heights]
        axes.add_collection(LineCollection(beside, linewidths=0.8, colors=FAINT))
        return
    shown = layer.weight_gradient[: len(here.heights), : len(before.heights)]
    width = np.sqrt(abs(shown) / (abs(layer.weight_gradient).max() or 1)).ravel()
    ends = [
        [(before.x + RADIUS, start), (here.x - RADIUS, end)]
        for end in here.heights
        for start in before.heights
    ]
    colours = [POSITIVE if each > 0 else NEGATIVE for each in shown.ravel()]
    axes.add_collection(LineCollection(ends, linewidths=0.3 + 3.2 * width, colors=colours, alpha=0.75))
    taken: list[tuple[float, float]] = []
    for number, ((x, y), (x_end, y_end)) in zip(shown.ravel() if labelled else [], ends, strict=False):
        places = [(x + part * (x_end - x), y + part * (y_end - y)) for part in LABEL_PLACES]
        taken.append(max(places, key=lambda place: min((_apart(place, other) for other in taken), default=0)))
        axes.text(
            *taken[-1],
            f"{number:.3g}",
            ha="center",
            va="center",
            fontsize=9,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
        )


def _apart(label: tuple[float, float], other: tuple[float, float]) -> float:
    """Computes the distance of two labels: at least 1 if they do not overlap; more than 1 is no better."""
    width, height = LABEL_SIZE
    return min(1.0, max(abs(label[0] - other[0]) / width, abs(label[1] - other[1]) / height))


def _draw_units(axes: Axes, layer: LayerPicture, column: _Column, *, labelled: bool) -> None:
    from matplotlib.patches import Circle

    largest = 0.0 if layer.delta is None else float(abs(layer.delta).max()) or 1.0
    for j, height in enumerate(column.heights):
        colour, strength = FAINT, 0.12
        if layer.delta is not None:
            delta = float(layer.delta[j])
            colour, strength = (POSITIVE if delta > 0 else NEGATIVE), 0.08 + 0.6 * abs(delta) / largest
        place = (column.x, height)
        axes.add_patch(Circle(place, RADIUS, facecolor="white", edgecolor="none", zorder=2))
        axes.add_patch(Circle(place, RADIUS, facecolor=colour, alpha=strength, edgecolor="none", zorder=3))
        axes.add_patch(Circle(place, RADIUS, fill=False, edgecolor=INK, linewidth=1.1, zorder=4))
        if labelled:
            below = "" if layer.delta is None else f"dLda {layer.delta[j]:.3g}"
            axes.text(*place, f"{layer.activations[j]:.2f}", ha="center", va="center", fontsize=9, zorder=5)
            axes.text(column.x, height - RADIUS - 0.06, below, ha="center", va="top", fontsize=9)
    top, low = column.heights[0] + RADIUS + 0.2, column.heights[-1] - RADIUS - 0.1
    axes.text(column.x, top, layer.title, ha="center", va="bottom", fontsize=10)
    if len(layer.activations) > len(column.heights):
        more = f"and {len(layer.activations) - len(column.heights)} more"
        axes.text(column.x, low, more, ha="center", va="top", color=FAINT, fontsize=9)

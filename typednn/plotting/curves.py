"""Plots of a training: its losses and metrics, and the norms of the layers' gradients."""

# matplotlib does not annotate its keyword arguments:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from math import ceil, isfinite
from typing import TYPE_CHECKING, cast

from typednn.errors import NotReadyError
from typednn.formats.atomic import PathLike
from typednn.plotting.style import FAINT, HELD, INK, TRAINING, epoch_axis, log_axis, new_figure, written

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_COLUMNS = 3
"""The number of plots side by side."""


def draw_curves(
    curves: Mapping[str, Sequence[float]], path: PathLike | None, prefix: str, ax: Axes | None = None
) -> Axes:
    """Plots losses and metrics over the epochs, each validation curve beside its training curve.

    Args:
        curves: the values of each epoch, by the name of the loss or metric.
        path: the file to write; its suffix is the format.
        prefix: what the names of validation curves begin with.
        ax: the axes into which the loss alone is drawn; by default a new figure has axes for each curve.

    Raises:
        NotReadyError: there is no epoch yet.
        Others: as `write_figure`.
    """
    names = list(dict.fromkeys(name.removeprefix(prefix) for name in curves))
    if not names:
        raise NotReadyError("History: plot(...) needs an epoch; call fit(...) first")
    if ax is not None:
        _draw_panel(ax, names[0], curves, prefix, legend=len(curves) > len(names))
        return written(ax, path)
    across = min(MAX_COLUMNS, len(names))
    down = ceil(len(names) / across)
    with new_figure(5.2 * across + 0.6, 3.9 * down) as figure:
        for k, name in enumerate(names, start=1):
            axes = figure.add_subplot(down, across, k)
            _draw_panel(axes, name, curves, prefix, legend=k == 1 and len(curves) > len(names))
        return written(figure.axes[0], path)


def _draw_panel(
    axes: Axes, name: str, curves: Mapping[str, Sequence[float]], prefix: str, *, legend: bool
) -> None:
    """Draws one loss or metric."""
    _draw_curve(axes, "training", curves.get(name, []), TRAINING)
    _draw_curve(axes, "validation", curves.get(prefix + name, []), HELD)
    axes.set_title(name.upper() if len(name) < 4 else name.replace("_", " ").capitalize())
    values = [value for part in (name, prefix + name) for value in curves.get(part, [])]
    if name == "loss" and min(values) > 0 and max(values) > 10 * min(values):
        log_axis(axes)
    epoch_axis(axes)
    if legend:
        axes.legend()
    if name == "loss":
        _mark_best(axes, curves.get(f"{prefix}loss", []))


def draw_gradient_norms(
    norms: Sequence[Sequence[float]], path: PathLike | None, ax: Axes | None = None
) -> Axes:
    """Plots the norm of each layer's weight gradient over the epochs.

    Args:
        norms: for each epoch the norm of each layer, the first hidden layer first.
        path: the file to write; its suffix is the format.
        ax: the axes to draw into; by default those of a new figure.

    Raises:
        NotReadyError: there is no epoch yet.
        Others: as `write_figure`.
    """
    if not norms:
        raise NotReadyError("GradientNorms: plot(...) needs an epoch; call fit(..., callbacks=[...]) first")
    from matplotlib import colormaps

    layers = list(zip(*norms, strict=True))
    colors = colormaps["viridis"]
    epochs = range(1, len(norms) + 1)
    with new_figure(8.4, 4.8) if ax is None else nullcontext() as figure:
        axes = figure.add_subplot() if figure is not None else cast("Axes", ax)
        for k, curve in enumerate(layers, start=1):
            name = "output layer" if k == len(layers) else f"hidden layer {k}"
            color = colors(0.92 * (k - 1) / max(1, len(layers) - 1))
            drawn = [value if value > 0 else float("nan") for value in curve]
            axes.plot(epochs, drawn, color=color, linewidth=2.2, label=name, marker=_marker(drawn))
        axes.set(title="How the gradient flows", ylabel="norm of dLdW, mean over steps")
        log_axis(axes)
        epoch_axis(axes)
        handles, labels = axes.get_legend_handles_labels()
        if figure is not None:
            figure.legend(handles[::-1], labels[::-1], loc="outside right upper")
        else:
            axes.legend(handles[::-1], labels[::-1])
        return written(axes, path)


def _draw_curve(axes: Axes, label: str, curve: Sequence[float], color: str) -> None:
    if curve:
        epochs = range(1, len(curve) + 1)
        axes.plot(epochs, curve, color=color, linewidth=2.2, label=label, marker=_marker(curve))


def _marker(curve: Sequence[float]) -> str:
    return "o" if len(curve) == 1 else ""


def _mark_best(axes: Axes, curve: Sequence[float]) -> None:
    """Marks the lowest validation loss, unless it is the last."""
    finite = [(value, epoch) for epoch, value in enumerate(curve, start=1) if isfinite(value)]
    if finite:
        value, epoch = min(finite)
        if epoch < len(curve):
            axes.plot([epoch], [value], "o", color=HELD, markersize=6, markeredgecolor="white")
            axes.annotate(
                f"{value:.3g} in epoch {epoch}",
                (epoch, value),
                textcoords="offset points",
                xytext=(0, -16),
                ha="center",
                fontsize=10,
                color=INK,
                bbox={
                    "boxstyle": "round,pad=0.15",
                    "facecolor": "white",
                    "edgecolor": FAINT,
                    "linewidth": 0.5,
                },
            )

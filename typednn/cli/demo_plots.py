"""The figure of the demonstration."""

# matplotlib does not annotate its keyword arguments:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from typednn.cli.demo import SIDE, Demonstration
from typednn.plotting.style import FAINT, HELD, INK, TRAINING, epoch_axis, new_figure, picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

WRONG = "#c8342b"

ACROSS, GAP = 16, 2
"""Images of weights in a row, and pixels between them."""

SHOWN = 2, 12
"""Rows and columns of held-out digits."""


def demonstration_png(shown: Demonstration) -> bytes:
    """Returns `demonstration_figure` as a PNG file.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    return picture(demonstration_figure(shown), "png")


def demonstration_figure(shown: Demonstration) -> Figure:
    """Plots learning curves, the confusion matrix, the first layer's weights, and digits with predictions.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    with new_figure(14, 15, pad=0.14) as figure:
        _draw(figure, shown)
    return figure


def mosaic(images: NDArray[np.float32], across: int, gap: int) -> NDArray[np.float32]:
    """Arranges images `(n, height, width)` in rows, with gaps of NaN to the left of and above each."""
    count, height, width = images.shape
    down = -(-count // across)
    tiles: NDArray[np.float32] = np.full((down * across, gap + height, gap + width), np.nan, np.float32)
    tiles[:count, gap:, gap:] = images
    rows = tiles.reshape(down, across, gap + height, gap + width).swapaxes(1, 2)
    return rows.reshape(down * (gap + height), across * (gap + width))


def _draw(figure: Figure, shown: Demonstration) -> None:
    figure.suptitle(
        f"A network reads {100 * shown.accuracy:.1f} % of {len(shown.read)} handwritten digits "
        "it has never seen",
        fontsize=19,
        fontweight="bold",
        color=INK,
    )
    rows = figure.add_gridspec(3, 1, height_ratios=(4.3, 7.0, 3.1))
    upper, middle, lower = (figure.add_subfigure(rows[k, 0]) for k in range(3))
    losses, accuracies, confusions = (upper.add_subplot(1, 3, k) for k in (1, 2, 3))
    _draw_curves(losses, accuracies, shown)
    _draw_confusions(confusions, shown)
    _draw_weights(middle, shown)
    _draw_digits(lower, shown)


def _head(figure: SubFigure, text: str) -> None:
    figure.suptitle(text, x=0.012, ha="left", fontsize=14, fontweight="bold", color=INK)


def _draw_curves(losses: Axes, accuracies: Axes, shown: Demonstration) -> None:
    curves = shown.curves
    epochs = range(1, len(curves.loss) + 1)
    for label, color, loss, accuracy in (
        ("training", TRAINING, curves.loss, curves.accuracy),
        ("held out", HELD, curves.held_loss, curves.held_accuracy),
    ):
        marker = "o" if len(epochs) == 1 else ""
        losses.plot(epochs, loss, color=color, linewidth=2.4, label=label, marker=marker)
        percent = 100 * np.array(accuracy)
        accuracies.plot(epochs, percent, color=color, linewidth=2.4, label=label, marker=marker)
    losses.set(title="Loss", ylabel="cross-entropy", yscale="log")
    accuracies.set(title="Accuracy", ylabel="digits read rightly, %")
    for axes in (losses, accuracies):
        epoch_axis(axes)
        axes.legend()


def _draw_confusions(axes: Axes, shown: Demonstration) -> None:
    counts = np.zeros((10, 10), np.int64)
    np.add.at(counts, (shown.digits.held_y, shown.read), 1)
    fractions = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    axes.imshow(fractions, cmap="Blues", vmin=0, vmax=1.15)
    for (row, column), count in np.ndenumerate(counts):
        if count:
            color = WRONG if row != column else "white" if fractions[row, column] > 0.5 else INK
            axes.text(column, row, str(count), ha="center", va="center", fontsize=11, color=color)
    axes.set(title="Confusions", xlabel="read as", ylabel="written", xticks=range(10), yticks=range(10))
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.set_anchor("N")


def _draw_weights(figure: SubFigure, shown: Demonstration) -> None:
    _head(figure, "First layer's weights: an image for each hidden unit, by the digit it speaks for most")
    axes = figure.add_subplot()
    first, last = shown.network.layers[1], shown.network.layers[2]
    speaks_for = last.W.argmax(axis=0)
    order = np.lexsort((-last.W.max(axis=0), speaks_for))
    images = mosaic(first.W[order].reshape(-1, SIDE, SIDE), ACROSS, GAP)
    limit = float(np.nanpercentile(np.abs(images), 99.8))
    drawn = axes.imshow(images, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
    for k, digit in enumerate(speaks_for[order]):
        row, column = divmod(k, ACROSS)
        x, y = column * (GAP + SIDE) + GAP, row * (GAP + SIDE) + GAP
        axes.text(x - 0.4, y - 0.8, str(digit), fontsize=9, color=INK)
    axes.set_xlim(left=GAP - 0.5)
    axes.set_axis_off()
    axes.set_anchor("W")
    figure.colorbar(drawn, ax=axes, shrink=0.6, pad=0.01, extend="both", label="weight of the pixel")


def _draw_digits(figure: SubFigure, shown: Demonstration) -> None:
    rows, columns = SHOWN
    wrong = np.flatnonzero(shown.read != shown.digits.held_y)
    right = np.flatnonzero(shown.read == shown.digits.held_y)
    doubtful = right[np.argsort(shown.probabilities[right].max(axis=1))]
    samples = np.concatenate([wrong, doubtful])[: rows * columns]
    _head(figure, "Held-out digits: those read wrongly, then those the network was least sure of")
    for k, sample in enumerate(samples, start=1):
        axes = figure.add_subplot(rows, columns, k)
        axes.imshow(shown.digits.held_x[sample].reshape(SIDE, SIDE), cmap="gray_r", vmin=0, vmax=1)
        read, truth = shown.read[sample], shown.digits.held_y[sample]
        sure = 100 * shown.probabilities[sample, read]
        text = f"{read} ({sure:.0f} %)" if read == truth else f"read {read}, is {truth}"
        axes.set_xlabel(text, labelpad=6, color=INK if read == truth else WRONG)
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set(visible=True, color=FAINT if read == truth else WRONG)

"""Draws the pictures of the pages: `make docs` runs it, and writes them to `docs/figures/`."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray
from typednn_kernels.activations import ACTIVATIONS, BUILT_IN
from typednn_kernels.losses import BUILT_IN as BUILT_IN_LOSSES
from typednn_kernels.losses import LOSSES

from typednn import (
    SGD,
    Adam,
    Callback,
    HiddenLayer,
    InputLayer,
    Network,
    Optimizer,
    OutputLayer,
    RMSprop,
    Run,
)
from typednn.plotting.style import FAINT, INK, new_figure, write_figure

FOLDER = Path(__file__).parent / "figures"
START = (-8.0, 1.5)
Curve: TypeAlias = NDArray[np.floating]


def descent(optimizer: Optimizer) -> NDArray[np.float64]:
    """Returns the weights (w1, w2) of 60 steps down the valley of the page on optimisers."""
    network = Network([InputLayer(2), OutputLayer(1, "none", "MSE")], seed=0)
    network.layers[1].W = np.array([START])
    x, t = np.array([[1.0, 0], [-1, 0], [0, 5], [0, -5]]), np.zeros((4, 1))
    path: list[NDArray[np.float64]] = []

    class Trace(Callback):
        def on_epoch(self, run: Run) -> None:
            path.append(network.layers[1].W.ravel().copy())

    network.fit(x, t, epochs=60, batch_size=4, optimizer=optimizer, callbacks=[Trace()])
    return np.array([START, *path])


def draw_valley(axes: Axes, title: str, path: NDArray[np.float64]) -> None:
    """Draws level lines of the loss, and a path down to the bottom."""
    w1, w2 = np.meshgrid(np.linspace(-9, 3, 200), np.linspace(-2.2, 2.2, 200))
    levels = np.geomspace(0.3, 120, 12)
    axes.contour(w1, w2, (w1**2 + 25 * w2**2) / 2, levels=levels, colors="#d5dbe1", linewidths=0.8)
    axes.plot(path[:, 0], path[:, 1], color="#2a6db0", linewidth=1.2, marker="o", markersize=2.6)
    axes.plot(0, 0, marker="+", markersize=12, color=INK)
    axes.set_title(title, fontsize=11)
    axes.set_xlabel("$w_1$")
    axes.set_ylabel("$w_2$")
    axes.tick_params(colors=FAINT)


def valley() -> None:
    """Four optimisers down one valley."""
    optimizers = {
        "SGD(0.03)": SGD(0.03),
        "SGD(0.03, momentum=0.8)": SGD(0.03, momentum=0.8),
        "RMSprop(0.3)": RMSprop(0.3),
        "Adam(0.3)": Adam(0.3),
    }
    with new_figure(9, 6) as figure:
        for k, (title, optimizer) in enumerate(optimizers.items(), start=1):
            draw_valley(figure.add_subplot(2, 2, k), title, descent(optimizer))
        write_figure(figure, FOLDER / "valley.svg")


def draw_formula(axes: Axes, x: Curve, value: Curve, derivative: Curve) -> None:
    """Draws a value in blue, its derivative in orange, and the axes."""
    axes.axhline(0, color="#e3e8ec", linewidth=0.8)
    axes.axvline(0, color="#e3e8ec", linewidth=0.8)
    axes.plot(x, derivative, color="#e39b3b", linewidth=1.4)
    axes.plot(x, value, color="#2a6db0", linewidth=1.8)
    axes.tick_params(colors=FAINT, labelsize=8)


def activations() -> None:
    """Value and derivative of every activation of single units."""
    rows = [row for row in ACTIVATIONS[:BUILT_IN] if row.value is not None and row.derivative is not None]
    a = np.linspace(-4, 4, 401)
    with new_figure(10, 9.5) as figure:
        for k, row in enumerate(rows, start=1):
            axes = figure.add_subplot(5, 4, k)
            assert row.value is not None
            assert row.derivative is not None
            y = row.value(a)
            draw_formula(axes, a, y, np.broadcast_to(row.derivative(a, y), a.shape))
            axes.set_ylim(-1.6, 2.2)
            axes.set_xticks([-4, 0, 4])
            axes.set_yticks([-1, 0, 1, 2])
            axes.set_title(row.name, fontsize=10)
        write_figure(figure, FOLDER / "activations.svg")


def losses() -> None:
    """Value and derivative of every loss of one output, for a target of 1."""
    with new_figure(10, 6.6) as figure:
        for k, row in enumerate(LOSSES[:BUILT_IN_LOSSES], start=1):
            axes = figure.add_subplot(3, 4, k)
            among_probabilities = row.targets in {"probabilities", "classes"}
            y = np.linspace(0.02, 0.98, 201) if among_probabilities else np.linspace(-2, 4, 301)
            if row.name == "poisson":
                y = np.linspace(0.05, 4, 301)
            if row.name == "nll":  # its outputs are logarithms of probabilities
                y = np.linspace(-4, 0, 301)
            t = np.ones_like(y)
            draw_formula(axes, y, row.value(y, t), row.derivative(y, t))
            axes.axvline(1, color="#9aa5af", linewidth=0.8, linestyle=":")
            axes.set_ylim(-4, 4)
            axes.set_title(row.name, fontsize=10)
        write_figure(figure, FOLDER / "losses.svg")


def flow() -> None:
    """The backward pass of the page on how the gradient flows."""
    layers = [InputLayer(2), HiddenLayer(3, "tanh"), HiddenLayer(2, "tanh"), OutputLayer(1, "sigmoid", "MSE")]
    network = Network(layers, seed=1)
    network.forward(np.array([[1.0, 0.5]])).backward(np.array([[1.0]])).plot(FOLDER / "flow.svg")


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    activations()
    flow()
    losses()
    valley()

"""The picture of a backward pass: what is written and coloured, against the layers' own numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from typednn import HiddenLayer, InputLayer, Network, NormalizationLayer, OutputLayer, SettingError
from typednn.plotting.gradient_flow import MAX_UNITS, NEGATIVE, POSITIVE, LayerPicture, draw_gradient_flow


def picture(length: int, previous: int | None, random: np.random.Generator) -> LayerPicture:
    if previous is None:
        return LayerPicture("input", random.normal(size=length), None, None)
    return LayerPicture(
        "layer",
        random.normal(size=length),
        random.normal(size=length),
        random.normal(size=(length, previous)),
    )


def circles_of(axes: Axes) -> list[Circle]:
    return [each for each in axes.patches if isinstance(each, Circle) and not each.get_fill()]


def test_small_networks_show_every_number() -> None:
    random = np.random.default_rng(0)
    layers = [picture(2, None, random), picture(3, 2, random), picture(1, 3, random)]
    axes = Figure().add_subplot()

    draw_gradient_flow(axes, layers)

    written = [text.get_text() for text in axes.texts]
    for layer in layers:
        for number in layer.activations:
            assert f"{number:.2f}" in written
        if layer.delta is not None and layer.weight_gradient is not None:
            assert {f"dLda {number:.3g}" for number in layer.delta} <= set(written)
            assert {f"{number:.3g}" for number in layer.weight_gradient.ravel()} <= set(written)


def test_colours_are_those_of_the_signs() -> None:
    random = np.random.default_rng(1)
    layers = [picture(5, None, random), picture(7, 5, random)]
    axes = Figure().add_subplot()

    draw_gradient_flow(axes, layers)

    from matplotlib.colors import to_hex

    [lines] = [each for each in axes.collections if isinstance(each, LineCollection)]
    assert layers[1].weight_gradient is not None
    expected = [POSITIVE if each > 0 else NEGATIVE for each in layers[1].weight_gradient.ravel()]
    assert [to_hex(each) for each in np.asarray(lines.get_colors())] == expected


def test_large_layers_are_shortened() -> None:
    random = np.random.default_rng(2)
    layers = [picture(784, None, random), picture(30, 784, random), picture(10, 30, random)]
    axes = Figure().add_subplot()

    draw_gradient_flow(axes, layers)

    assert len(circles_of(axes)) == MAX_UNITS + MAX_UNITS + 10
    assert {"and 772 more", "and 18 more"} <= {text.get_text() for text in axes.texts}


def test_gradients_are_drawn_to_a_file(tmp_path: Path) -> None:
    network = Network([InputLayer(2), HiddenLayer(3, "tanh"), OutputLayer(1, "sigmoid")], seed=0)
    gradients = network.forward(np.ones((4, 2))).backward(np.zeros((4, 1)))

    gradients.plot(tmp_path / "flow.svg")

    assert (tmp_path / "flow.svg").read_bytes().startswith(b"<?xml")
    with pytest.raises(SettingError, match=r"must be \.png, \.svg or \.pdf"):
        gradients.plot(tmp_path / "flow.txt")

    axes = Figure().add_subplot()
    assert gradients.plot(ax=axes) is axes
    assert len(circles_of(axes)) == len(circles_of(gradients.plot())) == 2 + 3 + 1


def test_units_without_weights_are_connected_to_those_beside_them() -> None:
    network = Network([InputLayer(3), NormalizationLayer(3), OutputLayer(2)], seed=0)
    axes = network.forward(np.eye(3)).backward(np.zeros((3, 2))).plot()

    beside, weighted = (each for each in axes.collections if isinstance(each, LineCollection))
    assert len(weighted.get_segments()) == 6
    for line in beside.get_segments():
        assert line[0][1] == line[1][1]

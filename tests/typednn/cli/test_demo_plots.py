"""The picture of the demonstration."""

from __future__ import annotations

import io
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from typednn import MissingExtraError, use_backend
from typednn.cli.demo import Demonstration, demonstrate, scanned_digits
from typednn.cli.demo_plots import demonstration_figure, demonstration_png, mosaic

if TYPE_CHECKING:
    from matplotlib.figure import Figure

pytest.importorskip("sklearn", reason="scikit-learn is not installed")
pytest.importorskip("matplotlib", reason="matplotlib is not installed")


@pytest.fixture(scope="module")
def shown() -> Demonstration:
    digits = scanned_digits()
    few = replace(digits, x=digits.x[:1000], y=digits.y[:1000], scans=1000)
    with use_backend("numpy"):
        return demonstrate(few, epochs=8)


def test_images_side_by_side() -> None:
    images = np.arange(1.0, 13.0, dtype=np.float32).reshape(3, 2, 2)
    nan = np.nan
    expected = [
        [nan, nan, nan, nan, nan, nan],
        [nan, 1.0, 2.0, nan, 5.0, 6.0],
        [nan, 3.0, 4.0, nan, 7.0, 8.0],
        [nan, nan, nan, nan, nan, nan],
        [nan, 9.0, 10.0, nan, nan, nan],
        [nan, 11.0, 12.0, nan, nan, nan],
    ]

    np.testing.assert_array_equal(mosaic(images, across=2, gap=1), expected)


@pytest.fixture(scope="module")
def figure(shown: Demonstration) -> Figure:
    return demonstration_figure(shown)


def test_it_is_a_png_of_a_good_size(shown: Demonstration) -> None:
    from matplotlib.image import imread

    png = demonstration_png(shown)

    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    height, width, _ = imread(io.BytesIO(png)).shape
    assert 1000 < width < 2500
    assert 1000 < height < 2500
    assert len(png) < 1_000_000


def test_what_it_shows(shown: Demonstration, figure: Figure) -> None:
    axes = {each.get_title(loc="left"): each for each in figure.axes if each.get_title(loc="left")}
    assert set(axes) == {"Loss", "Accuracy", "Confusions"}
    loss, accuracy = axes["Loss"], axes["Accuracy"]
    for each in axes.values():
        assert each.get_xlabel()
        assert each.get_ylabel()
    for line, curve in zip(loss.lines, (shown.curves.loss, shown.curves.held_loss), strict=True):
        np.testing.assert_array_equal(line.get_xydata(), np.c_[range(1, 9), curve])
    for line, curve in zip(accuracy.lines, (shown.curves.accuracy, shown.curves.held_accuracy), strict=True):
        np.testing.assert_allclose(np.array(line.get_ydata(), float), 100 * np.array(curve))
    counts = {tuple(map(int, text.get_position())): int(text.get_text()) for text in axes["Confusions"].texts}
    for (read, written), count in counts.items():
        assert count == ((shown.read == read) & (shown.digits.held_y == written)).sum()
    assert sum(counts.values()) == len(shown.read)


def test_weights_have_symmetric_colours(shown: Demonstration, figure: Figure) -> None:
    image = next(image for axes in figure.axes for image in axes.images if image.get_cmap().name == "RdBu_r")
    low, high = image.get_clim()
    assert low == -high < 0
    pixels = np.asarray(image.get_array())
    np.testing.assert_array_equal(
        np.sort(pixels[np.isfinite(pixels)]), np.sort(shown.network.layers[1].W, axis=None)
    )


def test_wrongly_read_digits_are_shown(shown: Demonstration, figure: Figure) -> None:
    captions = [axes.get_xlabel() for axes in figure.axes]
    wrong = np.flatnonzero(shown.read != shown.digits.held_y)
    assert 0 < len(wrong) < 24
    for sample in wrong:
        assert f"read {shown.read[sample]}, is {shown.digits.held_y[sample]}" in captions
    assert sum(caption.endswith("%)") for caption in captions) == 24 - len(wrong)


def test_one_epoch_is_enough_for_a_picture(shown: Demonstration) -> None:
    with use_backend("numpy"):
        assert demonstration_png(demonstrate(shown.digits, epochs=1)).startswith(b"\x89PNG")


def test_matplotlib_is_an_extra(shown: Demonstration, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"needs matplotlib: pip install 'typednn\[plots\]'"):
        demonstration_png(shown)

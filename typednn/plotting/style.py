"""The style of plots, and how figures become files."""

# matplotlib does not annotate its keyword arguments:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from typednn.errors import MissingExtraError, SettingError
from typednn.formats.atomic import PathLike, write_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.typing import RcKeyType

INK, FAINT, LINE = "#22303c", "#7b8894", "#e3e8ec"
TRAINING, HELD = "#e39b3b", "#2a6db0"

STYLE: dict[RcKeyType, object] = {
    "font.size": 12,
    "axes.titlesize": 14,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": LINE,
    "legend.frameon": False,
}


@contextmanager
def new_figure(width: float, height: float, pad: float = 0.1) -> Generator[Figure]:
    """Makes a figure in the library's style, `width` by `height` inches, which applies in this block.

    In Jupyter pyplot makes it, so that it is shown below its cell.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine
    except ImportError:
        raise MissingExtraError("matplotlib", "drawing a picture", "plots") from None
    layout = ConstrainedLayoutEngine(h_pad=pad, w_pad=pad, hspace=0.03, wspace=0.03)
    make: Callable[..., Figure] = Figure
    if "ipykernel" in sys.modules:
        from matplotlib import pyplot as plt

        make = plt.figure
    # The first figure makes pyplot interactive, which the end of the context would undo.
    figure = make(figsize=(width, height), dpi=110, layout=layout, facecolor="white")
    with rc_context(STYLE):
        yield figure


def image_file(figure: Figure, kind: str) -> bytes:
    """Returns the content of an image file: `png`, `svg` or `pdf`.

    Raises:
        SettingError: matplotlib has no such format.
    """
    if kind not in figure.canvas.get_supported_filetypes():
        raise SettingError(f"a picture must be .png, .svg or .pdf, not .{kind}")
    file = io.BytesIO()
    figure.savefig(file, format=kind)
    return file.getvalue()


def write_figure(figure: Figure, path: PathLike) -> None:
    """Writes a figure to a file, in the format of its suffix, by default PNG.

    Raises:
        SettingError: there is no such format.
        OSError: the file cannot be written.
    """
    write_file(path, image_file(figure, Path(path).suffix.removeprefix(".").lower() or "png"))


def written(axes: Axes, path: PathLike | None) -> Axes:
    """Writes the figure of some axes, if there is a path, and returns the axes."""
    figure = axes.get_figure(root=True)
    if path is not None and figure is not None:
        write_figure(figure, path)
    return axes


def epoch_axis(axes: Axes) -> None:
    """Labels the x axis with whole epochs and adds a grid."""
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel("epoch")
    axes.set_xlim(left=1 - 0.03 * axes.get_xlim()[1])
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10], integer=True))
    axes.grid(visible=True)
    axes.set_axisbelow(True)


def log_axis(axes: Axes) -> None:
    """Makes the y axis logarithmic, with labels in plain decimal notation; called after drawing."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    axes.set_yscale("log")
    lowest, highest = axes.get_ylim()
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if highest < 300 * lowest else (1,)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())

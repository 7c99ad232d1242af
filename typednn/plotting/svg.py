"""Charts as SVG text, without matplotlib: for notebooks, and for reports that open offline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from math import floor, isfinite, log10

from typednn.plotting.style import FAINT, HELD, INK, LINE, TRAINING

WIDTH, HEIGHT = 360, 240
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 30, 38
COLORS = (TRAINING, HELD)
FEW_POINTS = 50
"""The number of points that are drawn larger."""

Point = tuple[float, float]


def line_chart(title: str, curves: Mapping[str, Sequence[float]], *, across: str = "epoch") -> str:
    """Draws curves over 1, 2, 3, …; values that are not finite are gaps."""
    points = {name: list(enumerate(curve, start=1)) for name, curve in curves.items()}
    frame = _Frame(title, across, "", [point for curve in points.values() for point in curve])
    for k, (name, curve) in enumerate(points.items()):
        color = COLORS[k % len(COLORS)]
        path, down = list[str](), False
        for x, y in curve:
            if isfinite(y):
                path.append(f"{'L' if down else 'M'}{frame.place(x, y)}")
            down = isfinite(y)
        frame.add(f'<path d="{"".join(path)}" fill="none" stroke="{color}" stroke-width="2"/>')
        if len(curves) > 1:
            at = WIDTH - RIGHT - 92 * (len(curves) - k), TOP - 18
            frame.add(f'<rect x="{at[0]}" y="{at[1]}" width="12" height="3" fill="{color}"/>')
            frame.text(name, at[0] + 18, at[1] + 5, size=11)
    return frame.svg()


def scatter_chart(
    title: str,
    across: str,
    up: str,
    points: Sequence[Point],
    *,
    level: float | None = None,
    diagonal: bool = False,
) -> str:
    """Draws points, and perhaps a horizontal line, or that of equal coordinates."""
    frame = _Frame(title, across, up, [*points, *([] if level is None else [(points[0][0], level)])])
    if level is not None:
        left, right = frame.place(frame.low[0], level), frame.place(frame.high[0], level)
        frame.add(f'<path d="M{left}L{right}" stroke="{FAINT}"/>')
    start, end = max(frame.low), min(frame.high)
    if diagonal and start < end:
        frame.add(f'<path d="M{frame.place(start, start)}L{frame.place(end, end)}" stroke="{FAINT}"/>')
    style = 'r="2.2" fill-opacity="0.5"' if len(points) > FEW_POINTS else 'r="4"'
    for x, y in points:
        at = frame.place(x, y).split(",")
        frame.add(f'<circle cx="{at[0]}" cy="{at[1]}" {style} fill="{HELD}"/>')
    return frame.svg()


def bar_chart(title: str, bars: Mapping[str, float], *, unit: str = "") -> str:
    """Draws one horizontal bar for each name; negative values have no length."""
    row, label = 20, 150
    height = TOP + row * len(bars) + 12
    most = max([value for value in bars.values() if isfinite(value)] or [0.0]) or 1.0
    parts = [_title(title)]
    for k, (name, value) in enumerate(bars.items()):
        y = TOP + row * k
        length = max(0.0, value) / most * (WIDTH - label - 70)
        shown = name if len(name) <= 24 else f"{name[:23]}…"
        parts += [
            _text(shown, label - 6, y + 13, size=11, anchor="end"),
            f'<rect x="{label}" y="{y + 3}" width="{max(0.5, length):.1f}" height="13" fill="{HELD}"/>',
            _text(f"{value:.3g}{unit}", label + length + 5, y + 13, size=11),
        ]
    return _svg(WIDTH, height, parts, title)


def matrix_chart(title: str, names: Sequence[str], counts: Sequence[Sequence[int]]) -> str:
    """Draws a confusion matrix: rows are the truth, columns predictions; colours are fractions of a row."""
    cell = max(18, min(44, 320 // max(1, len(names))))
    left = 100
    fits = 7 * max(map(len, names)) <= cell
    width, height = left + cell * len(names) + 12, TOP + 18 + cell * len(names) + (18 if fits else 40)
    parts = [
        _title(title),
        _text("true", left - 6, TOP + 8, size=11, anchor="end", color=FAINT),
        _text("predicted", left, TOP + 8, size=11, color=FAINT),
    ]
    for i, row in enumerate(counts):
        total = sum(row) or 1
        y: float = TOP + 14 + cell * i
        parts.append(_text(_short(names[i], 14), left - 6, y + cell / 2 + 4, size=11, anchor="end"))
        for k, count in enumerate(row):
            fraction = count / total
            x: float = left + cell * k
            color = HELD if i == k else TRAINING
            parts.append(
                f'<rect x="{x}" y="{y}" width="{cell}" height="{cell}" fill="{color}" '
                f'fill-opacity="{fraction:.3f}" stroke="{LINE}"/>'
            )
            if cell >= 26:
                ink = "white" if fraction > 0.6 else INK
                parts.append(
                    _text(str(count), x + cell / 2, y + cell / 2 + 4, size=11, anchor="middle", color=ink)
                )
    for k, name in enumerate(names):
        x, y = left + cell * (k + 0.5), TOP + 14 + cell * len(names) + 12
        parts.append(
            _text(name, x, y + 2, size=11, anchor="middle")
            if fits
            else f'<text x="{x:.1f}" y="{y}" font-size="11" fill="{INK}" text-anchor="end" '
            f'transform="rotate(-35 {x:.1f} {y})">{escape(_short(name, 8))}</text>'
        )
    return _svg(max(width, WIDTH // 2), height, parts, title)


class _Frame:
    """Axes with a grid, into which a chart is drawn."""

    def __init__(self, title: str, across: str, up: str, points: Sequence[Point]) -> None:
        finite = [(x, y) for x, y in points if isfinite(x) and isfinite(y)] or [(0.0, 0.0)]
        xs, ys = zip(*finite, strict=True)
        self.title = title
        self.low, self.high = (min(xs), min(ys)), (max(xs), max(ys))
        self.parts = [
            _title(title),
            _text(across, WIDTH - RIGHT, HEIGHT - 6, size=11, anchor="end", color=FAINT),
        ]
        if up:
            self.parts.append(_text(up, LEFT - 46, TOP + 2, size=11, color=FAINT))
        for tick in _ticks(self.low[1], self.high[1]):
            y = self.place(self.low[0], tick).split(",")[1]
            self.add(f'<path d="M{LEFT},{y}H{WIDTH - RIGHT}" stroke="{LINE}"/>')
            self.text(f"{tick:,g}", LEFT - 6, float(y) + 4, size=11, anchor="end")
        for tick in _ticks(self.low[0], self.high[0]):
            x = float(self.place(tick, self.low[1]).split(",")[0])
            self.text(f"{tick:,g}", x, HEIGHT - BOTTOM + 16, size=11, anchor="middle")

    def place(self, x: float, y: float) -> str:
        """Returns the place of a point in the picture."""
        across = (x - self.low[0]) / ((self.high[0] - self.low[0]) or 1.0)
        up = (y - self.low[1]) / ((self.high[1] - self.low[1]) or 1.0)
        right, above = across * (WIDTH - LEFT - RIGHT), up * (HEIGHT - TOP - BOTTOM - 8)
        return f"{LEFT + right:.1f},{HEIGHT - BOTTOM - above:.1f}"

    def add(self, part: str) -> None:
        """Adds an element."""
        self.parts.append(part)

    def text(self, text: str, x: float, y: float, *, size: int, anchor: str = "start") -> None:
        """Adds a text."""
        self.parts.append(_text(text, x, y, size=size, anchor=anchor))

    def svg(self) -> str:
        """Returns the picture."""
        return _svg(WIDTH, HEIGHT, self.parts, self.title)


def _ticks(low: float, high: float) -> list[float]:
    """Returns at most six round numbers between two."""
    if low == high:
        return [low]
    raw = (high - low) / 4
    power = 10 ** floor(log10(raw))
    step = power * next(each for each in (1, 2, 5, 10) if each * power >= raw)
    first = floor(low / step)
    ticks = [round((first + k) * step, 12) for k in range(8)]
    return [tick for tick in ticks if low <= tick <= high]


def _title(title: str) -> str:
    return _text(title, 6, 16, size=13, weight="bold")


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _text(
    text: str,
    x: float,
    y: float,
    *,
    size: int,
    anchor: str = "start",
    color: str = INK,
    weight: str = "normal",
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{color}" text-anchor="{anchor}" '
        f'font-weight="{weight}">{escape(text)}</text>'
    )


def _svg(width: float, height: float, parts: Sequence[str], title: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{escape(title, quote=True)}" '
        f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'style="background:white;font-family:sans-serif">{"".join(parts)}</svg>'
    )

"""The HTML report of a training or an evaluation: one file without links, which opens offline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import cast

import numpy as np
from numpy.typing import NDArray
from typednn_kernels.arrays import Matrix

from typednn.cli.measures import ClassMeasures, Measures, measure
from typednn.cli.output import figures, headline, shown
from typednn.cli.train import Training
from typednn.data.columns import numbers_in
from typednn.data.model import Model
from typednn.data.reading import Data
from typednn.data.table import Table
from typednn.plotting.display import PictureBlock, TableBlock, html_of
from typednn.plotting.svg import bar_chart, matrix_chart, scatter_chart
from typednn.training.history import History

MAX_POINTS = 1_000
"""The number of residuals that are drawn."""

MAX_ROWS = 5_000
"""The number of rows by which the importance of columns is measured."""

MAX_BARS = 20
MAX_MATRIX = 40
"""The number of classes whose confusion matrix is drawn."""

STYLE = """body{font-family:sans-serif;color:#22303c;max-width:1100px;margin:24px auto;padding:0 16px}
h1{font-size:22px}h2{font-size:16px;margin:24px 0 6px}th,td{font-size:13px}"""

Block = TableBlock | PictureBlock


def training_report(training: Training, source: str) -> str:
    """Returns the report of a training: columns, curves, and measures of the held-out samples."""
    model, rows = training.model, training.held_out
    data = training.prepared.data
    held = Data(data.table.rows(rows), data.targets, data.labels)
    baseline = headline(training.baseline)
    heads = ("measure", "network", "without features")
    values = [
        (name, shown(name, value), shown(name, baseline[name]))
        for name, value in headline(training.measures).items()
    ]
    blocks: list[tuple[str, list[Block]]] = [
        (f"{len(rows):,} held-out samples", [TableBlock("", heads, values)]),
        *_measured(model, held, training.measures),
    ]
    if training.notes:
        blocks.append(("Decided by rule", [TableBlock("", ("",), [(note,) for note in training.notes])]))
    return _page(model, source, blocks)


def evaluation_report(model: Model, data: Data, measures: Measures, source: str) -> str:
    """Returns the report of an evaluation."""
    values = [(name, shown(name, value)) for name, value in headline(measures).items()]
    blocks = [(f"{measures.samples:,} samples", [TableBlock("", ("measure", "network"), values)])]
    return _page(model, source, [*blocks, *_measured(model, data, measures)])


def importance(model: Model, data: Data, seed: int = 0) -> dict[str, float]:
    """Computes the permutation importance of each column: how much accuracy or R² falls when it is shuffled.

    Breiman 2001, "Random forests", section 10; of at most `MAX_ROWS` rows.
    """
    random = np.random.default_rng(seed)
    rows = np.sort(random.permutation(len(data.table))[:MAX_ROWS])
    table = data.table.rows(rows)
    usual = _score(model, table, data.targets)
    fallen: dict[str, float] = {}
    for transform, place in zip(model.preprocessing.features, model.preprocessing.places(table), strict=True):
        shuffled = table.columns[place][random.permutation(len(table))]
        columns = (*table.columns[:place], shuffled, *table.columns[place + 1 :])
        other = Table(table.names, columns, table.source, table.named)
        fallen[transform.name] = usual - _score(model, other, data.targets)
    return dict(sorted(fallen.items(), key=lambda each: -each[1]))


def _score(model: Model, table: Table, targets: Sequence[str]) -> float:
    return next(iter(headline(measure(model, [table], targets)).values()))


def _measured(model: Model, data: Data, measures: Measures) -> Iterator[tuple[str, list[Block]]]:
    """Yields the sections about the measures of a model."""
    if isinstance(measures, ClassMeasures):
        pictures: list[Block] = []
        if len(measures.names) <= MAX_MATRIX:
            pictures.append(
                PictureBlock(matrix_chart("Confusion matrix", measures.names, measures.confusion.tolist()))
            )
        points = [(p, f) for p, f, _ in measures.calibration]
        pictures.append(
            PictureBlock(scatter_chart("Calibration", "probability", "fraction right", points, diagonal=True))
        )
        yield "Classes", pictures
        rows: list[tuple[str, ...]] = [
            (name, f"{p:.3f}", f"{r:.3f}", f"{f:.3f}", f"{int(counts.sum()):,}")
            for name, p, r, f, counts in zip(
                measures.names,
                measures.precision,
                measures.recall,
                measures.f1,
                measures.confusion,
                strict=True,
            )
        ]
        yield "By class", [TableBlock("", ("class", "precision", "recall", "F1", "samples"), rows)]
    else:
        yield "Residuals", list(_residuals(model, data))
        rows = [
            (name, figures(measures.r2[k]), figures(measures.mae[k]), figures(measures.rmse[k]))
            for k, name in enumerate(measures.names)
        ]
        yield "By target", [TableBlock("", ("target", "R²", "MAE", "RMSE"), rows)]
    if not data.table.pixels:
        bars = dict(list(importance(model, data).items())[:MAX_BARS])
        what = "accuracy" if isinstance(measures, ClassMeasures) else "R²"
        yield (
            f"How much {what} falls when a column is shuffled",
            [PictureBlock(bar_chart("Importance", bars))],
        )


def _residuals(model: Model, data: Data) -> Iterator[Block]:
    table = data.table.rows(slice(0, None, max(1, -(-len(data.table) // MAX_POINTS))))
    predicted: Matrix[np.float64] = model.predict(table)
    for k, name in enumerate(data.targets):
        truth: NDArray[np.float64] = numbers_in(table[name], name, table.place)
        points = list(zip(predicted[:, k].tolist(), (predicted[:, k] - truth).tolist(), strict=True))
        yield PictureBlock(scatter_chart(name, "predicted", "predicted - true", points, level=0.0))


def _page(model: Model, source: str, sections: Sequence[tuple[str, Sequence[Block]]]) -> str:
    curves = model.training.get("history")
    history = (
        History.of(cast("dict[str, list[float]]", curves)) if isinstance(curves, dict) else model.history
    )
    every = [
        *sections,
        ("Training", list(history._blocks()) if history.loss else []),
        ("Network", list(model._blocks())[:3]),
    ]
    body = "".join(
        f"<h2>{escape(title)}</h2>{''.join(map(html_of, blocks))}" for title, blocks in every if blocks
    )
    title = f"typednn: {', '.join(model.preprocessing.target_names) or 'y'} of {source}"
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{STYLE}</style></head><body><h1>{escape(title)}</h1>{body}</body></html>\n"
    )

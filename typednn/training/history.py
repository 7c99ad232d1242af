"""The history of a training: its losses and metrics, epoch by epoch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from typednn.attributes import KnownAttributes
from typednn.errors import DataError, UnknownNameError
from typednn.formats.atomic import PathLike
from typednn.plotting.display import Display, PictureBlock, TableBlock
from typednn.tables import aligned
from typednn.training.metrics import METRICS, CurveName

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_ROWS = 12
"""The number of epochs that are printed, the first and the last among them."""

VALIDATION = "validation_"
"""The prefix of the names of validation curves."""


@dataclass(slots=True)
class History(KnownAttributes, Display):
    """The losses and metrics of a training, by epoch.

    Attributes:
        loss: the mean loss of the training samples, each measured before the step that uses it, with sample
            weights and smoothed labels.
        validation_loss: the mean loss of the held-out samples after each epoch; empty without them.
        metrics: the metrics of the training samples after each epoch, by name; a function has its own.
        validation_metrics: the metrics of the held-out samples after each epoch, by name.
    """

    loss: list[float] = field(default_factory=list[float])
    validation_loss: list[float] = field(default_factory=list[float])
    metrics: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    validation_metrics: dict[str, list[float]] = field(default_factory=dict[str, list[float]])

    def curves(self) -> dict[str, list[float]]:
        """Returns all curves that have values, by name: `loss`, `validation_loss`, `accuracy` and so on."""
        kinds = (("", self.loss, self.metrics), (VALIDATION, self.validation_loss, self.validation_metrics))
        recorded: dict[str, list[float]] = {}
        for kind, loss, metrics in kinds:
            recorded[f"{kind}loss"] = loss
            recorded |= {f"{kind}{name}": curve for name, curve in metrics.items()}
        return {name: curve for name, curve in recorded.items() if curve}

    def curve(self, name: CurveName) -> list[float]:
        """Returns the curve with a name.

        Raises:
            UnknownNameError: there is no such curve.
        """
        curves = self.curves()
        if name not in curves:
            raise UnknownNameError("curve of this history", name, curves)
        return curves[name]

    def __str__(self) -> str:
        """Returns a table with a row for each epoch, or for some epochs, evenly spaced.

        >>> print(History([0.5, 0.25], [0.75, 0.5]))
               training  validation
        epoch  loss      loss
        1      0.5       0.75
        2      0.25      0.5
        """
        if not self.loss:
            return "no epoch yet"
        epochs = list(_spaced(len(self.loss)))
        columns = [["", "epoch", *(str(epoch + 1) for epoch in epochs)]]
        group = ""
        for name, curve in self.curves().items():
            before, group = group, "validation" if name.startswith(VALIDATION) else "training"
            head = [group if group != before else "", name.removeprefix(VALIDATION)]
            columns.append(head + [f"{curve[epoch]:.4g}" for epoch in epochs])
        rows = aligned(list(zip(*columns, strict=True)), len(columns))
        return "\n".join(rows if self.validation_loss else rows[1:])

    def _blocks(self) -> Iterator[TableBlock | PictureBlock]:
        from typednn.plotting.svg import line_chart

        curves = self.curves()
        for name in dict.fromkeys(each.removeprefix(VALIDATION) for each in curves):
            kinds = (("training", name), ("validation", f"{VALIDATION}{name}"))
            found = {kind: curves[each] for kind, each in kinds if each in curves}
            yield PictureBlock(line_chart(name.replace("_", " "), found))
        rows = [
            (str(epoch + 1), *(f"{curve[epoch]:.4g}" for curve in curves.values()))
            for epoch in (_spaced(len(self.loss)) if self.loss else ())
        ]
        yield TableBlock("", ("epoch", *(each.replace("_", " ") for each in curves)), rows)

    def last(self) -> str:
        """Returns the values of the last epoch in one line."""
        return ", ".join(f"{name.replace('_', ' ')} {curve[-1]:.4g}" for name, curve in self.curves().items())

    def plot(self, path: PathLike | None = None, *, ax: Axes | None = None) -> Axes:
        """Plots loss and metrics over the epochs, for training and validation.

        Args:
            path: the file to write; its suffix is the format: `.png`, `.svg` or `.pdf`.
            ax: the axes into which the loss alone is drawn; by default a new figure has axes for each curve.

        Returns:
            The axes of the loss; its `figure` has the others.

        Raises:
            NotReadyError: there is no epoch yet.
            SettingError: there is no such format.
            MissingExtraError: matplotlib is not installed.
            OSError: the file cannot be written.
        """
        from typednn.plotting.curves import draw_curves

        return draw_curves(self.curves(), path, VALIDATION, ax)

    @classmethod
    def of(cls, curves: Mapping[str, list[float]], functions: Iterable[str] = ()) -> Self:
        """Makes a history of curves; the inverse of `curves`.

        Args:
            curves: the curves, by name.
            functions: the names of metrics besides those of the library.

        Raises:
            DataError: the curves differ in length, or a name is not that of a loss or metric.
        """
        history, known = cls(), {*(row.name for row in METRICS), *functions}
        if len({len(curve) for curve in curves.values()}) > 1:
            raise DataError("expected curves of one length")
        for name, curve in curves.items():
            metrics = history.validation_metrics if name.startswith(VALIDATION) else history.metrics
            short = name.removeprefix(VALIDATION)
            if short == "loss":
                (history.validation_loss if name.startswith(VALIDATION) else history.loss).extend(curve)
                continue
            if short not in known:
                raise DataError(f"expected a curve of a history, found {name!r}")
            metrics[short] = curve
        return history

    def _assign(self, other: History) -> None:
        self.loss, self.validation_loss = other.loss, other.validation_loss
        self.metrics, self.validation_metrics = other.metrics, other.validation_metrics

    def _append(
        self,
        loss: float,
        validation_loss: float | None,
        metrics: dict[str, float],
        validation_metrics: dict[str, float],
    ) -> None:
        self.loss.append(loss)
        if validation_loss is not None:
            self.validation_loss.append(validation_loss)
        for name, value in metrics.items():
            self.metrics.setdefault(name, []).append(value)
        for name, value in validation_metrics.items():
            self.validation_metrics.setdefault(name, []).append(value)

    def _truncate(self, epochs: int) -> None:
        """Keeps the first `epochs` epochs only."""
        for curve in self.curves().values():
            del curve[epochs:]


def _spaced(count: int) -> Iterator[int]:
    """Returns at most `MAX_ROWS` indices below `count`, evenly spaced, with the first and the last."""
    rows = min(count, MAX_ROWS)
    return (round(k * (count - 1) / max(1, rows - 1)) for k in range(rows))

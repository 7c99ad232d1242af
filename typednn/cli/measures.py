"""How well a model does on a table: what `typednn evaluate` prints, computed from predictions and truth."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from typednn_kernels.arrays import Matrix, Vector

from typednn.data.columns import numbers_in
from typednn.data.model import Model
from typednn.data.table import Table
from typednn.data.targets import Classes
from typednn.errors import DataError
from typednn.validation.arrays import Labels

BINS = 10
"""The number of bins of the calibration."""

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True, slots=True)
class ClassMeasures:
    """Measures of predicted classes, as scikit-learn defines them.

    Attributes:
        names: the names of the classes.
        confusion: the number of samples of the class of the row that were taken for the class of the column.
        accuracy: the fraction that is right.
        loss: the mean logarithmic loss.
        precision, recall, f1: by class; 0 where they are not defined.
        calibration: rows of the mean probability of the predicted class, the fraction that is right, and the
            number of samples, by bins of the probability.
        calibration_error: the mean difference of the first two, by samples.
    """

    names: tuple[str, ...]
    confusion: NDArray[np.int64]
    accuracy: float
    loss: float
    precision: Vector[np.float64]
    recall: Vector[np.float64]
    f1: Vector[np.float64]
    calibration: tuple[tuple[float, float, int], ...]
    calibration_error: float

    @property
    def samples(self) -> int:
        """The number of samples."""
        return int(self.confusion.sum())

    def as_json(self) -> dict[str, object]:
        """Returns plain values for JSON."""
        classes = {
            name: {"precision": p, "recall": r, "f1": f, "samples": int(row.sum())}
            for name, p, r, f, row in zip(
                self.names,
                self.precision.tolist(),
                self.recall.tolist(),
                self.f1.tolist(),
                self.confusion,
                strict=True,
            )
        }
        return {
            "samples": self.samples,
            "accuracy": self.accuracy,
            "loss": self.loss,
            "classes": classes,
            "confusion": self.confusion.tolist(),
            "calibration": [
                {"probability": p, "fraction_right": f, "samples": n} for p, f, n in self.calibration
            ],
            "calibration_error": self.calibration_error,
        }


class Outcomes(NamedTuple):
    """What measures of classes need of each sample, `(n_samples,)` each.

    Attributes:
        labels, found: the true and the predicted labels.
        best, of_truth: the probabilities of the predicted and of the true class.
    """

    labels: Labels
    found: Labels
    best: Vector[np.float64]
    of_truth: Vector[np.float64]

    @classmethod
    def of(cls, labels: Labels, probabilities: Matrix[np.float64]) -> Outcomes:
        """Returns the outcomes of predicted probabilities `(n_samples, n_classes)`."""
        of_truth = probabilities[np.arange(len(labels)), labels]
        return cls(labels, probabilities.argmax(axis=1), probabilities.max(axis=1), of_truth)


def measure_classes(
    names: tuple[str, ...], labels: Labels, probabilities: Matrix[np.float64]
) -> ClassMeasures:
    """Measures predicted probabilities `(n_samples, n_classes)`, given labels `(n_samples,)`."""
    return measure_outcomes(names, Outcomes.of(labels, probabilities))


def measure_outcomes(names: tuple[str, ...], outcomes: Outcomes) -> ClassMeasures:
    """Measures predicted classes by the outcomes of all samples."""
    count = len(names)
    labels, found, best, of_truth = outcomes
    confusion = np.bincount(labels * count + found, minlength=count * count).reshape(count, count)
    right = np.diagonal(confusion).astype(np.float64)
    precision = _ratio(right, confusion.sum(axis=0))
    recall = _ratio(right, confusion.sum(axis=1))
    smallest = float(np.finfo(np.float32).tiny)
    rows: list[tuple[float, float, int]] = []
    bins = np.minimum((best * BINS).astype(np.intp), BINS - 1)
    for k in np.unique(bins).tolist():
        inside = bins == k
        rows.append((float(best[inside].mean()), float((found == labels)[inside].mean()), int(inside.sum())))
    return ClassMeasures(
        names,
        confusion.astype(np.int64),
        float((found == labels).mean()),
        float(-np.log(np.maximum(of_truth, smallest)).mean()),
        precision,
        recall,
        _ratio(2 * precision * recall, precision + recall),
        tuple(rows),
        sum(n * abs(p - f) for p, f, n in rows) / len(labels),
    )


@dataclass(frozen=True, slots=True)
class NumberMeasures:
    """Measures of predicted numbers, as scikit-learn defines them, one element for each target.

    Attributes:
        names: the names of the targets.
        r2: the coefficient of determination; of constant targets 1 if all are exact, else 0.
        mae: the mean absolute error, in units of the target.
        rmse: the root of the mean squared error.
        quantiles: the quantiles `QUANTILES` of prediction minus truth, `(n_quantiles, n_targets)`.
        samples: the number of samples.
    """

    names: tuple[str, ...]
    r2: Vector[np.float64]
    mae: Vector[np.float64]
    rmse: Vector[np.float64]
    quantiles: Matrix[np.float64]
    samples: int

    def as_json(self) -> dict[str, object]:
        """Returns plain values for JSON."""
        return {
            "samples": self.samples,
            "r2": float(self.r2.mean()),
            "mae": float(self.mae.mean()),
            "targets": {
                name: {
                    "r2": float(self.r2[k]),
                    "mae": float(self.mae[k]),
                    "rmse": float(self.rmse[k]),
                    "error_quantiles": {
                        f"{q:g}": float(each) for q, each in zip(QUANTILES, self.quantiles[:, k], strict=True)
                    },
                }
                for k, name in enumerate(self.names)
            },
        }


def measure_numbers(
    names: tuple[str, ...], truth: Matrix[np.float64], predicted: Matrix[np.float64]
) -> NumberMeasures:
    """Measures predicted numbers, given the true ones, both `(n_samples, n_targets)`."""
    errors = predicted - truth
    residual = np.square(errors).sum(axis=0)
    total = np.square(truth - truth.mean(axis=0)).sum(axis=0)
    r2: Vector[np.float64] = (residual == 0).astype(np.float64)
    np.divide(total - residual, total, out=r2, where=total > 0)
    return NumberMeasures(
        names,
        r2,
        np.abs(errors).mean(axis=0),
        np.sqrt(residual / len(truth)),
        np.quantile(errors, QUANTILES, axis=0),
        len(truth),
    )


Measures: TypeAlias = ClassMeasures | NumberMeasures


def measure(model: Model, tables: Iterable[Table], targets: Sequence[str]) -> Measures:
    """Measures a model with the samples of some tables, whose target columns have these names.

    Raises:
        DataError, ShapeError: a table does not fit.
    """
    target = model.preprocessing.target
    if isinstance(target, Classes):
        outcomes = [
            Outcomes.of(target.labels(table[targets[0]], targets[0], table.place), model.predict(table))
            for table in tables
        ]
        return measure_outcomes(target.names, Outcomes(*map(np.concatenate, zip(*outcomes, strict=True))))
    pairs = [(_truth(table, targets), model.predict(table)) for table in tables]
    truth, predicted = map(np.concatenate, zip(*pairs, strict=True))
    return measure_numbers(tuple(targets), truth, predicted)


def _truth(table: Table, targets: Sequence[str]) -> Matrix[np.float64]:
    """Returns the targets of a table, `(n_samples, n_targets)`."""
    truth = np.stack([numbers_in(table[name], name, table.place) for name in targets], axis=1)
    if np.isnan(truth).any():
        row = int(np.isnan(truth).any(axis=1).argmax())
        raise DataError(f"{table.place(row)}: the target has no value; evaluate needs one in each row")
    return truth


def _ratio(
    above: NDArray[np.int64 | np.float64], below: NDArray[np.int64 | np.float64]
) -> Vector[np.float64]:
    """Divides; 0 where the divisor is 0."""
    result: Vector[np.float64] = np.zeros(len(above))
    np.divide(above, below, out=result, where=below > 0)
    return result

"""What is measured beside the loss: one row each, by scikit-learn's definitions."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from typednn_kernels.losses import Loss

from typednn import names
from typednn.errors import MissingExtraError, SettingError
from typednn.names import MetricName
from typednn.training.batches import classes_in, sides_in
from typednn.validation.arrays import one_hot

CurveName: TypeAlias = Literal[
    "loss",
    "accuracy",
    "top_3_accuracy",
    "top_5_accuracy",
    "f1",
    "auc",
    "mse",
    "mae",
    "r2",
    "validation_loss",
    "validation_accuracy",
    "validation_top_3_accuracy",
    "validation_top_5_accuracy",
    "validation_f1",
    "validation_auc",
    "validation_mse",
    "validation_mae",
    "validation_r2",
]
"""The curves of a history."""

Outputs: TypeAlias = NDArray[np.floating]
Classes: TypeAlias = NDArray[np.intp]


class Results(NamedTuple):
    """The outputs of a network beside the truth.

    Attributes:
        targets: as they came, `(n_samples, n_outputs)` or labels `(n_samples,)`.
        outputs: `(n_samples, n_outputs)`.
        truth: classes `(n_samples,)`; of several independent outputs 0 or 1 `(n_samples, n_outputs)`.
        read: the same, as the outputs have it: the largest, or those above the loss's boundary.
        exclusive: whether a sample is of one class, of three or more.
    """

    targets: NDArray[np.generic]
    outputs: Outputs
    truth: Classes
    read: Classes
    exclusive: bool

    @property
    def average(self) -> Literal["macro", "binary"]:
        """How scores of classes become one: their mean, unless there are but two classes."""
        return "macro" if self.exclusive or self.truth.ndim == 2 else "binary"

    @property
    def labels(self) -> list[int] | None:
        """All classes, also those that do not occur."""
        return list(range(self.outputs.shape[1])) if self.exclusive else None


class Metric(NamedTuple):
    """A measure of a network's outputs.

    Attributes:
        name: in the tables.
        value: the measure.
        of: what the network must tell: classes, one class of several (exclusive), or any numbers.
        higher: whether more is better.
        description: for people, with scikit-learn's name.
    """

    name: MetricName
    value: Callable[[Results], float]
    of: Literal["classes", "exclusive classes", "numbers"]
    higher: bool
    description: str


def _accuracy(results: Results) -> float:
    from sklearn.metrics import accuracy_score

    return float(accuracy_score(results.truth, results.read))


def _top_accuracy(k: int) -> Callable[[Results], float]:
    def value(results: Results) -> float:
        from sklearn.metrics import top_k_accuracy_score

        return float(top_k_accuracy_score(results.truth, results.outputs, k=k, labels=results.labels))

    return value


def _f1(results: Results) -> float:
    from sklearn.metrics import f1_score

    return float(
        f1_score(
            results.truth, results.read, average=results.average, labels=results.labels, zero_division=0.0
        )
    )


def _auc(results: Results) -> float:
    from sklearn.metrics import roc_auc_score

    scores = results.outputs
    if results.truth.ndim == 1 and not results.exclusive:
        scores = scores[:, -1]
    return float(roc_auc_score(results.truth, scores, multi_class="ovr", labels=results.labels))


def _mse(results: Results) -> float:
    from sklearn.metrics import mean_squared_error

    return float(mean_squared_error(_rows(results), results.outputs))


def _mae(results: Results) -> float:
    from sklearn.metrics import mean_absolute_error

    return float(mean_absolute_error(_rows(results), results.outputs))


def _r2(results: Results) -> float:
    from sklearn.metrics import r2_score

    return float(r2_score(_rows(results), results.outputs))


def _rows(results: Results) -> Outputs:
    """Targets `(n_samples, n_outputs)`, also where they came as labels."""
    if results.targets.ndim == 1:
        return one_hot(results.targets, results.outputs.shape[1], results.outputs.dtype)
    return results.targets.astype(results.outputs.dtype)


METRICS = (
    Metric("accuracy", _accuracy, "classes", True, "accuracy_score: the share of samples read rightly"),
    Metric("top_3_accuracy", _top_accuracy(3), "exclusive classes", True, "top_k_accuracy_score, k = 3"),
    Metric("top_5_accuracy", _top_accuracy(5), "exclusive classes", True, "top_k_accuracy_score, k = 5"),
    Metric("f1", _f1, "classes", True, "f1_score; of several classes or outputs their mean (macro)"),
    Metric("auc", _auc, "classes", True, "roc_auc_score; of several, one against the rest, their mean"),
    Metric("mse", _mse, "numbers", False, "mean_squared_error"),
    Metric("mae", _mae, "numbers", False, "mean_absolute_error"),
    Metric("r2", _r2, "numbers", True, "r2_score, the mean over outputs"),
)
"""The table."""

BY_NAME = {row.name: row for row in METRICS}


def higher_is_better(curve: CurveName) -> bool:
    """Whether a curve should rise."""
    return any(row.higher for row in METRICS if curve in {row.name, f"validation_{row.name}"})


class Measure:
    """Some metrics of one kind of network.

    Raises:
        UnknownNameError: no such metric.
        SettingError: a metric of classes, and the network has none.
        MissingExtraError: scikit-learn is not installed.
    """

    several: bool
    boundary: float
    classes: bool
    exclusive: bool

    def __init__(self, metrics: Iterable[MetricName], activation: str, loss: Loss, outputs: int) -> None:
        unique: dict[MetricName, None] = dict.fromkeys(names.metric(name) for name in metrics)
        self.names: tuple[MetricName, ...] = tuple(unique)
        self.boundary = loss.boundary
        self.several = loss.targets == "classes" or activation == "softmax"
        self.classes = self.several or loss.targets != "numbers"
        self.exclusive = self.several and outputs > 2
        for name in self.names:
            of = BY_NAME[name].of
            if (of == "classes" and not self.classes) or (of == "exclusive classes" and not self.exclusive):
                raise SettingError(
                    f"the metric {name!r} is of {of}, which a network with {outputs} outputs, {activation} "
                    f"and {loss.name} does not tell apart"
                )
        if self.names:
            try:
                import_module("sklearn.metrics")
            except ImportError:
                raise MissingExtraError("scikit-learn", "measuring metrics", "metrics") from None

    def __call__(self, targets: NDArray[np.generic], outputs: Outputs) -> dict[MetricName, float]:
        """The metrics, given targets `(n_samples, n_outputs)` or labels and outputs `(n_samples, n_outputs)`.

        One that is not defined for such targets, AUC of samples that are all of one class, is NaN.
        """
        if not self.names:
            return {}
        read_as = classes_in if self.several or outputs.shape[1] == 1 else sides_in
        truth, read = read_as(targets, self.boundary), read_as(outputs, self.boundary)
        results = Results(targets, outputs, truth, read, self.exclusive)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of scikit-learn, about what is not defined
            return {name: BY_NAME[name].value(results) for name in self.names}

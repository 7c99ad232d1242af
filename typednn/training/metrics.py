"""Metrics: what is measured beside the loss, one table row each, as scikit-learn defines it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import import_module
from inspect import signature
from typing import Any, Literal, NamedTuple, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray
from typednn_kernels.arrays import F, Matrix, Vector
from typednn_kernels.losses import Loss

from typednn import names
from typednn.errors import MissingExtraError, SettingError
from typednn.names import MetricName
from typednn.plotting.display import Display, TableBlock
from typednn.records import Record
from typednn.validation.arrays import above, class_indices, one_hot

CurveName: TypeAlias = Literal[
    "loss",
    MetricName,
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
"""The names of the curves of a history."""


MetricFunction: TypeAlias = (
    Callable[[NDArray[Any], NDArray[Any]], float]
    | Callable[[NDArray[Any], NDArray[Any], NDArray[np.float64] | None], float]
)
"""A metric of your own: a function of the targets that were given, `(n_samples, n_outputs)` or labels
`(n_samples,)`, and of the outputs `(n_samples, n_outputs)`. One with a parameter `sample_weight` gets the
weights `(n_samples,)`, or None without weights."""


class Evaluation(Record, Display):
    """How well a network does on some samples.

    Attributes:
        loss: the mean loss.
        accuracy: the fraction of samples that are classified correctly: by the largest output (crossentropy,
            kl_divergence), or with every output on the correct side of 0.5 (bincrossentropy, focal) or of 0
            (hinge); None for other losses.
        r2: the coefficient of determination, averaged over outputs; None where there is an accuracy. For
            constant targets it is 1 where all outputs are exact, else 0, as in scikit-learn.
        metrics: the metrics that were asked for, by name.

    >>> from typednn import InputLayer, Network, OutputLayer
    >>> network = Network([InputLayer(1), OutputLayer(1)], seed=0)
    >>> network.layers[1].W, network.layers[1].Bias = np.array([[2.0]]), np.array([[0.0]])
    >>> measured = network.evaluate(np.array([[0.0], [1.0]]), np.array([[0.0], [2.0]]))
    >>> measured.loss, measured.r2, measured.accuracy
    (0.0, 1.0, None)
    """

    loss: float
    accuracy: float | None
    r2: float | None
    metrics: Mapping[str, float]

    def __hash__(self) -> int:
        """Returns the hash of the fields but the metrics, for a mapping has none."""
        return hash((self.loss, self.accuracy, self.r2))

    def _blocks(self) -> Iterator[TableBlock]:
        measures = (("loss", self.loss), ("accuracy", self.accuracy), ("R²", self.r2), *self.metrics.items())
        known = [(name, f"{value:.4g}") for name, value in measures if value is not None]
        yield TableBlock("", [name for name, _ in known], [[value for _, value in known]])


def evaluation(
    outputs: Matrix[F],
    t: Matrix[F],
    loss: float,
    row: Loss,
    weights: Vector[F] | None = None,
    metrics: Mapping[str, float] | None = None,
) -> Evaluation:
    """Evaluates outputs, given targets t, both `(n_samples, n_outputs)`, and their mean loss.

    The weights are those of the samples, `(n_samples,)`, or `(0,)` or None without weights.
    """
    w = None if weights is None or not len(weights) else weights.astype(np.float64)
    metrics = {} if metrics is None else metrics
    if row.targets == "classes":
        correct = outputs.argmax(axis=1) == t.argmax(axis=1)
        return Evaluation(loss, weighted_mean(correct, w), None, metrics)
    if row.targets != "numbers":
        correct = (above(outputs, row.boundary) == above(t, row.boundary)).all(axis=1)
        return Evaluation(loss, weighted_mean(correct, w), None, metrics)
    return Evaluation(loss, None, r_squared(outputs, t, w), metrics)


def r_squared(outputs: Matrix[F], t: Matrix[F], w: Vector[np.float64] | None) -> float:
    """Computes R², averaged over outputs, as scikit-learn does; NaN where all weights are 0."""
    if w is not None:
        return _weighted_r2(outputs, t, w)
    predicted, true = _from_first_target(outputs, t)
    residual = ((predicted - true) ** 2).sum(axis=0)
    total = ((true - true.mean(axis=0)) ** 2).sum(axis=0)
    r2: Vector[np.float64] = (residual == 0).astype(np.float64)
    np.divide(total - residual, total, out=r2, where=total > 0)
    return float(r2.mean())


def _from_first_target(outputs: Outputs, t: Outputs) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns outputs and targets in float64, less the first target: constant targets become exactly 0."""
    first: NDArray[np.float64] = t[:1].astype(np.float64)
    return outputs - first, t - first


def weighted_mean(correct: NDArray[np.bool_], w: Vector[np.float64] | None) -> float:
    """Computes the fraction of some samples that is correct; NaN where all weights are 0."""
    if w is None:
        return float(np.count_nonzero(correct)) / len(correct)  # mean() takes longer
    return float(np.average(correct, weights=w) if w.any() else np.nan)


def _weighted_r2(outputs: Matrix[F], t: Matrix[F], w: Vector[np.float64]) -> float:
    """Computes R² as scikit-learn does with weights; NaN where all weights are 0."""
    if not w.any():
        return np.nan
    residual: Vector[np.float64] = w @ (outputs.astype(np.float64) - t) ** 2
    total: Vector[np.float64] = w @ (t - np.average(t.astype(np.float64), axis=0, weights=w)) ** 2
    constant = (t[w > 0] == t[w > 0][0]).all(axis=0)
    r2: Vector[np.float64] = (residual == 0).astype(np.float64)
    np.divide(total - residual, total, out=r2, where=~constant)
    return float(r2.mean())


Outputs: TypeAlias = NDArray[np.floating]
Classes: TypeAlias = NDArray[np.intp]
NO_CLASSES: Classes = np.empty(0, np.intp)


class Results(NamedTuple):
    """The outputs of a network and the targets, in the forms that metrics need.

    Attributes:
        targets: the targets `(n_samples, n_outputs)` or labels `(n_samples,)` that the user gave.
        outputs: the outputs `(n_samples, n_outputs)`.
        true_classes: the classes `(n_samples,)`, or for several independent outputs 0 or 1
            `(n_samples, n_outputs)`; empty where no metric needs them.
        predicted_classes: the classes that the outputs predict, in the same shape.
        exclusive: whether each sample belongs to one of three classes or more.
        weights: the weights of the samples `(n_samples,)`, or None without weights.
    """

    targets: NDArray[np.generic]
    outputs: Outputs
    true_classes: Classes
    predicted_classes: Classes
    exclusive: bool
    weights: Vector[np.float64] | None

    @property
    def average(self) -> Literal["macro", "binary"]:
        """How scikit-learn averages the scores of classes: not at all where there are two classes."""
        return "macro" if self.exclusive or self.true_classes.ndim == 2 else "binary"

    @property
    def labels(self) -> list[int] | None:
        """All classes, including those that do not occur in the samples."""
        return list(range(self.outputs.shape[1])) if self.exclusive else None


class Metric(NamedTuple):
    """A row of the table: a measure of a network's outputs.

    Attributes:
        name: the name.
        value: computes the metric.
        of: what the outputs must stand for: classes, exclusive classes (three or more), or any numbers.
        higher: whether a higher value is better.
        description: the function of scikit-learn, for people.
        needs_scikit_learn: whether that function is called.
    """

    name: MetricName
    value: Callable[[Results], float]
    of: Literal["classes", "exclusive classes", "numbers"]
    higher: bool
    description: str
    needs_scikit_learn: bool = False


def _accuracy(results: Results) -> float:
    # scikit-learn's function takes half a millisecond, as much as an epoch of a small network.
    correct = results.true_classes == results.predicted_classes
    return weighted_mean(correct if correct.ndim == 1 else correct.all(axis=1), results.weights)


def _top_accuracy(k: int) -> Callable[[Results], float]:
    def value(results: Results) -> float:
        from sklearn.metrics import top_k_accuracy_score

        return _quietly(
            top_k_accuracy_score,
            results.true_classes,
            results.outputs,
            k=k,
            labels=results.labels,
            sample_weight=results.weights,
        )

    return value


def _f1(results: Results) -> float:
    from sklearn.metrics import f1_score

    return _quietly(
        f1_score,
        results.true_classes,
        results.predicted_classes,
        average=results.average,
        labels=results.labels,
        zero_division=0.0,
        sample_weight=results.weights,
    )


def _auc(results: Results) -> float:
    from sklearn.metrics import roc_auc_score

    scores = results.outputs
    truth: NDArray[np.integer | np.bool] = results.true_classes
    if results.labels is not None:  # each class against the rest, whatever the outputs sum to
        truth = np.equal.outer(truth, results.labels)
    elif truth.ndim == 1:
        scores = scores[:, -1]
    return _quietly(roc_auc_score, truth, scores, sample_weight=results.weights)


def _mse(results: Results) -> float:
    return _mean_over_outputs((results.outputs - _rows(results)) ** 2, results.weights)


def _mae(results: Results) -> float:
    return _mean_over_outputs(abs(results.outputs - _rows(results)), results.weights)


def _mean_over_outputs(errors: NDArray[np.float64], w: Vector[np.float64] | None) -> float:
    """Computes the mean of errors `(n_samples, n_outputs)`, first over samples with their weights."""
    return float(np.average(errors, axis=0, weights=w).mean())


def _r2(results: Results) -> float:
    from sklearn.metrics import r2_score

    outputs, targets = _from_first_target(results.outputs, _rows(results))
    return _quietly(r2_score, targets, outputs, sample_weight=results.weights)


def _quietly(function: Callable[..., float], *arguments: object, **settings: object) -> float:
    """Calls a function of scikit-learn, which warns where a metric is not defined."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(function(*arguments, **settings))


def _rows(results: Results) -> NDArray[np.float64]:
    """Returns the targets `(n_samples, n_outputs)` in float64; labels become one-hot rows."""
    if results.targets.ndim == 1:
        return one_hot(results.targets, results.outputs.shape[1], np.dtype(np.float64))
    return results.targets.astype(np.float64)


METRICS = (
    Metric(
        "accuracy",
        _accuracy,
        "classes",
        True,
        "accuracy_score: the fraction of samples that are classified correctly",
    ),
    Metric(
        "top_3_accuracy", _top_accuracy(3), "exclusive classes", True, "top_k_accuracy_score, k = 3", True
    ),
    Metric(
        "top_5_accuracy", _top_accuracy(5), "exclusive classes", True, "top_k_accuracy_score, k = 5", True
    ),
    Metric(
        "f1", _f1, "classes", True, "f1_score; the mean over classes or outputs, if several (macro)", True
    ),
    Metric("auc", _auc, "classes", True, "roc_auc_score; the mean over classes, each against the rest", True),
    Metric("mse", _mse, "numbers", False, "mean_squared_error"),
    Metric("mae", _mae, "numbers", False, "mean_absolute_error"),
    Metric("r2", _r2, "numbers", True, "r2_score, the mean over outputs", True),
)

BY_NAME = {row.name: row for row in METRICS}


def higher_is_better(curve: CurveName) -> bool:
    """Tells whether a higher value of a curve is better."""
    return any(row.higher for row in METRICS if curve in {row.name, f"validation_{row.name}"})


class Measure:
    """Computes some metrics of a network.

    Raises:
        UnknownNameError: there is no such metric.
        SettingError: a metric needs classes, and the network does not predict classes; or it compares
            numbers, and the outputs are logarithms; or a function has no name of its own, or other parameters
            than a metric.
        MissingExtraError: a metric calls scikit-learn, which is not installed.
    """

    names: tuple[str, ...]
    functions: dict[str, Callable[..., float]]
    several: bool
    boundary: float
    one_hot_numbers: bool
    exclusive: bool

    def __init__(
        self, metrics: Iterable[MetricName | MetricFunction], activation: str, loss: Loss, outputs: int
    ) -> None:
        named: dict[MetricName, None] = {}
        self.functions = {}
        for metric in metrics:
            if callable(metric):
                self.functions[_name_of(metric, self.functions)] = metric
            else:
                named[names.metric(metric)] = None
        self._named: tuple[MetricName, ...] = tuple(named)
        self._needs_classes = any(BY_NAME[name].of != "numbers" for name in named)
        self.names = (*named, *self.functions)
        self.boundary = loss.boundary
        of_classes = activation in {"softmax", "log_softmax"}
        self.one_hot_numbers = loss.targets == "numbers" and not of_classes
        self.several = loss.targets == "classes" or of_classes
        self.several |= self.one_hot_numbers and outputs > 1
        self.exclusive = self.several and outputs > 2
        self._classes_of = class_indices if self.several or outputs == 1 else above
        self._what = f"a network with {outputs} outputs, {activation} and {loss.name}"
        for name in self._named:
            if BY_NAME[name].of == "numbers" and loss.targets == "classes" and activation == "log_softmax":
                raise SettingError(
                    f"the metric {name!r} compares outputs with the targets, which of {self._what} are "
                    "logarithms and probabilities: give the output layer softmax and crossentropy"
                )
            if BY_NAME[name].of == "exclusive classes" and not self.exclusive:
                raise SettingError(
                    f"the metric {name!r} is of exclusive classes, which {self._what} does not tell apart"
                )
        if any(BY_NAME[name].needs_scikit_learn for name in self._named):
            try:
                import_module("sklearn.metrics")
            except ImportError:
                raise MissingExtraError("scikit-learn", "measuring metrics", "metrics") from None

    def check(self, targets: NDArray[np.generic]) -> None:
        """Checks that targets tell classes where a metric needs them.

        Raises:
            SettingError: the loss is of numbers, and the targets are not one-hot rows, or 0 and 1.
        """
        name = next((name for name in self._named if BY_NAME[name].of != "numbers"), None)
        if name is not None and self.one_hot_numbers and not _is_one_hot(targets):
            raise SettingError(
                f"the metric {name!r} is of {BY_NAME[name].of}, which {self._what} tells apart only where "
                "the targets are one-hot rows, or 0 and 1 for one output"
            )

    def __call__(
        self, targets: NDArray[np.generic], outputs: Outputs, weights: Vector[F] | None = None
    ) -> dict[str, float]:
        """Computes the metrics, given targets `(n_samples, n_outputs)` or labels `(n_samples,)`, and outputs.

        The weights are those of the samples, `(n_samples,)`, or `(0,)` or None without weights. A metric that
        is not defined for the targets, such as AUC for samples of a single class, is NaN.

        Raises:
            SettingError: a function returns something other than a number.
        """
        return self.of(targets, weights)(outputs)

    def of(
        self, targets: NDArray[np.generic], weights: Vector[F] | None = None
    ) -> Callable[[Outputs], dict[str, float]]:
        """Returns what computes the metrics of outputs as a call does, again and again for these targets.

        Their classes are found once, which takes as long as those of the outputs.
        """
        w = None if weights is None or not len(weights) else weights.astype(np.float64)
        true = self._classes_of(targets, self.boundary) if self._needs_classes else NO_CLASSES
        weightless = w is not None and not w.any()
        weighted = {
            name for name, each in self.functions.items() if "sample_weight" in signature(each).parameters
        }

        def measured(outputs: Outputs) -> dict[str, float]:
            if weightless:
                values = dict.fromkeys(map(str, self._named), np.nan)
            else:
                predicted = self._classes_of(outputs, self.boundary) if self._needs_classes else NO_CLASSES
                values = self._named_values(Results(targets, outputs, true, predicted, self.exclusive, w))
            for name, function in self.functions.items():
                settings = {"sample_weight": None if w is None else w.copy()} if name in weighted else {}
                value = function(targets, outputs, **settings)
                if np.ndim(value) or not np.isreal(value):
                    raise SettingError(f"the metric {name!r} must return a number, not {value!r}")
                values[name] = float(value)
            return values

        return measured

    def _named_values(self, results: Results) -> dict[str, float]:
        if self._named == ("accuracy",):  # which computes nothing of the outputs but their order
            return {"accuracy": _accuracy(results)}
        with np.errstate(over="ignore", invalid="ignore"):
            return {name: BY_NAME[name].value(results) for name in self._named}


def _name_of(function: MetricFunction, taken: Mapping[str, object]) -> str:
    """Returns the name under which the history keeps a function's values.

    Raises:
        SettingError: it has none, or that of another curve, or other parameters than a metric.
    """
    name = cast("str", getattr(function, "__name__", ""))
    if not name.isidentifier() or name in {"loss", *BY_NAME, *taken} or name.startswith("validation_"):
        raise SettingError(
            f"a metric of your own must be a function with a name that no other curve has, not {function!r}"
        )
    parameters = signature(function).parameters.values()
    needed = [
        each.name for each in parameters if each.default is each.empty and each.kind < each.VAR_POSITIONAL
    ]
    if len(needed) - ("sample_weight" in needed[2:]) != 2:
        raise SettingError(
            f"the metric {name!r} must take (targets, outputs) or (targets, outputs, sample_weight), not "
            f"{signature(function)}"
        )
    return name


def _is_one_hot(targets: NDArray[np.generic]) -> bool:
    """Tells whether each row has one upper element among lower ones, or a column holds 0 and 1."""
    if targets.ndim == 1 or targets.shape[1] == 1:
        return bool(np.isin(targets, (0, 1)).all())
    lower, upper = targets.min(), targets.max()
    raised = targets == upper
    return bool((raised.sum(axis=1) == 1).all() and (raised | (targets == lower)).all())

"""A network with its preprocessing: it takes raw tables or arrays and predicts in units of the target."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any, NoReturn, Self, TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from typednn_kernels.arrays import Matrix

from typednn.data.preprocessing import Preprocessing
from typednn.data.table import Table, TableLike, as_column
from typednn.data.targets import Classes, numbers_of
from typednn.errors import SettingError, ShapeError, WiringError
from typednn.names import MetricName
from typednn.network.network import AnyNetwork, Network, check_network
from typednn.network.predictor import Predictor
from typednn.plotting.display import PictureBlock, TableBlock
from typednn.training.history import History
from typednn.training.metrics import Evaluation, MetricFunction
from typednn.training.samples import ClassWeights
from typednn.validation.arrays import Labels, Weights

D = TypeVar("D", bound=np.float32 | np.float64)


class Model(Network[np.float32 | np.float64]):
    """A network that takes raw data: what `typednn train` saves and `load` returns.

    It is a network whose samples are tables (DataFrames of pandas and polars, Arrow tables, dicts of columns)
    or arrays of the columns, and whose targets are names of classes or numbers in their own units. Each
    method transforms them first, by the preprocessing that was fitted with the training data.

    >>> from typednn import InputLayer, OutputLayer
    >>> from typednn.data.columns import NumberColumn
    >>> from typednn.data.targets import Scale
    >>> network = Network([InputLayer(1), OutputLayer(1, weights="one")], seed=0)
    >>> scale = Scale(np.array([100.0]), np.array([10.0]))
    >>> model = Model(network, Preprocessing((NumberColumn("size", mean=5, deviation=2),), scale))
    >>> model.predict({"size": [5, 7]}).ravel()
    array([100., 110.])

    Args:
        network: the network of preprocessed data, whose memory the model shares.
        preprocessing: the preprocessing.
        training: what is recorded about the training: plain values for JSON.

    Attributes:
        training: what is recorded about the training.

    Raises:
        ShapeError: the preprocessing has another number of features or targets than the network.
        WiringError, SettingError: an argument is something else.
    """

    training: Mapping[str, object]

    def __init__(
        self, network: AnyNetwork, preprocessing: Preprocessing, training: Mapping[str, object] | None = None
    ) -> None:
        check_network(network, "Model")
        if isinstance(network, Model):
            raise WiringError("Model: network must be the network of preprocessed data, not a Model")
        if not isinstance(preprocessing, Preprocessing):
            raise SettingError(
                f"Model: preprocessing must be a Preprocessing, not {type(preprocessing).__name__}"
            )
        if training is not None and not isinstance(training, Mapping):
            raise SettingError(f"Model: training must be a dict, not {type(training).__name__}")
        target = preprocessing.target
        widths = (
            len(preprocessing.feature_names),
            len(target.names if isinstance(target, Classes) else target.mean),
        )
        lengths = network.layers[0].length, network.layers[-1].length
        if widths != lengths:
            raise ShapeError(
                f"Model: the preprocessing has {widths[0]} features and {widths[1]} outputs, the network "
                f"{lengths[0]} and {lengths[1]}"
            )
        self._network, self._preprocessing = network, preprocessing
        self.training = {} if training is None else training
        self._storage, self._output, self._random = network._storage, network._output, network._random
        self._history = network.history
        curves = self.training.get("history")
        if not self._history.loss and isinstance(curves, dict):
            self._history = History.of(cast("dict[str, list[float]]", curves))

    @property
    def network(self) -> AnyNetwork:
        """The network of preprocessed data."""
        return self._network

    @property
    def preprocessing(self) -> Preprocessing:
        """The transforms of the columns and of the target."""
        return self._preprocessing

    def copy(self) -> Self:
        """Returns a copy: the network with its history, and the same preprocessing."""
        return type(self)(self.network.copy(), self.preprocessing, deepcopy(self.training))

    def astype(self, dtype: type[D]) -> Network[D]:
        """Returns a model of another dtype; parameters are rounded to it.

        Raises:
            ArrayTypeError, DataError: as `Network.astype`.
        """
        network = self.network.astype(cast("type[np.float64]", dtype))
        return cast("Network[D]", Model(network, self.preprocessing, self.training))

    def inputs(self, x: TableLike) -> Matrix[np.float32 | np.float64]:
        """Transforms raw samples; returns the network's inputs `(n_samples, n_features)`.

        Raises:
            ShapeError, DataError, ArrayTypeError: the samples do not fit.
        """
        return self.preprocessing.apply(x, self.network.dtype)

    def targets(self, y: object, x: Table | None = None) -> Labels | Matrix[np.float32 | np.float64]:
        """Transforms raw targets: to labels `(n_samples,)`, or standardised numbers `(n_samples, n_outputs)`.

        Args:
            y: names of classes or numbers, `(n_samples,)`; `(n_samples, n_outputs)` of several targets.
            x: the table that they are columns of, for messages.

        Raises:
            ShapeError, DataError, ArrayTypeError: the targets do not fit.
        """
        place = (Table((), (), "y") if x is None else x).place
        target, names = self.preprocessing.target, self.preprocessing.target_names
        if isinstance(target, Classes):
            return target.labels(as_column(y, "y", "y"), names[0] if names else "y", place)
        count = len(target.mean)
        values: NDArray[np.generic] = np.asarray(y)
        if values.ndim == 1:
            values = values.reshape(-1, 1)
        if values.ndim != 2 or values.shape[1] != count:
            raise ShapeError(f"y must have the shape (n_samples, {count}), not {np.shape(values)}")
        columns = [as_column(column, f"y {k}", "y") for k, column in enumerate(values.T, start=1)]
        numbers = numbers_of(columns, names or [f"y {k}" for k in range(1, count + 1)], place, vary=False)
        return target.standardize(numbers, self.network.dtype)

    def predict(self, x: TableLike) -> Matrix[np.float64]:
        """Predicts from raw samples.

        Args:
            x: a DataFrame, an Arrow table, a dict of columns, or an array of the columns; further columns are
                passed over.

        Returns:
            Numbers in units of the target, or the probabilities of the classes, `(n_samples, n_outputs)`.

        Raises:
            ShapeError, DataError, ArrayTypeError: the samples do not fit.
        """
        outputs = self.network.predict(self.inputs(x))
        target = self.preprocessing.target
        if isinstance(target, Classes):
            probabilities: Matrix[np.float64] = outputs.astype(np.float64)
            return probabilities
        return target.restore(outputs)

    def classes(self, x: TableLike) -> NDArray[np.object_]:
        """Predicts the names of the classes `(n_samples,)`, as they were written in the training data.

        Raises:
            SettingError: the model predicts numbers.
            ShapeError, DataError, ArrayTypeError: the samples do not fit.
        """
        target = self.preprocessing.target
        if not isinstance(target, Classes):
            raise SettingError("the model predicts numbers, no classes; model.predict(x) returns them")
        names = np.array(target.names, object)
        found: NDArray[np.object_] = names[self.predict(x).argmax(axis=1)]
        return found

    def evaluate(
        self,
        x: TableLike,
        y: object,
        *,
        metrics: Sequence[MetricName | MetricFunction] = (),
        sample_weight: Weights | None = None,
        class_weight: ClassWeights | None = None,
    ) -> Evaluation:
        """Computes the mean loss, of scaled targets, and the accuracy or R² of raw samples and targets.

        Raises:
            ShapeError, DataError, ArrayTypeError, SettingError: as `Network.evaluate`.
        """
        return self.network.evaluate(
            self.inputs(x),
            self.targets(y),
            metrics=metrics,
            sample_weight=sample_weight,
            class_weight=class_weight,
        )

    def fit(self, x: TableLike, y: object, **options: Any) -> History:
        """Continues the training with raw samples and targets; the preprocessing stays as it is.

        Args:
            x: samples, as in `predict`.
            y: targets, as in `targets`.
            options: as in `Network.fit`; validation data are raw, too.

        Returns:
            Losses and metrics by epoch.

        Raises:
            ShapeError, DataError, ArrayTypeError, SettingError: as `Network.fit`.
        """
        validation = options.pop("validation_data", None)
        if validation is not None:
            held_x, held_y, *weights = validation
            options["validation_data"] = (self.inputs(held_x), self.targets(held_y), *weights)
        self._history = self.network.fit(self.inputs(x), self.targets(y), **options)
        return self.history

    def fit_batches(self, batches: object, **options: object) -> NoReturn:  # noqa: ARG002 (as a network's)
        """Raises SettingError: batches are of preprocessed data."""
        raise SettingError(
            "a model takes raw data: model.network.fit_batches(...) takes batches of model.inputs(x) and "
            "model.targets(y)"
        )

    def predictor(self) -> Predictor[np.float32 | np.float64]:
        """Raises SettingError: a `Predictor` takes preprocessed samples."""
        raise SettingError(
            "a model takes raw data: model.network.predictor() predicts from rows of model.inputs(x)"
        )

    def _blocks(self) -> Iterator[TableBlock | PictureBlock]:
        yield from super()._blocks()
        rows = [
            (each.name, each.kind, ", ".join(each.features[:8])) for each in self.preprocessing.features[:40]
        ]
        yield TableBlock("columns", ("column", "kind", "inputs"), rows)
        target = self.preprocessing.target
        names = ", ".join(self.preprocessing.target_names) or "y"
        classes = ", ".join(target.names[:20]) if isinstance(target, Classes) else "numbers"
        yield TableBlock("target", ("target", "values"), [(names, classes)])
        yield from self.history._blocks() if self.history.loss else ()

    def _as_samples(self, x: TableLike) -> Matrix[np.float32 | np.float64]:
        return self.network._as_samples(self.inputs(x))

    def _as_data(
        self, x: TableLike, y: object
    ) -> tuple[Matrix[np.float32 | np.float64], Matrix[np.float32 | np.float64]]:
        return self.network._as_data(self.inputs(x), self.targets(y))

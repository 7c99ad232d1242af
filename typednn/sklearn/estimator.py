"""What all estimators do: check their input, train a network, keep the state of its optimiser, predict."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict
from math import nan
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data
from typednn_kernels.arrays import Matrix, Order, Vector

from typednn.errors import DataError, DivergenceError, ShapeError
from typednn.layers import TrainableLayer
from typednn.minimizers import minimize_samples
from typednn.network.network import AnyNetwork
from typednn.parallel import use_threads
from typednn.plotting.progress import Bar
from typednn.sklearn.bases import BaseEstimator
from typednn.sklearn.losses import LossScale
from typednn.sklearn.optimizers import optimizer_of
from typednn.sklearn.parameters import (
    THEIRS,
    Data,
    DtypeLike,
    Labels,
    LearningRate,
    Metrics,
    OptimizerLike,
    Solver,
    Validation,
    Weights,
)
from typednn.sklearn.passes import Passes
from typednn.sklearn.penalty import Penalty, PenaltyTrainer
from typednn.sklearn.samples import (
    Features,
    as_weights,
    is_float32,
    outputs_and_targets,
    outputs_of,
    samples_of,
    some_of,
)
from typednn.sklearn.state import network_of, network_state
from typednn.sklearn.stopping import Stopping, reset
from typednn.sklearn.training import Training
from typednn.training.callbacks import CallbackLike
from typednn.training.history import History
from typednn.training.samples import CheckedSamples

Real: TypeAlias = np.float32 | np.float64
Targets: TypeAlias = NDArray[np.generic]

BATCH_SIZE = 200
"""The samples per step, at most, where batch_size is "auto"."""

NOT_FINITE = (
    "Solver produced non-finite parameter weights. The input data may contain large values and need to be "
    "preprocessed."
)


class Estimator(BaseEstimator, ABC):
    """The base class of the estimators.

    Attributes:
        network_: the trained network, an ordinary `typednn.Network`.
        history_: the losses and metrics of its training; empty for the solver "lbfgs".
        loss_curve_: the loss of each epoch, with the penalty of the weights.
        loss_, best_loss_: its last and lowest value.
        validation_scores_, best_validation_score_: the scores of the held-out samples with early stopping.
        n_iter_, t_: the number of epochs of the last fit, and of samples trained since the beginning.
        n_layers_, n_outputs_, out_activation_: the number of layers and of outputs, and their activation.
        n_features_in_, feature_names_in_: the number of features, and their names if they have any.
    """

    solver: Solver
    batch_size: int | Literal["auto"]
    learning_rate: LearningRate
    learning_rate_init: float
    power_t: float
    max_iter: int
    shuffle: bool
    random_state: int | np.random.RandomState | None
    tol: float
    verbose: bool | int
    warm_start: bool
    momentum: float
    nesterovs_momentum: bool
    early_stopping: bool
    validation_fraction: float
    beta_1: float
    beta_2: float
    epsilon: float
    n_iter_no_change: float
    max_fun: int
    optimizer: OptimizerLike
    dtype: DtypeLike
    callbacks: Sequence[CallbackLike]
    metrics: Metrics
    threads: int | None

    network_: AnyNetwork
    history_: History
    loss_curve_: list[float]
    loss_: float
    best_loss_: float | None
    validation_scores_: list[float] | None
    best_validation_score_: float | None
    n_iter_: int
    t_: int
    n_layers_: int
    n_outputs_: int
    out_activation_: str
    n_features_in_: int
    feature_names_in_: NDArray[np.object_]

    _no_improvement_count: int
    _trainer: PenaltyTrainer | None
    _parameter_constraints: ClassVar[dict[str, Any]]
    _numeric_targets: ClassVar[bool]

    if TYPE_CHECKING:

        def get_params(self, deep: bool = True) -> dict[str, object]:
            """Returns the parameters by name."""
            ...

        def set_params(self, **params: object) -> Self:
            """Sets parameters by name."""
            ...

        def set_fit_request(
            self, *, sample_weight: bool | str | None = ..., validation_data: bool | str | None = ...
        ) -> Self:
            """Says which metadata a meta-estimator passes on to `fit`."""
            ...

        def set_score_request(self, *, sample_weight: bool | str | None = ...) -> Self:
            """Says which metadata a meta-estimator passes on to `score`."""
            ...

    def _store(self, arguments: dict[str, object]) -> None:
        """Keeps the arguments of the constructor as they are, which scikit-learn demands."""
        for name in self._get_param_names():
            setattr(self, name, arguments[name])

    @abstractmethod
    def _new_network(self, inputs: int, dtype: type[Real], random: np.random.RandomState) -> AnyNetwork:
        """Makes a network with initial weights, for targets that have been learnt."""

    @abstractmethod
    def _learn_targets(self, y: Targets, *, first: bool, incremental: bool) -> Targets:
        """Learns what the targets are, or checks that they are what they were; returns them as an array."""

    @abstractmethod
    def _encode(self, y: Targets) -> Targets:
        """Returns the targets of the network: labels `(n_samples,)` from 0, or numbers `(n_samples, n)`."""

    @abstractmethod
    def _class_weights(self, y: Targets, *, incremental: bool) -> Vector[np.float64] | None:
        """Returns the weights of samples by class, or None."""

    @abstractmethod
    def _score_of(
        self, outputs: Matrix[Real], targets: Matrix[Real], weights: Vector[np.float64] | None
    ) -> float:
        """Computes what `score` would, from outputs and encoded targets, both `(n_samples, n_outputs)`."""

    @abstractmethod
    def _strata(self, y: Targets) -> Targets | None:
        """Returns what early stopping divides evenly, or None."""

    @property
    def _scale(self) -> LossScale:
        return LossScale()

    @property
    def _penalty(self) -> float:
        """The coefficient alpha of the penalty, for a network whose layers have none of their own."""
        return 0.0

    def fit(
        self, X: Data, y: Labels, sample_weight: Weights = None, *, validation_data: Validation = None
    ) -> Self:
        """Trains the network.

        Args:
            X: samples `(n_samples, n_features)`: an array, nested lists, a DataFrame, or a sparse matrix, of
                which only batches are made dense.
            y: labels or numbers `(n_samples,)`, or several for each sample, `(n_samples, n_outputs)`.
            sample_weight: weights `(n_samples,)`.
            validation_data: held-out `(X, y)` or `(X, y, sample_weight)`, whose loss and metrics `history_`
                records after each epoch, and whose score counts with early stopping. Not for "lbfgs".

        Raises:
            ValueError, TypeError: data or parameters do not fit, or the training diverged.

        Warns:
            ConvergenceWarning: max_iter was reached before the loss or the score stopped improving.
        """
        return self._fit(X, y, sample_weight, validation_data, incremental=False)

    def _fit(
        self, X: Data, y: Labels, sample_weight: Weights, validation: Validation, *, incremental: bool
    ) -> Self:
        self._validate_params()
        if incremental and self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True")
        if not self._is_stochastic() and (
            self.optimizer is not None or self.callbacks or self.metrics or validation is not None
        ):
            raise ValueError(
                "the solver 'lbfgs' has no epochs: optimizer, callbacks, metrics and validation_data are for "
                "'adam' and 'sgd'"
            )
        first = not hasattr(self, "network_") or not (self.warm_start or incremental)
        x, targets, weights = self._checked(X, y, sample_weight, reset=first)
        targets = self._learn_targets(targets, first=first, incremental=incremental)
        by_class = self._class_weights(targets, incremental=incremental)
        if by_class is not None:
            weights = by_class if weights is None else weights * by_class
        random = check_random_state(self.random_state)
        with nullcontext() if self.threads is None else use_threads(self.threads):
            if first:
                self._begin(self._new_network(x.shape[1], cast("type[Real]", x.dtype.type), random))
            samples = samples_of(self.network_, x, self._encode(targets))
            if self._is_stochastic():
                self._fit_stochastic(samples, targets, weights, validation, random, incremental)
            else:
                self._fit_lbfgs(samples, weights)
        return self

    def _checked(
        self, X: Data, y: Labels, sample_weight: Weights, *, reset: bool
    ) -> tuple[Features, Targets, Vector[np.float64] | None]:
        """Checks samples, targets and weights as scikit-learn does, and converts them."""
        x, targets = validate_data(
            self,
            X,
            y,
            reset=reset,
            accept_sparse="csr",
            multi_output=True,
            y_numeric=self._numeric_targets,
            dtype=self._dtypes(X) if reset else self.network_.dtype,
        )
        if sample_weight is None:
            return x, targets, None
        return x, targets, _check_sample_weight(sample_weight, x, dtype=np.float64, ensure_non_negative=True)

    def _dtypes(self, X: Data) -> list[type[Real]]:
        """Returns the dtypes that samples may have; others are converted to the first."""
        if self.dtype is None:
            return [np.float32] if is_float32(X) else [np.float64, np.float32]
        return [np.dtype(self.dtype).type]

    def _is_stochastic(self) -> bool:
        return self.solver != "lbfgs"

    def _begin(self, network: AnyNetwork) -> None:
        """Sets the attributes before the first epoch."""
        self.network_, self.history_, self._trainer = network, network.history, None
        self.n_iter_ = self.t_ = 0
        layers = network.layers
        self.n_layers_, self.n_outputs_ = len(layers), layers[-1].length
        self.out_activation_ = THEIRS.get(layers[-1].actname, layers[-1].actname)
        if self._is_stochastic():
            self.loss_curve_ = self.history_.loss
            reset(self)

    def _fit_stochastic(
        self,
        samples: CheckedSamples[Real],
        targets: Targets,
        weights: Vector[np.float64] | None,
        validation: Validation,
        random: np.random.RandomState,
        incremental: bool,
    ) -> None:
        if not hasattr(self, "loss_curve_") or self.early_stopping != (self.validation_scores_ is not None):
            self.loss_curve_ = self.history_.loss  # warm, from another solver or way to stop
            reset(self)
        rows: Order = np.arange(len(samples))
        held = None if validation is None else self._held_out(validation)
        if self.early_stopping and held is None:
            rows, held_rows = self._split(targets, random)
            held_weights = None if weights is None else weights[held_rows]
            held = some_of(samples, held_rows, self._scale.factors(len(held_rows), held_weights))
        size = self._size_of_batches(len(rows))
        self._penalise(size)
        passes = Passes(samples, rows, size, random if self.shuffle else None, weights, self._scale)
        stopping = Stopping(self, passes, held, incremental=incremental)
        trained = None
        if self.metrics:
            trained = samples if len(rows) == len(samples) else some_of(samples, rows, None)
        if self._trainer is None or not incremental:
            self._trainer = self._new_trainer(size)
        callbacks: list[CallbackLike] = [stopping, *self.callbacks]
        training = Training(
            self.network_._output,
            passes,
            size,
            trained,
            held,
            self.metrics,
            len(self.history_.loss) + (1 if incremental else self.max_iter),
            self._trainer,
            callbacks,
            None,
        )
        training.passes, training.stopping = passes, stopping
        training.penalty = Penalty(self._penalty, self._trainer, size) if self._penalty else None
        training._history = self.network_._history = self.history_
        self.n_iter_ = 0
        self._run(training, stopping)

    def _run(self, training: Training, stopping: Stopping) -> None:
        try:
            training.begin()
            training.run(Bar(training.epochs, None, wanted=False))
        except KeyboardInterrupt:
            warnings.warn("Training interrupted by user.", stacklevel=5)
        except DivergenceError as error:
            if not stopping.diverged():
                raise ValueError(f"{NOT_FINITE} {error}") from error
            warnings.warn(f"Training stopped early: {error}", ConvergenceWarning, stacklevel=5)
        stopping.restore_best()

    def _fit_lbfgs(self, samples: CheckedSamples[Real], weights: Vector[np.float64] | None) -> None:
        scale, count = self._scale, len(samples)
        samples.weights = as_weights(scale.factors(count, weights), self.network_.dtype)
        self._penalise(count if weights is None else float(weights.sum()))
        options = {"gtol": self.tol, "maxfun": self.max_fun}
        try:
            found = minimize_samples(self.network_, samples, "L-BFGS-B", self.max_iter, None, options)
        except DivergenceError as error:
            raise ValueError(NOT_FINITE) from error
        self.n_iter_ = min(found.iterations, self.max_iter)
        factors = samples.weights if len(samples.weights) else None
        loss = scale.report(found.loss, scale.constants(samples), factors)
        self.loss_ = loss + found.objective - found.loss
        if self.verbose:
            print(f"{self.n_iter_} iterations, loss = {self.loss_:.8f}: {found.message}")
        if not found.success:
            warnings.warn(
                f"lbfgs failed to converge after {self.n_iter_} iteration(s): {found.message}. Increase "
                f"max_iter={self.max_iter} or max_fun={self.max_fun}, or scale the data",
                ConvergenceWarning,
                stacklevel=4,
            )

    def _held_out(self, validation: Validation) -> CheckedSamples[Real]:
        if not isinstance(validation, tuple) or len(validation) not in {2, 3}:
            raise TypeError("validation_data must be a tuple (X, y) or (X, y, sample_weight)")
        weights = validation[2] if len(validation) == 3 else None
        x, y, checked = self._checked(validation[0], validation[1], weights, reset=False)
        y = self._learn_targets(y, first=False, incremental=True)
        return samples_of(self.network_, x, self._encode(y), self._scale.factors(len(y), checked))

    def _split(self, targets: Targets, random: np.random.RandomState) -> tuple[Order, Order]:
        """Divides samples for early stopping as scikit-learn does, given the same random state."""
        rows, held = train_test_split(
            np.arange(len(targets)),
            random_state=random,
            test_size=self.validation_fraction,
            stratify=self._strata(targets),
        )
        if len(held) < 2:
            raise ValueError(
                "The validation set is too small. Increase 'validation_fraction' or the size of your dataset."
            )
        return rows, held

    def _score(self, samples: CheckedSamples[Real]) -> float:
        """Computes the score of checked samples; NaN where an output is not finite."""
        outputs, targets = outputs_and_targets(self.network_, samples)
        if not np.isfinite(outputs).all():
            return nan
        weights = samples.weights.astype(np.float64) if len(samples.weights) else None
        return self._score_of(outputs, targets, weights)

    def _size_of_batches(self, count: int) -> int:
        if self.batch_size == "auto":
            return min(BATCH_SIZE, count)
        if self.batch_size > count:
            warnings.warn(
                "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped",
                stacklevel=5,
            )
        return int(min(self.batch_size, count))

    def _penalise(self, total: float) -> None:
        """Sets the penalty of the layers to that of a batch with this sum of weights."""
        if self._penalty and total:
            for layer in self.network_.layers[1:]:
                assert isinstance(layer, TrainableLayer)
                layer.l2 = self._penalty / (2 * total)

    def _new_trainer(self, batch_size: int) -> PenaltyTrainer:
        network, optimizer = (
            self.network_,
            optimizer_of(
                self.optimizer,
                self.solver,
                self.learning_rate_init,
                self.momentum,
                self.nesterovs_momentum,
                self.beta_1,
                self.beta_2,
                self.epsilon,
            ),
        )
        return PenaltyTrainer(network._storage, network._loss, batch_size, optimizer)

    def _outputs(self, X: Data) -> Matrix[Real]:
        """Computes the outputs `(n_samples, n_outputs)`."""
        if "network_" not in self.__dict__:
            check_is_fitted(self)
        network = self.network_
        if (
            type(X) is np.ndarray
            and X.ndim == 2
            and X.dtype == network.dtype
            and X.shape[1] == self.n_features_in_
            and "feature_names_in_" not in self.__dict__
        ):
            try:
                return network.predict(X)
            except DataError:  # of which scikit-learn speaks in its own words
                pass
        x = validate_data(self, X, reset=False, accept_sparse="csr", dtype=network.dtype)
        return outputs_of(network, x)

    @property
    def coefs_(self) -> list[Matrix[Real]]:
        """The weights of each layer, `(n_inputs, n_units)`: views of the network's."""
        check_is_fitted(self)
        return [layer.W.T for layer in self.network_.layers[1:]]

    @property
    def intercepts_(self) -> list[Vector[Real]]:
        """The biases of each layer, `(n_units,)`: views of the network's."""
        check_is_fitted(self)
        return [layer.Bias[0] for layer in self.network_.layers[1:]]

    def __sklearn_is_fitted__(self) -> bool:
        """Tells whether there is a network."""
        return "network_" in self.__dict__

    def __sklearn_tags__(self) -> Any:
        """Tells scikit-learn what the estimator can do."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def __getstate__(self) -> dict[str, object]:
        """Returns parameters and attributes; the network and the state of its optimiser as plain arrays."""
        state: dict[str, object] = {**super().__getstate__()}
        if "network_" in state:
            state["network_"] = network_state(self.network_)
            state["history_"] = asdict(self.history_)
            state["_trainer"] = self._trainer and self._trainer.optimizer_state.state()
            state.pop("loss_curve_", None)
        return state

    def __setstate__(self, state: dict[str, object]) -> None:
        """Makes the network and its optimiser again."""
        super().__setstate__(state)
        if "network_" not in state:
            return
        self.network_ = network_of(cast("dict[str, object]", state["network_"]))
        self.history_ = self.network_._history = History(**cast("dict[str, Any]", state["history_"]))
        if self._is_stochastic():
            self.loss_curve_ = self.history_.loss
        saved = cast("dict[str, NDArray[np.generic]] | None", state["_trainer"])
        if saved is not None:
            self._trainer = self._new_trainer(1)
            try:
                self._trainer.optimizer_state.restore(saved)
            except ShapeError:  # the parameters name another optimiser since: it starts again
                self._trainer = None

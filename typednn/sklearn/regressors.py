"""Regressors: a multilayer perceptron, and any network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import column_or_1d
from sklearn.utils.metaestimators import available_if
from typednn_kernels.arrays import Matrix, Vector

from typednn.names import MetricName
from typednn.network.network import AnyNetwork
from typednn.sklearn.bases import RegressorMixin
from typednn.sklearn.estimator import Estimator, Real, Targets
from typednn.sklearn.from_network import NetworkBase, check_network
from typednn.sklearn.losses import SYNONYMS
from typednn.sklearn.parameters import (
    PERCEPTRON,
    SOLVING,
    Activation,
    Build,
    Data,
    DtypeLike,
    Labels,
    LearningRate,
    Normalizations,
    OptimizerLike,
    OutputActivation,
    RegressorLoss,
    Solver,
    Weights,
)
from typednn.sklearn.perceptron import PerceptronBase
from typednn.training.callbacks import CallbackLike
from typednn.training.metrics import r_squared


class RegressorBase(RegressorMixin, Estimator):
    """What regressors do: learn and predict numbers."""

    _numeric_targets: ClassVar[bool] = True
    _target_count: int

    if TYPE_CHECKING:

        def score(self, X: Data, y: Labels, sample_weight: Weights = None) -> float:
            """Computes the coefficient of determination R²."""
            ...

    def predict(self, X: Data) -> NDArray[Real]:
        """Predicts numbers `(n_samples,)`, or for several outputs `(n_samples, n_outputs)`.

        Raises:
            NotFittedError: the estimator is not fitted.
            ValueError: the samples do not fit.
        """
        outputs = self._outputs(X)
        return outputs[:, 0] if outputs.shape[1] == 1 else outputs

    def partial_fit(self, X: Data, y: Labels, sample_weight: Weights = None) -> Self:
        """Trains for one epoch, with the optimiser as the last call left it; not for "lbfgs".

        Args:
            X: samples, as in `fit`.
            y: numbers, as in `fit`.
            sample_weight: weights `(n_samples,)`.

        Raises:
            ValueError, TypeError: data or parameters do not fit, or the training diverged.
        """
        return self._fit(X, y, sample_weight, None, incremental=True)

    if not TYPE_CHECKING:  # a decorator without types would take those of the method
        partial_fit = available_if(Estimator._is_stochastic)(partial_fit)

    def _learn_targets(self, y: Targets, *, first: bool, incremental: bool) -> Targets:
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if first:
            self._target_count = 1 if y.ndim == 1 else y.shape[1]
        elif self._target_count != (1 if y.ndim == 1 else y.shape[1]):
            raise ValueError(f"y must have {self._target_count} numbers for each sample, not shape {y.shape}")
        return y

    def _encode(self, y: Targets) -> Targets:
        return y.reshape(len(y), -1).astype(self.network_.dtype, copy=False)

    def _score_of(
        self, outputs: Matrix[Real], targets: Matrix[Real], weights: Vector[np.float64] | None
    ) -> float:
        return r_squared(outputs, targets, weights)

    def _class_weights(self, y: Targets, *, incremental: bool) -> Vector[np.float64] | None:
        return None

    def _strata(self, y: Targets) -> Targets | None:
        return None

    def __sklearn_tags__(self) -> Any:
        """Tells scikit-learn what the estimator can do."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


class MLPRegressor(RegressorBase, PerceptronBase):
    """A multilayer perceptron for numbers, with the parameters of scikit-learn's.

    With the same `random_state` and float64 data it computes what scikit-learn's `MLPRegressor` does,
    up to rounding: initial weights, order of samples, steps and losses are the same. The parameters up to
    `max_fun` are scikit-learn's; those after it are added.

    Args:
        loss: "squared_error" or "poisson", or another loss of typednn for numbers, such as "huber".
        hidden_layer_sizes: the number of units of each hidden layer.
        activation: also any activation of typednn, or a list with one for each hidden layer.
        solver: "adam", "sgd" or "lbfgs".
        alpha: the strength of the L2 penalty on weights.
        batch_size: samples per step; "auto" is 200, or all where there are fewer.
        learning_rate: "constant", "invscaling" or "adaptive", for the solver "sgd".
        learning_rate_init: the learning rate of the first step.
        power_t: the exponent of "invscaling".
        max_iter: the largest number of epochs, or of iterations of "lbfgs".
        shuffle: whether each epoch has an order of samples of its own.
        random_state: the seed of weights, orders and splits.
        tol: the least improvement that counts as one.
        verbose: whether to print the loss of each epoch.
        warm_start: whether `fit` starts from the weights of the fit before.
        momentum: the momentum of "sgd".
        nesterovs_momentum: whether that is Nesterov's.
        early_stopping: whether to hold out samples, and to stop when their score no longer improves.
        validation_fraction: the fraction of the samples that is held out.
        beta_1: the decay rate of the first moment, for "adam".
        beta_2: the decay rate of the second moment, for "adam".
        epsilon: added to the divisor of "adam".
        n_iter_no_change: the number of epochs without an improvement that end the training.
        max_fun: the largest number of evaluations of the loss, for "lbfgs".
        output: the activation of the output layer; by default the one that belongs to the loss.
        dropout: the fraction of hidden units that each step drops, one number or one for each layer.
        normalization: "none", "batch" or "layer", `BatchNorm(...)` or `LayerNorm(...)`, one or one for each
            layer.
        optimizer: an optimiser of typednn, its name, or a schedule of the solver's learning rate.
        dtype: the dtype of the network; by default that of X if it is float32, else float64.
        callbacks: callbacks of typednn, such as `GradientNorms`.
        metrics: the metrics that `history_` records after each epoch.
        threads: the largest number of threads of `fit`; by default that of the process.

    >>> x = np.linspace(-2, 2, 200).reshape(-1, 1)
    >>> model = MLPRegressor("huber", activation="tanh", solver="lbfgs", random_state=0, max_iter=500)
    >>> model.fit(x, np.sin(x[:, 0])).score(x, np.sin(x[:, 0])) > 0.99
    True
    """

    loss: RegressorLoss
    _parameter_constraints: ClassVar[dict[str, Any]] = {**PERCEPTRON, **SOLVING}

    def __init__(
        self,
        loss: RegressorLoss = "squared_error",
        hidden_layer_sizes: int | Sequence[int] = (100,),
        activation: Activation | Sequence[Activation] = "relu",
        *,
        solver: Solver = "adam",
        alpha: float = 0.0001,
        batch_size: int | Literal["auto"] = "auto",
        learning_rate: LearningRate = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: int | np.random.RandomState | None = None,
        tol: float = 1e-4,
        verbose: bool | int = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        output: OutputActivation | None = None,
        dropout: float | Sequence[float] = 0.0,
        normalization: Normalizations = "none",
        optimizer: OptimizerLike = None,
        dtype: DtypeLike = None,
        callbacks: Sequence[CallbackLike] = (),
        metrics: Sequence[MetricName] = (),
        threads: int | None = None,
    ) -> None:
        self._store(locals())

    def _shape(self) -> tuple[int, str]:
        name: str = self.loss
        return self._target_count, SYNONYMS.get(name, name)


class NetworkRegressor(NetworkBase, RegressorBase):
    """A regressor that trains any network of typednn.

    The loss is the network's own, and so are the penalties of its layers: the loss of a batch is the mean of
    its samples' losses by weight.

    Args:
        build: a function that returns the layers, or a network, for the numbers of features and of outputs;
            or the layers or a network, which are copied and whose weights, where they are set, are kept.
        solver: "adam", "sgd" or "lbfgs".
        batch_size: samples per step; "auto" is 200, or all where there are fewer.
        learning_rate: "constant", "invscaling" or "adaptive", for the solver "sgd".
        learning_rate_init: the learning rate of the first step.
        power_t: the exponent of "invscaling".
        max_iter: the largest number of epochs, or of iterations of "lbfgs".
        shuffle: whether each epoch has an order of samples of its own.
        random_state: the seed of weights, orders and splits.
        tol: the least improvement that counts as one.
        verbose: whether to print the loss of each epoch.
        warm_start: whether `fit` starts from the weights of the fit before.
        momentum: the momentum of "sgd".
        nesterovs_momentum: whether that is Nesterov's.
        early_stopping: whether to hold out samples, and to stop when their score no longer improves.
        validation_fraction: the fraction of the samples that is held out.
        beta_1: the decay rate of the first moment, for "adam".
        beta_2: the decay rate of the second moment, for "adam".
        epsilon: added to the divisor of "adam".
        n_iter_no_change: the number of epochs without an improvement that end the training.
        max_fun: the largest number of evaluations of the loss, for "lbfgs".
        optimizer: as `MLPRegressor`.
        dtype: as `MLPRegressor`.
        callbacks: as `MLPRegressor`.
        metrics: as `MLPRegressor`.
        threads: as `MLPRegressor`.

    >>> from typednn import HiddenLayer, InputLayer, OutputLayer
    >>> layers = [InputLayer(1), HiddenLayer(20, "tanh"), OutputLayer(1, "none", "mae")]
    >>> x = np.linspace(-2, 2, 200).reshape(-1, 1)
    >>> model = NetworkRegressor(layers, learning_rate_init=0.01, batch_size=20, random_state=0)
    >>> model.fit(x, np.sin(x[:, 0])).score(x, np.sin(x[:, 0])) > 0.99
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[object] | str]] = {"build": "no_validation", **SOLVING}

    def __init__(
        self,
        build: Build,
        *,
        solver: Solver = "adam",
        batch_size: int | Literal["auto"] = "auto",
        learning_rate: LearningRate = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: int | np.random.RandomState | None = None,
        tol: float = 1e-4,
        verbose: bool | int = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        optimizer: OptimizerLike = None,
        dtype: DtypeLike = None,
        callbacks: Sequence[CallbackLike] = (),
        metrics: Sequence[MetricName] = (),
        threads: int | None = None,
    ) -> None:
        self._store(locals())

    @classmethod
    def from_network(cls, network: AnyNetwork) -> Self:
        """Returns a fitted regressor that predicts with a trained network, which is not copied.

        Raises:
            TypeError: it is not a network.
        """
        check_network(network)
        model = cls(network)
        model._target_count = network.layers[-1].length
        model._adopt(network)
        return model

    def _output_count(self) -> int:
        return self._target_count

    def _fits(self, outputs: int, activation: str) -> bool:
        return outputs == self._target_count

"""The parameters of the estimators: their types for type checkers, and their ranges at run time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from numbers import Integral, Real
from typing import Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils._param_validation import Interval, Options, StrOptions
from typednn_kernels.activations import ActivationName, CustomActivation, OutputActivationName
from typednn_kernels.losses import CustomLoss, LossName, RegressionLossName

from typednn.layers import Layer, NormalizationWithSettings
from typednn.names import NormalizationName, OptimizerName
from typednn.network.network import AnyNetwork
from typednn.training.optimizers import Optimizer
from typednn.training.schedules import Schedule

Activation: TypeAlias = Literal["identity", "logistic"] | ActivationName | CustomActivation
OutputActivation: TypeAlias = Literal["identity", "logistic"] | OutputActivationName | CustomActivation
ClassifierLoss: TypeAlias = Literal["log_loss"] | LossName | CustomLoss
RegressorLoss: TypeAlias = Literal["squared_error"] | RegressionLossName | CustomLoss
Solver: TypeAlias = Literal["lbfgs", "sgd", "adam"]
LearningRate: TypeAlias = Literal["constant", "invscaling", "adaptive"]
DtypeLike: TypeAlias = Literal["float32", "float64"] | type[np.float32 | np.float64] | None
OptimizerLike: TypeAlias = Optimizer | OptimizerName | Schedule | None
Normalization: TypeAlias = NormalizationName | NormalizationWithSettings
Normalizations: TypeAlias = Normalization | Sequence[Normalization]
AnyLayers: TypeAlias = Sequence[Layer[np.float32] | Layer[np.float64]]
Build: TypeAlias = Callable[[int, int], AnyLayers | AnyNetwork] | AnyLayers | AnyNetwork
"""A function that makes layers for the numbers of inputs and outputs, or the layers or network themselves."""


class ToSparse(Protocol):
    """A sparse matrix or array of SciPy."""

    def tocsr(self) -> object:
        """Returns the matrix by rows."""


class ToArray(Protocol):
    """A table, such as a DataFrame of pandas or polars, which NumPy can make an array of."""

    def __array__(self) -> NDArray[np.generic]: ...
    def __len__(self) -> int: ...


class Column(Protocol):
    """A column, such as a Series of pandas or polars."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[object]: ...


Data: TypeAlias = ArrayLike | ToSparse | ToArray
"""Samples `(n_samples, n_features)`: an array, nested lists, a DataFrame or a sparse matrix."""

Labels: TypeAlias = ArrayLike | Column | ToSparse
"""Labels or numbers `(n_samples,)`, or several for each sample, `(n_samples, n_outputs)`."""

Weights: TypeAlias = ArrayLike | Column | None
"""Weights of samples, `(n_samples,)`."""

Validation: TypeAlias = tuple[Data, Labels] | tuple[Data, Labels, Weights] | None
"""Held-out samples, their labels or numbers, and optional weights."""

OURS = {"identity": "none", "logistic": "sigmoid", "exp": "exponential"}
THEIRS = {ours: theirs for theirs, ours in OURS.items()}
"""Names of activations: the library's by scikit-learn's, and the reverse, where they differ."""

SOLVING: dict[str, list[object]] = {
    "solver": [StrOptions({"lbfgs", "sgd", "adam"})],
    "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
    "learning_rate": [StrOptions({"constant", "invscaling", "adaptive"})],
    "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
    "power_t": [Interval(Real, 0, None, closed="left")],
    "max_iter": [Interval(Integral, 1, None, closed="left")],
    "shuffle": ["boolean"],
    "random_state": ["random_state"],
    "tol": [Interval(Real, 0, None, closed="left")],
    "verbose": ["verbose"],
    "warm_start": ["boolean"],
    "momentum": [Interval(Real, 0, 1, closed="left")],
    "nesterovs_momentum": ["boolean"],
    "early_stopping": ["boolean"],
    "validation_fraction": [Interval(Real, 0, 1, closed="left")],
    "beta_1": [Interval(Real, 0, 1, closed="left")],
    "beta_2": [Interval(Real, 0, 1, closed="left")],
    "epsilon": [Interval(Real, 0, None, closed="neither")],
    "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), Options(Real, {np.inf})],
    "max_fun": [Interval(Integral, 1, None, closed="left")],
    "optimizer": [str, Optimizer, Schedule, None],
    "dtype": [StrOptions({"float32", "float64"}), Options(type, {np.float32, np.float64}), None],
    "callbacks": ["array-like"],
    "metrics": ["array-like"],
    "threads": [Interval(Integral, 1, None, closed="left"), None],
}
"""The ranges of the parameters that all estimators have."""

PERCEPTRON: dict[str, list[object]] = {
    "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
    "activation": [str, "array-like"],
    "alpha": [Interval(Real, 0, None, closed="left")],
    "loss": [str],
    "output": [str, None],
    "dropout": [Interval(Real, 0, 1, closed="left"), "array-like"],
    "normalization": [str, "array-like"],
}
"""The ranges of the parameters of a multilayer perceptron."""

CLASSES: dict[str, list[object]] = {"class_weight": [StrOptions({"balanced"}), dict, None]}
"""The ranges of the parameters of classifiers."""

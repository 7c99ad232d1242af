"""Classifiers: a multilayer perceptron, and any network."""

from __future__ import annotations

from collections.abc import ItemsView, Sequence
from math import log
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, Self, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import column_or_1d
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import (
    _check_partial_fit_first_call,
    check_classification_targets,
    type_of_target,
)
from typednn_kernels.arrays import Matrix, Vector
from typednn_kernels.losses import CODES, LOSSES

from typednn import names
from typednn.network.network import AnyNetwork
from typednn.sklearn.bases import ClassifierMixin
from typednn.sklearn.estimator import Estimator, Real, Targets
from typednn.sklearn.from_network import NetworkBase, check_network
from typednn.sklearn.parameters import (
    CLASSES,
    OURS,
    PERCEPTRON,
    SOLVING,
    Activation,
    Build,
    ClassifierLoss,
    Data,
    DtypeLike,
    Labels,
    LearningRate,
    Metrics,
    Normalizations,
    OptimizerLike,
    OutputActivation,
    Solver,
    Weights,
)
from typednn.sklearn.perceptron import PerceptronBase, usual_activation
from typednn.training.callbacks import CallbackLike
from typednn.training.metrics import weighted_mean
from typednn.validation.arrays import above, class_indices


class LabelWeights(Protocol):
    """A dict of weights by label. The labels may be of any type, which the keys of `Mapping` could not."""

    def items(self) -> ItemsView[object, float]:
        """Returns labels and weights."""
        ...


ClassWeight: TypeAlias = Literal["balanced"] | LabelWeights | None
KINDS = ("binary", "multiclass", "multilabel-indicator")
"""scikit-learn's names of the kinds of targets that a classifier takes."""

OF_CLASSES = ("softmax", "log_softmax")
"""The activations that compare the classes, of which each needs an output."""

PROBABILITIES = (*OF_CLASSES, "sigmoid", "hard_sigmoid")
"""The activations whose outputs are probabilities, or their logarithms."""


class ClassifierBase(ClassifierMixin, Estimator):
    """What classifiers do: number the classes, weigh them, predict labels and probabilities.

    Attributes:
        classes_: the labels in their order; for several labels of a sample, the numbers of the columns.
    """

    class_weight: ClassWeight
    classes_: NDArray[np.generic]
    _multilabel: bool
    _numeric_targets: ClassVar[bool] = False

    if TYPE_CHECKING:

        def score(self, X: Data, y: Labels, sample_weight: Weights = None) -> float:
            """Computes the accuracy."""
            ...

    def predict(self, X: Data) -> NDArray[np.generic]:
        """Predicts labels `(n_samples,)`, or for several labels 0 and 1 `(n_samples, n_classes)`.

        Raises:
            NotFittedError: the estimator is not fitted.
            ValueError: the samples do not fit.
        """
        chosen = self._chosen(self._outputs(X))
        return chosen if self._multilabel else self.classes_[np.minimum(chosen, len(self.classes_) - 1)]

    def predict_proba(self, X: Data) -> Matrix[Real]:
        """Computes probabilities `(n_samples, n_classes)`, if the outputs are these or their logarithms.

        Raises:
            NotFittedError: the estimator is not fitted.
            ValueError: the samples do not fit.
        """
        outputs = self._outputs(X)
        if self.out_activation_ == "log_softmax":
            np.exp(outputs, out=outputs)
        if self._multilabel or self.out_activation_ in OF_CLASSES:
            return outputs
        if outputs.shape[1] > 1:
            outputs[~outputs.any(axis=1)] = 1  # no class is likelier than another
            outputs /= outputs.sum(axis=1, keepdims=True)
            return outputs
        both: Matrix[Real] = np.empty((len(outputs), 2), outputs.dtype)
        np.subtract(1, outputs[:, 0], out=both[:, 0])
        both[:, 1] = outputs[:, 0]
        return both

    def predict_log_proba(self, X: Data) -> Matrix[Real]:
        """Computes the logarithms of `predict_proba`.

        Raises:
            NotFittedError: the estimator is not fitted.
            ValueError: the samples do not fit.
        """
        probabilities = self.predict_proba(X)
        if self.out_activation_ == "log_softmax":
            return self._outputs(X)
        with np.errstate(divide="ignore"):
            np.log(probabilities, out=probabilities)
        return probabilities

    def partial_fit(
        self, X: Data, y: Labels, sample_weight: Weights = None, classes: Labels | None = None
    ) -> Self:
        """Trains for one epoch, with the optimiser as the last call left it; not for "lbfgs".

        Args:
            X: samples, as in `fit`.
            y: labels, as in `fit`.
            sample_weight: weights `(n_samples,)`.
            classes: all labels that will occur, needed by the first call.

        Raises:
            ValueError, TypeError: data or parameters do not fit, or the training diverged.
        """
        if _check_partial_fit_first_call(self, classes) and type_of_target(y).startswith("multilabel"):
            self.classes_ = np.arange(
                cast("Any", y).shape[1] if hasattr(y, "shape") else len(cast("Any", y)[0])
            )
        return self._fit(X, y, sample_weight, None, incremental=True)

    def _chosen(self, outputs: Matrix[Real]) -> NDArray[np.intp]:
        """Returns the place of the class `(n_samples,)`, or for several labels 0 and 1 `(n_samples, n)`."""
        if not self._multilabel and outputs.shape[1] > 1:
            largest: NDArray[np.intp] = outputs.argmax(axis=1)
            return largest
        boundary = LOSSES[self.network_._loss].boundary
        if not self._multilabel:
            return above(outputs, boundary)[:, 0]
        return above(outputs, -log(2) if self.out_activation_ == "log_softmax" else boundary)

    def _score_of(
        self, outputs: Matrix[Real], targets: Matrix[Real], weights: Vector[np.float64] | None
    ) -> float:
        true = above(targets, 0.5) if self._multilabel else class_indices(targets, 0.5)
        right = (self._chosen(outputs) == true).reshape(len(true), -1).all(axis=1)
        return weighted_mean(right, weights)

    def _has_probabilities(self) -> bool:
        """Tells whether outputs are probabilities; before a fit, whether they may be."""
        return not hasattr(self, "network_") or self.network_.layers[-1].actname in PROBABILITIES

    if not TYPE_CHECKING:  # decorators without types would take those of the methods
        predict_proba = available_if(lambda self: self._has_probabilities())(predict_proba)
        predict_log_proba = available_if(lambda self: self._has_probabilities())(predict_log_proba)
        partial_fit = available_if(Estimator._is_stochastic)(partial_fit)

    def _learn_targets(self, y: Targets, *, first: bool, incremental: bool) -> Targets:
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        kind = type_of_target(y, input_name="y")
        if kind == "multiclass-multioutput":
            raise ValueError("Multioutput target data is not supported with label binarization")
        if kind not in KINDS:
            check_classification_targets(y)
        multilabel = kind == "multilabel-indicator"
        if hasattr(y, "toarray"):  # sparse
            y = cast("Any", y).toarray()
        if first and not incremental:
            self.classes_, self._multilabel = (
                np.arange(y.shape[1]) if multilabel else np.unique(y),
                multilabel,
            )
            return y
        if first:
            self._multilabel = multilabel
        if multilabel != self._multilabel or (multilabel and y.shape[1] != len(self.classes_)):
            raise ValueError(f"y must have the form that it had before, not {kind} of shape {y.shape}")
        found = self.classes_ if multilabel else np.unique(y)
        if not incremental and not np.array_equal(found, np.sort(self.classes_)):
            raise ValueError(
                "warm_start can only be used where `y` has the same classes as in the previous call to fit. "
                f"Previously got {self.classes_}, `y` has {found}"
            )
        if len(np.setdiff1d(found, self.classes_, assume_unique=True)):
            raise ValueError(
                f"`y` has classes not in `self.classes_`. `self.classes_` has {self.classes_}. "
                f"'y' has {found}."
            )
        return y

    def _encode(self, y: Targets) -> Targets:
        if self._multilabel:
            return y
        order = np.argsort(self.classes_)  # those of `from_network` have the order of its outputs
        labels: NDArray[np.int64] = order[np.searchsorted(self.classes_, y, sorter=order)]
        if self.n_outputs_ == 1:
            return labels.reshape(-1, 1)
        if LOSSES[self.network_._loss].targets == "classes":
            return labels
        rows: NDArray[np.bool_] = labels.reshape(-1, 1) == np.arange(self.n_outputs_)
        return rows

    def _class_weights(self, y: Targets, *, incremental: bool) -> Vector[np.float64] | None:
        if self.class_weight is None:
            return None
        if incremental and self.class_weight == "balanced":
            raise ValueError(
                "class_weight 'balanced' needs all labels, and partial_fit sees some; give a dict, such as "
                "compute_class_weight returns"
            )
        return compute_sample_weight(self.class_weight, y)

    def _strata(self, y: Targets) -> Targets | None:
        """Returns the labels of two classes, as scikit-learn does; those of more are divided at random."""
        return None if self.n_outputs_ > 1 else self._encode(y).astype(bool)

    def __sklearn_tags__(self) -> Any:
        """Tells scikit-learn what the estimator can do."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


class MLPClassifier(ClassifierBase, PerceptronBase):
    """A multilayer perceptron for classes, with the parameters of scikit-learn's.

    With the same `random_state` and float64 data it computes what scikit-learn's `MLPClassifier` does,
    up to rounding: initial weights, order of samples, steps and losses are the same. The parameters up to
    `max_fun` are scikit-learn's; those after it are added.

    Args:
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
        loss: "log_loss", or a loss of typednn, such as "focal".
        output: the activation of the output layer; by default the one that belongs to the loss.
        dropout: the fraction of hidden units that each step drops, one number or one for each layer.
        normalization: "none", "batch" or "layer", `BatchNorm(...)` or `LayerNorm(...)`, one or one for each
            layer.
        class_weight: "balanced", or weights by label; labels that are missing have 1.
        optimizer: an optimiser of typednn, its name, or a schedule of the solver's learning rate.
        dtype: the dtype of the network; by default that of X if it is float32, else float64.
        callbacks: callbacks of typednn, such as `GradientNorms`.
        metrics: the metrics that `history_` records after each epoch, by name or as functions.
        threads: the largest number of threads of `fit`; by default that of the process.

    >>> from sklearn.datasets import load_iris
    >>> x, y = load_iris(return_X_y=True)
    >>> model = MLPClassifier([16, 8], ["tanh", "gelu"], dropout=0.1, random_state=0, max_iter=400)
    >>> model.fit(x, y).score(x, y) > 0.9
    True
    """

    loss: ClassifierLoss
    _parameter_constraints: ClassVar[dict[str, Any]] = {**PERCEPTRON, **SOLVING, **CLASSES}

    def __init__(
        self,
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
        loss: ClassifierLoss = "log_loss",
        output: OutputActivation | None = None,
        dropout: float | Sequence[float] = 0.0,
        normalization: Normalizations = "none",
        class_weight: ClassWeight = None,
        optimizer: OptimizerLike = None,
        dtype: DtypeLike = None,
        callbacks: Sequence[CallbackLike] = (),
        metrics: Metrics = (),
        threads: int | None = None,
    ) -> None:
        self._store(locals())

    def _shape(self) -> tuple[int, str]:
        count = len(self.classes_)
        loss: str = self.loss
        if loss == "log_loss":
            loss = "bincrossentropy" if self._multilabel or count <= 2 else "crossentropy"
        if self._multilabel or count > 2:
            return count, loss
        of_classes = self.output in OF_CLASSES or LOSSES[CODES[names.loss(loss)]].targets == "classes"
        return 2 if of_classes else 1, loss

    def _has_probabilities(self) -> bool:
        if hasattr(self, "network_") or (self.loss == "log_loss" and self.output is None):
            return super()._has_probabilities()
        if self.output is None and self.loss not in CODES:
            return True  # `fit` says that there is no such loss
        output = self.output or usual_activation(LOSSES[CODES[self.loss]])
        return OURS.get(output, output) in PROBABILITIES


class NetworkClassifier(NetworkBase, ClassifierBase):
    """A classifier that trains any network of typednn.

    The network has one output for each class or, for two classes, one output. The loss is the network's own,
    and so are the penalties of its layers: the loss of a batch is the mean of its samples' losses by weight.

    Args:
        build: a function that returns the layers, or a network, for the numbers of features and of classes;
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
        class_weight: as `MLPClassifier`.
        optimizer: as `MLPClassifier`.
        dtype: as `MLPClassifier`.
        callbacks: as `MLPClassifier`.
        metrics: as `MLPClassifier`.
        threads: as `MLPClassifier`.

    >>> from sklearn.datasets import load_iris
    >>> from typednn import HiddenLayer, InputLayer, OutputLayer
    >>> def build(inputs, classes):
    ...     hidden = HiddenLayer(16, "mish", normalization="layer")
    ...     return [InputLayer(inputs), hidden, OutputLayer(classes, "softmax", "crossentropy")]
    >>> x, y = load_iris(return_X_y=True)
    >>> model = NetworkClassifier(build, learning_rate_init=0.01, tol=1e-2, random_state=0)
    >>> model.fit(x, y).score(x, y) > 0.9
    True
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "build": "no_validation",
        **SOLVING,
        **CLASSES,
    }

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
        class_weight: ClassWeight = None,
        optimizer: OptimizerLike = None,
        dtype: DtypeLike = None,
        callbacks: Sequence[CallbackLike] = (),
        metrics: Metrics = (),
        threads: int | None = None,
    ) -> None:
        self._store(locals())

    @classmethod
    def from_network(cls, network: AnyNetwork, classes: Labels | None = None) -> Self:
        """Returns a fitted classifier that predicts with a trained network, which is not copied.

        Args:
            network: the network.
            classes: the labels, in the order of the outputs; by default 0, 1, 2, …

        Raises:
            TypeError: it is not a network.
            ValueError: there is not one label for each output, or two labels for one output.
        """
        check_network(network)
        model, outputs = cls(network), network.layers[-1].length
        count = max(2, outputs)
        model.classes_ = np.arange(count) if classes is None else np.asarray(classes)
        if model.classes_.shape != (count,):
            raise ValueError(f"classes must be {count} labels, not of shape {model.classes_.shape}")
        if len(np.unique(model.classes_)) < count:
            raise ValueError(f"classes must be {count} different labels, not {model.classes_}")
        exclusive = LOSSES[network._loss].targets in {"classes", "numbers"}
        exclusive |= network.layers[-1].actname in OF_CLASSES
        model._multilabel = outputs > 1 and not exclusive
        model._adopt(network)
        return model

    def _output_count(self) -> int:
        return max(2, len(self.classes_))

    def _fits(self, outputs: int, activation: str) -> bool:
        count = len(self.classes_)
        if outputs == 1:
            return count <= 2 and activation not in OF_CLASSES
        return outputs == (count if self._multilabel else max(2, count))

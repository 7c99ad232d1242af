"""Weights from and to the multilayer perceptrons of scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from typednn_kernels.activations import ActivationName, OutputActivationName
from typednn_kernels.losses import LossName

from typednn.errors import MissingExtraError, WiringError
from typednn.interop.steps import Activation, Affine, Step, network_of, steps_of
from typednn.network.network import AnyNetwork, check_network

if TYPE_CHECKING:
    from sklearn.neural_network import MLPClassifier, MLPRegressor

HIDDEN: dict[str, ActivationName] = {
    "identity": "none",
    "logistic": "sigmoid",
    "tanh": "tanh",
    "relu": "relu",
}
"""By the name in scikit-learn; its estimators have one activation for all hidden layers."""
THEIRS: dict[str, str] = {ours: theirs for theirs, ours in HIDDEN.items()}

OUTPUTS: dict[str, tuple[OutputActivationName, LossName]] = {
    "identity": ("none", "MSE"),
    "logistic": ("sigmoid", "bincrossentropy"),
    "softmax": ("softmax", "crossentropy"),
    "exp": ("exponential", "poisson"),
}
"""By the output activation of a fitted estimator: ours, and the loss that is minimised with it."""


def from_sklearn(estimator: MLPClassifier | MLPRegressor) -> AnyNetwork:
    """Builds a network with the weights of a fitted estimator, exactly or not at all.

    Its outputs are those of `predict_proba`, for two classes the probability of the second alone, or of
    `predict` of a regression. scikit-learn sums losses over the outputs and halves squared errors: a step
    with `learning_rate_init` and `alpha=0` there is one with `learning_rate` times n_outputs here, for MSE
    times n_outputs / 2, for classes that exclude each other the same.

    Raises:
        WiringError: the estimator is not fitted, or an activation has no counterpart here.
    """
    kind: Any = estimator
    if not hasattr(kind, "coefs_") or not hasattr(kind, "out_activation_"):
        raise WiringError(
            f"{type(estimator).__name__}: expected an MLPClassifier or MLPRegressor that is fitted"
        )
    hidden, output = HIDDEN.get(kind.activation), OUTPUTS.get(kind.out_activation_)
    if hidden is None or output is None:
        raise WiringError(
            f"{type(estimator).__name__}: has the activations {kind.activation!r} and "
            f"{kind.out_activation_!r}; layers here have those of {', '.join(HIDDEN)}"
        )
    steps: list[Step] = []
    last = len(kind.coefs_) - 1
    for k, (W, bias) in enumerate(zip(kind.coefs_, kind.intercepts_, strict=True)):
        where = f"coefs_[{k}]"
        steps += [Affine(where, W.T, bias), Activation(where, output[0] if k == last else hidden)]
    if kind.coefs_[0].dtype == np.float32:
        return network_of(steps, np.float32, output[1])
    return network_of(steps, np.float64, output[1])


def to_sklearn(network: AnyNetwork, classes: Sequence[object] | None = None) -> MLPClassifier | MLPRegressor:
    """Builds a fitted estimator with copies of a network's weights.

    Args:
        network: a network whose hidden layers have one of scikit-learn's activations, the same for all.
        classes: for a network whose output activation is softmax, or sigmoid with one output, the sorted
            classes, two for one output; by default 0, 1, …

    Returns:
        An `MLPClassifier` where the output activation is softmax or sigmoid, else an `MLPRegressor`.
        `partial_fit` trains it further, with `alpha=0`.

    Raises:
        MissingExtraError: scikit-learn is not installed.
        WiringError: it is not a network, or no estimator does what the network does; the message names the
            layer.
    """
    check_network(network, "to_sklearn")
    if find_spec("sklearn") is None:
        raise MissingExtraError("scikit-learn", "to_sklearn", "metrics")
    _check(network)
    hidden, output = network.layers[1:-1], network.layers[-1]
    activation = THEIRS[hidden[0].actname] if hidden else "identity"
    settings: dict[str, Any] = {
        "hidden_layer_sizes": tuple(layer.length for layer in hidden),
        "activation": activation,
        "alpha": 0.0,
    }
    if output.actname in {"softmax", "sigmoid"}:
        return _classifier(network, settings, classes)
    if classes is not None:
        raise WiringError(f"{output.name}: predicts numbers, and has no classes")
    return _regressor(network, settings)


def _check(network: AnyNetwork) -> None:
    if network.layers[0].actname != "none":
        raise WiringError(f"{network.layers[0].name}: scikit-learn has no activation of the features")
    hidden, output = network.layers[1:-1], network.layers[-1]
    for layer in network.layers[1:]:
        if layer.normalization != "none" or layer.dropout:
            raise WiringError(f"{layer.name}: scikit-learn has neither normalisation nor dropout")
        if not layer.trainable:
            raise WiringError(f"{layer.name}: is not trainable, which scikit-learn does not know")
        if any(layer._penalties):
            raise WiringError(f"{layer.name}: has a penalty; alpha of scikit-learn is another")
    for one, other in pairwise(hidden):
        if one.actname != other.actname:
            raise WiringError(f"{other.name}: scikit-learn has one activation for all hidden layers")
    if hidden and hidden[0].actname not in THEIRS:
        raise WiringError(f"{hidden[0].name}: scikit-learn has no activation {hidden[0].actname!r}")
    if output.actname not in {ours for ours, _ in OUTPUTS.values()}:
        raise WiringError(f"{output.name}: scikit-learn has no such output activation")


def _classifier(
    network: AnyNetwork, settings: dict[str, Any], classes: Sequence[object] | None
) -> MLPClassifier:
    from sklearn.neural_network import MLPClassifier

    output = network.layers[-1]
    if output.actname == "sigmoid" and output.length > 1:
        if classes is not None:
            raise WiringError(f"{output.name}: has several labels at once, not classes")
        targets: Any = np.ones((2, output.length), np.int64)
        targets[0] = 0
        known: Any = np.arange(output.length)
    else:
        count = 2 if output.actname == "sigmoid" else output.length
        known = np.arange(count) if classes is None else np.array(classes)
        if known.shape != (count,) or count < 2 or (np.unique(known) != known).any():
            raise WiringError(f"{output.name}: expected {count} classes in order, found {classes!r}")
        if output.actname == "softmax" and count == 2:
            raise WiringError(f"{output.name}: scikit-learn has one logistic output for two classes")
        targets = known
    estimator = MLPClassifier(**settings)
    features = np.zeros((len(targets), network.layers[0].length), network.dtype)
    estimator.partial_fit(features, targets, classes=known)
    _set_weights(estimator, network)
    return estimator


def _regressor(network: AnyNetwork, settings: dict[str, Any]) -> MLPRegressor:
    from sklearn.neural_network import MLPRegressor

    output = network.layers[-1]
    if output.actname == "exponential":
        settings["loss"] = "poisson"
    estimator = MLPRegressor(**settings)
    features = np.zeros((1, network.layers[0].length), network.dtype)
    targets = np.ones((1, output.length) if output.length > 1 else (1,), network.dtype)
    estimator.partial_fit(features, targets)
    _set_weights(estimator, network)
    return estimator


def _set_weights(estimator: MLPClassifier | MLPRegressor, network: AnyNetwork) -> None:
    """Replaces the weights of an estimator that has seen one step, and what that step left behind."""
    affine = [step for step in steps_of(network) if isinstance(step, Affine)]
    estimator.coefs_ = [np.array(step.W.T, order="C") for step in affine]
    estimator.intercepts_ = [np.array(step.bias) for step in affine]
    estimator.loss_curve_ = []
    estimator.t_ = estimator.n_iter_ = 0
    estimator.best_loss_ = float("inf")
    vars(estimator).pop("_optimizer", None)

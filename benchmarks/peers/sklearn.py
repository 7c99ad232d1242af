"""scikit-learn: `MLPRegressor` and `MLPClassifier`, trained by `partial_fit` with plain SGD or Adam."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.installed import AbsentError, package
from benchmarks.networks import BETA_1, BETA_2, EPSILON, Array, Task, flat

sklearn: Any = package("sklearn.neural_network")
config_context: Any = package("sklearn").config_context

KINDS: dict[tuple[str, str], str] = {
    ("none", "MSE"): "MLPRegressor",
    ("sigmoid", "bincrossentropy"): "MLPClassifier",
    ("softmax", "crossentropy"): "MLPClassifier",
}
ACTIVATIONS = {"none": "identity", "sigmoid": "logistic", "relu": "relu", "tanh": "tanh"}


class SklearnTrainer:
    """Trains by one call of `partial_fit`, with checks of the data switched off.

    Its loss of a sample is half the sum of squares, or the sum of binary cross-entropies, where ours is the
    mean over the outputs; the learning rate is scaled accordingly.

    Raises:
        AbsentError: the hidden layers have several activations; scikit-learn supports one.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        *hidden, output = task.architecture.activations
        if len(set(hidden)) > 1:
            raise AbsentError("scikit-learn has one activation for all hidden layers")
        lengths, loss = task.architecture.lengths, task.architecture.loss
        mean = {"MSE": 2 / lengths[-1], "bincrossentropy": 1 / lengths[-1], "crossentropy": 1.0}
        self._model: Any = getattr(sklearn, KINDS[output, loss])(
            hidden_layer_sizes=lengths[1:-1],
            activation=ACTIVATIONS[hidden[0]],
            solver=task.optimizer.lower(),
            alpha=0.0,
            batch_size=task.batch_size,
            learning_rate_init=task.learning_rate * mean[loss],
            beta_1=BETA_1,
            beta_2=BETA_2,
            epsilon=EPSILON,
            momentum=0.0,
            nesterovs_momentum=False,
            shuffle=False,
        )
        y = task.labels if loss == "crossentropy" else task.t.astype(int) if output == "sigmoid" else task.t
        self._y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
        classes = {} if loss == "MSE" else {"classes": np.arange(lengths[-1])}
        self._model.partial_fit(task.x[: task.batch_size], self._y[: task.batch_size], **classes)
        self.reset()

    def reset(self) -> None:
        """Restores the initial parameters."""
        for mine, first in zip(self._model.coefs_, self.task.weights, strict=True):
            mine[...] = first.T
        for mine, first in zip(self._model.intercepts_, self.task.biases, strict=True):
            mine[...] = first
        optimizer = self._model._optimizer
        if self.task.optimizer == "Adam":
            optimizer.t = 0
            for array in (*optimizer.ms, *optimizer.vs):
                array[...] = 0

    def train(self, samples: int) -> None:
        """Trains on the first samples."""
        with config_context(assume_finite=True, skip_parameter_validation=True):
            self._model.partial_fit(self.task.x[:samples], self._y[:samples])

    def parameters(self) -> Array:
        """Returns the parameters as one vector."""
        return flat([W.T for W in self._model.coefs_], list(self._model.intercepts_))

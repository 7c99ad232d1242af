"""The training functions of the layer API: plain gradient descent over a list of layers, sample by sample."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias, TypeVar, cast

import numpy as np
from numpy.typing import ArrayLike
from typednn_kernels.arrays import F, Vector

from typednn.errors import NotReadyError, SettingError, WiringError
from typednn.layers import InputLayer, Layer, OutputLayer
from typednn.layers.storage import Storage
from typednn.training.optimizers import SGD
from typednn.training.samples import CheckedSamples, format_of
from typednn.training.trainer import NonFiniteStepError, Trainer
from typednn.validation.arrays import as_real
from typednn.validation.settings import check_count, check_positive, is_number

Layers: TypeAlias = Sequence[Layer[np.float64]] | Sequence[Layer[np.float32]]
A = TypeVar("A", bound=Layers)
"""The type of the user's list of layers."""


def gradient_descent_epoch(
    ANN: A, x: ArrayLike, y: ArrayLike, eta: float, epochs: int
) -> tuple[A, list[float]]:
    """Trains a list of layers by stochastic gradient descent, one sample per step, in the order of the data.

    Args:
        ANN: the layers, attached and with weights, the input layer first.
        x: samples `(n_samples, n_features)`.
        y: targets `(n_samples, n_outputs)`, or integer labels `(n_samples,)` for losses of classes.
        eta: the learning rate.
        epochs: the number of passes over the samples.

    Returns:
        `ANN`, and the mean loss of each epoch, where the loss of a sample is measured before its step.

    Raises:
        WiringError, NotReadyError: the list is not a network, a layer has no weights, or a layer drops units
            and has no generator.
        ShapeError, ArrayTypeError, DataError: the data do not fit.
        SettingError: a setting is outside its range.
        DivergenceError: a step is not finite; the network is as it was before this step.

    >>> from typednn import HiddenLayer, InputLayer, OutputLayer
    >>> ANN = [InputLayer(2), HiddenLayer(4, "tanh"), OutputLayer(1, "sigmoid", "bincrossentropy")]
    >>> for before, layer in zip(ANN, ANN[1:]):
    ...     layer.attach_after(before)
    ...     layer.set_weights("xavier", seed=0)
    >>> x, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [[0], [1], [1], [0]]
    >>> ANN, losses = gradient_descent_epoch(ANN, x, y, eta=0.5, epochs=1000)
    >>> len(losses), losses[-1] < 0.02
    (1000, True)
    """
    check_count("epochs", epochs, 1)
    return ANN, _train(ANN, x, y, eta, epochs)


def gradient_descent_threshold(
    ANN: A, x: ArrayLike, y: ArrayLike, eta: float, thresh: float, max_epochs: int = 10_000
) -> tuple[A, list[float]]:
    """Trains as `gradient_descent_epoch` does until the loss reaches a threshold, or rises.

    Args:
        ANN: the layers, attached and with weights, the input layer first.
        x: samples `(n_samples, n_features)`.
        y: targets `(n_samples, n_outputs)`, or integer labels `(n_samples,)` for losses of classes.
        eta: the learning rate.
        thresh: the mean loss of an epoch at or below which training ends.
        max_epochs: the largest number of epochs.

    Returns:
        `ANN`, and the mean loss of each epoch.

    Raises:
        TypednnError: as `gradient_descent_epoch`.

    >>> from typednn import HiddenLayer, InputLayer, OutputLayer
    >>> ANN = [InputLayer(2), HiddenLayer(4, "tanh"), OutputLayer(1, "sigmoid", "bincrossentropy")]
    >>> for before, layer in zip(ANN, ANN[1:]):
    ...     layer.attach_after(before)
    ...     layer.set_weights("xavier", seed=0)
    >>> x, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [[0], [1], [1], [0]]
    >>> ANN, losses = gradient_descent_threshold(ANN, x, y, eta=0.1, thresh=0.1)
    >>> losses[-1] <= 0.1 < losses[-2]
    True
    """
    check_count("max_epochs", max_epochs, 1)
    if not is_number(thresh):
        raise SettingError(f"thresh must be a finite number, not {thresh!r}")
    return ANN, _train(ANN, x, y, eta, max_epochs, thresh)


def _train(
    ANN: Layers, x: ArrayLike, y: ArrayLike, eta: float, epochs: int, thresh: float | None = None
) -> list[float]:
    """Trains, several epochs at once where they are short, and returns their mean losses.

    Whether a threshold ends the training is known when the epochs of a call have been trained. If it does,
    their steps are undone, and made again up to the epoch that is the last.
    """
    storage, output = _network(cast("Sequence[Layer[np.float64]]", ANN))  # either dtype
    check_positive("eta", eta)
    samples = _samples(output, x, y)
    trainer = Trainer(storage, output._loss_code, 1, SGD(eta))
    means: list[float] = []
    at_once = epochs if thresh is None else 1
    while len(means) < epochs:
        count = min(epochs - len(means), at_once, trainer.epochs_at_once(samples))
        saved = storage.parameters.copy() if count > 1 and thresh is not None else None
        step = trainer.optimizer_state.step
        more, bad = _train_epochs(trainer, samples, count)
        last = None if thresh is None else _last_epoch(means[-1:] + more, thresh)
        if last is not None:
            last -= len(means[-1:])
            if saved is not None and (last < count or bad):
                storage.parameters[...], trainer.optimizer_state.step = saved, step
                more, bad = _train_epochs(trainer, samples, last)
        if bad is not None:
            epoch, sample = divmod(bad.sample, len(samples))
            raise bad.divergence(storage, len(means) + epoch + 1, sample + 1) from None
        means += more
        if last is not None:
            break
        at_once *= 2
    trainer.show()
    return means


def _train_epochs(
    trainer: Trainer[F], samples: CheckedSamples[F], epochs: int
) -> tuple[list[float], NonFiniteStepError | None]:
    """Trains some epochs; returns the mean losses of those that ended, and what ended one early."""
    n, bad = len(samples), None
    losses: Vector[F] = np.empty(epochs * n, trainer.storage.dtype)
    try:
        for _ in trainer.run(samples, trainer.order(n, epochs, False), losses):
            pass
    except NonFiniteStepError as error:
        bad = error
    ended = trainer.done // n
    return losses[: ended * n].reshape(ended, n).mean(axis=1, dtype=np.float64).tolist(), bad


def _last_epoch(losses: Sequence[float], thresh: float) -> int | None:
    """Counts the losses up to the first that reaches the threshold or is above the one before it."""
    for k, loss in enumerate(losses):
        if loss <= thresh or (k > 0 and loss > losses[k - 1]):
            return k + 1
    return None


def _network(ANN: Sequence[Layer[F]]) -> tuple[Storage[F], OutputLayer[F]]:
    given: object = ANN
    if not isinstance(given, Sequence):
        raise WiringError(f"ANN must be a list of layers, the input layer first, not {type(given).__name__}")
    if not ANN or not all(isinstance(layer, Layer) for layer in ANN):
        raise WiringError("ANN must be a list of layers, the input layer first")
    storage, output = ANN[0]._storage, ANN[-1]
    if len(ANN) != len(storage.layers) or any(a is not b for a, b in zip(ANN, storage.layers, strict=True)):
        raise WiringError("ANN must hold the attached layers in order; attach_after(...) attaches them")
    if not isinstance(ANN[0], InputLayer) or not isinstance(output, OutputLayer):
        raise WiringError(f"ANN must go from an input layer to an output layer, not {ANN[0]!r} to {output!r}")
    for k, layer in enumerate(ANN):
        if k > 0 and not storage.has_weights[k]:
            raise NotReadyError(f"{layer.name}: has no weights yet; call set_weights(...) first")
    return storage, output


def _samples(output: OutputLayer[F], x: ArrayLike, y: ArrayLike) -> CheckedSamples[F]:
    sample_format = format_of(output)
    y_array = as_real(y, sample_format.dtype, "y", "ANN")
    if y_array.ndim == 1 and output.length == 1 and not sample_format.classes:
        y_array = y_array.reshape(-1, 1)
    x_array = as_real(x, sample_format.dtype, "x", "ANN")
    return sample_format.samples(x_array, y_array, owner="ANN")

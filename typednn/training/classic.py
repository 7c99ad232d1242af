"""The training functions of the layer API: plain gradient descent over a list of layers, sample by sample."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isfinite
from typing import TypeAlias, TypeVar, cast

import numpy as np
from numpy.typing import ArrayLike
from typednn_kernels.arrays import F

from typednn.errors import NotReadyError, SettingError, WiringError
from typednn.layers import InputLayer, Layer, OutputLayer
from typednn.layers.storage import Storage
from typednn.training.batches import CheckedSamples, format_of
from typednn.training.optimizers import SGD
from typednn.training.trainer import NonFiniteStepError, Trainer
from typednn.validation.arrays import as_real
from typednn.validation.settings import check_count, check_positive

Layers: TypeAlias = Sequence[Layer[np.float64]] | Sequence[Layer[np.float32]]
A = TypeVar("A", bound=Layers)
"""The type of the user's list of layers."""

MAX_STEPS_AT_ONCE = 65536
"""Several epochs of few samples are trained in one call, up to this number of steps."""


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
    """
    check_count("epochs", epochs, 1)
    return ANN, list(_epochs(ANN, x, y, eta, epochs, MAX_STEPS_AT_ONCE))


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
    """
    check_count("max_epochs", max_epochs, 1)
    if not isfinite(thresh):
        raise SettingError(f"thresh must be a finite number, not {thresh!r}")
    losses: list[float] = []
    for loss in _epochs(ANN, x, y, eta, max_epochs, 1):
        losses.append(loss)
        if loss <= thresh or (len(losses) > 1 and loss > losses[-2]):
            break
    return ANN, losses


def _epochs(
    ANN: Layers, x: ArrayLike, y: ArrayLike, eta: float, epochs: int, steps_at_once: int
) -> Iterator[float]:
    """Trains one epoch per call, or several small ones, and yields their mean losses."""
    storage, output = _network(cast("Sequence[Layer[np.float64]]", ANN))  # either dtype
    check_positive("eta", eta)
    samples = _samples(output, x, y)
    trainer = Trainer(storage, output._loss_code, 1, SGD(eta))
    n, done = len(samples), 0
    while done < epochs:
        count = min(epochs - done, max(1, steps_at_once // n))
        losses = np.empty(count * n, storage.dtype)
        try:
            for _ in trainer.run(samples, np.tile(np.arange(n), count), losses):
                pass
        except NonFiniteStepError as bad:
            epoch, step = divmod(bad.sample, n)
            raise bad.divergence(storage, done + epoch + 1, step + 1) from None
        trainer.show()
        done += count
        yield from losses.reshape(count, n).mean(axis=1, dtype=np.float64).tolist()


def _network(ANN: Sequence[Layer[F]]) -> tuple[Storage[F], OutputLayer[F]]:
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

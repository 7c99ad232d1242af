"""The classic training functions: plain gradient descent over a list of layers, sample by sample."""

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
from typednn.validation.settings import check_count, check_fraction

Layers: TypeAlias = Sequence[Layer[np.float64]] | Sequence[Layer[np.float32]]
A = TypeVar("A", bound=Layers)
"""A list of layers, of the type that the user's has."""

STEPS_AT_ONCE = 65536
"""Epochs of few samples are trained several in one call, up to so many steps."""


def gradient_descent_epoch(
    ANN: A, x: ArrayLike, y: ArrayLike, eta: float, epochs: int
) -> tuple[A, list[float]]:
    """Trains sample by sample, in the given order.

    Args:
        ANN: the layers, attached and with weights, the input layer first.
        x: samples `(n_samples, n_features)`.
        y: targets `(n_samples, n_outputs)`, or integer labels `(n_samples,)` with a loss of classes.
        eta: the learning rate.
        epochs: how many times each sample is used.

    Returns:
        `ANN`, and the mean loss of each epoch, each sample's taken before its step.

    Raises:
        WiringError, NotReadyError: the list is not a network, a layer has no weights, or dropout no
            generator.
        ShapeError, ArrayTypeError, DataError: data that do not fit.
        SettingError: a setting outside its range.
        DivergenceError: a step is not finite; the network is as it was before this step.
    """
    check_count("epochs", epochs, 1)
    return ANN, list(_epochs(ANN, x, y, eta, epochs, STEPS_AT_ONCE))


def gradient_descent_threshold(
    ANN: A, x: ArrayLike, y: ArrayLike, eta: float, thresh: float, max_epochs: int = 10_000
) -> tuple[A, list[float]]:
    """Trains as `gradient_descent_epoch` until the loss is good enough, or rises.

    Args:
        ANN: the layers, attached and with weights, the input layer first.
        x: samples `(n_samples, n_features)`.
        y: targets `(n_samples, n_outputs)`, or integer labels `(n_samples,)` with a loss of classes.
        eta: the learning rate.
        thresh: training ends with the first epoch whose mean loss is not above this.
        max_epochs: it ends after so many epochs in any case.

    Returns:
        `ANN`, and the mean loss of each epoch.

    Raises:
        As `gradient_descent_epoch`.
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
    """Trains epoch by epoch, or several small ones at once, and yields their mean losses."""
    chain, output = _network(cast("Sequence[Layer[np.float64]]", ANN))  # either dtype
    check_fraction("eta", eta)
    samples = _classic_data(chain, output, x, y)
    trainer = Trainer(chain, output._loss_code, 1, SGD(eta))
    n, done = len(samples), 0
    while done < epochs:
        count = min(epochs - done, max(1, steps_at_once // n))
        losses = np.empty(count * n, chain.dtype)
        try:
            for _ in trainer.run(samples, np.tile(np.arange(n), count), losses):
                pass
        except NonFiniteStepError as bad:
            epoch, step = divmod(bad.sample, n)
            raise bad.divergence(chain, done + epoch + 1, step + 1) from None
        trainer.show()
        done += count
        yield from losses.reshape(count, n).mean(axis=1, dtype=np.float64).tolist()


def _network(ANN: Sequence[Layer[F]]) -> tuple[Storage[F], OutputLayer[F]]:
    if not ANN or not all(isinstance(layer, Layer) for layer in ANN):
        raise WiringError("ANN must be a list of layers, the input layer first")
    chain, output = ANN[0]._chain, ANN[-1]
    if len(ANN) != len(chain.layers) or any(a is not b for a, b in zip(ANN, chain.layers, strict=True)):
        raise WiringError("ANN must hold the attached layers in order; attach_after(...) attaches them")
    if not isinstance(ANN[0], InputLayer) or not isinstance(output, OutputLayer):
        raise WiringError(f"ANN must go from an input layer to an output layer, not {ANN[0]!r} to {output!r}")
    for k, layer in enumerate(ANN):
        if k > 0 and not chain.has_weights[k]:
            raise NotReadyError(f"{layer.name}: has no weights yet; call set_weights(...) first")
    return chain, output


def _classic_data(chain: Storage[F], output: OutputLayer[F], x: ArrayLike, y: ArrayLike) -> CheckedSamples[F]:
    takes = format_of(chain)
    y_array = as_real(y, chain.dtype, "y", "ANN")
    if y_array.ndim == 1 and output.length == 1 and not takes.classes:
        y_array = y_array.reshape(-1, 1)
    x_array = as_real(x, chain.dtype, "x", "ANN")
    return takes.samples(x_array, y_array, owner="ANN")

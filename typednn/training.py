"""Training: whole epochs in compiled calls, none of which lasts long.

A call to the kernels trains a piece of an epoch, of about `PIECE` seconds, so that Ctrl-C is answered
between pieces, with the network as it was after the last of them.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import isfinite
from time import perf_counter
from typing import Generic, TypeAlias, TypeVar, cast

import numpy as np
from numpy.typing import ArrayLike
from typednn_kernels.arrays import F, Matrix, Order, Vector
from typednn_kernels.losses import CODES as LOSS_CODES
from typednn_kernels.losses import LOSSES

from typednn.arrays import as_matrix, as_real, as_targets, check_range, check_same_length
from typednn.backends import kernels
from typednn.chains import Chain, Workspace
from typednn.errors import DivergenceError, NotReadyError, SettingError, WiringError
from typednn.layers import InputLayer, Layer, OutputLayer

Layers: TypeAlias = Sequence[Layer[np.float64]] | Sequence[Layer[np.float32]]
A = TypeVar("A", bound=Layers)
"""A list of layers, of the type that the user's has."""

BATCH_SIZE = 32
"""Samples per step where the user says nothing."""

PIECE = 0.05
STEPS_AT_ONCE = 65536
"""Epochs of few samples are trained several in one call, up to so many steps."""


@dataclass(slots=True)
class History:
    """The mean losses of a training, by epoch.

    Attributes:
        loss: of the training samples, each taken before the step that it is part of.
        validation_loss: of the held-out samples after each epoch; empty without them.
    """

    loss: list[float] = field(default_factory=list[float])
    validation_loss: list[float] = field(default_factory=list[float])

    def __str__(self) -> str:
        """The last epoch in a line."""
        if not self.loss:
            return "no epoch yet"
        line = f"epoch {len(self.loss)}: loss {self.loss[-1]:.3g}"
        return line + (f", validation {self.validation_loss[-1]:.3g}" if self.validation_loss else "")


class Trainer(Generic[F]):
    """Runs steps of gradient descent over some samples, piece by piece."""

    def __init__(
        self, chain: Chain[F], loss: int, x: Matrix[F], t: Matrix[F], batch_size: int, learning_rate: float
    ) -> None:
        self.chain: Chain[F] = chain
        self.loss: int = loss
        self.x: Matrix[F] = x
        self.t: Matrix[F] = t
        self.batch_size = batch_size
        self.learning_rate: F = chain.dtype.type(learning_rate)
        self.workspace: Workspace[F] = chain.new_workspace(batch_size)
        self.gradient: Vector[F] = np.empty_like(chain.parameters)
        self.piece: int = max(1, int(2e6 / (chain.parameters.size + 1000)))

    def run(self, order: Order, losses: Vector[F]) -> None:
        """Trains with the samples of `order`; the loss of each goes to `losses`."""
        start = 0
        while start < len(order):
            steps = -(-self.piece // self.batch_size) * self.batch_size
            piece = slice(start, min(start + steps, len(order)))
            began = perf_counter()
            self._train(_read_only_order(order[piece]), losses[piece])
            elapsed = perf_counter() - began
            if piece.stop - start == steps:
                self.piece = max(1, int(steps * min(8.0, PIECE / max(elapsed, 1e-9))))
            start = piece.stop

    def _train(self, order: Order, losses: Vector[F]) -> None:
        chain, work = self.chain, self.workspace
        run = kernels()
        if self.batch_size == 1:
            run.train_online(
                chain.parameters,
                chain.layout,
                self.loss,
                self.x,
                self.t,
                order,
                self.learning_rate,
                work.a,
                work.h,
                work.dLdh,
                work.dLda,
                losses,
            )
        else:
            run.train_batches(
                chain.parameters,
                chain.layout,
                self.loss,
                self.x,
                self.t,
                order,
                self.batch_size,
                self.learning_rate,
                work.a,
                work.h,
                work.dLdh,
                work.dLda,
                self.gradient,
                losses,
            )

    def show(self, steps: int) -> None:
        """Lets the layers show the last of so many steps."""
        self.workspace.hold((steps - 1) % self.batch_size + 1)
        self.workspace.complete_forward()
        self.workspace.complete_backward()
        self.chain.show(self.workspace)


def train(
    chain: Chain[F],
    loss: int,
    x: Matrix[F],
    t: Matrix[F],
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    random: np.random.Generator | None,
    validate: Callable[[], float] | None,
    on_epoch: Callable[[History], None] | None,
) -> History:
    """What `Network.fit` does, with checked data; `random` draws the order of samples."""
    check_count("epochs", epochs, 1)
    check_count("batch_size", batch_size, 1, len(x))
    check_rate("learning_rate", learning_rate)
    trainer = Trainer(chain, loss, x, t, int(batch_size), learning_rate)
    order: Order = np.arange(len(x))
    losses: Vector[F] = np.empty(len(x), chain.dtype)
    history = History()
    with _unchanged_by_divergence(chain, random):
        for epoch in range(epochs):
            if random is not None:
                random.shuffle(order)
            trainer.run(order, losses)
            history.loss.append(_checked_mean(chain, losses, epoch))
            trainer.show(len(order))
            if validate is not None:
                history.validation_loss.append(validate())
            if on_epoch is not None:
                on_epoch(history)
    return history


def gradient_descent_epoch(
    ANN: A, x: ArrayLike, y: ArrayLike, eta: float, epochs: int
) -> tuple[A, list[float]]:
    """Trains sample by sample, in the given order.

    Args:
        ANN: the layers, attached and with weights, the input layer first.
        x: samples `(n_samples, n_features)`.
        y: targets `(n_samples, n_outputs)`, or with crossentropy integer labels `(n_samples,)`.
        eta: the learning rate.
        epochs: how many times each sample is used.

    Returns:
        `ANN`, and the mean loss of each epoch, each sample's taken before its step.

    Raises:
        WiringError, NotReadyError: the list is not a network, or a layer has no weights.
        ShapeError, ArrayTypeError, DataError: data that do not fit.
        SettingError: a setting outside its range.
        DivergenceError: the loss became infinite or NaN; the network is as it was before.
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
        y: targets `(n_samples, n_outputs)`, or with crossentropy integer labels `(n_samples,)`.
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
    check_rate("eta", eta)
    samples, targets = _classic_data(chain, output, x, y)
    trainer = Trainer(chain, LOSS_CODES[output.lossfnname], samples, targets, 1, eta)
    n = len(samples)
    done = 0
    with _unchanged_by_divergence(chain, None):
        while done < epochs:
            count = min(epochs - done, max(1, steps_at_once // n))
            losses = np.empty(count * n, chain.dtype)
            trainer.run(np.tile(np.arange(n), count), losses)
            means = [
                _checked_mean(chain, epoch, done + k) for k, epoch in enumerate(losses.reshape(count, n))
            ]
            trainer.show(n)
            done += count
            yield from means


def _network(ANN: Sequence[Layer[F]]) -> tuple[Chain[F], OutputLayer[F]]:
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


def _classic_data(
    chain: Chain[F], output: OutputLayer[F], x: ArrayLike, y: ArrayLike
) -> tuple[Matrix[F], Matrix[F]]:
    row = LOSSES[LOSS_CODES[output.lossfnname]]
    samples = as_matrix(as_real(x, chain.dtype, "x", "ANN"), chain.layers[0].length, chain.dtype, "x", "ANN")
    y_array = as_real(y, chain.dtype, "y", "ANN")
    classes = row.name == "crossentropy"
    if y_array.ndim == 1 and output.length == 1 and not classes:
        y_array = y_array.reshape(-1, 1)
    targets = as_targets(y_array, output.length, chain.dtype, classes, "ANN")
    check_range(targets, row.target_minimum, row.target_maximum, "y", "ANN")
    check_same_length(samples, targets, "ANN")
    return samples, targets


@contextmanager
def _unchanged_by_divergence(chain: Chain[F], random: np.random.Generator | None) -> Generator[None]:
    """Where training diverges, the network is left as it was before."""
    parameters, workspace, has_gradient = chain.parameters.copy(), chain.workspace, chain.has_gradient
    state = None if random is None else random.bit_generator.state
    try:
        yield
    except DivergenceError:
        chain.parameters[...] = parameters
        chain.workspace, chain.has_gradient = workspace, has_gradient
        if random is not None and state is not None:
            random.bit_generator.state = state
        raise


def _checked_mean(chain: Chain[F], losses: Vector[F], epoch: int) -> float:
    with np.errstate(all="ignore"):
        mean = float(losses.mean(dtype=np.float64))
        healthy = isfinite(mean) and bool(np.isfinite(chain.parameters).all())
    if not healthy:
        wrong = np.flatnonzero(~np.isfinite(losses))
        place = f"at step {wrong[0] + 1} of epoch {epoch + 1}" if len(wrong) else f"in epoch {epoch + 1}"
        raise DivergenceError(
            f"training diverged {place}: the loss is not finite any more; the network is as it was before. "
            "A smaller learning rate helps"
        )
    return mean


def _read_only_order(order: Order) -> Order:
    view = order.view()
    view.setflags(write=False)
    return view


def check_count(name: str, value: int, lowest: int, highest: int | None = None) -> None:
    """Raises SettingError where a number of things is none, or outside its range."""
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or value < lowest or (highest is not None and value > highest):
        limit = f"of {lowest} or more" if highest is None else f"from {lowest} to {highest}, the samples"
        raise SettingError(f"{name} must be an integer {limit}, not {value!r}")


def check_rate(name: str, value: float) -> None:
    """Raises SettingError where a learning rate is not a positive finite number."""
    number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not number or not isfinite(value) or value <= 0:
        raise SettingError(f"{name} must be a positive finite number, not {value!r}")

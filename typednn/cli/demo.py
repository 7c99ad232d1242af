"""The demonstration: trains a network to read scikit-learn's scanned handwritten digits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np
from numpy.typing import NDArray
from typednn_kernels.arrays import Matrix

from typednn.backends import backend, use_backend
from typednn.data.preprocessing import held_out_split
from typednn.errors import MissingExtraError
from typednn.gradient_checking import GradientReport, gradcheck
from typednn.layers import HiddenLayer, InputLayer, OutputLayer
from typednn.names import BackendName
from typednn.network.network import Network
from typednn.training.history import History
from typednn.validation.arrays import Labels

SIDE = 8
"""Width and height of an image in pixels."""

HELD_OUT = 0.2
SPLIT_SEED = 0
"""The seed of the split, constant so that runs can be compared."""

TURN_DEGREES = 12
HIDDEN = 128
BATCH = 32
EPOCHS = 30
RATES = 0.2, 0.02
"""The learning rate of the first four fifths of the epochs, and that of the last fifth."""

ROUND_SECONDS = 0.03
ROUNDS = 5
"""A time per step is the best of this number of rounds."""


@dataclass(frozen=True, slots=True)
class Digits:
    """Images, as rows of 64 pixels from 0 to 1, and the digits that they show.

    Attributes:
        x, y: training images `(n, 64)` and digits `(n,)`: the scans, then shifted and rotated copies.
        scans: the number of scans among them.
        held_x, held_y: held-out images and digits.
    """

    x: Matrix[np.float32]
    y: Labels
    scans: int
    held_x: Matrix[np.float32]
    held_y: Labels


@dataclass(slots=True)
class Curves:
    """The losses and accuracies of training and held-out digits, epoch by epoch."""

    loss: list[float] = field(default_factory=list[float])
    held_loss: list[float] = field(default_factory=list[float])
    accuracy: list[float] = field(default_factory=list[float])
    held_accuracy: list[float] = field(default_factory=list[float])


@dataclass(frozen=True, slots=True)
class Demonstration:
    """A trained network and its results.

    Attributes:
        network: the trained network.
        digits: the data.
        curves: losses and accuracies by epoch.
        probabilities: the outputs of the network for the held-out digits, `(n, 10)`.
    """

    network: Network[np.float32]
    digits: Digits
    curves: Curves
    probabilities: Matrix[np.float32]

    @property
    def read(self) -> Labels:
        """The predicted digits of the held-out scans, `(n,)`."""
        digits: Labels = self.probabilities.argmax(axis=1)
        return digits

    @property
    def wrong(self) -> int:
        """The number of wrong predictions."""
        return int((self.read != self.digits.held_y).sum())

    @property
    def accuracy(self) -> float:
        """The fraction of correct predictions."""
        return 1 - self.wrong / len(self.digits.held_y)

    def check_gradients(self) -> GradientReport:
        """Checks the gradients of the trained network for a batch of held-out digits."""
        return gradcheck(self.network, self.digits.held_x[:BATCH], self.digits.held_y[:BATCH])


@dataclass(frozen=True, slots=True)
class StepTime:
    """The time of a training step on each path in microseconds; None where the path was not timed."""

    batch_size: int
    numpy: float
    numba: float | None


def scanned_digits() -> Digits:
    """Loads the 1797 scans, holds out a fifth of each digit, and augments the others.

    The copies are shifted by a pixel up, down, left and right, and rotated by 12 degrees either way.

    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    from scipy.ndimage import rotate

    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise MissingExtraError("scikit-learn", "the demo, for its scanned digits,", "cli") from None
    pixels, digits = load_digits(return_X_y=True)
    x: NDArray[np.float32] = (pixels / 16).astype(np.float32)
    y: Labels = digits
    scans, held = held_out_split(len(x), HELD_OUT, SPLIT_SEED, y)
    images = np.pad(x[scans].reshape(-1, SIDE, SIDE), ((0, 0), (1, 1), (1, 1)))
    shifted = [
        images[:, row : row + SIDE, column : column + SIDE].reshape(len(scans), SIDE * SIDE)
        for row, column in ((1, 1), (0, 1), (2, 1), (1, 0), (1, 2))
    ]
    rotated = [
        rotate(x[scans].reshape(-1, SIDE, SIDE), angle, (1, 2), reshape=False, order=1).reshape(
            len(scans), -1
        )
        for angle in (-TURN_DEGREES, TURN_DEGREES)
    ]
    copies = [*shifted, *rotated]
    return Digits(np.concatenate(copies), np.tile(y[scans], len(copies)), len(scans), x[held], y[held])


def new_network(seed: int) -> Network[np.float32]:
    """Makes the network: 64 pixels, 128 hidden units, ten probabilities."""
    layers = [
        InputLayer(SIDE * SIDE),
        HiddenLayer(HIDDEN, "relu", weights="xavier"),  # smaller than He's: a clearer picture
        OutputLayer(10, "softmax", "crossentropy"),
    ]
    return Network(layers, np.float32, seed)


def demonstrate(
    digits: Digits, epochs: int = EPOCHS, seed: int = 0, on_epoch: Callable[[Curves], None] | None = None
) -> Demonstration:
    """Trains a network and predicts the held-out digits."""
    network, curves = new_network(seed), Curves()
    scans, scanned = digits.x[: digits.scans], digits.y[: digits.scans]

    def record(history: History) -> None:
        held = network.evaluate(digits.held_x, digits.held_y)
        curves.loss.append(history.loss[-1])
        curves.held_loss.append(held.loss)
        curves.accuracy.append(network.evaluate(scans, scanned).accuracy or 0.0)
        curves.held_accuracy.append(held.accuracy or 0.0)
        if on_epoch is not None:
            on_epoch(curves)

    last = epochs // 5
    for count, rate in zip((epochs - last, last), RATES, strict=True):
        if count:
            network.fit(
                digits.x, digits.y, epochs=count, batch_size=BATCH, learning_rate=rate, on_epoch=record
            )
    return Demonstration(network, digits, curves, network.predict(digits.held_x))


def step_times(digits: Digits) -> list[StepTime]:
    """Times a training step of the demonstration's network, for one sample and for a batch.

    The paths are timed in turns, so that a busy machine slows both. Where NumPy is the active backend, only
    its path is timed.
    """
    paths: list[BackendName] = ["numpy", "numba"] if backend() == "numba" else ["numpy"]
    times: list[StepTime] = []
    for batch_size in (1, BATCH):
        best = dict.fromkeys(paths, float("inf"))
        for _ in range(ROUNDS):
            for path in paths:
                with use_backend(path):
                    best[path] = min(best[path], _step_time(digits, batch_size))
        times.append(StepTime(batch_size, best["numpy"], best.get("numba")))
    return times


def _step_time(digits: Digits, batch_size: int) -> float:
    """Measures the microseconds per step, over enough steps to be accurate."""
    network = new_network(0)
    samples = 16 * BATCH
    x, y = digits.x[:samples], digits.y[:samples]
    epochs = 1
    while True:
        began = perf_counter()
        network.fit(x, y, epochs=epochs, batch_size=batch_size, learning_rate=0.01)
        elapsed = perf_counter() - began
        if elapsed > ROUND_SECONDS:
            return elapsed / (epochs * (samples // batch_size)) * 1e6
        epochs *= 4

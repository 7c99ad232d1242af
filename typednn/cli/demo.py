"""The demonstration: a network learns to read the scanned handwritten digits that scikit-learn has."""

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
"""The digits are images of 8 x 8 pixels."""

HELD_OUT = 0.2
SPLIT_SEED = 0
"""The held-out digits are the same in every run, so that runs can be compared."""

TURN = 12
"""Degrees."""

HIDDEN = 128
BATCH = 32
EPOCHS = 30
RATES = 0.2, 0.02
"""The learning rate of the first four fifths of the epochs, and that of the last fifth."""

TIMED = 0.03
ROUNDS = 5
"""A time per step is the best of so many rounds of about so many seconds."""


@dataclass(frozen=True, slots=True)
class Digits:
    """Images as rows of 64 numbers from 0 to 1, and the digits that they show.

    Attributes:
        x, y: `(n, 64)` and `(n,)`, to train with: the scans, then their copies, moved or turned.
        scans: how many of them are scans.
        held_x, held_y: what the network does not see before it is tested.
    """

    x: Matrix[np.float32]
    y: Labels
    scans: int
    held_x: Matrix[np.float32]
    held_y: Labels


@dataclass(slots=True)
class Curves:
    """What an epoch leaves: losses, and shares of digits read rightly; of training and held-out digits."""

    loss: list[float] = field(default_factory=list[float])
    held_loss: list[float] = field(default_factory=list[float])
    accuracy: list[float] = field(default_factory=list[float])
    held_accuracy: list[float] = field(default_factory=list[float])


@dataclass(frozen=True, slots=True)
class Demonstration:
    """A trained network with all there is to show.

    Attributes:
        probabilities: what the network says of the held-out digits, `(n, 10)`.
    """

    network: Network[np.float32]
    digits: Digits
    curves: Curves
    probabilities: Matrix[np.float32]

    @property
    def read(self) -> Labels:
        """The digits that the network reads in the held-out scans, `(n,)`."""
        digits: Labels = self.probabilities.argmax(axis=1)
        return digits

    @property
    def wrong(self) -> int:
        """How many of them are wrong."""
        return int((self.read != self.digits.held_y).sum())

    @property
    def accuracy(self) -> float:
        """The share of them that is right."""
        return 1 - self.wrong / len(self.digits.held_y)

    def check_gradients(self) -> GradientReport:
        """The gradients of the trained network, for a batch of held-out digits."""
        return gradcheck(self.network, self.digits.held_x[:BATCH], self.digits.held_y[:BATCH])


@dataclass(frozen=True, slots=True)
class StepTime:
    """Microseconds per training step; None where the path was not timed."""

    batch_size: int
    numpy: float
    numba: float | None


def scanned_digits() -> Digits:
    """The 1797 scans, a fifth of each digit held out; to the others come copies, moved and turned.

    They are moved by a pixel up, down, left and right, and turned by 12 degrees either way.

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
    moved = [
        images[:, row : row + SIDE, column : column + SIDE].reshape(len(scans), SIDE * SIDE)
        for row, column in ((1, 1), (0, 1), (2, 1), (1, 0), (1, 2))
    ]
    turned = [
        rotate(x[scans].reshape(-1, SIDE, SIDE), angle, (1, 2), reshape=False, order=1).reshape(
            len(scans), -1
        )
        for angle in (-TURN, TURN)
    ]
    copies = [*moved, *turned]
    return Digits(np.concatenate(copies), np.tile(y[scans], len(copies)), len(scans), x[held], y[held])


def new_network(seed: int) -> Network[np.float32]:
    """64 pixels in, ten probabilities out."""
    layers = [
        InputLayer(SIDE * SIDE),
        HiddenLayer(HIDDEN, "relu", weights="xavier"),  # smaller than He's: a clearer picture
        OutputLayer(10, "softmax", "crossentropy"),
    ]
    return Network(layers, np.float32, seed)


def demonstrate(
    digits: Digits, epochs: int = EPOCHS, seed: int = 0, on_epoch: Callable[[Curves], None] | None = None
) -> Demonstration:
    """Trains a network, and has it read the held-out digits."""
    network, curves = new_network(seed), Curves()
    scans, scanned = digits.x[: digits.scans], digits.y[: digits.scans]

    def note(history: History) -> None:
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
            network.fit(digits.x, digits.y, epochs=count, batch_size=BATCH, learning_rate=rate, on_epoch=note)
    return Demonstration(network, digits, curves, network.predict(digits.held_x))


def step_times(digits: Digits) -> list[StepTime]:
    """Times a training step of the demonstration's network, for one sample and for a batch.

    The paths take turns, so that a busy machine slows both; where NumPy is the active backend, it alone is
    timed.
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
    """Microseconds per step, over as many steps as take a while."""
    network = new_network(0)
    samples = 16 * BATCH
    x, y = digits.x[:samples], digits.y[:samples]
    epochs = 1
    while True:
        began = perf_counter()
        network.fit(x, y, epochs=epochs, batch_size=batch_size, learning_rate=0.01)
        elapsed = perf_counter() - began
        if elapsed > TIMED:
            return elapsed / (epochs * (samples // batch_size)) * 1e6
        epochs *= 4

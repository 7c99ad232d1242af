"""What a training calls while it runs: to watch it, to stop it, to keep it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from math import inf
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from typednn_kernels.arrays import Vector

from typednn.errors import SettingError
from typednn.formats.atomic import PathLike
from typednn.layers import Layer
from typednn.records import Record
from typednn.training.history import History
from typednn.training.metrics import CurveName, higher_is_better
from typednn.validation.settings import check_count

Arrays: TypeAlias = Mapping[str, NDArray[np.generic]]


class RunState(Record):
    """All that an exact continuation needs, after an epoch.

    Attributes:
        arrays: parameters, what the optimiser keeps, history, and what callbacks keep, by name.
        random: the state of the generator that draws the order of samples, as JSON can hold it.
    """

    arrays: dict[str, NDArray[np.generic]]
    random: object


class Run(ABC):
    """A training while it runs: what callbacks see.

    Attributes:
        history: of the epochs that are over.
        epochs: how many there are to be.
        step: the steps made in this epoch.
    """

    history: History
    epochs: int
    step: int

    @property
    @abstractmethod
    def layers(self) -> tuple[Layer[np.float32] | Layer[np.float64], ...]:
        """The layers; they show the activations and gradients of the last step."""

    @property
    @abstractmethod
    def parameters(self) -> Vector[np.float32 | np.float64]:
        """All weights, biases and gains, then moving means and variances; the memory itself, `(n,)`."""

    @property
    def epoch(self) -> int:
        """How many epochs are over."""
        return len(self.history.loss)

    @abstractmethod
    def stop(self) -> None:
        """Ends the training after this epoch, or if `on_batch` says so, after this step."""

    @abstractmethod
    def state(self) -> RunState:
        """What `restore` needs to go on from here, to be called after an epoch."""

    @abstractmethod
    def restore(self, state: RunState) -> None:
        """Goes on from a state; only `on_begin` may do so.

        Raises:
            ValueError: it is the state of another training; nothing is changed.
        """


class Callback:
    """Something that a training calls. A subclass overrides what it needs; the rest costs nothing.

    Example:
        class Report(Callback):
            def on_epoch(self, run: Run) -> None:
                print(run.epoch, run.history.loss[-1])
    """

    comes_last = False
    """Whether it is called after all others: those that keep the state of the others are."""

    def on_begin(self, run: Run) -> None:
        """Before the first step."""

    def on_batch(self, run: Run) -> None:
        """After each step. Where a callback overrides this, each step is a call of its own to the kernels."""

    def on_epoch(self, run: Run) -> None:
        """After each epoch, when its loss, validation and metrics are in the history."""

    def on_end(self, run: Run) -> None:
        """After the last epoch; not where an exception ends the training."""

    def state(self) -> Arrays:
        """What a checkpoint keeps of it: arrays by name."""
        return {}

    def restore(self, state: Arrays, run: Run) -> None:
        """Takes back what `state` gave; the history is restored already."""


class EarlyStopping(Callback):
    """Ends the training when a curve gets no better.

    Args:
        monitor: the name of the curve; losses and errors should fall, the other metrics rise.
        min_delta: what is better by less is not better.
        patience: after so many epochs without a better one the training ends.
        restore_best_weights: whether in the end the network gets the parameters of the best epoch, and the
            moving means and variances. (In Keras this has to be asked for.)

    Attributes:
        best_epoch: counted from 1; 0 before the first.
        best: the value of the curve there.

    Raises:
        SettingError: a setting outside its range.
    """

    min_delta: float
    patience: int
    restore_best_weights: bool
    best_epoch: int
    best: float

    def __init__(
        self,
        monitor: CurveName = "validation_loss",
        *,
        min_delta: float = 0.0,
        patience: int = 0,
        restore_best_weights: bool = True,
    ) -> None:
        check_count("patience", patience, 0)
        if not 0 <= min_delta < inf:
            raise SettingError(f"min_delta must be a finite number of 0 or more, not {min_delta!r}")
        self.monitor: CurveName = monitor
        self.min_delta, self.patience, self.restore_best_weights = min_delta, patience, restore_best_weights
        self._rising = higher_is_better(monitor)
        self.best_epoch, self.best = 0, -inf if self._rising else inf
        self._parameters: NDArray[np.generic] | None = None

    def on_begin(self, run: Run) -> None:
        """Forgets an earlier training."""
        self.best_epoch, self.best, self._parameters = 0, -inf if self._rising else inf, None

    def on_epoch(self, run: Run) -> None:
        """Looks at the last value; NaN is never better.

        Raises:
            UnknownNameError: the history has no such curve.
        """
        value = run.history.curve(self.monitor)[-1]
        gain = value - self.best if self._rising else self.best - value
        if gain > self.min_delta:
            self.best_epoch, self.best = run.epoch, value
            if self.restore_best_weights:
                self._parameters = run.parameters.copy()
        self._stop_if_late(run)

    def on_end(self, run: Run) -> None:
        """Restores the best weights."""
        if self._parameters is not None:
            run.parameters[...] = self._parameters

    def state(self) -> Arrays:
        """The best epoch, its value and its parameters."""
        found: dict[str, NDArray[np.generic]] = {"best": np.array([self.best_epoch, self.best])}
        if self._parameters is not None:
            found["parameters"] = self._parameters
        return found

    def restore(self, state: Arrays, run: Run) -> None:
        """Goes on from there, or ends where the training had come to its end."""
        epoch, self.best = map(float, state["best"])
        self.best_epoch = int(epoch)
        if self.restore_best_weights and self.best_epoch:
            self._parameters = state["parameters"].reshape(run.parameters.shape)
        self._stop_if_late(run)

    def _stop_if_late(self, run: Run) -> None:
        if run.epoch - self.best_epoch >= max(1, self.patience):
            run.stop()


class GradientNorms(Callback):
    """Records how the gradient flows through the layers. It looks at each step, which takes its time.

    Attributes:
        norms: for each epoch the Euclidean norms of dLdW, the mean over the steps, the first hidden layer
            first.
    """

    def __init__(self) -> None:
        self.norms: list[list[float]] = []
        self._sums: Vector[np.float64] = np.zeros(0)

    def on_begin(self, run: Run) -> None:
        """Forgets an earlier training."""
        self.norms, self._sums = [], np.zeros(len(run.layers) - 1)

    def on_batch(self, run: Run) -> None:
        """Takes the norms from the layers."""
        self._sums += [float(np.linalg.norm(layer.dLdW)) for layer in run.layers[1:]]

    def on_epoch(self, run: Run) -> None:
        """Makes their means."""
        self.norms.append((self._sums / run.step).tolist())
        self._sums[...] = 0

    def plot(self, path: PathLike) -> None:
        """Draws the norms of each layer over the epochs into a file.

        Args:
            path: its ending says of which kind: `.png`, `.svg`, `.pdf`.

        Raises:
            MissingExtraError: matplotlib is not installed.
            OSError: the file cannot be written.
        """
        from typednn.plotting.curves import draw_gradient_norms

        draw_gradient_norms(self.norms, path)

    def state(self) -> Arrays:
        """The norms so far."""
        return {"norms": np.array(self.norms, np.float64)} if self.norms else {}

    def restore(self, state: Arrays, run: Run) -> None:
        """Goes on from there."""
        self.norms = state["norms"].astype(np.float64).reshape(run.epoch, len(run.layers) - 1).tolist()

"""Callbacks: objects that a training calls while it runs, to watch it, stop it or save its state.

A logger of learning rates:

>>> from typednn import CosineDecay, InputLayer, Network, OutputLayer
>>> class Rates(Callback):
...     def on_begin(self, run: Run) -> None:
...         self.rates = [run.learning_rate]
...     def on_batch(self, run: Run) -> None:
...         self.rates.append(run.learning_rate)
>>> x, rates = np.linspace(-1, 1, 64).reshape(-1, 1), Rates()
>>> network = Network([InputLayer(1), OutputLayer(1)], seed=0)
>>> history = network.fit(x, 2 * x, epochs=1, learning_rate=CosineDecay(0.1, 2), callbacks=[rates])
>>> [round(rate, 6) for rate in rates.rates]
[0.1, 0.05, 0.0]

A learning-rate finder, which raises the rate at each step until the loss grows (Smith 2017,
"Cyclical learning rates for training neural networks", section 3.3):

>>> class RateFinder(Callback):
...     def on_begin(self, run: Run) -> None:
...         self.losses: dict[float, float] = {}
...         run.learning_rate = 1e-3
...     def on_batch(self, run: Run) -> None:
...         self.losses[run.learning_rate] = run.step_loss
...         run.learning_rate *= 1.5
...         if run.step_loss > 4 * min(self.losses.values()):
...             run.stop()
>>> finder = RateFinder()
>>> history = network.fit(x, 2 * x, epochs=100, callbacks=[finder])
>>> 0.1 < min(finder.losses, key=finder.losses.__getitem__) < 10
True
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from math import inf
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from typednn_kernels.arrays import F, Matrix, Vector

from typednn.attributes import KnownAttributes
from typednn.errors import DataError, SettingError, UnknownNameError
from typednn.formats.atomic import PathLike
from typednn.layers import AnyLayer
from typednn.records import Record
from typednn.training.history import History
from typednn.training.metrics import CurveName, higher_is_better
from typednn.validation.settings import check_bool, check_count, check_nonnegative

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Arrays: TypeAlias = Mapping[str, NDArray[np.generic]]


class RunState(Record):
    """The state of a training after an epoch, from which it continues to the bit.

    Attributes:
        arrays: the parameters, the history, and the states of the optimiser and the callbacks, by name.
        random: the state of the network's generator, as a JSON value.
    """

    arrays: dict[str, NDArray[np.generic]]
    random: object


def check_state(state: RunState) -> None:
    """Checks that a training can continue from a state: that it has no NaN where a training has none.

    Metrics and validation losses may be NaN: some are not defined for some samples.

    Raises:
        DataError: the parameters or the training losses are not finite, or a state of the optimiser is NaN.
    """
    for name, array in state.arrays.items():
        if array.dtype.kind != "f":
            continue
        if name in {"parameters", "history.loss"}:
            if not np.isfinite(array).all():
                raise DataError(f"expected finite numbers in {name}, found NaN or infinity")
        elif name.startswith("optimizer.") and np.isnan(array).any():
            raise DataError(f"expected numbers in {name}, found NaN")


class Run(ABC):
    """A running training, as callbacks see it."""

    __slots__ = ("__weakref__", "_curves", "_epochs", "_history", "_step")

    _history: History
    _epochs: int
    _step: int
    _curves: tuple[str, ...]

    @property
    def history(self) -> History:
        """The history of the epochs that have ended."""
        return self._history

    @property
    def epochs(self) -> int:
        """The number of epochs that were asked for."""
        return self._epochs

    @property
    def step(self) -> int:
        """The number of steps made in this epoch."""
        return self._step

    @property
    def curves(self) -> tuple[str, ...]:
        """The names of the curves that the history gets."""
        return self._curves

    @property
    def rank(self) -> int:
        """The number of this process, 0 where there is one only. That of number 0 writes files."""
        return 0

    @property
    @abstractmethod
    def layers(self) -> tuple[AnyLayer[np.float32] | AnyLayer[np.float64], ...]:
        """The layers, whose attributes show the activations and gradients of the last step."""

    @property
    @abstractmethod
    def parameters(self) -> Vector[np.float32 | np.float64]:
        """All weights, biases and gains, then running means and variances, `(n,)`; the memory, not a copy."""

    @property
    def epoch(self) -> int:
        """The number of epochs that have ended."""
        return len(self._history.loss)

    @property
    @abstractmethod
    def global_step(self) -> int:
        """The number of steps made since the beginning, also in the training that a checkpoint resumes."""

    @property
    @abstractmethod
    def step_loss(self) -> float:
        """The mean loss of the last step's samples before it, with their weights; NaN before the first."""

    @property
    @abstractmethod
    def learning_rate(self) -> float:
        """The learning rate of the next step; assignment sets that of all further steps.

        A schedule ends with the assignment. The learning rate of `Rprop` cannot be set.

        Raises:
            SettingError: the number is not positive, or beyond what the dtype can hold.
        """

    @learning_rate.setter
    @abstractmethod
    def learning_rate(self, value: float) -> None: ...

    @abstractmethod
    def stop(self) -> None:
        """Ends the training after this epoch, or after this step if `on_batch` calls it."""

    @abstractmethod
    def state(self) -> RunState:
        """Returns copies of the state from which `restore` continues; to be called after an epoch."""

    @abstractmethod
    def restore(self, state: RunState) -> None:
        """Continues from a state; only `on_begin` may call it.

        Raises:
            ValueError: the state is that of another training; nothing is changed.
        """


class CallbackLike(Protocol):
    """What `fit` takes as a callback: any object with the methods that `Callback` describes."""

    def on_begin(self, run: Run, /) -> None:
        """Called before the first step."""

    def on_batch(self, run: Run, /) -> None:
        """Called after each step."""

    def on_epoch(self, run: Run, /) -> None:
        """Called after each epoch."""

    def on_end(self, run: Run, /) -> None:
        """Called after the last epoch."""


class Callback(KnownAttributes):
    """The base class of callbacks: a subclass overrides the methods that it needs; the others cost nothing.

    >>> class Report(Callback):
    ...     def on_epoch(self, run: Run) -> None:
    ...         print(run.epoch, run.history.loss[-1])
    """

    comes_last = False
    """Whether it is called after all others, as a callback that saves the state of the others must be."""

    def on_begin(self, run: Run) -> None:
        """Called before the first step."""

    def on_batch(self, run: Run) -> None:
        """Called after each step; a training with such a callback calls the kernels for every single step."""

    def on_epoch(self, run: Run) -> None:
        """Called after each epoch, when its losses and metrics are in the history."""

    def on_end(self, run: Run) -> None:
        """Called after the last epoch, unless an exception ended the training."""

    def on_exception(self, run: Run, error: BaseException) -> None:
        """Called when an exception, such as KeyboardInterrupt, ends the training; it is raised afterwards."""

    def state(self) -> Arrays:
        """Returns the arrays that a checkpoint stores of this callback, by name."""
        return {}

    def restore(self, state: Arrays, run: Run) -> None:
        """Restores what `state` returned; the history has been restored before."""


class EarlyStopping(Callback):
    """A callback that ends the training when a curve stops improving.

    Args:
        monitor: the name of the curve; losses, errors and functions of your own should fall, other metrics
            rise.
        min_delta: the least change that counts as an improvement.
        patience: the number of epochs without an improvement after which the training ends.
        restore_best_weights: whether the network gets the parameters, running means and variances of the best
            epoch at the end, also where an exception such as KeyboardInterrupt ends the training. (In Keras
            the default is False.)

    Raises:
        SettingError: a setting is outside its range.

    >>> from typednn import InputLayer, Network, OutputLayer
    >>> x = np.linspace(-1, 1, 40).reshape(-1, 1)
    >>> network = Network([InputLayer(1), OutputLayer(1)], seed=0)
    >>> early = EarlyStopping("loss", min_delta=1e-3)
    >>> history = network.fit(x, 2 * x, epochs=1000, learning_rate=0.1, callbacks=[early])
    >>> len(history.loss) < 100, early.best_epoch == len(history.loss) - 1
    (True, True)
    """

    min_delta: float
    patience: int
    restore_best_weights: bool
    _best: tuple[int, float, NDArray[np.generic] | None]

    def __init__(
        self,
        monitor: CurveName = "validation_loss",
        *,
        min_delta: float = 0.0,
        patience: int = 0,
        restore_best_weights: bool = True,
    ) -> None:
        if not isinstance(monitor, str):
            raise SettingError(f"monitor must be the name of a curve, not {monitor!r}")
        self._monitor: CurveName = monitor
        self.min_delta, self.patience, self.restore_best_weights = min_delta, patience, restore_best_weights
        self._check_settings()
        self._rising = higher_is_better(monitor)
        self._best = 0, -inf if self._rising else inf, None

    @property
    def monitor(self) -> CurveName:
        """The name of the curve, which is read-only, as is whether it should rise."""
        return self._monitor

    @property
    def best_epoch(self) -> int:
        """The epoch of the best value, counted from 1; 0 before the first."""
        return self._best[0]

    @property
    def best(self) -> float:
        """The best value; infinite before the first."""
        return self._best[1]

    def _check_settings(self) -> None:
        check_count("EarlyStopping: patience", self.patience, 0)
        check_nonnegative("EarlyStopping: min_delta", self.min_delta)
        check_bool("EarlyStopping: restore_best_weights", self.restore_best_weights)

    def on_begin(self, run: Run) -> None:
        """Resets the state.

        Raises:
            SettingError: a setting has become one outside its range.
            UnknownNameError: the history will have no such curve.
        """
        self._check_settings()
        if self.monitor not in run.curves:
            error = UnknownNameError("curve of this history", self.monitor, run.curves)
            if self.monitor.startswith("val") and "validation_loss" not in run.curves:
                error.add_note("Only with validation_data or validation_split has it validation_loss.")
            raise error
        self._best = 0, -inf if self._rising else inf, None

    def on_epoch(self, run: Run) -> None:
        """Compares the last value with the best; NaN is never better."""
        value = run.history.curve(self.monitor)[-1]
        best = self._best[1]
        gain = value - best if self._rising else best - value
        if gain > self.min_delta:
            self._best = run.epoch, value, run.parameters.copy() if self.restore_best_weights else None
        self._stop_if_late(run)

    def on_end(self, run: Run) -> None:
        """Restores the parameters of the best epoch."""
        self._give_best(run)

    def on_exception(self, run: Run, error: BaseException) -> None:
        """Restores the parameters of the best epoch, and adds a note about it to the exception."""
        if self._give_best(run):
            error.add_note(f"EarlyStopping has given the network the parameters of epoch {self.best_epoch}")

    def state(self) -> Arrays:
        """Returns the best epoch, its value and its parameters."""
        epoch, value, parameters = self._best
        arrays: dict[str, NDArray[np.generic]] = {"best": np.array([epoch, value])}
        return arrays if parameters is None else arrays | {"parameters": parameters}

    def restore(self, state: Arrays, run: Run) -> None:
        """Restores the state, and ends a training that had ended already."""
        epoch, value = map(float, state["best"])
        parameters = None
        if self.restore_best_weights and int(epoch):
            parameters = state["parameters"].reshape(run.parameters.shape)
            if not np.isfinite(parameters).all():
                raise ValueError("the best parameters are not finite")
        self._best = int(epoch), value, parameters
        self._stop_if_late(run)

    def _give_best(self, run: Run) -> bool:
        """Gives the network the parameters of the best epoch, and tells whether they are kept."""
        parameters = self._best[2]
        if parameters is not None:
            run.parameters[...] = parameters
        return parameters is not None

    def _stop_if_late(self, run: Run) -> None:
        if run.epoch - self.best_epoch >= max(1, self.patience):
            run.stop()


class GradientNorms(Callback):
    """A callback that records the norm of each layer's gradient at every step, which slows the training.

    Attributes:
        norms: for each epoch the Euclidean norm of each layer's dLdW, averaged over the steps, beginning
            with the first hidden layer.

    >>> from typednn import HiddenLayer, InputLayer, Network, OutputLayer
    >>> network, norms = Network([InputLayer(1), HiddenLayer(3), OutputLayer(1)], seed=0), GradientNorms()
    >>> history = network.fit(np.ones((4, 1)), np.zeros((4, 1)), epochs=5, callbacks=[norms])
    >>> np.shape(norms.norms)  # epochs, and layers with weights
    (5, 2)
    """

    norms: list[list[float]]

    def __init__(self) -> None:
        self.norms = []
        self._sums: Vector[np.float64] = np.zeros(0)

    def on_begin(self, run: Run) -> None:
        """Resets the state."""
        self.norms, self._sums = [], np.zeros(len(run.layers) - 1)

    def on_batch(self, run: Run) -> None:
        """Adds the norms of this step."""
        self._sums += [_norm_of(layer.dLdW) for layer in run.layers[1:]]

    def on_epoch(self, run: Run) -> None:
        """Appends the mean norms of this epoch."""
        self.norms.append((self._sums / run.step).tolist())
        self._sums[...] = 0

    def plot(self, path: PathLike | None = None, *, ax: Axes | None = None) -> Axes:
        """Plots the norms of each layer over the epochs.

        Args:
            path: the file to write; its suffix is the format: `.png`, `.svg` or `.pdf`.
            ax: the axes to draw into; by default those of a new figure.

        Returns:
            The axes.

        Raises:
            NotReadyError: there is no epoch yet.
            SettingError: there is no such format.
            MissingExtraError: matplotlib is not installed.
            OSError: the file cannot be written.
        """
        from typednn.plotting.curves import draw_gradient_norms

        return draw_gradient_norms(self.norms, path, ax)

    def state(self) -> Arrays:
        """Returns the norms of the epochs that have ended."""
        return {"norms": np.array(self.norms, np.float64)} if self.norms else {}

    def restore(self, state: Arrays, run: Run) -> None:
        """Restores the norms."""
        self.norms = state["norms"].astype(np.float64).reshape(run.epoch, len(run.layers) - 1).tolist()


def _norm_of(gradient: Matrix[F]) -> float:
    """Computes the Euclidean norm of a gradient, whose squares may be beyond its dtype."""
    largest = float(abs(gradient).max(initial=0))
    return largest * float(np.linalg.norm(gradient / gradient.dtype.type(largest))) if largest else 0.0

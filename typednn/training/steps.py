"""Training steps one at a time, for loops of your own: streams, several machines, reinforcement learning.

A stream of batches:

>>> import numpy as np
>>> from typednn import Adam, InputLayer, Network, OutputLayer
>>> network = Network([InputLayer(1), OutputLayer(1)], seed=0)
>>> steps = Steps(network, Adam(learning_rate=0.1))
>>> rng = np.random.default_rng(0)
>>> for _ in range(200):
...     x = rng.normal(size=(8, 1))
...     loss = steps.train(x, 3 - x)
>>> network.parameters.round(1), steps.count
(array([-1.,  3.]), 200)

Gradients from anywhere, such as the mean of those of several machines:

>>> gradients = [network.forward(x[rows]).backward(3 - x[rows]) for rows in (slice(4), slice(4, 8))]
>>> steps.step((gradients[0].vector + gradients[1].vector) / 2)
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Generic, Protocol, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray
from typednn_kernels.arrays import F, Matrix, Vector
from typednn_kernels.losses import LOSSES
from typednn_kernels.operands import Epoch

from typednn.attributes import KnownAttributes
from typednn.errors import ArrayTypeError, DataError, DivergenceError, SettingError, ShapeError, WiringError
from typednn.layers import OutputLayer
from typednn.names import OptimizerName
from typednn.training.optimizer_state import OPTIONAL
from typednn.training.optimizers import Optimizer, resolve_optimizer
from typednn.training.samples import CheckedSamples, format_of
from typednn.training.schedules import Schedule
from typednn.training.trainer import NonFiniteStepError, Trainer
from typednn.validation.arrays import (
    ArrayExport,
    F_co,
    Given,
    Samples,
    Targets,
    Weights,
    Y_co,
    as_ndarray,
    check_finite,
    refuse_masked,
)
from typednn.validation.settings import is_number

MAX_COPIED_ELEMENTS = 1 << 18
"""The number of elements of the largest batch that is copied on its way to the kernels."""


class NetworkLike(Protocol[F, Y_co]):
    """A network. Training needs only its output layer, to which all others are attached."""

    @property
    def _output(self) -> OutputLayer[F, Y_co]: ...


class GradientsLike(Protocol[F_co]):
    """Gradients, such as `ForwardPass.backward` returns."""

    @property
    def vector(self) -> Vector[F_co]:
        """The gradient with respect to `Network.parameters`, `(n_parameters,)`."""
        ...


class _Buffers(Generic[F]):
    """Memory that a batch of a size is copied to, in the form that the kernels take.

    Attributes:
        epoch: the batch as an epoch of one step.
    """

    epoch: Epoch[F]

    def __init__(self, output: OutputLayer[F], count: int) -> None:
        storage = self._storage = output._storage
        inputs, outputs, dtype = storage.layers[0].length, output.length, storage.dtype
        loss = LOSSES[output._loss_code]
        self._lowest, self._highest = loss.target_minimum, loss.target_maximum
        self._classes = loss.targets == "classes"
        self._x: Matrix[F] = np.empty((1, count * inputs), dtype)
        self._t: Matrix[F] = np.empty((1, count * outputs), dtype)
        self._shapes = ((count, inputs), (count, outputs)), ((inputs,), (outputs,))
        self._targets = self._t.reshape(count, outputs)
        self._labels = np.arange(outputs)
        losses: Vector[F] = np.empty(count, dtype)
        weights: Vector[F] = np.empty(0, dtype)
        x = self._x.reshape(count, inputs)
        self.epoch = Epoch(x, self._targets, weights, np.arange(count), count, losses)

    def try_copy(self, x: NDArray[np.generic], y: Given | float) -> bool:
        """Copies samples and targets if they are of this form; returns whether they are."""
        storage, dtype = self._storage, self._storage.dtype
        of_samples, of_targets = self._shapes[2 - x.ndim] if 1 <= x.ndim <= 2 else ((), ())
        if x.dtype != dtype or x.shape != of_samples:
            return False
        copy = storage.running.kernels.try_copy_sample
        vector = cast("Vector[F]", x if x.ndim == 1 else x.reshape(-1))
        if not copy(vector, -inf, inf, self._x):
            return False
        if type(y) is np.ndarray and y.dtype == dtype and y.shape == of_targets:
            vector = cast("Vector[F]", y if y.ndim == 1 else y.reshape(-1))
            return copy(vector, self._lowest, self._highest, self._t)
        return self._classes and self._try_encode(y, x.ndim)

    def _try_encode(self, y: Given | float | int, ndim: int) -> bool:  # noqa: PYI041 (mypy needs both)
        """Encodes valid labels, or one label, as one-hot rows; returns whether they are."""
        labels: NDArray[np.generic]
        if ndim == 1 and isinstance(y, int) and not isinstance(y, bool):
            labels = np.array([y])
        elif (
            ndim == 2
            and isinstance(y, np.ndarray)
            and y.dtype.kind in "iu"
            and y.shape == (len(self._targets),)
        ):
            labels = y
        else:
            return False
        np.equal(labels.reshape(-1, 1), self._labels, out=self._targets)
        return bool(np.add.reduce(self._targets, axis=None) == len(labels))


class Steps(KnownAttributes, Generic[F_co, Y_co]):
    """Makes training steps one at a time, with an optimiser whose state goes on from step to step.

    A call of `train` makes the step that `Network.fit` makes for the batch, to the bit. With
    `optimizer=steps`, `fit` and `fit_batches` go on from the state of the steps that were made before.

    Args:
        network: the network.
        optimizer: an optimiser such as `Adam(learning_rate=1e-3)`, or its name.

    Raises:
        SettingError: the optimiser is none of typednn's, or the dtype cannot hold a setting of it.
        UnknownNameError: there is no optimiser of that name.
    """

    def __init__(self, network: NetworkLike[F_co, Y_co], optimizer: Optimizer | OptimizerName) -> None:
        output: object = getattr(network, "_output", None)
        if not isinstance(output, OutputLayer):
            raise WiringError(f"Steps: network must be a Network, not {type(network).__name__}")
        self._begin(network._output, resolve_optimizer(optimizer, None))

    def _begin(self, output: OutputLayer[F_co, Y_co], optimizer: Optimizer) -> None:
        self._output = output
        self._trainer = Trainer(output._storage, output._loss_code, 1, optimizer)
        self._buffers = _Buffers(output, 1)

    def __getstate__(self) -> tuple[OutputLayer[F_co, Y_co], Optimizer, dict[str, NDArray[np.generic]]]:
        """Returns the network's output layer, the optimiser and its state, without data."""
        return self._output, self._trainer.optimizer_state.given, self.state()

    def __setstate__(
        self, state: tuple[OutputLayer[F_co, Y_co], Optimizer, dict[str, NDArray[np.generic]]]
    ) -> None:
        """Restores what `__getstate__` returns."""
        output, optimizer, arrays = state
        self._begin(output, optimizer)
        self._trainer.optimizer_state.restore(arrays)

    def __repr__(self) -> str:
        """Returns the optimiser and the number of steps."""
        return f"<Steps with {self.optimizer!r}, {self.count} made>"

    @property
    def optimizer(self) -> Optimizer:
        """The optimiser, with the learning rate that was assigned, if any."""
        return self._trainer.optimizer_state.optimizer

    @property
    def count(self) -> int:
        """The number of steps made, those of `fit` included."""
        return self._trainer.optimizer_state.step

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next step; assignment sets that of all further steps.

        A schedule ends with the assignment. The learning rate of `Rprop` cannot be set.

        Raises:
            SettingError: the number is not positive, or beyond what the dtype can hold.
        """
        return self._trainer.optimizer_state.learning_rate

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self._trainer.optimizer_state.learning_rate = value

    def train(
        self,
        x: Samples[F_co] | Vector[F_co],
        y: Targets[F_co, Y_co] | Vector[F_co] | float,
        sample_weight: Weights | float | None = None,
    ) -> float:
        """Makes one step with a batch, or with one sample; the layers' attributes show it.

        Args:
            x: samples `(n_samples, n_features)`, or one, `(n_features,)`.
            y: targets `(n_samples, n_outputs)` or labels `(n_samples,)`, as `fit` accepts them. For one
                sample they are `(n_outputs,)`, or a label, or a number for a single output.
            sample_weight: weights `(n_samples,)`, or one number for one sample.

        Returns:
            The mean loss before the step: of the samples' losses, each multiplied by its weight.

        Raises:
            ShapeError, ArrayTypeError, DataError: the data do not fit.
            WiringError: a layer drops units, and the network has no generator.
            DivergenceError: the step is not finite and was not made.
        """
        trainer = self._trainer
        batch = self._prepared(x, y) if sample_weight is None else None
        if batch is not None and trainer.try_step(batch):
            count, losses = batch.batch_size, batch.losses
            return float(losses[0]) if count == 1 else trainer.storage.total_loss(losses) / count
        samples = self._samples(x, y, sample_weight)
        count = len(samples)
        losses = np.empty(count, self._output._storage.dtype)
        trainer.resize(count)
        try:
            trainer.train(samples, losses)
        except NonFiniteStepError as bad:
            raise bad.divergence(trainer.storage, None, self.count + 1) from None
        return float(losses.mean(dtype=np.float64))

    def step(self, gradients: GradientsLike[F_co] | Vector[F_co]) -> None:
        """Makes one step with gradients, to which penalties and clipping are applied as in `train`.

        Args:
            gradients: a `Gradients`, or an array of the layout of `Network.parameters`, `(n_parameters,)`.

        Raises:
            ShapeError, ArrayTypeError, DataError: the array does not fit, or is not finite.
            DivergenceError: the step is not finite and was not made.
        """
        vector = self._vector(getattr(gradients, "vector", cast("Vector[F_co]", gradients)))
        if not self._trainer.apply(vector):
            check_finite(vector, "gradients", "Steps")
            raise DivergenceError(
                f"training diverged at step {self.count + 1}: the step with these gradients is not finite; "
                "the network is as it was before it. A smaller learning rate helps",
                None,
                self.count + 1,
            )

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Returns copies of what `restore` needs, by name, as `np.savez(path, **state)` saves it.

        These are the number of steps, the state of the optimiser and of its schedule, and the key that
        dropout and the order of samples follow from. The parameters are the network's: `save(network, path)`.
        """
        return self._trainer.optimizer_state.state()

    def restore(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Restores what `state` returned for the same network and optimiser.

        Raises:
            ShapeError: the state is of another network, optimiser or schedule; nothing is changed.
            DataError: the state has other entries; nothing is changed.
        """
        mine = self._trainer.optimizer_state
        if surplus := state.keys() - mine.state().keys() - OPTIONAL:
            raise DataError(f"Steps: a state has no {', '.join(map(repr, sorted(surplus)))}")
        mine.restore(state)

    def _prepared(self, x: Given, y: Given | float) -> Epoch[F_co] | None:
        """Copies a batch or sample that needs no conversion for the kernels; None for others."""
        if type(x) is not np.ndarray or not 0 < x.size <= MAX_COPIED_ELEMENTS:
            return None
        count = len(x) if x.ndim == 2 else 1
        if count != self._buffers.epoch.batch_size:
            self._buffers = _Buffers(self._output, count)
        return self._buffers.epoch if self._buffers.try_copy(x, y) else None

    def _samples(
        self, x: Given, y: Given | float, sample_weight: Weights | float | None
    ) -> CheckedSamples[F_co]:
        """Checks a batch or a sample."""
        sample_format = format_of(self._output)
        x = as_ndarray(x, "x", "Steps")
        if isinstance(y, ArrayExport):
            y = as_ndarray(y, "y", "Steps")
        if isinstance(x, np.ndarray) and x.ndim == 1:
            x = x.reshape(1, -1)
            y = _one_target(y, sample_format.outputs, sample_format.dtype, sample_format.classes)
            if isinstance(sample_weight, float | int | np.number) and is_number(sample_weight):
                sample_weight = np.array([sample_weight], np.float64)
        if not isinstance(y, np.ndarray):
            raise ArrayTypeError(f"Steps: y must be a numpy.ndarray, not {type(y).__name__}")
        if sample_weight is not None and not isinstance(sample_weight, np.ndarray):
            raise ArrayTypeError(
                "Steps: sample_weight must be a numpy.ndarray, or a finite number for one sample, not "
                f"{sample_weight!r}"
            )
        return sample_format.samples(x, y, sample_weight, owner="Steps")

    def _vector(self, gradient: Vector[F_co]) -> Vector[F_co]:
        """Checks a gradient; it is copied only where its elements do not follow each other in memory."""
        parameters = self._output._storage.trainable
        if not isinstance(gradient, np.ndarray):
            raise ArrayTypeError(
                "Steps: gradients must be what backward returns, or a numpy.ndarray, not "
                f"{type(gradient).__name__}"
            )
        refuse_masked(gradient, "gradients", "Steps")
        if gradient.shape != parameters.shape:
            raise ShapeError(
                f"Steps: gradients must have the shape of Network.parameters, {parameters.shape}, not "
                f"{gradient.shape}"
            )
        if gradient.dtype != parameters.dtype:
            raise ArrayTypeError(
                f"Steps: gradients must be {parameters.dtype}, as the network is, not {gradient.dtype}"
            )
        return np.require(gradient, parameters.dtype, ["C", "A"])


def _one_target(
    y: NDArray[np.generic] | float, outputs: int, dtype: np.dtype[F_co], classes: bool
) -> NDArray[np.generic]:
    """Returns the targets of one sample as those of a batch of one."""
    if isinstance(y, np.ndarray) and y.ndim == 1:
        return y.reshape(1, -1)
    if isinstance(y, np.ndarray) and y.ndim > 1:
        raise ShapeError(f"Steps: y of one sample must have the shape ({outputs},), not {y.shape}")
    if classes and isinstance(y, int | np.integer) and not isinstance(y, bool):
        return np.array([y])
    if not isinstance(y, float | int | np.floating | np.integer | np.ndarray):
        raise ArrayTypeError(f"Steps: y of one sample must be a number or an array, not {type(y).__name__}")
    if outputs != 1 or classes:
        wanted = f"({outputs},)" + ", or an integer label" * classes
        raise ShapeError(f"Steps: y of one sample must have the shape {wanted}, not be {y!r}")
    return np.array([[y]]).astype(dtype)


OptimizerLike: TypeAlias = Optimizer | OptimizerName | Steps[F_co, Y_co] | None
"""What `fit` takes as an optimiser."""


def trainer_of(
    output: OutputLayer[F_co, Y_co],
    batch_size: int,
    optimizer: OptimizerLike[F_co, Y_co],
    learning_rate: float | Schedule | None,
) -> Trainer[F_co]:
    """Returns what makes the steps of a training: a new one, or that of `Steps`.

    Raises:
        SettingError: the optimiser is something else, or of another network, or a learning rate is given
            beside it, or the dtype cannot hold a setting.
        UnknownNameError: there is no optimiser of that name.
    """
    if not isinstance(optimizer, Steps):
        rule = resolve_optimizer(optimizer, learning_rate)
        return Trainer(output._storage, output._loss_code, batch_size, rule)
    if learning_rate is not None:
        raise SettingError("Steps have a learning rate: assign steps.learning_rate instead")
    if optimizer._output is not output:
        raise SettingError("optimizer is Steps of another network; make new ones, Steps(network, …)")
    return optimizer._trainer

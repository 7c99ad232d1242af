"""The Network API: a network, its training, its predictions, its gradients.

>>> import numpy as np
>>> from typednn import HiddenLayer, InputLayer, OutputLayer
>>> network = Network([InputLayer(2), HiddenLayer(3, "tanh"), OutputLayer(1)], seed=0)
>>> x, y = np.array([[0.0, 1.0], [1.0, 1.0]]), np.array([[1.0], [0.0]])
>>> gradients = network.forward(x).backward(y)
>>> gradients[network.layers[1]].dLdW.shape
(3, 2)
>>> gradients.vector.shape == network.parameters.shape
True
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy, deepcopy
from typing import TYPE_CHECKING, Generic, Self, TypeAlias, cast, overload

import numpy as np
from typednn_kernels.arrays import Matrix, Vector
from typednn_kernels.losses import LOSSES

from typednn.attributes import KnownAttributes
from typednn.errors import ArrayTypeError, SettingError, WiringError
from typednn.initializers import Seed, generator
from typednn.layers import AnyLayer, Layer, OutputLayer, TrainableLayer
from typednn.layers.base import rebuild
from typednn.layers.trainable import initialize
from typednn.layers.workspace import Workspace
from typednn.names import MetricName, OptimizerName
from typednn.network.forward_pass import ForwardPass
from typednn.network.predictor import Predictor, compiled_predictor
from typednn.network.wiring import D, Layers, members_of, output_of
from typednn.plotting.display import Display, PictureBlock, TableBlock
from typednn.plotting.progress import Bar
from typednn.tables import aligned
from typednn.training.batches import ArraySource, BatchSource
from typednn.training.callbacks import CallbackLike
from typednn.training.fit import Fit
from typednn.training.history import History
from typednn.training.metrics import Evaluation, Measure, MetricFunction, evaluation
from typednn.training.optimizers import Optimizer
from typednn.training.samples import Batch, ClassWeights, ValidationData, format_of, split_index
from typednn.training.schedules import Schedule
from typednn.training.steps import Steps, trainer_of
from typednn.training.trainer import BATCH_SIZE
from typednn.training.watched_epochs import EVALUATION_CHUNK
from typednn.validation.arrays import (
    AnyTargets,
    ClassTargets,
    F_co,
    Samples,
    Targets,
    Truths,
    Weights,
    Y_co,
    as_matrix,
    as_ndarray,
    check_same_length,
    is_plain,
)
from typednn.validation.settings import check_bool, check_count, check_sequence

if TYPE_CHECKING:
    from typednn.processes.groups import Processes


class Network(KnownAttributes, Display, Generic[F_co, Y_co]):
    """A feed-forward network.

    Args:
        layers: an input layer, hidden layers and an output layer, which the network attaches to each other.
            Layers that belong to no network belong to this one from then on, and take its dtype:
            `network.layers` are the same objects. Layers of another network are copied with their
            parameters: `Network([*old.layers[:-1], OutputLayer(5)])` keeps what `old` has learnt and
            leaves `old` as it is. Weights that are not set yet are drawn by the initialiser that the layer
            names, or by activation: He for relu and its relatives, LeCun for selu, Glorot for the others.
            Biases are 0 unless the layer names an initialiser.
        dtype: the dtype of all arrays, `np.float64` or `np.float32`.
        seed: a seed or generator, for the weights, the order of samples and dropout.

    Raises:
        WiringError: the layers do not form a network, or the weights of one do not fit the layer before it.
        ArrayTypeError: the dtype is another.
        DataError: a parameter that has been set is beyond the dtype.
    """

    _history: History

    @overload
    def __init__(
        self: Network[np.float64, AnyTargets],
        layers: Layers[AnyTargets],
        dtype: type[np.float64] = ...,
        seed: Seed = ...,
    ) -> None: ...
    @overload
    def __init__(
        self: Network[D, AnyTargets],
        layers: Layers[AnyTargets],
        dtype: type[D],
        seed: Seed = ...,
    ) -> None: ...
    @overload
    def __init__(
        self: Network[np.float64, ClassTargets],
        layers: Layers[ClassTargets],
        dtype: type[np.float64] = ...,
        seed: Seed = ...,
    ) -> None: ...
    @overload
    def __init__(
        self: Network[D, ClassTargets],
        layers: Layers[ClassTargets],
        dtype: type[D],
        seed: Seed = ...,
    ) -> None: ...
    @overload
    def __init__(
        self: Network[np.float64, Truths],
        layers: Layers[Truths],
        dtype: type[np.float64] = ...,
        seed: Seed = ...,
    ) -> None: ...
    @overload
    def __init__(
        self: Network[D, Truths],
        layers: Layers[Truths],
        dtype: type[D],
        seed: Seed = ...,
    ) -> None: ...
    def __init__(
        self,
        layers: Layers[Truths] | Layers[ClassTargets] | Layers[AnyTargets],
        dtype: type[np.floating] = np.float64,
        seed: Seed = None,
    ) -> None:
        if isinstance(layers, Layer):
            raise WiringError(f"Network: layers must be a list, such as [{layers!r}, ...], not one layer")
        if not isinstance(layers, Iterable) or isinstance(layers, str | np.ndarray):
            raise WiringError(f"Network: layers must be a list of layers, not {type(layers).__name__}")
        self._own(cast("list[Layer[F_co]]", list(layers)), cast("type[F_co]", dtype), generator(seed))
        self._history = History()
        for layer in self.layers[1:]:
            if isinstance(layer, TrainableLayer):
                initialize(layer, self._random)

    def _own(
        self,
        layers: list[Layer[F_co]],
        dtype: type[F_co],  # pyright: ignore[reportGeneralTypeIssues]  (part of construction)
        rng: np.random.Generator,
    ) -> None:
        if not isinstance(dtype, type) or dtype not in (np.float32, np.float64):
            raise ArrayTypeError(f"Network: dtype must be np.float32 or np.float64, not {dtype!r}")
        members = members_of(layers)
        self._storage = rebuild(members, np.dtype(dtype))
        self._output: OutputLayer[F_co, Y_co] = cast("OutputLayer[F_co, Y_co]", output_of(members))
        self._storage.closed, self._storage.random = True, rng
        self._random = rng

    def copy(self) -> Self:
        """Returns a copy: layers, parameters, history, and the state of the random generator."""
        return deepcopy(self)

    def astype(self, dtype: type[D]) -> Network[D, Y_co]:
        """Returns a copy of another dtype; parameters are rounded to it.

        >>> from typednn import InputLayer, OutputLayer
        >>> network = Network([InputLayer(2), OutputLayer(1)], seed=0)
        >>> network.astype(np.float32).parameters.dtype
        dtype('float32')

        Raises:
            ArrayTypeError: the dtype is neither `np.float32` nor `np.float64`.
            DataError: a parameter is beyond the dtype.
        """
        other = cast("Network[D, Y_co]", copy(self))
        other._own(cast("list[Layer[D]]", list(self.layers)), dtype, deepcopy(self._random))
        other._history = deepcopy(self._history)
        return other

    @property
    def layers(self) -> tuple[AnyLayer[F_co, Y_co], ...]:
        """The layers, the input layer first."""
        return cast("tuple[AnyLayer[F_co, Y_co], ...]", tuple(self._output._attached))

    @property
    def parameters(self) -> Vector[F_co]:
        """All parameters that are trained, layer by layer, `(n_parameters,)`; the memory, not a copy."""
        return self._storage.trainable

    @property
    def history(self) -> History:
        """The history of the last training, also while it runs and after it was interrupted."""
        return self._history

    @property
    def dtype(self) -> np.dtype[F_co]:
        """The dtype of all arrays."""
        return self._storage.dtype

    @property
    def trainable(self) -> bool:
        """Whether any layer is trainable; assignment sets `trainable` of all layers with weights."""
        return any(layer.trainable for layer in self.layers[1:])

    @trainable.setter
    def trainable(self, value: bool) -> None:
        for layer in self.layers[1:]:
            layer.trainable = value

    @property
    def _loss(self) -> int:
        return self._output._loss_code

    def __repr__(self) -> str:
        """Returns the expression that constructs the network, without the seed."""
        return f"Network({list(self.layers)!r}, dtype=np.{self.dtype})"

    def forward(self, x: Samples[F_co], *, training: bool = False) -> ForwardPass[F_co, Y_co]:
        """Computes the activations of all layers, which the layers' attributes then show.

        Args:
            x: samples `(n_samples, n_features)`.
            training: whether to compute as in a training step: the network's generator draws which units are
                dropped, and batch normalisation uses the mean and variance of these samples and updates its
                running ones.

        Raises:
            ShapeError, ArrayTypeError, DataError: the samples do not fit.
        """
        check_bool("training", training)
        storage = self._storage
        samples = x if is_plain(x, storage.dtype) and not training else self._as_samples(x)
        workspace = storage.new_workspace(len(samples))
        if training:
            workspace.key = storage.new_key()
        if not storage.try_forward(workspace, samples):
            self._as_samples(x)
        workspace.in_forward_pass = True
        workspace.complete_forward()
        storage.set_workspace(workspace)
        if training:
            storage.warn_of_moments(range(len(self.layers)), stacklevel=3)
        return ForwardPass(self._output, workspace)

    def predict(self, x: Samples[F_co]) -> Matrix[F_co]:
        """Computes the outputs `(n_samples, n_outputs)` for samples x `(n_samples, n_features)`.

        Raises:
            ShapeError, ArrayTypeError, DataError: the samples do not fit.
        """
        storage, n = self._storage, self._output._length
        outputs: Matrix[F_co]
        if is_plain(x, storage.dtype) and len(x) <= storage.kept_samples:
            outputs = np.empty((len(x), n), storage.dtype)
            if storage.try_predict(x, outputs):
                return outputs
        samples = self._as_samples(x)
        outputs = np.empty((len(samples), n), storage.dtype)
        memory = storage.prediction_memory(min(len(samples), EVALUATION_CHUNK))
        for start in range(0, len(samples), EVALUATION_CHUNK):
            chunk = slice(start, start + EVALUATION_CHUNK)
            storage.try_predict(samples[chunk], outputs[chunk], memory)
        return outputs

    def predictor(self) -> Predictor[F_co]:
        """Returns a `Predictor`, which predicts one sample at a time with little overhead."""
        return Predictor(self._storage)

    def compiled_predictor(self) -> Callable[[Vector[F_co]], Vector[F_co]]:
        """Returns a function that predicts one sample, for functions that you have numba compile.

        A function with `@numba.njit` cannot call `predict`, or a `Predictor`, which are objects of Python. It
        can call this function, in loops and in `prange`, with a sample `(n_features,)`, and gets new outputs
        `(n_outputs,)`; they are NaN where the sample holds NaN or infinity. A sample of another shape raises
        ValueError. Each call uses the present weights of the network.

        Machine code that calls it has the address of the weights. numba therefore does not keep it on disk,
        even with `cache=True`, and the memory of the weights is not freed before the process ends. Its use::

            predict = network.compiled_predictor()

            @numba.njit
            def path(start, steps):
                position = start
                for _ in range(steps):
                    position = position + predict(position)
                return position

        Raises:
            ImportError: numba does not work.
        """
        return compiled_predictor(self._storage)

    def loss(
        self,
        x: Samples[F_co],
        y: Targets[F_co, Y_co],
        *,
        sample_weight: Weights | None = None,
        class_weight: ClassWeights | None = None,
    ) -> float:
        """Computes the mean loss of samples x and targets y, in the forms that `fit` accepts.

        With weights, it is the mean of the samples' losses, each multiplied by its weight, as in `fit`.

        Raises:
            ShapeError, ArrayTypeError, DataError: the data do not fit.
            SettingError: class weights are invalid, or the network does not predict classes.
        """
        samples, t = self._as_data(x, y)
        return self._mean_loss(samples, t, self._weights(t, sample_weight, class_weight))

    def evaluate(
        self,
        x: Samples[F_co],
        y: Targets[F_co, Y_co],
        *,
        metrics: Sequence[MetricName | MetricFunction] = (),
        sample_weight: Weights | None = None,
        class_weight: ClassWeights | None = None,
    ) -> Evaluation:
        """Computes the mean loss and the accuracy or R² of samples x and targets y, as `fit` accepts them.

        With weights, the loss is that of `loss`, and accuracy and R² are those of scikit-learn. Further
        metrics are names or functions, as in `fit`.

        Raises:
            ShapeError, ArrayTypeError, DataError: the data do not fit.
            SettingError: class weights or metrics are invalid, or the network does not predict classes.
            UnknownNameError: there is no such metric.
        """
        loss, layer = LOSSES[self._loss], self._output
        check_sequence("metrics", metrics)
        measure = Measure(metrics, layer.actname, loss, layer.length)
        samples, t = self._as_data(x, y)
        truth = as_ndarray(y, "y", "Network")
        if truth.ndim == 1 and layer.length == 1:
            truth = truth.reshape(-1, 1)
        measure.check(truth)
        weights = self._weights(t, sample_weight, class_weight)
        outputs = self.predict(x)
        return evaluation(
            outputs,
            t,
            self._mean_loss(samples, t, weights),
            loss,
            weights,
            measure(truth, outputs, weights),
        )

    @overload
    def fit(
        self,
        x: Samples[F_co],
        y: Targets[F_co, Y_co],
        *,
        epochs: int = ...,
        batch_size: int | None = ...,
        optimizer: Optimizer | OptimizerName | Steps[F_co, Y_co] | None = ...,
        shuffle: bool = ...,
        validation_data: ValidationData[F_co, Y_co] | None = ...,
        validation_split: float = ...,
        metrics: Sequence[MetricName | MetricFunction] = ...,
        sample_weight: Weights | None = ...,
        class_weight: ClassWeights | None = ...,
        label_smoothing: float = ...,
        callbacks: Sequence[CallbackLike] = ...,
        on_epoch: Callable[[History], None] | None = ...,
        progress: bool = ...,
        processes: Processes | None = ...,
    ) -> History: ...
    @overload
    def fit(
        self,
        x: Samples[F_co],
        y: Targets[F_co, Y_co],
        *,
        epochs: int = ...,
        batch_size: int | None = ...,
        learning_rate: float | Schedule | None,
        optimizer: OptimizerName | None = ...,
        shuffle: bool = ...,
        validation_data: ValidationData[F_co, Y_co] | None = ...,
        validation_split: float = ...,
        metrics: Sequence[MetricName | MetricFunction] = ...,
        sample_weight: Weights | None = ...,
        class_weight: ClassWeights | None = ...,
        label_smoothing: float = ...,
        callbacks: Sequence[CallbackLike] = ...,
        on_epoch: Callable[[History], None] | None = ...,
        progress: bool = ...,
        processes: Processes | None = ...,
    ) -> History: ...
    def fit(
        self,
        x: Samples[F_co],
        y: Targets[F_co, Y_co],
        *,
        epochs: int = 10,
        batch_size: int | None = None,
        learning_rate: float | Schedule | None = None,
        optimizer: Optimizer | OptimizerName | Steps[F_co, Y_co] | None = None,
        shuffle: bool = True,
        validation_data: ValidationData[F_co, Y_co] | None = None,
        validation_split: float = 0.0,
        metrics: Sequence[MetricName | MetricFunction] = (),
        sample_weight: Weights | None = None,
        class_weight: ClassWeights | None = None,
        label_smoothing: float = 0.0,
        callbacks: Sequence[CallbackLike] = (),
        on_epoch: Callable[[History], None] | None = None,
        progress: bool = True,
        processes: Processes | None = None,
    ) -> History:
        """Trains the network with arrays.

        >>> from typednn import Adam, InputLayer, OutputLayer
        >>> network = Network([InputLayer(1), OutputLayer(1)], seed=0)
        >>> x = np.array([[0.0], [1.0], [2.0]])
        >>> history = network.fit(x, 3 - x, epochs=200, optimizer=Adam(learning_rate=0.1))
        >>> network.parameters.round(2)
        array([-1.,  3.])

        Ctrl-C raises KeyboardInterrupt within a fraction of a second. After it, and after any other
        exception, the network is as after the last step, or has the best weights that `EarlyStopping`
        restores, and `history` has the epochs that had ended.

        Args:
            x: samples `(n_samples, n_features)` of the network's dtype; also a memory-mapped array that is
                larger than memory, which is read once an epoch, and checked as it is read the first time.
            y: targets `(n_samples, n_outputs)`, also `(n_samples,)` for one output, or integer labels
                `(n_samples,)` for losses of classes: crossentropy, nll and kl_divergence.
            epochs: the number of passes over the samples.
            batch_size: samples per step, by default 32; all where there are fewer.
            learning_rate: the factor of the gradient of the batch's mean loss in a step, or a schedule of it;
                only for plain gradient descent (0.01 by default) and optimisers that are given by name.
            optimizer: an optimiser such as `Adam(learning_rate=1e-3)`, or its name, such as "adam", for its
                default settings; see `typednn.training.optimizers`. Plain gradient descent by default. Its
                state starts at its initial values. `Steps` go on from the state of the steps made before.
            shuffle: whether each epoch has an order of samples of its own. The orders follow from a key that
                the training draws from the network's generator.
            validation_data: samples, targets and optional weights, whose loss and metrics are recorded after
                each epoch.
            validation_split: the fraction of the samples, taken from the end, that is held out for
                validation, with its weights.
            metrics: the metrics that are recorded after each epoch, for training and validation samples. They
                are names, or functions `(targets, outputs) -> float`, also `(targets, outputs,
                sample_weight)`, whose values the history has under their names. A loss of numbers has metrics
                of classes where the targets are one-hot rows, or 0 and 1 for one output.
            sample_weight: weights `(n_samples,)`; the loss of a batch is the mean of its samples' losses,
                each multiplied by its weight.
            class_weight: weights by label, multiplied with `sample_weight`: a mapping, in which labels that
                are missing have 1; one number for each class; or "balanced", which gives every class that
                occurs the same total, n_samples / (classes that occur · samples of the class).
            label_smoothing: s in the targets t (1 - s) + s / n_outputs of crossentropy and kl_divergence, and
                t (1 - s) + s / 2 of bincrossentropy and focal, which replace t.
            callbacks: callbacks such as `EarlyStopping`, `Checkpoint`, `GradientNorms` or your own: objects
                with the methods on_begin, on_batch, on_epoch and on_end.
            on_epoch: a function that is called with the history after each epoch.
            progress: whether a training of some seconds shows a bar on a terminal.
            processes: several processes, such as `typednn.processes.mpi(comm)`, each of which calls `fit`
                with its part of the samples, which may be none; see `typednn.processes`.

        Returns:
            Losses and metrics by epoch. The training loss is the mean over samples, each measured before the
            step that uses it, without the layers' L1 and L2 penalties.

        Raises:
            ShapeError, ArrayTypeError, DataError: the data do not fit.
            SettingError: a setting is outside its range.
            UnknownNameError: there is no such optimiser or metric.
            DivergenceError: a step is not finite; the network is as it was before this step.
            MissingExtraError: metrics need scikit-learn, which is not installed.
            ProcessError: another of several processes has raised an exception.
        """
        if processes is not None:
            from typednn.processes.arguments import fit_arrays
            from typednn.processes.ranks import Ranks

            with Ranks(processes) as ranks:
                training = fit_arrays(
                    *(ranks, processes, self._output, x, y),
                    epochs=epochs,
                    batch_size=batch_size,
                    learning_rate=learning_rate,
                    optimizer=optimizer,
                    shuffle=shuffle,
                    validation_data=validation_data,
                    validation_split=validation_split,
                    metrics=metrics,
                    sample_weight=sample_weight,
                    class_weight=class_weight,
                    label_smoothing=label_smoothing,
                    callbacks=callbacks,
                    on_epoch=on_epoch,
                )
                return self._run(training, progress)
        if batch_size is not None:
            check_count("batch_size", batch_size, 1)
        check_bool("shuffle", shuffle)
        sample_format = format_of(self._output, label_smoothing)
        samples = sample_format.samples(x, y, sample_weight, class_weight, large_later=True)
        held = None if validation_data is None else sample_format.validation(validation_data)
        if validation_split:
            if validation_data is not None:
                raise SettingError("give validation_data or validation_split, not both")
            samples, held = samples.split(split_index(len(samples), validation_split))
        size = min(BATCH_SIZE if batch_size is None else int(batch_size), len(samples))
        source = ArraySource(samples, bool(shuffle))
        trainer = trainer_of(self._output, size, optimizer, learning_rate)
        return self._run(
            Fit(self._output, source, size, samples, held, metrics, epochs, trainer, callbacks, on_epoch),
            progress,
        )

    @overload
    def fit_batches(
        self,
        batches: Iterable[Batch[F_co, Y_co]],
        *,
        epochs: int = ...,
        steps_per_epoch: int | None = ...,
        batch_size: int | None = ...,
        optimizer: Optimizer | OptimizerName | Steps[F_co, Y_co] | None = ...,
        validation_data: ValidationData[F_co, Y_co] | None = ...,
        metrics: Sequence[MetricName | MetricFunction] = ...,
        class_weight: ClassWeights | None = ...,
        label_smoothing: float = ...,
        callbacks: Sequence[CallbackLike] = ...,
        on_epoch: Callable[[History], None] | None = ...,
        progress: bool = ...,
        processes: Processes | None = ...,
    ) -> History: ...
    @overload
    def fit_batches(
        self,
        batches: Iterable[Batch[F_co, Y_co]],
        *,
        epochs: int = ...,
        steps_per_epoch: int | None = ...,
        batch_size: int | None = ...,
        learning_rate: float | Schedule | None,
        optimizer: OptimizerName | None = ...,
        validation_data: ValidationData[F_co, Y_co] | None = ...,
        metrics: Sequence[MetricName | MetricFunction] = ...,
        class_weight: ClassWeights | None = ...,
        label_smoothing: float = ...,
        callbacks: Sequence[CallbackLike] = ...,
        on_epoch: Callable[[History], None] | None = ...,
        progress: bool = ...,
        processes: Processes | None = ...,
    ) -> History: ...
    def fit_batches(
        self,
        batches: Iterable[Batch[F_co, Y_co]],
        *,
        epochs: int = 10,
        steps_per_epoch: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | Schedule | None = None,
        optimizer: Optimizer | OptimizerName | Steps[F_co, Y_co] | None = None,
        validation_data: ValidationData[F_co, Y_co] | None = None,
        metrics: Sequence[MetricName | MetricFunction] = (),
        class_weight: ClassWeights | None = None,
        label_smoothing: float = 0.0,
        callbacks: Sequence[CallbackLike] = (),
        on_epoch: Callable[[History], None] | None = None,
        progress: bool = True,
        processes: Processes | None = None,
    ) -> History:
        """Trains the network with the batches of an iterable; otherwise as `fit`.

        This class yields the rows of a Parquet file, read by pyarrow::

            class Table:
                def __iter__(self):
                    for part in pyarrow.parquet.ParquetFile("table.parquet").iter_batches(4096):
                        columns = [part[name].to_numpy() for name in names]
                        yield np.stack(columns, axis=1), part["label"].to_numpy()

        Args:
            batches: an iterable of tuples `(x, y)` or `(x, y, sample_weight)`, each of any number of samples.
            epochs: the number of iterations over the batches; an iterator can be used for one only.
            steps_per_epoch: the number of batches of an epoch. The next epoch continues with those that
                follow, and a resumed training skips those it has had. By default an epoch is one iteration.
            batch_size: samples per step; by default each batch is one step.
            learning_rate: as in `fit`.
            optimizer: as in `fit`.
            validation_data: as in `fit`.
            metrics: the metrics of the validation data that are recorded after each epoch.
            class_weight: as in `fit`, but not "balanced", which needs all labels.
            label_smoothing: as in `fit`.
            callbacks: as in `fit`.
            on_epoch: as in `fit`.
            progress: as in `fit`.
            processes: as in `fit`. Each process has an iterable of its own, also an empty one; a step is made
                with the batches of all, in the order of their ranks.

        Returns:
            As `fit`.

        Raises:
            ShapeError, ArrayTypeError, DataError: a batch does not fit, or there are too few batches; the
                network is as after the last step.
            Exception: as `fit`, and what the iterable raises.
        """
        if processes is not None:
            from typednn.processes.arguments import fit_stream
            from typednn.processes.ranks import Ranks

            with Ranks(processes) as ranks:
                training = fit_stream(
                    *(ranks, processes, self._output, batches),
                    epochs=epochs,
                    steps_per_epoch=steps_per_epoch,
                    batch_size=batch_size,
                    learning_rate=learning_rate,
                    optimizer=optimizer,
                    validation_data=validation_data,
                    metrics=metrics,
                    class_weight=class_weight,
                    label_smoothing=label_smoothing,
                    callbacks=callbacks,
                    on_epoch=on_epoch,
                )
                return self._run(training, progress)
        if steps_per_epoch is not None:
            check_count("steps_per_epoch", steps_per_epoch, 1)
        if batch_size is not None:
            check_count("batch_size", batch_size, 1)
        check_sequence("metrics", metrics)
        metrics = tuple(metrics)
        if metrics and validation_data is None:
            raise SettingError("metrics of batches need validation_data, of which they are measured")
        sample_format = format_of(self._output, label_smoothing)
        steps = None if steps_per_epoch is None else int(steps_per_epoch)
        size = None if batch_size is None else int(batch_size)
        source = BatchSource(batches, steps, sample_format, class_weight)
        trainer = trainer_of(self._output, 1, optimizer, learning_rate)
        held = None if validation_data is None else sample_format.validation(validation_data)
        return self._run(
            Fit(
                *(self._output, source, size, None, held, metrics, epochs),
                *(trainer, callbacks, on_epoch),
            ),
            progress,
        )

    def _run(self, training: Fit[F_co], progress: bool) -> History:
        check_bool("progress", progress)
        training.begin()
        self._history = training.history
        with Bar(training.epochs, training.source.length, progress and training.rank == 0) as bar:
            training.run(bar)
        return training.history

    def summary(self) -> str:
        """Returns a table of the layers: kind, units, activation, parameters."""
        rows, total = self._summary()
        return "\n".join([*aligned(rows, len(rows[0])), total])

    def _summary(self) -> tuple[list[tuple[str, ...]], str]:
        rows: list[tuple[str, ...]] = [("layer", "kind", "units", "activation", "parameters")]
        for k, layer in enumerate(self.layers):
            storage = self._storage
            parts = (storage.weights, storage.biases, storage.gains, storage.inner_biases)
            count = sum(each[k].size for each in parts) if k else 0
            rows.append((str(k), type(layer).__name__, str(layer.length), layer.actname, f"{count:,}"))
        total = (
            f"{self.parameters.size:,} parameters, {self.dtype}, {self.parameters.nbytes:,} bytes, "
            f"loss {self._output.lossfnname}"
        )
        return rows, total

    def _blocks(self) -> Iterator[TableBlock | PictureBlock]:
        (heads, *rows), total = self._summary()
        yield TableBlock(f"{type(self).__name__}: {total}", heads, rows)

    def _as_samples(self, x: Samples[F_co]) -> Matrix[F_co]:
        return as_matrix(x, self.layers[0].length, self.dtype, "x", "Network")

    def _as_data(self, x: Samples[F_co], y: Targets[F_co, Y_co]) -> tuple[Matrix[F_co], Matrix[F_co]]:
        samples, targets = self._as_samples(x), self._output._as_targets(y, "Network")
        check_same_length(samples, targets, "Network")
        return samples, targets

    def _chunks(self, samples: Matrix[F_co]) -> Iterator[tuple[slice, Workspace[F_co]]]:
        workspace = self._storage.new_workspace(min(len(samples), EVALUATION_CHUNK))
        for start in range(0, len(samples), EVALUATION_CHUNK):
            chunk = slice(start, min(start + EVALUATION_CHUNK, len(samples)))
            workspace.resize_batch(chunk.stop - start)
            self._storage.try_forward(workspace, samples[chunk])
            yield chunk, workspace

    def _weights(
        self, t: Matrix[F_co], sample_weight: Weights | None, class_weight: ClassWeights | None
    ) -> Vector[F_co]:
        return format_of(self._output).weights(t, sample_weight, class_weight)

    def _mean_loss(self, samples: Matrix[F_co], t: Matrix[F_co], weights: Vector[F_co]) -> float:
        losses: Vector[F_co] = np.empty(len(samples), self.dtype)
        for chunk, workspace in self._chunks(samples):
            self._output._sample_losses(workspace, t[chunk], losses[chunk])
        if len(weights):
            losses *= weights
        return float(losses.mean(dtype=np.float64))


AnyNetwork: TypeAlias = Network[np.float32 | np.float64]
"""A network of either dtype, such as `load` returns."""


def check_network(network: object, owner: str) -> None:
    """Raises WiringError unless an object is a network."""
    if not isinstance(network, Network):
        raise WiringError(f"{owner}: network must be a Network, not {type(network).__name__}")

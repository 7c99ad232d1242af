"""The typed door: a network, its forward pass, its gradients.

>>> import numpy as np
>>> network = Network([InputLayer(2), HiddenLayer(3, "tanh"), OutputLayer(1)], seed=0)
>>> x, y = np.array([[0.0, 1.0], [1.0, 1.0]]), np.array([[1.0], [0.0]])
>>> gradients = network.forward(x).backward(y)
>>> gradients[network.layers[1]].dLdW.shape
(3, 2)
>>> gradients.vector.shape == network.parameters.shape
True
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from itertools import pairwise
from typing import Generic, Protocol, TypeAlias, TypeVar, cast, overload

import numpy as np
from typednn_kernels.activations import CODES
from typednn_kernels.arrays import F, Matrix, Vector
from typednn_kernels.dropout import INFERENCE
from typednn_kernels.layout import gain_count
from typednn_kernels.losses import LOSSES

from typednn.backends import kernels
from typednn.errors import ArrayTypeError, SettingError, WiringError
from typednn.initializers import Seed, generator
from typednn.layers import HiddenLayer, InputLayer, Layer, OutputLayer, TrainableLayer
from typednn.layers.base import rebuild
from typednn.layers.storage import Workspace
from typednn.layers.trainable import initialize
from typednn.names import MetricName, OptimizerName
from typednn.network.forward_pass import ForwardPass
from typednn.network.predictor import Predictor
from typednn.training.batches import (
    ArraySource,
    Batch,
    BatchSource,
    CheckedSamples,
    SampleFormat,
    ValidationData,
    format_of,
    split_at,
)
from typednn.training.callbacks import Callback
from typednn.training.evaluation import Evaluation, evaluation
from typednn.training.fit import CHUNK, Fit
from typednn.training.history import History
from typednn.training.metrics import Measure
from typednn.training.optimizers import Optimizer, chosen
from typednn.training.progress import Bar
from typednn.training.schedules import Schedule
from typednn.training.trainer import BATCH_SIZE, Trainer
from typednn.validation.arrays import (
    ClassTargets,
    Samples,
    Targets,
    Truths,
    Weights,
    Y_co,
    as_matrix,
    as_targets,
    check_range,
    check_same_length,
)
from typednn.validation.settings import check_count

D = TypeVar("D", bound=np.float32 | np.float64)
L_contra = TypeVar("L_contra", bound=ClassTargets, contravariant=True)


class _WithOutput(Protocol[D, L_contra]):
    """Layers with an output layer among them: a list in which one could be found."""

    def __iter__(self) -> Iterator[Layer[D]]: ...
    def __len__(self) -> int: ...
    def index(self, value: OutputLayer[D, L_contra], /) -> int:
        """Takes an output layer."""
        ...


_Layers: TypeAlias = _WithOutput[np.float64, L_contra] | _WithOutput[np.float32, L_contra]


class Network(Generic[F, Y_co]):
    """A feed-forward network.

    Args:
        layers: an input layer, hidden layers, an output layer. They are attached to each other; weights
            that are not set yet are drawn as the layer names it, or by activation: He for relu and its
            like, LeCun for selu, Glorot for the others; biases are 0 unless the layer names another
            initialiser. Layers of another dtype are copied, as `np.asarray` copies numbers; new layers
            are float64.
        dtype: `np.float64` or `np.float32`, of all arrays.
        seed: for the weights, the order of samples and what dropout drops; a seed or a generator.

    Attributes:
        history: of the last training, also while it runs and after it was interrupted.

    Raises:
        WiringError: the layers do not form a network, or one belongs to another.
        ArrayTypeError: another dtype.
    """

    history: History

    @overload
    def __init__(
        self: Network[np.float64, ClassTargets],
        layers: _Layers[ClassTargets],
        dtype: type[np.float64] = ...,
        seed: Seed = ...,
    ) -> None: ...
    @overload
    def __init__(
        self: Network[np.float32, ClassTargets],
        layers: _Layers[ClassTargets],
        dtype: type[np.float32],
        seed: Seed = ...,
    ) -> None: ...
    @overload
    def __init__(
        self: Network[np.float64, Truths],
        layers: _Layers[Truths],
        dtype: type[np.float64] = ...,
        seed: Seed = ...,
    ) -> None: ...
    @overload
    def __init__(
        self: Network[np.float32, Truths],
        layers: _Layers[Truths],
        dtype: type[np.float32],
        seed: Seed = ...,
    ) -> None: ...
    def __init__(
        self,
        layers: _Layers[Truths] | _Layers[ClassTargets],
        dtype: type[np.float64 | np.float32] = np.float64,
        seed: Seed = None,
    ) -> None:
        if dtype not in (np.float32, np.float64):
            raise ArrayTypeError(f"Network: dtype must be np.float32 or np.float64, not {dtype!r}")
        rng = generator(seed)
        members = cast("list[Layer[F]]", list(layers))
        _check_wiring(members)
        if any(layer._chain.dtype != dtype for layer in members):
            members = deepcopy(members)
        self._output = _attached(members)
        self._chain = rebuild(members, cast("np.dtype[F]", np.dtype(dtype)))
        self._chain.closed, self._chain.random = True, rng
        self._random = rng
        self.history = History()
        for layer in members[1:]:
            if isinstance(layer, TrainableLayer):
                initialize(layer, rng)

    @property
    def layers(self) -> tuple[Layer[F], ...]:
        """The layers, the input layer first."""
        return tuple(self._chain.layers)

    @property
    def parameters(self) -> Vector[F]:
        """All weights, biases and gains `(n_parameters,)`, layer by layer; the memory itself, not a copy."""
        return self._chain.trainable

    @property
    def dtype(self) -> np.dtype[F]:
        """The dtype of all arrays."""
        return self._chain.dtype

    @property
    def trainable(self) -> bool:
        """Whether any layer is trained; setting it sets that of all layers with weights."""
        return any(layer.trainable for layer in self.layers[1:])

    @trainable.setter
    def trainable(self, value: bool) -> None:
        for layer in self.layers[1:]:
            layer.trainable = value

    @property
    def _loss(self) -> int:
        return self._output._loss_code

    def __repr__(self) -> str:
        """As it was constructed."""
        return f"Network({list(self.layers)!r}, dtype=np.{self.dtype})"

    def forward(self, x: Samples[F], *, training: bool = False) -> ForwardPass[F, Y_co]:
        """Runs all layers for the samples x `(n_samples, n_features)`; the layers show the result.

        Args:
            x: the samples.
            training: as in a training step: units are dropped, drawn from the network's generator, and batch
                normalisation takes mean and variance of these samples, and updates its moving ones.

        Raises:
            ShapeError, ArrayTypeError, DataError: samples that do not fit.
        """
        samples = self._as_samples(x)
        chain = self._chain
        workspace = chain.new_workspace(len(samples))
        self._forward(samples, workspace, chain.new_key() if training else INFERENCE)
        workspace.kept = True
        workspace.complete_forward()
        chain.show(workspace)
        return ForwardPass(self, workspace)

    def predict(self, x: Samples[F]) -> Matrix[F]:
        """The outputs `(n_samples, n_outputs)` for the samples x `(n_samples, n_features)`.

        Raises:
            ShapeError, ArrayTypeError, DataError: samples that do not fit.
        """
        samples = self._as_samples(x)
        outputs: Matrix[F] = np.empty((len(samples), self._output.length), self.dtype)
        for chunk, workspace in self._chunks(samples):
            outputs[chunk] = workspace.output
        return outputs

    def predictor(self) -> Predictor[F]:
        """The fast way to predict one sample at a time; see `Predictor`."""
        return Predictor(self._chain)

    def loss(self, x: Samples[F], y: Targets[F, Y_co]) -> float:
        """The mean loss of the samples x, y (as in `fit`)."""
        return self._mean_loss(*self._as_data(x, y))

    def evaluate(self, x: Samples[F], y: Targets[F, Y_co]) -> Evaluation:
        """The loss, and the accuracy or R², of the samples x, y (as in `fit`)."""
        samples, t = self._as_data(x, y)
        return evaluation(self.predict(x), t, self._mean_loss(samples, t), LOSSES[self._loss])

    def fit(
        self,
        x: Samples[F],
        y: Targets[F, Y_co],
        *,
        epochs: int = 10,
        batch_size: int | None = None,
        learning_rate: float | Schedule | None = None,
        optimizer: Optimizer | OptimizerName | None = None,
        shuffle: bool = True,
        validation_data: ValidationData[F, Y_co] | None = None,
        validation_split: float = 0.0,
        metrics: Sequence[MetricName] = (),
        sample_weight: Weights | None = None,
        class_weight: Mapping[int, float] | None = None,
        label_smoothing: float = 0.0,
        callbacks: Sequence[Callback] = (),
        on_epoch: Callable[[History], None] | None = None,
        progress: bool = True,
    ) -> History:
        """Trains in compiled epochs.

        >>> from typednn import Adam
        >>> network = Network([InputLayer(1), OutputLayer(1)], seed=0)
        >>> x = np.array([[0.0], [1.0], [2.0]])
        >>> history = network.fit(x, 3 - x, epochs=200, optimizer=Adam(learning_rate=0.1))
        >>> network.parameters.round(2)
        array([-1.,  3.])

        Ctrl-C raises KeyboardInterrupt as anywhere, within a fraction of a second: the network is then as
        after the last step, and `history` has the epochs that were over. So it is after any exception.

        Args:
            x: samples `(n_samples, n_features)` of the network's dtype; also a memory-mapped array that is
                larger than memory.
            y: targets `(n_samples, n_outputs)`, or integer labels `(n_samples,)` with a loss of
                classes: crossentropy or kl_divergence.
            epochs: how many times each sample is used.
            batch_size: samples per step; by default 32, or all where there are fewer.
            optimizer: such as `Adam(learning_rate=1e-3)`, or the name of one, such as "adam", with its usual
                settings; see `typednn.training.optimizers`. Gradient descent by default. It starts anew.
            learning_rate: of an optimizer that is named, or of gradient descent (0.01 by default), whose
                step is so many times the gradient of the batch's mean loss.
            shuffle: whether each epoch draws a new order from the network's generator.
            validation_data: samples and targets, and weights if need be, whose loss and metrics are recorded
                after each epoch.
            validation_split: the share of samples, the last ones, that are held out for that.
            metrics: what is recorded of training and validation samples after each epoch, beside the loss.
            sample_weight: `(n_samples,)`; the loss of a batch is the mean of its samples' losses, each times
                its weight.
            class_weight: the weights of classes, by label; 1 for others. Multiplied with `sample_weight`.
            label_smoothing: for crossentropy and kl_divergence, t (1 - s) + s / n_outputs in place of the
                target t; for bincrossentropy and focal, t (1 - s) + s / 2.
            callbacks: what is called on the way: `EarlyStopping`, `Checkpoint`, `GradientNorms`, your own.
            on_epoch: called with the history after each epoch.
            progress: whether a training of some seconds shows a bar on a terminal.

        Returns:
            Losses and metrics by epoch: of training, the loss is the mean over samples, each before the step
            it is part of; the layers' L1 and L2 penalties are not in it.

        Raises:
            ShapeError, ArrayTypeError, DataError: data that do not fit.
            SettingError: a setting outside its range.
            DivergenceError: a step is not finite; the network is as it was before this step.
            MissingExtraError: metrics without scikit-learn.
        """
        takes = format_of(self._chain, label_smoothing)
        targets: Targets[F] = y
        held_out: ValidationData[F] | None = validation_data
        if validation_split:
            if validation_data is not None:
                raise SettingError("give validation_data or validation_split, not both")
            check_same_length(x, y, "Network")
            part = split_at(len(x), validation_split)
            held_out = x[part:], y[part:]
            x, targets = x[:part], y[:part]
            sample_weight = None if sample_weight is None else sample_weight[:part]
        samples = takes.samples(x, targets, sample_weight, class_weight)
        size = min(BATCH_SIZE, len(samples)) if batch_size is None else batch_size
        check_count("batch_size", size, 1, len(samples))
        source = ArraySource(samples, self._random if shuffle else None)
        return self._fit(
            takes,
            source,
            int(size),
            samples,
            held_out,
            metrics,
            epochs,
            chosen(optimizer, learning_rate),
            callbacks,
            on_epoch,
            progress,
        )

    def fit_batches(
        self,
        batches: Iterable[Batch[F, Y_co]],
        *,
        epochs: int = 10,
        steps_per_epoch: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | Schedule | None = None,
        optimizer: Optimizer | OptimizerName | None = None,
        validation_data: ValidationData[F, Y_co] | None = None,
        metrics: Sequence[MetricName] = (),
        class_weight: Mapping[int, float] | None = None,
        label_smoothing: float = 0.0,
        callbacks: Sequence[Callback] = (),
        on_epoch: Callable[[History], None] | None = None,
        progress: bool = True,
    ) -> History:
        """Trains with batches as an iterable gives them; in all else as `fit`.

        The row groups of a Parquet file, for one, by pyarrow:

            class Table:
                def __iter__(self):
                    for part in pyarrow.parquet.ParquetFile("table.parquet").iter_batches(4096):
                        columns = [part[name].to_numpy() for name in names]
                        yield np.stack(columns, axis=1), part["label"].to_numpy()

        Args:
            batches: gives tuples `(x, y)` or `(x, y, sample_weight)`, of any number of samples each.
            epochs: how often all batches are used; an iterator, which gives them once, is enough for one.
            steps_per_epoch: makes an epoch of so many batches; the next goes on with those that follow, and
                a training that is resumed passes over those it has had.
            batch_size: divides each batch into steps of so many samples; by default it is one step.
            optimizer: as in `fit`, like all below.
            learning_rate: of an optimizer that is named, or of gradient descent.
            validation_data: the held-out samples.
            metrics: of them alone.
            class_weight: the weights of classes.
            label_smoothing: of the targets.
            callbacks: what is called on the way.
            on_epoch: called after each epoch.
            progress: whether there may be a bar.

        Returns:
            As `fit`.

        Raises:
            ShapeError, ArrayTypeError, DataError: a batch that does not fit, or too few of them; the network
                is as after the last step.
            Others: as `fit`, and what the iterable raises.
        """
        if steps_per_epoch is not None:
            check_count("steps_per_epoch", steps_per_epoch, 1)
        if batch_size is not None:
            check_count("batch_size", batch_size, 1)
        if metrics and validation_data is None:
            raise SettingError("metrics of batches need validation_data, of which they are measured")
        takes = format_of(self._chain, label_smoothing)
        return self._fit(
            takes,
            BatchSource(batches, steps_per_epoch, takes, class_weight),
            batch_size,
            None,
            validation_data,
            metrics,
            epochs,
            chosen(optimizer, learning_rate),
            callbacks,
            on_epoch,
            progress,
        )

    def _fit(
        self,
        takes: SampleFormat[F],
        source: ArraySource[F] | BatchSource[F],
        batch_size: int | None,
        trained: CheckedSamples[F] | None,
        validation_data: ValidationData[F] | None,
        metrics: Sequence[MetricName],
        epochs: int,
        optimizer: Optimizer,
        callbacks: Sequence[Callback],
        on_epoch: Callable[[History], None] | None,
        progress: bool,
    ) -> History:
        check_count("epochs", epochs, 1)
        output, history = self._output, History()
        fit = Fit(
            self._chain,
            self._loss,
            Trainer(self._chain, self._loss, batch_size or 1, optimizer),
            source,
            batch_size=batch_size,
            trained=trained,
            held_out=None if validation_data is None else takes.validation(validation_data),
            measure=Measure(metrics, output.actname, LOSSES[self._loss], output.length),
            random=self._random,
            epochs=epochs,
            callbacks=callbacks,
            on_epoch=on_epoch,
            history=history,
        )
        self.history = history
        with Bar(epochs, source.length, progress) as bar:
            fit.run(bar)
        return history

    def summary(self) -> str:
        """A table of the layers: kind, units, activation, parameters."""
        rows = [("layer", "kind", "units", "activation", "parameters")]
        for k, layer in enumerate(self.layers):
            count = layer.length * (layer.previous.length + 1) if layer.previous else 0
            count += gain_count(self._chain.layout, k)
            rows.append((str(k), type(layer).__name__, str(layer.length), layer.actname, f"{count:,}"))
        widths = [max(len(row[i]) for row in rows) for i in range(5)]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows
        ]
        lines.append(
            f"{self.parameters.size:,} parameters, {self.dtype}, {self.parameters.nbytes:,} bytes, "
            f"loss {self._output.lossfnname}"
        )
        return "\n".join(line.rstrip() for line in lines)

    def _as_samples(self, x: Samples[F]) -> Matrix[F]:
        return as_matrix(x, self.layers[0].length, self.dtype, "x", "Network")

    def _as_targets(self, y: Targets[F, Y_co]) -> Matrix[F]:
        row = LOSSES[self._loss]
        t = as_targets(y, self._output.length, self.dtype, row.targets == "classes", "Network")
        check_range(t, row.target_minimum, row.target_maximum, "y", "Network")
        return t

    def _as_data(self, x: Samples[F], y: Targets[F, Y_co]) -> tuple[Matrix[F], Matrix[F]]:
        samples, targets = self._as_samples(x), self._as_targets(y)
        check_same_length(samples, targets, "Network")
        return samples, targets

    def _forward(self, samples: Matrix[F], workspace: Workspace[F], key: int = INFERENCE) -> None:
        chain = self._chain
        workspace.hold(len(samples))
        workspace.key = key
        kernels(chain.dtype).forward(chain.parameters, chain.layout, key, samples, workspace.vectors)

    def _chunks(self, samples: Matrix[F]) -> Iterator[tuple[slice, Workspace[F]]]:
        workspace = self._chain.new_workspace(min(len(samples), CHUNK))
        for start in range(0, len(samples), CHUNK):
            chunk = slice(start, min(start + CHUNK, len(samples)))
            self._forward(samples[chunk], workspace)
            yield chunk, workspace

    def _mean_loss(self, samples: Matrix[F], t: Matrix[F]) -> float:
        losses = np.empty(len(samples), self.dtype)
        for chunk, workspace in self._chunks(samples):
            self._sample_losses(workspace, t[chunk], losses[chunk])
        return float(losses.mean(dtype=np.float64))

    def _sample_losses(self, workspace: Workspace[F], t: Matrix[F], losses: Vector[F]) -> None:
        last = workspace.blocks[-1]
        kernels(self.dtype).loss_value(self._loss, CODES[self._output.actname], last.a, last.h, t, losses)


def _attached(layers: list[Layer[F]]) -> OutputLayer[F]:
    """Makes the layers each other's neighbours; the last one."""
    for lower, upper in pairwise(layers):
        upper._follow(lower)
    last = layers[-1]
    assert isinstance(last, OutputLayer)
    return last


def _check_wiring(layers: list[Layer[F]]) -> None:
    if len(layers) < 2:
        raise WiringError(f"Network: needs an input layer and an output layer, not {len(layers)} layers")
    for k, layer in enumerate(layers):
        wanted = InputLayer if k == 0 else OutputLayer if k == len(layers) - 1 else HiddenLayer
        if not isinstance(layer, wanted):
            raise WiringError(f"Network: layer {k} must be of {wanted.__name__}, not {layer!r}")
        if layer._chain.closed:
            raise WiringError(f"Network: layer {k}, {layer!r}, belongs to another network")
    for k, layer in enumerate(layers):
        before = layers[k - 1] if k > 0 else None
        after = layers[k + 1] if k + 1 < len(layers) else None
        if layers.index(layer) != k:
            raise WiringError(f"Network: layer {k}, {layer!r}, is in the list twice")
        if layer.previous not in (None, before) or layer.next not in (None, after):
            raise WiringError(f"Network: layer {k}, {layer!r}, is attached to a layer outside the list")

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

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from itertools import pairwise
from typing import Generic, Protocol, Self, TypeAlias, cast, overload

import numpy as np
from typednn_kernels.activations import CODES
from typednn_kernels.arrays import F, Matrix, Vector
from typednn_kernels.layout import biases, weights
from typednn_kernels.losses import CODES as LOSS_CODES
from typednn_kernels.losses import LOSSES
from typing_extensions import TypeVar

from typednn.arrays import (
    ClassTargets,
    Samples,
    Targets,
    Truths,
    Y_co,
    as_matrix,
    as_targets,
    check_range,
    check_same_length,
    read_only,
)
from typednn.backends import kernels
from typednn.chains import Chain, Workspace
from typednn.errors import ArrayTypeError, ShapeError, WiringError
from typednn.initializers import Seed, generator
from typednn.layers import HiddenLayer, InputLayer, Layer, OutputLayer, TrainableLayer
from typednn.layers.layer import rebuild
from typednn.layers.trainable import initialize
from typednn.training import BATCH_SIZE, History, train

D = TypeVar("D", bound=np.float32 | np.float64)
L_contra = TypeVar("L_contra", bound=ClassTargets, contravariant=True)

CHUNK = 1024
"""So many samples at a time are predicted, so that activations take little memory."""


@dataclass(frozen=True, slots=True)
class LayerGradients(Generic[F]):
    """The gradients of the mean loss by what belongs to one layer of `n` units, `n_prev` below.

    Attributes:
        dLda: by the pre-activations, `(n, B)`.
        dLdW: by the weights, `(n, n_prev)`.
        dLdBias: by the biases, `(1, n)`.
    """

    dLda: Matrix[F]
    dLdW: Matrix[F]
    dLdBias: Matrix[F]


class Gradients(Generic[F]):
    """The gradients of the mean loss of some samples; `gradients[layer]` has those of a layer.

    Attributes:
        vector: all of them `(n_parameters,)`, in the layout of `Network.parameters`.
        loss: the mean loss.
    """

    def __init__(self, chain: Chain[F], workspace: Workspace[F], vector: Vector[F], loss: float) -> None:
        self._chain = chain
        self._workspace = workspace
        self.vector = vector
        self.loss = loss

    def __getitem__(self, layer: Layer[F]) -> LayerGradients[F]:
        """The gradients of one layer of the network, other than the input layer.

        Raises:
            WiringError: the layer is another network's, or the input layer.
        """
        chain, k = self._chain, layer._index
        if layer._chain is not chain or k == 0:
            raise WiringError(f"{layer!r} is not a layer with gradients in this network")
        return LayerGradients(
            self._workspace.blocks[k].dLda.T,
            weights(self.vector, chain.layout, k),
            biases(self.vector, chain.layout, k).reshape(1, -1),
        )


class ForwardPass(Generic[F, Y_co]):
    """The activations of a network for some samples; made by `Network.forward`."""

    def __init__(self, network: Network[F, Y_co], workspace: Workspace[F]) -> None:
        self._network = network
        self._workspace = workspace

    @property
    def output(self) -> Matrix[F]:
        """The outputs `(n_samples, n_outputs)`."""
        return self._workspace.output

    def loss(self, y: Targets[F, Y_co]) -> float:
        """The mean loss, given the targets `(n_samples, n_outputs)` or labels `(n_samples,)`."""
        return self._mean_loss(self._targets(y))

    def backward(self, y: Targets[F, Y_co]) -> Gradients[F]:
        """The gradients of the mean loss, with the weights as they are now.

        Args:
            y: targets `(n_samples, n_outputs)`, or with crossentropy integer labels `(n_samples,)`.

        Raises:
            ShapeError, ArrayTypeError, DataError: targets that do not fit.
        """
        t = self._targets(y)
        network, chain = self._network, self._network._chain
        workspace = self._workspace.with_new_errors()
        loss = self._mean_loss(t)
        vector: Vector[F] = np.empty_like(chain.parameters)
        kernels().backward(
            chain.parameters,
            chain.layout,
            network._loss,
            t,
            workspace.a,
            workspace.h,
            workspace.dLdh,
            workspace.dLda,
            vector,
        )
        workspace.complete_backward()
        chain.show(workspace)
        return Gradients(chain, workspace, vector, loss)

    def _mean_loss(self, t: Matrix[F]) -> float:
        losses = np.empty(len(t), t.dtype)
        self._network._sample_losses(self._workspace, t, losses)
        return float(losses.mean(dtype=np.float64))

    def _targets(self, y: Targets[F, Y_co]) -> Matrix[F]:
        t = self._network._as_targets(y)
        if len(t) != self._workspace.samples:
            raise ShapeError(
                f"Network: the forward pass had {self._workspace.samples} samples, y has {len(t)}"
            )
        return t


class Predictor(Generic[F]):
    """Predicts one sample at a time, without making an array; made by `Network.predictor`.

    It uses the network's weights as they are at each call, on the backend that was active when it was made.
    NaN or infinity in a sample are not looked for. One predictor serves one thread.

    >>> network = Network([InputLayer(2), OutputLayer(1)], seed=0)
    >>> predict = network.predictor()
    >>> sample = np.array([1.0, 2.0])
    >>> bool(predict(sample)[0] == network.predict(sample.reshape(1, -1))[0, 0])
    True
    """

    def __init__(self, chain: Chain[F]) -> None:
        workspace = chain.new_workspace(1)
        self._chain, self._parameters, self._layout = chain, chain.parameters, chain.layout
        self._a, self._h = workspace.a, workspace.h
        self._sample: Matrix[F] = np.zeros((1, chain.layers[0].length), chain.dtype)
        self._row: Vector[F] = self._sample[0]
        self._x = read_only(self._sample)
        self._output: Vector[F] = workspace.output[0]
        self._shape = self._row.shape
        self._forward = kernels().forward

    def __reduce__(self) -> tuple[type[Self], tuple[Chain[F]]]:
        """A copy is a new predictor, for the copied network."""
        return type(self), (self._chain,)

    def __call__(self, sample: Vector[F]) -> Vector[F]:
        """The outputs `(n_outputs,)` for one sample `(n_features,)`: the same array at each call.

        Raises:
            ShapeError: another shape.
            TypeError: numbers that numpy does not cast to the network's dtype.
        """
        if sample.shape != self._shape:
            raise ShapeError(f"Predictor: the sample must have the shape {self._shape}, not {sample.shape}")
        self._row[:] = sample
        self._forward(self._parameters, self._layout, self._x, self._a, self._h)
        return self._output


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How well a network does on some samples.

    Attributes:
        loss: the mean loss.
        accuracy: the share of samples whose class is right (softmax: the largest output; sigmoid with
            bincrossentropy: every output on the right side of 0.5); None for other networks.
        r2: the coefficient of determination, averaged over outputs; None where accuracy is given. For
            constant targets, as in scikit-learn, 1 where all outputs are right, else 0.
    """

    loss: float
    accuracy: float | None
    r2: float | None


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
            that are not set yet are drawn as the layer names it, or by activation: He for relu, Glorot
            for the others; biases are 0 unless the layer names another initialiser. Layers of another
            dtype are copied, as `np.asarray` copies numbers; new layers are float64.
        dtype: `np.float64` or `np.float32`, of all arrays.
        seed: for the weights and the order of samples; a seed or a generator.

    Raises:
        WiringError: the layers do not form a network, or one belongs to another.
        ArrayTypeError: another dtype.
    """

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
        self._chain.closed = True
        self._random = rng
        self._loss = LOSS_CODES[self._output.lossfnname]
        for layer in members[1:]:
            if isinstance(layer, TrainableLayer):
                initialize(layer, rng)

    @property
    def layers(self) -> tuple[Layer[F], ...]:
        """The layers, the input layer first."""
        return tuple(self._chain.layers)

    @property
    def parameters(self) -> Vector[F]:
        """All weights and biases `(n_parameters,)`, layer by layer; the memory itself, not a copy."""
        return self._chain.parameters

    @property
    def dtype(self) -> np.dtype[F]:
        """The dtype of all arrays."""
        return self._chain.dtype

    def __repr__(self) -> str:
        """As it was constructed."""
        return f"Network({list(self.layers)!r}, dtype=np.{self.dtype})"

    def forward(self, x: Samples[F]) -> ForwardPass[F, Y_co]:
        """Runs all layers for the samples x `(n_samples, n_features)`; the layers show the result.

        Raises:
            ShapeError, ArrayTypeError, DataError: samples that do not fit.
        """
        samples = self._as_samples(x)
        chain = self._chain
        workspace = chain.new_workspace(len(samples))
        self._forward(samples, workspace)
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
        loss = self._mean_loss(samples, t)
        outputs = self.predict(x)
        if self._output.lossfnname == "crossentropy":
            right = outputs.argmax(axis=1) == t.argmax(axis=1)
            return Evaluation(loss, float(right.mean()), None)
        if self._output.lossfnname == "bincrossentropy":
            right = ((outputs >= 0.5) == (t >= 0.5)).all(axis=1)
            return Evaluation(loss, float(right.mean()), None)
        residual = ((outputs - t) ** 2).sum(axis=0, dtype=np.float64)
        total = ((t - t.mean(axis=0)) ** 2).sum(axis=0, dtype=np.float64)
        r2: Vector[np.float64] = (residual == 0).astype(np.float64)
        np.divide(total - residual, total, out=r2, where=total > 0)
        return Evaluation(loss, None, float(r2.mean()))

    def fit(
        self,
        x: Samples[F],
        y: Targets[F, Y_co],
        *,
        epochs: int = 10,
        batch_size: int | None = None,
        learning_rate: float = 0.01,
        shuffle: bool = True,
        validation_data: tuple[Samples[F], Targets[F, Y_co]] | None = None,
        on_epoch: Callable[[History], None] | None = None,
    ) -> History:
        """Trains by gradient descent, in compiled epochs.

        Args:
            x: samples `(n_samples, n_features)` of the network's dtype.
            y: targets `(n_samples, n_outputs)`, or with crossentropy integer labels `(n_samples,)`.
            epochs: how many times each sample is used.
            batch_size: samples per step; by default 32, or all where there are fewer.
            learning_rate: the step is so many times the gradient of the batch's mean loss.
            shuffle: whether each epoch draws a new order from the network's generator.
            validation_data: samples and targets whose loss is recorded after each epoch.
            on_epoch: called with the history after each epoch.

        Returns:
            The losses by epoch: of training, the mean over samples, each before the step it is part of.

        Raises:
            ShapeError, ArrayTypeError, DataError: data that do not fit.
            SettingError: a setting outside its range.
            DivergenceError: the loss became infinite or NaN; the network is as it was before.
        """
        samples, targets = self._as_data(x, y)
        held_out = None if validation_data is None else self._as_data(*validation_data)
        return train(
            self._chain,
            self._loss,
            samples,
            targets,
            epochs=epochs,
            batch_size=min(BATCH_SIZE, len(samples)) if batch_size is None else batch_size,
            learning_rate=learning_rate,
            random=self._random if shuffle else None,
            validate=None if held_out is None else lambda: self._mean_loss(*held_out),
            on_epoch=on_epoch,
        )

    def summary(self) -> str:
        """A table of the layers: kind, units, activation, parameters."""
        rows = [("layer", "kind", "units", "activation", "parameters")]
        for k, layer in enumerate(self.layers):
            count = layer.length * (layer.previous.length + 1) if layer.previous else 0
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
        classes = row.name == "crossentropy"
        t = as_targets(y, self._output.length, self.dtype, classes, "Network")
        check_range(t, row.target_minimum, row.target_maximum, "y", "Network")
        return t

    def _as_data(self, x: Samples[F], y: Targets[F, Y_co]) -> tuple[Matrix[F], Matrix[F]]:
        samples, targets = self._as_samples(x), self._as_targets(y)
        check_same_length(samples, targets, "Network")
        return samples, targets

    def _forward(self, samples: Matrix[F], workspace: Workspace[F]) -> None:
        chain = self._chain
        workspace.hold(len(samples))
        kernels().forward(chain.parameters, chain.layout, samples, workspace.a, workspace.h)

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
        kernels().loss_value(self._loss, CODES[self._output.actname], last.a, last.h, t, losses)


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

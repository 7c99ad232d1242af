"""The memory of attached layers: a vector of parameters, a vector of gradients, a workspace.

Layers own no arrays: their weights, biases, activations and gradients are views of these vectors. The vector
of parameters begins with the trainable ones; the running means and variances of batch normalisation follow.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import ClassVar, Generic, Protocol, TypeAlias, cast

import numpy as np
from numpy import ndarray
from numpy.typing import ArrayLike
from typednn_kernels import operands
from typednn_kernels.activation_families import code_of
from typednn_kernels.activations import ACTIVATIONS, MAX_ROWS, NONE
from typednn_kernels.arrays import F, Layout, Matrix, Ranges, Vector
from typednn_kernels.dropout import threshold
from typednn_kernels.layout import (
    ACTIVATION,
    DROPOUT,
    FROZEN,
    LENGTH,
    NORMALIZATION,
    biases,
    block,
    gains,
    inner_biases,
    layout_of,
    normalization_settings,
    normalized,
    parameter_count,
    prediction_size,
    running_moments,
    unit_count,
    vector_size,
    weights,
    workspace_size,
)
from typednn_kernels.losses import MAX_SUMMED
from typednn_kernels.normalizations import Settings as Normalization
from typednn_kernels.normalizations import settings_of

from typednn.backends import Running, running
from typednn.errors import NotReadyError, SettingError, WiringError
from typednn.layers.workspace import Arguments, Memory, Restored, Workspace, copied, new_vector, new_vectors
from typednn.validation.arrays import read_only

Settings: TypeAlias = "tuple[int, str, str, float, bool, bool]"
"""Length, activation, normalisation, dropout of a layer, whether it is trainable, and has weights."""

TOTALS = 4
"""The number of elements after the gradient: loss, samples, processes that stop and that have failed."""

KEPT_BYTES, KEPT_SAMPLES, KEPT_MEMORIES = 1 << 20, 256, 8
"""A network keeps memory for predictions of up to `KEPT_SAMPLES` samples: about `KEPT_BYTES` bytes, or what
one sample needs, for each of the threads that predict at a time, `KEPT_MEMORIES` at most."""


class StoredLayer(Protocol):
    """The attributes of a `Layer` that the storage and the training read."""

    _index: int

    @property
    def name(self) -> str: ...
    @property
    def length(self) -> int: ...
    @property
    def actname(self) -> str: ...
    @property
    def normalization(self) -> str: ...
    @property
    def dropout(self) -> float: ...
    @property
    def _trainable(self) -> bool: ...
    @property
    def _weighted(self) -> bool: ...
    @property
    def _penalties(self) -> tuple[float, float]: ...


def _code_of(name: str) -> int:
    """Returns the code of an activation.

    Raises:
        SettingError: there is no room for one more activation.
        NotReadyError: it was registered in another process, but not in this one.
    """
    code = code_of(name)
    if code is None and len(ACTIVATIONS) >= MAX_ROWS:
        raise SettingError(f"the activation {name!r} is one more than the {MAX_ROWS} for which there is room")
    if code is None:
        register = "register_activation_family" if name.endswith(")") else "register_activation"
        name = name.partition("(")[0] if name.endswith(")") else name
        raise NotReadyError(f"the activation {name!r} is unknown here: call {register}({name!r}, ...) first")
    return code


def total_of(losses: Vector[F]) -> float:
    """Computes the bits of `Storage.total_loss` in NumPy, which compiles nothing."""
    return float(np.add.reduce(losses, dtype=np.float64))


class Storage(Memory, Generic[F]):
    """The memory that a sequence of attached layers shares.

    Copies and pickles have the parameters and the settings; samples, targets and gradients they have not.

    Attributes:
        layers: the layers, the input layer first.
        fan_in: the number of inputs of the first layer: 0, unless it is a copy that is to be attached.
        layout: where the elements of each layer lie, and its codes. A change of a setting replaces it.
        parameters: all parameters, then running means and variances.
        trainable: a view of the parameters that are trained alone, `(n_parameters,)`.
        gradient: memory for the gradient with respect to `trainable`.
        summed: the gradient, and room for `TOTALS` sums that processes add up with it.
        unit_count, sample_elements, fixed_elements: elements of `h` for each sample; of `a` for each sample,
            and besides.
        no_weights: an empty vector, for samples without weights.
        kept_memory, kept_samples: memory for predictions of up to this number of samples, kept between calls.
        activations: the code of each layer's activation.
        running: the kernels for the dtype.
        targets_view: a read-only view of the targets, for the kernels.
        loss: the code of the loss and the limits of its targets, once they have been looked up.
        drops, only_dense: whether a layer drops units; whether none does, and none is normalised.
        trained: a layout, the ranges of parameters that are trained with it, and their penalties, once they
            have been looked up.
        has_weights: for each layer whether its weights are set, or it has none.
        weights, biases, bias_rows: for each layer, `(n, n_prev)`, `(n,)`, `(1, n)`; `(n, 0)` without weights.
        W: the views of the weights that layers show: who sets the shape of one does not reach the kernels.
        gains, gain_rows: for each layer, `(n,)`, `(1, n)`; empty where it is not normalised.
        normalizations: the normalisation of each layer, with its settings.
        inner_biases, inner_bias_rows: for each layer, `(n,)`, `(1, n)`; empty where it has none.
        running_moments: for each layer its running mean and variance, `(2, n)`; empty without batch
            normalisation.
        weight_gradients, bias_gradients, gain_gradients, inner_bias_gradients: for each layer, in the shapes
            of the parameters.
        dLdW, dLdBias, dLdGain, dLdInnerBias: read-only views of them, in the shapes that the layers show.
        closed: whether a `Network` owns the layers, so that none can be attached.
        training: whether `forward()` of the layers is part of a training step.
        random: the generator of the network that owns the layers.
    """

    views: ClassVar[frozenset[str]] = frozenset(
        [
            *(
                "running",
                "targets_view",
                "trainable",
                "weights",
                "W",
                "biases",
                "bias_rows",
                "gains",
                "gain_rows",
                "inner_biases",
                "inner_bias_rows",
                "normalizations",
            ),
            *("running_moments", "weight_gradients", "bias_gradients", "gain_gradients"),
            *("inner_bias_gradients", "dLdW", "dLdBias", "dLdGain", "dLdInnerBias"),
        ]
    )
    kept: ClassVar[tuple[str, ...]] = (
        *("layers", "dtype", "fan_in", "parameters", "has_weights", "closed", "training", "random"),
    )
    """The names of the attributes that copies and pickles have, besides the settings of the layers."""

    layers: list[StoredLayer]
    dtype: np.dtype[F]
    fan_in: int
    parameters: Vector[F]
    targets_view: Matrix[F]

    def __init__(self, layers: Sequence[StoredLayer], dtype: np.dtype[F], fan_in: int = 0) -> None:
        self.layers, self.dtype, self.fan_in = list(layers), dtype, fan_in
        self.has_weights: list[bool] = [not each._weighted for each in self.layers]
        self.closed: bool = False
        self.training: bool = False
        self.random: np.random.Generator | None = None
        self._set_layout(self._settings)
        self.parameters = new_vector(vector_size(self.layout), dtype)
        for k in range(len(layers)):
            gains(self.parameters, self.layout, k)[...] = 1
            running_moments(self.parameters, self.layout, k)[1] = 1
        self._allocate()

    def __getstate__(self) -> dict[str, object]:
        """Returns parameters and settings alone."""
        unique: dict[Settings, Settings] = {}  # pickles have an object once
        settings = [unique.setdefault(each, each) for each in self._settings]
        return {"settings": settings, **{name: getattr(self, name) for name in self.kept}}

    def __setstate__(self, state: dict[str, object]) -> None:
        """Copies the parameters, which may lie in read-only memory or in that of another network.

        The codes of activations are looked up again: another process may have registered others.
        """
        Restored.__setstate__(self, {name: state[name] for name in self.kept})
        self._set_layout(cast("list[Settings]", state["settings"]))
        for k, layer in enumerate(self.layers):
            layer._index = k
        self.parameters = copied(self.parameters)
        self._allocate()

    @property
    def _settings(self) -> list[Settings]:
        """What the layout is made of, by layer; copied layers may get theirs after the storage."""
        return [
            (
                *(each.length, each.actname, each.normalization, each.dropout),
                *(each._trainable, each._weighted),
            )
            for each in self.layers
        ]

    def _set_layout(self, settings: list[Settings]) -> None:
        lengths, actnames, normalization, dropouts, trainable, weighted = zip(*settings, strict=True)
        self.activations: list[int] = [_code_of(name) for name in actnames]
        self.layout: Layout = layout_of(
            lengths,
            self.activations,
            [settings_of(name) for name in normalization],
            [threshold(dropout) for dropout in dropouts],
            self.fan_in,
            weighted,
        )
        self.layout[:, FROZEN] = [not each for each in trainable]
        self._look_at_layout()
        self.unit_count: int = unit_count(self.layout)
        self.fixed_elements: int = workspace_size(self.layout, 0)
        self.sample_elements: int = workspace_size(self.layout, 1) - self.fixed_elements
        sample_bytes = (self.unit_count + self.sample_elements) * self.dtype.itemsize
        self.kept_samples: int = min(max(KEPT_BYTES // sample_bytes, 1), KEPT_SAMPLES)

    def _allocate(self) -> None:
        """Allocates the memory of samples, targets and gradients."""
        count = parameter_count(self.layout)
        self.summed: Vector[F] = new_vector(count + TOTALS, self.dtype)
        self.gradient: Vector[F] = self.summed[:count]
        self.has_gradient: list[bool] = [False] * len(self.layers)
        self.kept_memory: list[Vector[F]] = []
        self.no_weights: Vector[F] = np.empty(0, self.dtype)
        self.loss: tuple[int, Vector[F]] | None = None
        self.trained: tuple[Layout, Ranges, Matrix[F]] | None = None
        self.has_targets: bool = False
        self.targets: Matrix[F] = np.zeros((1, int(self.layout[-1, LENGTH])), self.dtype)
        self.workspace: Workspace[F] = self.new_workspace(1)
        self.make_views()

    def _look_at_layout(self) -> None:
        self.drops: bool = bool(self.layout[:, DROPOUT].any())
        self.only_dense: bool = not self.drops and not self.layout[:, NORMALIZATION].any()

    def change_layout(self, k: int, column: int, value: int) -> None:
        """Sets a code of layer k; the results of the layout before belong to another network.

        Passes that are under way keep the layout that they began with; a training takes the new one up.
        """
        self.layout = self.layout.copy()
        self.layout[k, column] = value
        self._look_at_layout()
        self.workspace.forward_valid, self.workspace.backward_valid = 0, len(self.layers)

    def new_workspace(self, samples: int) -> Workspace[F]:
        """Allocates a workspace."""
        size = self.fixed_elements + samples * self.sample_elements
        a, h = new_vectors(size, samples * self.unit_count, self.dtype)
        return Workspace(self.layout, samples, a, h)

    def try_forward(self, workspace: Workspace[F], x: Matrix[F]) -> bool:
        """Computes the activations of some samples, if they fit; see `Kernels.forward`."""
        a, h = workspace.a, workspace.h
        vectors = operands.Workspace(a, h, h, a)  # a forward pass does not look at the last two
        return self.running.kernels.forward(self.parameters, workspace.layout, workspace.key, x, vectors)

    def try_predict(self, x: Matrix[F], outputs: Matrix[F], memory: Vector[F] | None = None) -> bool:
        """Writes the outputs for some samples, if they fit; see `Kernels.predict`.

        For up to `kept_samples` samples, no memory needs to be given. It is kept for the next call, and no
        other thread finds it until this one has ended.
        """
        if memory is not None:
            return self.running.kernels.predict(self.parameters, self.layout, x, memory, outputs)
        kept = self.kept_memory
        try:
            memory = kept.pop()
        except IndexError:
            memory = self.prediction_memory(self.kept_samples)
        fit = self.running.kernels.predict(self.parameters, self.layout, x, memory, outputs)
        if len(kept) < KEPT_MEMORIES:
            kept.append(memory)
        return fit

    def prediction_memory(self, samples: int) -> Vector[F]:
        """Allocates memory for predictions of up to a number of samples at a time."""
        return new_vector(prediction_size(self.layout, samples), self.dtype)

    def arguments(self, workspace: Workspace[F]) -> Arguments[F]:
        """Returns the arguments of the kernels of each layer, with the views of a workspace."""
        if workspace.arguments is None:
            blocks, last = workspace.blocks, len(self.layers) - 1
            end, gradients = blocks[last], self.weight_gradients
            workspace.arguments = Arguments(
                forward={
                    k: (
                        *(self.activations[k], blocks[k - 1].h, self.weights[k], self.biases[k]),
                        *(blocks[k].a, blocks[k].h),
                    )
                    for k in range(1, last + 1)
                },
                hidden_backward={
                    k: (
                        *(self.activations[k], blocks[k + 1].dLdz, self.weights[k + 1]),
                        *(blocks[k].a, blocks[k].h, blocks[k - 1].h),
                        *(blocks[k].dLdh, blocks[k].dLda, gradients[k]),
                    )
                    for k in range(1, last)
                    if self.weights[k + 1].size
                },
                output_backward=(
                    (self.activations[last], end.a, end.h),
                    (blocks[last - 1].h, end.dLdh, end.dLda, gradients[last]),
                ),
                dLda=[read_only(each.dLda.T) for each in blocks],
            )
        return workspace.arguments

    def total_loss(self, losses: Vector[F]) -> float:
        """Computes the sum of the losses of samples in float64, with the same bits on both paths."""
        return self.running.kernels.sum_losses(losses) if len(losses) <= MAX_SUMMED else total_of(losses)

    def backward_to_inputs(self, workspace: Workspace[F]) -> None:
        """Computes the gradient with respect to the samples, from the deltas of the first layer above."""
        layout, samples, run = workspace.layout, workspace.samples, self.running.kernels
        upstream = block(workspace.dLdh, layout, 0, samples)
        run.backpropagate(normalized(workspace.dLda, layout, 1, samples), self.weights[1], upstream)
        if layout[0, ACTIVATION] != NONE:
            a, h = (block(each, layout, 0, samples) for each in (workspace.a, workspace.h))
            delta = block(workspace.dLda, layout, 0, samples)
            run.activation_backward(self.activations[0], a, h, upstream, delta)

    def set_workspace(self, workspace: Workspace[F]) -> None:
        """Makes the layers' attributes views of this workspace; dLdW is formed when it is read."""
        self.workspace = workspace
        self.has_gradient = [False] * len(self.layers)

    def new_key(self) -> int:
        """Returns the dropout key of the next training step: 0, or a draw where a layer drops units.

        Raises:
            WiringError: a layer drops units, and no network gives the layers a generator.
        """
        dropping = next((layer for layer in self.layers if layer.dropout), None)
        if dropping is None:
            return 0
        if self.random is None:
            raise WiringError(
                f"{dropping.name}: dropout draws from the generator of a network: "
                "Network(ANN, seed=0) gives the layers one"
            )
        return int(self.random.integers(1 << 62))

    def try_copy_sample(self, values: ArrayLike, sample: Matrix[F], lowest: float, highest: float) -> bool:
        """Copies `values` to `sample` `(1, n)` if they are an array `(n,)` of elements within the limits.

        This is the fast path. `as_sample` converts other input and reports what is wrong with it.

        Returns:
            Whether the sample was copied.
        """
        if type(values) is not ndarray or values.ndim != 1:
            return False
        if values.dtype is not self.dtype:
            if values.dtype.kind not in "iubf":
                return False
            with np.errstate(over="ignore"):
                values = values.astype(self.dtype)
        return self.running.kernels.try_copy_sample(values, lowest, highest, sample)

    def set_targets(self, targets: Matrix[F]) -> None:
        """Copies the targets of the samples in the workspace, `(B, n_outputs)`."""
        if len(targets) != len(self.targets):
            self.targets = np.empty_like(targets)
            self.targets_view = read_only(self.targets)
        self.targets[...] = targets
        self.has_targets = True

    def warn_of_moments(self, places: Iterable[int], stacklevel: int) -> None:
        """Warns of running means and variances of layers that are not finite after a forward pass."""
        for k in places if self.parameters.size > self.gradient.size else ():
            if not np.isfinite(self.running_moments[k]).all():
                warnings.warn(
                    f"{self.layers[k].name}: the mean or variance of the batch is beyond {self.dtype}: its "
                    "pre-activations are the biases alone, or NaN, and running_mean or running_variance is "
                    "not finite from now on; scale the inputs",
                    stacklevel=stacklevel,
                )

    def make_views(self) -> None:
        layout, vector, gradient = self.layout, self.parameters, self.gradient
        places = range(len(layout))
        self.running: Running = running(self.dtype)
        self.targets_view = read_only(self.targets)
        self.trainable: Vector[F] = vector[: gradient.size]
        self.weights: list[Matrix[F]] = [weights(vector, layout, k) for k in places]
        self.W: list[Matrix[F]] = [each.view() for each in self.weights]
        self.biases: list[Vector[F]] = [biases(vector, layout, k) for k in places]
        self.bias_rows: list[Matrix[F]] = [each.reshape(1, -1) for each in self.biases]
        self.gains: list[Vector[F]] = [gains(vector, layout, k) for k in places]
        self.gain_rows: list[Matrix[F]] = [each.reshape(1, -1) for each in self.gains]
        self.inner_biases: list[Vector[F]] = [inner_biases(vector, layout, k) for k in places]
        self.inner_bias_rows: list[Matrix[F]] = [each.reshape(1, -1) for each in self.inner_biases]
        self.normalizations: list[Normalization] = [normalization_settings(layout, k) for k in places]
        self.running_moments: list[Matrix[F]] = [running_moments(vector, layout, k) for k in places]
        self.weight_gradients: list[Matrix[F]] = [weights(gradient, layout, k) for k in places]
        self.bias_gradients: list[Vector[F]] = [biases(gradient, layout, k) for k in places]
        self.gain_gradients: list[Vector[F]] = [gains(gradient, layout, k) for k in places]
        self.inner_bias_gradients: list[Vector[F]] = [inner_biases(gradient, layout, k) for k in places]
        self.dLdW: list[Matrix[F]] = [read_only(each) for each in self.weight_gradients]
        self.dLdBias: list[Matrix[F]] = [read_only(each.reshape(1, -1)) for each in self.bias_gradients]
        self.dLdGain: list[Matrix[F]] = [read_only(each.reshape(1, -1)) for each in self.gain_gradients]
        self.dLdInnerBias: list[Matrix[F]] = [
            read_only(each.reshape(1, -1)) for each in self.inner_bias_gradients
        ]

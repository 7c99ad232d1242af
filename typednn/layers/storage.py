"""The memory of a network: one vector of parameters, one of gradients, one workspace.

A chain is a sequence of attached layers. Its layers own nothing: weights, biases, activations and
gradients are views of these vectors.

The vector of parameters begins with the `trainable` ones; the moving means and variances of batch
normalisation follow.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import TYPE_CHECKING, ClassVar, Generic, NamedTuple

import numpy as np
from numpy import ndarray
from numpy.typing import ArrayLike
from typednn_kernels import normalizations, operands
from typednn_kernels.activations import CODES, NONE
from typednn_kernels.arrays import F, Layout, Matrix, Vector
from typednn_kernels.dropout import INFERENCE, threshold
from typednn_kernels.layout import (
    ACTIVATION,
    FROZEN,
    biases,
    block,
    gains,
    inv_std,
    layout_of,
    normalized,
    parameter_count,
    running_moments,
    unit_count,
    vector_size,
    weights,
    workspace_size,
)

from typednn.backends import Running, running
from typednn.errors import NotReadyError, WiringError
from typednn.validation.arrays import read_only

if TYPE_CHECKING:
    from typednn.layers import Layer


LINE = 64
"""Bytes of a cache line, which is also the widest vector of a CPU."""


def new_vector(size: int, dtype: np.dtype[F]) -> Vector[F]:
    """Zeros that begin where a cache line does: no vector that the CPU loads from there lies across two."""
    memory: Vector[F] = np.zeros(size + LINE // dtype.itemsize, dtype)
    start = -memory.ctypes.data % LINE // dtype.itemsize
    return memory[start : start + size]


def aligned(vector: Vector[F]) -> Vector[F]:
    """The vector, or if it begins elsewhere, a copy of it that begins where a cache line does."""
    if vector.ctypes.data % LINE == 0:
        return vector
    copied = new_vector(len(vector), vector.dtype)
    copied[...] = vector
    return copied


class Restored:
    """Something whose copies get their attributes one by one, and not by way of `__dict__`.

    CPython takes several times as long for each attribute of an object whose `__dict__` has been asked for.
    """

    def __setstate__(self, state: dict[str, object]) -> None:
        for name, value in state.items():
            setattr(self, name, value)


class Memory(Restored):
    """Something that keeps views of its own vectors, as attributes that `view` makes.

    They are left out of copies and pickles, and made anew there: a copied view would own its numbers.
    """

    views: ClassVar[frozenset[str]] = frozenset()
    """The names of what `view` makes."""

    def view(self) -> None:
        """Makes the views of the vectors."""

    def __getstate__(self) -> dict[str, object]:
        """All but the views."""
        return {name: value for name, value in self.__dict__.items() if name not in self.views}

    def __setstate__(self, state: dict[str, object]) -> None:
        super().__setstate__(state)
        self.view()


class Blocks(NamedTuple, Generic[F]):
    """A layer's part of a workspace, each `(B, n)`; on the output layer dLdh is dLdy.

    Of a normalised layer, z is normalised, and the inv_std `(n,)` or `(B,)` are what it was multiplied by. Of
    others, z is a, and dLdz is dLda.
    """

    a: Matrix[F]
    h: Matrix[F]
    dLdh: Matrix[F]
    dLda: Matrix[F]
    z: Matrix[F]
    dLdz: Matrix[F]
    inv_std: Vector[F]


class Workspace(Memory, Generic[F]):
    """What a forward and a backward pass over `B` samples leave behind.

    `loaded` says that there are samples. `forwarded` layers are up to date with them, counted from the
    input; `reached` have been at some time. `returned` and `signalled` are the same for the error signals:
    the lowest layer that `backward` has reached. A `kept` workspace belongs to a `ForwardPass`. `key` is that
    of the forward pass: see `typednn_kernels.dropout`.

    Attributes:
        blocks: the parts of the layers, the input layer first.
        vectors: the four vectors, as the kernels take them.
        inputs: where samples are put `(B, n_inputs)`: the activations of the input layer, or what they are
            computed from.
    """

    views: ClassVar[frozenset[str]] = frozenset({"blocks", "inputs", "vectors"})

    def __init__(self, layout: Layout, samples: int, dtype: np.dtype[F]) -> None:
        size, whole_size = samples * unit_count(layout), workspace_size(layout, samples)
        self.layout = layout
        self.samples: int = samples
        self.a: Vector[F] = new_vector(whole_size, dtype)
        self.h: Vector[F] = new_vector(size, dtype)
        self.dLdh: Vector[F] = new_vector(size, dtype)
        self.dLda: Vector[F] = new_vector(whole_size, dtype)
        self.key: int = INFERENCE
        self.forwarded: int = 0
        self.reached: int = 0
        self.returned: int = len(layout)
        self.signalled: int = len(layout)
        self.loaded: bool = False
        self.kept = False
        self.view()

    def view(self) -> None:
        self.a, self.h, self.dLdh, self.dLda = map(aligned, (self.a, self.h, self.dLdh, self.dLda))
        self.vectors = operands.Workspace(self.a, self.h, self.dLdh, self.dLda)
        layout, samples = self.layout, self.samples
        self.blocks: list[Blocks[F]] = [
            Blocks(
                a=block(self.a, layout, k, samples),
                h=block(self.h, layout, k, samples),
                dLdh=block(self.dLdh, layout, k, samples),
                dLda=block(self.dLda, layout, k, samples),
                z=normalized(self.a, layout, k, samples),
                dLdz=normalized(self.dLda, layout, k, samples),
                inv_std=inv_std(self.a, layout, k, samples),
            )
            for k in range(len(layout))
        ]
        first = self.blocks[0]
        self.inputs: Matrix[F] = first.h if layout[0, ACTIVATION] == NONE else first.a

    @property
    def output(self) -> Matrix[F]:
        """The activations `(B, n_outputs)` of the output layer."""
        return self.blocks[-1].h

    def hold(self, samples: int) -> None:
        """Uses the memory for so many samples, at most as many as it was made for."""
        if samples != self.samples:
            self.samples = samples
            self.view()

    def with_new_errors(self) -> Workspace[F]:
        """The same activations, with vectors for error signals of its own."""
        other = copy(self)
        other.dLdh = new_vector(self.dLdh.size, self.dLdh.dtype)
        other.dLda = new_vector(self.dLda.size, self.dLda.dtype)
        other.view()
        return other

    def complete_forward(self) -> None:
        """Notes that all layers have run forward."""
        self.loaded = True
        self.forwarded = self.reached = len(self.layout)

    def complete_backward(self) -> None:
        """Notes that all layers have run backward."""
        self.returned = self.signalled = 1


class Storage(Memory, Generic[F]):
    """A sequence of attached layers and the memory they share.

    A `closed` one belongs to a `Network`, whose generator is `random`. `training` is what `forward()` of the
    layers does.

    Attributes:
        activations: the code of each layer's activation.
        running: what runs for the dtype.
        given: the targets, as the kernels read them.
        trainable: the parameters that gradients are taken by.
        weights, biases, bias_rows: of each layer, `(n, n_prev)`, `(n,)`, `(1, n)`.
        gains, gain_rows: of each layer, `(n,)` and `(1, n)`; `n` is 0 where it is not normalised.
        moving: moving mean and variance of each layer, `(2, n)`; `n` is 0 without batch normalisation.
        weight_gradients, bias_gradients, gain_gradients: of each layer, as what they are taken by.
    """

    views: ClassVar[frozenset[str]] = frozenset(
        {
            "running",
            "given",
            "trainable",
            "weights",
            "biases",
            "bias_rows",
            "gains",
            "gain_rows",
            "moving",
            "weight_gradients",
            "bias_gradients",
            "gain_gradients",
        }
    )

    given: Matrix[F]

    def __init__(self, layers: Sequence[Layer[F]], dtype: np.dtype[F]) -> None:
        self.layers: list[Layer[F]] = list(layers)
        self.dtype = dtype
        self.actnames: list[str] = [each.actname for each in layers]
        self.activations: list[int] = self._codes()
        self.layout: Layout = layout_of(
            [each.length for each in layers],
            self.activations,
            [normalizations.CODES[each.normalization] for each in layers],
            [threshold(each.dropout) for each in layers],
        )
        self.layout[:, FROZEN] = [not each._trainable for each in layers]
        self.parameters: Vector[F] = new_vector(vector_size(self.layout), dtype)
        self.gradient: Vector[F] = new_vector(parameter_count(self.layout), dtype)
        for k in range(len(layers)):
            gains(self.parameters, self.layout, k)[...] = 1
            running_moments(self.parameters, self.layout, k)[1] = 1
        self.has_weights: list[bool] = [False] * len(self.layers)
        self.has_gradient: list[bool] = [False] * len(self.layers)
        self.has_targets: bool = False
        self.targets: Matrix[F] = np.zeros((1, self.layers[-1].length), dtype)
        self.closed: bool = False
        self.training: bool = False
        self.random: np.random.Generator | None = None
        self.workspace: Workspace[F] = self.new_workspace(1)
        self.view()

    def __setstate__(self, state: dict[str, object]) -> None:
        """Codes of activations that users have registered may differ where a pickle was made."""
        super().__setstate__(state)
        self.activations = self._codes()
        self.layout[:, ACTIVATION] = self.activations

    def _codes(self) -> list[int]:
        for name in self.actnames:
            if name not in CODES:
                raise NotReadyError(
                    f"the activation {name!r} is unknown here: call register_activation({name!r}, ...) first"
                )
        return [CODES[name] for name in self.actnames]

    def new_workspace(self, samples: int) -> Workspace[F]:
        """A workspace for so many samples."""
        return Workspace(self.layout, samples, self.dtype)

    def show(self, workspace: Workspace[F]) -> None:
        """Lets the layers show this workspace; their weight gradients are formed when asked for."""
        self.workspace = workspace
        self.has_gradient = [False] * len(self.layers)

    def new_key(self) -> int:
        """The key of the next training step: drawn where a layer drops units.

        Raises:
            WiringError: there is nothing to draw it from.
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

    def takes(self, values: ArrayLike, sample: Matrix[F], lowest: float, highest: float) -> bool:
        """Copies an array `(n,)` to a sample `(1, n)`, if it is one within the limits; whether it is.

        This is the fast way in. What else users may give, and what is wrong with it, `as_sample` knows.
        """
        if type(values) is not ndarray or values.ndim != 1:
            return False
        if values.dtype != self.dtype:
            if values.dtype.kind not in "iubf":
                return False
            with np.errstate(over="ignore"):
                values = values.astype(self.dtype)
        return self.running.kernels.try_copy_sample(values, lowest, highest, sample)

    def take_targets(self, targets: Matrix[F]) -> None:
        """Copies the targets `(B, n_outputs)` of the samples in the workspace."""
        if len(targets) != len(self.targets):
            self.targets = np.empty_like(targets)
            self.given = read_only(self.targets)
        self.targets[...] = targets
        self.has_targets = True

    def view(self) -> None:
        self.parameters, self.gradient = aligned(self.parameters), aligned(self.gradient)
        layout, vector, gradient = self.layout, self.parameters, self.gradient
        places = range(len(layout))
        self.running: Running = running(self.dtype)
        self.given = read_only(self.targets)
        self.trainable: Vector[F] = vector[: gradient.size]
        self.weights: list[Matrix[F]] = [weights(vector, layout, k) for k in places]
        self.biases: list[Vector[F]] = [biases(vector, layout, k) for k in places]
        self.bias_rows: list[Matrix[F]] = [each.reshape(1, -1) for each in self.biases]
        self.gains: list[Vector[F]] = [gains(vector, layout, k) for k in places]
        self.gain_rows: list[Matrix[F]] = [each.reshape(1, -1) for each in self.gains]
        self.moving: list[Matrix[F]] = [running_moments(vector, layout, k) for k in places]
        self.weight_gradients: list[Matrix[F]] = [weights(gradient, layout, k) for k in places]
        self.bias_gradients: list[Vector[F]] = [biases(gradient, layout, k) for k in places]
        self.gain_gradients: list[Vector[F]] = [gains(gradient, layout, k) for k in places]

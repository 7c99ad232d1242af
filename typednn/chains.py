"""The memory of a network: one vector of parameters, one of gradients, one workspace.

A chain is a sequence of attached layers. Its layers own nothing: weights, biases, activations and
gradients are views of these vectors.

The vector of parameters begins with the `trainable` ones; the moving means and variances of batch
normalisation follow.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from functools import cached_property
from typing import TYPE_CHECKING, Generic, NamedTuple

import numpy as np
from typednn_kernels import normalizations
from typednn_kernels.activations import CODES
from typednn_kernels.arrays import F, Layout, Matrix, Vector
from typednn_kernels.dropout import PREDICTING, threshold
from typednn_kernels.layout import (
    ACTIVATION,
    FROZEN,
    biases,
    block,
    factors,
    gains,
    layout_of,
    moving,
    normalized,
    parameter_count,
    unit_count,
    vector_size,
    weights,
    workspace_size,
)

from typednn.arrays import read_only
from typednn.errors import NotReadyError, WiringError

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


class Memory:
    """Something that keeps views of its own vectors, as cached properties.

    They are left out of copies and pickles, and made anew there: a copied view would own its numbers.
    """

    def __getstate__(self) -> dict[str, object]:
        """All but the views."""
        return {
            name: value
            for name, value in self.__dict__.items()
            if not isinstance(getattr(type(self), name, None), cached_property)
        }


class Blocks(NamedTuple, Generic[F]):
    """A layer's part of a workspace, each `(B, n)`; on the output layer dLdh is dLdy.

    Of a normalised layer, z is normalised, and the factors `(n,)` or `(B,)` are what it was multiplied by. Of
    others, z is a, and dLdz is dLda.
    """

    a: Matrix[F]
    h: Matrix[F]
    dLdh: Matrix[F]
    dLda: Matrix[F]
    z: Matrix[F]
    dLdz: Matrix[F]
    factors: Vector[F]


class Workspace(Memory, Generic[F]):
    """What a forward and a backward pass over `B` samples leave behind.

    `loaded` says that there are samples. `forwarded` layers are up to date with them, counted from the
    input; `reached` have been at some time. `returned` and `signalled` are the same for the error signals:
    the lowest layer that `backward` has reached. A `kept` workspace belongs to a `ForwardPass`. `key` is that
    of the forward pass: see `typednn_kernels.dropout`.
    """

    def __init__(self, layout: Layout, samples: int, dtype: np.dtype[F]) -> None:
        size, whole_size = samples * unit_count(layout), workspace_size(layout, samples)
        self.layout = layout
        self.samples: int = samples
        self.a: Vector[F] = new_vector(whole_size, dtype)
        self.h: Vector[F] = new_vector(size, dtype)
        self.dLdh: Vector[F] = new_vector(size, dtype)
        self.dLda: Vector[F] = new_vector(whole_size, dtype)
        self.key: int = PREDICTING
        self.forwarded: int = 0
        self.reached: int = 0
        self.returned: int = len(layout)
        self.signalled: int = len(layout)
        self.loaded: bool = False
        self.kept = False

    def __setstate__(self, state: dict[str, object]) -> None:
        """Copies and pickles of the vectors begin anywhere."""
        self.__dict__.update(state)
        self.a, self.h = aligned(self.a), aligned(self.h)
        self.dLdh, self.dLda = aligned(self.dLdh), aligned(self.dLda)

    @cached_property
    def blocks(self) -> list[Blocks[F]]:
        """The parts of the layers, the input layer first."""
        layout, samples = self.layout, self.samples
        return [
            Blocks(
                a=block(self.a, layout, k, samples),
                h=block(self.h, layout, k, samples),
                dLdh=block(self.dLdh, layout, k, samples),
                dLda=block(self.dLda, layout, k, samples),
                z=normalized(self.a, layout, k, samples),
                dLdz=normalized(self.dLda, layout, k, samples),
                factors=factors(self.a, layout, k, samples),
            )
            for k in range(len(layout))
        ]

    @property
    def output(self) -> Matrix[F]:
        """The activations `(B, n_outputs)` of the output layer."""
        return self.blocks[-1].h

    def hold(self, samples: int) -> None:
        """Uses the memory for so many samples, at most as many as it was made for."""
        if samples != self.samples:
            self.samples = samples
            self.__dict__.pop("blocks", None)

    def with_new_errors(self) -> Workspace[F]:
        """The same activations, with vectors for error signals of its own."""
        other = copy(self)
        other.dLdh = new_vector(self.dLdh.size, self.dLdh.dtype)
        other.dLda = new_vector(self.dLda.size, self.dLda.dtype)
        return other

    def complete_forward(self) -> None:
        """Notes that all layers have run forward."""
        self.loaded = True
        self.forwarded = self.reached = len(self.layout)

    def complete_backward(self) -> None:
        """Notes that all layers have run backward."""
        self.returned = self.signalled = 1


class Chain(Memory, Generic[F]):
    """A sequence of attached layers and the memory they share.

    A `closed` one belongs to a `Network`, whose generator is `random`. `training` is what `forward()` of the
    layers does.
    """

    def __init__(self, layers: Sequence[Layer[F]], dtype: np.dtype[F]) -> None:
        self.layers: list[Layer[F]] = list(layers)
        self.dtype = dtype
        self.actnames: list[str] = [each.actname for each in layers]
        self.layout: Layout = layout_of(
            [each.length for each in layers],
            self._codes(),
            [normalizations.CODES[each.normalization] for each in layers],
            [threshold(each.dropout) for each in layers],
        )
        self.layout[:, FROZEN] = [not each._trainable for each in layers]
        self.parameters: Vector[F] = new_vector(vector_size(self.layout), dtype)
        self.gradient: Vector[F] = new_vector(parameter_count(self.layout), dtype)
        for k in range(len(layers)):
            gains(self.parameters, self.layout, k)[...] = 1
            moving(self.parameters, self.layout, k)[1] = 1
        self.has_weights: list[bool] = [False] * len(self.layers)
        self.has_gradient: list[bool] = [False] * len(self.layers)
        self.has_targets: bool = False
        self.targets: Matrix[F] = np.zeros((1, self.layers[-1].length), dtype)
        self.closed: bool = False
        self.training: bool = False
        self.random: np.random.Generator | None = None
        self.workspace: Workspace[F] = self.new_workspace(1)

    def __setstate__(self, state: dict[str, object]) -> None:
        """Codes of activations that users have registered may differ where a pickle was made.

        Copies of the vectors begin anywhere.
        """
        self.__dict__.update(state)
        self.parameters, self.gradient = aligned(self.parameters), aligned(self.gradient)
        self.layout[:, ACTIVATION] = self._codes()

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

    def take_targets(self, targets: Matrix[F]) -> None:
        """Copies the targets `(B, n_outputs)` of the samples in the workspace."""
        if len(targets) != len(self.targets):
            self.targets = np.empty_like(targets)
            self.__dict__.pop("given", None)
        self.targets[...] = targets
        self.has_targets = True

    @cached_property
    def given(self) -> Matrix[F]:
        """The targets, as the kernels read them."""
        return read_only(self.targets)

    @cached_property
    def trainable(self) -> Vector[F]:
        """The parameters that gradients are taken by."""
        return self.parameters[: self.gradient.size]

    @cached_property
    def weights(self) -> list[Matrix[F]]:
        """The weights `(n, n_prev)` of each layer."""
        return [weights(self.parameters, self.layout, k) for k in range(len(self.layers))]

    @cached_property
    def biases(self) -> list[Vector[F]]:
        """The biases `(n,)` of each layer."""
        return [biases(self.parameters, self.layout, k) for k in range(len(self.layers))]

    @cached_property
    def bias_rows(self) -> list[Matrix[F]]:
        """The biases of each layer as a row, `(1, n)`."""
        return [each.reshape(1, -1) for each in self.biases]

    @cached_property
    def gains(self) -> list[Vector[F]]:
        """The gains `(n,)` of each layer, `(0,)` of those that are not normalised."""
        return [gains(self.parameters, self.layout, k) for k in range(len(self.layers))]

    @cached_property
    def gain_rows(self) -> list[Matrix[F]]:
        """The gains of each layer as a row, `(1, n)`."""
        return [each.reshape(1, -1) for each in self.gains]

    @cached_property
    def moving(self) -> list[Matrix[F]]:
        """Moving mean and variance `(2, n)` of each layer, `(2, 0)` of those without batch normalisation."""
        return [moving(self.parameters, self.layout, k) for k in range(len(self.layers))]

    @cached_property
    def weight_gradients(self) -> list[Matrix[F]]:
        """The gradient `(n, n_prev)` by the weights of each layer."""
        return [weights(self.gradient, self.layout, k) for k in range(len(self.layers))]

    @cached_property
    def bias_gradients(self) -> list[Vector[F]]:
        """The gradient `(n,)` by the biases of each layer."""
        return [biases(self.gradient, self.layout, k) for k in range(len(self.layers))]

    @cached_property
    def gain_gradients(self) -> list[Vector[F]]:
        """The gradient `(n,)` by the gains of each layer."""
        return [gains(self.gradient, self.layout, k) for k in range(len(self.layers))]

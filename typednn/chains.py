"""The memory of a network: one vector of parameters, one of gradients, one workspace.

A chain is a sequence of attached layers. Its layers own nothing: weights, biases, activations and
gradients are views of these vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Generic

import numpy as np
from typednn_kernels.activations import CODES
from typednn_kernels.arrays import F, Layout, Matrix, Vector
from typednn_kernels.layout import ACTIVATION, biases, block, layout_of, parameter_count, unit_count, weights

from typednn.arrays import read_only
from typednn.errors import NotReadyError

if TYPE_CHECKING:
    from typednn.layers import Layer


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


@dataclass(frozen=True, slots=True)
class Blocks(Generic[F]):
    """A layer's part of a workspace, each `(B, n)`; on the output layer dLdh is dLdy."""

    a: Matrix[F]
    h: Matrix[F]
    dLdh: Matrix[F]
    dLda: Matrix[F]


class Workspace(Memory, Generic[F]):
    """What a forward and a backward pass over `B` samples leave behind.

    `loaded` says that there are samples. `forwarded` layers are up to date with them, counted from the
    input; `reached` have been at some time. `returned` and `signalled` are the same for the error signals:
    the lowest layer that `backward` has reached. A `kept` workspace belongs to a `ForwardPass`.
    """

    def __init__(self, layout: Layout, samples: int, dtype: np.dtype[F]) -> None:
        size = samples * unit_count(layout)
        self.layout = layout
        self.samples: int = samples
        self.a: Vector[F] = np.zeros(size, dtype)
        self.h: Vector[F] = np.zeros(size, dtype)
        self.dLdh: Vector[F] = np.zeros(size, dtype)
        self.dLda: Vector[F] = np.zeros(size, dtype)
        self.forwarded: int = 0
        self.reached: int = 0
        self.returned: int = len(layout)
        self.signalled: int = len(layout)
        self.loaded: bool = False
        self.kept = False

    @cached_property
    def blocks(self) -> list[Blocks[F]]:
        """The parts of the layers, the input layer first."""
        return [
            Blocks(
                *(
                    block(vector, self.layout, k, self.samples)
                    for vector in (self.a, self.h, self.dLdh, self.dLda)
                )
            )
            for k in range(len(self.layout))
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
        other.dLdh, other.dLda = np.zeros_like(self.dLdh), np.zeros_like(self.dLda)
        return other

    def complete_forward(self) -> None:
        """Notes that all layers have run forward."""
        self.loaded = True
        self.forwarded = self.reached = len(self.layout)

    def complete_backward(self) -> None:
        """Notes that all layers have run backward."""
        self.returned = self.signalled = 1


class Chain(Memory, Generic[F]):
    """A sequence of attached layers and the memory they share. A `closed` one belongs to a `Network`."""

    def __init__(self, layers: Sequence[Layer[F]], dtype: np.dtype[F]) -> None:
        self.layers: list[Layer[F]] = list(layers)
        self.dtype = dtype
        self.actnames: list[str] = [each.actname for each in layers]
        self.layout: Layout = layout_of([each.length for each in layers], self._codes())
        self.parameters: Vector[F] = np.zeros(parameter_count(self.layout), dtype)
        self.gradient: Vector[F] = np.zeros(parameter_count(self.layout), dtype)
        self.has_weights: list[bool] = [False] * len(self.layers)
        self.has_gradient: list[bool] = [False] * len(self.layers)
        self.has_targets: bool = False
        self.targets: Matrix[F] = np.zeros((1, self.layers[-1].length), dtype)
        self.closed: bool = False
        self.workspace: Workspace[F] = self.new_workspace(1)

    def __setstate__(self, state: dict[str, object]) -> None:
        """Codes of activations that users have registered may differ where a pickle was made."""
        self.__dict__.update(state)
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
    def weight_gradients(self) -> list[Matrix[F]]:
        """The gradient `(n, n_prev)` by the weights of each layer."""
        return [weights(self.gradient, self.layout, k) for k in range(len(self.layers))]

    @cached_property
    def bias_gradients(self) -> list[Vector[F]]:
        """The gradient `(n,)` by the biases of each layer."""
        return [biases(self.gradient, self.layout, k) for k in range(len(self.layers))]

"""The memory of one batch: activations and deltas of all layers, of which each layer shows its part."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple

import numpy as np
from numpy import ndarray
from typednn_kernels import operands
from typednn_kernels.activations import NONE
from typednn_kernels.arrays import F, Layout, Matrix, Vector
from typednn_kernels.dropout import INFERENCE
from typednn_kernels.layout import ACTIVATION, block, inv_std, normalized, unit_count, workspace_size

CACHE_LINE_BYTES = 64
"""Also the width of the widest vector of a CPU."""


def new_vector(size: int, dtype: np.dtype[F]) -> Vector[F]:
    """Allocates zeros that begin at a cache line, so that no load of an aligned vector crosses two lines."""
    return new_vectors(size, 0, dtype)[0]


def new_vectors(size: int, size_of_second: int, dtype: np.dtype[F]) -> tuple[Vector[F], Vector[F]]:
    """Allocates two vectors of zeros in one memory; each begins at a cache line, as `new_vector` does."""
    line = CACHE_LINE_BYTES // dtype.itemsize
    rounded = -(-size // line) * line
    memory: Vector[F] = np.zeros(line + rounded + size_of_second, dtype)
    address: int = memory.__array_interface__["data"][0]
    start = -address % CACHE_LINE_BYTES // dtype.itemsize
    second = start + rounded
    return memory[start : start + size], memory[second : second + size_of_second]


def aligned(vector: Vector[F]) -> Vector[F]:
    """Returns the vector if kernels can write to it and it begins at a cache line, else a copy of it."""
    if vector.ctypes.data % CACHE_LINE_BYTES == 0 and vector.flags.writeable and type(vector) is ndarray:
        return vector
    return copied(vector)


def copied(vector: Vector[F]) -> Vector[F]:
    """Returns a copy that begins at a cache line."""
    copied = new_vector(len(vector), vector.dtype)
    copied[...] = vector
    return copied


class Restored:
    """Base of classes whose copies get their attributes one by one instead of through `__dict__`.

    CPython takes several times as long for each attribute of an object whose `__dict__` has been asked for.
    """

    def __setstate__(self, state: dict[str, object]) -> None:
        for name, value in state.items():
            object.__setattr__(self, name, value)


class Memory(Restored):
    """Base of classes that own vectors and keep views of them as attributes.

    Copies and pickles leave the views out and make them again: a copied view would own its elements.
    """

    views: ClassVar[frozenset[str]] = frozenset()
    """The names of the attributes that `make_views` sets."""

    def make_views(self) -> None:
        """Sets the views of the vectors."""

    def __getstate__(self) -> dict[str, object]:
        """Returns all attributes but the views."""
        return {name: value for name, value in self.__dict__.items() if name not in self.views}

    def __setstate__(self, state: dict[str, object]) -> None:
        super().__setstate__(state)
        self.make_views()


class OnDemand:
    """An attribute that a function of its object sets when it is first read.

    `__getattr__` would do the same, but CPython takes several times as long for all attributes of its class.
    The name is given, for CPython 3.11 makes a RuntimeError of a Ctrl-C within `__set_name__`.
    """

    name: str
    set_it: Callable[[Any], None]

    def __init__(self, name: str, set_it: Callable[[Any], None]) -> None:
        self.name, self.set_it = name, set_it

    def __get__(self, owner: object, _kind: type[object]) -> object:
        self.set_it(owner)
        return getattr(owner, self.name)


class Blocks(NamedTuple, Generic[F]):
    """The blocks of one layer in a workspace, each `(B, n)`; dLdh of the output layer is dLdy.

    In a normalised layer, z holds the normalised values, and inv_std, `(n,)` for batch and `(B,)` for layer
    normalisation, the factors 1 / sqrt(variance + epsilon). Elsewhere z is a, and dLdz is dLda.
    """

    a: Matrix[F]
    h: Matrix[F]
    dLdh: Matrix[F]
    dLda: Matrix[F]
    z: Matrix[F]
    dLdz: Matrix[F]
    inv_std: Vector[F]


class Arguments(NamedTuple, Generic[F]):
    """The arguments of the kernels of each layer, so that a call of one sample does not look up each array.

    Attributes:
        forward: of `Kernels.layer_forward`, by layer.
        hidden_backward: of `Kernels.hidden_layer_backward`, by hidden layer that has weights above it.
        output_backward: of `Kernels.output_layer_backward`: those before the targets, and those after them.
        dLda: what each layer shows as its delta, `(n, B)`, read-only.
    """

    forward: dict[int, tuple[int, Matrix[F], Matrix[F], Vector[F], Matrix[F], Matrix[F]]]
    hidden_backward: dict[
        int,
        tuple[int, Matrix[F], Matrix[F], Matrix[F], Matrix[F], Matrix[F], Matrix[F], Matrix[F], Matrix[F]],
    ]
    output_backward: tuple[
        tuple[int, Matrix[F], Matrix[F]], tuple[Matrix[F], Matrix[F], Matrix[F], Matrix[F]]
    ]
    dLda: list[Matrix[F]]


class Workspace(Memory, Generic[F]):
    """The activations and deltas of a forward and a backward pass over `B` samples.

    Deltas are allocated, and views made, when they are first asked for.

    Attributes:
        layout: the layout that the pass was made with.
        samples: the number of samples.
        a, h, dLdh, dLda: the vectors of `typednn_kernels.operands.Workspace`.
        blocks: the blocks of each layer, the input layer first.
        vectors: the four vectors, as the kernels take them.
        inputs: the rows that samples are copied to, `(B, n_inputs)`: the activations of the input layer, or
            its pre-activations where it has an activation.
        key: the dropout key of the forward pass; see `typednn_kernels.dropout`.
        has_samples: whether samples have been put in.
        forward_valid: the layers below this index have activations of the present samples.
        forward_reached: the layers below this index have activations, if only of earlier samples.
        backward_valid: the layers from this index on have deltas of the present samples.
        backward_reached: the layers from this index on have deltas, if only of earlier samples.
        in_forward_pass: whether a `ForwardPass` holds it, so that it must not be overwritten.
        arguments: what `Storage.arguments` made of it.
    """

    views: ClassVar[frozenset[str]] = frozenset({"blocks", "inputs", "vectors", "arguments"})

    if TYPE_CHECKING:
        blocks: list[Blocks[F]]
        inputs: Matrix[F]
        vectors: operands.Workspace[F]
        dLdh: Vector[F]
        dLda: Vector[F]
    else:
        blocks = OnDemand("blocks", lambda self: self.make_views())
        inputs = OnDemand("inputs", lambda self: self.make_views())
        vectors = OnDemand("vectors", lambda self: self._collect_vectors())
        dLdh = OnDemand("dLdh", lambda self: self._allocate_deltas())
        dLda = OnDemand("dLda", lambda self: self._allocate_deltas())

    def __init__(self, layout: Layout, samples: int, a: Vector[F], h: Vector[F]) -> None:
        self.layout = layout
        self.samples: int = samples
        self.a = a
        self.h = h
        self.key: int = INFERENCE
        self.forward_valid: int = 0
        self.forward_reached: int = 0
        self.backward_valid: int = len(layout)
        self.backward_reached: int = len(layout)
        self.has_samples: bool = False
        self.in_forward_pass: bool = False
        self.arguments: Arguments[F] | None = None

    def __setstate__(self, state: dict[str, object]) -> None:
        Restored.__setstate__(self, state)
        self.arguments = None
        for name in {"a", "h", "dLdh", "dLda"} & set(state):
            setattr(self, name, aligned(getattr(self, name)))

    def _allocate_deltas(self) -> None:
        self.dLdh, self.dLda = new_vectors(self.h.size, self.a.size, self.h.dtype)

    def _collect_vectors(self) -> None:
        self.vectors = operands.Workspace(self.a, self.h, self.dLdh, self.dLda)

    def make_views(self) -> None:
        layout, samples = self.layout, self.samples
        self.arguments = None
        self.blocks = [
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
        self.inputs = first.h if layout[0, ACTIVATION] == NONE else first.a

    @property
    def output(self) -> Matrix[F]:
        """The activations of the output layer, `(B, n_outputs)`."""
        return block(self.h, self.layout, len(self.layout) - 1, self.samples)

    @property
    def dLdx(self) -> Matrix[F]:
        """The gradient with respect to the samples, `(B, n_inputs)`."""
        first = self.dLdh if self.layout[0, ACTIVATION] == NONE else self.dLda
        return block(first, self.layout, 0, self.samples)

    def resize_batch(self, samples: int) -> None:
        """Sets the number of samples, at most the number that the memory was allocated for."""
        if samples != self.samples:
            self.samples = samples
            self.make_views()

    def with_new_deltas(self) -> Workspace[F]:
        """Returns a workspace that shares the activations and has its own vectors of deltas."""
        other = Workspace(self.layout, self.samples, self.a, self.h)
        other.key, other.in_forward_pass = self.key, self.in_forward_pass
        other.complete_forward()
        return other

    def complete_forward(self) -> None:
        """Marks the activations of all layers as valid."""
        self.has_samples = True
        self.forward_valid = self.forward_reached = len(self.layout)

    def complete_backward(self) -> None:
        """Marks the deltas of all layers as valid."""
        self.backward_valid = self.backward_reached = 1


def new_workspace(layout: Layout, samples: int, dtype: np.dtype[F]) -> Workspace[F]:
    """Allocates a workspace for a layout."""
    a = new_vector(workspace_size(layout, samples), dtype)
    return Workspace(layout, samples, a, new_vector(samples * unit_count(layout), dtype))

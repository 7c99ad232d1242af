"""Checks that layers form a network, and attaches them to each other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, TypeAlias, TypeVar

import numpy as np
from typednn_kernels.arrays import F

from typednn.errors import WiringError
from typednn.layers import HiddenLayer, InputLayer, Layer, OutputLayer
from typednn.validation.arrays import AnyTargets

D = TypeVar("D", bound=np.float32 | np.float64)
L_contra = TypeVar("L_contra", bound=AnyTargets, contravariant=True)


class ListWithInputAndOutputLayer(Protocol[D, L_contra]):
    """A list of layers among which are an input and an output layer, as its methods accept both.

    That they are in order is checked at run time: the type of a list does not tell.
    """

    def __iter__(self) -> Iterator[Layer[D]]: ...
    def __len__(self) -> int: ...
    def count(self, value: InputLayer[D], /) -> int: ...
    def index(self, value: OutputLayer[D, L_contra], /) -> int: ...


Layers: TypeAlias = (
    ListWithInputAndOutputLayer[np.float64, L_contra] | ListWithInputAndOutputLayer[np.float32, L_contra]
)


def members_of(layers: list[Layer[F]]) -> list[Layer[F]]:
    """Checks kinds and neighbours of the layers of a new network; copies those of other networks.

    Raises:
        WiringError: the layers do not form a network.
    """
    if len(layers) < 2:
        raise WiringError(f"Network: needs an input layer and an output layer, not {len(layers)} layers")
    for k, layer in enumerate(layers):
        wanted = InputLayer if k == 0 else OutputLayer if k == len(layers) - 1 else HiddenLayer
        if not isinstance(layer, wanted):
            raise WiringError(f"Network: layer {k} must be of {wanted.__name__}, not {layer!r}")
        if layers.index(layer) != k:
            raise WiringError(f"Network: layer {k}, {layer!r}, is in the list twice")
    members = [layer.copy() if layer._storage.closed else layer for layer in layers]
    for k, layer in enumerate(members):
        before = members[k - 1] if k > 0 else None
        after = members[k + 1] if k + 1 < len(members) else None
        if layer.previous not in (None, before) or layer.next not in (None, after):
            raise WiringError(
                f"Network: layer {k}, {layer!r}, is attached to a layer outside the list; "
                "layer.copy() returns one that is not"
            )
        if before is not None and layer._inputs not in (0, before.length):
            raise WiringError(
                f"Network: layer {k}, {layer!r}, {layer._fitting}, and the layer before it has "
                f"{before.length} units{'; a new layer gets weights that fit' * layer._weighted}"
            )
    return members


def output_of(layers: list[Layer[F]]) -> OutputLayer[F]:
    """Returns the output layer of checked layers."""
    last = layers[-1]
    assert isinstance(last, OutputLayer)
    return last

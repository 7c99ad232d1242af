"""Checks that layers form a network, and makes them neighbours."""

from __future__ import annotations

from itertools import pairwise

from typednn_kernels.arrays import F

from typednn.errors import WiringError
from typednn.layers import HiddenLayer, InputLayer, Layer, OutputLayer


def check_wiring(layers: list[Layer[F]]) -> None:
    """Checks kinds, owners and neighbours of the layers of a new network.

    Raises:
        WiringError: the layers do not form a network, or one belongs to another network.
    """
    if len(layers) < 2:
        raise WiringError(f"Network: needs an input layer and an output layer, not {len(layers)} layers")
    for k, layer in enumerate(layers):
        wanted = InputLayer if k == 0 else OutputLayer if k == len(layers) - 1 else HiddenLayer
        if not isinstance(layer, wanted):
            raise WiringError(f"Network: layer {k} must be of {wanted.__name__}, not {layer!r}")
        if layer._storage.closed:
            raise WiringError(f"Network: layer {k}, {layer!r}, belongs to another network")
    for k, layer in enumerate(layers):
        before = layers[k - 1] if k > 0 else None
        after = layers[k + 1] if k + 1 < len(layers) else None
        if layers.index(layer) != k:
            raise WiringError(f"Network: layer {k}, {layer!r}, is in the list twice")
        if layer.previous not in (None, before) or layer.next not in (None, after):
            raise WiringError(f"Network: layer {k}, {layer!r}, is attached to a layer outside the list")


def attach(layers: list[Layer[F]]) -> OutputLayer[F]:
    """Makes checked layers neighbours of each other and returns the output layer."""
    for lower, upper in pairwise(layers):
        upper._follow(lower)
    last = layers[-1]
    assert isinstance(last, OutputLayer)
    return last

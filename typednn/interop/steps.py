"""Splits layers into the steps that are modules of other libraries, and builds networks of such steps.

`Affine`, `Normalization`, `Activation` and `Dropout` are what Keras and PyTorch call layers. A layer here is
an affine map, a normalisation, an activation and dropout, in this order; a `NormalizationLayer` has no affine
map, and an input layer has an activation only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from typednn_kernels.activations import CustomActivation, OutputActivationName
from typednn_kernels.arrays import F
from typednn_kernels.losses import CustomLoss, LossName
from typednn_kernels.normalizations import (
    LAYER,
    NONE,
    NormalizationName,
    NormalizationWithSettings,
    Settings,
    are_valid,
    named,
    settings_of,
)

from typednn.errors import WiringError
from typednn.layers import HiddenLayer, InputLayer, Layer, NormalizationLayer, OutputLayer, TrainableLayer
from typednn.network.network import AnyNetwork, Network

Floats: TypeAlias = NDArray[np.float32] | NDArray[np.float64] | NDArray[np.float32 | np.float64]


@dataclass(frozen=True, slots=True)
class Affine:
    """The affine map W·h + bias.

    Attributes:
        where: what messages call it.
        W: the weights, `(n, n_prev)`.
        bias: the bias, `(n,)`, or None for an affine map that has none.
        trainable: whether training changes them.
        l1, l2: the penalties on W, as `HiddenLayer` has them.
    """

    where: str
    W: Floats
    bias: Floats | None
    trainable: bool = True
    l1: float = 0.0
    l2: float = 0.0


@dataclass(frozen=True, slots=True)
class Normalization:
    """A normalisation of n units, with gains and biases `(n,)`; batch normalisation has running moments.

    Attributes:
        where: what messages call it.
        settings: which normalisation it is, and its constants; inner biases are those of the affine map.
        gain, bias: what the normalised values are multiplied by, and what is added then.
        mean, variance: the running moments; None for layer normalisation.
        trainable: whether training changes gains and biases.
    """

    where: str
    settings: Settings
    gain: Floats
    bias: Floats
    mean: Floats | None = None
    variance: Floats | None = None
    trainable: bool = True


@dataclass(frozen=True, slots=True)
class Activation:
    """An activation, by its name."""

    where: str
    name: OutputActivationName | CustomActivation


@dataclass(frozen=True, slots=True)
class Dropout:
    """A dropout of a fraction of the units."""

    where: str
    rate: float


Step: TypeAlias = Affine | Normalization | Activation | Dropout

LOSSES: dict[str, LossName] = {
    "softmax": "crossentropy",
    "log_softmax": "nll",
    "sigmoid": "bincrossentropy",
    "exponential": "poisson",
}
"""The loss that belongs to an output activation; others have MSE."""


def steps_of(network: AnyNetwork) -> list[Step]:
    """Returns the steps of a network, whose arrays are its memory."""
    steps: list[Step] = []
    for layer in network.layers:
        where = layer.name
        if isinstance(layer, TrainableLayer):
            tensors = {name: values.reshape(-1) for name, values in layer._tensors.items() if name != "W"}
            settings = settings_of(layer.normalization)
            plain = settings.code == NONE
            bias = tensors["Bias"] if plain else tensors.get("InnerBias")
            if layer._weighted:
                steps.append(Affine(where, layer.W, bias, layer.trainable, layer.l1, layer.l2))
            if not plain:
                steps.append(
                    Normalization(
                        where,
                        settings,
                        tensors["Gain"],
                        tensors["Bias"],
                        tensors.get("moving_mean"),
                        tensors.get("moving_variance"),
                        layer.trainable,
                    )
                )
        if layer.actname != "none":
            steps.append(Activation(where, layer.actname))
        if layer.dropout:
            steps.append(Dropout(where, layer.dropout))
    return steps


def check_fixed(step: Normalization, library: str) -> dict[str, bool]:
    """Returns whether biases and gains are trained, and have tensors in another library.

    Raises:
        WiringError: some are not trained, and are other than the 0 or 1 of that library.
    """
    for name, trained, values, usual in (
        ("Bias", step.settings.center, step.bias, 0),
        ("Gain", step.settings.scale, step.gain, 1),
    ):
        if not trained and (values != usual).any():
            raise WiringError(
                f"{step.where}: {name} is not trained and not {usual}, which {library} has for a "
                "normalisation without it"
            )
    return {"center": step.settings.center, "scale": step.settings.scale}


def network_of(steps: Sequence[Step], dtype: type[F], loss: LossName | CustomLoss | None) -> Network[F]:
    """Builds the network of some steps.

    Args:
        steps: the steps; those of each layer in the order of this module.
        dtype: the dtype of the network.
        loss: the loss; None means that of the output activation, by `LOSSES`.

    Raises:
        WiringError: a layer cannot do the steps exactly; the message names the step.
    """
    groups = _groups(steps)
    if groups[-1].affine is None:
        where = groups[-1].normalization
        raise WiringError(
            f"{where.where}: comes after the last affine map; the output layer is not normalised"
            if where
            else "there is no affine map, and a network needs one at least"
        )
    n_prev = _inputs(groups[1])
    layers: list[Layer] = [_input_layer(groups[0], n_prev)]
    for group in groups[1:]:
        n_prev = _check_inputs(group, n_prev)
        layers.append(_output_layer(group, loss) if group is groups[-1] else _hidden_layer(group))
    network = Network(layers, dtype)
    for layer, group in zip(network.layers[1:], groups[1:], strict=True):
        assert isinstance(layer, TrainableLayer)
        layer._weights_named = None  # zeros, until here
        for name, values in _tensors(group).items():
            view = layer._tensors[name]
            with np.errstate(all="ignore"):
                view[...] = values.reshape(view.shape)
            if not np.isfinite(view).all():
                raise WiringError(f"{group.where}: {name} holds NaN or infinity")
        layer.trainable = group.trainable
    return network


@dataclass(slots=True)
class _Group:
    """The steps of one layer; an input layer, and a layer that only normalises, has no affine map."""

    affine: Affine | None = None
    normalization: Normalization | None = None
    activation: Activation | None = None
    dropout: Dropout | None = None

    @property
    def where(self) -> str:
        step = self.affine or self.normalization
        return step.where if step else "the input"

    @property
    def trainable(self) -> bool:
        step = self.affine or self.normalization
        return step is None or step.trainable

    @property
    def actname(self) -> OutputActivationName | CustomActivation:
        return self.activation.name if self.activation else "none"


def _groups(steps: Sequence[Step]) -> list[_Group]:
    groups = [_Group()]
    for step in steps:
        group = groups[-1]
        match step:
            case Affine():
                groups.append(_Group(step))
            case Activation(name="none"):
                pass
            case Normalization() if group.affine and not (
                group.normalization or group.activation or group.dropout
            ):
                group.normalization = step
            case Normalization():
                groups.append(_Group(normalization=step))
            case Activation() if group.activation or group.dropout:
                raise WiringError(
                    f"{step.where}: {step.name} follows another activation or dropout in the same layer; "
                    "layers here have one activation, and dropout after it"
                )
            case Activation():
                group.activation = step
            case Dropout() if group.dropout or group is groups[0]:
                raise WiringError(f"{step.where}: drops features of the input, or units twice")
            case Dropout():
                group.dropout = step
    return groups


def _inputs(group: _Group) -> int:
    """Returns the number of inputs of a layer with parameters."""
    if group.affine is not None:
        return int(group.affine.W.shape[-1])
    assert group.normalization is not None
    return len(group.normalization.gain)


def _check_inputs(group: _Group, n_prev: int) -> int:
    """Checks what a layer takes; returns the number of its units."""
    for step in (group.affine, group.normalization):
        if step is not None:
            W = step.W if isinstance(step, Affine) else step.gain
            if W.ndim != (2 if isinstance(step, Affine) else 1) or W.shape[-1] != n_prev:
                raise WiringError(
                    f"{step.where}: takes {W.shape[-1]} values, and what is before it has {n_prev} units"
                )
            n_prev = len(W)
    return n_prev


def _input_layer(group: _Group, length: int) -> Layer:
    name = group.actname
    if name == "softmax" or name == "log_softmax":  # noqa: PLR1714 (types narrow)
        raise WiringError(f"{group.where}: {name} is an output activation only")
    return InputLayer(length, name)


def _hidden_layer(group: _Group) -> Layer:
    affine, norm, name = group.affine, group.normalization, group.actname
    if name == "softmax" or name == "log_softmax":  # noqa: PLR1714 (types narrow)
        where = group.activation.where if group.activation else group.where
        raise WiringError(f"{where}: {name} in a hidden layer; layers here have it at the output only")
    normalization: NormalizationName | NormalizationWithSettings = "none"
    if norm is not None:
        normalization = _normalization(norm, affine)
    elif affine is not None:
        _require_bias(affine)
    dropout = group.dropout.rate if group.dropout else 0.0
    if affine is None:
        assert norm is not None
        return NormalizationLayer(len(norm.gain), normalization, name, dropout=dropout)
    return HiddenLayer(
        len(affine.W),
        name,
        normalization=normalization,
        dropout=dropout,
        weights="zeros",
        l1=affine.l1,
        l2=affine.l2,
    )


def _output_layer(group: _Group, loss: LossName | CustomLoss | None) -> Layer:
    affine = group.affine
    assert affine is not None
    unfit = group.normalization or group.dropout
    if unfit is not None:
        raise WiringError(
            f"{unfit.where}: comes after the last affine map; the output layer neither normalises nor drops"
        )
    _require_bias(affine)
    length, name = len(affine.W), group.actname
    chosen = loss or ("MSE" if length == 1 and "softmax" in name else LOSSES.get(name, "MSE"))
    return OutputLayer(length, name, chosen, weights="zeros", l1=affine.l1, l2=affine.l2)


def _require_bias(affine: Affine) -> None:
    if affine.bias is None:
        raise WiringError(
            f"{affine.where}: has no bias; a layer here has one, which training would change. "
            "A bias of 0 makes it the same as here"
        )


def _normalization(norm: Normalization, affine: Affine | None) -> NormalizationWithSettings:
    has_parameters = norm.settings.center or norm.settings.scale
    if affine is not None and has_parameters and norm.trainable != affine.trainable:
        raise WiringError(
            f"{norm.where}: is {'' if norm.trainable else 'not '}trainable, unlike the affine map below it; "
            "a layer here trains all of its parameters or none"
        )
    settings = norm.settings
    if not are_valid(settings):
        raise WiringError(
            f"{norm.where}: adds {settings.epsilon:g} to variances and keeps {settings.momentum:g} of its "
            "running moments in a step; layers here add a positive number and keep a fraction"
        )
    inner_bias = settings.code == LAYER and affine is not None and affine.bias is not None
    return named(settings._replace(inner_bias=inner_bias))


def _tensors(group: _Group) -> dict[str, Floats]:
    affine, norm = group.affine, group.normalization
    bias = affine.bias if affine else None
    tensors = {"W": affine.W} if affine else {}
    if norm is None:
        assert bias is not None
        return {**tensors, "Bias": bias}
    tensors |= {"Bias": norm.bias, "Gain": norm.gain}
    if norm.settings.code == LAYER and bias is not None:
        tensors["InnerBias"] = bias
    if norm.mean is not None and norm.variance is not None:
        # A bias below a batch normalisation moves the mean only: training does not feel it.
        mean = norm.mean if bias is None else norm.mean - bias
        tensors |= {"moving_mean": mean, "moving_variance": norm.variance}
    return tensors

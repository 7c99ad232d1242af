"""Models from and to Keras 3, whichever backend it runs on.

A `HiddenLayer` is Dense, a normalisation, Activation and Dropout, in this order; an `OutputLayer` is Dense
with an activation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
from typednn_kernels.activations import LEAKY_RELU_FACTOR, CustomActivation, OutputActivationName
from typednn_kernels.losses import LossName
from typednn_kernels.normalizations import BATCH, LAYER, Settings

from typednn.activations import ELU, LeakyReLU
from typednn.errors import MissingExtraError, WiringError
from typednn.interop.activation_formulas import family_of
from typednn.interop.steps import (
    Activation,
    Affine,
    Dropout,
    Floats,
    Normalization,
    Step,
    check_fixed,
    network_of,
    steps_of,
)
from typednn.network.network import AnyNetwork, check_network

if TYPE_CHECKING:
    import keras

ACTIVATIONS: dict[str, OutputActivationName] = {
    "linear": "none",
    "sigmoid": "sigmoid",
    "relu": "relu",
    "tanh": "tanh",
    "softmax": "softmax",
    "log_softmax": "log_softmax",
    "leaky_relu": "leaky_relu",
    "elu": "elu",
    "selu": "selu",
    "gelu": "gelu",
    "silu": "silu",
    "softplus": "softplus",
    "softsign": "softsign",
    "mish": "mish",
    "hard_sigmoid": "hard_sigmoid",
    "hard_tanh": "hard_tanh",
    "exponential": "exponential",
    "relu6": "relu6",
    "hard_silu": "hard_swish",
}
"""By the name in `keras.activations`."""
THEIRS = {ours: theirs for theirs, ours in ACTIVATIONS.items()}


class ActivationLayer(NamedTuple):
    """An activation that is a layer of Keras: its class, and the settings with which it is ours."""

    kind: str
    name: OutputActivationName
    settings: Mapping[str, object]


LAYERS: tuple[ActivationLayer, ...] = (
    ActivationLayer("ReLU", "relu", {"max_value": None, "negative_slope": 0.0, "threshold": 0.0}),
    ActivationLayer("ReLU", "relu6", {"max_value": 6.0, "negative_slope": 0.0, "threshold": 0.0}),
    ActivationLayer("LeakyReLU", "leaky_relu", {"negative_slope": LEAKY_RELU_FACTOR}),
    ActivationLayer("ELU", "elu", {"alpha": 1.0}),
    ActivationLayer("Softmax", "softmax", {"axis": -1}),
)

FAMILIES: dict[str, tuple[str, str, Callable[[float], CustomActivation]]] = {
    "leaky_relu": ("LeakyReLU", "negative_slope", LeakyReLU),
    "elu": ("ELU", "alpha", ELU),
}
"""By the family of activations with a parameter: the class, its setting that is the parameter, and ours."""


def from_keras(model: keras.Sequential, *, loss: LossName | None = None) -> AnyNetwork:
    """Builds a network with the weights of a Keras model, exactly or not at all.

    Args:
        model: a `keras.Sequential` that has been built.
        loss: the loss; by default the one that belongs to the output activation.

    Returns:
        A network of the dtype of the weights, with the penalties (`kernel_regularizer`) and frozen layers of
        the model.

    Raises:
        WiringError: a layer has no counterpart here, or one that trains or predicts otherwise; the message
            names the layer and the reason.
    """
    layers: Any = getattr(model, "layers", None)
    if type(model).__name__ != "Sequential" or not getattr(model, "built", False):
        raise WiringError("from_keras: expected a keras.Sequential that has been built")
    dtypes = {str(values.dtype) for values in model.get_weights()}
    if len(dtypes) != 1 or not dtypes <= {"float32", "float64"}:
        raise WiringError(
            "from_keras: expected weights of float32 or of float64, found "
            + (" and ".join(sorted(dtypes)) or "none")
        )
    owners: dict[int, str] = {}
    for layer in layers:
        if (
            owners.setdefault(id(layer), layer.name) != layer.name
            or sum(each is layer for each in layers) > 1
        ):
            raise WiringError(f"layer {layer.name!r}: is used twice; layers here have their own weights")
    steps = [step for layer in layers for step in _steps(layer)]
    if dtypes == {"float32"}:
        return network_of(steps, np.float32, loss)
    return network_of(steps, np.float64, loss)


def to_keras(network: AnyNetwork) -> keras.Sequential:
    """Builds a `keras.Sequential` with copies of a network's weights, not compiled.

    Its outputs are the network's; penalties become `kernel_regularizer`, and layers that are not trainable
    are not trainable there.

    Raises:
        MissingExtraError: Keras is not installed.
        WiringError: it is not a network, or an activation is none of Keras; the message names the layer.
    """
    check_network(network, "to_keras")
    if find_spec("keras") is None:
        raise MissingExtraError("Keras", "to_keras", "keras")
    import keras

    steps = steps_of(network)
    dtype = str(network.dtype)
    layers = [_layer(step, dtype) for step in steps]
    model = keras.Sequential([keras.Input((network.layers[0].length,), dtype=dtype), *layers])
    for layer, step in zip(layers, steps, strict=True):
        if isinstance(step, Affine):
            layer.set_weights([step.W.T] if step.bias is None else [step.W.T, step.bias])
            layer.trainable = step.trainable
        elif isinstance(step, Normalization):
            moments = [] if step.mean is None or step.variance is None else [step.mean, step.variance]
            gain, bias = [step.gain] * step.settings.scale, [step.bias] * step.settings.center
            layer.set_weights([*gain, *bias, *moments])
            layer.trainable = step.trainable
    return model


def _steps(layer: Any) -> list[Step]:
    from keras import layers

    kind = type(layer).__name__
    where = f"layer {layer.name!r} ({kind})"
    read = READERS.get(kind)
    known = kind in READERS or kind in {each.kind for each in LAYERS}
    if not known or getattr(layers, kind, None) is not type(layer):
        raise WiringError(
            f"{where}: is no layer that is known here; model.export(..., format='onnx') and "
            "typednn.onnx.load read what a model computes"
        )
    if read is not None:
        return read(where, layer)
    return [Activation(where, _activation_of_layer(where, layer))]


def _activation_of_layer(where: str, layer: Any) -> OutputActivationName | CustomActivation:
    kind = type(layer).__name__
    rows = [each for each in LAYERS if each.kind == kind]
    for row in rows:
        if all(getattr(layer, name) == value for name, value in row.settings.items()):
            return row.name
    for theirs, setting, ours in FAMILIES.values():
        if theirs == kind:
            return ours(float(getattr(layer, setting)))
    found = ", ".join(f"{name}={getattr(layer, name)!r}" for name in rows[0].settings)
    raise WiringError(f"{where}: has {found}, with which it is no activation here")


def _check(where: str, layer: Any, settings: Mapping[str, object]) -> None:
    for name, ours in settings.items():
        found: object = getattr(layer, name)
        if found != ours:
            raise WiringError(f"{where}: has {name}={found!r}; here it is {ours!r}")


def _dense(where: str, layer: Any) -> list[Step]:
    _check(
        where,
        layer,
        dict.fromkeys(
            ("bias_regularizer", "activity_regularizer", "kernel_constraint", "bias_constraint", "lora_rank")
        ),
    )
    kernel, *bias = layer.get_weights()
    l1, l2 = _penalties(where, layer.kernel_regularizer)
    affine = Affine(where, kernel.T, bias[0] if bias else None, layer.trainable, l1, l2)
    return [affine, *_activation(where, layer)]


def _penalties(where: str, regularizer: Any) -> tuple[float, float]:
    if regularizer is None:
        return 0.0, 0.0
    from keras import regularizers

    if type(regularizer) not in {regularizers.L1, regularizers.L2, regularizers.L1L2}:
        raise WiringError(f"{where}: has a kernel_regularizer that is none of L1, L2 and L1L2")
    return float(getattr(regularizer, "l1", 0.0)), float(getattr(regularizer, "l2", 0.0))


def _activation(where: str, layer: Any) -> list[Step]:
    from keras import activations

    for name, ours in ACTIVATIONS.items():
        if layer.activation is activations.get(name):
            return [Activation(where, ours)]
    shown = getattr(layer.activation, "__name__", layer.activation)
    raise WiringError(f"{where}: has the activation {shown!r}, which layers here do not have")


def _batch_normalization(where: str, layer: Any) -> list[Step]:
    _check(where, layer, {"axis": -1 if layer.axis == -1 else 1})
    mean, variance = (np.array(each) for each in layer.get_weights()[-2:])
    settings = Settings(BATCH, float(layer.epsilon), float(layer.momentum), **_trained(layer))
    return [Normalization(where, settings, *_gain_and_bias(layer), mean, variance, layer.trainable)]


def _layer_normalization(where: str, layer: Any) -> list[Step]:
    _check(where, layer, {"rms_scaling": False})
    if layer.axis not in (-1, 1, [-1], [1]):
        raise WiringError(f"{where}: normalises over the axes {layer.axis}; here it is the units")
    settings = Settings(LAYER, float(layer.epsilon), **_trained(layer))
    return [Normalization(where, settings, *_gain_and_bias(layer), trainable=layer.trainable)]


def _trained(layer: Any) -> dict[str, bool]:
    return {"center": bool(layer.center), "scale": bool(layer.scale)}


def _gain_and_bias(layer: Any) -> tuple[Floats, Floats]:
    """Returns gains and biases; 1 and 0 where a normalisation has none."""
    n = int(layer.get_build_config()["input_shape"][-1])
    weights: list[Floats] = list(layer.get_weights())
    gain = weights.pop(0) if layer.scale else np.ones(n)
    return gain, weights[0] if layer.center else np.zeros(n)


def _dropout(where: str, layer: Any) -> list[Step]:
    _check(where, layer, {"noise_shape": None})
    return [Dropout(where, layer.rate)] if layer.rate > 0 else []


def _nothing(_where: str, _layer: Any) -> list[Step]:
    return []


READERS: dict[str, Callable[[str, Any], list[Step]]] = {
    "Dense": _dense,
    "BatchNormalization": _batch_normalization,
    "LayerNormalization": _layer_normalization,
    "Dropout": _dropout,
    "Activation": _activation,
    **dict.fromkeys(("InputLayer", "Flatten", "Identity"), _nothing),
}
"""By the name of the class: the steps of a layer."""


def _layer(step: Step, dtype: str) -> Any:
    from keras import layers, regularizers

    match step:
        case Affine():
            penalty = regularizers.L1L2(step.l1, step.l2) if step.l1 or step.l2 else None
            return layers.Dense(
                len(step.W), use_bias=step.bias is not None, kernel_regularizer=penalty, dtype=dtype
            )
        case Normalization(settings=settings) if settings.code == LAYER:
            return layers.LayerNormalization(
                epsilon=settings.epsilon, **check_fixed(step, "Keras"), dtype=dtype
            )
        case Normalization(settings=settings):
            if settings.unbiased:
                raise WiringError(
                    f"{step.where}: Keras' batch normalisation keeps a biased running variance, and would "
                    "predict differently after a training step; BatchNorm(unbiased=False) is the same"
                )
            return layers.BatchNormalization(
                momentum=settings.momentum,
                epsilon=settings.epsilon,
                **check_fixed(step, "Keras"),
                dtype=dtype,
            )
        case Dropout():
            return layers.Dropout(step.rate, dtype=dtype)
        case Activation():
            theirs, family = THEIRS.get(cast("OutputActivationName", step.name)), family_of(step.name)
            if theirs is not None:
                return layers.Activation(theirs, dtype=dtype)
            if family is None or family[0] not in FAMILIES:
                raise WiringError(f"{step.where}: Keras has no activation {step.name!r}")
            kind, setting, _ = FAMILIES[family[0]]
            return getattr(layers, kind)(**{setting: family[1][0]}, dtype=dtype)

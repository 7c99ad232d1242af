"""Weights from and to PyTorch.

A `HiddenLayer` is a Linear module, a normalisation, an activation and Dropout, in this order; an
`OutputLayer` is a Linear module and an activation. `MODULES` lists the activations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple, cast, overload

import numpy as np
from typednn_kernels.activation_families import FAMILIES as ACTIVATION_FAMILIES
from typednn_kernels.activations import LEAKY_RELU_FACTOR, CustomActivation, OutputActivationName
from typednn_kernels.losses import LossName
from typednn_kernels.normalizations import BATCH, LAYER, Settings

from typednn import names
from typednn.activations import named_with
from typednn.errors import MissingExtraError, SettingError, WiringError
from typednn.interop.activation_formulas import family_of
from typednn.interop.state_dicts import common_dtype, from_state_dict, to_state_dict
from typednn.interop.steps import (
    Activation,
    Affine,
    Dropout,
    Floats,
    Normalization,
    Step,
    network_of,
    steps_of,
)
from typednn.layers import Layer
from typednn.network.network import AnyNetwork, check_network

if TYPE_CHECKING:
    from torch import nn


class Module(NamedTuple):
    """An activation of PyTorch: the name of its class, and the settings with which it is ours."""

    name: str
    settings: Mapping[str, object] = {}


SOFTPLUS_LINEAR = {"float32": 17.0, "float64": 37.0}
"""From here on, softplus(a) is a in the dtype; PyTorch's is a beyond its threshold."""

MODULES: dict[str, Module] = {
    "sigmoid": Module("Sigmoid"),
    "relu": Module("ReLU"),
    "tanh": Module("Tanh"),
    "leaky_relu": Module("LeakyReLU", {"negative_slope": LEAKY_RELU_FACTOR}),
    "elu": Module("ELU", {"alpha": 1.0}),
    "selu": Module("SELU"),
    "gelu": Module("GELU", {"approximate": "none"}),
    "silu": Module("SiLU"),
    "softplus": Module("Softplus", {"beta": 1, "threshold": SOFTPLUS_LINEAR["float64"]}),
    "softsign": Module("Softsign"),
    "mish": Module("Mish"),
    "hard_sigmoid": Module("Hardsigmoid"),
    "hard_tanh": Module("Hardtanh", {"min_val": -1.0, "max_val": 1.0}),
    "softmax": Module("Softmax", {"dim": -1}),
    "log_softmax": Module("LogSoftmax", {"dim": -1}),
    "relu6": Module("ReLU6"),
    "hard_swish": Module("Hardswish"),
    "gelu_tanh": Module("GELU", {"approximate": "tanh"}),
}
"""By the name of the activation; PyTorch has no module for "exponential"."""

FAMILIES: dict[str, tuple[str, tuple[str, ...]]] = {
    "leaky_relu": ("LeakyReLU", ("negative_slope",)),
    "elu": ("ELU", ("alpha",)),
    "celu": ("CELU", ("alpha",)),
    "softplus": ("Softplus", ("beta",)),
    "hard_tanh": ("Hardtanh", ("min_val", "max_val")),
}
"""By the family of activations with parameters: the class, and its settings that are the parameters."""


@dataclass(frozen=True, slots=True)
class Criterion:
    """A loss module of PyTorch.

    Attributes:
        loss: our loss.
        settings: those with which it is ours.
        activation: the output activation here, which it applies itself.
        after: the module that must be the last one, which becomes part of loss and output activation.
    """

    loss: LossName
    settings: Mapping[str, object] = field(default_factory=dict[str, object])
    activation: OutputActivationName = "none"
    after: str = ""


CRITERIA: dict[str, Criterion] = {
    "MSELoss": Criterion("MSE"),
    "L1Loss": Criterion("mae"),
    "HuberLoss": Criterion("huber", {"delta": 1.0}),
    "SmoothL1Loss": Criterion("huber", {"beta": 1.0}),
    "BCELoss": Criterion("bincrossentropy", {"weight": None}),
    "BCEWithLogitsLoss": Criterion("bincrossentropy", {"weight": None, "pos_weight": None}, "sigmoid"),
    "CrossEntropyLoss": Criterion("crossentropy", {"weight": None, "label_smoothing": 0.0}, "softmax"),
    "NLLLoss": Criterion("nll", {"weight": None}, "log_softmax", after="LogSoftmax"),
    "PoissonNLLLoss": Criterion("poisson", {"log_input": True, "full": False}, "exponential"),
}
"""By the name of the class; all of them take means over the batch (`reduction="mean"`)."""


@overload
def from_torch(source: nn.Module, *, loss: LossName | nn.Module | None = None) -> AnyNetwork: ...
@overload
def from_torch(source: Mapping[str, object], layers: Sequence[Layer]) -> AnyNetwork: ...
def from_torch(
    source: nn.Module | Mapping[str, object],
    layers: Sequence[Layer] | None = None,
    *,
    loss: LossName | nn.Module | None = None,
) -> AnyNetwork:
    """Builds a network with the weights of a PyTorch model, exactly or not at all.

    Args:
        source: an `nn.Sequential`, or a state dict with the tensors of one: of each layer W as `….weight` and
            the biases as `….bias`, of a normalisation `….weight`, `….bias` and the running moments. A state
            dict may hold NumPy arrays, as `safetensors.numpy.load_file` returns them.
        layers: for a state dict, the layers of the network, which say what the tensors do not.
        loss: the loss: a name, or a loss module such as `nn.CrossEntropyLoss()`, which gives the network the
            output activation that the module applies itself. `nn.NLLLoss()` needs `nn.LogSoftmax` at the
            end. By default the loss that belongs to the output activation.

    Returns:
        A network of the tensors' dtype. Modules whose parameters need no gradient become layers that are not
        trainable.

    Raises:
        WiringError: a module has no counterpart here, or one that trains or predicts otherwise; the message
            names the module and the reason.
    """
    if isinstance(source, Mapping):
        if layers is None:
            raise WiringError(
                "from_torch: a state dict needs layers=[...], which say what its tensors do not"
            )
        return from_state_dict(source, layers)
    tensors = {str(tensor.dtype) for tensor in source.parameters()}
    dtype = common_dtype(tensors)
    leaves = _leaves(source, "")
    _check_unshared(leaves)
    named: LossName | None = None
    applied: list[Step] = []
    if isinstance(loss, str):
        named = cast("LossName", names.loss(loss))
    elif loss is not None:
        criterion = _criterion(loss)
        named = criterion.loss
        applied = [Activation(type(loss).__name__, criterion.activation)]
        if criterion.after:
            _check_last(*leaves.pop(), criterion.after, type(loss).__name__)
    steps = [step for name, module in leaves for step in _steps(name, module, dtype)] + applied
    if dtype == "float32":
        return network_of(steps, np.float32, named)
    return network_of(steps, np.float64, named)


def to_torch(network: AnyNetwork) -> nn.Sequential:
    """Builds an `nn.Sequential` with copies of a network's weights, in evaluation mode.

    Its outputs are the network's. Layers that are not trainable need no gradient. Penalties l1 and l2, and
    the loss, are settings of the training in PyTorch, which the module does not hold.

    Raises:
        MissingExtraError: PyTorch is not installed.
        WiringError: it is not a network, or PyTorch has no module that predicts and trains as a layer does;
            the message names it.
    """
    check_network(network, "to_torch")
    if find_spec("torch") is None:
        raise MissingExtraError("PyTorch", "to_torch", "torch")
    import torch

    modules = [_module(step) for step in steps_of(network)]
    sequential = torch.nn.Sequential(*modules)
    state = {name: torch.from_numpy(np.array(values)) for name, values in to_state_dict(network).items()}
    sequential.load_state_dict(state)
    for module, step in zip(modules, steps_of(network), strict=True):
        if isinstance(step, Affine | Normalization):
            module.requires_grad_(step.trainable)
    return sequential.eval()


def _leaves(module: nn.Module, prefix: str) -> list[tuple[str, nn.Module]]:
    """Returns the modules of a Sequential and of those inside it, with their positions."""
    from torch import nn

    if not isinstance(module, nn.Sequential) or type(module) is not nn.Sequential:
        return [(prefix or "0", module)]
    return [
        leaf
        for position, child in enumerate(module)  # named_children() would leave out a module's second use
        for leaf in _leaves(child, f"{prefix}.{position}" if prefix else f"{position}")
    ]


def _check_unshared(leaves: list[tuple[str, nn.Module]]) -> None:
    owners: dict[int, str] = {}
    for name, module in leaves:
        for parameter in module.parameters():
            other = owners.setdefault(id(parameter), name)
            if other != name:
                raise WiringError(
                    f"module {name} ({type(module).__name__}): shares a parameter with module {other}; "
                    "layers here have their own"
                )


def _steps(name: str, module: Any, dtype: str) -> list[Step]:
    kind, where = type(module).__name__, f"module {name} ({type(module).__name__})"
    if not _is_of_torch(module):
        raise WiringError(
            f"{where}: only nn.Sequential and modules of torch.nn are read; torch.onnx.export and "
            "typednn.onnx.load read what a module computes"
        )
    read = READERS.get(kind)
    if read is not None:
        return read(where, module)
    name_here = _activation(where, module, kind, dtype)
    if name_here is None:
        raise WiringError(f"{where}: layers here have no such module")
    return [Activation(where, name_here)]


def _activation(
    where: str, module: Any, kind: str, dtype: str
) -> OutputActivationName | CustomActivation | None:
    """Returns the activation that a module is, or None for other modules."""
    if kind == "Softplus" and module.threshold < SOFTPLUS_LINEAR[dtype]:
        raise WiringError(
            f"{where}: is linear from threshold={module.threshold:g} on; softplus here is so in {dtype} from "
            f"{SOFTPLUS_LINEAR[dtype]:g} on, and Softplus(threshold={SOFTPLUS_LINEAR[dtype]:g}) is the same"
        )
    if kind in {"Softmax", "LogSoftmax"} and module.dim not in {1, -1}:
        raise WiringError(f"{where}: has dim={module.dim}; here it is the last")
    for ours, theirs in MODULES.items():
        settings = {
            name: value for name, value in theirs.settings.items() if name not in {"threshold", "dim"}
        }
        if theirs.name == kind and all(getattr(module, name) == value for name, value in settings.items()):
            return cast("OutputActivationName", ours)
    for ours, (class_name, names_there) in FAMILIES.items():
        if class_name == kind:
            numbers = tuple(float(getattr(module, name)) for name in names_there)
            try:
                return named_with(
                    ACTIVATION_FAMILIES[ours],
                    dict(zip(ACTIVATION_FAMILIES[ours].parameters, numbers, strict=True)),
                )
            except SettingError as error:
                raise WiringError(f"{where}: {error}") from None
    return None


def _check_last(name: str, module: Any, wanted: str, loss: str) -> None:
    """Raises WiringError unless the last module is the one that a loss needs, over the units."""
    if type(module).__name__ != wanted or not _is_of_torch(module) or module.dim not in {1, -1}:
        raise WiringError(
            f"loss {loss}: needs {wanted}(-1) as last module, found module {name} ({type(module).__name__})"
        )


def _is_of_torch(module: nn.Module) -> bool:
    from torch import nn

    return getattr(nn, type(module).__name__, None) is type(module)


def _linear(where: str, module: Any) -> list[Step]:
    trainable = _is_trainable(where, module)
    return [Affine(where, _array(module.weight), _array_or_none(module.bias), trainable)]


def _batch_normalization(where: str, module: Any) -> list[Step]:
    if module.running_mean is None:
        raise WiringError(f"{where}: keeps no running mean and variance")
    if module.momentum is None:
        raise WiringError(
            f"{where}: has momentum=None, which averages over all steps; here a step keeps a fraction"
        )
    settings = Settings(BATCH, module.eps, 1 - module.momentum, unbiased=True, **_trained(module))
    moments = _array(module.running_mean), _array(module.running_var)
    gain_and_bias = _gain_and_bias(module, module.num_features)
    return [Normalization(where, settings, *gain_and_bias, *moments, _is_trainable(where, module))]


def _layer_normalization(where: str, module: Any) -> list[Step]:
    if len(module.normalized_shape) != 1:
        raise WiringError(f"{where}: normalises several dimensions")
    settings = Settings(LAYER, module.eps, **_trained(module))
    gain, bias = _gain_and_bias(module, module.normalized_shape[0])
    return [Normalization(where, settings, gain, bias, trainable=_is_trainable(where, module))]


def _trained(module: Any) -> dict[str, bool]:
    return {"center": module.bias is not None, "scale": module.weight is not None}


def _gain_and_bias(module: Any, n: int) -> tuple[Floats, Floats]:
    """Returns gains and biases; 1 and 0 where a normalisation has none."""
    gain = np.ones(n) if module.weight is None else _array(module.weight)
    return gain, np.zeros(n) if module.bias is None else _array(module.bias)


def _dropout(where: str, module: Any) -> list[Step]:
    if module.p >= 1:
        raise WiringError(f"{where}: drops all units")
    return [Dropout(where, module.p)] if module.p > 0 else []


def _flatten(where: str, module: Any) -> list[Step]:
    if (module.start_dim, module.end_dim) != (1, -1):
        raise WiringError(f"{where}: keeps dimensions besides the first")
    return []


READERS: dict[str, Callable[[str, Any], list[Step]]] = {
    "Linear": _linear,
    "LayerNorm": _layer_normalization,
    "BatchNorm1d": _batch_normalization,
    "Dropout": _dropout,
    "Flatten": _flatten,
    "Identity": lambda where, module: [],
}
"""By the name of the class: the steps of a module that is no activation."""


def _module(step: Step) -> nn.Module:
    from torch import nn

    dtype = None
    match step:
        case Affine():
            n, n_prev = step.W.shape
            dtype = _torch_dtype(step.W)
            return nn.Linear(n_prev, n, bias=step.bias is not None, dtype=dtype)
        case Normalization(settings=norm) if norm.code == LAYER:
            _check_modules_have(step)
            return nn.LayerNorm(
                len(step.gain),
                eps=norm.epsilon,
                elementwise_affine=norm.scale,
                bias=norm.center,
                dtype=_torch_dtype(step.gain),
            )
        case Normalization(settings=norm):
            if not norm.unbiased:
                raise WiringError(
                    f"{step.where}: PyTorch's batch normalisation keeps an unbiased running variance, and "
                    "would predict differently after a training step; BatchNorm(unbiased=True) is the same, "
                    "and typednn.onnx.save writes what predicts the same"
                )
            _check_modules_have(step)
            return nn.BatchNorm1d(
                len(step.gain),
                eps=norm.epsilon,
                momentum=1 - norm.momentum,
                affine=norm.scale,
                dtype=_torch_dtype(step.gain),
            )
        case Dropout():
            return nn.Dropout(step.rate)
        case Activation():
            name, settings = _module_of(step)
            module: nn.Module = getattr(nn, name)(**settings)
            return module


def _check_modules_have(step: Normalization) -> None:
    """Raises WiringError where PyTorch's normalisation has gains or biases other than those here."""
    norm = step.settings
    if norm.center != norm.scale and not (norm.code == LAYER and norm.scale):
        told = f"center={norm.center}, scale={norm.scale}"
        raise WiringError(f"{step.where}: has {told}; PyTorch has gains and biases, or neither of them")


def _module_of(step: Activation) -> tuple[str, Mapping[str, object]]:
    theirs, family = MODULES.get(step.name), family_of(step.name)
    if theirs is not None:
        return theirs.name, theirs.settings
    if family is None or family[0] not in FAMILIES:
        raise WiringError(f"{step.where}: PyTorch has no module for the activation {step.name!r}")
    name, names_there = FAMILIES[family[0]]
    settings: dict[str, object] = dict(zip(names_there, family[1], strict=True))
    if name == "Softplus":
        settings["threshold"] = SOFTPLUS_LINEAR["float64"]
    return name, settings


def _torch_dtype(values: Floats) -> Any:
    import torch

    return torch.float32 if values.dtype == np.float32 else torch.float64


def _criterion(loss: nn.Module) -> Criterion:
    kind = type(loss).__name__
    criterion = CRITERIA.get(kind)
    if criterion is None or not _is_of_torch(loss):
        raise WiringError(f"loss {kind}: is none of {', '.join(CRITERIA)}")
    for setting, ours in {"reduction": "mean", **criterion.settings}.items():
        found: object = getattr(loss, setting)
        if found != ours:
            raise WiringError(f"loss {kind}: has {setting}={found!r}; the loss here is that of {ours!r}")
    return criterion


def _is_trainable(where: str, module: nn.Module) -> bool:
    needed = {parameter.requires_grad for parameter in module.parameters()} or {True}
    if len(needed) > 1:
        raise WiringError(
            f"{where}: only some of its parameters need a gradient; layers here train all or none"
        )
    return needed.pop()


def _array(tensor: Any) -> Floats:
    values: Floats = tensor.detach().cpu().numpy()
    return values


def _array_or_none(tensor: Any) -> Floats | None:
    return None if tensor is None else _array(tensor)

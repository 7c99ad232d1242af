"""What a network computes, as operators of ONNX.

Activations follow from the formulas of `typednn_kernels.activations`, traced and written operator by
operator. Where ONNX has an operator of its own for an activation, and ONNX Runtime a kernel for the dtype,
that one is written instead.
"""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# Functions written as lambdas have no types.

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from typednn_kernels import normalizations
from typednn_kernels.activations import (
    LEAKY_RELU_FACTOR,
    SELU_ALPHA,
    SELU_SCALE,
)
from typednn_kernels.arrays import F
from typednn_kernels.normalizations import settings_of
from typednn_kernels.tracing import Place, TracedFormula

from typednn.errors import SettingError
from typednn.interop.activation_formulas import family_of, formula_of
from typednn.layers import InputLayer, Layer, TrainableLayer
from typednn.network.network import AnyNetwork
from typednn.onnx.graph import GraphBuilder

FLOAT64 = np.dtype(np.float64)


class Operator(NamedTuple):
    """An operator of ONNX that is an activation."""

    name: str
    since: int = 13
    in_float64: bool = False
    """Whether ONNX Runtime has a kernel for float64."""
    attributes: Mapping[str, float | str] = {}


OPERATORS: dict[str, Operator] = {
    "sigmoid": Operator("Sigmoid", in_float64=True),
    "relu": Operator("Relu", in_float64=True),
    "tanh": Operator("Tanh", in_float64=True),
    "exponential": Operator("Exp", in_float64=True),
    "leaky_relu": Operator("LeakyRelu", attributes={"alpha": LEAKY_RELU_FACTOR}),
    "elu": Operator("Elu", attributes={"alpha": 1.0}),
    "selu": Operator("Selu", attributes={"alpha": SELU_ALPHA, "gamma": SELU_SCALE}),
    "softplus": Operator("Softplus"),
    "softsign": Operator("Softsign"),
    "hard_sigmoid": Operator("HardSigmoid", attributes={"alpha": 1 / 6, "beta": 0.5}),
    "mish": Operator("Mish", since=18),
    "gelu": Operator("Gelu", since=20),
    "gelu_tanh": Operator("Gelu", since=20, attributes={"approximate": "tanh"}),
}
"""By the name of the activation; others, and those of users, are written by their formulas.

HardSwish is left out: near -3, ONNX Runtime's loses digits that the formula keeps.
"""

OF_FAMILIES: dict[str, Callable[..., Operator]] = {
    "leaky_relu": lambda alpha: Operator("LeakyRelu", attributes={"alpha": alpha}),
    "elu": lambda alpha: Operator("Elu", attributes={"alpha": alpha}),
    "celu": lambda alpha: Operator("Celu", attributes={"alpha": alpha}),
    "hard_sigmoid": lambda alpha, beta: Operator("HardSigmoid", attributes={"alpha": alpha, "beta": beta}),
}
"""By the name of a family of activations: the operator with its parameters."""

FUNCTIONS: dict[str, str] = {
    "add": "Add",
    "subtract": "Sub",
    "multiply": "Mul",
    "divide": "Div",
    "negative": "Neg",
    "absolute": "Abs",
    "less": "Less",
    "less_equal": "LessOrEqual",
    "greater": "Greater",
    "greater_equal": "GreaterOrEqual",
    "equal": "Equal",
    "exp": "Exp",
    "log": "Log",
    "tanh": "Tanh",
    "erf": "Erf",
    "sqrt": "Sqrt",
    "sign": "Sign",
    "maximum": "Max",
    "minimum": "Min",
    "where": "Where",
}
"""The operators that are functions of formulas."""


def _expm1(graph: GraphBuilder, x: str) -> str:
    """Writes exp(x) - 1 without cancellation: near 0 it is 2 t / (1 - t), t = tanh(x / 2)."""
    one, two = graph.number(1), graph.number(2)
    t = graph.node("Tanh", graph.node("Div", x, two))
    near = graph.node("Div", graph.node("Mul", two, t), graph.node("Sub", one, t))
    far = graph.node("Sub", graph.node("Exp", x), one)
    return graph.node("Where", graph.node("Less", graph.node("Abs", x), one), near, far)


def _log1p(graph: GraphBuilder, x: str) -> str:
    """Writes log(1 + x); below 1 without cancellation (Goldberg 1991, theorem 4, ACM Comput. Surv. 23)."""
    one = graph.number(1)
    w = graph.node("Add", one, x)
    logarithm = graph.node("Log", w)
    corrected = graph.node("Mul", logarithm, graph.node("Div", x, graph.node("Sub", w, one)))
    near = graph.node("Where", graph.node("Equal", w, one), x, corrected)
    return graph.node("Where", graph.node("Less", x, one), near, logarithm)


def _erfc(graph: GraphBuilder, x: str) -> str:
    return graph.node("Sub", graph.number(1), graph.node("Erf", x))


COMPOSED: dict[str, Callable[[GraphBuilder, str], str]] = {"expm1": _expm1, "log1p": _log1p, "erfc": _erfc}
"""The functions of formulas that ONNX lacks."""

WITHOUT_FLOAT64 = {"erf", "erfc"}
"""The functions of formulas for which ONNX Runtime has no kernel in float64."""


def write_formula(graph: GraphBuilder, formula: TracedFormula, *arguments: str) -> str:
    """Appends the operators of a formula; returns the name of its result."""
    tensors = list(arguments)
    for step in formula.steps:
        operands = [
            tensors[each.index] if isinstance(each, Place) else graph.number(each) for each in step.operands
        ]
        if step.name in COMPOSED:
            tensors.append(COMPOSED[step.name](graph, *operands))
        else:
            tensors.append(graph.node(FUNCTIONS[step.name], *operands))
    return tensors[formula.result.index]


def write_network(graph: GraphBuilder, network: AnyNetwork, x: str) -> str:
    """Appends the operators of a network that predicts; returns the name of its outputs.

    Raises:
        SettingError: ONNX Runtime has no float64 kernel for a function of an activation.
        NotReadyError: an activation was registered in another process, but not in this one.
    """
    h = x
    for k, layer in enumerate(network.layers):
        graph.prefix = f"layers.{k}."
        if not isinstance(layer, InputLayer):
            h = _pre_activations(graph, layer, k, h)
        h = _activation(graph, layer, h)
    graph.prefix = ""
    return h


def tensor_shape(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Returns the shape of a layer's tensor in the graph, where rows `(1, n)` are vectors `(n,)`."""
    return shape if name == "W" else shape[1:]


def _pre_activations(graph: GraphBuilder, layer: Layer[F], k: int, h: str) -> str:
    assert isinstance(layer, TrainableLayer)
    tensors = {
        name: graph.constant(f"layers.{k}.{name}", values.reshape(tensor_shape(name, values.shape)))
        for name, values in layer._tensors.items()
    }
    settings = settings_of(layer.normalization)
    if settings.code == normalizations.NONE:
        return graph.node("Gemm", h, tensors["W"], tensors["Bias"], transB=1)
    z = h
    if "W" in tensors:
        inner = [tensors["InnerBias"]] if "InnerBias" in tensors else []
        z = graph.node("Gemm", h, tensors["W"], *inner, transB=1)
    write = NORMALIZATIONS[normalizations.NORMALIZATIONS[settings.code].name]
    return write(graph, z, tensors, settings.epsilon)


def _batch(graph: GraphBuilder, z: str, tensors: dict[str, str], epsilon: float) -> str:
    """Writes a batch normalisation; ONNX Runtime's BatchNormalization multiplies z before it subtracts."""
    gain, bias, mean, variance = (
        tensors[name] for name in ("Gain", "Bias", "moving_mean", "moving_variance")
    )
    return _normalized(graph, graph.node("Sub", z, mean), variance, gain, bias, epsilon)


def _layer(graph: GraphBuilder, z: str, tensors: dict[str, str], epsilon: float) -> str:
    """Writes a layer normalisation; ONNX Runtime's LayerNormalization loses digits that the formula keeps."""
    gain, bias = tensors["Gain"], tensors["Bias"]
    deviation = graph.node("Sub", z, _mean(graph, z))
    variance = _mean(graph, graph.node("Mul", deviation, deviation))
    return _normalized(graph, deviation, variance, gain, bias, epsilon)


NORMALIZATIONS: dict[str, Callable[[GraphBuilder, str, dict[str, str], float], str]] = {
    "batch": _batch,
    "layer": _layer,
}
"""By the name of the normalisation: what writes the pre-activations of a layer, from what is normalised."""


def _normalized(
    graph: GraphBuilder, deviation: str, variance: str, gain: str, bias: str, epsilon: float
) -> str:
    """Writes pre-activations, given deviations from means; epsilon is a constant of the dtype.

    Attributes of operators are float32.
    """
    inverse_std = TracedFormula.of(lambda v: normalizations.inverse_std(v, epsilon), 1)
    inverse = write_formula(graph, inverse_std, variance)
    scaled = TracedFormula.of(normalizations.scaled_and_shifted, 3)
    return write_formula(graph, scaled, graph.node("Mul", deviation, inverse), gain, bias)


def _mean(graph: GraphBuilder, values: str) -> str:
    """Writes the mean of each row, `(batch, 1)`; the axis is an attribute before opset 18."""
    if graph.opset < 18:
        return graph.node("ReduceMean", values, axes=[1], keepdims=1)
    return graph.node("ReduceMean", values, graph.constant("axis_1", np.array([1])), keepdims=1)


OF_ROWS = {"softmax": "Softmax", "log_softmax": "LogSoftmax"}
"""The operators of activations that couple the units of a layer."""


def _activation(graph: GraphBuilder, layer: Layer[F], a: str) -> str:
    name = layer.actname
    if name == "none":
        return a
    if name in OF_ROWS:
        return graph.node(OF_ROWS[name], a, axis=1)
    operator, family = OPERATORS.get(name), family_of(name)
    if family is not None and family[0] in OF_FAMILIES:
        operator = OF_FAMILIES[family[0]](*family[1])
    if operator and graph.opset >= operator.since and (operator.in_float64 or graph.dtype != FLOAT64):
        return graph.node(operator.name, a, attributes=operator.attributes)
    formula = formula_of(name, layer.name)
    missing = {step.name for step in formula.steps} & WITHOUT_FLOAT64
    if missing and graph.dtype == FLOAT64:
        raise SettingError(
            f"{layer.name}: ONNX Runtime has no kernel for the error function in float64, which {name!r} "
            "needs; network.astype(np.float32) can be saved"
        )
    return write_formula(graph, formula, a)

"""Walks through the nodes of an ONNX graph and divides it into segments: see `segments`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeAlias

import numpy as np

from typednn.errors import FileFormatError
from typednn.onnx.functions import ELEMENTWISE, LINEAR, OF_ROWS, OPERANDS, REDUCTIONS, Array
from typednn.onnx.nodes import Node
from typednn.onnx.segments import Linear, Normalized, Segment, UnknownOperationError
from typednn.onnx.tensors import Constant, constant_of

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, ValueInfoProto

MIN_OPSET = 7
FLOATS = {1, 11}
"""The numbers of float32 and float64 in ONNX."""


@dataclass(frozen=True, slots=True)
class Rows:
    """The result of an operation of a segment."""

    segment: Segment
    index: int = 0


@dataclass(frozen=True, slots=True)
class Complements:
    """The two columns 1 - p and p of one output p, as a binary classifier has them."""

    p: Rows


class Labels:
    """Predicted labels, which follow from the outputs."""


Value: TypeAlias = Constant | Rows | Complements | Labels


class Walk:
    """Knows the values of a graph by name, node after node."""

    def __init__(self, model: ModelProto, path: Path) -> None:
        self.path = path
        self.graph: GraphProto = model.graph
        self.opset: int = _opset(model, path)
        self.values: dict[str, Value] = {}
        for tensor in self.graph.initializer:
            self.values[tensor.name] = constant_of(tensor, f"the constant {tensor.name!r}", path)
        for declared in self.graph.input:
            if declared.name not in self.values:
                self.values[declared.name] = Rows(_input_segment(declared, path))
        self.inputs: list[Rows] = [each for each in self.values.values() if isinstance(each, Rows)]
        if len(self.inputs) != 1:
            raise FileFormatError(f"{path}: expected one input of rows, found {len(self.inputs)} inputs")

    def result(self) -> Rows:
        """Walks through all nodes; returns what the network's outputs are.

        Raises:
            FileFormatError: a node does what no network does, or there are several outputs.
        """
        for position, proto in enumerate(self.graph.node):
            node = Node(proto, position, self.opset, self.path)
            try:
                value = self._value_of(node)
            except UnknownOperationError as error:
                raise FileFormatError(f"{self.path}: {error}") from None
            for name in proto.output:
                if name and name in self.values:
                    raise node.error(f"computes {name!r}, which there is already")
                self.values[name] = value
        results: set[Rows] = set()
        for output in self.graph.output:
            value = self._named(output.name, f"the output {output.name!r}")
            if isinstance(value, Complements):
                value = value.p
            if isinstance(value, Rows):
                results.add(value)
        if len(results) != 1:
            raise FileFormatError(f"{self.path}: expected one output of numbers, found {len(results)}")
        return results.pop()

    def _named(self, name: str, where: str) -> Value:
        value = self.values.get(name)
        if value is None:
            raise FileFormatError(f"{self.path}: {where}: needs {name!r}, which no node before it computes")
        return value

    def _value_of(self, node: Node) -> Value:
        if node.operator == "Constant":
            return _constant(node)
        operands = [self._named(name, node.where) if name else None for name in node.proto.input]
        if not operands or operands[0] is None:
            raise node.error("has no operand")
        if any(isinstance(each, Labels) for each in operands):
            return Labels()
        if any(isinstance(each, Complements) for each in operands):
            return _of_complements(node, operands)
        if all(each is None or isinstance(each, np.ndarray) for each in operands):
            return _folded(node, [each for each in operands if isinstance(each, np.ndarray)])
        read = OPERATORS.get(node.operator)
        if read is None:
            raise node.error(
                "is an operator that layers here do not have; typednn reads chains of affine maps, "
                "normalisations and activations"
            )
        return read(node, operands)


Operand: TypeAlias = Value | None
Reader: TypeAlias = Callable[[Node, list[Operand]], Value]


def _opset(model: ModelProto, path: Path) -> int:
    versions = {each.domain: each.version for each in model.opset_import}
    opset: int = versions.get("", versions.get("ai.onnx", 0))
    if not MIN_OPSET <= opset <= 1000:
        raise FileFormatError(
            f"{path}: expected operators of ONNX from version {MIN_OPSET} on, found {opset}"
        )
    if len(model.functions):
        raise FileFormatError(f"{path}: expected operators of ONNX only, found functions of the model's own")
    return opset


def _input_segment(declared: ValueInfoProto, path: Path) -> Segment:
    tensor = declared.type.tensor_type
    lengths = [dim.dim_value for dim in tensor.shape.dim]
    where = f"the input {declared.name!r}"
    if tensor.elem_type not in FLOATS or len(lengths) < 2 or min(lengths) < 0:
        raise FileFormatError(
            f"{path}: {where}: expected rows (batch, features) of float32 or float64, found data type "
            f"{tensor.elem_type} and the shape {lengths[:9]}"
        )
    return Segment(where, prod(lengths[1:]), is_flat=len(lengths) == 2)


def _constant(node: Node) -> Constant:
    tensor = node.tensor("value")
    if tensor is not None:
        return tensor
    for attribute in node.proto.attribute:
        if attribute.name == "value_float":
            return np.array(node.number("value_float", 0.0), np.float32)
        if attribute.name == "value_int":
            return np.array(node.integer("value_int", 0))
        if attribute.name == "value_floats":
            return np.array(node.numbers("value_floats"), np.float32)
        if attribute.name == "value_ints":
            return np.array(node.integers("value_ints"), np.int64)
    raise node.error("expected a constant of numbers")


def _numbers(node: Node, value: Operand) -> Array:
    """Returns a constant as float64, `(n,)` or a number."""
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fib":
        raise node.error("expected a constant of numbers as operand")
    with np.errstate(all="ignore"):
        return value.astype(np.float64)


def _rows(node: Node, value: Operand) -> Rows:
    if not isinstance(value, Rows):
        raise node.error("expected the rows of a layer as first operand")
    return value


def _flat(node: Node, value: Operand) -> Rows:
    rows = _rows(node, value)
    if not rows.segment.is_flat:
        raise node.error("expected rows, found an input of more than two dimensions that is not flattened")
    return rows


def _per_unit(node: Node, constant: Array, segment: Segment) -> Array:
    """Returns a constant as a number, or `(n,)`; checks that there is one element for each unit."""
    if constant.size == 1 and constant.ndim <= 2:
        return constant.reshape(())
    if constant.ndim == 0 or constant.ndim > 2 or constant.shape[-1] != constant.size:
        raise node.error(f"a constant of the shape {constant.shape} is not one number for each unit")
    if segment.width == 0:
        segment.width = constant.size
    if constant.size != segment.width:
        raise node.error(f"a constant has {constant.size} numbers, for {segment.width} units")
    return constant.reshape(-1)


def _elementwise(node: Node, operands: list[Operand]) -> Value:
    _check_count(node, len(operands))
    first = next(each for each in operands if isinstance(each, Rows))
    segment = _flat(node, first).segment
    found: list[int | Array] = []
    for position, each in enumerate(operands):
        if isinstance(each, Rows):
            if each.segment is not segment:
                raise node.error("joins two branches of the graph; a network here has one")
            found.append(each.index)
        elif each is None:
            found.append(np.array(-np.inf if position == 1 else np.inf))  # a limit that Clip lacks
        else:
            found.append(_per_unit(node, _numbers(node, each), segment))
    linear = None
    constants = [each for each in found if not isinstance(each, int)]
    if node.operator in LINEAR and len(found) - len(constants) == 1 and len(found) <= 2:
        with np.errstate(all="ignore"):
            c = constants[0] if constants else np.array(0.0)
            s, t = LINEAR[node.operator](c if c.ndim else np.float64(c), isinstance(found[0], int))
        if np.isfinite(s).all() and np.isfinite(t).all():
            linear = Linear(s, t)
    function = ELEMENTWISE[node.operator](node)
    return Rows(segment, segment.append(node.where, function, tuple(found), linear=linear))


def _check_count(node: Node, count: int) -> None:
    if count not in OPERANDS[node.operator]:
        raise node.error(f"has {count} operands, which {node.operator} cannot have")


def _same(node: Node, operands: list[Operand]) -> Value:
    return _rows(node, operands[0])


def _cast(node: Node, operands: list[Operand]) -> Value:
    if node.integer("to", 0) not in FLOATS:
        raise node.error("converts the values of a layer to something else than float32 and float64")
    return _rows(node, operands[0])


def _reshaped(node: Node, operands: list[Operand]) -> Value:
    rows = _rows(node, operands[0])
    if len(operands) < 2 or not isinstance(operands[1], np.ndarray) or operands[1].dtype.kind != "i":
        raise node.error("expected a constant shape")
    shape, width = operands[1].reshape(-1).tolist(), rows.segment.width
    if shape not in ([-1, width], [0, width], [0, -1]) and not (shape in ([-1], [-1, 1]) and width == 1):
        raise node.error(f"expected a shape that keeps rows of {width} values, found {shape[:9]}")
    return _flattened(node, rows)


def _flatten(node: Node, operands: list[Operand]) -> Value:
    if node.integer("axis", 1) != 1:
        raise node.error("expected axis 1, which keeps samples apart")
    return _flattened(node, _rows(node, operands[0]))


def _flattened(node: Node, rows: Rows) -> Rows:
    if rows.segment.is_flat:
        return rows
    if rows.segment.width == 0:
        raise node.error("expected an input whose dimensions are known, besides the first")
    return Rows(Segment(rows.segment.where, rows.segment.width))


def _squeeze(node: Node, operands: list[Operand]) -> Value:
    rows = _flat(node, operands[0])
    if rows.segment.width != 1:
        raise node.error("expected one column")
    return rows


def _matmul(node: Node, operands: list[Operand]) -> Value:
    if len(operands) != 2:
        raise node.error(f"expected 2 operands, found {len(operands)}")
    weights = _weights(node, operands[1])
    return _product(node, _flat(node, operands[0]), weights.T, None)


def _gemm(node: Node, operands: list[Operand]) -> Value:
    if len(operands) not in {2, 3} or node.integer("transA", 0):
        raise node.error("expected rows times constant weights, plus a constant")
    B, alpha, beta = _weights(node, operands[1]), node.number("alpha", 1.0), node.number("beta", 1.0)
    scaled = B if alpha == 1 else B * B.dtype.type(alpha)
    W = scaled if node.integer("transB", 0) else scaled.T
    rows = _flat(node, operands[0])
    if len(operands) == 2 or operands[2] is None:
        return _product(node, rows, W, None)
    product = _product(node, rows, W, None)
    bias = _per_unit(node, _numbers(node, operands[2]) * beta, product.segment)
    product.segment.bias = np.broadcast_to(bias, len(W))
    return product


def _weights(node: Node, value: Operand) -> Array:
    if not isinstance(value, np.ndarray) or value.ndim != 2 or value.dtype.kind != "f":
        raise node.error("expected constant weights, a matrix of float32 or float64, as second operand")
    if 0 in value.shape:
        raise node.error(f"expected weights, found the shape {value.shape}")
    return value


def _product(node: Node, rows: Rows, W: Array, bias: Array | None) -> Rows:
    segment = rows.segment
    if segment.operations[rows.index].is_column and segment.width != 1:
        raise node.error("multiplies a mean or sum over units")
    if segment.width == 0:
        segment.width = W.shape[1]
    if segment.width != W.shape[1]:
        raise node.error(f"takes {W.shape[1]} values, and what is before it has {segment.width}")
    return Rows(Segment(node.where, len(W), W, bias, (segment, rows.index)))


def _batch_normalization(node: Node, operands: list[Operand]) -> Value:
    rows = _flat(node, operands[0])
    if len(operands) != 5 or node.integer("training_mode", 0):
        raise node.error("expected a batch normalisation that predicts")
    gain, bias, mean, variance = (
        _per_unit(node, _numbers(node, each), rows.segment) for each in operands[1:]
    )
    with np.errstate(all="ignore"):
        s = gain / np.sqrt(variance + node.number("epsilon", 1e-5))
        linear = Linear(s, bias - mean * s)
    return Rows(rows.segment, rows.segment.append(node.where, np.positive, (rows.index,), linear=linear))


def _scaler(node: Node, operands: list[Operand]) -> Value:
    rows = _flat(node, operands[0])
    offset, scale = (
        _per_unit(node, np.array(node.numbers(name), np.float64), rows.segment)
        for name in ("offset", "scale")
    )
    linear = Linear(scale, -offset * scale)
    return Rows(rows.segment, rows.segment.append(node.where, np.positive, (rows.index,), linear=linear))


def _layer_normalization(node: Node, operands: list[Operand]) -> Value:
    rows = _flat(node, operands[0])
    if node.integer("axis", -1) not in {-1, 1} or len(operands) not in {2, 3}:
        raise node.error("expected a normalisation over the units of a layer")
    gain = _per_unit(node, _numbers(node, operands[1]), rows.segment)
    bias = _per_unit(node, _numbers(node, operands[2]), rows.segment) if len(operands) == 3 else 0.0
    normalized = Normalized(Linear(gain, bias), node.number("epsilon", 1e-5))
    index = rows.segment.append(node.where, np.positive, (rows.index,), couples=True, normalized=normalized)
    return Rows(rows.segment, index)


def _of_rows(node: Node, operands: list[Operand]) -> Value:
    rows = _flat(node, operands[0])
    if node.integer("axis", -1 if node.opset >= 13 else 1) not in {-1, 1}:
        raise node.error("expected the axis of the units")
    function = OF_ROWS[node.operator]
    return Rows(rows.segment, rows.segment.append(node.where, function, (rows.index,), couples=True))


def _reduction(node: Node, operands: list[Operand]) -> Value:
    rows = _flat(node, operands[0])
    axes = node.integers("axes")
    if axes is None and len(operands) == 2:
        axes = _numbers(node, operands[1]).reshape(-1).tolist()
    if axes not in ([-1], [1]) or not node.integer("keepdims", 1):
        raise node.error("expected a reduction over the units of a layer that keeps the dimension")
    index = rows.segment.append(
        node.where,
        REDUCTIONS[node.operator],
        (rows.index,),
        to_column=True,
        couples=True,
    )
    return Rows(rows.segment, index)


def _concat(node: Node, operands: list[Operand]) -> Value:
    if len(operands) == 2 and node.integer("axis", 0) in {1, -1}:
        other, p = operands
        if isinstance(other, Rows) and isinstance(p, Rows) and other.segment is p.segment:
            operation = p.segment.operations[other.index]
            single = p.segment.width == 1 and operation.parent == p.index
            if single and operation.linear == Linear(-1.0, 1.0):
                return Complements(p)
    raise node.error("joins columns; a network here has one input and one output layer")


def _of_complements(node: Node, operands: list[Operand]) -> Value:
    if node.operator in {"Identity", "ml.ZipMap"} or (
        node.operator == "Cast" and node.integer("to", 0) in FLOATS
    ):
        assert operands[0] is not None
        return operands[0]
    if node.operator == "ArgMax":
        return Labels()
    raise node.error("computes with the two columns 1 - p and p of a binary classifier")


def _labels(_node: Node, _operands: list[Operand]) -> Value:
    return Labels()


OPERATORS: dict[str, Reader] = {
    **dict.fromkeys(ELEMENTWISE, _elementwise),
    **dict.fromkeys(REDUCTIONS, _reduction),
    **dict.fromkeys(OF_ROWS, _of_rows),
    **dict.fromkeys(("Identity", "Dropout", "ml.ZipMap"), _same),
    "Cast": _cast,
    "Reshape": _reshaped,
    "Flatten": _flatten,
    "Squeeze": _squeeze,
    "MatMul": _matmul,
    "Gemm": _gemm,
    "BatchNormalization": _batch_normalization,
    "LayerNormalization": _layer_normalization,
    "ml.Scaler": _scaler,
    "Concat": _concat,
    **dict.fromkeys(("ArgMax", "ml.Binarizer", "ml.ArrayFeatureExtractor"), _labels),
}
"""By the operator: what becomes of the values that it is applied to."""


def _folded(node: Node, operands: list[Constant]) -> Constant:
    """Computes with constants; the result is not larger than they are together."""
    x = operands[0]
    if node.operator in {"Identity", "Dropout"}:
        return x
    if node.operator == "Cast" and node.integer("to", 0) in FLOATS and x.dtype.kind in "fib":
        with np.errstate(all="ignore"):
            return x.astype(np.float32 if node.integer("to", 0) == 1 else np.float64)
    if node.operator == "Transpose" and x.ndim == 2 and node.integers("perm") in (None, [1, 0]):
        return x.T
    if node.operator in {"Unsqueeze", "Squeeze", "Reshape"}:
        return _reshaped_constant(node, operands)
    if node.operator not in ELEMENTWISE:
        raise node.error("is an operator on constants that typednn does not read")
    _check_count(node, len(operands))
    numbers = [_numbers(node, each) for each in operands]
    try:
        shape = np.broadcast_shapes(*(each.shape for each in numbers))
        if prod(shape) > sum(each.size for each in numbers):
            _refuse_shapes(node)
        with np.errstate(all="ignore"):
            result: Constant = np.asarray(ELEMENTWISE[node.operator](node)(*numbers))
    except ValueError:
        _refuse_shapes(node)
    kinds = {each.dtype for each in operands if each.dtype.kind == "f"}
    with np.errstate(all="ignore"):
        return result.astype(max(kinds, key=lambda each: each.itemsize)) if kinds else result


def _refuse_shapes(node: Node) -> NoReturn:
    raise node.error("expected constants whose shapes fit together")


def _reshaped_constant(node: Node, operands: list[Constant]) -> Constant:
    x = operands[0]
    if node.operator == "Reshape":
        if len(operands) < 2 or operands[1].dtype.kind != "i":
            raise node.error("expected a constant shape")
        shape: list[int] = operands[1].reshape(-1).tolist()
        shape = [x.shape[k] if length == 0 and k < x.ndim else length for k, length in enumerate(shape)]
        if shape.count(-1) == 1 and prod(shape) != 0:
            shape[shape.index(-1)] = x.size // -prod(shape)
        if min(shape, default=0) < 0 or prod(shape) != x.size or len(shape) > 8:
            _refuse_shapes(node)
        return x.reshape(shape)
    axes = node.integers("axes")
    if axes is None and len(operands) == 2 and operands[1].dtype.kind == "i":
        axes = operands[1].reshape(-1).tolist()
    if axes is None or len(axes) > 4 or x.ndim > 4:
        raise node.error("expected axes")
    try:
        return np.squeeze(x, tuple(axes)) if node.operator == "Squeeze" else np.expand_dims(x, tuple(axes))
    except ValueError:  # numpy's AxisError is one
        _refuse_shapes(node)

"""Reads networks from ONNX files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, overload

import numpy as np
from typednn_kernels.arrays import F
from typednn_kernels.normalizations import LAYER, Settings

from typednn.data.model import Model
from typednn.errors import FileFormatError, SettingError, WiringError
from typednn.files.model_json import Description, read_description
from typednn.files.models import KEY, check_kind, network_with, of_kind, tensor_shapes
from typednn.formats.atomic import PathLike
from typednn.interop.steps import Activation, Affine, Normalization, Step, network_of
from typednn.network.network import AnyNetwork, Network
from typednn.onnx.graph import require_onnx
from typednn.onnx.operators import tensor_shape
from typednn.onnx.segments import Layered, Linear, Normalized, Segment, UnknownOperationError, known_epsilon
from typednn.onnx.tensors import Constant, constant_of
from typednn.onnx.walk import Rows, Walk
from typednn.onnx.writer import OPSETS, model_of

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, ValueInfoProto


@overload
def load(path: PathLike) -> AnyNetwork: ...
@overload
def load(path: PathLike, kind: type[Model]) -> Model: ...
@overload
def load(path: PathLike, kind: type[F]) -> Network[F]: ...
def load(path: PathLike, kind: type[Model | F] | None = None) -> AnyNetwork:
    """Reads a network from an ONNX file.

    A file that `typednn.onnx.save` wrote gives the network that was saved, to the bit. Files of others are
    read where they hold one chain of affine maps, layer normalisations and activations that this library
    has: batch normalisation and scaling become part of the weights, Dropout and conversions between float32
    and float64 are passed over, and so are labels beside the outputs. The columns 1 - p and p of a binary
    classifier become the one output p. The loss is the one that belongs to the output activation.

    Args:
        path: the file. External data are read from files in its folder only.
        kind: what the file must have, so that a type checker knows it: `Model`, or the dtype of a network; by
            default any.

    Raises:
        MissingExtraError: the package onnx is not installed.
        FileFormatError: the file is missing, truncated or invalid, or holds something that no network here
            computes exactly, the message names the node and the reason; or it is of another kind.
    """
    require_onnx()
    check_kind(kind)
    return of_kind(_load(Path(path)), path, kind)


def _load(path: Path) -> AnyNetwork:
    model = _parsed(path)
    texts = {entry.key: entry.value for entry in model.metadata_props}
    if KEY in texts:
        if not isinstance(texts[KEY], str):  # protobuf gives the bytes of what is not UTF-8
            raise FileFormatError(f"{path}: expected a description in UTF-8")
        restored = _restored(model, read_description(texts[KEY], path, path.stat().st_size), path)
        if restored is not None:
            return restored
    return _chain(Walk(model, path), path)


def _parsed(path: Path) -> ModelProto:
    from google.protobuf.message import DecodeError
    from onnx import ModelProto

    if not path.is_file():
        raise FileFormatError(f"{path}: {'is not a file' if path.exists() else 'there is no such file'}")
    try:
        return ModelProto.FromString(path.read_bytes())
    except OSError as error:
        raise FileFormatError(f"{path}: cannot be read: {error.strerror or error}") from None
    except DecodeError:
        raise FileFormatError(
            f"{path}: expected an ONNX file, found one that is truncated or something else"
        ) from None


def _restored(model: ModelProto, description: Description, path: Path) -> AnyNetwork | None:
    """Restores a network of ours; None if the graph is not the one that it would be saved as."""
    shapes = tensor_shapes(description.layers)
    constants = _constants(model, path)
    tensors: dict[str, Constant] = {}
    for name, shape in shapes.items():
        values = constants.get(name)
        if values is None or values.dtype != description.dtype:
            return None
        if values.shape != tensor_shape(name.rpartition(".")[2], shape):
            return None
        tensors[name] = values.reshape(shape)
    opset = max((each.version for each in model.opset_import if each.domain == ""), default=0)
    if opset not in OPSETS:
        return None
    restored = network_with(description, tensors, path)
    expected = model_of(restored, opset)
    same = (
        _bytes(expected.graph.node) == _bytes(model.graph.node)
        and _bytes(expected.graph.input) == _bytes(model.graph.input)
        and _bytes(expected.graph.output) == _bytes(model.graph.output)
        and _equal(_constants(expected, path), constants)
    )
    return restored if same else None


def _bytes(messages: Sequence[NodeProto] | Sequence[ValueInfoProto]) -> list[bytes]:
    return [each.SerializeToString(deterministic=True) for each in messages]


def _constants(model: ModelProto, path: Path) -> dict[str, Constant]:
    return {
        each.name: constant_of(each, f"the constant {each.name!r}", path) for each in model.graph.initializer
    }


def _equal(some: dict[str, Constant], others: dict[str, Constant]) -> bool:
    return some.keys() == others.keys() and all(
        values.dtype == others[name].dtype and np.array_equal(values, others[name])
        for name, values in some.items()
    )


def _chain(walk: Walk, path: Path) -> AnyNetwork:
    """Builds the network of a graph that consists of segments."""
    result = walk.result()
    try:
        chain, dtype = _segments(result)
        steps: list[Step] = []
        between = Linear()
        for segment, layer in chain:
            steps += (
                _input_steps(segment, layer) if segment.W is None else _layer_steps(segment, layer, between)
            )
            only_scaled = segment.W is None and layer.activation == "none" and layer.normalized is None
            between = layer.before if only_scaled else layer.after
        _require_unscaled(between, chain[-1][1].where)
        if dtype == np.float32:
            return network_of(steps, np.float32, None)
        return network_of(steps, np.float64, None)
    except (UnknownOperationError, WiringError, SettingError) as error:
        raise FileFormatError(f"{path}: {error}") from None


def _require_unscaled(last: Linear, where: str) -> None:
    if not last.is_identity:
        raise UnknownOperationError(f"{where}: what it computes is scaled at the output")


def _segments(result: Rows) -> tuple[list[tuple[Segment, Layered]], np.dtype[np.floating]]:
    """Returns the segments from the input to a result, each with what it computes; and the dtype."""
    if result.segment.operations[result.index].is_column and result.segment.width != 1:
        raise UnknownOperationError("the output is a mean or sum over units")
    places: list[tuple[Segment, int]] = []
    below: tuple[Segment, int] | None = (result.segment, result.index)
    while below is not None:
        places.append(below)
        below = below[0].below
    dtypes = {segment.W.dtype for segment, _ in places if segment.W is not None}
    if len(dtypes) != 1:
        raise UnknownOperationError(
            f"expected weights of one dtype, found {' and '.join(sorted(map(str, dtypes))) or 'no weights'}"
        )
    [dtype] = dtypes
    return [(segment, segment.layered(index, dtype)) for segment, index in reversed(places)], dtype


def _input_steps(segment: Segment, layer: Layered) -> list[Step]:
    if layer.normalized is None and layer.activation == "none":
        return []
    if not layer.before.is_identity:
        raise UnknownOperationError(
            f"{layer.where}: the input is scaled before an activation or a layer normalisation"
        )
    steps: list[Step] = []
    if layer.normalized is not None:
        steps.append(_normalization("the input", layer.normalized, segment.width))
    if layer.activation != "none":
        steps.append(Activation(layer.where, layer.activation))
    return steps


def _layer_steps(segment: Segment, layer: Layered, between: Linear) -> list[Step]:
    """Returns the steps of a layer; `between` scales what it takes."""
    weights, n = segment.W, segment.width
    assert weights is not None
    bias = np.zeros(n) if segment.bias is None else segment.bias.astype(np.float64)
    with np.errstate(all="ignore"):
        if np.any(between.t):
            bias = bias + weights.astype(np.float64) @ np.broadcast_to(between.t, weights.shape[1])
        scaled = np.asarray(between.s), np.reshape(layer.before.s, (-1, 1))
        for s in scaled:
            if np.any(s != 1):
                weights = (weights.astype(np.float64) * s).astype(weights.dtype)
        bias = layer.before.s * bias + layer.before.t
    steps: list[Step] = []
    if layer.normalized is None:
        steps.append(Affine(segment.where, weights, bias))
    else:
        steps += [
            Affine(segment.where, weights, bias if np.any(bias != bias[0]) else None),
            _normalization(segment.where, layer.normalized, n),
        ]
    if layer.activation != "none":
        steps.append(Activation(layer.where, layer.activation))
    return steps


def _normalization(where: str, normalized: Normalized, n: int) -> Normalization:
    gain, shift = (np.broadcast_to(np.asarray(each, np.float64), n) for each in normalized.scale)
    settings = Settings(LAYER, known_epsilon(normalized.epsilon, np.dtype(np.float32)))
    return Normalization(where, settings, gain, shift)

"""Writes networks to ONNX files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typednn.data.model import Model
from typednn.data.targets import Classes
from typednn.errors import SettingError
from typednn.files.model_json import describe, library_version
from typednn.files.models import KEY
from typednn.formats.atomic import PathLike, write_file
from typednn.layers import TrainableLayer
from typednn.network.network import AnyNetwork, check_network
from typednn.onnx.graph import GraphBuilder, require_onnx
from typednn.onnx.operators import write_network
from typednn.onnx.preprocessing import write_features, write_target
from typednn.validation.arrays import check_finite

if TYPE_CHECKING:
    from onnx import ModelProto

OPSETS = range(13, 23)
"""The versions of ONNX's operators that can be written."""
MAX_BYTES = 2**31 - 2**20
"""The largest content of a file; a message of protobuf has less than 2 GiB."""


def save(network: AnyNetwork, path: PathLike, *, opset: int = 17) -> None:
    """Writes a network that predicts to an ONNX file.

    The graph has the input `x` `(batch, n_features)` and the output `y` `(batch, n_outputs)`, in the dtype of
    the network. A `Model` takes raw `features` in float64, where all columns are numbers, else one input
    `(batch, 1)` for each column: numbers with NaN for what is missing, text for categories and booleans. Its
    outputs are `label` and `probabilities`, or `prediction` in units of the target.
    In float32, ONNX Runtime's outputs are those of `predict` within some eps. `typednn.onnx.load`
    restores the network to the bit.

    Args:
        network: the network, or a model with its preprocessing. Dropout and penalties, which matter in
            training only, are kept beside the graph.
        path: the file, by convention `*.onnx`; replaced when the new one is complete.
        opset: the version of the operators, 13 to 22. Runtimes read all up to theirs.

    Raises:
        WiringError: it is not a network.
        MissingExtraError: the package onnx is not installed.
        SettingError: the opset is another, the parameters exceed 2 GiB, a column of a model holds dates, or
            an activation needs the error function in float64, for which ONNX Runtime has no kernel: gelu, or
            one of yours.
        DataError: a parameter is NaN or infinite.
        NotReadyError: an activation was registered in another process, but not in this one.
        OSError: the file cannot be written.
    """
    check_network(network, "onnx.save")
    require_onnx()
    if isinstance(opset, bool) or opset not in OPSETS:
        raise SettingError(f"opset must be a whole number from {OPSETS[0]} to {OPSETS[-1]}, not {opset!r}")
    if network.parameters.nbytes > MAX_BYTES:
        raise SettingError(
            f"the parameters have {network.parameters.nbytes:,} bytes, and an ONNX file holds at most "
            f"{MAX_BYTES:,}; typednn.save has no such limit"
        )
    for layer in network.layers:
        if isinstance(layer, TrainableLayer):
            for name, tensor in layer._tensors.items():
                check_finite(tensor, name, layer.name)
    write_file(path, model_of(network, opset).SerializeToString())


def model_of(network: AnyNetwork, opset: int) -> ModelProto:
    """Returns the ONNX model of a network; see `save`."""
    graph = GraphBuilder(opset, network.dtype)
    n_features, n_outputs = network.layers[0].length, network.layers[-1].length
    if isinstance(network, Model):
        samples = write_features(graph, network.preprocessing)
        outputs = write_network(graph, network, samples)
        if network.layers[-1].actname == "log_softmax" and isinstance(network.preprocessing.target, Classes):
            outputs = graph.node("Exp", outputs)
        write_target(graph, network.preprocessing, outputs)
        description = describe(network, network.preprocessing, network.training)
    else:
        y = write_network(graph, network, graph.add_input("x", network.dtype, n_features))
        graph.node("Identity", y, output="y")
        graph.add_output("y", network.dtype, n_outputs)
        description = describe(network, None, None)
    return graph.model(library_version(), {KEY: description})

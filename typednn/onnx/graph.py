"""Builds the graph of an ONNX model: nodes, and constants with names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from typednn.errors import MissingExtraError

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto


Attribute: TypeAlias = float | int | str | list[int] | list[float] | list[str]


class GraphBuilder:
    """Collects the nodes of a graph in the order in which they are computed.

    Attributes:
        opset: the version of the operators.
        dtype: the dtype of the network, in which numbers of formulas are written.
    """

    def __init__(self, opset: int, dtype: np.dtype[np.floating]) -> None:
        self.opset: int = opset
        self.dtype: np.dtype[np.floating] = dtype
        self._nodes: list[NodeProto] = []
        self._domains: set[str] = {""}
        self._constants: dict[str, TensorProto] = {}
        self._inputs: list[ValueInfoProto] = []
        self._outputs: list[ValueInfoProto] = []
        self.prefix: str = ""
        """What the names of the next nodes begin with."""

    def node(
        self,
        operator: str,
        *inputs: str,
        output: str = "",
        attributes: Mapping[str, Attribute] | None = None,
        domain: str = "",
        **more: Attribute,
    ) -> str:
        """Appends a node; returns the name of its output."""
        from onnx import helper

        name = output or f"{self.prefix}{operator.lower()}_{len(self._nodes)}"
        settings: dict[str, Any] = {**(attributes or {}), **more}
        self._domains.add(domain)
        self._nodes.append(helper.make_node(operator, inputs, [name], name=name, domain=domain, **settings))
        return name

    def constant(self, name: str, values: NDArray[np.generic]) -> str:
        """Adds an array with a name; returns the name."""
        from onnx import numpy_helper

        self._constants[name] = numpy_helper.from_array(np.ascontiguousarray(values), name)
        return name

    def number(self, value: float) -> str:
        """Adds a number in the dtype of the network, once; returns its name."""
        rounded = self.dtype.type(value)
        return self.constant(f"number_{float(rounded)!r}", np.asarray(rounded))

    def cast(self, tensor: str, dtype: np.dtype[np.generic]) -> str:
        """Appends a conversion to another dtype."""
        from onnx import helper

        return self.node("Cast", tensor, to=helper.np_dtype_to_tensor_dtype(dtype))

    def add_input(self, name: str, dtype: np.dtype[np.generic], width: int) -> str:
        """Declares an input `(batch, width)` and returns its name."""
        self._inputs.append(_declared(name, dtype, ["batch", width]))
        return name

    def add_output(self, name: str, dtype: np.dtype[np.generic], width: int | None) -> None:
        """Declares an output `(batch, width)`, or `(batch,)` where the width is None."""
        self._outputs.append(_declared(name, dtype, ["batch"] if width is None else ["batch", width]))

    def model(self, version: str, metadata: dict[str, str]) -> ModelProto:
        """Returns the model, of the oldest format that has its operators."""
        from onnx import helper

        versions = {"": self.opset, "ai.onnx.ml": 2}
        operators = [helper.make_opsetid(domain, versions[domain]) for domain in sorted(self._domains)]
        graph = helper.make_graph(
            self._nodes, "typednn", self._inputs, self._outputs, list(self._constants.values())
        )
        model = helper.make_model(
            graph,
            opset_imports=operators,
            ir_version=helper.find_min_ir_version_for(operators),
            producer_name="typednn",
            producer_version=version,
        )
        helper.set_model_props(model, metadata)
        return model


def _declared(name: str, dtype: np.dtype[np.generic], shape: list[str | int]) -> ValueInfoProto:
    from onnx import helper

    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(dtype), shape)


def require_onnx() -> None:
    """Raises MissingExtraError where the package onnx is not installed."""
    from importlib.util import find_spec

    if find_spec("onnx") is None:
        raise MissingExtraError("onnx", "reading and writing ONNX files", "onnx")

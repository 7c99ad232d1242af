"""Nodes of ONNX files, and their attributes, checked when they are read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from typednn.errors import FileFormatError
from typednn.onnx.tensors import Constant, constant_of

if TYPE_CHECKING:
    from onnx import AttributeProto, NodeProto

ML = "ai.onnx.ml"
FLOAT, INT, STRING, TENSOR, FLOATS, INTS, STRINGS = 1, 2, 3, 4, 6, 7, 8
"""The numbers of the types of attributes."""


@dataclass(frozen=True, slots=True)
class Node:
    """A node of a graph.

    Attributes:
        proto: the node.
        position: its position in the graph, from 0.
        opset: the version of the operators.
        path: the file.
    """

    proto: NodeProto
    position: int
    opset: int
    path: Path

    @property
    def operator(self) -> str:
        """The operator; those of ONNX's domain of classic machine learning begin with `ml.`."""
        domain = self.proto.domain
        if domain in {"", "ai.onnx"}:
            return self.proto.op_type
        return f"ml.{self.proto.op_type}" if domain == ML else f"{domain}.{self.proto.op_type}"

    @property
    def where(self) -> str:
        """The node as messages show it."""
        name = f" {self.proto.name!r}" if self.proto.name else ""
        return f"node {self.position} ({self.operator}{name})"

    def error(self, message: str) -> FileFormatError:
        """Returns the error that names the node and the reason."""
        return FileFormatError(f"{self.path}: {self.where}: {message}")

    def integer(self, name: str, default: int) -> int:
        """Returns an integer."""
        attribute = self._attribute(name, INT)
        return default if attribute is None else attribute.i

    def number(self, name: str, default: float) -> float:
        """Returns a number."""
        attribute = self._attribute(name, FLOAT)
        return default if attribute is None else attribute.f

    def numbers(self, name: str) -> list[float]:
        """Returns numbers; none where there is no such attribute."""
        attribute = self._attribute(name, FLOATS)
        return [] if attribute is None else list(attribute.floats)

    def integers(self, name: str) -> list[int] | None:
        """Returns integers, or None."""
        attribute = self._attribute(name, INTS)
        return None if attribute is None else list(attribute.ints)

    def text(self, name: str, default: str) -> str:
        """Returns text."""
        attribute = self._attribute(name, STRING)
        return default if attribute is None else attribute.s.decode("utf-8", "replace")

    def tensor(self, name: str) -> Constant | None:
        """Returns a tensor, or None."""
        attribute = self._attribute(name, TENSOR)
        return None if attribute is None else constant_of(attribute.t, self.where, self.path)

    def _attribute(self, name: str, kind: int) -> AttributeProto | None:
        for attribute in self.proto.attribute:
            if attribute.name == name:
                if attribute.type != kind:
                    raise self.error(f"the attribute {name!r} has the type {attribute.type}, not {kind}")
                return attribute
        return None

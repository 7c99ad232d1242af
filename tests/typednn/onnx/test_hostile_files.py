"""Hostile ONNX files: one FileFormatError each, before memory is taken; nothing elsewhere is read."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import typednn.onnx
from tests.typednn.onnx.test_reader import B1, W1, graph
from tests.typednn.onnx.test_writer import network_with
from typednn import FileFormatError, HiddenLayer, InputLayer, OutputLayer

onnx: Any = pytest.importorskip("onnx", reason="onnx is not installed: pip install 'typednn[onnx]'")
pytestmark = pytest.mark.usefixtures("numpy_alone")

NODES: list[Any] = [("Gemm", ["x", "W", "b"], "z", {"transB": 1}), ("Tanh", ["z"], "y", {})]


def model() -> Any:
    return graph(NODES, {"W": W1, "b": B1})


def huge(dims: list[int]) -> Callable[[Any], None]:
    def change(made: Any) -> None:
        del made.graph.initializer[0].dims[:]
        made.graph.initializer[0].dims.extend(dims)

    return change


def external(**entries: str) -> Callable[[Any], None]:
    def change(made: Any) -> None:
        tensor = made.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = 1
        for key, value in entries.items():
            entry = tensor.external_data.add()
            entry.key, entry.value = key, value

    return change


def cyclic(made: Any) -> None:
    made.graph.node[0].input[0] = "y"


def twice(made: Any) -> None:
    made.graph.node[1].output[0] = "z"


def of_type(kind: int) -> Callable[[Any], None]:
    def change(made: Any) -> None:
        made.graph.initializer[0].data_type = kind

    return change


def attribute_of_another_type(made: Any) -> None:
    made.graph.node[0].attribute[0].type = 3


def with_a_function(made: Any) -> None:
    made.functions.add().name = "f"


def without_operators(made: Any) -> None:
    del made.opset_import[:]


def with_a_loop(made: Any) -> None:
    made.graph.node[1].op_type = "Loop"


def broadcast(made: Any) -> None:
    """Two constants that are small, and a sum of them that is not."""
    long, tall = np.zeros((1, 200_000)), np.zeros((200_000, 1))
    made.graph.initializer.extend(
        [onnx.numpy_helper.from_array(long, "long"), onnx.numpy_helper.from_array(tall, "tall")]
    )
    made.graph.node.append(onnx.helper.make_node("Add", ["long", "tall"], ["sum"]))


HOSTILE: dict[str, tuple[Callable[[Any], None], str]] = {
    "huge dimensions": (
        huge([10**9, 10**9]),
        "expected 1000000000000000000 elements, as the shape says, found 6",
    ),
    "negative dimensions": (huge([-3, -2]), "expected a shape"),
    "too many dimensions": (huge([1] * 5000), "expected a shape"),
    "another dtype": (of_type(1), "expected 6 elements, as the shape says, found 12"),
    "complex numbers": (of_type(15), "expected numbers of float32.* found data type 15"),
    "a cycle": (cyclic, "node 0 .*needs 'y', which no node before it computes"),
    "a value twice": (twice, "node 1 .*computes 'z', which there is already"),
    "a path upward": (
        external(location="../secret"),
        "in a file beside the model, found the location '../secret'",
    ),
    "an absolute path": (external(location="/etc/passwd"), "found the location '/etc/passwd'"),
    "no path": (external(), "found the location ''"),
    "the folder": (external(location="."), "beside the model"),
    "no such file": (external(location="none.data"), "found no such file"),
    "a long name": (external(location="x" * 9000), "found no such file"),
    "a link": (external(location="link.data"), "found no such file"),
    "a short file": (external(location="short.data"), "expected bytes 0 to 48 of 'short.data', which has 10"),
    "an offset beyond": (external(location="short.data", offset="9" * 18), "expected bytes"),
    "an offset that is no number": (external(location="short.data", offset="-1"), "a whole number as offset"),
    "another length": (external(location="short.data", length="10"), "expected 48 bytes of external data"),
    "an attribute of another type": (attribute_of_another_type, "the attribute 'transB' has the type 3"),
    "functions": (with_a_function, "functions of the model's own"),
    "no version of operators": (without_operators, "expected operators of ONNX from version 7"),
    "a loop": (with_a_loop, "node 1 .*Loop.* is an operator that layers here do not have"),
    "a product of small constants": (broadcast, "expected constants whose shapes fit together"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_one_clear_error(name: str, tmp_path: Path) -> None:
    change, message = HOSTILE[name]
    folder = tmp_path / "models"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(bytes(48))
    (folder / "short.data").write_bytes(bytes(10))
    (folder / "link.data").symlink_to(tmp_path / "secret")
    made = model()
    change(made)
    path = folder / "model.onnx"
    path.write_bytes(made.SerializeToString())

    with pytest.raises(FileFormatError, match=message) as raised:
        typednn.onnx.load(path)

    assert str(raised.value).startswith(f"{path}: ")


def test_missing_and_foreign_files(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="there is no such file"):
        typednn.onnx.load(tmp_path / "model.onnx")
    with pytest.raises(FileFormatError, match="is not a file"):
        typednn.onnx.load(tmp_path)
    (tmp_path / "text.onnx").write_text("no ONNX", encoding="utf-8")
    with pytest.raises(FileFormatError, match="expected an ONNX file"):
        typednn.onnx.load(tmp_path / "text.onnx")
    (tmp_path / "empty.onnx").write_bytes(b"")
    with pytest.raises(FileFormatError, match="expected operators of ONNX"):
        typednn.onnx.load(tmp_path / "empty.onnx")


def test_text_that_is_no_utf_8(tmp_path: Path) -> None:
    made, path = model(), tmp_path / "model.onnx"
    external(location="LOCATION")(made)
    path.write_bytes(made.SerializeToString().replace(b"LOCATION", b"LOCATI\xff\xfe"))
    with pytest.raises(FileFormatError, match="found no such file"):
        typednn.onnx.load(path)

    path.write_bytes(files()[0].replace(b'"hidden"', b'"hidd\xffn"'))
    with pytest.raises(FileFormatError, match="description in UTF-8"):
        typednn.onnx.load(path)


def test_truncated_files(tmp_path: Path) -> None:
    content, path = model().SerializeToString(), tmp_path / "model.onnx"
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        with pytest.raises(FileFormatError):
            typednn.onnx.load(path)


def mutants(content: bytes, count: int, seed: int) -> Any:
    """Copies with a few bytes that are changed, inserted, removed or moved."""
    random = np.random.default_rng(seed)
    for _ in range(count):
        changed = bytearray(content)
        for _ in range(random.integers(1, 5)):
            at, kind = int(random.integers(len(changed))), random.integers(4)
            if kind == 0:
                changed[at] = random.integers(256)
            elif kind == 1:
                changed[at:at] = random.bytes(int(random.integers(1, 4)))
            elif kind == 2:
                del changed[at : at + int(random.integers(1, 9))]
            else:
                changed[at] ^= 1 << int(random.integers(8))
        yield bytes(changed)


def files() -> list[bytes]:
    """A file of ours, with its description, and two without."""
    from typednn.onnx.writer import model_of

    layers: list[Any] = [
        InputLayer(2),
        HiddenLayer(3, "mish", normalization="layer"),
        OutputLayer(2, "softmax"),
    ]
    ours = model_of(network_with(layers, np.float32), 13)
    bare = model_of(network_with(layers, np.float32), 13)
    del bare.metadata_props[:]
    return [ours.SerializeToString(), bare.SerializeToString(), model().SerializeToString()]


@pytest.mark.filterwarnings("ignore:.*cannot tell classes apart")
def test_mutants_are_read_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    for seed, content in enumerate(files()):
        for mutant in mutants(content, 150, seed):
            path.write_bytes(mutant)
            with contextlib.suppress(FileFormatError):  # any other exception fails the test
                typednn.onnx.load(path)

"""Files that were made to do harm: each is refused soon, by one kind of error, and nothing is changed."""

from __future__ import annotations

import gzip
import io
import json
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from typednn import (
    Adam,
    Checkpoint,
    DataError,
    EarlyStopping,
    FileFormatError,
    GradientNorms,
    InputLayer,
    Network,
    OutputLayer,
    ReduceOnPlateau,
    load,
    save,
)
from typednn.data.readers.dialects import MAX_COLUMNS, Dialect, find_layout
from typednn.data.readers.opening import CHUNK_BYTES, MAX_LINE, MAX_RATIO
from typednn.data.reading import read_data
from typednn.formats.safetensors import open_tensors, tensor_bytes, tensor_entries

LARGE = 60 << 20


def model(header: bytes, numbers: bytes = b"") -> bytes:
    return len(header).to_bytes(8, "little") + header + numbers


def described(text: str) -> bytes:
    return model(json.dumps({"__metadata__": {"typednn": text}}).encode())


HOSTILE: dict[str, Callable[[], bytes]] = {
    "lists": lambda: model(b"[" + b"[]," * (LARGE // 3) + b"0]"),
    "objects": lambda: model(b"[" + b"{}," * (LARGE // 3) + b"0]"),
    "numbers": lambda: model(b"[" + b"1.5," * (LARGE // 4) + b"0]"),
    "names": lambda: model(b"{" + b",".join(b'"%d":0' % k for k in range(2_000_000)) + b"}"),
    "deep": lambda: model(b"[" * LARGE),
    "deep in limits": lambda: model(b"[" * 200_000 + b"]" * 200_000),
    "described lists": lambda: described("[" + "[]," * (LARGE // 4) + "0]"),
    "described numbers": lambda: described("[" + "1.5," * (LARGE // 5) + "0]"),
    "long number": lambda: model(b"1" * LARGE),
    "long text": lambda: model(b'"' + b"a" * LARGE + b'"'),
    "header longer than the file": lambda: (1 << 62).to_bytes(8, "little") + b"{}",
    "dimensions": lambda: model(
        b'{"a":{"dtype":"F32","shape":[' + b"9" * 4000 + b",9" * 99_999 + b'],"data_offsets":[0,0]}}'
    ),
    "name twice": lambda: model(b'{"__metadata__":{},"__metadata__":{}}'),
    "UTF-16": lambda: model(json.dumps({"__metadata__": {}}).encode("utf-16")),
    "Latin-1": lambda: model('{"ü":0}'.encode("latin-1")),
    "half a pair": lambda: model(rb'{"\ud800":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}'),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_headers(name: str, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(HOSTILE[name]())
    size = path.stat().st_size
    tracemalloc.start()
    try:
        with pytest.raises(FileFormatError, match=r"m\.safetensors: ") as error:
            load(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    str(error.value).encode()
    assert len(str(error.value)) < 1000
    assert peak < 4 * size + (8 << 20)


def test_save_refuses_what_load_would_refuse(tmp_path: Path) -> None:
    layers: list[Any] = [InputLayer(1)]
    network = Network([*layers, OutputLayer(1)], seed=0)
    path = tmp_path / "m"
    network.layers[1].W[...] = np.nan
    with pytest.raises(DataError):
        save(network, path)
    with pytest.raises(FileFormatError, match="expected a header of at most"):
        tensor_bytes({"a" * (65 << 20): np.zeros(1)}, {}, path)
    assert not path.exists()


# Checkpoints.


def trained(path: Path) -> tuple[Network[Any], Callable[[], object]]:
    layers: list[Any] = [InputLayer(2)]
    network = Network([*layers, OutputLayer(1)], seed=0)
    x, y = np.array([[0.0, 1.0], [1.0, 0.5], [0.2, 0.3]]), np.array([[1.0], [2.0], [0.0]])

    def resume() -> object:
        callbacks = [EarlyStopping("loss", patience=9), GradientNorms(), Checkpoint(path, resume=True)]
        rate = ReduceOnPlateau(0.1)
        return network.fit(x, y, epochs=3, optimizer=Adam(rate), callbacks=callbacks, progress=False)

    return network, resume


def changed(path: Path, change: Callable[[dict[str, NDArray[Any]]], None]) -> None:
    """Changes the arrays of a checkpoint."""
    with open_tensors(path) as file:
        arrays: dict[str, NDArray[Any]] = dict(file.read_tensors(tensor_entries(file.header, file.size)))
        metadata = {key: each.as_str() for key, each in file.header["__metadata__"].as_object().items()}
    change(arrays)
    path.write_bytes(tensor_bytes(arrays, metadata, path))


def put(name: str, value: Any) -> Callable[[dict[str, NDArray[Any]]], None]:
    def change(arrays: dict[str, NDArray[Any]]) -> None:
        assert name in arrays or name.endswith(("new", "learning_rate")), sorted(arrays)
        arrays[name] = np.array(value)

    return change


CHANGES = {
    "parameters NaN": put("parameters", [np.nan, 0.0, 0.0]),
    "parameters infinite": put("parameters", [np.inf, 0.0, 0.0]),
    "moments NaN": put("optimizer.states", np.full((2, 3), np.nan)),
    "step below 0": put("optimizer.step", -1),
    "step too large": put("optimizer.step", 1 << 62),
    "step a float": put("optimizer.step", 1.0),
    "schedule NaN": put("optimizer.schedule", [np.nan, 0.0, 0.0]),
    "rate below 0": put("optimizer.learning_rate", -1.0),
    "rate NaN": put("optimizer.learning_rate", np.nan),
    "rate a vector": put("optimizer.learning_rate", [0.1, 0.1]),
    "history a float": put("history.loss", 0.5),
    "history a matrix": put("history.loss", [[0.5], [0.5]]),
    "history of integers": put("history.loss", [1, 2]),
    "history NaN": put("history.loss", [0.5, np.nan]),
    "history of a new curve": put("history.new", [0.5, 0.5]),
    "best infinite": put("callbacks.EarlyStopping.0.best", [np.inf, 0.5]),
    "best a float": put("callbacks.EarlyStopping.0.best", 0.5),
    "best parameters NaN": put("callbacks.EarlyStopping.0.parameters", [np.nan, 0.0, 0.0]),
    "best parameters short": put("callbacks.EarlyStopping.0.parameters", [0.0]),
    "norms short": put("callbacks.GradientNorms.0.norms", [0.5]),
}


@pytest.mark.parametrize("name", CHANGES)
def test_checkpoints(name: str, tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    trained(path)[1]()
    changed(path, CHANGES[name])
    network, resume = trained(path)
    before, random = network.parameters.copy(), network._random.bit_generator.state

    with pytest.raises(FileFormatError, match=r"c\.safetensors"):
        resume()

    np.testing.assert_array_equal(network.parameters, before)
    assert network._random.bit_generator.state == random


def test_a_callback_that_cannot_go_on_leaves_the_others_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "c"
    network, _ = trained(path)
    x, y = np.array([[0.0, 1.0]]), np.array([[1.0]])
    stopping, norms = EarlyStopping("loss"), GradientNorms()
    network.fit(x, y, epochs=2, callbacks=[stopping, norms, Checkpoint(path)], progress=False)
    changed(path, put("callbacks.GradientNorms.0.norms", [0.5]))
    stopping, norms = EarlyStopping("loss"), GradientNorms()

    with pytest.raises(FileFormatError):
        network.fit(x, y, callbacks=[stopping, norms, Checkpoint(path, resume=True)], progress=False)

    assert (stopping.best_epoch, norms.norms) == (0, [])


# Archives of NumPy, and IDX files.


def npy(descr: str, shape: str, content: bytes = b"") -> bytes:
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + content


def npz(x: bytes, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        archive.writestr("x.npy", x)
        archive.writestr("y.npy", npy("'<f8'", "(1,)", bytes(8)))
    return buffer.getvalue()


def many_members() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for k in range(20_000):
            archive.writestr(f"{k}", b"")
    return buffer.getvalue()


def zipped(text: str | bytes, compression: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        archive.writestr("data.csv", text)
    return buffer.getvalue()


HOSTILE_DATA: dict[str, Callable[[], bytes]] = {
    "unhashable descr": lambda: npz(npy("[['<f8']]", "(1,)")),
    "descr of a dict": lambda: npz(npy("{'a': []}", "(1,)")),
    "descr of a set": lambda: npz(npy("{1, 2}", "(1,)")),
    "shape beyond all": lambda: npz(npy("'<f8'", "(0, 10000000000000000000000000000000)")),
    "shape of two large and 0": lambda: npz(npy("'<f8'", "(4611686018427387904, 4611686018427387904, 0)")),
    "negative shape": lambda: npz(npy("'<f8'", "(-1, -1)", bytes(8))),
    "shape of texts": lambda: npz(npy("'<f8'", "('a',)", bytes(8))),
    "LZMA": lambda: npz(npy("'<f8'", "(1, 1)", bytes(8)), zipfile.ZIP_LZMA),
    "BZIP2": lambda: npz(npy("'<f8'", "(1, 1)", bytes(8)), zipfile.ZIP_BZIP2),
    "LZMA damaged": lambda: npz(npy("'<f8'", "(1, 1)", bytes(8)), zipfile.ZIP_LZMA).replace(
        b"\x5d", b"\xff", 1
    ),
    "header that is no Python": lambda: npz(b"\x93NUMPY\x01\x00\x10\x00{'descr': (((((("),
    "header deep": lambda: npz(b"\x93NUMPY\x01\x00" + struct.pack("<H", 9000) + b"(" * 9000),
    "many members": many_members,
    "CSV by LZMA": lambda: zipped("a,b\n1,2\n", zipfile.ZIP_LZMA),
    "IDX of 4 GB": lambda: b"\0\0\x08\x03" + struct.pack(">3I", 65535, 255, 255) + bytes(99),
    "IDX beyond all": lambda: b"\0\0\x08\x08" + b"\xff" * 32,
}


@pytest.mark.parametrize("name", HOSTILE_DATA)
def test_data(name: str, tmp_path: Path) -> None:
    path = tmp_path / "images-data"
    path.write_bytes(HOSTILE_DATA[name]())
    (tmp_path / "labels-data").write_bytes(b"\0\0\x08\x01\0\0\0\x01\0")
    with pytest.raises(FileFormatError, match="images-data"):
        read_data(path)


LONG_LINE = "expected lines of values, found one that does not end within 16 MiB"
BEYOND: dict[str, tuple[Callable[[], bytes], str]] = {
    "names without an end": (lambda: b"," * (MAX_LINE + 1), f"{LONG_LINE}$"),
    "values": (lambda: b"a,b\n1,2\n" + b"," * (MAX_LINE + 4 * CHUNK_BYTES), f"{LONG_LINE}, before the byte"),
    "blanks": (
        lambda: b"a b\n1 2\n3" + b" " * (MAX_LINE + 4 * CHUNK_BYTES) + b"\n",
        f"{LONG_LINE}, before the byte",
    ),
    "too many names": (
        lambda: b"," * MAX_COLUMNS + b"\n1\n",
        "expected at most 131072 columns, found 131073",
    ),
}


@pytest.mark.parametrize("name", BEYOND)
def test_limits_of_text(name: str, tmp_path: Path) -> None:
    content, message = BEYOND[name]
    path = tmp_path / "data.csv"
    path.write_bytes(content())

    with pytest.raises(FileFormatError, match=f"data.csv: {message}"):
        read_data(path)


def test_as_many_columns_as_are_allowed() -> None:
    start = b",".join(b"%d" % k for k in range(MAX_COLUMNS)) + b"\n"

    assert len(find_layout(start, Dialect(), "data.csv").names) == MAX_COLUMNS


def test_no_more_is_unpacked_than_an_idx_file_says_that_it_has(tmp_path: Path) -> None:
    path = tmp_path / "images"
    path.write_bytes(gzip.compress(b"\0\0\x08\x01\0\0\0\x01" + bytes(3 * MAX_LINE), 1))
    tracemalloc.start()
    try:
        with pytest.raises(FileFormatError, match=r"expected 1 bytes of numbers .* found more"):
            read_data(path, labels=path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 2.5 * MAX_LINE


BOMBS = {"empty lines": b"\n", "of Windows": b"\r\n", "comments": b"#\n", "blanks": b" ", "long text": b"a"}


@pytest.mark.once_per("name")
@pytest.mark.parametrize("packer", ["gzip", "zip"])
@pytest.mark.parametrize("name", BOMBS)
def test_compressed_text_without_values_is_refused_as_it_is_read(
    name: str, packer: str, tmp_path: Path
) -> None:
    path = tmp_path / "data.csv.gz"
    text = b'a,b\n1,2\n3,"' + BOMBS[name] * (6 * MAX_LINE // len(BOMBS[name]))
    path.write_bytes(gzip.compress(text, 1) if packer == "gzip" else zipped(text, zipfile.ZIP_DEFLATED))
    tracemalloc.start()
    try:
        with pytest.raises(FileFormatError, match=r"data.csv.gz: expected a table, found .* unpack it"):
            read_data(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 4.5 * MAX_LINE


def test_a_small_file_of_many_values_is_read(tmp_path: Path) -> None:
    rows, path = 2 * MAX_LINE // 8, tmp_path / "data.csv.gz"
    path.write_bytes(gzip.compress(b"a,b,c,d\n" + b"1,2,3,4\n" * rows, 1))
    assert path.stat().st_size * MAX_RATIO < 2 * MAX_LINE

    assert len(read_data(path).table) == rows


def test_text_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    np.savez(path, x=np.zeros((1, 1)), y=np.array([0x110000], np.uint32).view("<U1"))

    with pytest.raises(FileFormatError, match="expected text"):
        read_data(path)


@pytest.mark.parametrize("character", ["\x1c", "\x1d", "\x1e", "\x1f"])
def test_a_control_character_beside_a_number(character: str, tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text(f"a,b,y\n1,2,3\n4{character},5,6\n")

    assert read_data(path).table["a"].tolist() == ["1", f"4{character}"]
